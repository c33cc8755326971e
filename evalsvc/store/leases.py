"""Leases over a database without compare-and-set: a claim is a row, and who claimed first leads.

All times are the database's own (``now64(6)`` in the statement that writes the row); callers' clocks play no part. A
claim has an id; of its rows the one written last counts. A *fresh* claim goes like this:

1. Where somebody else's claim is in force, they lead, and nothing is written.
2. Insert a claim, ``claimed_at`` now, and see how much later it is visible. That must be less than the settle time *s*;
   else withdraw it and begin again.
3. Wait *s* and read. The claim wins if it is in force and nobody else's earlier one is (ties by the holder's name);
   else it is withdrawn.

Two fresh claims a ≤ b cannot both win: a is visible before a + s, and b reads after b + s, so b sees a. It may win only
once a is over, or was withdrawn. Everybody must wait the same *s*.

A *renewal* keeps ``claimed_at`` and does not wait. It is written only before the end that its holder has verified, and
counts only if it is visible before that end, so that whoever reads meanwhile sees the old row or the new one in force.
What the holder has verified is remembered in this object, never read from the table. Each reading asks for the time
before it asks for the rows: a row that has ended by that time has no successor that the rows would lack.

So these do no harm:

* *A renewal that becomes visible after its end* (slow disk, lost answer): its holder claims freshly and loses to
  whoever won in between. Until then the late row only makes others hold back.
* *A renewal that arrives late*: the statement looks at the time when it runs, finds the end passed and writes nothing.
* *A fresh claim whose answer was lost*: nobody has verified it, and it makes others hold back until it ends. The next
  attempt has another id, so the lost one cannot take its place.
* *A restarted holder* has verified nothing, so it claims freshly. Its own old claim does not stand in its way.
* *A release* is a row that ends now. A renewal that was lost and runs after it makes others hold back, and no more.
* *A paused process* believes in its lease until it looks at the time again. Nothing can prevent that, so whatever a
  leader writes must do no harm when written twice: :class:`~evalsvc.rules.history.AlertLog` is made that way.

What it needs: one database clock that does not go back (one server, not several behind a balancer), rows that are
visible once an insert was answered, and a name of its own for each holder. A clock that jumps forward ends leases
early, for all alike.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import NamedTuple

from evalsvc.errors import InputError, StoreUnavailable
from evalsvc.rules.history import Lease
from evalsvc.store.alert_values import check_seconds
from evalsvc.store.connections import Pool
from evalsvc.store.ranks import moment

SETTLE_SECONDS = 0.5
"""How long an insert may take to become visible, and so how long a fresh claim waits."""

ATTEMPTS = 5

_NOW = "SELECT toUnixTimestamp64Micro(now64(6))"
_CLAIMS = (
    "SELECT toUnixTimestamp64Micro(claimed_at), holder, toUnixTimestamp64Micro(until), id FROM alert_leases FINAL "
    "WHERE name = {name:String}"
)
_INSERT = (
    "INSERT INTO alert_leases (name, holder, id, claimed_at, until, written_at) "
    "SELECT {name:String}, {holder:String}, {id:String}, SINCE, now + toIntervalMicrosecond({micros:Int64}), now "
    "FROM (SELECT now64(6) AS now) WHERE toUnixTimestamp64Micro(now) < {end:Int64}"
)
_FRESH = _INSERT.replace("SINCE", "now")
_LATER = _INSERT.replace("SINCE", "fromUnixTimestamp64Micro({since:Int64}, 'UTC')")
_NEVER = 1 << 62


class Claim(NamedTuple):
    """Whose claim is in force in ``[since, until)``, in microseconds of the database's clock."""

    since: int
    holder: str
    until: int
    id: str


class Leases:
    """Claims leases of a database and remembers which it has verified. Safe to call from several threads.

    ``settle_seconds`` is *s* of this module's text, the same for all who claim.
    """

    def __init__(self, pool: Pool, settle_seconds: float = SETTLE_SECONDS) -> None:
        """Use a store's connections.

        Raises:
            InputError: ``settle_seconds`` is not in (0, 60).
        """
        if not 0.0 < settle_seconds < 60.0:
            raise InputError(f"Expected `settle_seconds` in (0, 60), but got {settle_seconds!r}")
        self._pool = pool
        self._settle = settle_seconds
        self._verified: dict[tuple[str, str], Claim] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}

    def claim(self, name: str, holder: str, seconds: float) -> Lease:
        """Claim or renew a lease; return who has it.

        Raises:
            InputError: ``seconds`` is not more than twice the settle time, or more than a day.
            StoreUnavailable: no claim became visible within the settle time, or the database does not answer.
        """
        micros = round(1e6 * check_seconds(seconds, 2.0 * self._settle))
        with self._one_at_a_time(name, holder):
            found = self._renewed(name, holder, micros)
            if found is None:
                self._verified.pop((name, holder), None)
                found = self._fresh(name, holder, micros)
            held = found.holder == holder
            if held:
                self._verified[name, holder] = found
        return Lease(holder=found.holder, since=moment(found.since), until=moment(found.until), held=held)

    def release(self, name: str, holder: str) -> None:
        """End a claim now, where this object has verified it."""
        with self._one_at_a_time(name, holder):
            held = self._verified.pop((name, holder), None)
            if held is not None:
                self._withdraw(name, held)

    def _renewed(self, name: str, holder: str, micros: int) -> Claim | None:
        """Return the renewed claim; None where there was none to renew, or it was not in time."""
        held = self._verified.get((name, holder))
        if held is None:
            return None
        self._write(_LATER, name, holder, held.id, micros, since=held.since, end=held.until)
        now, claims = self._read(name)
        return _by_id(held.id, claims) if now < held.until else None

    def _fresh(self, name: str, holder: str, micros: int) -> Claim:
        """Return the claim that leads, after writing one of the holder's where nobody else's is in force."""
        for _ in range(ATTEMPTS):
            others = [claim for claim in self._read(name)[1] if claim.holder != holder]
            if others:
                return min(others)
            id = secrets.token_hex(8)
            self._write(_FRESH, name, holder, id, micros)
            now, claims = self._read(name)
            mine = _by_id(id, claims)
            if mine is None:
                continue
            first = self._first(name, mine) if now - mine.since < 1e6 * self._settle else None
            if first != mine:
                self._withdraw(name, mine)
            if first is not None:
                return first
        raise StoreUnavailable(
            f"The store did not show a claim within {self._settle:g} s, in {ATTEMPTS} attempts: it is overloaded, "
            "or its clock jumps"
        )

    def _first(self, name: str, mine: Claim) -> Claim | None:
        """Wait, and return the earliest claim, the holder's other ones aside; None where this one is over."""
        time.sleep(self._settle)
        claims = [claim for claim in self._read(name)[1] if claim.holder != mine.holder or claim.id == mine.id]
        return min(claims) if mine in claims else None

    def _withdraw(self, name: str, claim: Claim) -> None:
        self._write(_LATER, name, claim.holder, claim.id, 0, since=claim.since)

    def _write(self, sql: str, name: str, holder: str, id: str, micros: int, **more: int) -> None:
        """Write a claim that ends in so many microseconds, unless the time ``end`` has come."""
        parameters = {"name": name, "holder": holder, "id": id, "micros": micros, "end": _NEVER, **more}
        with self._pool.client() as client:
            client.command(sql, parameters=parameters)

    def _read(self, name: str) -> tuple[int, list[Claim]]:
        """Return the time, and the claims that are in force at it or began since."""
        with self._pool.client() as client:
            now = int(client.query(_NOW).result_rows[0][0])
            claims = [Claim(*row) for row in client.query(_CLAIMS, parameters={"name": name}).result_rows]
        return now, [claim for claim in claims if claim.until > now]

    def _one_at_a_time(self, name: str, holder: str) -> threading.Lock:
        return self._locks.setdefault((name, holder), threading.Lock())


def _by_id(id: str, claims: list[Claim]) -> Claim | None:
    return next((claim for claim in claims if claim.id == id), None)

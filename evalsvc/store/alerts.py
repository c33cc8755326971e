"""What is remembered of alerts, in ClickHouse: exact whatever merges have happened, and whoever wrote twice.

A transition and the state after it are one row. :meth:`ClickHouseAlertLog.record_looks` inserts those rows first, and
then all states; one that breaks off between the two leaves a transition whose state :meth:`~.alert_states` takes from
the transition's row. It reads the two tables in the other order, so that it never misses one that it could have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from evalsvc.rules.history import (
    TOLD,
    Acknowledgement,
    Enrolment,
    Lease,
    Look,
    Matcher,
    Receipt,
    Silence,
    TransitionQuery,
)
from evalsvc.rules.machine import AlertState, Phase, Transition
from evalsvc.store import alert_rows
from evalsvc.store.alert_values import (
    LATEST,
    check_limit,
    check_looks,
    check_receipts,
    check_silence,
    check_time,
    from_json,
    to_json,
)
from evalsvc.store.alerts_memory import in_force
from evalsvc.store.connections import SETTINGS, Pool, portions
from evalsvc.store.leases import SETTLE_SECONDS, Leases
from evalsvc.store.queries import SETTINGS as READING
from evalsvc.store.ranks import clean, microseconds, moment
from evalsvc.store.steps import EARLIEST
from evalsvc.types import utc

if TYPE_CHECKING:
    import pyarrow as pa


class ClickHouseAlertLog:
    """An :class:`~evalsvc.rules.history.AlertLog` in ClickHouse, over the connections of a store.

    ``settle_seconds`` is how long a fresh claim to a lease waits for others made at the same time; all who claim must
    have the same (:mod:`evalsvc.store.leases`).
    """

    def __init__(self, pool: Pool, settle_seconds: float = SETTLE_SECONDS) -> None:
        """Use a store's connections; its database must be migrated."""
        self._pool = pool
        self._leases = Leases(pool, settle_seconds)

    # Looks.

    def record_looks(self, looks: Sequence[Look]) -> None:
        """Make looks durable: transitions, each with the state after it, and then the last state of each alert."""
        check_looks(looks)
        rows = [alert_rows.LookRow(*look, to_json(look.state)) for look in looks]
        first = {row.transition.id: row for row in reversed(rows) if row.transition is not None}
        if first:
            self._insert("alert_transitions", alert_rows.transition_table(list(first.values())))
        last: dict[str, alert_rows.LookRow] = {}
        for row in rows:
            held = last.get(row.state.fingerprint)
            if held is None or row.rank >= held.rank:
                last[row.state.fingerprint] = row
        if last:
            self._insert("alert_states", alert_rows.state_table(list(last.values())))

    def alert_states(self, rules: Sequence[str] = (), phases: Sequence[Phase] = ()) -> Sequence[AlertState]:
        """Return the last state of every alert, by fingerprint: of those of some rules, of those in some phases."""
        wanted: list[list[str] | None] = [*portions(sorted(set(map(clean, rules))))] if rules else [None]
        found: dict[str, str] = {}
        for names in wanted:
            where = "" if names is None else " WHERE rule IN {names:Array(String)}"
            found |= self._states(where, {} if names is None else {"names": names}, phases)
        states = [from_json(text, AlertState) for _, text in sorted(found.items())]
        return [state for state in states if not phases or state.phase in phases]

    def _states(self, where: str, parameters: Mapping[str, object], phases: Sequence[Phase]) -> dict[str, str]:
        """Return states as JSON by fingerprint; asked for some phases, those alone are read whole."""
        whole = "'' AS state" if phases else "state"
        sql = f"SELECT fingerprint, rank, phase, {whole} FROM alert_states FINAL{where}"  # noqa: S608
        rows = {name: (rank, phase, text) for name, rank, phase, text in self._rows(sql, parameters)}
        newer = {name: id for name, rank, id in self._last_moves(where, parameters) if rank > rows.get(name, (-1,))[0]}
        found = {name: text for name, (_, _, text) in rows.items()}
        if phases:
            some = [name for name, (_, phase, _) in rows.items() if phase in phases and name not in newer]
            found = dict(self._by_ids("SELECT fingerprint, state FROM alert_states FINAL WHERE fingerprint", some))
        moved = self._by_ids("SELECT fingerprint, state FROM alert_transitions FINAL WHERE id", list(newer.values()))
        return found | dict(moved)

    def _last_moves(self, where: str, parameters: Mapping[str, object]) -> list[Any]:
        """Return fingerprint, the rank of the state after the last transition, and that transition's id."""
        # As the ranks of states are made, of those with a transition.
        micros = "bitShiftLeft(toUInt64(toUnixTimestamp64Micro(evaluated_at)), 1)"
        rank = f"bitOr(bitOr(bitShiftLeft(toUInt64(era), 53), {micros}), 1)"
        sql = (
            f"SELECT fingerprint, max({rank}), argMax(id, (era, evaluated_at, id)) "  # noqa: S608
            f"FROM alert_transitions FINAL{where} GROUP BY fingerprint"
        )
        return self._rows(sql, parameters)

    def transitions(self, query: TransitionQuery, limit: int) -> Sequence[Transition]:
        """Return at most ``limit`` transitions, each once, the newest first; of one time by id."""
        where = f"at >= {_moment(query.window.start)} AND at < {_moment(query.window.end)}"
        parameters: dict[str, object] = {"limit": check_limit(limit)}
        if query.phases:
            where += " AND after IN {phases:Array(String)}"
            parameters["phases"] = list(query.phases)
        if not query.fingerprints:
            return self._told(where, "at DESC, id", parameters)
        where += " AND fingerprint IN {names:Array(String)}"
        found = [
            self._told(where, "at DESC, id", {**parameters, "names": names})
            for names in portions(sorted(set(map(clean, query.fingerprints))))
        ]
        by_id = sorted(chain.from_iterable(found), key=lambda transition: transition.id)
        return sorted(by_id, key=lambda transition: transition.at, reverse=True)[:limit]

    def untold(self, receiver: str, since: datetime, limit: int) -> Sequence[Transition]:
        """Return at most ``limit`` transitions to tell, since then, without a receipt: the oldest first."""
        # Rows of the time are found by narrow columns and without FINAL, a superset; what is asked of all versions of a
        # row, and of receipts, is then asked of these alone: the log is of years, and what is to be told of minutes.
        late = f"at >= {_moment(since)} AND after IN {{phases:Array(String)}}"
        these = f"SELECT id FROM alert_transitions WHERE {late}"  # noqa: S608
        receipts = "SELECT transition FROM alert_receipts WHERE receiver = {receiver:String}"
        lacking = f"{late} AND id NOT IN ({receipts} AND transition IN ({these}))"
        parameters = {"phases": list(TOLD), "receiver": clean(receiver), "limit": check_limit(limit)}
        # Most often there is none, and that is told soonest.
        if not self._rows(f"SELECT 1 FROM alert_transitions WHERE {lacking} LIMIT 1", parameters):  # noqa: S608
            return []
        return self._told(f"id IN ({these}) AND {lacking}", "at, id", parameters)

    def _told(self, where: str, order: str, parameters: Mapping[str, object]) -> list[Transition]:
        """Return transitions: first which, from narrow columns, and then those few whole. None changes in between."""
        chosen = f"FROM alert_transitions FINAL WHERE {where} ORDER BY {order} LIMIT {{limit:UInt64}}"
        sql = f"SELECT transition FROM alert_transitions FINAL WHERE id IN (SELECT id {chosen}) ORDER BY {order}"  # noqa: S608
        return [from_json(text, Transition) for (text,) in self._rows(sql, parameters)]

    # Receivers.

    def record_receipts(self, receipts: Sequence[Receipt]) -> None:
        """Remember what became of messages; the first of a transition and receiver counts."""
        check_receipts(receipts)
        first = {(receipt.transition, receipt.receiver): receipt for receipt in reversed(receipts)}
        if first:
            self._insert("alert_receipts", alert_rows.receipt_table(list(first.values())))

    def receipts(self, transitions: Sequence[str]) -> Sequence[Receipt]:
        """Return the receipts of these transitions, by transition and receiver."""
        sql = (
            "SELECT transition, receiver, outcome, toUnixTimestamp64Micro(at), attempts, detail "
            "FROM alert_receipts FINAL WHERE transition"
        )
        found = [
            Receipt(transition=id, receiver=receiver, outcome=outcome, at=moment(at), attempts=attempts, detail=detail)
            for id, receiver, outcome, at, attempts, detail in self._by_ids(sql, transitions)
        ]
        return sorted(found, key=lambda receipt: (receipt.transition, receipt.receiver))

    def enrol(self, receivers: Sequence[str], now: datetime) -> Mapping[str, Enrolment]:
        """Say that these receivers are told from ``now`` on, and no others; return since when each of them is.

        Comings and goings are numbered: who is there has an odd number. Two who write the same number at once mean the
        same, and of these the earlier time counts.
        """
        now, names = check_time("now", now), {clean(name): name for name in receivers}
        held = self._enrolments()
        changed = {
            name: len(held.get(name, ())) + 1
            for name in sorted({*names, *held})
            if (name in names) != bool(len(held.get(name, ())) % 2)
        }
        if changed:
            self._insert("alert_enrolments", alert_rows.enrolment_table(changed, now))
            held = self._enrolments()
        # A replica may show late what was just written.
        times = {name: held.get(stored) or [now] for stored, name in names.items()}
        return {name: Enrolment(found[0], found[-1] if len(found) % 2 else now) for name, found in times.items()}

    def _enrolments(self) -> dict[str, list[datetime]]:
        """Return when each receiver came, went, came back, and so on."""
        sql = (
            "SELECT receiver, toUnixTimestamp64Micro(min(at)) FROM alert_enrolments "
            "GROUP BY receiver, number ORDER BY receiver, number"
        )
        found: dict[str, list[datetime]] = {}
        for receiver, at in self._rows(sql):
            found.setdefault(receiver, []).append(moment(at))
        return found

    # People.

    def record_silence(self, silence: Silence) -> None:
        """Remember a silence, or its new end."""
        check_silence(silence)
        self._insert("alert_silences", alert_rows.silence_table(silence))

    def silences(self, active_at: datetime | None = None) -> Sequence[Silence]:
        """Return silences, the last to end first, of one end by id."""
        at = None if active_at is None else utc(active_at)
        micros = ", ".join(f"toUnixTimestamp64Micro({name})" for name in ("starts_at", "ends_at", "recorded_at"))
        rows = self._rows(f"SELECT id, matchers, author, reason, {micros} FROM alert_silences FINAL ORDER BY id")  # noqa: S608
        found = [
            Silence(
                id=id,
                matchers=from_json(matchers, tuple[Matcher, ...]),
                author=author,
                reason=reason,
                starts_at=moment(starts_at),
                ends_at=moment(ends_at),
                recorded_at=moment(recorded_at),
            )
            for id, matchers, author, reason, starts_at, ends_at, recorded_at in rows
        ]
        return in_force(found, at)

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Remember who looks after an episode."""
        check_time("at", acknowledgement.at)
        check_time("episode", acknowledgement.episode)
        self._insert("alert_acknowledgements", alert_rows.acknowledgement_table(acknowledgement))

    def acknowledgements(self, fingerprints: Sequence[str]) -> Mapping[str, Acknowledgement]:
        """Return the last acknowledgement of each of these alerts that has any."""
        stored = {clean(name): name for name in fingerprints}
        columns = "fingerprint, toUnixTimestamp64Micro(episode), author, note, toUnixTimestamp64Micro(at), closes"
        rows = self._by_ids(
            f"SELECT {columns} FROM alert_acknowledgements FINAL WHERE fingerprint",  # noqa: S608
            list(stored),
            " ORDER BY fingerprint, at DESC, episode DESC LIMIT 1 BY fingerprint",
        )
        return {
            stored[name]: Acknowledgement(
                fingerprint=name, episode=moment(episode), author=author, note=note, at=moment(at), closes=bool(closes)
            )
            for name, episode, author, note, at, closes in rows
        }

    # Leases.

    def claim(self, name: str, holder: str, seconds: float) -> Lease:
        """Claim or renew a lease; return who has it. A fresh claim takes the settle time, a renewal does not."""
        return self._leases.claim(clean(name), clean(holder), seconds)

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; does nothing for one that is not held."""
        self._leases.release(clean(name), clean(holder))

    def _insert(self, table: str, rows: pa.Table) -> None:
        with self._pool.client() as client:
            client.insert_arrow(table, rows, settings=dict(SETTINGS))

    def _by_ids(self, sql: str, ids: Sequence[str], tail: str = "") -> list[Any]:
        """Return the rows of a statement that ends in a column, where that is one of ``ids``."""
        names = sorted(set(map(clean, ids)))
        found = (self._rows(f"{sql} IN {{ids:Array(String)}}{tail}", {"ids": some}) for some in portions(names))
        return list(chain.from_iterable(found))

    def _rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Any]:
        with self._pool.client() as client:
            return list(client.query(sql, parameters=dict(parameters or {}), settings=dict(READING)).result_rows)


def _moment(edge: datetime) -> str:
    """Return an edge of a time range in SQL, moved to where times can be at all."""
    return f"fromUnixTimestamp64Micro({microseconds(min(max(utc(edge), EARLIEST), LATEST))}, 'UTC')"

"""What is remembered of alerts: states, transitions, who was told, silences, acknowledgements, and who leads.

Written before anyone is told, and read by whoever goes on: another ruler, the command line, the page. Everything has an
identity of its own, so that written twice is written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from evalsvc.rules.machine import AlertState, Phase, Transition
from evalsvc.types import Window

Told = Literal["delivered", "refused", "silenced", "not_routed", "missed"]
TOLD: tuple[Phase, ...] = ("firing", "resolved")
"""The phases that somebody is told of."""
LAST_ERA = (1 << 11) - 1
"""The last era that a state can be of: so many fit into a rank beside microseconds up to the year 2100."""


class Look(NamedTuple):
    """What a look left: the alert's state, and the change of phase where there was one."""

    state: AlertState
    transition: Transition | None = None


class TransitionQuery(NamedTuple):
    """Which transitions: ``at`` in ``window``; into one of ``phases``, of one of ``fingerprints``, or (empty) any."""

    window: Window
    phases: tuple[Phase, ...] = ()
    fingerprints: tuple[str, ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of telling one receiver of one transition. ``refused`` is final: the receiver takes no such message.

    ``missed`` was over before the receiver was there to be told. ``attempts`` counts calls, and ``detail`` is the
    receiver's answer, for people.
    """

    transition: str
    receiver: str
    outcome: Told
    at: datetime
    attempts: int = 1
    detail: str = ""


class Enrolment(NamedTuple):
    """Since when a receiver is told: ``first`` of all, and ``since`` it last came back after it was left out."""

    first: datetime
    since: datetime


class Matcher(msgspec.Struct, frozen=True):
    """A label's name and value; where ``pattern`` is true the value is a regular expression for the whole of it."""

    label: str
    value: str
    pattern: bool = False


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts whose labels match all of ``matchers`` are told to nobody in ``[starts_at, ends_at)``.

    ``id`` names it: the same id recorded again (to end it early) replaces it. The later ``recorded_at`` counts, and of
    two of one time the last recorded. One that ends when it starts is in force never.
    """

    id: str
    matchers: tuple[Matcher, ...]
    author: str
    reason: str
    starts_at: datetime
    ends_at: datetime
    recorded_at: datetime


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody looks after an episode of an alert. The last ``at`` counts, and of two of one time the last recorded.

    Who ``closes`` it says that it is over, and in ``note`` why: the ruler ends it at its next look.
    """

    fingerprint: str
    episode: datetime
    author: str
    note: str
    at: datetime
    closes: bool = False


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads in ``[since, until)``, by the store's clock. ``held`` says whether it is the one who asked.

    Who was paused after it asked may learn too late that ``until`` has passed: what a leader writes has to do no harm
    when another writes it, too.
    """

    holder: str
    since: datetime
    until: datetime
    held: bool


@runtime_checkable
class AlertLog(Protocol):
    """Where alerts are remembered. Safe to call from several threads.

    Every method may raise StoreUnavailable: trying again may then help, and does no harm. What is handed in wrongly (a
    time without a zone, before 1970-01-02 or from 2100 on, a negative ``limit``) raises InputError, and nothing is
    written. Times come back in any zone, to the microsecond; floats bit by bit, infinite ones too; texts as UTF-8 can
    hold them, a lone surrogate maybe as ``?``.
    """

    def record_looks(self, looks: Sequence[Look]) -> None:
        """Make looks durable before returning.

        A transition and the state after it appear together or not at all, and no later than the states that have none.
        Of two states of an alert the one of the later ``era`` counts, of one era that with the later ``evaluated_at``
        (``None`` is before all), of two of one time that with a transition, and of two alike the last recorded. A
        transition that was recorded before (the same ``id``) stays as it was. An alert has one rule for ever; its
        labels name it.

        Raises:
            InputError: a transition is of another alert than the state beside it, or an era is not in [0, LAST_ERA].
        """
        ...

    def alert_states(self, rules: Sequence[str] = (), phases: Sequence[Phase] = ()) -> Sequence[AlertState]:
        """Return the last state of every alert, by fingerprint: of those of some rules, of those in some phases."""
        ...

    def transitions(self, query: TransitionQuery, limit: int) -> Sequence[Transition]:
        """Return at most ``limit`` transitions, each once, the newest first; of one time by id."""
        ...

    def untold(self, receiver: str, since: datetime, limit: int) -> Sequence[Transition]:
        """Return at most ``limit`` transitions to firing or resolved, ``at`` since then, without its receipt.

        The oldest first; of one time by id.
        """
        ...

    def record_receipts(self, receipts: Sequence[Receipt]) -> None:
        """Remember what became of messages. One transition and receiver has one receipt: the first recorded counts."""
        ...

    def receipts(self, transitions: Sequence[str]) -> Sequence[Receipt]:
        """Return the receipts of these transitions, by transition and receiver."""
        ...

    def enrol(self, receivers: Sequence[str], now: datetime) -> Mapping[str, Enrolment]:
        """Say that these receivers are told from ``now`` on, and no others; return since when each of them is.

        Who is there already keeps its times, however long ago that was last said; who was left out by a call since
        comes back ``now``. Of those who say the same at once each may get its own ``now``; later answers are all the
        earliest of these.
        """
        ...

    def record_silence(self, silence: Silence) -> None:
        """Remember a silence, or its new end."""
        ...

    def silences(self, active_at: datetime | None = None) -> Sequence[Silence]:
        """Return silences, the last to end first, of one end by id: those in force at a time, or all remembered."""
        ...

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Remember who looks after an episode."""
        ...

    def acknowledgements(self, fingerprints: Sequence[str]) -> Mapping[str, Acknowledgement]:
        """Return the last acknowledgement of each of these alerts that has any, whichever episode it is of."""
        ...

    def claim(self, name: str, holder: str, seconds: float) -> Lease:
        """Claim or renew the lease ``name`` for so long; return who has it.

        At most one holder has it at a time, by the store's clock. A claim is renewed without a gap by claiming again
        before ``until``, which keeps ``since``; when its time is over, the next to claim gets it. May take a second
        where nobody has it.

        Raises:
            InputError: ``seconds`` is not positive, above a day, or too short for the store to tell who was first.
        """
        ...

    def release(self, name: str, holder: str) -> None:
        """Give the lease back, so that the next need not wait for its end. Does nothing for one that is not held."""
        ...

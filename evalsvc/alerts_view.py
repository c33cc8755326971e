"""What people see of alerts, read from an alert log: which fire, their history, who was told, silences that cover them.

The command line and the page both show these values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.notify.message import one_line
from evalsvc.notify.routing import matches, pattern_problem
from evalsvc.rules.history import Acknowledgement, AlertLog, Matcher, Receipt, Silence, TransitionQuery
from evalsvc.rules.machine import AlertState, Observation, Phase, Transition
from evalsvc.rules.templates import interval, number
from evalsvc.rules.values import Rule, RuleGroup, limit_of
from evalsvc.rules.wording import moment
from evalsvc.types import Estimate, Window

PHASES: tuple[Phase, ...] = ("firing", "pending", "resolved", "inactive")
"""As they are listed."""
OPEN: tuple[Phase, ...] = ("firing", "pending")
SEVERITIES = ("page", "ticket", "info")
RECENT = timedelta(days=7)
"""How long a resolved alert is listed on the page."""
LATE = timedelta(minutes=15)
"""A last look longer ago is pointed to, unless the project's rules are looked at less often: the ruler may be down."""
LEAST_DIGITS = 4
MOST_HISTORY = 200
MOST_NAMED = 5
_PRINT = re.compile(r"[0-9a-f]{1,16}")
_MATCHER = re.compile(r"(\w+)=(~?)(.*)", re.ASCII | re.DOTALL)
_EPOCH = datetime(1970, 1, 2, tzinfo=UTC)


class UnknownAlert(InputError):
    """No alert has this fingerprint."""


class AlertRow(NamedTuple):
    """An alert now. ``acknowledged`` is of the present episode; ``silences`` cover it now, the last to end first.

    ``rule`` is the one that watches it, where it is known here.
    """

    state: AlertState
    acknowledged: Acknowledgement | None = None
    silences: tuple[Silence, ...] = ()
    rule: Rule | None = None

    @property
    def name(self) -> str:
        """The rule's ``alert``."""
        return self.state.labels.get("alertname", "") or self.state.rule

    @property
    def severity(self) -> str:
        """``page``, ``ticket`` or ``info``."""
        return self.state.labels.get("severity", "page")

    @property
    def seen(self) -> Observation | None:
        """The last look with data."""
        return self.state.evidence

    @property
    def measured(self) -> Estimate | None:
        """The last look's estimate that had data; ``None`` where nothing was measured, as when an absence fires."""
        estimate = self.seen.estimate if self.seen is not None else None
        return estimate if estimate is not None and estimate.n else None

    @property
    def interval(self) -> str:
        """The interval of what was measured, in words where it is a count, which has none; empty where unknown."""
        estimate = self.measured
        if estimate is None or (estimate.low is None and estimate.high is None):
            return ""
        return "counted" if estimate.method == "counted" else interval(estimate)

    @property
    def lacking(self) -> str:
        """Since when an alert goes on without data, where its last look had none; empty where it had some."""
        if not self.state.trouble:
            return ""
        since = f"no data since {moment(self.seen.window.end)}" if self.seen is not None else "no data yet"
        return f"still {self.state.phase}, {since}" if self.state.phase in OPEN else since

    @property
    def limit(self) -> float | None:
        """The number that the rule holds its estimates against; ``None`` where that is another estimate, or unknown."""
        return limit_of(self.rule.condition) if self.rule is not None else None

    @property
    def against(self) -> str:
        """What the last look was held against: an estimate with its interval, or the limit; empty where unknown."""
        if self.seen is not None and self.seen.baseline is not None:
            return f"{number(self.seen.baseline.value)} ({interval(self.seen.baseline)})"
        return "" if self.limit is None else number(self.limit)

    @property
    def silenced_until(self) -> datetime | None:
        """When the last of its silences ends; ``None`` where none covers it."""
        return self.silences[0].ends_at if self.silences else None


class Told(NamedTuple):
    """A change of phase, and what became of telling each receiver of it."""

    transition: Transition
    receipts: tuple[Receipt, ...]


class Board(NamedTuple):
    """All alerts of a log as they are now, in the order in which people look at them, and the silences in force.

    ``last_look`` is when any rule was last looked at, ``None`` before the first look; one longer than ``patience`` ago
    is late.
    """

    rows: Sequence[AlertRow]
    silences: Sequence[Silence]
    last_look: datetime | None
    now: datetime
    patience: timedelta = LATE

    def of(self, *phases: Phase) -> list[AlertRow]:
        """Return those in these phases."""
        return [row for row in self.rows if row.state.phase in phases]

    @property
    def resolved(self) -> list[AlertRow]:
        """Return those that were resolved lately, within :data:`RECENT`."""
        return [row for row in self.of("resolved") if row.state.since and self.now - row.state.since <= RECENT]

    @property
    def late(self) -> bool:
        """Whether the last look is so long ago that the ruler may be down."""
        return self.last_look is None or self.now - self.last_look > self.patience


def board(log: AlertLog, now: datetime, rules: Sequence[RuleGroup] = ()) -> Board:
    """Return all alerts: firing, pending, resolved and inactive ones; in each the most severe and newest first.

    ``rules`` are the project's, for the limits that they hold estimates against, and how often they are looked at.

    Raises:
        StoreUnavailable: the log does not answer.
    """
    states = log.alert_states()
    silences = log.silences(active_at=now)
    under_way = [state.fingerprint for state in states if state.phase in OPEN]
    known = log.acknowledgements(under_way) if under_way else {}
    by_name = {rule.alert: rule for group in rules for rule in group.rules}
    rows = [_row(state, known.get(state.fingerprint), silences, by_name.get(state.rule)) for state in states]
    looks = [state.evaluated_at for state in states if state.evaluated_at is not None]
    pace = timedelta(seconds=min((group.interval_seconds for group in rules), default=0.0))
    return Board(sorted(rows, key=_place), silences, max(looks, default=None), now, max(LATE, 2 * pace))


def find(found: Board, given: str) -> AlertRow:
    """Return the alert of a fingerprint, or of its first digits where no other begins so.

    Raises:
        UnknownAlert: there is none.
        InputError: too few digits, or several alerts begin with them.
    """
    exact = [row for row in found.rows if row.state.fingerprint == given]
    if exact:
        return exact[0]
    if not _PRINT.fullmatch(given) or len(given) < LEAST_DIGITS:
        raise InputError(
            f"Expected a fingerprint of 16 digits 0-9 and a-f, or its first {LEAST_DIGITS} or more, but got {given!r}; "
            "`evalsvc alerts --all` lists them"
        )
    begun = [row for row in found.rows if row.state.fingerprint.startswith(given)]
    if not begun:
        whole = "is" if len(given) == 16 else "begins with"
        raise UnknownAlert(
            f"No alert's fingerprint {whole} {given}: it may be of a trial, of another store, or of labels that were "
            "changed since; `evalsvc alerts --all` lists those that there are"
        )
    if len(begun) > 1:
        names = ", ".join(f"{row.state.fingerprint} ({one_line(row.name)})" for row in begun[:MOST_NAMED])
        more = f" and {len(begun) - MOST_NAMED} more" if len(begun) > MOST_NAMED else ""
        raise InputError(
            f"Expected the digits of one alert, but {len(begun)} begin with {given}: {names}{more}; give more digits"
        )
    return begun[0]


def history(log: AlertLog, window: Window, fingerprints: Sequence[str] = (), limit: int = MOST_HISTORY) -> list[Told]:
    """Return the last ``limit`` changes of phase in a window with their receipts, the newest first."""
    moves = log.transitions(TransitionQuery(window, (), tuple(fingerprints)), limit)
    receipts: dict[str, list[Receipt]] = {}
    for receipt in log.receipts([move.id for move in moves]) if moves else ():
        receipts.setdefault(receipt.transition, []).append(receipt)
    return [Told(move, tuple(receipts.get(move.id, ()))) for move in moves]


def history_of(log: AlertLog, row: AlertRow, now: datetime) -> list[Told]:
    """Return the last changes of an alert's phase, however long ago."""
    return history(log, Window(_EPOCH, now + timedelta(days=1)), (row.state.fingerprint,))


def last_told(moves: Sequence[Told]) -> Transition | None:
    """Return the last transition that says in sentences what moved, else the last one."""
    described = (told.transition for told in moves if told.transition.description)
    return next(described, moves[0].transition if moves else None)


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago a time is, in one unit.

    >>> ago(datetime(2026, 3, 1, 12), datetime(2026, 3, 1, 13, 59))
    '119m ago'
    """
    seconds = max(0, int((now - moment).total_seconds()))
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{name} ago"
    return f"{seconds}s ago"


# Silences.


def parse_matcher(text: str) -> Matcher:
    r"""Return what ``LABEL=VALUE`` or ``LABEL=~REGEX`` says; a value in double quotes is read as JSON reads it.

    An empty value stands for alerts without the label.

    >>> parse_matcher("language=~de|fr"), parse_matcher('name="~x"')
    (Matcher(label='language', value='de|fr', pattern=True), Matcher(label='name', value='~x', pattern=False))

    Raises:
        InputError: it is written otherwise, or the regular expression is none.
    """
    read = _MATCHER.fullmatch(text)
    if read is None:
        raise InputError(f"Expected LABEL=VALUE or LABEL=~REGEX, as in language=de, but got {text!r}")
    label, value = read[1], read[3]
    if value.startswith('"'):
        try:
            value = json.loads(value)
        except ValueError:
            raise InputError(
                f'Expected a value in double quotes to end in one, as in a="~b", but got {text!r}'
            ) from None
    if read[2] and (problem := pattern_problem(value)):
        raise InputError(f"Expected a regular expression after {label}=~, but got {value!r}: {problem}")
    return Matcher(label, value, bool(read[2]))


def matcher_text(matcher: Matcher) -> str:
    """Return a matcher as :func:`parse_matcher` reads it; a value that would be misread stands in double quotes.

    >>> print(matcher_text(Matcher("name", "~x")), matcher_text(Matcher("language", "de|fr", True)))
    name="~x" language=~de|fr
    """
    plain = matcher.value.isprintable() and not matcher.value.startswith(("~", '"'))
    return f"{matcher.label}={'~' if matcher.pattern else ''}{matcher.value if plain else json.dumps(matcher.value)}"


def silence_text(silence: Silence) -> str:
    """Return which alerts a silence covers."""
    return " ".join(map(matcher_text, silence.matchers))


def covers(rows: Iterable[AlertRow], matchers: Sequence[Matcher]) -> list[AlertRow]:
    """Return the alerts that a silence with these matchers covers."""
    return [row for row in rows if matches(row.state.labels, matchers)]


def covers_all(rows: Sequence[AlertRow], matchers: Sequence[Matcher]) -> bool:
    """Whether a silence covers every alert that there is, and they are several or it would cover any at all."""
    return len(covers(rows, matchers)) == len(rows) and (len(rows) > 1 or matches({}, matchers))


# As values for programs.


def to_json(row: AlertRow) -> dict[str, Any]:
    """Return an alert as JSON-able values; times in RFC 3339, what is not known is ``None``."""
    state, seen = row.state, row.seen
    return {
        "fingerprint": state.fingerprint,
        "alert": row.name,
        "phase": state.phase,
        "since": state.since,
        "severity": row.severity,
        "labels": dict(state.labels),
        "consumer": state.consumer,
        "pending_at": state.pending_at,
        "evaluated_at": state.evaluated_at,
        "verdict": seen.verdict if seen else None,
        "estimate": msgspec.to_builtins(seen.estimate) if seen and seen.estimate else None,
        "baseline": msgspec.to_builtins(seen.baseline) if seen and seen.baseline else None,
        "limit": row.limit,
        "reason": seen.reason if seen else "",
        "trouble": state.trouble,
        "acknowledged": msgspec.to_builtins(row.acknowledged) if row.acknowledged else None,
        "silenced_until": row.silenced_until,
        "silences": [silence.id for silence in row.silences],
    }


def told_json(told: Told) -> dict[str, Any]:
    """Return a change of phase with its receipts as JSON-able values."""
    move: dict[str, Any] = msgspec.to_builtins(told.transition)
    return {**move, "receipts": [msgspec.to_builtins(receipt) for receipt in told.receipts]}


def silence_json(silence: Silence) -> dict[str, Any]:
    """Return a silence as JSON-able values, its matchers as they are written on the command line."""
    fields: dict[str, Any] = msgspec.to_builtins(silence)
    return {**fields, "matchers": [matcher_text(matcher) for matcher in silence.matchers]}


def labels_text(labels: Mapping[str, str]) -> str:
    """Return all labels, by name."""
    return ", ".join(f"{name}={labels[name]}" for name in sorted(labels))


def _row(state: AlertState, known: Acknowledgement | None, silences: Sequence[Silence], rule: Rule | None) -> AlertRow:
    mine = known is not None and known.episode == state.pending_at
    covering = tuple(silence for silence in silences if matches(state.labels, silence.matchers))
    return AlertRow(state, known if mine else None, covering, rule)


def _place(row: AlertRow) -> tuple[int, int, float, str]:
    severity = SEVERITIES.index(row.severity) if row.severity in SEVERITIES else len(SEVERITIES)
    since = -row.state.since.timestamp() if row.state.since else 0.0
    return PHASES.index(row.state.phase), severity, since, row.state.fingerprint

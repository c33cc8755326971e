"""The values that flow through evalsvc: frozen, small, without behaviour beyond their own validity.

``Event → Sample → Score → Estimate``; all of them are here, whence the length. Times are timezone-aware UTC
datetimes; windows are half-open in event time; π (``pi``) is the probability with which the design selected the unit,
and every aggregate weights by 1/π.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from evalsvc.errors import InputError

Kind = Literal["interaction", "feedback", "outcome", "review"]
KINDS: tuple[Kind, ...] = ("interaction", "feedback", "outcome", "review")

# Sums of 1/π stay numbers; a draw of 64 bits cannot be below 1e-19.
SMALLEST_PI = 1e-300

Status = Literal["ok", "abstained", "failed"]
Better = Literal["higher", "lower", "neither"]
Corpus = Literal["", "bleu", "chrf", "ratio"]
Features = Literal["", "categories", "counts", "fourier"]
Need = Literal[
    "response",
    "prompt",
    "contexts",
    "reference",
    "expected_tools",
    "latency_ms",
    "time_to_first_token_ms",
    "input_tokens",
    "output_tokens",
    "cost_usd",
]


class Message(msgspec.Struct, frozen=True):
    """One turn of a chat prompt."""

    role: str
    content: str


class Finding(msgspec.Struct, frozen=True):
    """One piece of personal data or one secret, found by masking; it never holds the value itself.

    ``start`` and ``end`` are positions in the *masked* text of ``field``. ``digest`` is a keyed hash of the
    normalised value, so that the same value in prompt and response can be told without keeping it.
    """

    field: str
    entity_type: str
    start: int
    end: int
    digest: str
    action: str


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One interaction with a model (or feedback, an outcome, a review about one), as production saw it.

    Field names are the names in the JSON format (``docs/reference/events.md``).
    """

    event_id: str
    occurred_at: datetime
    application: str
    kind: Kind = "interaction"
    model: str = ""
    model_version: str = ""
    prompt: str | tuple[Message, ...] = ""
    response: str = ""
    contexts: tuple[str, ...] = ()
    reference: str | None = None
    segments: Mapping[str, str] = {}
    session_id: str | None = None
    turn: int | None = None
    user_id: str | None = None
    latency_ms: float | None = None
    time_to_first_token_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None
    trace_id: str | None = None
    subject_id: str | None = None
    data: Mapping[str, Any] = {}
    attributes: Mapping[str, str | int | float | bool | None] = {}
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        """Name the event without its texts, which may be personal data."""
        return f"Event({self.event_id!r}, {self.application!r}, {self.occurred_at.isoformat()})"

    @property
    def unit_id(self) -> str:
        """The session, or the event itself where it belongs to none: what a session design samples."""
        return self.session_id or self.event_id

    @property
    def prompt_text(self) -> str:
        """The prompt as one text: messages joined by newlines, in their order."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n".join(message.content for message in self.prompt)

    @property
    def last_user_text(self) -> str:
        """What the user asked last: the prompt itself, or the last message with role ``user``; empty without one."""
        if isinstance(self.prompt, str):
            return self.prompt
        users = [message.content for message in self.prompt if message.role == "user"]
        return users[-1] if users else ""


class Sample(msgspec.Struct, frozen=True):
    """A selected event, with the probability and the stratum with which its design selected it.

    ``draw`` is the unit's hash in [0, 2^64): a scorer with a nested rate r scores it when
    ``draw < pi·r·2^64``, so that the nested sample is a subset.
    """

    event: Event
    consumer: str
    design_version: int
    stratum: str
    pi: float
    draw: int = 0
    partition: str = ""
    offset: int = -1


class Scale(msgspec.Struct, frozen=True):
    """What values a metric can take and which direction is better. ``None`` is an open end."""

    low: float | None
    high: float | None
    better: Better
    unit: str = ""
    binary: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty range and a binary scale that is not [0, 1]."""
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise InputError(f"Expected `low` < `high`, but got low={self.low}, high={self.high}")
        if self.binary and (self.low, self.high) != (0.0, 1.0):
            raise InputError(f"Expected a binary scale to be [0, 1], but got [{self.low}, {self.high}]")

    @property
    def bounded(self) -> bool:
        """Whether both ends are known."""
        return self.low is not None and self.high is not None


class ScorerSpec(msgspec.Struct, frozen=True):
    """What a scorer measures and what makes two of its numbers comparable.

    ``signature`` names everything that changes a stored digit (options, tokeniser, model revision, dtype), in
    sacrebleu's ``key:value|key:value`` style. A change of meaning is a new ``version``; numbers of two versions or
    signatures are never pooled. ``corpus`` names the score of a whole corpus that the scores' ``statistics`` add up to
    (:mod:`evalsvc.stats.corpus`), where that is not their mean.

    ``features`` says that the ``statistics`` describe the text rather than the score, and what they are: the one of
    some ``categories`` that it is of (one-hot), ``counts`` of its words by hashed bucket, or random ``fourier``
    features of its embedding. ``labels`` names the categories. Drift compares their means.
    """

    metric: str
    version: int
    scale: Scale
    needs: tuple[Need, ...] = ("response",)
    signature: str = ""
    description: str = ""
    corpus: Corpus = ""
    features: Features = ""
    labels: tuple[str, ...] = ()


class Abstained(msgspec.Struct, frozen=True):
    """The scorer looked and cannot say; ``reason`` says why. It is counted, never averaged."""

    reason: str


class Failed(msgspec.Struct, frozen=True):
    """The scorer broke on this item; ``reason`` says how. It is counted, never averaged.

    Reasons are counted, so they should be few: numbers that differ from event to event belong in ``detail``, which is
    as :class:`Scored` has it.
    """

    reason: str
    detail: Mapping[str, Any] = {}


class Scored(msgspec.Struct, frozen=True):
    """A value with its evidence. ``detail`` is JSON-able and holds positions and numbers, never text.

    ``statistics`` are the sufficient statistics of the spec's ``corpus`` score, or its ``features``: they add up over
    events, and are as many for each.
    """

    value: float
    detail: Mapping[str, Any] = {}
    statistics: tuple[float, ...] = ()


Outcome = float | Scored | Abstained | Failed


class Subject(msgspec.Struct, frozen=True):
    """The facts of the event that every one of its scores carries; made once an event and shared."""

    event_id: str
    occurred_at: datetime
    consumer: str
    application: str
    model: str
    model_version: str
    segments: Mapping[str, str]
    session_id: str
    stratum: str
    design_version: int


class Score(msgspec.Struct, frozen=True):
    """One metric's result on one event. Written twice, it is the same score.

    Raises:
        InputError: on ``ok`` without a finite value, on a value without ``ok``, on a missing reason, and on π
            outside (0, 1] or below :data:`SMALLEST_PI`.
    """

    subject: Subject
    metric: str
    scorer_version: int
    signature: str
    pi: float
    status: Status
    value: float | None
    reason: str = ""
    detail: str = ""
    statistics: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would move an aggregate wrongly: (ok, NaN), (failed, 0.0), a silent gap, an impossible π."""
        if self.status == "ok":
            if self.value is None or not math.isfinite(self.value):
                raise InputError(f"Expected a finite `value` for an ok {self.metric!r} score, but got {self.value!r}")
        elif self.value is not None or not self.reason:
            raise InputError(
                f"Expected no `value` and a `reason` for a score that is {self.status}, "
                f"but got value={self.value!r}, reason={self.reason!r}"
            )
        if not SMALLEST_PI <= self.pi <= 1.0:
            raise InputError(f"Expected `pi` in (0, 1] and not below {SMALLEST_PI:g}, but got {self.pi!r}")

    @property
    def identity(self) -> tuple[str, str, str, int, str]:
        """What makes it the same score when it is written again."""
        return (self.subject.consumer, self.subject.event_id, self.metric, self.scorer_version, self.signature)


class Window(msgspec.Struct, frozen=True, order=True, gc=False):
    """A half-open interval of event time, ``start <= t < end``, in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Refuse naive times and an empty or reversed interval."""
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise InputError("Expected `start` and `end` with a time zone, but got a naive datetime")
        if not self.start < self.end:
            raise InputError(f"Expected `start` < `end`, but got {self.start.isoformat()} and {self.end.isoformat()}")

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return (self.end - self.start).total_seconds()

    def __contains__(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return self.start <= moment < self.end


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """A number about all traffic of a window, with what is needed to judge it. A bare float never leaves ``stats``.

    ``value``, ``low`` and ``high`` are ``None`` where undefined, and ``reason`` then says why. ``n`` counts scored
    events, ``n_effective`` is Kish's (Σw)²/Σw², ``n_missing`` counts sampled ones without a value, and
    ``missing_share`` is their weighted share of the sampled events. ``offered`` is how many events the design was
    offered in this window and domain, exact where the domain is a union of strata and ``None`` where it cuts
    across them.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_effective: float
    n_missing: int
    missing_share: float
    window: Window
    statistic: str = "mean"
    confidence: float = 0.95
    method: str = ""
    offered: int | None = None
    reason: str = ""


class Position(msgspec.Struct, frozen=True):
    """Where the next unread record of a partition is; ``offset`` counts records, as Kafka's committed offsets do."""

    partition: str
    offset: int


LedgerOutcome = Literal["skipped", "sampled", "duplicate", "filtered", "dead", "kept"]


class LedgerCount(NamedTuple):
    """How many records had one outcome; ``minute`` is the event's, in minutes since the epoch."""

    minute: int
    stratum: str
    design_version: int
    outcome: LedgerOutcome
    records: int


class LedgerEntry(msgspec.Struct, frozen=True):
    """What became of every record of a chunk's prefix ``[start, upto)``, whole.

    Of two entries of a chunk the one with the greater ``upto`` replaces the other, so that each record is counted once
    whoever wrote last (``docs/decisions/002``). ``counts`` are ordered, without zeros.
    """

    consumer: str
    partition: str
    start: int
    upto: int
    counts: tuple[LedgerCount, ...]


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that is not an event, by its place and digest; the text stays in the source, where it already was.

    ``at`` is the place as a person finds it where partition and offset do not say so: a file and its line.
    """

    consumer: str
    partition: str
    offset: int
    received_at: datetime
    reason: str
    message: str
    size: int
    digest: str
    at: str = ""

    @property
    def place(self) -> str:
        """Where it lies, for a person: ``at``, or partition and offset."""
        return self.at or f"{self.partition}:{self.offset}"


class KeptEvent(msgspec.Struct, frozen=True):
    """A masked event as it is stored: its place, the digest of its raw bytes and the design that took it."""

    sample: Sample
    digest: str


class WriteBatch(msgspec.Struct, frozen=True):
    """What one step of the worker writes; ``ledger`` is written last, since it says that the rest is there."""

    events: tuple[KeptEvent, ...] = ()
    scores: tuple[Score, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()


class DeadReason(msgspec.Struct, frozen=True):
    """How many records were dead letters for one reason, and where the first of them lies."""

    reason: str
    records: int
    partition: str
    offset: int
    message: str
    at: str = ""

    @property
    def place(self) -> str:
        """Where the first of them lies, for a person."""
        return self.at or f"{self.partition}:{self.offset}"


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker has done since it started, and whether it can go on. Counts are of written records."""

    read: int = 0
    skipped: int = 0
    sampled: int = 0
    duplicate: int = 0
    filtered: int = 0
    dead: int = 0
    kept: int = 0
    scores: int = 0
    lag: int = 0
    ready: bool = False
    alive: bool = False
    finished: bool = False
    waiting_for: str = ""
    failed: str = ""
    dead_reasons: tuple[DeadReason, ...] = ()


class WorkerProgress(msgspec.Struct, frozen=True):
    """What a worker is at: records read, whether or not they are written yet, and where its time goes.

    ``doing`` is what goes on now, such as ``rouge_l`` or ``loading perplexity``, since ``doing_seconds``; empty while
    it waits for events. ``scorer_seconds`` is the time spent in each scorer so far, the running call included.
    """

    read: int
    scores: int
    doing: str
    doing_seconds: float
    scorer_seconds: Mapping[str, float]


class KnownEvent(msgspec.Struct, frozen=True):
    """What the store already holds under an event id."""

    digest: str
    partition: str
    offset: int


class Cell(msgspec.Struct, frozen=True, gc=False):
    """Sufficient statistics of the scores of one group in one stratum: all that an estimate needs of raw rows.

    π is constant in a cell. ``total`` and ``squares`` are Σy and Σy² over ok scores; the cluster moments are sums over
    clusters of n_c², n_c·Σ_c y and (Σ_c y)², equal to n, Σy and Σy² where no event shares its cluster.
    """

    stratum: str
    design_version: int
    pi: float
    n: int
    n_abstained: int
    n_failed: int
    total: float
    squares: float
    minimum: float | None = None
    maximum: float | None = None
    clusters: int = 0
    cluster_n2: float = 0.0
    cluster_ny: float = 0.0
    cluster_y2: float = 0.0


def utc(moment: datetime) -> datetime:
    """Return the moment in UTC; refuse a naive one, whose meaning depends on the machine."""
    if moment.tzinfo is None:
        raise InputError("Expected a datetime with a time zone, but got a naive one")
    return moment.astimezone(UTC)

"""Sampling designs: a unit is selected with a known probability, as a pure function of the design and its id.

The selection is frozen (``docs/reference/sampling.md`` has test vectors that another language can reproduce)::

    draw  = the first 8 bytes, big-endian, of SHA-256("evalsvc/1" 0x00 salt 0x00 unit id), all UTF-8
    taken = draw < floor(rate · 2^64)

so that a redelivered event is selected again, two replicas agree, and a lower rate selects a subset of a higher
one (Särndal, Swensson & Wretman 1992, section 3.2: Bernoulli sampling; here with a permanent random number,
Ohlsson 1995). A scorer with a nested rate r takes the draws below floor(rate · r · 2^64).

Longer than other files, since the frozen selection and all that feeds it should be read, and ported, from one place.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from evalsvc.errors import InputError

SPAN = 1 << 64
MAX_STRATA = 1000
MAX_VERSION = 400
OTHER = "(other)"
_HOURLY = 10**7

TEXT_FIELDS = frozenset({"application", "model", "model_version", "kind", "finish_reason", "session_id", "user_id"})
NUMBER_FIELDS = frozenset({"latency_ms", "time_to_first_token_ms", "input_tokens", "output_tokens", "cost_usd"})
STRATUM_FIELDS = frozenset({"application", "model", "model_version"})

Operator = Literal["in", "not_in", "gte", "gt", "lte", "lt"]


class Facts(Protocol):
    """What a design may look at: the head of an event, without its texts. ``Event`` has it too."""

    @property
    def event_id(self) -> str: ...  # noqa: D102
    @property
    def occurred_at(self) -> datetime: ...  # noqa: D102
    @property
    def application(self) -> str: ...  # noqa: D102
    @property
    def session_id(self) -> str | None: ...  # noqa: D102
    @property
    def segments(self) -> Mapping[str, str]: ...  # noqa: D102


class Condition(msgspec.Struct, frozen=True):
    """One comparison of a field: text with ``in``/``not_in`` a set, numbers with ``gte gt lte lt``.

    A field that the event does not have meets ``not_in`` and nothing else.
    """

    field: str
    operator: Operator
    values: tuple[str, ...] = ()
    number: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a field that does not exist and an operator that does not fit it."""
        if not is_field(self.field):
            raise InputError(
                f"Expected a field of {sorted(TEXT_FIELDS | NUMBER_FIELDS)} or segments.NAME, got {self.field!r}"
            )
        if (self.operator in ("in", "not_in")) == (self.field in NUMBER_FIELDS):
            raise InputError(
                f"Expected numbers to be compared with gte, gt, lte or lt and texts with in or not_in: {self.field!r}"
            )


class Rule(msgspec.Struct, frozen=True):
    """A named conjunction: an event meets it when it meets all of its conditions."""

    name: str
    conditions: tuple[Condition, ...]


class StratumRate(msgspec.Struct, frozen=True):
    """The rate of the strata whose fields have these values; the first that fits counts."""

    match: Mapping[str, str]
    rate: float


class Design(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a consumer samples: what is filtered, which unit is drawn, in which strata, with which rates.

    Args:
        consumer: whose design it is; also the salt of the draw, unless one is given.
        version: raised by the operator with every change, so that a stored π can be traced to its design.
        rate: the rate of every stratum that no entry of ``rates`` matches, in (0, 1].
        rates: rates by stratum.
        strata: the fields whose values make a stratum, besides the always-rules.
        unit: ``event``, or ``session`` (all events of a session are taken or none).
        keep: events must meet one of these to be offered at all; empty keeps every one.
        always: events that meet one are taken with π = 1, as strata of their own.
        scorer_rates: nested rates of expensive scorers, relative to the design's.
        target_per_hour: wished sampled units an hour; the rate of the next hour is chosen to meet it.
        salt: what makes this draw independent of other designs'.
    """

    consumer: str
    version: int = 1
    rate: float = 1.0
    rates: tuple[StratumRate, ...] = ()
    strata: tuple[str, ...] = ("application", "model_version")
    unit: Literal["event", "session"] = "event"
    keep: tuple[Rule, ...] = ()
    always: tuple[Rule, ...] = ()
    scorer_rates: Mapping[str, float] = {}
    target_per_hour: int | None = None
    salt: str = ""

    def __post_init__(self) -> None:
        """Refuse rates outside (0, 1], strata that are no fields, and numbers that cannot be."""
        named = [("rate", self.rate), *((f"rates[{i}].rate", r.rate) for i, r in enumerate(self.rates))]
        for name, rate in [*named, *((f"scorer_rates.{k}", v) for k, v in self.scorer_rates.items())]:
            if not 0.0 < rate <= 1.0:
                raise InputError(f"Expected `{name}` in (0, 1], but got {rate!r}; to take nothing, use `keep`")
        for field in self.strata:
            if field not in STRATUM_FIELDS and not is_segment(field):
                raise InputError(f"Expected a stratum of {sorted(STRATUM_FIELDS)} or segments.NAME, but got {field!r}")
        for entry in self.rates:
            if unknown := set(entry.match) - set(self.strata):
                raise InputError(f"Expected `rates` to match fields of `strata`, but got {sorted(unknown)}")
        if not (1 <= self.version <= MAX_VERSION or 10**7 < self.version < 2**32):
            raise InputError(f"Expected `version` from 1 to {MAX_VERSION}, but got {self.version}")
        if self.target_per_hour is not None and self.target_per_hour < 1:
            raise InputError(f"Expected `target_per_hour` of 1 or more, but got {self.target_per_hour}")

    @property
    def fields(self) -> frozenset[str]:
        """Every field that it looks at, so that a decoder reads no other."""
        rules = (*self.keep, *self.always)
        return frozenset({*self.strata, *(c.field for rule in rules for c in rule.conditions)})

    def to_json(self) -> str:
        """Return it as canonical JSON: equal designs give equal texts."""
        return msgspec.json.encode(self, order="deterministic").decode()


MaskValues = Callable[[Sequence[str], Sequence[str]], Sequence[str]]
"""Takes a stratum's fields and raw values, returns the values that may be stored."""


class Selection(NamedTuple):
    """What a design says about one event. ``pi`` is None where the event was not taken, and ``draw`` then is 0."""

    stratum: str
    version: int
    draw: int
    pi: float | None


def is_segment(field: str) -> bool:
    """Whether a field names a segment, as ``segments.plan`` does."""
    return field.startswith("segments.") and len(field) > len("segments.")


def is_field(field: str) -> bool:
    """Whether a rule may look at this field."""
    return field in TEXT_FIELDS or field in NUMBER_FIELDS or is_segment(field)


def draw(salt: str, unit_id: str) -> int:
    """Return the unit's permanent random number in [0, 2^64).

    >>> draw("support", "event-1") < SPAN
    True
    >>> hex(draw("support", "event-1"))
    '0x5da8793ab75e0ade'
    """
    return drawer(salt)(unit_id)


def drawer(salt: str) -> Callable[[str], int]:
    """Return :func:`draw` with its salt bound, for hot loops."""
    prefix = b"evalsvc/1\x00" + salt.encode() + b"\x00"
    sha256, from_bytes = hashlib.sha256, int.from_bytes

    def bound(unit_id: str) -> int:
        return from_bytes(sha256(prefix + unit_id.encode()).digest()[:8], "big")

    return bound


def threshold(rate: float) -> int:
    """Return floor(rate · 2^64): draws below it are taken. Exact, since scaling by a power of two is."""
    return int(rate * SPAN)


def stratum_label(fields: Sequence[str], values: Sequence[str], always: str = "") -> str:
    """Return a stratum's name: its fields in order, then the always-rule that took it; commas and such are escaped.

    >>> stratum_label(("application", "segments.plan"), ("support", "a,b"))
    'application=support,segments.plan=a%2Cb'
    """
    body = ",".join(f"{field}={_escape(value)}" for field, value in zip(fields, values, strict=True))
    return f"{body}|always={_escape(always)}" if always else body


def parse_stratum(label: str) -> dict[str, str]:
    """Return the fields of a stratum's name; an always-rule is under ``always``.

    >>> parse_stratum('application=support,segments.plan=a%2Cb|always=errors')
    {'application': 'support', 'segments.plan': 'a,b', 'always': 'errors'}
    """
    body, _, always = label.partition("|always=")
    fields = dict(part.split("=", 1) for part in body.split(",") if "=" in part)
    if always:
        fields["always"] = always
    return {field: _unescape(value) for field, value in fields.items()}


def _escape(value: str) -> str:
    for char, code in (("%", "%25"), (",", "%2C"), ("=", "%3D"), ("|", "%7C")):
        value = value.replace(char, code)
    return value


def _unescape(value: str) -> str:
    for char, code in (("|", "%7C"), ("=", "%3D"), (",", "%2C"), ("%", "%25")):
        value = value.replace(code, char)
    return value


def _getter(field: str) -> Callable[[Any], Any]:
    if is_segment(field):
        name = field[len("segments.") :]
        return lambda facts: facts.segments.get(name)
    return lambda facts: getattr(facts, field)


def _key_getter(fields: Sequence[str]) -> Callable[[Any], tuple[str, ...]]:
    """Return what reads a stratum's values from an event, without a Python call where no segment is asked for."""
    plain = tuple(field for field in fields if not is_segment(field))
    if not fields:
        return lambda facts: ()
    if len(plain) == len(fields) > 1:
        return attrgetter(*plain)
    getters = [_getter(field) for field in fields]
    return lambda facts: tuple([get(facts) or "" for get in getters])


def _compile(condition: Condition) -> Callable[[Any], bool]:
    get, number, values = _getter(condition.field), condition.number, frozenset(condition.values)
    tests: dict[str, Callable[[Any], bool]] = {
        "in": lambda facts: get(facts) in values,
        "not_in": lambda facts: get(facts) not in values,
        "gte": lambda facts: (value := get(facts)) is not None and value >= number,
        "gt": lambda facts: (value := get(facts)) is not None and value > number,
        "lte": lambda facts: (value := get(facts)) is not None and value <= number,
        "lt": lambda facts: (value := get(facts)) is not None and value < number,
    }
    return tests[condition.operator]


def _compile_rule(rule: Rule) -> Callable[[Any], bool]:
    tests = [_compile(condition) for condition in rule.conditions]
    return lambda facts: all(test(facts) for test in tests)


class Sampler:
    """A design made fast: one call an event, and nothing allocated for those that are not taken.

    Whether an event is taken, and with which π, depends on nothing else. A stratum's *name* is made of masked values,
    since it is stored for events that are not taken, too. A sampler names :data:`MAX_STRATA` strata; later ones are
    counted together as ``(other)``, each still at its own rate, and which those are depends on what came first.
    """

    def __init__(self, design: Design, mask: MaskValues | None = None) -> None:
        """Compile ``design``; ``mask`` turns the values of its strata into what may be stored."""
        self._mask = mask
        self.design = design
        self._draw = drawer(design.salt or design.consumer)
        self._keep = [_compile_rule(rule) for rule in design.keep]
        self._always = [(rule.name, _compile_rule(rule)) for rule in design.always]
        self._key = _key_getter(design.strata)
        self._by_session = design.unit == "session"
        self._known: dict[tuple[str, ...], tuple[Selection, int, float]] = {}
        self._always_known: dict[tuple[str, ...], str] = {}

    def select(self, facts: Facts) -> Selection | None:
        """Return what the design says of an event; ``None`` when ``keep`` filters it out."""
        if self._keep and not any(test(facts) for test in self._keep):
            return None
        key = self._key(facts)
        number = self._draw((facts.session_id or facts.event_id) if self._by_session else facts.event_id)
        if self._always:
            for name, test in self._always:
                if test(facts):
                    return Selection(self._always_label(key, name), self.design.version, number, 1.0)
        skipped, limit, rate = self._known.get(key) or self._learn(key)
        return skipped if number >= limit else Selection(skipped.stratum, skipped.version, number, rate)

    def _learn(self, key: tuple[str, ...]) -> tuple[Selection, int, float]:
        rate = self.rate_of(dict(zip(self.design.strata, key, strict=True)))
        full = len(self._known) >= MAX_STRATA
        label = OTHER if full else self._label(key)
        known = (Selection(label, self.design.version, 0, None), threshold(rate), rate)
        if not full:
            self._known[key] = known
        return known

    def _always_label(self, key: tuple[str, ...], name: str) -> str:
        known = self._always_known.get((*key, name))
        if known is None:
            known = OTHER if len(self._always_known) >= MAX_STRATA else self._label(key, name)
            if known is not OTHER:
                self._always_known[(*key, name)] = known
        return known

    def _label(self, key: tuple[str, ...], always: str = "") -> str:
        values = self._mask(self.design.strata, key) if self._mask else key
        return stratum_label(self.design.strata, values, always)

    def rate_of(self, values: Mapping[str, str]) -> float:
        """Return the rate of a stratum by its fields' values."""
        for entry in self.design.rates:
            if all(values.get(field) == value for field, value in entry.match.items()):
                return entry.rate
        return self.design.rate


def scorer_pi(pi: float, number: int, rate: float) -> float | None:
    """Return the π with which a scorer of nested ``rate`` takes an already taken draw; ``None`` when it does not.

    >>> scorer_pi(0.5, 0, 0.1)
    0.05
    >>> scorer_pi(0.5, SPAN // 4, 0.1) is None
    True
    """
    if rate >= 1.0:
        return pi
    return pi * rate if number < threshold(pi * rate) else None


class History:
    """The versions of one consumer's design, each since an event time: an event is sampled by the one of its time.

    A version's time never lies in the past when it is recorded, so that a redelivered event meets the same one.
    """

    def __init__(
        self, versions: Sequence[tuple[datetime, Design]], make: Callable[[Design], Sampler] = Sampler
    ) -> None:
        """Take (effective_from, design), in any order; the first also holds for all time before it.

        A version chosen for an hour holds only while the operator's version that it was made from is in force.
        """
        if not versions:
            raise InputError("Expected at least one version of the design, but got none")
        ordered = sorted(versions, key=lambda item: (item[0], item[1].version))
        operators = [(start, design.version) for start, design in ordered if design.version < _HOURLY]
        current = [(start, design) for start, design in ordered if not _superseded(start, design.version, operators)]
        self._starts = [start for start, _ in current]
        self._designs = [design for _, design in current]
        self._make = make
        # A year of hourly versions is thousands, and traffic meets a few: each is compiled when it is first met.
        self._samplers: list[Sampler | None] = [None] * len(current)

    @property
    def fields(self) -> frozenset[str]:
        """Every field that any version looks at."""
        return frozenset().union(*(design.fields for design in self._designs))

    def at(self, moment: datetime) -> Design:
        """Return the version that holds for an event time."""
        return self._designs[self._index(moment)]

    def select(self, facts: Facts) -> Selection | None:
        """Return what the version of the event's own time says of it."""
        index = self._index(facts.occurred_at)
        sampler = self._samplers[index]
        if sampler is None:
            sampler = self._samplers[index] = self._make(self._designs[index])
        return sampler.select(facts)

    def _index(self, moment: datetime) -> int:
        return max(bisect_right(self._starts, moment) - 1, 0)


def operators_version(version: int) -> int:
    """Return the operator's version that an hour's version was made from; itself, if it is the operator's.

    >>> operators_version(3), operators_version(3 * 10**7 + 490_000)
    (3, 3)
    """
    return version if version < _HOURLY else version // _HOURLY


def _superseded(start: datetime, version: int, operators: Sequence[tuple[datetime, int]]) -> bool:
    base = operators_version(version)
    return base != version and any(other > base and since <= start for since, other in operators)


def next_hour(design: Design, offered: Mapping[str, int], hour: datetime) -> Design:
    """Return the version for the hour that starts at ``hour``: its rates are chosen to take ``target_per_hour`` events.

    ``offered`` counts the last hour's events by stratum name. Strata taken by an always-rule are subtracted first; the
    rates of the others keep their ratios, up to 1. Versions chosen so are numbered ``version·10^7 + hours since the
    epoch``, so that replicas that choose for one hour choose one number.

    Raises:
        InputError: when the design has no target, or ``hour`` is not a full hour in UTC.
    """
    if design.target_per_hour is None or design.version != operators_version(design.version):
        raise InputError("Expected an operator's design with `target_per_hour`, but it has none or is an hour's own")
    seconds = int(hour.astimezone(UTC).timestamp())
    if seconds % 3600:
        raise InputError(f"Expected a full hour, but got {hour.isoformat()}")
    sampler, always, counts = Sampler(design), 0, []
    for label, count in offered.items():
        fields = parse_stratum(label)
        if "always" in fields:
            always += count
        else:
            counts.append((count, sampler.rate_of(fields)))
    factor = _factor(max(design.target_per_hour - always, 1), counts)
    rates = tuple(StratumRate(entry.match, _clip(entry.rate * factor)) for entry in design.rates)
    return msgspec.structs.replace(
        design, version=design.version * _HOURLY + seconds // 3600, rate=_clip(design.rate * factor), rates=rates
    )


def _factor(target: float, counts: Sequence[tuple[int, float]]) -> float:
    """Return f with Σ count·min(1, rate·f) = target, or what takes everything; the sum grows with f: bisection."""

    def taken(factor: float) -> float:
        return sum(count * min(1.0, rate * factor) for count, rate in counts)

    if not counts or taken(0.0) == taken(1e12) or taken(1e12) <= target:
        return 1.0 / min((rate for _, rate in counts), default=1.0)
    low, high = 0.0, 1.0 / min(rate for _, rate in counts)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if taken(middle) < target else (low, middle)
    return high


def _clip(rate: float) -> float:
    return min(1.0, max(rate, 1e-6))

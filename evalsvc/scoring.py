"""The harness around a scorer: batches by cost, what an item needs, and one outcome an item whatever the scorer does.

A scorer that raises is given halves of its batch until the guilty item stands alone; that one is ``failed`` and the
others are scored. The worker and the suites run scorers by it, so that a number means the same in both.
"""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import msgspec

from evalsvc.errors import EngineError, MissingExtra
from evalsvc.protocols import Scorer
from evalsvc.sampling import scorer_pi
from evalsvc.types import Abstained, Event, Failed, Need, Outcome, Sample, Scale, Scored

log = logging.getLogger("evalsvc.scoring")

BATCH_COST = 1 << 15
"""The most work, in a scorer's own unit of cost, that it is handed at once unless it asks for another bound
(``batch_cost``): seconds of a small encoder on a CPU."""
LONGEST_REASON = 500
MISCOUNT_SECONDS = 60.0
"""How often the log says of one metric that its scorer returns a wrong number of outcomes."""


@dataclass(frozen=True, slots=True)
class ScorerEntry:
    """A scorer of a consumer, with its nested rate in (0, 1]."""

    scorer: Scorer
    rate: float = 1.0


def score_all(scorer: Scorer, batch: Sequence[Sample]) -> list[Outcome]:
    """Return one outcome a sample, whatever the scorer does: it may raise, return too few, or return NaN.

    Raises:
        MissingExtra, EngineError: what no bisection can mend.
    """
    if not batch:
        return []
    try:
        outcomes = list(scorer.score(batch))
        if len(outcomes) != len(batch):
            raise _WrongCount(len(batch), len(outcomes))
    except (MissingExtra, EngineError):
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, _WrongCount):
            _miscounts.note(scorer.spec.metric, len(batch), error.got)
        if len(batch) == 1:
            reason = str(error) if isinstance(error, _WrongCount) else failure(error, scorer)
            log.warning("scorer_failed metric=%s error=%s", scorer.spec.metric, reason)
            return [Failed(reason)]
        middle = len(batch) // 2
        return score_all(scorer, batch[:middle]) + score_all(scorer, batch[middle:])
    scale = scorer.spec.scale
    return [_checked(outcome, scale) for outcome in outcomes]


class _WrongCount(Exception):
    """A scorer returned too few or too many outcomes; the message is the worker's own and quotes nothing."""

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"Expected {expected} outcomes from the scorer, but got {got}")
        self.got = got


class Miscounts:
    """Says that a scorer returns a wrong number of outcomes: at once, then every :data:`MISCOUNT_SECONDS` at most.

    Halves of such a batch may come out right, so that no score would show that the scorer does not keep its contract.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing said."""
        self._monotonic = monotonic
        self._said: dict[str, float] = {}

    def note(self, metric: str, expected: int, got: int) -> None:
        """Say it, unless it was said of this metric just now."""
        now = self._monotonic()
        if now - self._said.get(metric, -math.inf) < MISCOUNT_SECONDS:
            return
        self._said[metric] = now
        text = (
            "wrong_number_of_outcomes metric=%s expected=%d got=%d; its batches are halved until the number is right "
            "or the event is failed: score() must return one outcome for each sample, in their order"
        )
        log.error(text, metric, expected, got)


_miscounts = Miscounts()


def failure(error: BaseException, scorer: Scorer) -> str:
    """Return the type of what a scorer raised, and where in its own code; its message may quote the event.

    The place is the innermost frame of the scorer's own package, or else the innermost of all.

    >>> failure(ValueError("quotes the event"), None)
    'ValueError in the scorer'
    """
    package = type(scorer).__module__.partition(".")[0]
    frames = [(frame.f_globals.get("__name__", "?"), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    frames = [(module, line) for module, line in frames if module != __name__]
    own = [place for place in frames if place[0].partition(".")[0] == package]
    if not frames:
        return f"{type(error).__name__} in the scorer"
    module, line = (own or frames)[-1]
    return f"{type(error).__name__} at {module}:{line}"


def _checked(outcome: Outcome, scale: Scale) -> Outcome:
    """Return an outcome as it can be stored: a scorer of somebody else's may return anything."""
    if isinstance(outcome, (Abstained, Failed)):
        said = (outcome.reason if isinstance(outcome.reason, str) else "")[:LONGEST_REASON]
        reason = said or "the scorer gave no reason"
        return Abstained(reason) if isinstance(outcome, Abstained) else Failed(reason, _storable(outcome.detail))
    value = outcome.value if isinstance(outcome, Scored) else outcome
    finite = _finite(value)
    if finite is None:
        # A text may be the event's own, and is not repeated.
        got = repr(value) if isinstance(value, float) else type(value).__name__
        return Failed(f"Expected a finite number from the scorer, but got {got}")
    number = _within(finite, scale)
    if number is None:
        low, high = ("" if end is None else f"{end:g}" for end in (scale.low, scale.high))
        reach = "0 or 1" if scale.binary else f"{low} … {high}"
        return Failed(f"Expected a value on the scorer's scale, {reach.strip()}, but got {finite:g}")
    if not isinstance(outcome, Scored):
        return number
    try:
        written = msgspec.json.encode(outcome.detail)
        statistics = tuple(map(float, outcome.statistics))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return Failed(f"the scorer's detail or statistics cannot be stored: {type(error).__name__}")
    if not all(map(math.isfinite, statistics)):
        return Failed("the scorer's statistics hold NaN or an infinity")
    # JSON has no NaN: it would be stored as null, as if the scorer had said that it does not know.
    if b"null" in written and _holds_nan_or_infinity(msgspec.to_builtins(outcome.detail)):
        return Failed("the scorer's detail holds NaN or an infinity")
    return Scored(number, outcome.detail, statistics)


def _storable(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a failure's detail, or none where it cannot be stored: the failure itself is what counts."""
    try:
        msgspec.json.encode(detail)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {}
    return {} if not isinstance(detail, Mapping) or _holds_nan_or_infinity(msgspec.to_builtins(detail)) else detail


def _holds_nan_or_infinity(detail: object) -> bool:
    """Whether a detail, at any depth, holds NaN or an infinity."""
    if isinstance(detail, float):
        return not math.isfinite(detail)
    if isinstance(detail, Mapping):
        return any(map(_holds_nan_or_infinity, detail.values()))
    return isinstance(detail, (list, tuple, set, frozenset)) and any(map(_holds_nan_or_infinity, detail))


def _finite(value: object) -> float | None:
    """Return a finite number of any kind (numpy's too) as a float; ``None`` for everything else."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:  # a whole number of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _within(value: float, scale: Scale) -> float | None:
    """Return a value on the scale, rounding at its ends mended; ``None`` where it lies outside."""
    if scale.binary:
        return value if value in (0.0, 1.0) else None
    low = -math.inf if scale.low is None else scale.low
    high = math.inf if scale.high is None else scale.high
    slack = 1e-9 * max(1.0, abs(value))
    return min(max(value, low), high) if low - slack <= value <= high + slack else None


def missing_need(event: Event, needs: Sequence[Need]) -> str | None:
    """Return the first thing that a scorer needs and the event does not have."""
    for need in needs:
        value = event.data.get(need) if need == "expected_tools" else getattr(event, need)
        if value is None or value in ("", (), []):
            return need
    return None


def cut_by_cost(scorer: Scorer, samples: Sequence[Sample], most: int | None = None) -> Iterator[Sequence[Sample]]:
    """Yield the samples in order, in batches whose costs add up to at most ``most``, or of one sample.

    Without ``most`` it is what the scorer asks for by an attribute ``batch_cost``, else :data:`BATCH_COST`.
    """
    most = most or _batch_cost(scorer)
    begin = total = 0
    for place, sample in enumerate(samples):
        try:
            # Somebody else's may return anything: what is no number fails here, and not where it is added.
            cost = max(0, scorer.cost(sample))
        except Exception as error:
            log.warning("cost_failed metric=%s error=%s; scored alone", scorer.spec.metric, failure(error, scorer))
            cost = most
        if place > begin and total + cost > most:
            yield samples[begin:place]
            begin, total = place, 0
        total += cost
    if begin < len(samples):
        yield samples[begin:]


def _batch_cost(scorer: Scorer) -> int:
    asked = getattr(scorer, "batch_cost", None)
    return asked if isinstance(asked, int) and asked > 0 else BATCH_COST


def run_scorer(
    entry: ScorerEntry, samples: Sequence[Sample], check: Callable[[], None] = lambda: None
) -> Iterator[tuple[Sample, float, Outcome]]:
    """Yield (sample, π, outcome) of every sample that the scorer's nested rate takes, in order.

    ``check`` is called between two batches and may raise, which ends the work.
    """
    spec = entry.scorer.spec
    taken = [(s, pi) for s in samples if (pi := scorer_pi(s.pi, s.draw, entry.rate)) is not None]
    missing = [missing_need(sample.event, spec.needs) for sample, _ in taken]
    ready = [sample for (sample, _), need in zip(taken, missing, strict=True) if need is None]
    done: list[Outcome] = []
    for batch in cut_by_cost(entry.scorer, ready):
        check()
        done += score_all(entry.scorer, batch)
    outcomes = iter(done)
    for (sample, pi), need in zip(taken, missing, strict=True):
        yield sample, pi, next(outcomes) if need is None else Abstained(f"no {need}")

"""The contract of a scorer, as checks that anyone can run against their own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from numbers import Real

import msgspec

from evalsvc.protocols import Scorer
from evalsvc.testing.samples import make_sample
from evalsvc.types import Abstained, Failed, Outcome, Sample, Scored

TOLERANCE = 1e-6
_PIECE = 12
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


def standard_samples() -> list[Sample]:
    """Return samples that have caught scorers out: empty, long, other scripts, nothing to compare."""
    return [
        make_sample("plain"),
        make_sample("empty", response=""),
        make_sample("blank", response=" \n\t "),
        make_sample("bare", prompt="Hi", contexts=(), reference=None, segments={}),
        make_sample("long", response="The parcel arrives on Monday. " * 400),
        make_sample("script", response="配送には3営業日かかります。", prompt="配送にどのくらいかかりますか"),
        make_sample("emoji", response="👩‍👩‍👧 \u200b ok \u0000 done"),
        make_sample("same", response="Three working days, or one day with express delivery."),
        make_sample("silent", latency_ms=None, input_tokens=None, output_tokens=None, cost_usd=None),
    ]


def check_scorer(scorer: Scorer, samples: Sequence[Sample] | None = None, tolerance: float = TOLERANCE) -> None:
    """Check everything that the worker relies on. Takes seconds for a scorer with a model.

    Args:
        scorer: the scorer, not yet loaded.
        samples: what to score; :func:`standard_samples` where not given.
        tolerance: how far two values of one sample may lie apart when the batch around it differs.

    Raises:
        AssertionError: naming the promise that was broken, the sample and what came.
    """
    batch = list(samples if samples is not None else standard_samples())
    for member in ("spec", "load", "cost", "score"):
        _promise(hasattr(scorer, member), f"a scorer with `{member}`, got {type(scorer).__name__} without one")
    scorer.load()
    spec = scorer.spec
    _promise(bool(_NAME.fullmatch(spec.metric)), f"a metric named in lower_case.dotted form, got {spec.metric!r}")
    _promise(spec.version >= 1, f"a version of 1 or more, got {spec.version}")
    for sample in batch:
        _check_cost(scorer, sample)
    before = msgspec.json.encode(batch)
    returned = _scored(scorer, batch)
    _promise(isinstance(returned, Sequence), f"a list of one outcome a sample, got {type(returned).__name__}")
    outcomes = list(returned)
    _promise(len(outcomes) == len(batch), f"{len(batch)} outcomes for {len(batch)} samples, got {len(outcomes)}")
    _promise(msgspec.json.encode(batch) == before, "samples left as they were")
    for sample, outcome in zip(batch, outcomes, strict=True):
        _check_outcome(scorer, sample, outcome)
    _check_same("scored again", batch, outcomes, scorer.score(batch), tolerance)
    _check_same("scored in reverse", batch, outcomes, list(scorer.score(batch[::-1]))[::-1], tolerance)
    _check_same("scored one by one", batch, outcomes, [scorer.score([s])[0] for s in batch], tolerance)
    _promise(list(scorer.score([])) == [], "no outcome for no sample")
    scorer.load()
    _promise(scorer.spec == spec, "the same spec after loading again")


def _scored(scorer: Scorer, batch: Sequence[Sample]) -> Sequence[Outcome]:
    """Return the outcomes of a batch; where the scorer raises, say on which sample."""
    try:
        return scorer.score(batch)
    except Exception as error:
        guilty = next((sample for sample in batch if _raises(scorer, sample)), None)
        where = (
            f"{guilty.event.event_id!r} ({guilty.event.response[:40]!r})" if guilty else "the batch, on no one alone"
        )
        what = f"an outcome for every sample, but `score` raised {type(error).__name__}, {error}, on {where}"
        raise AssertionError(f"Expected {what}; return Abstained(reason) for what cannot be scored") from error


def _raises(scorer: Scorer, sample: Sample) -> bool:
    try:
        scorer.score([sample])
    except Exception:
        return True
    return False


def _check_cost(scorer: Scorer, sample: Sample) -> None:
    name = sample.event.event_id
    _promise(callable(scorer.cost), "a method `cost(sample)`, which says how much work a sample is")
    try:
        cost = scorer.cost(sample)
    except Exception as error:
        raise AssertionError(f"Expected a cost for {name!r}, but `cost` raised {type(error).__name__}") from error
    _promise(isinstance(cost, (int, float)) and cost > 0, f"a cost above 0 for {name!r}, got {cost!r}")


def _check_outcome(scorer: Scorer, sample: Sample, outcome: Outcome) -> None:
    name, scale = sample.event.event_id, scorer.spec.scale
    if isinstance(outcome, (Abstained, Failed)):
        _promise(bool(outcome.reason), f"a reason why {name!r} was not scored")
        return
    given: object = outcome.value if isinstance(outcome, Scored) else outcome
    value = float(given) if isinstance(given, Real) else math.nan
    _promise(math.isfinite(value), f"a finite number for {name!r}, got {given!r}")
    _promise(scale.low is None or value >= scale.low, f"{name!r} at or above {scale.low}, got {value}")
    _promise(scale.high is None or value <= scale.high, f"{name!r} at or below {scale.high}, got {value}")
    _promise(not scale.binary or value in (0.0, 1.0), f"0 or 1 for {name!r}, got {value}")
    if isinstance(outcome, Scored):
        try:
            detail = json.dumps(outcome.detail, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            said = f"a detail of JSON's types for {name!r}, without NaN and numpy's numbers, got {error}"
            raise AssertionError(f"Expected {said}") from error
        pieces = {detail[start : start + _PIECE] for start in range(len(detail) - _PIECE + 1)}
        for text in (sample.event.response, *sample.event.contexts):
            _promise(not any(piece in text for piece in pieces), f"no text of {name!r} in the detail")


def _check_same(
    how: str, batch: Sequence[Sample], first: Sequence[Outcome], second: Sequence[Outcome], tolerance: float
) -> None:
    _promise(len(first) == len(second), f"{len(first)} outcomes when {how}, got {len(second)}")
    for sample, one, two in zip(batch, first, second, strict=True):
        a, b = _value(one), _value(two)
        same = a == b if isinstance(a, str) or isinstance(b, str) else abs(a - b) <= tolerance * max(1.0, abs(a))
        _promise(same, f"the same outcome for {sample.event.event_id!r} when {how}, got {a!r} and {b!r}")


def _value(outcome: Outcome) -> float | str:
    if isinstance(outcome, (Abstained, Failed)):
        return f"{type(outcome).__name__}: {outcome.reason}"
    return outcome.value if isinstance(outcome, Scored) else outcome


def _promise(kept: bool, what: str) -> None:
    if not kept:
        raise AssertionError(f"Expected {what}")

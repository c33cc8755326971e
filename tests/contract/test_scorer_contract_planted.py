"""Every check of the scorer contract fails on a scorer that breaks just that promise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from evalsvc.protocols import Scorer
from evalsvc.testing import check_scorer
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec


class Length:
    """The response's length, and nothing wrong with it."""

    spec = ScorerSpec("length", 1, Scale(0.0, None, "neither", "characters"))

    def load(self) -> None:
        pass

    def cost(self, sample: Sample) -> int:
        return 1 + len(sample.event.response)

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        return [self.one(sample) for sample in batch]

    def one(self, sample: Sample) -> Outcome:
        text = sample.event.response
        return Scored(float(len(text)), {"first": [0, 1]}) if text else Abstained("empty response")


def bad(**changes: Any) -> Scorer:
    return type("Bad", (Length,), changes)()


def counting(make: Callable[[int], Outcome]) -> Callable[[Any, Sequence[Sample]], Sequence[Outcome]]:
    calls = [0]

    def score(self: Any, batch: Sequence[Sample]) -> Sequence[Outcome]:
        calls[0] += 1
        return [make(calls[0]) for _ in batch]

    return score


def spec(**changes: Any) -> ScorerSpec:
    return ScorerSpec(**{"metric": "length", "version": 1, "scale": Scale(0.0, None, "neither"), **changes})


PLANTED = {
    "lower_case": bad(spec=spec(metric="Length Of Response")),
    "version of 1": bad(spec=spec(version=0)),
    "cost above 0": bad(cost=lambda self, sample: 0),
    "outcomes for": bad(score=lambda self, batch: [1.0] * (len(batch) - 1)),
    "a method `cost": bad(cost=None),
    "`cost` raised ZeroDivisionError": bad(cost=lambda self, sample: 1 // 0),
    "a list of one outcome a sample, got float": bad(score=lambda self, batch: 1.0),
    "a detail of JSON's types.*float32": bad(one=lambda self, sample: Scored(1.0, {"n": np.float32(1)})),
    "a detail of JSON's types.*not JSON compliant": bad(one=lambda self, sample: Scored(1.0, {"n": float("nan")})),
    "finite number": bad(one=lambda self, sample: float("nan")),
    "at or above 0.0": bad(one=lambda self, sample: -1.0),
    "at or below 1.0": bad(spec=spec(scale=Scale(0.0, 1.0, "higher"))),
    "0 or 1": bad(spec=spec(scale=Scale(0.0, 1.0, "higher", binary=True)), one=lambda self, sample: 0.5),
    "a reason why": bad(one=lambda self, sample: Abstained("")),
    "a scorer with `spec`, got Spare without one": type("Spare", (), {})(),
    "`score` raised ZeroDivisionError.* on 'empty'": bad(one=lambda self, sample: 1.0 / len(sample.event.response)),
    "no text of 'plain'": bad(one=lambda self, sample: Scored(1.0, {"text": sample.event.response[:20]})),
    "no text of": bad(one=lambda self, sample: Scored(1.0, {"text": sample.event.response})),
    "when scored again": bad(score=counting(lambda call: float(call))),
    "scored in reverse": bad(score=lambda self, batch: [float(i) for i in range(len(batch))]),
    "scored one by one": bad(score=lambda self, batch: [float(len(batch))] * len(batch)),
    "no outcome for no sample": bad(score=lambda self, batch: [1.0] * max(1, len(batch))),
}


def test_the_good_one_passes() -> None:
    check_scorer(Length())


@pytest.mark.parametrize("value", [1, True, np.float32(1)])
def test_a_number_of_any_kind_is_accepted_as_the_worker_does(value: Any) -> None:
    check_scorer(bad(one=lambda self, sample: value))


@pytest.mark.parametrize("message", PLANTED)
def test_each_planted_fault_is_found(message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_scorer(PLANTED[message])


def test_a_spec_that_changes_on_load_is_found() -> None:
    class Drifting(Length):
        def load(self) -> None:
            self.spec = spec(version=self.spec.version + 1)

    with pytest.raises(AssertionError, match="same spec after loading"):
        check_scorer(Drifting())


def test_a_scorer_that_changes_its_samples_is_found() -> None:
    class Marking(Length):
        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            for sample in batch:
                sample.event.segments["seen"] = "yes"  # type: ignore[index]
            return super().score(batch)

    with pytest.raises(AssertionError, match="left as they were"):
        check_scorer(Marking())

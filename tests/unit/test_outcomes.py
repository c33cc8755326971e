"""What becomes of whatever a scorer returns: it is stored, or it is a failure that says why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from evalsvc.pipeline.scoring import subject_of, to_score
from evalsvc.scoring import score_all
from evalsvc.testing import make_sample
from evalsvc.types import Abstained, Failed, Sample, Scale, Scored, ScorerSpec


class Returns:
    """A scorer that returns, or raises, what it is given."""

    def __init__(self, outcome: Any, scale: Scale = Scale(0.0, 1.0, "higher")) -> None:  # noqa: B008
        self.outcome, self.spec = outcome, ScorerSpec("own", 1, scale)

    def load(self) -> None:
        """Do nothing."""

    def cost(self, sample: Sample) -> int:
        return 1

    def score(self, batch: Sequence[Sample]) -> Sequence[Any]:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return [self.outcome] * len(batch)


def outcome_of(returned: Any, **scale: Any) -> Any:
    scorer = Returns(returned, Scale(**scale)) if scale else Returns(returned)
    (outcome,) = score_all(scorer, [make_sample("a")])
    # Whatever it is, it can be stored.
    to_score(subject_of(make_sample("a")), scorer.spec, 1.0, outcome)
    return outcome


@pytest.mark.parametrize("returned", [0.25, np.float32(0.25), np.float64(0.25), Scored(np.float32(0.25))])
def test_numbers_of_any_kind_are_values(returned: Any) -> None:
    outcome = outcome_of(returned)
    assert getattr(outcome, "value", outcome) == 0.25


@pytest.mark.parametrize(("returned", "value"), [(1, 1.0), (True, 1.0), (1.0 + 1e-12, 1.0), (-1e-12, 0.0)])
def test_rounding_at_the_ends_is_mended(returned: Any, value: float) -> None:
    assert outcome_of(returned) == value


@pytest.mark.parametrize(
    ("returned", "scale", "said"),
    [
        (7.0, {"low": 0.0, "high": 1.0, "better": "higher"}, "0 … 1, but got 7"),
        (-1.0, {"low": 0.0, "high": None, "better": "lower"}, "0 …, but got -1"),
        (0.5, {"low": 0.0, "high": 1.0, "better": "higher", "binary": True}, "0 or 1, but got 0.5"),
    ],
)
def test_what_lies_outside_the_scale_is_a_failure(returned: float, scale: dict[str, Any], said: str) -> None:
    outcome = outcome_of(returned, **scale)
    assert isinstance(outcome, Failed)
    assert said in outcome.reason


@pytest.mark.parametrize("detail", [{"x": math.nan}, {"a": [1.0, {"b": -math.inf}]}, {"t": (None, math.inf)}])
def test_a_detail_with_no_number_is_refused_and_not_stored_as_null(detail: dict[str, Any]) -> None:
    assert outcome_of(Scored(0.5, detail)) == Failed("the scorer's detail holds NaN or an infinity")


@pytest.mark.parametrize("statistics", [(1.0, math.nan), (math.inf,)])
def test_statistics_with_no_number_are_refused(statistics: tuple[float, ...]) -> None:
    assert "statistics hold NaN" in outcome_of(Scored(0.5, statistics=statistics)).reason


def test_a_number_too_large_for_a_float_is_a_failure() -> None:
    assert "finite number" in outcome_of(10**400).reason


def test_null_in_a_detail_is_stored() -> None:
    assert outcome_of(Scored(0.5, {"x": None, "y": ["null", 1.0]})) == Scored(0.5, {"x": None, "y": ["null", 1.0]})


@pytest.mark.parametrize("detail", [{"n": np.int64(3)}, {"o": object()}, {"s": {1, 2}.union}])
def test_a_detail_that_is_no_json_fails_its_sample_alone(detail: dict[str, Any]) -> None:
    outcome = outcome_of(Scored(0.5, detail))
    assert isinstance(outcome, Failed)
    assert "cannot be stored: TypeError" in outcome.reason


@pytest.mark.parametrize("kind", [Abstained, Failed])
def test_a_reason_is_never_empty_nor_a_book(kind: type[Abstained] | type[Failed]) -> None:
    assert outcome_of(kind("")) == kind("the scorer gave no reason")
    assert len(outcome_of(kind("x" * 100_000)).reason) == 500


def test_leaving_the_interpreter_is_a_failure_as_any_other() -> None:
    outcome = outcome_of(SystemExit(3))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith("SystemExit at ")


@pytest.mark.parametrize(
    ("detail", "stored"),
    [({"attempts": 3}, '{"attempts":3}'), ({"a": math.nan}, ""), ({"a": object()}, ""), ("text", ""), ({}, "")],
)
def test_a_failures_detail_is_stored_where_it_can_be(detail: Any, stored: str) -> None:
    outcome = outcome_of(Failed("judge: HTTP 500", detail))
    score = to_score(subject_of(make_sample("a")), ScorerSpec("own", 1, Scale(0.0, 1.0, "higher")), 1.0, outcome)
    assert (score.status, score.reason, score.detail) == ("failed", "judge: HTTP 500", stored)

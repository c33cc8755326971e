"""Does ``--power`` say how often the gate passes? Predicted chances against gates that decide, on equal versions.

Each prediction is made from one run (or one baseline) of the design, 25 times over; the rate is that of 300 runs, with
a standard error of 3 points at most.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from evalsvc.cases import Case, CaseSet
from evalsvc.gate import looking
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.looking import look, plan
from evalsvc.gate.power import Planned, plan_power
from evalsvc.gate.power_spread import Spread
from evalsvc.gate.suite import CasesPlace, Suite
from evalsvc.gate.values import Ask, AtLeast, AtMost, Equivalent, Gate, NotWorse
from evalsvc.stats.spending import nominal_levels
from evalsvc.types import Scale, ScorerSpec

pytestmark = pytest.mark.slow
GRADED, YES = Scale(0.0, 1.0, "higher"), Scale(0.0, 1.0, "higher", binary=True)
COST = Scale(0.0, None, "lower", "usd")
RUNS, PREDICTIONS, NEAR = 300, 25, 0.08


class Design(NamedTuple):
    """Groups of ``size`` cases (half to one and a half of it), with correlated scores of two equal versions.

    ``within`` is the correlation of the versions' case parts, ``between`` that of their group parts.
    """

    ask: Ask
    scale: Scale = GRADED
    groups: int = 100
    size: int = 1
    icc: float = 0.0
    weighted: bool = False
    repeats: int = 1
    looks: int = 1
    within: float = 0.5
    between: float = 0.5
    baseline: bool = False


DESIGNS = {
    "graded, 100 lone cases": Design(NotWorse(0.035)),
    "graded, 20 groups of 20": Design(NotWorse(0.06), groups=20, size=20, icc=0.5),
    "graded, 20 groups of 20, from the baseline": Design(NotWorse(0.06), groups=20, size=20, icc=0.5, baseline=True),
    "graded, 200 groups, weights, 3 repeats": Design(
        NotWorse(0.022), groups=200, size=3, icc=0.5, weighted=True, repeats=3
    ),
    "graded, 200 groups, weights, 3 repeats, from the baseline": Design(
        NotWorse(0.022), groups=200, size=3, icc=0.5, weighted=True, repeats=3, baseline=True
    ),
    "graded, 120 groups, 4 looks": Design(NotWorse(0.033), groups=120, size=2, looks=4),
    "graded, within": Design(Equivalent(0.04), groups=100),
    "graded, 20 cases, from the baseline": Design(NotWorse(0.09), groups=20, baseline=True),
    "graded, relative": Design(NotWorse(0.07, relative=True), groups=100, size=2, icc=0.5),
    "cost, relative, from the baseline": Design(NotWorse(0.06, relative=True), COST, groups=100, baseline=True),
    "yes/no, 200 lone cases": Design(NotWorse(0.11), YES, groups=200, within=0.707),
    "yes/no, 200 lone cases, from the baseline": Design(NotWorse(0.11), YES, groups=200, within=0.707, baseline=True),
    "yes/no, 20 groups of 20": Design(NotWorse(0.21), YES, groups=20, size=20, icc=0.5, within=0.896, between=0.518),
    "yes/no, 20 groups of 20, from the baseline": Design(
        NotWorse(0.21), YES, groups=20, size=20, icc=0.5, within=0.896, between=0.518, baseline=True
    ),
    "yes/no, 100 groups, weights, 4 looks": Design(
        NotWorse(0.12), YES, groups=100, size=3, weighted=True, looks=4, within=0.707
    ),
    "yes/no, 200 cases, few of which differ": Design(NotWorse(0.025), YES, groups=200, within=0.9999),
    "yes/no, 60 cases, none of which differs": Design(NotWorse(0.04), YES, groups=60, within=1.0),
    "yes/no, 80 groups, 3 repeats": Design(NotWorse(0.08), YES, groups=80, size=2, icc=0.2, repeats=3, within=0.9),
    "yes/no, relative": Design(NotWorse(0.2, relative=True), YES, groups=200, within=0.8),
}

ALONE = {
    "graded, 100 lone cases": Design(AtLeast(0.465)),
    "graded, 100 groups, weights": Design(AtLeast(0.455), size=3, icc=0.5, weighted=True),
    "yes/no, 200 lone cases": Design(AtLeast(0.41), YES, groups=200),
    "yes/no, 120 lone cases, weights": Design(AtLeast(0.37), YES, groups=120, weighted=True),
    "yes/no, 80 groups, 3 repeats": Design(AtLeast(0.385), YES, groups=80, size=2, icc=0.2, repeats=3),
    "yes/no, 40 cases, 3 repeats": Design(AtMost(0.68), YES, groups=40, repeats=3),
    "yes/no, 20 groups of 20": Design(AtLeast(0.28), YES, groups=20, size=20, icc=0.5),
}
"""Against a number, from a run of many more groups: the prediction is of the value seen, which is then the true one."""


class Frame(NamedTuple):
    """The cases of a design, with the group of each."""

    cases: tuple[Case, ...]
    codes: np.ndarray


def frame(design: Design) -> Frame:
    rng = np.random.default_rng(0)
    sizes = rng.integers(max(1, design.size // 2), design.size + design.size // 2 + 1, design.groups)
    codes = np.repeat(np.arange(design.groups), sizes)
    weights = rng.uniform(0.3, 3.0, codes.size) if design.weighted else np.ones(codes.size)
    cases = tuple(
        Case(case_id=f"c{i}", prompt=f"p{i}", group=f"g{code}", weight=float(weight))
        for i, (code, weight) in enumerate(zip(codes.tolist(), weights.tolist(), strict=True))
    )
    return Frame(cases, codes)


def pair(rng: np.random.Generator, correlation: float, shape: tuple[int, ...]) -> list[np.ndarray]:
    both = rng.standard_normal(shape)
    return [np.sqrt(correlation) * both + np.sqrt(1.0 - correlation) * rng.standard_normal(shape) for _ in range(2)]


def draw(rng: np.random.Generator, design: Design, held: Frame) -> list[Evaluated]:
    """Return the scores of two equal versions."""
    own, groups = (
        pair(rng, design.within, (held.codes.size,)),
        pair(rng, design.between, (design.groups,)),
    )
    made = []
    for case, group in zip(own, groups, strict=True):
        level = np.sqrt(design.icc) * group[held.codes] + np.sqrt(1.0 - design.icc) * case
        if design.scale.binary:
            noise = 0.7 * rng.standard_normal((level.size, design.repeats)) if design.repeats > 1 else 0.0
            values = (level[:, None] + noise > 0.0).astype(float)
        elif design.scale is COST:
            values = np.exp(0.3 * level)[:, None]
        else:
            spread = rng.standard_normal((level.size, design.repeats)) if design.repeats > 1 else 0.0
            values = np.clip(0.5 + 0.12 * level[:, None] + 0.02 * spread, 0.0, 1.0)
        made.append(evaluated(held.cases, values, design.scale))
    return made


def evaluated(cases: tuple[Case, ...], values: np.ndarray, scale: Scale) -> Evaluated:
    return Evaluated(
        cases=cases,
        digests=tuple(case.digest for case in cases),
        answers=((),) * len(cases),
        scores={"m": MetricScores(ScorerSpec("m", 1, scale), values, {})},
        model="m",
        model_version="1",
        signature="",
    )


def suite_of(design: Design) -> Suite:
    return Suite(
        name="s",
        path=Path("/s.suite.yaml"),
        cases=CasesPlace(path=Path("/c.jsonl")),
        model=None,
        scorers=(),
        gates=(Gate(metric="m", ask=design.ask),),
        looks=design.looks,
    )


def predicted(design: Design, held: Frame, rng: np.random.Generator) -> Planned:
    old, new = draw(rng, design, held)
    cases = CaseSet("c", held.cases)
    (found,) = plan_power(suite_of(design), cases, Spread(old, None if design.baseline else new, ""))
    return found


def passed(design: Design, held: Frame, rng: np.random.Generator) -> bool:
    old, new = draw(rng, design, held)
    definition = suite_of(design).definition
    planned = plan(new.digests, new.groups, definition)
    found = look(definition, planned, lambda rows: new.of(sorted(rows)), (), old)
    return found.results[0].decision == "PASS"


@pytest.fixture(autouse=True)
def levels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the levels of looks once for all runs, which is most of what a run costs."""
    found = functools.lru_cache(nominal_levels)
    monkeypatch.setattr(
        looking, "nominal_levels", lambda shares, level, spending: found(tuple(shares), level, spending)
    )


@pytest.mark.parametrize("name", DESIGNS)
def test_an_equal_version_passes_as_often_as_is_said(name: str) -> None:
    design = DESIGNS[name]
    held, rng = frame(design), np.random.default_rng(31)
    rate = float(np.mean([passed(design, held, rng) for _ in range(RUNS)]))
    chances = [predicted(design, held, rng).chance for _ in range(PREDICTIONS)]
    assert float(np.mean(chances)) == pytest.approx(rate, abs=NEAR)


@pytest.mark.parametrize("name", ALONE)
def test_a_version_reaches_a_number_as_often_as_is_said(name: str) -> None:
    design = ALONE[name]
    held, rng = frame(design), np.random.default_rng(31)
    rate = float(np.mean([passed(design, held, rng) for _ in range(RUNS)]))
    many = design._replace(groups=100 * design.groups)
    known = draw(rng, many, frame(many))[1]
    (found,) = plan_power(suite_of(design), CaseSet("c", held.cases), Spread(None, known, ""))
    assert found.chance == pytest.approx(rate, abs=NEAR)
    assert (found.cases > held.codes.size) is (found.chance < 0.8)


@pytest.mark.parametrize("name", ["graded, 100 lone cases", "yes/no, 200 lone cases", "graded, 120 groups, 4 looks"])
def test_on_as_many_cases_as_are_named_it_passes_four_times_of_five(name: str) -> None:
    design = DESIGNS[name]
    held, rng = frame(design), np.random.default_rng(32)
    cases = float(np.mean([predicted(design, held, rng).cases for _ in range(PREDICTIONS)]))
    named = design._replace(groups=round(cases * design.groups / held.codes.size))
    other = frame(named)
    assert float(np.mean([passed(named, other, rng) for _ in range(RUNS)])) == pytest.approx(0.8, abs=NEAR)

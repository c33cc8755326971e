"""How many cases a gate says it needs, held against gates that have so many; and what is said where none would help."""

from __future__ import annotations

import math

import numpy as np
import pytest
from msgspec.structs import replace

from evalsvc.cases import Case
from evalsvc.gate.deciding import decide
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.looking import Definition, look, plan
from evalsvc.gate.needed import NEVER, groups_above, needed_bounded, needed_gap, needed_share
from evalsvc.gate.values import AtLeast, AtMost, Better, Equivalent, Gate, NotWorse
from evalsvc.generation import Answer
from evalsvc.stats.bounded import BoundedMean
from evalsvc.types import Scale, ScorerSpec
from evalsvc.verdicts import Finding

GRADED = Scale(0.0, 1.0, "higher")
YES = Scale(0.0, 1.0, "higher", binary=True)
LATENCY = Scale(0.0, None, "lower", "ms")


def evaluated(values: np.ndarray, scale: Scale, size: int = 1, heavy: float = 1.0) -> Evaluated:
    """Scores of cases in groups of a size, of which every fifth case weighs more than the others."""
    n = len(values)
    cases = tuple(
        Case(
            case_id=f"c{i}",
            prompt=f"p{i}",
            group=f"g{i // size}" if size > 1 else "",
            weight=heavy if i % 5 == 0 else 1.0,
        )
        for i in range(n)
    )
    scores = MetricScores(ScorerSpec("m", 1, scale), np.asarray(values, float).reshape(n, -1), {})
    return Evaluated(
        cases=cases,
        digests=tuple(case.digest for case in cases),
        answers=tuple((Answer(response="x"),) for _ in cases),
        scores={"m": scores},
        model="m",
        model_version="1",
        signature="s",
    )


def finding(gate: Gate, new: Evaluated, old: Evaluated | None = None) -> Finding:
    return decide([gate], new, old)[0].findings[0]


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_a_version_against_itself_passes_on_as_many_cases_as_are_named(size: int, margin: float) -> None:
    rng, gate = np.random.default_rng(1), Gate(metric="m", ask=NotWorse(margin))
    few = evaluated(rng.random(12 * size), GRADED, size)
    first = finding(gate, few, few)
    assert (first.decision, first.needed.assuming) == ("INCONCLUSIVE", "none of them differs either")
    assert "no case differs, so that (95 % sure) at most 22.1% of cases like these do" in first.reason
    for cases, decision in ((first.needed.cases, "PASS"), (first.needed.cases - 4 * size, "INCONCLUSIVE")):
        same = evaluated(rng.random(-(-cases // size) * size), GRADED, size)
        assert finding(gate, same, same).decision == decision, cases


@pytest.mark.parametrize("repeats", [1, 3])
def test_unequal_groups_count_as_the_test_counts_them(repeats: int) -> None:
    """Of each 60 cases 40 are in groups of four, and 20 alone."""
    gate = Gate(metric="m", ask=NotWorse(0.06))

    def same(cases: int) -> Evaluated:
        made = evaluated(np.random.default_rng(1).random((cases, repeats)), GRADED)
        groups = [f"g{i // 4}" if i % 60 < 40 else "" for i in range(cases)]
        alike = tuple(replace(case, group=group) for case, group in zip(made.cases, groups, strict=True))
        return replace(made, cases=alike)

    first = finding(gate, same(60), same(60))
    assert first.decision == "INCONCLUSIVE"
    assert f"about {first.needed.more:,} more cases like these" in first.reason
    # Groups of four come before single cases here, so that a part of a further 60 has fewer groups.
    least = next(n for n in range(120, 200) if finding(gate, same(n), same(n)).decision == "PASS")
    assert first.needed.cases == pytest.approx(least, rel=0.06)
    fewer = finding(gate, same(least - 1), same(least - 1))
    assert ("settle it" in fewer.reason, "few outweigh" in fewer.reason) == (True, False)


@pytest.mark.parametrize(("seen", "limit"), [(0.0, 0.05), (0.02, 0.1), (0.1, 0.2)])
def test_a_share_passes_four_times_of_five_on_as_many_cases_as_are_named(seen: float, limit: float) -> None:
    needed = needed_share(seen, limit, 0.05, up=False, n=10)
    rng, gate = np.random.default_rng(2), Gate(metric="m", ask=AtMost(limit))
    scale = Scale(0.0, 1.0, "lower", binary=True)

    def passes(cases: int) -> float:
        made = [evaluated((rng.random(cases) < seen).astype(float), scale) for _ in range(120)]
        return float(np.mean([finding(gate, one).decision == "PASS" for one in made]))

    assert passes(needed.cases) > 0.7
    if seen:
        assert passes(needed.cases // 2) < 0.75
    assert needed_share(limit, limit, 0.05, up=False, n=10).cases is None


def test_a_quantile_says_how_many_answers_lie_beyond_and_how_many_may() -> None:
    fast = evaluated(np.linspace(1.0, 2.0, 40), LATENCY)
    found = finding(Gate(metric="m", statistic="p95", ask=AtMost(2000.0)), fast)
    assert found.decision == "INCONCLUSIVE"
    assert found.high is None
    assert "0% of the answers lie beyond 2000, and of all like these at most 7.22%" in found.reason
    more = evaluated(np.linspace(1.0, 2.0, found.needed.cases), LATENCY)
    assert finding(Gate(metric="m", statistic="p95", ask=AtMost(2000.0)), more).decision == "PASS"
    short = finding(Gate(metric="m", statistic="p5", ask=AtLeast(1.5)), fast)
    assert (short.decision, short.needed) == ("FAIL", None)


@pytest.mark.parametrize(
    ("gate", "scale"),
    [(Gate(metric="m", statistic="p90", ask=AtMost(1.5)), LATENCY), (Gate(metric="m", ask=AtLeast(0.9)), YES)],
    ids=["quantile", "share"],
)
def test_cases_of_unequal_weight_are_planned_as_such(gate: Gate, scale: Scale) -> None:
    rng = np.random.default_rng(4)

    def drawn(n: int) -> np.ndarray:
        good = rng.random(n) < 94.0 / 95.0
        return good.astype(float) if scale is YES else np.where(good, 1.0, 2.0)

    few = np.r_[np.ones(31), 0.0 if scale is YES else 2.0]
    # 7 of 32 weigh 10, so that the one that is wrong is 1 of 95.
    weighted = finding(gate, evaluated(few, scale, heavy=10.0)).needed.cases
    passes = [finding(gate, evaluated(drawn(weighted), scale, heavy=10.0)).decision == "PASS" for _ in range(80)]
    assert np.mean(passes) > 0.65


def test_a_gap_that_is_seen_to_be_too_large_needs_no_cases() -> None:
    assert needed_gap(0.2, 0.3, 0.1, 50).cases is None
    assert needed_gap(0.02, 0.18, 0.1, 50).cases == 200
    assert needed_gap(None, 0.18, 0.1, 50) is None


def test_what_a_run_leaves_open_when_it_stops_gets_no_advice() -> None:
    rng = np.random.default_rng(3)
    old = (rng.random(200) < 0.9).astype(float)
    new = (rng.random(200) < 0.2).astype(float)
    gates = (Gate(metric="m", ask=NotWorse(0.05)), Gate(metric="m", ask=AtLeast(0.21)))
    definition = Definition(gates=gates, level=0.05, seed=1, looks=5, spending="obrien-fleming")
    candidate, baseline = evaluated(new, YES), evaluated(old, YES)
    planned = plan(candidate.digests, candidate.groups, definition)
    looked = look(definition, planned, lambda rows: candidate.of(sorted(rows)), (), baseline)
    assert looked.stopped_at < 200
    assert [result.decision for result in looked.results] == ["FAIL", "INCONCLUSIVE"]
    (open_one,) = looked.results[1].findings
    assert (open_one.reason, open_one.needed) == ("not decided: the run stopped when the verdict was clear", None)


@pytest.mark.parametrize(("share", "hint"), [(0.1, "max_missing: 10%"), (0.5, "leave them out by `where`")])
def test_nobody_is_told_to_allow_many_missing_scores(share: float, hint: str) -> None:
    values = np.full(100, 0.9)
    values[: int(100 * share)] = np.nan
    found = finding(Gate(metric="m", ask=AtLeast(0.5)), evaluated(values, GRADED))
    assert found.decision == "INCONCLUSIVE"
    assert hint in found.reason
    assert ("max_missing" in found.reason) == (share < 0.2)


@pytest.mark.parametrize("spread", [0.0, 0.2])
@pytest.mark.parametrize(
    ("ask", "gain"),
    [
        (NotWorse(0.05), -0.049),
        (NotWorse(0.05), -0.051),
        (Better(0.03), 0.0301),
        (Equivalent(0.05), 0.03),
        (Equivalent(0.05), -0.049),
    ],
)
def test_pairs_that_all_differ_by_the_same_tell_no_spread_and_no_number(
    ask: NotWorse | Better | Equivalent, gain: float, spread: float
) -> None:
    # Away from one value the differences are the same up to the rounding of their numbers.
    old = 0.5 + spread * np.random.default_rng(2).uniform(-1.0, 1.0, 20)
    result = decide([Gate(metric="m", ask=ask)], evaluated(old + gain, GRADED), evaluated(old, GRADED))[0]
    (finding,) = result.findings
    assert finding.decision == "INCONCLUSIVE"
    assert finding.needed is None or (finding.needed.more, finding.needed.cases) == (None, None)
    assert "all pairs differ by the same" in finding.reason


@pytest.mark.parametrize(("kind", "number"), [("near 0.9", 0.87), ("all over", 0.62), ("rare zeros", 0.8)])
def test_so_many_groups_show_a_mean_between_two_ends_as_often_as_wished(kind: str, number: float) -> None:
    rng = np.random.default_rng(11)

    def drawn(n: int) -> BoundedMean:
        near = 0.9 + 0.1 * (rng.random(n) - 0.5)
        rare = np.where(rng.random(n) < 0.05, 0.0, near)
        scores = {"near 0.9": near, "all over": rng.beta(4.0, 2.0, n), "rare zeros": rare}
        return BoundedMean(scores[kind], np.ones(n))

    seen = drawn(20_000)
    groups = groups_above(seen, number, 0.05)
    assert groups is not None
    shown = np.mean([drawn(groups).above(number) <= 0.05 for _ in range(400)])
    assert 0.74 <= shown <= 0.92
    fewer = np.mean([drawn(max(2, groups // 2)).above(number) <= 0.05 for _ in range(400)])
    assert fewer < shown - 0.2


@pytest.mark.parametrize("up", [True, False])
def test_a_mean_that_does_not_reach_it_is_never_shown(up: bool) -> None:
    mean = BoundedMean(np.full(30, 0.5), np.ones(30))
    assert needed_bounded(mean, 0.5, 0.05, up=up, n=30) == NEVER
    there = needed_bounded(mean, 0.45 if up else 0.55, 0.05, up=up, n=60)
    assert there is not None
    assert there.cases is not None
    # Two cases a group, and none differs: what was not seen is all that counts.
    assert there.cases == pytest.approx(2 * 0.5 * math.log(20) / 0.05, rel=0.1)

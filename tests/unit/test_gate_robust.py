"""Gates by a margin of improvement, and gates that hold variants against their cases."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from evalsvc.cases import Case
from evalsvc.gate.deciding import decide
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.values import Better, Gate, Robust
from evalsvc.generation import Answer
from evalsvc.perturbation import vary
from evalsvc.stats import Question, compare_paired
from evalsvc.stats.comparison import Comparison
from evalsvc.types import Scale, ScorerSpec
from evalsvc.verdicts import GateResult

GRADED, YES = Scale(0.0, 1.0, "higher"), Scale(0.0, 1.0, "higher", binary=True)


def evaluated(cases: list[Case], values: np.ndarray, scale: Scale = GRADED) -> Evaluated:
    scores = MetricScores(ScorerSpec("m", 1, scale), np.asarray(values, float).reshape(len(cases), -1), {})
    return Evaluated(
        cases=tuple(cases),
        digests=tuple(case.digest for case in cases),
        answers=tuple((Answer(response="x"),) for _ in cases),
        scores={"m": scores},
        model="m",
        model_version="1",
        signature="s",
    )


def plain(count: int) -> list[Case]:
    return [Case(case_id=f"c{place}", prompt=f"How long does parcel {place} take to Paris?") for place in range(count)]


def one(gate: Gate, new: Evaluated, old: Evaluated | None = None) -> GateResult:
    return decide([gate], new, old)[0]


GAINS = [(0.2, 0.1, "PASS"), (0.2, 0.19, "INCONCLUSIVE"), (0.0, 0.1, "FAIL")]


@pytest.mark.parametrize(("gain", "margin", "decision"), GAINS)
def test_better_by_a_margin(gain: float, margin: float, decision: str) -> None:
    rng = np.random.default_rng(1)
    cases, old = plain(100), rng.uniform(0.2, 0.6, 100)
    new = old + gain + rng.normal(0.0, 0.1, 100)
    found = one(Gate(metric="m", ask=Better(margin)), evaluated(cases, np.clip(new, 0, 1)), evaluated(cases, old))
    assert (found.decision, found.findings[0].limit) == (decision, margin)
    if decision == "FAIL":
        assert "not better by 0.1 is shown" in found.findings[0].reason


@pytest.mark.parametrize("scale", [GRADED, YES], ids=["graded", "yes or no"])
def test_a_negative_margin_is_the_same_question_about_shifted_numbers(scale: Scale) -> None:
    rng = np.random.default_rng(2)
    graded = scale is GRADED
    old, new = rng.uniform(0, 1, 200), rng.uniform(0, 1, 200)
    old, new = (old, new) if graded else ((old < 0.5).astype(float), (new < 0.8).astype(float))
    asked = compare_paired(old, new, scale, question=Question("non-inferiority", margin=-0.1))
    ahead = compare_paired(old, new, scale, question=Question("non-inferiority", margin=0.1))
    assert asked.p_value > ahead.p_value
    assert (asked.low > 0.1) == (asked.p_value <= 0.05)
    assert (asked.high < 0.1) == (asked.p_opposite <= 0.05)


def test_each_kind_of_variant_is_held_against_its_own_cases() -> None:
    sources = plain(60)
    cases = list(vary(sources, ["upper_case", "typos"], seed=3).cases)
    kinds = sorted({case.variant for case in cases if case.variant})
    assert len(kinds) == 2
    rng = np.random.default_rng(4)
    base = dict(zip((case.digest for case in sources), rng.uniform(0.5, 0.9, 60), strict=True))
    # The first kind loses 0.2, the other nothing but noise.
    values = [
        base[case.variant_of or case.digest] - 0.2 * (case.variant == kinds[0]) + rng.normal(0, 0.02) for case in cases
    ]
    found = one(Gate(metric="m", ask=Robust(0.05)), evaluated(cases, values))
    assert {finding.segment: finding.decision for finding in found.findings} == {
        f"variant={kinds[0]}": "FAIL",
        f"variant={kinds[1]}": "PASS",
    }
    assert found.decision == "FAIL"
    assert found.findings[0].n == 60
    assert found.findings[0].difference == pytest.approx(-0.2, abs=0.02)


def test_variants_weigh_as_their_cases_and_groups_are_clusters() -> None:
    sources = [
        Case(
            case_id=f"c{place}",
            prompt=f"How long takes parcel {place}?",
            weight=1.0 + place % 2,
            group=f"g{place // 2}",
        )
        for place in range(120)
    ]
    cases = list(vary(sources, ["upper_case"], seed=3).cases)
    noise = np.random.default_rng(6).normal(0, 0.01, len(cases))
    values = [0.6 - 0.1 * (case.variant != "" and case.weight == 2.0) for case in cases] + noise
    (finding,) = one(Gate(metric="m", ask=Robust(0.05)), evaluated(cases, values)).findings
    # Half of the pairs lose 0.1, with two thirds of the weight.
    assert finding.difference == pytest.approx(-0.1 * 2 / 3, abs=0.005)
    assert (finding.n, finding.n_clusters) == (120, 60)


@pytest.mark.parametrize(("loss", "decision"), [(0.0, "PASS"), (0.05, "INCONCLUSIVE"), (0.3, "FAIL")])
def test_every_kind_has_to_pass(loss: float, decision: str) -> None:
    cases = list(vary(plain(200), ["upper_case", "typos"], seed=3).cases)
    noise = np.random.default_rng(7).normal(0, 0.02, len(cases))
    values = [0.6 - loss * (case.variant == "typos") for case in cases] + noise
    found = one(Gate(metric="m", ask=Robust(0.05)), evaluated(cases, values))
    by_kind = {finding.segment: finding.decision for finding in found.findings}
    assert by_kind == {"variant=typos": decision, "variant=upper_case": "PASS"}
    assert found.decision == decision


def test_a_variant_without_a_score_does_not_help() -> None:
    sources = plain(60)
    cases = list(vary(sources, ["upper_case"], seed=3).cases)
    values = np.full(len(cases), 0.5)
    values += np.random.default_rng(5).normal(0, 0.01, len(cases))
    gate = Gate(metric="m", ask=Robust(0.05), max_missing=0.2)
    assert one(gate, evaluated(cases, values)).decision == "PASS"
    gone = [place for place, case in enumerate(cases) if case.variant][:10]
    values[gone] = np.nan
    found = one(gate, evaluated(cases, values))
    assert found.decision == "INCONCLUSIVE"
    assert (
        "10 scores are missing, and it would not pass if they went against the variants; mend that"
        in found.findings[0].reason
    )


@pytest.mark.parametrize(("loss", "allowed"), [(0.0, "PASS"), (0.14, "INCONCLUSIVE")])
def test_more_may_be_missing_where_the_suite_allows_it(loss: float, allowed: str) -> None:
    cases = list(vary(plain(200), ["upper_case"], seed=3).cases)
    variants = [place for place, case in enumerate(cases) if case.variant]
    values = 0.9 - loss * np.array([case.variant != "" for case in cases])
    values += np.random.default_rng(5).normal(0, 0.01, len(cases))
    values[variants[:16]] = np.nan
    found = one(Gate(metric="m", ask=Robust(0.2)), evaluated(cases, values))
    assert found.decision == "INCONCLUSIVE"
    assert ("allow it by `max_missing: 8%`" in found.findings[0].reason) == (allowed == "PASS")
    # What is allowed to be missing counts against the variants all the same.
    found = one(Gate(metric="m", ask=Robust(0.2), max_missing=0.08), evaluated(cases, values))
    assert found.decision == allowed
    assert ("went against the variants" in found.findings[0].reason) == (allowed != "PASS")


ABOVE = float(np.nextafter(0.05, 1.0))


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize(
    ("p", "opposite", "decision"),
    [(0.05, 0.95, "PASS"), (ABOVE, 0.95, "INCONCLUSIVE"), (0.95, 0.05, "FAIL"), (0.95, ABOVE, "INCONCLUSIVE")],
)
def test_a_p_value_at_the_level_decides(
    missing: int, p: float, opposite: float, decision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A gate's own p-value depends on the level a little, and so never meets it by itself.
    def at_level(*args: Any, **kwargs: Any) -> Comparison:
        return msgspec.structs.replace(compare_paired(*args, **kwargs), p_value=p, p_opposite=opposite)

    monkeypatch.setattr("evalsvc.gate.robust.compare_paired", at_level)
    cases = list(vary(plain(60), ["upper_case"], seed=3).cases)
    values = 0.5 + np.random.default_rng(5).normal(0, 0.2, len(cases))
    values[[place for place, case in enumerate(cases) if case.variant][:missing]] = np.nan
    gate = Gate(metric="m", ask=Robust(0.1), max_missing=0.2)
    assert one(gate, evaluated(cases, values)).decision == decision


def test_a_set_without_variants_decides_nothing() -> None:
    found = one(Gate(metric="m", ask=Robust(0.05)), evaluated(plain(5), np.full(5, 0.5)))
    assert found.decision == "INCONCLUSIVE"
    assert found.findings[0].reason == "no case is a variant of another one of the set"


def test_pairs_of_which_both_scores_are_missing_do_not_help() -> None:
    sources = plain(60)
    cases = list(vary(sources, ["upper_case"], seed=3).cases)
    values = np.full(len(cases), 0.5) + np.random.default_rng(5).normal(0, 0.01, len(cases))
    variants = [place for place, case in enumerate(cases) if case.variant]
    origins = {case.digest: place for place, case in enumerate(cases)}
    gone = [*variants[:40], *(origins[cases[place].variant_of] for place in variants[:40])]
    values[gone] = np.nan
    found = one(Gate(metric="m", ask=Robust(0.2)), evaluated(cases, values))
    assert (found.decision, found.findings[0].n_unscored) == ("INCONCLUSIVE", 40)
    assert "40 of 60 cases have no m" in found.findings[0].reason

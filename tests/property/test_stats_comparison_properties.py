"""What must hold of every comparison and every correction for many tests, whatever the scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.stats import Question, adjust_p_values, adjust_tree, compare_paired, e_lond, lord, online
from evalsvc.types import Scale

SCALES = [
    Scale(0.0, 1.0, "lower", binary=True),
    Scale(0.0, 1.0, "higher"),
    Scale(None, None, "higher"),
]
QUESTIONS = [Question(), Question("non-inferiority", 0.1), Question("equivalence", 0.2), Question(level=0.01)]


@st.composite
def cases(draw: st.DrawFn):
    scale = draw(st.sampled_from(SCALES))
    one = st.sampled_from([0.0, 1.0]) if scale.binary else st.sampled_from([i / 16 for i in range(17)])
    n = draw(st.integers(0, 45))
    old, new = (draw(st.lists(st.none() | one if scale.low == 0.0 else one, min_size=n, max_size=n)) for _ in range(2))
    clusters = draw(st.none() | st.lists(st.integers(0, 12), min_size=n, max_size=n))
    return scale, old, new, clusters


def same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(QUESTIONS))
def test_an_answer_is_complete_and_within_its_scale(drawn, question) -> None:
    scale, old, new, clusters = drawn
    found = compare_paired(old, new, scale, clusters=clusters, question=question, worst_case=True)
    assert found.n + found.n_discarded == len(old)
    assert 0.0 <= found.missing_share <= 1.0
    if found.p_value is None:
        assert (found.low, found.high, found.verdict) == (None, None, "inconclusive")
        assert found.reason
        return
    assert 0.0 <= found.p_value <= 1.0
    numbers = (found.difference, found.low, found.high, found.baseline, found.candidate)
    assert all(number is None or math.isfinite(number) for number in numbers)
    if found.low is not None and found.high is not None:
        assert found.low - 1e-9 <= found.difference <= found.high + 1e-9
    if scale.bounded:
        assert -1.0 <= found.worst_low <= found.low <= found.high <= found.worst_high <= 1.0


@settings(max_examples=100, deadline=None)
@given(cases())
def test_swapping_the_versions_turns_the_answer(drawn) -> None:
    scale, old, new, clusters = drawn
    one, other = (compare_paired(*pair, scale, clusters=clusters) for pair in ((old, new), (new, old)))
    assert same(one.difference, None if other.difference is None else -other.difference)
    # Random signings are others for the swapped versions only where there are too many clusters for all.
    if "random" not in one.method + one.test:
        assert same(one.low, None if other.high is None else -other.high)
        assert same(one.p_value, other.p_value)
        turned = {"better": "worse", "worse": "better"}
        assert one.verdict == turned.get(other.verdict, other.verdict)


@settings(max_examples=60, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_cases_changes_nothing(drawn, random) -> None:
    scale, old, new, clusters = drawn
    order = list(range(len(old)))
    random.shuffle(order)
    moved = compare_paired(
        [old[i] for i in order],
        [new[i] for i in order],
        scale,
        clusters=None if clusters is None else [clusters[i] for i in order],
    )
    found = compare_paired(old, new, scale, clusters=clusters)
    assert same(found.difference, moved.difference)
    if "random" not in found.method + found.test:
        assert same(found.low, moved.low)
        assert same(found.p_value, moved.p_value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40), st.floats(0.01, 1000))
def test_another_unit_changes_the_numbers_by_its_factor(differences, factor) -> None:
    d = np.round(np.array(differences), 3)
    one = compare_paired(np.zeros(d.size), d, SCALES[2])
    other = compare_paired(np.zeros(d.size), factor * d, SCALES[2])
    assert one.verdict == other.verdict
    if one.low is not None:
        assert other.low == pytest.approx(factor * one.low, rel=1e-6, abs=1e-9 * factor)


p_values = st.lists(st.none() | st.floats(0.0, 1.0), max_size=30)


@given(p_values, st.sampled_from(["benjamini-hochberg", "benjamini-yekutieli", "holm"]))
def test_corrections_only_raise_p_values_and_keep_their_order(values, procedure) -> None:
    named = {str(i): p for i, p in enumerate(values)}
    found = adjust_p_values(named, procedure=procedure)
    pairs = sorted((p, a) for p, a in zip(values, found.adjusted, strict=True) if p is not None and a is not None)
    assert all(p <= a + 1e-12 <= 1.0 + 1e-9 for p, a in pairs)
    assert [a for _, a in pairs] == sorted(a for _, a in pairs)
    assert found.m == len(pairs)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.dictionaries(st.sampled_from("xyz"), st.floats(0.0, 1.0)), max_size=4)
)
def test_below_what_is_not_rejected_nothing_is(tree) -> None:
    found = set(adjust_tree(tree).found)
    assert all(name.rsplit(" / ", 1)[0] in found for name in found if " / " in name)


@given(st.lists(st.floats(0.0, 1.0), max_size=40))
def test_online_levels_never_spend_more_than_was_earned(values) -> None:
    for step, spent_by in ((lord, 0.05), (e_lond, 0.05)):
        state, spent = online(0.05), 0.0
        for p in values:
            made = step(state, p if step is lord else 1.0 / max(p, 1e-12))
            assert made.state.found == state.found + made.rejected
            state, spent = made.state, spent + made.level
            assert made.rejected == (state.tests in state.rejections) or step is e_lond
        # The estimate of the false discovery rate that both keep below the level.
        earned = max(1, state.found) if step is lord else (state.found + 1)
        assert spent <= spent_by * earned + 1e-12

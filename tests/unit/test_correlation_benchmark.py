"""The correlation benchmark: correlations within sources, across systems, and their interval, on made ratings."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from scipy import stats

from evalsvc.testing.samples import make_sample

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("benchmarks/correlation.py is not beside the tests", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
try:
    import correlation
finally:
    sys.path.remove(str(BENCHMARKS))


def rated(source, group, system, rating, response="a b"):
    return correlation.Rated(source, group, system, {"quality": rating}, make_sample(response=response))


def test_the_mean_is_over_sources_and_undefined_ones_are_left_out():
    ratings = {"up": [1, 2, 3, 4], "down": [4, 3, 2, 1], "flat": [2, 2, 2, 2], "few": [1, 2]}
    items = [
        rated(source, "doc", str(system), value)
        for source, values in ratings.items()
        for system, value in enumerate(values)
    ]
    ours = [float(item.system) for item in items]
    found = correlation.within_sources(items, "quality", ours, stats.spearmanr)
    assert found == {"doc": pytest.approx([1.0, -1.0])}


def test_what_abstained_takes_no_part():
    items = [rated("one", "doc", str(system), system) for system in range(5)]
    found = correlation.within_sources(items, "quality", [0.0, 1.0, 2.0, 3.0, math.nan], stats.pearsonr)
    assert found == {"doc": pytest.approx([1.0])}


def test_systems_are_compared_by_their_means():
    items = [rated(source, source, str(system), system) for source in "ab" for system in range(4)]
    ours = [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, -9.0]
    assert correlation.across_systems(items, "quality", ours) == pytest.approx(
        stats.spearmanr(range(4), [0, 1, 2, -3])[0]
    )
    assert math.isnan(correlation.across_systems(items[:3], "quality", ours[:3]))


def test_the_interval_holds_the_mean_and_needs_two_documents():
    low, high = correlation.bootstrap({"a": [0.1, 0.3], "b": [0.5], "c": [0.4, 0.2, 0.6]})
    assert 0.2 <= low < 0.35 < high <= 0.5
    assert all(map(math.isnan, correlation.bootstrap({"a": [0.1, 0.3]})))


def test_what_is_better_when_lower_is_turned_round():
    items = [rated("one", "doc", "1", 1, "a b c d a b c d"), rated("one", "doc", "2", 1, "a b")]
    value, none = correlation.values("repetition", items)
    assert value == pytest.approx(-0.2)
    assert math.isnan(none)


@pytest.mark.parametrize(
    ("severity", "category", "weight"),
    [
        ("Major", "Accuracy/Mistranslation", 5.0),
        ("Minor", "Style/Awkward", 1.0),
        ("Minor", "Fluency/Punctuation", 0.1),
        ("Major", "Fluency/Punctuation", 5.0),
        ("No-error", "No-error", 0.0),
    ],
)
def test_mqm_weights(severity, category, weight):
    assert correlation._weight({"severity": severity, "category": category}) == weight


def test_sentences_in_lower_case_get_their_capitals_for_scorers_that_cut_them():
    sample = make_sample(response="we sell . you buy . mr. x waits ! done.")
    assert correlation._with_capitals(sample).event.response == "We sell . You buy . Mr. x waits ! Done."

"""The sentences of alerts, word for word."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from evalsvc.rules import Budget, Change, Drift, Observation, Rule, Threshold, Transition
from evalsvc.rules.templates import values_of
from evalsvc.rules.wording import SAYINGS, describe
from evalsvc.types import Estimate, Window

START = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)
LABELS = {"alertname": "RefusalsRose", "severity": "page", "metric": "refusal", "consumer": "quality", "language": "de"}
BELOW = Threshold("below", 0.8, 0.85, "proportion")


def estimate(value: float | None, low: float | None, high: float | None, **options) -> Estimate:
    known = {"n": 1234, "n_effective": 1000.0, "n_missing": 25, "missing_share": 0.0198, "confidence": 1 - 1 / 21600}
    return Estimate(value, low, high, window=Window(START - timedelta(hours=1), START), **{**known, **options})


def rule(condition=Threshold("above", 0.2, 0.15), **options) -> Rule:  # noqa: B008 - a frozen value
    return Rule(alert="RefusalsRose", metric="refusal", condition=condition, **{"window_seconds": 3600.0, **options})


def told(seen: Observation | None, after="firing", minutes: int = 0, **options) -> Transition:
    known = {"id": "t", "fingerprint": "f", "labels": LABELS, "rule": "RefusalsRose", "consumer": "quality", "key": {}}
    at = START + timedelta(minutes=minutes)
    given = {**known, "reason": "", **options}
    return Transition(episode=START, before="pending", after=after, at=at, observation=seen, **given)


def observed(value: Estimate | None, verdict="bad", **options) -> Observation:
    return Observation(verdict=verdict, window=Window(START - timedelta(hours=1), START), estimate=value, **options)


def test_a_threshold_that_fires() -> None:
    assert describe(rule(), told(observed(estimate(0.31, 0.2512, 0.37)), minutes=10)) == (
        "For consumer=quality, language=de: the mean of refusal over the last 1h is 0.31 (0.2512 … 0.37), its "
        "whole interval above the limit of 0.2. It has been so since 2026-03-01 04:00 UTC, for 10m. That rests "
        "on 1,234 scored events; 2.0% of the sampled ones have no score. Intervals are at 99.995%: one false "
        "alarm in 30d is allowed to this rule."
    )


def test_a_threshold_that_is_over() -> None:
    found = describe(rule(), told(observed(estimate(0.12, 0.1, 0.15), "good"), "resolved", minutes=130))
    assert found == (
        "Over for consumer=quality, language=de: the mean of refusal over the last 1h is 0.12 (0.1 … 0.15), not "
        "above 0.15. It began 2026-03-01 04:00 UTC, ended 2026-03-01 06:10 UTC and lasted 2h10m. That rests on "
        "1,234 scored events; 2.0% of the sampled ones have no score."
    )


def test_a_percentile_with_a_unit_of_everybody_without_missing_scores() -> None:
    slow = rule(Threshold("above", 900.0, 900.0, "p95"), false_alarms=Budget(2.0, 604_800.0))
    seen = observed(estimate(12_345.6, 1100.0, 15_000.0, missing_share=0.0, n=1, confidence=0.999))
    assert describe(slow, told(seen, labels={"alertname": "Slow"}), "ms") == (
        "The 95th percentile of refusal over the last 1h is 12,350 ms (1,100 … 15,000), its whole interval above "
        "the limit of 900 ms. It has been so since 2026-03-01 04:00 UTC. That rests on 1 scored event. Intervals "
        "are at 99.9%: 2 false alarms in 7d are allowed to this rule."
    )


def test_a_share_below_its_limit() -> None:
    assert describe(rule(BELOW), told(observed(estimate(0.7, 0.65, 0.75)))).startswith(
        "For consumer=quality, language=de: the proportion of refusal over the last 1h is 0.7 (0.65 … 0.75), its "
        "whole interval below the limit of 0.8. "
    )
    back = told(observed(estimate(0.9, 0.85, 0.95), "good"), "resolved")
    assert "is 0.9 (0.85 … 0.95), not below 0.85. " in describe(rule(BELOW), back)


@pytest.mark.parametrize(("direction", "verb"), [("fell", "fell"), ("rose", "rose"), ("either", "moved")])
def test_a_change_says_from_what_to_what_and_when_it_began(direction, verb) -> None:
    seen = observed(
        estimate(0.79, 0.75, 0.83),
        baseline=estimate(0.84, 0.83, 0.85),
        since=START - timedelta(minutes=12),
    )
    assert describe(rule(Change(direction, 0.02, 604_800.0)), told(seen)).startswith(
        f"For consumer=quality, language=de: the mean of refusal {verb} from 0.84 (0.83 … 0.85) in the 7d before "
        "to 0.79 (0.75 … 0.83) over the last 1h. It began about 2026-03-01 03:48 UTC and was noticed 2026-03-01 "
        "04:00 UTC. That rests on"
    )


def test_the_intervals_of_a_change_may_be_at_two_levels() -> None:
    baseline = estimate(0.84, 0.83, 0.85, confidence=0.999)
    seen = observed(estimate(0.79, 0.75, 0.83), baseline=baseline, since=START)
    assert describe(rule(Change("fell", 0.02, 604_800.0)), told(seen)).endswith(
        "Intervals are at 99.9% and 99.995%: one false alarm in 30d is allowed to this rule."
    )


def test_a_change_that_is_over() -> None:
    seen = observed(estimate(0.84, 0.8, 0.88), "good", baseline=estimate(0.84, 0.83, 0.85))
    assert describe(rule(Change("fell", 0.02, 604_800.0)), told(seen, "resolved", 60)).startswith(
        "Over for consumer=quality, language=de: the mean of refusal is 0.84 (0.8 … 0.88) over the last 1h, back "
        "at what it was before: 0.84 (0.83 … 0.85). It began 2026-03-01 04:00 UTC, ended 2026-03-01 05:00 UTC "
        "and lasted 1h."
    )


@pytest.mark.parametrize("seen", [None, observed(None, "error"), observed(estimate(None, None, None, n=0), "no_data")])
def test_trouble_is_said_to_be_trouble(seen) -> None:
    assert describe(rule(), told(seen, reason="the store does not answer")) == (
        "For consumer=quality, language=de: refusal could not be judged: the store does not answer. It has been "
        "so since 2026-03-01 04:00 UTC."
    )


class Other(msgspec.Struct, frozen=True, tag="other"):
    """A kind of condition without sentences of its own."""


def test_a_kind_without_sentences_says_what_was_seen() -> None:
    other = msgspec.structs.replace(rule(), condition=Other())
    seen = observed(estimate(0.79, 0.75, 0.83), baseline=estimate(0.84, 0.83, 0.85), reason="fr is 5 points behind de.")
    assert describe(other, told(seen)).startswith(
        "For consumer=quality, language=de: refusal is out of bounds at 0.79 (0.75 … 0.83) over the last 1h, "
        "held against 0.84 (0.83 … 0.85): fr is 5 points behind de. It has been so since 2026-03-01 04:00 UTC."
    )
    assert describe(other, told(observed(None, reason="no event for 20 minutes"))) == (
        "For consumer=quality, language=de: refusal is out of bounds: no event for 20 minutes. It has been so "
        "since 2026-03-01 04:00 UTC."
    )
    assert "is good again: events come" in describe(
        other, told(observed(None, "good", reason="events come"), "resolved")
    )


def test_an_undefined_value_is_unknown_and_promises_nothing() -> None:
    assert describe(rule(), told(observed(estimate(None, None, None, n=0), reason="nothing scored"))) == (
        "For consumer=quality, language=de: refusal could not be judged: nothing scored. It has been so since "
        "2026-03-01 04:00 UTC."
    )


def test_a_metrics_name_stays_as_it_is_written() -> None:
    assert describe(rule(), told(None, labels={}, reason="down")).startswith("refusal could not be judged: down. ")


def test_every_saying_is_of_a_kind_of_condition() -> None:
    assert {Threshold, Change} <= set(SAYINGS)


@pytest.mark.parametrize(
    ("side", "low", "high", "said"),
    [
        ("above", 3.2, None, "is 3.9 s (at least 3.2), its whole interval above the limit of 3 s."),
        ("below", None, 2.5, "is 3.9 s (at most 2.5), its whole interval below the limit of 3 s."),
    ],
)
def test_an_interval_that_is_open_on_a_side_says_the_other(side, low, high, said) -> None:
    slow = rule(Threshold(side, 3.0, 3.0, "p99"))
    transition = told(observed(estimate(3.9, low, high)))
    shown = describe(slow, transition, "s")
    assert said in shown
    assert "Intervals are at 99.995%" in shown
    assert values_of(slow, transition)["interval"] == said.partition("(")[2].partition(")")[0]
    assert "is 3.9 s, its whole interval" in describe(slow, told(observed(estimate(3.9, None, None))), "s")


def test_a_long_window_is_as_long_as_it_was_and_drifts_is_an_earlier_one() -> None:
    long = Window(START - timedelta(hours=6, minutes=35), START)
    seen = Observation(verdict="bad", window=long, estimate=estimate(0.31, 0.25, 0.37))
    made = rule(window_seconds=21_600.0)
    assert "the mean of refusal over the last 6h35m is 0.31" in describe(made, told(seen))
    assert values_of(made, told(seen))["window"] == "6h35m"
    assert values_of(made, told(None))["window"] == "6h"
    day = Window(START - timedelta(hours=28), START - timedelta(hours=4))
    moved = Observation(verdict="bad", window=day, estimate=estimate(0.31, 0.25, 0.37))
    assert "at 0.31 (0.25 … 0.37) over the 1d to 2026-03-01 00:00 UTC" in describe(rule(Drift(86_400.0)), told(moved))


def test_it_says_what_the_rule_is_narrowed_to_and_not_what_it_labels_itself() -> None:
    one = msgspec.structs.replace(
        rule(), where={"application": ("shop", "help"), "segments.language": ("de",)}, labels={"team": "search"}
    )
    said = describe(one, told(None, labels={"team": "search", "consumer": "quality", "language": "de"}, reason="down"))
    assert said.startswith("For application=shop or help, consumer=quality, language=de: ")
    assert "search" not in said

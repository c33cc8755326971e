"""Costs read from a store: totals of a metric, exact or estimated, and what scores say that a judge was paid."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from evalsvc.ruler import backtest
from evalsvc.ruler.kinds import cost
from evalsvc.rules import Cost, Rule
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, ScorerSpec, Window
from tests.watched import MINUTE, START, at, followed, group_of, look, one, score, stored, told

USD = ScorerSpec("cost_usd", 1, Scale(0.0, None, "lower", "USD"))
JUDGE = ScorerSpec("judge", 1, Scale(0.0, 1.0, "higher"))
ROSE, FELL = at(3), at(4)


def rule_of(of="metric", limit=1.0, **options) -> Rule:
    made = {"window_seconds": 1800.0, "by": ("model_version",)} | options
    return Rule(alert="Costs", metric="cost_usd" if of == "metric" else "judge", condition=Cost(of, limit), **made)


def detail(dollars: float | None) -> str:
    return msgspec.json.encode({"cost_usd": dollars, "calls": 1, "input_tokens": 10}).decode()


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Six hours of two versions that cost about .6 dollars in half an hour; the second five times that for an hour."""
    rng = np.random.default_rng(4)
    scores = []
    for minute in range(6 * 60):
        moment = START + minute * MINUTE
        for version in ("1", "2"):
            times = 5.0 if version == "2" and ROSE <= moment < FELL else 1.0
            for n in range(2):
                name, amount = f"{version}.{minute}.{n}", times * 0.01 * float(rng.lognormal(0.0, 0.3))
                scores.append(score(moment, amount, name, spec=USD, version=version))
                scores.append(score(moment, 0.9, name, spec=JUDGE, version=version, detail=detail(amount / 10)))
    return stored(scores, [USD, JUDGE])


@pytest.mark.parametrize(("of", "limit"), [("metric", 1.0), ("judge", 0.1)])
def test_an_expensive_hour_is_told_for_its_version_and_is_over_when_it_is(store, of, limit) -> None:
    fired, resolved = told(store, rule_of(of, limit), at(1), at(6))
    assert (fired.labels["model_version"], fired.after, resolved.after) == ("2", "firing", "resolved")
    assert ROSE < fired.at <= ROSE + 15 * MINUTE
    assert FELL < resolved.at <= FELL + 45 * MINUTE
    assert " USD in 30m, " in fired.reason
    rule = rule_of(of, limit)
    (page,) = backtest(store, group_of(rule), rule, Window(at(1), at(6))).pages
    assert (page.fired.id, page.resolved.id) == (fired.id, resolved.id)


def test_quiet_hours_are_good(store) -> None:
    looks = [seen.observation.verdict for _, seen, _, _ in followed(store, rule_of(), at(1), ROSE)]
    assert looks == ["good"] * 2 * 25


def test_totals_of_events_that_were_all_taken_are_sums(store) -> None:
    window = Window(at(1.5), at(2))
    amounts = [
        held.value for _, held in store._scores.values()
        if held.metric == "cost_usd" and held.subject.occurred_at in window
    ]  # fmt: skip
    for of, part in (("metric", 1.0), ("judge", 0.1)):
        found = one(store, rule_of(of, by=()), at(2) + 2 * MINUTE).observation.estimate
        assert (found.value, found.low, found.high) == pytest.approx((part * sum(amounts),) * 3, rel=1e-6)
        assert found.n == 120


def test_a_sampled_total_is_an_estimate_and_bad_only_as_a_whole() -> None:
    scores = [score(START + n / 2 * MINUTE, 0.01, f"e{n}", spec=USD, pi=0.25) for n in range(60)]
    scores += [score(START + n / 2 * MINUTE, 0.02, f"f{n}", spec=USD, pi=0.25) for n in range(60)]
    store = stored(scores, [USD])
    for limit, verdict in ((1.0, "bad"), (6.0, "unclear"), (10.0, "good")):
        found = one(store, rule_of(limit=limit, by=()), at(0.5) + 2 * MINUTE).observation
        assert (found.verdict, found.estimate.value) == (verdict, pytest.approx(7.2))
        assert found.estimate.low < found.estimate.value < found.estimate.high
    assert found.estimate.confidence == pytest.approx(1 - 2 * 300 / (30 * 86_400))


def test_the_newest_version_of_a_metric_counts_and_every_version_of_a_judge() -> None:
    both = [USD, msgspec.structs.replace(USD, version=2)]
    judges = [JUDGE, msgspec.structs.replace(JUDGE, version=2)]
    scores = []
    for version in range(2):
        for n in range(40):
            moment = START + (n / 2 + 5 * version) * MINUTE
            scores.append(score(moment, 0.01, f"e{n}", spec=both[version]))
            scores.append(score(moment, 0.5, f"e{n}", spec=judges[version], detail=detail(0.01)))
    store = stored(scores, [*both, *judges])
    now = at(0.5) + 2 * MINUTE
    assert one(store, rule_of(by=()), now).observation.estimate.value == pytest.approx(0.4)
    assert one(store, rule_of("judge", by=()), now).observation.estimate.value == pytest.approx(0.8)


def test_scores_without_a_cost_are_said() -> None:
    priced = [score(START + n * MINUTE, 0.5, f"p{n}", spec=JUDGE, detail=detail(0.5)) for n in range(4)]
    odd = ["", detail(None), '{"cost_usd": "free"}', '{"cost_usd": -1}', "[1]"]
    unpriced = [score(START + n * MINUTE, 0.5, f"u{n}", spec=JUDGE, detail=text) for n, text in enumerate(odd)]
    failed = [score(START + n * MINUTE, None, f"f{n}", spec=JUDGE) for n in range(2)]
    now = at(0.5) + 2 * MINUTE
    seen = one(stored([*priced, *unpriced, *failed], [JUDGE]), rule_of("judge", by=()), now).observation
    assert (seen.verdict, seen.estimate.value) == ("bad", 2.0)
    assert seen.reason.endswith("; what 2 scores without a value cost is not stored; 5 scores hold no cost")
    seen = one(stored([*unpriced, *failed], [JUDGE]), rule_of("judge", by=()), now).observation
    assert (seen.verdict, seen.reason) == ("no_data", cost.UNPRICED)
    seen = one(stored(failed, [JUDGE]), rule_of("judge", by=()), now).observation
    assert (seen.verdict, seen.reason[:36]) == ("no_data", "no score in the window has a value, ")
    assert look(stored(failed, [JUDGE]), rule_of("judge", by=()), at(9)) == []


def test_of_too_many_scores_a_random_part_makes_an_estimate(store, monkeypatch) -> None:
    exact = one(store, rule_of("judge", by=(), window_seconds=7200.0), at(3)).observation.estimate
    monkeypatch.setattr(cost, "MOST_SCORES", 200)
    seen = one(store, rule_of("judge", by=(), window_seconds=7200.0), at(3)).observation
    assert seen.estimate.n == 200
    assert seen.estimate.low < exact.value < seen.estimate.high
    assert seen.reason.endswith("; from a random 41.7% of the scores")

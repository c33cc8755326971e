"""Sampling: the frozen selection, rates, nesting, rules, versions and the next hour's rate."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evalsvc.errors import InputError
from evalsvc.sampling import (
    MAX_STRATA,
    OTHER,
    SPAN,
    Condition,
    Design,
    History,
    Rule,
    Sampler,
    StratumRate,
    draw,
    next_hour,
    parse_stratum,
    scorer_pi,
    stratum_label,
    threshold,
)
from evalsvc.types import Event

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VECTORS = json.loads((Path(__file__).parent / "sampling_vectors.json").read_text())


def event(number: int = 0, **facts: object) -> Event:
    return Event(**{"event_id": f"event-{number}", "occurred_at": NOON, "application": "support", **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize("vector", VECTORS["draws"], ids=lambda v: f"{v['salt']}/{v['unit_id']}")
def test_draw_is_frozen(vector: dict[str, str]) -> None:
    assert draw(vector["salt"], vector["unit_id"]) == int(vector["draw"], 16)


@pytest.mark.parametrize("vector", VECTORS["thresholds"], ids=lambda v: str(v["rate"]))
def test_threshold_is_frozen(vector: dict[str, str]) -> None:
    assert threshold(float(vector["rate"])) == int(vector["threshold"], 16)


def test_draw_follows_its_specification_without_our_code() -> None:
    by_hand = hashlib.sha256("evalsvc/1\0größe\0Ünit-7".encode()).hexdigest()[:16]
    assert draw("größe", "Ünit-7") == int(by_hand, 16)


def test_draws_are_uniform() -> None:
    draws = sorted(draw("s", f"unit-{i}") / SPAN for i in range(20_000))
    distance = max(abs(value - (i + 0.5) / len(draws)) for i, value in enumerate(draws))
    assert distance < 1.63 / math.sqrt(len(draws))  # Kolmogorov-Smirnov at 1 %


def test_rates_nest_and_hold() -> None:
    low, high = Sampler(Design(consumer="c", rate=0.05)), Sampler(Design(consumer="c", rate=0.2))
    taken = {rate: set() for rate in ("low", "high")}
    for i in range(20_000):
        for name, sampler in (("low", low), ("high", high)):
            selection = sampler.select(event(i))
            assert selection is not None
            if selection.pi is not None:
                taken[name].add(i)
    assert taken["low"] < taken["high"]
    assert len(taken["high"]) == pytest.approx(4000, abs=5 * math.sqrt(20_000 * 0.2 * 0.8))


def test_other_salt_draws_independently() -> None:
    one, two = Sampler(Design(consumer="c", rate=0.5)), Sampler(Design(consumer="c", rate=0.5, salt="other"))
    both = sum(
        one.select(event(i)).pi is not None and two.select(event(i)).pi is not None  # type: ignore[union-attr]
        for i in range(10_000)
    )
    assert both == pytest.approx(2500, abs=5 * math.sqrt(10_000 * 0.25 * 0.75))


def test_session_unit_takes_all_or_nothing() -> None:
    sampler = Sampler(Design(consumer="c", rate=0.3, unit="session"))
    for session in range(200):
        selections = [sampler.select(event(turn, session_id=f"s{session}")) for turn in range(4)]
        assert len({selection.pi is None for selection in selections if selection}) == 1


def test_session_unit_without_a_session_is_the_event() -> None:
    by_session, by_event = (
        Sampler(Design(consumer="c", rate=0.3, unit="session")),
        Sampler(Design(consumer="c", rate=0.3)),
    )
    assert [by_session.select(event(i)) for i in range(500)] == [by_event.select(event(i)) for i in range(500)]


def test_stratum_rates_first_match_counts() -> None:
    design = Design(
        consumer="c",
        rate=0.01,
        strata=("application", "segments.plan"),
        rates=(StratumRate({"segments.plan": "pro"}, 1.0), StratumRate({"application": "support"}, 0.5)),
    )
    sampler = Sampler(design)
    pro = sampler.select(event(segments={"plan": "pro"}))
    assert pro is not None
    assert (pro.stratum, pro.pi) == ("application=support,segments.plan=pro", 1.0)
    assert sampler.rate_of({"application": "support", "segments.plan": "free"}) == 0.5
    assert sampler.rate_of({"application": "other", "segments.plan": ""}) == 0.01


def test_always_rule_is_a_stratum_of_its_own_with_pi_one() -> None:
    slow = Rule("slow", (Condition("latency_ms", "gte", number=20_000),))
    sampler = Sampler(Design(consumer="c", rate=1e-6, always=(slow,)))
    taken = sampler.select(event(latency_ms=25_000.0))
    assert taken is not None
    assert (taken.pi, parse_stratum(taken.stratum)["always"]) == (1.0, "slow")
    quick, unknown = sampler.select(event(latency_ms=10.0)), sampler.select(event())
    assert quick is not None
    assert unknown is not None
    assert quick.pi is None
    assert unknown.pi is None


@pytest.mark.parametrize(
    ("condition", "meets"),
    [
        (Condition("segments.plan", "in", ("pro", "team")), True),
        (Condition("segments.plan", "not_in", ("pro",)), False),
        (Condition("segments.region", "not_in", ("eu",)), True),
        (Condition("segments.region", "in", ("eu",)), False),
        (Condition("finish_reason", "in", ("length",)), True),
        (Condition("cost_usd", "lt", number=0.5), True),
        (Condition("cost_usd", "gt", number=0.25), False),
        (Condition("cost_usd", "lte", number=0.25), True),
        (Condition("input_tokens", "gte", number=0), False),
    ],
)
def test_keep_filters(condition: Condition, meets: bool) -> None:
    sampler = Sampler(Design(consumer="c", keep=(Rule("r", (condition,)),)))
    subject = event(segments={"plan": "pro"}, finish_reason="length", cost_usd=0.25)
    assert (sampler.select(subject) is not None) is meets


def test_strata_are_bounded() -> None:
    sampler = Sampler(Design(consumer="c", strata=("segments.user",)))
    labels = {sampler.select(event(i, segments={"user": str(i)})).stratum for i in range(MAX_STRATA + 50)}  # type: ignore[union-attr]
    assert len(labels) == MAX_STRATA + 1
    assert OTHER in labels


def test_labels_come_back() -> None:
    label = stratum_label(("application", "segments.a"), ("x=1|always=y", "50%,"), "rule|,=")
    assert parse_stratum(label) == {"application": "x=1|always=y", "segments.a": "50%,", "always": "rule|,="}


def test_history_of_a_year_of_hours_compiles_only_what_is_met() -> None:
    made: list[int] = []

    def make(design: Design) -> Sampler:
        made.append(design.version)
        return Sampler(design)

    hourly = [(NOON + timedelta(hours=i), Design(consumer="c", version=10**7 + i, rate=1.0)) for i in range(1, 9000)]
    history = History([(NOON, Design(consumer="c", version=1, rate=1.0)), *hourly], make)
    facts = event(occurred_at=NOON + timedelta(hours=7, minutes=59))
    selections = [history.select(facts) for _ in range(3)]
    assert [found.version for found in selections if found] == [10**7 + 7] * 3
    assert made == [10**7 + 7]


def test_history_uses_the_version_of_the_event_time() -> None:
    first, second = Design(consumer="c", rate=1.0), Design(consumer="c", rate=1e-9, version=2)
    history = History([(NOON, second), (NOON - timedelta(days=9), first)])
    before, after = history.select(event(occurred_at=NOON - timedelta(seconds=1))), history.select(event())
    assert before is not None
    assert after is not None
    assert (before.version, before.pi, after.version, after.pi) == (1, 1.0, 2, None)
    assert history.at(NOON - timedelta(days=99)) == first


def test_nested_scorer_rate_is_a_subset() -> None:
    taken = [draw("c", f"u{i}") for i in range(20_000)]
    sampled = [number for number in taken if number < threshold(0.4)]
    scored = [number for number in sampled if scorer_pi(0.4, number, 0.1) == pytest.approx(0.04)]
    assert len(scored) == pytest.approx(800, abs=5 * math.sqrt(800))
    assert scorer_pi(0.4, sampled[0], 1.0) == 0.4


def test_next_hour_meets_its_target() -> None:
    design = Design(
        consumer="c",
        rate=0.1,
        target_per_hour=500,
        rates=(StratumRate({"application": "small"}, 0.5),),
    )
    offered = {
        "application=big,model_version=1": 100_000,
        "application=small,model_version=1": 300,
        "application=big,model_version=1|always=slow": 40,
    }
    chosen = next_hour(design, offered, NOON)
    expected = 40 + 100_000 * chosen.rate + 300 * chosen.rates[0].rate
    assert expected == pytest.approx(500, rel=1e-6)
    assert chosen.rates[0].rate / chosen.rate == pytest.approx(5)
    again = next_hour(design, offered, NOON + timedelta(hours=1))
    assert (chosen.version // 10**7, again.version - chosen.version) == (1, 1)
    with pytest.raises(InputError, match="operator's design"):
        next_hour(chosen, offered, NOON + timedelta(hours=1))


def test_an_hours_version_ends_with_the_operators_version_that_it_was_made_from() -> None:
    first = Design(consumer="c", rate=0.01, target_per_hour=10)
    chosen = next_hour(first, {"application=a,model_version=": 1000}, NOON)
    second = Design(consumer="c", rate=0.5, version=2)
    versions = [(NOON - timedelta(days=9), first), (NOON, chosen), (NOON - timedelta(minutes=10), second)]
    assert History(versions).at(NOON + timedelta(hours=11)) == second
    late = [(NOON - timedelta(days=9), first), (NOON, chosen), (NOON + timedelta(minutes=20), second)]
    assert History(late).at(NOON + timedelta(minutes=5)) == chosen
    assert History(late).at(NOON + timedelta(minutes=25)) == second


def test_strata_are_named_by_masked_values() -> None:
    design = Design(
        consumer="c",
        strata=("application", "segments.customer"),
        rate=0.001,
        always=(Rule("slow", (Condition("latency_ms", "gte", number=1.0),)),),
    )
    sampler = Sampler(design, lambda fields, values: ["*" for _ in values])
    labels = {
        sampler.select(event(i, segments={"customer": "ada@example.org"}, latency_ms=float(i % 2))).stratum  # type: ignore[union-attr]
        for i in range(50)
    }
    assert labels == {"application=*,segments.customer=*", "application=*,segments.customer=*|always=slow"}


def test_next_hour_takes_all_when_there_is_little() -> None:
    chosen = next_hour(Design(consumer="c", rate=0.1, target_per_hour=500), {"application=a,model_version=": 20}, NOON)
    assert chosen.rate == 1.0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rate": 0.0}, r"`rate` in \(0, 1\], but got 0.0"),
        ({"rate": 1.5}, r"`rate` in \(0, 1\]"),
        ({"scorer_rates": {"x": 2.0}}, r"scorer_rates.x"),
        ({"strata": ("prompt",)}, "stratum of"),
        ({"rates": (StratumRate({"segments.x": "y"}, 0.5),)}, "match fields of `strata`"),
        ({"target_per_hour": 0}, "target_per_hour"),
    ],
)
def test_design_refuses_what_cannot_be(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Design(consumer="c", **kwargs)  # type: ignore[arg-type]


def test_condition_refuses_a_wrong_operator_or_field() -> None:
    with pytest.raises(InputError, match="gte, gt, lte or lt"):
        Condition("latency_ms", "in", ("1",))
    with pytest.raises(InputError, match="Expected a field"):
        Condition("prompt", "in", ("1",))


def test_equal_designs_have_equal_json() -> None:
    one = Design(consumer="c", scorer_rates={"a": 0.5, "b": 0.1})
    two = Design(consumer="c", scorer_rates={"b": 0.1, "a": 0.5})
    assert one.to_json() == two.to_json()

"""From scores and a ledger in a store to labelled estimates."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from evalsvc.errors import InputError, UnknownMetric
from evalsvc.protocols import Offered
from evalsvc.query import (
    EstimateQuery,
    csv_columns,
    estimates,
    estimates_of_all,
    sampling_rates,
    to_csv_row,
    to_json,
    with_worst_case,
)
from evalsvc.sampling import Design, Rule, StratumRate
from evalsvc.stats import sampling_check
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Estimate, LedgerCount, LedgerEntry, Scale, Score, ScorerSpec, Subject, Window, WriteBatch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = Window(NOON, NOON + timedelta(hours=1))
REFUSAL = ScorerSpec("refusal", 1, Scale(0.0, 1.0, "lower", binary=True))
LATENCY = ScorerSpec("latency_ms", 1, Scale(0.0, None, "lower", "ms"))
FREE, PRO = "application=support,segments.plan=free", "application=support,segments.plan=pro"


class World:
    """A store, and counters that make every event another one."""

    def __init__(self, **design):
        self.store = MemoryStore()
        self.store.record_scorers([REFUSAL, LATENCY])
        self.events = self.rows = 0
        rates = (StratumRate({"segments.plan": "free"}, 0.1),)
        fields = {"rate": 1.0, "rates": rates, "strata": ("application", "segments.plan"), **design}
        self.design = Design("quality", **fields)
        self.store.record_design("quality", 1, NOON - timedelta(days=1), self.design.to_json())

    def scores(
        self,
        stratum,
        values,
        pi,
        *,
        metric="refusal",
        version=1,
        consumer="quality",
        at=0,
        lang="en",
        session=None,
        lacking="failed",
    ):
        made = []
        for value in values:
            self.events += 1
            plan = stratum.rpartition("plan=")[2]
            subject = Subject(
                f"e{self.events}", NOON + timedelta(seconds=at), consumer, "support", "m", "1",
                {"plan": plan, "lang": lang}, session or f"s{self.events}", stratum, 1,
            )  # fmt: skip
            status, reason = ("ok", "") if value is not None else (lacking, "unparsed")
            made.append(Score(subject, metric, version, "", pi, status, value, reason))
        self.store.write(WriteBatch(scores=tuple(made)))

    def offer(self, stratum, skipped, sampled, duplicate=0, *, consumer="quality", at=0):
        self.rows += 1
        minute = int((NOON + timedelta(seconds=at)).timestamp()) // 60
        outcomes = {"skipped": skipped, "sampled": sampled, "duplicate": duplicate}
        counts = tuple(LedgerCount(minute, stratum, 1, outcome, count) for outcome, count in outcomes.items() if count)
        entry = LedgerEntry(consumer, f"p{self.rows}", 0, sum(outcomes.values()), counts)
        self.store.write(WriteBatch(ledger=(entry,)))

    def ask(self, metric="refusal", window=HOUR, step=3600, **fields):
        return estimates(self.store, EstimateQuery(metric, window, step, **fields))


@pytest.fixture
def world():
    made = World()
    made.scores(FREE, [1.0] * 5 + [0.0] * 45, 0.1)
    made.offer(FREE, 450, 50)
    made.scores(PRO, [1.0] * 50 + [0.0] * 50, 1.0)
    made.offer(PRO, 0, 100)
    return made


def test_all_traffic_is_post_stratified_on_what_was_offered(world) -> None:
    (row,) = world.ask()
    assert row.estimate.value == pytest.approx((500 * 0.1 + 100 * 0.5) / 600)
    assert (row.estimate.offered, row.estimate.n, row.estimate.window) == (600, 150, HOUR)
    assert row.estimate.method.startswith("post-stratified")
    assert row.estimate.low < row.estimate.value < row.estimate.high


def test_a_group_of_whole_strata_is_post_stratified_too(world) -> None:
    free, pro = world.ask(by=("segments.plan",))
    assert (free.labels, free.estimate.offered) == ({"segments.plan": "free"}, 500)
    assert (pro.estimate.value, pro.estimate.low, pro.estimate.high, pro.estimate.offered) == (
        0.5,
        0.5,
        0.5,
        100,
    )
    (only,) = world.ask(where={"segments.plan": ("pro",)})
    assert only.estimate == pro.estimate
    (both,) = world.ask(where={"segments.plan": ("pro", "free"), "application": ("support",)})
    assert both.estimate.offered == 600


def test_a_group_that_cuts_across_strata_is_weighted(world) -> None:
    world.scores(FREE, [1.0] * 4 + [0.0] * 4, 0.1, lang="de")
    world.offer(FREE, 72, 8)
    world.scores(PRO, [0.0] * 20, 1.0, lang="de")
    world.offer(PRO, 0, 20)
    german, _ = world.ask(by=("segments.lang",))
    assert german.labels == {"segments.lang": "de"}
    assert german.estimate.value == pytest.approx(40 / 100)
    assert german.estimate.offered is None
    assert german.estimate.method.startswith("hajek")


def test_consumers_versions_and_signatures_are_never_pooled(world) -> None:
    world.scores(FREE, [1.0] * 3, 0.1, version=2)
    world.scores(FREE, [0.0] * 3, 0.5, consumer="other")
    assert [(row.consumer, row.scorer_version, row.estimate.n) for row in world.ask()] == [
        ("other", 1, 3), ("quality", 1, 150), ("quality", 2, 3),
    ]  # fmt: skip


def test_missing_scores_are_counted_and_move_nothing(world) -> None:
    before = world.ask()[0].estimate
    world.scores(PRO, [None] * 25, 1.0)
    world.offer(PRO, 0, 25)
    (after,) = world.ask()
    assert after.estimate.value == pytest.approx(before.value)
    assert after.estimate.n_missing == 25
    assert after.estimate.missing_share == pytest.approx(25 / 625)


def test_events_sampled_before_a_scorer_was_added_are_missing_and_said(world) -> None:
    (before,) = world.ask()
    assert "added later" not in before.estimate.reason
    world.scores(PRO, [40.0, 60.0], 1.0, metric="latency_ms")
    (late,) = world.ask("latency_ms", by=("segments.plan",))
    assert (late.estimate.n, late.estimate.n_missing, late.estimate.missing_share) == (2, 98, pytest.approx(0.98))
    assert late.estimate.reason.startswith("98 sampled events have no score of this scorer")
    world.scores(FREE, [50.0] * 20, 0.1, metric="latency_ms")
    (both,) = world.ask("latency_ms")
    assert both.estimate.n_missing == 98 + 30
    assert both.estimate.missing_share == pytest.approx((98 + 300) / 600)
    (cut,) = world.ask("latency_ms", where={"segments.lang": ("en",)})
    assert cut.estimate.n_missing == 0, "nobody knows how many of a stratum's sampled events were in English"


def test_what_a_nested_rate_left_out_is_not_missing() -> None:
    world = World(scorer_rates={"latency_ms": 0.1})
    world.scores(PRO, [40.0, 60.0], 0.1, metric="latency_ms")
    world.offer(PRO, 0, 20)
    (row,) = world.ask("latency_ms")
    assert (row.estimate.n, row.estimate.n_missing) == (2, 0)


def test_a_stratum_nobody_sampled_widens_the_interval(world) -> None:
    before = world.ask()[0].estimate
    world.offer("application=support,segments.plan=trial", 30, 0)
    (after,) = world.ask()
    # Its rate is 1 by the design, so that it cannot be pooled with the lightly sampled one.
    assert after.estimate.high > before.high
    assert "4.8%" in after.estimate.reason


def test_a_scorer_that_is_not_applied_to_a_stratum_says_nothing_of_it(world) -> None:
    before = world.ask()[0].estimate
    world.offer("application=search,segments.plan=pro", 0, 40)
    assert world.ask()[0].estimate == before


def test_steps_are_estimated_apart(world) -> None:
    world.scores(PRO, [1.0] * 10, 1.0, at=3600)
    world.offer(PRO, 0, 10, at=3600)
    first, second = world.ask(window=Window(NOON + timedelta(minutes=20), NOON + timedelta(hours=2)), step=3600)
    assert first.estimate.window == HOUR
    assert first.estimate.offered == 600
    assert (second.estimate.value, second.estimate.offered) == (1.0, 10)
    (whole,) = world.ask(window=Window(NOON, NOON + timedelta(hours=2, seconds=30)), step=7230)
    assert whole.estimate.offered == 610
    assert whole.estimate.window.end == NOON + timedelta(hours=2, minutes=1)


def test_steps_below_a_minute_have_no_exact_counts(world) -> None:
    (row,) = world.ask(step=30)
    assert row.estimate.offered is None
    assert row.estimate.method.startswith("hajek")


def test_events_produced_twice_are_counted_once() -> None:
    world = World()
    world.scores(PRO, [1.0] * 8, 1.0)
    world.offer(PRO, 0, 8, duplicate=2)
    (row,) = world.ask(statistic="total")
    assert (row.estimate.value, row.estimate.low, row.estimate.high, row.estimate.offered) == (
        8.0,
        8.0,
        8.0,
        8,
    )


def test_statistics(world) -> None:
    world.scores(PRO, [100.0, 200.0, 300.0], 1.0, metric="latency_ms")
    total = world.ask(statistic="total")[0].estimate
    assert (total.statistic, total.value) == ("total", pytest.approx(100.0))
    assert world.ask(statistic="proportion")[0].estimate.statistic == "proportion"
    latency = Window(NOON, NOON + timedelta(minutes=1))
    where = {"segments.plan": ("pro",)}
    median = world.ask("latency_ms", latency, where=where, statistic="p50")[0].estimate
    assert (median.statistic, median.value) == ("p50", pytest.approx(200.0, rel=0.01))
    assert world.ask("latency_ms", latency, where=where, statistic="max")[0].estimate.value == 300.0
    assert world.ask("latency_ms", latency, where=where, statistic="p99.9")[0].estimate.statistic == "p99.9"


def test_sessions_are_clusters() -> None:
    def asked(unit):
        world = World(unit=unit)
        for session in range(20):
            world.scores(FREE, [float(session < 10)] * 10, 0.1, session=f"dialogue {session}")
        world.offer(FREE, 1800, 200)
        return world.ask()[0].estimate

    events, sessions = asked("event"), asked("session")
    assert sessions.value == events.value
    assert sessions.high - sessions.low > 2.5 * (events.high - events.low)
    assert "clustered" in sessions.method


def test_nested_rates_of_a_scorer_weigh_by_its_own_pi() -> None:
    world = World(scorer_rates={"refusal": 0.5})
    world.scores(PRO, [1.0] * 10 + [0.0] * 40, 0.5)
    world.offer(PRO, 0, 100)
    (row,) = world.ask(statistic="total")
    assert row.estimate.value == pytest.approx(20.0)
    assert row.estimate.high > 20.0


@pytest.mark.parametrize("metric", ["refusals", "latencyms"])
def test_an_unknown_metric_names_its_neighbours(world, metric) -> None:
    with pytest.raises(UnknownMetric, match=r"did you mean `(refusal|latency_ms)`\?"):
        world.ask(metric)


def test_an_empty_store_says_so() -> None:
    with pytest.raises(UnknownMetric, match="nothing is stored here yet"):
        estimates(MemoryStore(), EstimateQuery("refusal", HOUR, 3600))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"statistic": "median"}, "p50"),
        ({"statistic": "p0"}, "percentile"),
        ({"statistic": "p100"}, "percentile"),
        ({"confidence": 95}, r"such as 0\.95"),
        ({"by": ("plan",)}, "segments.NAME"),
        ({"metric": "latency_ms", "statistic": "proportion"}, "binary"),
    ],
)
def test_a_wrong_question_says_what_to_ask(world, fields, message) -> None:
    world.scores(PRO, [100.0], 1.0, metric="latency_ms")
    with pytest.raises(InputError, match=message):
        world.ask(**fields)


def test_no_scores_in_the_window_is_no_row(world) -> None:
    assert world.ask(window=Window(NOON - timedelta(days=2), NOON - timedelta(days=1))) == []


def test_json_has_the_fields_of_an_estimate(world) -> None:
    row = world.ask(by=("segments.plan",))[0]
    made = json.loads(json.dumps(to_json(row)))
    assert set(made) == {
        *Estimate.__struct_fields__,
        "metric",
        "consumer",
        "segments",
        "scorer_version",
        "signature",
    }
    assert made["window"] == {"start": "2026-03-01T12:00:00Z", "end": "2026-03-01T13:00:00Z"}
    assert made["segments"] == {"segments.plan": "free"}
    assert made["value"] == row.estimate.value


def test_csv_rows_are_flat(world) -> None:
    rows = [to_csv_row(row) for row in world.ask(by=("segments.plan",))]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    read = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [line["segments.plan"] for line in read] == ["free", "pro"]
    assert read[0]["start"] == "2026-03-01T12:00:00Z"
    assert float(read[0]["value"]) == pytest.approx(0.1)


def test_an_overflowed_stratum_is_nobodys_for_sure() -> None:
    world = World()
    world.scores("(other)", [1.0, 0.0], 1.0)
    world.offer("(other)", 0, 2)
    assert world.ask(by=("segments.plan",))[0].estimate.offered is None
    assert world.ask()[0].estimate.offered == 2


def row_of(offered, sampled, *, stratum=FREE, duplicate=0):
    return Offered(HOUR, "quality", stratum, 1, offered, sampled, duplicate)


def test_a_wrong_pi_shows() -> None:
    rates = {(FREE, 1): 0.1, (PRO, 1): 1.0}
    assert sampling_check([row_of(10_000, 1_000)] * 24, rates) == []
    assert sampling_check([row_of(10_000, 1_050)], rates) == []
    (fault,) = sampling_check([row_of(10_000, 1_050)] * 24, rates)
    assert (fault.taken, fault.offered) == (25_200, 240_000)
    assert "10.5000%, where π is 10.0000%" in str(fault)
    assert [f.stratum for f in sampling_check([row_of(100, 99, stratum=PRO)], rates)] == [PRO]
    assert sampling_check([row_of(100, 98, stratum=PRO, duplicate=2)], rates) == []
    assert sampling_check([row_of(100, 0, stratum="unknown")], rates) == []


def test_a_right_pi_is_left_alone_at_the_stated_level() -> None:
    import numpy as np

    taken = np.random.default_rng(11).binomial(2000, 0.03, 4000)
    found = [bool(sampling_check([row_of(2000, int(count))], {(FREE, 1): 0.03}, level=0.05)) for count in taken]
    # The exact test may only be too mild: at most 5 % plus three standard errors.
    assert 0.02 < sum(found) / len(found) < 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5


def test_whole_sessions_vary_more_and_are_not_faults() -> None:
    row = row_of(10_000, 1_500)
    assert sampling_check([row], {(FREE, 1): 0.1})
    assert sampling_check([row], {(FREE, 1): 0.1}, events_per_unit=20.0) == []


def test_designed_rates(world) -> None:
    always = msgspec.structs.replace(world.design, version=2, always=(Rule("errors", ()),), rate=0.5)
    world.store.record_design("quality", 2, NOON, always.to_json())
    rows = [
        Offered(HOUR, "quality", stratum, version, 1, 1, 0)
        for stratum, version in [(FREE, 1), (PRO, 1), (PRO, 2), (PRO + "|always=errors", 2), (PRO, 3)]
    ]
    assert sampling_rates(world.store, "quality", rows) == {
        (FREE, 1): 0.1, (PRO, 1): 1.0, (PRO, 2): 0.5, (PRO + "|always=errors", 2): 1.0,
    }  # fmt: skip


def texts(world, metric, hours, made, pi=0.5):
    """Write scores with features: ``hours`` of them, each what ``made`` returns for its number."""
    for hour in range(hours):
        scores = []
        for value, features in made(hour):
            world.events += 1
            subject = Subject(
                f"t{world.events}", NOON + timedelta(hours=hour), "quality", "support", "m", "1",
                {"plan": "pro"}, "", PRO, 1,
            )  # fmt: skip
            scores.append(Score(subject, metric, 1, "", pi, "ok", value, statistics=features))
        world.store.write(WriteBatch(scores=tuple(scores)))


def test_how_alike_texts_are_comes_from_the_hours_of_each_step(world):
    world.store.record_scorers(
        [
            ScorerSpec("response_embedding", 1, Scale(0.0, 1.0, "neither", binary=True), features="fourier"),
            ScorerSpec("response_words", 1, Scale(0.0, None, "neither"), features="counts"),
        ]
    )
    # In the first six hours all texts are one; in the next they are four that have nothing in common.
    unit = [tuple(float(place == other) for place in range(4)) for other in range(4)]
    texts(world, "response_embedding", 12, lambda hour: [(1.0, unit[k % 4 if hour >= 6 else 0]) for k in range(20)])
    counts = [(*(2.0 if place == k else 0.0 for place in range(8)), 4.0) for k in range(8)]
    texts(world, "response_words", 12, lambda hour: [(2.0, counts[k % (4 if hour < 6 else 1)]) for k in range(16)])
    span = Window(NOON, NOON + timedelta(hours=12))
    similar = world.ask("response_embedding", span, 6 * 3600, statistic="self_similarity")
    pairs_of_one = (120 / 4 - 1) / (120 - 1)
    assert [row.estimate.value for row in similar] == pytest.approx([1.0, pairs_of_one])
    assert all("jackknife" in row.estimate.method for row in similar)
    assert [row.estimate.n for row in similar] == [120, 120]
    words = world.ask("response_words", span, 6 * 3600, statistic="distinct_words")
    assert words[1].estimate.value == pytest.approx(1.0)
    assert words[0].estimate.value > 4.0
    # A step that is no whole number of hours is one block.
    (half,) = world.ask(
        "response_embedding", Window(NOON, NOON + timedelta(minutes=30)), 1800, statistic="self_similarity"
    )
    assert "bound" in half.estimate.method
    assert half.estimate.low < 1.0


@pytest.mark.parametrize(
    ("statistic", "better"), [("self_similarity", "response_embedding"), ("distinct_words", "response_words")]
)
def test_statistics_of_texts_are_asked_of_metrics_of_texts(world, statistic, better):
    with pytest.raises(InputError, match=f"refusal has no {statistic}; ask for that of {better}"):
        world.ask(statistic=statistic)


def test_all_metrics_at_once_are_each_alone(world) -> None:
    world.scores(FREE, [120.0, 80.0, 95.5] * 9, 0.1, metric="latency_ms", lang="de")
    world.scores(PRO, [None, None], 1.0, metric="latency_ms", session="one")
    world.store.record_scorers([ScorerSpec("never", 1, Scale(0.0, 1.0, "higher"))])
    reasons = []
    for by in (("segments.plan",), ("segments.plan", "segments.lang")):
        together = estimates_of_all(world.store, EstimateQuery("", HOUR, 1200, by=by))
        alone = [row for name in ("latency_ms", "refusal") for row in world.ask(name, step=1200, by=by)]
        assert {row.metric for row in together} == {"latency_ms", "refusal"}
        assert [to_json(row) for row in together] == [nearly(to_json(row)) for row in alone]
        reasons += [row.estimate.reason for row in together]
    assert any("23 sampled events have no score of this scorer" in reason for reason in reasons)
    assert any("2 failed" in reason for reason in reasons)


def nearly(found):
    return {name: pytest.approx(value) if isinstance(value, float) else value for name, value in found.items()}


def test_proportions_of_all_metrics_are_of_the_binary_ones(world) -> None:
    world.scores(FREE, [120.0, 80.0], 0.1, metric="latency_ms")
    found = estimates_of_all(world.store, EstimateQuery("", HOUR, 3600, statistic="proportion"))
    assert {row.metric for row in found} == {"refusal"}
    assert estimates_of_all(MemoryStore(), EstimateQuery("", HOUR, 3600)) == []
    with pytest.raises(InputError, match="metric by metric"):
        estimates_of_all(world.store, EstimateQuery("", HOUR, 3600, statistic="p95"))


@pytest.mark.parametrize("statistic", ["mean", "proportion"])
@pytest.mark.parametrize("by", [("segments.plan",), ("segments.lang",)])
@pytest.mark.parametrize("most", ["MANY", "MANY_STEPS"])
def test_many_groups_together_are_each_alone(world, statistic, by, most, monkeypatch) -> None:
    for at in range(0, 3600, 600):
        world.scores(FREE, [1.0, 0.0, 0.0, 0.0] * 6, 0.1, at=at, lang="en" if at % 1200 else "de")
        world.scores(PRO, [1.0, 0.0, None], 1.0, at=at, lang="fr" if at else "de")
        world.offer(FREE, 216, 24, at=at)
        world.offer(PRO, 0, 3, at=at)
    query = EstimateQuery("refusal", HOUR, 600, by=by, statistic=statistic)
    alone = estimates(world.store, query)
    monkeypatch.setattr(f"evalsvc.query.{most}", 1)
    together = estimates(world.store, query)
    assert len(together) == len(alone) >= 12
    for one, other in zip(together, alone, strict=True):
        for name in ("value", "low", "high", "n_effective", "missing_share"):
            assert getattr(one.estimate, name) == pytest.approx(getattr(other.estimate, name), rel=1e-9, abs=1e-12)
        for name in ("n", "n_missing", "offered", "method", "reason", "statistic", "window"):
            assert getattr(one.estimate, name) == getattr(other.estimate, name)
        assert msgspec.structs.replace(one, estimate=other.estimate) == other


@pytest.fixture
def gaps():
    made = World()
    made.scores(FREE, [1.0] * 5 + [0.0] * 35 + [None] * 10, 0.1)
    made.offer(FREE, 450, 50)
    made.scores(PRO, [1.0] * 50 + [0.0] * 40, 1.0)
    made.offer(PRO, 0, 100)  # ten of them were never scored
    return made


def with_bounds(gaps, **fields):
    query = EstimateQuery("refusal", HOUR, 3600, **fields)
    return with_worst_case(gaps.store, query, gaps.ask(**fields))


def test_a_query_counts_failed_and_never_scored_events(gaps) -> None:
    (row,) = with_bounds(gaps)
    assert row.worst.least == pytest.approx((500 * 5 / 50 + 100 * 50 / 100) / 600)
    assert row.worst.most == pytest.approx((500 * 15 / 50 + 100 * 60 / 100) / 600)
    assert to_json(row)["worst_case"]["low"] == row.worst.low
    assert set(to_csv_row(row)) == set(csv_columns((), worst_case=True))


def test_groups_keep_their_own_bounds(gaps) -> None:
    free, pro = with_bounds(gaps, by=("segments.plan",))
    assert (free.labels["segments.plan"], free.worst.most) == ("free", pytest.approx(15 / 50))
    assert (pro.labels["segments.plan"], pro.worst.most) == ("pro", pytest.approx(60 / 100))


def test_without_being_asked_no_answer_has_them(gaps) -> None:
    (row,) = gaps.ask()
    assert "worst_case" not in to_json(row)
    assert set(to_csv_row(row)) == set(csv_columns(()))


def test_only_means_can_be_asked_for(gaps) -> None:
    with pytest.raises(InputError, match="mean or proportion"):
        with_bounds(gaps, statistic="total")


def crossing_world(*, others=100, light=0.01, **kept):
    """100 events of lang=xx in each of two strata; none of them is among the ones that the light one gave."""
    world = World(rates=(StratumRate({"segments.plan": "free"}, light),), **kept)
    world.scores(PRO, [1.0] * 5 + [0.0] * 95, 1.0, lang="xx")
    world.offer(PRO, 0, 100)
    world.scores(FREE, [0.0] * others, light, lang="en")
    world.offer(FREE, 10_000 - others, others)
    return world


def of_xx(rows):
    (row,) = [row for row in rows if row.labels.get("segments.lang", "xx") == "xx"]
    return row.estimate


ASKED = [{"by": ("segments.lang",)}, {"where": {"segments.lang": ("xx",)}}]


@pytest.fixture(params=["one at a time", "in columns"])
def ways(request, monkeypatch):
    if request.param == "in columns":
        monkeypatch.setattr("evalsvc.query.MANY", 1)


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("asked", ASKED)
def test_events_may_hide_in_a_stratum_that_gave_many_others(asked) -> None:
    estimate = of_xx(crossing_world().ask(**asked))
    # 298 events at π = 0.01 are all left out with a probability of 5 %, however many others were taken.
    assert (estimate.value, estimate.high) == (0.05, pytest.approx(0.05 + 0.95 * 298 / 398))
    assert "up to 298 events of this group" in estimate.reason
    assert of_xx(crossing_world(others=5000).ask(**asked)).high == estimate.high
    few = crossing_world()
    few.scores(FREE, [0.0] * 9_750, 0.01, lang="en")
    assert "up to 150 events" in of_xx(few.ask(**asked)).reason, "no more than were not scored"


@pytest.mark.parametrize("statistic", ["total", "max", "p50"])
def test_no_statistic_forgets_what_may_hide(statistic) -> None:
    world = crossing_world()
    metric = "refusal"
    if statistic == "p50":
        metric = "latency_ms"
        world.scores(PRO, [100.0] * 100, 1.0, metric=metric, lang="xx")
        world.scores(FREE, [100.0] * 100, 0.01, metric=metric)
    estimate = of_xx(world.ask(metric, by=("segments.lang",), statistic=statistic))
    assert "up to 298 events" in estimate.reason
    assert (estimate.high is None) == (statistic != "total")
    assert estimate.high in (None, 5 + 298)


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("asked", ASKED)
def test_nothing_hides_where_the_scorer_is_not_applied_or_the_stratum_is_of_others(asked) -> None:
    world = World(strata=("application", "segments.plan", "segments.lang"), rates=(), rate=0.01)
    xx, en = (f"{PRO},segments.lang={lang}" for lang in ("xx", "en"))
    world.scores(xx, [1.0] * 5 + [0.0] * 95, 1.0, lang="xx")
    world.offer(xx, 0, 100)
    world.scores(en, [0.0] * 100, 0.01)
    world.offer(en, 9_900, 100)
    assert of_xx(world.ask(**asked)).high == of_xx(world.ask(**asked)).low == 0.05
    # Events were taken there, and none of any language met the scorer; or it abstained from all of them.
    for others in (0, 100):
        idle = World(rates=(StratumRate({"segments.plan": "free"}, 0.01),))
        idle.scores(PRO, [1.0] * 5 + [0.0] * 95, 1.0, lang="xx")
        idle.offer(PRO, 0, 100)
        idle.scores(FREE, [None] * others, 0.01, lacking="abstained")
        idle.offer(FREE, 9_900, 100)
        assert of_xx(idle.ask(**asked)).high == 0.05


@pytest.mark.usefixtures("ways")
def test_a_failed_score_is_no_sign_that_the_scorer_is_not_applied() -> None:
    world = crossing_world(others=0)
    world.scores(FREE, [None] * 100, 0.01)
    world.offer(FREE, 0, 100)
    assert "up to 298 events" in of_xx(world.ask(by=("segments.lang",))).reason


def test_all_metrics_at_once_forget_nothing_that_may_hide() -> None:
    world = crossing_world()
    world.scores(FREE, [40.0, 60.0] * 20, 0.01, metric="latency_ms")
    world.scores(PRO, [30.0, 60.0] * 20, 1.0, metric="latency_ms", lang="xx")
    for asked in ASKED:
        together = estimates_of_all(world.store, EstimateQuery("", HOUR, 3600, **asked))
        alone = [row for name in ("latency_ms", "refusal") for row in world.ask(name, **asked)]
        assert [to_json(row) for row in together] == [nearly(to_json(row)) for row in alone]
        assert sum("up to 298 events" in row.estimate.reason for row in together) == 2

"""One metric per unit of another, from raw scores in a store."""

from datetime import UTC, datetime, timedelta

import pytest

from evalsvc.errors import InputError, UnknownMetric
from evalsvc.query import EstimateQuery
from evalsvc.query_ratio import ratio_estimates
from evalsvc.sampling import Design, StratumRate
from evalsvc.stats import Pair, estimate_ratio
from evalsvc.store.memory import MemoryStore
from evalsvc.types import LedgerCount, LedgerEntry, Scale, Score, ScorerSpec, Subject, Window, WriteBatch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = Window(NOON, NOON + timedelta(hours=1))
COST = ScorerSpec("cost_usd", 1, Scale(0.0, None, "lower", "USD"))
DONE = ScorerSpec("task_completed", 1, Scale(0.0, 1.0, "higher", binary=True))
LIGHT, WHOLE = "segments.plan=free", "segments.plan=pro"
PI = {LIGHT: 0.1, WHOLE: 1.0}


class World:
    """A store of events with a cost and, for most, whether the task was completed."""

    def __init__(self, unit="event"):
        self.store, self.events, self.pairs = MemoryStore(), 0, []
        self.store.record_scorers([COST, DONE])
        rates = (StratumRate({"segments.plan": "free"}, 0.1),)
        design = Design("c", strata=("segments.plan",), rates=rates, unit=unit)
        self.store.record_design("c", 1, NOON, design.to_json())

    def add(self, stratum, rows, *, lang="en", at=0, session="", version=1):
        made, moment = [], NOON + timedelta(seconds=at)
        for cost, done in rows:
            self.events += 1
            labels = {"plan": stratum.rpartition("=")[2], "lang": lang}
            name = session or f"s{self.events}"
            subject = Subject(f"e{self.events}", moment, "c", "app", "m", "1", labels, name, stratum, 1)
            for metric, value in (("cost_usd", cost), ("task_completed", done)):
                told = ("ok", value, "") if value is not None else ("failed", None, "unparsed")
                number = version if metric == "task_completed" else 1
                made.append(Score(subject, metric, number, "", PI[stratum], *told))
            if None not in (cost, done):
                self.pairs.append(Pair(cost, done, PI[stratum], session))
        minute = int(moment.timestamp()) // 60
        skipped = round(len(rows) / PI[stratum]) - len(rows)
        counts = [LedgerCount(minute, stratum, 1, "sampled", len(rows))]
        counts += [LedgerCount(minute, stratum, 1, "skipped", skipped)] if skipped else []
        entry = LedgerEntry("c", f"p{self.events}", 0, len(rows) + skipped, tuple(counts))
        self.store.write(WriteBatch(scores=tuple(made), ledger=(entry,)))

    def ask(self, per="task_completed", metric="cost_usd", step=3600, **fields):
        return ratio_estimates(self.store, EstimateQuery(metric, HOUR, step, **fields), per)


@pytest.fixture
def world():
    made = World()
    made.add(LIGHT, [(0.5, 1.0), (2.0, 0.0), (0.25, 1.0)] * 10)
    made.add(WHOLE, [(1.0, 1.0), (3.0, 0.0)] * 10)
    return made


def test_scores_of_an_event_go_together(world) -> None:
    (row,) = world.ask()
    estimate = row.estimate
    assert row.metric == "cost_usd per task_completed"
    assert estimate == estimate_ratio(world.pairs, HOUR, floor=0.0)
    assert estimate.value == pytest.approx((275 + 40) / (200 + 10))
    assert (estimate.statistic, estimate.n, estimate.reason) == ("ratio", 50, "")
    assert estimate.low < estimate.value < estimate.high


def test_groups_steps_and_filters(world) -> None:
    world.add(WHOLE, [(8.0, 1.0), (8.0, 0.0)] * 3, at=1900)
    free, pro = world.ask(by=("segments.plan",))
    assert (free.estimate.value, pro.estimate.value) == pytest.approx((27.5 / 20, 88 / 13))
    assert pro.estimate.low == pro.estimate.high == pro.estimate.value
    assert pro.estimate.reason.startswith("every event taken")
    first, second = world.ask(step=1800)
    assert (first.estimate.n, second.estimate.n, second.estimate.value) == (50, 6, 16.0)
    (only,) = world.ask(where={"segments.plan": ("free",)})
    assert only.estimate == free.estimate


def test_versions_are_never_pooled(world) -> None:
    world.add(WHOLE, [(8.0, 1.0)] * 3, version=2)
    assert [row.estimate.n for row in world.ask()] == [50, 3]


def test_an_event_without_one_of_the_scores_is_missing(world) -> None:
    world.add(WHOLE, [(8.0, None), (None, 1.0)])
    (row,) = world.ask()
    assert (row.estimate.n, row.estimate.n_missing) == (50, 2)
    assert row.estimate.missing_share == pytest.approx(2 / (300 + 22))
    assert row.estimate.reason.startswith("2 events without a value of one of the two left out")


def test_whole_sessions_are_clusters() -> None:
    world = World(unit="session")
    for number in range(12):
        world.add(LIGHT, [(1.0 + number % 3, float(number % 2))] * 5, session=f"talk {number}")
    (row,) = world.ask()
    assert row.estimate == estimate_ratio(world.pairs, HOUR, floor=0.0)
    assert row.estimate.method.endswith("clustered")


@pytest.mark.parametrize("asked", [{"by": ("segments.lang",)}, {"where": {"segments.lang": ("xx",)}}])
def test_what_may_hide_leaves_no_limits(world, asked) -> None:
    world.add(WHOLE, [(1.0, 1.0), (3.0, 0.0)] * 10, lang="xx")
    row = next(row for row in world.ask(**asked) if row.labels.get("segments.lang", "xx") == "xx")
    assert (row.estimate.value, row.estimate.low, row.estimate.high) == (4.0, None, None)
    assert "up to 28 events of this group" in row.estimate.reason


def test_of_more_scores_than_are_read_a_random_part_answers(world, monkeypatch) -> None:
    (every,) = world.ask()
    monkeypatch.setattr("evalsvc.query_ratio.MOST_SCORES", 40)
    (part,) = world.ask()
    assert part.estimate.n == 40
    assert part.estimate.reason == "from a random 80.0% of the scores: no more are read at once"
    assert part.estimate.low < every.estimate.value < part.estimate.high
    assert part.estimate.high - part.estimate.low > every.estimate.high - every.estimate.low


def test_wrong_questions_say_what_to_ask(world) -> None:
    with pytest.raises(InputError, match="no statistic"):
        world.ask(statistic="p95")
    with pytest.raises(InputError, match="other than cost_usd"):
        world.ask(per="cost_usd")
    with pytest.raises(UnknownMetric, match="did you mean `task_completed`"):
        world.ask(per="tasks_completed")
    with pytest.raises(UnknownMetric):
        world.ask(metric="cost")
    with pytest.raises(InputError, match=r"segments\.NAME"):
        world.ask(by=("plan",))
    assert world.ask(where={"application": ("nobody's",)}) == []

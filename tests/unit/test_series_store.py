"""Made-up series: exact counts by hand, and a store of them that answers as one with the same scores written to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evalsvc.errors import InputError, StoreUnavailable
from evalsvc.protocols import CellQuery
from evalsvc.query import EstimateQuery, estimates
from evalsvc.ruler.series import minutes_of
from evalsvc.ruler.series_store import SeriesStore
from evalsvc.rules.rule_tests import Place, RuleTest, Series, Stretch
from evalsvc.store.memory import MemoryStore
from evalsvc.types import LedgerCount, LedgerEntry, Scale, Window, WriteBatch

START = datetime(2026, 1, 5, tzinfo=UTC)
SCALES = {"refusal": Scale(0.0, 1.0, "lower", binary=True), "latency_ms": Scale(0.0, None, "lower", "ms")}
DE = {"consumer": "quality", "application": "support", "segments.language": "de", "segments.plan": "a,b"}
EN = {"consumer": "quality", "application": "support", "segments.language": "en"}
SERIES = (
    Series(
        metric="refusal",
        where=DE,
        before=(Stretch(90, 0.05, 0.05),),
        values=(Stretch(60, 0.4, 0.4, failed=0.25), Stretch(10, offered=False), Stretch(20, 0.0, 1.0)),
        per_minute=3.7,
        rate=0.3,
    ),
    Series(
        metric="latency_ms",
        where=DE,
        values=(Stretch(45, 100.0, 900.0, abstained=0.1), Stretch(45), Stretch(30, failed=1.0)),
        per_minute=5.0,
        rate=0.5,
        spread=80.0,
    ),
    Series(metric="refusal", where=EN, values=(Stretch(120, 0.15, 0.15),), per_minute=0.3),
    Series(metric="refusal", where={**EN, "model_version": "2"}, values=(Stretch(30, 1.0, 1.0),), per_minute=2.0),
    Series(metric="refusal", where={}, values=(Stretch(7, 0.5, 0.5),), per_minute=1.0, rate=0.01),
)
END = START + timedelta(hours=2)


def planned(*series: Series) -> RuleTest:
    return RuleTest(name="t", place=Place("t", 1, 1), start=START, seconds=7200.0, series=series)


@pytest.fixture(scope="module")
def made() -> SeriesStore:
    store = SeriesStore(planned(*SERIES), SCALES)
    store.now = END
    return store


@pytest.fixture(scope="module")
def written(made: SeriesStore) -> MemoryStore:
    """The reference store with every one of those scores, and with the counts of every minute."""
    whole = Window(START - timedelta(hours=2), END)
    store = MemoryStore()
    store.record_scorers(made.metrics())
    scores = [score for metric in SCALES for score in made.scores(CellQuery(metric, whole, 60), 1_000_000)]
    counts: dict[str, list[LedgerCount]] = {}
    for row in made.offered(whole, 60):
        minute = int(row.window.start.timestamp()) // 60
        mine = counts.setdefault(row.consumer, [])
        mine.append(LedgerCount(minute, row.stratum, 1, "sampled", row.sampled))
        mine.append(LedgerCount(minute, row.stratum, 1, "skipped", row.offered - row.sampled))
    ledger = [LedgerEntry(name, "p", 0, 1, tuple(found)) for name, found in counts.items()]
    store.write(WriteBatch(scores=tuple(scores), ledger=tuple(ledger)))
    return store


def plain(value):
    """Numbers to ten digits, since sums in another order differ in the last ones."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if hasattr(value, "__struct_fields__"):
        return [plain(getattr(value, name)) for name in value.__struct_fields__]
    return value


WINDOWS = [
    (Window(START - timedelta(hours=2), END), 14_400),
    (Window(START - timedelta(hours=2), END), 60),
    (Window(START - timedelta(minutes=7), START + timedelta(minutes=58)), 1500),
    (Window(START + timedelta(minutes=61), START + timedelta(minutes=69)), 480),
    (Window(START - timedelta(days=3), START - timedelta(days=2)), 3600),
]
SPLITS = [
    ((), {}),
    (("segments.language", "consumer"), {"application": ("support",)}),
    (("model_version",), {"segments.plan": ("a,b", "")}),
    (("segments.plan",), {"consumer": ("quality",), "segments.language": ("de",)}),
]


@pytest.mark.parametrize(("window", "step"), WINDOWS)
@pytest.mark.parametrize(("by", "where"), SPLITS)
@pytest.mark.parametrize("metric", SCALES)
@pytest.mark.parametrize("clusters", [False, True])
def test_its_sums_are_those_of_a_store_with_the_same_scores(
    made, written, window, step, by, where, metric, clusters
) -> None:
    query = CellQuery(metric, window, step, by, where, clusters)
    assert plain(made.cells(query)) == plain(written.cells(query))
    assert plain(made.histograms(query)) == plain(written.histograms(query))
    assert made.offered(window, step) == written.offered(window, step)
    assert {score.identity for score in made.scores(query, 100_000)} == {
        score.identity for score in written.scores(query, 100_000)
    }


@pytest.mark.parametrize(("window", "step"), WINDOWS)
def test_hours_with_scores_are_the_same_and_change_with_each_minute_that_has_some(made, written, window, step) -> None:
    assert made.versions(list(SCALES), window).keys() == written.versions(list(SCALES), window).keys()
    assert all(number > 0 for number in made.versions(list(SCALES), window).values())
    assert made.versions(["latency_ms"], window).keys() == written.versions(["latency_ms"], window).keys()
    starts = [window.start, window.end - timedelta(minutes=5)]
    query = CellQuery("", window, step, ("segments.language",))
    assert plain(made.cells_since(list(SCALES), query, starts)) == plain(
        written.cells_since(list(SCALES), query, starts)
    )


def test_an_hours_version_says_when_more_of_it_is_seen() -> None:
    store = SeriesStore(planned(SERIES[3]), SCALES)
    window = Window(START, END)
    seen = []
    for minutes in (0, 1, 1, 29, 30, 31, 90):
        store.now = START + timedelta(minutes=minutes)
        seen.append(dict(store.versions(["refusal"], window)))
    assert seen == [{}, *({("refusal", START): number} for number in (1, 1, 29, 30, 30, 30))]


@pytest.mark.parametrize("target", ["window", "process"])
@pytest.mark.parametrize("statistic", ["mean", "p90"])
def test_estimates_from_both_are_the_same(made, written, target, statistic) -> None:
    window = Window(START - timedelta(hours=1), END)
    query = EstimateQuery("latency_ms", window, 3600, ("segments.language",), statistic=statistic, target=target)
    assert plain([row.estimate for row in estimates(made, query)]) == plain(
        [row.estimate for row in estimates(written, query)]
    )


def test_only_minutes_that_have_ended_are_seen(made) -> None:
    query = CellQuery("refusal", Window(START, END), 7200)
    late = SeriesStore(planned(*SERIES), SCALES)
    late.now = START + timedelta(minutes=20, seconds=59)
    seen = CellQuery("refusal", Window(START, START + timedelta(minutes=20)), 7200)
    assert plain([group.cells for group in late.cells(query)]) == plain([group.cells for group in made.cells(seen)])
    assert sum(row.offered for row in late.offered(query.window, 7200)) == sum(
        row.offered for row in made.offered(seen.window, 7200)
    )
    late.now = START - timedelta(hours=3)
    assert late.cells(query) == []
    assert late.offered(query.window, 7200) == []


def test_it_is_away_where_the_test_says_so_and_has_no_texts(made) -> None:
    away = SeriesStore(planned(*SERIES), SCALES)
    away.away = True
    query = CellQuery("refusal", Window(START, END), 7200)
    for ask in (away.metrics, lambda: away.cells(query), lambda: away.offered(query.window, 7200)):
        with pytest.raises(StoreUnavailable, match="the test says so"):
            ask()
    with pytest.raises(InputError, match="rules about texts cannot be tested so"):
        made.feature_sums(query)
    with pytest.raises(InputError, match="rules about texts cannot be tested so"):
        made.statistics(query)


def test_yes_and_no_are_spread_evenly_and_have_exactly_the_share() -> None:
    series = Series(metric="refusal", where={}, values=(Stretch(20, 0.05, 0.05), Stretch(4, 0.5, 0.5)), per_minute=10.0)
    made = minutes_of(series, SCALES["refusal"], 0, 26)
    # One in twenty of 10 a minute: every other minute has one.
    assert made.columns[3].tolist() == [1.0, 0.0] * 10 + [5.0] * 4 + [0.0] * 2
    assert made.columns[0].tolist() == [10.0] * 24 + [0.0] * 2
    assert made.values(0, 1) == [1.0] + [0.0] * 9
    assert made.ends(0, 2) == (0.0, 1.0)


def test_events_below_one_a_minute_and_rates_are_kept_over_time() -> None:
    series = Series(metric="refusal", where={}, values=(Stretch(1000, 0.3, 0.3),), per_minute=0.1, rate=0.4)
    made = minutes_of(series, SCALES["refusal"], 0, 1000)
    offered, sampled = made.events
    assert (offered.sum(), sampled.sum(), made.columns[3].sum()) == (250.0, 100.0, 30.0)
    assert (offered >= sampled).all()
    assert sampled.max() == 1.0


def test_numbers_lie_evenly_around_a_mean_that_moves_in_equal_steps() -> None:
    series = Series(metric="latency_ms", where={}, values=(Stretch(3, 100.0, 300.0),), per_minute=4.0, spread=40.0)
    made = minutes_of(series, SCALES["latency_ms"], 0, 3)
    assert made.values(0, 1) == [70.0, 90.0, 110.0, 130.0]
    assert made.columns[3].tolist() == [400.0, 800.0, 1200.0]
    assert made.columns[4, 0] == pytest.approx(70**2 + 90**2 + 110**2 + 130**2)
    assert made.ends(0, 2) == (70.0, 230.0)


def test_numbers_on_an_open_scale_differ_unless_the_series_says_otherwise() -> None:
    series = Series(metric="latency_ms", where={}, values=(Stretch(1, 100.0, 100.0),), per_minute=2.0)
    assert minutes_of(series, SCALES["latency_ms"], 0, 1).values(0, 1) == [95.0, 105.0]
    assert minutes_of(series, Scale(0.0, 1000.0, "lower"), 0, 1).values(0, 1) == [100.0, 100.0]
    equal = Series(metric="latency_ms", where={}, values=series.values, per_minute=2.0, spread=0.0)
    assert minutes_of(equal, SCALES["latency_ms"], 0, 1).values(0, 1) == [100.0, 100.0]


def test_what_has_no_value_is_counted() -> None:
    stretches = (
        Stretch(10, 0.5, 0.5, failed=0.2),
        Stretch(10, abstained=1.0),
        Stretch(10),
        Stretch(10, offered=False),
        Stretch(10, failed=1.0),
    )
    made = minutes_of(Series(metric="refusal", where={}, values=stretches, per_minute=2.0), SCALES["refusal"], 0, 50)
    by_stretch = made.columns[:4].reshape(4, 5, 10).sum(axis=2).T.tolist()
    assert by_stretch == [[16, 0, 4, 8], [0, 20, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 20, 0]]
    assert made.events[0].reshape(5, 10).sum(axis=1).tolist() == [20, 20, 20, 0, 20]

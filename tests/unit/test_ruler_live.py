"""A reader over a window: the newest version of a scorer, at the price of an hour, and nothing that is out of date."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from evalsvc.ruler.live import Kept, Reader, newest
from evalsvc.rules import Rule, Threshold
from evalsvc.store.memory import MemoryStore
from evalsvc.types import ScorerSpec, Window
from tests.watched import FAITHFUL, MINUTE, START, offer, score, stored

HOUR = timedelta(hours=1)
DAY = 86_400.0
VERSIONS = [FAITHFUL, *(ScorerSpec("faithful", number, FAITHFUL.scale) for number in (2, 3))]
LANGUAGE = "segments.language"


def rule_of(**options) -> Rule:
    made = {"by": (LANGUAGE,), "window_seconds": DAY} | options
    return Rule(alert="Low", metric="faithful", condition=Threshold("below", 0.5, 0.5), **made)


def scored(moment: datetime, version: int, language: str = "de", value: float = 1.0, pi: float = 1.0):
    name = f"{moment.timestamp()}.{version}.{language}.{pi}"
    spec = VERSIONS[version - 1]
    return score(moment, value, name, spec=spec, segments={"language": language}, pi=pi)


class Noted:
    """A store that notes how long the windows are that are read by the minute."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.by_minute = store, []

    def __getattr__(self, name):
        return getattr(self.store, name)

    def cells_by_metric(self, metrics, query):
        if query.step_seconds == 60:
            self.by_minute.append(query.window.end - query.window.start)
        return self.store.cells_by_metric(metrics, query)


def newest_of(store, rule: Rule, window: Window) -> dict[str, str]:
    """Return the newest scorer of each language."""
    reader = Reader(store)
    reader.want(rule, window)
    lines = reader.window(rule, window)
    return {dict(key)[LANGUAGE]: newest(reader, rule, own, window).scorer for (_, key), own in lines.items()}


@pytest.mark.parametrize("seconds", [3600.0, 7200.0, 5 * 3600.0, DAY], ids=["1h", "2h", "5h", "1d"])
@pytest.mark.parametrize("seed", range(6))
def test_the_newest_version_is_that_of_the_latest_score(seconds: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    languages = ("de", "en", "fr", "it", "pt")
    end = START + timedelta(hours=30, minutes=int(rng.integers(60)) if seed else 0)
    spread = {language: float(rng.choice([3.0, 90.0, 400.0])) for language in languages}
    scores = []
    for language in languages:
        for back in rng.exponential(spread[language], 30):
            moment = end - MINUTE * (1 + int(back))
            scores.append(scored(moment, int(rng.integers(1, 4)), language))
    scores = list({one.subject.event_id: one for one in scores}.values())
    window = Window(end - timedelta(seconds=seconds), end)
    latest: dict[str, tuple[datetime, str]] = {}
    for one in scores:
        if one.subject.occurred_at in window:
            language, seen = one.subject.segments["language"], (one.subject.occurred_at, f"v{one.scorer_version}")
            latest[language] = max(latest.get(language, seen), seen)
    store = Noted(stored(scores, VERSIONS))
    found = newest_of(store, rule_of(window_seconds=seconds), window)
    assert found == {language: scorer for language, (_, scorer) in latest.items()}
    assert max(store.by_minute, default=HOUR) <= (HOUR if seconds > 7200.0 else timedelta(seconds=seconds))


@pytest.mark.parametrize("minutes", [0, 40])
def test_versions_that_are_hours_apart_are_told_apart_by_hours(minutes: int) -> None:
    end = START + timedelta(hours=30, minutes=minutes)
    scores = [scored(START + n * HOUR + MINUTE, 2 if n < 20 else 1) for n in range(30)]
    store = Noted(stored(scores, VERSIONS))
    assert newest_of(store, rule_of(), Window(end - timedelta(days=1), end)) == {"de": "v1"}
    assert store.by_minute == []


def test_an_hour_whose_offered_events_change_is_read_again() -> None:
    # Nothing is written to its scores: a partition that lags behind says later how many events the hour was offered.
    scores = [scored(START + n * 5 * MINUTE, 1, value=float(n % 2)) for n in range(24)]
    store, rule, kept = stored(scores), rule_of(window_seconds=4 * 3600.0, by=()), Kept()
    window = Window(START - HOUR, START + 3 * HOUR)

    def offered(kept: Kept) -> int | None:
        ((line,),) = Reader(store, kept).window(rule, window).values()
        return line.mean(line.pools.values(), window, 0.95).offered

    found = []
    for number in range(3):
        offer(store, "quality", {5 * n: 2 for n in range(24)}, f"p{number}")
        found.append(offered(kept))
        assert found[-1] == offered(Kept())
    assert found == [48, 96, 144]

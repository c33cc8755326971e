"""Looks of every kind of rule at a real store: they see what they see in the reference store."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest

from evalsvc.ruler.kinds import WATCHES, watch_of
from evalsvc.rules import (
    Absence,
    BurnRate,
    Change,
    Cost,
    Drift,
    FairnessGap,
    Rule,
    Threshold,
    Versions,
)
from evalsvc.store import open_store
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, ScorerSpec, WriteBatch
from tests.watched import FAITHFUL, MINUTE, START, at, look, offer, score

RELEVANCE = ScorerSpec("relevance", 1, Scale(0.0, 1.0, "higher"))
NEWER = ScorerSpec("relevance", 2, Scale(0.0, 1.0, "higher"))
LATENCY = ScorerSpec("latency_ms", 1, Scale(0.0, None, "lower", "ms"))

CONDITIONS = {
    "burn rate": ("faithful", BurnRate(0.9, 2.0, 2400.0, "higher")),
    "events": ("", Absence("events", 0.0, 4 * 3600.0)),
    "scores": ("relevance", Absence("scores", 0.0, 4 * 3600.0)),
    "failures": ("faithful", Absence("failures", 0.05)),
    "versions": ("faithful", Versions({"model_version": ("2",)}, {"model_version": ("1",)}, "fell", 0.05)),
    "fairness gap": ("faithful", FairnessGap("segments.language", 0.1)),
    "cost": ("latency_ms", Cost("metric", 1e5)),
    "judge": ("relevance", Cost("judge", 1.0)),
    "drift": ("relevance", Drift(10_800.0)),
    "percentile": ("latency_ms", Threshold("above", 900.0, 900.0, "p95")),
}
BY = {"events": (), "drift": (), "scores": ("segments.language",)}


def fill(store) -> None:
    """Five hours in two languages and versions, in sessions of three, half of them taken with a third."""
    rng = np.random.default_rng(17)
    scores = []
    for n in range(5 * 60 * 2):
        moment = START + n / 2 * MINUTE
        about = {
            "version": str(1 + n % 2),
            "segments": {"language": "de" if rng.random() < 0.5 else "en"},
            "session": f"s{n // 3}" if n % 5 else "",
            "pi": 1.0 if n % 4 else 1 / 3,
        }
        for name in (f"{n}.a", f"{n}.b"):
            bad = about["version"] == "2" and n > 300
            value = None if rng.random() < 0.06 else float(rng.random() > (0.5 if bad else 0.1))
            scores.append(score(moment, value, name, **about))
            spec = NEWER if n > 400 else RELEVANCE
            cost = msgspec.json.encode({"cost_usd": round(float(rng.random()) / 8, 6)}).decode()
            scores.append(score(moment, float(rng.beta(3, 2)), name, spec=spec, detail=cost, **about))
            scores.append(score(moment, float(rng.lognormal(5.5, 0.9)), name, spec=LATENCY, **about))
    store.record_scorers([FAITHFUL, RELEVANCE, NEWER, LATENCY])
    for place in range(0, len(scores), 997):
        store.write(WriteBatch(scores=tuple(scores[place : place + 997])))
    offer(store, "quality", dict.fromkeys(range(200), 9))


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Iterator[tuple[object, MemoryStore]]:
    real, reference = open_store(f"embedded:{tmp_path_factory.mktemp('watched')}"), MemoryStore()
    for store in (real, reference):
        fill(store)
    yield real, reference
    real.close()


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_real_store_shows_the_same(stores, name) -> None:
    metric, condition = CONDITIONS[name]
    by = BY.get(name, ("segments.language",) if name != "fairness gap" else ("model_version",))
    rule = Rule(alert="A", metric=metric, condition=condition, window_seconds=3600.0, by=by)
    some = False
    for hours in (2.3, 3.5, 4.9):
        real, expected = (look(store, rule, at(hours)) for store in stores)
        assert [(one.consumer, one.key) for one in real] == [(one.consumer, one.key) for one in expected]
        for one, other in zip(real, expected, strict=True):
            seen, wanted = one.observation, other.observation
            assert (seen.verdict, seen.window) == (wanted.verdict, wanted.window)
            some |= seen.verdict in ("bad", "good", "unclear")
            for found, known in ((seen.estimate, wanted.estimate), (seen.baseline, wanted.baseline)):
                assert (found is None) == (known is None)
                if found is not None and known is not None:
                    assert (found.n, found.n_missing, found.confidence) == (known.n, known.n_missing, known.confidence)
                    for end in ("value", "low", "high"):
                        number, other_number = getattr(found, end), getattr(known, end)
                        assert (number is None) == (other_number is None)
                        assert number is None or number == pytest.approx(other_number, rel=1e-6, abs=1e-9)
    assert some


def test_every_kind_is_looked_at() -> None:
    looked = {type(condition) for _, condition in CONDITIONS.values()}
    assert looked == {*WATCHES, Threshold}
    followed = Rule(alert="A", metric="m", condition=Change("fell", 0.0, 86_400.0), window_seconds=600.0)
    assert watch_of(followed) is None

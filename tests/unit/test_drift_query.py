"""From a store's sums to what moved: topics, words and versions, against what was planted."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from evalsvc.drift_query import DriftQuery, drifts
from evalsvc.scorers.text_words import word_counts
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, Score, ScorerSpec, Subject, Window, WriteBatch

DAY = datetime(2026, 3, 16, tzinfo=UTC)
NOW = Window(DAY, DAY + timedelta(hours=12))
BEFORE = Window(NOW.start - timedelta(days=7), NOW.end - timedelta(days=7))
EMBEDDING = ScorerSpec("prompt_embedding", 1, Scale(0.0, 1.0, "neither", "texts", binary=True), features="fourier")
WORDS = ScorerSpec("response_words", 1, Scale(0.0, None, "neither", "words"), features="counts")
REFUSAL = ScorerSpec("refusal", 1, Scale(0.0, 1.0, "lower", binary=True))


class World:
    def __init__(self, *specs):
        self.store = MemoryStore()
        self.store.record_scorers(list(specs))
        self.made = 0

    def write(self, spec, window, make, n=40, version=1):
        scores = []
        for hour in range(12):
            for number in range(n):
                value, features = make(hour, number)
                pi = 0.1 if number % 4 else 1.0
                self.made += 1
                subject = Subject(
                    f"e{self.made}", window.start + timedelta(hours=hour), "quality", "support", "m", "1", {}, "",
                    f"rate={pi}", 1,
                )  # fmt: skip
                scores.append(Score(subject, spec.metric, version, "", pi, "ok", value, statistics=features))
        self.store.write(WriteBatch(scores=tuple(scores)))

    def ask(self, **fields):
        return drifts(self.store, DriftQuery(BEFORE, NOW, **fields))


def unit(angle):
    return (float(np.cos(angle)), float(np.sin(angle)))


@pytest.mark.parametrize(("shift", "moved"), [(0.0, False), (0.8, True)])
def test_topics(shift, moved):
    world, rng = World(EMBEDDING), np.random.default_rng(3)
    world.write(EMBEDDING, BEFORE, lambda hour, number: (1.0, unit(rng.normal(0.0, 0.6))))
    world.write(EMBEDDING, NOW, lambda hour, number: (1.0, unit(rng.normal(shift, 0.6))))
    (row,) = world.ask()
    assert (row.watched, row.moved) == ("topics", moved)
    assert row.tests[0].detector == "mmd"
    assert "self-similarity" in row.change


@pytest.mark.parametrize(("shift", "moved"), [(0.0, False), (0.8, True)])
def test_a_classifier_tells_single_texts_apart_on_request(shift, moved):
    world, rng = World(EMBEDDING), np.random.default_rng(3)
    world.write(EMBEDDING, BEFORE, lambda hour, number: (1.0, unit(rng.normal(0.0, 0.6))))
    world.write(EMBEDDING, NOW, lambda hour, number: (1.0, unit(rng.normal(shift, 0.6))))
    alone, found = world.ask(), {row.watched: row for row in world.ask(classifier=True)}
    assert [row.watched for row in alone] == ["topics"]
    assert set(found) == {"topics", "single texts"}
    row = found["single texts"]
    (test,) = row.tests
    assert (test.detector, row.moved, test.n, test.n_baseline) == ("classifier", moved, 480, 480)
    assert test.method == "logistic regression, 5 folds, permutation of 24 groups"
    assert row.change == f"AUC {0.5 + test.plug_in:.2f} ({0.5 + test.low:.2f} … {0.5 + test.high:.2f})"
    # Of two rows one p-value is doubled at most; a finer one than 1/200 is made where it could decide.
    assert test.p_value <= row.adjusted_p <= 2.0 * test.p_value
    assert test.p_value == 0.001 if moved else test.p_value > 0.05


def test_a_classifier_without_enough_texts_says_so():
    world, rng = World(EMBEDDING), np.random.default_rng(3)
    world.write(EMBEDDING, BEFORE, lambda hour, number: (1.0, unit(rng.normal(0.0, 0.6))))
    world.write(EMBEDDING, Window(NOW.start, NOW.start + timedelta(hours=1)), lambda hour, number: (1.0, ()), n=1)
    row = {row.watched: row for row in world.ask(classifier=True)}["single texts"]
    assert (row.moved, row.change, row.reason) == (None, "", "the current window is empty")


@pytest.mark.parametrize(("new", "moved"), [("parcel", False), ("sorry", True)])
def test_words_are_watched_by_length_and_by_vocabulary(new, moved):
    world, rng = World(WORDS), np.random.default_rng(4)

    def text(extra):
        words = [f"w{k}" for k in rng.integers(0, 60, 12)] + [extra] * 6
        return float(len(words)), word_counts(words)

    world.write(WORDS, BEFORE, lambda hour, number: text("parcel"))
    world.write(WORDS, NOW, lambda hour, number: text(new))
    found = {row.watched: row for row in world.ask()}
    assert set(found) == {"values", "vocabulary"}
    assert found["vocabulary"].moved is moved
    # Every text has 18 words in both weeks.
    assert found["values"].moved is None
    assert "one bin" in found["values"].reason


def test_a_new_version_of_a_scorer_is_no_drift():
    world = World(REFUSAL, REFUSAL.__class__("refusal", 2, REFUSAL.scale))
    world.write(REFUSAL, BEFORE, lambda hour, number: (float(number % 2), ()))
    world.write(REFUSAL, NOW, lambda hour, number: (0.0, ()), version=2)
    (row,) = world.ask()
    assert (row.moved, row.scorer_version) == (None, 2)
    assert row.reason == "this version of the scorer has no scores in the baseline"


def test_shares_of_yes_are_weighted():
    world = World(REFUSAL)
    # Those taken at 1 in 10 refuse twice as often now; they stand for nearly all traffic.
    world.write(REFUSAL, BEFORE, lambda hour, number: (float(number % 8 == 1), ()))
    world.write(REFUSAL, NOW, lambda hour, number: (float(number % 4 == 1), ()))
    (row,) = world.ask()
    assert row.watched == "share"
    # 10 of 40 are taken at 1; of the others, which count ten times, 5 of 30 and then 10 of 30 refuse.
    assert row.change == f"{50 / 310:.1%} → {100 / 310:.1%}"
    assert row.moved


def test_effects_are_judged_together():
    """Twenty metrics that did not move: at 5 % each one would be expected to."""
    specs = [ScorerSpec(f"m{place}", 1, Scale(0.0, 1.0, "higher")) for place in range(20)]
    world, rng = World(*specs), np.random.default_rng(5)
    for spec in specs:
        for window in (BEFORE, NOW):
            world.write(spec, window, lambda hour, number: (float(rng.beta(8, 2)), ()))
    rows = world.ask()
    assert len(rows) == 20
    assert not any(row.moved for row in rows)
    assert all(row.adjusted_p >= row.tests[0].p_value for row in rows)


def unchanged(rng, pi):
    """Two windows of 240 events of one process, all sampled at π, and twenty anchors that were scored alike in both."""
    world = World(REFUSAL)
    scores = []
    for window in (BEFORE, NOW):
        for number in range(240):
            at = window.start + timedelta(hours=number % 12)
            subject = Subject(
                f"e{number}@{at}", at, "quality", "support", "m", "1", {}, "", f"rate={pi}", 1,
            )  # fmt: skip
            scores.append(Score(subject, "refusal", 1, "", pi, "ok", float(rng.random() < 0.1)))
        for number in range(20):
            segments = {"case": f"c{number}", "digest": "d"}
            subject = Subject(
                f"c{number}@{window.start}", window.start, "quality", "support", "m", "1", segments, "", "anchor", 0,
            )  # fmt: skip
            scores.append(Score(subject, "anchor:refusal", 1, "", 1.0, "ok", float(number % 5 == 0)))
    world.store.write(WriteBatch(scores=tuple(scores)))
    return world


@pytest.mark.parametrize("pi", [1.0, 0.05])
def test_the_system_is_not_blamed_for_chance_where_everything_was_scored(pi):
    """All of a window scored, its mean is exact; that the next one's differs is chance all the same."""
    for seed in range(5):
        (row,) = unchanged(np.random.default_rng(seed), pi).ask()
        shift = row.scorer
        assert (shift.moved, shift.system_moved) == (False, False)
        assert shift.system_low < shift.system < shift.system_high
        assert shift.scorer_low < 0.0 < shift.scorer_high


def test_live_means_that_cannot_be_compared_have_a_reason():
    world = World(ScorerSpec("words", 1, Scale(None, None, "neither")))
    scores = []
    for window in (BEFORE, NOW):
        for number in range(3):
            segments = {"case": f"c{number}", "digest": "d"}
            for metric, value in (("words", 7.0), ("anchor:words", number * window.start.day)):
                subject = Subject(
                    f"{metric}{number}@{window.start}", window.start, "quality", "support", "m", "1",
                    segments, "", "all", 0,
                )  # fmt: skip
                scores.append(Score(subject, metric, 1, "", 0.5, "ok", float(value)))
    world.store.write(WriteBatch(scores=tuple(scores)))
    row = row_of(world.ask(), "words", "values")
    assert row.scorer.scorer is not None
    assert row.scorer.system is None
    assert "all scores are equal" in row.scorer.reason


def plain(world, spec, window, status, n, *, version="1", language="en", pi=1.0):
    """Write scores of one kind, spread over the window's hours."""
    scores = []
    for number in range(n):
        world.made += 1
        subject = Subject(
            f"e{world.made}", window.start + timedelta(hours=number % 12), "quality", "support", "m", version,
            {"language": language}, "", f"rate={pi}", 1,
        )  # fmt: skip
        value = None if status != "ok" else float(number % 50 == 0)
        scores.append(Score(subject, spec.metric, 1, "", pi, status, value, "" if value is not None else "broken"))
    world.store.write(WriteBatch(scores=tuple(scores)))


def row_of(rows, metric, watched):
    (found,) = [row for row in rows if (row.metric, row.watched) == (metric, watched)]
    return found


def test_a_scorer_that_begins_to_fail_is_drift_though_its_values_are_what_they_were():
    world = World(REFUSAL)
    plain(world, REFUSAL, BEFORE, "ok", 1000)
    plain(world, REFUSAL, NOW, "ok", 200)
    plain(world, REFUSAL, NOW, "failed", 800)
    rows = world.ask()
    assert not row_of(rows, "refusal", "share").moved
    gone = row_of(rows, "refusal", "missing")
    assert gone.moved is True
    assert gone.change == "0.0% → 80.0%"
    assert (gone.missing_baseline, gone.missing_current) == (0.0, 0.8)


@pytest.mark.parametrize(("before", "now"), [("ok", "failed"), ("failed", "ok")])
def test_a_scorer_that_fails_for_every_event_is_drift_too(before, now):
    world = World(REFUSAL)
    plain(world, REFUSAL, BEFORE, before, 500)
    plain(world, REFUSAL, NOW, now, 500)
    assert row_of(world.ask(), "refusal", "missing").moved is True


def test_nothing_is_said_of_missing_scores_where_there_are_none():
    world = World(REFUSAL)
    plain(world, REFUSAL, BEFORE, "ok", 500)
    plain(world, REFUSAL, NOW, "ok", 500)
    assert [row.watched for row in world.ask()] == ["share"]


def test_the_mix_of_versions_and_segments_is_watched_and_weighted():
    world = World(REFUSAL)
    plain(world, REFUSAL, BEFORE, "ok", 2000, version="1")
    plain(world, REFUSAL, NOW, "ok", 2000, version="1")
    # A tenth of the events of version 2 are taken, so that it is as frequent as version 1 there.
    plain(world, REFUSAL, NOW, "ok", 200, version="2", pi=0.1)
    plain(world, REFUSAL, BEFORE, "ok", 200, language="de")
    plain(world, REFUSAL, NOW, "failed", 200, language="de")
    rows = world.ask()
    version = row_of(rows, "model_version", "mix")
    assert version.moved is True
    assert "2 0.0% → 47.6%" in version.change
    assert (version.scorer_version, version.signature, version.side) == (0, "", "operation")
    assert row_of(rows, "segments.language", "mix").moved is False
    assert not [row for row in world.ask(metrics=("refusal",)) if row.watched == "mix"]
    assert not [row for row in world.ask(where={"model_version": ("1",)}) if row.metric == "model_version"]


def shares(world, window, faults, n):
    rng = np.random.default_rng(round(1000 * faults))
    world.write(REFUSAL, window, lambda hour, number: (float(rng.random() < faults), ()), n)


def test_a_rare_failure_that_doubles_matters_unless_another_minimum_is_asked_for():
    world = World(REFUSAL)
    shares(world, BEFORE, 0.02, 4000)
    shares(world, NOW, 0.05, 4000)
    assert row_of(world.ask(), "refusal", "share").moved is True
    assert row_of(world.ask(minima={"chi_square": 0.2}), "refusal", "share").moved is False

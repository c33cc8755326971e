"""Scores of a corpus from sums of statistics: sacrebleu's values at π = 1, honest intervals below."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from sacrebleu import corpus_bleu as sacrebleu_bleu
from sacrebleu import corpus_chrf as sacrebleu_chrf
from sacrebleu import corpus_ter as sacrebleu_ter

from evalsvc.errors import InputError
from evalsvc.protocols import CellQuery
from evalsvc.query import EstimateQuery, estimates
from evalsvc.scorers.bleu import Bleu
from evalsvc.scorers.chrf import ChrF
from evalsvc.scorers.ter import Ter
from evalsvc.stats import estimate_corpus
from evalsvc.stats.corpus import corpus_bleu, corpus_chrf, ratio_of_sums
from evalsvc.store import MemoryStore
from evalsvc.types import Event, Sample, Scale, Score, Scored, Subject, Window, WriteBatch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = Window(NOON, NOON + timedelta(hours=1))
WORDS = "the a cat dog sat on under mat runs quickly, slowly. red old house and it was not very big"
SCORERS = {"bleu": Bleu(), "chrf": ChrF(), "chrf_plus_plus": ChrF(word_order=2), "ter": Ter()}
PEERS = {
    "bleu": lambda mine, theirs: sacrebleu_bleu(mine, [theirs]).score,
    "chrf": lambda mine, theirs: sacrebleu_chrf(mine, [theirs]).score,
    "chrf_plus_plus": lambda mine, theirs: sacrebleu_chrf(mine, [theirs], word_order=2).score,
    "ter": lambda mine, theirs: sacrebleu_ter(mine, [theirs]).score,
}


def pairs(count: int, seed: int, shared: float = 0.7) -> list[tuple[str, str]]:
    draw, words = random.Random(seed), WORDS.split()
    found = []
    for _ in range(count):
        reference = [draw.choice(words) for _ in range(draw.randint(1, 25))]
        response = [word if draw.random() < shared else draw.choice(words) for word in reference]
        found.append((" ".join(response[: draw.randint(1, 30)]), " ".join(reference)))
    return found


def store_of(metric: str, texts: list[tuple[str, str]], pis: list[float], sessions: int = 0) -> MemoryStore:
    """Score texts, one a stratum of its π, as a worker would have."""
    scorer, store = SCORERS[metric], MemoryStore()
    events = [
        Event(
            event_id=f"e{i}",
            occurred_at=NOON,
            application="app",
            response=mine,
            reference=theirs,
            segments={"half": str(i % 2)},
        )
        for i, (mine, theirs) in enumerate(texts)
    ]
    outcomes = scorer.score([Sample(event, "c", 1, "all", 1.0) for event in events])
    scores = []
    for i, (event, outcome, pi) in enumerate(zip(events, outcomes, pis, strict=True)):
        assert isinstance(outcome, Scored)
        session = f"s{i % sessions}" if sessions else ""
        facts = ("c", "app", "m", "1", event.segments, session, f"pi={pi}", 1)
        subject = Subject(event.event_id, NOON, *facts)
        signature = scorer.spec.signature
        scores.append(Score(subject, metric, 1, signature, pi, "ok", outcome.value, statistics=outcome.statistics))
    store.record_scorers([scorer.spec])
    store.write(WriteBatch(scores=tuple(scores)))
    return store


@pytest.mark.parametrize("metric", list(SCORERS))
@pytest.mark.parametrize("shared", [0.0, 0.3, 0.9])
def test_a_whole_corpus_has_sacrebleus_value(metric: str, shared: float) -> None:
    texts = pairs(300, 7, shared)
    mine, theirs = zip(*texts, strict=True)
    (row,) = estimates(store_of(metric, texts, [1.0] * 300), EstimateQuery(metric, HOUR, 3600, statistic="corpus"))
    assert row.estimate.value == pytest.approx(PEERS[metric](list(mine), list(theirs)), abs=1e-9)
    assert row.estimate.low == row.estimate.high == pytest.approx(row.estimate.value)
    assert row.estimate.statistic == "corpus"


def test_groups_have_their_own() -> None:
    texts = pairs(100, 3)
    query = EstimateQuery("bleu", HOUR, 3600, by=("segments.half",), statistic="corpus")
    for row in estimates(store_of("bleu", texts, [1.0] * 100), query):
        half = [pair for i, pair in enumerate(texts) if str(i % 2) == row.labels["segments.half"]]
        mine, theirs = zip(*half, strict=True)
        assert row.estimate.value == pytest.approx(PEERS["bleu"](list(mine), list(theirs)), abs=1e-9)


def test_weights_stand_for_what_was_not_taken() -> None:
    """An event of π = 1/2 counts as two, so the value is that of a corpus with every such event twice."""
    texts = pairs(60, 5)
    pis = [0.5 if i % 3 else 1.0 for i in range(60)]
    twice = [pair for pair, pi in zip(texts, pis, strict=True) for _ in range(round(1 / pi))]
    mine, theirs = zip(*twice, strict=True)
    (row,) = estimates(store_of("bleu", texts, pis), EstimateQuery("bleu", HOUR, 3600, statistic="corpus"))
    assert row.estimate.value == pytest.approx(PEERS["bleu"](list(mine), list(theirs)), abs=1e-9)
    assert row.estimate.low < row.estimate.value < row.estimate.high


@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_95_of_100_intervals_hold_the_corpus(metric: str) -> None:
    """400 samples of a tenth of 3,000 texts: a standard error of a point."""
    texts = pairs(3000, 11)
    mine, theirs = zip(*texts, strict=True)
    truth, scorer = PEERS[metric](list(mine), list(theirs)), SCORERS[metric]
    held, draw = 0, random.Random(13)
    statistics = scorer.values(texts).statistics
    scale = Scale(0.0, 100.0, "higher")
    offered = {("all", 1): 3000}
    for _ in range(400):
        taken = [row for row in statistics if draw.random() < 0.1]
        store = MemoryStore()
        subject = [Subject(f"e{i}", NOON, "c", "app", "m", "1", {}, "", "all", 1) for i in range(len(taken))]
        store.write(
            WriteBatch(
                scores=tuple(
                    Score(who, metric, 1, "", 0.1, "ok", 0.0, statistics=row)
                    for who, row in zip(subject, taken, strict=True)
                )
            )
        )
        (group,) = store.statistics(CellQuery(metric, HOUR, 3600))
        found = estimate_corpus(group.group.cells, group.sums, metric, scale, HOUR, offered=offered)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_session_is_one_observation() -> None:
    """Every text ten times in one session: the interval is as wide as of one of them, not a third of it."""
    texts = pairs(40, 17)
    alone = store_of("bleu", texts, [0.01] * 40)
    repeated = store_of("bleu", texts * 10, [0.01] * 400, sessions=40)

    def width(store: MemoryStore, clusters: bool) -> float:
        (group,) = store.statistics(CellQuery("bleu", HOUR, 3600, clusters=clusters))
        found = estimate_corpus(group.group.cells, group.sums, "bleu", Scale(0.0, 100.0, "higher"), HOUR)
        return found.high - found.low

    assert width(repeated, True) == pytest.approx(width(alone, False), rel=0.02)
    assert width(repeated, True) > 2.5 * width(repeated, False)


def test_sessions_across_levels_of_pi_are_one_observation_each() -> None:
    """The sizes of two levels of π are estimated from sessions, not from their events."""
    draw, held, runs = random.Random(3), 0, 300
    texts = [pairs(10, seed, 0.3 if seed % 2 else 0.9) for seed in range(400)]
    scorer = SCORERS["bleu"]
    rows = [scorer.values(session).statistics for session in texts]
    mine, theirs = zip(*[pair for session in texts for pair in session], strict=True)
    truth = PEERS["bleu"](list(mine), list(theirs))
    for _ in range(runs):
        store, scores = MemoryStore(), []
        for number, session in enumerate(rows):
            pi = 0.5 if number % 4 else 0.05
            if draw.random() >= pi:
                continue
            for place, row in enumerate(session):
                facts = ("c", "app", "m", "1", {}, f"s{number}", f"pi={pi}", 1)
                subject = Subject(f"e{number}-{place}", NOON, *facts)
                scores.append(Score(subject, "bleu", 1, "", pi, "ok", 0.0, statistics=row))
        store.write(WriteBatch(scores=tuple(scores)))
        (group,) = store.statistics(CellQuery("bleu", HOUR, 3600, clusters=True))
        found = estimate_corpus(group.group.cells, group.sums, "bleu", Scale(0.0, 100.0, "higher"), HOUR)
        held += found.low is not None and found.low <= truth <= found.high
    assert held / runs >= 0.9


def test_an_order_without_a_match_in_the_sample_has_no_interval() -> None:
    texts = [("one two three", "four two six")] * 3
    (row,) = estimates(store_of("bleu", texts, [0.1] * 3), EstimateQuery("bleu", HOUR, 3600, statistic="corpus"))
    assert row.estimate.value is not None
    assert (row.estimate.low, row.estimate.high) == (None, None)
    assert "no match in the sample" in row.estimate.reason


def test_a_perfect_sample_stays_on_the_scale() -> None:
    texts = [("the same words here", "the same words here")] * 4
    (row,) = estimates(store_of("bleu", texts, [0.5] * 4), EstimateQuery("bleu", HOUR, 3600, statistic="corpus"))
    assert row.estimate.value <= 100.0


def test_what_has_no_corpus_score_says_so() -> None:
    with pytest.raises(InputError, match="ask for the mean"):
        estimate_corpus([], {}, "", Scale(0.0, 1.0, "higher"), HOUR)


def test_scores_without_statistics_are_missing() -> None:
    store = store_of("bleu", pairs(20, 1), [1.0] * 20)
    subject = Subject("old", NOON, "c", "app", "m", "1", {}, "", "pi=1.0", 1)
    store.write(WriteBatch(scores=(Score(subject, "bleu", 1, SCORERS["bleu"].spec.signature, 1.0, "ok", 3.0),)))
    (row,) = estimates(store, EstimateQuery("bleu", HOUR, 3600, statistic="corpus"))
    assert (row.estimate.n, row.estimate.n_missing) == (20, 1)


@pytest.mark.parametrize(
    ("function", "total", "expected"),
    [
        (corpus_bleu, [0.0] * 9, None),
        (corpus_bleu, [0, 0, 0, 0, 5, 4, 3, 2, 5], 0.0),
        (corpus_bleu, [2, 1, 0, 0, 2, 1, 0, 0, 2], 0.0),
        (corpus_chrf, [0.0] * 18, None),
        (corpus_chrf, [3, 3, 0], 0.0),
        (ratio_of_sums, [1.0, 0.0], None),
        (ratio_of_sums, [1.0, 4.0], 0.25),
    ],
)
def test_ends(function, total, expected) -> None:
    assert function(total) == expected

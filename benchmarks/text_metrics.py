"""BLEU, chrF, TER and ROUGE: pairs a second beside sacrebleu and rouge-score, in one run, with equal values.

Texts are made from a seeded vocabulary of 20,000 words with Zipf frequencies; a reference repeats more than
half of its response. Every round scores texts that were not seen before. "Steady" is a scorer after 1,000
other pairs of 200 words, which still meets a new word in about forty (BLEU) or seventy (ROUGE); "first sight" is
one that was just made and has met none. ROUGE-Lsum gets the same texts with a sentence a line.
Run: ``python benchmarks/text_metrics.py [--quick]``.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import accumulate
from time import process_time
from typing import Any

from _harness import Aim, Row, machine, paired_seconds, table
from evalsvc.scorers import _rouge_tokens
from evalsvc.scorers.bleu import Bleu
from evalsvc.scorers.chrf import ChrF
from evalsvc.scorers.rouge import Rouge1, Rouge2, RougeL, RougeLsum
from evalsvc.scorers.ter import Ter

Pair = tuple[str, str]
Peer = Callable[[str, str], float]
VOCABULARY = 20_000
# The peers take seconds for many of these.
FEWER = {("ROUGE-L", 200): 4, ("ROUGE-Lsum", 200): 4, ("TER", 60): 8, ("TER", 120): 32}
ENDINGS = ["", "", "", "s", "ed", "ing", "ation", "ly", "ness", "er"]
ONSETS, VOWELS, CODAS = "bcdfghklmnprst", "aeiou", ["", "n", "r", "s", "t", "l", "nd", "st"]


def vocabulary(draw: random.Random) -> list[str]:
    """Return words made of one to three syllables and an English ending, most frequent (shortest) first."""

    def syllable() -> str:
        return draw.choice(ONSETS) + draw.choice(VOWELS) + draw.choice(CODAS)

    stems = ["".join(syllable() for _ in range(draw.randint(1, 3))) for _ in range(2 * VOCABULARY)]
    words = {stem + draw.choice(ENDINGS) for stem in stems}
    return sorted(sorted(words), key=len)[:VOCABULARY]


def make_pairs(draw: random.Random, words: Sequence[str], length: int, count: int) -> list[Pair]:
    """Return (response, reference) pairs of `length` words with sentences; runs of words are shared."""
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    pairs = []
    for _ in range(count):
        response = draw.choices(words, cum_weights=weights, k=length)
        fresh = draw.choices(words, cum_weights=weights, k=length)
        shift = draw.randint(0, length // 6)
        shifted = response[shift:] + fresh[:shift]
        reference = [new if draw.random() < 0.3 else old for new, old in zip(fresh, shifted, strict=True)]
        pairs.append((sentences(response), sentences(reference)))
    return pairs


def sentences(words: Sequence[str]) -> str:
    """Return the words as sentences of twelve, with a comma in each."""
    text = [f"{word}," if place % 12 == 5 else word for place, word in enumerate(words)]
    starts = range(0, len(text), 12)
    return " ".join(" ".join(text[start : start + 12]).capitalize() + "." for start in starts)


def one_a_line(text: str) -> str:
    """Return the text with each sentence on its own line."""
    return text.replace(". ", ".\n")


def peers() -> dict[str, tuple[type[Any], str, Peer, Aim | None]]:
    """Return for each metric: our scorer, the peer's name, the peer's call and the aim, if one was set."""
    sacrebleu = import_module("sacrebleu")
    tenfold, fiftyfold = Aim("ratio", "≥", 10), Aim("ratio", "≥", 50)
    return {
        "BLEU": (Bleu, "sacrebleu", lambda h, r: float(sacrebleu.sentence_bleu(h, [r]).score), tenfold),
        "chrF": (ChrF, "sacrebleu", lambda h, r: float(sacrebleu.sentence_chrf(h, [r]).score), tenfold),
        "TER": (Ter, "sacrebleu", lambda h, r: float(sacrebleu.sentence_ter(h, [r]).score), None),
        "ROUGE-1": (Rouge1, "rouge-score", rouge_score("rouge1"), fiftyfold),
        "ROUGE-2": (Rouge2, "rouge-score", rouge_score("rouge2"), fiftyfold),
        "ROUGE-L": (RougeL, "rouge-score", rouge_score("rougeL"), fiftyfold),
        "ROUGE-Lsum": (RougeLsum, "rouge-score", rouge_score("rougeLsum"), fiftyfold),
    }


def rouge_score(rouge_type: str) -> Peer:
    """Return rouge-score's F1 of one type, with its stemmer."""
    tool = import_module("rouge_score.rouge_scorer").RougeScorer([rouge_type], use_stemmer=True)
    return lambda h, r: float(tool.score(r, h)[rouge_type].fmeasure)


def measure(metric: str, length: int, steady: bool, rounds: int, count: int) -> Row:
    """Time one metric at one text length and check on one set that the values are equal.

    Raises:
        ValueError: when a value differs from the peer's.
    """
    scorer_class, peer_name, peer, aim = peers()[metric]
    draw = random.Random(length)
    words = vocabulary(draw)

    def texts(count: int, length: int = length) -> list[Pair]:
        made = make_pairs(draw, words, length, count)
        return [(one_a_line(h), one_a_line(r)) for h, r in made] if metric == "ROUGE-Lsum" else made

    scorer = scorer_class()
    forget()
    if steady:
        scorer.values(texts(1_000, 200 if metric != "TER" else 1))
    check = texts(8 if metric != "TER" else 2)
    reached = scorer_class().values(check).values
    if reached != [peer(*pair) for pair in check]:
        raise ValueError(f"Expected {metric} equal to {peer_name}'s, but got other values")
    sets = [texts(count) for _ in range(rounds + 1)]
    ours_next, theirs_next = iter(sets), iter(sets)

    def ours() -> object:
        if not steady:
            forget()
        return _values(scorer if steady else _loaded(scorer_class), ours_next)

    timing = paired_seconds(ours, lambda: [peer(*pair) for pair in next(theirs_next)], rounds, clock=process_time)
    state = "steady" if steady else "first sight"
    return Row(
        benchmark="text metrics",
        what=f"{metric}, {length} words, {state}",
        value=count / timing.seconds,
        unit="pairs/s",
        peer=peer_name,
        peer_value=count / timing.peer_seconds,
        ratio=timing.ratio,
        aim=aim if steady else None,
    )


def run(quick: bool) -> list[Row]:
    """Return a row for each metric, text length and state of the caches; `quick` takes seconds."""
    rounds, count = (2, 16) if quick else (5, 96)
    return [
        measure(metric, length, steady, rounds, max(1, count // FEWER.get((metric, length), 1)))
        for metric in peers()
        # sacrebleu's TER takes seconds for 200 words.
        for length in (60, 120 if metric == "TER" else 200)
        # TER remembers nothing.
        for steady in ((True, False) if metric != "TER" else (True,))
    ]


def main() -> None:
    """Print the machine and the table."""
    print(machine())
    print(table(run(quick="--quick" in sys.argv[1:])))


def forget() -> None:
    """Empty what the ROUGE scorers of this process share."""
    _rouge_tokens._shared.clear()


def _loaded(scorer_class: type[Any]) -> Any:  # noqa: ANN401 - any of the scorers
    scorer = scorer_class()
    scorer.load()
    return scorer


def _values(scorer: Any, sets: Iterator[list[Pair]]) -> object:  # noqa: ANN401
    return scorer.values(next(sets))


if __name__ == "__main__":
    main()

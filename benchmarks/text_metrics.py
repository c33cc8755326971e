"""BLEU, chrF, TER and ROUGE: pairs a second beside sacrebleu and rouge-score, in one run, with equal values.

Texts are made from a seeded vocabulary of 20,000 words with Zipf frequencies; a reference repeats more than
half of its response. Every round scores texts that were not seen before. "Steady" is a scorer after 1,000
other pairs of 200 words, which still meets a new word in about forty; "first sight" is one that was just made and
has met none; TER and ROUGE remember nothing. ROUGE-Lsum, and all four ROUGEs together as a worker runs them, get the
same texts with a sentence a line. Times are CPU times; ROUGE uses all cores, so that its time by the clock is shown
too.
Run: ``python benchmarks/text_metrics.py [--quick]``.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import accumulate
from time import perf_counter, process_time
from typing import Any

from _harness import Aim, Row, machine, paired_seconds, table
from evalsvc.scorers._reference import PairValues
from evalsvc.scorers.bleu import Bleu
from evalsvc.scorers.chrf import ChrF
from evalsvc.scorers.rouge import Rouge1, Rouge2, RougeL, RougeLsum, RougeTool
from evalsvc.scorers.ter import Ter

Pair = tuple[str, str]
Peer = Callable[[str, str], float]
VOCABULARY = 20_000
# The peers take seconds for many of these.
REMEMBERS = ("BLEU", "chrF")
BY_LINES = ("ROUGE-Lsum", "all four ROUGEs")
FEWER = {("ROUGE-L", 200): 4, ("ROUGE-Lsum", 200): 4, ("all four ROUGEs", 200): 4, ("TER", 60): 8, ("TER", 120): 32}
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


def peers() -> dict[str, tuple[Callable[[], Any], str, Peer, Aim | None]]:
    """Return for each metric: our scorer, the peer's name, the peer's call and the aim, if one was set."""
    sacrebleu = import_module("sacrebleu")
    tenfold, fiftyfold = Aim("ratio", "≥", 10), Aim("ratio", "≥", 50)
    return {
        "BLEU": (Bleu, "sacrebleu", lambda h, r: float(sacrebleu.sentence_bleu(h, [r]).score), tenfold),
        "chrF": (ChrF, "sacrebleu", lambda h, r: float(sacrebleu.sentence_chrf(h, [r]).score), tenfold),
        "TER": (Ter, "sacrebleu", lambda h, r: float(sacrebleu.sentence_ter(h, [r]).score), None),
        "ROUGE-1": (alone(Rouge1), "rouge-score", rouge_score("rouge1"), fiftyfold),
        "ROUGE-2": (alone(Rouge2), "rouge-score", rouge_score("rouge2"), fiftyfold),
        "ROUGE-L": (alone(RougeL), "rouge-score", rouge_score("rougeL"), fiftyfold),
        "ROUGE-Lsum": (alone(RougeLsum), "rouge-score", rouge_score("rougeLsum"), fiftyfold),
        "all four ROUGEs": (AllRouge, "rouge-score", rouge_score("rouge1", "rouge2", "rougeL", "rougeLsum"), fiftyfold),
    }


class AllRouge:
    """The four ROUGE scorers as a worker runs them, one after the other on a batch; a value is the sum of theirs."""

    def __init__(self) -> None:
        """Make them around one tool."""
        tool = RougeTool()
        self._scorers = [rouge(tool) for rouge in (Rouge1, Rouge2, RougeL, RougeLsum)]

    def load(self) -> None:
        """Load each, so that the tool knows of all."""
        for scorer in self._scorers:
            scorer.load()

    def values(self, pairs: Sequence[Pair]) -> PairValues:
        """Return the sums of the four values."""
        found = [scorer.values(pairs) for scorer in self._scorers]
        return PairValues([sum(values) for values in zip(*(one.values for one in found), strict=True)], [])


def alone(rouge: Callable[[RougeTool], Any]) -> Callable[[], Any]:
    """Return what makes a ROUGE scorer with a tool of its own, which computes no other ROUGE."""
    return lambda: rouge(RougeTool())


def rouge_score(*rouge_types: str) -> Peer:
    """Return rouge-score's F1 with its stemmer, summed over the types."""
    tool = import_module("rouge_score.rouge_scorer").RougeScorer(rouge_types, use_stemmer=True)
    return lambda h, r: float(sum(score.fmeasure for score in tool.score(r, h).values()))


def measure(metric: str, length: int, state: str, rounds: int, count: int) -> Row:
    """Time one metric at one text length, in one of :func:`states`, and check on one set that the values are equal.

    Raises:
        ValueError: when a value differs from the peer's.
    """
    make_scorer, peer_name, peer, aim = peers()[metric]
    draw = random.Random(length)
    words = vocabulary(draw)

    def texts(count: int, length: int = length) -> list[Pair]:
        made = make_pairs(draw, words, length, count)
        return [(one_a_line(h), one_a_line(r)) for h, r in made] if metric in BY_LINES else made

    scorer = _loaded(make_scorer)
    if metric in REMEMBERS:
        scorer.values(texts(1_000, 200))
    check = texts(8 if metric != "TER" else 2)
    reached = make_scorer().values(check).values
    if reached != [peer(*pair) for pair in check]:
        raise ValueError(f"Expected {metric} equal to {peer_name}'s, but got other values")
    sets = [texts(count) for _ in range(rounds + 1)]
    ours_next, theirs_next = iter(sets), iter(sets)

    def ours() -> object:
        return _values(_loaded(make_scorer) if state == "first sight" else scorer, ours_next)

    clock = perf_counter if state == "all cores" else process_time
    timing = paired_seconds(ours, lambda: [peer(*pair) for pair in next(theirs_next)], rounds, clock=clock)
    return Row(
        benchmark="text metrics",
        what=f"{metric}, {length} words" + (f", {state}" if state else ""),
        value=count / timing.seconds,
        unit="pairs/s",
        peer=peer_name,
        peer_value=count / timing.peer_seconds,
        ratio=timing.ratio,
        aim=aim if state == states(metric)[0] else None,
    )


def run(quick: bool) -> list[Row]:
    """Return a row for each metric, text length and state; `quick` takes seconds."""
    rounds, count = (2, 16) if quick else (5, 96)
    return [
        measure(metric, length, state, rounds, max(1, count // FEWER.get((metric, length), 1)))
        for metric in peers()
        # sacrebleu's TER takes seconds for 200 words.
        for length in (60, 120 if metric == "TER" else 200)
        for state in states(metric)
    ]


def states(metric: str) -> tuple[str, ...]:
    """Return what a metric is timed in, the one with the aim first."""
    if metric in REMEMBERS:
        return ("steady", "first sight")
    return ("",) if metric == "TER" else ("all cores", "CPU time")


def main() -> None:
    """Print the machine and the table."""
    print(machine())
    print(table(run(quick="--quick" in sys.argv[1:])))


def _loaded(make: Callable[[], Any]) -> Any:  # noqa: ANN401 - any of the scorers
    scorer = make()
    scorer.load()
    return scorer


def _values(scorer: Any, sets: Iterator[list[Pair]]) -> object:  # noqa: ANN401
    return scorer.values(next(sets))


if __name__ == "__main__":
    main()

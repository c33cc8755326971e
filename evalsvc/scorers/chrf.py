"""chrF and chrF++ of the response against its reference, equal to ``sacrebleu.sentence_chrf``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from string import punctuation

import numpy as np
from numpy.typing import NDArray

from evalsvc.errors import InputError
from evalsvc.scorers._ngrams import Integers, WordNumbers, clipped_matches, unpack
from evalsvc.scorers._reference import PairValues, ReferenceScorer
from evalsvc.types import Scale, ScorerSpec

CHARACTER_ORDER = 6
BETA = 2
PUNCTUATION = frozenset(punctuation)


class ChrF(ReferenceScorer):
    """Character n-gram F-score, 0 … 100, higher is better, with sacrebleu's defaults.

    n = 1 … 6 without white space: F-score of the mean n-gram precision and recall, recall weighing β² = 4
    times as much (Popović, 2015). With ``word_order=2`` it is chrF++ (Popović, 2017), under the metric name
    ``chrf_plus_plus``. It needs no word boundaries, so it is the one to take for Chinese, Japanese or Thai.

    >>> ChrF().values([("the cat sat", "the cat sits")]).values
    [61.034534424114085]
    """

    def __init__(self, word_order: int = 0) -> None:
        """Make the scorer: chrF with `word_order` 0, chrF++ with 2."""
        if word_order not in (0, 2):
            raise InputError(f"Expected `word_order` 0 (chrF) or 2 (chrF++), but got {word_order!r}")
        self._word_order = word_order
        self._words = WordNumbers(words_without_punctuation)
        orders = f"nc:{CHARACTER_ORDER}|nw:{word_order}"
        name = "chrF++" if word_order else "chrF"
        self._spec = ScorerSpec(
            metric="chrf_plus_plus" if word_order else "chrf",
            version=1,
            scale=Scale(0.0, 100.0, "higher", "points"),
            needs=("response", "reference"),
            signature=f"nrefs:1|case:mixed|eff:yes|{orders}|space:no|version:{version('sacrebleu')}",
            description=f"{name} of the response against the reference, as sacrebleu computes it.",
            corpus="chrf",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is sacrebleu's own."""
        return self._spec

    def load(self) -> None:
        """Do nothing: the definition needs no tables of sacrebleu's."""

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return chrF of (response, reference) pairs, to the last digit ``sentence_chrf(...).score``."""
        if not pairs:
            return PairValues([], [])
        symbols, lengths = _characters(pairs)
        counts = [_order_counts(symbols, lengths, CHARACTER_ORDER)]
        if self._word_order:
            self._words.make_room()
            packed = [self._words.pack(text) for pair in pairs for text in pair]
            counts.append(_order_counts(*unpack(packed), self._word_order))
        joined = np.concatenate(counts, axis=2)
        values = chrf_from_counts(joined).tolist()
        # For a corpus, sacrebleu leaves out a response's n-grams of an order that its own reference is too short for.
        joined[0][joined[1] == 0] = 0
        statistics = joined.transpose(1, 0, 2).reshape(len(pairs), -1).tolist()
        return PairValues(values, (lengths[1::2] > 0).tolist(), list(map(tuple, statistics)))


def words_without_punctuation(word: str) -> list[str]:
    """Split one punctuation mark off a word: the last character where it is one, else the first.

    >>> words_without_punctuation("(hi)")
    ['(hi', ')']
    """
    if len(word) == 1:
        return [word]
    if word[-1] in PUNCTUATION:
        return [word[:-1], word[-1]]
    if word[0] in PUNCTUATION:
        return [word[0], word[1:]]
    return [word]


def chrf_from_counts(counts: Integers) -> NDArray[np.float64]:
    """Return chrF, 0 … 100, ``[B]``.

    `counts` is ``[3, B, orders]``: n-grams of the response, of the reference and shared.     Orders that
    either side is too short for are left out of the means. Every step is one IEEE operation in sacrebleu's
    order, which is why the digits agree.
    """
    in_response, in_reference, shared = counts
    effective = (in_response > 0) & (in_reference > 0)
    precision = np.zeros(counts.shape[1])
    recall = np.zeros(counts.shape[1])
    for order in range(counts.shape[2]):
        used = effective[:, order]
        precision[used] += shared[used, order] / in_response[used, order]
        recall[used] += shared[used, order] / in_reference[used, order]
    orders = np.maximum(effective.sum(axis=1), 1)
    precision /= orders
    recall /= orders
    factor = BETA**2
    numerator = (1 + factor) * precision * recall
    denominator = factor * precision + recall
    return 100 * np.divide(numerator, denominator, out=np.zeros(len(precision)), where=denominator > 0)


def _characters(pairs: Sequence[tuple[str, str]]) -> tuple[NDArray[np.uint32], Integers]:
    """Return the code points of all texts without white space, end to end, and how many each text has."""
    texts = ["".join(text.split()) for pair in pairs for text in pair]
    lengths = np.array([len(text) for text in texts], np.int64)
    encoded = "".join(texts).encode("utf-32-le", "surrogatepass")
    return np.frombuffer(encoded, np.dtype("<u4")), lengths


def _order_counts(symbols: NDArray[np.integer], lengths: Integers, order: int) -> Integers:
    """Return n-grams in the response, in the reference and shared, ``[3, B, order]``."""
    shared = clipped_matches(symbols, lengths, order)
    shorter = np.arange(order)
    in_response = np.maximum(lengths[0::2, None] - shorter, 0)
    in_reference = np.maximum(lengths[1::2, None] - shorter, 0)
    return np.stack([in_response, in_reference, shared])

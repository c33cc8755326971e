"""Sentence BLEU of the response against its reference, equal to ``sacrebleu.sentence_bleu``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version

from evalsvc.scorers._bleu_chrf_rouge import PairValues, ReferenceScorer
from evalsvc.scorers._ngrams import WordNumbers, clipped_matches, unpack
from evalsvc.types import Scale, ScorerSpec

ORDER = 4


class Bleu(ReferenceScorer):
    """Sentence BLEU, 0 … 100, higher is better: sacrebleu's defaults (13a tokens, exp smoothing, effective order).

    Geometric mean of the clipped n-gram precisions, n = 1 … 4, times the brevity penalty exp(1 - r/h) where the
    response is shorter (Papineni et al., 2002; smoothing 3 of Chen and Cherry, 2014). BLEU was made for corpora: a
    single value is noisy, and the mean of sentence values is not corpus BLEU.

    >>> bleu = Bleu()
    >>> bleu.load()
    >>> bleu.values([("the cat sat on the mat", "the cat sat on a mat")]).values
    [53.7284965911771]
    """

    def __init__(self) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        self._numbers: WordNumbers | None = None
        self._spec = ScorerSpec(
            metric="bleu",
            version=1,
            scale=Scale(0.0, 100.0, "higher", "points"),
            needs=("response", "reference"),
            signature=f"nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:{version('sacrebleu')}",
            description="Sentence BLEU of the response against the reference, as sacrebleu computes it.",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is sacrebleu's own."""
        return self._spec

    def load(self) -> None:
        """Import sacrebleu's tokeniser."""
        if self._numbers is None:
            from sacrebleu.tokenizers.tokenizer_re import TokenizerRegexp

            # Its rules look at neighbouring characters only, and white space separates like any other character
            # that is no digit: a word is tokenised alike wherever it stands, so its tokens can be remembered.
            tokenizer = TokenizerRegexp()
            self._numbers = WordNumbers(lambda word: tokenizer(f" {word} ").split())

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return sentence BLEU of (response, reference) pairs, to the last digit ``sentence_bleu(...).score``."""
        self.load()
        numbers = self._numbers
        if not pairs or numbers is None:
            return PairValues([], [])
        numbers.make_room()
        symbols, lengths = unpack([numbers.pack(normalised(text)) for pair in pairs for text in pair])
        matches = clipped_matches(symbols, lengths, ORDER).tolist()
        response_lengths, reference_lengths = lengths[0::2].tolist(), lengths[1::2].tolist()
        values = list(map(bleu_from_counts, matches, response_lengths, reference_lengths))
        return PairValues(values, reference_lengths)


def normalised(text: str) -> str:
    """Return the text as the 13a tokeniser sees it before its rules: line ends joined, entities resolved, in its order.

    >>> normalised("a hyphen-\\nated &amp;lt; line\\nend ")
    'a hyphenated < line end'
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        text = text.replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    return text


def bleu_from_counts(matches: Sequence[int], response_length: int, reference_length: int) -> float:
    """Return BLEU, 0 … 100, from clipped matches of n = 1 … 4 and lengths in tokens.

    An order with n-grams but no match counts as half a match the first time, a quarter the second and so on;
    orders that the response is too short for are left out.

    >>> bleu_from_counts([3, 2, 1, 0], 4, 4)
    42.04482076268572
    """
    if not any(matches):
        return 0.0
    penalty = 1.0
    if response_length < reference_length:
        penalty = math.exp(1 - reference_length / response_length)
    halving = 1.0
    logarithms = []
    for n, count in enumerate(matches[:response_length]):
        total = response_length - n
        if count:
            logarithms.append(math.log(100.0 * count / total))
        else:
            halving *= 2
            logarithms.append(math.log(100.0 / (halving * total)))
    return penalty * math.exp(sum(logarithms) / len(logarithms))

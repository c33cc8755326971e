"""Sentence BLEU of the response against its reference, equal to ``sacrebleu.sentence_bleu``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from string import punctuation

from evalsvc.scorers._ngrams import WordNumbers, clipped_matches, unpack
from evalsvc.scorers._reference import PairValues, ReferenceScorer
from evalsvc.types import Scale, ScorerSpec

ORDER = 4
# Apostrophe and hyphen stay with their word.
SEPARATE_AT_END = frozenset(punctuation) - {"'", "-"}


class Bleu(ReferenceScorer):
    """Sentence BLEU, 0 … 100, higher is better, with sacrebleu's defaults.

    13a tokens, exp smoothing, effective order: geometric mean of the clipped n-gram precisions, n = 1 … 4,
    times the brevity penalty exp(1 - r/h) where the response is shorter (Papineni et al., 2002; smoothing 3
    of Chen and Cherry, 2014). BLEU was made for corpora: a single value is noisy, and the mean of sentence
    values is not corpus BLEU.

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
            corpus="bleu",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is sacrebleu's own."""
        return self._spec

    def load(self) -> None:
        """Import sacrebleu's tokeniser."""
        if self._numbers is None:
            tokenizer_class = import_module("sacrebleu.tokenizers.tokenizer_re").TokenizerRegexp
            # Its rules look at neighbouring characters only, and white space counts as any character but a
            # digit: a word is tokenised alike wherever it stands, so its tokens can be remembered.
            # Its own cache is left out: it keeps 65,536 texts of any length.
            rules, apply = tokenizer_class(), tokenizer_class.__call__.__wrapped__
            self._numbers = WordNumbers(lambda word: plain_tokens(word) or apply(rules, f" {word} ").split())

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return sentence BLEU of (response, reference) pairs, equal to ``sentence_bleu(...).score``."""
        self.load()
        numbers = self._numbers
        if not pairs or numbers is None:
            return PairValues([], [])
        numbers.make_room()
        symbols, lengths = unpack([numbers.pack(normalised(text)) for pair in pairs for text in pair])
        matches = clipped_matches(symbols, lengths, ORDER).tolist()
        response_lengths, reference_lengths = lengths[0::2].tolist(), lengths[1::2].tolist()
        values = list(map(bleu_from_counts, matches, response_lengths, reference_lengths))
        statistics = list(map(corpus_statistics, matches, response_lengths, reference_lengths))
        return PairValues(values, list(map(bool, reference_lengths)), statistics)


def corpus_statistics(matches: Sequence[int], response_length: int, reference_length: int) -> tuple[float, ...]:
    """Return what adds up to corpus BLEU: matches and n-grams of n = 1 … 4, and the reference's length.

    >>> corpus_statistics([2, 1, 0, 0], 3, 5)
    (2, 1, 0, 0, 3, 2, 1, 0, 5)
    """
    return (*matches, *(max(0, response_length - n) for n in range(ORDER)), reference_length)


def plain_tokens(word: str) -> list[str] | None:
    """Return the 13a tokens of letters and digits with at most one mark after them; ``None`` for other words.

    Most words are such, and the rules take ten times as long to find the same.

    >>> plain_tokens("mat."), plain_tokens("e.g.")
    (['mat', '.'], None)
    """
    if word.isalnum():
        return [word]
    if word[-1] in SEPARATE_AT_END and word[:-1].isalnum():
        return [word[:-1], word[-1]]
    return None


def normalised(text: str) -> str:
    r"""Return the text before 13a's rules: line ends joined, entities resolved, in its order.

    >>> normalised("a hyphen-\nated &amp;lt; line\nend ")
    'a hyphenated < line end'
    >>> normalised("cats, dogs. ")
    'cats , dogs.'
    """
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        text = text.replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
    # A comma or period before a space is always a token: words are then met without it, and oftener.
    return text.replace(", ", " , ").replace(". ", " . ")


def bleu_from_counts(matches: Sequence[int], response_length: int, reference_length: int) -> float:
    """Return BLEU, 0 … 100, from clipped matches of n = 1 … 4 and lengths in tokens.

    An order with n-grams but no match counts as half a match the first time, a quarter the second and so on;
    orders that the response is too short for are left out.

    >>> bleu_from_counts([3, 2, 1, 0], 4, 4)
    59.460355750136046
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

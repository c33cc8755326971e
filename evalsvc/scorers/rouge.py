"""ROUGE-L F1 of the response against its reference, equal to rouge-score with its stemmer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

from evalsvc.scorers._bleu_chrf_rouge import PairValues, ReferenceScorer
from evalsvc.scorers._ngrams import LONGEST_KEPT_WORD
from evalsvc.scorers._rouge_lcs import lcs_length
from evalsvc.types import Scale, ScorerSpec

STEM_FROM_LENGTH = 4
_LETTERS_AND_DIGITS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_OTHERS_TO_SPACE = bytes(code if code in _LETTERS_AND_DIGITS else 32 for code in range(256))


class RougeL(ReferenceScorer):
    """ROUGE-L F1, 0 … 1, higher is better: ``RougeScorer(["rougeL"], use_stemmer=True)``.

    Harmonic mean of LCS length over response tokens and over reference tokens (Lin, 2004). Tokens are runs
    of a-z and 0-9 after lower-casing, Porter-stemmed from four characters on. Other scripts have no tokens:
    a reference that is all Chinese abstains, where rouge-score gives 0.

    >>> rouge = RougeL()
    >>> rouge.load()
    >>> rouge.values([("police kill the gunman", "police killed the gunman")]).values
    [1.0]
    """

    _empty_reference = "the reference has no token a-z, 0-9, all that ROUGE sees"

    def __init__(self) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        self._stems: Stems | None = None
        packages = f"nltk:{version('nltk')}|version:rouge-score.{version('rouge-score')}"
        self._spec = ScorerSpec(
            metric="rouge_l",
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("reference",),
            signature=f"nrefs:1|case:lc|type:rougeL|f:1|tok:default|stem:porter|{packages}",
            description="ROUGE-L F1 of the response against the reference, as rouge-score computes it.",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; nltk is in the signature because its stemmer decides which words match."""
        return self._spec

    def load(self) -> None:
        """Import nltk's Porter stemmer, the one rouge-score uses."""
        if self._stems is None:
            self._stems = Stems(import_module("nltk.stem.porter").PorterStemmer().stem)

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return ROUGE-L F1 of (response, reference) pairs, equal to ``score(...)["rougeL"].fmeasure``."""
        self.load()
        stems = self._stems
        if not pairs or stems is None:
            return PairValues([], [])
        stems.make_room()
        values, reference_tokens = [], []
        for response, reference in pairs:
            ours, theirs = stems.tokens(response), stems.tokens(reference)
            values.append(f1(lcs_length(theirs, ours), len(ours), len(theirs)))
            reference_tokens.append(len(theirs))
        return PairValues(values, reference_tokens)


class Stems(dict[str, str]):
    """A cache from a word, lower-case ASCII, to its stem. Words longer than 32 characters are not kept."""

    def __init__(self, stem: Callable[[str], str], capacity: int = 1 << 15) -> None:
        """Take the stemmer, and how many words to remember."""
        super().__init__()
        self._stem = stem
        self._capacity = capacity

    def __missing__(self, word: str) -> str:
        """Stem a new word and remember it; words of up to three characters stay as they are."""
        stem = self._stem(word) if len(word) >= STEM_FROM_LENGTH else word
        if len(word) <= LONGEST_KEPT_WORD:
            self[word] = stem
        return stem

    def tokens(self, text: str) -> list[str]:
        """Return the stemmed tokens of a text.

        >>> Stems(lambda word: word.removesuffix("ing")).tokens("Hopping, 2 cafés")
        ['hopp', '2', 'caf', 's']
        """
        # Anything outside ASCII becomes "?", then a space, which is all that it is to ROUGE.
        plain = text.lower().encode("ascii", "replace").translate(_OTHERS_TO_SPACE).decode("ascii")
        return list(map(self.__getitem__, plain.split()))

    def make_room(self) -> None:
        """Forget everything when more is remembered than the capacity."""
        if len(self) > self._capacity:
            self.clear()


def f1(common: int, response_length: int, reference_length: int) -> float:
    """Return the harmonic mean of `common` over either length; 0.0 where nothing is common."""
    if not common:
        return 0.0
    precision = common / response_length
    recall = common / reference_length
    return 2 * precision * recall / (precision + recall)

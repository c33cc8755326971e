"""ROUGE-1, -2, -L and -Lsum F1 of the response against its reference, equal to rouge-score with its stemmer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from rapidfuzz.distance import LCSseq

from evalsvc.scorers._ngrams import clipped_matches
from evalsvc.scorers._reference import PairValues, ReferenceScorer
from evalsvc.scorers._rouge_tokens import shared_stems
from evalsvc.scorers._union_lcs import Lines, union_lcs_hits
from evalsvc.types import Scale, ScorerSpec

MOST_CHARACTERS = 2_000_000
"""How many characters a pair may have: fewer than there are numbers for its words."""
MOST_LSUM_TOKENS = 10_000
"""How many tokens either text may have for ROUGE-Lsum, which keeps a bit for each pair of tokens."""
MOST_LSUM_STEPS = 2_000_000
"""How many steps ROUGE-Lsum may take: lines of the reference times tokens of the response."""


class _Rouge(ReferenceScorer):
    """What the ROUGE scorers share: rouge-score's tokens, stemmed once, and the F1 of what two texts share.

    Tokens are runs of a-z and 0-9 after lower-casing, Porter-stemmed from four characters on. Other scripts have
    no tokens: a reference that is all Chinese abstains, where rouge-score gives 0.
    """

    _empty_reference = "the reference has no token a-z, 0-9, all that ROUGE sees"

    def __init__(self, metric: str, rouge_type: str, name: str) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        tool = f"version:rouge-score.{version('rouge-score')}"
        self._spec = ScorerSpec(
            metric=metric,
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response", "reference"),
            signature=f"nrefs:1|case:lc|type:{rouge_type}|f:1|tok:default|stem:porter.nltk|{tool}",
            description=f"{name} F1 of the response against the reference, as rouge-score computes it.",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the stemmer is in the signature because it decides which words match."""
        return self._spec

    def load(self) -> None:
        """Make what the ROUGE scorers of a process share."""
        shared_stems()

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return F1 of (response, reference) pairs, equal to rouge-score's ``fmeasure``."""
        lines = []
        for response, reference in pairs:
            stems = shared_stems()
            lines.append((stems.lines(response), stems.lines(reference)))
        return self._values(lines)

    @abstractmethod
    def _values(self, pairs: Sequence[tuple[Lines, Lines]]) -> PairValues:
        """Return F1 of (response, reference) pairs of lines."""

    def _unscorable(self, response: str, reference: str) -> str | None:
        if len(response) + len(reference) > MOST_CHARACTERS:
            return f"the texts have more than {MOST_CHARACTERS:,} characters"
        return None


class _RougeN(_Rouge):
    """F1 of n-grams of stems, counted with multiplicity."""

    def __init__(self, order: int) -> None:
        super().__init__(f"rouge_{order}", f"rouge{order}", f"ROUGE-{order}")
        self._order = order

    def _values(self, pairs: Sequence[tuple[Lines, Lines]]) -> PairValues:
        if not pairs:
            return PairValues([], [])
        texts = ["".join(lines) for pair in pairs for lines in pair]
        lengths = np.array([len(text) for text in texts], np.int64)
        symbols = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
        common = clipped_matches(symbols, lengths, self._order)[:, -1].tolist()
        ngrams = np.maximum(lengths - (self._order - 1), 0)
        ours, theirs = ngrams[0::2].tolist(), ngrams[1::2].tolist()
        return PairValues(list(map(f1, common, ours, theirs)), theirs)


class Rouge1(_RougeN):
    """ROUGE-1 F1, 0 … 1, higher is better: ``RougeScorer(["rouge1"], use_stemmer=True)``.

    Harmonic mean of the shares of shared stems in response and reference, counted with multiplicity (Lin, 2004).
    It abstains without a reference and where the reference has no token of a-z and 0-9.

    >>> Rouge1().values([("police kill the gunman", "the gunman killed police")]).values
    [1.0]
    """

    def __init__(self) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        super().__init__(1)


class Rouge2(_RougeN):
    """ROUGE-2 F1, 0 … 1, higher is better: ``RougeScorer(["rouge2"], use_stemmer=True)``.

    ROUGE-1 with pairs of neighbouring stems (Lin, 2004). It also abstains where the reference has one token only:
    no pair could be shared, and rouge-score's 0 would be read as a bad response.

    >>> Rouge2().values([("police kill the gunman", "the gunman killed police")]).values
    [0.3333333333333333]
    """

    _empty_reference = "the reference has fewer than two tokens a-z, 0-9, all that ROUGE sees"

    def __init__(self) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        super().__init__(2)


class RougeL(_Rouge):
    """ROUGE-L F1, 0 … 1, higher is better: ``RougeScorer(["rougeL"], use_stemmer=True)``.

    Harmonic mean of LCS length over response tokens and over reference tokens (Lin, 2004). It abstains without a
    reference and where the reference has no token of a-z and 0-9.

    >>> RougeL().values([("police kill the gunman", "police killed the gunman")]).values
    [1.0]
    """

    def __init__(self) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        super().__init__("rouge_l", "rougeL", "ROUGE-L")

    def _values(self, pairs: Sequence[tuple[Lines, Lines]]) -> PairValues:
        texts = [("".join(response), "".join(reference)) for response, reference in pairs]
        values = [f1(LCSseq.similarity(ours, theirs), len(ours), len(theirs)) for ours, theirs in texts]
        return PairValues(values, [len(theirs) for _, theirs in texts])


class RougeLsum(_Rouge):
    r"""ROUGE-Lsum F1, 0 … 1, higher is better: ``RougeScorer(["rougeLsum"], use_stemmer=True)``.

    ROUGE-L for summaries of one sentence a line (Lin, 2004, section 3.2): for every line of the reference, the union
    of its longest common subsequences with the response's lines. Of texts of one line each it is ROUGE-L. It abstains
    where ROUGE-L does, where a text has more than 10,000 tokens, and where the reference's lines times the response's
    tokens are more than 2,000,000.

    >>> RougeLsum().values([("the gunman fled\npolice came", "police came\nthe gunman fled")]).values
    [1.0]
    """

    def __init__(self) -> None:
        """Make the scorer; nothing is imported before :meth:`load`."""
        super().__init__("rouge_lsum", "rougeLsum", "ROUGE-Lsum")

    def _values(self, pairs: Sequence[tuple[Lines, Lines]]) -> PairValues:
        lengths = [(sum(map(len, response)), sum(map(len, reference))) for response, reference in pairs]
        hits = union_lcs_hits(pairs)
        values = [f1(common, ours, theirs) for common, (ours, theirs) in zip(hits, lengths, strict=True)]
        return PairValues(values, [theirs for _, theirs in lengths])

    def _unscorable(self, response: str, reference: str) -> str | None:
        reason = super()._unscorable(response, reference)
        # Texts of so few characters have no more tokens and lines.
        if reason is not None or max(len(response), len(reference)) < 2_000:
            return reason
        stems = shared_stems()
        ours, theirs = stems.lines(response), stems.lines(reference)
        if max(sum(map(len, ours)), sum(map(len, theirs))) > MOST_LSUM_TOKENS:
            return f"a text has more than {MOST_LSUM_TOKENS:,} tokens"
        if sum(map(len, ours)) * len(theirs) > MOST_LSUM_STEPS:
            return f"the reference's lines times the response's tokens are more than {MOST_LSUM_STEPS:,}"
        return None


def f1(common: int, response_length: int, reference_length: int) -> float:
    """Return the harmonic mean of `common` over either length; 0.0 where nothing is common."""
    if not common:
        return 0.0
    precision = common / response_length
    recall = common / reference_length
    return 2 * precision * recall / (precision + recall)

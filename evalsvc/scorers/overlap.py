"""Exact match and token F1 of the response against its reference, normalised as SQuAD's script does."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from string import punctuation

from evalsvc.scorers._reference import PairValues, ReferenceScorer
from evalsvc.types import Scale, ScorerSpec

_WITHOUT_PUNCTUATION = str.maketrans("", "", punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def squad_tokens(text: str) -> list[str]:
    """Return the words in lower case, without ASCII punctuation and the articles a, an and the.

    >>> squad_tokens("The Eiffel-Tower, a  tower.")
    ['eiffeltower', 'tower']
    """
    return _ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split()


class _Squad(ReferenceScorer):
    """What both share: the tokens, and who abstains."""

    _empty_reference = "the reference has no token but articles and punctuation"

    def __init__(self, metric: str, scale: Scale, description: str) -> None:
        self._spec = ScorerSpec(
            metric=metric,
            version=1,
            scale=scale,
            needs=("response", "reference"),
            signature="nrefs:1|norm:squad",
            description=description,
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return self._spec

    def load(self) -> None:
        """Do nothing: there is nothing to load."""

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return the values of (response, reference) pairs, equal to SQuAD's script's."""
        values, has_tokens = [], []
        for response, reference in pairs:
            ours, theirs = squad_tokens(response), squad_tokens(reference)
            values.append(self._value(ours, theirs))
            has_tokens.append(bool(theirs))
        return PairValues(values, has_tokens)

    @abstractmethod
    def _value(self, response: list[str], reference: list[str]) -> float:
        """Return the value of normalised tokens."""


class ExactMatch(_Squad):
    """Whether the response is the reference, 1 or 0, after SQuAD's normalisation; higher is better.

    Lower case, no ASCII punctuation, no articles a, an, the, white space joined (Rajpurkar et al., 2016). It abstains
    without a reference and where nothing of the reference is left.

    >>> ExactMatch().values([("The Eiffel Tower.", "eiffel tower"), ("Paris", "London")]).values
    [1.0, 0.0]
    """

    def __init__(self) -> None:
        """Make the scorer; there is nothing to load."""
        description = "Whether the response is the reference, after SQuAD's normalisation."
        super().__init__("exact_match", Scale(0.0, 1.0, "higher", "share", binary=True), description)

    def _value(self, response: list[str], reference: list[str]) -> float:
        return float(response == reference)


class TokenF1(_Squad):
    """F1 of the words shared with the reference, 0 … 1, higher is better, as SQuAD's script computes it.

    Words are normalised as for :class:`ExactMatch` and counted with multiplicity: 2·p·r / (p + r), where p is the share
    of the response's words that are shared and r that of the reference's (Rajpurkar et al., 2016). It abstains without
    a reference and where nothing of the reference is left.

    >>> TokenF1().values([("the tower in Paris", "the Eiffel tower")]).values
    [0.4]
    """

    def __init__(self) -> None:
        """Make the scorer; there is nothing to load."""
        description = "F1 of the words that response and reference share, after SQuAD's normalisation."
        super().__init__("token_f1", Scale(0.0, 1.0, "higher"), description)

    def _value(self, response: list[str], reference: list[str]) -> float:
        if not response or not reference:
            return float(response == reference)
        common = (Counter(response) & Counter(reference)).total()
        if not common:
            return 0.0
        precision, recall = common / len(response), common / len(reference)
        return 2 * precision * recall / (precision + recall)

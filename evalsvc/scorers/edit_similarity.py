"""Edit similarity: how little of the response has to be edited to get its reference, in characters."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import Levenshtein

from evalsvc.scorers._reference import PairValues, ReferenceScorer
from evalsvc.types import Scale, ScorerSpec

MOST_CHARACTERS = 100_000
"""How many characters either text may have: time grows with the product of their lengths."""


class EditSimilarity(ReferenceScorer):
    """1 - edit distance / length of the longer text, in characters: 0 … 1, higher is better.

    The distance counts inserted, deleted and substituted characters (Levenshtein, 1966), case and white space
    included; characters are Unicode code points. It abstains without a reference, on a blank one, and where either
    text has more than 100,000 characters.

    >>> EditSimilarity().values([("kitten", "sitting")]).values
    [0.5714285714285714]
    """

    def __init__(self) -> None:
        """Make the scorer; there is nothing to load."""
        self._spec = ScorerSpec(
            metric="edit_similarity",
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response", "reference"),
            signature="nrefs:1|case:mixed|unit:character|distance:levenshtein",
            description="1 - Levenshtein distance / length of the longer of response and reference, in characters.",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return self._spec

    def load(self) -> None:
        """Do nothing: there is nothing to load."""

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return the similarity of (response, reference) pairs, equal to rapidfuzz's."""
        values = [Levenshtein.normalized_similarity(response, reference) for response, reference in pairs]
        return PairValues(values, [bool(reference.strip()) for _, reference in pairs])

    def _unscorable(self, response: str, reference: str) -> str | None:
        longest = max(len(response), len(reference))
        return f"a text has more than {MOST_CHARACTERS:,} characters" if longest > MOST_CHARACTERS else None

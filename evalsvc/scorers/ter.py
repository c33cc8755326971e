"""Translation edit rate (TER) of the response against its reference, equal to ``sacrebleu.sentence_ter``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from evalsvc.scorers._reference import PairValues, ReferenceScorer
from evalsvc.scorers._translation_edits import translation_edits
from evalsvc.types import Scale, ScorerSpec

MOST_TOKENS = 2_000
"""How many tokens either text may have."""


class Ter(ReferenceScorer):
    """Translation edit rate, 0 … open above, lower is better, with sacrebleu's defaults.

    100 · (insertions + deletions + substitutions + shifts of word runs) / tokens of the reference (Snover et al.,
    2006). Tokens are what white space separates, in lower case. An empty response has 100: every token is missing.
    It abstains without a reference, on a blank one, and where either text has more than 2,000 tokens.

    >>> Ter().values([("on the mat sat the cat", "the cat sat on the mat")]).values
    [33.33333333333333]
    """

    def __init__(self) -> None:
        """Make the scorer; there is nothing to load."""
        self._spec = ScorerSpec(
            metric="ter",
            version=1,
            scale=Scale(0.0, None, "lower", "points"),
            needs=("response", "reference"),
            signature=f"nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:{version('sacrebleu')}",
            description="Translation edit rate of the response against the reference, as sacrebleu computes it.",
            corpus="ratio",
        )

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is sacrebleu's own."""
        return self._spec

    def load(self) -> None:
        """Do nothing: the definition needs no tables of sacrebleu's."""

    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return TER of (response, reference) pairs, equal to ``sentence_ter(...).score``; of any length."""
        values, has_tokens, statistics = [], [], []
        for response, reference in pairs:
            ours, theirs = _one_character_a_token(response.lower().split(), reference.lower().split())
            edits = translation_edits(ours, theirs) if theirs else float(bool(ours))
            # Against no token any response is one error.
            values.append(100 * (edits / (len(theirs) or 1)))
            has_tokens.append(bool(theirs))
            statistics.append((100.0 * edits, float(len(theirs))))
        return PairValues(values, has_tokens, statistics)

    def _unscorable(self, response: str, reference: str) -> str | None:
        longest = max(len(response.split()), len(reference.split()))
        return f"a text has more than {MOST_TOKENS:,} tokens" if longest > MOST_TOKENS else None


def _one_character_a_token(*texts: list[str]) -> tuple[str, ...]:
    numbers: dict[str, str] = {}
    return tuple("".join([numbers.setdefault(token, chr(len(numbers))) for token in text]) for text in texts)

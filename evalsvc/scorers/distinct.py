"""Distinct-1 and distinct-2: how many of the response's words and word pairs differ from each other."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

from evalsvc.scorers._repeats import count_repeats
from evalsvc.scorers._words import TOKENISER, word_pattern
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec


class Distinct(ABC):
    """Distinct n-grams divided by n-grams of the response, in (0, 1]; higher is more varied.

    1 where no n-gram comes twice. Li et al. divide by the number of *words* of all responses together; dividing
    each response's by its own n-grams, as most tools do, keeps 1 reachable for every n and text. It falls with
    length whatever the quality, since words come again: compare responses of like length only. Abstains
    with fewer words than n. ``detail`` holds the counts.

    Source: Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models.
    """

    cost_class: ClassVar[str] = "characters"
    order: ClassVar[int]

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return ScorerSpec(
            metric=f"distinct_{self.order}",
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response",),
            signature=f"n:{self.order}|case:folded|{TOKENISER}",
            description=f"Distinct word {self.order}-grams of the response, divided by all of them",
        )

    def load(self) -> None:
        """Compile the pattern of a word."""
        word_pattern()

    def cost(self, sample: Sample) -> int:
        """Return the response's characters, at least 1."""
        return 1 + len(sample.event.response)

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order."""
        return [self._score(sample.event.response) for sample in batch]

    def _score(self, response: str) -> Outcome:
        if not response.strip():
            return Abstained("empty response")
        found = count_repeats(response, self.order)
        if not found.total:
            return Abstained(
                f"fewer than {self.order} words in the response" if found.words else "no words in the response"
            )
        detail = {"words": found.words, "ngrams": found.total, "distinct": found.distinct}
        return Scored(found.distinct / found.total, detail)


class Distinct1(Distinct):
    """Distinct words of the response divided by its words, in (0, 1]; higher is more varied.

    Depends on length; abstains without a word. Source: Li et al. 2016. See :class:`Distinct`.

    >>> Distinct1().spec.metric
    'distinct_1'
    """

    order = 1


class Distinct2(Distinct):
    """Distinct pairs of neighbouring words divided by all such pairs, in (0, 1]; higher is more varied.

    Depends on length; abstains below two words. Source: Li et al. 2016. See :class:`Distinct`.

    >>> Distinct2().spec.metric
    'distinct_2'
    """

    order = 2

"""What the scorers that compare a response with a reference share: who is scored and who abstains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from evalsvc.types import Abstained, Outcome, Sample, Scored, ScorerSpec

NO_REFERENCE = "no reference"


class PairValues(NamedTuple):
    """One value a pair, to the last digit the reference tool's, and whether each reference has tokens.

    ``statistics``, where there are any, are what adds up to the spec's ``corpus`` score, a row a pair.
    """

    values: list[float]
    has_tokens: list[bool]
    statistics: Sequence[tuple[float, ...]] = ()


class ReferenceScorer(ABC):
    """A scorer of (response, reference) pairs.

    An event without a reference abstains, and so does one whose reference has no token in the metric's own
    tokenisation: nothing could match it, and 0 would be read as a bad response. An empty response scores
    what the reference tool gives it, the metric's worst value or TER's 100.
    """

    cost_class: ClassVar[str] = "characters"
    _empty_reference: str = "the reference is empty"

    @property
    @abstractmethod
    def spec(self) -> ScorerSpec:
        """What it measures."""

    @abstractmethod
    def load(self) -> None:
        """Import the reference tool's tokeniser; a second call does nothing."""

    @abstractmethod
    def values(self, pairs: Sequence[tuple[str, str]]) -> PairValues:
        """Return the values of (response, reference) pairs as the reference tool gives them."""

    def cost(self, sample: Sample) -> int:
        """Return the characters to be read, at least 1."""
        return len(sample.event.response) + len(sample.event.reference or "") + 1

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order; independent of what else is in the batch."""
        outcomes: list[Outcome] = [Abstained(NO_REFERENCE)] * len(batch)
        places: list[int] = []
        pairs: list[tuple[str, str]] = []
        for place, sample in enumerate(batch):
            response, reference = sample.event.response, sample.event.reference
            if reference is None:
                continue
            reason = self._unscorable(response, reference)
            if reason is not None:
                outcomes[place] = Abstained(reason)
                continue
            places.append(place)
            pairs.append((response, reference))
        high = self.spec.scale.high
        found = self.values(pairs)
        for row, (place, value, has_tokens) in enumerate(zip(places, found.values, found.has_tokens, strict=True)):
            if not has_tokens:
                outcomes[place] = Abstained(self._empty_reference)
                continue
            # sacrebleu gives 100.00000000000004 for a perfect response; statistics rely on the bound.
            bounded = value if high is None or value <= high else high
            outcomes[place] = Scored(bounded, statistics=found.statistics[row]) if found.statistics else bounded
        return outcomes

    def _unscorable(self, response: str, reference: str) -> str | None:
        """Return why a pair is not worth its time, ``None`` where it is."""
        return None

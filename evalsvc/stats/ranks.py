"""The area under the ROC curve with weights, and what of it each event is: one for drift and for fairness."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Placements(NamedTuple):
    """Where each event is ranked, ``[n]`` each.

    ``below`` is the weight of negative events that score less, ``above`` of positive ones that score more, ties half
    (DeLong, DeLong & Clarke-Pearson 1988); ``negative`` and ``positive`` are the events' own weights on each side, 0 on
    the other.
    """

    below: Floats
    above: Floats
    negative: Floats
    positive: Floats

    @property
    def auc(self) -> float:
        """The chance in [0, 1] that a positive event scores above a negative one; needs both."""
        return float((self.positive * self.below).sum() / (self.negative.sum() * self.positive.sum()))

    def influences(self, auc: float) -> Floats:
        """Return what each event adds to the area's error, ``[n]``; they sum to 0."""
        n, m = self.negative.sum(), self.positive.sum()
        out: Floats = self.positive / m * (self.below / n - auc) + self.negative / n * (self.above / m - auc)
        return out


def placements(scores: Floats, positive: npt.NDArray[np.bool_] | Floats, weights: Floats) -> Placements:
    """Return the placements of events with these scores, sides and weights, ``[n]`` each.

    >>> found = placements(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4))
    >>> found.auc
    0.75
    """
    _, rank = np.unique(scores, return_inverse=True)
    side = positive.astype(np.float64)
    negatives, positives = weights * (1.0 - side), weights * side
    at_negative, at_positive = np.bincount(rank, negatives), np.bincount(rank, positives)
    below = (np.cumsum(at_negative) - at_negative / 2.0)[rank]
    above = (at_positive.sum() - np.cumsum(at_positive) + at_positive / 2.0)[rank]
    return Placements(below, above, negatives, positives)

"""From a metric to a score of 1 to 5: straight lines between points, or steps. Monotone, in the metric's direction."""

from __future__ import annotations

import itertools
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError

Floats = npt.NDArray[np.float64]


class ScoreMap(msgspec.Struct, frozen=True):
    """A monotone map from a metric to a score.

    ``lines``: straight lines through ``points``, (metric, score) in the metric's order; beyond the first and the last
    their scores go on. ``steps``: where more is better, the score of the largest point that is at or below the value;
    where less is better, of the smallest point that is at or above it; 1 where there is none.

    Attributes:
        kind: lines or steps.
        better: which way of the metric is better.
        points: (metric, score), the metric strictly increasing, scores in [1, 5] that never turn against ``better``.

    >>> ScoreMap("lines", "higher", ((0.0, 1.0), (1.0, 5.0)))(0.25)
    2.0
    >>> ScoreMap("steps", "lower", ((300.0, 5.0), (1200.0, 3.0)))(301.0)
    3.0
    """

    kind: Literal["lines", "steps"]
    better: Literal["higher", "lower"]
    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        """Refuse points that make no monotone map."""
        if problem := problem_of(self.kind, self.better, self.points):
            raise InputError(problem)

    def __call__(self, value: float) -> float:
        """Return the score of one value."""
        return float(self.many(np.array([value]))[0])

    def many(self, values: Floats) -> Floats:
        """Return the scores of many values, in their shape."""
        at = np.array([point for point, _ in self.points])
        scores = np.array([score for _, score in self.points])
        if self.kind == "lines":
            straight: Floats = np.interp(values, at, scores)
            return straight
        if self.better == "higher":
            return np.concatenate(([1.0], scores))[np.searchsorted(at, values, side="right")]
        return np.concatenate((scores, [1.0]))[np.searchsorted(at, values, side="left")]

    def interval(self, low: float, high: float) -> tuple[float, float]:
        """Return the scores between which a metric's interval lies: the map is monotone, so its ends tell."""
        ends = sorted((self(low), self(high)))
        return ends[0], ends[1]

    def __str__(self) -> str:
        """Return the map as a report says it.

        >>> print(ScoreMap("steps", "lower", ((300.0, 5.0), (1200.0, 3.0))))
        5 up to 300, 3 up to 1200, else 1
        >>> print(ScoreMap("lines", "higher", ((0.2, 1.0), (0.6, 5.0))))
        lines through 0.2 → 1, 0.6 → 5
        """
        if self.kind == "lines":
            return "lines through " + ", ".join(f"{at:.12g} → {score:.12g}" for at, score in self.points)
        word, points = ("from", self.points[::-1]) if self.better == "higher" else ("up to", self.points)
        return ", ".join(f"{score:.12g} {word} {at:.12g}" for at, score in points) + ", else 1"


def problem_of(kind: str, better: str, points: tuple[tuple[float, float], ...]) -> str:
    """Return what is wrong with a map's points; nothing where they are right."""
    if len(points) < (2 if kind == "lines" else 1):
        return f"Expected {'two points' if kind == 'lines' else 'one point'} of a map or more, but got {len(points)}"
    if not all(1.0 <= score <= 5.0 for _, score in points):
        return "Expected the scores of a map from 1 to 5"
    turn = 1.0 if better == "higher" else -1.0
    for (before, lower), (after, higher) in itertools.pairwise(points):
        if not before < after:
            return f"Expected the points of a map in the metric's order, but {after:.12g} comes after {before:.12g}"
        if turn * (higher - lower) < 0.0:
            return (
                f"Expected a map whose scores never fall as the metric gets better ({better}), but {before:.12g} gives "
                f"{lower:.12g} and {after:.12g} gives {higher:.12g}"
            )
    return ""

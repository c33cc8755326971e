"""One check of scores that come as arrays, so that every comparison refuses the same ones."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.types import Scale


def check_scores(values: npt.NDArray[np.float64], scale: Scale, name: str) -> None:
    """Refuse scores that the scale does not have: infinite ones, those off its ends, and halves of yes and no.

    A NaN is a missing score and passes.

    Raises:
        InputError: with the scale, and what to do.

    >>> check_scores(np.array([0.0, 1.0, math.nan]), Scale(0.0, 1.0, "higher", binary=True), "values")
    """
    known = values[~np.isnan(values)]
    low = -math.inf if scale.low is None else scale.low
    high = math.inf if scale.high is None else scale.high
    if not np.isfinite(known).all() or ((known < low) | (known > high)).any():
        raise InputError(f"Expected finite scores of `{name}` on the scale [{low:g}, {high:g}]; mark missing ones None")
    if scale.binary and not np.isin(known, (0.0, 1.0)).all():
        raise InputError(f"Expected `{name}` to hold 0 and 1 only on a binary scale; say shares on one of [0, 1]")


def mean_of_repeats(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean over repeats of ``[cases, repeats]`` by case; NaN where there is none.

    Of equal scores it is the score itself, to the last digit: a sum of three of them and a third of it need not be.

    >>> mean_of_repeats(np.array([[0.1, 0.1, 0.1], [0.0, 1.0, math.nan]])).tolist()
    [0.1, 0.5]
    """
    present = ~np.isnan(table)
    counts = present.sum(axis=1)
    known = np.where(present, table, 0.0)
    means = known.sum(axis=1) / np.maximum(counts, 1)
    least = np.where(present, table, math.inf).min(axis=1, initial=math.inf)
    most = np.where(present, table, -math.inf).max(axis=1, initial=-math.inf)
    return np.where(counts > 0, np.where(least == most, least, means), np.nan)

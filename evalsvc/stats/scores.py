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

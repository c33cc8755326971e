"""What is known of one gate on one set of rows, before anything is decided: numbers with two p-values."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from evalsvc.gate.evaluated import Evaluated, MetricScores, Rows
from evalsvc.gate.unasked import LIMITS
from evalsvc.gate.values import Gate
from evalsvc.verdicts import Decision, Needed

_UNASKED = tuple(f"no answer: {limit}" for limit in LIMITS)
_FIGURES = ("latency_ms", "time_to_first_token_ms", "input_tokens", "output_tokens")
MEND = "mend that and run it again"
"""What to do about scores that are missing, where nothing else is known of them.

Whether answers are kept is not known here: the same records give the same reasons wherever they are decided.
"""
MOST_TO_ALLOW = 0.2
"""Up to such a share of missing scores it is said how to allow them."""


class Evidence(NamedTuple):
    """The numbers of a :class:`~evalsvc.verdicts.Finding`, and what stands in the way of a PASS.

    ``fixed`` decides where no chance is allowed for. ``blocked`` says why it may not pass, whatever the p-values;
    ``too_few`` that this is for want of cases, and not of what was to be measured on them.
    """

    n: int = 0
    n_clusters: int = 0
    n_one_sided: int = 0
    n_unscored: int = 0
    n_short: int = 0
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    relative: bool = False
    p_pass: float | None = None
    p_fail: float | None = None
    test: str = ""
    cases: tuple[str, ...] = ()
    needed: Needed | None = None
    blocked: str = ""
    too_few: bool = False
    reason: str = ""
    fixed: Decision | None = None


class Leaf(NamedTuple):
    """One gate on one segment: the rows of the candidate's cases that it looks at."""

    gate: Gate
    segment: str
    rows: Rows


def gap_in(leaf: Leaf, candidate: Evaluated, stays: Callable[[Gate], bool] | None = None) -> tuple[int, str]:
    """Return how many of a leaf's cases have no score under the candidate, and why too many scores are missing; or "".

    A repeat that is missing is a score that is missing: a version that fails whenever it would be wrong has fine scores
    where it has any. ``stays`` tells whether they would stand in the way of a PASS even if the gate allowed as many, so
    that it is of no use to allow them.
    """
    scores = candidate.scores[leaf.gate.metric]
    gone = np.isnan(scores.values[leaf.rows])
    missing, share = int(gone.all(axis=1).sum()), float(gone.mean()) if gone.size else 0.0
    if share <= leaf.gate.max_missing:
        return missing, ""
    told = f"{missing:,} of {leaf.rows.size:,} cases have no {leaf.gate.metric}"
    if int(gone.sum()) > missing * gone.shape[1]:
        told = f"{int(gone.sum()):,} of {gone.size:,} scores of {leaf.gate.metric} are missing"
    # Without those that have none, nothing is left to look at.
    or_without = ", or leave them out by `where`" if missing < leaf.rows.size else ""
    hint = _of_the_answers(scores, leaf.rows) or f"mend that{or_without}"
    unasked = [reason for reason in scores.reasons(leaf.rows) if reason.startswith(_UNASKED)]
    if unasked and len(unasked) == len(scores.reasons(leaf.rows)):
        hint = "run it again with more of that"
    # Of more than a few, no one should be told to look away.
    elif share <= MOST_TO_ALLOW and not (stays and stays(_allowing(leaf.gate, share))):
        hint = f"mend that, leave them out by `where`, or {allow(share)}"
    return missing, f"{told} ({reasons_of(scores, leaf.rows)}); {hint}"


def _allowing(gate: Gate, share: float) -> Gate:
    return replace(gate, max_missing=percent_above(share) / 100.0)


def allow(share: float) -> str:
    """Return how a gate is told to pass with so large a share of missing scores."""
    return f"allow it by `max_missing: {percent_above(share)}%`"


def _of_the_answers(scores: MetricScores, rows: Rows) -> str:
    """Return what to do where answers do not tell a figure of theirs; empty where that is not all that is missing."""
    found = list(scores.reasons(rows))
    figure = found[0].removeprefix("no ") if len(found) == 1 else ""
    if figure == "cost_usd":
        return "return `cost_usd` with each answer (an endpoint: give its `prices`), or leave the gate out"
    return f"return `{figure}` with each answer, or leave the gate out" if figure in _FIGURES else ""


def reasons_of(scores: MetricScores, rows: Rows, most: int = 2) -> str:
    """Return the most frequent reasons why cases lack a score in some repeat, with the numbers of cases."""
    wanted, counts = set(rows.tolist()), dict[str, set[int]]()
    for (row, _), missing in scores.missing.items():
        if row in wanted:
            counts.setdefault(missing.reason, set()).add(row)
    found = sorted(counts.items(), key=lambda item: -len(item[1]))
    said = [f"{reason}: {len(places):,}" for reason, places in found[:most]]
    return ", ".join([*said, *([f"{len(found) - most} further reasons"] if len(found) > most else [])])


def said_reasons(scores: MetricScores, rows: Rows) -> str:
    """Return :func:`reasons_of` in brackets after a space; empty where there are none."""
    found = reasons_of(scores, rows)
    return f" ({found})" if found else ""


def percent_above(share: float) -> int:
    """Return the least whole percentage that allows a share, at most 99.

    >>> percent_above(12 / 120), percent_above(0.101), percent_above(0.29)
    (10, 11, 29)
    """
    return next((percent for percent in range(1, 99) if percent / 100.0 >= share), 99)

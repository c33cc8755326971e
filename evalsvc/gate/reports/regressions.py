"""Which cases lost most: both answers beside each other, for a reviewer who wants to see it."""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple

import numpy as np

from evalsvc.gate.evaluated import Evaluated, Rows, places_in
from evalsvc.gate.running import Run
from evalsvc.gate.values import COMPARED, scale_for
from evalsvc.types import Scale

MOST = 5
LONGEST = 2_000
"""A longer text is cut in a report."""


class Regression(NamedTuple):
    """A case on which the candidate's score is worse than the baseline's, with both answers of the first repeat."""

    case_id: str
    metric: str
    baseline: float
    candidate: float
    prompt: str
    reference: str
    before: str
    after: str


class Piece(NamedTuple):
    """A run of words: ``same`` in both answers, ``before`` in the baseline's alone or ``after`` in the candidate's."""

    side: str
    text: str


def regressions(run: Run, most: int = MOST) -> list[Regression]:
    """Return the cases that lost most under the metrics of gates that did not pass, else of all that compare.

    Losses are counted in standard deviations of the metric's differences, so that metrics can be ranked together; a
    case is named once, under the metric by which it lost most.
    """
    baseline = run.baseline.evaluated if run.baseline else None
    if baseline is None or baseline.production is not None:
        return []
    compared = [gate for gate in run.suite.gates if isinstance(gate.ask, COMPARED) and not gate.advisory]
    names = {result.gate for result in run.verdict.gates if result.decision != "PASS"}
    open_metrics = {gate.metric for gate in compared if gate.name in names}
    metrics = open_metrics or {gate.metric for gate in compared}
    scales = {gate.metric: scale_for(gate, run.candidate.scores[gate.metric].spec.scale) for gate in compared}
    ranked: list[tuple[float, int, int, str]] = []
    places = places_in(baseline, run.candidate)
    for metric in sorted(metrics):
        ranked += _losses(run.candidate, baseline, places, metric, scales[metric])
    found: dict[int, Regression] = {}
    for _, row, place, metric in sorted(ranked, reverse=True):
        if row not in found and len(found) < most:
            found[row] = _regression(run.candidate, baseline, row, place, metric)
    return list(found.values())


def _losses(
    candidate: Evaluated, baseline: Evaluated, places: Rows, metric: str, scale: Scale
) -> list[tuple[float, int, int, str]]:
    rows = np.flatnonzero(places >= 0)
    change = candidate.scores[metric].by_case[rows] - baseline.scores[metric].by_case[places[rows]]
    loss = change if scale.better == "lower" else -change if scale.better == "higher" else np.abs(change)
    known = ~np.isnan(loss)
    spread = float(np.std(loss[known])) if known.any() else 0.0
    return [
        (float(loss[at]) / spread, int(rows[at]), int(places[rows[at]]), metric)
        for at in np.flatnonzero(known & (loss > 0.0)).tolist()
        if spread > 0.0
    ]


def _regression(new: Evaluated, old: Evaluated, row: int, place: int, metric: str) -> Regression:
    case = new.cases[row]
    prompt = case.prompt if isinstance(case.prompt, str) else "\n".join(f"{m.role}: {m.content}" for m in case.prompt)
    return Regression(
        case.case_id,
        metric,
        float(old.scores[metric].by_case[place]),
        float(new.scores[metric].by_case[row]),
        cut(prompt),
        cut(case.reference or ""),
        cut(old.answers[place][0].response),
        cut(new.answers[row][0].response),
    )


def cut(text: str, longest: int = LONGEST) -> str:
    """Return a text, cut where it is too long for a report.

    >>> cut("abcdef", 3)
    'abc… (3 characters more)'
    """
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text) - longest:,} characters more)"


def word_diff(before: str, after: str) -> list[Piece]:
    """Return both texts word by word: what they share and what only one has.

    >>> word_diff("in three days", "in nine days")
    [Piece(side='same', text='in '), Piece(side='before', text='three '), Piece(side='after', text='nine '), \
Piece(side='same', text='days')]
    """
    old, new = (re.findall(r"\S+\s*|\s+", text) for text in (before, after))
    pieces = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", "".join(old[i:j])))
            continue
        pieces += [Piece("before", "".join(old[i:j]))] if j > i else []
        pieces += [Piece("after", "".join(new[k:m]))] if m > k else []
    return pieces

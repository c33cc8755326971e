"""Which cases lost most: both answers beside each other, for a reviewer who wants to see it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
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
    """A case on which the candidate's score is worse than the baseline's, with both answers of the first repeat.

    ``candidate`` is None where it has no score, ``after`` then says why.
    """

    case_id: str
    metric: str
    baseline: float
    candidate: float | None
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
    case is named once, under the metric by which it lost most. Cases that the candidate alone has no answer to come
    after those that lost.
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
    unanswered: list[tuple[float, int, int, str]] = []
    found: dict[int, Regression] = {}
    places = places_in(baseline, run.candidate)
    for metric in sorted(metrics):
        ranked += _losses(run.candidate, baseline, places, metric, scales[metric])
        unanswered += _unanswered(run.candidate, baseline, places, metric)
    for _, row, place, metric in [*sorted(ranked, key=lambda one: (-one[0], *one[1:])), *sorted(unanswered)]:
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


def _unanswered(
    candidate: Evaluated, baseline: Evaluated, places: Rows, metric: str
) -> list[tuple[float, int, int, str]]:
    rows = np.flatnonzero(places >= 0)
    known = ~np.isnan(baseline.scores[metric].by_case[places[rows]])
    return [
        (0.0, row, int(places[row]), metric)
        for row in rows[known].tolist()
        if all(answer.status == "failed" for answer in candidate.answers[row])
    ]


def heading(worst: Sequence[Regression]) -> str:
    """Return the heading above the cases."""
    if all(one.candidate is None for one in worst):
        return f"{len(worst)} cases without an answer" if len(worst) > 1 else "A case without an answer"
    several = len({one.metric for one in worst}) > 1
    unit = ", by standard deviations of each metric" if several else ""
    return f"The {len(worst)} cases that lost most{unit}" if len(worst) > 1 else "The case that lost most"


def _regression(new: Evaluated, old: Evaluated, row: int, place: int, metric: str) -> Regression:
    case = new.cases[row]
    prompt = case.prompt if isinstance(case.prompt, str) else "\n".join(f"{m.role}: {m.content}" for m in case.prompt)
    value, answer = float(new.scores[metric].by_case[row]), new.answers[row][0]
    return Regression(
        case.case_id,
        metric,
        float(old.scores[metric].by_case[place]),
        None if np.isnan(value) else value,
        cut(prompt),
        cut(case.reference or ""),
        cut(old.answers[place][0].response),
        f"(no answer: {answer.reason})" if answer.status == "failed" else cut(answer.response),
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

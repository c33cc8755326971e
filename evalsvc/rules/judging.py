"""From what the store says of a window to a verdict: pure, one function a kind of rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from evalsvc.rules.machine import AlertState, Detector, Observation
from evalsvc.rules.values import Change, Rule, Threshold
from evalsvc.stats import change
from evalsvc.types import Cell, Estimate, Scale

BASELINE_CONFIDENCE = 0.999
"""That the baselines' intervals of all of a rule's alerts hold: with it their detectors' run lengths are kept."""


def confidence_of(rule: Rule, interval_seconds: float, alerts: int) -> float:
    """Return the two-sided confidence at which a look at one of so many alerts spends its part of the budget."""
    return 1.0 - 2.0 * rule.false_alarms.per_look(interval_seconds, alerts)


def baseline_confidence_of(alerts: int) -> float:
    """Return the confidence of one of so many baselines: all then hold at :data:`BASELINE_CONFIDENCE` (Bonferroni)."""
    return 1.0 - (1.0 - BASELINE_CONFIDENCE) / max(1, alerts)


def judge_threshold(rule: Rule, condition: Threshold, estimate: Estimate) -> Observation:
    """Return bad where the whole interval lies beyond the limit, good where the point is back, unclear between.

    ``estimate`` is of the process behind the window, at :func:`confidence_of`.
    """
    if poor := too_little(rule, estimate):
        return Observation(verdict="no_data", window=estimate.window, estimate=estimate, reason=poor)
    above = condition.side == "above"
    # The other end may be open, as that of a high percentile of few scores is.
    value, end = estimate.value, estimate.low if above else estimate.high
    if value is None or end is None:
        return Observation(verdict="no_data", window=estimate.window, estimate=estimate, reason=estimate.reason)
    if end > condition.limit if above else end < condition.limit:
        return Observation(verdict="bad", window=estimate.window, estimate=estimate)
    back = value <= condition.recovers_at if above else value >= condition.recovers_at
    return Observation(verdict="good" if back else "unclear", window=estimate.window, estimate=estimate)


class Minutes(NamedTuple):
    """The cells of one scorer by minute, as a change detector takes them; minutes without scores may be absent."""

    scale: Scale
    scorer: str
    pi_min: float
    cells: Sequence[tuple[datetime, Sequence[Cell]]]


def judge_change(
    rule: Rule,
    condition: Change,
    state: AlertState,
    minutes: Minutes,
    estimate: Estimate,
    baseline: Estimate,
    looks: float,
) -> Observation:
    """Return bad from the detector's alarm until the window's point is back in reach of the baseline.

    Args:
        rule: whose budget and ``min_effective_n`` hold.
        condition: the rule's.
        state: the alert's before this look; its detector goes on where it saw the same scorer, and else starts anew.
        minutes: what came since the last look, oldest first; earlier ones are left out.
        estimate: of the process behind the rule's window.
        baseline: of the process behind the time before, at :func:`baseline_confidence_of`.
        looks: the average number of minutes to a false alarm that this alert has to keep.
    """
    seen = Observation(verdict="no_data", window=estimate.window, estimate=estimate, baseline=baseline)
    if state.phase in ("pending", "firing") and state.detector and state.detector.scorer != minutes.scorer:
        now = f"{minutes.scorer} scores now, whose numbers do not tell whether what {state.detector.scorer} saw is over"
        return replace(seen, reason=now)
    held = _detector(condition, state, minutes, baseline, looks)
    if held.state.reason:
        return replace(seen, reason=held.state.reason)
    for moment, cells in minutes.cells:
        if moment >= held.until:
            until = moment + timedelta(minutes=1)
            held = replace(held, state=change.step_cells(held.state, cells, at=moment.timestamp()), until=until)
    found = change.detect(held.state)
    since = datetime.fromtimestamp(found.since, UTC) if found.alarm and found.since is not None else None
    seen = replace(seen, detector=held, since=since)
    firing = state.phase in ("pending", "firing")
    # A window that began before the alarm still holds scores of the time before it.
    settled = firing and state.pending_at is not None and estimate.window.start >= state.pending_at
    if found.alarm and not settled:
        return replace(seen, verdict="bad")
    if poor := too_little(rule, estimate):
        return replace(seen, reason=poor)
    # By the point of one side alone: on both, it would have to stay within the baseline's narrow interval.
    good = not found.alarm or _back(condition, held.state.alarm_side, estimate, baseline)
    return replace(seen, verdict="good" if good else "bad")


def too_little(rule: Rule, estimate: Estimate) -> str:
    """Return why an estimate rests on too little to decide by; empty where it does not."""
    if not estimate.n:
        return estimate.reason or "no score in the window"
    if estimate.n_effective < rule.min_effective_n:
        return f"effective n is {estimate.n_effective:,.0f}, and the rule needs {rule.min_effective_n:,.0f}"
    return ""


def _detector(condition: Change, state: AlertState, minutes: Minutes, baseline: Estimate, looks: float) -> Detector:
    """Return the detector to go on with, on the newest baseline unless an episode is under way."""
    held = state.detector if state.detector is not None and state.detector.scorer == minutes.scorer else None
    if held is not None and state.phase in ("pending", "firing"):
        return held
    old = None if held is None or held.state.alarm_n is not None or held.state.reason else held.state
    same = old is not None and old.pi_min == minutes.pi_min and old.direction == condition.direction
    if held is not None and old is not None and same:
        # The budget may be another than at the last look: rules are edited, and alerts come and go.
        old = replace(old, log_threshold=math.log(looks))
        return replace(held, state=change.rebase(old, baseline, margin=condition.margin))
    n = sum(cell.n for _, cells in minutes.cells for cell in cells)
    fresh = change.start(
        minutes.scale,
        baseline,
        direction=condition.direction,
        run_length=looks,
        margin=condition.margin,
        pi_min=minutes.pi_min,
        scores_per_step=max(1.0, n / max(1, len(minutes.cells))),
    )
    begin = minutes.cells[0][0] if minutes.cells else baseline.window.end
    return Detector(minutes.scorer, begin if held is None else held.until, fresh)


def _back(condition: Change, side: str | None, estimate: Estimate, baseline: Estimate) -> bool:
    """Return whether the point is back within the margin of the baseline's interval, on the side to which it moved."""
    value, low, high = estimate.value, baseline.low, baseline.high
    if value is None or low is None or high is None:
        return False
    return value <= high + condition.margin if side == "rose" else value >= low - condition.margin

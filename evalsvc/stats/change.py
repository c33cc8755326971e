"""Change detection with a stated false-alarm rate: e-detectors for "the mean fell below (rose above) its baseline".

Shin, Ramdas & Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change detection". For each bet λ
of a fixed set, a score y in [0, 1] with inclusion probability π multiplies an e-process by L = 1 + λ·w·(μ0 - y) (or
y - μ0), w = π_min/π. While the mean is at least μ0, L has expectation at most 1, whatever else is true of the scores:
no distribution, no variance, no independence is assumed. Two forms add up what started at every past score::

    Shiryaev–Roberts   M ← L·(M + 1)          CUSUM   M ← L·max(M, 1)

and the statistic is their mean over the bets. An alarm at M >= threshold has an average run length of at least
``threshold`` scores without a change. Of the two, CUSUM is never larger, so its true run length is longer.

The bets (their "baseline mixture") go down from the largest in twofold steps. A bet is best against one size of change:
λ against a fall of λ·μ0·(1 - μ0) of a binary score, which then needs some 2·log(threshold)/(λ²·μ0·(1 - μ0)) scores.
Bets for which that is over a quarter of the run length are left out: they would hardly alarm before a false alarm is
due, and each bet dilutes the others. So a longer run length looks for smaller changes.

:func:`step` takes single scores, and its run lengths count scores: one false alarm in 30 days of 10 scores a second is
a threshold of 26 million, whose logarithm (17) is what the delay grows with. :func:`step_cells` takes all the scores of
a minute at once, by the sums that a store keeps; run lengths then count minutes (43,200 in 30 days, logarithm 10.7),
however many scores a minute brings. Its factor is at most the product of those of the single scores, so the promise
stays: log(1 + x) is at least its chord over the scale, as it is concave in a score (they are equal for binary scores),
and at least x - x²·ψ(c)/c² for x >= -c, where ψ(c) = -log(1 - c) - c (Fan, Grama & Liu 2015, "Exponential inequalities
for martingales with applications"). The larger of the two sums is taken. Where sessions share a minute, x is the sum of
a session and the second bound the only one: its turns may then depend on each other as they like.

Somewhat longer than other files: both ways to step share one state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalsvc.errors import InputError
from evalsvc.stats.sequential import SequenceInterval, prepare, unit_range
from evalsvc.types import Cell, Estimate, Scale

Direction = Literal["fell", "rose", "either"]
Form = Literal["shiryaev-roberts", "cusum"]
Floats = NDArray[np.float64]
# A known mean, or an interval of one: its far end is used.
Baseline = float | SequenceInterval | Estimate

# Shares of the largest bet that keeps every factor positive; twofold steps lose little of the best bet's growth.
LARGEST = 0.9
MOST_BETS = 24
STEEPEST = 100.0


class ChangeState(msgspec.Struct, frozen=True, gc=False):
    """What a detector has seen. ``bets`` are positive for a fall, negative for a rise; ``bases`` go with them.

    ``levels`` are log M of each bet in the chosen form, ``cusums`` in the CUSUM form, which tell since when.
    ``started`` is how many scores came before the present run of each bet, ``started_at`` the ``at`` of the batch with
    the first score of that run. ``peak`` is the largest log statistic so far; ``alarm_n`` the number of scores at the
    first one beyond the threshold, ``alarm_side`` to which side the mean had moved there.
    """

    form: Form
    direction: Direction
    low: float
    width: float
    log_threshold: float
    pi_min: float | None
    bets: tuple[float, ...]
    bases: tuple[float, ...]
    levels: tuple[float, ...]
    cusums: tuple[float, ...]
    started: tuple[int, ...]
    started_at: tuple[float | None, ...]
    n: int = 0
    missing: int = 0
    left_out: int = 0
    current: float | None = None
    peak: float | None = None
    alarm_n: int | None = None
    alarm_since: int | None = None
    alarm_since_at: float | None = None
    alarm_side: Literal["fell", "rose"] | None = None
    reason: str = ""


class Change(NamedTuple):
    """Whether and since when the mean moved.

    ``statistic`` is M now (``inf`` beyond floats), from 0 up, against ``threshold``; ``log_statistic`` its natural
    logarithm. ``alarm`` is latched: it stays until a new start. ``since_n`` says after how many scores the change most
    likely began, ``since`` the ``at`` of that batch: at the alarm where there was one, else as of now.
    ``alarm_n`` is the number of scores at the alarm.
    """

    alarm: bool
    statistic: float | None
    log_statistic: float | None
    threshold: float
    since_n: int | None
    since: float | None
    alarm_n: int | None
    n: int
    missing: float
    left_out: int
    method: str
    reason: str = ""


def start(
    scale: Scale,
    baseline: Baseline,
    *,
    direction: Direction = "fell",
    run_length: float = 10_000.0,
    margin: float = 0.0,
    pi_min: float | None = None,
    form: Form = "shiryaev-roberts",
    scores_per_step: float = 1.0,
) -> ChangeState:
    """Return the state of a detector that has seen nothing.

    Args:
        scale: bounded; scores outside are refused.
        baseline: the known mean in the scale's unit, or an interval of it: of a sample
            (:func:`evalsvc.stats.sequential.interval`) or an estimate of the process. Of an interval the far end is
            used: its lower limit for a fall. With probability its confidence the run length then holds; with the
            sample's mean in its place it would not (``docs/reference/always-valid.md``).
        direction: which change; "either" spends half on each.
        run_length: the average number of scores up to a false alarm, at least; more than 1. For :func:`step_cells`
            the number of its calls.
        margin: how far beyond the baseline the mean must move before it counts, in the scale's unit.
        pi_min: the smallest π of the design, needed where π differs; scores with a smaller one are left out.
        form: of the two, Shiryaev–Roberts is quicker at the same stated run length.
        scores_per_step: about how many scores a call of :func:`step_cells` brings, which bounds the smallest change
            that is looked for; the promise does not depend on it.

    Raises:
        InputError: on impossible arguments.

    >>> state = start(Scale(0.0, 1.0, "higher"), 0.8, run_length=10_000)
    >>> state = step(state, [0.8] * 500, at=0.0)
    >>> found = detect(step(state, [0.6] * 60, at=60.0))
    >>> found.alarm, found.since_n, found.since
    (True, 500, 60.0)
    """
    _check(direction, run_length, margin, pi_min, form)
    if not (math.isfinite(scores_per_step) and scores_per_step > 0.0):
        raise InputError(f"Expected `scores_per_step` to be above 0, but got {scores_per_step!r}")
    low, width = unit_range(scale)
    scores = run_length * max(1.0, scores_per_step)
    bets, bases, reason = _bets(baseline, direction, margin / width, low, width, scores)
    nothing = (-math.inf,) * len(bets)
    unknown: tuple[float | None, ...] = (None,) * len(bets)
    zeros = (0,) * len(bets)
    threshold = math.log(run_length)
    return ChangeState(
        form, direction, low, width, threshold, pi_min, bets, bases, nothing, nothing, zeros, unknown, reason=reason
    )


def step(state: ChangeState, values: ArrayLike, pi: ArrayLike | None = None, *, at: float | None = None) -> ChangeState:
    """Return the state after more scores, in the order in which they came; how they are cut changes only rounding.

    Args:
        state: from :func:`start` or an earlier step.
        values: one score an event, in the scale's unit; NaN where it is missing.
        pi: the inclusion probability of each, or one for all; ``None`` where all are equal.
        at: when the batch began (say, seconds since 1970), for the answer to "since when".

    Raises:
        InputError: as :func:`evalsvc.stats.sequential.step`.
    """
    y, w, missing, left_out = prepare(values, pi, state.low, state.width, state.pi_min, True)
    before = msgspec.structs.replace(state, missing=state.missing + missing, left_out=state.left_out + left_out)
    if not y.size:
        return before
    if not state.bets:
        return msgspec.structs.replace(before, n=state.n + y.size)
    growth = np.log1p(np.array(state.bets) * w[:, None] * (np.array(state.bases) - y[:, None]))
    return _grown(before, growth, np.arange(state.n, state.n + y.size + 1), at)


def step_cells(state: ChangeState, cells: Sequence[Cell], *, at: float | None = None) -> ChangeState:
    """Return the state after one more step of time with all of its scores, by their sums: no order, no single score.

    Args:
        state: from :func:`start` or an earlier step; one detector takes either single scores or cells.
        cells: the step's scores by π; none or empty ones where nothing was scored, which is a step without evidence.
        at: when the step began (say, seconds since 1970), for the answer to "since when".

    Raises:
        InputError: where ``state`` has no ``pi_min`` and π differs between cells, or where the sums are not those of
            scores on the scale.

    >>> state = start(Scale(0.0, 1.0, "higher", binary=True), 0.8, run_length=43_200, scores_per_step=600)
    >>> quiet, fell = (Cell("", 1, 1.0, 600, 0, 0, good, good) for good in (480.0, 420.0))
    >>> detect(step_cells(step_cells(state, [quiet]), [fell, ], at=60.0)).alarm
    True
    """
    scored = [cell for cell in cells if cell.n]
    taken = [cell for cell in scored if state.pi_min is None or cell.pi >= state.pi_min]
    if state.pi_min is None and len({cell.pi for cell in taken}) > 1:
        raise InputError("Expected `pi_min` at the detector's start, as π differs between cells")
    n = sum(cell.n for cell in taken)
    before = msgspec.structs.replace(
        state,
        missing=state.missing + sum(cell.n_abstained + cell.n_failed for cell in cells),
        left_out=state.left_out + sum(cell.n for cell in scored) - n,
    )
    if not state.bets or not n:
        return msgspec.structs.replace(before, n=state.n + n)
    growth = sum((_cell_growth(state, cell) for cell in taken), start=np.zeros(len(state.bets)))
    return _grown(before, growth[None, :], np.array([state.n, state.n + n]), at)


def _cell_growth(state: ChangeState, cell: Cell) -> Floats:
    """Return a lower bound of Σ log(1 + λ·w·(base - y)) over a cell's scores (or sessions), for each bet."""
    total, squares = _unit_sums(state, cell.n, cell.total, cell.squares)
    slack = 1e-9 * cell.n
    if not (-slack <= total <= cell.n + slack and -slack <= squares <= total + slack):
        raise InputError(f"Expected sums of scores in [{state.low}, {state.low + state.width}], but got {cell}")
    total, bases = min(max(total, 0.0), float(cell.n)), np.array(state.bases)
    bets = np.array(state.bets) * (1.0 if state.pi_min is None else state.pi_min / cell.pi)
    sizes, moments, largest = float(cell.n), (total, squares), 1.0
    shared = 0 < cell.clusters < cell.n
    if shared:
        sizes, moments = cell.cluster_n2, _unit_sums(state, cell.cluster_n2, cell.cluster_ny, cell.cluster_y2)
        # Every other cluster has at least one of the scores.
        largest = math.sqrt(max(1.0, cell.cluster_n2 - (cell.clusters - 1)))
        bets = bets * np.minimum(1.0, LARGEST / (largest * np.maximum(bets * (1.0 - bases), -bets * bases)))
    at_zero, at_one = bets * bases, bets * (bases - 1.0)
    c = -largest * np.minimum(at_zero, at_one)
    curvature = np.where(c < 1e-4, 0.5 + c / 3.0, (-np.log1p(-c) - c) / np.maximum(c, 1e-12) ** 2)
    second = bets**2 * np.maximum(0.0, sizes * bases**2 - 2.0 * bases * moments[0] + moments[1])
    bound: Floats = bets * (cell.n * bases - total) - curvature * second
    if not shared:
        bound = np.maximum(bound, (cell.n - total) * np.log1p(at_zero) + total * np.log1p(at_one))
    return bound


def _unit_sums(state: ChangeState, n: float, total: float, squares: float) -> tuple[float, float]:
    """Return Σy and Σy² of scores moved to [0, 1]; of clusters' Σn², Σ n·Σy and Σ(Σy)² the latter two."""
    unit = (total - n * state.low) / state.width
    return unit, (squares - 2.0 * state.low * total + n * state.low**2) / state.width**2


def _grown(state: ChangeState, growth: Floats, counts: NDArray[np.int64], at: float | None) -> ChangeState:
    """Return the state after growth ``[steps, bets]``; ``counts`` are the scores before each step and at the end."""
    path = np.vstack([np.zeros(len(state.bets)), np.cumsum(growth, axis=0)])
    cusums, runs = cusum(path, np.array(state.cusums))
    levels = cusums if state.form == "cusum" else shiryaev_roberts(path, np.array(state.levels))
    started = [begun if run < 0 else int(counts[run]) for run, begun in zip(runs[-1], state.started, strict=True)]
    times = [seen if run < 0 else at for run, seen in zip(runs[-1], state.started_at, strict=True)]
    statistics = np.logaddexp.reduce(levels, axis=1) - math.log(len(state.bets))
    highest = float(statistics.max())
    moved = msgspec.structs.replace(
        state,
        n=int(counts[-1]),
        levels=tuple(levels[-1].tolist()),
        cusums=tuple(cusums[-1].tolist()),
        started=tuple(started),
        started_at=tuple(times),
        current=float(statistics[-1]),
        peak=highest if state.peak is None else max(state.peak, highest),
    )
    if state.alarm_n is not None or highest < state.log_threshold:
        return moved
    first = int(np.argmax(statistics >= state.log_threshold))
    best = int(np.argmax(cusums[first]))
    run = int(runs[first, best])
    since = (state.started[best], state.started_at[best]) if run < 0 else (int(counts[run]), at)
    return msgspec.structs.replace(
        moved,
        alarm_n=int(counts[first + 1]),
        alarm_since=since[0],
        alarm_since_at=since[1],
        alarm_side="fell" if state.bets[int(np.argmax(levels[first]))] > 0.0 else "rose",
    )


def rebase(state: ChangeState, baseline: Baseline, *, margin: float = 0.0) -> ChangeState:
    """Return the state with another baseline for the scores to come; what it has seen stays as it is.

    The run length holds where each score's mean is at least the baseline of its time (at most, for a rise). Bets that
    the new baseline makes too large are lowered; a direction for which it leaves no room keeps its old baseline.

    Raises:
        InputError: on a baseline outside the scale, and a margin below 0.
    """
    _check("either", 2.0, margin, None, state.form)
    fell, rose, _ = _ends(baseline, state.low, state.width)
    floor, ceiling = fell - margin / state.width, rose + margin / state.width
    moved = [
        (bet, base)
        if (bet > 0.0 and floor <= 0.0) or (bet < 0.0 and ceiling >= 1.0)
        else (min(bet, _largest(floor)), floor)
        if bet > 0.0
        else (max(bet, -_largest(1.0 - ceiling)), ceiling)
        for bet, base in zip(state.bets, state.bases, strict=True)
    ]
    bets, bases = zip(*moved, strict=True) if moved else ((), ())
    return msgspec.structs.replace(state, bets=tuple(bets), bases=tuple(bases))


def detect(state: ChangeState) -> Change:
    """Return whether and since when the mean moved."""
    seen = state.n + state.missing
    share = state.missing / seen if seen else 0.0
    method = f"e-detector, {state.form}, mean {state.direction}"
    rest = (share, state.left_out, method)
    threshold = math.exp(state.log_threshold)
    if state.reason or state.current is None:
        reason = state.reason or ("every score is missing" if seen else "no score yet")
        return Change(False, None, None, threshold, None, None, None, state.n, *rest, reason)
    best = int(np.argmax(state.cusums))
    since_n, since = state.started[best], state.started_at[best]
    if state.alarm_n is not None:
        since_n, since = state.alarm_since or 0, state.alarm_since_at
    log = state.current
    statistic = math.exp(log) if log < 700.0 else math.inf
    alarm = state.alarm_n is not None
    return Change(alarm, statistic, log, threshold, since_n, since, state.alarm_n, state.n, *rest)


def _check(direction: str, run_length: float, margin: float, pi_min: float | None, form: str) -> None:
    if direction not in ("fell", "rose", "either"):
        raise InputError(f"Expected `direction` to be 'fell', 'rose' or 'either', but got {direction!r}")
    if form not in ("shiryaev-roberts", "cusum"):
        raise InputError(f"Expected `form` to be 'shiryaev-roberts' or 'cusum', but got {form!r}")
    if not (math.isfinite(run_length) and run_length > 1.0):
        raise InputError(f"Expected `run_length` to be a number of scores above 1, but got {run_length!r}")
    if not (math.isfinite(margin) and margin >= 0.0):
        raise InputError(f"Expected `margin` to be at least 0, but got {margin!r}")
    if pi_min is not None and not 0.0 < pi_min <= 1.0:
        raise InputError(f"Expected `pi_min` in (0, 1], but got {pi_min!r}")


def _bets(
    baseline: Baseline, direction: Direction, margin: float, low: float, width: float, run_length: float
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Return signed bets with their bases, or why there is nothing to detect.

    The least factor is 1 - λ·(1 - base) for a fall and 1 - λ·base for a rise; bets stay where it is positive.
    """
    fell, rose, unknown = _ends(baseline, low, width)
    if unknown:
        return (), (), unknown
    signed = []
    floor, ceiling = fell - margin, rose + margin
    if direction != "rose" and floor > 0.0:
        signed += [(bet, floor) for bet in _ladder(floor, run_length)]
    if direction != "fell" and ceiling < 1.0:
        signed += [(-bet, ceiling) for bet in _ladder(1.0 - ceiling, run_length)]
    if not signed:
        return (), (), "the baseline and margin leave no room on the scale for such a change"
    return tuple(bet for bet, _ in signed), tuple(base for _, base in signed), ""


def _ends(baseline: Baseline, low: float, width: float) -> tuple[float, float, str]:
    """Return the ends of a baseline on [0, 1], or why there are none."""
    if isinstance(baseline, float | int):
        ends: tuple[float | None, float | None] = (baseline, baseline)
    else:
        ends = (baseline.low, baseline.high)
    if ends[0] is None or ends[1] is None:
        return 0.0, 1.0, f"no baseline: {getattr(baseline, 'reason', '')}"
    fell, rose = (ends[0] - low) / width, (ends[1] - low) / width
    if not (-1e-9 <= fell <= 1.0 + 1e-9 and -1e-9 <= rose <= 1.0 + 1e-9):
        raise InputError(f"Expected `baseline` in [{low}, {low + width}], the metric's scale")
    return fell, rose, ""


def _largest(base: float) -> float:
    """Return the largest bet on a fall from ``base``, which keeps every factor positive."""
    return LARGEST * min(STEEPEST, 1.0 / max(1e-12, 1.0 - base))


def _ladder(base: float, run_length: float) -> list[float]:
    """Return the bets on a fall from ``base``, largest first: one at least, none too small to pay in time."""
    largest = _largest(base)
    variance = max(1e-12, base * (1.0 - base))
    least = math.sqrt(8.0 * math.log(run_length) / (run_length * variance))
    steps = math.floor(math.log2(largest / least)) if largest > least else 0
    return [largest / 2.0**k for k in range(min(steps + 1, MOST_BETS))]


def shiryaev_roberts(path: Floats, level: Floats) -> Floats:
    """Return log M after each score: M_t = P_t·(M_0 + Σ_{s<t} 1/P_s), P the product of factors so far."""
    terms = -path[:-1]
    terms[0] = np.logaddexp(level, 0.0)
    summed: Floats = np.logaddexp.accumulate(terms, axis=0)
    return path[1:] + summed


def cusum(path: Floats, level: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return log M after each score, and where in the batch its present run began (-1: before it)."""
    terms = -path[:-1]
    terms[0] = np.maximum(level, 0.0)
    best: Floats = np.maximum.accumulate(terms, axis=0)
    fresh = np.vstack([level <= 0.0, terms[1:] >= best[:-1]])
    index = np.where(fresh, np.arange(len(terms))[:, None], -1)
    runs: NDArray[np.int64] = np.maximum.accumulate(index, axis=0)
    return path[1:] + best, runs

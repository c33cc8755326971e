"""Always-valid intervals: confidence sequences for the mean, which may be looked at after every minute.

A 95 % confidence sequence holds the mean at *all* times together with probability 95 %, so that one may look as often
as one likes and stop whenever one likes. Repeated 95 % t intervals do not: looked at every minute they sooner or later
exclude any truth.

All sequences here assume that every event has the same expected score given the past. Of a moving mean they say
nothing; whether it moves is :mod:`evalsvc.stats.change`'s question.

* ``betting``: bounded scores, known π. Capital of bets on w·(y - m), w = π_min/π (Waudby-Smith & Ramdas 2024,
  "Estimating means of bounded random variables by betting"; importance weights as in Waudby-Smith, Wu, Ramdas,
  Karampatziakis & Mineiro 2024, "Anytime-valid off-policy inference for contextual bandits").
  Unlike theirs, bets stop shrinking until ``best_n`` scores have come, which makes the interval narrower there; they
  depend on the past alone, so it holds as well.
* ``bernstein``: bounded scores, equal π. Predictable plug-in empirical Bernstein (Waudby-Smith & Ramdas 2024, thm 2).
* ``beta-binomial``: binary scores, equal π. Robbins' mixture (1970) of binomial likelihood ratios in the two-sided form
  of Howard, Ramdas, McAuliffe & Sekhon (2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences");
  needs counts only.
* ``asymptotic``: any score, large n. Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2021.

A state is a small frozen value; it is stored with :func:`msgspec.msgpack.encode` and goes on after a restart. How
scores are cut into batches changes nothing but rounding. Their order matters to ``betting`` and ``bernstein``, within
a minute as well, so it must not depend on the scores; ``beta-binomial`` and ``asymptotic`` have the same state for any
order.

A little longer than other files: four sequences behind one state, which is what is stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalsvc.errors import InputError
from evalsvc.types import Scale

Method = Literal["betting", "bernstein", "beta-binomial", "asymptotic"]
Floats = NDArray[np.float64]

CELLS = 200
LARGEST_BET = 0.75
LARGEST_BERNSTEIN = 0.5
EARLIEST_ASYMPTOTIC = 100

_GRID: Floats = np.linspace(0.0, 1.0, CELLS + 1)
NOTHING = "no score yet"


class SequenceState(msgspec.Struct, frozen=True):
    """What a confidence sequence has seen: counts, weighted sums of scores mapped to [0, 1], and log capitals.

    ``alpha`` is 1 - confidence. ``pi_min`` is the smallest π that counts, ``None`` where all π are equal. ``missing``
    counts scores that were NaN, ``left_out`` those with π < ``pi_min``. ``weight``, ``weight2``, ``total``, ``cross``
    and ``square`` are Σw, Σw², Σwy, Σw²y and Σw²y²; ``residual`` is Σw²(y - running mean)². ``up`` and ``down`` are the
    log capitals of betting on a mean above and below each of :data:`CELLS` + 1 equally spaced candidates; ``bets`` are
    Σλ, Σλy and Σ v·ψ(λ) of the empirical Bernstein form. ``best_n`` is where the interval is to be narrowest.
    """

    method: Method
    low: float
    width: float
    alpha: float
    pi_min: float | None
    best_n: float = 10_000.0
    n: int = 0
    missing: int = 0
    left_out: int = 0
    weight: float = 0.0
    weight2: float = 0.0
    total: float = 0.0
    cross: float = 0.0
    square: float = 0.0
    residual: float = 0.0
    up: tuple[float, ...] = ()
    down: tuple[float, ...] = ()
    bets: tuple[float, float, float] = (0.0, 0.0, 0.0)


class SequenceInterval(NamedTuple):
    """The mean so far, in the scale's unit, and limits that hold at every time together.

    ``value`` is the weighted mean; it and the limits are ``None`` where ``reason`` says why. ``effective_n`` is Kish's
    (Σw)²/Σw²; ``missing`` the share of scores that were missing, 0 to 1; ``left_out`` counts scores whose π is below
    the smallest that counts: the interval is of the others.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    effective_n: float
    missing: float
    left_out: int
    confidence: float
    method: str
    reason: str = ""


def start(
    scale: Scale,
    *,
    method: Method | None = None,
    confidence: float = 0.95,
    pi_min: float | None = None,
    best_n: float = 10_000.0,
) -> SequenceState:
    """Return the state of a confidence sequence that has seen nothing.

    Args:
        scale: the range of the scores; all methods but ``asymptotic`` need both ends.
        method: ``None`` picks ``beta-binomial`` for binary scores of equal π, ``betting`` for other bounded scores and
            ``asymptotic`` for the rest.
        confidence: in (0, 1).
        pi_min: the smallest π of the design; needed where π differs between events. Scores with a smaller one are
            left out and counted. The interval's width grows with 1/``pi_min``.
        best_n: the number of scores at which the interval is to be narrowest.

    Raises:
        InputError: on impossible arguments.

    >>> state = step(start(Scale(0.0, 1.0, "higher", binary=True)), [1, 1, 0, 1] * 50)
    >>> found = interval(state)
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.75, 0.524, 0.895)
    """
    chosen: Method = method or _pick(scale, pi_min)
    if chosen not in _LIMITS:
        raise InputError(f"Expected `method` to be one of {', '.join(_LIMITS)}, but got {method!r}")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"Expected `confidence` between 0 and 1, such as 0.95, but got {confidence!r}")
    if pi_min is not None and not 0.0 < pi_min <= 1.0:
        raise InputError(f"Expected `pi_min` in (0, 1], but got {pi_min!r}")
    if not (math.isfinite(best_n) and best_n >= 1.0):
        raise InputError(f"Expected `best_n` to be at least 1, but got {best_n!r}")
    if pi_min is not None and chosen in ("bernstein", "beta-binomial"):
        raise InputError(f"Expected no `pi_min` with {chosen!r}, which is for equal π; use 'betting' for unequal π")
    if chosen == "beta-binomial" and not scale.binary:
        raise InputError("Expected a binary `scale` for 'beta-binomial'; use 'betting' for other bounded scores")
    low, width = 0.0, 1.0
    if chosen != "asymptotic":
        low, width = unit_range(scale)
    nothing = (0.0,) * (CELLS + 1) if chosen == "betting" else ()
    return SequenceState(chosen, low, width, 1.0 - confidence, pi_min, best_n, up=nothing, down=nothing)


def step(state: SequenceState, values: ArrayLike, pi: ArrayLike | None = None) -> SequenceState:
    """Return the state after more scores, in the order in which they came.

    Args:
        state: from :func:`start` or an earlier step.
        values: one score an event, in the scale's unit; NaN where it is missing.
        pi: the inclusion probability of each, or one for all; ``None`` where all are equal.

    Raises:
        InputError: on scores outside the scale, π outside (0, 1], lengths that differ, and unequal π without
            ``pi_min``.
    """
    y, w, missing, left_out = prepare(values, pi, state.low, state.width, state.pi_min, state.method != "asymptotic")
    if state.method == "beta-binomial" and not np.isin(y, (0.0, 1.0)).all():
        raise InputError("Expected `values` of a binary metric to be 0 or 1")
    before = msgspec.structs.replace(state, missing=state.missing + missing, left_out=state.left_out + left_out)
    if not y.size:
        return before
    bets, changes = _predictable(state, y, w)
    if state.method == "betting":
        changes |= _wager(state, y, w, bets)
    elif state.method == "bernstein":
        changes["bets"] = _bernstein_sums(state, y, bets)
    w2 = w * w
    sums = {
        "n": state.n + y.size,
        "weight2": state.weight2 + float(w2.sum()),
        "cross": state.cross + float((w2 * y).sum()),
        "square": state.square + float((w2 * y * y).sum()),
    }
    return msgspec.structs.replace(before, **sums, **changes)


def interval(state: SequenceState) -> SequenceInterval:
    """Return the mean so far with limits that hold at every time together, in the scale's unit."""
    seen = state.n + state.missing
    share = state.missing / seen if seen else 0.0
    rest = (share, state.left_out, 1.0 - state.alpha, f"confidence sequence, {state.method}")
    if not state.n:
        reason = NOTHING if not seen else "every score is missing"
        return SequenceInterval(None, None, None, 0, 0.0, *rest, reason)
    mean = state.total / state.weight
    kish = state.weight**2 / state.weight2 if state.weight2 else 0.0
    low, high, reason = _LIMITS[state.method](state)
    scaled = [None if limit is None else state.low + state.width * limit for limit in (low, high)]
    return SequenceInterval(state.low + state.width * mean, scaled[0], scaled[1], state.n, kish, *rest, reason)


def combine(
    intervals: Mapping[str, SequenceInterval], shares: Mapping[str, float], *, confidence: float
) -> SequenceInterval:
    """Return the always-valid interval of the overall mean from one confidence sequence per stratum.

    The limits are Σ share·limit. All strata must hold together, so each needs a confidence of at least
    1 - (1 - ``confidence``)/k for k strata (the union bound). Where π is equal within strata this avoids the weights,
    whose price grows with 1/π_min; with many strata ``betting`` with weights is narrower.

    Args:
        intervals: by stratum.
        shares: each stratum's known share of the traffic; they add up to 1.
        confidence: of the result.

    Raises:
        InputError: on strata that differ, shares that do not add up to 1, and intervals of too little confidence.
    """
    if not shares or set(intervals) != set(shares):
        raise InputError("Expected `intervals` and `shares` to name the same strata, at least one")
    if min(shares.values()) < 0.0 or not math.isclose(math.fsum(shares.values()), 1.0, abs_tol=1e-6):
        raise InputError("Expected `shares` to be at least 0 and to add up to 1")
    needed = 1.0 - (1.0 - confidence) / len(shares)
    if any(found.confidence < needed - 1e-12 for found in intervals.values()):
        raise InputError(f"Expected `intervals` of confidence {needed:.6g} or more for {len(shares)} strata")
    parts = [(shares[name], intervals[name]) for name in sorted(shares)]
    n = sum(found.n for _, found in parts)
    spread = math.fsum(share**2 / found.effective_n for share, found in parts if found.effective_n)
    seen = math.fsum(found.n / (1.0 - found.missing) for _, found in parts if found.missing < 1.0)
    rest = (1.0 - n / seen if seen else 0.0, sum(found.left_out for _, found in parts), confidence)
    method = f"strata of {parts[0][1].method}"
    total = [_weighted([(share, found[place]) for share, found in parts]) for place in range(3)]
    reason = "" if None not in total else next(found.reason for _, found in parts if None in found[:3])
    return SequenceInterval(total[0], total[1], total[2], n, 1.0 / spread if spread else 0.0, *rest, method, reason)


def unit_range(scale: Scale) -> tuple[float, float]:
    """Return a bounded scale's low end and width."""
    if scale.low is None or scale.high is None:
        raise InputError("Expected a `scale` with both ends; use method 'asymptotic' for one without")
    return scale.low, scale.high - scale.low


def prepare(
    values: ArrayLike, pi: ArrayLike | None, low: float, width: float, pi_min: float | None, bounded: bool
) -> tuple[Floats, Floats, int, int]:
    """Return scores mapped to [0, 1], weights π_min/π in (0, 1], and how many were missing and left out.

    Raises:
        InputError: see :func:`step`.
    """
    raw = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if raw.ndim != 1:
        raise InputError(f"Expected `values` to be a vector, but got {raw.ndim} dimensions")
    present = ~np.isnan(raw)
    y = (raw - low) / width
    rates = np.ones(raw.size) if pi is None else np.asarray(pi, dtype=np.float64)
    if rates.ndim and rates.shape != raw.shape:
        raise InputError(f"Expected as many `pi` as `values`, but got {rates.size} and {raw.size}")
    rates = np.broadcast_to(rates, raw.shape)
    if not ((rates > 0.0) & (rates <= 1.0)).all():
        raise InputError("Expected every `pi` in (0, 1]")
    if pi_min is None and rates.size and rates.min() != rates.max():
        raise InputError("Expected `pi_min` at the start where `pi` differs between events")
    if not np.isfinite(raw[present]).all():
        raise InputError("Expected finite `values`, or NaN for a missing score")
    # A rounding error beyond the end of the scale is no fault of the caller's.
    if bounded and (np.abs(y[present] - 0.5) > 0.5 + 1e-9).any():
        raise InputError(f"Expected `values` in [{low}, {low + width}], the metric's scale")
    known = np.ones(raw.size, dtype=bool) if pi_min is None else rates >= pi_min
    keep = present & known
    w = np.ones(int(keep.sum())) if pi_min is None else pi_min / rates[keep]
    kept = np.clip(y[keep], 0.0, 1.0) if bounded else y[keep]
    return kept, w, int((~present & known).sum()), int((~known).sum())


def _pick(scale: Scale, pi_min: float | None) -> Method:
    if not scale.bounded:
        return "asymptotic"
    return "beta-binomial" if scale.binary and pi_min is None else "betting"


def _predictable(state: SequenceState, y: Floats, w: Floats) -> tuple[Floats, dict[str, object]]:
    """Return the bet on each score, which may use the scores before it only, and the sums that bets come from.

    λ_t = √(2·log(2/α) / (σ²_{t-1}·d)), d = t·log(1+t) at first, and ``best_n`` up to that
    many scores, with σ² = (1/4 + Σw²(y - running mean)²)/(t + 1).
    """
    weight, total = state.weight + np.cumsum(w), state.total + np.cumsum(w * y)
    means = (0.5 + total) / (1.0 + weight)
    residual = state.residual + np.cumsum((w * (y - means)) ** 2)
    sums = {"weight": float(weight[-1]), "total": float(total[-1]), "residual": float(residual[-1])}
    t = state.n + 1.0 + np.arange(y.size)
    before = np.concatenate(([state.residual], residual[:-1]))
    variance = (0.25 + before) / t
    slow = t * np.log1p(t)
    # Bets that stay as large as is best for ``best_n`` scores make the interval narrower there; all are predictable.
    pace = np.minimum(slow, np.maximum(state.best_n, slow / math.log1p(state.best_n)))
    return np.sqrt(2.0 * math.log(2.0 / state.alpha) / (variance * pace)), dict(sums)


def _wager(state: SequenceState, y: Floats, w: Floats, bets: Floats) -> dict[str, object]:
    bet = np.minimum(bets, LARGEST_BET) * w
    up, down = np.array(state.up), np.array(state.down)
    # In blocks that stay in the processor's cache.
    for block in range(0, y.size, 256):
        part = slice(block, block + 256)
        gain = bet[part, None] * (y[part, None] - _GRID)
        up += np.log1p(gain).sum(axis=0)
        down += np.log1p(-gain).sum(axis=0)
    return {"up": tuple(up.tolist()), "down": tuple(down.tolist())}


def _bernstein_sums(state: SequenceState, y: Floats, bets: Floats) -> tuple[float, float, float]:
    bet = np.minimum(bets, LARGEST_BERNSTEIN)
    before = np.cumsum(np.concatenate(([state.total], y[:-1])))
    centre = (0.5 + before) / (1.0 + state.n + np.arange(y.size))
    doubt = (y - centre) ** 2 * (-np.log1p(-bet) - bet)
    a, b, c = state.bets
    return a + float(bet.sum()), b + float((bet * y).sum()), c + float(doubt.sum())


Limits = tuple[float | None, float | None, str]


def _betting_limits(state: SequenceState) -> Limits:
    """Return where each half of the hedged capital reaches 2/α.

    Bets do not depend on the candidate, so log capital is concave in it: a chord lies below it, and interpolating
    between candidates can only widen the interval.
    """
    needed = math.log(2.0 / state.alpha)
    low = _crossing(np.array(state.up), needed)
    high = 1.0 - _crossing(np.array(state.down)[::-1], needed)
    mean = state.total / state.weight
    return min(low, mean), max(high, mean), ""


def _crossing(capital: Floats, needed: float) -> float:
    """Return where a falling sequence over the grid crosses ``needed``; 0 where it starts below."""
    above = int((capital >= needed).sum())
    if not above:
        return 0.0
    if above == capital.size:
        return 1.0
    first, second = float(capital[above - 1]), float(capital[above])
    return (above - 1 + (first - needed) / (first - second)) / (capital.size - 1)


def _bernstein_limits(state: SequenceState) -> Limits:
    bets, scores, doubt = state.bets
    centre, half = scores / bets, (math.log(2.0 / state.alpha) + doubt) / bets
    mean = state.total / state.weight
    return min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half)), ""


def _beta_binomial_limits(state: SequenceState) -> Limits:
    """Return the shares p at which the mixture's likelihood ratio against p is below 1/α.

    The mixture at p is Beta(r·p, r·(1-p)), r such that the interval is narrowest near ``best_n`` scores. The ratio is
    a martingale when p is the truth; Ville's inequality keeps it below 1/α at all times with probability 1 - α.
    """
    hits, misses = state.total, state.n - state.total
    prior = 1.0 / _spread(state)

    def likely(p: float) -> bool:
        if not 0.0 < p < 1.0:  # as halving may round to
            return False
        a, b = prior * p, prior * (1.0 - p)
        mixture = _log_beta(a + hits, b + misses) - _log_beta(a, b)
        return mixture - hits * math.log(p) - misses * math.log1p(-p) < -math.log(state.alpha)

    top = hits / state.n
    low = 0.0 if hits == 0.0 else _edge(likely, top, 0.0)
    high = 1.0 if misses == 0.0 else _edge(likely, top, 1.0)
    return low, high, ""


def _spread(state: SequenceState) -> float:
    """Return ρ², the mixture's variance over a score's, for which the interval is narrowest near ``best_n``."""
    ends = -2.0 * math.log(state.alpha)
    return (ends + math.log(max(1.0, ends)) + 1.0) / state.best_n


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _edge(likely: Callable[[float], bool], inside: float, outside: float) -> float:
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        inside, outside = (middle, outside) if likely(middle) else (inside, middle)
    return outside


def _asymptotic_limits(state: SequenceState) -> Limits:
    """Return mean ± σ·√(2(nρ²+1)/(n²ρ²)·log(√(nρ²+1)/α)), with ρ such that it is narrowest at ``best_n``."""
    if state.n < EARLIEST_ASYMPTOTIC:
        return None, None, f"an asymptotic sequence needs {EARLIEST_ASYMPTOTIC} scores, and has {state.n}"
    mean, n = state.total / state.weight, state.n
    spread = state.square - 2.0 * mean * state.cross + mean * mean * state.weight2
    sigma = math.sqrt(max(0.0, spread) / n) / (state.weight / n)
    if not (math.isfinite(sigma) and math.isfinite(mean)):
        return None, None, "the scores are too large to be squared"
    # Rounding leaves a trace of a variance where all values are equal, and no variance says nothing about the mean.
    if sigma <= 1e-7 * max(1e-300, abs(mean)) * math.sqrt(state.weight2 / n) / (state.weight / n):
        return None, None, "all scores are equal, so nothing is known of their spread"
    rho2 = _spread(state)
    grown = n * rho2 + 1.0
    half = sigma * math.sqrt(2.0 * grown / (n * n * rho2) * math.log(math.sqrt(grown) / state.alpha))
    return mean - half, mean + half, ""


def _weighted(parts: Sequence[tuple[float, object]]) -> float | None:
    total = 0.0
    for share, limit in parts:
        if not isinstance(limit, float):
            return None
        total += share * limit
    return total


_LIMITS: dict[Method, Callable[[SequenceState], Limits]] = {
    "betting": _betting_limits,
    "bernstein": _bernstein_limits,
    "beta-binomial": _beta_binomial_limits,
    "asymptotic": _asymptotic_limits,
}

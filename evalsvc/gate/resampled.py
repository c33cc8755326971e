"""What a gate would show of versions that are equal: runs drawn from groups of cases that are known.

Of a last run the differences are known: they are centred, or, where scores are yes or no, so many of them turned round
that none of the two is ahead. Of a baseline alone nothing is known of another version; that its scores are correlated
with the baseline's by :data:`CORRELATION`, and that differences move with the groups as far as the scores do, is
assumed. The next run has the same groups, of the same sizes: what differs in each is drawn from those that are of
about its weight, and the gate's own limits are taken of each run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalsvc.gate.evaluated import Floats, Rows
from evalsvc.gate.needed import POWER
from evalsvc.gate.power_groups import Draws, Sized
from evalsvc.gate.relative import PULL
from evalsvc.stats.many_paired import Kind, Samples, least_relative_margins, lower_limits
from evalsvc.stats.paired import SPARSE, unmet_clusters

CORRELATION = 0.5
CORRELATIONS = (0.3, 0.8)
"""Between which the assumed correlation is varied."""
DRAWS = 400
FEWEST_DRAWS = 100
MOST_SUMS = 2_000_000
"""Clusters of all draws together, above which fewer runs are drawn."""
POOL = 2_000
"""Groups that are made where chance turns or redraws them."""
MOST_LOST = 3
"""Cases that the best version there is may lose."""
MOST_GROUPS = 4_000
"""Up to so many groups a run is drawn; beyond, limits are taken to shrink as they do."""
MOST_CASES = 10**8


class Known(NamedTuple):
    """Cases whose scores are known, ``[cases]``: improvements over the baseline (None: a baseline alone), old scores.

    ``groups`` are codes 0, 1, …; ``careful`` and ``ends`` are what a relative margin asks for; ``lost`` is what missing
    scores can take from the improvement.
    """

    improved: Floats | None
    old: Floats
    weights: Floats
    groups: Rows
    kind: Kind
    averaged: bool = False
    lower: bool = False
    ends: tuple[float, float] | None = None
    lost: float = 0.0

    def collapse(self, mean: Floats) -> Floats | None:
        """Return what is lost from a mean to the scale's worse end; None where it has no two ends."""
        if self.ends is None:
            return None
        low, high = self.ends
        return high - mean if self.lower else mean - low

    @property
    def sign(self) -> float:
        """What turns an improvement into a change of the score, and back."""
        return -1.0 if self.lower else 1.0


class Pool(NamedTuple):
    """Sums of groups to draw from, ``[groups]``, with the baseline's Σw·b; ``sized`` None draws them as they come."""

    sums: tuple[Floats, ...]
    old: Floats
    known: Known
    sized: Sized | None = None

    def drawn(self, chosen: Draws) -> tuple[Samples, Floats]:
        """Return the sums of some runs, and the baseline's."""
        totals, weights, squares, gains, losses = (held[chosen.rows] for held in self.sums)
        if self.sized is not None:
            weights, squares = self.sized.weights[chosen.slots], self.sized.squares[chosen.slots]
        scaled = [held * chosen.scale for held in (totals, gains, losses, self.old[chosen.rows])]
        return Samples(scaled[0], weights, squares, scaled[1], scaled[2]), scaled[3]


class Look(NamedTuple):
    """After which share of the groups a look is taken, at which level."""

    share: float
    level: float


class Asked(NamedTuple):
    """Which question: ``both`` sides of a margin, or one that is ``relative`` to the baseline; of how many runs.

    ``bounded``: what the best version there is passes at bounds every other; the baseline is that of the next run.
    """

    both: bool = False
    relative: bool = False
    draws: int = DRAWS
    bounded: bool = False


def pool_of(known: Known, correlation: float = CORRELATION, seed: int = 0) -> Pool:
    """Return groups of two versions neither of which is ahead."""
    rng = np.random.default_rng(seed)
    m = int(known.groups.max()) + 1
    share = known.weights / known.weights.sum()
    # What few groups show of their spread about their own mean is too small.
    more = math.sqrt(m / (m - 1.0)) if m > 1 else 1.0
    if known.improved is None:
        if known.kind.binary or known.averaged or _most_are_one(known.old):
            return _pooled(known, [_redrawn(known, correlation, rng) for _ in range(_copies(m))])
        mean = float((share * known.old).sum())
        values = math.sqrt(2.0 * (1.0 - correlation)) * more * (known.old - mean)
        # Around what the versions have in common, so that both have the spread that the baseline has.
        middle = mean + math.sqrt((1.0 + correlation) / 2.0) * (known.old - mean)
        return _pooled(known, [_Made(values, middle - known.sign * values / 2.0)])
    same = float((known.improved == 0.0).mean())
    if known.kind.binary or known.averaged or same >= 0.5:
        return _pooled(known, [_turned(known, known.improved, share, rng) for _ in range(_copies(m))])
    ahead = float((share * known.improved).sum())
    return _pooled(known, [_Made(more * (known.improved - ahead), known.old)], mirrored=False)


class _Made(NamedTuple):
    """Improvements of equal versions and the old version's scores, ``[cases]``."""

    improved: Floats
    old: Floats


def _copies(groups: int) -> int:
    return max(1, -(-POOL // groups))


def _pooled(known: Known, made: Sequence[_Made], *, mirrored: bool = True) -> Pool:
    """Return the sums of all groups; ``mirrored`` adds those with the versions' names exchanged."""
    held: list[list[Floats]] = []
    size, squares = _by_group(known, known.weights), _by_group(known, known.weights**2)
    for one in made:
        gains, losses = (
            _by_group(known, known.weights * np.maximum(way, 0.0)) for way in (one.improved, -one.improved)
        )
        old = _by_group(known, known.weights * one.old)
        held.append([gains - losses, size, squares, gains, losses, old])
        if mirrored:
            exchanged = old + known.sign * (gains - losses)
            held.append([losses - gains, size, squares, losses, gains, exchanged])
    columns = [np.concatenate(parts) for parts in zip(*held, strict=True)]
    return Pool(tuple(columns[:5]), columns[5], known, Sized.of(size, squares) if mirrored else None)


def _most_are_one(values: Floats) -> bool:
    """Whether half of the cases have the same score: of two versions they would not differ either."""
    return bool(2 * np.unique(values, return_counts=True)[1].max() >= values.size)


def _by_group(known: Known, values: Floats) -> Floats:
    return np.asarray(np.bincount(known.groups, weights=values), dtype=np.float64)


def _turned(known: Known, values: Floats, share: Floats, rng: np.random.Generator) -> _Made:
    """Return the last run with the versions exchanged on so many cases of the one ahead that neither is.

    What chance put ahead is left: the groups are drawn with their versions exchanged as well, and cases that are turned
    one by one do not move with their groups any more.
    """
    gain, loss = (float((share * np.maximum(way, 0.0)).sum()) for way in (values, -values))
    ahead = gain - loss
    error2 = float((np.bincount(known.groups, weights=share * (values - ahead)) ** 2).sum())
    if ahead**2 <= error2:
        return _Made(values, known.old)
    beyond = math.sqrt(ahead**2 - error2)
    turn = (values * ahead > 0.0) & (rng.random(values.size) < beyond / (2.0 * max(gain, loss)))
    return _Made(np.where(turn, -values, values), np.where(turn, known.old + known.sign * values, known.old))


def _redrawn(known: Known, correlation: float, rng: np.random.Generator) -> _Made:
    """Return two versions where, with chance 1 - correlation, a group has the scores of another one under the second.

    What a larger group lacks it has of the next one.
    """
    order = np.argsort(known.groups, kind="stable")
    sizes = np.bincount(known.groups)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size) - starts[known.groups[order]]
    donor = rng.integers(0, sizes.size, sizes.size)[known.groups]
    turned = (place + int(rng.integers(0, 1 << 30))) % sizes[donor]
    within = np.where(sizes[donor] < sizes[known.groups], place, turned)
    other = known.old[order[(starts[donor] + within) % order.size]]
    moved = (rng.random(sizes.size) < 1.0 - correlation)[known.groups]
    return _Made(known.sign * np.where(moved, other - known.old, 0.0), known.old)


def least_margins(pool: Pool, groups: int, looks: Sequence[Look], asked: Asked, seed: int = 0) -> Floats:
    """Return the least margin with which each of some drawn runs of so many groups passes; inf where none does.

    Args:
        pool: from which groups are drawn.
        groups: of a run, >= 1.
        looks: in order; a run passes at any of them.
        asked: what about.
        seed: of the draws: the same runs for the same.
    """
    rng = np.random.default_rng(seed)
    draws = max(FEWEST_DRAWS, min(asked.draws, MOST_SUMS // max(1, groups)))
    block, found = max(1, MOST_SUMS // max(1, groups)), []
    for first in range(0, draws, block):
        runs = min(block, draws - first)
        if pool.sized is None:
            rows = rng.integers(0, pool.old.size, (runs, groups))
            chosen = Draws(rows, rows, np.ones(rows.shape))
        else:
            chosen = pool.sized.draw(runs, groups, pool.old.size, rng)
        samples, old = pool.drawn(chosen)
        least = np.full(runs, np.inf)
        for look in looks:
            end = max(1, min(groups, round(look.share * groups)))
            least = np.minimum(least, _least(pool.known, samples.first(end), old[:, :end], asked, look.level))
        found.append(least)
    least = np.concatenate(found)
    possible = least_possible(pool, groups, looks[-1].level, asked)
    return (least if possible is None else np.maximum(least, possible)) + pool.known.lost


def least_possible(pool: Pool, groups: int, level: float, asked: Asked) -> float | None:
    """Return the least margin with which any version passes against this baseline; None where that is not known.

    Of yes and no the best version is right everywhere. A case or two that it loses where they weigh least may still
    show more of the spread than they cost, and so are tried. Graded scores may be better in ways that this is not.
    """
    known, sized = pool.known, pool.sized
    by_counts = known.kind.binary or known.averaged
    if sized is None or not by_counts or known.ends is None or not asked.bounded:
        return None
    best = np.abs(known.old - (known.ends[0] if known.lower else known.ends[1]))
    worst = best - (known.ends[1] - known.ends[0])
    slots = sized.spread_over(groups)
    lightest = [int(np.flatnonzero(known.groups == group)[0]) for group in sized.order[:MOST_LOST]]
    tried = []
    for lost in range(len(lightest) + 1):
        improved = best.copy()
        improved[lightest[:lost]] = worst[lightest[:lost]]
        sums = _pooled(known, [_Made(improved, known.old)], mirrored=False).sums
        tried.append([held[sized.order][slots] for held in sums])
    samples = Samples(*(np.stack(held) for held in zip(*tried, strict=True)))
    limits = lower_limits(samples, known.kind, level)
    return float(-limits.max())


def _least(known: Known, samples: Samples, old: Floats, asked: Asked, level: float) -> Floats:
    if asked.relative:
        return _least_relative(known, samples, old, level)
    weights = samples.weights.sum(axis=1)
    before = old.sum(axis=1) / weights
    after = before + known.sign * samples.totals.sum(axis=1) / weights
    # Either version may be the one that answers nothing: this one against "not worse", the other against "not better".
    ways = [(samples, before), (samples.mirrored, after)] if asked.both else [(samples, before)]
    limits = [lower_limits(way, known.kind, level, losses=known.collapse(mean)) for way, mean in ways]
    least = np.maximum.reduce([-limit for limit in limits])
    # At the scale's end there is no limit.
    return least if known.kind.width is None else np.where(least >= known.kind.width, np.inf, least)


def _least_relative(known: Known, samples: Samples, old: Floats, level: float) -> Floats:
    if known.ends is None:
        plain = least_relative_margins(old, samples, lower=known.lower, level=level)
        same = (samples.gains.sum(axis=1) == 0.0) & (samples.losses.sum(axis=1) == 0.0)
        # The very same scores show nothing on a scale without two ends.
        return np.where(same, np.inf, plain)
    low, high = known.ends
    each, mean = samples.weights.mean(axis=1), old.sum(axis=1) / samples.weights.sum(axis=1)
    loss = known.collapse(mean)
    rare = _pulled(known, samples, old, (unmet_clusters(level) * each, mean, mean if loss is None else loss), level)
    from_end = np.full_like(mean, low if known.lower else high)
    careful = _pulled(known, samples, old, (PULL * each, from_end, np.full_like(mean, high - low)), level)
    always = known.kind.binary or known.averaged
    return np.where(always | (samples.differing < SPARSE), careful, rare)


def _pulled(known: Known, samples: Samples, old: Floats, added: tuple[Floats, Floats, Floats], level: float) -> Floats:
    """Return the margins with a cluster more: its weight, the baseline's score and what is lost there, by sample."""
    weight, before, lost = added
    none = np.zeros_like(weight)
    pulled = samples.with_cluster(-weight * lost, weight, weight**2, none, weight * lost)
    of_old = np.concatenate([old, (weight * before)[:, None]], axis=1)
    return least_relative_margins(of_old, pulled, lower=known.lower, level=level)


def margin_shown(least: Floats) -> float | None:
    """Return the margin with which a run passes with a chance of :data:`POWER`; None where no margin does."""
    found = float(np.quantile(least, POWER, method="higher"))
    return max(0.0, found) if math.isfinite(found) else None


def groups_needed(pool: Pool, groups: int, looks: Sequence[Look], asked: Asked, margin: float) -> int | None:
    """Return about how many groups a run needs to pass at a margin with a chance of :data:`POWER`; None beyond 10^8."""
    room = margin - pool.known.lost
    if room <= 0.0:
        return None
    tried: list[tuple[int, float]] = []
    now = min(groups, MOST_GROUPS)
    for _ in range(8):
        shown = margin_shown(least_margins(pool, now, looks, asked, seed=len(tried)))
        if shown is None:
            if now >= MOST_GROUPS:
                return None
            now = min(MOST_GROUPS, now * 4)
            continue
        tried.append((now, max(1e-12, shown - pool.known.lost)))
        then = _scaled(tried, room)
        if then > MOST_CASES:
            return None
        if abs(then - now) <= 0.03 * now or now == then or then > MOST_GROUPS <= now:
            return then
        now = min(then, MOST_GROUPS)
    return now


def _scaled(tried: Sequence[tuple[int, float]], room: float) -> int:
    """Return how many groups bring a margin down to another one: a power law through the last two that were tried."""
    groups, margin = tried[-1]
    power = -0.5
    if len(tried) > 1 and tried[-2][0] != groups:
        before, wider = tried[-2]
        slope = math.log(margin / wider) / math.log(groups / before) if wider != margin else -0.5
        power = min(-0.4, max(-1.2, slope))
    return max(2, math.ceil(min(2.0 * MOST_CASES, groups * math.pow(room / margin, 1.0 / power))))

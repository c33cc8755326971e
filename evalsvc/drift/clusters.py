"""Which kinds of texts became more frequent: clusters of both windows' embeddings, and how each one's share grew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.stats.distributions import normal_quantile, two_sided
from evalsvc.stats.multiplicity import adjust_p_values

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

FEWEST = 40
"""How many texts a window needs; with fewer there is no answer."""
PER_CLUSTER = 40
MOST_CLUSTERS = 12
FEWEST_OF_CLUSTER = 5
"""How many texts a cluster needs, of both windows, for its growth to be told."""
_STARTS = 4
_STEPS = 50


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """How one cluster's share of all texts changed, with the texts nearest to its centre.

    ``before`` and ``after`` are its 1/π-weighted shares, 0–1; ``growth`` is their difference, -1 to 1, above 0 where it
    grew; ``low`` and ``high`` hold together for all clusters (Bonferroni). ``grew`` is that ``growth`` is above 0 and
    its adjusted p-value (Benjamini & Hochberg 1995) below 1 - confidence. ``nearest`` and ``members`` are places in the
    current window's texts, nearest to the centre first; ``n`` and ``n_baseline`` count its texts. Undefined is
    ``None``, and ``reason`` says why.
    """

    cluster: int
    n: int
    n_baseline: int
    before: float
    after: float
    growth: float
    low: float | None = None
    high: float | None = None
    adjusted_p: float | None = None
    grew: bool | None = None
    members: tuple[int, ...] = ()
    confidence: float = 0.95
    method: str = "weighted k-means, difference of Hájek shares, normal interval by session"
    reason: str = ""

    @property
    def nearest(self) -> int | None:
        """The place of the text nearest to the centre in the current window; ``None`` where it has none."""
        return self.members[0] if self.members else None


class Texts(msgspec.Struct, frozen=True):
    """One window's texts: embeddings or their random features ``[n, d]``, π in (0, 1] ``[n]``, and sessions ``[n]``.

    Texts of one session depend on each other; an empty name is a session of its own.
    """

    features: Floats
    pi: Floats
    sessions: Sequence[str]

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        n = len(self.features)
        if self.features.ndim != 2 or self.pi.shape != (n,) or len(self.sessions) != n:
            raise InputError(
                f"Expected features [n, d] with n π and n sessions, but got {self.features.shape}, {self.pi.shape} and "
                f"{len(self.sessions)}"
            )
        if n and not ((self.pi > 0.0) & (self.pi <= 1.0)).all():
            raise InputError("Expected every π in (0, 1]")


def cluster_growth(
    baseline: Texts, current: Texts, *, clusters: int | None = None, confidence: float = 0.95, seed: int = 0
) -> tuple[Growth, ...]:
    """Cluster the texts of both windows together, and return how each cluster's share grew, most first.

    Clusters know nothing of the windows, so a difference of shares is tested as between given categories. A share is
    Σ w z / Σ w with w = 1/π and z whether a text is in the cluster; its variance is Σ_s (Σ_{i in s} w_i (z_i - share))²
    / (Σ w)² over sessions s, times m/(m - 1) for m sessions (Särndal, Swensson and Wretman 1992, ch. 5). k-means weighs
    texts by 1/π, half of the weight for each window; it starts four times from k-means++ (Arthur and Vassilvitskii
    2007).

    Args:
        baseline: the texts then.
        current: the texts now.
        clusters: how many; by default one for every 40 texts of both windows, from 2 to 12.
        confidence: of the intervals, and of what is said to have grown.
        seed: of the starts; the same texts and seed give the same clusters.

    Returns:
        Nothing where a window has fewer than 40 texts; else a value a cluster.

    Raises:
        InputError: on features of different lengths, fewer than 2 clusters or a confidence outside (0, 1).

    >>> rng = np.random.default_rng(1)
    >>> old, new = rng.normal(0, 0.1, (100, 2)), rng.normal(0, 0.1, (100, 2))
    >>> old[:50, 0] += 1
    >>> new[:80, 0] += 1
    >>> even = np.ones(100)
    >>> first, last = cluster_growth(Texts(old, even, [""] * 100), Texts(new, even, [""] * 100), clusters=2)
    >>> round(first.growth, 2), first.grew, last.grew
    (0.3, True, False)
    """
    if baseline.features.shape[1:] != current.features.shape[1:]:
        raise InputError("Expected features of one length in both windows")
    critical = two_sided(confidence)
    sizes = len(baseline.features), len(current.features)
    if min(sizes) < FEWEST:
        return ()
    count = min(MOST_CLUSTERS, max(2, sum(sizes) // PER_CLUSTER)) if clusters is None else clusters
    if count < 2:
        raise InputError(f"Expected at least 2 `clusters`, but got {count}")
    weights = [_weights(texts.pi) for texts in (baseline, current)]
    points = np.concatenate([baseline.features, current.features])
    centres = _k_means(points, np.concatenate([w / w.sum() for w in weights]), count, seed)
    places, distances = _assign(points, centres)
    split = sizes[0]
    found = []
    for cluster in range(len(centres)):
        inside = places == cluster
        shares = [
            _share(w, part, texts.sessions)
            for w, part, texts in zip(weights, (inside[:split], inside[split:]), (baseline, current), strict=True)
        ]
        members = np.flatnonzero(inside[split:])
        ordered = members[np.argsort(distances[split:][members], kind="stable")]
        found.append(_growth(cluster, inside, split, shares, tuple(map(int, ordered))))
    return _together(found, shares_of_all=len(found), confidence=confidence, critical=critical)


def _growth(
    cluster: int,
    inside: npt.NDArray[np.bool_],
    split: int,
    shares: Sequence[tuple[float, float]],
    members: tuple[int, ...],
) -> tuple[Growth, float]:
    """Return a cluster's growth with its standard error."""
    (before, error_before), (after, error_after) = shares
    n_baseline, n = int(inside[:split].sum()), int(inside[split:].sum())
    few = n + n_baseline < FEWEST_OF_CLUSTER
    growth = Growth(
        cluster=cluster,
        n=n,
        n_baseline=n_baseline,
        before=before,
        after=after,
        growth=after - before,
        members=members,
        reason=f"fewer than {FEWEST_OF_CLUSTER} texts" if few else "",
    )
    return growth, 0.0 if few else math.hypot(error_before, error_after)


def _together(
    found: Sequence[tuple[Growth, float]], *, shares_of_all: int, confidence: float, critical: float
) -> tuple[Growth, ...]:
    """Add intervals and tests that hold for all clusters together."""
    each = 1.0 - (1.0 - critical) / shares_of_all
    p_values = {
        str(growth.cluster): math.erfc(abs(growth.growth) / error / math.sqrt(2.0)) if error > 0.0 else None
        for growth, error in found
    }
    tested = adjust_p_values(p_values, level=1.0 - confidence, family="clusters")
    rows = []
    for (growth, error), p, stands in zip(found, tested.adjusted, tested.rejected, strict=True):
        half = normal_quantile(each) * error
        known = error > 0.0
        rows.append(
            msgspec.structs.replace(
                growth,
                confidence=confidence,
                low=max(-1.0, growth.growth - half) if known else None,
                high=min(1.0, growth.growth + half) if known else None,
                adjusted_p=p,
                grew=(stands and growth.growth > 0.0) if known else None,
                reason=growth.reason or ("" if known else "the share does not vary"),
            )
        )
    return tuple(sorted(rows, key=lambda row: (not row.grew, -row.growth, row.cluster)))


def _weights(pi: Floats) -> Floats:
    """Return 1/π relative to the largest, so that no sum overflows."""
    return np.asarray(pi.min() / pi)


def _share(weights: Floats, inside: npt.NDArray[np.bool_], sessions: Sequence[str]) -> tuple[float, float]:
    total = float(weights.sum())
    share = float(weights[inside].sum()) / total
    _, place = np.unique([name or f"\0{n}" for n, name in enumerate(sessions)], return_inverse=True)
    sums = np.bincount(place, weights * (inside - share))
    m = len(sums)
    return share, math.sqrt(float(sums @ sums) * m / (m - 1)) / total if m > 1 else 0.0


def _k_means(points: Floats, weights: Floats, count: int, seed: int) -> Floats:
    """Return the centres of the best of a few starts, those that no text is nearest to left out."""
    rng = np.random.default_rng([seed, crc32(b"clusters"), len(points)])
    best, lowest = points[:1], math.inf
    for _ in range(_STARTS):
        centres = _first(points, weights, count, rng)
        places, distances = _assign(points, centres)
        for _ in range(_STEPS):
            centres = _centres(points, weights, places, centres)
            before = places
            places, distances = _assign(points, centres)
            if (before == places).all():
                break
        cost = float(weights @ distances)
        if cost < lowest:
            best, lowest = centres[np.unique(places)], cost
    return best


def _first(points: Floats, weights: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Choose starting centres, each with a probability that grows with its distance from those before."""
    chosen = [int(rng.choice(len(points), p=weights / weights.sum()))]
    distances = _squares(points, points[chosen])[:, 0]
    while len(chosen) < count and float(weights @ distances) > 0.0:
        odds = weights * distances
        chosen.append(int(rng.choice(len(points), p=odds / odds.sum())))
        distances = np.minimum(distances, _squares(points, points[chosen[-1:]])[:, 0])
    return points[chosen]


def _centres(points: Floats, weights: Floats, places: Ints, old: Floats) -> Floats:
    belongs = np.where(places[:, None] == np.arange(len(old)), weights[:, None], 0.0)
    sums, mass = belongs.T @ points, belongs.sum(axis=0)
    return np.asarray(np.where(mass[:, None] > 0.0, sums / np.maximum(mass, 1e-300)[:, None], old))


def _assign(points: Floats, centres: Floats) -> tuple[Ints, Floats]:
    squares = _squares(points, centres)
    places = squares.argmin(axis=1)
    return places, squares[np.arange(len(points)), places]


def _squares(points: Floats, centres: Floats) -> Floats:
    """Return squared distances ``[n, k]``."""
    lengths = (points * points).sum(axis=1)[:, None] + (centres * centres).sum(axis=1)[None]
    return np.asarray(np.maximum(lengths - 2.0 * points @ centres.T, 0.0))

"""Clusters that grew: found where planted, weighted by 1/π, cautious by session, and quiet where nothing grew."""

import numpy as np
import pytest

from evalsvc.drift.clusters import Texts, cluster_growth
from evalsvc.errors import InputError

CENTRES = np.array([[0.0, 0.0, 4.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [4.0, 4.0, 4.0]])


def texts(rng, shares, n=400, pi=None, sessions=None):
    kinds = rng.choice(len(CENTRES), n, p=shares)
    points = CENTRES[kinds] + rng.normal(0.0, 0.4, (n, 3))
    even = np.ones(n) if pi is None else np.where(kinds == 0, pi, 1.0)
    return Texts(points, even, [""] * n if sessions is None else sessions), kinds


EVEN = [0.25] * 4


def test_the_cluster_that_grew_is_first_with_its_share_and_members():
    rng = np.random.default_rng(2)
    old, _ = texts(rng, EVEN)
    new, kinds = texts(rng, [0.55, 0.15, 0.15, 0.15])
    first, *rest = cluster_growth(old, new, clusters=4)
    assert first.grew
    assert first.before == pytest.approx(0.25, abs=0.06)
    assert first.after == pytest.approx(np.mean(kinds == 0))
    assert first.low < 0.3 < first.high
    assert set(first.members) == set(np.flatnonzero(kinds == 0))
    distances = np.linalg.norm(new.features[list(first.members)] - CENTRES[0], axis=1)
    assert distances[:20].mean() < distances[-20:].mean()
    assert not any(row.grew for row in rest)


def test_shares_are_those_of_the_traffic_not_of_the_sample():
    """Kind 0 is taken one time in ten: about a quarter of what is sampled, and 10/13 of the traffic."""
    rng = np.random.default_rng(3)
    old, _ = texts(rng, EVEN, pi=0.1)
    new, kinds = texts(rng, EVEN, pi=0.1)
    rows = cluster_growth(old, new, clusters=4)
    first = (kinds == 0).sum()
    assert max(row.after for row in rows) == pytest.approx(10 * first / (10 * first + (kinds != 0).sum()))
    assert sum(row.after for row in rows) == pytest.approx(1.0)
    assert sum(row.growth for row in rows) == pytest.approx(0.0, abs=1e-12)


def run_null(rng, session_length=1, respect=True):
    n = 300
    sides = []
    for _ in range(2):
        kinds = np.repeat(rng.choice(4, n // session_length), session_length)
        points = CENTRES[kinds] + rng.normal(0.0, 0.4, (n, 3))
        names = [f"s{k // session_length}" if respect else "" for k in range(n)]
        sides.append(Texts(points, np.where(rng.random(n) < 0.5, 0.2, 1.0), names))
    return any(row.adjusted_p < 0.05 for row in cluster_growth(*sides, clusters=4))


def test_nothing_grew_is_seldom_called_growth():
    """200 pairs from one population: 5 % are expected; where sessions are taken for independent, far more."""
    rng = np.random.default_rng(4)
    assert np.mean([run_null(rng) for _ in range(200)]) < 0.1
    assert np.mean([run_null(rng, session_length=5) for _ in range(200)]) < 0.1
    assert np.mean([run_null(rng, session_length=5, respect=False) for _ in range(100)]) > 0.25


def test_it_is_the_same_every_time():
    rng = np.random.default_rng(5)
    old, new = texts(rng, EVEN)[0], texts(rng, EVEN)[0]
    assert cluster_growth(old, new) == cluster_growth(old, new)


def test_edges():
    rng = np.random.default_rng(6)
    few, many = texts(rng, EVEN, n=39)[0], texts(rng, EVEN, n=40)[0]
    assert cluster_growth(few, many) == ()
    same = Texts(np.ones((50, 3)), np.full(50, 1e-9), [""] * 50)
    (row,) = cluster_growth(same, same)
    assert (row.grew, row.growth, row.reason) == (None, 0.0, "the share does not vary")
    with pytest.raises(InputError, match="one length"):
        cluster_growth(many, Texts(np.ones((50, 2)), np.ones(50), [""] * 50))
    with pytest.raises(InputError, match="at least 2"):
        cluster_growth(many, many, clusters=1)
    with pytest.raises(InputError, match="every π"):
        Texts(np.ones((2, 2)), np.array([0.0, 1.0]), ["", ""])
    with pytest.raises(InputError, match="n π and n sessions"):
        Texts(np.ones((2, 2)), np.ones(3), ["", ""])

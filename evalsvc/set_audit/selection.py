"""Which production examples to label next: those that cover most of the traffic that the set is not near to.

Each text is a vector of its runs of five characters, hashed to :data:`DIMENSIONS` places (Weinberger et al. 2009),
damped by a square root, weighted by how rare they are, of length 1; all digits count alike. Two texts are near from a
cosine of :data:`NEAR` on. Examples are picked one after another, each covering the most weight of traffic that is near
no case and no earlier pick: of all sets of picks the best covers at most 1/(1 - 1/e) times as much (Nemhauser, Wolsey &
Fisher 1978). Unlike the farthest first, this does not chase what nobody else asks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.cases.values import Case
from evalsvc.set_audit.near import runs
from evalsvc.set_audit.texts import question
from evalsvc.set_audit.traffic import share_of
from evalsvc.set_audit.values import Finding, Pick

Floats = npt.NDArray[np.float32]

DIMENSIONS = 2048
NEAR = 0.3
MOST_TRAFFIC = 4000
COVERED_LEAST = 0.5
_CHUNK = 2000
_DIGIT = re.compile(r"\d")


class Selected(NamedTuple):
    """How much of the traffic the set is near to, and what to label next, the most useful first."""

    finding: Finding
    picks: tuple[Pick, ...]


def select(cases: Sequence[Case], traffic: Sequence[Case], wanted: int) -> Selected:
    """Pick up to ``wanted`` examples of the traffic; fewer where nothing is left that the set is not near to.

    Of more than 4,000 examples 4,000 are looked at, those of the lowest hashes of their names: a file that
    ``evalsvc cases draw --by`` wrote has one stratum after another.
    """
    if len(traffic) > MOST_TRAFFIC:
        traffic = sorted(traffic, key=_lot)[:MOST_TRAFFIC]
    own, theirs = _vectors([question(case) for case in cases], [question(case) for case in traffic])
    nearest = np.concatenate([(theirs[at : at + _CHUNK] @ own.T).max(axis=1) for at in range(0, len(theirs), _CHUNK)])
    covered = nearest >= NEAR
    share = share_of(traffic, covered.tolist())
    weights = np.array([case.weight for case in traffic])
    picks = _greedy(traffic, theirs @ theirs.T >= NEAR, weights / weights.sum(), nearest, wanted)
    thin = share.value < COVERED_LEAST
    return Selected(
        Finding(
            subject="traffic",
            what="near a case of the set",
            value=share.value,
            said=f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}] of the traffic (cosine {NEAR:g} or more)",
            verdict="look" if thin else "ok",
            next="label the examples below, from the top" if thin and picks else "",
        ),
        picks,
    )


def _lot(case: Case) -> bytes:
    return hashlib.blake2b(case.case_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _greedy(
    traffic: Sequence[Case], near: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64], nearest: Floats, wanted: int
) -> tuple[Pick, ...]:
    left, picks = weights * (nearest < NEAR), []
    for _ in range(wanted):
        # What the set is near to itself is no use, though others around it are left.
        gains = np.where(nearest < NEAR, near @ left, 0.0)
        best = int(np.argmax(gains))
        if gains[best] <= 1e-12:
            break
        case = traffic[best]
        segments = ", ".join(f"{name}={value}" for name, value in sorted(case.segments.items()))
        picks.append(Pick(case.case_id, float(gains[best]), round(float(max(0.0, nearest[best])), 6), segments))
        left = left * ~near[best]
    return tuple(picks)


def _vectors(first: Sequence[str], second: Sequence[str]) -> tuple[Floats, Floats]:
    made = np.zeros((len(first) + len(second), DIMENSIONS), np.float32)
    for row, text in enumerate((*first, *second)):
        np.add.at(made[row], (runs(_DIGIT.sub("0", text)) % np.uint64(DIMENSIONS)).astype(np.intp), 1.0)
    np.sqrt(made, out=made)
    documents = (made > 0.0).sum(axis=0)
    made *= np.log((1.0 + len(made)) / (1.0 + documents)).astype(np.float32)
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    np.divide(made, lengths, out=made, where=lengths > 0.0)
    return made[: len(first)], made[len(first) :]

"""What an audit of a set of cases says: findings, each with a number, a verdict and what to do next."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from evalsvc.errors import InputError

Verdict = Literal["ok", "look", "bad"]
Subject = Literal[
    "size", "balance", "references", "agreement", "edge cases", "topics", "languages", "duplicates", "splits", "labels",
    "traffic", "freshness",
]  # fmt: skip


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        subject: the part of the audit.
        what: what was looked at.
        value: the number, in the unit that ``said`` has; None where it is undefined, and ``said`` says why.
        said: the number in words, with its interval where it has one.
        verdict: ``ok``; ``look``: a person should; ``bad``: the set does not do for what it is for.
        next: what to add or to look at; empty where nothing.
        cases: the cases to look at, by name, the first of them.
    """

    subject: Subject
    what: str
    value: float | None
    said: str
    verdict: Verdict
    next: str = ""
    cases: tuple[str, ...] = ()


class Wish(NamedTuple):
    """What the set is to be able to show, by non-inferiority of a candidate on the same cases.

    ``margin`` and ``discordant`` are shares in (0, 1): how much worse a candidate may be, and on how many cases two
    versions are expected to differ at all. ``power`` is the chance that an equal version passes, ``level`` the error of
    the one-sided test. ``icc`` in [0, 1] is how alike the cases of one group are.
    """

    margin: float = 0.05
    power: float = 0.8
    level: float = 0.05
    discordant: float = 0.2
    icc: float = 0.2

    def check(self) -> None:
        """Refuse a wish that no set can grant.

        Raises:
            InputError: where a share is not in (0, 1), or ``icc`` not in [0, 1].
        """
        for name in ("margin", "power", "level", "discordant"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise InputError(f"Expected `{name}` between 0 and 1, but got {getattr(self, name)!r}")
        if not 0.0 <= self.icc <= 1.0:
            raise InputError(f"Expected `icc` from 0 to 1, but got {self.icc!r}")


class Pick(NamedTuple):
    """A production example that is worth labelling.

    ``case_id`` is its name in what was drawn, ``gain`` the share of the traffic in [0, 1] that is near it and near no
    case of the set or earlier pick, ``nearest`` how alike the nearest case of the set is, in [0, 1].
    """

    case_id: str
    gain: float
    nearest: float
    segments: str


class SetAudit(msgspec.Struct, frozen=True, kw_only=True):
    """An audit: the sets that were looked at, with their digests and sizes, what was found, and what to label next."""

    sets: tuple[tuple[str, str, int], ...]
    findings: tuple[Finding, ...]
    picks: tuple[Pick, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def worst(self) -> Verdict:
        """The worst verdict of all findings."""
        found = {finding.verdict for finding in self.findings}
        return "bad" if "bad" in found else "look" if "look" in found else "ok"

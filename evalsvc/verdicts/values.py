"""What a gate decided, on what, and with which numbers: frozen, and enough to decide it again.

A verdict holds no text of a case or an answer: cases are named by their ids and digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

import msgspec

from evalsvc.types import Better

Decision = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Outcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
"""A verdict's decision: that of its gates, or that the run is no ground for one."""

EVERY_ONE = "none: every one"
"""The test of a critical gate: no chance is allowed for."""

PART = "a random part of"
"""How the note begins that a run asked a sample."""

EXIT_CODES: Mapping[Outcome, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3, "ERROR": 2}


class Number(msgspec.Struct, frozen=True):
    """A mean over cases with its interval, in the metric's unit; ``None`` is unknown, ``reason`` says why.

    ``n`` counts cases with a score, ``n_missing`` those without.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_missing: int = 0
    reason: str = ""


class Needed(msgspec.Struct, frozen=True):
    """How many more cases like these would settle an inconclusive finding, with a chance of 80 %.

    ``cases`` is the number in all, ``assuming`` what is taken to be true, such as ``the two are equal``. Both numbers
    are ``None`` where ``reason`` says why.
    """

    more: int | None
    cases: int | None
    assuming: str = ""
    reason: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One gate looked at on all of its cases, or on one segment of them.

    Attributes:
        segment: which cases, as ``language=de``; empty for all.
        decision: what follows.
        baseline: the baseline's value over the cases compared, or the number that the gate names.
        candidate: the candidate's.
        difference: candidate - baseline, in the metric's unit, or a share of the baseline where ``relative``.
        low: lower limit of the difference at ``confidence``; None is no limit.
        high: upper limit.
        confidence: of the limits: 1 - 2·level, so that they agree with the one-sided test.
        limit: the difference that the gate allows, as a bound on ``difference``; None for a critical gate.
        relative: whether the difference is a share of the baseline's value.
        p_pass: one-sided p-value of what has to be shown; small speaks for PASS.
        p_fail: of its opposite; small speaks for FAIL.
        p_fail_adjusted: the latter by Holm's procedure over all findings of the run.
        n: cases compared.
        n_clusters: groups of cases among them that do not depend on each other.
        n_one_sided: cases scored under one version only.
        n_unscored: cases without a score under the candidate.
        n_short: critical cases that fell short.
        lacking: whether it is inconclusive since something is missing: scores, answers, cases. More cases like these
            would not settle that.
        cases: ids of cases that decided it, where single ones did.
        needed: what would settle it, where it is inconclusive.
        test: behind the p-values.
        reason: in one sentence, why this decision.
    """

    decision: Decision
    reason: str
    segment: str = ""
    baseline: float | None = None
    candidate: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    limit: float | None = None
    relative: bool = False
    p_pass: float | None = None
    p_fail: float | None = None
    p_fail_adjusted: float | None = None
    n: int = 0
    n_clusters: int = 0
    n_one_sided: int = 0
    n_unscored: int = 0
    n_short: int = 0
    lacking: bool = False
    cases: tuple[str, ...] = ()
    needed: Needed | None = None
    test: str = ""


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's decision: FAIL where a finding fails, PASS where all pass. ``advisory`` ones decide nothing else.

    ``settled_at`` is the look, from 1, at which a sequential run settled it; 0 for one that was looked at once.
    """

    gate: str
    metric: str
    decision: Decision
    findings: tuple[Finding, ...]
    advisory: bool = False
    settled_at: int = 0

    @property
    def lacking(self) -> bool:
        """Whether it is inconclusive since something is missing on any of its cases."""
        return self.decision == "INCONCLUSIVE" and any(one.lacking for one in self.findings)


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One metric under both versions, whether or not a gate asks about it; ``confidence`` is of all intervals.

    ``repeat_sd`` is the standard deviation of a case's repeats, in the metric's unit; None of one repeat. ``reasons``
    says why cases have no score, with counts.
    """

    metric: str
    unit: str
    better: Better
    scorer: str
    candidate: Number
    baseline: Number | None = None
    difference: Number | None = None
    confidence: float = 0.95
    repeat_sd: float | None = None
    reasons: Mapping[str, int] = {}


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """How a metric moved in one segment, whether or not a gate looks at it: 95 % intervals, not corrected for number.

    ``name`` is as in ``language=de``; ``candidate`` and ``baseline`` are means over the ``n`` cases of both versions.
    """

    metric: str
    name: str
    n: int
    candidate: float | None
    baseline: float | None
    difference: Number


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was asked: what it is called, what made its answers, and what they came to.

    ``digest`` is a hash of its answers and scores. ``name`` is a baseline's; empty for a candidate. ``stored`` is the
    digest of the same without texts, as a store holds it; empty where it was not put there.
    """

    model: str
    model_version: str
    signature: str
    digest: str
    name: str = ""
    answered: int = 0
    failed: int = 0
    cost_usd: float | None = None
    stored: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """May this version ship? With everything that the answer came from.

    ``scorers`` maps a metric to ``version|signature`` of what scored it. ``cases_digest`` is the version of the set,
    ``gates_digest`` that of the gates' definitions, ``definition`` (JSON). ``looks`` are the numbers of cases at the
    planned looks of a sequential run, ``stopped_at`` the cases that were asked. ``slices`` are of the metrics that
    gates compare, by every segment of the cases. ``error`` says of an ERROR what happened and what to do; whatever the
    gates say, nothing follows from them then.
    """

    verdict_id: str
    suite: str
    decision: Outcome
    gates: tuple[GateResult, ...]
    metrics: tuple[MetricSummary, ...]
    candidate: Party
    baseline: Party | None
    cases: str
    cases_digest: str
    n_cases: int
    stopped_at: int
    repeats: int
    seed: int
    level: float
    scorers: Mapping[str, str]
    definition: str
    gates_digest: str
    decided_at: datetime
    evalsvc: str
    looks: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    error: str = ""

    @property
    def lacking(self) -> tuple[str, ...]:
        """The gates that are inconclusive since something is missing, but for advisory ones."""
        return tuple(gate.gate for gate in self.gates if gate.lacking and not gate.advisory)

    @property
    def sampled(self) -> bool:
        """Whether it asked a random part of the set, by ``--sample``."""
        return any(note.startswith(PART) for note in self.notes)

    @property
    def exit_code(self) -> int:
        """What ``evalsvc gate`` ends with: 0 pass, 1 fail, 2 error, 3 inconclusive."""
        return EXIT_CODES[self.decision]


def worst_of(decisions: Iterable[Decision]) -> Decision:
    """Return FAIL where one is FAIL, PASS where all are, of at least one; else INCONCLUSIVE.

    >>> worst_of(["PASS", "INCONCLUSIVE"]), worst_of([]), worst_of(["PASS", "FAIL"])
    ('INCONCLUSIVE', 'INCONCLUSIVE', 'FAIL')
    """
    found = set(decisions)
    if "FAIL" in found:
        return "FAIL"
    return "PASS" if found == {"PASS"} else "INCONCLUSIVE"

"""All parts of an audit, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.cases.values import Case, CaseSet
from evalsvc.errors import InputError
from evalsvc.set_audit.balance import agreement_findings, balance_findings, reference_findings
from evalsvc.set_audit.contents import content_findings, look_at
from evalsvc.set_audit.duplicates import alike, duplicate_findings, label_findings, split_findings
from evalsvc.set_audit.selection import select
from evalsvc.set_audit.size import size_findings
from evalsvc.set_audit.traffic import rare_contents, traffic_findings
from evalsvc.set_audit.values import Finding, Pick, SetAudit, Wish


def audit(
    sets: Sequence[CaseSet],
    *,
    wish: Wish | None = None,
    traffic: Sequence[Case] = (),
    picks: int = 20,
    further: Sequence[Finding] = (),
    notes: Sequence[str] = (),
) -> SetAudit:
    """Audit the first set, and look for its cases in the others.

    Args:
        sets: the set to audit, then those that should share no case with it, such as the one that prompts are tuned on.
        wish: what the set is to show (default: a margin of .05 with power .8).
        traffic: cases drawn from production with their weights, to compare the first set with; none: not compared.
        picks: how many of them to label next, at most.
        further: findings made elsewhere, such as those of :mod:`evalsvc.set_audit.freshness`.
        notes: sentences on where the traffic is from.

    Raises:
        InputError: without a set, or on a wish that makes no sense.
    """
    if not sets:
        raise InputError("Expected at least one set of cases to audit, but got none")
    cases = sets[0].cases
    pairs = alike(cases)
    own, theirs = look_at(cases), look_at(traffic)
    found: list[Finding] = [
        *size_findings(cases, wish or Wish()),
        *balance_findings(cases, own.languages),
        *reference_findings(cases),
        *agreement_findings(cases),
        *content_findings(cases, own, rare_contents(traffic, theirs) if traffic else ()),
        *duplicate_findings(cases, pairs),
        *label_findings(cases, pairs),
        *split_findings(sets),
        *further,
    ]
    chosen: tuple[Pick, ...] = ()
    if traffic:
        selected = select(cases, traffic, picks)
        found += [*traffic_findings(cases, traffic, own, theirs), selected.finding]
        chosen = selected.picks
    return SetAudit(
        sets=tuple((each.name, each.digest, len(each)) for each in sets),
        findings=tuple(found),
        picks=chosen,
        notes=tuple(notes),
    )

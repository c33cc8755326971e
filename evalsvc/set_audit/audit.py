"""All parts of an audit, one after another."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.cases.values import CaseSet
from evalsvc.errors import InputError
from evalsvc.set_audit.balance import agreement_findings, balance_findings, reference_findings
from evalsvc.set_audit.contents import content_findings
from evalsvc.set_audit.duplicates import alike, duplicate_findings, label_findings, split_findings
from evalsvc.set_audit.size import size_findings
from evalsvc.set_audit.texts import languages, question
from evalsvc.set_audit.values import Finding, SetAudit, Wish


def audit(sets: Sequence[CaseSet], *, wish: Wish | None = None) -> SetAudit:
    """Audit the first set, and look for its cases in the others.

    Args:
        sets: the set to audit, then those that should share no case with it, such as the one that prompts are tuned on.
        wish: what the set is to show (default: a margin of .05 with power .8).

    Raises:
        InputError: without a set, or on a wish that makes no sense.
    """
    if not sets:
        raise InputError("Expected at least one set of cases to audit, but got none")
    cases = sets[0].cases
    pairs = alike(cases)
    found: list[Finding] = [
        *size_findings(cases, wish or Wish()),
        *balance_findings(cases, languages([question(case) for case in cases])),
        *reference_findings(cases),
        *agreement_findings(cases),
        *content_findings(cases),
        *duplicate_findings(cases, pairs),
        *label_findings(cases, pairs),
        *(split_findings(sets) if len(sets) > 1 else []),
    ]
    return SetAudit(sets=tuple((each.name, each.digest, len(each)) for each in sets), findings=tuple(found))

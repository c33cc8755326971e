"""Segments, languages and references: how evenly they are there, and what is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from evalsvc.cases.values import Case
from evalsvc.set_audit.values import Finding, Subject

EVEN_LEAST = 0.5
SMALL_LEAST = 30
SHOWN = 6
LABEL = "label."
"""Segments of this beginning are annotators' labels: ``{"label.ada": "good", "label.ben": "bad"}``."""

AGREE_GOOD, AGREE_BAD = 0.8, 0.667
"""Krippendorff's own limits for α: reliable from the first on, not even for tentative conclusions below the second."""


def balance_findings(cases: Sequence[Case], languages: Sequence[str]) -> list[Finding]:
    """Return a finding for each segment, and one for languages (codes, empty where not known)."""
    names = sorted({name for case in cases for name in case.segments if not name.startswith(LABEL)})
    found = [_balance("balance", f"segments.{name}", [case.segments.get(name, "") for case in cases]) for name in names]
    if not names:
        found.append(
            Finding(
                subject="balance",
                what="segments",
                value=0.0,
                said="no case has a segment",
                verdict="look",
                next="give cases segments, as in production: without them no harm to one group of users is seen",
            )
        )
    return [*found, _balance("languages", "language of the question", languages)]


def evenness(counts: Sequence[int]) -> float:
    """Return how even counts are, exp(entropy) over their number: 1 where all are alike, 1/k where one has all.

    >>> evenness([5, 5])
    1.0
    """
    whole = sum(counts)
    entropy = -math.fsum(count / whole * math.log(count / whole) for count in counts if count)
    return round(math.exp(entropy) / len(counts), 12)


def _balance(subject: Subject, what: str, values: Sequence[str]) -> Finding:
    counts = Counter(value for value in values if value)
    without = len(values) - counts.total()
    if not counts:
        return Finding(subject=subject, what=what, value=None, said="not known of any case", verdict="look")
    even, (least, fewest) = evenness(list(counts.values())), min(counts.items(), key=lambda item: (item[1], item[0]))
    shares = ", ".join(f"{value} {count / len(values):.0%}" for value, count in counts.most_common(SHOWN))
    more = f", {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    unknown = f", not known of {without:,}" if without else ""
    small = sorted(value for value, count in counts.items() if count < SMALL_LEAST)
    uneven = even < EVEN_LEAST or bool(small)
    advice = f"add cases of {', '.join(small[:SHOWN])}: fewer than {SMALL_LEAST} each" if small else ""
    return Finding(
        subject=subject,
        what=what,
        value=even,
        said=f"{shares}{more}{unknown}; evenness {even:.2f}, fewest: {least} ({fewest:,})",
        verdict="look" if uneven else "ok",
        next=advice or ("add cases of the smaller ones, or weigh by segment" if uneven else ""),
    )


def reference_findings(cases: Sequence[Case]) -> list[Finding]:
    """Return which share has a reference, expected calls, and contexts, and which have neither of the first two."""
    found = []
    for what, has in (
        ("with a reference", [bool(case.reference and case.reference.strip()) for case in cases]),
        ("with expected calls", [bool(case.expected_tools) for case in cases]),
        ("with contexts", [bool(case.contexts) for case in cases]),
    ):
        count = sum(has)
        partly = what == "with a reference" and 0 < count < len(cases)
        found.append(
            Finding(
                subject="references",
                what=what,
                value=count / len(cases),
                said=f"{count:,} of {len(cases):,} ({count / len(cases):.1%})",
                verdict="look" if partly else "ok",
                next=f"write a reference for {len(cases) - count:,} cases, or say that they need none"
                if partly
                else "",
                cases=tuple(case.case_id for case, one in zip(cases, has, strict=True) if not one)[:3]
                if partly
                else (),
            )
        )
    return found


def agreement_findings(cases: Sequence[Case]) -> list[Finding]:
    """Return how far annotators agree, by Krippendorff's α (nominal), where cases carry several labels."""
    from evalsvc.stats.agreement import krippendorff_alpha

    people = sorted({name for case in cases for name in case.segments if name.startswith(LABEL)})
    if len(people) < 2:
        said = "no case carries labels of several people"
        return [
            Finding(subject="agreement", what="labels", value=None, said=f"{said} (segments label.NAME)", verdict="ok")
        ]
    codes: dict[str, float] = {}
    rows = [
        [
            codes.setdefault(case.segments[name], float(len(codes))) if name in case.segments else math.nan
            for name in people
        ]
        for case in cases
    ]
    alpha = krippendorff_alpha(rows, clusters=[case.group or case.case_id for case in cases])
    disputed = tuple(
        case.case_id
        for case in cases
        if len({value for name, value in case.segments.items() if name.startswith(LABEL)}) > 1
    )
    if alpha.value is None or alpha.low is None or alpha.high is None:
        return [Finding(subject="agreement", what="labels", value=None, said=alpha.reason, verdict="look")]
    verdict = "ok" if alpha.value >= AGREE_GOOD else "look" if alpha.value >= AGREE_BAD else "bad"
    advice = (
        "" if verdict == "ok" else f"settle the {len(disputed):,} cases on which people differ, and their guideline"
    )
    said = f"{alpha.statistic} {alpha.value:.2f} [{alpha.low:.2f}, {alpha.high:.2f}] over {alpha.n_items:,} cases"
    return [
        Finding(
            subject="agreement",
            what=f"labels of {len(people)} people",
            value=alpha.value,
            said=said,
            verdict="ok" if verdict == "ok" else "look" if verdict == "look" else "bad",
            next=advice,
            cases=disputed[:5],
        )
    ]

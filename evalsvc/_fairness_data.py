"""Comparisons of groups, as the command ``fairness`` finds them, as JSON and as rows of CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from evalsvc.types import Scale, Window

if TYPE_CHECKING:
    from evalsvc.fairness import Comparison, GroupEstimate, Standardised, Step
    from evalsvc.query import EstimateQuery

Subject = tuple[str, int, str]
"""Consumer, scorer version and signature, which are never pooled."""

_FLAT = [
    "value", "low", "high", "n", "n_effective", "n_missing", "missing_share", "share", "suppressed", "shrunken",
    "shrinkage", "difference", "difference_low", "difference_high", "p_value", "p_adjusted", "method", "reason",
]  # fmt: skip
_GAPS = ["gap", "gap_low", "gap_high", "gap_naive", "gap_p_value"]


class Found(NamedTuple):
    """One comparison with what it is about."""

    window: Window
    subject: Subject
    scale: Scale
    step: Step
    comparison: Comparison
    standard: Standardised | None


def by_subject(comparisons: Sequence[Found]) -> dict[Subject, list[Found]]:
    """Return the comparisons of each consumer and version of the scorer, in their order."""
    subjects: dict[Subject, list[Found]] = defaultdict(list)
    for one in comparisons:
        subjects[one.subject].append(one)
    return subjects


def subject_name(subject: Subject) -> str:
    """Return what tells this consumer and version of the scorer from others."""
    consumer, version, signature = subject
    return f"{consumer} · scorer v{version} {signature}".rstrip()


def to_json(metric: str, found: Found) -> dict[str, Any]:
    """Return a comparison as JSON-able values; suppressed groups are there, without a value."""
    one = found.comparison
    consumer, version, signature = found.subject
    return {
        "metric": metric,
        "consumer": consumer,
        "scorer_version": version,
        "signature": signature,
        "window": {"start": found.window.start.isoformat(), "end": found.window.end.isoformat()},
        "sentence": one.sentence,
        "groups": [_group_json(one, row) for row in one.groups],
        "gap": one.gap._asdict(),
        "ratio": one.ratio._asdict(),
        "worst": one.worst._asdict(),
        "spread": one.spread._asdict(),
        "differing": list(one.differing),
        "apart": [row._asdict() for row in one.apart],
        "adjust": one.adjust,
        "min_group": one.min_group,
        "confidence": one.confidence,
        "standardised": _standard_json(found.standard),
    }


def csv_columns(asked: EstimateQuery) -> list[str]:
    """Return the names of the columns, in order."""
    head = dict.fromkeys(["metric", "consumer", *asked.by])
    return [*head, "start", "end", "scorer_version", "signature", *_FLAT, *_GAPS]


def csv_rows(asked: EstimateQuery, found: Found) -> list[dict[str, Any]]:
    """Return a row for each group; the gap of its comparison stands in each."""
    consumer, version, signature = found.subject
    gap = found.comparison.gap
    gaps = dict(zip(_GAPS, (gap.value, gap.low, gap.high, gap.naive, gap.p_value), strict=True))
    rows = []
    for row in found.comparison.groups:
        flat = _group_json(found.comparison, row)
        about: dict[str, Any] = {"metric": asked.metric, "consumer": consumer, **row.labels}
        about |= {"start": found.window.start.isoformat(), "end": found.window.end.isoformat()}
        about |= {"scorer_version": version, "signature": signature}
        rows.append({**about, **{name: flat[name] for name in _FLAT}, **gaps})
    return rows


def _group_json(one: Comparison, row: GroupEstimate) -> dict[str, Any]:
    estimate, pulled, other = row.estimate, one.shrunken.get(row.name), one.differences.get(row.name)
    return {
        "name": row.name,
        "labels": dict(row.labels),
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "n_effective": estimate.n_effective,
        "n_missing": estimate.n_missing,
        "missing_share": estimate.missing_share,
        "share": row.share,
        "suppressed": row.suppressed,
        "shrunken": pulled.value if pulled else None,
        "shrinkage": pulled.shrinkage if pulled else None,
        "difference": other.value if other else None,
        "difference_low": other.low if other else None,
        "difference_high": other.high if other else None,
        "p_value": other.p_value if other else None,
        "p_adjusted": other.p_adjusted if other else None,
        "method": estimate.method,
        "reason": row.reason,
    }


def _standard_json(standard: Standardised | None) -> dict[str, Any] | None:
    if standard is None:
        return None
    return {
        "mix": dict(standard.mix),
        "covered": standard.covered,
        "lacking": {case: list(groups) for case, groups in standard.lacking.items()},
        "reason": standard.reason,
    }

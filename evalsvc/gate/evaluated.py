"""One version's answers with their scores, as a gate compares them; and what two versions have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalsvc.cases import Case
from evalsvc.cases.values import clusters_of
from evalsvc.gate.production import Production
from evalsvc.generation import Answer
from evalsvc.generation.runner import EMPTY, TOO_LONG
from evalsvc.stats.scores import mean_of_repeats
from evalsvc.types import Need, ScorerSpec, Status

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

OF_THE_CASE: tuple[Need, ...] = ("prompt", "contexts", "reference", "expected_tools")
"""What a case lacks under every version: its missing scores say nothing about a version."""
OF_THE_MODEL = (EMPTY, TOO_LONG)
"""Answers that are none: no measurement failed, the model did."""


class Missing(NamedTuple):
    """Why a score is not there."""

    status: Status
    reason: str

    @property
    def of_the_case(self) -> bool:
        """Whether it is the case that lacks something, and not the answer."""
        return self.status == "abstained" and self.reason in {f"no {need}" for need in OF_THE_CASE}

    @property
    def of_the_model(self) -> bool:
        """Whether the model answered, and said nothing or found no end: asked again, it would do the same."""
        return self.status == "failed" and self.reason in {f"no answer: {reason}" for reason in OF_THE_MODEL}


class MetricScores(NamedTuple):
    """One metric's scores: ``values`` is ``[cases, repeats]`` with NaN where ``missing`` says why.

    ``statistics`` is ``[cases, repeats, k]``, NaN likewise, where the scorer has a corpus score.
    """

    spec: ScorerSpec
    values: Floats
    missing: Mapping[tuple[int, int], Missing]
    statistics: Floats | None = None

    @property
    def by_case(self) -> Floats:
        """The mean over repeats, ``[cases]``; NaN where no repeat has a score."""
        return mean_of_repeats(self.values)

    def inapplicable(self) -> NDArray[np.bool_]:
        """Which cases lack, for themselves, what the metric needs; ``[cases]``."""
        found = np.zeros(self.values.shape[0], dtype=np.bool_)
        for (row, _), missing in self.missing.items():
            found[row] |= missing.of_the_case
        return found

    def reasons(self, rows: Rows | None = None) -> dict[str, int]:
        """Return how many cases have no score at all for each reason, the most frequent first."""
        wanted = None if rows is None else set(rows.tolist())
        counts: dict[str, set[int]] = {}
        for (row, _), missing in self.missing.items():
            if (wanted is None or row in wanted) and np.isnan(self.values[row]).all():
                counts.setdefault(missing.reason, set()).add(row)
        return {reason: len(found) for reason, found in sorted(counts.items(), key=lambda item: -len(item[1]))}


class Evaluated(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A version's answers to a set of cases, ``[cases][repeats]``, and their scores by metric.

    ``name`` is a baseline's. ``signature`` is the generator's. ``production`` is there, and no case, in a baseline that
    was frozen from production. ``gone`` is there in the baseline of a candidate that was asked a part of its set: how
    many of the baseline's cases the whole set has no more.
    """

    cases: tuple[Case, ...]
    digests: tuple[str, ...]
    answers: tuple[tuple[Answer, ...], ...]
    scores: Mapping[str, MetricScores]
    model: str
    model_version: str
    signature: str
    name: str = ""
    production: Production | None = None
    gone: int | None = None

    @cached_property
    def weights(self) -> Floats:
        """The cases' weights, ``[cases]``."""
        return np.array([case.weight for case in self.cases], dtype=np.float64)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The cluster of each case (:func:`clusters_of`)."""
        return clusters_of(self.cases, self.digests)

    @cached_property
    def codes(self) -> Rows:
        """The clusters as numbers from 0, ``[cases]``."""
        return np.unique(np.asarray(self.groups, dtype=np.str_), return_inverse=True)[1].astype(np.int64)

    def of(self, rows: Sequence[int]) -> Evaluated:
        """Return some of its rows, in their order."""
        kept = np.array(rows, dtype=np.int64)
        new = {row: place for place, row in enumerate(rows)}
        return Evaluated(
            cases=tuple(self.cases[row] for row in rows),
            digests=tuple(self.digests[row] for row in rows),
            answers=tuple(self.answers[row] for row in rows),
            scores={
                name: MetricScores(
                    held.spec,
                    held.values[kept],
                    {(new[row], repeat): why for (row, repeat), why in held.missing.items() if row in new},
                    None if held.statistics is None else held.statistics[kept],
                )
                for name, held in self.scores.items()
            },
            model=self.model,
            model_version=self.model_version,
            signature=self.signature,
            name=self.name,
            gone=self.gone,
        )

    @property
    def counts(self) -> tuple[int, int]:
        """How many answers there are, and how many requests failed."""
        failed = sum(answer.status == "failed" for row in self.answers for answer in row)
        return sum(map(len, self.answers)) - failed, failed

    @property
    def cost_usd(self) -> float | None:
        """What its answers cost in US dollars; None where no answer says."""
        known = [answer.cost_usd for row in self.answers for answer in row if answer.cost_usd is not None]
        return sum(known) if known else None


def places_in(baseline: Evaluated, candidate: Evaluated) -> Rows:
    """Return for each of the candidate's cases its row in the baseline, by content; -1 where it has none."""
    rows = {digest: row for row, digest in enumerate(baseline.digests)}
    return np.array([rows.get(digest, -1) for digest in candidate.digests], dtype=np.int64)


def gone_from(baseline: Evaluated, digests: Iterable[str]) -> int:
    """Return how many of a baseline's cases are not among these, by content."""
    return len(set(baseline.digests).difference(digests))


def field_of(case: Case, field: str) -> str:
    """Return a case's value of ``segments.NAME``, ``group`` or ``variant``; ``(none)`` where it has none."""
    if field.startswith("segments."):
        return case.segments.get(field.removeprefix("segments."), "") or "(none)"
    return {"group": case.group, "variant": case.variant}.get(field, "") or "(none)"


def segments_in(cases: Sequence[Case], rows: Rows, by: Sequence[str]) -> dict[str, Rows]:
    """Return the rows of each segment by its name, as ``language=de, plan=free``, in the order of the names."""
    found: dict[str, list[int]] = {}
    for row in rows.tolist():
        parts = (f"{field.removeprefix('segments.')}={field_of(cases[row], field)}" for field in by)
        found.setdefault(", ".join(parts), []).append(row)
    return {name: np.array(found[name], dtype=np.int64) for name in sorted(found)}


def rows_where(cases: Sequence[Case], where: Mapping[str, tuple[str, ...]]) -> Rows:
    """Return the rows of the cases that have, of each field, one of its values; ``tags`` one of theirs."""
    if not where:
        return np.arange(len(cases), dtype=np.int64)
    found = [
        row
        for row, case in enumerate(cases)
        if all(
            any(tag in values for tag in case.tags) if field == "tags" else field_of(case, field) in values
            for field, values in where.items()
        )
    ]
    return np.array(found, dtype=np.int64)

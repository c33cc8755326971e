"""Robustness from scores: what each kind of variant changes, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from evalsvc.cases.values import Case, clusters_of
from evalsvc.errors import InputError
from evalsvc.stats.comparison import Comparison, Question, Verdict
from evalsvc.types import Scale


class KindEffect(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of variant did to a metric.

    Attributes:
        kind: of the variants.
        drop: mean loss against the sources, in the metric's unit: above 0 is worse, whichever direction is better
            (of scales without a better direction, source - variant); None where ``reason`` says why.
        low: lower end of its interval at 1 - level, of this kind alone; None is no limit.
        high: its upper end.
        adjusted_p: of "no difference", Holm's over all kinds; None where there is none.
        verdict: ``worse`` or ``better`` (``different`` without a direction) where the adjusted p-value is at most the
            level, else ``inconclusive``.
        flips: share of pairs whose scores lie on two sides of the threshold, in [0, 1]; None without pairs.
        broken: share of pairs that were good at the source and are not at the variant; None without pairs.
        source: mean of the sources of these pairs; None without any.
        variant: mean of the variants.
        pairs: how many pairs have both scores.
        groups: independent units among them.
        missing: pairs without a score on one side or both.
        method: names estimator and interval.
        reason: why something is undefined, or what has to be known beside the numbers.
    """

    kind: str
    drop: float | None
    low: float | None
    high: float | None
    adjusted_p: float | None
    verdict: Verdict
    flips: float | None
    broken: float | None
    source: float | None
    variant: float | None
    pairs: int
    groups: int
    missing: int
    method: str
    reason: str = ""


def robustness(
    cases: Sequence[Case],
    scores: Mapping[str, float | None],
    scale: Scale,
    *,
    threshold: float | None = None,
    level: float = 0.05,
    seed: int = 0,
) -> list[KindEffect]:
    """Compare variants with their sources, by kind; the one that costs most comes first.

    Each pair is a variant and its source; pairs are clustered by the source's group, or else the case where it all
    began, as gates do, and weighted by the source's weight (:func:`evalsvc.stats.compare_paired`). p-values are Holm's
    over the kinds.

    Args:
        cases: sources and variants; a source may have several variants, and one that has none is not looked at.
        scores: of each case by its digest, the mean over repeats where there were several; None or absent where there
            is none.
        scale: of the metric.
        threshold: from where a score is good (a value at it is): of binary scales 0.5, else nothing flips unless given.
        level: the chance of a wrong claim about any kind, in (0, 1).
        seed: of the random signings of the test.

    Raises:
        InputError: there is no variant, a variant's source is not among the cases, or a score is off the scale.
    """
    from evalsvc.stats.multiplicity import adjust_p_values
    from evalsvc.stats.paired import compare_paired

    by_kind = _pairs(cases)
    digests = [case.digest for case in cases]
    clusters = dict(zip(digests, clusters_of(cases, digests), strict=True))
    limit = 0.5 if threshold is None and scale.binary else threshold
    compared: dict[str, tuple[Comparison, float | None, float | None]] = {}
    for kind, pairs in by_kind.items():
        old, new = ([scores.get(pair[side].digest) for pair in pairs] for side in (0, 1))
        weights = [source.weight for source, _ in pairs]
        comparison = compare_paired(
            [float("nan") if value is None else value for value in old],
            [float("nan") if value is None else value for value in new],
            scale,
            clusters=[clusters[source.digest] for source, _ in pairs],
            weights=None if len(set(weights)) == 1 else weights,
            question=Question(level=level),
            averaged=True,
            seed=seed,
        )
        both = [(a, b) for a, b in zip(old, new, strict=True) if a is not None and b is not None]
        compared[kind] = (comparison, *_flips(both, limit, scale))
    found = adjust_p_values({kind: c.p_value for kind, (c, _, _) in compared.items()}, procedure="holm", level=level)
    adjusted = dict(zip(compared, found.adjusted, strict=True))
    effects = [_effect(kind, *compared[kind], adjusted[kind], scale, level) for kind in compared]
    return sorted(effects, key=lambda effect: (effect.drop is None, -(effect.drop or 0.0), effect.kind))


def _pairs(cases: Sequence[Case]) -> dict[str, list[tuple[Case, Case]]]:
    sources = {case.digest: case for case in cases}
    by_kind: dict[str, list[tuple[Case, Case]]] = {}
    for case in cases:
        if case.variant_of:
            source = sources.get(case.variant_of)
            if source is None:
                raise InputError(
                    f"Expected the source of variant {case.case_id!r} among the cases, but it is not there; "
                    "keep sources and variants in one file, as `evalsvc cases vary` writes them"
                )
            by_kind.setdefault(case.variant, []).append((source, case))
    if not by_kind:
        raise InputError("Expected cases with `variant_of`, but none has it; `evalsvc cases vary` makes some")
    return by_kind


def _flips(both: Sequence[tuple[float, float]], limit: float | None, scale: Scale) -> tuple[float | None, float | None]:
    """Return the shares of pairs that change sides, and of those that were good and are not."""
    if not both or limit is None:
        return None, None
    lower = scale.better == "lower"
    sides = [(a <= limit if lower else a >= limit, b <= limit if lower else b >= limit) for a, b in both]
    return sum(a != b for a, b in sides) / len(sides), sum(a and not b for a, b in sides) / len(sides)


def _effect(
    kind: str,
    comparison: Comparison,
    flips: float | None,
    broken: float | None,
    adjusted: float | None,
    scale: Scale,
    level: float,
) -> KindEffect:
    # A drop is the difference turned so that more is worse.
    turned = scale.better == "lower"
    ends = (comparison.low, comparison.high) if turned else (_negated(comparison.high), _negated(comparison.low))
    drop = comparison.difference if turned else _negated(comparison.difference)
    verdict: Verdict = "inconclusive"
    if adjusted is not None and adjusted <= level and drop:
        verdict = "different" if scale.better == "neither" else "worse" if drop > 0 else "better"
    return KindEffect(
        kind=kind,
        drop=drop,
        low=ends[0],
        high=ends[1],
        adjusted_p=adjusted,
        verdict=verdict,
        flips=flips,
        broken=broken,
        source=comparison.baseline,
        variant=comparison.candidate,
        pairs=comparison.n,
        groups=comparison.n_clusters,
        missing=comparison.n_discarded,
        method=comparison.method,
        reason=comparison.reason,
    )


def _negated(number: float | None) -> float | None:
    return None if number is None else 0.0 - number

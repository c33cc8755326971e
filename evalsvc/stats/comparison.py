"""What a comparison of two versions asks and what it answers: the same question and result for every method.

A difference is always *candidate - baseline* on the metric's own unit. Questions and verdicts are about the
*improvement*, which is the difference turned so that more is better (``Scale.better``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.types import Scale

Asked = Literal["superiority", "non-inferiority", "equivalence"]
Verdict = Literal["better", "worse", "not_worse", "equivalent", "different", "inconclusive"]


class Question(NamedTuple):
    """The hypothesis to be shown, its margin and its error rate.

    ``asked``:

    * ``superiority``: there is a difference (two-sided test at ``level``; the verdict names the side);
    * ``non-inferiority``: improvement > -margin (one-sided test at ``level``); with a negative margin, superiority by
      that much;
    * ``equivalence``: |improvement| < margin (two one-sided tests at ``level``, Schuirmann 1987).

    ``margin`` is in the metric's unit, >= 0 but for non-inferiority; ``level`` in (0, 1) is the chance of a wrong
    claim.
    """

    asked: Asked = "superiority"
    margin: float = 0.0
    level: float = 0.05

    @property
    def confidence(self) -> float:
        """Confidence of the two-sided interval that agrees with the test: 1 - level, or 1 - 2·level if one-sided."""
        return 1.0 - (self.level if self.asked == "superiority" else 2.0 * self.level)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The difference of two versions with its interval and the verdict on what was asked.

    Attributes:
        difference: candidate - baseline, in the metric's unit; None where ``reason`` says why, as for every None.
        low: lower end of the two-sided interval of the difference at ``confidence``; None is no limit.
        high: its upper end.
        p_value: of ``test``, in [0, 1]; small speaks for the claim asked about.
        test: name of the test behind ``p_value``.
        p_opposite: of the opposite of a one-sided claim, in [0, 1]: small speaks for a candidate that is worse by more
            than the margin (equivalence: that differs by more than it, either way). None for superiority.
        verdict: ``better``, ``worse`` (superiority: there is a difference; otherwise: beyond 0, or beyond the
            margin, by the whole interval), ``not_worse``, ``equivalent``, ``different`` (on scales where
            neither direction is better) or ``inconclusive``.
        asked: the question.
        margin: in the metric's unit.
        level: the chance of a wrong claim.
        confidence: of the interval: 1 - level for superiority, 1 - 2·level for the one-sided questions.
        method: names the estimator and the interval.
        baseline: mean of the baseline over the same cases (or its window); None without any.
        candidate: mean of the candidate.
        n: cases compared (paired), or scored events of both windows together.
        n_clusters: independent units among them.
        n_effective: Kish's effective number of cases.
        n_discarded: cases left out for want of a score on one or both sides; for windows, events without a score.
        missing_share: their share of all cases (weighted by 1/π for windows), in [0, 1].
        standard_error: of the difference, >= 0; None where the method has none.
        degrees: Satterthwaite's degrees of freedom of its square; None where the method has none.
        discordant: share of cases whose two scores differ, in [0, 1]; None for windows.
        plain_shares: whether every case has one yes or no under each version and stands for itself: the spread then
            depends on ``discordant`` alone.
        unmet: what rare changes that were not met are allowed to take off the claim, times the number of clusters, in
            the metric's unit, >= 0; 0 where none are allowed for.
        worst_low: ``low`` if every missing score made the difference as small as the scale lets it, and never above
            ``low``; None unless asked for. Missing are the cases scored on one side only; of windows, events without a
            score.
        worst_high: ``high`` if every such score made the difference as large as it can be, and never below ``high``.
        depends_on_missing: whether the verdict differs in either of these cases; None unless asked for.
        reason: why something is undefined, or what has to be known beside the numbers.
    """

    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    test: str
    verdict: Verdict
    asked: Asked
    margin: float
    level: float
    confidence: float
    method: str
    p_opposite: float | None = None
    baseline: float | None = None
    candidate: float | None = None
    n: int = 0
    n_clusters: int = 0
    n_effective: float = 0.0
    n_discarded: int = 0
    missing_share: float = 0.0
    standard_error: float | None = None
    degrees: float | None = None
    discordant: float | None = None
    plain_shares: bool = False
    unmet: float = 0.0
    worst_low: float | None = None
    worst_high: float | None = None
    depends_on_missing: bool | None = None
    reason: str = ""


def with_extremes(result: Comparison, least: Comparison, most: Comparison) -> Comparison:
    """Return a result with the limits that its missing scores could move it to, from the comparisons at both ends."""
    return msgspec.structs.replace(
        result,
        worst_low=_further(min, result.low, least.low),
        worst_high=_further(max, result.high, most.high),
        depends_on_missing=any(extreme.verdict != result.verdict for extreme in (least, most)),
    )


def without_extremes(result: Comparison) -> Comparison:
    """Return a result that says why missing scores have no bounds: the scale has no two ends."""
    note = "an open scale sets no bounds to missing scores"
    return msgspec.structs.replace(result, reason="; ".join(filter(None, [result.reason, note])))


def _further(of: Callable[[float, float], float], limit: float | None, extreme: float | None) -> float | None:
    # Further scores narrow an interval even where all of them went one way.
    return extreme if limit is None else limit if extreme is None else of(limit, extreme)


class Evidence(NamedTuple):
    """What a method knows: its limits at a confidence, and one-sided p-values of "the difference is above x".

    ``above(x)`` is P(data at least as high | difference = x), small when the difference is above x;
    ``below(x)`` likewise; ``two_sided`` is the p-value of "no difference" with a test of its own.
    """

    low: float | None
    high: float | None
    above: Callable[[float], float]
    below: Callable[[float], float]
    two_sided: Callable[[], float]
    test: str
    one_sided_test: str


class Answer(NamedTuple):
    """The p-value of the question, the test behind it, the verdict, and the p-value of the opposite claim."""

    p_value: float
    test: str
    verdict: Verdict
    p_opposite: float | None = None


def check_question(question: Question, scale: Scale) -> None:
    """Refuse a question that the scale cannot answer.

    Raises:
        InputError: on a level outside (0, 1), for the one-sided questions (0, 0.5), a margin that is not finite or
            wider than the scale, or negative but for non-inferiority, equivalence without a margin, and
            non-inferiority on a scale where neither direction is better.
    """
    if question.asked not in ("superiority", "non-inferiority", "equivalence"):
        raise InputError(
            f"Expected `asked` to be 'superiority', 'non-inferiority' or 'equivalence', but got {question.asked!r}"
        )
    most = 1.0 if question.asked == "superiority" else 0.5
    if not 0.0 < question.level < most:
        raise InputError(f"Expected `level` between 0 and {most:g}, such as 0.05, but got {question.level!r}")
    least = -math.inf if question.asked == "non-inferiority" else 0.0
    if not (math.isfinite(question.margin) and question.margin >= least):
        raise InputError(f"Expected `margin` to be finite and not negative, but got {question.margin!r}")
    if question.asked == "equivalence" and question.margin == 0.0:
        raise InputError("Expected `margin` above 0 for equivalence: no sample shows that two versions are the same")
    if question.asked == "superiority" and question.margin != 0.0:
        raise InputError(
            "Expected no `margin` for superiority, which is about any difference; "
            "ask for 'non-inferiority' or 'equivalence' with a margin"
        )
    if question.asked == "non-inferiority" and scale.better == "neither":
        raise InputError("Expected a scale with a better direction for non-inferiority; ask for 'equivalence'")
    if scale.low is not None and scale.high is not None and abs(question.margin) >= scale.high - scale.low:
        raise InputError(
            f"Expected `margin` below the width of the scale, {scale.high - scale.low:g}, but got {question.margin!r}"
        )


def decide(question: Question, scale: Scale, difference: float, evidence: Evidence) -> Answer:
    """Return p-value and verdict. A claim is made when its p-value is at most the level."""
    if question.asked == "superiority":
        p = evidence.two_sided()
        claim = p <= question.level and difference != 0.0
        return Answer(p, evidence.test, _side(scale, difference) if claim else "inconclusive")
    margin = question.margin
    up = scale.better != "lower"
    not_worse = evidence.above(-margin) if up else evidence.below(margin)
    beaten = evidence.below(-margin) if up else evidence.above(margin)
    if question.asked == "non-inferiority":
        ahead = evidence.above(0.0) if up else evidence.below(0.0)
        verdict: Verdict = "inconclusive"
        if not_worse <= question.level:
            # Non-inferiority comes first: superiority after it needs no correction (closed testing).
            verdict = "better" if ahead <= question.level else "not_worse"
        elif beaten <= question.level:
            verdict = "worse"
        return Answer(not_worse, evidence.one_sided_test, verdict, beaten)
    not_better = evidence.below(margin) if up else evidence.above(-margin)
    p, test = max(not_worse, not_better), f"two one-sided tests: {evidence.one_sided_test}"
    surpassed = evidence.above(margin) if up else evidence.below(-margin)
    opposite = min(1.0, 2.0 * min(beaten, surpassed))
    if p <= question.level:
        return Answer(p, test, "equivalent", opposite)
    beyond = min(beaten, surpassed) <= question.level
    return Answer(p, test, _side(scale, difference) if beyond else "inconclusive", opposite)


def _side(scale: Scale, difference: float) -> Verdict:
    if scale.better == "neither":
        return "different"
    return "better" if (difference > 0.0) == (scale.better == "higher") else "worse"


def undefined(question: Question, reason: str, **known: object) -> Comparison:
    """Return a comparison without limits: the verdict is ``inconclusive``, and ``reason`` says why."""
    empty = Comparison(
        difference=None,
        low=None,
        high=None,
        p_value=None,
        test="",
        verdict="inconclusive",
        asked=question.asked,
        margin=question.margin,
        level=question.level,
        confidence=question.confidence,
        method="",
        reason=reason,
    )
    return msgspec.structs.replace(empty, **known)

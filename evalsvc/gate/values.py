"""Gates as a suite defines them: what is asked about which metric, on which cases.

A gate asks one thing (:data:`Ask`) of one statistic of a metric, on all cases of ``where``, or on each segment of
``by``. Limits and margins are in the metric's own unit, or a share of the baseline's value where ``relative``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.types import Scale


class NotWorse(msgspec.Struct, frozen=True, tag="not_worse_by"):
    """The candidate is not worse than the baseline by ``margin`` or more (non-inferiority)."""

    margin: float
    relative: bool = False


class Better(msgspec.Struct, frozen=True, tag="better"):
    """The candidate is better than the baseline by more than ``margin`` >= 0 (superiority, one-sided)."""

    margin: float = 0.0


class Equivalent(msgspec.Struct, frozen=True, tag="within"):
    """Neither version is ahead by ``margin`` or more (two one-sided tests)."""

    margin: float


class AtLeast(msgspec.Struct, frozen=True, tag="at_least"):
    """The candidate's value is at least ``value``; no baseline is looked at."""

    value: float


class AtMost(msgspec.Struct, frozen=True, tag="at_most"):
    """The candidate's value is at most ``value``; no baseline is looked at."""

    value: float


class Critical(msgspec.Struct, frozen=True, tag="critical"):
    """Every repeat of every critical case reaches ``value`` on the metric's better side; no chance is allowed for."""

    value: float


class Robust(msgspec.Struct, frozen=True, tag="robust_within"):
    """No kind of variant is worse than the cases it was made of by ``margin`` or more; no baseline is looked at."""

    margin: float


class GapAtMost(msgspec.Struct, frozen=True, tag="gap"):
    """No two groups of ``field`` differ in the candidate's mean by more than ``value``."""

    field: str
    value: float


Ask = NotWorse | Better | Equivalent | AtLeast | AtMost | Critical | GapAtMost | Robust
COMPARED = (NotWorse, Better, Equivalent)
"""What needs a baseline."""

_STATISTIC = re.compile(r"mean|corpus|p(\d{1,2}(?:\.\d+)?)|pass(\^|@)([1-9]\d?)")
MAX_MISSING = 0.05


class Statistic(NamedTuple):
    """A parsed statistic: ``kind`` is mean, corpus, quantile, pass^ or pass@; ``quantile`` in (0, 1), ``k`` >= 1."""

    kind: str
    quantile: float = 0.0
    k: int = 0


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One question with its consequences.

    Attributes:
        metric: whose scores.
        ask: what has to be shown.
        statistic: ``mean``, ``corpus`` (of BLEU, chrF and ratios), ``p95`` and the like (with ``at_most`` or
            ``at_least``), ``pass^k`` (all of k repeats succeed) or ``pass@k`` (one of k does).
        by: the fields that split the cases; each segment is a finding of its own.
        where: fields (``segments.NAME``, ``tags``) and the values that a case must have one of.
        direction: which is better here, ``higher`` or ``lower``, of a metric whose scale says none; else "".
        success: from which value a score is a success, for ``pass^k`` and ``pass@k``; None: :func:`least_success`.
        max_missing: the largest share of cases without a score with which it may pass, in [0, 1).
        advisory: it is shown and decides nothing.
    """

    metric: str
    ask: Ask
    statistic: str = "mean"
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = {}
    direction: Literal["", "higher", "lower"] = ""
    success: float | None = None
    max_missing: float = MAX_MISSING
    advisory: bool = False

    @property
    def name(self) -> str:
        """What it asks, in words: unique within a suite, since two gates of one question are one.

        >>> Gate(metric="rouge_l", ask=NotWorse(0.02), by=("segments.plan",)).name
        'rouge_l not worse by 0.02, by segments.plan'
        """
        subject = self.metric if self.statistic == "mean" else f"{self.metric} {self.statistic}"
        subject += "" if self.success is None else f" (success: {self.success:.12g})"
        wished = f" ({self.direction} is better)" if self.direction else ""
        parts = [f"{subject} {asked(self.ask)}{wished}"]
        parts += [f"by {', '.join(self.by)}"] if self.by else []
        parts += [f"where {name}={'|'.join(values)}" for name, values in self.where.items()]
        return ", ".join(parts)


def asked(ask: Ask) -> str:
    """Return what is asked, in words.

    >>> asked(NotWorse(0.1, relative=True)), asked(AtMost(1500.0)), asked(GapAtMost("segments.plan", 0.1))
    ('not worse by 10%', 'at most 1500', 'gap between segments.plan at most 0.1')
    """
    match ask:
        case NotWorse(margin, relative):
            return f"not worse by {_amount(margin, relative)}"
        case Equivalent(margin):
            return f"within {margin:.12g}"
        case Better(margin):
            return f"better by {margin:.12g}" if margin else "better"
        case AtLeast(value):
            return f"at least {value:.12g}"
        case AtMost(value):
            return f"at most {value:.12g}"
        case Critical(value):
            return f"reaches {value:.12g} on every critical case"
        case GapAtMost(field, value):
            return f"gap between {field} at most {value:.12g}"
        case Robust(margin):
            return f"variants not worse than their cases by {margin:.12g}"


def refuted(ask: Ask) -> str:
    """Return the opposite of what is asked, in words.

    >>> refuted(NotWorse(0.02)), refuted(AtMost(1500.0))
    ('worse by more than 0.02', 'above 1500')
    """
    match ask:
        case NotWorse(margin, relative):
            return f"worse by more than {_amount(margin, relative)}"
        case Equivalent(margin):
            return f"a difference of more than {margin:.12g}"
        case Better(margin):
            return f"not better by {margin:.12g}" if margin else "worse than the baseline"
        case AtLeast(value):
            return f"below {value:.12g}"
        case AtMost(value):
            return f"above {value:.12g}"
        case Critical(value):
            return f"a critical case short of {value:.12g}"
        case GapAtMost(field, value):
            return f"a gap between {field} of more than {value:.12g}"
        case Robust(margin):
            return f"variants worse than their cases by more than {margin:.12g}"


def _amount(margin: float, relative: bool) -> str:
    return f"{100.0 * margin:.12g}%" if relative else f"{margin:.12g}"


def scale_for(gate: Gate, scale: Scale) -> Scale:
    """Return a metric's scale with the direction that the gate says is better, where it says so."""
    return msgspec.structs.replace(scale, better=gate.direction) if gate.direction else scale


def least_success(better: str) -> float:
    """Return from which value a score of yes or no is a success: 1, or 0 where lower is better."""
    return 0.0 if better == "lower" else 1.0


def parse_statistic(text: str) -> Statistic:
    """Return a statistic's parts.

    >>> parse_statistic("p95"), parse_statistic("pass^3")
    (Statistic(kind='quantile', quantile=0.95, k=0), Statistic(kind='pass^', quantile=0.0, k=3))

    Raises:
        InputError: on a text that names none.
    """
    found = _STATISTIC.fullmatch(text)
    if not found or (found[1] and not float(found[1])):
        raise InputError(f"Expected a statistic: mean, corpus, p95, pass^3 or pass@3 (any number), but got {text!r}")
    if found[1]:
        return Statistic("quantile", quantile=float(found[1]) / 100.0)
    if found[2]:
        return Statistic(f"pass{found[2]}", k=int(found[3]))
    return Statistic(text)

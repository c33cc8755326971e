"""Does a gate's question fit its metric, its statistic and the keys beside it? What would be ignored is a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from evalsvc._yaml import Section
from evalsvc.gate.values import COMPARED, Ask, AtLeast, AtMost, Critical, Equivalent, GapAtMost, Robust, Statistic
from evalsvc.types import Scale, ScorerSpec


class Asked(NamedTuple):
    """What is asked about which statistic of what; ``spec`` has the direction that the gate says."""

    ask: Ask
    statistic: Statistic
    spec: ScorerSpec


def check_fits(section: Section, asked: Asked, *, baseline: bool) -> None:
    """Report what does not fit, at its place; ``baseline`` is whether the suite names one."""
    _Fitting(section, asked).check(baseline)


def check_used(section: Section, ask: Ask, statistic: Statistic, by: Sequence[str]) -> None:
    """Report, at their places, the keys that would be read and then have no effect."""
    unused: list[tuple[str, str, str]] = []
    if isinstance(ask, Robust):
        unused.append(("by", "each kind of variant is decided by itself", "leave it out, or narrow by `where`"))
        if statistic.kind != "mean":
            unused.append(("statistic", "variants are held against their cases by their means", "leave it out"))
    if isinstance(ask, Critical):
        unused.append(("by", "every critical case has to reach it, wherever it is", "leave it out"))
        unused.append(("max_missing", "no critical case may be without a score", "leave it out"))
    if isinstance(ask, GapAtMost) and ask.field in by:
        unused.append(("by", f"the gap is between values of `{ask.field}`", "leave that out of `by`"))
    if not statistic.k:
        unused.append(("success", "only pass^k and pass@k count successes", "add `statistic: pass^3`"))
    for key, message, hint in unused:
        if key in section:
            section.key_problem(key, message, hint)


class _Fitting:
    """One gate that is checked."""

    def __init__(self, section: Section, asked: Asked) -> None:
        self.section, self.item = section, section.value
        self.ask, self.statistic, self.spec = asked

    def check(self, baseline: bool) -> None:
        if isinstance(self.ask, COMPARED):
            self._compared(baseline)
        elif isinstance(self.ask, AtLeast | AtMost):
            self._held_against_a_number(self.ask)
        else:
            self._of_single_scores(self.ask)
        if self.statistic.k:
            self._successes()

    def _compared(self, baseline: bool) -> None:
        if not baseline:
            self.item.problem("this gate compares, but the suite names no `baseline`", "as in `baseline: main`")
        if self.statistic.kind == "quantile":
            self.item.problem(
                "a quantile is held against a number", "ask `at_most`, or compare the mean: `not_worse_by: 10%`"
            )
        undirected = self.spec.scale.better == "neither" and not self.statistic.k
        if undirected and not isinstance(self.ask, Equivalent):
            self.item.problem(
                f"neither direction of `{self.spec.metric}` is better",
                "say which is, as in `direction: lower`, or ask `within`",
            )
        if not getattr(self.ask, "relative", False):
            self._narrower(getattr(self.ask, "margin", 0.0), _scale(self.statistic, self.spec))
        elif self.statistic.kind == "corpus":
            self.item.problem("a margin of a corpus score is in its own unit", "as in `not_worse_by: 1`")

    def _of_single_scores(self, ask: Ask) -> None:
        if self.statistic.kind != "mean" and not isinstance(ask, Robust):
            kind = "critical" if isinstance(ask, Critical) else "gap"
            self.item.problem(f"a {kind} gate looks at single scores or means", "leave `statistic` out")
        if isinstance(ask, Critical):
            self._on_scale(ask.value)
            self._some_fall_short(ask.value)
        if isinstance(ask, GapAtMost | Robust):
            self._narrower(ask.value if isinstance(ask, GapAtMost) else ask.margin, self.spec)
        if isinstance(ask, Robust) and self.spec.scale.better == "neither":
            said = f"neither direction of `{self.spec.metric}` is better"
            self.item.problem(said, "say which is: `direction: lower`")

    def _held_against_a_number(self, ask: AtLeast | AtMost) -> None:
        if self.statistic.kind == "corpus":
            self.item.problem("a corpus score is compared with a baseline's", "ask `not_worse_by`")
        direction = self.section.get("direction")
        key, other = ("at_least", "at_most") if isinstance(ask, AtLeast) else ("at_most", "at_least")
        wished = "higher" if key == "at_least" else "lower"
        if direction and not self.statistic.k and self.spec.scale.better not in ("neither", wished):
            hint = f"write `{other}`, or leave `direction` out"
            self.section.key_problem(key, f"`{key}` where {self.spec.scale.better} is better", hint)
        self._reachable(ask)

    def _successes(self) -> None:
        success = self.section.get("success")
        if success:
            value = success.number(1.0)
            self._on_scale(value)
            self._some_fall_short(value)

    def _some_fall_short(self, value: float) -> None:
        """Report what every score reaches."""
        scale = self.spec.scale
        end = {"higher": scale.low, "lower": scale.high}.get(scale.better)
        if end is not None and value == end:
            self.item.problem(f"every score reaches {end:g}, which is the end of the scale", "it would always pass")

    def _narrower(self, margin: float, spec: ScorerSpec) -> None:
        width = (spec.scale.high or 0.0) - (spec.scale.low or 0.0) if spec.scale.bounded else None
        if width is not None and margin >= width:
            self.item.problem(f"expected a number below the width of the scale, {width:g}, but got {margin:g}")

    def _on_scale(self, value: float, spec: ScorerSpec | None = None) -> None:
        scale = (spec or self.spec).scale
        if (scale.low is not None and value < scale.low) or (scale.high is not None and value > scale.high):
            self.item.problem(f"expected a number on the scale of `{self.spec.metric}`, but got {value:g}")

    def _reachable(self, ask: AtLeast | AtMost) -> None:
        spec = _scale(self.statistic, self.spec)
        ends = (spec.scale.low, spec.scale.high)
        worst, best = ends if isinstance(ask, AtLeast) else ends[::-1]
        if worst is not None and ask.value == worst:
            self.item.problem(f"every score is so, since {worst:g} is the end of the scale", "it would always pass")
        elif best is not None and ask.value == best and self.statistic.kind != "quantile":
            self.item.problem(
                f"no number of cases shows a mean of {best:g}, which is the end of the scale",
                "ask for less, or mark the cases that must never fail and ask `critical: true`",
            )
        else:
            self._on_scale(ask.value, spec)


def _scale(statistic: Statistic, spec: ScorerSpec) -> ScorerSpec:
    """Return a metric's spec with the scale of a statistic of it: rates of success are shares."""
    return replace(spec, scale=Scale(0.0, 1.0, "higher")) if statistic.k else spec

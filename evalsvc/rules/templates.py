"""Texts of alerts with ``{{ name }}`` in them: a closed list of names, no logic, so that a typo is found at once.

What an alert is about (``{{ labels.language }}``) is a label; what moved is a number, formatted once and for all here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from evalsvc._hints import did_you_mean, nearest
from evalsvc.rules.machine import Transition
from evalsvc.rules.values import Change, Rule, label_of, limit_of
from evalsvc.types import Estimate

_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)

NAMES: Mapping[str, str] = {
    "value": "the estimate of the window",
    "interval": "its interval, at the confidence of the rule's budget",
    "baseline": "what it is held against: the limit, or the estimate of the time before or of the stable version",
    "baseline_interval": "the interval of that estimate, empty for a limit",
    "n": "scored events in the window",
    "effective_n": "Kish's effective n",
    "missing": "share of the sampled events without a score",
    "since": "when it began, as far as is known",
    "window": "how long the window is: one of more than 2h begins on the hour before",
    "confidence": "of the interval",
    "reason": "what was noted beside the estimate",
}


def unknown_names(text: str, labels: frozenset[str]) -> list[str]:
    """Return the names in a text that will have no value: neither one of :data:`NAMES` nor a known label.

    >>> unknown_names("{{ value }} in {{ labels.langauge }}", frozenset({"language"}))
    ['labels.langauge']
    """
    known = NAMES.keys() | {f"labels.{label}" for label in labels}
    return [name for name in _PLACE.findall(text) if name not in known]


def hint_for(name: str, labels: Collection[str]) -> str:
    """Return what may have been meant by a name without a value, where an alert has these labels.

    >>> hint_for("labels.segments.language", {"language"}), hint_for("language", {"language"})
    ('write `{{ labels.language }}`', 'write `{{ labels.language }}`')
    >>> hint_for("labels.langauge", {"language", "consumer"}), hint_for("labels.value", {"consumer"})
    ('did you mean `labels.language`?', 'write `{{ value }}`')
    >>> hint_for("labels.plan", {"language", "consumer"})
    "the rule's alerts have the labels consumer, language: what it splits `by` becomes one"
    """
    of_label = name.startswith("labels.")
    label = label_of(name.removeprefix("labels."))
    if label in labels:
        return f"write `{{{{ labels.{label} }}}}`"
    if not of_label:
        return did_you_mean(name, [*NAMES, *(f"labels.{each}" for each in labels)])
    if label in NAMES:
        return f"write `{{{{ {label} }}}}`"
    near = nearest(label, labels).replace("`", "`labels.", 1)
    return near or f"the rule's alerts have the labels {', '.join(sorted(labels))}: what it splits `by` becomes one"


def render(text: str, values: Mapping[str, str]) -> str:
    """Return the text with its names replaced; an unknown one stays as it is written.

    >>> render("{{value}} of {{ labels.language }}", {"value": "12%", "labels.language": "de"})
    '12% of de'
    """
    return _PLACE.sub(lambda found: values.get(found[1], found[0]), text)


def values_of(rule: Rule, told: Transition) -> dict[str, str]:
    """Return what the names stand for in a transition's texts; what is not known is ``unknown``."""
    seen = told.observation
    estimate = seen.estimate if seen else None
    baseline = seen.baseline if seen else None
    condition = rule.condition
    limit = number(limit_of(condition))
    since = (seen.since if seen and isinstance(condition, Change) else None) or told.episode
    return {
        "value": number(estimate.value) if estimate else "unknown",
        "interval": interval(estimate) if estimate else "unknown",
        "baseline": number(baseline.value) if baseline else limit,
        "baseline_interval": interval(baseline) if baseline else "",
        "n": f"{estimate.n:,}" if estimate else "0",
        "effective_n": f"{estimate.n_effective:,.0f}" if estimate else "0",
        "missing": f"{estimate.missing_share:.1%}" if estimate else "unknown",
        "since": since.strftime("%Y-%m-%d %H:%M UTC"),
        "window": duration(seen.window.seconds if seen else rule.window_seconds),
        "confidence": f"{estimate.confidence:.6g}" if estimate else "unknown",
        "reason": told.reason,
        **{f"labels.{name}": value for name, value in told.labels.items()},
    }


def number(value: float | None) -> str:
    """Return a number for a message: four significant digits, thousands apart.

    >>> number(0.123456), number(12345.6), number(None)
    ('0.1235', '12,350', 'unknown')
    """
    if value is None:
        return "unknown"
    rounded = float(f"{value:.4g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:.4g}"


def interval(estimate: Estimate) -> str:
    """Return an estimate's interval for a message; one that is open on a side has an end on the other."""
    low, high = estimate.low, estimate.high
    if low is None and high is None:
        return "unknown"
    if low is None or high is None:
        return f"at most {number(high)}" if low is None else f"at least {number(low)}"
    return f"{number(low)} … {number(high)}"


def duration(seconds: float) -> str:
    """Return a duration as it is written in a rule.

    >>> duration(600), duration(5400), duration(86400)
    ('10m', '1h30m', '1d')
    """
    left, parts = int(seconds), []
    for name, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        parts += [f"{count}{name}"] if count else []
    return "".join(parts) or "0s"

"""Whether any rule's alerts can come to a route: by the labels that the rules give them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalsvc._hints import did_you_mean
from evalsvc._yaml import Section, Value
from evalsvc.notify.routing import matches
from evalsvc.rules.history import Matcher
from evalsvc.rules.reading import HEALTH_ALERT
from evalsvc.rules.values import Rule, RuleGroup, label_of

Labels = Mapping[str, frozenset[str] | None]
"""The labels of one rule's alerts, and the values of each; None where the data tell them."""

_MISSING = frozenset({""})


def labels_of_rules(groups: Sequence[RuleGroup]) -> tuple[Labels, ...]:
    """Return what the alerts of each rule are labelled with, and those of the alert about rules that fail.

    A severity counts as unknown, as a route may be there before the rule that is to use it.
    """
    rules = [rule for group in groups for rule in group.rules]
    failing: Labels = {
        "alertname": frozenset({HEALTH_ALERT}),
        "severity": None,
        "metric": frozenset({"evalsvc"}),
        "rule": frozenset(rule.alert for rule in rules),
        "consumer": _MISSING,
    }
    return (*map(_labels, rules), failing)


def _labels(rule: Rule) -> Labels:
    own = {"alertname": rule.alert, "metric": rule.metric, "owner": rule.owner, **rule.labels}
    split = {label_of(name): _narrowed(rule, name) for name in ("consumer", *rule.by)}
    return {"severity": None, **{name: frozenset({value}) for name, value in own.items() if value}, **split}


def _narrowed(rule: Rule, field: str) -> frozenset[str] | None:
    return frozenset(rule.where[field]) if field in rule.where else None


def report_unreached(match: Section, matchers: Sequence[Matcher], rules: Sequence[Labels]) -> None:
    """Report labels and values of a route that no rule's alerts have, and a route that none has all of."""
    known = {name for rule in rules for name in rule}
    right = True
    for matcher in matchers:
        nobody = [(item, text) for item, text, one in _options(match, matcher) if not _has(rules, one)]
        right = right and not nobody
        if nobody and matcher.label not in known:
            hint = did_you_mean(matcher.label, known)
            match.key_problem(matcher.label, f"no rule's alerts have the label `{matcher.label}`", hint)
            continue
        values = {value for rule in rules for value in rule.get(matcher.label) or ()} - _MISSING
        for item, text in nobody:
            item.problem(f"no rule's alerts have the {matcher.label} `{text}`", did_you_mean(text, values))
    if right and matchers and not any(all(_reaches(rule, matcher) for matcher in matchers) for rule in rules):
        hint = "each label is that of some rule, and no rule has them all"
        match.value.problem("no alert ever comes to this route", hint)


def _options(match: Section, matcher: Matcher) -> Iterator[tuple[Value, str, Matcher]]:
    """Yield what a matcher takes, one value of a list at a time: its place, how it is written, and what matches it."""
    value = match.get(matcher.label)
    if value is not None and value.is_list:
        yield from ((item, text, Matcher(matcher.label, text)) for item in value.items() if (text := item.text()))
    elif value is not None:
        yield value, value.text(), matcher


def _has(rules: Sequence[Labels], matcher: Matcher) -> bool:
    return any(_reaches(rule, matcher) for rule in rules)


def _reaches(rule: Labels, matcher: Matcher) -> bool:
    """Whether a rule's alerts may have a label like that; one that they lack counts as empty."""
    values = rule.get(matcher.label, _MISSING)
    return values is None or any(matches({matcher.label: value}, [matcher]) for value in values)

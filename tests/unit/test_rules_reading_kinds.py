"""The further kinds of conditions, as a right file says them; the wrong ones are in the corpus of bad files."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

import pytest

from evalsvc import scorers
from evalsvc._yaml import Document
from evalsvc.drift import MINIMA
from evalsvc.project import check
from evalsvc.ruler.kinds import WATCHES
from evalsvc.rules import Absence, BurnRate, Cost, Drift, FairnessGap, Rule, Versions
from evalsvc.rules.reading import read_rules
from evalsvc.rules.reading_kinds import DETECTORS
from evalsvc.rules.reading_values import Measured
from evalsvc.types import Scale

DAY = 86_400.0
FILE = "groups: [{{name: a, rules: [{{alert: A, {rule}}}]}}]\n"


def read(folder: Path, rule: str) -> Rule:
    path = folder / "a.rules.yaml"
    path.write_text(FILE.format(rule=rule), encoding="utf-8")
    found = check([path])
    assert [str(problem) for problem in found.problems] == []
    return found.rules[0].rules[0]


@pytest.mark.parametrize(
    ("rule", "condition"),
    [
        (
            "metric: relevance, window: 1h, burn_rate: {objective: 0.95, factor: 6, short: 5m}",
            BurnRate(0.95, 6.0, 300.0, "higher"),
        ),
        # A twelfth of the window, in whole minutes.
        ("metric: refusal, burn_rate: {objective: 0.9, factor: 2, better: lower}", BurnRate(0.9, 2.0, 60.0, "lower")),
        (
            "metric: relevance, window: 100m, burn_rate: {objective: 0.9, factor: 2}",
            BurnRate(0.9, 2.0, 540.0, "higher"),
        ),
        ("absence: {of: events}, where: {consumer: q}", Absence("events", 0.0, 7 * DAY)),
        ("metric: refusal, absence: {of: scores, look_back: 1d}", Absence("scores", 0.0, DAY)),
        ("metric: refusal, window: 5d, absence: {of: scores}", Absence("scores", 0.0, 10 * DAY)),
        ("metric: refusal, absence: {of: failures, beyond: 0.2}", Absence("failures", 0.2, 7 * DAY)),
        (
            "metric: refusal, versions: {canary: {model: [b, c]}, stable: {model: a}, direction: rose}",
            Versions({"model": ("b", "c")}, {"model": ("a",)}, "rose", 0.0),
        ),
        (
            "metric: latency_ms, versions: {canary: {segments.arm: b}, stable: {segments.arm: a, model: m}, "
            "direction: either, by: 100}",
            Versions({"segments.arm": ("b",)}, {"segments.arm": ("a",), "model": ("m",)}, "either", 100.0),
        ),
        (
            "metric: refusal, where: {segments.a: [x, y]}, by: [model], fairness_gap: {between: segments.a, beyond: 0}",
            FairnessGap("segments.a", 0.0),
        ),
        ("metric: cost_usd, window: 1h, cost: {above: 20}", Cost("metric", 20.0)),
        ("metric: judge, window: 1d, cost: {of: judge, above: 0.5}", Cost("judge", 0.5)),
        ("metric: relevance, window: 1d, drift: {}", Drift(7 * DAY)),
        (
            "metric: relevance, window: 6h, drift: {baseline: 1d, matters: {wasserstein: 0.3}}",
            Drift(DAY, {"wasserstein": 0.3}),
        ),
    ],
)
def test_a_right_rule_says_what_is_in_it(tmp_path, monkeypatch, rule, condition) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(tmp_path, rule).condition == condition


def test_amounts_are_from_0_on() -> None:
    document = Document("a.rules.yaml", FILE.format(rule="metric: margin, cost: {above: 1}").encode())
    read_rules(document, "a.rules.yaml", Measured(["margin"], lambda _: Scale(None, None, "higher", "USD")))
    assert [problem.message for problem in document.finish()] == [
        "expected a metric of amounts from 0 on, but this one can be negative"
    ]


def test_the_detectors_that_decide_are_detectors() -> None:
    assert set(DETECTORS) <= set(MINIMA)


def test_the_examples_of_the_reference_are_right() -> None:
    """Each as a file of its own; a judge's metric is named by its options."""
    text = (Path(__file__).parents[2] / "docs" / "reference" / "alert-rules.md").read_text(encoding="utf-8")
    examples = [found for found in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if found.startswith("- alert")]
    kinds = set()
    for example in examples:
        document = Document("docs.yaml", f"groups:\n- name: a\n  rules:\n{indent(example, '  ')}".encode())
        groups = read_rules(document, "docs.yaml", Measured(scorers.names(), lambda _: None))
        assert [str(problem) for problem in document.finish()] == []
        kinds |= {type(rule.condition) for rule in groups[0].rules}
    assert kinds == set(WATCHES)

"""The JSON Schemas of suites and rubrics and their readers: right files pass both, wrong shapes pass neither."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from evalsvc import scorers
from evalsvc._cli_schema import SCHEMAS
from evalsvc._yaml import Document
from evalsvc.gate.reading import read_suite
from evalsvc.governance.rubric import read_choice
from schemas_read import changed, held, of_other_shapes, parsed, paths

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SUITES, RUBRICS = HERE / "bad_suites", HERE / "bad_rubrics"
METRICS = sorted(scorers.KNOWN)
VALIDATORS = {kind: Draft202012Validator(SCHEMAS[kind](METRICS)) for kind in ("suite", "rubric")}

SUITE = """
suite: letters
cases: {path: cases.jsonl, fields: {question: prompt}}
model: {recorded: answers.jsonl, version: "7", name: ours}
baseline: main
repeats: 3
seed: 7
level: 0.025
looks: 4
spending: pocock
limits: {concurrency: 8, requests_per_minute: 300, deadline: 30m}
budget: {usd: 2.5, requests: 900}
scorers: [rouge_l, refusal, bleu, exact_match, latency_ms, {name: chrf, options: {word_order: 2}}]
gates:
  - {metric: rouge_l, not_worse_by: 0.02, by: [segments.language, group], max_missing: 10%}
  - {metric: latency_ms, not_worse_by: 10%, advisory: true, by: variant, max_missing: 0.02}
  - {metric: rouge_l, better: true, where: {tags: [hard, long], segments.plan: pro}}
  - {metric: rouge_l, better_by: 0.01}
  - {metric: refusal, within: 0.05}
  - {metric: refusal, direction: lower, not_worse_by: 0.01}
  - {metric: latency_ms, statistic: p99.9, at_most: 1500}
  - {metric: rouge_l, statistic: pass@2, success: 0.8, at_least: 0.5}
  - {metric: bleu, statistic: corpus, not_worse_by: 1}
  - {metric: exact_match, critical: true}
  - {metric: rouge_l, critical: true, at_least: 0.3}
  - {metric: rouge_l, gap: segments.plan, at_most: 0.1}
  - {metric: rouge_l, robust_within: 0.05}
"""
MODELS = [
    "{callable: 'model.py:ask', name: a, version: 1.5}",
    "{command: [cat, x], timeout: 5s, output: json, name: a, version: v}",
    "{endpoint: 'https://host/v1', model: m, served_model: s, api_key_env: KEY, system: s, template: 'a {prompt}', "
    "temperature: default, max_output_tokens: 9, token_field: max_tokens, seed: true, stream: false, stall: 5s, "
    "timeout: 9s, attempts: 3, give_up: 5m, tools: [{type: function}], extra: {top_k: 1}, "
    "prices: {input_usd_per_million: 1, output_usd_per_million: 2}}",
    "{transformers: a/b, revision: 0123456789abcdef0123456789abcdef01234567, device: 'cuda:1', dtype: float32, "
    "window: 99, system: s, template: '{prompt}', temperature: 0.5, max_output_tokens: 5}",
]
LEAST = "cases: cases.jsonl\nscorers: [rouge_l]\ngates: [{metric: rouge_l, at_least: 0.5}]\nmodel: "
RUBRIC = """
rubric: A model for letters
date: 2026-03-31
confidence: 0.9
weighting: criteria
categories:
  quality: {title: Quality, weight: 3, criteria: {accuracy: 1, tone: {weight: 2, title: Tone of voice}}}
  cost: {title: Money, weight: 1, criteria: [price, speed]}
measured:
  accuracy: {metric: exact, better: higher, lines: [[0.5, 1], [1.0, 5]]}
  price: {metric: cost_usd, better: lower, steps: [[1, 5], [2, 3]]}
pareto: {quality: exact, cost: cost_usd, latency: ms}
models:
  a:
    metrics:
      cost_usd: {value: 1.5, exact: true, source: contract}
      exact: {values: [1, 0, 1, 1], source: four cases}
      ms: {value: 5, low: 4, high: 6, n: 9, source: measured}
    scores:
      tone:
        - {by: Ada, at: 2026-03-01, score: 4, evidence: "https://example.com/1"}
        - {by: Ben, at: 2026-03-02, score: 3.5, evidence: read 20}
      speed: {by: Ada, at: 2026-03-01, score: 4, evidence: seen}
    for: [known]
    against: one sentence
  b: {}
decision: {chosen: a, by: Ada, at: 2026-04-01, because: it is there}
"""
WHOLE = [("suite", SUITE), *(("suite", LEAST + model) for model in MODELS), ("rubric", RUBRIC)]
USED = "rubric: a\ndate: 2026-03-31\nuse: playbook\nmodels: {a: {}, b: {}}\n"


def read(kind: str, text: str, folder: Path) -> list[str]:
    document = Document("a", text.encode())
    if kind == "rubric":
        return [str(problem) for problem in read_choice(document, folder)[1]]
    read_suite(document, folder / "a.suite.yaml")
    return [str(problem) for problem in document.finish()]


def refusals(kind: str, value: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[kind].iter_errors(value)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("suite")
    for name in ("cases.jsonl", "answers.jsonl", "model.py"):
        (made / name).write_text("")
    return made


@pytest.mark.parametrize(("kind", "text"), [*WHOLE, ("rubric", USED)])
def test_what_has_every_key_passes_both(kind: str, text: str, folder: Path) -> None:
    assert read(kind, text, folder) == []
    assert refusals(kind, parsed(text)) == []


def test_files_of_this_project_and_of_other_tests_pass() -> None:
    places = (ROOT / "suites", ROOT / "evalsvc" / "_scaffold")
    files = [path for place in places for kind in VALIDATORS for path in place.rglob(f"*.{kind}.yaml")]
    found = {path: path.read_text(encoding="utf-8") for path in files}
    for page in (ROOT / "docs").rglob("*.md"):
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        found.update({page / f"{place}.suite.yaml": text for place, text in enumerate(blocks) if "\ngates:" in text})
    for path in HERE.glob("test_*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        for place, text in enumerate(texts):
            document = Document("a", text.encode()) if re.search(r"(?m)^gates:\n", text) else None
            if document is not None and document.root is not None and "model" in document.root:
                read_suite(document, SUITES / "a.suite.yaml")
                if not document.finish():
                    found[path / f"{place}.suite.yaml"] = text
    assert len(found) >= 5
    wrong = {str(path): refusals(path.name.split(".")[-2], parsed(text)) for path, text in found.items()}
    assert {path: said for path, said in wrong.items() if said} == {}


@pytest.mark.parametrize("path", [*SUITES.glob("*.yaml"), *RUBRICS.glob("*.yaml")], ids=lambda path: path.name)
def test_wrong_files_are_refused(path: Path) -> None:
    """Each of these has a mistake of shape at least, whatever else is wrong in it."""
    text = re.sub(r"!!\S+ ", "", path.read_text())
    assert refusals("suite" if path.parent == SUITES else "rubric", parsed(text))


# What a reader knows of the rest of the file, of the project, and of metrics.
BEYOND_SHAPE = re.compile(
    "no scorer of this suite|unknown scorer|has no option|word_order|no file or folder|no file |no model has a value"
    "|is there twice|weights to add|the rubric has no criterion|no criterion and no axis|there is no model"
    "|cannot be read"
)


def parts() -> list[tuple[str, str, tuple[object, ...]]]:
    """Return right files, each with the place below which it is changed: a file is read hundreds of times."""
    head, gates = SUITE.split("gates:\n")
    least = re.sub(r"scorers: .*", "scorers: [{name: chrf, options: {word_order: 2}}]", head)
    return [
        ("suite", f"{least}gates: [{{metric: chrf_plus_plus, at_least: 5}}]\n", ()),
        *(("suite", LEAST + model, ("model",)) for model in MODELS),
        *(("suite", alone(line), ("gates",)) for line in gates.splitlines()),
        ("rubric", RUBRIC, ()),
    ]


def alone(gate: str) -> str:
    """Return a suite with one gate."""
    (metric,) = re.findall(r"metric: (\w+)", gate)
    given = "cases: cases.jsonl\nmodel: {recorded: answers.jsonl}\nbaseline: main\nrepeats: 2\n"
    return f"{given}scorers: [{metric}]\ngates:\n{gate}\n"


@pytest.mark.parametrize(("kind", "text", "below"), parts(), ids=lambda value: str(value)[-40:].strip())
def test_a_value_of_another_shape_is_right_or_wrong_to_both(
    kind: str, text: str, below: tuple[object, ...], folder: Path
) -> None:
    """Every value of a whole file in turn becomes a mapping, a list, nothing, a text, or has one key more."""
    whole, tried = parsed(text), 0
    assert read(kind, text, folder) == []
    for at in (at for at in paths(whole) if at[: len(below)] == below):
        for new in of_other_shapes(held(whole, at)):
            made = json.dumps(changed(whole, at, new))
            said, where = read(kind, made, folder), f"{'.'.join(map(str, at))} = {new}"
            if said and VALIDATORS[kind].is_valid(parsed(made)):
                assert all(BEYOND_SHAPE.search(one) for one in said), f"{where}: {said}"
            assert said or VALIDATORS[kind].is_valid(parsed(made)), f"{where}: {refusals(kind, parsed(made))}"
            tried += bool(said)
    assert tried >= 8


MISTAKES = [
    "{metric: rouge_l}",
    "{metric: rouge_l, at_least: 0.5, at_most: 0.6}",
    "{metric: rouge_l, at_least: 0.5, critical: true, at_most: 0.6}",
    "{metric: rouge_l, gap: segments.plan}",
    "{metric: rouge_l, gap: plan, at_most: 0.1}",
    "{metric: rouge_l, gap: segments.plan, at_most: 0.1, not_worse_by: 0.1}",
    "{metric: rouge_l, not_worse_by: 0}",
    "{metric: rouge_l, not_worse_by: 100%}",
    "{metric: rouge_l, not_worse_by: 0%}",
    "{metric: rouge_l, not_worse_by: 0.1, statistic: p95}",
    "{metric: rouge_l, better: false}",
    "{metric: rouge_l, at_least: 0.5, statistic: p0}",
    "{metric: rouge_l, at_least: 0.5, statistic: p0.0}",
    "{metric: rouge_l, at_least: 0.5, statistic: pass^0}",
    "{metric: rouge_l, at_least: 0.5, success: 0.8}",
    "{metric: rouge_l, at_least: 0.5, by: []}",
    "{metric: rouge_l, at_least: 0.5, by: [group, group]}",
    "{metric: rouge_l, at_least: 0.5, where: {}}",
    "{metric: rouge_l, at_least: 0.5, where: {tags: []}}",
    "{metric: rouge_l, at_least: 0.5, where: {plan: a}}",
    "{metric: rouge_l, at_least: 0.5, max_missing: 100%}",
    "{metric: rouge_l, at_least: 0.5, max_missing: 1}",
    "{metric: rouge_l, robust_within: 0.1, by: group}",
    "{metric: rouge_l, robust_within: 0.1, statistic: p95}",
    "{metric: exact_match, critical: true, by: group}",
    "{metric: exact_match, critical: true, max_missing: 0}",
]


@pytest.mark.parametrize("gate", MISTAKES)
def test_a_mistake_of_a_gate_is_one_to_both(gate: str, folder: Path) -> None:
    text = SUITE[: SUITE.index("gates:")] + f"gates:\n  - {gate}\n"
    assert read("suite", text, folder)
    assert refusals("suite", parsed(text))


@pytest.mark.parametrize("line", ["baseline: main\n", "looks: 4\n"])
def test_what_a_gate_or_spending_needs(line: str, folder: Path) -> None:
    text = SUITE.replace(line, "")
    assert read("suite", text, folder)
    assert refusals("suite", parsed(text))

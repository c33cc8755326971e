"""The published JSON Schemas and the readers: the same keys, right files pass both, wrong shapes pass neither.

After a change on purpose, ``python tests/unit/test_rules_schema.py`` writes the published copies anew.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from evalsvc import scorers
from evalsvc._cli_schema import SCHEMAS, written
from evalsvc._yaml import Document
from evalsvc.cli import main
from evalsvc.notify import read_routes
from evalsvc.rules import RuleGroup
from evalsvc.rules.reading import read_rules
from evalsvc.rules.reading_tests import read_tests, rules_named, what_is_tested
from evalsvc.rules.reading_values import Measured
from evalsvc.types import Scale
from schemas_read import changed, held, of_other_shapes, parsed, paths

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PUBLISHED = ROOT / "docs" / "reference"
METRICS = sorted(scorers.KNOWN)
SHARE = Scale(0.0, 1.0, "higher")
ALERTS = ("rules", "tests", "routes")
VALIDATORS = {name: Draft202012Validator(make(METRICS)) for name, make in SCHEMAS.items()}


def refusals(kind: str, value: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATORS[kind].iter_errors(value)]


def read(kind: str, text: str) -> Document:
    """Read a document with the reader of its kind; of tests' rules nothing is known, as if they were not there."""
    document = Document("a", text.encode())
    if kind == "rules":
        read_rules(document, "a", Measured(METRICS, lambda metric: SHARE))
    elif kind == "routes":
        read_routes(document)
    else:
        rules = rules_named(document)
        if rules:
            rules.text()
        read_tests(document, "a", what_is_tested(None, Measured(METRICS, lambda metric: None)))
    return document


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_is_one(kind: str) -> None:
    Draft202012Validator.check_schema(VALIDATORS[kind].schema)


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="the pages are the checkout's, and the installed wheel is under test"
)
def test_what_is_published_is_what_the_command_prints(kind, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["schema", kind]) == 0
    printed = json.loads(capsys.readouterr().out)
    published = json.loads((PUBLISHED / f"{kind}.schema.json").read_text(encoding="utf-8"))
    assert published == SCHEMAS[kind](METRICS)
    # Scorers of other packages that are installed here are completed as well.
    assert SCHEMAS[kind](scorers.names()) == printed


def test_a_project_adds_its_own_metrics(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    (tmp_path / "consumers").mkdir()
    consumer = "consumer: q\nsource: {files: [a.jsonl]}\nscorers: [{name: refusal, options: {}}]\n"
    (tmp_path / "consumers" / "q.yaml").write_text(consumer, encoding="utf-8")
    assert main(["schema", "rules"]) == 0
    made = json.loads(capsys.readouterr().out)
    offered = made["properties"]["groups"]["items"]["properties"]["rules"]["items"]["properties"]["metric"]["anyOf"][0]
    assert "refusal" in offered["enum"]


def samples(kind: str) -> dict[str, str]:
    """Return right files: those of alerts/, those in the pages, and those that other tests read."""
    found = {}
    pages = [*(ROOT / "docs" / "reference").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")]
    suffix, first = {
        "rules": (".rules.yaml", "groups:"),
        "tests": (".test.yaml", "tests:"),
        "routes": ("routes.yaml", "receivers:"),
    }[kind]
    for page in pages:
        blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL) if page.is_file() else []
        found.update({f"{page.name}:{n}": text for n, text in enumerate(blocks) if re.search(rf"(?m)^{first}", text)})
    for path in sorted((ROOT / "alerts").glob(f"*{suffix}")):
        found[path.name] = path.read_text(encoding="utf-8")
    for path in HERE.glob("test_*.py"):
        source = path.read_text(encoding="utf-8")
        nodes = ast.walk(ast.parse(source)) if re.search(rf"(?m)^{first}", source) else ()
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        for number, text in enumerate(texts):
            if re.search(rf"(?m)^{first}", text) and not read(kind, text).finish():
                found[f"{path.name}:{number}"] = text
    return found


@pytest.mark.parametrize("kind", ALERTS)
def test_right_files_pass(kind: str) -> None:
    found = samples(kind)
    assert len(found) >= 2
    wrong = {name: said for name, text in found.items() if (said := refusals(kind, parsed(text)))}
    assert wrong == {}


@pytest.mark.parametrize(
    "path",
    sorted(
        path for kind in ("bad_rules", "bad_ruletests", "bad_routes") for path in (HERE / kind).glob("*.bad.*.yaml")
    ),
    ids=lambda path: path.name,
)
def test_wrong_files_are_refused(path: Path) -> None:
    """Each of these has a mistake of shape at least, whatever else is wrong in it."""
    kind = {"rules": "rules", "test": "tests", "routes": "routes"}[path.name.split(".")[-2]]
    assert refusals(kind, parsed(path.read_text(encoding="utf-8")))


# Everything that may be written, once; where a key excludes another there are several rules.
RULE = """
alert: A
metric: refusal
where: {application: support, segments.language: [de, fr], model_version: 1.10}
by: [model, segments.plan]
window: 1h
for: 0
keep_firing_for: 1h 30m
false_alarms: 1.5 per 1w2d
min_effective_n: 20
severity: info
no_data: alert
error: keep
labels: {team: 7}
annotations: {summary: "{{ value }}"}
runbook: docs/a.md
owner: ml
"""
KINDS = [
    "above: 0.2\nrecovers_at: 0.1\nstatistic: p99.5",
    "below: 0.5\nrecovers_at: 0.6\nstatistic: mean",
    "change: {direction: fell, by: 0.1, baseline: 2d}",
    "burn_rate: {objective: 0.95, factor: 6, short: 5m, better: higher}",
    "absence: {of: failures, beyond: 0.2}",
    "absence: {of: scores, look_back: 7d}",
    "versions: {canary: {segments.try: [a, b]}, stable: {segments.try: c}, direction: either, by: 0.02}",
    "fairness_gap: {between: segments.language, beyond: 0.1}",
    "cost: {above: 50, of: judge}",
    "window: 1h\ndrift: {baseline: 7d, matters: {chi_square: .02, mmd: .1, vocabulary: 1, wasserstein: 2}}\nby: []",
]
TEST = """
rules: a.rules.yaml
tests:
  - name: a
    start: 2026-01-05T00:00:00Z
    input:
      - metric: refusal
        where: {consumer: q, application: a, model: m, model_version: 2, segments.language: de}
        values: [30m of 0.5 to .7, "1h of nothing , 2h of 0.1 with 12.5% abstained"]
        before: 1d12h of failed, 1h of unscored
        per_minute: 0.5
        rate: 0.25
        spread: 0.1
    outages: [{from: 0, for: 1h}]
    expect:
      - {at: 1h, alert: A, labels: {language: ""}, phase: firing, annotations: {summary: a, text: [b, c]}}
      - {at: 2h30m, alert: A, phase: inactive}
    never: [B]
    pages: 1
"""
ROUTES = """
page: https://evalsvc.example.com/
page_env: EVALSVC_PAGE
receivers:
  am: {kind: alertmanager, url: "http://localhost:9093", url_env: AM, token_env: TOKEN, expires: 12h, timeout: 5s}
  pd: {kind: pagerduty, key_env: PD_KEY, url: "https://events.example.com/v2?a=b", timeout: 5s}
  chat: {kind: slack, url_env: SLACK, timeout: 5s}
  mail:
    kind: email
    host: mail.example.com
    port: 465
    security: tls
    from: evalsvc@example.com
    to: [a@example.com, b@example.com]
    user: evalsvc
    password_env: MAIL_PASSWORD
    timeout: 30s
  hook: {kind: webhook, url: "https://example.com/hook", url_env: HOOK, key_env: HOOK_KEY, timeout: 5s}
default: [am, chat]
routes:
  - {match: {severity: [page, ticket], team: ml, language: /de|fr/}, to: [pd, mail], continue: true}
  - {match: {severity: info}, to: hook}
"""


def rules_of(*rules: str) -> str:
    made = [{**parsed(RULE), **parsed(kind), "alert": f"A{n}"} for n, kind in enumerate(rules)]
    return json.dumps({"groups": [{"name": "g", "interval": "1m", "delay": "0s", "catch_up": "2h", "rules": made}]})


WHOLE = {"rules": rules_of(*KINDS), "tests": json.dumps(parsed(TEST)), "routes": json.dumps(parsed(ROUTES))}
# The same in parts, each with what only it has: a part is read hundreds of times.
LEAST = [{"alert": "A", "metric": "refusal", **parsed(kind)} for kind in KINDS[1:]]
PARTS = [
    ("rules", rules_of(KINDS[0])),
    *(("rules", json.dumps({"groups": [{"name": "g", "rules": [rule]}]})) for rule in LEAST),
    ("tests", WHOLE["tests"]),
    ("routes", WHOLE["routes"]),
]


@pytest.mark.parametrize("kind", ALERTS)
def test_what_has_every_key_passes_both(kind: str) -> None:
    assert read(kind, WHOLE[kind]).finish() == ()
    assert refusals(kind, parsed(WHOLE[kind])) == []


def mappings(schema: Mapping[str, Any], value: object, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield each mapping of a value whose keys are a closed list, with the keys that its schema knows."""
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from mappings(schema["items"], item, f"{name}[{number}]")
    if not isinstance(value, dict):
        return
    one = [each for each in schema.get("oneOf", ()) if each.get("title", 0) == value.get("kind")]
    schema = one[0] if one else schema
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
    if rest is False and "patternProperties" not in schema:
        yield name, set(properties)
    for key, inner in value.items():
        yield from mappings(properties.get(key, rest or {}), inner, f"{name}.{key}" if name else key)


@pytest.mark.parametrize("kind", ALERTS)
def test_the_schemas_keys_are_those_that_the_readers_ask_for(kind: str) -> None:
    known: dict[str, set[str]] = dict(mappings(VALIDATORS[kind].schema, parsed(WHOLE[kind])))
    document = read(kind, WHOLE[kind])
    asked: dict[str, set[str]] = {}
    for section in document._sections:
        asked.setdefault(section.value.name, set()).update(section._asked)
    # A rule of one kind is not asked for the keys beside another.
    beside = {"recovers_at", "statistic"}
    assert len(known) >= 5
    for name, keys in known.items():
        own = asked[name]
        assert keys - own <= (beside if name.startswith("groups[0].rules[") and "." not in name[16:] else set()), name
        assert own <= keys, name


# What a reader knows of the rest of the file, and of the project.
BEYOND_SHAPE = re.compile("no consumer here measures|there is no receiver|no route leads to|no alert ever comes")


@pytest.mark.parametrize(("kind", "text"), PARTS)
def test_a_value_of_another_shape_is_right_or_wrong_to_both(kind: str, text: str) -> None:
    """Every value of a whole file in turn becomes a mapping, a list, nothing, a text, or has one key more."""
    whole = parsed(text)
    tried = 0
    for at in paths(whole):
        for new in of_other_shapes(held(whole, at)):
            text = json.dumps(changed(whole, at, new))
            said = [str(one) for one in read(kind, text).finish()]
            right = VALIDATORS[kind].is_valid(parsed(text))
            where = ".".join(map(str, at))
            if said and right:
                assert all(BEYOND_SHAPE.search(one) for one in said), f"{where} = {new}: {said}"
            assert said or right, f"{where} = {new}: {refusals(kind, parsed(text))}"
            tried += bool(said)
    assert tried >= 20


MISTAKES = [
    ("rules", 'above: 0.2\nbelow: 0.1', "one kind alone"),
    ("rules", "recovers_at: 0.2", "no kind at all"),
    ("rules", "change: {direction: fell}\nstatistic: mean", "a key of another kind"),
    ("rules", "change: {by: 0.1}", "a direction"),
    ("rules", "above: 0.2\nstatistic: p0", "a percentile above 0"),
    ("rules", "above: 0.2\nfalse_alarms: 0 per 30d", "a budget above 0"),
    ("rules", "above: 0.2\nwindow: 0m", "a window above 0"),
    ("rules", "above: 0.2\nlabels: {severity: page}", "no label of ours"),
    ("rules", "above: 0.2\nby: segment.language", "a field"),
    ("rules", "above: 0.2\nwhere: {app: support}", "a field"),
    ("rules", "above: 0.2\nmin_effective_n: 0", "one or more"),
    ("rules", 'above: "0.2"', "a number without quotes"),
    ("rules", "absence: {of: events}", "no metric"),
    ("rules", "absence: {of: failures}", "a share"),
    ("rules", "absence: {of: failures, beyond: 0.1, look_back: 7d}", "no look back at shares"),
    ("rules", "absence: {of: scores, beyond: 0.1}", "no share of scores"),
    ("rules", "burn_rate: {objective: 1, factor: 6}", "an objective below 1"),
    ("rules", "versions: {canary: {model: a}, stable: {}, direction: fell}", "a stable version"),
    ("rules", "fairness_gap: {between: consumer, beyond: 0.1}", "a field that consumers share"),
    ("rules", "cost: {above: 0}", "an amount above 0"),
    ("rules", "window: 1h\ndrift: {matters: {ks: 0.1}}", "a detector that decides"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "why"), MISTAKES)
def test_a_mistake_of_shape_is_one_to_both(kind: str, text: str, why: str) -> None:
    rule = {"alert": "A", "metric": "refusal", **parsed(text)}
    whole = json.dumps({"groups": [{"name": "g", "rules": [rule]}]})
    assert read(kind, whole).finish(), why
    assert refusals(kind, parsed(whole)), why


TESTS_MISTAKES = [
    {"never": []},
    {"expect": []},
    {"pages": -1},
    {"pages": 1.5},
    {"never": ["A"], "start": "yesterday"},
    {"never": ["A"], "outages": [{"from": "1h"}]},
    {"never": ["A"], "outages": [{"from": "1h", "for": "0s"}]},
    {"expect": [{"at": "1h", "alert": "A", "phase": "pending", "annotations": {"a": "b"}}]},
    {"expect": [{"at": "1h", "alert": "A", "phase": "fired"}]},
    {"expect": [{"at": "-1h", "alert": "A", "phase": "firing"}]},
    *({"never": ["A"], "input": [{"metric": "refusal", "values": values}]} for values in
      ("1h", "1h of yes", "0.5", "1 hour of 0.5", "1h of 0.5 with 5% missing", "1h of 0.5,", [])),
    *({"never": ["A"], "input": [{"metric": "refusal", "values": "1h of 0.5", **more}]} for more in
      ({"rate": 0}, {"rate": 1.1}, {"per_minute": 0}, {"per_minute": 1e9}, {"spread": -1}, {"where": {"a": "b"}})),
]  # fmt: skip


@pytest.mark.parametrize("mistake", TESTS_MISTAKES, ids=json.dumps)
def test_a_mistake_of_a_test_is_one_to_both(mistake: dict[str, object]) -> None:
    whole = json.dumps({"tests": [{"name": "a", "input": [], **mistake}]})
    assert read("tests", whole).finish()
    assert refusals("tests", parsed(whole))


def test_readers_take_groups_as_they_are() -> None:
    document = Document("a", WHOLE["rules"].encode())
    (group,) = read_rules(document, "a", Measured(METRICS, lambda metric: SHARE))
    assert isinstance(group, RuleGroup)
    assert len(group.rules) == len(KINDS)


if __name__ == "__main__":
    for name, make in SCHEMAS.items():
        (PUBLISHED / f"{name}.schema.json").write_text(f"{written(make(METRICS))}\n", encoding="utf-8")

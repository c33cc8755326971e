"""Baselines from production: what is frozen, what is refused, and gates that compare with it."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from msgspec.structs import replace

from evalsvc import scorers
from evalsvc.cases import Case
from evalsvc.cli import main
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import ConfigError, InputError, UnknownMetric
from evalsvc.gate.baselines import read_baseline
from evalsvc.gate.deciding import leaves_of
from evalsvc.gate.evaluated import Evaluated, MetricScores, Missing
from evalsvc.gate.production import Frozen, Production, freeze
from evalsvc.gate.reading import load_suite
from evalsvc.gate.recording import again_from, for_store
from evalsvc.gate.running import run_suite
from evalsvc.gate.unpaired import unpaired_evidence
from evalsvc.gate.values import AtLeast, Gate, NotWorse
from evalsvc.query import EstimateQuery, estimates
from evalsvc.store import MemoryStore
from evalsvc.types import Estimate, Scale, Score, Subject, Window, WriteBatch

NOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
SPEC = scorers.create("refusal", {}).spec
WINDOW = Window(NOON - timedelta(hours=1), NOON + timedelta(hours=1))
GATES = (
    Gate(metric="refusal", direction="lower", ask=NotWorse(0.1)),
    Gate(metric="refusal", direction="lower", ask=NotWorse(0.3), by=("segments.language",)),
)
SUITE = """
suite: small
cases: cases.jsonl
model: {recorded: %s.jsonl}
baseline: prod
scorers: [refusal]
gates:
  - {metric: refusal, direction: lower, not_worse_by: 0.1}
  - {metric: refusal, direction: lower, not_worse_by: 0.3, by: segments.language}
  - {metric: refusal, at_most: 0.6}
"""


def score(number, value, *, pi=0.1, consumer="quality", version=SPEC.version, language="de"):
    place = (consumer, "support", "bot", "1", {"language": language}, "", f"rate={pi}", 1)
    subject = Subject(f"{consumer}-{version}-{number}", NOON, *place)
    return Score(subject, "refusal", version, SPEC.signature, pi, "ok", value)


@pytest.fixture
def store():
    """A fifth of production refuses, less often in what was sampled less."""
    made = MemoryStore()
    made.record_scorers([SPEC])
    often = [score(number, float(number % 10 < 5), pi=0.5, language="de") for number in range(400)]
    rarely = [score(1000 + number, float(number % 10 < 1), pi=0.1, language="en") for number in range(240)]
    made.write(WriteBatch(scores=tuple(often + rarely)))
    return made


@pytest.fixture
def project(tmp_path, monkeypatch, store):
    """A project with a suite of two candidates, whose store is this one."""
    folder = tmp_path / "suites"
    folder.mkdir()
    cases = [
        {
            "case_id": f"c{n}",
            "prompt": f"question {n}",
            "segments": {"language": "de" if n % 3 else "en", "plan": "pro"},
        }
        for n in range(600)
    ]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, cases)) + "\n")
    for name, share in (("good", 1), ("bad", 6)):
        said = ["I'm sorry, but I can't help with that." if n % 10 < share else f"Answer {n}." for n in range(600)]
        rows = [{"case_id": f"c{n}", "response": text} for n, text in enumerate(said)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (folder / "small.suite.yaml").write_text(SUITE % "good")
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evalsvc.assemble.open_project_store", lambda *given, **more: store)
    return tmp_path


def promoted(*more):
    return main(["baseline", "from-production", "suites/small.suite.yaml", "--because", "live", "--by", "ada", *more])


def run(project, name="good", text=SUITE):
    path = project / "suites" / "small.suite.yaml"
    path.write_text(text % name)
    with DiskCache.open(None) as cache:
        return run_suite(load_suite(path, "small"), cache)


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("segments.langauge=de", "none of the 640 scored events in this window has `segments.langauge` (did you mean"),
        ("segments.language=fr", "has `fr` as `segments.language` (known: de, en)"),
    ],
)
def test_what_no_event_has_is_named_and_not_the_window(project, capsys, where, told):
    assert promoted("--since", "1d", "--where", where) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "earlier --since" not in said


def test_what_is_frozen_is_what_query_says(store):
    production = freeze(store, GATES, {"refusal": SPEC}, WINDOW, {})
    asked = EstimateQuery("refusal", WINDOW, 7200, target="process")
    (whole,) = estimates(store, asked)
    assert production.of("refusal", "") == whole.estimate
    # Hansen-Hurwitz by hand: 200 of 400 at π 0.5 and 24 of 240 at π 0.1.
    assert whole.estimate.value == pytest.approx((200 / 0.5 + 24 / 0.1) / (400 / 0.5 + 240 / 0.1))
    parts = {f"language={row.labels['segments.language']}": row.estimate for row in estimates(
        store, asked._replace(by=("segments.language",)))}  # fmt: skip
    assert {name: production.of("refusal", name) for name in parts} == parts
    assert len(production.estimates) == 3
    assert production.of("refusal", "language=fr") is None


def test_a_part_of_traffic(store):
    production = freeze(store, GATES[:1], {"refusal": SPEC}, WINDOW, {"segments.language": ("en",)})
    assert production.of("refusal", "").value == pytest.approx(0.1)
    assert production.where == {"segments.language": ("en",)}


def test_what_cannot_be_frozen_is_refused(store):
    with pytest.raises(InputError, match="no such gate"):
        freeze(store, [Gate(metric="refusal", ask=AtLeast(0.1))], {"refusal": SPEC}, WINDOW, {})
    with pytest.raises(InputError, match="there are none in this window; take an earlier --since"):
        freeze(store, GATES, {"refusal": SPEC}, Window(NOON - timedelta(days=9), NOON - timedelta(days=8)), {})
    with pytest.raises(UnknownMetric):
        freeze(store, [Gate(metric="rouge_l", ask=NotWorse(0.1))], {"rouge_l": SPEC}, WINDOW, {})
    store.write(WriteBatch(scores=(score(1, 1.0, consumer="other"),)))
    with pytest.raises(
        InputError, match="of one consumer, but other, quality have it; name one: --where consumer=other"
    ):
        freeze(store, GATES, {"refusal": SPEC}, WINDOW, {})
    assert freeze(store, GATES, {"refusal": SPEC}, WINDOW, {"consumer": ("quality",)}).of("refusal", "").n == 640


def test_scores_of_another_version_are_refused(store, project, capsys):
    older = replace(SPEC, version=SPEC.version + 1)
    store.record_scorers([older])
    store.write(WriteBatch(scores=(score(1, 1.0, version=older.version),)))
    assert promoted() == 2
    said = capsys.readouterr().err
    assert f"by version {SPEC.version} (" in said
    assert f"but the store has version {older.version}" in said
    assert not (project / "suites" / "baselines").exists()


def test_a_good_version_passes_and_a_bad_one_fails(project, capsys):
    assert promoted() == 0
    assert "all traffic" in capsys.readouterr().out
    good = run(project).verdict
    assert good.decision == "PASS"
    finding = good.gates[0].findings[0]
    assert finding.baseline == pytest.approx(0.2)
    assert finding.candidate == pytest.approx(0.1)
    assert finding.reason.startswith("not worse by 0.1 is shown; unpaired, against production of ")
    assert "process" in finding.test or "estimates" in finding.test
    assert {found.segment for found in good.gates[1].findings} == {"language=de", "language=en"}
    bad = run(project, "bad").verdict
    assert bad.decision == "FAIL"
    assert bad.gates[0].decision == "FAIL"
    assert not bad.notes


def test_the_command_reports_records_and_decides_again(project, store, capsys):
    assert promoted() == 0
    capsys.readouterr()
    assert main(["gate", "suites", "--markdown", "summary.md", "--html", "report.html"]) == 0
    shown = capsys.readouterr().out
    assert "against the baseline prod (production " in shown
    verdict_id = shown.split()[-1]
    assert main(["gate", "--again", verdict_id]) == 0
    assert main(["gate", "suites", "--power"]) == 0
    assert main(["baseline"]) == 0
    assert "as promoted" in capsys.readouterr().out
    found = run(project)
    log = MemoryStore().verdicts
    log.record_verdict(*for_store(found.verdict, found.record, found.baseline.content))
    assert again_from(log, log.verdict(found.verdict.verdict_id)).same


def test_a_changed_file_is_refused(project, capsys):
    promoted()
    (file,) = (project / "suites" / "baselines").glob("prod-*.jsonl")
    file.write_text(file.read_text().replace('"value":0.2', '"value":0.9'))
    with pytest.raises(ConfigError, match="it was changed afterwards"):
        read_baseline(project / "suites", "prod", "small")


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("{metric: refusal, direction: lower, better: true}", "asks more than `not_worse_by` of a mean"),
        ("{metric: refusal, direction: lower, not_worse_by: 10%%}", "asks more than `not_worse_by` of a mean"),
        (
            "{metric: refusal, direction: lower, not_worse_by: 0.1, by: segments.plan}",
            "has no estimate: freeze it again",
        ),
        ("{metric: refusal, direction: lower, not_worse_by: 0.1, where: {segments.language: de}}", "without `where`"),
    ],
)
def test_gates_that_it_cannot_answer_are_refused_before_a_model_is_asked(project, gate, said, monkeypatch):
    promoted()
    monkeypatch.setattr("evalsvc.gate.running._Work._ask", lambda *given: pytest.fail("a model was asked"))
    with pytest.raises(ConfigError, match="which is of production, can answer") as caught:
        run(project, text=SUITE.replace("{metric: refusal, direction: lower, not_worse_by: 0.1}", gate))
    assert said in str(caught.value)


def test_another_scorer_of_the_suite_is_refused(project, monkeypatch):
    promoted()
    path = project / "suites" / "baselines"
    (file,) = path.glob("prod-*.jsonl")
    other = json.loads(file.read_text())
    other["scorers"]["refusal"]["version"] = 99
    from evalsvc.gate.baselines import promote

    shutil.rmtree(path)
    promote((json.dumps(other) + "\n").encode(), "x", path.parent, "prod", by="a", because="b", now=NOON)
    with pytest.raises(ConfigError, match=r"refusal was version 99.*from-production"):
        run(project)


def test_it_has_no_answers_to_score_again(project, capsys):
    promoted()
    assert main(["baseline", "rescore", "suites/small.suite.yaml"]) == 2
    assert "is of production, and has none to score" in capsys.readouterr().err


def evidence_of(values, spec, margin, estimate):
    """Return what scores of a version, one a case, say against an estimate of production; NaN is a failed one."""
    gone = {(row, 0): Missing("failed", "HTTP 500") for row in np.flatnonzero(np.isnan(values)).tolist()}
    version = Evaluated(
        cases=tuple(Case(case_id=f"c{number}", prompt="-") for number in range(len(values))),
        digests=tuple(f"{number:064d}" for number in range(len(values))),
        answers=((),) * len(values),
        scores={"refusal": MetricScores(spec, values[:, None], gone)},
        model="m",
        model_version="",
        signature="",
    )
    (leaf,) = leaves_of(Gate(metric="refusal", direction="lower", ask=NotWorse(margin)), version)
    production = Production(window=WINDOW, estimates=(Frozen("refusal", estimate),))
    return unpaired_evidence(leaf, version, production, 0.05)


def test_missing_scores_stand_in_the_way():
    values = np.where(np.arange(100) < 4, np.nan, 0.0)
    estimate = Estimate(0.02, 0.015, 0.025, 9000, 9000.0, 0, 0.0, WINDOW)
    narrow, wide = (evidence_of(values, SPEC, margin, estimate) for margin in (0.04, 0.2))
    assert narrow.p_pass < 0.05
    assert "if they were the worst there are" in narrow.blocked
    assert (wide.blocked, wide.n, wide.n_unscored) == ("", 96, 4)
    gaps = replace(estimate, missing_share=0.2)
    assert "20% of production's events have no refusal" in evidence_of(values, SPEC, 0.2, gaps).blocked


def test_skewed_scores_need_more_than_their_own_interval():
    open_spec = replace(SPEC, scale=Scale(None, None, "lower", "ms"))
    values = np.random.default_rng(5).exponential(1.0, 80)
    estimate = Estimate(float(values.mean()), values.mean() - 1e-6, values.mean() + 1e-6, 9000, 9000.0, 0, 0.0, WINDOW)
    # The margin at which the plain interval just passes, and one that is far from it.
    edge = 1.66 * float(values.std(ddof=1)) / np.sqrt(80)
    mirrored = 2.0 * values.mean() - values
    found = evidence_of(values, open_spec, 1.03 * edge, estimate)
    assert found.p_pass > 0.05
    assert found.blocked == "the scores are too skewed for so few cases: by their own interval alone it would pass"
    assert evidence_of(mirrored, open_spec, 1.03 * edge, estimate).p_pass < 0.05
    assert evidence_of(values, open_spec, 2.0 * edge, estimate).blocked == ""

"""A record keeps everything that a gate looks at: every kind of question is decided the same from it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from evalsvc.cases import Case
from evalsvc.cases.reading import read_cases
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import ConfigError
from evalsvc.gate import baselines
from evalsvc.gate.keeping import RunKeeper, decide_again
from evalsvc.gate.reading import load_suite
from evalsvc.gate.record import decode_record, encode_record, without_texts
from evalsvc.gate.running import Run, run_suite
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import Ask, AtLeast, AtMost, Better, Critical, Equivalent, GapAtMost, Gate, NotWorse, Robust
from evalsvc.generation import Answer, Request, failed
from evalsvc.perturbation import vary
from evalsvc.project import ScorerConfig
from evalsvc.verdicts import Verdict
from suites_made import CountingModel, write_project

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXTS = {"prompt", "contexts", "reference", "expected_tools"}

GATES = [
    Gate(metric="token_f1", ask=NotWorse(0.1)),
    Gate(metric="token_f1", ask=NotWorse(0.2, relative=True)),
    Gate(metric="token_f1", ask=NotWorse(0.2), by=("segments.plan",)),
    Gate(metric="token_f1", ask=NotWorse(0.2), by=("variant",)),
    Gate(metric="token_f1", ask=NotWorse(0.2), where={"tags": ("even",)}),
    Gate(metric="token_f1", ask=NotWorse(0.2), where={"segments.plan": ("a",)}),
    Gate(metric="token_f1", ask=NotWorse(0.2), statistic="pass^2", success=0.6),
    Gate(metric="bleu", ask=NotWorse(10.0), statistic="corpus"),
    Gate(metric="cost_usd", ask=Equivalent(0.01)),
    Gate(metric="token_f1", ask=Better()),
    Gate(metric="token_f1", ask=Better(0.01)),
    Gate(metric="token_f1", ask=Equivalent(0.1), advisory=True),
    Gate(metric="token_f1", ask=AtLeast(0.5)),
    Gate(metric="token_f1", ask=AtLeast(0.5), statistic="pass^2", success=0.6),
    Gate(metric="token_f1", ask=AtLeast(0.5), statistic="pass@2", success=0.6),
    Gate(metric="bleu", ask=AtLeast(5.0), statistic="corpus"),
    Gate(metric="token_f1", ask=AtMost(0.99), direction="lower", by=("segments.plan",)),
    Gate(metric="latency_ms", ask=AtMost(200.0), statistic="p95"),
    Gate(metric="token_f1", ask=Critical(0.2)),
    Gate(metric="token_f1", ask=GapAtMost("segments.plan", 0.2)),
    Gate(metric="token_f1", ask=GapAtMost("variant", 0.5)),
    Gate(metric="token_f1", ask=Robust(0.1)),
    Gate(metric="token_f1", ask=Robust(0.1), where={"tags": ("even",)}),
]
DECIDED = {"PASS", "FAIL"}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """A suite whose cases have every label there is, and whose baseline was promoted."""
    path = write_project(tmp_path_factory.mktemp("project"), 180)
    place = path.parent / "cases.jsonl"
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    for number, row in enumerate(rows):
        row |= {"weight": 1.0 + number % 3, "tags": ["even"] if number // 2 % 2 == 0 else ["odd", "rare"]}
        row["prompt"] = f"How long does parcel {number} take to Paris?"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    varied = vary(read_cases(place).cases, ["upper_case"], seed=1).cases
    place.write_text("".join(msgspec.json.encode(case).decode() + "\n" for case in varied))
    suite = msgspec.structs.replace(load_suite(path), repeats=2)
    alone = msgspec.structs.replace(suite, gates=(), baseline="")
    content = run(alone, CountingModel(0.2)).record
    baselines.promote(content, "first", suite.folder, "main", by="Ada", because="it is the first", now=NOW)
    return suite


def run(suite: Suite, model: CountingModel) -> Run:
    return run_suite(suite, DiskCache.open(None), generator=model, now=NOW)


def test_every_kind_of_question_is_listed_here() -> None:
    assert {type(gate.ask) for gate in GATES} == set(get_args(Ask))


@pytest.mark.parametrize("texts", [True, False], ids=["whole", "without texts"])
@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_every_kind_of_question_is_decided_the_same_from_records(suite: Suite, gate: Gate, texts: bool) -> None:
    asked = msgspec.structs.replace(suite, gates=(gate,), baseline=suite.baseline)
    found = run(asked, CountingModel(0.2, "2", seed=1))
    records = [found.record, found.baseline.content if found.baseline else None]
    if not texts:
        records = [content and without_texts(content) for content in records]
    again = decide_again(found.verdict, *records)
    assert again.results == found.verdict.gates
    assert again.same
    assert all(one.n for result in found.verdict.gates for one in result.findings), "nothing was looked at"


def test_all_at_once_with_looks_too(suite: Suite) -> None:
    for looks in (1, 3):
        asked = msgspec.structs.replace(suite, gates=tuple(GATES), looks=looks)
        found = run(asked, CountingModel(0.2, "2", seed=1))
        assert decide_again(found.verdict, found.record, found.baseline.content).same


def test_a_record_keeps_every_field_of_a_case_but_its_texts(suite: Suite) -> None:
    found = run(msgspec.structs.replace(suite, gates=()), CountingModel(0.2, "2"))
    kept = decode_record(found.record, "x").evaluated
    assert kept.digests == found.candidate.digests
    for name in set(Case.__struct_fields__) - TEXTS:
        old = [getattr(case, name) for case in found.candidate.cases]
        assert [getattr(case, name) for case in kept.cases] == old, name
        assert len({json.dumps(msgspec.to_builtins(value)) for value in old}) > 1, f"{name} was not looked at"
    assert encode_record(kept, "made", found.verdict.cases_digest, suite.seed) == found.record


def test_an_older_record_is_read_where_nothing_lacks(suite: Suite, tmp_path: Path) -> None:
    found = run(msgspec.structs.replace(suite, gates=()), CountingModel(0.2, "2"))
    lines = [json.loads(line) for line in found.record.splitlines()]
    lines[0]["record"] = 1
    for row in lines[1:]:
        row.pop("variant_of", None)
    older = "\n".join(map(json.dumps, lines)).encode() + b"\n"
    with pytest.raises(ConfigError, match="format 1, which does not say what its variants were made of"):
        decode_record(older, "x")
    plain = [lines[0] | {"n_cases": 180}, *(row for row in lines[1:] if not row.get("variant"))]
    assert len(decode_record("\n".join(map(json.dumps, plain)).encode(), "x").evaluated.cases) == 180


def changed(verdict: Verdict, field: str) -> Verdict:
    """Return a verdict in which something of a field was edited."""
    values = {
        "verdict_id": "20260301T120000Z-00000000",
        "suite": "other",
        "decision": "FAIL" if verdict.decision != "FAIL" else "PASS",
        "gates": verdict.gates[1:],
        "metrics": (msgspec.structs.replace(verdict.metrics[0], repeat_sd=0.5), *verdict.metrics[1:]),
        "slices": verdict.slices[1:],
        "candidate": msgspec.structs.replace(verdict.candidate, cost_usd=0.0),
        "baseline": msgspec.structs.replace(verdict.baseline, model_version="7"),
        "scorers": dict(verdict.scorers) | {"token_f1": "9|"},
        "definition": verdict.definition.replace('"level":0.05', '"level":0.04'),
        "gates_digest": "0" * 16,
        "notes": (),
        "looks": verdict.looks[:-1],
    }
    return msgspec.structs.replace(verdict, **{field: values.get(field, "else")})


# What no record tells: they are not compared, and nothing is claimed of them.
UNTOLD = {"cases", "evalsvc"}
NUMBERS = {"n_cases", "stopped_at", "repeats", "seed", "level"}


@pytest.fixture(scope="module")
def stopped(suite: Suite) -> Run:
    """A run that failed at its first look, with a note about what was not asked."""
    gates = (Gate(metric="token_f1", ask=NotWorse(0.01)), Gate(metric="token_f1", ask=Critical(0.0)))
    found = run(msgspec.structs.replace(suite, gates=gates, looks=4), CountingModel(0.9, "2", seed=1))
    assert found.verdict.stopped_at < found.verdict.n_cases
    assert found.verdict.slices
    return found


@pytest.mark.parametrize("field", sorted(set(Verdict.__struct_fields__) - UNTOLD))
def test_whatever_of_a_verdict_was_edited_is_found(stopped: Run, field: str) -> None:
    verdict = stopped.verdict
    assert decide_again(verdict, stopped.record, stopped.baseline.content).same
    if field in NUMBERS:
        edited = msgspec.structs.replace(verdict, **{field: getattr(verdict, field) + 1})
    elif field == "decided_at":
        edited = msgspec.structs.replace(verdict, decided_at=verdict.decided_at.replace(year=2027))
    else:
        edited = changed(verdict, field)
    assert edited != verdict
    found = decide_again(edited, stopped.record, stopped.baseline.content)
    assert not found.same
    told = {"decided_at": "verdict_id", "definition": "gates_digest", "looks": "n_cases"}.get(field, field)
    assert any(told in one for one in found.differs), found.differs


@pytest.mark.parametrize("party", ["candidate", "baseline"])
@pytest.mark.parametrize("field", ["model", "model_version", "signature", "answered", "failed", "cost_usd"])
def test_a_versions_name_and_cost_are_compared(stopped: Run, party: str, field: str) -> None:
    held = getattr(stopped.verdict, party)
    value = getattr(held, field)
    edited = msgspec.structs.replace(held, **{field: f"{value}x" if isinstance(value, str) else (value or 0) + 1})
    verdict = msgspec.structs.replace(stopped.verdict, **{party: edited})
    found = decide_again(verdict, stopped.record, stopped.baseline.content)
    assert found.differs == (f"{party}.{field}",)


def test_metrics_of_a_stopped_run_are_of_the_random_part(suite: Suite) -> None:
    class HardOnCritical(CountingModel):
        """Gets critical cases wrong, which are asked beside the random part."""

        def generate(self, request: Request) -> Answer:
            answer = super().generate(request)
            return msgspec.structs.replace(answer, response="x") if request.case.critical else answer

    gates = (Gate(metric="latency_ms", ask=AtMost(50.0)), Gate(metric="token_f1", ask=NotWorse(0.2)))
    gates = (*gates, Gate(metric="token_f1", ask=Critical(0.0)))
    found = run(msgspec.structs.replace(suite, gates=gates, looks=4), HardOnCritical(0.2, "2", seed=1))
    verdict = found.verdict
    assert verdict.stopped_at < len(found.candidate.cases) < verdict.n_cases
    token_f1 = next(one for one in verdict.metrics if one.metric == "token_f1")
    assert token_f1.candidate.n == verdict.stopped_at
    gate = next(one for one in verdict.gates if one.gate == "token_f1 not worse by 0.2").findings[0]
    assert token_f1.difference.value == pytest.approx(gate.difference)
    beside = len(found.candidate.cases) - verdict.stopped_at
    assert f"leave out the {beside} critical cases asked beside them" in verdict.notes[-1]


def test_what_lacks_scores_is_the_same_after_it_was_written(suite: Suite, tmp_path: Path) -> None:
    class Failing(CountingModel):
        """Answers nothing to some cases, and something without a cost to the others."""

        def generate(self, request: Request) -> Answer:
            if request.case.case_id.startswith("c1"):
                return failed("HTTP 500", attempts=3)
            return Answer(response="x" if request.case.critical else request.case.reference or "")

    gates = (Gate(metric="token_f1", ask=NotWorse(0.1)), Gate(metric="latency_ms", ask=AtMost(100.0)))
    work = (*suite.scorers, *(ScorerConfig(name=name) for name in ("context_support", "output_tokens")))
    asked = msgspec.structs.replace(suite, gates=gates, scorers=work)
    found = run(asked, Failing(0.2, "2"))
    assert found.verdict.candidate.failed
    keeper = RunKeeper(tmp_path)
    keeper.keep(found.verdict, {}, found.record, found.baseline.content)
    again = keeper.again(keeper.find(found.verdict.verdict_id))
    assert again.differs == ()

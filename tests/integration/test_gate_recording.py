"""What a store gets of a run: no text, the same decision, and every verdict found again."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from evalsvc.disk_cache import DiskCache
from evalsvc.errors import ConfigError
from evalsvc.gate.reading import load_suite
from evalsvc.gate.record import digest_of_record, read_content, without_texts
from evalsvc.gate.recording import again_from, for_store
from evalsvc.gate.running import run_suite
from evalsvc.store import MemoryStore

SECRET = "zebra-4711"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SUITE = """
suite: small
cases: cases.jsonl
model: {recorded: answers.jsonl}
baseline: %s
seed: 3
scorers: [rouge_l, latency_ms, {name: bleu}]
gates:
  - {metric: rouge_l, not_worse_by: 0.1}
  - {metric: rouge_l, not_worse_by: 0.2, by: segments.language}
  - {metric: rouge_l, at_least: 0.1, critical: true}
  - {metric: latency_ms, statistic: p95, at_most: 500}
  - {metric: bleu, statistic: corpus, not_worse_by: 10}
"""


def lines(rows):
    return "\n".join(json.dumps(row) for row in rows) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A suite whose every text holds one word, with a failed answer, a call of a tool, and a baseline."""
    folder = tmp_path_factory.mktemp("suite")
    words = ["one", "two", "three", "four", "five", "six"]
    cases = [
        {
            "case_id": f"c{number}",
            "prompt": f"{SECRET} prompt {number}",
            "reference": f"{SECRET} the answer {words[number % 6]} {number}",
            "segments": {"language": "de" if number % 2 else "en"},
            "critical": number == 0,
        }
        for number in range(24)
    ]
    answers = [
        {
            "case_id": case["case_id"],
            "response": case["reference"] + (" more" if number % 5 == 0 else ""),
            "latency_ms": 100 + number,
            "finish_reason": "stop" if number % 2 else SECRET,
            "tool_calls": [{"name": "look_up", "arguments": {"of": SECRET}}],
        }
        for number, case in enumerate(cases)
    ]
    answers[7] = {"case_id": "c7", "status": "failed", "reason": "HTTP 429"}
    (folder / "cases.jsonl").write_text(lines(cases))
    (folder / "answers.jsonl").write_text(lines(answers))
    (folder / "small.suite.yaml").write_text(SUITE % "main")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    from evalsvc.gate.baselines import promote

    alone = folder / "alone.suite.yaml"
    head = SUITE.partition("gates:")[0].replace("baseline: %s\n", "")
    alone.write_text(head + "gates:\n  - {metric: rouge_l, at_least: 0.1}\n")
    with DiskCache.open(None) as cache:
        first = run_suite(load_suite(alone, "alone"), cache, now=NOW)
        promote(first.record, "first", folder, "main", by="ada", because="first", now=NOW)
        return run_suite(load_suite(folder / "small.suite.yaml", "small"), cache, now=NOW)


def test_a_record_for_a_store_has_no_text(run):
    stored = for_store(run.verdict, run.record, run.baseline.content)
    assert SECRET in run.record.decode()
    for held in (*stored.records.values(), msgspec.json.encode(stored.verdict)):
        assert SECRET not in held.decode()
        assert "tool_calls" not in held.decode()
    parties = (stored.verdict.candidate, stored.verdict.baseline)
    assert {party.stored for party in parties} == set(stored.records)
    assert all(digest_of_record(content) == digest for digest, content in stored.records.items())


def test_without_texts_the_numbers_stay(run):
    kept = [json.loads(line) for line in without_texts(run.record).splitlines()]
    full = [json.loads(line) for line in run.record.splitlines()]
    assert kept[0] == full[0]
    assert len(kept) == len(full) == 25
    for new, old in zip(kept[1:], full[1:], strict=True):
        for answer in old["answers"]:
            answer.pop("response", None)
            answer.pop("tool_calls", None)
            if answer.get("finish_reason") == SECRET:
                answer["finish_reason"] = "other"
        assert new == old
    assert without_texts(without_texts(run.record)) == without_texts(run.record)


def test_it_is_decided_the_same_from_a_store(run):
    log = MemoryStore().verdicts
    log.record_verdict(*for_store(run.verdict, run.record, run.baseline.content))
    found = again_from(log, log.verdict(run.verdict.verdict_id))
    assert found.same
    assert found.results == run.verdict.gates
    assert found.verdict.decision == run.verdict.decision


def test_a_changed_verdict_is_not_the_same(run):
    log = MemoryStore().verdicts
    verdict, records = for_store(run.verdict, run.record, run.baseline.content)
    gate = msgspec.structs.replace(verdict.gates[0], decision="FAIL")
    log.record_verdict(msgspec.structs.replace(verdict, gates=(gate, *verdict.gates[1:])), records)
    assert not again_from(log, log.verdict(verdict.verdict_id)).same


def test_a_record_that_is_gone_or_changed_is_told(run):
    log = MemoryStore().verdicts
    verdict, records = for_store(run.verdict, run.record, run.baseline.content)
    log.record_verdict(verdict, {})
    with pytest.raises(ConfigError, match="not there: its time was over"):
        again_from(log, verdict)
    log._records.update(dict.fromkeys(records, b"other\n"))
    with pytest.raises(ConfigError, match="it was changed"):
        again_from(log, verdict)


@pytest.mark.parametrize("content", [b"", b"no json\n", b'{"record": 1}\n'])
def test_what_is_no_record_is_refused(content):
    with pytest.raises(ConfigError, match="expected a record"):
        without_texts(content)


def test_a_broken_line_is_named(run):
    broken = run.record.splitlines()
    broken[3] = b"{"
    with pytest.raises(ConfigError, match="line 4"):
        without_texts(b"\n".join(broken))


@pytest.fixture
def project(folder, run, tmp_path, monkeypatch):
    """A project with the suite, an embedded store to be, and nothing kept."""
    shutil.copytree(folder, tmp_path / "suites")
    (tmp_path / "suites" / "alone.suite.yaml").unlink()
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALSVC_STORE", raising=False)
    return tmp_path


def command(*words):
    from evalsvc.cli import main

    return main([*words])


def test_gate_records_lists_shows_and_decides_again(project, capsys, run):
    code = command("gate", "suites", "--record")
    assert (code, capsys.readouterr().err) == (run.verdict.exit_code, "evalsvc: the verdict is recorded in the store\n")
    assert command("verdicts") == 0
    shown = capsys.readouterr().out
    assert run.verdict.decision in shown
    assert "small" in shown
    assert command("verdicts", "list", "--suite", "small", "--format", "json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    verdict_id = json.loads(line)["verdict_id"]
    assert command("verdicts", "show", verdict_id) == 0
    assert capsys.readouterr().out.endswith(f"verdict {verdict_id}\n")
    shutil.rmtree(project / ".evalsvc" / "runs")
    shutil.rmtree(project / ".evalsvc" / "records")
    assert command("gate", "--again", verdict_id) == run.verdict.exit_code
    assert "decided again from its records: the same decisions, numbers and reasons" in capsys.readouterr().out
    assert SECRET.encode() not in b"".join(
        path.read_bytes() for path in Path(project, ".evalsvc", "store").rglob("*") if path.is_file()
    )


def test_what_is_not_recorded_is_told(project, capsys):
    assert command("gate", "--again", "20260301T120000Z-1a2b3c4d") == 2
    assert "the store was not asked: There is no store" in capsys.readouterr().err
    assert command("--store", "memory:", "gate", "--again", "20260301T120000Z-1a2b3c4d") == 2
    assert "none of this whole id in the store" in capsys.readouterr().err
    assert command("--store", "memory:", "verdicts", "--suite", "x") == 0
    assert "no verdict of 'x' since 30d" in capsys.readouterr().out
    assert command("--store", "memory:", "verdicts", "show", "x") == 2
    assert "the whole id of a recorded verdict" in capsys.readouterr().err


def test_without_a_store_the_kept_runs_are_listed(project, capsys, monkeypatch, run):
    assert command("verdicts") == 0
    out, err = capsys.readouterr()
    assert "no verdict since 30d" in out
    assert "there is no store yet; these are the runs kept in .evalsvc/runs" in err
    assert command("gate", "suites", "--format", "json") == run.verdict.exit_code
    verdict_id = json.loads(capsys.readouterr().out)["verdict_id"]
    monkeypatch.chdir(project / "suites")
    assert command("verdicts") == 0
    assert verdict_id in capsys.readouterr().out
    assert command("verdicts", "list", "--suite", "other", "--format", "json") == 0
    assert capsys.readouterr().out == ""
    assert command("verdicts", "list", "--until", "2020-01-01", "--since", "2019-01-01") == 0
    assert verdict_id not in capsys.readouterr().out
    assert command("verdicts", "show", verdict_id[:20]) == 0
    assert capsys.readouterr().out.endswith(f"verdict {verdict_id}\n")
    assert command("verdicts", "show", "20200101T000000Z-1a2b3c4d") == 2
    assert f"the last there are {verdict_id}" in capsys.readouterr().err
    # A store that was named is asked, and none is made by that.
    assert command("--store", "embedded:nowhere", "verdicts") == 2
    assert "There is no store in" in capsys.readouterr().err
    assert not (project / ".evalsvc" / "store").exists()


def test_a_store_that_does_not_answer_is_told_before_anything_is_asked(project, capsys, monkeypatch):
    monkeypatch.setattr("evalsvc._cli_gate._run", lambda *given: pytest.fail("a model was asked"))
    assert command("--store", "clickhouse://u:p@127.0.0.1:1/x", "gate", "suites", "--record") == 2
    assert "127.0.0.1:1" in capsys.readouterr().err
    assert not (project / ".evalsvc").exists()


@pytest.mark.parametrize("how", ["recorded", "callable", "command"])
def test_what_a_model_says_of_a_failure_is_kept_nowhere(tmp_path, monkeypatch, capfd, how):
    model = {
        "recorded": "{recorded: answers.jsonl}",
        "callable": "{callable: 'model.py:answer'}",
        "command": f"{{command: [{sys.executable}, model.py], output: json}}",
    }[how]
    said = {"status": "failed", "reason": f"cannot answer {SECRET}", "permanent": True}
    wrong = {"response": "x", SECRET: 1}
    cases = [{"case_id": f"c{n}", "prompt": f"p{n}", "reference": "a b"} for n in range(12)]
    (tmp_path / "cases.jsonl").write_text(lines(cases))
    rows = [{"case_id": case["case_id"], "response": "a b", "finish_reason": SECRET} for case in cases]
    rows[:4] = [{"case_id": f"c{n}", **said} for n in range(4)]
    (tmp_path / "answers.jsonl").write_text(lines(rows))
    (tmp_path / "model.py").write_text(
        "import json, sys\n"
        f"def answer(prompt):\n    number = int(prompt[1:])\n    return {said!r} if number < 4 else "
        f"{wrong!r} if number < 6 else {{'response': 'a b', 'finish_reason': {SECRET!r}}}\n"
        "if __name__ == '__main__':\n    print(json.dumps(answer(json.load(sys.stdin)['prompt'])))\n"
    )
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    head = f"suite: said\ncases: cases.jsonl\nmodel: {model}\nscorers: [token_f1]\n"
    (tmp_path / "said.suite.yaml").write_text(f"{head}gates: [{{metric: token_f1, at_least: 0.1}}]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALSVC_STORE", raising=False)
    reports = ["--markdown", "s.md", "--junit", "j.xml", "--html", "r.html", "--record"]
    # A second run finds what was kept of the first.
    for _ in range(2):
        assert command("gate", "said.suite.yaml", *reports) in (0, 3)
        out, err = capfd.readouterr()
        assert "the model reported an error (4)" in out
        assert SECRET not in out + err
    assert command("baseline", "promote", "said.suite.yaml", "--name", "main", "--because", "it") == 0
    for name in ("model.py", "answers.jsonl"):
        (tmp_path / name).unlink()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"verdict.json", "summary.md", "report.html"} <= {path.name for path in kept}
    records = [path for path in kept if path.suffix in (".zst", ".jsonl") and path.name != "cases.jsonl"]
    assert len(records) >= 2
    for path in kept:
        content = read_content(path) if path in records else path.read_bytes()
        # How an answer ended is the answer's own, and goes where its text does.
        ended = f'"finish_reason":"{SECRET}"'.encode()
        assert SECRET.encode() not in (content.replace(ended, b"") if whole(path) else content), path


def whole(path):
    """Whether a file holds answers with their texts: the cache, records and a baseline."""
    return path.name.startswith("cache.sqlite") or path.suffix in (".zst", ".jsonl")

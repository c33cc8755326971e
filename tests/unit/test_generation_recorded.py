"""Recorded answers: every wrong line with its number, and what a file lacks or has too much of."""

from __future__ import annotations

import gzip
import json

import pytest

from evalsvc.cases.values import Case
from evalsvc.errors import ConfigError, InputError
from evalsvc.generation import (
    Answer,
    Asker,
    AskLimits,
    Coverage,
    Generator,
    Progress,
    RecordedAnswers,
    Request,
    RunBudget,
    failed,
    write_answers,
)
from evalsvc.testing import ManualClock
from generators import cases

GOOD = b'{"case_id": "case-0", "response": "A", "latency_ms": 12.5}\n'


def recorded(tmp_path, content: bytes, name: str = "v2.jsonl") -> RecordedAnswers:
    path = tmp_path / name
    path.write_bytes(content)
    return RecordedAnswers(path)


def problems(model: RecordedAnswers) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        model.load()
    return [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]


def test_what_was_written_is_read(tmp_path):
    answers = [Answer(response="A", input_tokens=3), failed("HTTP 500", attempts=4), Answer(response="é"), Answer()]
    for name in ("answers.jsonl", "answers.jsonl.gz"):
        write_answers(tmp_path / name, cases(2), answers, repeats=2)
        model = RecordedAnswers(tmp_path / name)
        model.load()
        read = [model.generate(Request(case, repeat, 0)) for case in cases(2) for repeat in (0, 1)]
        assert read == answers
        assert model.model == "answers"
    with pytest.raises(InputError, match="2 × 1 answers, but got 4"):
        write_answers(tmp_path / "a.jsonl", cases(2), answers)


def test_it_is_a_generator_with_the_file_as_its_version(tmp_path):
    first, second = recorded(tmp_path, GOOD), recorded(tmp_path, GOOD + b"\n", "copy.jsonl")
    assert isinstance(first, Generator)
    assert first.signature.startswith("recorded:")
    assert first.model_version in first.signature
    assert first.signature != second.signature
    packed = recorded(tmp_path, gzip.compress(GOOD), "v2.jsonl.gz")
    assert packed.signature == first.signature


def test_missing_and_unknown(tmp_path):
    model = recorded(tmp_path, GOOD + b'{"case_id": "gone", "response": "B"}\n')
    covered = model.coverage(cases(2), repeats=2)
    assert covered == (("gone",), 3)
    assert covered.notes == (
        "1 case with recorded answers is not in the set: gone",
        "3 answers are not recorded",
    )
    assert Coverage(tuple("abcdefg"), 1).notes == (
        "7 cases with recorded answers are not in the set: a, b, c, d, e, …",
        "1 answer is not recorded",
    )
    assert model.coverage([Case(case_id=name, prompt="x") for name in ("case-0", "gone")]).notes == ()
    answers = Asker(model).ask(cases(2))
    assert answers == [
        Answer(response="A", latency_ms=12.5),
        failed("no recorded answer", permanent=True, attempts=0),
    ]


def test_every_wrong_line_is_told_at_once(tmp_path):
    lines = [
        GOOD.strip(),
        b'{"case_id": "case-1", "respnse": "B"}',
        b'{"case_id": "case-2", "response": 3}',
        b"",
        b'{"case_id": "case-0", "response": "again"}',
        b'{"response": "whose?"}',
        b'{"case_id": "case-3", "latency_ms": -1}',
        b'{"case_id": "case-4", "status": "failed"}',
        b'{"case_id": "case-5", "repeat": -1}',
        b'{"case_id": "case-6", "response": "secret text',
        b'{"case_id": "case-7", "response": "\xff"}',
        b"[]",
    ]
    found = problems(recorded(tmp_path, b"\n".join(lines)))
    assert [line.partition(":")[0] for line in found] == ["2", "3", "5", "6", "7", "8", "9", "10", "11", "12"]
    assert "unknown field `respnse`" in found[0]
    assert "answered twice for repeat 0" in found[2]
    assert "missing required field `case_id`" in found[3]
    assert "secret" not in "".join(found)


def test_many_wrong_lines_are_counted(tmp_path):
    model = recorded(tmp_path, b"nonsense\n" * 200)
    with pytest.raises(ConfigError, match=r"\(200, of which 50 are shown\)") as caught:
        model.load()
    assert len(caught.value.problems) == 50


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "holds no answer"),
        ("a.jsonl.gz", GOOD, "is not gzip"),
        ("a.jsonl.gz", gzip.compress(GOOD, mtime=0)[:-6], "is not gzip, or not whole"),
    ],
)
def test_files_that_hold_nothing(tmp_path, name, content, message):
    assert message in problems(recorded(tmp_path, content, name))[0]


def test_an_absent_file(tmp_path):
    assert "cannot be read" in problems(RecordedAnswers(tmp_path / "absent.jsonl"))[0]


def test_a_windows_file_reads_the_same(tmp_path):
    content = b"\xef\xbb\xbf" + json.dumps({"case_id": "case-0", "response": "A"}).encode() + b"\r\n"
    assert Asker(recorded(tmp_path, content)).ask(cases(1)) == [Answer(response="A")]


def test_no_limit_or_budget_holds_what_was_paid_before(tmp_path):
    lines = b"".join(b'{"case_id": "case-%d", "response": "A", "cost_usd": 2.0}\n' % number for number in range(50))
    clock = ManualClock()
    asker = Asker(
        recorded(tmp_path, lines),
        limits=AskLimits(requests_per_minute=1, deadline_seconds=1),
        budget=RunBudget(1.0, 1),
        clock=clock,
    )
    answers = asker.ask(cases(50), repeats=2)
    assert [answer.status for answer in answers] == ["ok", "failed"] * 50
    assert asker.progress == Progress(total=100, answered=50, failed=50)
    assert clock.monotonic() == ManualClock().monotonic()

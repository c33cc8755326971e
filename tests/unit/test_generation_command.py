"""A command as the model: what it reads, how it ends, and that nothing of it is left running."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalsvc.cases.values import Case
from evalsvc.errors import EngineError, InputError
from evalsvc.generation import Answer, Asker, AskLimits, CommandModel, Generator, Request
from evalsvc.types import Message
from generators import cases

CASE = Case(case_id="a", prompt='Why "$HOME"; é?', contexts=("One.",), reference="secret", segments={"plan": "pro"})
ASK = Request(CASE, 2, 9)


def python(code: str, *arguments: str, **options) -> CommandModel:
    return CommandModel([sys.executable, "-c", code, *arguments], **options)


def test_the_case_is_on_standard_input_without_its_reference():
    model = python("import sys; print(sys.stdin.read(), end='')")
    assert isinstance(model, Generator)
    answer = model.generate(ASK)
    assert json.loads(answer.response) == {
        "case_id": "a",
        "prompt": CASE.prompt,
        "contexts": ["One."],
        "segments": {"plan": "pro"},
        "tags": [],
        "repeat": 2,
        "seed": 9,
    }
    assert answer.latency_ms > 0.0


def test_the_prompt_may_be_an_argument_and_no_shell_reads_it():
    model = python("import sys; print(sys.argv[1], len(sys.stdin.read()))", "Q: {prompt}")
    assert model.generate(ASK).response == f"Q: {CASE.prompt} 0"
    chat = Case(case_id="b", prompt=(Message("system", "Be brief."), Message("user", "Why?")))
    assert model.generate(Request(chat, 0, 0)).response == "Q: Be brief.\nWhy? 0"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["sort", "{prompt}"], 'write [sort, --, "{prompt}"] if it knows `--`'),
        (["sort", "-r", "{prompt}.txt"], "a prompt that begins with - would be an option of sort"),
        (["sort", "{prompt}", "--"], "Expected an argument `--` before {prompt}"),
        (["sh", "-c", "echo {prompt}"], "in what sh runs as code"),
        (["/bin/bash", "-ec", "--", "{prompt}"], None),
        (["python3", "-c", "print('{prompt}')", "x"], "read the `prompt` of the JSON object on standard input"),
        (["sort", "--", "{prompt}"], None),
        (["sort", "--key={prompt}"], None),
    ],
)
def test_no_prompt_is_read_as_an_option_or_as_code(argv, told):
    if told is None:
        CommandModel(argv)
        return
    with pytest.raises(InputError) as caught:
        CommandModel(argv)
    assert told in str(caught.value)


def test_a_prompt_with_a_dash_is_the_program_s_text(tmp_path):
    written = tmp_path / "written"
    case = Case(case_id="a", prompt=f"--output={written}")
    model = CommandModel(["sort", "--", "{prompt}"], tmp_path)
    assert "exit status 2" in model.generate(Request(case, 0, 0)).reason
    assert not written.exists()


def test_fields_of_an_answer_as_json():
    model = python('print(\'{"response": "x", "cost_usd": 0.5, "latency_ms": 3}\')', output="json")
    assert model.generate(ASK) == Answer(response="x", cost_usd=0.5, latency_ms=3.0)


@pytest.mark.parametrize(
    ("code", "output", "reason"),
    [
        ("import sys; sys.exit('secret words')", "text", "exit status 1; last line of standard error: 12 characters"),
        ("import sys; sys.exit(3)", "text", "exit status 3; last line of standard error: 0 characters"),
        ("import os; os.abort()", "text", "ended by signal 6; last line of standard error: 0 characters"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "text", "output is not UTF-8"),
        ("print('well')", "json", "output is not JSON"),
        ("print('[]')", "json", "no fields of an answer"),
        ('print(\'{"status": "failed", "reason": "Ada"}\')', "json", "the model reported an error"),
        ('print(\'{"status": "failed", "reason": "time-out"}\')', "json", "time-out"),
        ("print('x' * 5_000_000)", "text", "output longer than 4194304 bytes"),
        ("while True: print('x' * 100_000)", "text", "output longer than 4194304 bytes"),
        ("", "text", "empty answer"),
    ],
)
def test_each_failure(code, output, reason):
    (answer,) = Asker(python(code, output=output)).ask([CASE])
    assert (answer.status, answer.response, answer.reason) == ("failed", "", reason)


def test_much_on_standard_error_blocks_nothing():
    code = "import sys\nfor _ in range(100): print('e' * 10_000, file=sys.stderr)\nprint('well')"
    assert python(code).generate(ASK).response == "well"


def gone(process_id: int) -> bool:
    """Whether a process has ended, as a zombie nobody waited for or altogether."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def within(seconds: float, condition) -> bool:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return condition()


START_A_CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "open(sys.argv[1], 'w').write(str(child.pid))\n"
)


@pytest.mark.parametrize(("then", "reason"), [("time.sleep(60)", "no answer in time"), ("print('well')", "")])
def test_what_it_started_ends_with_it(tmp_path, then, reason):
    note = tmp_path / "pid"
    model = python(START_A_CHILD + then, str(note), timeout_seconds=1.5)
    begun = time.monotonic()
    answer = model.generate(ASK)
    assert answer.reason == reason
    assert time.monotonic() - begun < 10.0
    assert within(5.0, lambda: gone(int(note.read_text())))


def test_an_interrupted_run_leaves_no_command_behind(tmp_path):
    note = tmp_path / "pid"
    code = (
        "import sys, threading, time\n"
        "from evalsvc.cases.values import Case\n"
        "from evalsvc.generation import CommandModel, Request\n"
        "body = 'import os, sys, time; open(sys.argv[1], \"w\").write(str(os.getpid())); time.sleep(60)'\n"
        "model = CommandModel([sys.executable, '-c', body, sys.argv[1]])\n"
        "ask = lambda: model.generate(Request(Case(case_id='a', prompt='x'), 0, 0))\n"
        "threading.Thread(target=ask, daemon=True).start()\n"
        "import pathlib\n"
        "while not (pathlib.Path(sys.argv[1]).exists() and pathlib.Path(sys.argv[1]).read_text()): time.sleep(0.01)\n"
    )
    checkout = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, str(note)], check=True, timeout=60, cwd=checkout)
    assert within(5.0, lambda: gone(int(note.read_text())))


def test_several_at_once(tmp_path):
    model = python("import sys, json; print(json.load(sys.stdin)['prompt'])")
    answers = Asker(model, limits=AskLimits(concurrency=4)).ask(cases(12))
    assert [answer.response for answer in answers] == [f"prompt {number}" for number in range(12)]


def test_its_files_are_its_version(tmp_path):
    script = tmp_path / "answer.sh"
    script.write_text("#!/bin/sh\necho one\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    first = CommandModel(["./answer.sh"], tmp_path)
    assert first.generate(ASK).response == "one"
    script.write_text("#!/bin/sh\necho two\n")
    second = CommandModel(["./answer.sh"], tmp_path)
    other = CommandModel(["./answer.sh", "-v"], tmp_path)
    assert len({first.signature, second.signature, other.signature}) == 3
    assert (first.model, second.model_version == first.model_version) == ("answer.sh", False)
    named = CommandModel(["./answer.sh"], tmp_path, model="bot", version="7")
    assert (named.model, named.model_version) == ("bot", "7")


def test_what_it_sees_is_in_the_key():
    other = Case(case_id="b", prompt=CASE.prompt)
    assert python("").seen(CASE) != python("").seen(other)
    assert python("", "--", "{prompt}").seen(CASE) == python("", "--", "{prompt}").seen(other) == ""
    assert "secret" not in python("").seen(CASE)


def test_an_argument_that_no_system_takes():
    model = python("", "--", "{prompt}")
    assert model.generate(Request(Case(case_id="a", prompt="a\0b"), 0, 0)).reason == (
        "the command cannot be started (ValueError)"
    )
    size = 2 * os.sysconf("SC_ARG_MAX")
    answer = model.generate(Request(Case(case_id="a", prompt="x" * size), 0, 0))
    assert answer.reason == "the command cannot be started (OSError)"


@pytest.mark.parametrize("name", ["no-such-program-at-all", "./absent.sh", "./folder"])
def test_no_such_program(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(EngineError, match="Expected `command` to begin with a program, but "):
        CommandModel([name], tmp_path).load()


@pytest.mark.parametrize(
    ("argv", "options", "message"),
    [
        ([], {}, "a list of a program"),
        ("ls -l", {}, "a list of a program"),
        (["ls"], {"timeout_seconds": 0.0}, "`timeout_seconds` above 0"),
    ],
)
def test_wrong_arguments(argv, options, message):
    with pytest.raises(InputError, match=message):
        CommandModel(argv, **options)

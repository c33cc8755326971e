"""The command line in-process: answers, exit codes, one-line errors, and that help is quick."""

from __future__ import annotations

import json
import logging
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evalsvc import __version__, cli, project
from evalsvc._cli_output import Progress
from evalsvc.cli import EXIT_CODES, build_parser, exit_code, main
from evalsvc.errors import (
    ConfigError,
    EngineError,
    EvalsvcError,
    InputError,
    MissingExtra,
    ModelRefused,
    SchemaError,
    SourceUnavailable,
    StoreBusy,
    StoreUnavailable,
    TooManyDeadLetters,
    TopicNotFound,
)
from evalsvc.project import ConsumerConfig, HttpConfig
from evalsvc.scorers.readability import Readability
from evalsvc.testing import ManualClock

ROOT = Path(__file__).parents[2]

SAMPLED = re.compile(r"([\d,]+) sampled")


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A starter project, with its folder as the current one."""
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    for variable in ("EVALSVC_STORE", "EVALSVC_API"):
        monkeypatch.delenv(variable, raising=False)
    capsys.readouterr()
    return tmp_path


def test_no_arguments_print_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"evalsvc {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["chek"],
        ["query"],
        ["query", "x", "--confidence", "95"],
        ["query", "x", "--where", "plan"],
        ["query", "x", "--format", "xml"],
        ["up", "--port", "70000"],
        ["replay"],
        ["--log-format", "xml", "check"],
    ],
)
def test_a_wrong_command_line_is_2_with_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: evalsvc" in capsys.readouterr().err


def test_every_exit_code_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for code in EXIT_CODES:
        assert f"| {code} |" in page


def test_every_command_and_option_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    (commands,) = [action.choices for action in build_parser()._actions if isinstance(action.choices, dict)]
    for name, command in [*commands.items()]:
        (actions,) = [a.choices for a in command._actions if isinstance(a.choices, dict)] or [{}]
        commands |= {f"{name} {action}": choice for action, choice in actions.items()}
    for name, command in commands.items():
        assert f"`evalsvc {name.removesuffix(' list')}" in page
        for action in command._actions:
            longest = max(action.option_strings, key=len, default="")
            assert longest in page or longest == "--help"


def test_every_key_of_a_consumer_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "consumers.md").read_text(encoding="utf-8")
    structs = (
        ConsumerConfig,
        HttpConfig,
        project.KafkaConfig,
        project.FilesConfig,
        project.Limits,
        project.Settings,
    )
    unlike = {"name": "consumer", "path": "consumer", "design": "sampling", "requires": "requires-evalsvc"}
    for struct in structs:
        for field in struct.__struct_fields__:
            assert f"`{unlike.get(field, field)}" in page, field


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TooManyDeadLetters("x"), 1),
        (ConfigError("x"), 2),
        (InputError("x"), 2),
        (MissingExtra("kafka-python", "kafka"), 2),
        (TopicNotFound("x"), 2),
        (SchemaError("x"), 2),
        (ModelRefused("x"), 2),
        (SourceUnavailable("x"), 3),
        (StoreUnavailable("x"), 3),
        (StoreBusy("x"), 3),
        (EngineError("x"), 3),
    ],
)
def test_exit_codes(error: EvalsvcError, code: int) -> None:
    assert exit_code(error) == code


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def check(options: object) -> int:
        raise error

    monkeypatch.setattr("evalsvc._cli_project.check", check)


def test_a_users_mistake_is_one_line_and_verbose_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, StoreUnavailable("the store is down"))
    assert main(["check"]) == 3
    assert capsys.readouterr().err == "evalsvc: the store is down\n"
    assert main(["check", "-v"]) == 3
    assert "Traceback" in capsys.readouterr().err
    assert main(["-v", "check"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, ZeroDivisionError("x"))
    assert main(["check"]) == 70
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "a bug in evalsvc" in shown


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["check"]) == 130
    assert capsys.readouterr().err == "evalsvc: interrupted\n"


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m evalsvc.cli check {ROOT}/tests/unit/bad | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1] in ("141", "1")


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = "import sys; from evalsvc.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    for module in (
        "torch",
        "clickhouse_connect",
        "chdb",
        "kafka",
        "pyarrow",
        "presidio_analyzer",
        "numpy",
        "yaml",
        "tqdm",
    ):
        assert module not in loaded
    ours, bare = [], []
    for _ in range(3):
        ours.append(_cpu_seconds("from evalsvc.cli import main; main(['--help'])"))
        bare.append(_cpu_seconds("import argparse, msgspec"))
    assert min(ours) < 2.5 * min(bare)


def _cpu_seconds(code: str) -> float:
    """CPU time, since wall time on a busy machine says nothing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_init_never_overwrites(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = started / "consumers" / "quality.yaml"
    path.write_text("mine")
    (started / "data" / "example.jsonl").unlink()
    assert main(["init"]) == 0
    shown = capsys.readouterr().out
    assert "kept   consumers/quality.yaml" in shown
    assert "wrote  data/example.jsonl" in shown
    assert path.read_text() == "mine"


def test_init_beside_a_pyproject_of_ones_own_says_what_to_add(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    assert main(["init", str(tmp_path)]) == 0
    assert "add [tool.evalsvc] to pyproject.toml" in capsys.readouterr().out


def test_init_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "x")]) == 2
    assert capsys.readouterr().err.startswith("evalsvc: Cannot write the starter project")


def test_what_init_writes_passes_check(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "6 files checked, no problem: quality, 10 rules, 12 tests of rules, 1 suite\n"
    assert shown.err == "evalsvc: nobody is told of alerts before alerts/routes.yaml names a receiver\n"
    lines = (started / "data" / "example.jsonl").read_text(encoding="utf-8").splitlines()
    assert len({json.loads(line)["occurred_at"] for line in lines}) == len(lines) == 8


def test_our_own_project_passes_check_and_is_told_what_to_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVALSVC_MASKING_KEY", raising=False)
    assert main(["check", str(ROOT / "consumers")]) == 0
    shown = capsys.readouterr()
    assert shown.out == "1 file checked, no problem: quality\n"
    assert "quality masks with `hash` and will not start before EVALSVC_MASKING_KEY is set" in shown.err
    monkeypatch.setenv("EVALSVC_MASKING_KEY", "ab" * 32)
    assert main(["check", str(ROOT / "consumers")]) == 0
    assert capsys.readouterr().err == ""


def test_check_prints_every_problem(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = started / "consumers" / "quality.yaml"
    path.write_text(path.read_text().replace("rate: 1.0", "rate: 3").replace("- refusal", "- refusals"))
    assert main(["check"]) == 1
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 2
    assert shown.out.startswith("consumers/quality.yaml:")
    assert shown.err == "evalsvc: 2 problems in 6 files\n"


def test_check_with_nothing_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path)]) == 1
    assert "evalsvc init" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "qualty"], "did you mean `quality`"),
        (["run", "consumers/none.yaml"], "is not there"),
        (["replay", "nothing.jsonl"], "no such file"),
        (["replay", "data", "--field", "q=promt"], "did you mean `prompt`"),
        (["replay", "data", "--set", "app=x"], "Expected --set to name a field"),
        (["--store", "mysql://db", "migrate"], "Expected a store as embedded:PATH"),
    ],
)
def test_mistakes_are_one_line_and_2(
    started: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert set(shown.splitlines()[:-1]) <= {"replay: starting"}


def test_replay_says_what_became_of_the_events(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", "memory:", "replay", "data/example.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("replay: 8 records read (8 sampled), 296 scores written")


def test_replay_says_where_records_are_not_events(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = (started / "data" / "example.jsonl").read_text()
    (started / "mixed.jsonl").write_text('{"secret": "hush"\n' + good + '{"id": 1}\n{"secret": "hush"\n')
    assert main(["--store", "memory:", "replay", "mixed.jsonl"]) == 1
    shown = capsys.readouterr()
    assert "11 records read (8 sampled, 3 dead letters)" in shown.out
    lines = [line for line in shown.err.splitlines() if " × " in line]
    assert len(lines) == 2
    assert lines[0].startswith("2 × ")
    assert "mixed.jsonl:1: " in lines[0]
    assert "mixed.jsonl:10: " in lines[1]
    assert "hush" not in shown.err


def test_an_empty_file_is_not_one_that_was_read(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (started / "empty.jsonl").touch()
    assert main(["--store", "memory:", "replay", "empty.jsonl"]) == 0
    assert "there is no event in what was named" in capsys.readouterr().err


def test_an_interrupted_replay_says_so_and_goes_on(started: Path) -> None:
    """A script that asks next would take a part for the whole."""
    event = (started / "data" / "example.jsonl").read_text().splitlines()[0]
    rows = (json.loads(event) | {"event_id": f"many-{number}"} for number in range(250))
    (started / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # The first run reads one chunk and no more, so that however slow the machine is, the signal comes before the end.
    script = """
import sys, time
from evalsvc import _cli_output, cli
from evalsvc.sources.files import FileSource
whole = FileSource.poll
def one_chunk(self, timeout_seconds, taken=[]):
    if taken:
        time.sleep(0.02)
        return ()
    self.max_records = 200
    taken.extend(whole(self, timeout_seconds))
    return taken
_cli_output.FIRST_LINE_SECONDS = _cli_output.LINE_SECONDS = 0.1
FileSource.poll = one_chunk
raise SystemExit(cli.main())
"""
    command = [sys.executable, "-c", script, "replay", "many.jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "of about" in line:
                process.send_signal(signal.SIGINT)
                break
        out, rest = process.communicate(timeout=60)
    assert process.returncode == 130, [*lines, rest]
    assert "interrupted before the end; the same command goes on from there" in rest
    again = subprocess.run(
        [sys.executable, "-m", "evalsvc", "replay", "many.jsonl"], capture_output=True, text=True, check=True
    )
    sampled = [int(found[1].replace(",", "")) for text in (out, again.stdout) if (found := SAMPLED.search(text))]
    assert len(sampled) == 2
    assert sum(sampled) == 250


def test_a_second_replay_says_why_it_does_nothing_and_loads_nothing(
    started: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = Readability.load

    def noting(self: Readability) -> None:
        loaded.append(self.spec.metric)
        load(self)

    monkeypatch.setattr(Readability, "load", noting)
    assert main(["replay", "data/example.jsonl"]) == 0
    assert loaded == ["readability"]
    capsys.readouterr()
    assert main(["replay", "data/example.jsonl"]) == 0
    assert loaded == ["readability"]
    said = capsys.readouterr()
    assert "was read before, under the name 'replay'" in said.err
    assert said.out.startswith("replay: 0 records read, 0 scores written")


@pytest.mark.parametrize("consumer", ["consumers/quality.yaml", "quality"])
def test_replay_by_a_consumer(started: Path, capsys: pytest.CaptureFixture[str], consumer: str) -> None:
    rows = [{"query": "Hi", "answer": "Hello", "when": "2020-01-01T00:00:00Z", "key": str(i)} for i in range(3)]
    (started / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = [f"--field={pair}" for pair in ("query=prompt", "answer=response", "when=occurred_at", "key=event_id")]
    arguments = [
        "replay",
        "rows.jsonl",
        "--consumer",
        consumer,
        *fields,
        "--set",
        "application=support",
    ]
    assert main([*arguments, "--store", "memory:"]) == 0
    assert capsys.readouterr().out.startswith("quality: 3 records read (3 sampled), 18 scores written")


def test_too_many_dead_letters_are_1(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (started / "noise.jsonl").write_text('{"no": "event"}\n' * 3000)
    assert main(["--store", "memory:", "replay", "noise.jsonl"]) == 1
    assert "are not events" in capsys.readouterr().err


def test_migrate_says_what_it_does_once(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--dry-run"]) == 0
    assert "to do: " in capsys.readouterr().out
    assert main(["migrate"]) == 0
    assert "done: " in capsys.readouterr().out
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "the schema is up to date\n"


def test_log_lines_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    from evalsvc._cli_output import set_up_logging

    set_up_logging("json", verbose=True)
    logging.getLogger("evalsvc.test").debug("began n=%d", 3)
    try:
        raise InputError("x")
    except InputError:
        logging.getLogger("evalsvc.test").exception("failed")
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (first["message"], first["level"], first["logger"]) == ("began n=3", "debug", "evalsvc.test")
    assert first["time"].endswith("Z")
    assert "InputError: x" in second["error"]
    set_up_logging("text", verbose=False, quiet=True)
    logging.getLogger("evalsvc.test").info("hidden")
    assert capsys.readouterr().err == ""


class _Terminal:
    def __init__(self, *, tty: bool) -> None:
        self.tty, self.text = tty, ""

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


@pytest.mark.parametrize(("tty", "sign"), [(True, "work:"), (False, "work: 3 of about 12 events (25%)")])
def test_progress_is_a_bar_only_on_a_terminal(tty: bool, sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from evalsvc import _cli_output

    monkeypatch.setattr(_cli_output, "FIRST_LINE_SECONDS", 0.05)
    stream = _Terminal(tty=tty)
    note = "judge for 42 s"
    with _cli_output.Progress("work", "events", lambda: (3, 12), lambda: note, stream):  # type: ignore[arg-type]
        time.sleep(0.8)
    assert sign in stream.text
    assert note in stream.text
    assert ("\r" in stream.text) is tty


def test_progress_lines_come_soon_and_then_every_half_minute() -> None:
    clock, far = ManualClock(), [0, 0]
    notes = ["loading judge for 5 s"]
    progress = Progress("replay", "events", lambda: (far[0], far[1]), lambda: notes[-1], monotonic=clock.monotonic)
    said = []
    for second in range(1, 100):
        clock.advance(1)
        if second == 20:
            far[:] = [0, 75]
            notes.append("75 read, 0 scores written; judge for 15 s; longest: judge 15 s")
        if second == 60:
            far[:], notes[-1] = [75, 75], ""
        if line := progress.line():
            said.append((second, line))
    assert said == [
        (5, "replay: starting; loading judge for 5 s"),
        (35, "replay: 0 of about 75 events (0%), 0/s; 75 read, 0 scores written; judge for 15 s; longest: judge 15 s"),
        (65, "replay: 75 of about 75 events (100%), 1/s"),
    ]


def test_handlers_exist() -> None:
    """Every command's handler is where the parser says; importing it is what the command would do first."""
    import importlib

    (commands,) = [action.choices for action in build_parser()._actions if isinstance(action.choices, dict)]
    for command in commands.values():
        module, _, name = command.get_default("handler").partition(":")
        handler: Callable[[object], int] = getattr(importlib.import_module(module), name)
        assert callable(handler)


def test_the_module_runs(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "evalsvc.cli", "check"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == cli.FINDINGS


def test_demo_finds_a_busy_port_before_its_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 2
    shown = capsys.readouterr().err
    assert str(port) in shown
    assert not list(tmp_path.iterdir())


def test_another_packages_line_is_shown_once_in_a_while() -> None:
    import logging

    from evalsvc._cli_output import SPARING_SECONDS, Sparing

    now = [0.0]
    sparing = Sparing(lambda: now[0])

    def shown(name: str, text: str, *filled: object) -> bool:
        return sparing.filter(logging.LogRecord(name, logging.WARNING, "", 0, text, filled, None))

    assert [shown("kafka.net", "Connection failed: %s", place) for place in "abc"] == [True, False, False]
    assert shown("kafka.net", "Bootstrap failed: %s", "a")
    assert [shown("evalsvc.worker", "waiting_for source") for _ in "ab"] == [True, True]
    now[0] += SPARING_SECONDS
    assert shown("kafka.net", "Connection failed: %s", "a")

"""A command as the model under test: started for each request, without a shell, and ended with all that it started."""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, NamedTuple

import msgspec

from evalsvc.cases.values import Case, digest_of
from evalsvc.errors import EngineError, InputError
from evalsvc.generation.callable_modules import Mistake
from evalsvc.generation.command_program import program_of
from evalsvc.generation.values import Answer, Request, answer_of, failed

MAX_OUTPUT_BYTES = 4 << 20
"""More than that is no answer: the command is ended."""
_KEPT_ERROR_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 16
_GRACE_SECONDS = 1.0
_PROMPT = "{prompt}"
_INTERPRETERS = re.compile(r"(ba|da|z|k|fi|a)?sh|busybox|python[0-9.]*|perl|ruby|node|php|pwsh|powershell")
_CODE = re.compile(r"-[a-zA-Z]*[cCeEr]|--eval|--print|--command")

_running: set[int] = set()


class CommandModel:
    """A generator that runs a command, several at once.

    It reads one JSON object from standard input (``case_id``, ``prompt``, ``contexts``, ``segments``, ``tags``,
    ``repeat``, ``seed``; never the reference), or is given the prompt's text in place of ``{prompt}`` in an argument.
    One that begins with it has to come after ``--``, since a prompt may begin with a dash. Its standard output is the
    answer, or with ``output="json"`` the fields of an :class:`Answer` as an object.

    Args:
        argv: the command and its arguments.
        folder: where it runs, and what its paths are relative to.
        timeout_seconds: how long one request may take.
        output: what standard output holds.
        model: what reports call it; empty is the command's name.
        version: of what the command runs; a change of it is another model.

    Raises:
        InputError: when there is no command, its time-out is not above 0, or a prompt could be read as an option or as
            code.
    """

    cacheable = True
    recorded = False

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path | None = None,
        *,
        timeout_seconds: float = 60.0,
        output: Literal["text", "json"] = "text",
        model: str = "",
        version: str = "",
    ) -> None:
        if isinstance(argv, str) or not argv or not argv[0]:
            raise InputError(f"Expected `command` to be a list of a program and its arguments, but got {argv!r}")
        if not 0.0 < timeout_seconds < float("inf"):
            raise InputError(f"Expected `timeout_seconds` above 0, but got {timeout_seconds!r}")
        _check_prompt(argv)
        self.argv, self.folder, self._timeout = tuple(argv), folder or Path(), timeout_seconds
        self._output, self._version = output, version
        self.model = model or Path(argv[0]).name
        self._files = ""
        self._program = ""

    @property
    def model_version(self) -> str:
        """The version given, or the beginning of the digest of the command's files."""
        self.load()
        return self._version or self._files[:12]

    @property
    def signature(self) -> str:
        """The command line, the files that it names, and the version."""
        self.load()
        return f"command:{digest_of(self.argv, 16)}|files:{self._files}|output:{self._output}|version:{self._version}"

    def load(self) -> None:
        """Find the program, and read the files that the command line names; starts nothing.

        Raises:
            EngineError: when there is no such program.
        """
        if self._program:
            return
        found = program_of(self.argv[0], self.folder)
        if isinstance(found, Mistake):
            hint = f"; {found.hint}" if found.hint else ""
            raise EngineError(f"Expected `command` to begin with a program, but {found.message}{hint}")
        digest = hashlib.sha256()
        for path in (Path(found), *(self.folder / argument for argument in self.argv[1:])):
            with suppress(OSError, ValueError):
                digest.update(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"-")
        self._program, self._files = found, digest.hexdigest()[:32]

    def mistake(self, *, installed: bool = True) -> Mistake | None:
        """Return why its program cannot be started, without starting it.

        Args:
            installed: whether programs of this machine are looked for; without, only files beside the suite.
        """
        found = program_of(self.argv[0], self.folder) if installed or "/" in self.argv[0] else ""
        return found if isinstance(found, Mistake) else None

    def seen(self, case: Case) -> str:
        """Return what of the case standard input holds; '' where the prompt is an argument."""
        return "" if self._takes_argument else _input(Request(case, 0, 0)).decode()

    def estimate_usd(self, request: Request) -> float:
        """Return 0: what a command costs, it says afterwards."""
        return 0.0

    def generate(self, request: Request) -> Answer:
        """Run it to its end, or to the time-out."""
        self.load()
        prompt = "\n".join(message.content for message in request.case.messages)
        arguments = [argument.replace(_PROMPT, prompt) for argument in self.argv[1:]]
        given = b"" if self._takes_argument else _input(request)
        begun = time.perf_counter()
        try:
            ended = _run([self._program, *arguments], self.folder, given, self._timeout)
        except (OSError, ValueError) as error:  # no memory, or an argument that is too long or holds a NUL
            return failed(f"the command cannot be started ({type(error).__name__})")
        took = (time.perf_counter() - begun) * 1000.0
        if ended.problem:
            return failed(ended.problem)
        answer = self._read(ended.output)
        if answer.status == "ok" and answer.latency_ms is None:
            return msgspec.structs.replace(answer, latency_ms=took)
        return answer

    @property
    def _takes_argument(self) -> bool:
        return any(_PROMPT in argument for argument in self.argv[1:])

    def _read(self, output: bytes) -> Answer:
        if self._output == "json":
            try:
                return answer_of(msgspec.json.decode(output))
            except (msgspec.DecodeError, UnicodeDecodeError):
                return failed("output is not JSON", permanent=True)
        try:
            return Answer(response=output.decode().removesuffix("\n").removesuffix("\r"))
        except UnicodeDecodeError:
            return failed("output is not UTF-8", permanent=True)


def _check_prompt(argv: Sequence[str]) -> None:
    """Refuse a place for the prompt where its author could say what the program does."""
    for place, argument in enumerate(argv[1:], start=1):
        if _PROMPT not in argument:
            continue
        if _INTERPRETERS.fullmatch(Path(argv[0]).name) and _CODE.fullmatch(argv[place - 1]):
            raise InputError(
                f"Expected no {_PROMPT} in what {argv[0]} runs as code, but got {argument!r}; leave it out, and read "
                "the `prompt` of the JSON object on standard input"
            )
        if argument.startswith(_PROMPT) and "--" not in argv[1:place]:
            raise InputError(
                f"Expected an argument `--` before {_PROMPT}, since a prompt that begins with - would be an option of "
                f'{argv[0]}; write [{", ".join([*argv[:place], "--"])}, "{_PROMPT}"] if it knows `--`, else leave it '
                "out, and read the `prompt` of the JSON object on standard input"
            )


class _Ended(NamedTuple):
    """How a command ended: its output, or what went wrong."""

    output: bytes
    problem: str = ""


def _input(request: Request) -> bytes:
    case = request.case
    fields = {
        "case_id": case.case_id,
        "prompt": case.prompt,
        "contexts": case.contexts,
        "segments": case.segments,
        "tags": case.tags,
        "repeat": request.repeat,
        "seed": request.seed,
    }
    return msgspec.json.encode(fields) + b"\n"


def _run(command: list[str], folder: Path, given: bytes, timeout_seconds: float) -> _Ended:
    process = subprocess.Popen(  # noqa: S603 - the operator's own command, and no shell
        command,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _running.add(process.pid)
    pipes = _Pipes(process, given)
    try:
        process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        return _Ended(b"", "no answer in time")
    finally:
        # What it started goes with it, and lets go of the pipes; what they hold already is read.
        _end(process.pid)
        process.wait()
        _running.discard(process.pid)
        pipes.join(_GRACE_SECONDS)
        pipes.close()
    return _judged(process.returncode, pipes)


def _judged(status: int, pipes: _Pipes) -> _Ended:
    if pipes.too_long:
        return _Ended(b"", f"output longer than {MAX_OUTPUT_BYTES} bytes")
    if status == 0:
        return _Ended(bytes(pipes.output))
    lines = bytes(pipes.errors).decode("utf-8", "replace").rstrip().splitlines()
    how = f"exit status {status}" if status > 0 else f"ended by signal {-status}"
    return _Ended(b"", f"{how}; last line of standard error: {len(lines[-1]) if lines else 0} characters")


class _Pipes:
    """Feeds a process and takes what it says, in threads: none of its pipes fills up."""

    def __init__(self, process: subprocess.Popen[bytes], given: bytes) -> None:
        self.output, self.errors, self.too_long = bytearray(), bytearray(), False
        self._process = process
        jobs = (
            (self._feed, process.stdin, given),
            (self._take, process.stdout, self.output),
            (self._take, process.stderr, self.errors),
        )
        self._threads = [threading.Thread(target=job, args=arguments, daemon=True) for job, *arguments in jobs]
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Wait a little for what was said to arrive."""
        ends = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))

    def close(self) -> None:
        """Close the pipes that nobody reads or writes any more."""
        for thread, pipe in zip(
            self._threads, (self._process.stdin, self._process.stdout, self._process.stderr), strict=True
        ):
            if pipe is not None and not thread.is_alive():
                with suppress(OSError):
                    pipe.close()

    def _feed(self, pipe: IO[bytes], given: bytes) -> None:
        # A command may answer without reading what it is given.
        with suppress(OSError):
            pipe.write(given)
        with suppress(OSError):
            pipe.close()

    def _take(self, pipe: IO[bytes], into: bytearray) -> None:
        while block := os.read(pipe.fileno(), _BLOCK_BYTES):
            into += block
            if into is self.errors:
                del into[:-_KEPT_ERROR_BYTES]
            elif len(into) > MAX_OUTPUT_BYTES:
                self.too_long = True
                _end(self._process.pid)
                return


def _end(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


@atexit.register
def _end_all() -> None:
    # An interrupted run leaves no command behind.
    for group in tuple(_running):
        _end(group)

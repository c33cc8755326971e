"""A Python function as the model under test: ``module:attribute``, ``file.py:attribute``, or the function itself."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import threading
import time
import traceback
import typing
from collections.abc import Awaitable, Callable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evalsvc._hints import did_you_mean
from evalsvc.cases.values import Case, digest_of
from evalsvc.errors import EngineError
from evalsvc.generation.callable_modules import Mistake, file_of, next_step
from evalsvc.generation.callable_source import GIVEN, mistake_in
from evalsvc.generation.values import Answer, Request, answer_of, failed, told_by_others

if TYPE_CHECKING:
    import asyncio


class CallableModel:
    """A generator that calls a function, from several threads at once.

    The first parameter is given the :class:`Case` where it is called ``case`` or annotated so, the :class:`Request` by
    the same rule, and else the prompt; others that are called ``prompt``, ``contexts``, ``seed`` or ``repeat`` are
    given those by name. It returns a text, an :class:`Answer` or a mapping of an answer's fields, or awaits one.

    Args:
        target: the function, or where it is.
        folder: what ``file.py`` is relative to.
        model: what reports call it; empty is the function's name.
        version: of what the function calls; a change of it is another model.
    """

    recorded = False

    def __init__(
        self, target: str | Callable[..., Any], folder: Path | None = None, model: str = "", version: str = ""
    ) -> None:
        self._target, self._folder, self._version = target, folder or Path(), version
        self._function: Callable[..., Any] | None = None
        self._plan: tuple[str, tuple[str, ...]] = ("prompt", ())
        self._source = ""
        self._where = target if isinstance(target, str) else f"{_module_of(target)}:{_name(target)}"
        self.model = model or self._where.rpartition(":")[2]
        self._loop = _Loop()

    @property
    def model_version(self) -> str:
        """The version given, or the beginning of the source file's digest."""
        self.load()
        return self._version or self._source[:12]

    @property
    def signature(self) -> str:
        """Where it is, its file's digest, and the version."""
        self.load()
        return f"callable:{self._where}|source:{self._source}|version:{self._version}"

    def signature_read(self) -> str:
        """Return the signature that it has if the function is defined in the file that names it; imports nothing."""
        if self._function is not None or not isinstance(self._target, str):
            return self.signature
        where = self._target.rpartition(":")[0]
        file = self._folder / where if where.endswith(".py") else file_of(where)
        try:
            source = hashlib.sha256(file.read_bytes()).hexdigest()[:32] if isinstance(file, Path) else ""
        except OSError:
            source = ""
        return f"callable:{self._where}|source:{source}|version:{self._version}"

    @property
    def cacheable(self) -> bool:
        """Whether its source is in a file, and it is no function made within another: those may hold anything."""
        self.load()
        return bool(self._source) and "<" not in self._where

    def load(self) -> None:
        """Import the function, once.

        Raises:
            EngineError: when there is no such module or function, or importing it fails.
        """
        if self._function is not None:
            return
        function = _found(self._target, self._folder) if isinstance(self._target, str) else self._target
        if not callable(function):
            raise EngineError(
                f"Expected `callable` {self._where} to be a function, but it is {type(function).__name__}"
            )
        self._plan = _plan(function, self._where)
        self._source = _source_digest(function)
        self._function = function

    def mistake(self, *, installed: bool = True) -> Mistake | None:
        """Return what its source says is wrong, without running any of it.

        Args:
            installed: whether packages of this machine are looked at; without, only files.
        """
        return mistake_in(self._target, self._folder, installed=installed) if isinstance(self._target, str) else None

    def seen(self, case: Case) -> str:
        """Return all of the case where the function is given it; else its prompt and contexts are in the digest."""
        self.load()
        whole = self._plan[0] in ("case", "request")
        return digest_of(msgspec.to_builtins(case)) if whole else ""

    def estimate_usd(self, request: Request) -> float:
        """Return 0: what a function costs, it says afterwards."""
        return 0.0

    def generate(self, request: Request) -> Answer:
        """Call it. What it raises is a failed answer with the exception's type and place, never its text."""
        self.load()
        if self._function is None:  # load() has raised then
            raise EngineError(f"{self._where} is not loaded")
        case = request.case
        values = (case, request, case.prompt, case.contexts, request.seed, request.repeat)
        given: dict[str, Any] = dict(zip(GIVEN, values, strict=True))
        first, named = self._plan
        begun = time.perf_counter()
        try:
            said = self._function(given[first], **{name: given[name] for name in named})
            if inspect.isawaitable(said):
                said = self._loop.result(said)
        except (Exception, SystemExit) as error:  # a model never chooses how a gate ends
            return failed(f"{type(error).__name__} at {_place(error)}")
        took = (time.perf_counter() - begun) * 1000.0
        answer = _read(said)
        if answer.status == "ok" and answer.latency_ms is None:
            return msgspec.structs.replace(answer, latency_ms=took)
        return answer


class _Loop:
    """One event loop in a thread of its own, so that a client that is kept between calls stays with its loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def result(self, awaited: Awaitable[Any]) -> object:
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="evalsvc-callable", daemon=True).start()

        async def wait() -> object:
            try:
                return await awaited
            except SystemExit as error:
                # Raised in a task it would end the loop, and nobody would ever be answered.
                return _Exit(error)

        found = asyncio.run_coroutine_threadsafe(wait(), self._loop).result()
        if isinstance(found, _Exit):
            raise found.error
        return found


class _Exit(NamedTuple):
    """That a coroutine called ``sys.exit``."""

    error: SystemExit


def _read(said: object) -> Answer:
    if isinstance(said, str):
        return Answer(response=said)
    if isinstance(said, Answer):
        return told_by_others(said)
    if isinstance(said, Mapping):
        return answer_of(dict(said))
    return failed(f"the callable returned {type(said).__name__}, and no text or answer")


def _found(target: str, folder: Path) -> object:
    module_name, _, attribute = target.rpartition(":")
    if not module_name or not attribute:
        raise EngineError(f"Expected `callable` like package.module:function or file.py:function, but got {target!r}")
    try:
        found: Any = _from_file(folder / module_name) if module_name.endswith(".py") else _module(module_name)
    except (Exception, SystemExit) as error:
        raise EngineError(f"Importing {module_name} for the `callable` failed: {_why(error)}") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            hint = did_you_mean(name, [each for each in dir(found) if not each.startswith("_")])
            raise EngineError(f"{module_name} has no {attribute!r} ({hint or 'it holds no public name'})")
        found = getattr(found, name)
    return found


class _SourceLoader(SourceFileLoader):
    """Reads the source, never kept bytecode: that is found by second and size, which an edit may leave as they were."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    # A private name: two suites may have a file of one name.
    name = f"_evalsvc_callable_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_SourceLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise ImportError(path.name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _plan(function: Callable[..., Any], where: str) -> tuple[str, tuple[str, ...]]:
    """Return what the first parameter is given, and which others are given by their names."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return "prompt", ()
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise EngineError(f"Expected {where} to take the case or the prompt first, but it takes no argument by place")
    name, hint = parameters[0].name, _hints(function).get(parameters[0].name)
    first = "case" if hint is Case else "request" if hint is Request else "prompt"
    if hint is None and name in ("case", "request"):
        first = name
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for each in parameters[1:]:
        if each.name not in GIVEN and each.kind in by_name and each.default is inspect.Parameter.empty:
            raise EngineError(
                f"Expected {where} to take, beside the first, some of {', '.join(GIVEN)}, but nobody gives it "
                f"`{each.name}`; give that a default"
            )
    return first, tuple(each.name for each in parameters[1:] if each.name in GIVEN)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        plain = inspect.isfunction(function) or inspect.ismethod(function)
        return typing.get_type_hints(function if plain else type(function).__call__)
    except Exception:  # an annotation that names what only a type checker imports
        return {}


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", f"<{type(function).__name__}>"))


def _module_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__module__", None) or "builtins")


def _source_digest(function: Callable[..., Any]) -> str:
    plain = inspect.unwrap(function)
    try:
        path = inspect.getsourcefile(plain if inspect.isroutine(plain) or inspect.isclass(plain) else type(plain))
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32] if path else ""
    except (OSError, TypeError):
        return ""


def _why(error: BaseException) -> str:
    """Return what ended an import: its type and place, and of a module that is not there its name and what to do."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if not name or not all(map(str.isidentifier, name.split("."))):
        return f"{type(error).__name__} at {_place(error)}"
    said, importing = f"there is no module {name!r} here", _importing(error)
    if importing is None:
        return f"{said}; {next_step(name, Path())}"
    file = Path(importing.filename)
    return f"{said}, which {file.name}:{importing.lineno} imports; {next_step(name, file.parent)}"


def _importing(error: BaseException) -> traceback.FrameSummary | None:
    """Return where in somebody else's file an exception was raised; None where in none."""
    frames = traceback.extract_tb(error.__traceback__)
    inner = (Path(__file__), Path(importlib.__file__ or ""))
    theirs = [one for one in frames if not one.filename.startswith("<frozen ") and Path(one.filename) not in inner]
    return theirs[-1] if theirs else None


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno or 1}"
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith("<frozen ")]
    theirs = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    last = (theirs or frames)[-1:]
    return f"{Path(last[0].filename).name}:{last[0].lineno}" if last else "an unknown place"

"""Presidio's own recogniser files, run without the rest of presidio.

``import presidio_analyzer`` imports spaCy, and transformers and torch where they are installed: 20-28 s and
930 MB on a 2-core machine, for regular expressions that need neither. This module runs the files that hold
them under a private import function, so that each ``from presidio_analyzer import X`` inside them reaches
only the file that defines X: 0.2 s and 42 MB, and nothing is put into ``sys.modules``, so that another user
of presidio in the process still gets the whole. ``tests/reference/test_privacy_presidio.py`` compares the
result with the real import.

Presidio's e-mail check asks tldextract for the public suffix list, which by default is downloaded and cached
on disk; here it is the list inside that package, read when first asked for. Nothing is fetched.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from evalsvc.errors import EngineError

ROOT = "presidio_analyzer"

# Where the names live that recogniser files import from the package itself.
DEFINED_IN = {
    "AnalysisExplanation": "analysis_explanation",
    "EntityRecognizer": "entity_recognizer",
    "LocalRecognizer": "local_recognizer",
    "Pattern": "pattern",
    "PatternRecognizer": "pattern_recognizer",
    "RecognizerResult": "recognizer_result",
}


class PresidioPattern(Protocol):
    """A regular expression of presidio's, with its name and score."""

    name: str
    regex: str
    score: float


class PatternRecogniser(Protocol):
    """What evalsvc uses of presidio's ``PatternRecognizer``."""

    patterns: list[PresidioPattern]
    context: list[str]
    global_regex_flags: int

    def validate_result(self, pattern_text: str) -> bool | None:
        """Whether check digits hold; ``None`` where there are none."""
        ...

    def invalidate_result(self, pattern_text: str) -> bool | None:
        """Whether the value can't be one, such as a sample or all zeros."""
        ...


class _PackageFacade(ModuleType):
    """What ``presidio_analyzer`` is inside a recogniser file: names found when they are asked for."""

    def __init__(self, loader: PresidioFiles) -> None:
        super().__init__(ROOT)
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        """Return the class from the file that defines it."""
        if name not in DEFINED_IN:
            raise AttributeError(f"{ROOT} has no {name!r} in the part that evalsvc runs")
        return getattr(self._loader.module(f"{ROOT}.{DEFINED_IN[name]}"), name)


class PresidioFiles:
    """Runs single files of the installed presidio_analyzer, each once.

    Raises:
        EngineError: when presidio_analyzer is not installed.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec(ROOT)
        if spec is None or spec.origin is None:
            raise EngineError("presidio-analyzer is not installed; run: pip install presidio-analyzer")
        self._folder = Path(spec.origin).parent
        self._modules: dict[str, ModuleType] = {ROOT: _PackageFacade(self)}
        nlp_engine = ModuleType(f"{ROOT}.nlp_engine")
        vars(nlp_engine)["NlpArtifacts"] = object
        self._modules[nlp_engine.__name__] = nlp_engine
        self._suffixes: Any = None

    def module(self, name: str) -> ModuleType:
        """Return the module of one file, running it if it was not run before."""
        if name not in self._modules:
            path = self._folder.joinpath(*name.split(".")[1:]).with_suffix(".py")
            module = ModuleType(name)
            module.__file__ = str(path)
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
            self._modules[name] = module
            code = compile(path.read_bytes(), str(path), "exec")
            exec(code, vars(module))  # noqa: S102 - a file of an installed package
        return self._modules[name]

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and fromlist and (name == ROOT or name.startswith(f"{ROOT}.")):
            return self.module(name)
        if name == "tldextract":
            return self._tldextract()
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _tldextract(self) -> ModuleType:
        module = ModuleType("tldextract")
        vars(module)["extract"] = self._split_domain
        return module

    def _split_domain(self, text: str) -> object:
        if self._suffixes is None:
            package: Any = importlib.import_module("tldextract")
            self._suffixes = package.TLDExtract(suffix_list_urls=(), cache_dir=None)
        return self._suffixes(text)


def load_recogniser(files: PresidioFiles, path: str, class_name: str) -> PatternRecogniser:
    """Return presidio's recogniser ``class_name``; ``path`` is its file under ``predefined_recognizers``.

    Raises:
        EngineError: when the installed presidio has no such file or class; the message names both.
    """
    name = f"{ROOT}.predefined_recognizers.{path}"
    try:
        recogniser: PatternRecogniser = getattr(files.module(name), class_name)()
        return recogniser
    except (FileNotFoundError, AttributeError, ImportError) as error:
        raise EngineError(
            f"Expected {class_name} in {name} of the installed presidio-analyzer, but got {error}; "
            "install a version between 2.2.360 and 2.2.366"
        ) from error


def regex_module() -> ModuleType:
    """Return the ``regex`` package, which presidio's patterns are written for; imported when asked for."""
    return importlib.import_module("regex")

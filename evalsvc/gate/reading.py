"""A ``*.suite.yaml`` file as a checked suite: every mistake at once, with its place and a hint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from evalsvc import scorers as registry
from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean
from evalsvc._yaml import Document, Section, Value, raise_problems
from evalsvc.errors import InputError
from evalsvc.gate.reading_gates import Known, read_gates
from evalsvc.gate.suite import BudgetConfig, CasesPlace, Suite
from evalsvc.generation import Generator
from evalsvc.generation.limits import MAX_CONCURRENCY, AskLimits
from evalsvc.generation.reading import read_model
from evalsvc.project import ScorerConfig
from evalsvc.project.scorers import read_scorers
from evalsvc.stats.spending import Spending
from evalsvc.types import ScorerSpec

SUFFIX = ".suite.yaml"
NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
MOST_REPEATS = 100
MOST_LOOKS = 20


def load_suite(path: Path, shown: str | None = None, *, here: bool = True) -> Suite:
    """Read a suite's file.

    Args:
        path: of the file.
        shown: the name that mistakes are told under.
        here: whether to say what its scorers lack on this machine.

    Raises:
        ConfigError: with every mistake.
    """
    document = Document.open(path, shown)
    suite = read_suite(document, path.resolve(), here=here)
    problems = document.finish()
    raise_problems(problems)
    if suite is None:
        raise InputError(f"Expected a suite in {shown or path}, but it could not be read")
    return suite


def suite_name(path: Path) -> str:
    """Return what a suite's file calls the suite, read of nothing else; '' where that cannot be told.

    Mistakes are passed over: whoever reads the suite tells them.
    """
    section = Document.open(path).root
    if section is None:
        return ""
    name = section.get("suite")
    return name.text(pattern=NAME, what="a name") if name else path.name.removesuffix(SUFFIX)


def read_suite(document: Document, path: Path, *, here: bool = False) -> Suite | None:
    """Read a suite; what is wrong is reported to ``document``, and then the result is not to be used."""
    if document.root is None:
        return None
    section = document.root
    name, repeats, seed, level = (section.get(key) for key in ("suite", "repeats", "seed", "level"))
    cases, model = section.need("cases", "a file of cases, as in `cases: cases.jsonl`"), section.need("model")
    baseline, looks, spending = section.get("baseline"), section.get("looks"), section.get("spending")
    listed = section.need("scorers", "as in `scorers: [rouge_l]`")
    configured = read_scorers(listed, here, whose="a suite", rates=False)
    limits, budget = section.get("limits"), section.get("budget")
    times = repeats.integer(0, low=1, high=MOST_REPEATS) if repeats else 1
    compared = baseline.text(pattern=NAME, what="a name of a-z, 0-9, _ and -") if baseline else ""
    specs = _specs(configured)
    # What could not be read is told once, and not again by every gate that needs it.
    known = Known(
        specs=specs,
        repeats=times or MOST_REPEATS,
        baseline=baseline is not None,
        whole=listed is not None and listed.is_list and len(configured) == len(listed.items()),
    )
    place = _cases(cases, path.parent) if cases else None
    gates = read_gates(section.need("gates", "a list, as in `- {metric: rouge_l, not_worse_by: 0.02}`"), known)
    often = looks.integer(0, low=1, high=MOST_LOOKS) if looks else 1
    return Suite(
        name=name.text(pattern=NAME, what="a name of a-z, 0-9, _ and -") if name else path.name.removesuffix(SUFFIX),
        path=path,
        cases=place or CasesPlace(path=path),
        model=_model(model, path.parent),
        scorers=configured,
        gates=tuple(gates.values()),
        places=tuple(gates),
        specs=specs,
        baseline=compared,
        repeats=times or 1,
        seed=seed.integer(0, low=0, high=2**31 - 1) if seed else 0,
        level=level.number(0.05, above=0.0, high=0.4) if level else 0.05,
        looks=often,
        spending=cast("Spending", _spending(spending, often)),
        limits=_limits(limits.section()) if limits else AskLimits(),
        budget=_budget(budget.section()) if budget else BudgetConfig(),
    )


def _spending(value: Value | None, looks: int) -> str:
    if value is None:
        return "obrien-fleming"
    if looks == 1:
        value.problem("`spending` is of several looks, and this suite has one", "set `looks: 2` or leave it out")
    return value.text("obrien-fleming", choices=("obrien-fleming", "pocock"))


def _specs(configured: Sequence[ScorerConfig]) -> Mapping[str, ScorerSpec]:
    built = (registry.create(scorer.name, scorer.options) for scorer in configured)
    return {scorer.spec.metric: scorer.spec for scorer in built}


def _model(value: Value | None, folder: Path) -> Generator | None:
    return read_model(value, folder) if value else None


def _cases(value: Value, folder: Path) -> CasesPlace | None:
    if not value.is_mapping:
        path = _path(value, folder)
        return CasesPlace(path=path) if path else None
    section = value.section()
    where, fields, split, config = (section.get(key) for key in ("path", "fields", "split", "config"))
    if where is None:
        section.need("path", "a file or folder of cases")
        return None
    path = _path(where, folder)
    named = {column: target.text(what="a field of a case") for column, target in fields.section()} if fields else {}
    if path is None:
        return None
    return CasesPlace(
        path=path,
        fields=named,
        split=split.text(what="a split, as in test") if split else "",
        config=config.text(what="a configuration's name") if config else "",
    )


def _path(value: Value, folder: Path) -> Path | None:
    text = value.text(what="a path, relative to this file")
    if not text:
        return None
    path = (folder / text).resolve()
    if not path.exists():
        beside = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
        near = did_you_mean(Path(text).name, beside) if beside else ""
        value.problem(f"no file or folder {text}", near or "paths are relative to this file")
        return None
    return path


def _limits(section: Section) -> AskLimits:
    concurrency, pace, end = (section.get(key) for key in ("concurrency", "requests_per_minute", "deadline"))
    return AskLimits(
        concurrency=concurrency.integer(4, low=1, high=MAX_CONCURRENCY) if concurrency else 4,
        requests_per_minute=pace.number(60.0, above=0.0) if pace else None,
        deadline_seconds=_seconds(end) if end else None,
    )


def _seconds(value: Value) -> float | None:
    try:
        seconds = parse_duration(value.text(what="a duration, as in 30m") or "1s").total_seconds()
    except InputError as error:
        value.problem(str(error))
        return None
    return seconds


def _budget(section: Section) -> BudgetConfig:
    usd, requests = section.get("usd"), section.get("requests")
    return BudgetConfig(
        usd=usd.number(1.0, above=0.0) if usd else None,
        requests=requests.integer(1, low=1) if requests else None,
    )

"""``evalsvc gate``: runs suites and says whether a version may ship.

Its exit codes are those of a gate: 0 pass, 1 fail, 2 an error (whatever it is, so that a CI tells it from a verdict),
3 inconclusive, or what ``--inconclusive`` says.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evalsvc._cli_output import Progress, aligned, terminal_width
from evalsvc._gate_files import Reported, keep, tell_error, write_asked_for
from evalsvc._gate_store import fetch_lacking, opened
from evalsvc._gate_told import all_told, exit_code, told
from evalsvc._paths import shown_path
from evalsvc._plain import harmless, harmless_json
from evalsvc.cli import INTERNAL, INTERRUPTED
from evalsvc.errors import ConfigError, EvalsvcError, InputError, Problem, StoreError
from evalsvc.gate.suite_files import SUFFIX, find_suites, root_for

if TYPE_CHECKING:
    from evalsvc.gate.keeping import Again
    from evalsvc.gate.power import Planned
    from evalsvc.gate.running import Run
    from evalsvc.gate.suite import Suite
    from evalsvc.verdicts import VerdictLog

ERROR = 2
MOST_NAMED = 10
"""How many findings that cannot pass, or hardly ever do, are named before the table."""
OTHERWISE = "`evalsvc audit-set`, which knows no scores, assumes yes or no ones instead and names other sizes"
MANY_OBJECTS = 200_000
"""So many new objects are made before the youngest are looked through."""
MATTERS = 0.05
"""From which difference on the chances under other correlations are printed."""


def gate(options: argparse.Namespace) -> int:
    """Run every suite under the paths; the exit code is the worst of them."""
    before = gc.get_threshold()
    # Cases, answers and scores live to the end: looking for cycles among them takes a sixth of the time.
    gc.set_threshold(MANY_OBJECTS, *before[1:])
    try:
        return _gate(options)
    except EvalsvcError as error:
        print(f"evalsvc: {harmless(str(error))}", file=sys.stderr)
        tell_error(str(error), ERROR, options)
        return ERROR
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        said = f"the run ended without a verdict, since the system refused a file{where}: {error.strerror or error}"
        said += "; see to that, and run it again"
        print(f"evalsvc: {harmless(said)}", file=sys.stderr)
        tell_error(said, ERROR, options)
        return ERROR
    except BaseException as error:
        tell_error(*_ended(error), options)
        raise
    finally:
        gc.set_threshold(*before)


def _ended(error: BaseException) -> tuple[str, int]:
    """Return what ended the command and is no error of an operator, and the exit code that `evalsvc` makes of it."""
    if isinstance(error, KeyboardInterrupt):
        # How far it came, and whether that is kept, is known where the model is asked.
        notes = getattr(error, "__notes__", ())
        return "the command was interrupted" + (f": {'; '.join(notes)}" if notes else "; run it again"), INTERRUPTED
    said = f"the command was ended by {type(error).__name__}"
    if isinstance(error, SystemExit):
        return said, error.code if isinstance(error.code, int) else int(error.code is not None)
    return f"{said}, which is a bug in evalsvc; the command's output has a traceback", INTERNAL


def _gate(options: argparse.Namespace) -> int:
    _check_options(options)
    root = root_for([Path(path) for path in options.paths])
    if options.again:
        return _again(options.again, root, options)
    suites = _suites(options.paths, root, options)
    if options.power:
        return _power(suites, root, options.format)
    if options.record:
        # A store that cannot be written to is told before anything is paid for.
        with open_log(root, options, create=True):
            pass
    runs = [_run(suite, shown, root, options) for suite, shown in suites]
    made = [Reported.of(run) for run in runs]
    kept = keep(made, root)
    if options.record:
        _record(runs, root, options)
    write_asked_for(made, options)
    _print(made, kept, options)
    verdicts = [run.verdict for run in runs]
    for one in verdicts:
        if one.decision == "ERROR":
            print(f"evalsvc: {one.suite}: {harmless(one.error)}", file=sys.stderr)
    return exit_code(verdicts, options.inconclusive)


_OF_A_RUN = {
    "answers": None,
    "sample": None,
    "budget": None,
    "no_cache": False,
    "inconclusive": "code",
    "markdown": None,
    "junit": None,
    "html": None,
    "record": False,
}
"""What only a run looks at, and what it is where it is not given."""


def _check_options(options: argparse.Namespace) -> None:
    """Refuse options that another one leaves nothing to do."""
    for name, formats in (("again", ("table",)), ("power", ("table", "json"))):
        if not getattr(options, name):
            continue
        given = [one for one, absent in _OF_A_RUN.items() if getattr(options, one) != absent]
        given += ["power"] if name == "again" and options.power else []
        if given:
            shown = ", ".join(f"--{one.replace('_', '-')}" for one in given)
            raise InputError(f"Expected --{name} without {shown}, since it runs no suite; drop one of them")
        if options.format not in formats:
            raise InputError(f"Expected --{name} with --format {' or '.join(formats)}, but got {options.format}")


def _suites(paths: Sequence[str], root: Path, options: argparse.Namespace) -> list[tuple[Suite, str]]:
    """Read every suite, so that nothing is asked before all of them are right."""
    from evalsvc.gate.checking import load_checked

    asks, compares = not (options.power or options.answers), not options.power
    given = [Path(path) for path in paths] or [root / _folder(root)]
    files = find_suites(given)
    if not files:
        places = ", ".join(map(str, paths)) or str(given[0])
        raise InputError(f"Expected a suite (*{SUFFIX}) in {places}, but there is none; `evalsvc init` writes one")
    found: list[tuple[Suite, str]] = []
    problems: list[Problem] = []
    for file in files:
        shown = shown_path(file)
        try:
            fetch = partial(fetch_lacking, shown=shown, root=root, options=options)
            found.append((load_checked(file, shown, asks=asks, compares=compares, before=fetch), shown))
        except ConfigError as error:
            if not error.problems:
                raise
            problems += error.problems
    if problems:
        raise ConfigError(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}:", problems)
    names: dict[str, str] = {}
    for suite, shown in found:
        if suite.name in names:
            raise InputError(
                f"Expected suites of different names, but {names[suite.name]} and {shown} are {suite.name!r}"
            )
        names[suite.name] = shown
    return found


def _folder(root: Path) -> str:
    from evalsvc import project

    return project.load_settings(root).settings.suites


def _run(suite: Suite, shown: str, root: Path, options: argparse.Namespace) -> Run:
    from evalsvc._gate_progress import HowFar
    from evalsvc.disk_cache import DiskCache, default_cache_path
    from evalsvc.gate.running import run_suite
    from evalsvc.generation.limits import RunBudget

    generator = None
    if options.answers:
        from evalsvc.generation.recorded import RecordedAnswers

        generator = RecordedAnswers(Path(options.answers))
    budget = RunBudget(options.budget, suite.budget.requests) if options.budget else None
    path = None if options.no_cache else default_cache_path(root)
    far, model = HowFar(), generator or suite.model
    kept = path is not None and model is not None and model.cacheable
    with (
        far.if_interrupted(kept=kept),
        DiskCache.open(path) as cache,
        Progress(suite.name, "answers and scores", far.measure, far.note),
    ):
        return run_suite(
            suite,
            cache,
            shown=shown,
            generator=generator,
            budget=budget,
            sample=options.sample,
            told=far.told,
        )


def _print(made: Sequence[Reported], kept: Sequence[str], options: argparse.Namespace) -> None:
    import msgspec

    if options.format == "json":
        for one in made:
            print(harmless_json(msgspec.json.encode(one.run.verdict).decode()))
    elif options.format == "markdown":
        print("\n".join(one.summary for one in made), end="")
    else:
        print(all_told([one.run.verdict for one in made], kept, terminal_width()))


@contextmanager
def open_log(root: Path, options: argparse.Namespace, *, create: bool = False) -> Iterator[VerdictLog]:
    """Open what the project's store remembers of verdicts, as :func:`evalsvc._gate_store.opened` does."""
    with opened(root, options, create=create) as store:
        yield store.verdicts


def _record(runs: Sequence[Run], root: Path, options: argparse.Namespace) -> None:
    from evalsvc.gate.recording import for_store

    try:
        with open_log(root, options) as log:
            for run in runs:
                log.record_verdict(*for_store(run.verdict, run.record, run.baseline.content if run.baseline else None))
    except StoreError as error:
        raise StoreError(f"{error}; nothing is recorded of the run, whose answers are kept: run it again") from error
    said = "the verdict is" if len(runs) == 1 else f"{len(runs)} verdicts are"
    print(f"evalsvc: {said} recorded in the store", file=sys.stderr)


def _again(verdict_id: str, root: Path, options: argparse.Namespace) -> int:
    from evalsvc.gate.keeping import RunKeeper
    from evalsvc.verdicts import EXIT_CODES

    keeper = RunKeeper(root)
    found = (
        keeper.again(keeper.find(verdict_id)) if keeper.has(verdict_id) else _again_stored(verdict_id, root, options)
    )
    verdict = found.verdict
    if not found.same:
        said = f"decided again from its records, it is not what evalsvc {verdict.evalsvc} decided; other are: "
        said += ", ".join(found.differs)
        print(f"{verdict.suite}: ERROR\n{harmless(said)}\n\nwhat was kept of it:\n{told(verdict, terminal_width())}")
        print(f"evalsvc: {harmless(said)}", file=sys.stderr)
        return ERROR
    print(told(verdict, terminal_width()))
    print(
        "decided again from its records: the same decisions, numbers and reasons of every gate, metric and segment, "
        "and the same versions, scorers, counts and costs"
    )
    return EXIT_CODES[verdict.decision]


def _again_stored(verdict_id: str, root: Path, options: argparse.Namespace) -> Again:
    """Decide again what is not kept in the project, from the store."""
    from evalsvc.gate.recording import again_from

    try:
        with open_log(root, options) as log:
            verdict = log.verdict(verdict_id)
            if verdict is not None:
                return again_from(log, verdict)
    except StoreError as error:
        raise InputError(
            f"Expected the id of a verdict, but got {verdict_id!r}: there is none in .evalsvc/runs, and the store was "
            f"not asked: {error}"
        ) from error
    raise InputError(
        f"Expected the id of a verdict, but got {verdict_id!r}: there is none in .evalsvc/runs, and none of this whole "
        "id in the store; `evalsvc verdicts` lists those"
    )


def _power(suites: Sequence[tuple[Suite, str]], root: Path, how: str) -> int:
    from evalsvc.gate.fitting import check_fit
    from evalsvc.gate.power import POWER, UNKNOWN, as_json, plan_power
    from evalsvc.gate.power_spread import spread_of

    for suite, shown in suites:
        cases = suite.cases.read()
        check_fit(suite, cases.cases, shown, suite.model)
        spread = spread_of(suite, cases, shown, root)
        planned = plan_power(suite, cases, spread)
        if how == "json":
            print(as_json(planned, spread.said if spread else UNKNOWN))
            continue
        print(f"{suite.name}: what its gates can show, at a level of {suite.level:g}, with a chance of {POWER:.0%}")
        for said, wanted in (("cannot pass", _hopeless), ("hardly ever pass", _hardly)):
            if found := [_subject(one) for one in planned if wanted(one)]:
                more = f", and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
                print(f"{said} with these cases: {'; '.join(found[:MOST_NAMED])}{more}")
        grouped = any(one.groups < one.n for one in planned)
        rows = [_power_row(one, grouped=grouped) for one in sorted(planned, key=_place)]
        print(aligned(rows, right={"cases", "groups", "needed"}) if rows else "no gate is there")
        print(f"{spread.said}; {OTHERWISE}" if spread else UNKNOWN)
    return 0


def _hopeless(one: Planned) -> bool:
    return one.hopeless


def _hardly(one: Planned) -> bool:
    """Whether it can pass, but with a chance that is told as 0 %."""
    return not one.hopeless and one.chance is not None and f"{one.chance:.0%}" == "0%"


def _place(one: Planned) -> int:
    return 0 if _hopeless(one) else 1 if _hardly(one) else 2


def _subject(one: Planned) -> str:
    return f"{one.gate} [{one.segment}]" if one.segment else one.gate


def _margin(one: Planned) -> str:
    from evalsvc.verdicts.words import number

    if one.smallest is None:
        return "none" if one.hopeless and not one.reason else ""
    told = f"{100.0 * one.smallest:.2g}%" if one.relative else number(one.smallest)
    return told if one.assumed is None else f"{told} from the limit"


def _chance(one: Planned) -> str:
    from evalsvc.verdicts.words import number

    if one.chance is None:
        return ""
    told = f"{one.chance:.0%} of the time"
    if one.varied and one.varied[1] - one.varied[0] >= MATTERS:
        told = f"{told} ({one.varied[0]:.0%}–{one.varied[1]:.0%})"
    return told if one.assumed is None else f"{told} at {number(one.assumed)}"


def _power_row(one: Planned, *, grouped: bool) -> dict[str, str]:
    return {
        "gate": _subject(one),
        "cases": f"{one.n:,}",
        **({"groups": f"{one.groups:,}"} if grouped else {}),
        "smallest margin": _margin(one),
        "an equal version passes": _chance(one),
        "needed": "" if one.cases is None else f"{one.cases:,}",
        "note": one.reason,
    }

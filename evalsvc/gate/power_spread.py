"""Whose scores tell the spread: the suite's baseline with the run that tells most of the next one.

Of whole runs that of the version that the suite names is taken, then one that passed, then one that is open; a
``--sample``, or one that stopped at a look, only where no whole one is kept, and one that failed only where no other of
its kind is: how far a worse version's scores lie from the baseline's says little of an equal one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from evalsvc.cases import CaseSet
from evalsvc.errors import ConfigError, EvalsvcError
from evalsvc.gate.baselines import Baseline, names_in, read_baseline
from evalsvc.gate.evaluated import Evaluated
from evalsvc.gate.keeping import RunKeeper, read_verdict
from evalsvc.gate.record import decode_record
from evalsvc.gate.resampled import CORRELATION, CORRELATIONS
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import COMPARED
from evalsvc.generation.callable import CallableModel
from evalsvc.generation.values import Generator
from evalsvc.verdicts import Outcome, Verdict
from evalsvc.verdicts.words import party

ENOUGH = 0.5
"""So much of a run's cases are still in the set, or another run is looked for."""
FEWEST = 30
"""A part of fewer cases tells less than the baseline alone."""
_BEST_LAST: tuple[Outcome, ...] = ("ERROR", "FAIL", "INCONCLUSIVE", "PASS")


class Spread(NamedTuple):
    """From which scores the spread is taken, and what is assumed beside them; ``after`` None is a baseline alone."""

    before: Evaluated | None
    after: Evaluated | None
    said: str


def spread_of(suite: Suite, cases: CaseSet, shown: str, root: Path) -> Spread | None:
    """Return the scores that tell the spread: of a run and the baseline, or of the baseline alone; None without both.

    Args:
        suite: as it was read.
        cases: that will be asked.
        shown: the suite's path, for messages.
        root: the project's, below which runs are kept.
    """
    keeper = RunKeeper(root)
    held = _promoted(suite, shown) if suite.compares else None
    named = signature_named(suite.model)
    ranked = sorted(_usable(suite, held, keeper), key=lambda one: _preference(one, named), reverse=True)
    chosen: tuple[int, Verdict, _Scores] | None = None
    wanted = set(cases.digests)
    for verdict in ranked:
        try:
            scores = _scores_of(verdict, held, keeper)
        except ConfigError:
            # A record that was cut off or changed is as good as none, as a verdict is.
            continue
        known = len(wanted.intersection(scores.after.digests))
        if chosen is None or known > chosen[0]:
            chosen = known, verdict, scores
        if known >= ENOUGH * len(scores.after.digests):
            break
    if chosen is None:
        return _alone(suite, held, shown)
    return _together(chosen[1], chosen[2], held, named)


def signature_named(model: Generator | None) -> str:
    """Return the signature of the version that a suite names, without running any of it; empty where nothing tells."""
    try:
        if isinstance(model, CallableModel):
            return model.signature_read()
        return model.signature if model is not None else ""
    except EvalsvcError:
        # Of a run that is kept, it may be gone: it still tells a spread.
        return ""


class _Scores(NamedTuple):
    """What a run's records hold, or the suite's baseline in the place of the run's own; ``before`` None is of none."""

    before: Evaluated | None
    after: Evaluated


def _scores_of(verdict: Verdict, held: Baseline | None, keeper: RunKeeper) -> _Scores:
    """Return the scores of a run, and of what they are to stand beside.

    Raises:
        ConfigError: when a record cannot be read.
    """

    def kept(digest: str) -> Evaluated:
        return decode_record(keeper.record(digest), digest).evaluated

    before = held.evaluated if held else kept(verdict.baseline.digest) if verdict.baseline else None
    return _Scores(before, kept(verdict.candidate.digest))


def _promoted(suite: Suite, shown: str) -> Baseline | None:
    """Return the suite's baseline where its files are here, or a store gave it."""
    there = suite.taken is not None or suite.baseline in names_in(suite.folder)
    return read_baseline(suite.folder, suite.baseline, shown, suite.taken) if suite.baseline and there else None


def _usable(suite: Suite, held: Baseline | None, keeper: RunKeeper) -> Iterator[Verdict]:
    """Yield the runs whose scores can stand beside the baseline's, or by themselves where there is none."""
    compared = {gate.metric for gate in suite.gates if isinstance(gate.ask, COMPARED)}
    made = {name: f"{one.version}|{one.signature}" for name, one in held.header.scorers.items()} if held else {}
    for path in (keeper.root / "runs" / suite.name).glob("*/verdict.json"):
        try:
            verdict = read_verdict(path)
        except ConfigError:
            # Of another release, or cut off: it tells nothing, and stands in the way of nothing.
            continue
        old = held.digest if held else verdict.baseline.digest if verdict.baseline else ""
        itself = verdict.candidate.digest == old or (held is not None and held.pointer.verdict == verdict.verdict_id)
        alike = held is None or all(verdict.scorers.get(name) == made.get(name) for name in compared)
        tiny = held is not None and _part(verdict) and _answered(verdict) < FEWEST
        if verdict.decision != "ERROR" and not (itself or tiny) and alike and _kept(verdict, keeper, held):
            yield verdict


def _kept(verdict: Verdict, keeper: RunKeeper, held: Baseline | None) -> bool:
    parties = [verdict.candidate, *([verdict.baseline] if verdict.baseline and held is None else [])]
    return all(keeper.record_path(one.digest).is_file() for one in parties)


def _part(verdict: Verdict) -> bool:
    """Whether it asked a sample, or stopped at a look."""
    return verdict.sampled or verdict.stopped_at < verdict.n_cases


def _preference(verdict: Verdict, named: str) -> tuple[bool, bool, int, float, str]:
    """Return what the better run has more of.

    The whole set, the version that the suite names, a better verdict, answered cases, and then the later time.
    """
    itself = bool(named) and verdict.candidate.signature == named
    return not _part(verdict), itself, _BEST_LAST.index(verdict.decision), _answered(verdict), verdict.verdict_id


def _answered(verdict: Verdict) -> float:
    return verdict.candidate.answered / max(1, verdict.repeats)


def _together(verdict: Verdict, scores: _Scores, held: Baseline | None, named: str) -> Spread:
    against = "compared with nothing"
    if held is not None:
        name = " ".join(part for part in (held.pointer.model, held.pointer.model_version) if part)
        against = f"beside the baseline {held.pointer.baseline}" + (f" ({name})" if name else "")
    elif verdict.baseline is not None:
        against = f"beside the baseline {party(verdict.baseline)}"
    said = (
        f"the spread is that of {party(verdict.candidate)}, run on {verdict.decided_at:%Y-%m-%d at %H:%M} UTC on "
        f"{len(scores.after.cases):,} cases: {verdict.decision} ({verdict.verdict_id}), {against}"
    )
    if verdict.sampled:
        said += "; no run of all of these cases is kept, and this one asked a sample: run it without `--sample` first"
    elif _part(verdict):
        said += f"; no run of all cases is kept, and this one stopped after {verdict.stopped_at:,} of "
        said += f"{verdict.n_cases:,}: they tell less than all would"
    if verdict.decision == "FAIL":
        own = bool(named) and verdict.candidate.signature == named
        why = "and is the version that the suite names" if own else "and no other such run is kept"
        said += f"; it failed, {why}: a worse version may differ more than an equal one"
    return Spread(scores.before, scores.after, said)


def _alone(suite: Suite, held: Baseline | None, shown: str) -> Spread | None:
    held = held or _promoted(suite, shown)
    if held is None:
        return None
    low, high = CORRELATIONS
    groups = len(set(held.evaluated.groups))
    moving = ", and differed by groups as the scores do" if groups < len(held.evaluated.cases) else ""
    said = (
        f"the spread is taken from the baseline's scores ({suite.baseline}, {len(held.evaluated.cases):,} cases), as "
        f"if both versions' were correlated by {CORRELATION:g} (in brackets, where it matters: by {low:g} and by "
        f"{high:g}){moving}; no run that can stand beside it is kept"
    )
    return Spread(held.evaluated, None, said)

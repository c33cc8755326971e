"""A suite is run: cases are asked, answers scored, gates decided, at once or look by look until the answer is clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from evalsvc import __version__, scorers
from evalsvc.cases import Case, CaseSet
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import InputError
from evalsvc.gate.baselines import Baseline, check_scorers, read_baseline
from evalsvc.gate.deciding import decide, overall
from evalsvc.gate.evaluated import Evaluated, places_in
from evalsvc.gate.evaluating import Version, evaluate
from evalsvc.gate.record import digest_of_record, encode_record
from evalsvc.gate.suite import Suite
from evalsvc.gate.summary import summarise
from evalsvc.gate.values import Critical, Gate
from evalsvc.generation import Answer, Generator
from evalsvc.generation.limits import RunBudget
from evalsvc.generation.progress import Progress
from evalsvc.generation.runner import Asker
from evalsvc.protocols import Scorer
from evalsvc.stats.spending import nominal_levels
from evalsvc.verdicts import GateResult, Party, Verdict

FEWEST_A_LOOK = 10
"""Clusters below which no look is taken: no test can tell anything of them."""


class Run(NamedTuple):
    """What came of a suite: the verdict, and both versions' records from which it can be decided again."""

    suite: Suite
    verdict: Verdict
    candidate: Evaluated
    baseline: Evaluated | None
    cases: CaseSet
    candidate_record: bytes
    baseline_digest: str = ""


class Told(NamedTuple):
    """Who is told how far a run is."""

    asked: Callable[[Progress], None] | None = None
    scored: Callable[[str, int, int], None] = lambda metric, done, total: None


def run_suite(
    suite: Suite,
    cache: DiskCache,
    *,
    shown: str = "",
    generator: Generator | None = None,
    budget: RunBudget | None = None,
    told: Told = Told(),  # noqa: B008 - frozen
    now: datetime | None = None,
) -> Run:
    """Run a suite and decide.

    Args:
        suite: as it was read.
        cache: where answers and scores are looked up and kept.
        shown: the suite's path, for messages.
        generator: in place of the suite's own model.
        budget: in place of the suite's own.
        told: how far it is.
        now: the time that the verdict gets.

    Raises:
        EvalsvcError: what is wrong with the suite, its model or its baseline; the baseline is looked at before the
            model is asked anything.
    """
    model = generator or suite.model
    if model is None:
        raise InputError("Expected a model to ask, but the suite's own could not be read")
    cases, work = suite.cases.read(), [scorers.create(one.name, one.options) for one in suite.scorers]
    baseline = _baseline(suite, shown, work)
    asker = Asker(
        model,
        cache,
        limits=suite.limits,
        budget=budget or RunBudget(suite.budget.usd, suite.budget.requests),
        progress=told.asked,
    )
    looker = _Looker(suite, model, cases, work, cache, asker, baseline.evaluated if baseline else None, told)
    results, candidate, looks, stopped = looker.run()
    content = encode_record(candidate, suite.name, cases.digest, suite.seed)
    verdict = _verdict(suite, results, candidate, baseline, cases, looks, stopped, content, now or datetime.now(UTC))
    digest = baseline.pointer.digest if baseline else ""
    return Run(suite, verdict, candidate, baseline.evaluated if baseline else None, cases, content, digest)


def _baseline(suite: Suite, shown: str, work: Sequence[Scorer]) -> Baseline | None:
    if not suite.baseline or not suite.compares:
        return None
    found = read_baseline(suite.folder, suite.baseline, shown or suite.path.name)
    compared = {gate.metric for gate in suite.gates}
    specs = {scorer.spec.metric: scorer.spec for scorer in work if scorer.spec.metric in compared}
    check_scorers(found, specs, shown or suite.path.name)
    return found


class _Looker:
    """Asks, scores and decides, one look after the other."""

    def __init__(
        self,
        suite: Suite,
        model: Generator,
        cases: CaseSet,
        work: Sequence[Scorer],
        cache: DiskCache,
        asker: Asker,
        baseline: Evaluated | None,
        told: Told,
    ) -> None:
        self.suite, self.model, self.cases, self.work = suite, model, cases, work
        self.cache, self.asker, self.baseline, self.told = cache, asker, baseline, told
        self.order = _order(cases, suite.seed) if suite.looks > 1 else list(range(len(cases)))
        self.answers: dict[int, list[Answer]] = {}

    def run(self) -> tuple[list[GateResult], Evaluated, tuple[int, ...], int]:
        """Return the results, what they are of, the planned looks and how many cases they are of."""
        ends = _ends(self.cases, self.order, self.suite.looks)
        settled = self._critical() if len(ends) > 1 else {}
        gates = [gate for gate in self.suite.gates if gate.name not in settled]
        for look, end in enumerate(ends):
            evaluated = self._evaluated(self.order[:end])
            for result in self._decided(gates, evaluated, ends, look):
                before = settled.get(result.gate)
                if before is None or before.decision == "INCONCLUSIVE":
                    at = look + 1 if len(ends) > 1 and result.decision != "INCONCLUSIVE" else 0
                    settled[result.gate] = msgspec.structs.replace(result, settled_at=at)
            if overall(list(settled.values())) != "INCONCLUSIVE":
                break
        results = [settled[gate.name] for gate in self.suite.gates]
        return results, evaluated, tuple(ends) if len(ends) > 1 else (), end

    def _critical(self) -> dict[str, GateResult]:
        """Ask critical cases before all others: they are all looked at, and none of them is a matter of chance."""
        gates = [gate for gate in self.suite.gates if isinstance(gate.ask, Critical)]
        rows = [row for row, case in enumerate(self.cases.cases) if case.critical]
        if not gates or not rows:
            return {}
        found = decide(gates, self._evaluated(rows), None, level=self.suite.level)
        return {result.gate: msgspec.structs.replace(result, settled_at=1) for result in found}

    def _decided(self, gates: Sequence[Gate], evaluated: Evaluated, ends: Sequence[int], look: int) -> list[GateResult]:
        suite = self.suite
        if len(ends) == 1:
            return decide(gates, evaluated, self.baseline, level=suite.level, seed=suite.seed)
        shares = [end / len(self.order) for end in ends]
        # Of many findings each spends its part of the error rate over the looks.
        return decide(
            gates,
            evaluated,
            self.baseline,
            level=nominal_levels(shares, suite.level, suite.spending)[look],
            seed=suite.seed,
            fail_level=lambda m: m * nominal_levels(shares, suite.level / m, suite.spending)[look],
        )

    def _ask(self, rows: Sequence[int]) -> None:
        repeats = self.suite.repeats
        answers = self.asker.ask([self.cases.cases[row] for row in rows], repeats=repeats, seed=self.suite.seed)
        for place, row in enumerate(rows):
            self.answers[row] = answers[place * repeats : (place + 1) * repeats]

    def _evaluated(self, rows: Sequence[int]) -> Evaluated:
        """Ask what of these was not asked yet, and score all of them."""
        self._ask([row for row in rows if row not in self.answers])
        kept = sorted(rows)
        return evaluate(
            [self.cases.cases[row] for row in kept],
            [self.cases.digests[row] for row in kept],
            [self.answers[row] for row in kept],
            self.work,
            Version(self.suite.name, self.model.model, self.model.model_version, self.model.signature),
            self.cache,
            progress=self.told.scored,
        )


def _order(cases: CaseSet, seed: int) -> list[int]:
    """Return the rows group by group, in an order that the seed draws and that of the file does not change."""
    groups: dict[str, list[int]] = {}
    for row, case in enumerate(cases.cases):
        groups.setdefault(case.group or cases.digests[row], []).append(row)
    names = sorted(groups, key=lambda name: min(cases.digests[row] for row in groups[name]))
    drawn = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    return [row for name in drawn for row in groups[name]]


def _ends(cases: CaseSet, order: Sequence[int], looks: int) -> list[int]:
    """Return after how many cases a look is taken: about equal steps that end with a whole group."""
    keys = [cases.cases[row].group or cases.digests[row] for row in order]
    whole = [place + 1 for place in range(len(keys)) if place + 1 == len(keys) or keys[place] != keys[place + 1]]
    steps = min(looks, max(1, len(whole) // FEWEST_A_LOOK))
    picked = [whole[round(len(whole) * step / steps) - 1] for step in range(1, steps + 1)]
    return sorted(set(picked))


def _verdict(
    suite: Suite,
    results: Sequence[GateResult],
    candidate: Evaluated,
    baseline: Baseline | None,
    cases: CaseSet,
    looks: tuple[int, ...],
    stopped: int,
    content: bytes,
    now: datetime,
) -> Verdict:
    digest = digest_of_record(content)
    moment = now.astimezone(UTC).replace(microsecond=0)
    old = baseline.evaluated if baseline else None
    return Verdict(
        verdict_id=f"{moment:%Y%m%dT%H%M%SZ}-{digest[:8]}",
        suite=suite.name,
        decision=overall(results),
        gates=tuple(results),
        metrics=summarise(candidate, old, suite.seed),
        candidate=_party(candidate, digest),
        baseline=_party(old, baseline.pointer.digest) if baseline and old else None,
        cases=suite.cases.path.name,
        cases_digest=cases.digest,
        n_cases=len(cases),
        stopped_at=stopped,
        repeats=suite.repeats,
        seed=suite.seed,
        level=suite.level,
        scorers={name: f"{held.spec.version}|{held.spec.signature}" for name, held in candidate.scores.items()},
        definition=suite.definition,
        gates_digest=suite.gates_digest,
        decided_at=moment,
        evalsvc=__version__,
        looks=looks,
        notes=tuple(_notes(candidate, old, cases, stopped)),
    )


def _party(evaluated: Evaluated, digest: str) -> Party:
    answered, failed = evaluated.counts
    return Party(
        model=evaluated.model,
        model_version=evaluated.model_version,
        signature=evaluated.signature,
        digest=digest,
        name=evaluated.name,
        answered=answered,
        failed=failed,
        cost_usd=evaluated.cost_usd,
    )


def _notes(candidate: Evaluated, baseline: Evaluated | None, cases: CaseSet, stopped: int) -> list[str]:
    notes = []
    if baseline is not None:
        alone = int((places_in(baseline, candidate) < 0).sum())
        if alone:
            notes.append(
                f"{alone:,} of {len(candidate.cases):,} cases are not in the baseline, or were changed since: they are "
                "not compared; promote a run that has them"
            )
    failed = candidate.counts[1]
    if failed:
        notes.append(f"{failed:,} requests have no answer: {_most_frequent(candidate)}")
    if stopped < len(cases):
        notes.append(f"stopped after {stopped:,} of {len(cases):,} cases, when the answer was clear")
    return notes


def _most_frequent(candidate: Evaluated, most: int = 3) -> str:
    counts: dict[str, int] = {}
    for answer in (answer for row in candidate.answers for answer in row if answer.status == "failed"):
        counts[answer.reason] = counts.get(answer.reason, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} ({count:,})" for reason, count in ranked[:most])


def texts_of(cases: CaseSet) -> Mapping[str, Case]:
    """Return the cases by their digest, for reports that show what was asked."""
    return dict(zip(cases.digests, cases.cases, strict=True))


def root_of_runs(root: Path) -> Path:
    """Return the folder of a project where runs are kept."""
    return root / ".evalsvc" / "runs"

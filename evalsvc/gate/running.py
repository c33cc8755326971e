"""A suite is run: cases are asked, answers scored, gates decided, at once or look by look until the answer is clear."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from evalsvc import __version__, scorers
from evalsvc.cases import CaseSet
from evalsvc.cases.values import clusters_of
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import InputError
from evalsvc.gate.baselines import Baseline
from evalsvc.gate.comparing import compared_with
from evalsvc.gate.evaluated import Evaluated, gone_from, rows_where
from evalsvc.gate.evaluating import Version, evaluate, settle
from evalsvc.gate.fitting import check_fit
from evalsvc.gate.looking import FEWEST_A_LOOK, Looked, Plan, look, order_of, plan
from evalsvc.gate.record import digest_of_record, encode_record
from evalsvc.gate.stating import Decided, decided, id_of, notes_of, party_of, scorers_of, state
from evalsvc.gate.suite import Suite
from evalsvc.gate.unasked import ended_by
from evalsvc.gate.values import Critical
from evalsvc.generation import Answer, Generator
from evalsvc.generation.limits import RunBudget
from evalsvc.generation.progress import Progress
from evalsvc.generation.runner import Asker
from evalsvc.protocols import Scorer
from evalsvc.verdicts import PART, Verdict


class Run(NamedTuple):
    """What came of a suite: the verdict, both versions, and the candidate's record, from which it is decided again.

    ``seconds`` is how long it took, from reading the cases to the verdict. ``ended`` says which limit left cases
    unasked, and how to go on; it is empty where none did.
    """

    suite: Suite
    verdict: Verdict
    candidate: Evaluated
    baseline: Baseline | None
    cases: CaseSet
    record: bytes
    seconds: float = 0.0
    ended: str = ""


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
    sample: int | None = None,
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
        sample: ask about so many of the cases, whole groups of them, drawn by the suite's seed.
        told: how far it is.
        now: the time that the verdict gets.

    Raises:
        EvalsvcError: what is wrong with the suite, its model or its baseline; the baseline is looked at before the
            model is asked anything.
    """
    begun, model = time.perf_counter(), generator or suite.model
    if model is None:
        raise InputError("Expected a model to ask, but the suite's own could not be read")
    whole, work = suite.cases.read(), [scorers.create(one.name, one.options) for one in suite.scorers]
    check_fit(suite, whole.cases, shown or suite.path.name, model)
    cases = whole
    if sample is not None:
        cases = sampled(whole, sample, suite.seed)
        suite = msgspec.structs.replace(suite, critical=_critical_of(suite, whole))
    for scorer in work:
        settle(scorer)
    baseline = compared_with(suite, shown or suite.path.name, work)
    asker = Asker(
        model,
        cache,
        limits=suite.limits,
        budget=budget or RunBudget(suite.budget.usd, suite.budget.requests),
        progress=told.asked,
    )
    planned = plan(cases.digests, clusters_of(cases.cases, cases.digests), suite.definition)
    if baseline is not None and (len(cases) < len(whole) or len(planned.ends) > 1):
        # What was not drawn, or not asked before the run stopped, is not gone.
        suite = msgspec.structs.replace(suite, gone=gone_from(baseline.evaluated, whole.digests))
        baseline = baseline._replace(evaluated=msgspec.structs.replace(baseline.evaluated, gone=suite.gone))
    asking = _Work(suite, cases, work, asker, cache, told)
    critical = [row for row, case in enumerate(cases.cases) if case.critical]
    looked = look(suite.definition, planned, asking.evaluated, critical, baseline.evaluated if baseline else None)
    candidate = asking.evaluated(list(asking.answers))
    content = encode_record(candidate, suite.name, cases.digest, suite.seed)
    kept = cache.path is not None and model.cacheable
    ended = ended_by(candidate, len(cases), asker.budget, kept=kept)
    outcome = decided(looked.results, candidate, ended)
    verdict = _verdict(suite, looked, outcome, candidate, baseline, cases, planned, content, now or datetime.now(UTC))
    first, last = _beside(suite, model, planned, cases, whole)
    verdict = msgspec.structs.replace(verdict, notes=(*([ended] if ended else []), *first, *verdict.notes, *last))
    return Run(suite, verdict, candidate, baseline, cases, content, time.perf_counter() - begun, ended)


def _beside(
    suite: Suite, model: Generator, planned: Plan, cases: CaseSet, whole: CaseSet
) -> tuple[list[str], list[str]]:
    """Return what to note before and after what the answers themselves say."""
    first: list[str] = []
    last: list[str] = []
    # Answers that were recorded elsewhere may be of other cases.
    coverage = getattr(model, "coverage", None)
    if callable(coverage):
        last += coverage(whole.cases, suite.repeats).notes
    if suite.looks > len(planned.ends):
        first.append(_fewer_looks(suite.looks, planned, len(set(clusters_of(cases.cases, cases.digests))), len(cases)))
    if len(cases) < len(whole):
        last.append(f"{PART} {len(cases):,} of the {len(whole):,} cases was asked")
    return first, last


def _critical_of(suite: Suite, whole: CaseSet) -> dict[str, int]:
    return {
        gate.name: sum(whole.cases[row].critical for row in rows_where(whole.cases, gate.where).tolist())
        for gate in suite.gates
        if isinstance(gate.ask, Critical)
    }


def _fewer_looks(asked: int, planned: Plan, groups: int, cases: int) -> str:
    looks = "1 look" if len(planned.ends) == 1 else f"{len(planned.ends)} looks"
    units = "cases" if groups == cases else "groups of cases"
    return f"{looks} in place of {asked}: a look has at least {FEWEST_A_LOOK} {units}, and there are {groups:,}"


def sampled(cases: CaseSet, count: int, seed: int) -> CaseSet:
    """Return at least ``count`` cases, as whole groups, in an order drawn by the seed.

    Raises:
        InputError: on a count below 1.
    """
    if count < 1:
        raise InputError(f"Expected a sample of at least 1 case, but got {count}")
    groups = clusters_of(cases.cases, cases.digests)
    order = order_of(cases.digests, groups, seed)
    end = min(count, len(order))
    while end < len(order) and groups[order[end]] == groups[order[end - 1]]:
        end += 1
    return CaseSet(cases.name, tuple(cases.cases[row] for row in order[:end]))


class _Work:
    """Asks what was not asked yet, and scores the rows of a look."""

    def __init__(
        self, suite: Suite, cases: CaseSet, work: Sequence[Scorer], asker: Asker, cache: DiskCache, told: Told
    ) -> None:
        self.suite, self.model, self.cases, self.work = suite, asker.generator, cases, work
        self.asker, self.cache, self.told = asker, cache, told
        self.answers: dict[int, list[Answer]] = {}
        self.last: tuple[frozenset[int], Evaluated] | None = None

    def evaluated(self, rows: Sequence[int]) -> Evaluated:
        """Return the answers and scores of these rows, in the order of their digests.

        A sum depends on the order of its terms in its last digits, and the order of a file shall decide nothing.
        """
        if self.last is not None and self.last[0] == frozenset(rows):
            return self.last[1]
        self._ask([row for row in rows if row not in self.answers])
        kept = sorted(rows, key=self.cases.digests.__getitem__)
        found = evaluate(
            [self.cases.cases[row] for row in kept],
            [self.cases.digests[row] for row in kept],
            [self.answers[row] for row in kept],
            self.work,
            Version(self.suite.name, self.model.model, self.model.model_version, self.model.signature),
            self.cache,
            progress=self.told.scored,
        )
        self.last = frozenset(rows), found
        return found

    def _ask(self, rows: Sequence[int]) -> None:
        if not rows:
            return
        repeats = self.suite.repeats
        answers = self.asker.ask([self.cases.cases[row] for row in rows], repeats=repeats, seed=self.suite.seed)
        for place, row in enumerate(rows):
            self.answers[row] = answers[place * repeats : (place + 1) * repeats]


def _verdict(
    suite: Suite,
    looked: Looked,
    outcome: Decided,
    candidate: Evaluated,
    baseline: Baseline | None,
    cases: CaseSet,
    planned: Plan,
    content: bytes,
    now: datetime,
) -> Verdict:
    digest, old = digest_of_record(content), baseline.evaluated if baseline else None
    moment = now.astimezone(UTC).replace(microsecond=0)
    drawn = [cases.digests[row] for row in planned.order[: looked.stopped_at]]
    stated = state(suite.definition, candidate, old, drawn)
    return Verdict(
        verdict_id=id_of(f"{moment:%Y%m%dT%H%M%SZ}", digest),
        suite=suite.name,
        decision=outcome.decision,
        error=outcome.error,
        gates=looked.results,
        metrics=stated.metrics,
        candidate=party_of(candidate, digest),
        baseline=party_of(old, baseline.digest) if baseline and old else None,
        cases=suite.cases.path.name,
        cases_digest=cases.digest,
        n_cases=len(cases),
        stopped_at=looked.stopped_at,
        repeats=suite.repeats,
        seed=suite.seed,
        level=suite.level,
        scorers=scorers_of(candidate),
        definition=suite.definition_text,
        gates_digest=suite.gates_digest,
        decided_at=moment,
        evalsvc=__version__,
        looks=planned.ends if len(planned.ends) > 1 else (),
        notes=tuple(notes_of(candidate, old, len(cases), looked.stopped_at)),
        slices=stated.slices,
    )

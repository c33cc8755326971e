"""A suite's run as a Python test asks about it: single answers with their scores, and gates on all of them.

What is asked for and is not there is an ``AssertionError`` with its reason, so that no test passes on a gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from evalsvc._hints import did_you_mean
from evalsvc._plain import unobeyed, visible
from evalsvc._yaml import Document
from evalsvc.cases import Case, ToolCall
from evalsvc.errors import InputError
from evalsvc.gate.deciding import decide
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.fitting import check_gate_fits
from evalsvc.gate.reading_gates import Known, read_gates
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import COMPARED, Gate
from evalsvc.generation import Answer
from evalsvc.verdicts import Finding, GateResult, Verdict
from evalsvc.verdicts.words import cases_of, difference, number

# pytest's tracebacks end at the line of the test that asked.
__tracebackhide__ = True


class CaseAnswer:
    """One case with what was answered to it, and the scores of that."""

    def __init__(self, evaluated: Evaluated, row: int) -> None:
        self._evaluated, self._row = evaluated, row
        self.case: Case = evaluated.cases[row]
        self.answers: tuple[Answer, ...] = evaluated.answers[row]

    def __repr__(self) -> str:
        """Name the case, without any text."""
        return f"CaseAnswer({self.case.case_id!r}, {len(self.answers)} answers)"

    @property
    def response(self) -> str:
        """The text of the first answer.

        Raises:
            AssertionError: when there is none.
        """
        return self._there(self.answers[:1])[0].response

    @property
    def responses(self) -> tuple[str, ...]:
        """The texts of all repeats.

        Raises:
            AssertionError: when one is not there.
        """
        return tuple(answer.response for answer in self._there(self.answers))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of the first answer.

        Raises:
            AssertionError: when there is no answer.
        """
        return self._there(self.answers[:1])[0].tool_calls

    def score(self, metric: str) -> float:
        """Return the mean of the repeats' scores, in the metric's unit.

        Raises:
            AssertionError: when a repeat has none, with the reason.
            InputError: on a metric that the suite does not measure.
        """
        held = scores_of(self._evaluated, metric)
        for repeat in range(len(self.answers)):
            if (why := held.missing.get((self._row, repeat))) is not None:
                said = f"{self.case.case_id}, answer {repeat + 1}: no {metric}, since {why.reason}"
                raise AssertionError(visible(said))
        return float(held.values[self._row].mean())

    def scores(self, metric: str) -> tuple[float | None, ...]:
        """Return the score of each repeat; None where there is none.

        Raises:
            InputError: on a metric that the suite does not measure.
        """
        return tuple(_known(value) for value in scores_of(self._evaluated, metric).values[self._row].tolist())

    def spread(self, metric: str) -> float | None:
        """Return the standard deviation of the repeats' scores (n - 1); None of fewer than two.

        Raises:
            InputError: on a metric that the suite does not measure.
        """
        known = [value for value in self.scores(metric) if value is not None]
        return float(np.std(known, ddof=1)) if len(known) > 1 else None

    def _there(self, answers: Sequence[Answer]) -> Sequence[Answer]:
        for answer in answers:
            if answer.status == "failed":
                raise AssertionError(visible(f"{self.case.case_id} has no answer: {answer.reason}"))
        return answers


class Evaluation:
    """A suite's run: its cases, answers, scores and verdict; ``segment`` names the part that it was narrowed to."""

    def __init__(
        self,
        suite: Suite,
        verdict: Verdict,
        evaluated: Evaluated,
        baseline: Callable[[str], Evaluated],
        undecided: Callable[[str, bool], None],
        segment: str = "",
    ) -> None:
        """Take what a run left.

        Args:
            suite: as it was read.
            verdict: of the suite's own gates, on all cases.
            evaluated: the candidate's answers and scores.
            baseline: gives what a metric is compared with.
            undecided: is told what an inconclusive gate says, and whether something is missing for it; raises where
                that is no pass.
            segment: a name for the part of the cases that this is.
        """
        self._suite, self._evaluated, self._baseline, self._undecided = suite, evaluated, baseline, undecided
        self.verdict, self.segment = verdict, segment

    def __repr__(self) -> str:
        """Say what it is of."""
        part = f", {self.segment}" if self.segment else ""
        return f"Evaluation({self._suite.name!r}{part}, {len(self.cases)} cases)"

    @property
    def suite(self) -> str:
        """The suite's name."""
        return self._suite.name

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases that were asked, in the order of their digests."""
        return self._evaluated.cases

    @property
    def answers(self) -> tuple[CaseAnswer, ...]:
        """What was answered to each of :attr:`cases`."""
        return tuple(CaseAnswer(self._evaluated, row) for row in range(len(self.cases)))

    def answer(self, case_id: str) -> CaseAnswer:
        """Return what was answered to a case.

        Raises:
            InputError: when no such case was asked.
        """
        for row, case in enumerate(self.cases):
            if case.case_id == case_id:
                return CaseAnswer(self._evaluated, row)
        near = did_you_mean(case_id, [case.case_id for case in self.cases])
        raise InputError(f"Expected a case that was asked, but got {case_id!r}{f' ({near})' if near else ''}")

    def scores(self, metric: str) -> tuple[float | None, ...]:
        """Return the mean score of each of :attr:`cases` over its repeats; None where there is none.

        Raises:
            InputError: on a metric that the suite does not measure.
        """
        return tuple(_known(value) for value in scores_of(self._evaluated, metric).by_case.tolist())

    def narrowed(self, rows: Sequence[int], segment: str) -> Evaluation:
        """Return some of the cases, by their places in :attr:`cases`. The verdict stays that of all."""
        part = self._evaluated.of(rows)
        return Evaluation(self._suite, self.verdict, part, self._baseline, self._undecided, segment)

    def gate(
        self,
        metric: str,
        *,
        statistic: str = "mean",
        by: str | Sequence[str] = (),
        where: Mapping[str, str | Sequence[str]] | None = None,
        direction: str = "",
        success: float | None = None,
        max_missing: float | None = None,
    ) -> Question:
        """Begin a gate on a metric; what the result is asked finishes it.

        The arguments are the keys of a gate in a suite's file, with the same meaning and the same checks. Segments of
        one gate are corrected together, as in a file; gates of several calls are decided one by one.
        """
        given: dict[str, object] = {
            "statistic": statistic,
            "by": by,
            "where": where,
            "direction": direction,
            "success": success,
            "max_missing": max_missing,
        }
        kept = {key: value for key, value in given.items() if value not in (None, "", (), [], {})}
        return Question(self, {"metric": metric, **kept})

    def decided(self, keys: Mapping[str, object]) -> GateResult:
        """Decide one gate, given as the keys of a suite's file, and return its result, whatever it is.

        Raises:
            InputError: on a gate that no suite may have, or on a sequential suite.
            ConfigError: when the baseline is not there, or was scored otherwise.
        """
        if self._suite.looks > 1:
            raise InputError(
                f"Expected a suite that looks once, but {self._suite.name!r} has `looks: {self._suite.looks}` and may "
                "stop early: ask this gate in its file, whose error rate counts the looks"
            )
        gate = self._checked(keys)
        check_gate_fits(gate, self.cases)
        old = self._baseline(gate.metric) if isinstance(gate.ask, COMPARED) else None
        (result,) = decide([gate], self._evaluated, old, level=self._suite.level, seed=self._suite.seed)
        return result

    def asserted(self, keys: Mapping[str, object]) -> GateResult:
        """Decide one gate and return its result where it passes.

        Raises:
            AssertionError: on FAIL, where the run is an error, and by policy on INCONCLUSIVE.
            InputError, ConfigError: as :meth:`decided`.
        """
        result = self.decided(keys)
        if self.verdict.decision == "ERROR":
            raise AssertionError(unobeyed(visible(f"ERROR: {result.gate}: {self.verdict.error}")))
        if result.decision == "FAIL":
            raise AssertionError(told(result, self.segment))
        if result.decision == "INCONCLUSIVE":
            self._undecided(told(result, self.segment), result.lacking)
        return result

    def _checked(self, keys: Mapping[str, object]) -> Gate:
        """Read it as the file's reader does. JSON is YAML."""
        document = Document("gate", msgspec.json.encode({"gates": [keys]}))
        specs = {name: held.spec for name, held in self._evaluated.scores.items()}
        value = document.root.get("gates") if document.root else None
        gates = read_gates(value, Known(specs, self._suite.repeats, bool(self._suite.baseline)))
        problems = document.finish()
        if problems or not gates:
            said = "; ".join(f"{one.message} ({one.hint})" if one.hint else one.message for one in problems)
            raise InputError(f"Expected a gate as in a suite's file, but {said}")
        return gates[0]


class Question:
    """A gate without what is asked. Each method decides it, returns a PASS, and raises ``AssertionError`` on a FAIL."""

    def __init__(self, evaluation: Evaluation, keys: Mapping[str, object]) -> None:
        self._evaluation, self._keys = evaluation, keys

    def not_worse_by(self, margin: float | str) -> GateResult:
        """Not worse than the baseline by ``margin`` or more, in the metric's unit, or a share of it as ``"10%"``."""
        return self._ask(not_worse_by=margin)

    def better(self) -> GateResult:
        """Better than the baseline."""
        return self._ask(better=True)

    def within(self, margin: float) -> GateResult:
        """Neither version is ahead by ``margin`` or more."""
        return self._ask(within=margin)

    def at_least(self, value: float) -> GateResult:
        """The candidate's value is at least that; no baseline is looked at."""
        return self._ask(at_least=value)

    def at_most(self, value: float) -> GateResult:
        """The candidate's value is at most that; no baseline is looked at."""
        return self._ask(at_most=value)

    def gap_at_most(self, field: str, value: float) -> GateResult:
        """No two groups of ``field`` differ in the candidate's mean by more than ``value``."""
        return self._ask(gap=field, at_most=value)

    def _ask(self, **question: object) -> GateResult:
        return self._evaluation.asserted({**self._keys, **question})


def scores_of(evaluated: Evaluated, metric: str) -> MetricScores:
    """Return a metric's scores.

    Raises:
        InputError: on a metric that the suite does not measure.
    """
    held = evaluated.scores.get(metric)
    if held is None:
        near = did_you_mean(metric, evaluated.scores) or f"it measures {', '.join(evaluated.scores)}"
        raise InputError(f"Expected a metric of the suite, but got {metric!r} ({near})")
    return held


def told(result: GateResult, segment: str = "") -> str:
    """Return a result as a failed test shows it: each finding that did not pass, with its numbers and its reason."""
    name = f"{result.gate} [{segment}]" if segment else result.gate
    findings = [finding for finding in result.findings if finding.decision != "PASS"]
    if not findings:
        return f"{result.decision}: {name}" + ("" if result.findings else "\n  no case is in it")
    return "\n".join(finding_told(name, finding) for finding in findings)


def finding_told(name: str, finding: Finding) -> str:
    """Return one finding as a failed test shows it; ``name`` is its gate's."""
    lines = [f"{finding.decision}: {f'{name} [{finding.segment}]' if finding.segment else name}"]
    lines.append(f"  {finding.reason}")
    if finding.candidate is not None:
        against = f", baseline or limit {number(finding.baseline)}" if finding.baseline is not None else ""
        moved = f", difference {difference(finding)}" if finding.difference is not None else ""
        lines.append(f"  candidate {number(finding.candidate)}{against}{moved}")
    lines.append(f"  {cases_of(finding)}" if finding.n else "")
    lines.append(f"  cases: {', '.join(finding.cases)}" if finding.cases else "")
    return unobeyed("\n".join(visible(line) for line in lines if line))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value

"""A ``*.suite.yaml`` in pytest: an item for each gate, and for each segment of one that has any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evalsvc._plain import harmless, visible
from evalsvc.errors import EvalsvcError
from evalsvc.gate.deciding import leaves_of
from evalsvc.gate.evaluated import Evaluated
from evalsvc.gate.evaluation import finding_told, told
from evalsvc.gate.fitting import check_fit
from evalsvc.gate.plugin import session_of
from evalsvc.gate.suite import Suite
from evalsvc.verdicts import Decision, GateResult


class SuiteFile(pytest.File):
    """A suite's file. It and its cases are read at collection; the model is asked when the first item runs."""

    def collect(self) -> Iterator[GateItem]:
        """Return the items in the order of the gates.

        Raises:
            CollectError: with every mistake of the file and of its cases.
        """
        session = session_of(self.config)
        wanted = session.wanted(self.path)
        try:
            suite = session.runs.suite(wanted, session.shown(self.path))
            found = self._found(suite)
        except EvalsvcError as error:
            raise self.CollectError(str(error)) from error
        for gate, segment in found:
            name = f"{gate}[{segment}]" if segment else gate
            yield GateItem.from_parent(self, name=visible(name), gate=gate, segment=segment)

    def _found(self, suite: Suite) -> list[tuple[str, str]]:
        session = session_of(self.config)
        held = session.runs.cases(suite)
        check_fit(suite, held.cases, session.shown(self.path))
        unasked = Evaluated(
            cases=held.cases, digests=held.digests, answers=(), scores={}, model="", model_version="", signature=""
        )
        found = []
        for gate in suite.gates:
            segments = [leaf.segment for leaf in leaves_of(gate, unasked)]
            found += [(gate.name, segment) for segment in segments or [""]]
        return found


class GateItem(pytest.Item):
    """One gate on all of its cases, or on one segment of them."""

    def __init__(self, *, name: str, parent: SuiteFile, gate: str, segment: str) -> None:
        super().__init__(name, parent)
        self.gate, self.segment = gate, segment

    def runtest(self) -> None:
        """Look up what the suite's run decided about it.

        Raises:
            NotPassed: when it did not pass, by policy.
            EvalsvcError: what kept the suite from being run.
        """
        session = session_of(self.config)
        verdict = session.run(session.wanted(self.path)).verdict
        if verdict.decision == "ERROR":
            raise NotPassed(f"ERROR: {self.name}\n  {verdict.error}")
        result = next(result for result in verdict.gates if result.gate == self.gate)
        decision, said, lacking = self._decided(result)
        if result.advisory and decision != "PASS":
            pytest.skip(f"advisory: {said}")
        if decision == "FAIL":
            raise NotPassed(said)
        if decision == "INCONCLUSIVE":
            try:
                session.undecided(said, lacking)
            except AssertionError as error:
                raise NotPassed(said) from error

    def _decided(self, result: GateResult) -> tuple[Decision, str, bool]:
        for finding in result.findings:
            if finding.segment == self.segment:
                return finding.decision, finding_told(result.gate, finding), finding.lacking
        if result.findings:
            said = f"INCONCLUSIVE: {self.name}\n  the run stopped before any case of it was asked"
            return "INCONCLUSIVE", said, False
        return result.decision, told(result), True

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Show what was decided and why; a traceback only of what is nobody's decision."""
        if isinstance(excinfo.value, NotPassed | EvalsvcError):
            return harmless(str(excinfo.value))
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say where it is, and what it is called at the head of a failure."""
        # Of a heading that the node's id ends with, pytest takes each dot for a part of a path.
        return self.path, None, f"{self.path.name}: {self.name}"


class NotPassed(Exception):
    """A gate that did not pass, with all that is to be said of it."""

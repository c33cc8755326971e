"""What a suite compares with: read, and held against its gates and scorers, before a model is asked anything."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.gate.baselines import Baseline, check_scorers, read_baseline
from evalsvc.gate.evaluating import is_settled
from evalsvc.gate.production import check_gates
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import COMPARED
from evalsvc.protocols import Scorer


def compared_with(suite: Suite, shown: str, work: Sequence[Scorer], *, loaded: bool = True) -> Baseline | None:
    """Return the baseline that a suite's gates compare with; None where no gate compares.

    Args:
        suite: as it was read.
        shown: its path, for messages.
        work: its scorers.
        loaded: whether they are; of one that is not, and says only then what it is, no more is asked than that the
            baseline has its metric.

    Raises:
        ConfigError: where there is none, or it cannot be compared with.
    """
    if not suite.baseline or not suite.compares:
        return None
    found = read_baseline(suite.folder, suite.baseline, shown, suite.taken)
    gates = [gate for gate in suite.gates if isinstance(gate.ask, COMPARED)]
    if found.header.production is not None:
        check_gates(found.header.production, gates, suite.baseline, shown)
    compared = {gate.metric for gate in gates}
    specs = {
        scorer.spec.metric: scorer.spec
        for scorer in work
        if loaded or is_settled(scorer) or scorer.spec.metric not in found.header.scorers
    }
    check_scorers(found, {metric: spec for metric, spec in specs.items() if metric in compared}, shown)
    return found

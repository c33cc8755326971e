"""A suite as its file defines it: cases, model, baseline, scorers, gates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalsvc._paths import near
from evalsvc.cases import CaseSet
from evalsvc.gate.looking import Definition
from evalsvc.gate.values import COMPARED, Gate
from evalsvc.generation import Generator
from evalsvc.generation.limits import AskLimits
from evalsvc.project import ScorerConfig
from evalsvc.stats.spending import Spending
from evalsvc.types import ScorerSpec

if TYPE_CHECKING:
    from evalsvc.gate.baselines import Taken


class CasesPlace(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Where the cases are: a file or folder, columns that are fields, and which split and configuration of a folder."""

    path: Path
    fields: Mapping[str, str] = {}
    split: str = ""
    config: str = ""

    def read(self) -> CaseSet:
        """Read them, once: what was checked is what is asked.

        Raises:
            EvalsvcError: with every mistake.
        """
        return self._read

    @cached_property
    def _read(self) -> CaseSet:
        from evalsvc.cases.reading import read_cases

        return read_cases(near(self.path), fields=self.fields, split=self.split, config=self.config)


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a run may cost: dollars, requests, or both; None is no limit."""

    usd: float | None = None
    requests: int | None = None


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """One file of ``suites/``. Paths are absolute.

    Attributes:
        name: of the suite; reports and the store know it by this.
        path: of its file.
        cases: where they are.
        model: who answers, not loaded yet.
        baseline: the name of what it is compared with; empty where no gate compares.
        scorers: what is measured.
        gates: what decides, in order.
        repeats: answers to each case, >= 1.
        seed: of the model, of the order of cases and of permutations.
        level: one-sided, in (0, 0.5): the chance that a version at a margin passes, and that an equal one fails.
        looks: how often a run looks at what it has so far, >= 1; more than 1 stops early when the answer is clear.
        spending: how the error rate is spent over the looks.
        limits: how fast the model is asked.
        budget: what a run may cost.
        critical: of a sample, how many critical cases of the whole set each gate on them has, by its name.
        gone: of a sample, and of looks, how many of the baseline's cases the whole set has no more.
        places: of each gate, where it is in the file's list, from 0; others there could not be read.
        specs: of its scorers by metric, as far as that is known without loading any.
        taken: its baseline, where a store gave it and no file could be written.
    """

    name: str
    path: Path
    cases: CasesPlace
    model: Generator | None
    scorers: tuple[ScorerConfig, ...]
    gates: tuple[Gate, ...]
    baseline: str = ""
    repeats: int = 1
    seed: int = 0
    level: float = 0.05
    looks: int = 1
    spending: Spending = "obrien-fleming"
    limits: AskLimits = AskLimits()
    budget: BudgetConfig = BudgetConfig()
    critical: Mapping[str, int] = {}
    gone: int | None = None
    places: tuple[int, ...] = ()
    specs: Mapping[str, ScorerSpec] = {}
    taken: Taken | None = None

    @property
    def folder(self) -> Path:
        """The folder of its file."""
        return self.path.parent

    @property
    def compares(self) -> bool:
        """Whether a gate needs the baseline."""
        return any(isinstance(gate.ask, COMPARED) for gate in self.gates)

    @property
    def definition(self) -> Definition:
        """What a verdict is decided by, beside the scores."""
        return Definition(
            gates=self.gates,
            level=self.level,
            seed=self.seed,
            looks=self.looks,
            spending=self.spending,
            critical=self.critical,
            gone=self.gone,
        )

    @property
    def definition_text(self) -> str:
        """The definition as JSON."""
        return msgspec.json.encode(self.definition, order="deterministic").decode()

    @property
    def gates_digest(self) -> str:
        """A hash of the definition."""
        return digest_of_definition(self.definition_text)


def digest_of_definition(text: str) -> str:
    """Return a hash of a definition's JSON."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]

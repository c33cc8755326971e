"""Many tests at once: which results stand when one looks at every metric and segment, now and over time.

One look: Benjamini–Hochberg (independent or positively dependent tests), Benjamini–Yekutieli (any dependence), Holm (no
wrong claim at all, any dependence), e-BH (e-values, any dependence), and a tree of application → metric → segment.
Over time: LORD++ (p-values, each valid given the past) and e-LOND (e-values, any dependence), as pure
steps ``(state, value) -> (state, level, rejected)``.

A value of None was not tested: it does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from evalsvc.errors import InputError

Procedure = Literal["benjamini-hochberg", "benjamini-yekutieli", "holm"]
PROCEDURES: tuple[Procedure, ...] = ("benjamini-hochberg", "benjamini-yekutieli", "holm")
Tree = Mapping[str, "Tree | float | None"]
GAMMA = 0.07720838
REMEMBERED = 1_000
"""How many of LORD's last rejections buy room; what older ones would add is left out, which errs on the safe side."""


class Discoveries(msgspec.Struct, frozen=True, kw_only=True):
    """What was tested together and what stands; all tuples have one entry a hypothesis, in the order given.

    Attributes:
        family: what the hypotheses have in common, as in ``"support, 2026-03-01"``.
        method: the procedure with its guarantee.
        level: the bound on the false discovery rate (Holm: on the chance of any wrong claim), in (0, 1).
        names: of the hypotheses; paths are joined by `` / ``.
        values: the p-values or e-values handed in; None was not tested.
        adjusted: the smallest level at which each would stand, in [0, 1]; None where not tested or, in a tree, not
            reached.
        rejected: whether the null hypothesis is rejected: the difference stands.
        m: how many of the values handed in were tested; in a tree those that were reached, without inner nodes, whose
            p-values are made of them.
    """

    family: str
    method: str
    level: float
    names: tuple[str, ...]
    values: tuple[float | None, ...]
    adjusted: tuple[float | None, ...]
    rejected: tuple[bool, ...]
    m: int

    @property
    def found(self) -> tuple[str, ...]:
        """Names of what stands."""
        return tuple(name for name, rejected in zip(self.names, self.rejected, strict=True) if rejected)


def adjust_p_values(
    p_values: Mapping[str, float | None],
    *,
    procedure: Procedure = "benjamini-hochberg",
    level: float = 0.05,
    family: str = "",
) -> Discoveries:
    """Return which of several p-values stand together.

    With sorted p_(1) <= … <= p_(m), adjusted values are min over j >= i of m·p_(j)/j (Benjamini & Hochberg 1995), the
    same times 1 + 1/2 + … + 1/m (Benjamini & Yekutieli 2001), or max over j <= i of (m - j + 1)·p_(j) (Holm 1979).

    Raises:
        InputError: on a p-value outside [0, 1], a level outside (0, 1) or an unknown procedure.

    >>> d = adjust_p_values({"tone": 0.001, "refusal": 0.02, "length": 0.9, "leak": None}, family="pt")
    >>> d.found, d.m, d.adjusted
    (('tone', 'refusal'), 3, (0.003, 0.03, 0.9, None))
    """
    _check_level(level)
    if procedure not in PROCEDURES:
        raise InputError(f"Expected `procedure` to be one of {', '.join(PROCEDURES)}, but got {procedure!r}")
    names = tuple(p_values)
    tested = sorted((_p(p), name) for name, p in p_values.items() if p is not None)
    sizes = _step_down(tested) if procedure == "holm" else _step_up(tested, procedure == "benjamini-yekutieli")
    adjusted = {name: value for (_, name), value in zip(tested, sizes, strict=True)}
    return Discoveries(
        family=family,
        method=procedure,
        level=level,
        names=names,
        values=tuple(p_values.values()),
        adjusted=tuple(adjusted.get(name) for name in names),
        rejected=tuple(name in adjusted and adjusted[name] <= level for name in names),
        m=len(tested),
    )


def e_benjamini_hochberg(e_values: Mapping[str, float | None], *, level: float = 0.05, family: str = "") -> Discoveries:
    """Return which of several e-values stand together, whatever their dependence (e-BH, Wang & Ramdas 2022).

    An e-value is >= 0 and has expectation at most 1 where there is nothing to find. With sorted e_(1) >= … >= e_(m),
    rejects the k largest for the largest k with e_(k) >= m/(k·level). Adjusted values are min over j >= i of
    m/(j·e_(j)), at most 1.

    >>> e_benjamini_hochberg({"tone": 80.0, "refusal": 31.0, "length": 0.4}).found
    ('tone', 'refusal')
    """
    _check_level(level)
    for e in e_values.values():
        _e(e)
    # 1/e is a p-value (Markov), and e-BH is BH of these.
    inverse = {n: None if e is None else min(1.0, 1.0 / e) if e > 0.0 else 1.0 for n, e in e_values.items()}
    found = adjust_p_values(inverse, level=level, family=family)
    return msgspec.structs.replace(found, method="e-benjamini-hochberg", values=tuple(e_values.values()))


def adjust_tree(tree: Tree, *, level: float = 0.05, family: str = "") -> Discoveries:
    """Return what stands in a tree of hypotheses, as application → metric → segment, of any depth.

    A node stands for "something below differs": its p-value is Simes' of its children's, from the leaves up. From the
    root down, the children of every rejected node are tested by Benjamini–Hochberg at level × Π (share rejected of
    each family above) (TreeBH: Bogomolov, Peterson, Benjamini & Sabatti 2021; the two-level case is Benjamini &
    Bogomolov 2014; the idea of testing down a tree is Yekutieli's, 2008). So the expected share of false discoveries,
    averaged over the selected families floor by floor, is at most the level on every floor of the tree, for independent
    tests. Families that nothing points to are not looked into, so that they cost nothing.

    Args:
        tree: names to subtrees or p-values; None was not tested.
        level: on every floor.
        family: recorded with the result.

    Returns:
        One entry a node, inner ones before their children. ``adjusted`` is None for what was not reached.

    >>> support = {"tone": {"de": 0.0004, "fr": 0.7}, "length": {"de": 0.4}}
    >>> d = adjust_tree({"support": support, "sales": {"tone": 0.8}})
    >>> d.found
    ('support', 'support / tone', 'support / tone / de')
    """
    _check_level(level)
    names: list[str] = []
    p_values: list[float | None] = []
    adjusted: list[float | None] = []
    rejected: list[bool] = []
    leaves: list[bool] = []

    def visit(children: Tree, prefix: str, at: float) -> None:
        simes = {name: _simes(child) for name, child in children.items()}
        family_found = adjust_p_values(simes, level=max(at, 1e-300)) if at > 0.0 else None
        stand = set(family_found.found) if family_found else set()
        tested = sum(p is not None for p in simes.values())
        for index, (name, child) in enumerate(children.items()):
            names.append(f"{prefix}{name}")
            p_values.append(simes[name])
            own = family_found.adjusted[index] if family_found else None
            # On the caller's scale: the level of this family is `at` when his is `level`.
            adjusted.append(None if own is None else min(1.0, own * level / at))
            rejected.append(name in stand)
            leaves.append(own is not None and not isinstance(child, Mapping))
            if isinstance(child, Mapping):
                below = at * len(stand) / tested if name in stand and tested else 0.0
                visit(child, f"{prefix}{name} / ", below)

    visit(tree, "", level)
    return Discoveries(
        family=family,
        method="tree benjamini-hochberg (Simes)",
        level=level,
        names=tuple(names),
        values=tuple(p_values),
        adjusted=tuple(adjusted),
        rejected=tuple(rejected),
        m=sum(leaves),
    )


class Online(msgspec.Struct, frozen=True):
    """What an online procedure remembers: it is small, frozen, and can be stored between looks.

    ``level`` bounds the false discovery rate over all tests ever made; ``tests`` is how many there were, ``found`` how
    many were rejected; ``rejections`` holds the numbers (from 1) of the last :data:`REMEMBERED` that LORD rejected;
    ``wealth`` is LORD's w₀, in (0, level], where 0 stands for half of the level, as its authors take it.

    Raises:
        InputError: on a level outside (0, 1) or a wealth above it.
    """

    level: float = 0.05
    tests: int = 0
    rejections: tuple[int, ...] = ()
    wealth: float = 0.0
    found: int = 0

    def __post_init__(self) -> None:
        """Refuse a state with which nothing could ever be rejected, or everything."""
        _check_level(self.level)
        if not 0.0 <= self.wealth <= self.level:
            raise InputError(f"Expected `wealth` between 0 and the level, {self.level:g}, but got {self.wealth!r}")

    @property
    def initial(self) -> float:
        """LORD's wealth before the first test."""
        return self.wealth or self.level / 2.0


class OnlineStep(NamedTuple):
    """The new state, the level at which this test was made, and whether its null hypothesis is rejected.

    ``method``, ``name`` and ``value`` (the p-value or e-value handed in) complete the record of what was tested; its
    number is ``state.tests``.
    """

    state: Online
    level: float
    rejected: bool
    method: str = ""
    name: str = ""
    value: float | None = None


def online(level: float = 0.05) -> Online:
    """Return the state before the first test; half of the level is LORD's initial wealth, as its authors take it.

    Raises:
        InputError: on a level outside (0, 1).
    """
    _check_level(level)
    return Online(level, wealth=level / 2.0)


def lord(state: Online, p_value: float, *, name: str = "") -> OnlineStep:
    """Make the next test by LORD++ (Ramdas, Yang, Wainwright & Jordan 2017, after Javanmard & Montanari 2018).

    α_t = γ_t·w₀ + (α - w₀)·γ_{t-τ₁} + α·Σ_{j>=2} γ_{t-τ_j}, where τ_j are the times of rejections: each buys room for
    later tests, here the last :data:`REMEMBERED` of them. The false discovery rate at any time is at most α for
    independent p-values; for p-values that are valid given the past, it is the ratio of expectations (mFDR) that is
    bounded. Looks at overlapping windows are neither: give these to :func:`e_lond`.

    >>> step = lord(online(0.05), 0.0001)
    >>> round(step.level, 6), step.rejected, step.state.rejections
    (0.001338, True, (1,))
    """
    p, t = _p(p_value), state.tests + 1
    level = gamma(t) * state.initial + _earned(state, t)
    rejected = p <= level
    kept = (*state.rejections, t)[-REMEMBERED:] if rejected else state.rejections
    made = msgspec.structs.replace(state, tests=t, rejections=kept, found=_count(state) + rejected)
    return OnlineStep(made, level, rejected, "LORD++", name, p)


def _count(state: Online) -> int:
    # A state that was stored before there was a count has its rejections alone.
    return max(state.found, len(state.rejections))


def _earned(state: Online, t: int) -> float:
    """Return what the rejections so far add to the level of test t."""
    if not state.rejections:
        return 0.0
    import numpy as np

    gone = t - np.array(state.rejections, dtype=np.float64)
    gammas = GAMMA * np.log(np.maximum(gone, 2.0)) / (gone * np.exp(np.sqrt(np.log(gone))))
    earned = state.level * float(gammas.sum())
    # The first rejection of all earns less, as long as it is remembered.
    forgotten = len(state.rejections) == REMEMBERED < state.found
    return earned if forgotten else earned - state.initial * float(gammas[0])


def e_lond(state: Online, e_value: float, *, name: str = "") -> OnlineStep:
    """Make the next test by e-LOND (Xu & Ramdas 2024): reject when e >= 1/α_t, α_t = α·γ_t·(rejections so far + 1).

    The false discovery rate is at most α at any time and under any dependence of the e-values.

    >>> step = e_lond(online(0.05), 1000.0)
    >>> step.rejected, round(1 / step.level)
    (True, 374)
    """
    _e(e_value)
    level = state.level * gamma(state.tests + 1) * (_count(state) + 1)
    rejected = e_value * level >= 1.0
    made = msgspec.structs.replace(state, tests=state.tests + 1, found=_count(state) + rejected)
    return OnlineStep(made, level, rejected, "e-LOND", name, float(e_value))


@lru_cache(maxsize=65_536)
def gamma(t: int) -> float:
    """Return γ_t ∝ log(max(t, 2))/(t·exp(√log t)), the share of the level that the t-th test gets; all sum to 1.

    Javanmard & Montanari (2018) derive it for LORD; 0.07720838 is the constant of their software.

    >>> gamma(1) > gamma(3) > gamma(100) > 0.0
    True
    """
    return GAMMA * math.log(max(t, 2)) / (t * math.exp(math.sqrt(math.log(t))))


def e_from_p(p_value: float) -> float:
    """Return an e-value from a p-value, for procedures that need e-values where only a p-value is at hand.

    The mixture of κ·p^(κ-1) over κ in (0, 1), (1 - p + p·log p)/(p·log² p) (Vovk & Wang 2021): infinite at p = 0, ½ at
    p = 1. Evidence that was made as an e-value keeps more.

    >>> round(e_from_p(0.05), 1), round(e_from_p(0.001), 1), e_from_p(1.0)
    (1.8, 20.8, 0.5)
    """
    p = _p(p_value)
    if p == 0.0:
        return math.inf
    log = math.log(p)
    # Near 1 numerator and denominator vanish together; the series in log p goes on from there.
    if log > -1e-3:
        return 0.5 - log / 3.0 - log * log / 24.0 if log < 0.0 else 0.5
    return (1.0 - p + p * log) / (p * log * log)


def _step_up(tested: Sequence[tuple[float, str]], any_dependence: bool) -> list[float]:
    m = len(tested)
    factor = math.fsum(1.0 / j for j in range(1, m + 1)) if any_dependence else 1.0
    adjusted, least = [], 1.0
    for j in range(m, 0, -1):
        least = min(least, factor * (m / j) * tested[j - 1][0])
        adjusted.append(least)
    return adjusted[::-1]


def _step_down(tested: Sequence[tuple[float, str]]) -> list[float]:
    m = len(tested)
    adjusted, most = [], 0.0
    for j, (p, _) in enumerate(tested):
        most = max(most, (m - j) * p)
        adjusted.append(min(1.0, most))
    return adjusted


def _simes(node: Tree | float | None) -> float | None:
    """Return the least level at which Benjamini–Hochberg finds anything below; None where nothing was tested."""
    if not isinstance(node, Mapping):
        return None if node is None else _p(node)
    tested = sorted(p for p in map(_simes, node.values()) if p is not None)
    return min((len(tested) * p / j for j, p in enumerate(tested, start=1)), default=None)


def _p(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise InputError(
            f"Expected a p-value in [0, 1], but got {value!r}; leave out what was not tested, or give None"
        )
    return float(value)


def _e(value: float | None) -> None:
    if value is not None and not value >= 0.0:
        raise InputError(f"Expected an e-value of at least 0, but got {value!r}; give None where nothing was tested")


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise InputError(f"Expected `level` between 0 and 1, such as 0.05, but got {level!r}")

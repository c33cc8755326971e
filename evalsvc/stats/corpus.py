"""Scores of a whole corpus, which are not the mean of its texts' scores: corpus BLEU, chrF, and ratios of sums.

Each is a function f of sums T of sufficient statistics, one number of them a text. From a sample, T is estimated as any
total is (by part of the domain, weighted by 1/π), and f(T) is asymptotically normal with the variance of the linearised
statistics z = ∇f(T)·s (Särndal, Swensson & Wretman 1992, section 5.5). With every event scored, T is exact and f(T) is
what the reference tool gives for the corpus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from evalsvc.errors import InputError
from evalsvc.protocols import StatisticSums
from evalsvc.stats.mean import Joined, answer, join, part_mean, with_doubt
from evalsvc.stats.strata import Layout, Part, StratumKey, lay_out
from evalsvc.types import Cell, Corpus, Estimate, Scale, Window

BLEU_ORDER = 4
BETA = 2
STEP = 1e-5
"""Relative step of the numerical gradient; f is smooth where it is not flat."""

_OPEN = Scale(None, None, "neither")
CellKey = tuple[str, int, float]


def corpus_bleu(total: Sequence[float]) -> float | None:
    """Return corpus BLEU, 0 … 100, of (matches of n = 1 … 4, n-grams of the responses, length of the references).

    Papineni et al. 2002, with exp smoothing where an order has no match (Chen & Cherry 2014), as
    ``sacrebleu.corpus_bleu``; ``None`` where the responses have no word.

    >>> round(corpus_bleu([6, 4, 2, 1, 8, 7, 6, 5, 8]), 9)
    41.11336169
    """
    matches, grams, reference = total[:BLEU_ORDER], total[BLEU_ORDER : 2 * BLEU_ORDER], total[2 * BLEU_ORDER]
    length = grams[0]
    if length <= 0.0:
        return None
    if not any(matches):
        return 0.0
    halving, logarithms = 1.0, 0.0
    for count, most in zip(matches, grams, strict=True):
        if most <= 0.0:
            return 0.0
        if count <= 0.0:
            halving *= 2.0
        logarithms += math.log(100.0 * count / most if count > 0.0 else 100.0 / (halving * most))
    penalty = math.exp(1.0 - reference / length) if length < reference else 1.0
    return penalty * math.exp(logarithms / BLEU_ORDER)


def corpus_chrf(total: Sequence[float]) -> float | None:
    """Return corpus chrF, 0 … 100, of n-grams (of the responses, of the references, shared), each of n = 1 … N.

    Popović 2015: recall weighs β² times as much, orders that either side lacks are left out, as in
    ``sacrebleu.corpus_chrf``; ``None`` where nothing has an n-gram.

    >>> round(corpus_chrf([4, 4, 2]), 6)
    50.0
    """
    orders = len(total) // 3
    rows = zip(total[:orders], total[orders : 2 * orders], total[2 * orders :], strict=True)
    used = [(shared / mine, shared / theirs) for mine, theirs, shared in rows if mine > 0.0 and theirs > 0.0]
    if not used:
        return None
    precision, recall = (math.fsum(side) / len(used) for side in zip(*used, strict=True))
    below = BETA**2 * precision + recall
    return 100.0 * (1 + BETA**2) * precision * recall / below if below > 0.0 else 0.0


def ratio_of_sums(total: Sequence[float]) -> float | None:
    """Return the first sum over the second; ``None`` where that is 0."""
    return total[0] / total[1] if total[1] > 0.0 else None


FUNCTIONS: Mapping[Corpus, Callable[[Sequence[float]], float | None]] = {
    "bleu": corpus_bleu,
    "chrf": corpus_chrf,
    "ratio": ratio_of_sums,
}


def estimate_corpus(
    cells: Sequence[Cell],
    sums: Mapping[CellKey, StatisticSums],
    corpus: Corpus,
    scale: Scale,
    window: Window,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the corpus score of all of the window's scorable events.

    Args:
        cells: of the metric's scores, in any order.
        sums: the statistics of each cell's ok scores, by (stratum, design version, π).
        corpus: which function of them.
        scale: its ends limit the interval.
        window: what the cells are of.
        offered: as in :func:`~evalsvc.stats.mean.estimate_mean`.
        rates: as in :func:`~evalsvc.stats.mean.estimate_mean`.
        untaken: as in :func:`~evalsvc.stats.mean.estimate_mean`.
        confidence: of the two-sided interval.

    Raises:
        InputError: on a metric whose statistics add up to no corpus score.
    """
    if corpus not in FUNCTIONS:
        raise InputError("Expected a metric with a corpus score, such as bleu or chrf; of this one, ask for the mean")
    scale = Scale(scale.low, scale.high, scale.better)
    counted = [_counted(cell, sums.get(_key(cell))) for cell in cells]
    layout = lay_out(counted, offered, rates, confidence, untaken)
    totals = [_total(part, sums) for part in layout.parts]
    function = FUNCTIONS[corpus]
    whole = [math.fsum(column) for column in zip(*totals, strict=True)]
    # A function that smooths does so by counts: those of the sample, for all traffic would seem to have been seen.
    value = function([total * (layout.n / layout.size) for total in whole]) if whole else None
    estimator = "hajek" if offered is None else "post-stratified"
    method = f"{estimator} sums, corpus {corpus}, linearised, t by part, MOVER"
    joined = None
    if value is not None:
        gradient, unmatched = _gradient(function, whole, layout.size), _unmatched(corpus, whole)
        joined = _joined(layout, sums, value, gradient, scale, confidence, unmatched=unmatched)
    return answer(layout, joined, window, "corpus", confidence, method)


def linearised(statistics: Sequence[Sequence[float]], weights: Sequence[float], corpus: Corpus) -> list[float] | None:
    """Return a number for each text whose weighted mean is the corpus score and whose spread is the score's own.

    f(T/W) + ∇f·(s_i - T/W), for sums T and W of statistics and weights (Särndal, Swensson & Wretman 1992, section 5.5):
    what two versions are compared by, text by text.

    Args:
        statistics: of each text, ``[texts, k]``.
        weights: of each text, > 0.
        corpus: which function of them.

    Returns:
        ``[texts]``, or None where the texts have no corpus score.

    Raises:
        InputError: on a metric whose statistics add up to no corpus score.
    """
    if corpus not in FUNCTIONS:
        raise InputError("Expected a metric with a corpus score, such as bleu or chrf; of this one, ask for the mean")
    import numpy as np

    rows, weight = np.asarray(statistics, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    function, size = FUNCTIONS[corpus], float(weight.sum())
    # Smoothing counts n-grams: the sums are those of as many texts as there are.
    total = (rows * weight[:, None]).sum(axis=0) * (rows.shape[0] / size)
    value = function(total.tolist())
    if value is None:
        return None
    gradient = np.asarray(_gradient(function, total.tolist(), rows.shape[0]))
    means = total / rows.shape[0]
    return [float(one) for one in value + (rows - means) @ gradient]


def _key(cell: Cell) -> CellKey:
    return cell.stratum, cell.design_version, cell.pi


def _counted(cell: Cell, held: StatisticSums | None) -> Cell:
    """Count scores without statistics, which an older release wrote, as missing."""
    n = min(cell.n, held.n) if held else 0
    counted = Cell(*_key(cell), n, cell.n_abstained, cell.n_failed + cell.n - n, 0.0, 0.0)
    if held is None or not n:
        return counted
    return msgspec.structs.replace(counted, clusters=held.clusters, cluster_n2=held.products[0])


def _total(part: Part, sums: Mapping[CellKey, StatisticSums]) -> list[float]:
    """Return the estimated sums of all events that a part stands for."""
    held = [(sums[_key(cell)], cell.pi) for cell in part.cells if cell.n]
    weight = math.fsum(one.n / pi for one, pi in held)
    columns = zip(*(([value / pi for value in one.total]) for one, pi in held), strict=True)
    return [part.size * (math.fsum(column) / weight) for column in columns]


def _gradient(function: Callable[[Sequence[float]], float | None], at: Sequence[float], size: float) -> list[float]:
    """Return ∂f/∂(T/size) by central differences; 0 along a sum that is 0, where f need not be smooth."""
    gradient = []
    for place, value in enumerate(at):
        step = STEP * value
        if not step:
            gradient.append(0.0)
            continue
        ends = [function([*at[:place], value + side, *at[place + 1 :]]) or 0.0 for side in (step, -step)]
        gradient.append((ends[0] - ends[1]) / (2.0 * step / size))
    return gradient


def _joined(
    layout: Layout,
    sums: Mapping[CellKey, StatisticSums],
    value: float,
    gradient: Sequence[float],
    scale: Scale,
    confidence: float,
    *,
    unmatched: bool,
) -> Joined:
    value = max(value, -math.inf if scale.low is None else scale.low)
    value = min(value, math.inf if scale.high is None else scale.high)
    sampled = any(part.fraction < 1.0 for part in layout.parts)
    if sampled and unmatched:
        return Joined(value, None, None, "some order of n-grams has no match in the sample: too few for an interval")

    def linear(cell: Cell) -> Cell:
        return _linear(cell, sums[_key(cell)], gradient) if cell.n else cell

    parts = [part._replace(cells=tuple(map(linear, part.cells))) for part in layout.parts]
    linearised = layout._replace(parts=tuple(parts), hidden=(), unknown=0.0)
    found = join(linearised, [part_mean(part, _OPEN) for part in parts], _OPEN, confidence)
    if found is None or found.low is None or found.high is None:
        return Joined(value, None, None, found.reason if found else "")
    return with_doubt(layout, value, found.value - found.low, found.high - found.value, scale)


def _unmatched(corpus: Corpus, total: Sequence[float]) -> bool:
    """Whether some sum is 0 at which the function is not smooth: what the sample lacks decides about the value."""
    if corpus == "bleu":
        return any(m <= 0.0 < g for m, g in zip(total[:BLEU_ORDER], total[BLEU_ORDER : 2 * BLEU_ORDER], strict=True))
    if corpus == "chrf":
        orders = len(total) // 3
        rows = zip(total[:orders], total[orders : 2 * orders], total[2 * orders :], strict=True)
        return any(shared <= 0.0 < min(mine, theirs) for mine, theirs, shared in rows)
    return total[0] <= 0.0 < total[1]


def _linear(cell: Cell, held: StatisticSums, gradient: Sequence[float]) -> Cell:
    """Return a cell of z = ∇f·s, from the sums of s and of its products."""
    rows = _rows(held.products, len(gradient) + 1)
    total = math.fsum(_times(gradient, held.total))
    squares = max(0.0, math.fsum(_times(gradient, (math.fsum(_times(gradient, row[1:])) for row in rows[1:]))))
    return msgspec.structs.replace(
        cell,
        total=total,
        squares=squares,
        clusters=held.clusters,
        cluster_n2=rows[0][0],
        cluster_ny=math.fsum(_times(gradient, rows[0][1:])),
        cluster_y2=squares,
    )


def _times(one: Iterable[float], other: Iterable[float]) -> Iterable[float]:
    return (a * b for a, b in zip(one, other, strict=True))


def _rows(products: Sequence[float], size: int) -> list[list[float]]:
    """Return the whole symmetric matrix of its upper triangle."""
    rows = [[0.0] * size for _ in range(size)]
    places = ((a, b) for a in range(size) for b in range(a, size))
    for (a, b), value in zip(places, products, strict=True):
        rows[a][b] = rows[b][a] = value
    return rows

"""From two windows to what moved between them: the store's rolled-up sums, as sketches, for :mod:`evalsvc.drift`.

Consumers, scorer versions and signatures are never pooled: a scorer of which the baseline has no scores is said to be
new, and is not taken for drift. No raw row is read where the rollup holds the hours, but for the names of segments.

A little longer than other files: everything that is watched is asked and judged here together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import Literal, NamedTuple

import msgspec

from evalsvc.anchor_query import LOOK_BACK, Identity, Live, ScorerShift, shifts, with_anchors
from evalsvc.drift import (
    MINIMA,
    CategoricalSketch,
    DriftTest,
    MeanEmbeddingSketch,
    NumericSketch,
    TokenSketch,
    compare_categories,
    compare_embeddings,
    compare_numeric,
    compare_tokens,
)
from evalsvc.errors import InputError
from evalsvc.protocols import CellQuery, FeatureGroup, HistogramGroup, ScoreStore
from evalsvc.query import EstimateQuery, GroupCells, group_cells, specs_of
from evalsvc.stats import Question, Side, adjust_p_values, bin_value, compare_unpaired
from evalsvc.stats.strata import missing
from evalsvc.types import Cell, ScorerSpec, Window
from evalsvc.windows import align

HOUR = 3600
_LARGEST_CHANGES = 2
# Cramér's V of a share of yes and no from which on it matters: of 2 % it is the doubling, of 50 % five points.
SHARE_MINIMUM = 0.05

CellKey = tuple[str, int, float]
WatchedSide = Literal["input", "output", "score", "operation"]
_INPUTS = frozenset({"prompt", "contexts", "reference", "input_tokens"})
_OPERATION = frozenset({"latency_ms", "time_to_first_token_ms", "output_tokens", "input_tokens", "cost_usd"})


class DriftQuery(NamedTuple):
    """A question: what moved between two windows. Both are widened to whole hours.

    ``metrics`` empty asks about all that the store has; ``where`` is as in :class:`evalsvc.query.EstimateQuery`.
    ``classifier`` has single texts' features read as well, and a classifier tell the windows apart by them. ``minima``
    are the smallest effects that matter, by detector. As long as ``chi_square`` has its usual one, that of the share of
    a metric of yes and no is :data:`SHARE_MINIMUM`.
    """

    baseline: Window
    current: Window
    metrics: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = {}
    confidence: float = 0.95
    classifier: bool = False
    minima: Mapping[str, float] = MINIMA


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one thing that is watched.

    That is a metric's values or its missing scores; the languages, words or topics of texts; or the ``mix`` of versions
    and segments, whose ``metric`` is the field, and of no scorer.

    ``moved`` is that the first test's effect is beyond its minimum, and its p-value stands with those of everything
    else asked about (Benjamini & Hochberg 1995, false discovery rate 1 - confidence); ``None`` where that is undefined.
    ``change`` says it for a person; ``tests`` are all detectors, the one that decides first. ``side`` is what the
    metric looks at: what goes in, what comes out, what a scorer makes of it, or time, tokens and cost. ``scorer`` is
    what the metric's anchors say of its scorer between the same windows; ``None`` where there are none.
    """

    metric: str
    watched: str
    side: WatchedSide
    consumer: str
    scorer_version: int
    signature: str
    baseline: Window
    current: Window
    moved: bool | None = None
    adjusted_p: float | None = None
    change: str = ""
    missing_baseline: float | None = None
    missing_current: float | None = None
    tests: tuple[DriftTest, ...] = ()
    scorer: ScorerShift | None = None
    reason: str = ""


def drifts(store: ScoreStore, query: DriftQuery) -> list[Drift]:
    """Return what moved, most first: what moved by the share of its minimum, then the rest, then what is undefined.

    Raises:
        UnknownMetric: when a metric asked for has no scores.
        InputError: where the windows overlap, a field does not exist, or the confidence is outside (0, 1).
    """
    baseline, current = _apart(query.baseline, query.current)
    held = store.metrics()
    specs = [spec for metric in query.metrics for spec in specs_of(held, metric).values()] if query.metrics else held
    whole = query._replace(baseline=baseline, current=current)
    found: list[Drift] = []
    for metric in dict.fromkeys(spec.metric for spec in specs):
        known = {(spec.version, spec.signature): spec for spec in specs if spec.metric == metric}
        found += _of_metric(store, whole, metric, known)
    if not query.metrics:
        found += _mixes(store, whole, found)
    return _ordered(_anchored(store, whole, _together(found, query.confidence)))


def _apart(baseline: Window, current: Window) -> tuple[Window, Window]:
    """Return both in whole hours; an hour that both have a part of stays with the current one."""
    old, now = align(baseline, HOUR), align(current, HOUR)
    if baseline.end <= current.start and old.start < now.start:
        return Window(old.start, min(old.end, now.start)), now
    if current.end <= baseline.start and now.end < old.end:
        return Window(max(old.start, now.end), old.end), now
    raise InputError(
        f"Expected two windows that do not overlap, but got {_said(old)} and {_said(now)} "
        "(both in whole hours); take an earlier baseline"
    )


def _of_metric(
    store: ScoreStore, query: DriftQuery, metric: str, specs: Mapping[tuple[int, str], ScorerSpec]
) -> list[Drift]:
    windows = (query.baseline, query.current)
    values = [_histograms(store, metric, window, query.where) for window in windows]
    features = [
        _features(store, metric, window, query.where) if any(spec.features for spec in specs.values()) else {}
        for window in windows
    ]
    rows = []
    # What is in the baseline only has ended, and is no drift either.
    for identity in sorted(values[1]):
        spec = specs.get(identity[1:]) or next(iter(specs.values()))
        base = Drift(
            metric=metric,
            watched="values",
            side=side_of(spec),
            consumer=identity[0],
            scorer_version=identity[1],
            signature=identity[2],
            baseline=query.baseline,
            current=query.current,
        )
        if identity not in values[0]:
            new = any(other[0] == identity[0] for other in values[0])
            said = "this version of the scorer has" if new else "the scorer has"
            rows.append(msgspec.structs.replace(base, reason=f"{said} no scores in the baseline"))
            continue
        old, now = values[0][identity], values[1][identity]
        sketches = _sketch(old), _sketch(now)
        base = msgspec.structs.replace(
            base, missing_baseline=sketches[0].missing_share, missing_current=sketches[1].missing_share
        )
        if spec.features in ("", "counts"):
            rows.append(_values(base, spec, (old, now), sketches, query))
        if spec.features:
            rows.append(_texts(base, spec, features[0].get(identity, ()), features[1].get(identity, ()), query))
        if _told({sketch.missing_share for sketch in sketches}):
            rows.append(_gone(base, (old, now), query))
        if spec.features == "fourier" and query.classifier:
            rows.append(_told_apart(store, base, query))
    return rows


def _told(shares: set[float | None]) -> bool:
    """Whether shares of missing scores tell anything: not where there are none, nor where nothing else is."""
    known = {share for share in shares if share is not None}
    return len(known) > 1 or bool(known - {0.0, 1.0})


def _gone(base: Drift, windows: tuple[HistogramGroup, HistogramGroup], query: DriftQuery) -> Drift:
    """Compare the shares of events without a value: a scorer that fails leaves its values where they were."""
    shares = []
    for held in windows:
        counts = ((_key(cell), {"scored": cell.n, "missing": missing(cell)}) for cell in held.group.cells)
        shares.append(CategoricalSketch.from_cells(dict(counts)))
    tests = compare_categories(shares[0], shares[1], minima=query.minima, confidence=query.confidence)
    change = _from_to(*(f"{share or 0.0:.1%}" for share in (base.missing_baseline, base.missing_current)))
    return _with(base, "missing", (tests[2], *tests[:2]), change)


def _mixes(store: ScoreStore, query: DriftQuery, rows: Sequence[Drift]) -> list[Drift]:
    """Compare the shares of versions and segments, by the metric of each consumer that has most events."""
    from evalsvc.drift_mix import mixes

    counted = [row for row in rows if row.watched in ("values", "share", "missing") and row.tests]
    best: dict[str, Drift] = {}
    for row in sorted(counted, key=lambda row: min(row.tests[0].n_baseline, row.tests[0].n)):
        best[row.consumer] = row
    made = []
    for consumer, row in sorted(best.items()):
        found = mixes(store, row.metric, consumer, (query.baseline, query.current), query.where)
        for field, (old, now) in found.items():
            base = Drift(
                metric=field,
                watched="mix",
                side="operation" if field.startswith("model") else "input",
                consumer=consumer,
                scorer_version=0,
                signature="",
                baseline=query.baseline,
                current=query.current,
            )
            tests = compare_categories(old, now, minima=query.minima, confidence=query.confidence)
            made.append(_with(base, "mix", (tests[2], *tests[:2]), _largest(old, now)))
    return made


def _told_apart(store: ScoreStore, base: Drift, query: DriftQuery) -> Drift:
    from evalsvc.drift_classifier import said, told_apart

    scorer = (base.metric, base.consumer, base.scorer_version, base.signature)
    test = told_apart(store, scorer, (query.baseline, query.current), query.where, query.confidence)
    return _with(base, "single texts", (test,), said(test))


def side_of(spec: ScorerSpec) -> WatchedSide:
    """Return what a metric looks at.

    >>> from evalsvc.types import Scale
    >>> side_of(ScorerSpec("prompt_words", 1, Scale(0.0, None, "neither"), needs=("prompt",)))
    'input'
    """
    needs = set(spec.needs)
    if needs and needs <= _INPUTS - _OPERATION:
        return "input"
    if needs and needs <= _OPERATION:
        return "operation"
    return "output" if spec.features else "score"


def _histograms(
    store: ScoreStore, metric: str, window: Window, where: Mapping[str, tuple[str, ...]]
) -> dict[Identity, HistogramGroup]:
    query = CellQuery(metric, window, int(window.seconds), where=where)
    return {_identity(group): group for group in store.histograms(query)}


def _features(
    store: ScoreStore, metric: str, window: Window, where: Mapping[str, tuple[str, ...]]
) -> dict[Identity, list[FeatureGroup]]:
    found: dict[Identity, list[FeatureGroup]] = defaultdict(list)
    for group in store.feature_sums(CellQuery(metric, window, HOUR, where=where)):
        found[_identity(group)].append(group)
    return dict(found)


def _identity(held: HistogramGroup | FeatureGroup | GroupCells) -> Identity:
    return held.group.consumer, held.group.scorer_version, held.group.signature


def _key(cell: Cell) -> CellKey:
    return cell.stratum, cell.design_version, cell.pi


def _missing(cells: Sequence[Cell]) -> dict[CellKey, int]:
    return {_key(cell): missing(cell) for cell in cells}


def _sketch(held: HistogramGroup) -> NumericSketch:
    return NumericSketch.from_cells(held.bins, _missing(held.group.cells))


def _values(
    base: Drift,
    spec: ScorerSpec,
    windows: tuple[HistogramGroup, HistogramGroup],
    sketches: tuple[NumericSketch, NumericSketch],
    query: DriftQuery,
) -> Drift:
    """Compare the values: their shares where there are two, else their distribution, Wasserstein's distance first."""
    if spec.scale.binary:
        shares = [_yes_and_no(held) for held in windows]
        minima = {**query.minima, "chi_square": SHARE_MINIMUM} if _usual(query.minima) else query.minima
        tests = compare_categories(shares[0], shares[1], minima=minima, confidence=query.confidence)
        before, after = (dict(zip(s.categories, s.weights, strict=True)).get("1", 0.0) for s in shares)
        change = _from_to(*(_share(part, s.weight) for part, s in zip((before, after), shares, strict=True)))
        return _with(base, "share", (tests[2], *tests[:2]), change)
    tests = compare_numeric(sketches[0], sketches[1], minima=query.minima, confidence=query.confidence)
    means = [_mean(held) for held in windows]
    unit = f" {spec.scale.unit}" if spec.scale.unit else ""
    change = f"mean {_from_to(*means)}{unit}" if all(means) else ""
    return _with(base, "values", (tests[2], tests[3], tests[1], tests[0]), change)


def _yes_and_no(held: HistogramGroup) -> CategoricalSketch:
    cells = {
        key: {str(int(value > 0.5)): count for value, count in ((bin_value(place), n) for place, n in bins.items())}
        for key, bins in held.bins.items()
    }
    return CategoricalSketch.from_cells(cells, _missing(held.group.cells))


def _usual(minima: Mapping[str, float]) -> bool:
    return minima.get("chi_square", MINIMA["chi_square"]) == MINIMA["chi_square"]


def _texts(
    base: Drift, spec: ScorerSpec, old: Sequence[FeatureGroup], now: Sequence[FeatureGroup], query: DriftQuery
) -> Drift:
    """Compare what is stored of texts: their languages, words or topics."""
    minima, confidence = query.minima, query.confidence
    if spec.features == "categories":
        shares = [_categories(held, spec.labels) for held in (old, now)]
        tests = compare_categories(shares[0], shares[1], minima=minima, confidence=confidence)
        return _with(base, "languages", (tests[2], *tests[:2]), _largest(shares[0], shares[1]))
    if spec.features == "counts":
        words = [TokenSketch.from_cells(_hours(held, words=True), base.signature) for held in (old, now)]
        return _with(
            base, "vocabulary", (compare_tokens(words[0], words[1], minima=minima, confidence=confidence),), ""
        )
    topics = [MeanEmbeddingSketch.from_cells(_hours(held), base.signature) for held in (old, now)]
    alike = [sketch.self_similarity for sketch in topics]
    change = "" if None in alike else f"self-similarity {_from_to(*(f'{value:.2f}' for value in alike))}"
    return _with(
        base, "topics", (compare_embeddings(topics[0], topics[1], minima=minima, confidence=confidence),), change
    )


def _categories(held: Sequence[FeatureGroup], labels: Sequence[str]) -> CategoricalSketch:
    parts = [
        CategoricalSketch.from_features({k: sums for k, sums in each.sums.items() if len(sums) == len(labels)}, labels)
        for each in held
    ]
    return reduce(CategoricalSketch.merge, parts, CategoricalSketch())


def _hours(held: Sequence[FeatureGroup], words: bool = False) -> dict[int, dict[CellKey, tuple[int, Sequence[float]]]]:
    """Return n and Σ features by hour and cell; of words without the last one, the squares."""
    found: dict[int, dict[CellKey, tuple[int, Sequence[float]]]] = {}
    for each in held:
        counts = {_key(cell): cell.n for cell in each.group.cells}
        hour = int(each.group.window.start.timestamp()) // HOUR
        found[hour] = {key: (counts[key], sums[:-1] if words else sums) for key, sums in each.sums.items()}
    return found


def _with(base: Drift, watched: str, tests: tuple[DriftTest, ...], change: str) -> Drift:
    return msgspec.structs.replace(
        base, watched=watched, tests=tests, change=change, moved=tests[0].moved, reason=tests[0].reason
    )


def _mean(held: HistogramGroup) -> str:
    weight = sum(cell.n / cell.pi for cell in held.group.cells)
    return f"{sum(cell.total / cell.pi for cell in held.group.cells) / weight:.4g}" if weight else ""


def _largest(old: CategoricalSketch, now: CategoricalSketch) -> str:
    """Name the categories whose shares changed most."""
    if not old.weight or not now.weight:
        return ""
    before = {name: part / old.weight for name, part in zip(old.categories, old.weights, strict=True)}
    after = {name: part / now.weight for name, part in zip(now.categories, now.weights, strict=True)}
    names = sorted({*before, *after}, key=lambda name: (-abs(after.get(name, 0.0) - before.get(name, 0.0)), name))
    shown = names[:_LARGEST_CHANGES]
    return ", ".join(f"{n} {_from_to(f'{before.get(n, 0.0):.1%}', f'{after.get(n, 0.0):.1%}')}" for n in shown)


def _share(part: float, weight: float) -> str:
    return f"{part / weight:.1%}" if weight else "-"


def _from_to(old: object, new: object) -> str:
    return f"{old} → {new}"


def _together(rows: Sequence[Drift], confidence: float) -> list[Drift]:
    """Let only those stand whose p-values stand together: of many things watched, some move by chance."""
    p_values = {str(place): row.tests[0].p_value if row.tests else None for place, row in enumerate(rows)}
    found = adjust_p_values(p_values, level=1.0 - confidence, family="what moved")
    return [
        msgspec.structs.replace(row, adjusted_p=p, moved=None if row.moved is None else row.moved and stands)
        for row, p, stands in zip(rows, found.adjusted, found.rejected, strict=True)
    ]


def _anchored(store: ScoreStore, query: DriftQuery, rows: Sequence[Drift]) -> list[Drift]:
    """Add what anchors say of the scorers; the intervals hold together for all metrics that have some (Bonferroni)."""
    start = min(query.baseline.start, query.current.start) - LOOK_BACK
    span = Window(start, max(query.baseline.end, query.current.end))
    metrics = with_anchors(store, (row.metric for row in rows if row.watched in ("values", "share")), span)
    found = {}
    for metric in metrics:
        level = 1.0 - (1.0 - query.confidence) / len(metrics)
        live = _live(store, query, metric, level)
        for identity, shift in shifts(store, metric, query.baseline, query.current, live, level).items():
            found[metric, *identity] = shift
    return [
        msgspec.structs.replace(row, scorer=found.get((row.metric, row.consumer, row.scorer_version, row.signature)))
        if row.watched in ("values", "share")
        else row
        for row in rows
    ]


def _live(store: ScoreStore, query: DriftQuery, metric: str, confidence: float) -> dict[Identity, Live]:
    """Return how far each scorer's live mean moved, with the limits of two draws of a process.

    That all events of both windows were scored makes the means exact, and the difference still one of chance.
    """
    held: list[dict[Identity, GroupCells]] = []
    for window in (query.baseline, query.current):
        asked = EstimateQuery(metric, window, int(window.seconds), where=query.where, target="process")
        found = group_cells(store, asked)
        held.append({_identity(one): one for one in found})
    old, now = held
    return {identity: _difference(old[identity], one, confidence) for identity, one in now.items() if identity in old}


def _difference(old: GroupCells, now: GroupCells, confidence: float) -> Live:
    sides = [Side(one.cells, one.domain.offered, one.domain.rates) for one in (old, now)]
    found = compare_unpaired(sides[0], sides[1], now.spec.scale, question=Question(level=1.0 - confidence))
    return Live(found.difference, found.low, found.high, found.reason)


def _ordered(rows: Sequence[Drift]) -> list[Drift]:
    def place(row: Drift) -> tuple[int, float, str, str]:
        first = row.tests[0] if row.tests else None
        size = first.effect / first.minimum if first and first.effect is not None and first.minimum else 0.0
        return (0 if row.moved else 2 if row.moved is None else 1, -size, row.metric, row.consumer)

    return sorted(rows, key=place)


def _said(window: Window) -> str:
    return f"{_moment(window.start)} to {_moment(window.end)}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"

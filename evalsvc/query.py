"""From a question to estimates: the store's sums, joined with what was offered, for :mod:`evalsvc.stats`.

The command line, the HTTP API and the page all ask here, so that they cannot disagree. Consumers, scorer
versions and signatures are never pooled: each has rows of its own.

A little longer than other files: every statistic is asked and answered here, so that all callers get the same.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

import msgspec

from evalsvc._hints import did_you_mean
from evalsvc.errors import InputError, UnknownMetric
from evalsvc.protocols import CellColumns, CellGroup, CellQuery, Offered, ScoreStore, StatisticSums
from evalsvc.sampling import OTHER, Design, Sampler, parse_stratum
from evalsvc.stats import (
    estimate_corpus,
    estimate_mean,
    estimate_proportion,
    estimate_quantile,
    estimate_total,
    sample_extreme,
)
from evalsvc.stats.distributions import two_sided
from evalsvc.stats.quantile import BinKey
from evalsvc.stats.strata import SPARSE, StratumKey, Target, missing
from evalsvc.types import Cell, Estimate, Features, ScorerSpec, Window
from evalsvc.windows import MINUTE, align, whole_minutes

if TYPE_CHECKING:
    from evalsvc.stats import TextBlock
    from evalsvc.stats.bounds import WorstCase

_NAMED = ("mean", "proportion", "total", "min", "max", "corpus", "self_similarity", "distinct_words")
STATISTICS = f"{', '.join(_NAMED)}, or a percentile such as p50, p95 or p99.9"

_HOUR = 3600
_OF_TEXTS: Mapping[str, Features] = {"self_similarity": "fourier", "distinct_words": "counts"}
_HAVE = {"self_similarity": "response_embedding", "distinct_words": "response_words"}
_MEANS = ("mean", "proportion")
# From so many groups on their means are worth the third of a second that scipy may take to load.
MANY = 500
# So many steps have many groups; they are read as columns at once, without an object for each cell.
MANY_STEPS = 100

# Effective scores below which an interval, though it holds, may be too wide to be of use.
FEW = 10
FEW_SCORES = f"fewer than {FEW} effective scores: the interval is wide"

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


class EstimateQuery(NamedTuple):
    """A question: which metric, when, for whom, which statistic.

    ``window`` is widened to whole minutes and, where it is cut into several steps, to whole steps since the
    epoch; ``step_seconds`` of the window's length or more asks for one estimate. ``by`` and ``where`` name
    ``application``, ``model``, ``model_version``, ``consumer`` or ``segments.NAME``. ``target`` asks about the events
    of the window or, for means, proportions and percentiles, about the process behind them.
    """

    metric: str
    window: Window
    step_seconds: int
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = {}
    statistic: str = "mean"
    confidence: float = 0.95
    target: Target = "window"


class LabelledEstimate(msgspec.Struct, frozen=True, gc=False):
    """An estimate with what it is about. ``labels`` has an entry for each of the query's ``by``.

    ``worst`` is there where :func:`with_worst_case` was asked for it.
    """

    metric: str
    consumer: str
    labels: Mapping[str, str]
    scorer_version: int
    signature: str
    estimate: Estimate
    worst: WorstCase | None = None


class Domain(NamedTuple):
    """What is known of a group's strata: counts where they make it up exactly, and the π of all of them.

    ``unasked`` counts sampled events of which the scorer has no score at all, as it was added after them; ``untaken``
    the events of each stratum of which it has none: no more of a group that cuts across strata can hide there.
    """

    offered: Mapping[StratumKey, int] | None
    rates: Mapping[StratumKey, float]
    unasked: Mapping[StratumKey, int]
    untaken: Mapping[StratumKey, int]


class GroupCells(NamedTuple):
    """One group in one step: its cells, what its metric is, and what is known of its strata."""

    group: CellGroup
    spec: ScorerSpec
    domain: Domain

    @property
    def cells(self) -> list[Cell]:
        """The cells in which anything was sampled."""
        return [cell for cell in self.group.cells if cell.n + missing(cell)]


def estimates(store: ScoreStore, query: EstimateQuery) -> list[LabelledEstimate]:
    """Return an estimate for each step and group with scores, in the store's order: by step, consumer, group.

    A group that is a union of strata is post-stratified on the exact number of events offered; one that cuts
    across strata is weighted by 1/π.

    Raises:
        UnknownMetric: when nothing in the store has this metric; names those that it has.
        InputError: on an unknown statistic, a confidence outside (0, 1), or a ``by`` that names no column.
    """
    probability = _check(query.statistic, query.confidence)
    if query.target == "process" and probability is None and query.statistic not in _MEANS:
        raise InputError(f"Expected a mean, proportion or percentile of the process, but got {query.statistic!r}")
    question = _question(store, query, [query.metric], store.metrics())
    if query.statistic in _MEANS and question.steps >= MANY_STEPS:
        return _in_columns(store, question, store.cell_columns([query.metric], question.cells))
    asked = _asked(store, question.cells, query.statistic, probability)
    if len(asked) >= MANY and query.statistic in _MEANS:
        from evalsvc.store.cell_columns import columns_of

        return _in_columns(store, question, columns_of({query.metric: [group for group, _ in asked]}))
    rows = []
    for one, estimator in _found(store, question, asked):
        group, domain = one.group, one.domain
        about = _About(
            offered=domain.offered,
            rates=domain.rates,
            untaken=domain.untaken,
            confidence=query.confidence,
            target=query.target,
        )
        estimate = with_unasked(estimator(one.cells, one.spec, group.window, about), one)
        if estimate.n == 0:
            scored, failed = sum(cell.n for cell in group.cells), sum(cell.n_failed for cell in group.cells)
            abstained = sum(cell.n_abstained for cell in group.cells)
            estimate = msgspec.structs.replace(estimate, reason=_unscored(scored, failed, abstained, estimate.reason))
        subject = (query.metric, group.consumer, group.key, group.scorer_version, group.signature)
        rows.append(LabelledEstimate(*subject, _with_certainty(estimate)))
    return rows


def estimates_of_all(store: ScoreStore, query: EstimateQuery) -> list[LabelledEstimate]:
    """Return what :func:`estimates` returns for every metric with scores, by name; the query's own is not looked at.

    One reading of the store answers for all of them, in columns: for means and proportions only.

    Raises:
        InputError: on any other statistic, a confidence outside (0, 1), or a ``by`` that names no column.
    """
    _check(query.statistic, query.confidence)
    if query.statistic not in _MEANS:
        raise InputError(f"Expected the mean of all metrics, but got {query.statistic!r}; ask for it metric by metric")
    # Which language a text is of, and where its embedding lies, has no mean: drift compares the features.
    specs = [spec for spec in store.metrics() if spec.features not in ("categories", "fourier")]
    if query.statistic == "proportion":
        specs = [spec for spec in specs if spec.scale.binary]
    metrics = sorted({spec.metric for spec in specs})
    if not metrics:
        return []
    question = _question(store, query, metrics, specs)
    return _in_columns(store, question, store.cell_columns(metrics, question.cells))


def group_cells(store: ScoreStore, query: EstimateQuery) -> list[GroupCells]:
    """Return what :func:`estimates` estimates means from: each group's cells and strata, in the same order.

    For a query of the process the cells have the sums over sessions, whatever the design samples.

    Raises:
        UnknownMetric, InputError: as :func:`estimates`.
    """
    return group_cells_by_metric(store, [query.metric], query)[query.metric]


def group_cells_by_metric(
    store: ScoreStore, metrics: Sequence[str], query: EstimateQuery
) -> dict[str, list[GroupCells]]:
    """Return :func:`group_cells` of several metrics, read at once; the query's own is not looked at.

    Raises:
        UnknownMetric, InputError: as :func:`estimates`, of the first metric that is wrong.
    """
    query = query._replace(statistic="mean")
    _check(query.statistic, query.confidence)
    question = _question(store, query, metrics, store.metrics())
    read = store.cells_by_metric(metrics, question.cells)
    everyone = read if question.everyone is None else store.cells_by_metric(metrics, question.everyone)
    return {metric: _joined(question.about(metric), read[metric], everyone[metric]) for metric in metrics}


def group_cells_since(
    store: ScoreStore, metrics: Sequence[str], query: EstimateQuery, starts: Sequence[datetime]
) -> dict[str, list[GroupCells]]:
    """Return :func:`group_cells_by_metric` of each window from one of ``starts`` to the query's end, read at once.

    ``starts`` are whole minutes within the query's window, whose step is not looked at.

    Raises:
        UnknownMetric, InputError: as :func:`estimates`, of the first metric that is wrong.
    """
    query = query._replace(statistic="mean", step_seconds=int(query.window.seconds))
    _check(query.statistic, query.confidence)
    windows = [Window(start, query.window.end) for start in starts]
    offered = [row for window in windows for row in store.offered(window, int(window.seconds))]
    question = _question(store, query, metrics, store.metrics(), offered)
    read = store.cells_since(metrics, question.cells, starts)
    everyone = read if question.everyone is None else store.cells_since(metrics, question.everyone, starts)
    return {metric: _joined(question.about(metric), read[metric], everyone[metric]) for metric in metrics}


def asked_cells(store: ScoreStore, query: EstimateQuery) -> CellQuery:
    """Return what :func:`estimates` asks the store for: whole minutes and steps, and whether sessions are clusters.

    Raises:
        UnknownMetric, InputError: as :func:`estimates`.
    """
    _check(query.statistic, query.confidence)
    return _question(store, query, [query.metric], store.metrics()).cells


def domains(store: ScoreStore, query: EstimateQuery, groups: Sequence[CellGroup]) -> list[Domain]:
    """Return what is known of the strata of groups that were put together elsewhere, for a query of their metric."""
    question = _question(store, query, [query.metric], store.metrics())
    strata = _Strata(query, groups, question.offered, question.designs, exact=question.exact)
    strata.meet(store.cells(question.everyone or question.cells._replace(by=(), clusters=False)))
    return [strata.domain(group) for group in groups]


def with_worst_case(
    store: ScoreStore, query: EstimateQuery, rows: Sequence[LabelledEstimate], threshold: float | None = None
) -> list[LabelledEstimate]:
    """Return the answer to a query with the bounds that hold whatever its missing scores are.

    Reads the store again, once for each metric of the rows. ``threshold`` is a number that the means are held against.

    Raises:
        InputError: on a statistic that is neither mean nor proportion, which has no such bounds.
    """
    from evalsvc.stats.bounds import worst_case

    if query.statistic not in _MEANS:
        raise InputError(f"Expected a mean or proportion for worst-case bounds, but got {query.statistic!r}")
    found: dict[tuple[object, ...], GroupCells] = {}
    for metric in {row.metric for row in rows}:
        for one in group_cells(store, query._replace(metric=metric)):
            found[metric, one.group.window.start, *_subject(one.group)] = one
    made = []
    for row in rows:
        subject = (row.consumer, *row.labels.items(), row.scorer_version, row.signature)
        again = found.get((row.metric, row.estimate.window.start, *subject))
        if again is None:  # gone since the first reading
            made.append(row)
            continue
        offered, rates, unasked, untaken = again.domain
        worst = worst_case(
            row.estimate,
            again.cells,
            again.spec.scale,
            offered=offered,
            rates=rates,
            unasked=unasked,
            untaken=untaken,
            threshold=threshold,
        )
        made.append(msgspec.structs.replace(row, worst=worst))
    return made


class _Question(NamedTuple):
    """A query with what the store knows of its metrics, designs and offered events, before any score is read."""

    query: EstimateQuery
    specs: Mapping[tuple[str, int, str], ScorerSpec]
    offered: Sequence[Offered]
    designs: Mapping[str, Mapping[int, Design]]
    cells: CellQuery

    def about(self, metric: str) -> _Question:
        """Return the same question of another of its metrics."""
        return self._replace(query=self.query._replace(metric=metric), cells=self.cells._replace(metric=metric))

    @property
    def exact(self) -> bool:
        """Whether windows hold whole minutes, as the offered events are counted."""
        return self.cells.step_seconds % MINUTE == 0

    @property
    def steps(self) -> int:
        """How many steps the window has at most."""
        return int(self.cells.window.seconds // self.cells.step_seconds)

    def spec(self, metric: str, version: int, signature: str) -> ScorerSpec:
        """Return the spec of a scorer; another version's where it was never recorded."""
        found = self.specs.get((metric, version, signature))
        return found or next(spec for spec in self.specs.values() if spec.metric == metric)

    @property
    def everyone(self) -> CellQuery | None:
        """What to read to learn which strata a scorer met at all; None where the groups of the answer tell.

        They do unless ``where`` leaves some events of a stratum out.
        """
        where = {name: values for name, values in self.query.where.items() if name != "consumer"}
        if all(_holds(parse_stratum(name), where) is not None for name in {row.stratum for row in self.offered}):
            return None
        kept = {name: values for name, values in self.query.where.items() if name == "consumer"}
        return self.cells._replace(by=(), where=kept, clusters=False)


def _question(
    store: ScoreStore,
    query: EstimateQuery,
    metrics: Sequence[str],
    known: Sequence[ScorerSpec],
    offered: Sequence[Offered] | None = None,
) -> _Question:
    """Return a query with what the store knows; ``offered`` is read for the query's own steps unless it is given."""
    specs = {}
    for metric in metrics:
        mine = specs_of(known, metric)
        if query.statistic == "corpus" and not any(spec.corpus for spec in mine.values()):
            raise InputError(f"{metric} has no corpus score, as bleu and chrf have; ask for the mean")
        features = _OF_TEXTS.get(query.statistic)
        if features is not None and not any(spec.features == features for spec in mine.values()):
            raise InputError(f"{metric} has no {query.statistic}; ask for that of {_HAVE[query.statistic]}")
        specs.update({(metric, *version): spec for version, spec in mine.items()})
    window, step = _span(query.window, query.step_seconds)
    offered = store.offered(window, step) if offered is None else offered
    versions: dict[str, set[int]] = defaultdict(set)
    for row in offered:
        versions[row.consumer].add(row.design_version)
    designs = {consumer: _designs(store, consumer, wanted) for consumer, wanted in versions.items()}
    # Turns of a session are alike, whatever was sampled; of a window's own events only a design that takes sessions
    # whole makes that matter.
    sessions = any(design.unit == "session" for known in designs.values() for design in known.values())
    clusters = sessions or query.target == "process"
    cells = CellQuery(query.metric, window, step, query.by, query.where, clusters)
    return _Question(query, specs, offered, designs, cells)


def _found(
    store: ScoreStore, question: _Question, asked: Sequence[tuple[CellGroup, Estimator]]
) -> list[tuple[GroupCells, Estimator]]:
    groups = [group for group, _ in asked]
    everyone = groups if question.everyone is None else store.cells(question.everyone)
    joined = _joined(question, groups, everyone)
    return [(found, estimator) for found, (_, estimator) in zip(joined, asked, strict=True)]


def _joined(question: _Question, groups: Sequence[CellGroup], everyone: Sequence[CellGroup]) -> list[GroupCells]:
    """Return groups with their specs and strata; ``everyone`` tells which strata their scorers met at all."""
    strata = _Strata(question.query, groups, question.offered, question.designs, exact=question.exact)
    strata.meet(everyone)
    metric = question.query.metric
    return [
        GroupCells(group, question.spec(metric, group.scorer_version, group.signature), strata.domain(group))
        for group in groups
    ]


def _in_columns(store: ScoreStore, question: _Question, columns: CellColumns) -> list[LabelledEstimate]:
    """Return the mean of each group, all at once: the same numbers as one at a time."""
    import numpy as np

    from evalsvc.query_columns import mean_estimates, unscored_groups

    query = question.query
    everyone = columns if question.everyone is None else store.cell_columns(columns.metrics, question.everyone)
    fields = {row.stratum: parse_stratum(row.stratum) for row in question.offered}
    named = sorted(set(zip(columns.metric.tolist(), columns.scorer.tolist(), strict=True)))
    known = [(columns.metrics[metric], *columns.scorers[scorer]) for metric, scorer in named]
    specs = {scorer: question.spec(*scorer) for scorer in known}
    made, unasked = mean_estimates(
        columns,
        specs,
        question.offered,
        question.designs,
        everyone=everyone,
        holds=lambda stratum, place: _holds(fields[stratum], _wanted(query, place.key)),
        rate=lambda consumer, key, metric: _designed_rate(question.designs.get(consumer, {}), key, metric),
        distinct=_distinct,
        exact=question.exact,
        confidence=query.confidence,
        process=query.target == "process",
        statistic=query.statistic,
    )
    for group in np.flatnonzero(unasked.events).tolist():
        weight, gone, sampled = (float(column[group]) for column in unasked[1:])
        made[group] = _counting_unasked(made[group], int(unasked.events[group]), weight, gone, sampled)
    for group, failed, abstained in unscored_groups(columns):
        reason = _unscored(0, failed, abstained, made[group].reason)
        made[group] = msgspec.structs.replace(made[group], reason=reason)
    made = [_with_certainty(one) if one.low == one.high or one.n_effective < FEW else one for one in made]
    places = [columns.places[place] for place in columns.place.tolist()]
    scorers = [columns.scorers[scorer] for scorer in columns.scorer.tolist()]
    return [
        LabelledEstimate(columns.metrics[metric], consumer, key, version, signature, estimate)
        for metric, (_, consumer, key), (version, signature), estimate in zip(
            columns.metric.tolist(), places, scorers, made, strict=True
        )
    ]


def to_json(row: LabelledEstimate) -> dict[str, Any]:
    """Return an estimate as JSON-able values: ``Estimate``'s fields and its subject; times in RFC 3339."""
    estimate = row.estimate
    fields = {name: getattr(estimate, name) for name in Estimate.__struct_fields__}
    fields["window"] = {"start": _rfc3339(estimate.window.start), "end": _rfc3339(estimate.window.end)}
    return {
        "metric": row.metric,
        "consumer": row.consumer,
        "segments": dict(row.labels),
        "scorer_version": row.scorer_version,
        "signature": row.signature,
        **fields,
        **({} if row.worst is None else {"worst_case": row.worst._asdict()}),
    }


def csv_columns(by: Sequence[str], *, worst_case: bool = False) -> list[str]:
    """Return the names of the columns that :func:`to_csv_row` gives an estimate by these fields."""
    fields = [name for name in Estimate.__struct_fields__ if name != "window"]
    if worst_case:
        from evalsvc.stats.bounds import WorstCase

        fields += [f"worst_case_{name}" for name in WorstCase._fields]
    return [*dict.fromkeys(["metric", "consumer", *by]), "start", "end", "scorer_version", "signature", *fields]


def to_csv_row(row: LabelledEstimate) -> dict[str, Any]:
    """Return an estimate as flat columns: those of :func:`to_json`, one for each label and end of window."""
    flat = to_json(row)
    labels, window = flat.pop("segments"), flat.pop("window")
    flat |= {f"worst_case_{name}": value for name, value in flat.pop("worst_case", {}).items()}
    head = {"metric": flat.pop("metric"), "consumer": flat.pop("consumer")}
    return {**head, **labels, "start": window["start"], "end": window["end"], **flat}


def sampling_rates(store: ScoreStore, consumer: str, offered: Iterable[Offered]) -> dict[StratumKey, float]:
    """Return the design's π for the strata of these rows, as far as the consumer's recorded designs tell.

    For :func:`evalsvc.stats.sampling_check`.
    """
    keys = {(row.stratum, row.design_version) for row in offered if row.consumer == consumer}
    designs = _designs(store, consumer, {version for _, version in keys})
    return {key: rate for key in keys if (rate := _designed_rate(designs, key, "")) is not None}


def _check(statistic: str, confidence: float) -> float | None:
    """Return the probability of a percentile, None for the other statistics."""
    two_sided(confidence)
    found = _PERCENTILE.fullmatch(statistic)
    if found and 0.0 < float(found[1]) < 100.0:
        return float(found[1]) / 100.0
    if statistic != "corpus" and statistic not in _OF_TEXTS and statistic not in _ESTIMATORS:
        hint = " (the median is p50)" if statistic == "median" else ""
        raise InputError(f"Expected `statistic` to be {STATISTICS}, but got {statistic!r}{hint}")
    return None


def specs_of(specs: Sequence[ScorerSpec], metric: str) -> dict[tuple[int, str], ScorerSpec]:
    """Return a metric's specs by (version, signature).

    Raises:
        UnknownMetric: when there is none; names the nearest.
        InputError: when several metrics are asked for.
    """
    found = {(spec.version, spec.signature): spec for spec in specs if spec.metric == metric}
    if found:
        return found
    names = sorted({spec.metric for spec in specs})
    if "," in metric:
        raise InputError(f"Expected one metric at a time, but got {metric!r}; ask for each")
    if not names:
        raise UnknownMetric(f"Expected a metric with scores, but got {metric!r}, and nothing is stored here yet")
    raise UnknownMetric(f"Expected a metric with scores, but got {metric!r} ({did_you_mean(metric, names)})")


def _certain(estimate: Estimate) -> str:
    """Say what an interval without width is, which is easily taken for more; empty for any other."""
    if estimate.low is None or estimate.low != estimate.high:
        return ""
    if estimate.n_missing:
        many = "1 event" if estimate.n_missing == 1 else f"{estimate.n_missing:,} events"
        return f"{many} without a score left out, as if like the others"
    # Where a group cuts across strata nobody counted its events; an interval without width says that all were taken.
    every = estimate.offered in (estimate.n, None)
    return "every event scored: no sampling error, though other events may differ" if every else ""


def _with_certainty(estimate: Estimate) -> Estimate:
    """Say of an interval without width why, and of few scores that they are, where nothing else is said."""
    if estimate.reason or not estimate.n:
        return estimate
    few = FEW_SCORES if estimate.n_effective < FEW else ""
    said = _certain(estimate) if estimate.low == estimate.high else few
    return msgspec.structs.replace(estimate, reason=said) if said else estimate


def _unscored(scored: int, failed: int, abstained: int, reason: str) -> str:
    """Say why nothing has a value, where the scorer was asked and gave none."""
    if scored:
        return f"{scored:,} scores have no statistics that add up to a score of a corpus"
    counts = [f"{count:,} {what}" for count, what in ((failed, "failed"), (abstained, "abstained")) if count]
    if not counts:
        return reason
    return f"none of the scores has a value: {', '.join(counts)} (`query --missing` says why)"


def _span(window: Window, step_seconds: int) -> tuple[Window, int]:
    if step_seconds >= int(window.seconds):
        whole = whole_minutes(window)
        return whole, int(whole.seconds)
    start = align(window, step_seconds).start
    return Window(start, whole_minutes(window).end), step_seconds


def _designs(store: ScoreStore, consumer: str, wanted: Collection[int]) -> dict[int, Design]:
    """Return the designs of these versions; a target per hour makes thousands of others in a year."""
    held = store.designs(consumer)
    return {version: msgspec.json.decode(text, type=Design) for version, _, text in held if version in wanted}


def _designed_rate(designs: Mapping[int, Design], key: StratumKey, metric: str) -> float | None:
    stratum, version = key
    design = designs.get(version)
    if design is None or stratum == OTHER:
        return None
    fields = parse_stratum(stratum)
    rate = 1.0 if "always" in fields else Sampler(design).rate_of(fields)
    return rate * design.scorer_rates.get(metric, 1.0)


class _Strata:
    """Finds the strata of each group, once for all groups of a query."""

    def __init__(
        self,
        query: EstimateQuery,
        groups: Sequence[CellGroup],
        offered: Sequence[Offered],
        designs: Mapping[str, Mapping[int, Design]],
        *,
        exact: bool,
    ) -> None:
        self._query, self._exact = query, exact
        self._rows: dict[tuple[datetime, str], list[Offered]] = defaultdict(list)
        self._rates: dict[tuple[str, StratumKey], float] = {}
        self._fields = {row.stratum: parse_stratum(row.stratum) for row in offered}
        self._asks_all = {
            (consumer, version)
            for consumer, known in designs.items()
            for version, design in known.items()
            if query.metric not in design.scorer_rates
        }
        for row in offered:
            self._rows[row.window.start, row.consumer].append(row)
            key = (row.stratum, row.design_version)
            if (row.consumer, key) not in self._rates:
                rate = _designed_rate(designs.get(row.consumer, {}), key, query.metric)
                if rate is not None:
                    self._rates[row.consumer, key] = rate
        # What was stored with the scores is what was done; a design that says otherwise was changed under
        # its version.
        for group in groups:
            for cell in group.cells:
                self._rates[group.consumer, (cell.stratum, cell.design_version)] = cell.pi
        self._met: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])

    def meet(self, everyone: Iterable[CellGroup]) -> None:
        """Count each scorer's scores in each stratum, of whatever group, and those that are no abstentions."""
        for group in everyone:
            for cell in group.cells:
                met = self._met[(*_scorer(group), cell.stratum, cell.design_version)]
                met[0] += cell.n + missing(cell)
                met[1] += cell.n + cell.n_failed

    def domain(self, group: CellGroup) -> Domain:
        """Return the strata that may hold events of a group, with counts where they hold no others."""
        wanted = _wanted(self._query, group.key)
        offered: dict[StratumKey, int] = {}
        rates: dict[StratumKey, float] = {}
        union = self._exact
        asked: dict[StratumKey, int] = defaultdict(int)
        for cell in group.cells:
            asked[cell.stratum, cell.design_version] += cell.n + missing(cell)
        unasked: dict[StratumKey, int] = {}
        untaken: dict[StratumKey, int] = {}
        for row in self._rows.get((group.window.start, group.consumer), ()):
            holds = _holds(self._fields[row.stratum], wanted)
            if holds is False:
                continue
            union = union and holds is True
            key = (row.stratum, row.design_version)
            rate = self._rates.get((group.consumer, key))
            met, answered = self._met.get((*_scorer(group), *key), (0, 0))
            # Enough events were taken to have met this scorer, and none did, or it abstained from all: it is not
            # applied there. Of events of other groups that it did score, it is, and some of this group may hide.
            taken = row.sampled if rate is None else min(row.sampled, rate * row.offered)
            if taken >= SPARSE and key not in asked and not (holds is None and answered):
                continue
            offered[key] = _distinct(row)
            if rate is not None:
                rates[key] = rate
                untaken[key] = max(0, _distinct(row) - met)
            if rate is not None and (group.consumer, row.design_version) in self._asks_all:
                unasked[key] = max(0, row.sampled - asked.get(key, 0))
        complete = union and asked.keys() <= offered.keys()
        # Of a group that cuts across strata nobody knows how many of their sampled events are its own.
        return Domain(
            offered if complete else None,
            rates,
            unasked if complete and any(unasked.values()) else {},
            untaken if self._exact else {},
        )


def _scorer(group: CellGroup) -> tuple[object, ...]:
    return group.window.start, group.consumer, group.scorer_version, group.signature


def with_unasked(estimate: Estimate, found: GroupCells) -> Estimate:
    """Count as missing, and say, what was sampled and has no score; the estimate takes it to be like the rest."""
    group, _, domain = found
    if not domain.unasked:
        return estimate
    return _counting_unasked(
        estimate,
        sum(domain.unasked.values()),
        math.fsum(number / domain.rates[key] for key, number in domain.unasked.items()),
        math.fsum(missing(cell) / cell.pi for cell in group.cells),
        math.fsum((cell.n + missing(cell)) / cell.pi for cell in group.cells),
    )


def _counting_unasked(estimate: Estimate, count: int, unasked: float, gone: float, sampled: float) -> Estimate:
    note = (
        f"{count:,} sampled events have no score of this scorer, as if it was added later; they are taken to be alike"
    )
    return msgspec.structs.replace(
        estimate,
        n_missing=estimate.n_missing + count,
        missing_share=(gone + unasked) / (sampled + unasked),
        reason="; ".join(part for part in (estimate.reason, note) if part),
    )


def _wanted(query: EstimateQuery, key: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    wanted = {**query.where, **{name: (value,) for name, value in key.items()}}
    wanted.pop("consumer", None)
    return wanted


def _holds(fields: Mapping[str, str], wanted: Mapping[str, tuple[str, ...]]) -> bool | None:
    """Return whether all events of a stratum are wanted, or none; None where its name does not tell."""
    told = {name: fields.get(name, OTHER) for name in wanted}
    answers = [None if told[name] == OTHER else told[name] in values for name, values in wanted.items()]
    if False in answers:
        return False
    return None if None in answers else True


def _distinct(row: Offered) -> int:
    """Return how many different events were offered: what was produced twice shows among the taken ones."""
    if not row.duplicate:
        return row.offered
    return round(row.offered * row.sampled / (row.sampled + row.duplicate))


class _AboutWindow(TypedDict):
    """What an estimator of the window is told of a group besides its cells."""

    offered: Mapping[StratumKey, int] | None
    rates: Mapping[StratumKey, float]
    untaken: Mapping[StratumKey, int]
    confidence: float


class _About(_AboutWindow):
    """What every estimator is told."""

    target: Target


Estimator = Callable[[Sequence[Cell], ScorerSpec, Window, _About], Estimate]


def _asked(
    store: ScoreStore, cells: CellQuery, statistic: str, probability: float | None
) -> list[tuple[CellGroup, Estimator]]:
    """Return the groups with what estimates the statistic from their cells; reads only what that needs."""
    if probability is not None:
        return [(held.group, partial(_quantile, held.bins, probability)) for held in store.histograms(cells)]
    if statistic == "corpus":
        return [(held.group, partial(_corpus, held.sums)) for held in store.statistics(cells)]
    if statistic in _OF_TEXTS:
        return _of_texts(store, cells, statistic)
    estimator = _ESTIMATORS[statistic]
    return [(group, estimator) for group in store.cells(cells)]


def _of_texts(store: ScoreStore, cells: CellQuery, statistic: str) -> list[tuple[CellGroup, Estimator]]:
    """Return the groups with what estimates a statistic of pairs of texts, from blocks of an hour where steps allow."""
    start, step = cells.window.start, timedelta(seconds=cells.step_seconds)
    whole_hours = cells.step_seconds % _HOUR == 0 and start.timestamp() % _HOUR == 0
    hourly = cells._replace(step_seconds=_HOUR if whole_hours else cells.step_seconds, clusters=False)
    from evalsvc.stats.alike import TextBlock

    blocks: dict[tuple[object, ...], list[TextBlock]] = defaultdict(list)
    for held in store.feature_sums(hourly):
        first = start + (held.group.window.start - start) // step * step
        blocks[(first, *_subject(held.group))].append(TextBlock(held.group.cells, held.sums))
    return [
        (group, partial(_alike, statistic, blocks[(group.window.start, *_subject(group))]))
        for group in store.cells(cells._replace(clusters=False))
    ]


def _subject(group: CellGroup) -> tuple[object, ...]:
    return (group.consumer, *group.key.items(), group.scorer_version, group.signature)


def _alike(
    statistic: str,
    blocks: Sequence[TextBlock],
    cells: Sequence[Cell],
    spec: ScorerSpec,
    window: Window,
    about: _About,
) -> Estimate:
    from evalsvc.stats.alike import TextBlock, estimate_distinct_words, estimate_self_similarity

    # An older version of the scorer may have had no features: its rows say so.
    known = blocks if spec.features == _OF_TEXTS[statistic] else [TextBlock(cells, {})]
    estimator = estimate_self_similarity if statistic == "self_similarity" else estimate_distinct_words
    return estimator(known, window, confidence=about["confidence"])


def _quantile(
    bins: Mapping[BinKey, Mapping[int, int]],
    probability: float,
    cells: Sequence[Cell],
    spec: ScorerSpec,
    window: Window,
    about: _About,
) -> Estimate:
    if spec.scale.binary:
        raise InputError(f"{spec.metric} is a share of yes and no, without percentiles; ask for its proportion")
    return estimate_quantile(bins, probability, spec.scale, window, cells=cells, **about)


def _corpus(
    sums: Mapping[BinKey, StatisticSums], cells: Sequence[Cell], spec: ScorerSpec, window: Window, about: _About
) -> Estimate:
    # An older version of the scorer may have had none: its rows say so, the others have their values.
    known = sums if spec.corpus else {}
    return estimate_corpus(cells, known, spec.corpus or "ratio", spec.scale, window, **_of_the_window(about))


def _of_the_window(about: _About) -> _AboutWindow:
    known = _AboutWindow(
        offered=about["offered"],
        rates=about["rates"],
        untaken=about["untaken"],
        confidence=about["confidence"],
    )
    return known


def _extreme(
    which: Literal["min", "max"], cells: Sequence[Cell], spec: ScorerSpec, window: Window, about: _About
) -> Estimate:
    return sample_extreme(cells, which, window, **_of_the_window(about))


_ESTIMATORS: Mapping[str, Estimator] = {
    "mean": lambda cells, spec, window, about: estimate_mean(cells, spec.scale, window, **about),
    "proportion": lambda cells, spec, window, about: estimate_proportion(cells, spec.scale, window, **about),
    "total": lambda cells, spec, window, about: estimate_total(cells, spec.scale, window, **_of_the_window(about)),
    "min": partial(_extreme, "min"),
    "max": partial(_extreme, "max"),
}


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

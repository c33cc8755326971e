"""The reference store: plain Python, in memory, the same contract. For tests, notebooks and dry runs.

Every other store must answer as this one does (``evalsvc.testing.check_store``); it is written to be read.
A little longer than other files: every method of the contract is here.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from evalsvc.protocols import (
    CellColumns,
    CellGroup,
    CellQuery,
    Clock,
    DeadLetterQuery,
    FeatureGroup,
    HistogramGroup,
    MissingReason,
    Offered,
    StatisticGroup,
    StatisticSums,
    StatusQuery,
)
from evalsvc.stats.quantile import bin_of
from evalsvc.store.ranks import design_conflict, event_rank, microseconds, score_rank
from evalsvc.store.steps import HOUR_SECONDS, SECOND, Grid, check_names, column_of, grid, nested, selects
from evalsvc.types import (
    Cell,
    DeadLetter,
    DeadReason,
    Event,
    KnownEvent,
    LedgerCount,
    LedgerEntry,
    LedgerOutcome,
    Score,
    ScorerSpec,
    Window,
    WriteBatch,
    utc,
)
from evalsvc.windows import floored

if TYPE_CHECKING:
    from evalsvc.store.alerts_memory import MemoryAlertLog
    from evalsvc.store.baselines_memory import MemoryBaselineLog
    from evalsvc.store.verdicts_memory import MemoryVerdictLog

HOUR = timedelta(hours=1)
_GroupKey = tuple[int, str, tuple[str, ...], int, str]
_CellKey = tuple[str, int, float]
_LedgerKey = tuple[str, str, int]
K = TypeVar("K")
V = TypeVar("V")
_OFFERED = ("skipped", "sampled", "duplicate")


class MemoryStore:
    """A :class:`~evalsvc.protocols.ScoreStore` in this process's memory; nothing outlives it.

    >>> MemoryStore().metrics()
    []
    """

    def __init__(self, clock: Clock | None = None) -> None:
        """Begin empty; ``clock`` times the leases of :attr:`alerts`, by default this machine's."""
        self._clock = clock
        self._alerts: MemoryAlertLog | None = None
        self._verdicts: MemoryVerdictLog | None = None
        self._baselines: MemoryBaselineLog | None = None
        self._lock = threading.RLock()
        self._scores: dict[tuple[object, ...], tuple[int, Score]] = {}
        self._events: dict[tuple[str, str], tuple[int, KnownEvent]] = {}
        self._masked: dict[tuple[str, str], tuple[int, Event]] = {}
        self._ledger: dict[_LedgerKey, LedgerEntry] = {}
        self._versions: Counter[tuple[str, datetime]] = Counter()
        self._specs: dict[tuple[str, int, str], ScorerSpec] = {}
        self._designs: dict[tuple[str, int], tuple[datetime, str]] = {}
        self._dead_letters: dict[tuple[str, str, int], DeadLetter] = {}

    @property
    def alerts(self) -> MemoryAlertLog:
        """What is remembered of alerts; always the same object."""
        from evalsvc.store.alerts_memory import MemoryAlertLog  # loads the rules, and numpy with them

        with self._lock:
            self._alerts = self._alerts or MemoryAlertLog(self._clock)
        return self._alerts

    @property
    def verdicts(self) -> MemoryVerdictLog:
        """What is remembered of gates' verdicts; always the same object."""
        from evalsvc.store.verdicts_memory import MemoryVerdictLog

        with self._lock:
            self._verdicts = self._verdicts or MemoryVerdictLog()
        return self._verdicts

    @property
    def baselines(self) -> MemoryBaselineLog:
        """What is remembered of baselines; always the same object."""
        from evalsvc.store.baselines_memory import MemoryBaselineLog

        with self._lock:
            self._baselines = self._baselines or MemoryBaselineLog()
        return self._baselines

    def write(self, batch: WriteBatch) -> None:
        """Keep a batch; of two versions of a row the same one stays, whatever their order."""
        with self._lock:
            for kept in batch.events:
                sample = kept.sample
                rank = event_rank(sample.partition, sample.offset)
                known = KnownEvent(kept.digest, sample.partition, sample.offset)
                _keep(self._events, (sample.consumer, sample.event.event_id), rank, known)
                _keep(self._masked, (sample.consumer, sample.event.event_id), rank, sample.event)
            for score in batch.scores:
                place = (
                    score.subject.application,
                    microseconds(score.subject.occurred_at) // (HOUR_SECONDS * SECOND),
                )
                _keep(self._scores, (*score.identity, *place), score_rank(score), score)
                self._versions[score.metric, floored(score.subject.occurred_at, HOUR)] += 1
            for letter in batch.dead_letters:
                self._dead_letters[(letter.consumer, letter.partition, letter.offset)] = letter
            for entry in batch.ledger:
                self._keep_ledger(entry)

    def _keep_ledger(self, entry: LedgerEntry) -> None:
        key = (entry.consumer, entry.partition, entry.start)
        held = self._ledger.get(key)
        if held is None or entry.upto >= held.upto:
            self._ledger[key] = entry

    def resume(self, consumer: str, partition: str) -> LedgerEntry | None:
        """Return the entry of the chunk with the greatest start, or None."""
        with self._lock:
            mine = [entry for key, entry in self._ledger.items() if key[:2] == (consumer, partition)]
        return max(mine, key=lambda entry: entry.start, default=None)

    def dead_letters_in(self, consumer: str, partition: str, start: int, end: int) -> int:
        """Return how many records at the offsets ``[start, end)`` of a partition are dead letters, each once."""
        with self._lock:
            return sum(key[:2] == (consumer, partition) and start <= key[2] < end for key in self._dead_letters)

    def dead_letters(self, query: DeadLetterQuery, limit: int) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, the last received first, and of a partition the last offset."""
        found = sorted(self._letters(query), key=lambda letter: letter.offset, reverse=True)
        found.sort(key=lambda letter: (letter.consumer, letter.partition))
        return sorted(found, key=lambda letter: letter.received_at, reverse=True)[:limit]

    def dead_reasons(self, query: DeadLetterQuery) -> Sequence[DeadReason]:
        """Count dead letters by reason, the most frequent first, with the first received of each."""
        letters: dict[str, list[DeadLetter]] = defaultdict(list)
        for letter in self._letters(query):
            letters[letter.reason].append(letter)
        found = []
        for reason, mine in letters.items():
            first = min(mine, key=lambda letter: letter.received_at)
            found.append(DeadReason(reason, len(mine), first.partition, first.offset, first.message, first.at))
        return sorted(found, key=lambda row: (-row.records, row.reason))

    def _letters(self, query: DeadLetterQuery) -> list[DeadLetter]:
        """Return the letters that a query means, by consumer and place."""
        with self._lock:
            held = [letter for _, letter in sorted(self._dead_letters.items(), key=lambda item: item[0])]
        return [
            letter
            for letter in held
            if letter.received_at in query.window
            and query.consumer in (None, letter.consumer)
            and query.reason in (None, letter.reason)
        ]

    def known(self, event_ids: Sequence[str], consumer: str) -> Mapping[str, KnownEvent]:
        """Return what this consumer already stored under these ids; absent ids have no entry."""
        with self._lock:
            found = ((name, self._events.get((consumer, name))) for name in event_ids)
            return {name: entry[1] for name, entry in found if entry is not None}

    def events(self, event_ids: Sequence[str]) -> Mapping[str, Event]:
        """Return the masked events under these ids, of whatever consumer."""
        wanted = set(event_ids)
        with self._lock:
            found = [(key, event) for key, (_, event) in self._masked.items() if key[1] in wanted]
        return {name: event for (_, name), event in sorted(found, key=lambda item: item[0], reverse=True)}

    def cells(self, query: CellQuery) -> Sequence[CellGroup]:
        """Return sufficient statistics by step, group and stratum, ordered by all of their keys."""
        steps = grid(query.window, query.step_seconds)
        return [
            CellGroup(
                steps.window(key[0]),
                key[1],
                dict(zip(query.by, key[2], strict=True)),
                key[3],
                key[4],
                [_cell(*cell_key, scores, query.clusters) for cell_key, scores in sorted(members.items())],
            )
            for key, members in sorted(self._grouped(query, steps).items())
        ]

    def cells_by_metric(self, metrics: Sequence[str], query: CellQuery) -> Mapping[str, Sequence[CellGroup]]:
        """Answer one question for several metrics at once; the query's own is not looked at."""
        return {metric: self.cells(query._replace(metric=metric)) for metric in metrics}

    def cells_since(
        self, metrics: Sequence[str], query: CellQuery, starts: Sequence[datetime]
    ) -> Mapping[str, Sequence[CellGroup]]:
        """Return the cells of each window from one of ``starts`` to the query's end."""
        nested(query.window, starts)
        found: dict[str, list[CellGroup]] = {metric: [] for metric in metrics}
        for start in starts:
            window = Window(start, query.window.end)
            whole = query._replace(window=window, step_seconds=max(1, math.ceil(window.seconds)))
            for metric, groups in self.cells_by_metric(metrics, whole).items():
                found[metric] += groups
        return found

    def group_counts(self, metrics: Sequence[str], query: CellQuery) -> Mapping[str, int]:
        """Return how many consumers and keys of ``by`` each metric has scores of."""
        whole = query._replace(step_seconds=max(1, math.ceil(query.window.seconds)))
        found = self.cells_by_metric(metrics, whole)
        return {metric: len({(one.consumer, *one.key.values()) for one in groups}) for metric, groups in found.items()}

    def versions(self, metrics: Sequence[str], window: Window) -> Mapping[tuple[str, datetime], int]:
        """Return how often each metric's hours were written to."""
        with self._lock:
            return {key: n for key, n in self._versions.items() if key[0] in metrics and key[1] in window}

    def cell_columns(self, metrics: Sequence[str], query: CellQuery) -> CellColumns:
        """Return what :meth:`cells_by_metric` returns, in columns."""
        from evalsvc.store.cell_columns import columns_of

        return columns_of(self.cells_by_metric(metrics, query))

    def histograms(self, query: CellQuery) -> Sequence[HistogramGroup]:
        """Return the groups of :meth:`cells` with histograms on the bins of :mod:`evalsvc.stats.quantile`."""
        with self._lock:
            grouped = sorted(self._grouped(query, grid(query.window, query.step_seconds)).items())
            return [
                HistogramGroup(
                    group,
                    {cell: counted for cell, scores in sorted(members.items()) if (counted := _histogram(scores))},
                )
                for group, (_, members) in zip(self.cells(query), grouped, strict=True)
            ]

    def statistics(self, query: CellQuery) -> Sequence[StatisticGroup]:
        """Return the groups of :meth:`cells` with the sums of their statistics, for scores of a corpus."""
        with self._lock:
            grouped = sorted(self._grouped(query, grid(query.window, query.step_seconds)).items())
            groups = self.cells(query)
        found = []
        for group, (_, members) in zip(groups, grouped, strict=True):
            sums = {cell: _statistic_sums(scores, query.clusters) for cell, scores in sorted(members.items())}
            found.append(StatisticGroup(group, {cell: held for cell, held in sums.items() if held.n}))
        return found

    def feature_sums(self, query: CellQuery) -> Sequence[FeatureGroup]:
        """Return the groups of :meth:`cells` with the sums of their features."""
        with self._lock:
            grouped = sorted(self._grouped(query, grid(query.window, query.step_seconds)).items())
            groups = self.cells(query)
        found = []
        for group, (_, members) in zip(groups, grouped, strict=True):
            sums = {cell: total for cell, scores in sorted(members.items()) if (total := _feature_sums(scores))}
            found.append(FeatureGroup(group, sums))
        return found

    def scores(self, query: CellQuery, limit: int) -> Sequence[Score]:
        """Return at most ``limit`` scores of the query's metric, window and ``where``, by their event ids' MD5."""
        cells = self._grouped(query._replace(by=()), grid(query.window, int(query.window.seconds) + 1)).values()
        scores = [score for members in cells for scores in members.values() for score in scores]
        return sorted(scores, key=_by_digest)[:limit]

    def missing(self, query: CellQuery, limit: int) -> Sequence[MissingReason]:
        """Return why scores of the query's metric, window and ``where`` have no value, the most frequent first."""
        cells = self._grouped(query._replace(by=()), grid(query.window, query.step_seconds)).values()
        scores = [score for members in cells for scores in members.values() for score in scores]
        counts = Counter((score.status, score.reason) for score in scores if score.status != "ok")
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [MissingReason(*why, n) for why, n in ordered[:limit]]

    def with_status(self, query: StatusQuery, event_ids: Sequence[str]) -> Set[str]:
        """Return those of these events whose score that the query means has one of its statuses."""
        wanted, scorer = set(event_ids), (query.spec.metric, query.spec.version, query.spec.signature)
        with self._lock:
            held = [score for _, score in self._scores.values() if score.status in query.statuses]
        return {
            score.subject.event_id
            for score in held
            if score.subject.consumer == query.consumer
            and score.subject.event_id in wanted
            and score.subject.occurred_at in query.window
            and (score.metric, score.scorer_version, score.signature) == scorer
        }

    def _grouped(self, query: CellQuery, steps: Grid) -> dict[_GroupKey, dict[_CellKey, list[Score]]]:
        check_names(query)
        groups: dict[_GroupKey, dict[_CellKey, list[Score]]] = defaultdict(lambda: defaultdict(list))
        with self._lock:
            held = [score for _, score in self._scores.values() if score.metric == query.metric]
        for score in held:
            subject = score.subject
            moment = microseconds(subject.occurred_at)
            if steps.start <= moment < steps.end and selects(query.where, subject):
                values = tuple(column_of(subject, name) for name in query.by)
                key = (steps.step_of(moment), subject.consumer, values, score.scorer_version, score.signature)
                groups[key][(subject.stratum, subject.design_version, score.pi)].append(score)
        return groups

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        """Return what was offered and taken by step and stratum; a minute counts in the step it begins in."""
        steps = grid(window, step_seconds)
        counts: dict[tuple[int, str, str, int], Counter[str]] = defaultdict(Counter)
        for name, row in self._ledger_counts(consumer):
            moment = row.minute * 60 * SECOND
            if row.outcome in _OFFERED and steps.start <= moment < steps.end:
                key = (steps.step_of(moment), name, row.stratum, row.design_version)
                counts[key][row.outcome] += row.records
        return [
            Offered(steps.window(key[0]), *key[1:], found.total(), found["sampled"], found["duplicate"])
            for key, found in sorted(counts.items())
            if found.total()
        ]

    def outcomes(self, consumer: str | None = None) -> Mapping[LedgerOutcome, int]:
        """Return what became of every record ever read."""
        counted: Counter[LedgerOutcome] = Counter()
        for _, row in self._ledger_counts(consumer):
            counted[row.outcome] += row.records
        return dict(counted)

    def _ledger_counts(self, consumer: str | None) -> list[tuple[str, LedgerCount]]:
        with self._lock:
            mine = [entry for entry in self._ledger.values() if consumer in (None, entry.consumer)]
        return [(entry.consumer, count) for entry in mine for count in entry.counts]

    def metrics(self) -> Sequence[ScorerSpec]:
        """Return the scorers that have written here, every version, by metric, version and signature."""
        with self._lock:
            return [spec for _, spec in sorted(self._specs.items(), key=lambda item: item[0])]

    def record_scorers(self, specs: Sequence[ScorerSpec]) -> None:
        """Remember what these scorers mean; the last description of a version stays."""
        with self._lock:
            self._specs.update({(spec.metric, spec.version, spec.signature): spec for spec in specs})

    def record_design(self, consumer: str, version: int, effective_from: datetime, design: str) -> None:
        """Remember a sampling design.

        Raises:
            InputError: where that version of the consumer's design is already recorded with other content.
        """
        with self._lock:
            held = self._designs.setdefault((consumer, version), (utc(effective_from), design))
        if held != (utc(effective_from), design):
            raise design_conflict(consumer, version)

    def designs(self, consumer: str) -> Sequence[tuple[int, datetime, str]]:
        """Return (version, effective_from, design JSON) of a consumer, oldest first."""
        with self._lock:
            held = sorted(self._designs.items(), key=lambda item: item[0])
        return [(version, since, text) for (name, version), (since, text) in held if name == consumer]

    def settle(self, limit: int | None = None) -> int:
        """Bring rollups up to date: there are none here. Returns 0."""
        return 0

    def close(self) -> None:
        """Release nothing. May be called twice."""


def _keep(held: dict[K, tuple[int, V]], key: K, rank: int, value: V) -> None:
    old = held.get(key)
    if old is None or rank >= old[0]:
        held[key] = (rank, value)


def _by_digest(score: Score) -> tuple[bytes, str, int, str]:
    event_id = score.subject.event_id
    digest = hashlib.md5(event_id.encode(), usedforsecurity=False).digest()
    return digest, score.subject.consumer, score.scorer_version, score.signature


def _cell(stratum: str, design_version: int, pi: float, scores: Sequence[Score], clusters: bool) -> Cell:
    values = [score.value for score in scores if score.value is not None]
    status = Counter(score.status for score in scores)
    return Cell(
        stratum,
        design_version,
        pi,
        len(values),
        status["abstained"],
        status["failed"],
        sum(values, 0.0),
        sum((value * value for value in values), 0.0),
        min(values, default=None),
        max(values, default=None),
        *(_cluster_moments(scores) if clusters else ()),
    )


def _cluster_moments(scores: Sequence[Score]) -> tuple[int, float, float, float]:
    sums: dict[str, tuple[int, float]] = {}
    for score in scores:
        if score.value is not None:
            name = score.subject.session_id or score.subject.event_id
            n, total = sums.get(name, (0, 0.0))
            sums[name] = (n + 1, total + score.value)
    found = sums.values()
    return (
        len(sums),
        float(sum(n * n for n, _ in found)),
        sum((n * total for n, total in found), 0.0),
        sum((total * total for _, total in found), 0.0),
    )


def _statistic_sums(scores: Sequence[Score], clusters: bool) -> StatisticSums:
    sums: dict[str, list[float]] = {}
    with_statistics = [score for score in scores if score.status == "ok" and score.statistics]
    for score in with_statistics:
        subject = score.subject
        name = (subject.session_id if clusters else "") or subject.event_id
        held = sums.setdefault(name, [0.0] * (1 + len(score.statistics)))
        for place, value in enumerate((1.0, *score.statistics)):
            held[place] += value
    rows = list(sums.values())
    products = (
        [sum(row[a] * row[b] for row in rows) for a in range(len(rows[0])) for b in range(a, len(rows[0]))]
        if rows
        else []
    )
    total = [sum(column) for column in zip(*rows, strict=True)][1:]
    return StatisticSums(len(with_statistics), total, products, len(rows))


def _feature_sums(scores: Sequence[Score]) -> list[float]:
    rows = [score.statistics for score in scores if score.status == "ok" and score.statistics]
    return [math.fsum(column) for column in zip(*rows, strict=True)]


def _histogram(scores: Sequence[Score]) -> dict[int, int]:
    return dict(sorted(Counter(bin_of(score.value) for score in scores if score.value is not None).items()))

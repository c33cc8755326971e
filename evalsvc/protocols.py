"""The contracts between evalsvc's parts: what may be called when, whether it may block, what it may raise.

Each has a public contract suite in :mod:`evalsvc.testing`; an implementation that passes it can be used anywhere
that one of ours can.

Longer than other files: all contracts are in one place, and most of it is what they promise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from evalsvc.types import (
    Cell,
    DeadLetter,
    DeadReason,
    Event,
    KnownEvent,
    LedgerEntry,
    LedgerOutcome,
    Outcome,
    Sample,
    Score,
    ScorerSpec,
    Status,
    Window,
    WriteBatch,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@runtime_checkable
class Clock(Protocol):
    """Where the time comes from, so that tests can move it."""

    def now(self) -> datetime:
        """Return the time of day, with its zone (UTC)."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """One metric. Called from one thread at a time; holds no state about what it scored."""

    @property
    def spec(self) -> ScorerSpec:
        """What it measures. Constant after :meth:`load`."""
        ...

    def load(self) -> None:
        """Bring in packages and models; may take seconds. Called before the first batch; may be called again.

        Raises:
            MissingExtra: when an optional package is absent.
            EngineError: when a model cannot be loaded.
        """
        ...

    def cost(self, sample: Sample) -> int:
        """Return the work that one sample is, in tokens or characters (> 0).

        Batches are cut where its sum passes 32,768, or what the scorer's attribute ``batch_cost`` says where it has
        one that is a number above 0; a sample that costs more stands alone.
        """
        ...

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in the same order.

        It may raise: the harness then bisects the batch, and the guilty item becomes ``failed``. It must give a sample
        the same outcome whatever else is in the batch (to the tolerance that its signature allows).
        """
        ...


class Record(Protocol):
    """One raw message. kafka-python's ``ConsumerRecord`` is one as it is."""

    @property
    def offset(self) -> int:
        """Its place in the partition; grows, not necessarily by one."""
        ...

    @property
    def value(self) -> bytes | None:
        """The bytes; ``None`` for a tombstone."""
        ...

    @property
    def timestamp(self) -> int:
        """When the source received it, in milliseconds since the epoch."""
        ...


class Chunk(NamedTuple):
    """Records of one partition, in the order of their offsets."""

    partition: str
    records: Sequence[Record]


class Assignment(Protocol):
    """What a source asks its reader when partitions come and go. Called from within ``Source.poll``."""

    def resume_at(self, partition: str, committed: int | None) -> int | None:
        """Return the offset to read from, given the committed one; ``None`` leaves it to the source's own policy."""
        ...

    def revoked(self, partitions: Sequence[str]) -> None:
        """Forget these partitions: another reader may own them now; committing them is no longer allowed."""
        ...


@runtime_checkable
class Source(Protocol):
    """Where raw events come from. All methods are called from one thread.

    A source that may keep its reader waiting can have an attribute ``address``, such as ``Kafka at localhost:9092``:
    the worker's status and log name it. One that ends can have a true attribute ``finite``: its worker loads its
    scorers at the first record, and none where nothing is left to read.
    """

    def open(self, assignment: Assignment) -> None:
        """Connect. May block for a stated time-out.

        Raises:
            SourceUnavailable: when nothing answers.
            TopicNotFound: when the topic does not exist.
        """
        ...

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Return what has come, waiting at most so long; empty when nothing has, or while paused.

        A record is returned once a session unless its partition was reassigned; it is never skipped.
        """
        ...

    def pause(self) -> None:
        """Deliver nothing from :meth:`poll` until :meth:`resume`; stay a member of the group. May be called twice."""
        ...

    def resume(self) -> None:
        """Deliver again. May be called without a pause."""
        ...

    def commit(self, positions: Mapping[str, int]) -> None:
        """Remember that all before these offsets is done. Called only after the write returned; may be called again."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Return how many records wait, by partition, as far as is known without asking anybody."""
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing will ever come again: a file was read to its end. Always false for a stream."""
        ...

    def close(self) -> None:
        """Leave; does not commit. May be called twice."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Where results go."""

    def write(self, batch: WriteBatch) -> None:
        """Make a batch durable before returning.

        Written again, cut differently or out of order, it changes no aggregate.

        Raises:
            StoreUnavailable: when trying the same batch again may help. Parts of it may have been written.
        """
        ...


class CellQuery(NamedTuple):
    """Which scores: ``by`` names model, model_version, application, consumer or ``segments.NAME`` columns."""

    metric: str
    window: Window
    step_seconds: int
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = {}
    clusters: bool = False


class CellGroup(NamedTuple):
    """The cells of one group in one window. ``key`` has an entry for each of the query's ``by``."""

    window: Window
    consumer: str
    key: Mapping[str, str]
    scorer_version: int
    signature: str
    cells: Sequence[Cell]


class Place(NamedTuple):
    """A group in one window, whatever the metric."""

    window: Window
    consumer: str
    key: Mapping[str, str]


class CellColumns(NamedTuple):
    """The cells of many metrics and groups in columns: what :class:`CellGroup` says in objects.

    A group is a place in each of three lists: ``metrics``, ``places`` and ``scorers`` (version, signature), all without
    repeats; ``metric``, ``place`` and ``scorer`` are ``[groups]``, and groups come in the order of these three numbers,
    which is that of metric, window, consumer, key, version and signature. The other columns are ``[cells]``: ``group``
    says whose the cell is, ``stratum`` is a place in ``strata`` (stratum, design version), and the rest are the fields
    of :class:`~evalsvc.types.Cell`. Cells come by group, stratum and π.
    """

    metrics: Sequence[str]
    places: Sequence[Place]
    scorers: Sequence[tuple[int, str]]
    strata: Sequence[tuple[str, int]]
    metric: Ints
    place: Ints
    scorer: Ints
    group: Ints
    stratum: Ints
    pi: Floats
    n: Ints
    n_abstained: Ints
    n_failed: Ints
    total: Floats
    squares: Floats
    clusters: Ints
    cluster_n2: Floats
    cluster_ny: Floats
    cluster_y2: Floats


class Offered(NamedTuple):
    """How many events a design was offered in a window and stratum, and how many of them it took."""

    window: Window
    consumer: str
    stratum: str
    design_version: int
    offered: int
    sampled: int
    duplicate: int


class HistogramGroup(NamedTuple):
    """The cells of one group with the histograms of their ok values, for quantiles.

    ``bins`` maps (stratum, design_version, pi) to {bin index: count}; :mod:`evalsvc.stats.quantile` has the bins'
    edges. What has no value is in the cells only.
    """

    group: CellGroup
    bins: Mapping[tuple[str, int, float], Mapping[int, int]]


class StatisticSums(NamedTuple):
    """Sums over the ``n`` ok scores of a cell that carry statistics, each a vector of k numbers.

    ``total`` is Σs, ``[k]``. ``products`` are Σ_c S_a·S_b over clusters c for 0 <= a <= b <= k, row by row,
    ``[(k + 1)(k + 2)/2]``, where S is the sum of (1, s) over the cluster: of each event alone, or of its session where
    the query asks for clusters.
    """

    n: int
    total: Sequence[float]
    products: Sequence[float]
    clusters: int


class StatisticGroup(NamedTuple):
    """The cells of one group with the sums of their scores' statistics, by (stratum, design_version, pi)."""

    group: CellGroup
    sums: Mapping[tuple[str, int, float], StatisticSums]


class FeatureGroup(NamedTuple):
    """The cells of one group with the sums of their scores' features (``ScorerSpec.features``), over the ok scores.

    ``sums`` maps (stratum, design_version, pi) to Σ features, a vector as long as the scorer's; a cell without ok
    scores has no entry.
    """

    group: CellGroup
    sums: Mapping[tuple[str, int, float], Sequence[float]]


class MissingReason(NamedTuple):
    """How many scores of a metric have no value for one reason."""

    status: Status
    reason: str
    n: int


class StatusQuery(NamedTuple):
    """Whose scores: one consumer's, by one scorer's metric, version and signature, of events in ``window``."""

    consumer: str
    spec: ScorerSpec
    statuses: tuple[Status, ...]
    window: Window


class DeadLetterQuery(NamedTuple):
    """Which dead letters: received in ``window``; of one consumer or reason, or (None) of any."""

    window: Window
    consumer: str | None = None
    reason: str | None = None


@runtime_checkable
class ScoreStore(Sink, Protocol):
    """A sink that answers. Safe to call from several threads.

    A store that may keep its reader waiting can have an attribute ``address``, as a :class:`Source` can.
    """

    def resume(self, consumer: str, partition: str) -> LedgerEntry | None:
        """Return the entry of the last chunk written for a partition, or None where nothing of it was read."""
        ...

    def dead_letters_in(self, consumer: str, partition: str, start: int, end: int) -> int:
        """Return how many records at the offsets ``[start, end)`` of a partition are dead letters, each once."""
        ...

    def dead_letters(self, query: DeadLetterQuery, limit: int) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, each record's once, the last received first.

        Times of receipt are whole minutes; within one they come by consumer and partition, the last offset first.
        """
        ...

    def dead_reasons(self, query: DeadLetterQuery) -> Sequence[DeadReason]:
        """Count dead letters by reason, each record once, the most frequent first, with the first received of each."""
        ...

    def known(self, event_ids: Sequence[str], consumer: str) -> Mapping[str, KnownEvent]:
        """Return what this consumer took under these ids, as long as scores are kept; absent ids have no entry."""
        ...

    def events(self, event_ids: Sequence[str]) -> Mapping[str, Event]:
        """Return the masked events under these ids that are still kept, of whatever consumer; others have no entry."""
        ...

    def cells(self, query: CellQuery) -> Sequence[CellGroup]:
        """Return sums by window, group and stratum. Never scans raw scores where a rollup holds them."""
        ...

    def cells_by_metric(self, metrics: Sequence[str], query: CellQuery) -> Mapping[str, Sequence[CellGroup]]:
        """Answer one question for several metrics at once; the query's own metric is not looked at."""
        ...

    def cells_since(
        self, metrics: Sequence[str], query: CellQuery, starts: Sequence[datetime]
    ) -> Mapping[str, Sequence[CellGroup]]:
        """Return :meth:`cells_by_metric` of each window from one of ``starts`` to the query's end, read at once.

        The query's step is not looked at; its window has to hold all of them. Groups come by metric, by the place of
        their start, then as those of :meth:`cells`.
        """
        ...

    def group_counts(self, metrics: Sequence[str], query: CellQuery) -> Mapping[str, int]:
        """Return how many consumers and keys of ``by`` each metric has scores of in the window, whatever their scorers.

        To be asked before thousands of groups are read. Every metric has an entry; the query's step is not looked at.
        """
        ...

    def versions(self, metrics: Sequence[str], window: Window) -> Mapping[tuple[str, datetime], int]:
        """Return a number for each metric and hour with scores that changes whenever any of them is written.

        The hours are those that begin in the window. What is written while this is asked may change it later.
        """
        ...

    def cell_columns(self, metrics: Sequence[str], query: CellQuery) -> CellColumns:
        """Return what :meth:`cells_by_metric` returns, in columns: quicker where there are thousands of groups."""
        ...

    def histograms(self, query: CellQuery) -> Sequence[HistogramGroup]:
        """Return the groups of :meth:`cells` with histograms of their values, for quantiles."""
        ...

    def statistics(self, query: CellQuery) -> Sequence[StatisticGroup]:
        """Return the groups of :meth:`cells` with the sums of their statistics, for scores of a corpus."""
        ...

    def feature_sums(self, query: CellQuery) -> Sequence[FeatureGroup]:
        """Return the groups of :meth:`cells` with the sums of their features, for drift. Rolled up like the cells."""
        ...

    def scores(self, query: CellQuery, limit: int) -> Sequence[Score]:
        """Return at most ``limit`` scores of the query's metric, window and ``where``, each once, raw rows.

        They come in the order of their event ids' MD5, so that of more than ``limit`` a random part is returned, the
        same one every time and of every metric. ``step_seconds``, ``by`` and ``clusters`` are not looked at.
        """
        ...

    def missing(self, query: CellQuery, limit: int) -> Sequence[MissingReason]:
        """Return why scores of the query's metric, window and ``where`` have no value, the most frequent first."""
        ...

    def with_status(self, query: StatusQuery, event_ids: Sequence[str]) -> Set[str]:
        """Return those of these events whose score that the query means has one of its statuses."""
        ...

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        """Return what was offered and taken by window and stratum, exactly, however often it was delivered."""
        ...

    def settle(self, limit: int | None = None) -> int:
        """Bring rollups up to date ahead of readers, at most so many buckets; return how many were recomputed."""
        ...

    def outcomes(self, consumer: str | None = None) -> Mapping[LedgerOutcome, int]:
        """Return what became of every record ever read, exactly; an outcome that never was has no entry."""
        ...

    def metrics(self) -> Sequence[ScorerSpec]:
        """Return the scorers that have written here, every version."""
        ...

    def record_scorers(self, specs: Sequence[ScorerSpec]) -> None:
        """Remember what these scorers mean."""
        ...

    def record_design(self, consumer: str, version: int, effective_from: datetime, design: str) -> None:
        """Remember a design (JSON) and since which event time it holds. The same version twice must be equal."""
        ...

    def designs(self, consumer: str) -> Sequence[tuple[int, datetime, str]]:
        """Return (version, effective_from, design JSON) of a consumer, oldest first."""
        ...

    def close(self) -> None:
        """Release connections. May be called twice."""
        ...


ScorerFactory = Callable[..., Scorer]

"""The worker: poll → skim → sample → decode → mask → score → write → commit.

Three threads with bounded queues between them: the caller's reads and commits, one scores, one writes. Nothing leaves a
queue before the next step has it; the ledger rows that say "done" are written last, and the source is told after that.
When a queue is full the source is paused, and the caller goes on polling so that it stays a member of its group.

Longer than other files: the life of the three threads and their ending are one state, read together.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from evalsvc.clock import SystemClock
from evalsvc.errors import EngineError, EvalsvcError, SourceUnavailable, StoreError, StoreUnavailable
from evalsvc.ledger import ChunkLedger
from evalsvc.pipeline.again import Again, ScoresOnly
from evalsvc.pipeline.anchors import Anchors
from evalsvc.pipeline.dead import DeadShare
from evalsvc.pipeline.designs import Designs
from evalsvc.pipeline.intake import Draft, Intake, TimeLimits
from evalsvc.pipeline.metrics import WorkerMetrics
from evalsvc.pipeline.patience import Patience, Stopped
from evalsvc.pipeline.scoring import EventMasker, Processor, masked_values
from evalsvc.protocols import Clock, Scorer, ScoreStore, Source, StatusQuery
from evalsvc.sampling import Design
from evalsvc.scoring import ScorerEntry
from evalsvc.sources.decode import decode, make_skimmer
from evalsvc.types import (
    DeadLetter,
    DeadReason,
    KnownEvent,
    LedgerEntry,
    Status,
    WorkerProgress,
    WorkerStatus,
    WriteBatch,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger("evalsvc.worker")
_JOIN_SECONDS = 10.0
"""How long the end waits for a thread that is busy: nothing interrupts one call of a scorer, or one write."""


class DeadLetterSink(Protocol):
    """Where dead letters go besides the store; called before the ledger says that they were handled."""

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Make them durable before returning; the same letter may come twice."""
        ...

    def close(self) -> None:
        """Release what is held. May be called twice."""
        ...


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker batches and when it gives up. The defaults suit one machine and live traffic."""

    max_batch: int = 512
    flush_seconds: float = 1.0
    queue_batches: int = 4
    poll_seconds: float = 0.2
    notice_seconds: float = 1.5
    drain_seconds: float = 20.0
    commit_seconds: float = 1.0
    tend_seconds: float = 30.0
    settle_seconds: float = 15.0
    max_dead_ratio: float = 0.05
    dead_window: int = 10_000
    dead_min_records: int = 1000
    retry_seconds: float = 0.5
    retry_max_seconds: float = 30.0
    time_limits: TimeLimits = TimeLimits()


class _Job:
    """A draft on its way, with the time at which its first record was read."""

    __slots__ = ("batch", "began", "draft")

    def __init__(self, draft: Draft, began: float) -> None:
        self.draft, self.began = draft, began
        self.batch = WriteBatch()


class Worker:
    """One consumer's pipeline. :meth:`run` blocks its thread; everything else may be called from any thread."""

    def __init__(
        self,
        consumer: str,
        source: Source,
        store: ScoreStore,
        design: Design,
        scorers: Sequence[ScorerEntry],
        masker: EventMasker,
        settings: WorkerSettings | None = None,
        dead_letters: DeadLetterSink | None = None,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
        on_written: Callable[[WriteBatch], None] | None = None,
        anchors: Anchors | None = None,
        again: Sequence[Status] = (),
    ) -> None:
        """Build, but touch nothing yet: no connection is made and no model is loaded before :meth:`run`.

        ``on_written`` is told every batch after the store has it; called from the worker's own thread. With ``again``,
        the source is read from its beginning, and of its events only those scores are made that the store has with one
        of these statuses; nothing else is written, and nothing is counted (:mod:`evalsvc.pipeline.again`).
        """
        self.consumer, self.source, self.scorers = consumer, source, tuple(scorers)
        self.store: ScoreStore = ScoresOnly(store) if again else store
        self._again = Again(consumer, again, self._with_status) if again else None
        self.settings, self.clock = settings or WorkerSettings(), clock or SystemClock()
        self.metrics = WorkerMetrics(consumer, registry)
        self._designs = Designs(store, design, partial(masked_values, masker))
        self._masker, self._on_written = masker, on_written
        self._dead_letters = None if again else dead_letters
        self.anchors, self._anchored = anchors, -math.inf
        self._to_score: queue.Queue[_Job | None] = queue.Queue(self.settings.queue_batches)
        self._to_write: queue.Queue[_Job | None] = queue.Queue(self.settings.queue_batches)
        self._done: queue.SimpleQueue[Mapping[str, int]] = queue.SimpleQueue()
        self._flying: deque[_Job] = deque()
        self._owned: set[str] = set()
        self._positions: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._dead_reasons: dict[str, DeadReason] = {}
        limits = self.settings
        self._dead = DeadShare(consumer, limits.max_dead_ratio, limits.dead_min_records, limits.dead_window)
        self._recalled: set[str] = set()
        self._intake: Intake | None = None
        self._loading: tuple[str, float] | None = None
        self._read = 0
        self._began = self._committed = self._tended = self._settled = 0.0
        self._ready, self._alive, self._finished, self._loaded = False, True, False, False
        self._patience = Patience(
            self.clock,
            {"source": getattr(source, "address", "source"), "store": getattr(store, "address", "") or "store"},
            lambda what: self.metrics.count("evalsvc_waits_total", target=what),
            retry_seconds=limits.retry_seconds,
            retry_max_seconds=limits.retry_max_seconds,
            notice_seconds=limits.notice_seconds,
            drain_seconds=limits.drain_seconds,
        )
        self._failed = ""
        self._processor = Processor(
            self.consumer,
            decode,
            self._masker,
            self.scorers,
            self._known,
            self.metrics,
            self.clock.monotonic,
            self._patience.check,
            self._again,
        )

    def stop(self) -> None:
        """Ask :meth:`run` to finish what was read, commit and return. Safe in a signal handler; may be called twice."""
        self._patience.stop()

    def run(self) -> WorkerStatus:
        """Work until the source is finished or :meth:`stop` was called; return what was done.

        Raises:
            TooManyDeadLetters: the share of undecodable records passed the limit; nothing of that batch was written.
            EvalsvcError: what trying again cannot mend. Uncommitted records are read again at the next start.
        """
        threads = [
            threading.Thread(target=self._guard, args=(step,), name=f"{self.consumer}-{name}", daemon=True)
            for name, step in (("score", self._score_loop), ("write", self._write_loop))
        ]
        drained, patience = False, _JOIN_SECONDS
        try:
            self._prepare()
            for thread in threads:
                thread.start()
            self._read_loop()
            self._drain(threads)
            drained = True
        except Stopped:
            log.info("stopped_while_waiting for=%s", self._patience.waiting_for)
        except BaseException as error:
            # Only our own messages are known to hold no event's text.
            self._failed = str(error) if isinstance(error, EvalsvcError) else type(error).__name__
            patience = 0.0 if isinstance(error, KeyboardInterrupt) else patience
            raise
        finally:
            self._patience.fail(Stopped())
            for thread in threads:
                if thread.ident:
                    thread.join(patience)
                if thread.is_alive():
                    log.warning("thread_still_busy name=%s; nothing of its batch is committed", thread.name)
            if drained:
                self._commit(force=True)
            self._close(ready=drained and self.source.finished)
        return self.status()

    def status(self) -> WorkerStatus:
        """Return what was done so far."""
        counts = dict(self._counts)
        scores = counts.pop("scores", 0)
        lag = sum(self.source.lag().values()) if self._alive and self._loaded and self._patience.reading else 0
        return WorkerStatus(
            read=sum(counts.values()),
            scores=scores,
            lag=lag,
            ready=self._ready,
            alive=self._alive,
            finished=self._finished,
            waiting_for=self._patience.waiting_for,
            failed=self._failed,
            dead_reasons=tuple(self._dead_reasons.values()),
            **counts,
        )

    def progress(self) -> WorkerProgress:
        """Return what it is at."""
        processor, now = self._processor, self.clock.monotonic()
        seconds, busy = dict(processor.seconds), processor.busy
        if busy:
            seconds[busy[0]] = seconds.get(busy[0], 0.0) + now - busy[1]
        doing, since = busy or self._loading or ("", now)
        return WorkerProgress(self._read, self._counts.get("scores", 0), doing, now - since, seconds)

    # What the source asks of its reader (``Assignment``), from within ``poll``.

    def resume_at(self, partition: str, committed: int | None) -> int | None:
        """Go on where the store's ledger ends, which is at or behind what the source believes is done."""
        intake = self._reading()
        rows = self._patience.until_done(lambda: self.store.resume(self.consumer, partition), "store")
        self._owned.add(partition)
        if self._again:
            intake.assign(partition, None)
            return 0
        ledger = self._ledger(rows, partition, committed)
        if ledger and partition not in self._recalled:
            self._recall_dead(partition, ledger.upto)
        intake.assign(partition, ledger)
        return ledger.upto if ledger else None

    def _recall_dead(self, partition: str, upto: int) -> None:
        """Let a restart judge as if it had read the end of what is done: each could bury as much again otherwise."""
        start = max(0, upto - self.settings.dead_min_records)
        dead = self._patience.until_done(
            lambda: self.store.dead_letters_in(self.consumer, partition, start, upto), "store"
        )
        self._dead.remember(upto - start, dead)
        self._recalled.add(partition)

    def revoked(self, partitions: Sequence[str]) -> None:
        """Finish what was read of these partitions if that is quick, commit it, and forget them."""
        self.metrics.count("evalsvc_rebalances_total")
        intake = self._reading()
        try:
            self._offer(intake.draft, self._patience.left)
            intake.cut()
            self._wait_landed(self._patience.left)
        except (queue.Full, TimeoutError):
            log.warning("rebalance_before_written partitions=%d; they will be read again", len(partitions))
        self._commit(force=True)
        for partition in partitions:
            intake.revoke(partition)
            self._owned.discard(partition)
            self._positions.pop(partition, None)

    # The caller's thread.

    def _prepare(self) -> None:
        now = self.clock.now()
        with self._patience.starting("store", warn=bool(getattr(self.store, "address", "store"))):
            history = self._patience.until_done(lambda: self._designs.begin(now), "store")
        # Files may have been read before, and then no model is needed; a group must not wait for its member to load.
        if not getattr(self.source, "finite", False):
            self._load_scorers()
        limits = self.settings.time_limits
        self._intake = Intake(self.consumer, make_skimmer(history.fields), history.select, limits)
        self._note_design()

    def _load_scorers(self) -> None:
        for entry in self.scorers:
            with self._patience.starting(f"scorer {entry.scorer.spec.metric} to load", warn=False):
                self._loading = f"loading {entry.scorer.spec.metric}", self.clock.monotonic()
                _load(entry.scorer)
        self._loading = None
        self._patience.until_done(
            lambda: self.store.record_scorers([entry.scorer.spec for entry in self.scorers]), "store"
        )
        self._loaded = True

    def _read_loop(self) -> None:
        with self._patience.starting("source"):
            self._patience.until_done(lambda: self.source.open(self), "source")
        self._ready = self._patience.reading = True
        self._began = self._tended = self._settled = self.clock.monotonic()
        intake = self._reading()
        while not (self._patience.stopping or self.source.finished):
            self._patience.check()
            self._poll(intake, self.settings.poll_seconds)
            self._flush_if_due(intake)
            self._commit()
            self._tend()

    def _poll(self, intake: Intake, seconds: float) -> None:
        try:
            chunks = self.source.poll(seconds)
        except SourceUnavailable as error:
            self._patience.pause("source", error)
            return
        self._patience.answered("source")
        if not self._loaded and any(chunk.records for chunk in chunks):
            self._load_scorers()
        for chunk in chunks:
            intake.take(chunk)
            self._read += len(chunk.records)
            self.metrics.count("evalsvc_records_read_total", len(chunk.records))

    def _flush_if_due(self, intake: Intake) -> None:
        draft, now = intake.draft, self.clock.monotonic()
        if not draft.records:
            self._began = now
        elif len(draft.items) >= self.settings.max_batch or now - self._began >= self.settings.flush_seconds:
            self._submit(intake)
            self._began = self.clock.monotonic()

    def _submit(self, intake: Intake) -> None:
        """Hand a draft on; while there is no room, pause the source and keep polling it, unless asked to stop."""
        paused = False
        while True:
            self._patience.check()
            try:
                self._offer(intake.draft, 0.1 if paused else 0.0)
            except queue.Full:
                if self._patience.stopping:
                    return
                if not paused:
                    self.source.pause()
                    self.metrics.count("evalsvc_pauses_total")
                    paused = True
                self._poll(intake, 0.0)
                self._commit()
            else:
                break
        intake.cut()
        if paused:
            self.source.resume()

    def _offer(self, draft: Draft, timeout: float) -> None:
        if not draft.records:
            return
        job = _Job(draft, self._began)
        self._flying.append(job)
        try:
            self._to_score.put(job, timeout=timeout) if timeout else self._to_score.put_nowait(job)
        except queue.Full:
            self._flying.remove(job)
            raise

    def _wait_landed(self, seconds: float) -> None:
        deadline = self.clock.monotonic() + seconds
        while self._flying:
            self._patience.check()
            if self.clock.monotonic() > deadline:
                raise TimeoutError
            self.clock.sleep(0.01)

    def _drain(self, threads: Sequence[threading.Thread]) -> None:
        """Finish what was read: the last draft goes the same way, and the threads end behind it.

        Where the worker was asked to stop, for ``drain_seconds``: what a slow scorer still has is read again.
        """
        self._ready = False
        steps: list[Callable[[], bool]] = [
            self._hands_over,
            self._ends,
            lambda: not any(thread.is_alive() for thread in threads),
        ]
        while steps:
            self._patience.check()
            if steps[0]():
                del steps[0]
            elif self._patience.overdue:
                log.warning("stopped_before_written batches=%d; they will be read again", len(self._flying))
                break
            else:
                self.clock.sleep(0.01)
        self._patience.check()

    def _hands_over(self) -> bool:
        intake = self._reading()
        try:
            self._offer(intake.draft, 0.0)
        except queue.Full:
            return False
        intake.cut()
        return True

    def _ends(self) -> bool:
        try:
            self._to_score.put_nowait(None)
        except queue.Full:
            return False
        return True

    def _commit(self, *, force: bool = False) -> None:
        while not self._done.empty():
            self._positions.update(self._done.get())
        now = self.clock.monotonic()
        positions = {p: offset for p, offset in self._positions.items() if p in self._owned}
        if not positions or self._again or (now - self._committed < self.settings.commit_seconds and not force):
            return
        try:
            self.source.commit(positions)
        except SourceUnavailable as error:
            log.warning("commit_failed error=%s; the ledger knows what is done", error)
        else:
            self._positions.clear()
        self._committed = now
        self._note_state(now)

    def _note_state(self, now: float) -> None:
        for partition, lag in self.source.lag().items():
            self.metrics.gauge("evalsvc_lag_records", lag, partition=partition)
        oldest = min((job.began for job in list(self._flying)), default=now)
        self.metrics.gauge("evalsvc_oldest_unscored_seconds", max(0.0, now - oldest))
        self.metrics.gauge("evalsvc_queue_batches", self._to_score.qsize(), step="score")
        self.metrics.gauge("evalsvc_queue_batches", self._to_write.qsize(), step="write")
        self.metrics.gauge("evalsvc_ready", float(self._ready and not self._patience.waiting_for))

    def _tend(self) -> None:
        """Now and then: choose the next hour's rate and test the last day's sampling, when it is this worker's turn."""
        now = self.clock.monotonic()
        if now - self._tended < self.settings.tend_seconds:
            return
        self._tended = now
        try:
            if self._leads():
                self._designs.plan(self.clock.now())
                faults = self._designs.faults(self.clock.now())
                self.metrics.gauge("evalsvc_sampling_faults", len(faults))
                for fault in faults:
                    log.error("sampling_fault %s", fault)
            history, intake = self._designs.history(), self._reading()
            intake.skim, intake.select = make_skimmer(history.fields), history.select
            self._note_design()
        except StoreUnavailable as error:
            log.warning("design_not_tended error=%s", error)

    def _leads(self) -> bool:
        """Whether this worker chooses for its group: it owns the first partition, or none has a number."""
        return any(partition.endswith("/0") or "/" not in partition for partition in tuple(self._owned))

    def _note_design(self) -> None:
        design = self._designs.history().at(self.clock.now())
        self.metrics.gauge("evalsvc_sampling_rate", design.rate)
        self.metrics.gauge("evalsvc_design_version", design.version)

    def _ledger(self, entry: LedgerEntry | None, partition: str, committed: int | None) -> ChunkLedger | None:
        if entry is None:
            return None if committed is None else ChunkLedger(self.consumer, partition, committed)
        ledger = ChunkLedger.restore(entry)
        if committed is None or committed <= ledger.upto:
            if committed is not None and committed < ledger.upto:
                log.info("resume_from_ledger partition=%s committed=%d done=%d", partition, committed, ledger.upto)
            return ledger
        log.warning(
            "resume_before_commit partition=%s committed=%d done=%d: the store lost what it had; reading it again",
            partition,
            committed,
            ledger.upto,
        )
        return ledger

    def _reading(self) -> Intake:
        if self._intake is None:
            raise RuntimeError("Expected run() to have begun")
        return self._intake

    def _close(self, *, ready: bool) -> None:
        """Release all. Who has read its source to the end is ready still: nobody waits for it."""
        self._alive, self._ready, self._finished = False, False, ready
        self.metrics.gauge("evalsvc_ready", float(ready))
        self.source.close()
        if self._dead_letters:
            self._dead_letters.close()

    # The threads.

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Stopped:
            log.debug("step_ended")
        except BaseException as error:
            if not self._patience.fail(error):
                log.error("late_error thread=%s error=%s", threading.current_thread().name, type(error).__name__)

    def _score_loop(self) -> None:
        while (job := self._next(self._to_score, self._tend_anchors)) is not None:
            draft = job.draft
            job.batch = self._processor.process(draft)
            self._dead.check(draft.records, len(job.batch.dead_letters))
            self._hand_on(self._to_write, job)
        # A file may have been read before the anchors' turn came.
        self._tend_anchors()
        self._hand_on(self._to_write, None)

    def _tend_anchors(self) -> None:
        """Score the anchors when their turn comes, in one worker of the group, between two batches.

        Not once the worker was asked to stop: the time that is left is for what was read, and the anchors can wait.
        """
        now = self.clock.monotonic()
        if self.anchors is None or self._patience.stopping:
            return
        if now - self._anchored < self.settings.tend_seconds or not self._leads():
            return
        try:
            self.anchors.tend(self._goes_on)
        except Stopped:
            self._patience.check()
        self._anchored = self.clock.monotonic()

    def _goes_on(self) -> None:
        self._patience.check()
        if self._patience.stopping:
            raise Stopped

    def _known(self, event_ids: Sequence[str], consumer: str) -> Mapping[str, KnownEvent]:
        return self._patience.until_done(lambda: self.store.known(event_ids, consumer), "store") if event_ids else {}

    def _with_status(self, query: StatusQuery, event_ids: Sequence[str]) -> Set[str]:
        return self._patience.until_done(lambda: self.store.with_status(query, event_ids), "store")

    def _write_loop(self) -> None:
        while (job := self._next(self._to_write)) is not None:
            began = self.clock.monotonic()
            entries = [tally.ledger.add(tally.settle(), tally.upto) for tally in job.draft.tallies]
            job.batch = batch = self._complete(job.batch, entries)
            self._patience.until_done(partial(self._land, batch), "store")
            if self._on_written is not None:
                self._on_written(batch)
            self._done.put(job.draft.positions)
            self._flying.remove(job)
            self._note_written(job, self.clock.monotonic() - began)
            self._settle()

    def _complete(self, batch: WriteBatch, entries: Sequence[LedgerEntry]) -> WriteBatch:
        """Add the ledger, and where a person finds what is dead, if the source knows."""
        place = getattr(self.source, "place", None)
        letters = batch.dead_letters
        if place is not None:
            letters = tuple(msgspec.structs.replace(one, at=place(one.partition, one.offset)) for one in letters)
        return msgspec.structs.replace(batch, dead_letters=letters, ledger=tuple(entries))

    def _settle(self) -> None:
        """Keep rollups near the present, a little at a time; readers do what is left, so a failure holds nothing up."""
        if not self._leads() or self.clock.monotonic() - self._settled < self.settings.settle_seconds:
            return
        try:
            self.store.settle(100)
        except StoreError as error:
            log.warning("not_settled error=%s", error)
        self._settled = self.clock.monotonic()

    def _land(self, batch: WriteBatch) -> None:
        if self._dead_letters and batch.dead_letters:
            self._dead_letters.write(batch.dead_letters)
        self.store.write(batch)

    def _note_written(self, job: _Job, seconds: float) -> None:
        self.metrics.count("evalsvc_batches_total")
        self.metrics.count("evalsvc_write_seconds_total", seconds)
        for letter in job.batch.dead_letters:
            self.metrics.count("evalsvc_dead_letters_total", reason=letter.reason)
            first = DeadReason(letter.reason, 0, letter.partition, letter.offset, letter.message, letter.at)
            known = self._dead_reasons.get(letter.reason, first)
            self._dead_reasons[letter.reason] = msgspec.structs.replace(known, records=known.records + 1)
        for entry in self.scorers:
            self.metrics.engine(entry.scorer)
            self.metrics.judge(entry.scorer)
        for tally in job.draft.tallies:
            for (_, _, _, outcome), count in tally.counts.items():
                self._counts[outcome] = self._counts.get(outcome, 0) + count
                if count:
                    self.metrics.count("evalsvc_records_total", count, outcome=outcome)
        self._counts["scores"] = self._counts.get("scores", 0) + len(job.batch.scores)

    def _next(self, source: queue.Queue[_Job | None], meanwhile: Callable[[], None] = lambda: None) -> _Job | None:
        while True:
            self._patience.check()
            meanwhile()
            try:
                return source.get(timeout=0.1)
            except queue.Empty:
                continue

    def _hand_on(self, target: queue.Queue[_Job | None], job: _Job | None) -> None:
        while True:
            self._patience.check()
            try:
                return target.put(job, timeout=0.1)
            except queue.Full:
                continue


def _load(scorer: Scorer) -> None:
    """Load a scorer; whatever is wrong with it says whose it is. No event was read yet, so nothing can be quoted."""
    try:
        scorer.load()
    except EngineError as error:
        raise type(error)(f"Scorer {scorer.spec.metric!r}: {error}") from error
    except EvalsvcError:
        raise
    except Exception as error:
        raise EngineError(
            f"Scorer {scorer.spec.metric!r} could not be loaded: {type(error).__name__}: {error}"
        ) from error

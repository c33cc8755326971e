"""The first step of the worker: raw records in, a draft out that knows what became of each of them.

Every record passes here, so its loop allocates nothing for those that the design does not take. The decision, the
count and the place of a record are made together: nothing is counted that was not read, and nothing read goes
uncounted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from evalsvc.errors import DecodeError
from evalsvc.ledger import ChunkLedger, Key, chunk_start
from evalsvc.protocols import Chunk, Record
from evalsvc.sampling import Facts, Selection
from evalsvc.types import DeadLetter

_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MINUTE = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) // 60
KEPT = "kind="


class Header(Facts, Protocol):
    """The head of an event, as the decoder's skimmer returns it."""

    @property
    def kind(self) -> str: ...  # noqa: D102


Skim = Callable[[bytes], Header]
Select = Callable[[Header], Selection | None]


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How far an event's time may lie from when its record was received; beyond, it is a dead letter."""

    future_seconds: int = 600
    age_days: int | None = 400

    def received_between(self, minute: int) -> tuple[int, int]:
        """Return the half-open range of receipt times, in ms, in which an event of this minute is accepted."""
        latest = (minute + self.age_days * 1440) * 60_000 if self.age_days is not None else 1 << 62
        return minute * 60_000 - self.future_seconds * 1000, latest

    def refusal(self, timestamp_ms: int, earliest_ms: int) -> DecodeError:
        """Return the error for an event whose record was not received in its range."""
        if timestamp_ms < earliest_ms:
            seconds = self.future_seconds
            return DecodeError(
                "future_time", f"Expected `occurred_at` at most {seconds} s after receipt, but it is later"
            )
        return DecodeError("ancient_time", f"Expected `occurred_at` at most {self.age_days} days before receipt")


@dataclass(slots=True)
class Item:
    """A record that goes on to be decoded: selected by the design, or of a kind that is kept."""

    partition: str
    record: Record
    selection: Selection
    minute: int
    tally: Tally
    kept: bool = False


@dataclass(slots=True)
class Tally:
    """What became of the records of one chunk within one draft."""

    ledger: ChunkLedger
    upto: int
    counts: dict[Key, int] = field(default_factory=dict)
    skipped: dict[int, dict[Selection, int]] = field(default_factory=dict)

    def add(self, key: Key, count: int = 1) -> None:
        """Count under a key; a negative count takes back."""
        self.counts[key] = self.counts.get(key, 0) + count

    def settle(self) -> Mapping[Key, int]:
        """Return all counts, those of the hot loop included."""
        for minute, row in self.skipped.items():
            for selection, count in row.items():
                self.add((minute, selection.stratum, selection.version, "skipped"), count)
        self.skipped = {}
        return self.counts


@dataclass(slots=True)
class Draft:
    """What was read between two cuts."""

    items: list[Item] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    records: int = 0

    def drop(self, partition: str) -> None:
        """Forget a partition: another reader owns it."""
        self.items = [item for item in self.items if item.partition != partition]
        self.dead = [letter for letter in self.dead if letter.partition != partition]
        self.tallies = [tally for tally in self.tallies if tally.ledger.partition != partition]
        self.positions.pop(partition, None)


def received_minute(record: Record) -> int:
    """Return the minute in which a record was received; a time that cannot be (µs for ms) counts as the nearest."""
    return min(max(record.timestamp // 60_000, 0), _LATEST_MINUTE)


def dead_letter(consumer: str, partition: str, record: Record, error: DecodeError) -> DeadLetter:
    """Describe a record that is not an event, without its text."""
    value = record.value or b""
    return DeadLetter(
        consumer=consumer,
        partition=partition,
        offset=record.offset,
        received_at=datetime.fromtimestamp(received_minute(record) * 60, UTC),
        reason=error.reason,
        message=str(error),
        size=len(value),
        digest=hashlib.sha256(value).hexdigest(),
    )


class Intake:
    """Reads chunks into a draft. Used by one thread."""

    def __init__(self, consumer: str, skim: Skim, select: Select, limits: TimeLimits) -> None:
        """Count for ``consumer``; ``select`` may be replaced between two chunks when the design changes."""
        self.consumer, self.skim, self.select, self.limits = consumer, skim, select, limits
        self.draft = Draft()
        self._ledgers: dict[str, ChunkLedger | None] = {}

    def assign(self, partition: str, ledger: ChunkLedger | None) -> None:
        """Begin a partition, from a chunk's ledger or (None) from whatever record comes first."""
        self._ledgers[partition] = ledger

    def revoke(self, partition: str) -> None:
        """Forget a partition and what was read of it since the last cut."""
        self._ledgers.pop(partition, None)
        self.draft.drop(partition)

    def cut(self) -> Draft:
        """Return what was read since the last cut, and begin anew."""
        draft, self.draft = self.draft, Draft()
        return draft

    def take(self, chunk: Chunk) -> None:
        """Read records of one partition; a partition that is not assigned is ignored."""
        if chunk.partition not in self._ledgers or not chunk.records:
            return
        records = chunk.records
        begin = 0
        while begin < len(records):
            tally = self._tally(chunk.partition, records[begin].offset)
            stop = len(records)
            if records[-1].offset >= tally.ledger.end:
                stop = next(i for i in range(begin, stop) if records[i].offset >= tally.ledger.end)
            self._read(chunk.partition, records if stop - begin == len(records) else records[begin:stop], tally)
            begin = stop
        self.draft.records += len(records)
        self.draft.positions[chunk.partition] = records[-1].offset + 1

    def _tally(self, partition: str, offset: int) -> Tally:
        ledger = self._ledgers[partition]
        if ledger is None or offset >= ledger.end:
            ledger = ChunkLedger(self.consumer, partition, offset if ledger is None else chunk_start(offset))
            self._ledgers[partition] = ledger
        for tally in self.draft.tallies:
            if tally.ledger is ledger:
                return tally
        self.draft.tallies.append(Tally(ledger, offset))
        return self.draft.tallies[-1]

    def _read(self, partition: str, records: Sequence[Record], tally: Tally) -> None:
        skim, select, skipped = self.skim, self.select, tally.skipped
        low = high = _EPOCH
        minute, earliest, latest = 0, 0, -1
        row: dict[Selection, int] = {}
        for record in records:
            value = record.value
            if value is None:
                tally.add((received_minute(record), "", 0, "filtered"))
                continue
            try:
                header = skim(value)
                moment = header.occurred_at
                if not low <= moment < high:
                    minute = int(moment.timestamp() // 60)
                    low = _EPOCH + timedelta(minutes=minute)
                    high = low + _MINUTE
                    row = skipped.setdefault(minute, {})
                    earliest, latest = self.limits.received_between(minute)
                if not earliest <= record.timestamp < latest:
                    raise self.limits.refusal(record.timestamp, earliest)
            except DecodeError as error:
                self._dead(partition, record, error, tally)
                continue
            if header.kind != "interaction":
                kept = Selection(KEPT + header.kind, 0, 0, 1.0)
                self.draft.items.append(Item(partition, record, kept, minute, tally, kept=True))
                tally.add((minute, kept.stratum, 0, "kept"))
                continue
            selection = select(header)
            if selection is None:
                tally.add((minute, "", 0, "filtered"))
            elif selection.pi is None:
                row[selection] = row.get(selection, 0) + 1
            else:
                self.draft.items.append(Item(partition, record, selection, minute, tally))
                tally.add((minute, selection.stratum, selection.version, "sampled"))
        tally.upto = records[-1].offset + 1

    def _dead(self, partition: str, record: Record, error: DecodeError, tally: Tally) -> None:
        tally.add((received_minute(record), "", 0, "dead"))
        self.draft.dead.append(dead_letter(self.consumer, partition, record, error))

"""Kafka's record batches read in one pass, for the three things that a source needs of a record.

kafka-python makes a ``ConsumerRecord`` of thirteen fields of every message, in several Python calls each: more work
than all else that an unsampled event costs (``docs/decisions/004``). Fetching, decompression, checksums and
transactions stay the client's; only the walk over the records of a batch of the current format (v2, KIP-98) is ours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from kafka import KafkaConsumer

log = logging.getLogger("evalsvc.kafka")

_FORMAT = 2
_ABSENT = 1
_TESTED_WITH = "3.0."
"""The releases whose private parts this was written for; with any other the client reads as it does."""
_RELIED_UPON = (
    "_unpack_records",
    "_consume_aborted_transactions_up_to",
    "_contains_abort_marker",
    "_is_batch_aborted",
    "drain",
)


class KafkaRecord(NamedTuple):
    """One message: its offset, its bytes (None: a tombstone), and its timestamp in ms since the epoch."""

    offset: int
    value: bytes | None
    timestamp: int


class BadBatch(ValueError):
    """The bytes of a batch are not records, although their checksum holds."""


def read_records(
    data: bytes, at: int, count: int, offset: int, timestamp: int, appended: int | None
) -> list[KafkaRecord]:
    """Return the records of an uncompressed batch of format v2, without keys and headers.

    Args:
        data: the batch's bytes, decompressed.
        at: where the first record begins.
        count: how many there are.
        offset: the batch's base offset.
        timestamp: the batch's first timestamp, in ms.
        appended: the time of every record where the broker stamps them (``LogAppendTime``), else None.

    Raises:
        BadBatch: a record ends before its value, or the batch does not end with its last record.

    >>> read_records(bytes([22, 0, 4, 2, 1, 10]) + b"hello" + bytes([0]), 0, 1, 100, 7000, None)
    [KafkaRecord(offset=101, value=b'hello', timestamp=7002)]
    """
    try:
        found, at = _walk(data, at, count, offset, timestamp, appended)
    except IndexError:
        raise BadBatch("Expected a batch to hold all of its records, but it ends early") from None
    if at != len(data):
        raise BadBatch(f"Expected a batch to end with its last record, but {len(data) - at} bytes are left")
    return found


def _walk(
    data: bytes, at: int, count: int, offset: int, timestamp: int, appended: int | None
) -> tuple[list[KafkaRecord], int]:
    """Return the records and where the last one ends.

    Every message passes here. Numbers of one and two bytes are read in place, thrice, since a call for each would cost
    more than the reading.
    """
    found: list[KafkaRecord] = []
    add, make = found.append, tuple.__new__
    for _ in range(count):
        size = data[at]
        if size < 0x80:
            at += 1
        elif data[at + 1] < 0x80:
            size, at = size & 0x7F | data[at + 1] << 7, at + 2
        else:
            size, at = _varint(data, at)
        end = at + (size >> 1)
        elapsed, at = _varint(data, at + 1)
        place = data[at]
        if place < 0x80:
            at += 1
        elif data[at + 1] < 0x80:
            place, at = place & 0x7F | data[at + 1] << 7, at + 2
        else:
            place, at = _varint(data, at)
        if data[at] == _ABSENT:
            at += 1
        else:
            size, at = _varint(data, at)
            at += size >> 1
        size = data[at]
        if size < 0x80:
            at += 1
        elif data[at + 1] < 0x80:
            size, at = size & 0x7F | data[at + 1] << 7, at + 2
        else:
            size, at = _varint(data, at)
        value = None if size == _ABSENT else data[at : at + (size >> 1)]
        if end <= at + (size >> 1):
            raise BadBatch("Expected a record to end behind its value")
        moment = timestamp + (elapsed >> 1 ^ -(elapsed & 1)) if appended is None else appended
        add(make(KafkaRecord, (offset + (place >> 1), value, moment)))
        at = end
    return found, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number as it is coded (zigzag: 2n for n ≥ 0, else -2n - 1), and where the next field begins."""
    number = data[at] & 0x7F
    shift = 7
    while data[at] >= 0x80:
        at += 1
        number |= (data[at] & 0x7F) << shift
        shift += 7
    return number, at + 1


def read_with(consumer: KafkaConsumer) -> bool:
    """Let this consumer, and no other, read batches with :func:`read_records`; its records are ``KafkaRecord``.

    Returns false, and changes nothing, where the client is not built as the one that this was written for.
    """
    from kafka import __version__

    fetcher = getattr(consumer, "_fetcher", None)
    reader = getattr(fetcher, "PartitionRecords", None)
    known = __version__.startswith(_TESTED_WITH) and all(hasattr(reader, name) for name in _RELIED_UPON)
    if fetcher is None or reader is None or not known:
        log.warning("kafka_batches_read_by_client: this version of kafka-python is not known; reading is slower")
        return False
    fetcher.PartitionRecords = _lean(reader)
    return True


def _lean(reader: Any) -> Any:  # noqa: ANN401 - untyped package
    from kafka.errors import CorruptRecordError

    class LeanRecords(reader):  # type: ignore[misc]
        """The client's records of a partition, with the walk over a batch replaced."""

        def _unpack_records(self, partition: object, batches: Any, *_: object) -> Iterator[KafkaRecord]:  # noqa: ANN401
            while (batch := batches.next_batch()) is not None:
                if self.check_crcs and not batch.validate_crc():
                    raise CorruptRecordError(f"A batch of {partition} at offset {batch.base_offset} is damaged")
                if batch.magic == _FORMAT:
                    self.leader_epoch = batch.leader_epoch
                    records = () if self._unwanted(batch) else _records_of(batch)
                else:
                    records = _old_records_of(batch, self.check_crcs)
                # The client takes partitions in turns by what was read of them.
                self.bytes_read += batch.size_in_bytes
                self.records_read += len(records)
                for record in records:
                    self.next_fetch_offset = record.offset + 1
                    yield record
                if batch.magic == _FORMAT:
                    # Compaction may have taken a batch's last records away: the next fetch begins behind the batch.
                    self.next_fetch_offset = batch.next_offset
            self.drain()

        def _unwanted(self, batch: Any) -> bool:  # noqa: ANN401
            """Whether a batch holds no data, or data of an aborted transaction."""
            if batch.has_producer_id():
                self._consume_aborted_transactions_up_to(batch.last_offset)
                if self._contains_abort_marker(batch):
                    self.aborted_producer_ids.discard(batch.producer_id)
                elif self._is_batch_aborted(batch):
                    return True
            return bool(batch.is_control_batch)

    return LeanRecords


def _old_records_of(batch: Any, check: bool) -> Sequence[KafkaRecord]:  # noqa: ANN401
    """Return the records of a batch of the formats before v2, whose checksums are the records' own."""
    from kafka.errors import CorruptRecordError

    found = []
    for record in batch:
        if check and not record.validate_crc():
            raise CorruptRecordError(f"The record at offset {record.offset} is damaged")
        found.append(KafkaRecord(record.offset, record.value, -1 if record.timestamp is None else record.timestamp))
    return found


def _records_of(batch: Any) -> Sequence[KafkaRecord]:  # noqa: ANN401
    from kafka.errors import CorruptRecordError

    batch._maybe_uncompress()
    appended = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
    data, at, count = bytes(batch._buffer), batch._pos, batch.records_count
    try:
        return read_records(data, at, count, batch.base_offset, batch.first_timestamp, appended)
    except BadBatch as error:
        raise CorruptRecordError(str(error)) from error

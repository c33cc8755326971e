"""Our walk over a Kafka batch gives what kafka-python's own gives: every codec, key, header, tombstone and time."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from evalsvc.sources._kafka_batches import BadBatch, KafkaRecord, _records_of, read_records, read_with

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
FIRST = 1_772_366_400_000

payloads = st.one_of(
    st.none(),
    st.binary(max_size=90),
    st.integers(50, 40_000).map(lambda size: bytes([size % 256]) * size),
)
headers = st.lists(st.tuples(st.text("abc", max_size=4), st.one_of(st.none(), st.binary(max_size=80))), max_size=3)
messages = st.lists(st.tuples(payloads, payloads, headers, st.integers(-(10**6), 10**10)), min_size=1, max_size=40)


def build(records, codec=0, base=7_000_000_000, appended=None):
    """Return the bytes of a batch as a broker sends them: the base offset set, the time stamped if it stamps."""
    builder = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 26)
    for place, (key, value, head, later) in enumerate(records):
        assert builder.append(place, FIRST + later, key, value, head) is not None
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, base)
    if appended is not None:
        # Attributes lie at 21, the batch's greatest time at 35; the checksum is not looked at here.
        struct.pack_into(">h", data, 21, struct.unpack_from(">h", data, 21)[0] | 0x08)
        struct.pack_into(">q", data, 35, appended)
    return bytes(data)


def both(data):
    theirs = [KafkaRecord(r.offset, r.value, r.timestamp) for r in DefaultRecordBatch(data)]
    return theirs, list(_records_of(DefaultRecordBatch(data)))


@settings(max_examples=150, deadline=None)
@given(records=messages, codec=st.sampled_from(sorted(CODECS.values())), stamped=st.booleans())
def test_every_batch_reads_as_the_client_reads_it(records, codec, stamped):
    theirs, ours = both(build(records, codec, appended=FIRST + 5 if stamped else None))
    assert ours == theirs
    assert [record.value for record in ours] == [value for _, value, _, _ in records]


@settings(max_examples=100, deadline=None)
@given(records=messages, cut=st.integers(1, 200))
def test_a_batch_that_ends_early_or_late_is_refused(records, cut):
    batch = DefaultRecordBatch(build(records))
    batch._maybe_uncompress()
    data, at = bytes(batch._buffer), batch._pos
    with pytest.raises(BadBatch):
        read_records(data[: max(at, len(data) - cut)], at, len(records), 0, 0, None)
    with pytest.raises(BadBatch):
        read_records(data + bytes(cut), at, len(records), 0, 0, None)


class Consumer:
    """As much of the client as :func:`read_with` looks at."""

    class Fetcher:
        pass

    def __init__(self):
        self._fetcher = self.Fetcher()


def test_a_client_of_another_make_is_left_alone_and_said(caplog):
    consumer = Consumer()
    assert read_with(consumer) is False
    assert not hasattr(consumer._fetcher, "PartitionRecords")
    assert "kafka_batches_read_by_client" in caplog.text


def test_old_formats_are_read_by_the_client():
    from kafka.consumer.fetcher import Fetcher
    from kafka.record.memory_records import MemoryRecordsBuilder

    builder = MemoryRecordsBuilder(magic=1, compression_type=0, batch_size=1 << 16)
    for place in range(3):
        builder.append(timestamp=FIRST + place, key=None, value=b"value %d" % place)
    builder.close()
    consumer = Consumer()
    consumer._fetcher.PartitionRecords = Fetcher.PartitionRecords
    assert read_with(consumer)
    drained = []
    reader = consumer._fetcher.PartitionRecords(
        1, ("topic", 0), MemoryRecords(bytes(builder.buffer())), on_drain=drained.append
    )
    assert reader.take(10) == [KafkaRecord(n, b"value %d" % n, FIRST + n) for n in (1, 2)]
    assert reader.next_fetch_offset == 3
    assert drained == [reader]
    assert Fetcher.PartitionRecords is not consumer._fetcher.PartitionRecords, "the class itself is not touched"

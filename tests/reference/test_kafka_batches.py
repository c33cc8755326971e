"""Our walk over a Kafka batch gives what kafka-python's own gives: every codec, key, header, tombstone and time."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
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


def test_an_untested_release_is_left_alone(monkeypatch):
    import kafka
    from kafka.consumer.fetcher import Fetcher

    monkeypatch.setattr(kafka, "__version__", "3.1.0")
    consumer = Consumer()
    consumer._fetcher.PartitionRecords = Fetcher.PartitionRecords
    assert read_with(consumer) is False
    assert consumer._fetcher.PartitionRecords is Fetcher.PartitionRecords


def walk(reader_class, data, start, size):
    """Take ``size`` records at a time; what came, with where the next fetch would begin after each."""
    drained = []
    place, batches = TopicPartition("topic", 0), MemoryRecords(data)
    reader = reader_class(start, place, batches, check_crcs=False, on_drain=drained.append)
    seen = []
    while reader:
        taken = [(record.offset, record.value, record.timestamp) for record in reader.take(size)]
        seen.append((taken, reader.next_fetch_offset))
    assert drained == [reader]
    return seen, reader.bytes_read > 0, reader.records_read


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("start", [100, 102, 107])
def test_takes_and_offsets_are_the_clients(size, start):
    """Over batch boundaries, from within a batch, past a control batch, and past records that compaction took."""
    from kafka.consumer.fetcher import Fetcher

    rows = [(None, b"value", [], place) for place in range(4)]
    first, control = build(rows, 3, base=100), bytearray(build(rows[:1], base=104))
    struct.pack_into(">h", control, 21, struct.unpack_from(">h", control, 21)[0] | 0x20)
    compacted = bytearray(build(rows, base=105))
    # The batch spans ten offsets, of which only the first four still hold a record.
    struct.pack_into(">i", compacted, 23, 9)
    data = first + bytes(control) + bytes(compacted)
    consumer = Consumer()
    consumer._fetcher.PartitionRecords = Fetcher.PartitionRecords
    assert read_with(consumer)
    ours = walk(consumer._fetcher.PartitionRecords, data, start, size)
    theirs = walk(Fetcher.PartitionRecords, data, start, size)
    assert ours[0] == theirs[0]
    assert ours[0][-1][1] == 115
    assert ours[1]


def test_a_damaged_batch_is_refused():
    from kafka.consumer.fetcher import Fetcher
    from kafka.errors import CorruptRecordError

    data = bytearray(build([(None, b"value", [], 0)]))
    data[-3] ^= 1
    consumer = Consumer()
    consumer._fetcher.PartitionRecords = Fetcher.PartitionRecords
    assert read_with(consumer)
    reader = consumer._fetcher.PartitionRecords(0, ("topic", 0), MemoryRecords(bytes(data)))
    with pytest.raises(CorruptRecordError):
        reader.take(5)

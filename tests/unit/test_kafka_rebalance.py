"""A Kafka source while its partitions come and go, with a consumer that does so at the worst moment."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("kafka")

from kafka import TopicPartition

from evalsvc.errors import StoreUnavailable
from evalsvc.sources.kafka import KafkaSettings, KafkaSource, _listener
from evalsvc.testing.sources import RecordingAssignment

HERE = TopicPartition("t", 0)


class FakeConsumer:
    """Holds one partition with one record; ``asked`` is called in the middle of a question for what is committed."""

    def __init__(self, asked: Callable[[], None]) -> None:
        self._asked, self.paused, self.at, self.assigned = asked, False, 0, {HERE}
        self._cluster = SimpleNamespace(topic_id=lambda topic: None)

    def committed(self, partition: TopicPartition, timeout_ms: int) -> None:
        self._asked()

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def seek_to_beginning(self, partition: TopicPartition) -> None:
        self.at = 0

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= HERE in partitions

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused &= HERE not in partitions

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        if self.paused or self.at or not self.assigned:
            return {}
        self.at = 1
        return {HERE: [SimpleNamespace(offset=0)]}


def run(coroutine: Any) -> None:
    """Run what awaits nothing."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


def opened(consumer: Any, reader: RecordingAssignment) -> tuple[KafkaSource, Any]:
    """A source to which the partition has just been assigned, and what it is told of by."""
    source = KafkaSource(KafkaSettings(brokers=("b:1",), topics=("t",), group="g"))
    source._consumer, source._assignment = consumer, reader
    listener = _listener(source._notes, consumer, source._release)
    run(listener.on_partitions_assigned([HERE]))
    return source, listener


@pytest.mark.parametrize("lost", [False, True])
def test_a_partition_that_leaves_and_comes_back_while_it_is_settled_is_read(lost):
    once = [True]

    def rebalance() -> None:
        if once:
            once.clear()
            run(listener.on_partitions_lost([HERE]) if lost else listener.on_partitions_revoked([HERE]))
            run(listener.on_partitions_assigned([HERE]))

    consumer, reader = FakeConsumer(rebalance), RecordingAssignment()
    source, listener = opened(consumer, reader)
    source.pause()
    for _ in range(3):
        assert source.poll(0.0) == []
    source.resume()
    read = [(chunk.partition, len(chunk.records)) for _ in range(3) for chunk in source.poll(0.0)]
    assert read == [("t/0", 1)]
    assert (reader.asked, reader.lost) == ([("t/0", None)] * 2, ["t/0"])


@pytest.mark.parametrize("told", [True, False])
def test_a_partition_that_leaves_while_it_is_settled_is_let_go(told):
    def rebalance() -> None:
        if consumer.assigned:
            consumer.assigned.clear()
            if told:
                run(listener.on_partitions_revoked([HERE]))

    consumer, reader = FakeConsumer(rebalance), RecordingAssignment()
    source, listener = opened(consumer, reader)
    assert source.poll(0.0) == []
    assert (reader.asked, reader.lost) == ([("t/0", None)], ["t/0"])
    run(listener.on_partitions_revoked([HERE]))
    assert source.poll(0.0) == []
    assert len(reader.lost) == 1


def test_a_partition_that_leaves_after_its_reader_could_not_answer_is_let_go():
    class Failing(RecordingAssignment):
        def resume_at(self, partition: str, committed: int | None) -> int | None:
            super().resume_at(partition, committed)
            raise StoreUnavailable("no store")

    reader = Failing()
    source, listener = opened(FakeConsumer(lambda: None), reader)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            source.poll(0.0)
    run(listener.on_partitions_revoked([HERE]))
    assert source.poll(0.0) == []
    assert (len(reader.asked), reader.lost) == (2, ["t/0"])

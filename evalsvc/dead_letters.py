"""Where dead letters go besides the store: a folder of JSON lines, or a Kafka topic. Neither holds the message's text.

A letter names the record's place, so that the message can be found where it already is, with the tools that may read
it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalsvc.errors import MissingExtra, SourceUnavailable, StoreUnavailable
from evalsvc.types import DeadLetter

if TYPE_CHECKING:
    from evalsvc.sources.kafka import KafkaSettings


class FolderDeadLetters:
    """Appends letters to ``CONSUMER.jsonl`` in a folder, flushed to disk before :meth:`write` returns.

    A batch that is tried again is appended again; a letter's place (consumer, partition, offset) identifies it.
    """

    def __init__(self, folder: str | Path, consumer: str) -> None:
        """Make the folder, if need be."""
        self.path = Path(folder) / f"{consumer}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Append.

        Raises:
            StoreUnavailable: the disk is full or the folder cannot be written.
        """
        lines = b"".join(msgspec.json.encode(letter) + b"\n" for letter in letters)
        try:
            with self.path.open("ab") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreUnavailable(
                f"Could not write dead letters to {self.path}: {error.strerror}; free the disk"
            ) from error

    def close(self) -> None:
        """Nothing is held between two writes."""


class KafkaDeadLetters:
    """Produces letters to a topic, keyed by the record's place; waits for the brokers' acknowledgement."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        """Connect to the brokers of ``settings``.

        Raises:
            SourceUnavailable: no broker answers.
        """
        try:
            from kafka import KafkaProducer
            from kafka.errors import KafkaError
        except ImportError as error:
            raise MissingExtra("kafka-python", "kafka") from error
        self.topic = topic
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=list(settings.brokers),
                acks="all",
                client_id=settings.client_id,
                **settings.security.options(),
            )
        except KafkaError as error:
            where = ",".join(settings.brokers)
            raise SourceUnavailable(
                f"No Kafka broker answers at {where} ({type(error).__name__}); is it up?"
            ) from error

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Produce, and return when all are acknowledged.

        Raises:
            SourceUnavailable: a letter was not acknowledged; all may be produced again.
        """
        from kafka.errors import KafkaError

        try:
            sent = [
                self._producer.send(
                    self.topic,
                    key=f"{letter.consumer}/{letter.partition}/{letter.offset}".encode(),
                    value=msgspec.json.encode(letter),
                )
                for letter in letters
            ]
            for future in sent:
                future.get(timeout=30)
        except KafkaError as error:
            raise SourceUnavailable(
                f"Dead-letter topic {self.topic!r} did not acknowledge: {type(error).__name__}"
            ) from error

    def close(self) -> None:
        """Release the connection."""
        self._producer.close(timeout=5)

"""The broker that other tests build on is a real one: it keeps, compresses, survives, asks for a password."""

from __future__ import annotations

import socket

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from conftest import create_topic
from servers.kafka_broker import PASSWORD, USER, BrokerError, KafkaBroker

pytestmark = pytest.mark.kafka

MESSAGES = [f"message {number} ".encode() * 20 for number in range(200)]


def produce(bootstrap: str, topic: str, messages: list[bytes], **settings: object) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", **settings)
    try:
        for message in messages:
            producer.send(topic, message)
        producer.flush(timeout=30)
    finally:
        producer.close()


def consume(bootstrap: str, topic: str, expected: int, **settings: object) -> list[bytes]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=10_000, **settings
    )
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        found = []
        for record in consumer:
            found.append(record.value)
            if len(found) == expected:
                break
        return found
    finally:
        consumer.close()


@pytest.mark.parametrize("codec", ["lz4", "zstd", "snappy", "gzip", None])
def test_messages_come_back_whatever_their_codec(kafka_broker, topic, codec):
    produce(kafka_broker.bootstrap, topic, MESSAGES, compression_type=codec)
    assert sorted(consume(kafka_broker.bootstrap, topic, len(MESSAGES))) == sorted(MESSAGES)


@pytest.mark.partitions(2)
def test_topic_has_the_partitions_asked_for(kafka_broker, topic):
    consumer = KafkaConsumer(bootstrap_servers=kafka_broker.bootstrap)
    try:
        assert consumer.partitions_for_topic(topic) == {0, 1}
    finally:
        consumer.close()


def test_a_topic_nobody_made_does_not_exist(kafka_broker):
    consumer = KafkaConsumer(bootstrap_servers=kafka_broker.bootstrap)
    try:
        assert not consumer.partitions_for_topic("never-made")
    finally:
        consumer.close()


def test_killed_broker_comes_back_with_its_messages(own_kafka_broker):
    address = own_kafka_broker.bootstrap
    name = create_topic(address, partitions=1)
    produce(address, name, MESSAGES, compression_type="lz4")
    own_kafka_broker.kill()
    assert own_kafka_broker.pid is None
    own_kafka_broker.start()
    assert own_kafka_broker.bootstrap == address
    assert consume(address, name, len(MESSAGES)) == MESSAGES


def test_secure_listener_takes_the_right_password_only(secure_kafka_broker):
    name = create_topic(secure_kafka_broker.bootstrap, partitions=1)
    login = {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(secure_kafka_broker.authority),
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    address = secure_kafka_broker.secure_bootstrap
    produce(address, name, MESSAGES[:5], **login)
    assert consume(address, name, 5, **login) == MESSAGES[:5]
    assert "Invalid username or password" not in secure_kafka_broker.log_tail()
    # kafka-python goes on trying until its bootstrap times out; the broker says why it hung up.
    with pytest.raises(KafkaError):
        consume(address, name, 5, **{**login, "sasl_plain_password": "wrong"}, bootstrap_timeout_ms=3000)
    assert "Invalid username or password" in secure_kafka_broker.log_tail()


def test_a_broker_that_cannot_start_says_why(tmp_path):
    broker = KafkaBroker(settings={"log.retention.ms": "soon"}, folder=tmp_path)
    with pytest.raises(BrokerError, match=r"log\.retention\.ms"):
        broker.start()


def test_a_broker_that_ends_while_starting_shows_its_log(tmp_path):
    broker = KafkaBroker(folder=tmp_path)
    host, port = broker.bootstrap.split(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        with pytest.raises(BrokerError, match="Address already in use"):
            broker.start()

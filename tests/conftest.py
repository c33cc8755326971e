"""Fixtures that every test may ask for: a real Kafka broker, an Alertmanager, and the shared data folder."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from servers.alertmanager import Alertmanager
from servers.kafka_broker import KafkaBroker, missing_tools
from servers.receivers import FakeReceiver

# Examples are the same in every run, and a busy machine is no failure: pytest-timeout ends what hangs.
hypothesis.settings.register_profile("evalsvc", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("evalsvc")

MakeTopic = Callable[..., str]

CHECKOUT = Path(__file__).resolve().parent.parent


def pytest_report_header() -> str:
    """Says which evalsvc is under test: the checkout's, or the installed wheel's."""
    import evalsvc

    return f"evalsvc: {evalsvc.__file__}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the checkout; skips where it is absent."""
    folder = Path(os.environ.get("EVALSVC_SHARED_DATA") or CHECKOUT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder} (set EVALSVC_SHARED_DATA to their folder)")
    return folder


def _skip_without_java() -> None:
    if missing := missing_tools():
        line = "apt-get install -y default-jre-headless maven"
        pytest.skip(f"a broker needs {' and '.join(missing)} on PATH: {line}")


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    """A running broker, shared by the tests of one process: leave it running, use topics of your own."""
    _skip_without_java()
    with KafkaBroker() as broker:
        yield broker


@pytest.fixture
def own_kafka_broker() -> Iterator[KafkaBroker]:
    """A running broker for one test alone, which may stop, kill and restart it."""
    _skip_without_java()
    with KafkaBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def secure_kafka_broker() -> Iterator[KafkaBroker]:
    """A running broker that also listens with TLS and SASL/PLAIN, at `secure_bootstrap`."""
    _skip_without_java()
    with KafkaBroker(secure=True) as broker:
        yield broker


def create_topic(bootstrap: str, partitions: int = 4, configs: dict[str, str] | None = None) -> str:
    """Makes a topic under a name nobody else has and returns the name once every partition has a leader."""
    from kafka.admin import KafkaAdminClient

    name = f"test-{uuid.uuid4().hex[:12]}"
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        client.create_topics({name: options}, wait_for_metadata=True)
    finally:
        client.close()
    return name


@pytest.fixture
def make_topic(kafka_broker: KafkaBroker) -> MakeTopic:
    """`make_topic(partitions=4, configs=None)` makes one more topic on the shared broker, and returns it."""

    def make(partitions: int = 4, configs: dict[str, str] | None = None) -> str:
        return create_topic(kafka_broker.bootstrap, partitions, configs)

    return make


@pytest.fixture
def alertmanager_hook() -> Iterator[FakeReceiver]:
    """Whom the test's Alertmanager tells."""
    with FakeReceiver() as hook:
        yield hook


@pytest.fixture
def alertmanager(alertmanager_hook: FakeReceiver) -> Iterator[Alertmanager]:
    """A running Alertmanager for one test alone, which may stop it and start it again."""
    if not Alertmanager.is_here():
        pytest.skip("no Alertmanager on PATH: apt-get install -y prometheus-alertmanager")
    with Alertmanager(alertmanager_hook.url) as running:
        yield running


@pytest.fixture
def topic(request: pytest.FixtureRequest, make_topic: MakeTopic) -> str:
    """A fresh topic of 4 partitions, or as many as `@pytest.mark.partitions(n)` says."""
    marker = request.node.get_closest_marker("partitions")
    return make_topic(marker.args[0] if marker else 4)

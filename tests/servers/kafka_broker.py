"""A real Apache Kafka broker on loopback, for tests: KRaft, one node, started from its Maven artifacts.

`KafkaBroker` starts in a few seconds once the jars are in the cache (`.cache/kafka-4.1.0` in the checkout, or
under `$EVALSVC_CACHE`). It can be stopped, killed and started again on the same ports with the same data,
which is what tests of redelivery and of an unreachable broker need.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from servers import certificates

VERSION = "4.1.0"
POM = Path(__file__).with_name("pom.xml")
CHECKOUT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "evalsvc", "only-for-tests"
"""The one account of the SASL/PLAIN listener."""

_CLUSTER_ID = "ZXZhbHN2Yy10ZXN0cy0xMg"
_LOG_SETTINGS = """\
status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = {log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c: %m%n
logger.selector.name = org.apache.kafka.common.network.Selector
logger.selector.level = info
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
"""
# Small and quick: one replica of everything, no waiting for a group's late members, sessions that may end
# within a second so that a test of `kill -9` need not wait six, a killed broker forgotten by its own
# controller in three seconds instead of nine (its successor waits for that), and messages larger than any
# legal event.
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "400",
    "initial.broker.registration.timeout.ms": "60000",
    "controller.quorum.election.timeout.ms": "200",
    "message.max.bytes": "20000000",
    "replica.fetch.max.bytes": "20000000",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4000000",
    "log.cleaner.threads": "1",
}


class BrokerError(RuntimeError):
    """The broker could not be fetched, formatted or started; the text ends with the tail of what it said."""


def missing_tools() -> list[str]:
    """Returns which of the needed commands are not on PATH; empty means that a broker can be started."""
    needed = ["java"] if _complete().is_file() else ["java", "mvn"]
    return [command for command in needed if shutil.which(command) is None]


def _jars_folder() -> Path:
    cache = Path(os.environ.get("EVALSVC_CACHE") or CHECKOUT / ".cache")
    return cache / f"kafka-{VERSION}"


def _complete() -> Path:
    """The mark that all jars of this very pom.xml are there."""
    return _jars_folder() / f"complete-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"


def fetch_jars() -> Path:
    """Returns the folder with Kafka's jars, fetched once through Maven (43 MB).

    Safe to call from several processes at once: one fetches, the others wait.

    Raises:
        BrokerError: mvn failed; the text holds what it printed.
    """
    folder = _jars_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _complete().is_file():
            command = ["mvn", "-B", "-q", "-f", str(POM), "dependency:copy-dependencies"]
            command.append(f"-DoutputDirectory={folder}")
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=280)
            if done.returncode != 0 or not list(folder.glob("kafka_2.13-*.jar")):
                raise BrokerError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
            _complete().touch()
    return folder


def free_port() -> int:
    """Returns a loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class KafkaBroker:
    """One Kafka broker of its own, running between `start` and `stop`; a context manager over the two.

    Args:
        secure: also listen with TLS and SASL/PLAIN, at `secure_bootstrap`, certified by `authority`.
        settings: lines of server.properties to add or to replace.
        folder: where data, settings and logs live; a temporary folder, removed by `close`, where it is None.
    """

    def __init__(
        self, *, secure: bool = False, settings: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="evalsvc-kafka-")
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self._settings = dict(settings or {})
        self._secure = secure
        self._ports = {"PLAINTEXT": free_port(), "CONTROLLER": free_port()}
        if secure:
            self._ports["SASL_SSL"] = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.authority = self.folder / "authority.pem"

    @property
    def bootstrap(self) -> str:
        """The plain-text address, `127.0.0.1:port`; the same after a restart."""
        return f"127.0.0.1:{self._ports['PLAINTEXT']}"

    @property
    def secure_bootstrap(self) -> str:
        """The address that wants TLS (trust `authority`) and SASL/PLAIN (`USER`, `PASSWORD`)."""
        return f"127.0.0.1:{self._ports['SASL_SSL']}"

    @property
    def pid(self) -> int | None:
        """The process id of the running broker, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def __enter__(self) -> KafkaBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Starts the broker and returns once it answers; the first start formats its data folder.

        Raises:
            BrokerError: it ended, or did not answer in time; the text holds the tail of its log.
        """
        jars = fetch_jars()
        properties = self._write_files()
        if not (self.folder / "data" / "meta.properties").exists():
            arguments = ["format", "--standalone", "--cluster-id", _CLUSTER_ID, "--config", str(properties)]
            done = subprocess.run(
                self._java(jars, "128m", "kafka.tools.StorageTool", *arguments),
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout_seconds,
            )
            if done.returncode != 0:
                raise BrokerError(f"formatting {self.folder} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                self._java(jars, "512m", "kafka.Kafka", str(properties)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._wait_until_it_answers(timeout_seconds)

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Ends the broker in order (SIGTERM), or kills it when that takes too long; data and ports stay."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Ends the broker at once, as `kill -9` does; data and ports stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stops and starts the broker, on the same ports and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stops the broker and removes its folder if it was temporary; it cannot be started again."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def log_tail(self, characters: int = 3000) -> str:
        """Returns the end of what the broker logged and printed."""
        parts = [path.read_text(errors="replace") for path in self._logs() if path.exists()]
        return "\n".join(parts)[-characters:]

    def _logs(self) -> list[Path]:
        return [self.folder / "output.log", self.folder / "broker.log"]

    def _java(self, jars: Path, heap: str, *arguments: str) -> list[str]:
        log_settings = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        options = [f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", log_settings]
        return ["java", *options, "-cp", f"{jars}/*", *arguments]

    def _write_files(self) -> Path:
        """Writes server.properties and the log settings; returns the former's path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log_settings = _LOG_SETTINGS.format(log=self.folder / "broker.log")
        (self.folder / "log4j2.properties").write_text(log_settings)
        names = [f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()]
        settings = dict(_SETTINGS)
        settings["listeners"] = ",".join(names)
        settings["advertised.listeners"] = ",".join(name for name in names if not name.startswith("CONTROLLER"))
        settings["listener.security.protocol.map"] = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL"
        settings["controller.quorum.bootstrap.servers"] = f"127.0.0.1:{self._ports['CONTROLLER']}"
        settings["log.dirs"] = str(self.folder / "data")
        settings |= self._secure_settings() if self._secure else {}
        settings |= self._settings
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return properties

    def _secure_settings(self) -> dict[str, str]:
        """Makes the certificate on the first start; returns the settings of the SASL_SSL listener."""
        store = self.folder / "broker.p12"
        if not store.exists():
            certificates.make(store, self.authority, PASSWORD)
        account = f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}"'
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(store),
            "ssl.keystore.password": PASSWORD,
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{module} required {account};",
        }

    def _wait_until_it_answers(self, timeout_seconds: float) -> None:
        """Returns once a metadata request names this broker; raises BrokerError otherwise."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise BrokerError(f"Kafka ended while starting; its log ends with:\n{self.log_tail()}")
            if self._answers():
                return
            time.sleep(0.1)
        self.kill()
        raise BrokerError(f"no answer within {timeout_seconds} s; Kafka's log ends with:\n{self.log_tail()}")

    def _answers(self) -> bool:
        from kafka.admin import KafkaAdminClient
        from kafka.errors import KafkaError

        host, port = self.bootstrap.split(":")
        with socket.socket() as probe:
            # Asking the port first keeps the client's own loud retries out of the tests' output.
            if probe.connect_ex((host, int(port))) != 0:
                return False
        try:
            client = KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=5000)
        except KafkaError:
            return False
        try:
            return len(client.describe_cluster()["brokers"]) == 1
        except KafkaError:
            return False
        finally:
            client.close()

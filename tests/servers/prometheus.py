"""A real Prometheus on loopback, for tests: Debian's, with a folder of its own, which looks every second."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from servers.kafka_broker import free_port

COMMAND = "prometheus"


class Prometheus:
    """Reads `target` (``host:port``) as the job `evalsvc-ruler`, and evaluates files of rules; a context manager."""

    def __init__(self, target: str, rules: Sequence[Path]) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="evalsvc-prometheus-")
        self._folder = Path(self._temporary.name)
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self._folder / file.name) for file in rules],
            "scrape_configs": [{"job_name": "evalsvc-ruler", "static_configs": [{"targets": [target]}]}],
        }
        # JSON is YAML. A group's own interval would have the test wait.
        (self._folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
        for file in rules:
            text = file.read_text(encoding="utf-8").replace("    interval: 1m\n", "")
            (self._folder / file.name).write_text(text, encoding="utf-8")
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    @staticmethod
    def is_here() -> bool:
        """Whether it can be started on this machine."""
        return shutil.which(COMMAND) is not None

    def __enter__(self) -> Prometheus:
        """Starts it and returns once it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the text holds what it printed.
        """
        command = [
            COMMAND,
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        log = self._folder / "output.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        end = time.monotonic() + 30.0
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        said = log.read_text(errors="replace")[-2000:]
        self.__exit__()
        raise RuntimeError(said)

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._temporary.cleanup()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now: each with `metric`, its labels, and `value`, a time and a text.

        Raises:
            urllib.error.HTTPError: Prometheus cannot evaluate it.
        """
        answer = self._get("query", {"query": expression})
        found: list[dict[str, Any]] = answer["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """All rules with `health` (``ok``, ``err`` or ``unknown``), `lastError` and `alerts`."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def _get(self, path: str, parameters: dict[str, str]) -> dict[str, Any]:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())["data"]
        return found

"""A real Alertmanager on loopback, for tests: Debian's, with a folder of its own, alone in its cluster."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from servers.kafka_broker import free_port

COMMAND = "prometheus-alertmanager"

_CONFIG = """\
route:
  receiver: hook
  group_by: [alertname, language]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
inhibit_rules:
  - source_matchers: ['severity="page"']
    target_matchers: ['severity="ticket"']
    equal: [language]
receivers:
  - name: hook
    webhook_configs: [{{url: "{hook}", send_resolved: true}}]
"""


class Alertmanager:
    """Running between `start` and `stop`; a context manager over the two. It tells the address `hook`."""

    def __init__(self, hook: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="evalsvc-alertmanager-")
        self._folder = Path(self._temporary.name)
        (self._folder / "alertmanager.yml").write_text(_CONFIG.format(hook=hook), encoding="utf-8")
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    @staticmethod
    def is_here() -> bool:
        """Whether it can be started on this machine."""
        return shutil.which(COMMAND) is not None

    def __enter__(self) -> Alertmanager:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._temporary.cleanup()

    def start(self, timeout_seconds: float = 30.0) -> None:
        """Starts it and returns once it is ready.

        Raises:
            RuntimeError: it ended, or was not ready in time; the text holds what it printed.
        """
        command = [
            COMMAND,
            f"--config.file={self._folder / 'alertmanager.yml'}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--cluster.listen-address=",
        ]
        with (self._folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        end = time.monotonic() + timeout_seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        self.stop()
        raise RuntimeError((self._folder / "output.log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """Kills it: what it had not written is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Kills it and starts it again without its data."""
        self.stop()
        shutil.rmtree(self._folder / "data", ignore_errors=True)
        self.start()

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire now, as its API shows them."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())
        return found

    def post(self, path: str, body: object) -> None:
        """Posts JSON to its API."""
        request = urllib.request.Request(
            f"{self.url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

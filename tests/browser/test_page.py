"""The overview in a real browser: filled by the real worker, served by uvicorn, read back from Chromium's DOM."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from evalsvc._serving import WebServer
from evalsvc.demo.traffic import generate
from evalsvc.pipeline import ScorerEntry, Worker, WorkerSettings
from evalsvc.privacy import Masker, MaskingPolicy
from evalsvc.sampling import Design
from evalsvc.scorers import create
from evalsvc.sources.decode import encode
from evalsvc.store import open_store
from evalsvc.testing.clock import ManualClock
from evalsvc.testing.sources import MemoryLog, MemorySource
from evalsvc.web.app import create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without them the browser looks for updates and reports usage; a test has no network.
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--virtual-time-budget=3000"]
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SCORERS = ("refusal", "introduced_pii", "latency_ms", "cost_usd", "bleu")
DESIGN = Design(consumer="quality", rate=0.4, strata=("application", "model_version"))

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install -y chromium")


class Table(HTMLParser):
    """Collects the rows of the page's tables as (metric, [cell text]), the <data> values, and the links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[tuple[str, list[str]]] = []
        self.exact: list[float] = []
        self.links: list[str] = []
        self.scripts = 0
        self._metric = self._kind = ""
        self._cells: list[str] = []
        self._open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "tr":
            self._kind, self._cells = given.get("class") or "", []
        elif tag in ("td", "th"):
            self._cells.append("")
            self._open = True
        elif tag == "data":
            self.exact.append(float(given["value"] or "nan"))
        elif tag == "a":
            self.links.append(given["href"] or "")
        self.scripts += tag == "script"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = False
        elif tag == "strong" and self._kind == "metric":
            self._metric = self._cells[-1]
        elif tag == "tr" and self._kind != "metric" and len(self._cells) == 7 and self._metric:
            self.rows.append((self._metric, self._cells))

    def handle_data(self, data: str) -> None:
        if self._open:
            self._cells[-1] += data


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a page answers over an embedded store that a worker filled with two weeks of demo traffic."""
    log = MemoryLog()
    for event, _ in generate(NOW, 3000):
        log.append(encode(event), timestamp=int(event.occurred_at.timestamp() * 1000))
    with closing(open_store(f"embedded:{tmp_path_factory.mktemp('page') / 'store'}")) as store:
        worker = Worker(
            "quality",
            MemorySource(log, finite=True, max_records=500),
            store,
            DESIGN,
            [ScorerEntry(create(name)) for name in SCORERS],
            Masker(MaskingPolicy(), key=b"a key of sixteen bytes or more"),
            WorkerSettings(flush_seconds=0.05, poll_seconds=0.01),
            clock=ManualClock(NOW),
        )
        worker.run()
        app = create_app(store, [worker], metrics=worker.metrics.render, clock=ManualClock(NOW))
        with WebServer(app, "127.0.0.1", 0) as server:
            yield server.address


@pytest.fixture
def browse(tmp_path: Path) -> Callable[..., str]:
    """`browse(url, *options)` opens a page in a browser of its own and returns what it printed."""

    def open_page(url: str, *options: str) -> str:
        command = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return open_page


def asked(url: str) -> tuple[int, str]:
    """Return the status and the body of a GET."""
    try:
        with urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()

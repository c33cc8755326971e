"""The overview in a real browser: filled by the real worker, served by uvicorn, read back from Chromium's DOM."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import zlib
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
from evalsvc.pipeline import Worker, WorkerSettings
from evalsvc.privacy import Masker, MaskingPolicy
from evalsvc.sampling import Design
from evalsvc.scorers import create
from evalsvc.scoring import ScorerEntry
from evalsvc.sources.decode import encode
from evalsvc.store import open_store
from evalsvc.testing import ManualClock
from evalsvc.testing.sources import MemoryLog, MemorySource
from evalsvc.web.app import create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without them the browser looks for updates and reports usage; a test has no network.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=3000",
)
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


Browse = Callable[..., str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
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


def shown(figure: float, text: str) -> bool:
    """Return whether a number is what a cell says, in per cent or per thousand where the cell does, when rounded."""
    digits = text.replace(",", "").removesuffix("\u00a0ms")
    factor = 100.0 if digits.endswith("%") else 1000.0 if 0 < figure < 0.001 else 1.0
    digits = digits.removesuffix("\u00a0%")
    decimals = len(digits.partition(".")[2])
    return f"{figure * factor:.{decimals}f}" == digits


def test_the_browser_shows_the_numbers_of_the_api(address: str, browse: Browse):
    page = Table(browse(address + "/", "--dump-dom"))
    _, body = asked(f"{address}/v1/estimates?by=application,model_version&since=14d")
    found = {(row["metric"], row["segments"]["model_version"]): row for row in json.loads(body)["estimates"]}
    assert page.scripts == 0
    assert len(page.rows) == len(found) == 10
    assert [metric for metric, _ in page.rows[::2]] == [
        "Introduced personal data",
        "Refusals",
        "BLEU",
        "Cost",
        "Latency",
    ]
    names = {"Introduced personal data": "introduced_pii", "Refusals": "refusal", "BLEU": "bleu"}
    names |= {"Cost": "cost_usd", "Latency": "latency_ms"}
    for exact, (metric, cells) in zip(page.exact, page.rows, strict=True):
        row = found[names[metric], cells[0]]
        assert exact == row["value"]
        assert shown(row["value"], cells[1]), (row["value"], cells[1])
        low, high = cells[2].split(" to ")
        unit = "\u00a0%" if high.endswith("%") else ""
        assert shown(row["low"], low + unit), (row["low"], low)
        assert shown(row["high"], high), (row["high"], high)
        assert cells[4].startswith(f"{row['n']:,} of {row['offered']:,}")
        assert ("▲" in cells[5]) == (row["missing_share"] > 0.05) == (metric == "BLEU")


def test_every_link_of_the_page_leads_somewhere(address: str, browse: Browse):
    links = sorted(set(Table(browse(address + "/", "--dump-dom")).links))
    assert len(links) == 16
    answers = {link: asked(address + link) for link in links}
    assert {link: code for link, (code, _) in answers.items() if code != 200} == {}
    filtered = [json.loads(body)["estimates"] for link, (_, body) in answers.items() if "where=" in link]
    assert len(filtered) == 5
    assert all(len(rows) == 2 for rows in filtered)


def test_a_refused_span_is_a_page_with_the_way_back(address: str, browse: Browse):
    page = browse(address + "/?since=1y", "--dump-dom")
    assert "but got '1y'" in page
    assert Table(page).links == ["/?since=24h", "/?since=7d", "/?since=14d", "/?since=30d"]


@pytest.mark.parametrize(("width", "scheme", "bright"), [(1280, 1, True), (1280, 0, False), (400, 1, True)])
def test_it_is_drawn_light_dark_and_narrow(
    address: str, browse: Browse, tmp_path: Path, width: int, scheme: int, bright: bool
):
    picture = tmp_path / "page.png"
    options = (f"--window-size={width},1400", f"--blink-settings=preferredColorScheme={scheme}")
    browse(address + "/", f"--screenshot={picture}", *options)
    if keep := os.environ.get("EVALSVC_SCREENSHOTS"):
        Path(keep).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, Path(keep) / f"{width}-{'light' if bright else 'dark'}.png")
    size, lightness = measured(picture.read_bytes())
    assert size == (width, 1400)
    assert (lightness > 128) == bright
    assert picture.stat().st_size > 30_000


def measured(png: bytes) -> tuple[tuple[int, int], float]:
    """Return a PNG's size, and the lightness of its first pixel, which no filter of the format changes."""
    width, height = struct.unpack(">II", png[16:24])
    at, data = 8, b""
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    return (width, height), sum(zlib.decompress(data)[1:4]) / 3


def test_nothing_is_wider_than_a_narrow_screen(address: str, browse: Browse, tmp_path: Path):
    """The page allows no script; a copy on disk, without its headers, measures itself with one."""
    probe = "<script>document.title='w'+document.documentElement.scrollWidth+'/'+innerWidth</script></body>"
    copy = tmp_path / "copy.html"
    copy.write_text(asked(address + "/")[1].replace("</body>", probe))
    dom = browse(copy.as_uri(), "--dump-dom", "--window-size=400,900")
    [(wide, screen)] = re.findall(r"<title>w(\d+)/(\d+)</title>", dom)
    assert int(wide) <= int(screen) <= 500

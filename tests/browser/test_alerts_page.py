"""From the overview to an alert in a real browser: the links, what is drawn, and that nothing is wider than a phone."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest

from evalsvc._serving import WebServer
from evalsvc.rules.history import Acknowledgement, Matcher, Silence
from evalsvc.store import MemoryStore
from evalsvc.testing import ManualClock, make_sample
from evalsvc.types import KeptEvent, WriteBatch
from evalsvc.web.app import create_app
from tests.browser.test_page import CHROMIUM, Browse, Table, asked, browse, measured
from tests.watched_alerts import NOON, fill

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install -y chromium")

__all__ = ["browse"]
LONG = "-".join(["segment"] * 20)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the pages answer over five alerts, of which two fire."""
    store = MemoryStore()
    rose = fill(store.alerts, NOON)["RefusalsRose"]
    began = rose.pending_at or NOON
    store.alerts.acknowledge(
        Acknowledgement(fingerprint=rose.fingerprint, episode=began, author="ada", note="rolling back v2", at=NOON)
    )
    matchers = (Matcher("alertname", "Judge.*", True), Matcher("plan", LONG))
    times = {"starts_at": NOON, "ends_at": NOON + timedelta(hours=2), "recorded_at": NOON}
    store.alerts.record_silence(Silence(id="1b7d09c4", matchers=matchers, author="ada", reason="deploy", **times))
    sample = make_sample("event-1", prompt="Wie storniere ich?", response="Dabei kann ich leider nicht helfen. " * 8)
    store.write(WriteBatch(events=(KeptEvent(sample, "digest"),)))
    with WebServer(create_app(store, clock=ManualClock(NOON)), "127.0.0.1", 0) as server:
        yield server.address


def test_the_overview_leads_to_an_alert_and_back(address: str, browse: Browse) -> None:
    overview = browse(address + "/", "--dump-dom")
    assert "▲ 2 alerts are firing" in overview
    [alerts] = [link for link in Table(overview).links if link == "/alerts"]
    listed = browse(urljoin(address, alerts), "--dump-dom")
    first, *rest = [link for link in Table(listed).links if link.startswith("/alerts/")]
    assert len(rest) == 3
    one = browse(urljoin(address, first), "--dump-dom")
    assert "<h1><bdi>RefusalsRose</bdi></h1>" in one
    assert "Refusals of RefusalsRose rose from 0.08 to 0.31." in one
    assert "Acknowledged by <bdi>ada</bdi>" in one
    assert "Wie storniere ich?" in one
    assert Table(one).scripts == 0
    own = [link for link in Table(one).links if link.startswith("/")]
    assert own[:2] == ["/", "/alerts"]
    assert [asked(address + link)[0] for link in own] == [200] * len(own)


def test_an_unknown_alert_is_a_page_with_the_way_back(address: str, browse: Browse) -> None:
    page = browse(address + "/alerts/0123456789abcdef", "--dump-dom")
    assert "fingerprint is 0123456789abcdef: it may be of a trial" in page
    assert Table(page).links == ["/", "/alerts", "/verdicts"]


def firing(address: str) -> str:
    """Return the address of the page of the first alert that is listed."""
    return address + next(link for link in Table(asked(address + "/alerts")[1]).links if link.startswith("/alerts/"))


@pytest.mark.parametrize(("width", "scheme", "bright"), [(1280, 1, True), (1280, 0, False), (500, 1, True)])
@pytest.mark.parametrize("which", ["list", "one"])
def test_they_are_drawn_light_dark_and_narrow(
    address: str, browse: Browse, tmp_path: Path, which: str, width: int, scheme: int, bright: bool
) -> None:
    picture = tmp_path / "page.png"
    options = (f"--window-size={width},1600", f"--blink-settings=preferredColorScheme={scheme}")
    browse(address + "/alerts" if which == "list" else firing(address), f"--screenshot={picture}", *options)
    if keep := os.environ.get("EVALSVC_SCREENSHOTS"):
        Path(keep).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, Path(keep) / f"alerts-{which}-{width}-{'light' if bright else 'dark'}.png")
    size, lightness = measured(picture.read_bytes())
    assert size == (width, 1600)
    assert (lightness > 128) == bright
    assert picture.stat().st_size > 30_000


@pytest.mark.parametrize("which", ["list", "one"])
def test_nothing_is_wider_than_a_narrow_screen(address: str, browse: Browse, tmp_path: Path, which: str) -> None:
    """The page allows no script; a copy on disk, without its headers, measures itself with one."""
    probe = "<script>document.title='w'+document.documentElement.scrollWidth+'/'+innerWidth</script></body>"
    copy = tmp_path / "copy.html"
    html = asked(address + "/alerts" if which == "list" else firing(address))[1]
    copy.write_text(html.replace("</body>", probe))
    dom = browse(copy.as_uri(), "--dump-dom", "--window-size=400,900")
    [(wide, screen)] = re.findall(r"<title>w(\d+)/(\d+)</title>", dom)
    assert int(wide) <= int(screen) <= 500

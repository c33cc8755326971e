"""From the overview to a verdict in a real browser: the links, and what is drawn light, dark and narrow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest

from evalsvc._serving import WebServer
from evalsvc.store import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.testing.verdict_logs import NOON, make_verdict
from evalsvc.web.app import create_app
from tests.browser.test_page import CHROMIUM, Browse, Table, asked, browse, measured

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install -y chromium")

__all__ = ["browse"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the pages answer over three verdicts of two suites."""
    store = MemoryStore()
    for number, suite in enumerate(("support", "billing", "support")):
        verdict = make_verdict(f"v{number}", 30 * number, suite=suite, baseline=make_verdict().candidate)
        store.verdicts.record_verdict(verdict, {})
    with WebServer(create_app(store, clock=ManualClock(NOON + timedelta(hours=2))), "127.0.0.1", 0) as server:
        yield server.address


def test_the_overview_leads_to_a_verdict_and_back(address: str, browse: Browse) -> None:
    overview = browse(address + "/", "--dump-dom")
    assert "/verdicts" in Table(overview).links
    listed = browse(address + "/verdicts", "--dump-dom")
    found = [link for link in Table(listed).links if link.startswith("/verdicts/")]
    assert found == ["/verdicts/v2", "/verdicts/v1", "/verdicts/v0"]
    one = browse(urljoin(address, found[0]), "--dump-dom")
    assert "1 of 1 gates failed: rouge_l." in one
    assert "evalsvc gate --again v2" in one
    assert Table(one).scripts == 0
    own = [link for link in Table(one).links if link.startswith("/")]
    assert own[:3] == ["/", "/alerts", "/verdicts"]
    assert [asked(address + link)[0] for link in own] == [200] * len(own)


@pytest.mark.parametrize(("width", "scheme", "bright"), [(1280, 1, True), (1280, 0, False), (500, 1, True)])
@pytest.mark.parametrize("which", ["list", "one"])
def test_they_are_drawn_light_dark_and_narrow(
    address: str, browse: Browse, tmp_path: Path, which: str, width: int, scheme: int, bright: bool
) -> None:
    picture = tmp_path / "page.png"
    options = (f"--window-size={width},1600", f"--blink-settings=preferredColorScheme={scheme}")
    browse(address + ("/verdicts" if which == "list" else "/verdicts/v0"), f"--screenshot={picture}", *options)
    if keep := os.environ.get("EVALSVC_SCREENSHOTS"):
        Path(keep).mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, Path(keep) / f"verdicts-{which}-{width}-{'light' if bright else 'dark'}.png")
    size, lightness = measured(picture.read_bytes())
    assert size == (width, 1600)
    assert (lightness > 128) == bright

"""The incident of the demo pages a real Alertmanager with what to do, its end resolves it, quiet weeks are silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evalsvc import project
from evalsvc.demo import incident
from evalsvc.demo.scene import SETTINGS
from servers.alertmanager import Alertmanager
from servers.receivers import FakeReceiver


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20.0
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_the_incident_pages_and_its_end_resolves(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    alertmanager: Alertmanager,
    alertmanager_hook: FakeReceiver,
    capsys: pytest.CaptureFixture[str],
) -> None:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    monkeypatch.setenv("EVALSVC_ALERTMANAGER", alertmanager.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    for name in ("consumers", "data"):
        (tmp_path / name).mkdir()
    incident.write(tmp_path, end)
    assert list(project.check([tmp_path]).problems) == []
    seen: list[list[dict[str, object]]] = []

    def look(now: datetime) -> None:
        """Keep what the Alertmanager shows after each look; let it tell its own receiver before the alert is over."""
        seen.append(alertmanager.alerts())
        if seen[-1] and len(seen) > 1 and not seen[-2]:
            until(lambda: alertmanager_hook.requests)

    incident.live_through(end, look)
    until(lambda: alertmanager.alerts() == [])
    began, over = end - incident.BEGINS, end - incident.ENDS
    shown = [end - incident.LIVED + (number + 1) * timedelta(minutes=5) for number, alerts in enumerate(seen) if alerts]
    # It pages within an hour of the incident's beginning, and ends when the window is good again; before it is silent.
    assert began < shown[0] <= began + timedelta(hours=1)
    assert over < shown[-1] <= over + timedelta(hours=2)
    assert shown == [shown[0] + number * timedelta(minutes=5) for number in range(len(shown))]
    (alert,) = next(alerts for alerts in seen if alerts)
    assert alert["labels"]["alertname"] == "RefusalsRose"
    assert alert["labels"]["severity"] == "page"
    assert "above the limit of 0.1" in alert["annotations"]["description"]
    assert alert["annotations"]["action"].startswith("Roll the last release back")
    until(lambda: len(alertmanager_hook.requests) >= 2)
    out = capsys.readouterr().out
    assert "RefusalsRose: 1 page in 14 days" in out
    assert out.index(" firing: ") < out.index(" resolved: ")

"""Evidently's report from the store: weighted rows, nothing sent, nothing loaded, and a page that a browser draws."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

import msgspec
import numpy as np
import pytest

from evalsvc import evidently_report
from evalsvc.cli import main
from evalsvc.drift_query import DriftQuery, drifts
from evalsvc.errors import InputError, MissingExtra
from evalsvc.evidently_report import Table, resampled, write_report
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, Score, ScorerSpec, Subject, Window, WriteBatch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DAY = datetime(2026, 3, 16, tzinfo=UTC)
NOW = Window(DAY, DAY + timedelta(hours=12))
BEFORE = Window(DAY - timedelta(days=7), DAY - timedelta(days=6, hours=12))
SPECS = [
    ScorerSpec("latency_ms", 1, Scale(0.0, None, "lower", "ms"), needs=("latency_ms",)),
    ScorerSpec("refusal", 1, Scale(0.0, 1.0, "lower", binary=True)),
    ScorerSpec(
        "prompt_language", 1, Scale(0.0, 1.0, "neither", binary=True), features="categories", labels=("en", "de")
    ),
]


def filled(store=None):
    """Free users are taken one time in ten; now they wait longer, and ask in German."""
    store = store or MemoryStore()
    store.record_scorers(SPECS)
    scores = []
    for window, late in ((BEFORE, 0), (NOW, 1)):
        for n in range(300):
            free = n % 3 > 0
            subject = Subject(
                f"{late}-{n}", window.start + timedelta(minutes=2 * n), "quality", "support", "m", "1",
                {"plan": "free" if free else "pro", "id": str(n)}, "", f"plan={free}", 1,
            )  # fmt: skip
            pi = 0.1 if free else 1.0
            german = bool(late and free)
            values = (
                (100.0 + n % 50 + 80.0 * german, ()),
                (float(n % 10 == 0), ()),
                (1.0, (0.0, 1.0) if german else (1.0, 0.0)),
            )
            for spec, (value, statistics) in zip(SPECS, values, strict=True):
                scores.append(Score(subject, spec.metric, 1, "", pi, "ok", value, statistics=statistics))
    store.write(WriteBatch(scores=tuple(scores)))
    return store


def test_rows_stand_for_the_traffic():
    rows = [{"plan": "free"}] * 200 + [{"plan": "pro"}] * 100
    drawn = resampled(Table(rows, [0.1] * 200 + [1.0] * 100))
    counts = Counter(row["plan"] for row in drawn.rows)
    assert len(drawn.rows) == int((2000 + 100) ** 2 / (200 * 100 + 100))
    assert counts["free"] / len(drawn.rows) == pytest.approx(2000 / 2100, abs=0.04)
    assert drawn == resampled(Table(rows, [0.1] * 200 + [1.0] * 100))


def false_alarms(draw):
    """Return how often a z-test at 5 % tells two windows apart that come from one population, half taken at 1 in 5."""
    rng, alarms, runs = np.random.default_rng(8), 0, 300
    for run in range(runs):
        shares, sizes = [], []
        for side in range(2):
            pi = np.where(rng.random(300) < 1 / 6, 0.2, 1.0)
            rows = [{"yes": float(value)} for value in rng.random(300) < 0.3]
            drawn = draw(Table(rows, list(pi)), 2 * run + side)
            shares.append(np.mean([row["yes"] for row in drawn.rows]))
            sizes.append(len(drawn.rows))
        pooled = np.average(shares, weights=sizes)
        error = np.sqrt(pooled * (1 - pooled) * sum(1 / n for n in sizes))
        alarms += abs(shares[0] - shares[1]) > 1.96 * error
    return alarms / runs


def test_tests_on_the_drawn_rows_do_not_alarm_too_often():
    def independent(table, seed):
        weights = 1 / np.array(table.pi)
        n = int(weights.sum() ** 2 / (weights @ weights))
        places = np.random.default_rng(seed).choice(len(weights), n, p=weights / weights.sum())
        return Table([table.rows[place] for place in places], [1.0] * n)

    assert false_alarms(resampled) < 0.1
    assert false_alarms(independent) > 0.11


def test_a_missing_extra_is_the_pip_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "evidently", None)
    store, query = filled(), DriftQuery(BEFORE, NOW)
    with pytest.raises(MissingExtra, match=re.escape("pip install 'evalsvc[reports]'")):
        write_report(store, query, drifts(store, query), tmp_path / "report.html", store.metrics())
    assert not (tmp_path / "report.html").exists()


def test_too_few_events_and_a_bad_path_are_told(monkeypatch, tmp_path):
    store, query = filled(), DriftQuery(BEFORE, NOW)
    with pytest.raises(InputError, match="there are none"):
        write_report(store, query, [], tmp_path / "report.html", store.metrics())
    monkeypatch.setattr(evidently_report, "_render", lambda *_: "<html>")
    rows = drifts(store, query)
    with pytest.raises(InputError, match="cannot be written"):
        write_report(store, query, rows, tmp_path / "none" / "report.html", store.metrics())
    monkeypatch.setattr(evidently_report, "MOST_EVENTS", 5)
    with pytest.raises(InputError, match="at least 10 events in the baseline, but got 5"):
        write_report(store, query, rows, tmp_path / "report.html", store.metrics())


def test_no_row_is_invented_where_a_few_events_weigh_most(monkeypatch, tmp_path):
    table = Table([{"a": float(n)} for n in range(22)], [0.001] * 2 + [1.0] * 20)
    drawn = resampled(table)
    assert len(drawn.rows) == 2
    monkeypatch.setattr(evidently_report, "_render", lambda *_: "<html>")
    monkeypatch.setattr(evidently_report, "_table", lambda *_: table)
    store, query = filled(), DriftQuery(BEFORE, NOW)
    with pytest.raises(
        InputError, match=r"but its 22, taken with unequal π, weigh as much as 2\.0; take a longer window"
    ):
        write_report(store, query, drifts(store, query), tmp_path / "report.html", store.metrics())
    assert not (tmp_path / "report.html").exists()


def test_the_columns_are_metrics_languages_and_segments(monkeypatch, tmp_path):
    held = {}

    def render(baseline, current, columns, said):
        held.update(baseline=baseline, current=current, columns=columns, said=said)
        return "<html>"

    monkeypatch.setattr(evidently_report, "_render", render)
    store, query = filled(), DriftQuery(BEFORE, NOW)
    said = write_report(store, query, drifts(store, query), tmp_path / "report.html", store.metrics())
    assert held["columns"] == {"latency_ms": False, "refusal": True, "prompt_language": True, "segments.plan": True}
    assert said == held["said"]
    assert "2026-03-16 00:00 to 2026-03-16 12:00 against 2026-03-09 00:00 to 2026-03-09 12:00 (UTC)" in said
    assert "current: 300 sampled events, resampled to 219 rows by 1/π" in said
    german = sum(row["prompt_language"] == "de" for row in held["current"].rows)
    assert german / 219 == pytest.approx(2000 / 2100, abs=0.04)


def doubled():
    """A thousand events in each window, all taken at 0.5; latency by two versions, and a judge of one in five."""
    store = MemoryStore()
    judged = ScorerSpec("judged", 1, Scale(0.0, 1.0, "higher"))
    store.record_scorers([SPECS[0], msgspec.structs.replace(SPECS[0], version=2), judged])
    scores = []
    for window in (BEFORE, NOW):
        for n in range(1000):
            subject = Subject(
                f"{window.start:%d}-{n}", window.start + timedelta(seconds=n), "quality", "support", "m", "1", {}, "",
                "all", 1,
            )  # fmt: skip
            # The second version is new: only the current window has it.
            for version in (1, 2) if window is NOW else (1,):
                scores.append(Score(subject, "latency_ms", version, "", 0.5, "ok", 100.0 + n % 50))
            if n % 5 == 0:
                scores.append(Score(subject, "judged", 1, "", 0.1, "ok", n % 7 / 7))
    store.write(WriteBatch(scores=tuple(scores)))
    return store


def test_of_too_many_events_all_metrics_have_the_same_part(monkeypatch, tmp_path):
    monkeypatch.setattr(evidently_report, "MOST_EVENTS", 200)
    store, query = doubled(), DriftQuery(BEFORE, NOW)
    rows = drifts(store, query)
    held = []
    monkeypatch.setattr(evidently_report, "_render", lambda *given: held.extend(given[:2]) or "<html>")
    said = write_report(store, query, rows, tmp_path / "report.html", store.metrics())
    for name, table in zip(("baseline", "current"), held, strict=True):
        assert f"{name}: 200 sampled events, a random part, as sampled, all with one π" in said
        assert set(table.pi) == {0.5}
        assert all("latency_ms" in row for row in table.rows)
        assert 20 < sum("judged" in row for row in table.rows) < 60


def test_as_many_events_as_are_read_are_no_part(monkeypatch, tmp_path):
    monkeypatch.setattr(evidently_report, "MOST_EVENTS", 1000)
    monkeypatch.setattr(evidently_report, "_render", lambda *_: "<html>")
    store, query = doubled(), DriftQuery(BEFORE, NOW)
    said = write_report(store, query, drifts(store, query), tmp_path / "report.html", store.metrics())
    assert "1,000 sampled events, as sampled" in said
    assert "a random part" not in said


ISOLATED = """
import json, socket, sys
seen = []

def refuse(*where):
    seen.append(str(where[-1]))
    raise OSError("refused by the test")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda host, *rest, **more: refuse(host)
import atexit
atexit.register(lambda: print(json.dumps(seen)))

sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_evidently_report import BEFORE, NOW, DriftQuery, drifts, filled, write_report
store, query = filled(), DriftQuery(BEFORE, NOW)
print(write_report(store, query, drifts(store, query), Path(sys.argv[2]), store.metrics()))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("evidently") is None, reason="needs pip install 'evalsvc[reports]'")
def test_the_whole_page_with_nothing_sent(tmp_path):
    """In a Python of its own, as somebody who has never opted out of anything; then in a browser."""
    page = tmp_path / "report.html"
    environment = {key: text for key, text in os.environ.items() if key not in evidently_report.SILENCE}
    environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment["PYTHONPATH"] = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", ISOLATED, os.path.dirname(__file__), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    said, seen = done.stdout.splitlines()[-2:]
    assert json.loads(seen) == []
    assert not list((tmp_path / "config").glob("**/*"))
    text = page.read_text()
    assert f"<title>{said}</title>" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?(https?:)?//", text)
    assert "free" in text
    if CHROMIUM is None:
        return
    picture = tmp_path / "report.png"
    shot = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
    ]
    shot += ["--window-size=1200,1600", "--virtual-time-budget=5000", f"--screenshot={picture}", page.as_uri()]
    subprocess.run(shot, capture_output=True, timeout=300, check=True)
    assert picture.stat().st_size > 30_000
    if keep := os.environ.get("EVALSVC_SCREENSHOTS"):
        os.makedirs(keep, exist_ok=True)
        shutil.copy(picture, os.path.join(keep, "evidently.png"))


def test_the_command_takes_the_file(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(evidently_report, "_render", lambda *_: "<html>")
    monkeypatch.chdir(tmp_path)
    store = filled()
    monkeypatch.setattr("evalsvc.assemble.open_project_store", lambda *_: store)
    spans = ["--since", "2026-03-16", "--until", "2026-03-16T12:00"]
    assert main(["drift", *spans, "--evidently", "report.html"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("report.html: Drift, 2026-03-16 00:00")
    assert (tmp_path / "report.html").read_text() == "<html>"

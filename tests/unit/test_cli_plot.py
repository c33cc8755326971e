"""``--plot`` of ``query``, ``drift`` and ``fairness`` over a store that a replay filled: the table's numbers, drawn."""

from __future__ import annotations

import html
import json
import random
import re
import struct
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evalsvc import _cli_fairness, _cli_query
from evalsvc.cli import main
from evalsvc.fairness import Step, compare, groups_of_values
from evalsvc.query import EstimateQuery, LabelledEstimate
from evalsvc.stats import estimate_mean
from evalsvc.types import Cell, Scale, Window
from replays import replayed

START = datetime(2026, 3, 2, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"
PLANS = {"free": (240, 200.0), HOSTILE: (200, 600.0), "trial": (16, 200.0)}
SPAN = ("--since", "2026-03-09", "--until", "2026-03-16")


def events() -> Iterator[str]:
    """Two weeks; in the second all wait longer. The third day of the second has nothing."""
    rng = random.Random(3)
    for week in (0, 1):
        for plan, (count, base) in PLANS.items():
            for i in range(count):
                day = (0, 1, 3, 4, 5, 6)[i % 6]
                event = {
                    "event_id": f"{week}-{plan}-{i}",
                    "occurred_at": (START + timedelta(days=7 * week + day, minutes=i)).isoformat(),
                    "application": "support",
                    "model": "m",
                    "prompt": "What does it cost?",
                    "response": "Ten a month.",
                    "latency_ms": round(base * (1.0 + 0.5 * week) + rng.gauss(0.0, 40.0), 1),
                    "segments": {"plan": plan},
                }
                yield json.dumps(event)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with replayed(tmp_path_factory.mktemp("plots"), events()) as folder:
        yield folder


def draw(capsys: pytest.CaptureFixture[str], name: str, *arguments: str) -> tuple[str, bytes]:
    capsys.readouterr()
    assert main([*arguments, "--plot", name]) == 0
    out, err = capsys.readouterr()
    assert err.endswith(f"evalsvc: wrote {name}\n")
    return out, Path(name).read_bytes()


def cells(page: bytes) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page.decode(), flags=re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)] for row in rows]


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "latency_ms", "--by", "segments.plan", *SPAN),
        ("query", "latency_ms", "--window", "1d", *SPAN),
        ("drift", *SPAN),
        ("fairness", "latency_ms", "--by", "segments.plan", *SPAN),
        ("fairness", "latency_ms", "--by", "segments.plan", "--window", "1d", "--min-group", "2", *SPAN),
    ],
)
def test_a_png_beside_the_usual_output(filled, capsys, arguments):
    out, png = draw(capsys, "out.png", *arguments)
    assert png[:4] == b"\x89PNG"
    assert struct.unpack(">I", png[16:20]) == (1440,)
    assert main([*arguments]) == 0
    assert capsys.readouterr().out == out


def test_query_draws_what_it_prints(filled, capsys):
    out, page = draw(capsys, "q.html", "query", "latency_ms", "--by", "segments.plan", *SPAN, "--format", "json")
    rows = {row["segments"]["segments.plan"]: row for row in map(json.loads, out.splitlines())}
    head, *table = cells(page)
    assert {"mean", "95% interval", "n", "n eff", "missing", "method"} <= set(head)
    drawn = {row[0]: dict(zip(head, row, strict=True)) for row in table}
    assert drawn.keys() == rows.keys() == PLANS.keys()
    for plan, row in rows.items():
        assert drawn[plan]["mean"] == f"{row['value']:,.4g}"
        assert drawn[plan]["n"] == f"{row['n']:,}"
        assert drawn[plan]["method"] == row["method"]
    text = page.decode()
    assert "<script" not in text
    assert "mean of latency_ms by segments.plan, 2026-03-09 00:00 to 2026-03-16 00:00 (UTC)" in text
    least = min(rows, key=lambda plan: rows[plan]["value"])
    assert f"{rows[least]['value']:,.4g} (plan {least}; interval " in html.unescape(text)


def test_query_by_windows_shows_the_day_without_scores_as_a_gap(filled, capsys):
    _, page = draw(capsys, "w.html", "query", "latency_ms", "--window", "1d", *SPAN)
    assert "×: no estimate (no score in that window)" in page.decode()
    assert len(cells(page)) == 1 + 7
    assert [row[0] for row in cells(page) if "no score in that window" in row] == ["2026-03-11 00:00"]


def labelled(start: datetime, topic: str, plan: str, value: float) -> LabelledEstimate:
    window = Window(start, start + timedelta(days=1))
    estimate = estimate_mean(
        [Cell("all", 1, 1.0, 10, 0, 0, 10 * value, 10 * value**2)], Scale(0.0, 9.0, "lower"), window
    )
    return LabelledEstimate("m", "live", {"segments.topic": topic, "segments.plan": plan}, 1, "", estimate)


def test_query_draws_every_group_though_names_read_alike():
    groups = [("", ""), ("-", ""), ("a · plan b", "c"), ("a", "b · plan c"), ('"-"', "")]
    days = [START, START + timedelta(days=1)]
    rows = [labelled(day, *group, value) for day in days for value, group in enumerate(groups)]
    asked = EstimateQuery("m", Window(START, START + timedelta(days=2)), 86400, by=tuple(rows[0].labels))
    over_time = _cli_query.chart(rows, asked, windowed=True)
    assert [[mark.value for mark in panel.marks] for panel in over_time.panels] == [[i, i] for i in range(5)]
    assert len({panel.name for panel in over_time.panels}) == 5
    assert [panel.name for panel in over_time.panels][:3] == [
        "topic - · plan -", 'topic "-" · plan -', 'topic "a · plan b" · plan c',
    ]  # fmt: skip
    whole = _cli_query.chart(rows[:5], asked, windowed=False)
    assert [mark.value for mark in whole.panels[0].marks] == [0, 1, 2, 3, 4]
    table = _cli_query.table(rows[:2], windowed=False).splitlines()
    assert [line.split()[0] for line in table[1:]] == ["-", '"-"']


def test_fairness_draws_groups_by_size_with_suppressed_ones_last(filled, capsys):
    out, page = draw(capsys, "f.html", "fairness", "latency_ms", "--by", "segments.plan", *SPAN)
    head, *table = cells(page)
    assert [row[0] for row in table] == [HOSTILE, "free", "trial"]
    assert {"traffic", "n", "n eff", "missing", "method", "p adjusted"} <= set(head)
    assert "suppressed: 16 scored events, fewer than 30" in table[2]
    text = html.unescape(page.decode())
    sentence = out.splitlines()[1]
    assert sentence[0].upper() + sentence[1:] + "." in text
    assert "dashed: mean of all shown groups by their traffic, " in text
    assert "not proof of unfair treatment" in text
    _, page = draw(capsys, "g.html", "fairness", "latency_ms", "--by", "segments.plan", "--window", "1d", *SPAN)
    assert "gap between groups, ms" in page.decode()
    assert [row[0] for row in cells(page)[1:]] == [f"2026-03-{day:02d} 00:00" for day in (9, 10, 12, 13, 14, 15)]


STARS = Scale(1.0, 5.0, "higher", unit="stars")


def compared(version: int, scale: Scale, values: dict[str, list[float]]) -> _cli_fairness.Found:
    window = Window(START, START + timedelta(days=1))
    labels = [plan for plan, scores in values.items() for _ in scores]
    groups = groups_of_values([score for scores in values.values() for score in scores], labels, scale)
    comparison = compare(groups, scale)
    step = Step(window, groups, comparison)
    return _cli_fairness.Found(window, ("live", version, ""), scale, step, comparison, None)


@pytest.fixture
def versions(filled, monkeypatch):
    """Make ``fairness`` compare these."""

    def answer(*found: _cli_fairness.Found) -> None:
        monkeypatch.setattr(_cli_fairness, "compared", lambda *_: list(found))

    return answer


ASK_HELPFUL = ("fairness", "helpful", "--by", "segments.plan", *SPAN)
YES_NO = {"free": [0.0, 1.0] * 30, "pro": [0.0, 1.0, 1.0, 1.0] * 15}


@pytest.mark.parametrize("more", [(), ("--window", "1d")])
def test_fairness_refuses_to_draw_two_scales_on_one_axis(versions, capsys, more):
    stars = {"free": [4.0, 4.1] * 30, "pro": [4.0, 4.0, 4.1] * 20}
    versions(compared(1, Scale(0.0, 1.0, "higher", binary=True), YES_NO), compared(2, STARS, stars))
    assert main([*ASK_HELPFUL, *more, "--plot", "two.html"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "got yes or no of live · scorer v1 and 1 to 5 stars of live · scorer v2; ask for one" in err
    assert not Path("two.html").exists()
    assert main([*ASK_HELPFUL]) == 0
    out = capsys.readouterr().out
    assert "4.0" in out
    assert not re.search(r"\d{3}%", out.replace("100%", ""))


def test_fairness_draws_versions_that_differ_in_what_is_better_alone(versions, capsys):
    better, worse = (Scale(0.0, 1.0, way, binary=True) for way in ("higher", "lower"))
    versions(compared(1, better, YES_NO), compared(2, worse, YES_NO))
    _, page = draw(capsys, "ways.html", *ASK_HELPFUL)
    head, *table = cells(page)
    shown = [dict(zip(head, row, strict=True)) for row in table]
    assert [(row["consumer · scorer"], row["group"], row["mean"]) for row in shown] == [
        (f"live · scorer v{version}", plan, mean)
        for version in (1, 2)
        for plan, mean in (("pro", "75%"), ("free", "50%"))
    ]


def test_drift_draws_what_moved_first_and_the_least_that_matters(filled, capsys):
    out, page = draw(capsys, "d.html", "drift", "latency_ms", "output_tokens", "refusal", *SPAN)
    head, *table = cells(page)
    assert {"effect", "interval", "matters", "n", "n eff", "missing", "method"} <= set(head)
    assert table[0][:2] == ["yes", "latency_ms"]
    text = html.unescape(page.decode())
    assert out.splitlines()[0] in text
    assert "dashed: 1, the least effect that matters" in text
    assert "effect ÷ the least effect that matters" in text


@pytest.mark.parametrize("command", [("query", "latency_ms"), ("drift",), ("fairness", "latency_ms", "--by", "model")])
@pytest.mark.parametrize(
    ("name", "said"),
    [("out.svg", "ends in .png or .html"), ("nowhere/out.png", "make nowhere first")],
)
def test_a_wrong_file_is_refused_before_anything_is_asked(filled, capsys, command, name, said):
    assert main([*command, "--plot", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", [("query", "latency_ms"), ("drift",), ("fairness", "latency_ms", "--by", "model")])
def test_without_matplotlib_the_pip_line_is_said(filled, capsys, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*command, "--plot", "out.png"]) == 2
    assert capsys.readouterr().err == "evalsvc: matplotlib is not installed; run: pip install 'evalsvc[reports]'\n"


def test_what_cannot_be_drawn_is_said(filled, capsys, monkeypatch):
    assert main(["query", "latency_ms", "--missing", "--plot", "out.png"]) == 2
    assert "--plot without --missing" in capsys.readouterr().err
    monkeypatch.setattr(_cli_query, "MOST_WINDOWS", 3)
    assert main(["query", "latency_ms", "--window", "1d", *SPAN, "--plot", "out.png"]) == 2
    assert "Expected at most 3 windows to draw, but got 7" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [("query", "latency_ms"), ("fairness", "latency_ms", "--by", "segments.plan"), ("drift",)]
)
def test_nothing_that_matches_is_no_picture(filled, capsys, command):
    assert main([*command, *SPAN, "--where", "application=nobody's", "--plot", "none.png"]) == 0
    assert "nothing to draw, so none.png is not written" in capsys.readouterr().err
    assert not Path("none.png").exists()

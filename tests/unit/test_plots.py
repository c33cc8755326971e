"""Pictures with intervals: files that are whole, gaps that are no zeros, hostile names, and what is refused."""

from __future__ import annotations

import re
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from evalsvc import plots
from evalsvc.errors import InputError, MissingExtra
from evalsvc.plots import Chart, Mark, Panel

HOSTILE = "</text></svg><script>alert('x')</script>--><img src=http://evil.example/x> $\\frac{1}$ \x00\u202e _ 日本"
START = datetime(2026, 3, 1, tzinfo=UTC)


class Page(HTMLParser):
    """The page's tags, the texts of its cells and of its picture, and whatever it would fetch or run."""

    VOID = ("meta", "path", "use")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.fetched: list[str] = []
        self.label = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")
        if tag == "svg":
            self.label = given.get("aria-label") or ""
        reached = [given.get(name) or "" for name in ("src", "href", "xlink:href", "action", "data")]
        self.fetched += [where for where in reached if where and not where.startswith("#")]
        self.fetched += [name for name in given if name.startswith("on")]

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag and tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts[self.open[-1]][-1] += data


def size(data: bytes) -> tuple[int, int]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def rows(*marks: Mark, **more) -> Chart:
    table = [{"group": mark.name, "mean": str(mark.value), "n": "7", "note": mark.note} for mark in marks]
    chart = Chart("refusal by plan", "Groups differ.", "mean of refusal", [Panel("", marks)], table, {"mean", "n"})
    return chart._replace(**more)


MARKS = (
    Mark("free", 0.25, 0.125, 0.5, detail="25% (12.5% … 50%)"),
    Mark("pro", 0.75, 0.5, None, strong=True),
    Mark("trial", None, note="suppressed: 12 scored events, fewer than 30"),
)


def over_time(count: int, panels: int = 1) -> Chart:
    marks = [
        Mark(
            "en",
            None if i == 3 else float(i),
            i - 1.0,
            i + 1.0,
            "no score" if i == 3 else "",
            START + timedelta(days=i),
        )
        for i in range(count)
    ]
    return rows(*marks, over_time=True, panels=[Panel(f"group {i}", marks) for i in range(panels)])


@pytest.mark.parametrize("name", ["out.png", "OUT.PNG"])
def test_a_png_is_written_and_has_a_size(tmp_path, name):
    plots.write(str(tmp_path / name), rows(*MARKS))
    width, height = size((tmp_path / name).read_bytes())
    assert width == 1440
    assert 200 < height < 1000


def test_more_rows_make_a_taller_picture_up_to_a_limit():
    few, many = rows(*MARKS), rows(*[Mark(f"g{i}", float(i), i - 1.0, i + 1.0) for i in range(500)])
    assert size(plots.png(few))[1] < size(plots.png(many))[1] < 4000
    page = Page(plots.page(many))
    assert len([text for text in page.texts["td"] if text.startswith("g")]) == 500
    assert any("the first 60 of 500 are drawn; the table has all" in text for text in page.texts["p"])


def test_the_page_has_title_sentence_picture_and_every_number(tmp_path):
    plots.write(str(tmp_path / "out.html"), rows(*MARKS, notes=["bars: 95% intervals"]))
    page = Page((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert page.texts["title"] == page.texts["h1"] == ["refusal by plan"]
    assert page.texts["p"][0] == "Groups differ."
    assert "bars: 95% intervals" in page.texts["p"]
    assert page.label == "refusal by plan. Groups differ. The numbers are in the table below."
    assert page.texts["th"] == ["group", "mean", "n", "note"]
    assert page.texts["td"][:4] == ["free", "0.25", "7", ""]
    drawn = " ".join(page.texts["text"])
    assert "25% (12.5% … 50%)" in re.sub(r"\s+", " ", drawn)
    assert {"free", "pro", "trial", "mean of refusal"} <= {text.strip() for text in page.texts["text"]}
    assert page.open == []


def test_the_page_fetches_and_runs_nothing_and_adapts_to_the_dark():
    text = plots.page(rows(*MARKS))
    page = Page(text)
    assert page.fetched == []
    assert "script" not in page.tags
    assert "default-src 'none'" in text
    assert "prefers-color-scheme:dark" in text
    assert "var(--mark)" in text
    # Every colour is one of the page's.
    assert re.findall(r"#[0-9a-f]{6}", text.partition("<svg")[2].partition("</svg>")[0]) == []


def test_a_suppressed_estimate_is_a_note_and_no_mark():
    none = rows(MARKS[2]._replace(name="only"))
    drawn = Page(plots.page(none))
    assert any("suppressed: 12 scored events" in text for text in drawn.texts["text"])
    assert plots._ends(MARKS[2], 0.0, 1.0) == ([], [])
    # Beside others it takes no part in the range that is drawn.
    assert plots._span(MARKS, [None]) == plots._span(MARKS[:2], [None])


def test_a_missing_window_is_a_gap_that_is_said():
    assert any(text == "×: no estimate (no score)" for text in Page(plots.page(over_time(8))).texts["p"])
    assert size(plots.png(over_time(8)))[0] == 1440


@pytest.mark.parametrize(
    ("whys", "said"),
    [
        (["no score"] * 3, "×: no estimate (no score)"),
        ([""], "×: no estimate"),
        (["no score", "suppressed", "no score", ""],
         "×: no estimate: no score (2); suppressed (1); no reason given (1)"),
        (list("aabbccddef"), "×: no estimate: a (2); b (2); c (2); d (2); other reasons (2)"),
    ],
)  # fmt: skip
def test_gaps_have_their_own_reasons(whys, said):
    marks = [Mark("en", None, note=why, at=START + timedelta(days=i)) for i, why in enumerate(whys)]
    assert said in plots._all_notes(rows(*marks, over_time=True, panels=[Panel("", marks)]))


def test_a_gap_of_a_panel_that_is_not_drawn_is_not_explained():
    marks = [[Mark("en", 1.0 if i < plots.MOST_PANELS else None, note="late", at=START)] for i in range(13)]
    notes = plots._all_notes(rows(over_time=True, panels=[Panel(str(i), one) for i, one in enumerate(marks)]))
    assert [note for note in notes if note.startswith("×")] == []


def test_charts_of_several_threads_are_drawn_one_after_another(monkeypatch):
    """matplotlib's settings are the process's: of two that overlap, one would put back the other's."""
    matplotlib = pytest.importorskip("matplotlib")
    before, inside, most = dict(matplotlib.rcParams), [], []
    drawn = plots._rows

    def slow(*given):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.05)
        try:
            return drawn(*given)
        finally:
            inside.pop()

    monkeypatch.setattr(plots, "_rows", slow)
    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(plots.png, [rows(*MARKS)] * 3))
    assert most == [1, 1, 1]
    assert len(set(made)) == 1
    assert dict(matplotlib.rcParams) == before
    gone = [Mark("en", None, note="no score", at=START + timedelta(days=i)) for i in range(3)]
    assert plots.png(rows(*gone, over_time=True))


def test_many_panels_are_cut_and_it_is_said():
    page = Page(plots.page(over_time(5, panels=20)))
    titles = {text.strip() for text in page.texts["text"]}
    assert {"group 0", "group 11"} <= titles
    assert "group 12" not in titles
    assert any("the first 12 of 20 are drawn" in text for text in page.texts["p"])


@pytest.mark.parametrize("over", [False, True])
def test_hostile_names_are_text(over):
    mark = Mark(HOSTILE, 0.5, 0.25, 0.75, detail=HOSTILE, at=START)
    gap = Mark(HOSTILE, None, note=HOSTILE, at=START + timedelta(days=1))
    chart = rows(mark, gap, over_time=over, title=HOSTILE, sentence=HOSTILE, axis=HOSTILE, notes=[HOSTILE])
    chart = chart._replace(panels=[Panel(HOSTILE, [mark, gap], 0.4, HOSTILE), Panel(HOSTILE, [mark])])
    page = Page(plots.page(chart))
    assert page.fetched == []
    assert {"script", "img"} & set(page.tags) == set()
    assert page.texts["h1"][0] == page.texts["td"][0]
    assert page.texts["h1"][0].startswith("</text></svg><script>alert('x')</script>-->")
    assert "\x00" not in plots.page(chart)
    assert "\u202e" not in plots.page(chart)
    assert size(plots.png(chart))[0] == 1440


def test_an_interval_a_hundred_times_as_long_runs_out_and_it_is_said():
    marks = [Mark(f"g{i}", 1.0 + i / 100, 0.9, 1.2) for i in range(9)]
    low, high = plots._span([*marks, Mark("few", 1.0, -90.0, 90.0)], [])
    assert -2.0 < low < high < 4.0
    assert any("arrows: the interval goes on" in text for text in Page(plots.page(rows(*marks, MARKS[1]))).texts["p"])
    assert not any("arrows" in text for text in Page(plots.page(rows(*marks))).texts["p"])


@pytest.mark.parametrize(
    "marks",
    [
        [Mark("a", 0.0, 0.0, 0.0)],
        [Mark("a", 5.0), Mark("b", 5.0)],
        [Mark("a", 1e-300, 0.0, 1e-290)],
        [Mark("a", 1e12, -1e12, float("inf"))],
        [Mark("a", 1.0, None, 2.0), Mark("", -3.0, float("-inf"), None)],
        [Mark("x" * 500, 1.0, 0.0, 2.0, detail="d")],
    ],
)
def test_edges(marks):
    assert size(plots.png(rows(*marks)))[0] == 1440
    timed = [mark._replace(at=START + timedelta(days=i)) for i, mark in enumerate(marks)]
    assert size(plots.png(rows(*timed, over_time=True)))[0] == 1440


def test_the_same_chart_is_the_same_file():
    assert plots.page(rows(*MARKS)) == plots.page(rows(*MARKS))
    assert plots.png(rows(*MARKS)) == plots.png(rows(*MARKS))


@pytest.mark.parametrize("name", ["out.svg", "out", "out.png.txt", ".png"])
def test_another_ending_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"--plot to be a file that ends in \.png or \.html"):
        plots.check(str(tmp_path / name))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"make .*nowhere first"):
        plots.check(str(tmp_path / "nowhere" / "out.png"))


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "out.html").mkdir()
    with pytest.raises(InputError, match=r"Cannot write --plot .*out\.html: "):
        plots.write(str(tmp_path / "out.html"), rows(*MARKS))


def test_without_matplotlib_the_pip_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"^matplotlib is not installed; run: pip install 'evalsvc\[reports\]'$"):
        plots.check(str(tmp_path / "out.png"))
    with pytest.raises(MissingExtra):
        plots.png(rows(*MARKS))


def test_nothing_to_draw_writes_nothing(tmp_path: Path, capsys):
    plots.save(str(tmp_path / "out.png"), None)
    assert "nothing to draw" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

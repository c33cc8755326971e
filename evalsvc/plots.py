"""Estimates as pictures: a PNG, or one HTML page that needs nothing else, with the picture, what it says and its table.

A :class:`Chart` is what both are made from: rows with intervals, or points over time. An estimate that is undefined or
suppressed is a gap with a note, never a zero. matplotlib draws (the extra ``reports``), without a display.

While it draws, its settings and Python's warning filters are changed, and put back after that; they are those of the
whole process. Charts of several threads are drawn one after another, so that each puts back what it found; other code
that draws in another thread meanwhile sees the changed ones.

Longer than other files: the picture and the page show one chart, and have to say the same of it.
"""

from __future__ import annotations

import math
import re
import sys
import textwrap
import threading
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalsvc.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_DRAWING = threading.Lock()

FORMATS = (".png", ".html")
MOST_ROWS, MOST_PANELS = 60, 12
"""What one picture shows at most; the rest is in the table, and a note says so."""

_DPI, _WIDTH = 150, 9.6
_ROW, _LINE = 0.27, 0.19
_CHARACTERS, _SMALL = 128, 144
_LABEL, _LONG = 44, 48
_REASONS = 4
_MARKER = {False: "o", True: "D"}
# Drawn in these, and named after the page's colours in SVG, so that it is legible on light and on dark.
_COLOURS = {"ink": "#1b2330", "soft": "#566173", "grid": "#dfe4ec", "mark": "#1f4e8c", "warn": "#9a3412"}
_INK, _SOFT, _GRID, _MARK, _WARN = _COLOURS.values()
_SETTINGS: dict[Any, Any] = {
    "date.converter": "concise",
    "timezone": "UTC",
    "font.size": 9.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "evalsvc",
    # A segment named "$x$" is no formula.
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
}
# Characters that turn the direction of the text around them.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Mark(NamedTuple):
    """One estimate. Without a ``value`` it is a gap, and ``note`` says why; ``strong`` ones stand out.

    One of ``low`` and ``high`` that is ``None`` runs out of the picture; both, and there is no interval. ``at`` is when
    it is of, for a chart over time; ``detail`` stands beside a row.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    at: datetime | None = None
    detail: str = ""
    strong: bool = False


class Panel(NamedTuple):
    """Marks that belong together, with a line at a value they are to be held against."""

    name: str
    marks: Sequence[Mark]
    line: float | None = None
    line_name: str = ""


class Chart(NamedTuple):
    """A picture, the sentence that it is to be read with, and its table.

    ``axis`` names the values' axis, ``percent`` writes them so. ``right`` are the table's columns of numbers. ``notes``
    are read below the picture.
    """

    title: str
    sentence: str
    axis: str
    panels: Sequence[Panel]
    table: Sequence[Mapping[str, str]]
    right: Collection[str] = ()
    notes: Sequence[str] = ()
    over_time: bool = False
    percent: bool = False


def check(path: str) -> None:
    """Refuse a file that cannot be written, before the work is done.

    Raises:
        InputError: on another ending than .png and .html, or a folder that does not exist.
        MissingExtra: without matplotlib.
    """
    where = Path(path)
    if where.suffix.lower() not in FORMATS:
        raise InputError(f"Expected --plot to be a file that ends in .png or .html, but got {path!r}")
    if not where.parent.is_dir():
        raise InputError(f"Expected --plot to be in a folder that exists, but got {path!r}; make {where.parent} first")
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise MissingExtra("matplotlib", "reports") from error


def write(path: str, chart: Chart) -> None:
    """Write a chart as PNG or HTML, by the file's ending; a file of that name is replaced.

    Raises:
        InputError: as :func:`check`, and where the file cannot be written.
        MissingExtra: without matplotlib.
    """
    check(path)
    made = png(chart) if Path(path).suffix.lower() == ".png" else page(chart).encode()
    try:
        Path(path).write_bytes(made)
    except OSError as error:
        raise InputError(f"Cannot write --plot {path}: {error.strerror}") from error


def save(path: str, chart: Chart | None) -> None:
    """Write a chart and say so on stderr; None is a question without an answer, of which there is no picture."""
    if chart is None:
        print(f"evalsvc: nothing to draw, so {path} is not written", file=sys.stderr)
        return
    write(path, chart)
    print(f"evalsvc: wrote {path}", file=sys.stderr)


def png(chart: Chart) -> bytes:
    """Return the chart as a PNG with its title, sentence and notes."""
    return _rendered(chart, "png", framed=True)


def page(chart: Chart) -> str:
    """Return the chart as an HTML page of its own: no script, and nothing that is fetched."""
    svg = _rendered(chart, "svg", framed=False).decode()
    svg = re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    alt = _clean(f"{chart.title}. {chart.sentence} The numbers are in the table below.")
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)
    notes = "".join(f"<p class=note>{_html(note)}</p>" for note in _all_notes(chart))
    return (
        '<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, '
        "initial-scale=1\"><meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
        f"'unsafe-inline'\"><title>{_html(chart.title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{_html(chart.title)}</h1><p class=said>{_html(chart.sentence)}</p>\n"
        f"<figure>{svg}</figure>{notes}\n{_table(chart)}</body></html>\n"
    )


def _table(chart: Chart) -> str:
    columns = list(dict.fromkeys(name for row in chart.table for name in row))
    long = {name for name in columns if any(len(row.get(name, "")) > _LONG for row in chart.table)}
    numbers = {name: " class=n" if name in chart.right else " class=long" if name in long else "" for name in columns}
    head = "".join(f"<th scope=col{numbers[name]}>{_html(name)}</th>" for name in columns)
    rows = [
        "<tr>" + "".join(f"<td{numbers[name]}>{_html(row.get(name, ''))}</td>" for name in columns) + "</tr>\n"
        for row in chart.table
    ]
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>\n{''.join(rows)}</tbody></table></div>"


def _rendered(chart: Chart, form: str, *, framed: bool) -> bytes:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "reports") from error

    out = BytesIO()
    with _DRAWING, warnings.catch_warnings(), rc_context({**_SETTINGS, "font.family": _families()}):
        # Where no font has a script its characters are boxes; the page uses the reader's fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = Figure()
        head, foot = (_head(figure, chart), _foot(figure, chart)) if framed else (0.0, 0.0)
        height = _over_time(figure, chart) if chart.over_time else _rows(figure, chart)
        _lay_out(figure, head, height, foot)
        metadata = {"Date": None} if form == "svg" else {}
        figure.savefig(out, format=form, dpi=_DPI, metadata=metadata, transparent=form == "svg")
    return out.getvalue()


def _families() -> list[str]:
    """Return fonts that are there, each standing in for characters that the ones before it lack."""
    from matplotlib.font_manager import fontManager

    held = {font.name for font in fontManager.ttflist}
    wanted = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Noto Sans Arabic", "Noto Sans Hebrew")
    return ["DejaVu Sans", *(name for name in wanted if name in held)]


def _head(figure: Figure, chart: Chart) -> float:
    """Write title and sentence; return the inches they take."""
    title = textwrap.wrap(_clean(chart.title), 92)
    said = textwrap.wrap(_clean(chart.sentence), _CHARACTERS)
    figure.text(0.0, 0.0, "\n".join(title), fontsize=12, fontweight="bold", va="top", gid="title")
    figure.text(0.0, 0.0, "\n".join(said), va="top", linespacing=1.25, gid="said")
    return 0.12 + 0.24 * len(title) + _LINE * len(said) + 0.12


def _foot(figure: Figure, chart: Chart) -> float:
    lines = [line for note in _all_notes(chart) for line in textwrap.wrap(_clean(note), _SMALL)]
    if not lines:
        return 0.08
    figure.text(0.0, 0.0, "\n".join(lines), fontsize=8, color=_SOFT, va="bottom", linespacing=1.25, gid="foot")
    return 0.1 + 0.165 * len(lines) + 0.06


def _lay_out(figure: Figure, head: float, height: float, foot: float) -> None:
    """Give the figure its size, and each text its place from the edges in inches."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    whole = head + height + foot
    figure.set_size_inches(_WIDTH, whole)
    lines = {text.get_gid(): text for text in figure.texts}
    if "title" in lines:
        lines["title"].set_position((0.12 / _WIDTH, 1.0 - 0.12 / whole))
        below = 0.12 + 0.24 * (lines["title"].get_text().count("\n") + 1)
        lines["said"].set_position((0.12 / _WIDTH, 1.0 - below / whole))
    if "foot" in lines:
        lines["foot"].set_position((0.12 / _WIDTH, 0.1 / whole))
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0.01, foot / whole, 0.98, height / whole)))


def _rows(figure: Figure, chart: Chart) -> float:
    """Draw a row for each mark, from the top, each panel under its name; return the inches they take."""
    axes = figure.add_subplot()
    _plain(axes)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    panels = _first_rows(chart.panels)
    low, high = _span([mark for panel in panels for mark in panel.marks], [panel.line for panel in panels])
    axes.set_xlim(low, high)
    ticks: list[tuple[float, str]] = []
    y = 0.0
    for panel in panels:
        if len(chart.panels) > 1:
            axes.text(-0.01, y, _short(panel.name), transform=axes.get_yaxis_transform(), ha="right", va="center",
                      fontweight="bold")  # fmt: skip
            y += 1.0
        top = y
        for mark in panel.marks:
            ticks.append((y, _short(mark.name)))
            _row(axes, mark, y, low, high)
            y += 1.0
        # Only beside the rows that have a value: it would strike out the words of the others.
        known = [row for row, mark in enumerate(panel.marks) if mark.value is not None]
        if panel.line is not None and known:
            ends = [top + known[0] - 0.5, top + known[-1] + 0.5]
            axes.plot([panel.line] * 2, ends, color=_SOFT, linestyle=(0, (4, 3)), linewidth=1.1, zorder=1)
        y += 0.4
    axes.set_ylim(y - 0.8, -0.7)
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], color=_INK)
    axes.tick_params(axis="y", length=0)
    _label_values(axes.xaxis, chart)
    return 0.6 + _ROW * (y + 0.3)


def _row(axes: Axes, mark: Mark, y: float, low: float, high: float) -> None:
    beside = axes.get_yaxis_transform()
    if mark.value is None:
        axes.text(0.01, y, _short(mark.note or "no estimate", 80), transform=beside, va="center", style="italic",
                  color=_SOFT)  # fmt: skip
        return
    colour = _WARN if mark.strong else _MARK
    ends, arrows = _ends(mark, low, high)
    if ends:
        axes.plot(ends, [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
        for x, way in arrows:
            axes.plot([x], [y], marker="<" if way < 0 else ">", color=colour, markersize=5, clip_on=False)
    axes.plot([mark.value], [y], marker=_MARKER[mark.strong], color=colour, markersize=5.5 if mark.strong else 6)
    axes.text(1.015, y, _short(mark.detail), transform=beside, va="center", color=_SOFT, fontsize=8.5)


def _over_time(figure: Figure, chart: Chart) -> float:
    """Draw each panel's marks at their times, on one scale; return the inches they take."""
    panels = chart.panels[:MOST_PANELS]
    columns = 1 if len(panels) == 1 else 2 if len(panels) <= 4 else 3
    lines = math.ceil(len(panels) / columns)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    low, high = _span([mark for panel in panels for mark in panel.marks], [panel.line for panel in panels])
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_visible(False)
            continue
        panel = panels[number]
        _plain(axes)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        if len(panels) > 1:
            axes.set_title(_short(panel.name), fontsize=9.5, loc="left", fontweight="bold")
        if panel.line is not None:
            axes.axhline(panel.line, color=_SOFT, linestyle=(0, (4, 3)), linewidth=1.1)
        _points(axes, [(mark.at, mark) for mark in panel.marks if mark.at is not None], low, high, 60 // columns)
        axes.set_ylim(low, high)
        # The last of a column has the times, though panels may be missing below it.
        axes.tick_params(axis="x", labelbottom=number + columns >= len(panels))
        axes.tick_params(axis="y", length=0)
        if number % columns == 0:
            _label_values(axes.yaxis, chart, label=lines == 1)
    if lines > 1:
        figure.supylabel(_clean(chart.axis), fontsize=9, color=_SOFT)
    return 3.6 if lines == 1 and columns == 1 else 0.4 + 2.2 * lines


def _points(axes: Axes, marks: Sequence[tuple[Any, Mark]], low: float, high: float, many: int) -> None:
    """Draw points and bars, a few artists for all of them, with a line that breaks where an estimate is missing."""
    size, width = (2.5, 0.9) if len(marks) > many else (4.5, 1.6)
    missing = [(x, 0.97) for x, mark in marks if mark.value is None]
    _dots(axes, missing, "x", _SOFT, size, transform=axes.get_xaxis_transform())
    for strong, colour in ((False, _MARK), (True, _WARN)):
        chosen = [(x, mark) for x, mark in marks if mark.value is not None and mark.strong == strong]
        bars = [(x, *_ends(mark, low, high)) for x, mark in chosen if mark.low is not None or mark.high is not None]
        if bars:
            starts, stops = [ends[0] for _, ends, _ in bars], [ends[1] for _, ends, _ in bars]
            axes.vlines([x for x, _, _ in bars], starts, stops, colors=colour, linewidth=width)
        for way, shape in ((-1, "v"), (1, "^")):
            out = [(x, y) for x, _, arrows in bars for y, side in arrows if side == way]
            _dots(axes, out, shape, colour, size, clip_on=False)
        _dots(axes, [(x, mark.value) for x, mark in chosen], _MARKER[strong], colour, size)
    # What is not a number breaks a line of matplotlib's.
    line = [math.nan if mark.value is None else mark.value for _, mark in marks]
    axes.plot([x for x, _ in marks], line, color=_MARK, linewidth=0.9, alpha=0.45)


def _dots(axes: Axes, at: Sequence[tuple[Any, Any]], shape: str, colour: str, size: float, **more: Any) -> None:  # noqa: ANN401
    # matplotlib takes the unit of an axis from the first that it draws, and nothing has none.
    if at:
        axes.plot([x for x, _ in at], [y for _, y in at], shape, color=colour, markersize=size, **more)


def _span(marks: Sequence[Mark], lines: Sequence[float | None]) -> tuple[float, float]:
    """Return the range of values that is drawn: every value, and every interval that is not far longer than the rest.

    One interval of a few events can be a hundred times as long as all that is to be compared; it runs out.
    """
    values = [mark.value for mark in marks if mark.value is not None] + [line for line in lines if line is not None]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    lengths = sorted(end - start for mark in marks if (ends := _whole(mark)) for start, end in [ends])
    room = 3.0 * (high - low) + 3.0 * (lengths[len(lengths) // 2] if lengths else 0.0)
    known = [end for mark in marks for end in (mark.low, mark.high) if mark.value is not None and _finite(end)]
    low = min([low, *(max(end, low - room) for end in known if end is not None)])
    high = max([high, *(min(end, high + room) for end in known if end is not None)])
    if not low < high:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    edge = 0.04 * (high - low)
    return low - edge, high + edge


def _whole(mark: Mark) -> tuple[float, float] | None:
    if mark.value is None or mark.low is None or mark.high is None or not (_finite(mark.low) and _finite(mark.high)):
        return None
    return mark.low, mark.high


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _ends(mark: Mark, low: float, high: float) -> tuple[list[float], list[tuple[float, int]]]:
    """Return the interval as far as it is drawn, and where it goes on, with -1 for downward and 1 for upward."""
    if mark.low is None and mark.high is None:
        return [], []
    start = mark.low if mark.low is not None else -math.inf
    end = mark.high if mark.high is not None else math.inf
    arrows = [(low, -1)] * (start < low) + [(high, 1)] * (end > high)
    return [max(start, low), min(end, high)], arrows


def _first_rows(panels: Sequence[Panel]) -> list[Panel]:
    left, shown = MOST_ROWS, []
    for panel in panels:
        if left > 0:
            shown.append(panel._replace(marks=panel.marks[:left]))
        left -= len(panel.marks)
    return shown


def _all_notes(chart: Chart) -> list[str]:
    """Return the chart's notes and what a reader of this picture has to know."""
    notes = [f"dashed: {panel.line_name}" for panel in chart.panels[:1] if panel.line is not None and panel.line_name]
    notes += chart.notes
    marks = [mark for panel in chart.panels for mark in panel.marks]
    panels = chart.panels[:MOST_PANELS] if chart.over_time else _first_rows(chart.panels)
    drawn = [mark for panel in panels for mark in panel.marks]
    if chart.over_time and any(mark.value is None for mark in drawn):
        notes.append(f"×: no estimate{_reasons([mark.note for mark in drawn if mark.value is None])}")
    low, high = _span(drawn, [panel.line for panel in panels])
    if any(_ends(mark, low, high)[1] for mark in drawn if mark.value is not None):
        notes.append("arrows: the interval goes on")
    if chart.over_time and len(chart.panels) > MOST_PANELS:
        notes.append(f"the first {MOST_PANELS} of {len(chart.panels):,} are drawn; the table has all")
    if not chart.over_time and len(marks) > MOST_ROWS:
        notes.append(f"the first {MOST_ROWS} of {len(marks):,} are drawn; the table has all")
    return notes


def _reasons(notes: Sequence[str]) -> str:
    """Return why gaps are gaps: the reason of all, or the most frequent ones, each with how many gaps it has."""
    counts = Counter(notes)
    if len(counts) == 1:
        return f" ({notes[0]})" if notes[0] else ""
    most = [f"{why or 'no reason given'} ({n:,})" for why, n in counts.most_common(_REASONS)]
    rest = sum(counts.values()) - sum(n for _, n in counts.most_common(_REASONS))
    return ": " + "; ".join([*most, *([f"other reasons ({rest:,})"] if rest else [])])


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.set_facecolor("none")


def _label_values(axis: Axis, chart: Chart, *, label: bool = True) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(7))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.6g}%" if chart.percent else f"{v:,.6g}"))
    if label:
        axis.set_label_text(_clean(chart.axis))


def _short(text: str, most: int = _LABEL) -> str:
    text = _clean(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _clean(text: str) -> str:
    """Return text without characters that draw nothing or turn others around; each shows as a replacement mark."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") or c in _TURNING else c for c in text)


def _html(text: str) -> str:
    return escape(_clean(text))


_STYLE = """
:root{color-scheme:light dark;--ink:#1b2330;--soft:#566173;--grid:#dfe4ec;--mark:#1f4e8c;--warn:#9a3412;--back:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf1;--soft:#a3afc0;--grid:#333c49;--mark:#9cc4f7;--warn:#ffb38a;
--back:#13171d}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:2rem 1.5rem 3rem;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.45rem;line-height:1.25;margin:0 0 .4rem;overflow-wrap:anywhere}
.said{margin:.25rem 0 1rem;max-width:50rem;overflow-wrap:anywhere}
.note{margin:.2rem 0;color:var(--soft);font-size:.85rem;max-width:50rem}
figure{margin:0 0 .6rem;overflow-x:auto}
figure svg{display:block;width:100%;min-width:42rem;max-width:60rem;height:auto}
figure svg text{font-family:inherit!important}
.wide{overflow-x:auto;margin-top:1.4rem}
table{border-collapse:collapse;font-size:.88rem}
th,td{padding:.3rem .9rem .3rem 0;text-align:left;vertical-align:baseline;white-space:nowrap}
th{color:var(--soft);font-weight:400;border-bottom:1px solid var(--grid)}
td.long{white-space:normal;min-width:22rem;max-width:30rem;overflow-wrap:anywhere}
.n{text-align:right;font-variant-numeric:tabular-nums}
tbody tr+tr td{border-top:1px solid var(--grid)}
@media print{figure svg{min-width:0}}
"""

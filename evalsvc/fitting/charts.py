"""The curves of a report, drawn as SVG without another package, so that every report has them."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.fitting.results import TaskResult

SIDE, ROOM = 240, 46
CHART_STYLE = """
.charts{display:flex;flex-wrap:wrap;gap:1.2rem;margin:1rem 0}figure{margin:0}figcaption{color:var(--soft);
font-size:.85rem}svg{display:block}svg text{fill:var(--soft);font-size:11px}.frame{fill:none;stroke:var(--line)}
.chance{stroke:var(--soft);stroke-dasharray:3 3}.curve{fill:none;stroke:var(--mark);stroke-width:2}
.point{fill:var(--mark)}.at{fill:var(--warn)}
"""
_LEAST_DOT, _MOST_DOT = 2.0, 9.0


def charts(task: TaskResult) -> str:
    """Return the ROC, the precision–recall curve and the calibration plot; the threshold is marked."""
    # At full recall precision is the share, by weight as the curve is.
    share = task.precision_recall.y[-1]
    figures = {name: found.value for name, found in task.figures.items()}
    at_roc, at_recall = (figures["false_alarms"], figures["recall"]), (figures["recall"], figures["precision"])
    most = max(one.rows for one in task.reliability)
    dots = [
        (one.probability, one.share, max(_LEAST_DOT, _MOST_DOT * (one.rows / most) ** 0.5)) for one in task.reliability
    ]
    return (
        "<div class=charts>"
        + _chart("ROC", "false alarms", "recall", (0, 0, 1, 1), task.roc.x, task.roc.y, at_roc)
        + _chart(
            "Precision and recall",
            "recall",
            "precision",
            (0, share, 1, share),
            task.precision_recall.x,
            task.precision_recall.y,
            at_recall,
        )
        + _chart("Calibration", "probability", "share with it", (0, 0, 1, 1), (), (), (None, None), dots)
        + "</div>"
    )


def _chart(
    title: str,
    across: str,
    up: str,
    line: tuple[float, float, float, float],
    x: Sequence[float],
    y: Sequence[float],
    at: tuple[float | None, float | None],
    dots: Sequence[tuple[float, float, float]] = (),
) -> str:
    left, top, right, bottom = ROOM, 8, ROOM + SIDE, 8 + SIDE
    parts = [
        f"<rect class=frame x={left} y={top} width={SIDE} height={SIDE} />",
        f"<line class=chance x1={_x(line[0])} y1={_y(line[1])} x2={_x(line[2])} y2={_y(line[3])} />",
    ]
    for tick in (0.0, 0.5, 1.0):
        parts.append(f"<text x={_x(tick)} y={bottom + 15} text-anchor=middle>{tick:g}</text>")
        parts.append(f"<text x={left - 6} y={_y(tick) + 4} text-anchor=end>{tick:g}</text>")
    parts.append(f"<text x={(left + right) / 2} y={bottom + 32} text-anchor=middle>{across}</text>")
    middle = (top + bottom) / 2
    parts.append(f"<text transform='translate(12 {middle}) rotate(-90)' text-anchor=middle>{up}</text>")
    if len(x):
        points = " ".join(f"{_x(one)},{_y(other)}" for one, other in zip(x, y, strict=True))
        parts.append(f"<polyline class=curve points='{points}' />")
    parts += [f"<circle class=point cx={_x(one)} cy={_y(other)} r={size:.1f} />" for one, other, size in dots]
    if at[0] is not None and at[1] is not None:
        parts.append(f"<circle class=at cx={_x(at[0])} cy={_y(at[1])} r=4.5><title>at the threshold</title></circle>")
    width, height = right + 14, bottom + 40
    return (
        f"<figure><figcaption>{title}</figcaption><svg width={width} height={height} viewBox='0 0 {width} {height}' "
        f"role=img aria-label='{title}'>{''.join(parts)}</svg></figure>"
    )


def _x(value: float) -> float:
    return round(ROOM + SIDE * value, 1)


def _y(value: float) -> float:
    return round(8 + SIDE * (1.0 - value), 1)

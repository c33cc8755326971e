"""Quality against cost as a small SVG, for the page: a point a model with its intervals; dominated ones are hollow."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from evalsvc.governance.rubric.dominance import Place
from evalsvc.governance.rubric.values import Measured

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640.0, 320.0, 60.0, 120.0, 16.0, 44.0


def pareto_picture(places: Mapping[str, Place]) -> str:
    """Return an SVG; nothing where no model has both values."""
    shown = {name: place for name, place in places.items() if not place.reason}
    if not shown:
        return ""
    across = _Axis([place.values["cost"] for place in shown.values()], LEFT, WIDTH - RIGHT)
    upward = _Axis([place.values["quality"] for place in shown.values()], HEIGHT - BOTTOM, TOP)
    made = [
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="Quality against cost, a point a model" '
        'fill="currentColor" stroke="currentColor" font-size="12">',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" opacity=".5"/>',
        _label(LEFT, HEIGHT - BOTTOM + 18, f"{across.low:.4g}", "start"),
        _label(WIDTH - RIGHT, HEIGHT - BOTTOM + 18, f"{across.high:.4g}", "end"),
        _label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "cost (left is better)", "middle"),
        _label(LEFT - 6, HEIGHT - BOTTOM, f"{upward.low:.4g}", "end"),
        _label(LEFT - 6, TOP + 10, f"{upward.high:.4g}", "end"),
        _label(LEFT + 6, TOP + 10, "quality (up is better)", "start"),
    ]
    for name, place in shown.items():
        cost, quality = place.values["cost"], place.values["quality"]
        x, y = across(cost.value), upward(quality.value)
        left, right, foot, head = (
            across(cost.low, x),
            across(cost.high, x),
            upward(quality.low, y),
            upward(quality.high, y),
        )
        made.append(f'<path d="M{left} {y}H{right}M{x} {foot}V{head}" fill="none" opacity=".6"/>')
        fill = "none" if place.dominated_by else "currentColor"
        made.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{fill}"/>' + _label(x + 9.0, y - 6.0, name, "start"))
    made.append("</svg><p>Hollow: dominated by another model. Bars are intervals; latency is in the table.</p>")
    return "\n".join(made)


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" stroke="none">{escape(text)}</text>'


class _Axis:
    """From values to places, wide enough for every interval."""

    def __init__(self, found: list[Measured], start: float, end: float) -> None:
        ends = [end for one in found for end in (one.value, one.low, one.high) if end is not None]
        edge = 0.08 * (max(ends) - min(ends)) or abs(max(ends)) * 0.1 or 1.0
        self.low, self.high, self._start, self._end = min(ends) - edge, max(ends) + edge, start, end

    def __call__(self, value: float | None, otherwise: float = 0.0) -> float:
        """Return a value's place, or ``otherwise`` where there is none, as of an interval that is not known."""
        if value is None:
            return otherwise
        part = (value - self.low) / (self.high - self.low)
        return round(self._start + part * (self._end - self._start), 2)

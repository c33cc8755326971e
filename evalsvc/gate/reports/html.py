"""The page of a run: that of its verdict, with the worst cases side by side. It holds texts of cases and answers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evalsvc._plain import visible
from evalsvc.gate.reports.regressions import Regression, heading, word_diff
from evalsvc.verdicts import Verdict
from evalsvc.verdicts import page as verdict_page
from evalsvc.verdicts.words import number


def page(verdict: Verdict, worst: Sequence[Regression] = ()) -> str:
    """Return the page."""
    return verdict_page.page(verdict, worst_cases(worst))


def worst_cases(worst: Sequence[Regression]) -> str:
    """Return the cases that lost most as HTML, with both answers and what differs in them; empty without any."""
    if not worst:
        return ""
    return f"<h2>{heading(worst)}</h2>" + "".join(map(_regression, worst))


def _regression(one: Regression) -> str:
    before, after = [], []
    for piece in word_diff(one.before, one.after):
        text = _escaped(piece.text)
        before += [text if piece.side == "same" else f"<del>{text}</del>"] if piece.side != "after" else []
        after += [text if piece.side == "same" else f"<ins>{text}</ins>"] if piece.side != "before" else []
    reference = f"<p class=soft>reference</p><div class=text>{_escaped(one.reference)}</div>" if one.reference else ""
    return (
        f"<article><p><strong>{_escaped(one.case_id)}</strong>, {_escaped(one.metric)} {number(one.baseline)} → "
        f"{number(one.candidate)}</p><p class=soft>prompt</p><div class=text>{_escaped(one.prompt)}</div>{reference}"
        f"<div class=pair><div><p class=soft>baseline</p><div class=text>{''.join(before)}</div></div>"
        f"<div><p class=soft>candidate</p><div class=text>{''.join(after)}</div></div></div></article>"
    )


def _escaped(text: str) -> str:
    return escape(visible(text, keep="\n\t"))

"""A record as Markdown, as one HTML page that needs nothing else, and as JSON. All texts are escaped."""

from __future__ import annotations

import re
from html import escape
from typing import Any

import msgspec

from evalsvc.governance.rubric.comparison import Comparison
from evalsvc.governance.rubric.picture import pareto_picture
from evalsvc.governance.rubric.record import Part, Report, Table

_LINK = re.compile(r"https?://[^\s<>\"'`|;]+")
_STYLE = """:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;
padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}.wide{overflow-x:auto}table{border-collapse:
collapse;font-size:.88rem}th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid
#8886}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}svg{max-width:44rem;width:100%}"""


def markdown(report: Report) -> str:
    """Return the record as Markdown, which ends without a line break."""
    lines = [f"# {_plain(report.choice.title)}", ""]
    for part in report.parts:
        lines += [f"## {_plain(part.title)}", ""]
        for sentence in part.sentences:
            lines += [_plain(sentence), ""]
        if part.points:
            lines += [*(f"- {_plain(point)}" for point in part.points), ""]
        if part.table is not None:
            lines += [*_markdown_table(part.table), ""]
    return "\n".join(lines).rstrip()


def _markdown_table(table: Table) -> list[str]:
    columns = columns_of(table)
    ends = ["---:" if name in table.right else "---" for name in columns]
    rows = [[row.get(name, "") for name in columns] for row in table.rows]
    cells = [columns, *rows]
    made = ["| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in row) + " |" for row in cells]
    return [made[0], "|" + "|".join(ends) + "|", *made[1:]]


def columns_of(table: Table) -> list[str]:
    """Return the columns' names in the order in which they first come."""
    return list(dict.fromkeys(name for row in table.rows for name in row))


def _plain(text: str) -> str:
    """Return a text as one line that Markdown shows as it is, code in backticks and links apart."""
    line = " ".join(text.split())
    line = line.replace("\\", "\\\\").replace("<", "&lt;")
    return re.sub(r"([*\[\]#])", r"\\\1", line)


def html(report: Report) -> str:
    """Return the record as one page: no script, no picture or font from elsewhere."""
    title = escape(report.choice.title)
    body = "\n".join(_html_part(part, report) for part in report.parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>"
    )


def _html_part(part: Part, report: Report) -> str:
    made = [f"<h2>{escape(part.title)}</h2>", *(f"<p>{_linked(sentence)}</p>" for sentence in part.sentences)]
    if part.title == "Quality, cost and latency":
        made.append(pareto_picture(report.places))
    if part.points:
        made.append("<ul>" + "".join(f"<li>{_linked(point)}</li>" for point in part.points) + "</ul>")
    if part.table is not None:
        columns = columns_of(part.table)
        marks = {name: ' class="n"' if name in part.table.right else "" for name in columns}
        head = "".join(f"<th{marks[name]}>{escape(name)}</th>" for name in columns)
        rows = "\n".join(
            "<tr>" + "".join(f"<td{marks[name]}>{_linked(row.get(name, ''))}</td>" for name in columns) + "</tr>"
            for row in part.table.rows
        )
        made.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>')
    return "\n".join(made)


def _linked(text: str) -> str:
    """Return escaped text in which http and https addresses lead there."""
    made, at = [], 0
    for link in _LINK.finditer(text):
        made.append(escape(text[at : link.start()]))
        made.append(f'<a href="{escape(link[0])}" rel="noreferrer">{escape(link[0])}</a>')
        at = link.end()
    return "".join([*made, escape(text[at:])])


def as_json(report: Report) -> dict[str, Any]:
    """Return everything that the record was made of as values that JSON has."""
    choice, found = report.choice, report.robustness
    made: dict[str, Any] = msgspec.to_builtins(
        {
            "rubric": choice.title,
            "date": choice.at,
            "confidence": choice.confidence,
            "weighting": choice.rubric.weighting,
            "shares": choice.rubric.shares,
            "categories": choice.rubric.category_shares,
            **_compared(report.comparison),
            "scores": {
                model: {
                    name: {
                        "kind": score.kind,
                        "value": score.value,
                        "low": score.low,
                        "high": score.high,
                        "from": score.said,
                        "reason": score.reason,
                        "evidence": score.evidence,
                    }
                    for name, score in scores.items()
                }
                for model, scores in report.sheet.scores.items()
            },
            "agreement": report.sheet.agreement,
            "pareto": {name: place._asdict() for name, place in report.places.items()},
            "robustness": found,
            "decision": None if choice.decision is None else choice.decision._asdict(),
        }
    )
    made["robustness"]["changes"] = [change._asdict() for change in found.changes]
    return made


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        **comparison.standing._asdict(),
        "totals": comparison.totals,
        "differences": [each._asdict() for each in comparison.differences],
    }

"""The command ``rubric``: models compared by a rubric, as tables, JSON, a Markdown record or an HTML page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from evalsvc._cli_output import aligned
from evalsvc.cli import OK
from evalsvc.governance.rubric import load_choice, report
from evalsvc.governance.rubric.record import Part
from evalsvc.governance.rubric.rendering import as_json, html, markdown


def rubric(options: argparse.Namespace) -> int:
    """Print a comparison of models."""
    made = report(load_choice(Path(options.file)), seed=options.seed)
    if options.format == "json":
        print(json.dumps(as_json(made), ensure_ascii=False, allow_nan=False))
    elif options.format == "markdown":
        print(markdown(made))
    elif options.format == "html":
        print(html(made))
    else:
        print("\n\n".join(map(_text, made.parts)))
    return OK


def _text(part: Part) -> str:
    lines = [f"{part.title}:", *part.sentences, *(f"- {point}" for point in part.points)]
    if part.table is not None:
        lines.append(aligned(part.table.rows, part.table.right))
    return "\n".join(lines)

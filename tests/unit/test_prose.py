"""Prose with the signs of code stays prose, and code is not read as prose: on real texts, with measured shares."""

from __future__ import annotations

import ast
import gzip
import json
import re
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import evalsvc
from evalsvc.scorers._prose import looks_like_code, prose

PACKAGE = Path(evalsvc.__file__).parent

# The share of letters that the rules before these took for code, of the same texts (of presidio's templates: 18 %).
PROSE = {
    "traffic/bitext_customer_support": 0.002,
    "quality/summeval": 0.007,
    "quality/usr_topicalchat": 0.002,
    "quality/wmt_mqm_ted": 0.0005,
    "faithfulness/ragtruth_qa_test": 0.001,
    "safety/hatecheck": 0.002,
    "privacy/presidio_synthetic_pii": 0.02,
    "fairness/honest_templates": 0.001,
    "safety/davidson_hate": 0.05,
}


def texts(node: object) -> list[str]:
    """Return every string of a row that has several words."""
    if isinstance(node, str):
        return [re.sub("</?v>", "", node)] if len(node.split()) > 3 else []
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for child in inner for text in texts(child)]


def rows(path: Path, count: int) -> list[object]:
    with gzip.open(path / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count), strict=False)]


def kept(given: Sequence[str]) -> float:
    """Return the share of the letters that are left."""
    total = sum(map(_letters, given))
    return sum(_letters(prose(text)) for text in given) / total


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


@pytest.mark.parametrize("name", PROSE)
def test_real_prose_is_not_taken_for_code(name: str, shared_data: Path) -> None:
    given = [text for row in rows(shared_data / name, 400) for text in texts(row)]
    lost = 1 - kept(given)
    assert len(given) >= 200
    assert lost <= PROSE[name], f"{name}: {lost:.3%} of the letters of {len(given)} texts were taken for code"


class _NoDocstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0] = ast.Pass()
        return node


def python() -> list[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse", "bdb", "calendar", "csv", "difflib", "enum", "fractions", "ftplib", "gzip", "heapq", "tarfile")
    trees = [ast.parse((library / f"{name}.py").read_text(encoding="utf-8")) for name in names]
    return [ast.unparse(_NoDocstrings().visit(tree)) for tree in trees]


def json_texts() -> list[str]:
    schema = json.loads((PACKAGE / "sources/schema/event-v1.schema.json").read_text(encoding="utf-8"))
    bare = json.loads(
        json.dumps(schema), object_hook=lambda node: {k: v for k, v in node.items() if k != "description"}
    )
    return [json.dumps(bare, indent=2), json.dumps(bare)]


def sql() -> list[str]:
    files = sorted((PACKAGE / "store/migrations").glob("*.sql"))
    return [re.sub(r"--[^\n]*", "", file.read_text(encoding="utf-8")) for file in files]


HTML = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><link rel="stylesheet" href="/style.css">
<style>
  .page { margin: 0 auto; }
  h1, .title { font-size: 2rem; color: #333; }
</style>
<script>
  const button = document.querySelector("#send");
  button.addEventListener("click", () => { fetch("/api/v1/orders", {method: "POST"}); });
</script>
</head>
<body class="page"><div id="root"><input type="text" name="query"></div>
</body></html>"""
SHELL = """#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=src
if [ -z "${TOKEN:-}" ]; then
  echo "TOKEN is not set" >&2
  exit 1
fi
for file in build/*.whl; do
  pip install --quiet "$file"
done
curl -fsSL https://example.com/install.sh | sh -s -- --yes
docker run --rm -p 8080:80 -v "$PWD:/data" nginx:latest
git checkout -b feature/one
sudo apt-get install -y build-essential
tar -xzf archive.tar.gz -C /opt"""
CODE = {
    "python": (python, 0.08),
    "json": (json_texts, 0.05),
    "sql": (sql, 0.12),
    "html": (lambda: [HTML], 0.12),
    "shell": (lambda: [SHELL], 0.12),
}


@pytest.mark.parametrize("language", CODE)
def test_code_without_a_fence_is_not_taken_for_prose(language: str) -> None:
    """The rules before these kept half of the letters of Python and four fifths of those of SQL and JSON."""
    make, most = CODE[language]
    share = kept(make())
    assert share <= most, f"{language}: {share:.2%} of the letters were kept as prose"


@pytest.mark.parametrize(
    "line",
    [
        "Dear [Name], thank you for your order {{Order Number}}.",
        "[IDENTITY_P] should [verb] me.",
        "We found an effect (p = 0.7, n = 12), as in [3] and [4].",
        "Nucleus Decoding (p = 0.7)",
        "**Note:** *all* prices include VAT (20 %) [see below]",
        "### Our opening hours",
        "* Catfish",
        "&#128514;&#128514; RT @someone: that was good #lol",
        "FROM BUSINESSMAN TO POLITICIAN",
        "WHERE WAS THE MOVIE FILMED ?",
        "UPDATE: the parcel has arrived",
        "Select the item(s) and/or the size; then pay (in $ or €);",
        "Oh, right. Hypocrite.",
        'This is the essence of "Programs as Data": we can change them.',
        "... but now they live there together.",
        "Happiness = being with friends",
        "return the parcel to us",
        "for example, with a friend",
    ],
)
def test_prose_with_the_signs_of_code(line: str) -> None:
    assert not looks_like_code(line)
    assert _letters(prose(line)) > 0.8 * _letters(line.replace("@someone", ""))


def test_values_of_json_that_are_sentences_are_prose_and_its_keys_are_not() -> None:
    text = '{"answer": "Your parcel is on its way to you.", "confidence": 0.9, "sources": ["a1"]}'
    assert "Your parcel is on its way" in prose(text)
    assert "confidence" not in prose(text)
    assert prose('{\n  "name": "bleu",\n  "version": 1\n}') == ""


def test_a_short_line_between_lines_of_code_is_code() -> None:
    assert prose("x = f(y)\nresult other\ny = g(x)\nThis is prose, and it stays.") == "This is prose, and it stays."


@pytest.mark.parametrize(
    "piece", ['"a" ', "* a", "[a", "_a", "(a ", "x, ", "a.b", "a =", '{"', "> ", "if ", "-a", "/a"]
)
def test_long_lines_take_linear_time(piece: str) -> None:
    text = (piece * 200_000)[:200_000]
    began = time.process_time()
    prose(text)
    assert time.process_time() - began < 2.0

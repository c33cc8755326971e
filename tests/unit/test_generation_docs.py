"""The guide to the model under test shows models that can be read, and names every option and its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalsvc._yaml import Document
from evalsvc.generation import Answer, read_model

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "model-under-test.md"
KNOWN = re.compile(r"unknown key `\w+` in `model` \(known: ([^)]*)\)")

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the page is the checkout's")


def problems(text: str, folder: Path) -> list[str]:
    document = Document("x.suite.yaml", text.encode())
    assert document.root is not None
    value = document.root.need("model")
    assert value is not None
    read_model(value, folder)
    return [str(problem) for problem in document.finish()]


def test_every_example_is_read(tmp_path):
    for name in ("answers.jsonl", "bot.py"):
        (tmp_path / name).write_text("")
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 5
    for example in examples:
        told = [line for line in problems(example, tmp_path) if "unknown key `limits`" not in line]
        assert [line for line in told if "unknown key `budget`" not in line] == []


def test_every_option_is_in_the_page(tmp_path):
    kinds = ("endpoint: http://h/v1, model: m", "callable: 'a:b'", "command: [ls]", "transformers: a", "recorded: a")
    page = PAGE.read_text()
    for kind in kinds:
        (told,) = [line for line in problems(f"model: {{{kind}, zzzzzz: 1}}", tmp_path) if "zzzzzz" in line]
        found = KNOWN.search(told)
        assert found is not None
        missing = [key for key in found[1].split(", ") if f"`{key}`" not in page]
        assert missing == []


def test_every_field_of_an_answer_is_in_the_page():
    assert [name for name in Answer.__struct_fields__ if f"`{name}`" not in PAGE.read_text()] == []

"""Links in the documentation lead somewhere, and the examples in the guides keep the contract that they explain."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evalsvc._cli_scorers import look
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Abstained, Scored

ROOT = Path(__file__).parents[2]
CHECKOUT = (ROOT / "evalsvc").is_dir()
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.skipif(not CHECKOUT, reason="pages link to the checkout, and the installed wheel is under test")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.skipif(not CHECKOUT, reason="pages link to the checkout, and the installed wheel is under test")
def test_the_guides_scorer_keeps_the_contract() -> None:
    code = CODE.findall((ROOT / "docs" / "how-to" / "extend.md").read_text())[0]
    space: dict[str, type] = {}
    exec(code, space)  # noqa: S102 - our own page
    check_scorer(space["Exclamations"]())


@pytest.mark.skipif(not CHECKOUT, reason="pages link to the checkout, and the installed wheel is under test")
def test_the_own_scorer_of_the_guide_keeps_the_contract_and_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, check, *_ = CODE.findall((ROOT / "docs" / "how-to" / "own-scorer.md").read_text())
    (tmp_path / "evalsvc_guide_scorer.py").write_text(scorer + check)
    monkeypatch.syspath_prepend(tmp_path)
    guide = importlib.import_module("evalsvc_guide_scorer")
    guide.test_open_question()
    assert guide.OpenQuestion().score([make_sample(response=text) for text in ("Why? ", "So.", " ")]) == [
        Scored(1.0, {"at": 3}),
        0.0,
        Abstained("empty response"),
    ]
    listed = look("evalsvc_guide_scorer:OpenQuestion")
    assert (listed.here, listed.cost, listed.spec and listed.spec.metric) == ("yes", "characters", "open_question")


@pytest.mark.skipif(not CHECKOUT, reason="pages link to the checkout, and the installed wheel is under test")
def test_the_recipe_for_a_judges_cost_reads_the_embedded_store(tmp_path: Path) -> None:
    """In a process of its own: an embedded store stays with the process that opened it."""
    (recipe,) = [code for code in CODE.findall((ROOT / "docs" / "how-to" / "judges.md").read_text()) if "SQL" in code]
    write = """
from msgspec.structs import replace
from evalsvc.store import open_store
from evalsvc.testing.stores import make_score
from evalsvc.types import WriteBatch

detail = '{"cost_usd":0.25,"input_tokens":1000,"output_tokens":34,"calls":1}'
judged = [replace(make_score(index, metric="judge"), detail=detail) for index in range(3)]
store = open_store("embedded:.evalsvc/store", create=True)
for batch in (judged, judged[:1], [make_score(5), make_score(6, None, "judge", "failed")]):
    store.write(WriteBatch(scores=tuple(batch)))
store.close()
"""
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    for code in (write, recipe):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout == "2026-03-29 judge: 0.7500 USD, 3,102 tokens\n"

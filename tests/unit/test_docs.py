"""Links in the documentation lead somewhere, and the examples in the guides keep the contract that they explain."""

from __future__ import annotations

import importlib
import re
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

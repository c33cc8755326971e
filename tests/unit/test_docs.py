"""Links in the documentation lead somewhere, and the example in the guide keeps the contract that it explains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalsvc.testing import check_scorer

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

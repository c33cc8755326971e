"""Every scorer has a page with the same seven headings, and its scale, direction and version are those of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from evalsvc.errors import EvalsvcError
from evalsvc.scorers import KNOWN, create
from evalsvc.types import Scale

PAGES = Path(__file__).parents[2] / "docs" / "reference" / "scorers"
HEADINGS = (
    "Definition",
    "Formula",
    "Range and direction",
    "Needs, and when it abstains",
    "Cost",
    "Source",
    "When not to use it",
)
_RANGE = re.compile(r"^Scale (?P<low>\S*?) ?… ?(?P<high>[-−+]?(?:\d[\d.]*(?<!\.)|∞))?(?=[,;\s])", re.MULTILINE)
_BETTER = re.compile(r"\b(higher|lower|neither)(?: direction)? is better")
_VERSION = re.compile(r"\bversion (\d+)\b")

pytestmark = pytest.mark.skipif(not PAGES.is_dir(), reason="pages stand in the checkout, and the wheel is under test")


class Said(NamedTuple):
    """What a page says of its scorer."""

    low: float | None
    high: float | None
    better: str
    version: int


def sections(page: str) -> dict[str, str]:
    """Return the text under each second-level heading, in order."""
    _, *parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return {heading.strip(): text.strip() for heading, text in zip(parts[::2], parts[1::2], strict=True)}


def end(text: str | None) -> float | None:
    """Return an end of a scale; open ones are left out or infinite."""
    plain = (text or "").replace("−", "-").strip("*`")
    return None if plain.strip("+-") in ("", "∞") else float(plain)


def said(text: str) -> Said:
    """Return scale, direction and version as the section on them states them."""
    reach, better, version = _RANGE.search(text), _BETTER.search(text), _VERSION.search(text)
    assert reach, "Expected a line as `Scale 0 … 1, higher is better; version 1.`"
    assert better, "Expected `higher is better`, `lower is better` or `neither direction is better`"
    assert version, "Expected `version N`"
    return Said(end(reach["low"]), end(reach["high"]), better[1], int(version[1]))


def test_headings_are_told_apart() -> None:
    assert list(sections("# a: b\n\n## One\nx\n### Not this\n\n## Two\ny\n")) == ["One", "Two"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Scale 0 … 1, higher is better; version 1.", Said(0.0, 1.0, "higher", 1)),
        ("Scale −1 … 1, lower is better; version 2.", Said(-1.0, 1.0, "lower", 2)),
        ("Scale 0 …, ms, lower is better; version 1.", Said(0.0, None, "lower", 1)),
        ("Scale 1 … ∞, lower is better; version 12.", Said(1.0, None, "lower", 12)),
        ("Scale -∞ … 0, nats, higher is better; version 1.", Said(None, 0.0, "higher", 1)),
        ("Scale … 0.5, neither direction is better; version 1.", Said(None, 0.5, "neither", 1)),
    ],
)
def test_what_a_page_says_is_read(text: str, expected: Said) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text", ["From 0 to 1, higher is better; version 1.", "Scale 0 … 1; version 1.", "Scale 0 … 1."]
)
def test_a_page_that_leaves_something_out_is_found(text: str) -> None:
    with pytest.raises(AssertionError, match="Expected"):
        said(text)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_scorers_page(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert re.match(rf"# {name}: \S.*\n", page), f"Expected the first line `# {name}: short name`"
    found = sections(page)
    assert tuple(found) == HEADINGS
    assert all(found.values()), "Expected text under every heading"
    try:
        spec = create(name).spec
    except EvalsvcError:
        return  # it needs an option or a package: nothing to compare with here
    scale: Scale = spec.scale
    assert said(found["Range and direction"]) == Said(scale.low, scale.high, scale.better, spec.version)


def test_every_page_is_of_a_scorer() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - set(KNOWN) <= {"chrf_plus_plus"}


def options_of(name: str) -> list[str]:
    """Return what a consumer can set."""
    parameters = inspect.signature(KNOWN[name] if isinstance(KNOWN[name], type) else type(create(name))).parameters
    return [option for option in parameters if option != "tool"]


@pytest.mark.parametrize(
    "name",
    ["coherence", "relevance", "prompt_language", "response_embedding", "readability", "tokens_per_second", "ter"],
)
def test_every_option_is_on_the_page(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert [option for option in options_of(name) if f"`{option}`" not in page and f"`{option}:" not in page] == []

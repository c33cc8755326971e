"""constraints.txt pins what pyproject.toml asks for, and says nothing about where packages come from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {
    canonicalize_name(line.name): line
    for line in map(Requirement, LINES)
    if line.marker is None or line.marker.evaluate()
}
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [
    Requirement(text) for text in [*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)]
]


@pytest.mark.parametrize("wanted", [one for one in WANTED if one.name != PROJECT["name"]], ids=str)
def test_every_requirement_has_a_pin_that_satisfies_it(wanted):
    pin = PINS[canonicalize_name(wanted.name)]
    (exact,) = pin.specifier
    assert wanted.specifier.contains(exact.version, prereleases=True), f"{wanted} against {pin}: run scripts/lock"


def test_every_line_is_one_exact_pin():
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ;]+( ; .+)?", line) for line in LINES)
    # A name may stand twice, for two versions of Python, whose markers then exclude each other.
    pinned = [(canonicalize_name(line.name), str(line.marker)) for line in map(Requirement, LINES)]
    assert len(set(pinned)) == len(pinned)
    here = [line.name for line in map(Requirement, LINES) if line.marker is None or line.marker.evaluate()]
    assert len(set(here)) == len(here)


def test_the_extra_named_all_holds_every_extra_but_the_developers():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == set(EXTRAS) - {"all", "dev"}

"""An audit of 10,000 cases beside 2,000 of production takes less than a minute of one core, and no model."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from evalsvc.cases import Case, CaseSet
from evalsvc.set_audit import audit

BUDGET_SECONDS = 60.0
WORDS = 20_000
pytestmark = pytest.mark.slow


def made(name: str, size: int, seed: int) -> CaseSet:
    """Cases of 10 to 90 made-up words under one instruction, three to a group."""
    generator = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(generator.choice(letters, generator.integers(3, 10))) for _ in range(WORDS)])
    return CaseSet(
        name,
        tuple(
            Case(
                case_id=f"{name}-{number}",
                prompt="Answer briefly: " + " ".join(generator.choice(words, generator.integers(10, 90))),
                reference=str(number),
                segments={"language": "en" if number % 3 else "de"},
                group=f"{name}-{number // 3}",
            )
            for number in range(size)
        ),
    )


def test_ten_thousand_cases_take_less_than_a_minute() -> None:
    cases, traffic = made("set", 10_000, 1), made("traffic", 2_000, 2)
    had_torch, before = "torch" in sys.modules, time.process_time()
    found = audit([cases], traffic=traffic.cases)
    seconds = time.process_time() - before
    print(f"{seconds:.1f} s of processor time")
    assert len(found.findings) > 30
    assert seconds < BUDGET_SECONDS
    assert ("torch" in sys.modules) == had_torch

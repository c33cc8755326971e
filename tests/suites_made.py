"""Suites made in a test: cases, a model that counts its requests, and a project's folder around them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from evalsvc.cli import main
from evalsvc.generation import Answer, Request

WORDS = ["parcel", "order", "refund", "invoice", "delivery", "warranty", "account", "payment"]


class CountingModel:
    """Answers with the reference, of which a share of words is wrong; counts what it was asked."""

    model = "counting"
    cacheable = True
    recorded = False

    def __init__(self, wrong: float = 0.2, version: str = "1", seed: int = 0) -> None:
        self.wrong, self.model_version, self.seed = wrong, version, seed
        self.asked: list[tuple[str, int]] = []
        self.loaded = 0

    @property
    def signature(self) -> str:
        return f"counting:{self.model_version}|wrong:{self.wrong}"

    def load(self) -> None:
        self.loaded += 1

    def seen(self, case: object) -> str:
        return ""

    def estimate_usd(self, request: Request) -> float:
        return 0.001

    def generate(self, request: Request) -> Answer:
        self.asked.append((request.case.case_id, request.repeat))
        rng = random.Random(f"{self.seed} {request.case.case_id} {request.repeat}")
        right = (request.case.reference or "").split()
        words = [rng.choice(WORDS) if rng.random() < self.wrong else word for word in right]
        return Answer(response=" ".join(words), latency_ms=100 + 50 * rng.random(), cost_usd=0.001)


def write_project(folder: Path, count: int = 120, *, extra: str = "", gates: str = "") -> Path:
    """Write a project with one suite of ``count`` cases, two of a group; return the suite's path."""
    rng = random.Random(5)
    (folder / "pyproject.toml").write_text("[tool.evalsvc]\n")
    suite = folder / "suites" / "made"
    suite.mkdir(parents=True)
    lines = []
    for place in range(count):
        reference = " ".join(rng.choice(WORDS) for _ in range(12))
        case = {
            "case_id": f"c{place}",
            "prompt": f"question {place}",
            "reference": reference,
            "segments": {"plan": "ab"[place % 2]},
            "group": f"g{place // 2}",
            "critical": place % 10 == 0,
        }
        lines.append(json.dumps(case))
    (suite / "cases.jsonl").write_text("\n".join(lines) + "\n")
    (suite / "answers.jsonl").write_text(json.dumps({"case_id": "c0", "response": "x"}) + "\n")
    gates = gates or (
        "  - {metric: token_f1, not_worse_by: 0.05}\n"
        "  - {metric: token_f1, not_worse_by: 0.2, by: segments.plan}\n"
        "  - {metric: token_f1, critical: true, at_least: 0.2}\n"
        "  - {metric: latency_ms, statistic: p95, at_most: 200}\n"
    )
    path = suite / "made.suite.yaml"
    path.write_text(
        f"cases: cases.jsonl\nmodel: {{recorded: answers.jsonl}}\nbaseline: main\nseed: 3\n{extra}"
        f"scorers: [token_f1, bleu, latency_ms, cost_usd]\ngates:\n{gates}"
    )
    return path


class Project:
    """A project with a suite and recorded answers, of which some are replaced."""

    def __init__(self, folder: Path, gates: str, count: int = 60) -> None:
        folder.mkdir(exist_ok=True)
        self.path = write_project(folder, count, gates=gates)
        self.cases = [json.loads(line) for line in (self.path.parent / "cases.jsonl").read_text().splitlines()]

    def answer(self, by: Callable[[int], dict[str, object] | None] = lambda place: {}) -> None:
        lines = []
        for place, case in enumerate(self.cases):
            if (fields := by(place)) is not None:
                lines.append({"case_id": case["case_id"], "response": case["reference"], "latency_ms": 10} | fields)
        (self.path.parent / "answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def gate(self, *options: str) -> int:
        return main(["gate", str(self.path), *options])


def parsed(path: str) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()  # noqa: S314 - our own

"""What a large suite costs: 10,000 cases × 10 local metrics from recorded answers, from the cache, and after a kill.

Run: ``python benchmarks/suites.py [--quick]``. Each run is a process of its own, as in a CI; the killed one is started
again, and asks a command that counts how often it was asked.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _harness import Aim, Row, machine, table

METRICS = (
    "bleu",
    "chrf",
    "rouge_1",
    "rouge_2",
    "rouge_l",
    "token_f1",
    "exact_match",
    "edit_similarity",
    "rouge_lsum",
    "latency_ms",
)
WORDS = tuple(
    f"{first}{second}"
    for first in ("or", "de", "re", "pa", "wo", "da")
    for second in ("der", "liv", "fund", "cel", "king")
)
COUNTER = """
import json, os, sys, time
case = json.load(sys.stdin)
time.sleep(0.02)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "asked.txt"), "a") as file:
    file.write(case["case_id"] + "\\n")
print("answer to " + case["case_id"])
"""


def write_suite(folder: Path, count: int) -> Path:
    """Write cases, two versions' answers and a suite with a gate for each metric."""
    rng = random.Random(7)
    lines = {name: [] for name in ("cases", "old", "new")}  # type: dict[str, list[str]]
    for place in range(count):
        reference = [rng.choice(WORDS) for _ in range(60)]
        case = {"case_id": f"c{place}", "prompt": f"question {place}", "reference": " ".join(reference)}
        lines["cases"].append(json.dumps({**case, "group": f"g{place // 4}", "segments": {"plan": "ab"[place % 2]}}))
        for name in ("old", "new"):
            words = [word if rng.random() < 0.8 else rng.choice(WORDS) for word in reference]
            answer = {"case_id": f"c{place}", "response": " ".join(words), "latency_ms": rng.lognormvariate(6, 0.4)}
            lines[name].append(json.dumps(answer))
    for name, rows in lines.items():
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    gates = [f"  - {{metric: {metric}, not_worse_by: 5%}}" for metric in METRICS]
    path = folder / "large.suite.yaml"
    head = f"cases: cases.jsonl\nmodel: {{recorded: new.jsonl}}\nbaseline: old\nscorers: [{', '.join(METRICS)}]\n"
    path.write_text(head + "gates:\n" + "\n".join(gates) + "\n")
    return path


def evalsvc(folder: Path, *arguments: str) -> float:
    """Return the seconds of a command; it must end with a verdict or with 0."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "evalsvc", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1, 3):
        raise RuntimeError(f"evalsvc {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return time.perf_counter() - began


def asked_twice(folder: Path, count: int) -> tuple[int, int]:
    """Kill a run in its midst, run it again, and return how many requests there were of how many cases."""
    (folder / "ask.py").write_text(COUNTER)
    # No argument of the command: what a file that it names holds is part of the model's signature.
    log = folder / "asked.txt"
    suite = folder / "asked.suite.yaml"
    suite.write_text(
        f"cases: few.jsonl\nmodel: {{command: [{sys.executable}, {folder / 'ask.py'}], version: '1'}}\n"
        "scorers: [refusal]\ngates:\n  - {metric: refusal, at_most: 0.5}\n"
    )
    rows = (folder / "cases.jsonl").read_text().splitlines()[:count]
    (folder / "few.jsonl").write_text("\n".join(rows) + "\n")
    first = subprocess.Popen(
        [sys.executable, "-m", "evalsvc", "gate", suite.name],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not log.exists() or len(log.read_text().splitlines()) < count // 3:
        time.sleep(0.02)
    first.kill()
    first.wait()
    time.sleep(1.0)
    evalsvc(folder, "gate", suite.name)
    return len(log.read_text().splitlines()), count


def run(quick: bool) -> list[Row]:
    """Measure."""
    count = 1_000 if quick else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = write_suite(folder, count).name
        evalsvc(folder, "baseline", "promote", suite, "--answers", "old.jsonl", "--because", "it is the first")
        first = evalsvc(folder, "gate", suite)
        again = sorted(evalsvc(folder, "gate", suite) for _ in range(3))[1]
        asked, wanted = asked_twice(folder, 60)
    what = f"{count:,} cases × {len(METRICS)} metrics"
    return [
        Row("suites", f"{what}, scored and gated", first, "s", aim=Aim("value", "≤", 60.0)),
        Row("suites", f"{what}, from the cache", again, "s", aim=Aim("value", "≤", 3.0)),
        Row("suites", "requests of a run killed and resumed, of each case", asked / wanted, "requests"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 cases")
    options = parser.parse_args()
    print(machine())
    print(table(run(options.quick)))


if __name__ == "__main__":
    main()

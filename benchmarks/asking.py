"""What asking a model under test costs beside the model: the cache's rows, and 10,000 cases from it or from a file.

The cache is measured beside diskcache (which ragas brings along), with the same rows, in turns; all of diskcache's are
written in one transaction.

Run: ``python benchmarks/asking.py [--quick]``.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import tempfile
from pathlib import Path

from _harness import Aim, Paired, Row, machine, median_seconds, paired_seconds, table
from evalsvc.cases.values import Case
from evalsvc.disk_cache import DiskCache
from evalsvc.generation import Answer, Asker, CallableModel, RecordedAnswers, write_answers

VALUE = b'{"status":"ok","response":"Within 14 days.","latency_ms":812.5}'


def cache_rows(folder: Path, count: int, rounds: int) -> list[Row]:
    """Write small rows into new files, and read them by their keys."""
    peer = importlib.import_module("diskcache")
    items = {f"{number:032x}": VALUE for number in range(count)}
    keys, names = list(items), itertools.count()

    def write() -> DiskCache:
        with DiskCache.open(folder / f"ours-{next(names)}.sqlite") as cache:
            cache.put_many("answer", items)
        return cache

    def write_peer() -> Path:
        path = folder / f"peer-{next(names)}"
        with peer.Cache(str(path), size_limit=1 << 34) as cache, cache.transact():
            for key, value in items.items():
                cache.set(key, value)
        return path

    written = paired_seconds(write, write_peer, rounds, warmup=0)
    with DiskCache.open(write().path) as ours, peer.Cache(str(write_peer())) as theirs:
        found = len(ours.get_many("answer", keys)), sum(theirs.get(key) == VALUE for key in keys)
        if found != (count, count):
            raise RuntimeError(f"Expected {count} rows in both, but got {found}")
        read = paired_seconds(
            lambda: ours.get_many("answer", keys), lambda: [theirs.get(key) for key in keys], rounds, warmup=0
        )
    return [
        _row(f"{count:,} rows written", written, Aim("value", "≤", 1.5)),
        _row(f"{count:,} rows read by key", read, Aim("value", "≤", 0.5)),
    ]


def run_rows(folder: Path, count: int, rounds: int) -> list[Row]:
    """Ask for as many cases as a large suite has: of a file, of a function, and again of the cache."""
    cases = [
        Case(case_id=f"case-{number}", prompt=f"Question {number}? " * 20, contexts=("A source. " * 40,))
        for number in range(count)
    ]
    write_answers(folder / "answers.jsonl", cases, [Answer(response="An answer. " * 20)] * count)
    recorded = median_seconds(lambda: Asker(RecordedAnswers(folder / "answers.jsonl")).ask(cases), rounds)
    names = itertools.count()

    def asked() -> Path:
        path = folder / f"asked-{next(names)}.sqlite"
        with DiskCache.open(path) as cache:
            Asker(CallableModel("textwrap:dedent"), cache).ask(cases)
        return path

    first, kept = median_seconds(asked, rounds, warmup=0), asked()
    with DiskCache.open(kept) as cache:
        again = median_seconds(lambda: Asker(CallableModel("textwrap:dedent"), cache).ask(cases), rounds)
    return [
        Row("asking", f"{count:,} cases, recorded answers", recorded, "s"),
        Row("asking", f"{count:,} cases, a function that costs nothing", first, "s"),
        Row("asking", f"{count:,} cases, kept answers", again, "s", aim=Aim("value", "≤", 3.0)),
    ]


def run(quick: bool) -> list[Row]:
    """Measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rounds = 1 if quick else 5
        return [
            *cache_rows(folder, 10_000 if quick else 100_000, rounds),
            *run_rows(folder, 1_000 if quick else 10_000, rounds),
        ]


def _row(what: str, paired: Paired, aim: Aim) -> Row:
    return Row("asking", what, paired.seconds, "s", "diskcache", paired.peer_seconds, paired.ratio, aim)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and one round")
    options = parser.parse_args()
    print(machine())
    print(table(run(options.quick)))


if __name__ == "__main__":
    main()

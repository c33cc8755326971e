"""BLEU, chrF, TER and ROUGE against sacrebleu and rouge-score: on how many real pairs the values are equal.

20,000 pairs of a model's output and a reference, drawn with a fixed seed from the sets in ``../shared/data/quality``
(or ``EVALSVC_SHARED_DATA``): summaries, answers, generated descriptions and German subtitles. Equal means the same
floating-point number. The tools compared with take seconds for long texts, so that pairs above a number of
characters, and of what is left all but one in some, are left out; the table says how many.
Run: ``python benchmarks/equality.py [--quick]``; quick takes a fortieth.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from importlib import import_module
from itertools import chain, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from _harness import Aim, Row, machine
from evalsvc.scorers import create

SHARED = os.environ.get("EVALSVC_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(SHARED) / "quality"
PAIRS = 20_000
SEED = 7
QUICK_ONE_IN = 40
CHUNK = 50
Pair = tuple[str, str]
Value = Callable[[str, str], float]


class Tool(NamedTuple):
    """What a scorer equals, and of the pairs the longest in characters that are compared, and one in how many."""

    title: str
    peer: str
    scorer: str
    options: dict[str, Any]
    longest: int
    one_in: int


TOOLS: dict[str, Tool] = {
    "bleu": Tool("BLEU", "sacrebleu", "bleu", {}, 100_000, 1),
    "chrf": Tool("chrF", "sacrebleu", "chrf", {}, 100_000, 1),
    "chrf_plus_plus": Tool("chrF++", "sacrebleu", "chrf", {"word_order": 2}, 100_000, 1),
    # sacrebleu's TER takes 30 ms for 60 words and 5 s for 200.
    "ter": Tool("TER", "sacrebleu", "ter", {}, 600, 2),
    "rouge_1": Tool("ROUGE-1", "rouge-score", "rouge_1", {}, 100_000, 1),
    "rouge_2": Tool("ROUGE-2", "rouge-score", "rouge_2", {}, 100_000, 1),
    # rouge-score's table takes a second for each thousand tokens squared.
    "rouge_l": Tool("ROUGE-L", "rouge-score", "rouge_l", {}, 8_000, 1),
    "rouge_lsum": Tool("ROUGE-Lsum", "rouge-score", "rouge_lsum", {}, 8_000, 1),
}


class Equality(NamedTuple):
    """How many pairs were compared, and how many values were the same floating-point number."""

    tool: Tool
    compared: int
    equal: int
    largest_difference: float
    too_long: int
    not_drawn: int


@cache
def peer_value(metric: str) -> Value:
    """Return the tool's value of a response and a reference."""
    if metric.startswith("rouge"):
        kind = {"rouge_l": "rougeL", "rouge_lsum": "rougeLsum"}.get(metric, metric.replace("_", ""))
        rouge = import_module("rouge_score.rouge_scorer").RougeScorer([kind], use_stemmer=True)
        return lambda response, reference: float(rouge.score(reference, response)[kind].fmeasure)
    sacrebleu = import_module("sacrebleu")
    sentence = getattr(sacrebleu, f"sentence_{TOOLS[metric].scorer}")
    options = TOOLS[metric].options
    return lambda response, reference: float(sentence(response, [reference], **options).score)


def rows(folder: str) -> list[dict[str, Any]]:
    """Return the rows of a set."""
    with gzip.open(DATA / folder / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def real_pairs() -> Iterator[Pair]:
    """Yield model outputs with references, five tasks, and German subtitles of two systems for one source."""
    for row in rows("realsumm") + rows("newsroom_human"):
        yield row["response"], row["reference"]
        # One sentence a line, as ROUGE-Lsum wants its texts.
        yield row["response"].replace(". ", ".\n"), row["reference"].replace(" . ", " .\n")
    for row in rows("ragchecker_meta"):
        yield row["a"]["response"], row["gt_answer"]
    for row in rows("data2text_sfhot_sfres"):
        yield from ((row["response"], reference) for reference in row["references"])
    segments: dict[tuple[str, str], set[str]] = {}
    for row in rows("wmt_mqm_ted"):
        segments.setdefault((row["doc_id"], row["seg_id"]), set()).add(row["target"])
    for targets in segments.values():
        yield from pairwise(sorted(targets))
    for row in rows("summeval"):
        yield from ((row["response"], reference) for reference in row["references"])


def drawn_pairs() -> list[Pair]:
    """Return the pairs that every comparison is made on."""
    return random.Random(SEED).sample(list(real_pairs()), PAIRS)


def compare(metric: str, pairs: Sequence[Pair], quick: bool = False, pool: Executor | None = None) -> Equality:
    """Compare a scorer's values with its tool's on the pairs that the tool can do in time, in a pool if given."""
    tool = TOOLS[metric]
    short = [pair for pair in pairs if sum(map(len, pair)) <= tool.longest]
    chosen = short[:: tool.one_in * (QUICK_ONE_IN if quick else 1)]
    scorer: Any = create(tool.scorer, tool.options)
    scorer.load()
    ours = scorer.values(chosen).values
    theirs = _peer_values(metric, chosen, pool)
    differences = [abs(own - other) for own, other in zip(ours, theirs, strict=True)]
    equal = sum(own == other for own, other in zip(ours, theirs, strict=True))
    return Equality(tool, len(chosen), equal, max(differences), len(pairs) - len(short), len(short) - len(chosen))


def _peer_values(metric: str, pairs: Sequence[Pair], pool: Executor | None) -> list[float]:
    chunks = [pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK)]
    values = (pool.map if pool else map)(_chunk_values, [metric] * len(chunks), chunks)
    return list(chain.from_iterable(values))


def _chunk_values(metric: str, pairs: Sequence[Pair]) -> list[float]:
    value = peer_value(metric)
    return [value(*pair) for pair in pairs]


def measure(quick: bool) -> list[Equality]:
    """Compare every metric; nothing where the data are absent."""
    if not DATA.is_dir():
        print(f"left out: equality (no {DATA}; set EVALSVC_SHARED_DATA to the folder of data sets)", file=sys.stderr)
        return []
    pairs = drawn_pairs()
    # Its own interpreters: a fork of a process with threads may hang.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return [compare(metric, pairs, quick, pool) for metric in TOOLS]


def run(quick: bool) -> list[Row]:
    """Return a row for each metric: the share of the compared pairs with equal values; `quick` takes seconds."""
    return [row(found) for found in measure(quick)]


def row(found: Equality) -> Row:
    """Return a comparison as a row of the benchmarks' table."""
    what = f"{found.tool.title}, {found.compared:,} of {PAIRS:,} real pairs"
    share = 100 * found.equal / found.compared
    return Row("equality", what, share, "% equal to the last digit", found.tool.peer, aim=Aim("value", "≥", 100))


def equality_table(found: Sequence[Equality]) -> str:
    """Return the comparisons as a Markdown table.

    >>> print(equality_table([Equality(TOOLS["ter"], 3, 2, 1e-9, 5, 12)]))
    | metric | tool | compared | share | equal | largest difference | left out |
    |---|---|---:|---:|---:|---:|---|
    | TER | sacrebleu | 3 | 15.0 % | 2 | 1e-09 | 5 above 600 characters, 12 by drawing fewer |
    """
    lines = ["| metric | tool | compared | share | equal | largest difference | left out |"]
    lines.append("|---|---|---:|---:|---:|---:|---|")
    for tool, compared, equal, largest, too_long, not_drawn in found:
        reasons = [f"{too_long:,} above {tool.longest:,} characters"] if too_long else []
        reasons += [f"{not_drawn:,} by drawing fewer"] if not_drawn else []
        share = 100 * compared / (compared + too_long + not_drawn)
        cells = (tool.title, tool.peer, f"{compared:,}", f"{share:.1f} %", f"{equal:,}", f"{largest:g}")
        lines.append(f"| {' | '.join(cells)} | {', '.join(reasons) or 'none'} |")
    return "\n".join(lines)


def main() -> None:
    """Print the machine and the table."""
    print(machine())
    print(equality_table(measure(quick="--quick" in sys.argv[1:])))


if __name__ == "__main__":
    main()

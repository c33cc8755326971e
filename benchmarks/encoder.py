"""The encoder beside sentence-transformers on real texts, and what context support separates on human labels.

Run: ``python benchmarks/encoder.py [--quick]``. Needs the extras ``torch`` and ``dev`` and the data sets in
``../shared/data``; parts whose data are absent are left out and said so.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import Aim, Row, machine, paired_seconds, table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
QUESTIONS = DATA / "traffic" / "banking77" / "visible.jsonl.gz"
ANSWERS = DATA / "faithfulness" / "ragtruth_qa_test" / "visible.jsonl.gz"


def run(quick: bool) -> list[Row]:
    """Return throughput on short and long texts and AUROCs; quick takes about a minute, else ten."""
    rows: list[Row] = []
    for name, path, field, count in (
        ("questions", QUESTIONS, "text", 400),
        ("answers", ANSWERS, "response", 48),
    ):
        if not path.exists():
            print(f"left out: {name} (no {path.name} under shared/data)", file=sys.stderr)
            continue
        records = _read(path)
        random.Random(0).shuffle(records)
        texts = [str(record[field]) for record in records[: count if quick else 4 * count]]
        rows.append(_throughput(name, texts, rounds=3 if quick else 5))
        rows.append(_processor_seconds(name, texts[: len(texts) // 2], rounds=3 if quick else 5))
    if QUESTIONS.exists() and ANSWERS.exists():
        rows += _engine([str(record["text"]) for record in _read(QUESTIONS)][:400], 4 if quick else 12)
        rows.append(_padding([*_texts(QUESTIONS, "text"), *_texts(ANSWERS, "response")]))
        rows += _memory(10_000 if quick else 100_000)
    if ANSWERS.exists() and not quick:
        rows += _separation(_read(ANSWERS))
    return rows


def _texts(path: Path, field: str) -> list[str]:
    return [str(record[field]) for record in _read(path)]


def _engine(texts: Sequence[str], rounds: int) -> list[Row]:
    """Return the time that the engine takes around the model's own, on texts that it has not seen."""
    from evalsvc.engine import Encoder, EngineSettings

    encoder = Encoder.load(EngineSettings(cache_bytes=0))
    encoder.embed(texts[:50])
    before, start = encoder.stats.snapshot(), time.perf_counter()
    for _ in range(rounds):
        encoder.embed(texts)
    wall = time.perf_counter() - start
    after = encoder.stats.snapshot()
    device, tokenise = (after[name] - before[name] for name in ("device_seconds", "tokenise_seconds"))
    overhead, what = 100 * (wall - device) / device, f"{len(texts)} questions at a time"
    return [
        Row("engine", f"time around the model, {what}", overhead, "% of device time", aim=Aim("value", "≤", 5)),
        Row("engine", f"... of it in the tokeniser, {what}", 100 * tokenise / device, "% of device time"),
    ]


def _padding(texts: Sequence[str]) -> Row:
    """Return what share of a padded batch is padding where batches are padded: on a GPU, and not on a CPU."""
    from evalsvc.engine import Encoder, EngineSettings
    from evalsvc.engine.batching import plan

    encoder = Encoder.load(EngineSettings(cache_bytes=0))
    tokenised = encoder.tokeniser.tokenise(texts)
    lengths = [len(window) for windows in tokenised if isinstance(windows, list) for window in windows]
    batches = plan(lengths, 4096)
    slots = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    what = f"padding where batches are padded, {len(texts):,} questions and answers, 4,096 tokens a batch"
    return Row("engine", what, 100 * (1 - sum(lengths) / slots), "%", aim=Aim("value", "≤", 10))


def _memory(count: int) -> list[Row]:
    """Return resident memory after a fifth and after all of so many different texts, the cache at its bound."""
    from evalsvc.engine import Encoder, EngineSettings

    encoder = Encoder.load(EngineSettings(cache_bytes=4 * 2**20))
    found, step = [], 1000
    for start in range(0, count, step):
        encoder.embed([f"where is order {number}" for number in range(start, start + step)])
        if start + step in (count // 5, count):
            found.append(_resident_mib())
    return [
        Row("engine", f"resident memory after {done:,} different texts", mib, "MiB")
        for done, mib in zip((count // 5, count), found, strict=True)
    ]


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _throughput(name: str, texts: Sequence[str], rounds: int) -> Row:
    from evalsvc.engine import Encoder, EngineSettings

    # No cache: the same texts are encoded in every round.
    encoder = Encoder.load(EngineSettings(cache_bytes=0))
    peer = _sentence_transformers(str(encoder.files.folder), encoder.placement.device)
    distinct = list(dict.fromkeys(texts))
    timed = paired_seconds(
        lambda: encoder.encode(distinct),
        lambda: peer.encode(distinct, normalize_embeddings=True, show_progress_bar=False),
        rounds=rounds,
    )
    what = f"{len(distinct)} {name}, {encoder.placement.dtype} on {encoder.placement.device}"
    return Row(
        "encoder", what, len(distinct) / timed.seconds, "texts/s", "sentence-transformers",
        len(distinct) / timed.peer_seconds, timed.ratio, Aim("ratio", "≥", 4),
    )  # fmt: skip


def _processor_seconds(name: str, texts: Sequence[str], rounds: int) -> Row:
    """Compare processor time on one thread, which other work on the machine moves less than the clock."""
    from evalsvc.engine import Encoder, EngineSettings

    encoder = Encoder.load(EngineSettings(cache_bytes=0, device="cpu", dtype="float32", threads=1))
    peer = _sentence_transformers(str(encoder.files.folder), "cpu")
    distinct = list(dict.fromkeys(texts))
    calls = (
        lambda: encoder.encode(distinct),
        lambda: peer.encode(distinct, normalize_embeddings=True, show_progress_bar=False),
    )
    pairs = [[_spent(call) for call in calls] for _ in range(rounds + 1)][1:]
    ours, theirs = (len(distinct) / statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(peer_seconds / seconds for seconds, peer_seconds in pairs)
    what = f"{len(distinct)} {name}, one thread, float32"
    return Row("encoder", what, ours, "texts/CPU second", "sentence-transformers", theirs, ratio, Aim("ratio", "≥", 4))


def _spent(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _sentence_transformers(folder: str, device: str) -> Any:  # noqa: ANN401 - it ships no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(folder, device=device)


def _separation(records: Sequence[dict[str, Any]]) -> list[Row]:
    """Return AUROCs for supported against hallucinated responses, each with its interval in ``what``."""
    from evalsvc.engine import EngineSettings, shared_encoder
    from evalsvc.scorers.context_support import ContextSupport, coverage, grams
    from evalsvc.testing.samples import make_sample
    from evalsvc.types import Scored

    scorer = ContextSupport()
    scorer.load()
    encoder = shared_encoder(EngineSettings())
    samples = [make_sample(contexts=(r["context"],), response=r["response"]) for r in records]
    outcomes = scorer.score(samples)
    kept = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, Scored)]
    whole = encoder.encode([r["context"] for r in records])
    answers = encoder.encode([r["response"] for r in records])
    signs: dict[str, list[float]] = {
        "context_support": [getattr(outcome, "value", 0.0) for outcome in outcomes],
        "context_support, least sentence": [float(getattr(o, "detail", {}).get("min", 0.0)) for o in outcomes],
        "4-gram overlap alone": [coverage(r["response"], set(grams(r["context"]))) for r in records],
        "cosine of whole texts alone": [float(a @ c) for a, c in zip(answers, whole, strict=True)],
        "shorter response": [-float(len(r["response"])) for r in records],
    }
    labels = [int(records[index]["label"]) for index in kept]
    groups = [str(records[index]["group"]) for index in kept]
    return [_auroc_row(name, [values[index] for index in kept], labels, groups) for name, values in signs.items()]


def _auroc_row(name: str, values: Sequence[float], labels: Sequence[int], groups: Sequence[str]) -> Row:
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    draw = random.Random(0)
    names = sorted(members)
    resampled: list[float] = []
    while len(resampled) < 1000:
        chosen = [index for group in draw.choices(names, k=len(names)) for index in members[group]]
        area = _auroc([values[i] for i in chosen], [labels[i] for i in chosen])
        if area is not None:
            resampled.append(area)
    resampled.sort()
    low, high = resampled[25], resampled[974]
    area = _auroc(values, labels)
    where = f"{len(labels)} RAGTruth QA answers of {len(names)} questions"
    what = f"{name}, 95 % interval {low:.3f} to {high:.3f} on {where}"
    return Row("context support", what, area or 0.0, "AUROC")


def _auroc(values: Sequence[float], labels: Sequence[int]) -> float | None:
    """Return the chance that a supported response scores above another; ``None`` with one class only."""
    from scipy.stats import rankdata

    positive = sum(labels)
    negative = len(labels) - positive
    if not positive or not negative:
        return None
    ranks = rankdata(values)
    above = sum(float(rank) for rank, label in zip(ranks, labels, strict=True) if label)
    return (above - positive * (positive + 1) / 2) / (positive * negative)


def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer texts, no separation")
    arguments = parser.parse_args()
    print(machine())
    print(table(run(arguments.quick)))


if __name__ == "__main__":
    main()

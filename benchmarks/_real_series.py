"""Real series on [0, 1] for ``alert_series.py``, from the data sets that its docstring names."""

from __future__ import annotations

import bisect
import gzip
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from _alert_traffic import Floats


class Series(NamedTuple):
    """A series on [0, 1], how many of its values come first, and the windows in which an alarm is true."""

    name: str
    values: Floats
    first: int
    windows: tuple[tuple[int, int], ...]


class Annotated(NamedTuple):
    """A series on [0, 1], how many of its values come first, and each annotator's change points."""

    name: str
    values: Floats
    first: int
    points: tuple[tuple[int, ...], ...]


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a data set."""
    with gzip.open(folder / name / "visible.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scaled(values: Sequence[float], first: int) -> Floats:
    """Return values moved to [0, 1] by the range of the first of them, and clipped."""
    y = np.asarray(values, dtype=np.float64)
    low, width = float(y[:first].min()), float(np.ptp(y[:first]))
    moved: Floats = np.clip((y - low) / width if width else y - low + 0.5, 0.0, 1.0)
    return moved


def nab(folder: Path) -> list[Series]:
    """Return up to 5,000 values of each series, with windows of anomalies; whole hours of minutes come first."""
    made = []
    for row in rows_of(folder, "nab_anomalies"):
        times = [datetime.fromisoformat(text) for text in row["timestamps"][:5000]]
        first = 60 * max(2, int(0.15 * len(times)) // 60)
        spans = [tuple(datetime.fromisoformat(end) for end in window) for window in row["windows"]]
        windows = tuple((bisect.bisect_left(times, begin), bisect.bisect_right(times, end)) for begin, end in spans)
        windows = tuple((begin, end) for begin, end in windows if begin < len(times))
        made.append(Series(row["file"], scaled(row["values"][:5000], first), first, windows))
    return sorted(made)


def vectara(folder: Path, first: int = 960, at: int = 1_800, size: int = 3_600) -> list[Series]:
    """Return a model's scores followed by those of its maker's next one, where the mean moved by 2 points or more.

    Each model's own scores are a quiet series.
    """
    makers: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(folder, "vectara_hhem_series"):
        makers.setdefault(row["model"].split("/")[0], []).append(row)
    made = []
    for rows in makers.values():
        rows.sort(key=lambda row: (row["stats"].get("summary_date") or row["stats"].get("timestamp"), row["model"]))
        held = [np.array([y for y, good in zip(row["hhem"], row["valid"], strict=True) if good]) for row in rows]
        for row, y in zip(rows, held, strict=True):
            made.append(Series(f"{row['model']}, quiet", np.clip(y[:size], 0.0, 1.0), first, ()))
        for (before, y), (after, z) in zip(
            zip(rows, held, strict=True), list(zip(rows, held, strict=True))[1:], strict=False
        ):
            if abs(y.mean() - z.mean()) >= 0.02:
                both = np.concatenate([y[:at], z[at:size]])
                made.append(Series(f"{before['model']} → {after['model']}", both, first, ((at, len(both)),)))
    return sorted(made, key=lambda series: series.name)


def llmdrift(folder: Path, shuffles: int = 5) -> list[Series]:
    """Return whether answers were right, of March and then of June, in so many random orders of the questions.

    Of the survey, whether an option was chosen at all. Tasks with fewer than 100 questions are left out.
    """
    answers: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for row in rows_of(folder, "llmdrift"):
        task = row["id"].split("-")[1]
        if task in RIGHT:
            answers.setdefault((task, row["model"]), []).append((row["id"], float(RIGHT[task](row))))
    made = []
    for before, after in (("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613"), ("gpt-4-0314", "gpt-4-0613")):
        for task in RIGHT:
            march, june = (np.array([y for _, y in sorted(answers[task, model])]) for model in (before, after))
            if abs(march.mean() - june.mean()) < 0.05:
                continue
            first = 60 * max(2, int(0.4 * len(march)) // 60)
            for seed in range(shuffles):
                rng = np.random.default_rng(seed)
                both = np.concatenate([rng.permutation(march), rng.permutation(june)])
                name = f"{task}, {before} → {after}, {seed}"
                made.append(Series(name, both, first, ((len(march), len(both)),)))
    return sorted(made, key=lambda series: series.name)


def _prime(row: dict[str, Any]) -> bool:
    said = re.findall(r"\b(yes|no)\b", row["response"].lower())
    return bool(said) and said[-1] == row["reference"].lower()


def _happy(row: dict[str, Any]) -> bool:
    said, meant = (re.findall(r"boxed\W*(\d+)", row[name]) for name in ("response", "reference"))
    return bool(said) and said[-1] == meant[-1]


def _chosen(row: dict[str, Any]) -> bool:
    return re.match(r"\s*\(?[A-Z]\)", row["response"]) is not None


RIGHT: dict[str, Callable[[dict[str, Any]], bool]] = {"prime": _prime, "happynumber": _happy, "opinionqa": _chosen}


def tcpd(folder: Path) -> list[Annotated]:
    """Return the first dimension of each series; 15 % of it, but 10 values at least, come first."""
    made = []
    for row in rows_of(folder, "tcpd_changepoints"):
        values = [value for value in row["series"][0]["raw"] if value is not None]
        first = max(10, int(0.15 * len(values)))
        points = tuple(tuple(found) for found in row["annotations"].values())
        made.append(Annotated(row["name"], scaled(values, first), first, points))
    return sorted(made)

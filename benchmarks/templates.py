"""Whether texts that are nearly the same are told from those of one template, on public texts with planted changes.

Run: ``python benchmarks/templates.py [--quick]``. Needs ``../shared/data``. A slip leaves a question a copy: a letter
is lost, doubled or changed, or two change places. Another digit makes it another question of its template. SummEdits
has summaries in which people changed an entity, which mostly makes another one, and such as say the same in other
words.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _harness import Row, machine, table
from evalsvc.set_audit.templates import Templates

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
QUESTIONS = (DATA / "traffic" / "banking77", DATA / "traffic" / "clinc150_oos")
SUMMARIES = DATA / "faithfulness" / "summedits"
ENTITY = "entity_modification"
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def run(quick: bool) -> list[Row]:
    """Return the rows; none where the data are missing."""
    missing = [folder.name for folder in (*QUESTIONS, SUMMARIES) if not folder.exists()]
    if missing:
        print(f"left out: templates (no {', '.join(missing)} under shared/data)", file=sys.stderr)
        return []
    rng = random.Random(0)
    texts = list(dict.fromkeys(row["text"] for folder in QUESTIONS for row in _rows(folder)))
    rng.shuffle(texts)
    summaries = _rows(SUMMARIES)
    pairs = [(row["original_summary"], row["response"], row) for row in summaries]
    entities = [(one, other) for one, other, row in pairs if row["label"] == 0 and row["edit_types"] == [ENTITY]]
    rephrased = [(one, other) for one, other, row in pairs if row["label"] == 1 and one != other]
    most = 200 if quick else 2000
    return [
        _row("questions, each with a planted slip", _changed(texts, _slip, rng, most), texts),
        _row("questions, each with another digit", _changed(texts, _other_digit, rng, most), texts),
        _row("summaries in which an entity was changed", entities, [text for pair in entities for text in pair]),
        _row("summaries that say the same in other words", rephrased, [text for pair in rephrased for text in pair]),
    ]


def _rows(folder: Path) -> list[dict[str, Any]]:
    with gzip.open(folder / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _row(what: str, pairs: Sequence[tuple[str, str]], others: Sequence[str]) -> Row:
    """Return how many pairs are taken for a template; ``others`` are the set that they lie in."""
    every = list(dict.fromkeys([*others, *(text for pair in pairs for text in pair)]))
    places = {text: place for place, text in enumerate(every)}
    templates = Templates(every)
    found = sum(templates.differ(places[one], places[other]) for one, other in pairs)
    return Row("templates", f"{len(pairs):,} {what}: taken for a template", 100 * found / len(pairs), "%")


def _changed(
    texts: Sequence[str], change: Callable[[str, random.Random], str | None], rng: random.Random, most: int
) -> list[tuple[str, str]]:
    """Return texts with what a change makes of them, those alone in which it finds a place."""
    pairs: list[tuple[str, str]] = []
    for text in texts:
        other = change(text, rng)
        if other is not None and len(pairs) < most:
            pairs.append((text, other))
    return pairs


def _slip(text: str, rng: random.Random) -> str | None:
    words = list(re.finditer(r"[^\W\d_]{5,}", text))
    if not words:
        return None
    start, end = rng.choice(words).span()
    at = rng.randrange(start + 1, end - 1)
    here, after = text[at], text[at + 1]
    changed = rng.choice(("", here * 2, after + here, rng.choice([letter for letter in LETTERS if letter != here])))
    rest = at + 2 if changed == after + here else at + 1
    other = text[:at] + changed + text[rest:]
    return None if other == text else other


def _other_digit(text: str, rng: random.Random) -> str | None:
    places = [match.start() for match in re.finditer(r"\d", text)]
    if not places:
        return None
    at = rng.choice(places)
    return text[:at] + rng.choice([digit for digit in "123456789" if digit != text[at]]) + text[at + 1 :]


def main() -> None:
    """Print the rows as a table, and the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer questions")
    print(table(run(parser.parse_args().quick)))
    print(machine())


if __name__ == "__main__":
    main()

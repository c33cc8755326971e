"""What the detector of single texts is trained on, and what it is tested on: rows as ``evalsvc fit`` reads them.

Run: ``python benchmarks/_detector_texts.py > texts.jsonl``, then::

    evalsvc fit toxicity,prompt_injection,refusal --data texts.jsonl --folds 2 --epochs 3 --false-alarms 0.01 --out DIR

Only what its licence allows is trained on (tier A of the data's README). Of large sets a fixed part is drawn, small
sets count more, and no text is in both.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from _detector_sources import Text, texts
from evalsvc.set_audit.near import folded

_OWN = "Apache-2.0 (sentences of this project)"
_WORDS = re.compile(r"\S+")


class Set(NamedTuple):
    """The licence of a set, and the family of sets whose groups are the same; a family of its own without one."""

    licence: str
    family: str = ""


SETS: Mapping[str, Set] = {
    "civil": Set("CC0 1.0", "civil"),
    "civil_sentence": Set("CC0 1.0", "civil"),
    "davidson": Set("MIT"),
    "surge": Set("MIT"),
    "openai": Set("MIT"),
    "hatecheck": Set("CC BY 4.0"),
    "groups": Set(_OWN),
    "madlibs": Set("Apache-2.0"),
    "rtp": Set("CC BY-SA 4.0"),
    "deepset": Set("Apache-2.0", "injections"),
    "jailbreaks": Set("Apache-2.0", "injections"),
    "inthewild": Set("Apache-2.0", "injections"),
    "cyberseceval": Set("MIT"),
    "bipia": Set("MIT", "bipia"),
    "bipia_question": Set("MIT", "bipia"),
    "bipia_planted": Set("MIT", "bipia"),
    "lookalikes": Set(_OWN),
    "planted_alone": Set(_OWN),
    "llmbar": Set("MIT", "llmbar"),
    "llmbar_output": Set("MIT", "llmbar"),
    "roles": Set("MIT", "llmbar"),
    "arena": Set("Apache-2.0", "arena"),
    "arena_answer": Set("Apache-2.0", "arena"),
    "xstest": Set("prompts CC BY 4.0, completions under the model providers' terms", "xstest"),
    "xstest_prompt": Set("CC BY 4.0", "xstest"),
    "llmdrift": Set("Apache-2.0"),
    "llmdrift_query": Set("Apache-2.0"),
    "support": Set(_OWN),
    "banking77": Set("CC BY 4.0"),
    "clinc150": Set("CC BY 3.0"),
    "bitext": Set("CDLA-Sharing-1.0", "bitext"),
    "bitext_response": Set("CDLA-Sharing-1.0", "bitext"),
}

MOST: Mapping[str, int] = {
    "civil/toxic": 1200,
    "civil/attack or threat": 900,
    "civil_sentence": 1500,
    "davidson/offensive": 600,
    "banking77": 700,
    "clinc150": 1200,
    "bipia": 320,
    "bipia_planted": 420,
    "bipia_question": 150,
    "madlibs": 1400,
    "llmbar_output": 120,
    "llmdrift_query": 60,
}
"""Most rows of a kind that are trained on, those with the lowest hashes."""

TIMES: Mapping[str, float] = {
    "surge": 2,
    "deepset": 3,
    "jailbreaks": 3,
    "cyberseceval": 3,
    "arena": 2,
    "llmbar": 2,
    "groups": 2,
    "davidson/hate": 2,
    "hatecheck": 2,
}
"""How many times as much as others the rows of a small kind count."""

LONG = ("arena", "llmbar", "roles")
"""Benign prompts as long as injections are: half of what decides which threshold has few enough false alarms.

At a threshold by customers' questions alone a fifth of such prompts is flagged.
"""


def trained_on() -> Iterator[dict[str, Any]]:
    """Yield the rows to train on."""
    chosen = _chosen()
    others, long = (
        sum(
            text.weight for text in chosen if text.labels.get("prompt_injection") == 0 and (text.set in LONG) == is_long
        )
        for is_long in (False, True)
    )
    for text in chosen:
        row = _row(text)
        if text.set == "xstest":
            row["text"] = beginning(text.text, random.Random(text.id))
        if text.set in LONG:
            row["threshold_weight"] = round(text.weight * others / long, 3)
        yield row


def tests() -> Iterator[dict[str, Any]]:
    """Yield the rows that are kept for the test, and those that are never trained on."""
    trained = list(trained_on())
    seen = {folded(text.text) for text in _chosen()} | {folded(row["text"]) for row in trained}
    groups = {row["group"] for row in trained}
    for text in texts():
        row = _row(text)
        # The answers of arena are never trained on, but half of their questions are.
        if not text.trained and row["text"] and row["group"] not in groups and folded(text.text) not in seen:
            yield row


def beginning(text: str, rng: random.Random) -> str:
    """Return the first words of a text, a random number of them: an answer's length tells nothing of a refusal.

    >>> beginning("I cannot help with that.", random.Random(0))
    'I cannot help with that.'
    """
    words = list(_WORDS.finditer(text))
    most = rng.choice((24, 48, 72, 120, 190))
    return text if len(words) <= most else text[: words[most - 1].end()]


@cache
def _chosen() -> Sequence[Text]:
    """Return the texts to train on: the draw of each kind, each text with the same labels once."""
    kinds: defaultdict[str, list[Text]] = defaultdict(list)
    seen = set()
    for text in texts():
        what = (folded(text.text), tuple(sorted(text.labels.items())))
        if text.trained and text.text.strip() and what not in seen:
            seen.add(what)
            kinds[text.kind].append(text)
    chosen = []
    for kind, found in sorted(kinds.items()):
        found.sort(key=lambda text: hashlib.sha256(text.id.encode()).digest())
        drawn = found[: MOST.get(kind, len(found))]
        chosen += [text._replace(weight=round(text.weight * TIMES.get(kind, 1.0), 3)) for text in drawn]
    return chosen


def _row(text: Text) -> dict[str, Any]:
    licence, family = SETS[text.set]
    row: dict[str, Any] = {
        "id": f"{text.set}/{text.id}",
        "text": text.text.strip(),
        "group": f"{family or text.set}/{text.group}",
        "source": text.set,
        "licence": licence,
        "weight": text.weight,
        **{str(task): label for task, label in text.labels.items()},
    }
    return row | {"segments": dict(text.segments)} if text.segments else row


def main() -> None:
    """Print all rows to train on."""
    for row in trained_on():
        print(json.dumps(row))


if __name__ == "__main__":
    main()

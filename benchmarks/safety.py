"""Injections in contexts, leaked system prompts and handovers: precision, recall, false alarms, and speed.

Run: ``python benchmarks/safety.py [--quick]``. The data sets are under ``../shared/data`` (or ``EVALSVC_SHARED_DATA``);
rows that need them are left out without. The rules were written with one half of each set in view, by the parity
of the first byte of the text's SHA-256; every figure is of the other half.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from _harness import Row, machine, median_seconds, table
from evalsvc.scorers.context_injection import find_injections
from evalsvc.scorers.system_prompt_leakage import SystemPromptLeakage
from evalsvc.scorers.task_outcome import handover_phrase
from evalsvc.testing import make_sample
from evalsvc.types import Message, Scored
from privacy import DATA, rows_of

FAITHFULNESS = ("ragtruth_qa_test", "summedits", "frank", "wice_claim", "fool_me_twice", "begin", "factcheckgpt_stance")
ORDINARY = (
    "The hotel lies on the northern shore of the lake, ten minutes on foot from the station. Breakfast is served from "
    "seven to ten, on Sundays until eleven. Guests may use the boats and the sauna without charge; towels are at the "
    "desk. The system of paths around the lake is open all year, and a map of it hangs in the hall. "
)


def kept_back(texts: Sequence[str]) -> list[str]:
    """Return the half of the texts that the rules were not written with, each once."""
    return [
        text for text in dict.fromkeys(texts) if hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[0] % 2
    ]


def context_of(row: dict[str, Any]) -> str:
    """Return a row's context as one text."""
    context = row["context"]
    return context if isinstance(context, str) else "\n".join(map(str, context))


def injections() -> Iterator[Row]:
    """Yield recall on attacks by kind, then false alarms on ordinary contexts."""
    deepset = rows_of("safety", "deepset_prompt_injections")
    cyber = rows_of("safety", "cyberseceval_prompt_injection")
    bipia = kept_back([context_of(row) for row in rows_of("safety", "bipia_contexts")])
    ours = [row["text"] for row in deepset if row["label"] == 1], [row["text"] for row in deepset if row["label"] == 0]
    if deepset:
        found, alarms = (sum(map(_found, kept_back(texts))) for texts in ours)
        yield Row("context_injection", f"precision on deepset (n={found + alarms})", found / max(1, found + alarms), "")
    attacks = {
        "deepset, English and German": ours[0],
        "CyberSecEval, indirect": [row["user_input"] for row in cyber if row["injection_type"] == "indirect"],
        "CyberSecEval, direct": [row["user_input"] for row in cyber if row["injection_type"] == "direct"],
        "jailbreaks in the wild": [row["text"] for row in rows_of("safety", "inthewild_jailbreaks")],
        "jailbreak_classification": [
            row["text"] for row in rows_of("safety", "jailbreak_classification") if row["label"] == "jailbreak"
        ],
    }
    for name, texts in attacks.items():
        yield from _share(f"recall on {name}", kept_back(texts))
    yield from _share("recall on BIPIA's plain requests planted in its contexts", _planted(bipia, _bipia_attacks()))
    benign = {
        "deepset's questions": ours[1],
        "benign prompts of jailbreak_classification": [
            row["text"] for row in rows_of("safety", "jailbreak_classification") if row["label"] != "jailbreak"
        ],
        "BIPIA's e-mails, code and tables": bipia,
        "contexts of seven faithfulness sets": [
            context_of(row) for name in FAITHFULNESS for row in rows_of("faithfulness", name)
        ],
    }
    for name, texts in benign.items():
        yield from _share(f"false alarms in {name}", kept_back(texts))


def handovers() -> Iterator[Row]:
    """Yield how often customer support answers that tell whom to call are taken for handovers."""
    answers = kept_back([row["response"] for row in rows_of("traffic", "bitext_customer_support")])
    if answers:
        share = sum(handover_phrase(text) is not None for text in answers) / len(answers)
        yield Row("human_handover", f"share of Bitext's answers (n={len(answers):,})", 100 * share, "%")


def leakage() -> Iterator[Row]:
    """Yield how much two texts that have nothing to do with each other share by chance."""
    texts = kept_back([context_of(row) for row in rows_of("faithfulness", "frank")])
    if len(texts) < 2:
        return
    pairs = [
        make_sample(prompt=(Message("system", one), Message("user", "Hi")), response=other, contexts=())
        for one, other in pairwise(texts)
    ]
    outcomes = SystemPromptLeakage().score(pairs)
    values = [outcome.value if isinstance(outcome, Scored) else outcome for outcome in outcomes]
    scored = [value for value in values if isinstance(value, float)]
    yield Row("system_prompt_leakage", f"greatest of unrelated news articles (n={len(scored):,})", max(scored), "")


def speed(quick: bool) -> Iterator[Row]:
    """Yield seconds for 200,000 characters."""
    text = (ORDINARY * 700)[:200_000]
    rounds = 3 if quick else 7
    yield Row(
        "context_injection",
        "200,000 characters of prose",
        1e3 * median_seconds(lambda: find_injections(text), rounds),
        "ms",
    )
    sample = make_sample(prompt=(Message("system", text), Message("user", "Hi")), response=text, contexts=())
    scorer = SystemPromptLeakage()
    seconds = median_seconds(lambda: scorer.score([sample]), rounds)
    yield Row("system_prompt_leakage", "system prompt and response of 200,000 characters each", 1e3 * seconds, "ms")


def _found(text: str) -> bool:
    return bool(find_injections(text))


def _share(what: str, texts: Sequence[str]) -> Iterator[Row]:
    if texts:
        yield Row("context_injection", f"{what} (n={len(texts):,})", 100 * sum(map(_found, texts)) / len(texts), "%")


def _bipia_attacks() -> list[str]:
    place = DATA / "safety" / "bipia_contexts" / "text_attack_test.json"
    if not place.exists():
        return []
    kinds: dict[str, list[str]] = json.loads(place.read_text(encoding="utf-8"))
    return [text for texts in kinds.values() for text in texts]


def _planted(contexts: Sequence[str], attacks: Sequence[str]) -> list[str]:
    if not contexts:
        return []
    drawn = random.Random(4)
    return [f"{drawn.choice(contexts)}\n{attack}" for attack in attacks]


def run(quick: bool) -> list[Row]:
    """Return all rows."""
    return [*injections(), *handovers(), *leakage(), *speed(quick)]


def main() -> None:
    """Print the table."""
    print(machine())
    print(table(run("--quick" in sys.argv[1:])))


if __name__ == "__main__":
    main()

"""Masking: microseconds an event beside presidio's own loop, recall by entity type, false alarms, refusal.

Run: ``python benchmarks/privacy.py [--quick]``. The peer is what presidio's ``AnalyzerEngine`` does without
a language model: every recogniser's ``analyze`` over the whole text, one after the other, for the same types.
Recall and false alarms need the data sets under ``../shared/data`` (or ``EVALSVC_SHARED_DATA``) and are
left out without.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _harness import Aim, Row, machine, paired_seconds, table
from evalsvc.privacy import Masker, MaskingPolicy, Recognisers
from evalsvc.privacy._presidio import PresidioFiles, load_recogniser
from evalsvc.privacy.catalogue import PRESIDIO
from evalsvc.scorers.refusal import refusal_phrase
from evalsvc.types import Event, Message

DATA = Path(os.environ.get("EVALSVC_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
PROSE = (
    "Thank you for getting back to us. Your replacement card was sent on Monday and should reach you "
    "within five to seven working days; you will get a message as soon as it is on its way. Until then "
    "you can go on paying with the card in your phone's wallet. If it has not come by the end of next "
    "week, tell us, and we will block it and send another one at no cost. "
)
MEASURED_TYPES = (
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN_CODE",
    "US_SSN",
    "IP_ADDRESS",
    "US_DRIVER_LICENSE",
)


def rows_of(*place: str) -> list[dict[str, Any]]:
    """Return the rows of one data set; none where it is absent."""
    path = DATA.joinpath(*place, "visible.jsonl.gz")
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def events(count: int) -> list[Event]:
    """Return support conversations of about 1.3 kB each; every fourth holds an address and a number."""
    found = []
    for number in range(count):
        contact = (
            f" Write to user{number}@example.org or call +41 44 668 {number % 90 + 10} 00." if number % 4 == 0 else ""
        )
        found.append(
            Event(
                event_id=f"e{number}",
                occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
                application="support",
                prompt=(Message("user", f"Where is my card? I ordered it {number % 9 + 2} days ago.{contact}"),),
                response=PROSE + contact,
                contexts=(PROSE, PROSE),
                segments={"plan": "pro", "language": "en"},
                user_id=f"user-{number}",
            )
        )
    return found


def answers() -> list[str]:
    """Return arena-hard answers, many of them with code, cut to 1,300 characters."""
    texts = []
    for row in rows_of("traffic", "arena_hard_v01"):
        content = row["raw"]["messages"][-1]["content"]
        texts.append((content["answer"] if isinstance(content, dict) else content)[:1300])
    return texts


def presidio_loop() -> Callable[[str], int]:
    """Return presidio's own search with the recognisers that evalsvc runs, without a language model."""
    files = PresidioFiles()
    places = [(entity.path, entity.class_name) for entity in PRESIDIO]
    places += [
        ("generic.email_recognizer", "EmailRecognizer"),
        ("generic.iban_recognizer", "IbanRecognizer"),
        ("generic.phone_recognizer", "PhoneRecognizer"),
    ]
    recognisers: list[Any] = [load_recogniser(files, *place) for place in places]

    def search(text: str) -> int:
        return sum(len(recogniser.analyze(text, recogniser.supported_entities)) for recogniser in recognisers)

    return search


def speed(quick: bool) -> Iterator[Row]:
    """Yield the time of a text and of an event, and how long the recognisers take to make."""
    start = time.perf_counter()
    recognisers = Recognisers()
    yield Row("privacy", "make all recognisers", time.perf_counter() - start, "s")
    peer = presidio_loop()
    batch = events(100 if quick else 400)
    masker = Masker(MaskingPolicy(), bytes(16))
    conversations = [event.response for event in batch]
    for what, texts in (
        ("find in a support answer", conversations[:20]),
        ("find in an arena-hard answer", answers()[::10]),
    ):
        if texts:
            yield _beside(what, texts, recognisers, peer, 3 if quick else 7)
    start = time.thread_time()
    for event in batch:
        masker.mask_event(event)
    elapsed = time.thread_time() - start
    size = sum(len(event.prompt_text) + len(event.response) + sum(map(len, event.contexts)) for event in batch)
    what = f"mask an event of {size // len(batch):,} characters"
    yield Row("privacy", what, elapsed / len(batch) * 1e6, "µs", aim=Aim("value", "≤", 300))


def _beside(what: str, texts: list[str], recognisers: Recognisers, peer: Callable[[str], int], rounds: int) -> Row:
    timed = paired_seconds(
        lambda: [recognisers.find(text) for text in texts], lambda: [peer(text) for text in texts], rounds
    )
    scale = 1e6 / len(texts)
    ours, theirs = timed.seconds * scale, timed.peer_seconds * scale
    return Row("privacy", what, ours, "µs", "presidio's analyze loop", theirs, timed.ratio)


def quality() -> Iterator[Row]:
    """Yield recall by type, false alarms on ordinary texts, and refusal against human labels."""
    recognisers = Recognisers()
    yield from _recall(recognisers)
    for what, texts in (
        ("banking77 questions with a false alarm", [row["text"] for row in rows_of("traffic", "banking77")]),
        ("arena-hard answers with a finding", answers()),
    ):
        if texts:
            alarms = sum(bool(recognisers.find(text)) for text in texts)
            yield Row("privacy", f"{what} (n={len(texts):,})", 100 * alarms / len(texts), "%")
    seen: Counter[tuple[str, bool]] = Counter()
    for row in rows_of("safety", "xstest_completions"):
        seen[row["label"], refusal_phrase(row["completion"]) is not None] += 1
    if seen:
        refused, complied = seen["2_full_refusal", True], seen["1_full_compliance", True]
        missed = seen["2_full_refusal", False]
        yield Row(
            "refusal",
            "precision on XSTest (full refusal against compliance)",
            refused / (refused + complied),
            "",
        )
        yield Row("refusal", "recall on XSTest (full refusal)", refused / (refused + missed), "")


def _recall(recognisers: Recognisers) -> Iterator[Row]:
    total: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for row in rows_of("privacy", "presidio_synthetic_pii"):
        found = recognisers.find(row["text"])
        for span in row["spans"]:
            total[span["entity_type"]] += 1
            covered[span["entity_type"]] += any(
                match.start <= span["start_position"] and span["end_position"] <= match.end for match in found
            )
    for name in MEASURED_TYPES:
        if total[name]:
            yield Row("privacy", f"recall of {name} (n={total[name]})", covered[name] / total[name], "")


def run(quick: bool) -> list[Row]:
    """Return all rows."""
    return [*speed(quick), *quality()]


def main() -> None:
    """Print the table."""
    print(machine())
    print(table(run("--quick" in sys.argv[1:])))


if __name__ == "__main__":
    main()

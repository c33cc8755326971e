"""Presidio's single files against the whole package; recall and false alarms on labelled and plain texts."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from evalsvc.privacy import Recognisers
from evalsvc.privacy._presidio import PresidioFiles, load_recogniser
from evalsvc.privacy.catalogue import PRESIDIO
from evalsvc.scorers.refusal import refusal_phrase

PII = "privacy/presidio_synthetic_pii"

# Measured 2025 on the visible half: SSN 34/34, e-mail 33/33, card 142/142, IBAN 25/25, IP 1/1, phone 103/107.
FLOORS = {
    "EMAIL_ADDRESS": 1.0,
    "US_SSN": 1.0,
    "IBAN_CODE": 1.0,
    "IP_ADDRESS": 1.0,
    "CREDIT_CARD": 0.99,
    "PHONE_NUMBER": 0.93,
}


Rows = Callable[[str], list[dict]]


@pytest.fixture
def rows(shared_data: Path) -> Rows:
    def read(name: str) -> list[dict]:
        with gzip.open(shared_data / name / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    return read


@pytest.fixture(scope="module")
def recognisers() -> Recognisers:
    return Recognisers()


def test_recall_by_type(recognisers: Recognisers, rows: Rows) -> None:
    total: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for row in rows(PII):
        found = recognisers.find(row["text"])
        for span in row["spans"]:
            if span["entity_type"] in FLOORS:
                total[span["entity_type"]] += 1
                covered[span["entity_type"]] += any(
                    match.start <= span["start_position"] and span["end_position"] <= match.end for match in found
                )
    assert set(total) == set(FLOORS)
    recall = {name: covered[name] / total[name] for name in FLOORS}
    assert all(recall[name] >= floor for name, floor in FLOORS.items()), recall


def test_false_alarms_on_labelled_texts(recognisers: Recognisers, rows: Rows) -> None:
    alarms = 0
    for row in rows(PII):
        for match in recognisers.find(row["text"]):
            overlapping = {
                span["entity_type"]
                for span in row["spans"]
                if span["start_position"] < match.end and match.start < span["end_position"]
            }
            alarms += not overlapping & {*FLOORS, "US_DRIVER_LICENSE"}
    assert alarms <= 3


def test_false_alarms_on_ordinary_questions(recognisers: Recognisers, rows: Rows) -> None:
    texts = [row["text"] for row in rows("traffic/banking77")]
    assert sum(bool(recognisers.find(text)) for text in texts) <= len(texts) // 2000


def test_false_alarms_on_answers_with_code(recognisers: Recognisers, rows: Rows) -> None:
    texts = []
    for row in rows("traffic/arena_hard_v01"):
        content = row["raw"]["messages"][-1]["content"]
        texts.append(content["answer"] if isinstance(content, dict) else content)
    assert sum(bool(recognisers.find(text)) for text in texts) <= 0.03 * len(texts)


def test_refusal_against_two_human_labels(rows: Rows) -> None:
    seen: Counter[tuple[str, bool]] = Counter()
    for row in rows("safety/xstest_completions"):
        seen[row["label"], refusal_phrase(row["completion"]) is not None] += 1
    refused, complied = seen["2_full_refusal", True], seen["1_full_compliance", True]
    assert refused / (refused + complied) >= 0.96
    assert refused / (refused + seen["2_full_refusal", False]) >= 0.88


def test_nothing_of_presidio_is_imported() -> None:
    program = (
        "import sys; from evalsvc.privacy import Recognisers; Recognisers().find('a@b.com 12345678');"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('presidio_analyzer', 'spacy', 'torch', 'transformers', 'tldextract', 'requests')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


WHOLE = """
import json, sys, warnings
warnings.simplefilter("ignore")
# Recognisers of patterns need neither, and spaCy would load them for half a minute.
sys.modules["torch"] = sys.modules["transformers"] = None
from presidio_analyzer import predefined_recognizers as whole
request = json.load(sys.stdin)
answer = {}
for name in request["classes"]:
    recogniser = getattr(whole, name)()
    answer[name] = [
        [[pattern.name, pattern.regex, pattern.score] for pattern in recogniser.patterns],
        sorted(recogniser.context or []),
        [
            sorted([found.start, found.end, round(found.score, 6)] for found in recogniser.analyze(text, []))
            for text in request["texts"]
        ],
    ]
print("\\n" + json.dumps(answer))
"""


def test_single_files_are_the_whole_package(rows: Rows) -> None:
    texts = [row["text"] for row in rows(PII)][::20]
    classes = [entity.class_name for entity in PRESIDIO]
    done = subprocess.run(
        [sys.executable, "-c", WHOLE],
        input=json.dumps({"classes": classes, "texts": texts}),
        capture_output=True,
        text=True,
        check=True,
    )
    whole = json.loads(done.stdout.strip().splitlines()[-1])
    files = PresidioFiles()
    for entity in PRESIDIO:
        recogniser = load_recogniser(files, entity.path, entity.class_name)
        patterns, context, results = whole[entity.class_name]
        assert [[p.name, p.regex, p.score] for p in recogniser.patterns] == patterns
        assert sorted(recogniser.context or []) == context
        ours = [
            sorted(
                [found.start, found.end, round(found.score, 6)]
                for found in recogniser.analyze(text, [entity.entity_type])  # type: ignore[attr-defined]
            )
            for text in texts
        ]
        assert ours == results, entity.class_name


def test_left_out_patterns_exist() -> None:
    files = PresidioFiles()
    for entity in PRESIDIO:
        names = {pattern.name for pattern in load_recogniser(files, entity.path, entity.class_name).patterns}
        assert set(entity.without) <= names

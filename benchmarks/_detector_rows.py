"""Labelled rows for the detectors, from the data under ``../shared/data``: what is trained on, and what only tests.

Only what its licence allows is trained on (tier A of the data's README): share-alike texts and RAGTruth are tests.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from privacy import rows_of

_WORD = re.compile(r"\S+")
_MOST_EDITS = 2
_MOST_WEIGHT = 3.0

MADE = 800
"""How many rows are made from contexts of those trained on."""
FALSE_ALARMS = 0.1
"""By which the threshold is fixed."""
Row = Mapping[str, Any]


class Set(NamedTuple):
    """A data set: its folder, its licence, whether it is trained on, and its family.

    Sets of a family share documents or were made from one another; they are left out together.
    """

    folder: str
    licence: str
    trained: bool
    family: str
    label: Callable[[Row], str]
    most: int | None = None
    """How many rows are trained on, the first by the hash of their ids: short pairs would outnumber answers."""


def _binary(row: Row) -> str:
    return "supported" if int(row["label"]) == 1 else "unsupported"


def _stance(row: Row) -> str:
    names = {"completely-support": "supported", "refute": "contradicted", "irrelevant": "not_mentioned"}
    return names.get(row["label_raw"], "unsupported")


def _verdict(row: Row) -> str:
    return {"SUPPORTS": "supported", "REFUTES": "contradicted", "NOT ENOUGH INFO": "not_mentioned"}[row["label_raw"]]


def _entailment(row: Row) -> str:
    return {"entailment": "supported", "contradiction": "contradicted", "neutral": "not_mentioned"}[row["label"]]


def _ragtruth(row: Row) -> str:
    return "unsupported" if row["spans"] else "supported"


FAITHFULNESS = (
    Set("faithfulness/frank", "MIT", True, "news", _binary),
    Set("faithfulness/summac_factcc", "Apache-2.0", True, "news", _binary),
    Set("faithfulness/summac_polytope", "Apache-2.0", True, "news", _binary),
    Set("faithfulness/summac_xsumfaith", "Apache-2.0", True, "news", _binary),
    Set("quality/summeval", "MIT", True, "news", _binary),
    Set("faithfulness/summedits", "Apache-2.0", True, "summedits", _binary),
    Set("faithfulness/fool_me_twice", "Apache-2.0", True, "fool_me_twice", _verdict),
    Set("faithfulness/factcheckgpt_stance", "Apache-2.0", True, "factcheckgpt", _stance),
    Set("faithfulness/dialfact_small", "BSD-3-Clause", True, "dialogue", _verdict),
    Set("faithfulness/conjnli", "MIT", True, "conjnli", _entailment, 1500),
    Set("faithfulness/begin", "per source, CC BY 4.0 and others", False, "dialogue", _binary),
    Set("faithfulness/wice_claim", "CC BY-SA and Common Crawl", False, "wice", _binary),
    Set("faithfulness/snli_dev_test", "CC BY-SA 4.0", False, "captions", _entailment),
    Set("faithfulness/cad_nli", "CC BY-SA 4.0 (text)", False, "captions", _entailment),
    Set("faithfulness/ragtruth_qa_test", "MIT", False, "ragtruth", _ragtruth),
)


def faithfulness(which: Set) -> Iterator[dict[str, Any]]:
    """Give the rows of a set as ``evalsvc fit faithfulness`` reads them."""
    name = which.folder.rpartition("/")[2]
    for row in rows_of(*which.folder.split("/")):
        premise, hypothesis = ("premise", "hypothesis") if "premise" in row else ("context", "response")
        made = {
            "id": row["id"],
            "group": f"{which.family}/{row['group']}",
            "source": name,
            "licence": which.licence,
            "contexts": [row[premise]],
            "response": row[hypothesis],
            "label": which.label(row),
        }
        if row.get("model"):
            made["segments"] = {"model": row["model"]}
        question = row.get("query")
        if question:
            made["question"] = question
        spans = _spans(row, made["label"])
        yield made if spans is None else made | {"spans": spans}


def _spans(row: Row, label: str) -> list[dict[str, Any]] | None:
    """Return what of a response is known to be unsupported; ``None`` where nobody said."""
    if "spans" in row:
        return [{"start": span["start"], "end": span["end"]} for span in row["spans"]]
    if row["dataset"] != "summedits":
        return None
    # An edit was made in a summary that is supported: what differs from it is what the edit changed, or, where
    # several places do, also what was said in other words.
    spans = changed(row["original_summary"], row["response"]) if label == "unsupported" else []
    return spans if len(spans) <= _MOST_EDITS and (spans or label == "supported") else None


def changed(before: str, after: str) -> list[dict[str, Any]]:
    """Return the characters of ``after`` that are not in ``before``, by words; a deletion marks its neighbours.

    >>> changed("Sales rose by 5 %", "Sales fell by 5 %")
    [{'start': 6, 'end': 10}]
    """
    old = _WORD.findall(before)
    new = [match.span() for match in _WORD.finditer(after)]
    matcher = difflib.SequenceMatcher(None, old, [after[start:end] for start, end in new], autojunk=False)
    spans = []
    for kind, _, _, first, last in matcher.get_opcodes():
        if kind == "equal" or not new:
            continue
        if first == last:
            first, last = max(0, first - 1), min(len(new), last + 1)
        spans.append({"start": new[first][0], "end": new[last - 1][1]})
    return spans


def trained_on(left_out: str = "") -> Iterator[dict[str, Any]]:
    """Give the rows that the faithfulness detector is trained on, but those of one family.

    Both classes of a set weigh the same, as far as three times: their shares are the set's making and not production's.
    Of a supported response all words are.
    """
    for which in FAITHFULNESS:
        if not which.trained or which.family == left_out:
            continue
        rows = sorted(faithfulness(which), key=lambda row: hashlib.sha256(row["id"].encode()).digest())[: which.most]
        supported = sum(row["label"] == "supported" for row in rows)
        for row in rows:
            same = supported if row["label"] == "supported" else len(rows) - supported
            row["weight"] = round(min(_MOST_WEIGHT, len(rows) / 2 / same), 3)
            if row["label"] == "supported":
                row["spans"] = []
            yield row


def main() -> None:
    """Print all rows that the faithfulness detector is trained on."""
    for row in trained_on():
        print(json.dumps(row))


if __name__ == "__main__":
    main()

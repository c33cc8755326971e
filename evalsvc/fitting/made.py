"""Responses made from contexts, so that a detector learns from documents that nobody labelled.

Of a run of a document's sentences some are hidden, and the others are the contexts. The response repeats some of these,
shortened or not (*supported*), says hidden ones (*not mentioned*), appends a clause of a hidden one, or repeats one
with a number or a name changed or a negation put in or taken out (*contradicted*); what is unsupported is marked.
Answers also speak of themselves ("Here is what I found:"), which claims nothing and is supported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from evalsvc._sentences import sentence_spans
from evalsvc.detection.words import Kind, Span, words
from evalsvc.fitting.values import Mark, Row, Unsupported

OF_ITSELF = (
    "Sure, I can help with that.",
    "Here is what I found:",
    "Let me summarise this for you.",
    "According to the documents you gave me:",
    "The sources say the following.",
    "Source {number} has more on this.",
    "This is described in document {number}.",
    "In short:",
    "To sum up:",
    "The main points are:",
    "Nothing more is said about it there.",
    "I could not find anything else on this.",
    "I am not able to answer this from what I was given.",
    "Is there anything else I can do for you?",
    "I hope that answers your question.",
    "Feel free to ask if anything is unclear.",
)
_NUMBERED = ("[{number}] {piece}", "Document {number}: {piece}", "Source {number}. {piece}", "({number}) {piece}")
Item = TypeVar("Item")

_FEWEST, _MOST = 6, 18
_WORDS = range(5, 46)
_CLAUSE = re.compile(r"[,;:–—]| which | who | because | while ")
_CLAUSE_WORDS = range(4, 17)
_AUXILIARY = re.compile(r"\b(?:is|are|was|were|has|have|had|can|will|would|could|should|may|must)\b")
_NEGATION = re.compile(r"\b(?:not|never|no)\s")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_IN_BRACKETS = re.compile(r"\s*\([^)]*\)")
_UNRELATED = "It has been like this for as long as anybody can remember."
_FACTORS = (0.1, 0.5, 0.8, 1.2, 1.5, 2, 3, 10)
_YEARS = (-20, -10, -3, -2, -1, 1, 2, 3, 10, 20)


class _Said(NamedTuple):
    text: str
    label: Unsupported = "not_mentioned"
    wrong: Span | None = None
    """The characters of ``text`` that nothing supports."""


def made_rows(documents: Sequence[str], count: int, seed: int) -> list[Row]:
    """Return so many pairs made from documents of at least six sentences; none where there is no such document.

    The same documents, count and seed give the same pairs. About 45 in 100 responses are supported throughout.
    """
    rng = np.random.default_rng(seed)
    usable = [found for found in (_sentences(document) for document in documents) if len(found) >= _FEWEST]
    if not usable:
        return []
    order = rng.permutation(len(usable))
    pairs = (_pair(usable[order[number % len(usable)]], rng) for number in range(count))
    return list(pairs)


def _sentences(document: str) -> list[str]:
    found = (document[start:end] for start, end in sentence_spans(document))
    return [sentence for sentence in found if len(sentence.split()) in _WORDS]


def _pair(document: Sequence[str], rng: np.random.Generator) -> Row:
    size = int(rng.integers(_FEWEST, min(len(document), _MOST) + 1))
    start = int(rng.integers(len(document) - size + 1))
    hidden = set(rng.choice(size, max(1, size // 5), replace=False).tolist())
    run = document[start : start + size]
    shown = [sentence for place, sentence in enumerate(run) if place not in hidden]
    secret = [sentence for place, sentence in enumerate(run) if place in hidden]
    told = sorted(rng.choice(len(shown), min(int(rng.integers(1, 6)), len(shown)), replace=False).tolist())
    faithful = rng.random() < 0.45
    known = " ".join(shown)
    secret = [sentence for sentence in secret if sentence not in known] or [_UNRELATED]
    said = [_say(shown[place], secret, known, rng, faithful=faithful) for place in told]
    said = list(dict.fromkeys(said))
    if rng.random() < 0.35:
        said.insert(0, _of_itself(rng))
    if rng.random() < 0.15:
        said.append(_of_itself(rng))
    response, spans = _joined(said, listed=rng.random() < 0.2)
    return Row(
        id="",
        place="",
        group="",
        text=response,
        found=(bool(spans),),
        contexts=tuple(_passages(shown, rng)),
        label="unsupported" if spans else "supported",
        spans=tuple(spans),
        source="made",
    )


def _say(shown: str, secret: Sequence[str], known: str, rng: np.random.Generator, *, faithful: bool) -> _Said:
    chance = rng.random()
    if faithful or chance < 0.5:
        return _Said(_shortened(shown, rng))
    if chance < 0.72:
        text = _one(secret, rng)
        return _Said(text, "not_mentioned", (0, len(text)))
    if chance < 0.9:
        return _changed(shown, known, rng) or _Said(shown)
    clauses = [part.strip() for part in _CLAUSE.split(_one(secret, rng))]
    clauses = [part for part in clauses if len(part.split()) in _CLAUSE_WORDS and part not in known]
    if not clauses:
        return _Said(shown)
    before = f"{shown.rstrip('. ')}, "
    clause = _one(clauses, rng).rstrip(".")
    return _Said(f"{before}{clause}.", "not_mentioned", (len(before), len(before) + len(clause)))


def _changed(sentence: str, document: str, rng: np.random.Generator) -> _Said | None:
    """Return the sentence with a number, a name or a negation changed; ``None`` where it has none."""
    ways = list(_ways(sentence, document, rng))
    if not ways:
        return None
    start, end, instead = ways[int(rng.integers(len(ways)))]
    text = sentence[:start] + instead + sentence[end:]
    # What was taken away is marked by the words around its place.
    wrong = (start, start + len(instead)) if instead else (max(0, start - 4), min(len(text), start + 4))
    return _Said(text, "contradicted", wrong)


def _ways(sentence: str, document: str, rng: np.random.Generator) -> Iterator[tuple[int, int, str]]:
    """Give one change of each kind that the sentence allows: from, to, and what to write instead."""
    found = words(sentence)
    by_kind: dict[Kind, list[Span]] = {kind: [] for kind in Kind}
    for span, kind in zip(found.spans, found.kinds, strict=True):
        by_kind[kind].append(span)
    numbers = [span for span in by_kind[Kind.NUMBER] if sentence[span[0]].isdigit()]
    if numbers:
        start, end = _one(numbers, rng)
        yield start, end, _other_number(sentence[start:end], document, rng)
    if by_kind[Kind.NAME]:
        start, end = _one(by_kind[Kind.NAME], rng)
        names = words(document)
        others = sorted(
            {document[a:b] for (a, b), kind in zip(names.spans, names.kinds, strict=True) if kind is Kind.NAME}
            - {sentence[start:end]}
        )
        if others:
            yield start, end, _one(others, rng)
    auxiliaries = [match.end() for match in _AUXILIARY.finditer(sentence)]
    negations = [match.span() for match in _NEGATION.finditer(sentence)]
    if negations:
        yield (*_one(negations, rng), "")
    elif auxiliaries:
        place = _one(auxiliaries, rng)
        yield place, place, " never" if rng.random() < 0.2 else " not"


def _other_number(number: str, document: str, rng: np.random.Generator) -> str:
    others = sorted({match.group() for match in _NUMBER.finditer(document)} - {number})
    if others and rng.random() < 0.5:
        return _one(others, rng)
    if number.isdigit() and len(number) == 4 and number[0] in "12":
        return str(int(number) + int(rng.choice(_YEARS)))
    places = len(number.partition(".")[2])
    try:
        changed = f"{float(number.replace(',', '')) * float(rng.choice(_FACTORS)):.{places}f}"
    except ValueError:
        return f"{number}0"
    return changed if changed != number else f"{number}0"


def _shortened(sentence: str, rng: np.random.Generator) -> str:
    """Return the sentence, half the time without what is in brackets or between commas."""
    if rng.random() < 0.5:
        return sentence
    parts = _IN_BRACKETS.sub("", sentence).split(", ")
    if len(parts) > 2 and rng.random() < 0.6:
        del parts[int(rng.integers(1, len(parts) - 1))]
    elif len(parts) == 2 and len(parts[0].split()) > 5 and rng.random() < 0.4:
        return f"{parts[0].rstrip('.')}."
    return ", ".join(parts)


def _of_itself(rng: np.random.Generator) -> _Said:
    return _Said(_one(OF_ITSELF, rng).format(number=int(rng.integers(1, 4))))


def _joined(said: Sequence[_Said], *, listed: bool) -> tuple[str, list[Mark]]:
    text = ""
    spans = []
    for number, item in enumerate(said):
        text += ("\n" if listed else " ") * (number > 0) + "- " * listed
        if item.wrong is not None:
            spans.append(Mark(len(text) + item.wrong[0], len(text) + item.wrong[1], item.label))
        text += item.text
    return text, spans


def _passages(shown: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return the shown sentences as one context or, as retrieval gives them, in two or three."""
    if rng.random() < 0.6 or len(shown) < 3:
        return [" ".join(shown)]
    inner = np.arange(1, len(shown))
    cuts = [0, *sorted(rng.choice(inner, min(int(rng.integers(1, 3)), len(inner)), replace=False).tolist()), len(shown)]
    pieces = [" ".join(shown[start:end]) for start, end in pairwise(cuts)]
    if rng.random() < 0.6:
        form = _one(_NUMBERED, rng)
        return [form.format(number=number, piece=piece) for number, piece in enumerate(pieces, 1)]
    return pieces


def _one(items: Sequence[Item], rng: np.random.Generator) -> Item:
    return items[int(rng.integers(len(items)))]

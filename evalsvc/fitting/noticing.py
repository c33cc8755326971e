"""What is worth knowing about rows before anything is fitted: copies, contradictory labels, other languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evalsvc.fitting.values import Note, Row
from evalsvc.scorers import _language
from evalsvc.set_audit.near import folded

CONTRADICTIONS = 0.02
OTHER_LANGUAGES = 0.05
_MOST_LANGUAGES, _LEAST_OTHERS = 3, 3
_MOST_TEXTS = 2000
"""Of how many rows, evenly spread, the language is looked at."""

_Content = tuple[str, tuple[str, ...], str]


def without_copies(rows: Sequence[Row]) -> tuple[list[Row], list[Note]]:
    """Return the rows of which no earlier one has the same content and labels, with a note on the others."""
    seen: dict[tuple[_Content, object], Row] = {}
    for row in rows:
        # Of a supported response it is no other label whether its spans are told.
        seen.setdefault((_content(row), (row.found, row.label, row.spans or ())), row)
    kept = list(seen.values())
    gone = len(rows) - len(kept)
    said = "1 row is a copy of an earlier one and was" if gone == 1 else f"{gone:,} rows are copies and were"
    return kept, [Note(f"{said} left out")] if gone else []


def notices(rows: Sequence[Row], tasks: Sequence[str]) -> list[Note]:
    """Return notes on contradictory labels and on languages."""
    return [*_contradictions(rows, tasks), *_languages(rows)]


def _contradictions(rows: Sequence[Row], tasks: Sequence[str]) -> list[Note]:
    made = []
    for place, task in enumerate(tasks):
        labels: dict[_Content, set[bool]] = {}
        for row in rows:
            truth = row.found[place]
            if truth is not None:
                labels.setdefault(_content(row), set()).add(truth)
        both = [content for content, found in labels.items() if len(found) > 1]
        share = len(both) / len(labels) if labels else 0.0
        if both:
            texts = "1 text has" if len(both) == 1 else f"{len(both):,} texts ({share:.1%}) have"
            made.append(Note(f"{texts} both labels of {task} in different rows", warning=share > CONTRADICTIONS))
    return made


def _languages(rows: Sequence[Row]) -> list[Note]:
    """Say which share of texts is in languages that the trunk, whose words are English, reads badly."""
    looked = rows[:: max(1, len(rows) // _MOST_TEXTS)]
    guesses = Counter(_language.identify(row.text).language for row in looked)
    sure = sum(count for language, count in guesses.items() if language)
    others = sum(count for language, count in guesses.items() if language not in (None, "en"))
    if others < _LEAST_OTHERS or others <= OTHER_LANGUAGES * sure:
        return []
    first = [(language, count) for language, count in guesses.most_common() if language not in (None, "en")]
    named = ", ".join(f"{language} {count / sure:.0%}" for language, count in first[:_MOST_LANGUAGES])
    return [
        Note(
            f"{others / sure:.0%} of the texts whose language was recognised ({sure:,} of {len(looked):,}) are not in "
            f"English ({named}); the trunk knows English words, so look at the figures of each language, by a "
            "segment that names it",
            warning=True,
        )
    ]


def _content(row: Row) -> _Content:
    return folded(row.text), tuple(folded(context) for context in row.contexts), folded(row.question)

"""Responses with what scorers found unsupported in them marked, to be read by a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from evalsvc._plain import harmless
from evalsvc._sentences import Span, sentence_spans
from evalsvc.types import Sample, Score

_SHOWN = 120
_DOUBTFUL = 0.5
"""From which probability on a sentence below the threshold is shown as doubtful."""
_MARKING = frozenset({"faithfulness", "nli_faithfulness", "sequence_faithfulness", "token_faithfulness"})
"""Whose scores are told of also where they have no value."""


def marked(sample: Sample, score: Score) -> str:
    """Return a response a sentence a line, those marked of which a score's detail says that they are unsupported.

    ``✗`` stands for unsupported, ``?`` for a probability of it that is below the threshold, but at least 0.5. Nothing
    where the detail says neither by sentences nor by characters what is; of a faithfulness without a value the reason.
    """
    if score.value is None and score.metric in _MARKING:
        return harmless(f"{score.subject.event_id} · {score.metric}: no score, {score.reason}")
    detail = json.loads(score.detail) if score.detail else {}
    by_characters = "hallucinated_characters" in detail
    if score.value is None or not (by_characters or "unsupported" in detail):
        return ""
    rows = {row["start"]: row for row in detail.get("unsupported", ())}
    doubtful = {row["start"]: row for row in detail.get("supported", ()) if row.get("unsupported", 0.0) >= _DOUBTFUL}
    spans = [(row["start"], row["end"]) for row in detail["spans"]] if by_characters else []
    lines = [f"{score.subject.event_id} · {score.metric} {score.value:.2f}"]
    for start, end in sentence_spans(sample.event.response):
        row = rows.get(start)
        words = row.get("words", ()) if row else [span for span in spans if span[0] < end and span[1] > start]
        sign = "✗" if row or words else "?" if start in doubtful else " "
        lines.append(f"  {sign} {' '.join(_with_marks(sample.event.response, (start, end), words).split())}")
        if row := row or doubtful.get(start):
            lines.append(f"      {'; '.join(_why(row, sample.event.contexts))}")
    if left := _unlisted(detail, len(spans) or len(rows)):
        lines.append(f"  … and {left:,} more that the score does not list are not marked")
    return harmless("\n".join(lines))


def _unlisted(detail: Mapping[str, Any], listed: int) -> int:
    """Return how many unsupported places a detail counts beyond those that it lists."""
    counts = ("spans_count", "unsupported_count", "contradicted_count", "not_mentioned_count")
    return max(0, sum(int(detail.get(name, 0)) for name in counts) - listed)


def _with_marks(text: str, sentence: Span, words: Sequence[Sequence[int]]) -> str:
    """Return a sentence with its words that are to blame in brackets.

    >>> _with_marks("It costs 3 GBP.", (0, 15), [(9, 14)])
    'It costs ⟦3 GBP⟧.'
    """
    start, end = sentence
    inside = [(max(start, first), min(end, last)) for first, last in words]
    cuts = [start, *(place for span in inside for place in span), end]
    parts = [text[first:last] for first, last in pairwise(cuts)]
    return "".join(f"⟦{part}⟧" if place % 2 else part for place, part in enumerate(parts))


def _why(row: Mapping[str, Any], contexts: Sequence[str]) -> Iterator[str]:
    if row.get("status") == "supported":
        yield f"below the threshold, {row['unsupported']:.2f}"
    elif "unsupported" in row:
        yield f"{row.get('status', 'unsupported').replace('_', ' ')}, {row['unsupported']:.2f}"
    elif "support" in row:
        yield f"support {row['support']:.2f}"
    if "context" in row:
        nearest = " ".join(contexts[row["context"]][row["context_start"] : row["context_end"]].split())
        yield f"nearest: {nearest if len(nearest) <= _SHOWN else f'{nearest[:_SHOWN]}…'}"

"""What a judge replies to the prompts of ragas and deepeval, told by their wording."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from servers.judge import Answer, Request, Rule, says

# A phrase of the prompt, and the kind of reply that it asks for; the first that is found counts.
PHRASES = (
    ("Break down each sentence", "statements"),
    ("faithfulness of a series of statements", "faithful"),
    ("noncommittal", "question"),
    ("useful in arriving", "useful"),
    ("attributed", "recall"),
    ("generate a list of OPINIONS", "opinions"),
    ("generate a list of JSON", "verdicts"),
    ("For each context in contexts", "verdicts"),
    ('"steps"', "steps"),
    ("You are an evaluator", "grade"),
)

REPLIES: Mapping[str, Any] = {
    "statements": {"statements": ["a", "b"]},
    "faithful": {
        "statements": [
            {"statement": "a", "reason": "", "verdict": 1},
            {"statement": "b", "reason": "", "verdict": 0},
        ]
    },
    "question": {"question": "How long does delivery take?", "noncommittal": 0},
    "useful": {"reason": "", "verdict": 1},
    "recall": {"classifications": [{"statement": "a", "reason": "", "attributed": n % 2} for n in range(4)]},
    "opinions": {"opinions": ["x", "y"]},
    "verdicts": {"verdicts": [{"verdict": "no", "reason": ""}, {"verdict": "yes", "reason": ""}]},
    "steps": {"steps": ["Look at it."]},
    "grade": {"reason": "", "score": 7},
}


def kind_of(request: Request) -> str:
    """The kind of reply that a prompt asks for."""
    return next(kind for phrase, kind in PHRASES if phrase in request.text)


def replying(**changes: Any) -> Rule:
    """A rule with other replies for some kinds: an Answer as it is, anything else as JSON."""

    def rule(request: Request) -> Answer:
        reply = {**REPLIES, **changes}[kind_of(request)]
        return reply if isinstance(reply, Answer) else says(json.dumps(reply))

    return rule

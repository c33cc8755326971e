"""What a case says, as texts to look at. Nothing here leaves the audit: findings name cases, and quote none."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.cases.values import Case
from evalsvc.scorers import _language

LOOKED_AT = 400
"""Characters of a question by which its language is told: more hardly ever change it, and take their time."""


def asked(case: Case) -> str:
    """Return the whole conversation but its system messages; where there is nothing else, these."""
    said = [message.content for message in case.messages if message.role != "system"]
    return "\n".join(said or [message.content for message in case.messages])


def question(case: Case) -> str:
    """Return what the user asks last; without a user, all that is asked."""
    users = [message.content for message in case.messages if message.role == "user"]
    return users[-1] if users else asked(case)


def languages(texts: Sequence[str]) -> list[str]:
    """Return the ISO 639 code of each text; empty where it cannot be told."""
    _language.load()
    return [_language.identify(text[:LOOKED_AT]).language or "" for text in texts]

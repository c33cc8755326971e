"""What a way to change a case is, and what it is given: pure functions of a case and a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import msgspec

from evalsvc.cases.values import Case
from evalsvc.types import Message


class Amounts(NamedTuple):
    """How much is changed.

    Attributes:
        typos: share of the words that get a slip of the keyboard, in (0, 1].
        lookalikes: share of the letters with a look-alike that are exchanged, in (0, 1].
        gaps: share of the gaps between words that become another white space, in (0, 1].
        distractors: how many contexts of other cases are put between a case's own, at least 1.
        padding_words: to how many words the contexts are padded.
    """

    typos: float = 0.1
    lookalikes: float = 0.3
    gaps: float = 0.2
    distractors: int = 2
    padding_words: int = 2_000


class Around(NamedTuple):
    """What a change may use besides the case: its own random numbers, amounts, and contexts of other groups' cases."""

    random: Random
    amounts: Amounts
    others: tuple[str, ...]


Change = Callable[[Case, Around], Case | None]
"""Returns the changed case, or None where there is nothing to change."""


class Kind(NamedTuple):
    """A way to change a case.

    Attributes:
        says: what it does, in a line.
        keeps_reference: whether a good answer to the source is one to the variant; otherwise it has no reference.
        change: does it.
    """

    says: str
    keeps_reference: bool
    change: Change


TextChange = Callable[[str, Around], str | None]


def on_question(change: TextChange) -> Change:
    """Return a change of what the user asked last: the prompt, or the last message with role ``user``."""

    def changed(case: Case, around: Around) -> Case | None:
        if isinstance(case.prompt, str):
            text = change(case.prompt, around)
            return None if text is None else msgspec.structs.replace(case, prompt=text)
        places = [place for place, message in enumerate(case.prompt) if message.role == "user"]
        if not places:
            return None
        last = places[-1]
        text = change(case.prompt[last].content, around)
        if text is None:
            return None
        return msgspec.structs.replace(
            case, prompt=(*case.prompt[:last], Message("user", text), *case.prompt[last + 1 :])
        )

    return changed


def language_of(case: Case) -> str:
    """Return the case's language as its segment ``language`` says it (``de-CH`` is ``de``); English without one."""
    return case.segments.get("language", "en").partition("-")[0].partition("_")[0].lower() or "en"


def some(random: Random, places: list[int], share: float) -> list[int]:
    """Return a share of the places in their order, at least one where there are any."""
    count = min(len(places), max(1, round(share * len(places))))
    return sorted(random.sample(places, count))

"""The interface of a faithfulness detector, and published models as such.

A detector of sentences says how far a passage supports a sentence; a detector of tokens says which tokens of a
response are made up, given a passage. Whatever keeps the two protocols can stand in place of a published model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from evalsvc._sentences import Span
from evalsvc.engine import PairClassifier, TokenClassifier
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.tokens import Unreadable
from evalsvc.errors import EngineError
from evalsvc.scorers._passages import WORD
from evalsvc.types import Sample

Matrix = NDArray[np.float32]


class Case(NamedTuple):
    """What a detector is asked about one response: passages, and texts that each of them is to judge."""

    passages: Sequence[str]
    texts: Sequence[str]


class Cutter(Protocol):
    """What a detector says about lengths, so that nothing is cut silently."""

    @property
    def room(self) -> int:
        """How many tokens a passage and a text may have together."""
        ...

    def spans(self, texts: Sequence[str]) -> Sequence[Sequence[Span] | Unreadable]:
        """Return the half-open positions of each text's tokens, in order, or why it has none."""
        ...


class SentenceDetector(Cutter, Protocol):
    """Says how far passages support sentences."""

    def support(self, cases: Sequence[Case]) -> Sequence[Matrix | ItemFailure]:
        """Return ``[texts, passages]`` a case, probabilities that the passage supports the text; or why not."""
        ...


class TokenDetector(Cutter, Protocol):
    """Says which tokens of a response are made up."""

    def hallucinated(self, cases: Sequence[Case]) -> Sequence[Sequence[Matrix] | ItemFailure]:
        """Return ``[passages, tokens]`` for each text of a case, probabilities that the token is made up; or why not.

        The tokens are those of :meth:`Cutter.spans` of the text.
        """
        ...


class ClassifierSupport:
    """A published cross-encoder as a :class:`SentenceDetector`: the probability of one of its labels."""

    def __init__(self, model: PairClassifier, label: int) -> None:
        self._model = model
        self._label = label

    @property
    def room(self) -> int:
        """How many tokens a passage and a text may have together."""
        return self._model.room

    def spans(self, texts: Sequence[str]) -> Sequence[Sequence[Span] | Unreadable]:
        """Return the positions of each text's tokens."""
        return self._model.spans(texts)

    def support(self, cases: Sequence[Case]) -> Sequence[Matrix | ItemFailure]:
        """Return the label's probabilities, ``[texts, passages]`` a case, from one call of the model."""
        results: list[Matrix | ItemFailure] = []
        for case, rows in zip(cases, _by_case(cases, self._model.probabilities(_pairs(cases))), strict=True):
            if isinstance(rows, ItemFailure):
                results.append(rows)
            else:
                values = np.array([row[self._label] for row in rows], dtype=np.float32)
                results.append(values.reshape(len(case.texts), len(case.passages)))
        return results


class ClassifierTokens:
    """A published token classifier as a :class:`TokenDetector`: the probability of one of its labels."""

    def __init__(self, model: TokenClassifier, label: int) -> None:
        self._model = model
        self._label = label

    @property
    def room(self) -> int:
        """How many tokens a passage and a text may have together."""
        return self._model.room

    def spans(self, texts: Sequence[str]) -> Sequence[Sequence[Span] | Unreadable]:
        """Return the positions of each text's tokens."""
        return self._model.spans(texts)

    def hallucinated(self, cases: Sequence[Case]) -> Sequence[Sequence[Matrix] | ItemFailure]:
        """Return the label's probabilities, ``[passages, tokens]`` a text, from one call of the model."""
        results: list[list[Matrix] | ItemFailure] = []
        for case, rows in zip(cases, _by_case(cases, self._model.probabilities(_pairs(cases))), strict=True):
            if isinstance(rows, ItemFailure):
                results.append(rows)
            else:
                wide = len(case.passages)
                values = [row[:, self._label] for row in rows]
                results.append([np.stack(values[place : place + wide]) for place in range(0, len(values), wide)])
        return results


def label_index(model: str, labels: Sequence[str], asked: int | str | None, option: str) -> int:
    """Return the place of the label that an option names, by its number or its name.

    Raises:
        EngineError: when it names none of the model's labels; the message lists them.

    >>> label_index("m", ("unsupported", "supported"), "Supported", "supported")
    1
    """
    folded = [label.casefold() for label in labels]
    if isinstance(asked, str) and folded.count(asked.casefold()) == 1:
        return folded.index(asked.casefold())
    if isinstance(asked, int) and 0 <= asked < len(labels):
        return asked
    raise EngineError(
        f"Expected option `{option}` to name one of the labels of model {model!r}, {listed(labels)}, but got {asked!r}"
    )


def listed(labels: Iterable[str]) -> str:
    """Return labels with their numbers, as in ``0: no, 1: yes``."""
    return ", ".join(f"{index}: {label}" for index, label in enumerate(labels))


def unfit(sample: Sample) -> str | None:
    """Return why a sample cannot be judged by its contexts, or ``None``."""
    event = sample.event
    if not event.response.strip():
        return "empty response"
    if not any(context.strip() for context in event.contexts):
        return "no contexts"
    if not WORD.search(event.response):
        return "no words in the response"
    if not any(WORD.search(context) for context in event.contexts):
        return "no words in the contexts"
    return None


def token_spans(cutter: Cutter, texts: Iterable[str]) -> dict[str, Sequence[Span] | Unreadable]:
    """Return the token positions of every text, equal texts once."""
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, cutter.spans(unique), strict=True))


def _pairs(cases: Sequence[Case]) -> list[tuple[str, str]]:
    return [(passage, text) for case in cases for text in case.texts for passage in case.passages]


def _by_case(cases: Sequence[Case], found: Sequence[Matrix | ItemFailure]) -> list[list[Matrix] | ItemFailure]:
    """Cut the pairs' rows by case; one that failed could have been the one that decides, so its case fails."""
    rows = iter(found)
    results: list[list[Matrix] | ItemFailure] = []
    for case in cases:
        own = list(islice(rows, len(case.texts) * len(case.passages)))
        failure = next((row for row in own if isinstance(row, ItemFailure)), None)
        results.append(failure or [row for row in own if not isinstance(row, ItemFailure)])
    return results

"""Tokenise the next part of a call while the device works on the present one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from evalsvc.engine.device import Placement

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")

BATCHES_A_PART = 8
"""Full batches in a part. Batches of like length are cut within a part, so that fewer would pad more."""
CHARACTERS_PER_TOKEN = 4
"""English has four to five; four is on the safe side of a batch's budget."""
PARTS_HANDED_OVER = 4
"""Parts that a caller hands a small model on a GPU at once: with one alone there is nothing to tokenise ahead."""


def tokens_to_hand_over(placement: Placement, parts: int = PARTS_HANDED_OVER) -> int | None:
    """Return how many tokens of text fill a GPU's batches for so many parts; ``None`` on a CPU.

    On a CPU a part is seconds of work, the tokeniser is a hundredth of it, and whoever hands texts over wants to be
    asked in between whether to stop.

    >>> tokens_to_hand_over(Placement("cuda:1", "bfloat16", 65_536), parts=1)
    524288
    >>> tokens_to_hand_over(Placement("cpu", "float32", 4096))
    """
    return None if placement.device == "cpu" else parts * BATCHES_A_PART * placement.max_batch_tokens


def parts_of(items: Sequence[Item], sizes: Iterable[int], max_batch_tokens: int) -> list[Sequence[Item]]:
    """Return the items in order, in parts of about :data:`BATCHES_A_PART` full batches; a part has at least one item.

    Args:
        items: texts, or pairs of texts.
        sizes: the characters of each item.
        max_batch_tokens: the token budget of a batch.

    >>> parts_of(["a", "b", "c"], [20, 20, 20], max_batch_tokens=1)
    [['a'], ['b'], ['c']]
    >>> parts_of(["a", "b", "c"], [20, 20, 20], max_batch_tokens=3)
    [['a', 'b', 'c']]
    """
    room = BATCHES_A_PART * max_batch_tokens * CHARACTERS_PER_TOKEN
    parts: list[Sequence[Item]] = []
    begin = total = 0
    for place, size in enumerate(sizes):
        # One more stands for the special tokens of an empty text.
        if place > begin and total + size + CHARACTERS_PER_TOKEN > room:
            parts.append(items[begin:place])
            begin, total = place, 0
        total += size + CHARACTERS_PER_TOKEN
    if begin < len(items):
        parts.append(items[begin:])
    return parts


def overlapped(
    parts: Sequence[Sequence[Item]],
    prepare: Callable[[Sequence[Item]], Prepared],
    compute: Callable[[Prepared], Sequence[Result]],
) -> list[Result]:
    """Return ``compute(prepare(part))`` of all parts, one after the other, preparing one part ahead.

    ``compute`` runs in the caller's thread and ``prepare`` in another, of which there is none for a single part. At
    most two prepared parts are held. An exception of either goes to the caller, after what the thread is just
    preparing has ended; nothing else is begun.
    """
    if len(parts) < 2:
        return [result for part in parts for result in compute(prepare(part))]
    results: list[Result] = []
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="evalsvc-tokenise") as thread:
        coming = thread.submit(prepare, parts[0])
        for part in parts[1:]:
            ready = coming.result()
            coming = thread.submit(prepare, part)
            results += compute(ready)
        results += compute(coming.result())
    return results

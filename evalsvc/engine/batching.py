"""Cut items into batches by length: little padding, and memory bounded by tokens instead of items."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.errors import InputError


def plan(lengths: Sequence[int], max_tokens: int, max_batch: int = 4096) -> list[list[int]]:
    """Return batches of indices: every item in exactly one, and ``max(length) * n <= max_tokens`` in each.

    Items are taken longest first, so the largest batch comes first and running out of memory shows early. An
    item that alone is longer than the budget is a batch of its own.

    Args:
        lengths: tokens of each item, >= 0.
        max_tokens: the budget of a batch in padded tokens, >= 1.
        max_batch: the greatest number of items in a batch, >= 1.

    Raises:
        InputError: on a negative length or a limit below 1.

    >>> plan([3, 9, 4, 3], max_tokens=10)
    [[1], [2, 3], [0]]
    """
    if max_tokens < 1 or max_batch < 1:
        raise InputError(f"Expected `max_tokens` and `max_batch` >= 1, but got {max_tokens} and {max_batch}")
    if lengths and min(lengths) < 0:
        raise InputError(f"Expected `lengths` >= 0, but got {min(lengths)}")
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda item: (-lengths[item], -item)):
        if room < 1:
            batches.append([])
            longest = max(lengths[index], 1)
            room = min(max(max_tokens // longest, 1), max_batch)
        batches[-1].append(index)
        room -= 1
    return batches


def padding_waste(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Return the share of padded tokens that hold nothing, in [0, 1); 0 without tokens. Lower is better.

    >>> padding_waste([2, 4], [[0, 1]])
    0.25
    """
    used = sum(lengths[index] for batch in batches for index in batch)
    padded = sum(max(lengths[index] for index in batch) * len(batch) for batch in batches if batch)
    return 1.0 - used / padded if padded else 0.0

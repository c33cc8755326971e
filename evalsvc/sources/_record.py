"""The record that our own sources deliver; kafka-python's is one as it is."""

from __future__ import annotations

from typing import NamedTuple


class RawRecord(NamedTuple):
    """One message: its place in the partition, its bytes, and when it was received (ms since the epoch)."""

    offset: int
    value: bytes
    timestamp: int

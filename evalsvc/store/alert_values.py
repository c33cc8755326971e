"""What an alert log takes, checked before anything is written; and states and transitions as JSON and back."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from evalsvc.errors import InputError, StoreError
from evalsvc.rules.history import LAST_ERA, Look, Receipt, Silence
from evalsvc.rules.machine import AlertState
from evalsvc.store.ranks import EPOCH, clean
from evalsvc.store.steps import EARLIEST
from evalsvc.types import utc

LATEST = EARLIEST.replace(year=2100)
"""Times from here on are refused: the database drops a silence some 400 days after its end, in 32-bit seconds."""

LONGEST_LEASE = 86_400.0

# A float that JSON has no word for, as MessagePack writes it: its exponent's bits are all set.
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")

T = TypeVar("T")


def check_looks(looks: Sequence[Look]) -> None:
    """Refuse looks whose transition is another alert's, or whose times no store can hold.

    Raises:
        InputError: naming the field.
    """
    for state, transition in looks:
        if not 0 <= state.era <= LAST_ERA:
            raise InputError(f"Expected `era` in [0, {LAST_ERA}], but got {state.era}")
        if state.evaluated_at is not None:
            check_time("evaluated_at", state.evaluated_at)
        if transition is None:
            continue
        check_time("at", transition.at)
        if transition.fingerprint != state.fingerprint:
            raise InputError(
                f"Expected the transition beside the state of alert {clean(state.fingerprint)} to be of that alert, "
                f"but got one of {clean(transition.fingerprint)}; make it with evalsvc.rules.transition"
            )


def check_receipts(receipts: Sequence[Receipt]) -> None:
    """Refuse receipts that no store can hold.

    Raises:
        InputError: on ``attempts`` outside [0, 2³²), or a time without a zone or out of range.
    """
    for receipt in receipts:
        check_time("at", receipt.at)
        if not 0 <= receipt.attempts < 1 << 32:
            raise InputError(f"Expected `attempts` in [0, 2**32), but got {receipt.attempts}")


def check_silence(silence: Silence) -> None:
    """Refuse a silence that ends before it begins (an end at its beginning withdraws it), or that no store can hold.

    Raises:
        InputError: naming the field.
    """
    for name in ("starts_at", "ends_at", "recorded_at"):
        check_time(name, getattr(silence, name))
    if silence.ends_at < silence.starts_at:
        raise InputError(
            f"Expected a silence with `starts_at` <= `ends_at`, but got {silence.starts_at.isoformat()} "
            f"and {silence.ends_at.isoformat()}"
        )


def check_time(name: str, moment: datetime) -> datetime:
    """Return a time in UTC.

    Raises:
        InputError: it has no zone, or is before :data:`evalsvc.store.steps.EARLIEST` or from :data:`LATEST` on.
    """
    if not EARLIEST <= utc(moment) < LATEST:
        raise InputError(
            f"Expected `{name}` from {EARLIEST.date()} up to {LATEST.date()}, but got {moment.isoformat()}"
        )
    return utc(moment)


def check_limit(limit: int) -> int:
    """Return a limit.

    Raises:
        InputError: it is negative.
    """
    if limit < 0:
        raise InputError(f"Expected `limit` >= 0, but got {limit}")
    return limit


def check_seconds(seconds: float, least: float = 0.0) -> float:
    """Return a lease's length.

    Raises:
        InputError: it is not in (``least``, :data:`LONGEST_LEASE`].
    """
    if not (math.isfinite(seconds) and least < seconds <= LONGEST_LEASE):
        raise InputError(f"Expected `seconds` in ({least:g}, {LONGEST_LEASE:g}], but got {seconds!r}")
    return seconds


def ranked(state: AlertState, moved: bool) -> tuple[int, datetime, bool]:
    """Return what decides between two states of an alert: the greater counts."""
    return (state.era, EPOCH if state.evaluated_at is None else utc(state.evaluated_at), moved)


def to_json(value: object) -> str:
    """Return a value as JSON that :func:`from_json` reads back to an equal one.

    An infinite float becomes a text (``"-inf"``): JSON has no such number, and a detector that has seen nothing holds
    some. Of texts, what UTF-8 cannot hold (a lone surrogate) becomes ``?``.
    """
    try:
        if not _NOT_FINITE.search(msgspec.msgpack.encode(value)):
            return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        pass
    return msgspec.json.encode(_plain(msgspec.to_builtins(value))).decode()


def from_json(text: str, kind: type[T]) -> T:
    """Return the value of a JSON text.

    Raises:
        StoreError: it is none of this kind: another release wrote it.
    """
    try:
        return msgspec.json.decode(text, type=kind, strict=False)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"Expected a stored {kind.__name__}, but another release wrote it otherwise ({error}); "
            "run the release that wrote it, or a later one"
        ) from error


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

"""What the contract checks say where something is not as it has to be."""

from __future__ import annotations

from collections.abc import Callable

from evalsvc.errors import InputError


def expect(what: str, expected: object, found: object) -> None:
    """Raise AssertionError where two values differ."""
    if expected != found:
        raise AssertionError(f"Expected {what} to be {expected!r}, but got {found!r}")


def refused(what: str, call: Callable[[], object]) -> None:
    """Raise AssertionError where a call is not refused with InputError."""
    try:
        call()
    except InputError:
        return
    raise AssertionError(f"Expected {what} to be refused with InputError, but it was accepted")

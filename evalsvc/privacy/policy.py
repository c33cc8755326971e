"""What is done with what is found: the masking policy, the operator's own patterns, the key of hashes."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from typing import Literal

import msgspec

from evalsvc.errors import ConfigError, InputError
from evalsvc.privacy._presidio import regex_module
from evalsvc.privacy.catalogue import ENTITY_TYPES, UNSEARCHED

Action = Literal["mask", "hash", "drop", "keep"]
ACTIONS: tuple[Action, ...] = ("mask", "hash", "drop", "keep")

KEY_VARIABLE = "EVALSVC_MASKING_KEY"
SHORTEST_KEY = 16
NAME = re.compile(r"[A-Z][A-Z0-9_]{2,63}")

# Strings on which patterns with nested repetition take exponentially long.
PROBES = (
    "a" * 3000 + "!",
    "0" * 3000 + "!",
    "a " * 1500 + "!",
    "ab1-" * 750 + "!",
    "0." * 1500 + "!",
    "é" * 3000 + "\n",
)
PROBE_SECONDS = 0.2


class CustomPattern(msgspec.Struct, frozen=True):
    """A type of the operator's own: customer numbers, contract numbers, names of internal systems.

    ``regex`` is searched as it stands (add ``(?i)`` for either case) and counts without context.
    """

    entity_type: str
    regex: str


class MaskingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What masking looks for and what it does with each type.

    Args:
        default: what is done with a type that ``actions`` does not name: ``mask`` → ``[EMAIL_ADDRESS]``,
        ``hash`` →
            ``[EMAIL_ADDRESS:3fa9c2d1e0b7]`` (keyed), ``drop`` → removed, ``keep`` → left as it is, and
            recorded.
        actions: by entity type.
        entity_types: which to look for; all when empty.
        patterns: the operator's own.
        user_id: what is done with ``Event.user_id`` as a whole.

    Raises:
        ConfigError: on an unknown action or type, and on a pattern that is invalid, matches nothing at all,
        or takes
            longer than 0.2 s on a text of 3,000 characters.
    """

    default: Action = "mask"
    actions: Mapping[str, Action] = {}
    entity_types: tuple[str, ...] = ()
    patterns: tuple[CustomPattern, ...] = ()
    user_id: Action = "hash"

    def __post_init__(self) -> None:
        """Refuse what could only fail, or mask nothing, later."""
        for action in (self.default, self.user_id, *self.actions.values()):
            if action not in ACTIONS:
                raise ConfigError(f"Expected an action of {', '.join(ACTIONS)}, but got {action!r}")
        known = {*ENTITY_TYPES, *(pattern.entity_type for pattern in self.patterns)}
        unknown = sorted({*self.actions, *self.entity_types} - known)
        if unknown:
            raise ConfigError(
                f"Expected entity types of docs/reference/masking.md or of `patterns`, but got {', '.join(unknown)}"
            )
        for pattern in self.patterns:
            check_pattern(pattern)

    def action_for(self, entity_type: str) -> Action:
        """Return what is done with a type; ``UNSEARCHED`` is masked, whatever the policy says."""
        if entity_type == UNSEARCHED:
            return "mask"
        return self.actions.get(entity_type, self.default)


def check_pattern(pattern: CustomPattern) -> None:
    """Refuse a pattern of the operator's that is invalid, matches nothing at all, or can take for ever.

    Raises:
        ConfigError: naming the pattern and what is wrong with it.
    """
    regex = regex_module()
    name = pattern.entity_type
    if NAME.fullmatch(name) is None or name in (UNSEARCHED, *ENTITY_TYPES):
        raise ConfigError(
            f"Expected a name of capitals, digits and underscores that is not a built-in type, but got {name!r}"
        )
    try:
        compiled = regex.compile(pattern.regex)
    except regex.error as error:
        raise ConfigError(f"Expected a regular expression for {name}, but got {pattern.regex!r}: {error}") from error
    if compiled.search("") is not None:
        raise ConfigError(
            f"Expected a regular expression for {name} that needs a character, but {pattern.regex!r} does not"
        )
    for probe in PROBES:
        try:
            for _ in compiled.finditer(probe, timeout=PROBE_SECONDS):
                pass
        except TimeoutError as error:
            raise ConfigError(
                f"The regular expression for {name} takes longer than {PROBE_SECONDS} s on {len(probe)} "
                f"characters ({probe[:6]!r}...); bound its repetitions, or avoid one inside another: "
                f"{pattern.regex!r}"
            ) from error


def key_from_environment(environment: Mapping[str, str] | None = None, variable: str = KEY_VARIABLE) -> bytes:
    """Return the project's masking key from ``EVALSVC_MASKING_KEY``, or a random one for this process.

    The variable holds an even number of hexadecimal digits (32 or more) or any text of 16 bytes or more.
    With a random key, digests agree within this process only: users and values can't be linked across
    workers or restarts. Set the variable to the same value everywhere, and keep it: a new key starts new
    digests.

    Raises:
        InputError: when the variable is set and shorter than 16 bytes.

    >>> key_from_environment({"EVALSVC_MASKING_KEY": "00" * 16}) == bytes(16)
    True
    >>> len(key_from_environment({}))
    32
    """
    text = (os.environ if environment is None else environment).get(variable, "")
    if not text:
        return secrets.token_bytes(32)
    if re.fullmatch(r"(?:[0-9a-fA-F]{2}){16,}", text):
        return bytes.fromhex(text)
    key = text.encode("utf-8", "surrogateescape")
    check_key(key, variable)
    return key


def check_key(key: bytes, name: str = "key") -> None:
    """Refuse a key that is too short to protect what can be guessed, such as telephone numbers.

    Raises:
        InputError: when it has fewer than 16 bytes.
    """
    if len(key) < SHORTEST_KEY:
        raise InputError(f"Expected `{name}` of {SHORTEST_KEY} bytes or more, but got {len(key)}")

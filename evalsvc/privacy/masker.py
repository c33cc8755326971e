"""Masking an event before anything of it is written: texts, nested data, segments, the user's key.

A text is searched again after each change until nothing more is found, because a removal can bring a context
word near to a number; so a masked text holds nothing that would be masked, and masking twice is masking once.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from evalsvc.privacy.catalogue import ENTITY_TYPES, UNSEARCHED
from evalsvc.privacy.folding import fold
from evalsvc.privacy.policy import Action, MaskingPolicy, check_key
from evalsvc.privacy.recognisers import PLACEHOLDER, SHORTEST, Match, Recognisers
from evalsvc.types import Event, Finding, Message

DIGEST_DIGITS = 16
SHOWN_DIGITS = 12
DEEPEST = 64
TOO_DEEP = "[NESTED_TOO_DEEP]"
SHORTEST_NUMBER = 10**6
MASKED_USER = re.compile(r"\[USER_ID(?::[0-9a-f]{16})?\]")
EXACT_TYPES = frozenset(ENTITY_TYPES[ENTITY_TYPES.index("PRIVATE_KEY") :])
PHONE_DIGITS = 9
ROLES = frozenset(("user", "assistant", "system", "developer", "tool", "function"))
SHORTEST_KEY_TEXT = 5


class _Edit(NamedTuple):
    """A stretch of a text and what replaced it."""

    start: int
    end: int
    replacement: str


def normalise(value: str, entity_type: str) -> str:
    """Return what two spellings of the same value have in common, which is what its digest is made of.

    Secrets: as they are. Telephone numbers: the last nine digits, so that the same number with and without
    its country is one value. All else: letters and digits in one case, with ``@`` and ``.`` kept in
    addresses.

    >>> normalise("+41 44 668 18 00", "PHONE_NUMBER") == normalise("044 668 18 00", "PHONE_NUMBER")
    True
    >>> normalise("Ada@Example.org", "EMAIL_ADDRESS"), normalise("GB59 IFUE 4022", "IBAN_CODE")
    ('ada@example.org', 'gb59ifue4022')
    """
    plain = fold(value).text
    if entity_type in EXACT_TYPES:
        return plain
    if entity_type == "PHONE_NUMBER":
        number = re.split(r"x|ext", plain.lower())[0]
        return "".join(filter(str.isdigit, number))[-PHONE_DIGITS:]
    if entity_type in ("EMAIL_ADDRESS", "IP_ADDRESS"):
        return plain.casefold()
    return "".join(filter(str.isalnum, plain)).casefold()


class Masker:
    """Finds and masks by one policy with one key; made once, shared between threads.

    Args:
        policy: what to look for and what to do.
        key: the project's secret, 16 bytes or more (:func:`~evalsvc.privacy.policy.key_from_environment`).

    Raises:
        InputError: when the key is too short.
    """

    def __init__(self, policy: MaskingPolicy, key: bytes) -> None:
        """Compile the recognisers that the policy needs; takes some tenths of a second."""
        check_key(key)
        self._policy = policy
        self._key = key
        built_in = [name for name in policy.entity_types or ENTITY_TYPES if name in ENTITY_TYPES]
        custom = [
            (pattern.entity_type, pattern.regex)
            for pattern in policy.patterns
            if not policy.entity_types or pattern.entity_type in policy.entity_types
        ]
        self._recognisers = Recognisers(built_in, custom)

    @property
    def policy(self) -> MaskingPolicy:
        """What it does."""
        return self._policy

    def digest(self, normalised: str) -> str:
        """Return the keyed hash of a normalised value: 16 hexadecimal digits of HMAC-SHA-256."""
        return hmac.digest(self._key, normalised.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:DIGEST_DIGITS]

    def mask_text(self, text: str, field: str = "", lead: str = "") -> tuple[str, tuple[Finding, ...]]:
        """Return the masked text, and all findings in its order.

        ``lead`` stands before the text as context (the name of the field that holds it) and is not part of
        it. A dropped value leaves a finding of length 0. Masking the result again changes nothing.
        """
        masked, findings, _ = self._mask(text, field, lead, None)
        return masked, tuple(findings)

    def _mask(
        self, text: str, field: str, lead: str, forced: Action | None
    ) -> tuple[str, list[Finding], list[list[_Edit]]]:
        findings: list[Finding] = []
        passes: list[list[_Edit]] = []
        while matches := self._matches(text, lead):
            edits, found = self._replace(text, field, matches, forced)
            findings = [finding for finding in moved(findings, edits) if finding.action != "keep"] + found
            if not edits:
                break
            passes.append(edits)
            text = _apply(text, edits)
        findings.sort(key=lambda finding: (finding.start, finding.end))
        return text, findings, passes

    def _matches(self, text: str, lead: str) -> list[Match]:
        if not lead:
            return self._recognisers.find(text)
        ahead, found = len(lead), self._recognisers.find(lead + text)
        if any(match.entity_type == UNSEARCHED for match in found):
            # It covers the lead, too; a placeholder that stands alone was masked already.
            return [] if PLACEHOLDER.fullmatch(text) else [Match(0, len(text), UNSEARCHED, 1.0)]
        return [
            Match(match.start - ahead, match.end - ahead, match.entity_type, match.score)
            for match in found
            if match.start >= ahead
        ]

    def _replace(
        self, text: str, field: str, matches: Sequence[Match], forced: Action | None
    ) -> tuple[list[_Edit], list[Finding]]:
        """Return the edits that the policy asks for, and the findings at their places after these edits."""
        edits: list[_Edit] = []
        findings: list[Finding] = []
        shift = 0
        for match in matches:
            value = text[match.start : match.end]
            digest = self.digest(normalise(value, match.entity_type))
            action = self._policy.action_for(match.entity_type)
            if forced is not None and action != "keep":
                action = forced
            start, length = match.start + shift, len(value)
            if action != "keep":
                replacement = replacement_for(match.entity_type, action, digest)
                edits.append(_Edit(match.start, match.end, replacement))
                shift += len(replacement) - length
                length = len(replacement)
            findings.append(Finding(field, match.entity_type, start, start + length, digest, action))
        return edits, findings

    def mask_event(self, event: Event) -> Event:
        """Return the event with nothing left that the policy masks, and what was found in ``findings``.

        Searched: prompt, response, contexts, reference, segments, attributes, ``data`` at any depth with its
        keys, and e-mail addresses in ``session_id`` (always hashed, so that a session stays one).
        ``user_id`` is replaced as a whole. Not searched: ``event_id``, ``subject_id``, ``trace_id`` and the
        names of application and model, by which events are told apart: they must not carry personal data. An
        event that was masked before keeps its findings.
        """
        work = _Work(self, event.findings)
        prompt: str | tuple[Message, ...]
        if isinstance(event.prompt, str):
            prompt = work.text(event.prompt, "prompt")
        else:
            prompt = tuple(
                Message(
                    message.role if message.role in ROLES else work.text(message.role, f"prompt[{place}].role"),
                    work.text(message.content, f"prompt[{place}].content"),
                )
                for place, message in enumerate(event.prompt)
            )
        return msgspec.structs.replace(
            event,
            prompt=prompt,
            response=work.text(event.response, "response"),
            contexts=tuple(work.text(text, f"contexts[{place}]") for place, text in enumerate(event.contexts)),
            reference=None if event.reference is None else work.text(event.reference, "reference"),
            segments=work.mapping(event.segments, "segments"),
            attributes=work.mapping(event.attributes, "attributes"),
            data=work.mapping(event.data, "data"),
            user_id=self.mask_user(event.user_id),
            session_id=work.session(event.session_id),
            findings=work.result(),
        )

    def mask_user(self, user_id: str | None) -> str | None:
        """Return the user's key as the policy wants it: hashed as a whole by default."""
        if user_id is None or MASKED_USER.fullmatch(user_id):
            return user_id
        action = self._policy.user_id
        if action == "hash":
            return f"[USER_ID:{self.digest(user_id)}]"
        return {"mask": "[USER_ID]", "drop": None, "keep": user_id}[action]


class _Work:
    """The masking of one event: what was found in it before, and what is found now."""

    def __init__(self, masker: Masker, findings: Sequence[Finding]) -> None:
        self._masker = masker
        self._findings: dict[str, list[Finding]] = {}
        for finding in findings:
            self._findings.setdefault(finding.field, []).append(finding)

    def text(self, text: str, field: str, lead: str = "", forced: Action | None = None) -> str:
        """Return the masked text, and remember what was found under the field's name."""
        if len(text) < SHORTEST and not lead:
            return text
        masked, found, passes = self._masker._mask(text, field, lead, forced)
        if found:
            earlier = self._findings.get(field, [])
            for edits in passes:
                earlier = moved(earlier, edits)
            places = {(finding.start, finding.end, finding.entity_type) for finding in found}
            earlier = [item for item in earlier if (item.start, item.end, item.entity_type) not in places]
            self._findings[field] = sorted([*earlier, *found], key=lambda item: (item.start, item.end))
        return masked

    def session(self, session_id: str | None) -> str | None:
        """Return the session's id, an e-mail address in it hashed."""
        if session_id is None or "@" not in session_id:
            return session_id
        return self.text(session_id, "session_id", forced="hash")

    def mapping(self, values: Mapping[Any, Any], field: str, depth: int = 0) -> dict[str, Any]:
        """Return the mapping with keys and values masked; keys are hashed, so that two stay two."""
        masked: dict[str, Any] = {}
        for key, value in values.items():
            key = str(key)
            name = self.text(key, field, forced="hash") if len(key) > SHORTEST_KEY_TEXT else key
            while name in masked:
                name += "_"
            masked[name] = self._value(value, f"{field}.{name}", key, depth)
        return masked

    def _value(self, value: object, field: str, name: str, depth: int) -> object:
        if isinstance(value, str):
            return self.text(value, field, lead=f"{name}: ") if value else value
        if isinstance(value, Mapping):
            return self.mapping(value, field, depth + 1) if depth < DEEPEST else TOO_DEEP
        if isinstance(value, list | tuple):
            if depth >= DEEPEST:
                return TOO_DEEP
            return [self._value(item, f"{field}[{place}]", name, depth + 1) for place, item in enumerate(value)]
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= SHORTEST_NUMBER:
            written = str(value)
            masked = self.text(written, field, lead=f"{name}: ")
            return value if masked == written else masked
        return value

    def result(self) -> tuple[Finding, ...]:
        """Return all findings, by field in the order in which fields were first met, then by position."""
        return tuple(finding for findings in self._findings.values() for finding in findings)


def replacement_for(entity_type: str, action: Action, digest: str) -> str:
    """Return what stands in the text in place of a value.

    >>> replacement_for("JWT", "mask", "3fa9c2d1e0b7aaaa"), replacement_for("JWT", "hash", "3fa9c2d1e0b7aaaa")
    ('[JWT]', '[JWT:3fa9c2d1e0b7]')
    """
    if action == "drop":
        return ""
    return f"[{entity_type}:{digest[:SHOWN_DIGITS]}]" if action == "hash" else f"[{entity_type}]"


def moved(findings: Sequence[Finding], edits: Sequence[_Edit]) -> list[Finding]:
    """Return findings of a text at their places after edits; one that an edit covers goes with it."""
    if not edits or not findings:
        return list(findings)
    ends = [edit.end for edit in edits]
    shifts = [0]
    for edit in edits:
        shifts.append(shifts[-1] + len(edit.replacement) - (edit.end - edit.start))
    kept: list[Finding] = []
    for finding in findings:
        before = bisect_right(ends, finding.start)
        if before < len(edits) and edits[before].start < finding.end:
            continue
        shift = shifts[before]
        kept.append(msgspec.structs.replace(finding, start=finding.start + shift, end=finding.end + shift))
    return kept


def _apply(text: str, edits: Sequence[_Edit]) -> str:
    parts: list[str] = []
    position = 0
    for edit in edits:
        parts += (text[position : edit.start], edit.replacement)
        position = edit.end
    return "".join([*parts, text[position:]])

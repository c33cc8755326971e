"""What a suite asks: cases with their references, frozen and known by their content.

A case's ``digest`` is a hash of all that a model is given and a scorer reads. Two cases of one digest are the same
case, whatever they are called; a case whose text changed is another one, and its old answers and scores are not its
own.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.types import Message

DIGEST_LENGTH = 32
"""Hexadecimal digits: 128 bits, so that a hundred million cases do not collide by chance."""


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call of a tool that a model makes, or that a case expects: its name and JSON arguments."""

    name: str
    arguments: Mapping[str, Any] = {}


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One question of a suite. Field names are the names in a file of cases (``docs/reference/cases.md``).

    Attributes:
        case_id: the operator's name for it, one a set.
        prompt: a text, or the messages of a chat.
        contexts: what the model may use, in its order.
        reference: a good answer.
        expected_tools: the calls that a good answer makes, in their order.
        segments: what it is compared by, as in ``{"language": "de"}``.
        tags: what it is chosen by.
        weight: how much it counts, finite and > 0, relative to the others; drawn from production, proportional to
            1/π.
        group: cases of one group (one source, one conversation) may depend on each other; empty: of none.
        critical: whether a critical gate looks at it.
        variant_of: the digest of the case that this one is a changed copy of; empty: of none.
        variant: how it was changed.
    """

    case_id: str
    prompt: str | tuple[Message, ...] = ""
    contexts: tuple[str, ...] = ()
    reference: str | None = None
    expected_tools: tuple[ToolCall, ...] = ()
    segments: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    group: str = ""
    critical: bool = False
    variant_of: str = ""
    variant: str = ""

    def __post_init__(self) -> None:
        """Refuse a case without a name or a prompt, and a weight that no mean can use."""
        if not self.case_id:
            raise InputError("Expected `case_id` to be a name, but it is empty")
        if not (self.prompt if isinstance(self.prompt, str) else any(turn.content for turn in self.prompt)):
            raise InputError(f"Expected case {self.case_id!r} to have a `prompt`, but it is empty")
        if not (math.isfinite(self.weight) and self.weight > 0.0):
            raise InputError(f"Expected `weight` of case {self.case_id!r} above 0, but got {self.weight!r}")

    def __repr__(self) -> str:
        """Name the case without its texts, which may be personal data."""
        return f"Case({self.case_id!r})"

    @property
    def digest(self) -> str:
        """A hash of prompt, contexts, reference and expected calls: what decides about answers and scores.

        >>> Case(case_id="a", prompt="Hi").digest == Case(case_id="b", prompt="Hi", tags=("x",)).digest
        True
        """
        content = (self.prompt, self.contexts, self.reference, self.expected_tools)
        return digest_of(content)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt as a chat: a text is one message of the user."""
        return (Message("user", self.prompt),) if isinstance(self.prompt, str) else self.prompt


class CaseSet(msgspec.Struct, frozen=True, dict=True):
    """Cases with unique names and contents, in a fixed order; ``name`` says where they came from."""

    name: str
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        """Refuse an empty set and two cases of one name or one content."""
        if not self.cases:
            hint = 'write a line for each, as in {"prompt": "…"}, or draw some: evalsvc cases draw --out FILE'
            raise InputError(f"Expected {self.name} to hold at least one case, but it is empty; {hint}")
        for kind, keys in (("case_id", [case.case_id for case in self.cases]), ("content", list(self.digests))):
            seen: dict[str, int] = {}
            for place, key in enumerate(keys):
                if key in seen:
                    first, second = self.cases[seen[key]].case_id, self.cases[place].case_id
                    raise InputError(
                        f"Expected every case of {self.name} to have a {kind} of its own, but cases {seen[key] + 1} "
                        f"({first!r}) and {place + 1} ({second!r}) share one; drop one, or give it a higher `weight`"
                    )
                seen[key] = place

    def __len__(self) -> int:
        """How many cases there are."""
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        """Go through the cases in their order."""
        return iter(self.cases)

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """The digest of each case, in their order; made once."""
        return tuple(case.digest for case in self.cases)

    @cached_property
    def digest(self) -> str:
        """The version of the set: a hash of every field of every case, whatever their order."""
        return digest_of(sorted(digest_of(msgspec.to_builtins(case)) for case in self.cases))


class CaseChanges(NamedTuple):
    """What became of the cases between two versions of a set, by name.

    ``changed`` kept their name and changed in prompt, contexts, reference or expected calls, so that no old score
    is theirs; ``relabelled`` changed only in what no model is given: segments, tags, weight, group, whether they are
    critical, what they are a variant of.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    relabelled: tuple[str, ...]


def changes(old: Sequence[Case], new: Sequence[Case]) -> CaseChanges:
    """Return what changed between two versions of a set; cases are matched by name."""
    before, after = ({case.case_id: case for case in cases} for cases in (old, new))
    both = [name for name in after if name in before]
    same = {name: before[name].digest == after[name].digest for name in both}
    changed = tuple(name for name in both if not same[name])
    relabelled = tuple(name for name in both if same[name] and before[name] != after[name])
    return CaseChanges(
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        changed,
        relabelled,
    )


def clusters_of(cases: Sequence[Case], digests: Sequence[str]) -> tuple[str, ...]:
    """Return the cluster of each case: its group, or else that of the case that it is a variant of, or else itself."""
    groups = {digest: case.group for case, digest in zip(cases, digests, strict=True)}
    sources = {digest: case.variant_of for case, digest in zip(cases, digests, strict=True)}

    def cluster(digest: str) -> str:
        seen = {digest}
        # A variant of a variant belongs to where it all began.
        while not groups.get(digest) and sources.get(digest) and sources[digest] not in seen:
            digest = sources[digest]
            seen.add(digest)
        return f"group:{groups[digest]}" if groups.get(digest) else digest

    return tuple(map(cluster, digests))


def digest_of(content: object, length: int = DIGEST_LENGTH) -> str:
    """Return the first hexadecimal digits of the SHA-256 of a value's JSON, with sorted keys."""
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:length]

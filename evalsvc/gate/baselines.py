"""Baselines: a record of answers and scores under a name, pinned by its digest, in the folder of its suite.

``baselines/main.yaml`` names a file beside it, the SHA-256 of its lines, and who promoted it, when and why. Both are
meant for git: promoting a version is a commit, and a file that was changed after its promotion is refused. In place of
the file, what the store has of it may be read, without texts (:mod:`evalsvc.gate.promotions`); in place of a version,
estimates of production may be frozen (:mod:`evalsvc.gate.production`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalsvc._durable import write_whole
from evalsvc._paths import near, shown_path
from evalsvc._yaml import Document, raise_problems
from evalsvc.errors import ConfigError, Problem
from evalsvc.gate.evaluated import Evaluated
from evalsvc.gate.keeping import RunKeeper
from evalsvc.gate.record import Header, decode_record, digest_of_record, read_content, without_texts, write_record
from evalsvc.gate.suite_files import root_for
from evalsvc.types import ScorerSpec
from evalsvc.verdicts import Promoted

FOLDER = "baselines"
PLAIN_BYTES = 1 << 20
"""A smaller record is kept as plain lines, so that a change of it can be read in a diff."""

_FILE = re.compile(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*")


class Pointer(Promoted, frozen=True, kw_only=True):
    """What a name stands for: ``file`` beside the pointer, whose lines have the SHA-256 ``digest``."""

    baseline: str
    file: str


_MAY_BE_EMPTY = frozenset(field.name for field in msgspec.structs.fields(Pointer) if not field.required)


class Baseline(NamedTuple):
    """A baseline as it was read and checked; ``content`` are the lines of its record."""

    pointer: Pointer
    header: Header
    evaluated: Evaluated
    content: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of the lines that were read: the pointer's ``digest``, or ``stored`` where texts are lacking."""
        return digest_of_record(self.content)


class Taken(NamedTuple):
    """A baseline that a store gave, where its files cannot be written: what they would hold."""

    pointer: Pointer
    content: bytes


def pointer_path(folder: Path, name: str) -> Path:
    """Return where the pointer of a baseline is, or would be, in a suite's folder."""
    return folder / FOLDER / f"{name}.yaml"


def names_in(folder: Path) -> list[str]:
    """Return the names of a suite's baselines."""
    return sorted(path.stem for path in (folder / FOLDER).glob("*.yaml"))


def is_here(folder: Path, name: str) -> bool:
    """Return whether the files of a baseline are there, or what was taken from a store in their place."""
    path = pointer_path(folder, name)
    if not path.is_file():
        return False
    try:
        pointer = read_pointer(path)
    except ConfigError:
        return True
    return path.with_name(pointer.file).is_file() or _kept(folder, pointer) is not None


def is_pinned(folder: Path, name: str) -> bool:
    """Return whether the pointer of a baseline is there, and says which scores a store is to have of it."""
    pointer = readable_pointer(folder, name)
    return pointer is not None and bool(pointer.stored)


def _kept(folder: Path, pointer: Pointer) -> bytes | None:
    """Return the scores that were taken from a store in place of the file; None where none were, or they are damaged.

    A record with its texts does not stand in: that the file is not there is to be seen before it is committed.
    """
    try:
        return RunKeeper(root_for([folder])).record(pointer.stored) if pointer.stored else None
    except ConfigError:
        # As good as not there: what is taken from the store again is written over it.
        return None


def read_baseline(folder: Path, name: str, suite_path: str, taken: Taken | None = None) -> Baseline:
    """Read a baseline of a suite; ``taken`` is read in place of files.

    Raises:
        ConfigError: when there is none of that name, or its file is not the one that was promoted.
    """
    if taken is not None:
        record = _decoded(taken.content, f"the store's {name}", name)
        return Baseline(taken.pointer, record.header, record.evaluated, taken.content)
    folder = near(folder)
    path = pointer_path(folder, name)
    if not path.is_file():
        known = names_in(folder)
        there = f"there are: {', '.join(known)}" if known else "the suite has none yet"
        raise ConfigError(
            f"Expected a baseline {name!r} in {path.parent}, but {there}; make one of a run of this suite: "
            f"evalsvc baseline promote {suite_path} --name {name} --because 'the version in production', or take the "
            f"store's: evalsvc baseline fetch {suite_path} --name {name}"
        )
    pointer = read_pointer(path, how_to_mend(suite_path, name))
    file = path.with_name(pointer.file)
    kept = None if file.is_file() else _kept(folder, pointer)
    if kept is None and not file.is_file():
        raise ConfigError(
            f"Expected {file}, which {path.name} names, but it is not there: restore it from git, where both files "
            f"were to be committed, take the scores that it pins from the store: evalsvc baseline fetch {suite_path} "
            f"--name {name}, or make another of a run: evalsvc baseline promote {suite_path} --name {name} "
            "--because TEXT"
        )
    content = read_content(file) if kept is None else kept
    found = digest_of_record(content)
    if kept is None and found != pointer.digest:
        raise ConfigError(
            f"Expected {file} to be what was promoted (sha256 {pointer.digest[:12]}…), but it is "
            f"another ({found[:12]}…): it was changed afterwards; restore it from git, or promote a run again"
        )
    record = _decoded(content, str(file), name)
    return Baseline(pointer, record.header, record.evaluated, content)


_decoded = lru_cache(maxsize=2)(decode_record)
"""A suite is checked before it is run: the same content is decoded once."""


def how_to_mend(suite_path: str, name: str, *, stored: bool = True) -> str:
    """Return what to do about a pointer that cannot be read; ``stored``: whether a store may have another."""
    other = f", or take the store's last promoted: evalsvc baseline fetch {suite_path} --name {name} --latest"
    return f"restore it from git{other if stored else ''}"


def readable_pointer(folder: Path, name: str) -> Pointer | None:
    """Return the pointer of a baseline; None where there is none, or it cannot be read."""
    path = pointer_path(folder, name)
    try:
        return read_pointer(path) if path.is_file() else None
    except ConfigError:
        return None


def read_pointer(path: Path, mend: str = "restore it from git") -> Pointer:
    """Read a pointer; ``mend`` is what to do where that fails.

    Raises:
        ConfigError: with every mistake of the file.
    """
    document = Document.open(path, shown_path(path))
    fields = {}
    if document.root is not None:
        for key in Pointer.__struct_fields__:
            value = document.root.get(key) if key in _MAY_BE_EMPTY else document.root.need(key)
            fields[key] = value.text(what="text") if value else ""
    if problems := sorted(document.finish()):
        # Nobody writes a pointer by hand: how a key is spelt is no help.
        raise_problems([*problems[:-1], problems[-1]._replace(hint=mend)])
    if not _FILE.fullmatch(fields["file"]):
        raise ConfigError("", [Problem(shown_path(path), 1, 1, "expected `file` to be a name in this folder", mend)])
    try:
        return msgspec.convert(fields, Pointer)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{shown_path(path)}: expected a baseline's pointer: {error}; {mend}") from error


def promote(
    content: bytes,
    shown: str,
    folder: Path,
    name: str,
    *,
    by: str,
    because: str,
    now: datetime,
    verdict: str = "",
    decision: str = "",
) -> Pointer:
    """Make a record the baseline of a name; what it was before stays in git, and its file is removed.

    Raises:
        ConfigError: when the content is no record.
    """
    header = decode_record(content, shown).header
    digest = digest_of_record(content)
    pointer = Pointer(
        baseline=name,
        file=file_name(name, digest, plain=len(content) < PLAIN_BYTES),
        digest=digest,
        stored=digest_of_record(without_texts(content)),
        model=header.model,
        model_version=header.model_version,
        cases_digest=header.cases_digest,
        promoted_at=now.astimezone(UTC).replace(microsecond=0),
        promoted_by=by,
        because=because,
        verdict=verdict,
        decision=decision,
    )
    write_record(pointer_path(folder, name).with_name(pointer.file), content)
    write_pointer(folder, pointer)
    return pointer


def file_name(name: str, digest: str, *, plain: bool) -> str:
    """Return what the file of a baseline's record is called."""
    return f"{name}-{digest[:12]}.{'jsonl' if plain else 'jsonl.gz'}"


def write_pointer(folder: Path, pointer: Pointer) -> None:
    """Write a pointer in place of the one before, and remove the file that only that one named.

    Raises:
        OSError: where nothing can be written.
    """
    path = pointer_path(folder, pointer.baseline)
    before = readable_pointer(folder, pointer.baseline)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _pointer_text(pointer).encode())
    if before is not None and before.file != pointer.file:
        path.with_name(before.file).unlink(missing_ok=True)


def _pointer_text(pointer: Pointer) -> str:
    lines = ["# written by: evalsvc baseline — code: evalsvc/gate/baselines.py"]
    told = {"baseline": pointer.baseline, "file": pointer.file} | msgspec.to_builtins(pointer)
    kept = {key: value for key, value in told.items() if value or key not in _MAY_BE_EMPTY}
    for key, value in kept.items():
        # JSON strings are YAML strings.
        lines.append(f"{key}: {msgspec.json.encode(value).decode()}")
    return "\n".join(lines) + "\n"


def check_scorers(baseline: Baseline, specs: dict[str, ScorerSpec], suite_path: str) -> None:
    """Refuse a baseline that was scored by other scorers, or by other versions of them.

    Raises:
        ConfigError: with what differs, and the command that scores its answers again.
    """
    told = []
    for metric, spec in specs.items():
        old = baseline.header.scorers.get(metric)
        if old is None:
            told.append(f"it has no {metric}")
        elif (old.version, old.signature) != (spec.version, spec.signature):
            told.append(
                f"{metric} was {_made(old.version, old.signature)}, and is {_made(spec.version, spec.signature)}"
            )
    if told:
        name = baseline.pointer.baseline
        if baseline.header.production is not None:
            raise ConfigError(
                f"Expected the baseline {name!r}, which is of production, to be scored as this suite scores, but "
                f"{'; '.join(told)}. Freeze estimates again: evalsvc baseline from-production {suite_path} "
                f"--name {name} --since 7d --because TEXT"
            )
        raise ConfigError(
            f"Expected the baseline {name!r} to be scored as this suite scores, but {'; '.join(told)}. Its answers are "
            f"kept, so that they can be scored again: evalsvc baseline rescore {suite_path} --name {name}"
        )


def _made(version: int, signature: str) -> str:
    return f"version {version}" + (f" ({signature})" if signature else "")

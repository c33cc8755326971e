"""Baselines in a store: what it gets of a promotion, what is fetched of it, and whether it agrees with the files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from evalsvc._paths import shown_path
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate import baselines
from evalsvc.gate.baselines import Pointer, Taken
from evalsvc.gate.keeping import RunKeeper
from evalsvc.gate.record import digest_of_record, without_texts, write_record
from evalsvc.verdicts import BaselineLog, Promotion


class ForStore(NamedTuple):
    """A promotion, and its record without texts."""

    promotion: Promotion
    record: bytes


def for_store(suite: str, pointer: Pointer, content: bytes) -> ForStore:
    """Return what a store gets of a suite's baseline.

    Raises:
        ConfigError: when the content is no record.
    """
    record = without_texts(content)
    facts = pointer.facts | {"stored": digest_of_record(record)}
    return ForStore(Promotion(suite=suite, name=pointer.baseline, **facts), record)


class Fetched(NamedTuple):
    """A promotion that a store had.

    Where something of it could not be written, ``unwritten`` says what and why, and ``taken`` is to be used instead.
    """

    promotion: Promotion
    taken: Taken | None = None
    unwritten: str = ""


def fetch(log: BaselineLog, suite: str, folder: Path, name: str, root: Path) -> Fetched | None:
    """Take what a suite's baseline lacks from a store: its record, and its pointer where there is none.

    A pointer that is there decides which record is taken; else it is the current one of the name. The record is kept
    in the project, below ``root/.evalsvc``. None where the store has no such baseline.

    Raises:
        ConfigError: when the pointer cannot be read, or the store's record is not what it pins.
    """
    pointer = _pointer(folder, name)
    found = [
        one
        for one in log.promotions(suite, name, limit=1000)
        if pointer is None or (one.digest, one.stored) == (pointer.digest, pointer.stored)
    ]
    if not found:
        return None
    new = pointer or _pointer_of(found[0], None, folder)
    record = _record(log, found[0])
    unwritten = _take(record, found[0].stored, root, folder, None if pointer else new)
    return Fetched(found[0], Taken(new, record), unwritten) if unwritten else Fetched(found[0])


def _pointer(folder: Path, name: str) -> Pointer | None:
    path = baselines.pointer_path(folder, name)
    return baselines.read_pointer(path) if path.is_file() else None


def fetch_latest(log: BaselineLog, suite: str, folder: Path, name: str, root: Path) -> Promotion:
    """Take the last promoted baseline of a name from a store, in place of what the pointer pins, if that can be read.

    Raises:
        ConfigError: when the store's record is not what it says, or not what the pointer pins of the same baseline.
        InputError: when the store has none of the name, or nothing can be written.
    """
    found = log.promotions(suite, name, limit=1)
    if not found:
        raise InputError(
            f"Expected a baseline {name!r} of the suite {suite!r} in the store, but there is none; "
            "`evalsvc baseline record SUITE` writes the one in the files there"
        )
    pointer = baselines.readable_pointer(folder, name)
    if pointer is not None and pointer.digest == found[0].digest and _forged(pointer, found[0]):
        raise ConfigError(
            f"Expected the store to have the scores that {shown_path(baselines.pointer_path(folder, name))} pins "
            f"(sha256 {pointer.stored[:12]}…), but it has others of the same baseline ({found[0].stored[:12]}…): they "
            "were changed there; restore the store, or promote a run again"
        )
    # The file has the texts too, which the store has not.
    if pointer is None or pointer.digest != found[0].digest or not baselines.is_here(folder, name):
        unwritten = _take(_record(log, found[0]), found[0].stored, root, folder, _pointer_of(found[0], pointer, folder))
        if unwritten:
            raise InputError(unwritten)
    return found[0]


def _forged(pointer: Pointer, promotion: Promotion) -> bool:
    """Whether other scores than those pinned go by the same baseline; a pointer of an earlier release pins none."""
    return bool(pointer.stored) and pointer.stored != promotion.stored


def _record(log: BaselineLog, promotion: Promotion) -> bytes:
    """Return the store's record of a promotion, which is what its digest says."""
    record = log.baseline_record(promotion.stored)
    if record is None or digest_of_record(record) != promotion.stored:
        said = "it is not there" if record is None else "it was changed"
        raise ConfigError(
            f"Expected the record {promotion.stored[:12]}… of the baseline {promotion.name!r} in the store, but "
            f"{said}; restore both files of the baseline from git, or promote a run again"
        )
    return record


def _take(record: bytes, digest: str, root: Path, folder: Path, pointer: Pointer | None) -> str:
    """Keep a record in the project, and write the pointer, if any; return what could not be written, and why.

    Both while nothing is pruned: a record that no pointer names yet would go.
    """
    keeper, unwritten = RunKeeper(root), []
    with ExitStack() as held:
        try:
            keeper.root.mkdir(parents=True, exist_ok=True)
            held.enter_context(keeper.alone())
            write_record(keeper.record_path(digest), record)
        except OSError as error:
            where = shown_path(root / ".evalsvc")
            unwritten.append(f"Cannot keep the store's baseline in {where}: {error.strerror or error}")
        try:
            if pointer is not None:
                baselines.write_pointer(folder, pointer)
        except OSError as error:
            where = shown_path(baselines.pointer_path(folder, pointer.baseline if pointer else ""))
            unwritten.append(f"Cannot write {where}: {error.strerror or error}")
    return "; ".join(unwritten)


def _pointer_of(promotion: Promotion, before: Pointer | None, folder: Path) -> Pointer:
    """Return the pointer of a promotion, which keeps the name of a file that was there, as that one has the texts."""
    name = promotion.name
    plain, packed = (baselines.file_name(name, promotion.digest, plain=plain) for plain in (True, False))
    file = packed if baselines.pointer_path(folder, name).with_name(packed).is_file() else plain
    if before is not None and before.digest == promotion.digest:
        file = before.file
    return Pointer(baseline=name, file=file, **promotion.facts)


def agreement(pointer: Pointer | None, current: Promotion | None, shown: str) -> str:
    """Return whether the file and the store say the same of a name, and what to do where they do not.

    Args:
        pointer: of the file; None where there is none.
        current: the store's; None where it has none.
        shown: the suite's path, for commands.
    """
    name = f"{shown} --name {pointer.baseline if pointer else current.name if current else ''}"
    if current is None:
        return f"not in the store: evalsvc baseline record {name}"
    version = f"{current.model} {current.model_version}".strip() or "estimates of production"
    whose = f"{version}, {current.digest[:12]}, promoted {current.promoted_at:%Y-%m-%d %H:%M} by {current.promoted_by}"
    if pointer is None:
        return f"only in the store ({whose}): evalsvc baseline fetch {name}"
    if pointer.digest == current.digest and _forged(pointer, current):
        return (
            f"the store has other scores of it ({current.stored[:12]}, where {pointer.stored[:12]} is pinned): restore "
            "the store, or promote a run again"
        )
    if pointer.digest == current.digest:
        return "the same"
    if current.promoted_at > pointer.promoted_at:
        return f"the store has a later one ({whose}): take its commit, or evalsvc baseline fetch {name} --latest"
    return f"the store has an earlier one ({whose}): evalsvc baseline record {name}"

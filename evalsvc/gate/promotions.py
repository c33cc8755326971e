"""Baselines in a store: what it gets of a promotion, what is fetched of it, and whether it agrees with the files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from evalsvc.errors import ConfigError, InputError
from evalsvc.gate import baselines
from evalsvc.gate.baselines import Pointer
from evalsvc.gate.keeping import RunKeeper
from evalsvc.gate.record import digest_of_record, without_texts, write_record
from evalsvc.verdicts import BaselineLog, Promotion

_SHARED = (
    "digest",
    "stored",
    "promoted_at",
    "promoted_by",
    "because",
    "model",
    "model_version",
    "cases_digest",
    "verdict",
    "decision",
)


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
    facts = {field: getattr(pointer, field) for field in _SHARED} | {"stored": digest_of_record(record)}
    return ForStore(Promotion(suite=suite, name=pointer.baseline, **facts), record)


def fetch(log: BaselineLog, suite: str, folder: Path, name: str, root: Path) -> Promotion | None:
    """Take what a suite's baseline lacks from a store: its record, and its pointer where there is none.

    A pointer that is there decides which record is taken; else it is the current one of the name. The record is kept
    in the project, below ``root/.evalsvc``. None where the store has no such baseline.

    Raises:
        ConfigError: when the pointer cannot be read, or the store's record is not what it pins.
        InputError: when nothing can be written.
    """
    pointer = _pointer(folder, name)
    found = [
        one
        for one in log.promotions(suite, name, limit=1000)
        if pointer is None or (one.digest, one.stored) == (pointer.digest, pointer.stored)
    ]
    if not found:
        return None
    _take(log, found[0], folder, root, pointer)
    return found[0]


def _pointer(folder: Path, name: str) -> Pointer | None:
    path = baselines.pointer_path(folder, name)
    return baselines.read_pointer(path) if path.is_file() else None


def fetch_latest(log: BaselineLog, suite: str, folder: Path, name: str, root: Path) -> Promotion:
    """Take the last promoted baseline of a name from a store, in place of what the pointer pins.

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
    pointer = _pointer(folder, name)
    if pointer is not None and pointer.digest == found[0].digest and _forged(pointer, found[0]):
        raise ConfigError(
            f"Expected the store to have the scores that {baselines.pointer_path(folder, name)} pins (sha256 "
            f"{pointer.stored[:12]}…), but it has others of the same baseline ({found[0].stored[:12]}…): they were "
            "changed there; restore the store, or promote a run again"
        )
    # The file has the texts too, which the store has not.
    if pointer is None or pointer.digest != found[0].digest or not baselines.is_here(folder, name):
        _take(log, found[0], folder, root, pointer, again=True)
    return found[0]


def _forged(pointer: Pointer, promotion: Promotion) -> bool:
    """Whether other scores than those pinned go by the same baseline; a pointer of an earlier release pins none."""
    return bool(pointer.stored) and pointer.stored != promotion.stored


def _take(
    log: BaselineLog, promotion: Promotion, folder: Path, root: Path, before: Pointer | None, *, again: bool = False
) -> None:
    """Keep the store's record of a promotion in the project, and point to it where nothing does, or ``again``.

    Both while nothing is pruned: a record that no pointer names yet would go.
    """
    record = log.baseline_record(promotion.stored)
    if record is None or digest_of_record(record) != promotion.stored:
        said = "it is not there" if record is None else "it was changed"
        raise ConfigError(
            f"Expected the record {promotion.stored[:12]}… of the baseline {promotion.name!r} in the store, but "
            f"{said}; restore both files of the baseline from git, or promote a run again"
        )
    keeper = RunKeeper(root)
    try:
        keeper.root.mkdir(parents=True, exist_ok=True)
        with keeper.alone():
            write_record(keeper.record_path(promotion.stored), record)
            if before is None or again:
                _point(promotion, folder, before)
    except OSError as error:
        raise InputError(
            f"Cannot keep the store's baseline in {root / '.evalsvc'}: {error.strerror or error}"
        ) from error


def _point(promotion: Promotion, folder: Path, before: Pointer | None) -> None:
    """Write the pointer of a promotion."""
    name, facts = promotion.name, {field: getattr(promotion, field) for field in _SHARED}
    same = before is not None and before.digest == promotion.digest
    file = before.file if before and same else baselines.file_name(name, promotion.digest, plain=True)
    try:
        baselines.write_pointer(folder, Pointer(baseline=name, file=file, **facts))
    except OSError as error:
        where = baselines.pointer_path(folder, name)
        raise InputError(f"Cannot write {where}: {error.strerror or error}") from error


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

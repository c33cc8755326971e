"""The project's store, as commands about gates open it: for verdicts, and for baselines that are kept there."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evalsvc._paths import shown_path
from evalsvc._plain import harmless
from evalsvc.errors import StoreError

if TYPE_CHECKING:
    from evalsvc.gate.baselines import Pointer, Taken
    from evalsvc.gate.promotions import Fetched
    from evalsvc.gate.suite import Suite
    from evalsvc.store import MemoryStore
    from evalsvc.store.clickhouse import ClickHouseStore


@contextmanager
def opened(root: Path, options: argparse.Namespace, *, create: bool = False) -> Iterator[ClickHouseStore | MemoryStore]:
    """Open the project's store; with ``create`` an embedded one is made where there is none.

    Raises:
        StoreUnavailable, StoreBusy, SchemaError, ConfigError: as :func:`evalsvc.store.open_store`.
    """
    from evalsvc import assemble, project

    found, address = project.load_settings(root), getattr(options, "store", None)
    environment = project.Environment.read(os.environ)
    with closing(assemble.open_project_store(found, environment, address, create=create)) as store:
        yield store


def has_store(root: Path, options: argparse.Namespace) -> bool:
    """Return whether there is a store to ask, or one was named: what is kept in the project is no answer to that."""
    from evalsvc import project
    from evalsvc.assemble import store_address
    from evalsvc.store import folder
    from evalsvc.store.address import parse_address

    environment, given = project.Environment.read(os.environ), getattr(options, "store", None)
    place = parse_address(store_address(project.load_settings(root), environment, given))
    named = given or environment.store
    return bool(named or place.host or not place.path or folder.exists(Path(place.path)))


def writes(root: Path, options: argparse.Namespace) -> bool:
    """Return whether a promotion goes to a store; one that does not answer is told before anything is paid for.

    Raises:
        StoreError, ConfigError: as :func:`opened`.
    """
    if options.no_store or not has_store(root, options):
        return False
    with opened(root, options):
        return True


def remember(suite: Suite, pointer: Pointer, content: bytes, root: Path, options: argparse.Namespace) -> None:
    """Write a promotion, whose files are written, to the store.

    Raises:
        StoreError: with the command that writes it later.
    """
    from evalsvc.gate.promotions import for_store

    try:
        with opened(root, options) as store:
            store.baselines.record_promotion(*for_store(suite.name, pointer, content))
    except StoreError as error:
        raise type(error)(
            f"The baseline's files are written, but the store has it not: {error}. Then write it there: "
            f"evalsvc baseline record {options.suite} --name {pointer.baseline}"
        ) from error


def fetch_lacking(suite: Suite, shown: str, root: Path, options: argparse.Namespace) -> Taken | None:
    """Take a suite's baseline from the store where its files are not there, and say so; else do nothing.

    It is returned where it could not be written, as in a checkout that is read-only. A mistake in the suite, and a
    baseline that is nowhere, are told by whoever reads them next.

    Raises:
        ConfigError: when the store's record is not what the suite's pointer pins.
    """
    from evalsvc.gate import baselines
    from evalsvc.gate.promotions import fetch

    folder, named = suite.folder, suite.baseline
    if not (suite.name and named) or baselines.is_here(folder, named) or not has_store(root, options):
        return None
    pinned = baselines.pointer_path(folder, named).is_file()
    try:
        with opened(root, options) as store:
            found = fetch(store.baselines, suite.name, folder, named, root)
    except StoreError as error:
        where = shown_path(folder / baselines.FOLDER)
        told = f"{shown}: the baseline {named!r} is not in {where}, and the store was not asked: {error}"
        print(f"evalsvc: {harmless(told)}", file=sys.stderr)
        return None
    if found is None:
        return None
    pointer = baselines.pointer_path(folder, named)
    print(f"evalsvc: {harmless(_fetched(found, shown, pointer, pinned=pinned))}", file=sys.stderr)
    return found.taken


def _fetched(found: Fetched, shown: str, pointer: Path, *, pinned: bool) -> str:
    """Return which baseline is the store's, and what to do so that the next run has it too."""
    one, name = found.promotion, pointer.stem
    what = f"{one.model} {one.model_version}".strip() or "estimates of production"
    which = "as the file pins it"
    if not pinned:
        which = f"promoted {one.promoted_at:%Y-%m-%d %H:%M} by {one.promoted_by}, the last of this name"
    told = f"{shown}: the baseline {name!r} is the store's: {what}, sha256 {one.digest[:12]}…, {which}"
    if found.unwritten:
        fetch = f"evalsvc baseline fetch {shown} --name {name}"
        return f"{told}. It serves this run alone ({found.unwritten}); where that can be written: {fetch}"
    return told if pinned else f"{told}; commit {shown_path(pointer)} to pin it"

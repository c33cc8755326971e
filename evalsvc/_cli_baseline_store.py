"""``evalsvc baseline list``, ``show``, ``fetch`` and ``record``: baselines in files and in the store, held together."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalsvc._cli_baseline import name_of, suite_of
from evalsvc._cli_output import aligned
from evalsvc._gate_store import has_store, opened, remember
from evalsvc._paths import shown_path
from evalsvc._plain import harmless
from evalsvc.cli import OK
from evalsvc.errors import ConfigError, InputError, StoreError
from evalsvc.gate.suite_files import find_suites, root_for

if TYPE_CHECKING:
    from evalsvc.verdicts import Promoted, Promotion

_Current = Mapping[str, tuple["Promotion", str]]
"""The store's current promotion of each name, and the path of the suite that it is of."""


def listed(options: argparse.Namespace) -> int:
    """List the baselines of suites, what is wrong with any of them, and whether the store has the same."""
    from evalsvc import project
    from evalsvc.gate.baselines import names_in

    root = root_for([Path(path) for path in options.paths])
    paths = [Path(path) for path in options.paths] or [root / project.load_settings(root).settings.suites]
    folders: dict[Path, list[Path]] = {}
    for file in find_suites(paths):
        folders.setdefault(file.resolve().parent, []).append(file)
    stored = _stored(folders, root, options)
    rows = []
    for folder, files in folders.items():
        current = {} if stored is None else stored[folder]
        for name in sorted({*names_in(folder), *current}):
            row = _row(folder, name, current, None if stored is None else project.shown(files[0]))
            rows.append({"baseline": name, "suite folder": shown_path(folder), **row})
    print(
        aligned(rows) if rows else "no baselines yet; evalsvc baseline promote SUITE --because '…' makes one of a run"
    )
    return OK


def _stored(folders: Mapping[Path, list[Path]], root: Path, options: argparse.Namespace) -> dict[Path, _Current] | None:
    """Return the current promotions by folder; None where there is no store, or it does not answer."""
    from evalsvc import project
    from evalsvc.gate.reading import suite_name

    if not folders or not has_store(root, options):
        return None
    try:
        with opened(root, options) as store:
            found: dict[Path, _Current] = {}
            for folder, files in folders.items():
                current: dict[str, tuple[Promotion, str]] = {}
                for file in files:
                    for one in store.baselines.promotions(suite_name(file), limit=1000):
                        held = current.get(one.name)
                        if held is None or held[0].promoted_at < one.promoted_at:
                            current[one.name] = one, project.shown(file)
                found[folder] = current
            return found
    except StoreError as error:
        print(f"evalsvc: these are the files alone; the store was not asked: {harmless(str(error))}", file=sys.stderr)
        return None


def _row(folder: Path, name: str, current: _Current, shown: str | None) -> dict[str, str]:
    """Return what a line says of a baseline; ``shown`` is a suite of the folder, None where no store was asked."""
    from evalsvc.gate.baselines import how_to_mend, pointer_path, read_baseline, read_pointer
    from evalsvc.gate.promotions import agreement

    path, pointer, state = pointer_path(folder, name), None, "no file"
    promotion, suite = current.get(name, (None, shown))
    if path.is_file():
        try:
            pointer = read_pointer(path, how_to_mend(suite or "SUITE", name, stored=promotion is not None))
            read_baseline(folder, name, suite or "SUITE")
            here = path.with_name(pointer.file).is_file()
            state = "as promoted" if here else "as promoted: the store's scores, without texts"
        except ConfigError as error:
            state = "; ".join(map(str, error.problems)) or str(error)
    if pointer is None and path.is_file():
        # What it pins is not known, so that there is nothing to hold against the store.
        return {"state": state}
    row = {**_facts(pointer or promotion), "state": state}
    return row if shown is None else {**row, "store": agreement(pointer, promotion, suite or shown)}


def _facts(one: Promoted | None) -> dict[str, str]:
    if one is None:
        return {}
    return {
        "version": f"{one.model} {one.model_version}".strip(),
        "promoted": one.promoted_at.isoformat(timespec="minutes"),
        "by": one.promoted_by,
        "because": one.because,
        "digest": one.digest[:12],
    }


def show(options: argparse.Namespace) -> int:
    """Print what the store remembers of a suite's baseline, the last promoted first."""
    suite, root = suite_of(options.suite), root_for([Path(options.suite)])
    name = name_of(options.name, suite)
    with opened(root, options) as store:
        found = store.baselines.promotions(suite.name, name, limit=options.limit)
    rows = [{**_facts(one), "run": one.verdict, "decision": one.decision} for one in found]
    print(
        aligned(rows)
        if rows
        else f"the store has no baseline {name!r} of {suite.name!r}; evalsvc baseline record {options.suite} writes it"
    )
    return OK


def fetch(options: argparse.Namespace) -> int:
    """Take from the store what the suite's pointer pins; without one, or with ``--latest``, the last promoted."""
    from evalsvc.gate import baselines, promotions

    suite, root = suite_of(options.suite), root_for([Path(options.suite)])
    name = name_of(options.name, suite)
    path = baselines.pointer_path(suite.folder, name)
    pointer, broken, file = None, False, shown_path(path)
    if options.latest:
        broken = path.is_file() and baselines.readable_pointer(suite.folder, name) is None
    elif path.is_file():
        pointer = baselines.read_pointer(path, baselines.how_to_mend(options.suite, name))
    found: Promoted | None = pointer
    if pointer is None:
        with opened(root, options) as store:
            found = promotions.fetch_latest(store.baselines, suite.name, suite.folder, name, root)
        what = f"{file}, which could not be read, was replaced: " if broken else ""
        what += f"commit {'it' if broken else file} to pin it"
    elif baselines.is_here(suite.folder, name):
        what = f"which {file} pins, is here already"
    else:
        with opened(root, options) as store:
            taken = promotions.fetch(store.baselines, suite.name, suite.folder, name, root)
        if taken is not None and taken.unwritten:
            raise InputError(taken.unwritten)
        found = taken.promotion if taken else None
        what = f"as {file} pins it"
    if found is None:
        raise InputError(
            f"Expected the store to have the baseline that {file} pins, but it has it not: restore the file of scores "
            f"from git, or take the store's last promoted in its place: evalsvc baseline fetch {options.suite} "
            f"--name {name} --latest"
        )
    version = f"{found.model} {found.model_version}".strip()
    print(f"{name}: {version}, sha256 {found.digest[:12]}…, promoted by {found.promoted_by}; {what}")
    return OK


def record(options: argparse.Namespace) -> int:
    """Write the baseline in the files to the store, as it was promoted."""
    from evalsvc.gate.baselines import pointer_path, read_baseline, write_pointer
    from evalsvc.gate.promotions import for_store

    suite, root = suite_of(options.suite), root_for([Path(options.suite)])
    name = name_of(options.name, suite)
    held = read_baseline(suite.folder, name, options.suite)
    with opened(root, options, create=True):
        pass
    remember(suite, held.pointer, held.content, root, options)
    said = f"{name}: {held.pointer.model} {held.pointer.model_version}".rstrip() + " is in the store"
    if not held.pointer.stored:
        # Of an earlier release: what it does not pin can be taken from no store.
        stored = for_store(suite.name, held.pointer, held.content).promotion.stored
        write_pointer(suite.folder, msgspec.structs.replace(held.pointer, stored=stored))
        said += f"; {shown_path(pointer_path(suite.folder, name))} pins that now: commit it"
    print(said)
    return OK

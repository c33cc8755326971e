"""What a fit that starts from another detector has to know of it: which texts it has seen, and whose they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalsvc.detection import adapter
from evalsvc.errors import InputError
from evalsvc.fitting.folds import Grouped, folds, outer, stratum
from evalsvc.fitting.labelled import LEAST_OF_CLASS, LEAST_ROWS
from evalsvc.fitting.values import Codes, Labelled, Note, Options, Row, Truths
from evalsvc.set_audit.near import folded

OUTSIDE = -1
"""The fold of rows that are learnt from every time, since what training starts from has seen them."""

LEARNT = -2
"""The fold of rows that are learnt from where others are held out by ``hold_out``."""
_PARTS = 5
"""Of the held-out rows: each is judged by the calibration and threshold of the others."""


class Start(NamedTuple):
    """A detector that training starts from."""

    path: Path
    found: adapter.Adapter

    @property
    def listed(self) -> bool:
        """Whether its file says of everything behind it what was learnt from."""
        before = self.found.card.before
        return self.found.seen is not None and (before is None or before.listed)

    @property
    def before(self) -> adapter.Before:
        """What the card of a detector that came of it says."""
        card = self.found.card
        sources = {
            name: [*task.sources, *(card.before.sources.get(name, ()) if card.before else ())]
            for name, task in card.tasks.items()
        }
        return adapter.Before(self.found.revision, sources, self.listed)

    def known(self, rows: Sequence[Row], codes: Codes) -> Truths:
        """Return which rows are of a group that it has seen a text of."""
        seen = self.found.seen or frozenset()
        direct = np.array([not seen.isdisjoint(digests(row)) for row in rows], bool)
        made: Truths = np.isin(codes, codes[direct])
        return made

    def notes(self, known: Truths) -> list[Note]:
        """Return what should be known of figures that are of a detector which started from it."""
        made = []
        if not self.listed:
            made.append(
                Note(
                    f"{self.path} does not say which texts it was fitted to: rows that it has seen may be among those "
                    "held out, and all figures too good. Give rows that are new to it, or fit without --from",
                    warning=True,
                )
            )
        if known.any():
            many = int(known.sum())
            made.append(
                Note(
                    f"{many:,} of {len(known):,} rows are of groups that {self.path} was fitted to: they are learnt "
                    "from, but in no figure"
                )
            )
        return made


def start_of(before: Path | None) -> Start | None:
    """Read the detector that training starts from.

    Raises:
        EngineError: when it is none.
    """
    return None if before is None else Start(before, adapter.read(before))


def digests(row: Row) -> set[int]:
    """Return 32 bits of a digest of each of a response's contexts, or of the text."""
    return {_digest(text) for text in row.contexts or (row.text,)}


def seen_by(rows: Sequence[Row], start: Start | None) -> frozenset[int]:
    """Return the digests of all that a detector of these rows has seen."""
    own = frozenset().union(*(digests(row) for row in rows))
    return own | (start.found.seen or frozenset() if start else frozenset())


def placed(labelled: Labelled, found: Grouped, options: Options, known: Truths) -> Codes:
    """Return the fold of each row, of those that are known :data:`OUTSIDE`.

    Raises:
        InputError: when the others are too few to measure anything.
    """
    if not known.any():
        return _apart(labelled, found, options)
    fresh = [row for row, is_known in zip(labelled.rows, known.tolist(), strict=True) if not is_known]
    where = f"{int(known.sum()):,} of {len(known):,} rows are of groups that {options.before} was fitted to"
    what = "Add rows that are new to it, or fit without --from"
    for task, left in _left(fresh, labelled.tasks).items():
        if left[True] + left[False] < LEAST_ROWS or min(left.values()) < LEAST_OF_CLASS:
            raise InputError(
                f"{where}, and of these no figure would mean anything. For {task} {left[True] + left[False]:,} others "
                f"are labelled, {left[True]:,} of them with what is looked for, but {LEAST_ROWS} are needed, and "
                f"{LEAST_OF_CLASS} of each class. {what}"
            )
    made = np.full(len(known), OUTSIDE, np.int64)
    codes = np.unique(found.codes[~known], return_inverse=True)[1]
    try:
        made[~known] = _apart(labelled._replace(rows=fresh), Grouped(codes), options)
    except InputError as error:
        raise InputError(f"{where}. {what}. Of the others: {error}") from error
    return made


def _apart(labelled: Labelled, found: Grouped, options: Options) -> Codes:
    """Return the fold of each row; with ``hold_out`` one of five for those held out, :data:`LEARNT` for others."""
    if not options.hold_out:
        return outer(labelled, found, options.folds, options.seed)
    strata = [stratum(row) for row in labelled.rows]
    held = folds(found.codes, strata, max(2, round(1 / options.hold_out)), options.seed) == 0
    rows = [row for row, is_held in zip(labelled.rows, held.tolist(), strict=True) if is_held]
    codes = np.unique(found.codes[held], return_inverse=True)[1]
    for task, left in _left(rows, labelled.tasks).items():
        if left[True] + left[False] < LEAST_ROWS or min(left.values()) < LEAST_OF_CLASS:
            raise InputError(
                f"Of the rows held out {left[True] + left[False]:,} are labelled for {task}, {left[True]:,} of them "
                f"with what is looked for, but {LEAST_ROWS} are needed, and {LEAST_OF_CLASS} of each class; hold out "
                "more, or give --folds"
            )
    made = np.full(len(held), LEARNT, np.int64)
    made[held] = outer(labelled._replace(rows=rows), Grouped(codes), _PARTS, options.seed)
    return made


def _left(rows: Sequence[Row], tasks: Sequence[str]) -> Mapping[str, dict[bool, int]]:
    return {
        name: {truth: sum(row.found[place] is truth for row in rows) for truth in (True, False)}
        for place, name in enumerate(tasks)
    }


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(folded(text).encode("utf-8", "surrogatepass")).digest()[:4], "big")

"""Folds that no group, and no copy of a text, is on both sides of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalsvc.errors import InputError
from evalsvc.fitting.values import Codes, Labelled, Note, Row
from evalsvc.set_audit.near import folded, groups, near_pairs

ALIKE = 0.8
"""From which Jaccard index on two texts count as one."""

FEW, EXAMPLE = 10, 80
"""With fewer groups that joining is a warning; of an example so many characters are shown."""

_SEEN = 2000
"""Of a long text so many characters of its beginning and of its end are compared."""


class Grouped(NamedTuple):
    """Of each row its group, 0, 1, … without gaps, and what was joined."""

    codes: Codes
    notes: Sequence[Note] = ()

    @property
    def total(self) -> int:
        """How many groups there are."""
        return int(self.codes.max()) + 1


def grouped(labelled: Labelled) -> Grouped:
    """Return groups of rows; groups with equal or nearly equal texts, of a response its contexts, are one."""
    rows = labelled.rows
    names = {name: code for code, name in enumerate(dict.fromkeys(row.group for row in rows))}
    own = np.array([names[row.group] for row in rows])
    texts: dict[str, int] = {}
    kinds = np.array([texts.setdefault(_compared(row), len(texts)) for row in rows])
    parents = np.arange(len(names))
    alike = _near(list(texts))[kinds]
    first: dict[int, int] = {}
    joined: tuple[int, int] | None = None
    for place, kind in enumerate(alike.tolist()):
        before = first.setdefault(kind, place)
        if joined is None and own[before] != own[place]:
            joined = before, place
        _join(parents, int(own[before]), int(own[place]))
    roots = [_root(parents, group) for group in own.tolist()]
    codes = {root: code for code, root in enumerate(dict.fromkeys(roots))}
    made = Grouped(np.array([codes[root] for root in roots], np.int64))
    return made._replace(notes=_notes(labelled, len(names), made.total, joined))


def folds(codes: Codes, strata: Sequence[object], count: int, seed: int) -> Codes:
    """Return the fold of each row: whole groups, the strata spread as evenly as they allow; by the seed alone.

    The largest groups go first, each into the fold that lacks most of what it has.

    Args:
        codes: of each row its group, 0, 1, … without gaps.
        strata: of each row what is to be spread, such as its label.
        count: how many folds.
        seed: of the order of groups alike.
    """
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(strata))}
    table = np.zeros((int(codes.max()) + 1, len(kinds)))
    np.add.at(table, (codes, np.array([kinds[kind] for kind in strata])), 1.0)
    order = np.random.default_rng(seed).permutation(len(table))
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    # A rare stratum weighs as much as a common one; the size of the folds breaks ties.
    share = np.c_[table / table.sum(axis=0), table.sum(axis=1) / len(codes)]
    held = np.zeros((count, share.shape[1]))
    placed = np.zeros(len(table), np.int64)
    for group in order:
        # The growth of Σ held² over folds is least where (2·held + own)·own is.
        placed[group] = int(np.argmin((2.0 * held + share[group]) @ share[group]))
        held[placed[group]] += share[group]
    made: Codes = placed[codes]
    return made


def stratum(row: Row) -> tuple[object, ...]:
    """Return what is spread over the folds."""
    return (*row.found, row.source)


def outer(labelled: Labelled, found: Grouped, count: int, seed: int) -> Codes:
    """Return the fold of each row for cross-validation.

    Raises:
        InputError: fewer groups than folds, or a class that is in one group alone.
    """
    if found.total < count:
        raise InputError(
            f"All rows are in {found.total:,} {'group' if found.total == 1 else 'groups'} of {labelled.field!r}, texts "
            f"that are nearly equal joined, but {count} folds need as many; name another field by --group, or fewer "
            "--folds"
        )
    made = folds(found.codes, [stratum(row) for row in labelled.rows], count, seed)
    for place, task in enumerate(labelled.tasks):
        for truth in (True, False):
            has = np.array([row.found[place] is truth for row in labelled.rows])
            if len(set(made[has].tolist())) < 2:
                raise InputError(
                    f"All rows whose {task} is {'found' if truth else 'not found'} are in one group of "
                    f"{labelled.field!r} or in one fold, so that none could be learnt from when they are held out; add "
                    "rows of other groups"
                )
    return made


def _compared(row: Row) -> str:
    text = folded(_told(row))
    return text if len(text) <= 2 * _SEEN else f"{text[:_SEEN]} {text[-_SEEN:]}"


def _near(texts: Sequence[str]) -> Codes:
    """Return of each text the first of those that are nearly equal."""
    made = np.arange(len(texts))
    for members in groups(near_pairs(texts, ALIKE), len(texts)):
        made[members] = members[0]
    return made


def _root(parents: Codes, group: int) -> int:
    while parents[group] != group:
        parents[group] = parents[parents[group]]
        group = int(parents[group])
    return group


def _join(parents: Codes, one: int, other: int) -> None:
    first, second = sorted((_root(parents, one), _root(parents, other)))
    parents[second] = first


def _notes(labelled: Labelled, before: int, after: int, joined: tuple[int, int] | None) -> list[Note]:
    if joined is None:
        return []
    sizes = Counter(row.group for row in labelled.rows if row.group.startswith(":"))
    said = f"{before:,} groups were joined to {after:,}, since their texts are equal or nearly equal"
    example = " and ".join(repr(_cut(_told(labelled.rows[place]))) for place in joined)
    if len(sizes) > 1 and max(sizes.values()) == 1:
        return [
            Note(
                f"Every row has a {labelled.field!r} of its own, yet texts repeat: with these groups copies would have "
                f"been on both sides of a fold, and all figures too good. {said}, "
                f"such as {example}; name by --group what such rows share",
                warning=True,
            )
        ]
    few = after < FEW
    ending = ". With so few, all figures are uncertain: label rows of others" if few else ""
    return [Note(f"{said}, such as {example}{ending}", warning=few)]


def _told(row: Row) -> str:
    return "\n".join(row.contexts) or row.text


def _cut(text: str) -> str:
    return text if len(text) <= EXAMPLE else f"{text[: EXAMPLE - 1]}…"

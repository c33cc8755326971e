"""Variants of cases: the same questions put otherwise, tied to their source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from evalsvc._hints import did_you_mean
from evalsvc.cases.values import Case
from evalsvc.errors import InputError
from evalsvc.perturbation import contexts, injections, languages, letters, wording
from evalsvc.perturbation.values import Amounts, Around, Kind

KINDS: Mapping[str, Kind] = {
    **letters.KINDS,
    **wording.KINDS,
    **languages.KINDS,
    **contexts.KINDS,
    **injections.KINDS,
}
"""Every way to change a case, by its name."""

_MOST_OTHERS = 300


class Varied(NamedTuple):
    """Cases with their variants, and how many cases had none.

    ``cases`` holds each source followed by its variants. ``unchanged`` counts, by kind, sources in which there was
    nothing to change (no letters, no contexts, another language), or whose variant is equal to a case that is there.
    """

    cases: tuple[Case, ...]
    unchanged: Mapping[str, int]


def vary(
    cases: Iterable[Case],
    kinds: Sequence[str],
    seed: int = 0,
    amounts: Amounts = Amounts(),  # noqa: B008 - frozen
) -> Varied:
    """Return cases with a variant of each kind; the same ones for the same cases, kinds, seed and amounts.

    A variant is a pure function of its source, kind, seed, amounts and, for distractors and padding, of the contexts
    of the other groups' cases. It is called ``<source>~<kind>``, its ``variant_of`` is the source's digest, and both
    are of one group: the source's, or its digest where it has none. Cases that are variants are passed through.

    Raises:
        InputError: on an unknown kind, no kind, or amounts outside their range.
    """
    _check(kinds, amounts)
    given = list(cases)
    grouped = [msgspec.structs.replace(case, group=case.group or case.variant_of or case.digest) for case in given]
    taken = {case.digest for case in given}
    names = {case.case_id for case in given}
    pool = _Pool(grouped)
    unchanged = dict.fromkeys(kinds, 0)
    found: list[Case] = []
    for source in grouped:
        found.append(source)
        if source.variant_of:
            continue
        for kind in dict.fromkeys(kinds):
            variant = _variant(source, kind, seed, amounts, pool)
            if variant is None or variant.digest in taken or variant.case_id in names:
                unchanged[kind] += 1
                continue
            taken.add(variant.digest)
            found.append(variant)
    return Varied(tuple(found), unchanged)


def _check(kinds: Sequence[str], amounts: Amounts) -> None:
    if not kinds:
        raise InputError(f"Expected at least one kind of variant; known: {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"Expected a kind of variant, but got {kind!r} ({did_you_mean(kind, KINDS, most=99)})")
    for name in ("typos", "lookalikes", "gaps"):
        if not 0.0 < getattr(amounts, name) <= 1.0:
            raise InputError(f"Expected `{name}` in (0, 1], but got {getattr(amounts, name)!r}")
    for name in ("distractors", "padding_words"):
        if getattr(amounts, name) < 1:
            raise InputError(f"Expected `{name}` to be 1 or more, but got {getattr(amounts, name)!r}")


def _variant(source: Case, kind: str, seed: int, amounts: Amounts, pool: _Pool) -> Case | None:
    random = Random(f"{seed}:{kind}:{source.digest}")  # noqa: S311 - reproducible, no secret
    changed = KINDS[kind].change(source, Around(random, amounts, pool.others(source, kind, seed)))
    if changed is None:
        return None
    return msgspec.structs.replace(
        changed,
        case_id=f"{source.case_id}~{kind}",
        reference=source.reference if KINDS[kind].keeps_reference else None,
        variant_of=source.digest,
        variant=kind,
    )


class _Pool:
    """The contexts of the sources by group."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._owners: dict[str, set[str]] = {}
        for case in cases:
            if not case.variant_of:
                for text in case.contexts:
                    self._owners.setdefault(text, set()).add(case.group)
        self._texts = sorted(self._owners)

    def others(self, case: Case, kind: str, seed: int) -> tuple[str, ...]:
        """Return contexts that no case of this one's group has, at most some hundred, where the kind uses any."""
        if kind not in contexts.KINDS:
            return ()
        random = Random(f"{seed}:others:{case.digest}")  # noqa: S311 - reproducible, no secret
        looked = random.sample(self._texts, min(_MOST_OTHERS, len(self._texts)))
        return tuple(text for text in looked if case.group not in self._owners[text])

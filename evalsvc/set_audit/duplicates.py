"""Cases that are there twice, in one set or across two, and references that differ where the questions do not."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.cases.values import Case, CaseSet
from evalsvc.set_audit.near import Near, folded, groups, near_pairs
from evalsvc.set_audit.texts import asked
from evalsvc.set_audit.values import Finding, Verdict

NEAR = 0.8
"""The Jaccard index from which on two questions count as nearly the same."""

UNLIKE = 0.5
"""How alike two references are, in [0, 1] (Indel similarity), below which their cases are worth a look."""

SHOWN = 5
_DUPLICATES_BAD, _CONTAMINATED_BAD = 0.05, 0.01


def alike(*sets: Sequence[Case]) -> list[Near]:
    """Return pairs of cases whose questions are nearly the same, and their contexts too, by their places.

    Cases of several sets have their places one set after another. Variants within one set are like no other; between
    sets they count as all others, and are like what they are variants of.
    """
    cases = [case for each in sets for case in each]
    within = len(sets) == 1
    pairs = near_pairs(
        ["" if within and case.variant_of else asked(case) for case in cases],
        NEAR,
        contexts=["\n".join(case.contexts) for case in cases],
        sizes=[len(each) for each in sets],
    )
    return pairs if within else [*pairs, *_families(cases)]


def _families(cases: Sequence[Case]) -> list[Near]:
    """Return pairs of a case and a variant of it, or of two variants of one case that is not there."""
    first: dict[str, int] = {}
    pairs = []
    for place, case in enumerate(cases):
        for digest in (case.digest, case.variant_of):
            if digest and (held := first.setdefault(digest, place)) != place:
                pairs.append(Near(held, place, 1.0))
    return pairs


def duplicate_findings(cases: Sequence[Case], pairs: Sequence[Near]) -> list[Finding]:
    """Return how many cases say what another one does: the same but for case and white space, and nearly the same."""
    exact: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for place, case in enumerate(cases):
        if not case.variant_of:
            exact.setdefault(_said(case), []).append(place)
    same = [places for places in exact.values() if len(places) > 1]
    joined = groups(pairs, len(cases))
    return [
        _surplus("the same but for case and white space", cases, same),
        _surplus(f"nearly the same (Jaccard index {NEAR:g} or more)", cases, joined),
    ]


def _surplus(what: str, cases: Sequence[Case], found: Sequence[Sequence[int]]) -> Finding:
    extra = sum(len(places) - 1 for places in found)
    # A group tells the statistics that its cases depend on each other: then copies do no harm but to the size.
    loose = [places for places in found if len({cases[place].group or cases[place].case_id for place in places}) > 1]
    verdict: Verdict = "ok" if not loose else "bad" if extra > _DUPLICATES_BAD * len(cases) else "look"
    return Finding(
        subject="duplicates",
        what=what,
        value=extra / len(cases),
        said=f"{extra:,} of {len(cases):,} ({extra / len(cases):.1%}) repeat another one, in {len(found):,} groups",
        verdict=verdict,
        next="drop the copies, or give those of one source one `group`" if loose else "",
        cases=tuple(cases[place].case_id for places in loose for place in places)[:SHOWN],
    )


def split_findings(sets: Sequence[CaseSet]) -> list[Finding]:
    """Return, for each set but the first, how many of its cases are nearly those of an earlier one.

    The verdict is by the larger of the two sets' shares.
    """
    return [_split(sets[earlier], sets[later]) for later in range(1, len(sets)) for earlier in range(later)]


def _split(earlier: CaseSet, later: CaseSet) -> Finding:
    cases = (*earlier.cases, *later.cases)
    joined = groups(alike(earlier.cases, later.cases), len(cases))
    shared = sorted(place for places in joined if places[0] < len(earlier) <= places[-1] for place in places)
    names = [cases[place].case_id for place in shared]
    there = sum(place < len(earlier) for place in shared)
    return _leak(earlier, later, names[:there], names[there:])


def _leak(earlier: CaseSet, later: CaseSet, there: Sequence[str], here: Sequence[str]) -> Finding:
    # A small test set may lie wholly inside a large one that was tuned on: the larger share is what it has lost.
    share = max(len(there) / len(earlier), len(here) / len(later))
    where = f", where they are {_of(there, earlier)}" if here else ""
    return Finding(
        subject="splits",
        what=f"{later.name} in {earlier.name}",
        value=share,
        said=f"{_of(here, later)} are nearly there as well{where}",
        verdict="ok" if not here else "bad" if share > _CONTAMINATED_BAD else "look",
        next="take them out of one of the two: what was trained or tuned on tells nothing" if here else "",
        cases=tuple(here[:SHOWN]),
    )


def _of(names: Sequence[str], cases: CaseSet) -> str:
    return f"{len(names):,} of {len(cases):,} ({len(names) / len(cases):.1%})"


def label_findings(cases: Sequence[Case], pairs: Sequence[Near]) -> list[Finding]:
    """Return which references are unlike those of nearly the same questions: at most one of the two is right.

    Of the same question every other reference is worth a look: "valid" and "invalid" are much alike.
    """
    from rapidfuzz.fuzz import ratio

    references = [None if case.reference is None else folded(case.reference) for case in cases]
    said_by = [_said(case) for case in cases]
    near = {(pair.first, pair.second) for pair in pairs}
    looked, worth = 0, []
    for first, second in sorted(near | _differing(said_by, references, cases)):
        one, other = references[first], references[second]
        if one is None or other is None:
            continue
        looked += 1
        if one != other if said_by[first] == said_by[second] else ratio(one, other) < 100.0 * UNLIKE:
            worth.append((cases[first].case_id, cases[second].case_id))
    if not looked:
        said = "no two nearly equal questions both have a reference"
        return [Finding(subject="labels", what="references", value=None, said=said, verdict="ok")]
    return [
        Finding(
            subject="labels",
            what="references of nearly equal questions",
            value=float(len(worth)),
            said=f"{len(worth):,} of {looked:,} pairs have unlike references (of the same question: another one; "
            f"otherwise Indel similarity below {UNLIKE:g})",
            verdict="look" if worth else "ok",
            next="read both: at most one reference of a pair is right, or the questions differ in what counts"
            if worth
            else "",
            cases=tuple(dict.fromkeys(name for pair_of in worth for name in pair_of))[: 2 * SHOWN],
        )
    ]


def _said(case: Case) -> tuple[str, tuple[str, ...]]:
    return folded(asked(case)), tuple(map(folded, case.contexts))


def _differing(
    said_by: Sequence[tuple[str, tuple[str, ...]]], references: Sequence[str | None], cases: Sequence[Case]
) -> set[tuple[int, int]]:
    """Return the first case of each content with each later one whose reference is another."""
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    found = set()
    for place, (said, reference, case) in enumerate(zip(said_by, references, cases, strict=True)):
        if reference is not None and not case.variant_of:
            held = first.setdefault(said, place)
            if references[held] != reference:
                found.add((held, place))
    return found

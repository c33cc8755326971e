"""Cases that are there twice, in one set or across two, and references that differ where the questions do not."""

from __future__ import annotations

from collections.abc import Sequence

from evalsvc.cases.values import Case, CaseSet
from evalsvc.set_audit.near import Near, folded, groups, near_pairs
from evalsvc.set_audit.templates import Templates
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

    Those that ask about another number or name are marked as of one template. Cases of several sets have their places
    one set after another. Variants within one set are like no other; between sets they count as all others, and are
    like what they are variants of.
    """
    cases = [case for each in sets for case in each]
    within = len(sets) == 1
    texts = ["" if within and case.variant_of else asked(case) for case in cases]
    templates = Templates(texts)
    pairs = [
        pair._replace(template=templates.differ(pair.first, pair.second))
        for pair in near_pairs(
            texts,
            NEAR,
            contexts=["\n".join(case.contexts) for case in cases],
            sizes=[len(each) for each in sets],
        )
    ]
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
    """Return how many cases say what another one does: the same but for case and white space, and nearly the same.

    The third number is how many more are there for a template that is filled with numbers or names.
    """
    exact: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for place, case in enumerate(cases):
        if not case.variant_of:
            exact.setdefault(_said(case), []).append(place)
    same = [places for places in exact.values() if len(places) > 1]
    joined = groups(_copies(pairs), len(cases))
    return [
        _surplus("the same but for case and white space", cases, same),
        _surplus(f"nearly the same (Jaccard index {NEAR:g} or more)", cases, joined),
        _templates(cases, joined, groups(pairs, len(cases))),
    ]


def _copies(pairs: Sequence[Near]) -> list[Near]:
    return [pair for pair in pairs if not pair.template]


def _templates(cases: Sequence[Case], copies: Sequence[Sequence[int]], joined: Sequence[Sequence[int]]) -> Finding:
    whole = {tuple(places) for places in copies}
    found = [places for places in joined if tuple(places) not in whole]
    extra = _extra(joined) - _extra(copies)
    return Finding(
        subject="duplicates",
        what="of one template (nearly the same, but for a number or a name)",
        value=extra / len(cases),
        said=f"{extra:,} of {len(cases):,} ({extra / len(cases):.1%}) are no copies: they ask what another one does of "
        f"something else, in {len(found):,} groups",
        verdict="ok",
        cases=tuple(cases[place].case_id for places in found for place in places)[:SHOWN],
    )


def _extra(found: Sequence[Sequence[int]]) -> int:
    return sum(len(places) - 1 for places in found)


def _surplus(what: str, cases: Sequence[Case], found: Sequence[Sequence[int]]) -> Finding:
    extra = _extra(found)
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
    pairs = alike(earlier.cases, later.cases)
    shared, near = (_across(found, len(earlier), len(cases)) for found in (_copies(pairs), pairs))
    names = [cases[place].case_id for place in shared]
    there = sum(place < len(earlier) for place in shared)
    templates = [cases[place].case_id for place in sorted({*near} - {*shared}) if place >= len(earlier)]
    return _leak(earlier, later, (names[:there], names[there:]), templates)


def _across(pairs: Sequence[Near], split: int, size: int) -> list[int]:
    """Return the places of those that pairs join with one on the other side of a split."""
    return sorted(place for places in groups(pairs, size) if places[0] < split <= places[-1] for place in places)


def _leak(
    earlier: CaseSet, later: CaseSet, shared: tuple[Sequence[str], Sequence[str]], templates: Sequence[str]
) -> Finding:
    there, here = shared
    # A small test set may lie wholly inside a large one that was tuned on: the larger share is what it has lost.
    share = max(len(there) / len(earlier), len(here) / len(later))
    where = f", where they are {_of(there, earlier)}" if here else ""
    if templates:
        where += f"; {_of(templates, later)} {'more ' if here else ''}differ from one there by a number or a name"
    advice = "take them out of one of the two: what was trained or tuned on tells nothing"
    read = "read some: cases of one template may be in both, a copy with another date may not"
    return Finding(
        subject="splits",
        what=f"{later.name} in {earlier.name}",
        value=share,
        said=f"{_of(here, later)} are nearly there as well{where}",
        verdict="bad" if share > _CONTAMINATED_BAD else "look" if here or templates else "ok",
        next=advice if here else read if templates else "",
        cases=tuple((here or templates)[:SHOWN]),
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
    near = {(pair.first, pair.second) for pair in _copies(pairs)}
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

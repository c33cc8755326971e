"""Where the verdicts of an audit change, by the numbers that the guide names."""

from __future__ import annotations

import string

import numpy as np
import pytest

from evalsvc.cases import Case, CaseSet
from evalsvc.set_audit import selection
from evalsvc.set_audit.duplicates import duplicate_findings, label_findings, split_findings
from evalsvc.set_audit.near import Near, near_pairs


def words(generator: np.random.Generator, number: int) -> str:
    letters = list(string.ascii_lowercase)
    return " ".join("".join(generator.choice(letters, generator.integers(3, 9))) for _ in range(number))


def case(name: object, prompt: str, **fields: object) -> Case:
    return Case(case_id=str(name), prompt=prompt, **fields)


@pytest.mark.parametrize(("copies", "verdict"), [(0, "ok"), (5, "look"), (6, "bad")])
def test_more_than_5_percent_of_copies_are_bad(copies: int, verdict: str) -> None:
    cases = [case(i, f"question {max(i, copies)}") for i in range(100)]
    same = duplicate_findings(cases, [])[0]
    assert (same.value, same.verdict) == (pytest.approx(copies / 100), verdict)


@pytest.mark.parametrize(("shared", "verdict"), [(0, "ok"), (1, "look"), (2, "bad")])
def test_more_than_1_percent_in_both_sets_is_bad(shared: int, verdict: str) -> None:
    generator = np.random.default_rng(41)
    texts = [words(generator, 8) for _ in range(200)]
    sets = [CaseSet("one", tuple(case(i, text) for i, text in enumerate(texts[:100])))]
    sets.append(CaseSet("two", tuple(case(i, text) for i, text in enumerate(texts[100 - shared : 200 - shared]))))
    assert split_findings(sets)[0].verdict == verdict


@pytest.mark.parametrize(("kept", "worth"), [(4, 1.0), (6, 0.0)])
def test_references_are_unlike_below_half(kept: int, worth: float) -> None:
    """The Indel similarity of two words of ten letters that share so many is a tenth of these."""
    references = ["abcdefghij", "abcdefghij"[:kept] + "z" * (10 - kept)]
    cases = [case(i, f"question {i}", reference=reference) for i, reference in enumerate(references)]
    (found,) = label_findings(cases, [Near(0, 1, 0.9)])
    assert found.value == worth
    assert found.said.startswith(f"{worth:.0f} of 1 pairs")


def test_a_variant_may_have_another_reference() -> None:
    cases = [case("a", "question", reference="yes"), case("b", "question", reference="no", variant_of="0" * 32)]
    assert label_findings(cases, [])[0].value is None


def test_contexts_are_the_same_but_for_case_and_white_space_and_are_not_by_half() -> None:
    cases = [case(i, "the same", contexts=(text,)) for i, text in enumerate(("One  Text", "one text", "another"))]
    assert duplicate_findings(cases, [])[0].value == pytest.approx(1 / 3)
    generator = np.random.default_rng(42)
    for _ in range(10):
        half = words(generator, 20)
        contexts = [f"{half} {words(generator, 10)}" for _ in range(2)]
        assert near_pairs(["what does it say of the second part"] * 2, contexts=contexts) == []


def test_what_only_one_set_shares_tells_of_a_leak() -> None:
    generator = np.random.default_rng(43)
    frame = words(generator, 60)
    test = CaseSet("test", tuple(case(i, f"{frame} {words(generator, 2)}") for i in range(40)))
    others = [case(i, words(generator, 30)) for i in range(20)]
    tuned = CaseSet("tuned", (*others, case("leak", f"{frame} {words(generator, 2)}")))
    (found,) = split_findings([test, tuned])
    assert found.said.startswith("1 of 21 ")
    assert found.cases == ("leak",)


def test_of_the_traffic_4000_examples_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    share_of = selection.share_of
    monkeypatch.setattr(selection, "share_of", lambda cases, has: seen.append(len(cases)) or share_of(cases, has))
    for size in (3_999, 4_001):
        selection.select([case("own", "where is it")], [case(i, f"ask {i:x}") for i in range(size)], 0)
    assert seen == [3_999, 4_000]

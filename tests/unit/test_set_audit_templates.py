"""Templates are no copies: other numbers and names are told apart from other spellings, and both from each other."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.cases import Case, CaseSet
from evalsvc.set_audit import audit
from evalsvc.set_audit.duplicates import alike, duplicate_findings, label_findings, split_findings
from evalsvc.set_audit.templates import Templates

OTHERS = ("We met people of Iran and of Iraq there.", "the Kyiv office", "the Kiev office")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is my order 1234 now?", "Where is my order 1235 now?"),
        ("what happened in 2018", "What happened in 2019, please?"),
        ("our margin was 5% then", "our margin was 50% then"),
        ("it costs 0 euros a month", "it costs 9 euros a month"),
        ("give 3.5 ml of it", "give 35 ml of it"),
        ("it costs 1.50 euros", "it costs 15.0 euros"),
        ("it costs 1,50 euros", "it costs 150 euros"),
        ("we run version 1.2 here", "we run version 12 here"),
        ("is it -5 degrees there", "is it 5 degrees there"),
        ("-5 degrees are cold", "5 degrees are cold"),
        ("is it \u22125 degrees there", "is it 5 degrees there"),
        ("meet me at 12:30 then", "meet me at 1:230 then"),
        ("it weighs 0.125 grams", "it weighs 125 grams"),
        ("about 1,234.5 of them", "about 12,345 of them"),
        ("take 1.234.567 of it", "take 1.234.568 of it"),
        ("it is the host 10.1.2.3", "it is the host 10.12.3"),
        ("the part A1B2 is broken", "the part A12B is broken"),
        ("come on the 1st of May", "come on the 2nd of May"),
        ("how do I install version 3.10", "how do I install version 3.1"),
        ("the meeting begins at 10:30", "the meeting begins at 10:3"),
        ("Is the capital of Iran old?", "Is the capital of Iraq old?"),
        ("we flew to Lima at last", "we flew to Lyon at last"),
        ("How many people live in Paris today", "How many people live in London today"),
    ],
)
def test_other_numbers_and_names_make_a_template(one: str, other: str) -> None:
    templates = Templates([one, other, *OTHERS])
    assert templates.differ(0, 1)
    assert templates.differ(1, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Which colour has the sky", "Which color has the sky"),
        ("Is the capital of Iran old?", "Is the capital of Irann old?"),
        ("We spoke with Mohammed again", "We spoke with Muhammad again"),
        ("it costs 1,000 euros", "it costs 1000 euros"),
        ("it costs 1.000 euros", "it costs 1000 euros"),
        ("it costs 1,234.50 euros", "it costs 1.234,50 euros"),
        ("it costs 1,00,000 rupees", "it costs 100000 rupees"),
        ("it costs 3,50 euros", "it costs 3.50 euros"),
        ("it takes 5-10 days", "it takes 5 - 10 days"),
        ("it takes 5-10 days", "it takes 5 -10 days"),
        ("the order-5 is late", "the order 5 is late"),
        ("is it -5 degrees there", "is it \u22125 degrees there"),
        ("it grew by .5 percent", "it grew by 0.5 percent"),
        ("it grew by 0.50 percent", "it grew by .5 percent"),
        ("it costs 2.00 euros", "it costs 2 euros"),
        ("it costs 1,234.50 euros", "it costs 1234,5 euros"),
        ("I took it...5 times", "I took it 5 times"),
        ("the 05 of May", "the 5 of May"),
        ("it takes 10 days", "it takes ten days"),
        ("Where is order 12?", "Where is order 12 of 2019, which I placed in Paris?"),
        ("Will my card arrive? Can you say", "Does my card arrive? Would you say"),
        ("How Can I Reset My Password", "How Do I Reset My Passcode"),
        ("HOW CAN I RESET IT", "HOW SHALL I RESET IT"),
        ("and then I can go", "and then They can go"),
        ("we flew to Bonn at last", "we flew to Bern at last"),
        ("so we asked Mohammed yet again", "so we asked Doctor Muhammad yet again"),
        ("the same", "the same"),
    ],
)
def test_other_spellings_and_words_make_none(one: str, other: str) -> None:
    assert not Templates([one, other, *OTHERS]).differ(0, 1)


def test_a_slip_that_was_copied_is_no_witness_of_a_name() -> None:
    one, slip = "Is the capital of Iran old?", "Is the capital of Irna old?"
    assert not Templates([one, slip, *OTHERS, slip, f" {slip.upper()} "]).differ(0, 1)
    assert Templates([one, slip, *OTHERS, "so Irna is one"]).differ(0, 1)


FRAMES = 15


def orders(name: str, numbers: range, frames: int = 1, *, slip: bool = False) -> CaseSet:
    """Each frame is filled with each number; a slip changes one letter of every text."""
    generator = np.random.default_rng(31)
    texts = [" ".join(words(generator, 25)) for _ in range(frames)]
    asked = [f"{text} order {100_000 + number} {text[::-1]}" for text in texts for number in numbers]
    return CaseSet(
        name,
        tuple(
            Case(case_id=f"{name}{i}", prompt=text[:20] + "q" * slip + text[20:], reference=f"{i}")
            for i, text in enumerate(asked)
        ),
    )


def words(generator: np.random.Generator, number: int) -> list[str]:
    return ["".join(generator.choice(list("abcdefghilmnorstu"), generator.integers(2, 9))) for _ in range(number)]


@pytest.mark.parametrize(("numbers", "frames"), [(4, 1), (24, FRAMES)])
def test_a_filled_template_is_no_duplicate_no_leak_and_no_wrong_label(numbers: int, frames: int) -> None:
    size = numbers * frames
    test, tuned = orders("test", range(numbers), frames), orders("tuned", range(numbers, 2 * numbers), frames)
    pairs = alike(test.cases)
    same, near, template = duplicate_findings(test.cases, pairs)
    assert (same.value, near.value, near.verdict) == (0.0, 0.0, "ok")
    assert template.value == pytest.approx((size - frames) / size)
    assert template.cases[:2] == ("test0", "test1")
    assert template.said.endswith(f"in {frames} groups")
    assert label_findings(test.cases, pairs)[0].value is None
    (shared,) = split_findings([test, tuned])
    assert (shared.value, shared.verdict, shared.cases[0]) == (0.0, "look", "tuned0")
    assert f"{size} of {size} (100.0%) differ from one there by a number or a name" in shared.said
    found = [one for one in audit([test, tuned]).findings if one.subject in ("duplicates", "splits")]
    assert [one.verdict for one in found] == ["ok", "ok", "ok", "look"]


@pytest.mark.parametrize(("numbers", "frames"), [(4, 1), (24, FRAMES)])
def test_copies_within_a_template_are_found(numbers: int, frames: int) -> None:
    """One number of each template is in the other set as well, with a slip of the pen, among many others."""
    test = orders("test", range(numbers), frames)
    tuned = orders("tuned", range(numbers - 1, 2 * numbers - 1), frames, slip=True)
    (shared,) = split_findings([test, tuned])
    assert shared.value == pytest.approx(1 / numbers)
    assert shared.verdict == "bad"
    assert shared.cases == tuple(f"tuned{i * numbers}" for i in range(frames))[:5]
    assert f"{(numbers - 1) * frames} of {numbers * frames} " in shared.said


def test_copies_and_templates_are_counted_each_once() -> None:
    """Four of a template, the second of which is there twice; and two copies of something else."""
    one = orders("one", range(4)).cases
    slip = orders("slip", range(1, 2), slip=True).cases
    asked = " ".join(words(np.random.default_rng(32), 20))
    cases = [*one, *slip, *(Case(case_id=f"else{sign}", prompt=asked + sign) for sign in ".!")]
    _, near, template = duplicate_findings(cases, alike(cases))
    assert near.value == pytest.approx(2 / 7)
    assert template.said.startswith("3 of 7 (42.9%)")
    assert template.said.endswith("in 1 groups")
    assert set(template.cases) == {"one0", "one1", "one2", "one3", "slip0"}

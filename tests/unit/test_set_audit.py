"""Audits of sets of cases: each number against a plain count of the same, and what is planted is found."""

from __future__ import annotations

import itertools
import json
import math
import string
from pathlib import Path
from typing import get_args

import krippendorff
import msgspec
import numpy as np
import pytest

from evalsvc._cli_audit_set import BY_USE, rows
from evalsvc.cases import Case, CaseSet, ToolCall
from evalsvc.cases.reading import write_cases
from evalsvc.cases.values import clusters_of
from evalsvc.cli import main
from evalsvc.errors import InputError
from evalsvc.set_audit import Finding, SetAudit, Wish, audit
from evalsvc.set_audit.balance import agreement_findings, balance_findings, evenness, reference_findings
from evalsvc.set_audit.contents import EDGES, kinds, topic_patterns, topics
from evalsvc.set_audit.duplicates import alike, duplicate_findings, label_findings, split_findings
from evalsvc.set_audit.near import folded, groups, near_pairs
from evalsvc.set_audit.size import effective, group_size, size_findings
from evalsvc.set_audit.values import Subject
from evalsvc.types import Message


def text(generator: np.random.Generator, words: int = 30) -> str:
    letters = np.array(list(string.ascii_lowercase))
    return " ".join("".join(generator.choice(letters, generator.integers(2, 9))) for _ in range(words))


def case(name: object, prompt: str = "", **fields: object) -> Case:
    return Case(case_id=str(name), prompt=prompt or f"question {name}", **fields)


def said(found: list[Finding], what: str) -> Finding:
    (one,) = [finding for finding in found if finding.what == what]
    return one


def index(first: str, second: str) -> float:
    """The Jaccard index by its definition, on Python's sets of runs."""
    one, other = ({folded(t)[i : i + 5] for i in range(len(folded(t)) - 4)} for t in (first, second))
    return len(one & other) / len(one | other)


def test_near_pairs_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(5)
    texts = []
    for _ in range(20):
        base = text(generator)
        texts.append(base)
        words = base.split()
        for changed in (1, 3, 8):
            other = list(words)
            for place in generator.choice(len(words), changed, replace=False):
                other[place] = text(generator, 1)
            texts.append(" ".join(other))
    expected = {
        (i, j): index(texts[i], texts[j])
        for i, j in itertools.combinations(range(len(texts)), 2)
        if index(texts[i], texts[j]) >= 0.8
    }
    found = {(pair.first, pair.second): pair.alike for pair in near_pairs(texts, 0.8)}
    assert len(expected) >= 15
    assert set(found) <= set(expected)
    assert len(found) >= 0.98 * len(expected)
    for pair, alike_by in found.items():
        assert alike_by == pytest.approx(expected[pair])


def test_hundreds_of_copies_are_one_group_and_a_shared_instruction_makes_none() -> None:
    generator = np.random.default_rng(6)
    copies = [text(generator)] * 400 + [text(generator) for _ in range(200)]
    assert [len(places) for places in groups(near_pairs(copies), 600)] == [400]
    shared = text(generator, 200)
    framed = [f"{shared} {text(generator, 6)}" for _ in range(60)]
    assert index(framed[0], framed[1]) > 0.8
    assert near_pairs(framed) == []
    sums = [f"{shared} What is {number}+{number + 7}?" for number in range(100, 160)]
    assert near_pairs(sums) == []


def test_many_copies_that_differ_in_punctuation_are_one_group_and_formulas_stay() -> None:
    generator = np.random.default_rng(12)
    ends = ("", ".", "!", "?", "...", "?!", ")", "。", " ?", "!!", ":", ";", ",", "…", "“")
    copies = [f"{text(generator, 12)}" for _ in range(40)]
    copies += [f"where is the invoice of last month{end}" for end in ends]
    (found,) = groups(near_pairs(copies), len(copies))
    assert found == list(range(40, 55))
    assert near_pairs(["2+2", "2-2", "2*2"]) == []
    assert len(near_pairs(["?!", "?!", "!?"])) == 1


def test_segments_of_a_thousand_values_give_only_the_smallest() -> None:
    cases = [case(i, segments={"customer": str(i // 2)}) for i in range(600)]
    assert len(size_findings(cases, Wish())) == 13


@pytest.mark.parametrize("texts", [[], ["one"], ["", ""], ["", "a", "b"]])
def test_few_or_empty_texts_are_no_pairs(texts: list[str]) -> None:
    assert near_pairs(texts) == []


def test_short_texts_are_alike_only_where_they_are_the_same() -> None:
    assert [(p.first, p.second) for p in near_pairs(["ja", "JA", "jb", "是", "是"])] == [(0, 1), (3, 4)]


def test_the_size_that_is_asked_for_is_enough_and_one_less_is_not() -> None:
    wish = Wish(margin=0.1)
    few = [case(i) for i in range(20)]
    first = said(size_findings(few, wish), "whole set")
    assert first.verdict == "bad"
    wished = 20 + int(first.next.split()[1].replace(",", ""))
    for n, verdict in ((wished, "ok"), (wished - 1, "look")):
        assert said(size_findings([case(i) for i in range(n)], wish), "whole set").verdict == verdict


def test_the_size_holds_by_simulation() -> None:
    """So many cases, an equal version: Tango's test passes as often as promised."""
    from evalsvc.stats import compare_paired
    from evalsvc.stats.comparison import Question
    from evalsvc.types import Scale

    wish = Wish(margin=0.1, discordant=0.2)
    finding = said(size_findings([case(0)], wish), "whole set")
    n = 1 + int(finding.next.split()[1].replace(",", ""))
    generator, passed, runs = np.random.default_rng(8), 0, 400
    for _ in range(runs):
        drawn = generator.choice(4, n, p=[0.4, 0.1, 0.1, 0.4])
        old, new = np.isin(drawn, (0, 1)).astype(float), np.isin(drawn, (0, 2)).astype(float)
        found = compare_paired(
            old, new, Scale(0.0, 1.0, "higher", binary=True), question=Question("non-inferiority", 0.1)
        )
        passed += found.verdict in ("not_worse", "better")
    assert passed / runs == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / runs))


def test_groups_and_weights_make_a_set_smaller() -> None:
    grouped = [case(i, group=f"g{i // 4}") for i in range(80)] + [case("alone")]
    assert group_size(clusters_of(grouped, [c.digest for c in grouped])) == pytest.approx((20 * 16 + 1) / 81)
    assert "in 21 groups" in said(size_findings(grouped, Wish()), "whole set").said
    weighted = [case(i, weight=3.0 if i < 10 else 1.0) for i in range(100)]
    assert effective(weighted) == pytest.approx((30 + 90) ** 2 / (10 * 9 + 90))
    assert effective([case(i, weight=1e300) for i in range(3)]) == pytest.approx(3.0)
    alone = said(size_findings([case(i) for i in range(81)], Wish()), "whole set")
    together = said(size_findings(grouped, Wish()), "whole set")
    added = [int(finding.next.split()[1].replace(",", "")) for finding in (alone, together)]
    assert added[0] < added[1]


def test_variants_are_of_the_group_of_their_source() -> None:
    source = case("a")
    cases = [source, *(case(i, variant_of=source.digest, segments={"kind": "typos"}) for i in range(10))]
    found = size_findings(cases, Wish())
    assert "in 1 groups (a case's group has 11.0 on average)" in said(found, "whole set").said
    # Those of a segment are of one group though their source is not of it.
    apart = size_findings([source, *(case(i, segments={"kind": "typos"}) for i in range(10))], Wish())
    needed = [int(said(each, "segments.kind=typos").said.split()[-1].replace(",", "")) for each in (found, apart)]
    assert needed[0] > 1.5 * needed[1]


def test_labels_of_people_are_no_segments_of_a_size() -> None:
    cases = [case(i, segments={"label.ada": "good" if i % 2 else "bad"}) for i in range(40)]
    assert [finding.what for finding in size_findings(cases, Wish())] == ["whole set"]


def test_a_small_segment_is_named() -> None:
    cases = [case(i, segments={"plan": "pro" if i < 20 else "free"}) for i in range(1000)]
    found = size_findings(cases, Wish())
    assert [finding.what for finding in found] == ["whole set", "segments.plan=pro"]
    assert found[1].verdict == "look"


@pytest.mark.parametrize(
    "changes", [{"margin": 0.0}, {"power": 1.0}, {"level": -1.0}, {"discordant": math.nan}, {"icc": 2.0}]
)
def test_a_wish_that_makes_no_sense_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="Expected"):
        size_findings([case(1)], Wish(**changes))


def test_evenness_by_hand() -> None:
    assert evenness([1, 1, 1, 1]) == 1.0
    assert evenness([7, 0]) == 0.5
    shares = np.array([0.9, 0.1])
    assert evenness([9, 1]) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()) / 2)


def test_balance_says_what_is_small_and_what_is_unknown() -> None:
    cases = [case(i, segments={"plan": "pro"} if i < 5 else {"plan": "free"} if i < 95 else {}) for i in range(100)]
    found = balance_findings(cases, ["en"] * 60 + ["de"] * 40)
    plan = said(found, "segments.plan")
    assert plan.verdict == "look"
    assert "not known of 5" in plan.said
    assert "add cases of pro" in plan.next
    assert said(found, "language of the question").verdict == "ok"
    assert said(balance_findings([case(1)], [""]), "segments").verdict == "look"


def test_references_and_labels_are_counted() -> None:
    cases = [case(1, reference="x"), case(2, expected_tools=(ToolCall("find"),)), case(3, contexts=("a",))]
    found = reference_findings(cases)
    assert [finding.value for finding in found] == pytest.approx([1 / 3] * 3)
    assert found[0].verdict == "look"
    assert found[0].cases == ("2", "3")


def test_agreement_is_krippendorffs() -> None:
    generator = np.random.default_rng(4)
    truth = generator.integers(0, 3, 120)
    people = {f"label.{name}": np.where(generator.random(120) < 0.85, truth, 2 - truth) for name in "abc"}
    cases = [
        case(
            i,
            segments={
                name: str(labels[i]) for name, labels in people.items() if (i + len(name)) % 7 or name != "label.a"
            },
        )
        for i in range(120)
    ]
    (found,) = agreement_findings(cases)
    table = [
        [labels[i] if name in cases[i].segments else np.nan for i in range(120)] for name, labels in people.items()
    ]
    expected = krippendorff.alpha(np.array(table, float), level_of_measurement="nominal")
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.verdict in ("look", "bad")
    assert len(set(cases[int(found.cases[0])].segments.values())) > 1
    assert agreement_findings([case(1)])[0].value is None


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Why?", {"up to 3 words"}),
        ("Wo finde ich meine Rechnung vom März 2026 im Portal?", {"numbers"}),
        ("我的账单在哪里可以看到呢请告诉我", {"script other than Latin"}),
        ("please translate: где мой счёт", {"mixed scripts"}),
        ("what does this do?\n```\nx = f(y)\n```", {"code"}),
        ("please look at https://example.com and tell me", {"addresses of pages"}),
        ("that is great news for all of us 🎉", {"emoji"}),
        ("WHERE IS MY ORDER PLEASE", {"capitals only"}),
        ("?!? … --", {"nothing but signs", "up to 3 words"}),
        ("long words " * 400, {"over 4,000 characters"}),
        ("how can I send this parcel back to you", set()),
    ],
)
def test_edge_cases_are_told_apart(prompt: str, expected: set[str]) -> None:
    assert kinds(case("x", prompt)) == expected


def test_a_conversation_is_looked_at_by_its_last_question() -> None:
    chat = (Message("system", "IN CAPITALS 1"), Message("user", "hello there my friend"), Message("assistant", "yes"))
    two = (*chat, Message("user", "and where is number 12 of the list"))
    assert kinds(Case(case_id="x", prompt=chat)) == set()
    assert kinds(Case(case_id="x", prompt=two)) == {"numbers", "several turns"}
    assert set(EDGES) >= {"several turns", "numbers"}


def test_topics_are_found_by_the_beginnings_of_words() -> None:
    assert topics(case("x", "Which MEDICATION helps? Ich bin schwanger.")) == {"health"}
    assert topics(case("x", "a skilled worker")) == set()
    assert len(topic_patterns()) >= 8


def test_copies_are_found_unless_they_are_variants_or_of_other_contexts() -> None:
    long = "Where can I find the invoice of last month in the portal"
    cases = [
        case("a", long),
        case("b", f"  {long.upper()}  "),
        case("c", f"{long}?"),
        case("d", f"{long}!", variant_of="0" * 32, variant="signs"),
        case("e", f"{long} ", contexts=("about something else entirely, a text of its own",)),
        case("f", "an entirely other thing to ask about, which nobody else did"),
    ]
    pairs = alike(cases)
    found = duplicate_findings(cases, pairs)
    assert [finding.value for finding in found] == pytest.approx([1 / 6, 2 / 6, 0.0])
    assert [finding.verdict for finding in found] == ["bad", "bad", "ok"]
    assert found[1].cases == ("a", "b", "c")
    together = [msgspec.structs.replace(each, group="invoice") for each in cases]
    assert all(finding.verdict == "ok" for finding in duplicate_findings(together, alike(together)))


def test_references_that_differ_where_questions_do_not_are_worth_a_look() -> None:
    long = "Which city is the seat of the federal government of Switzerland today"
    cases = [
        case("a", long, reference="Bern"),
        case("b", f"{long}?", reference="bern"),
        case("c", f"{long}!", reference="Zürich"),
        case("d", "Something that nobody else has asked so far in this set", reference="Genf"),
    ]
    (found,) = label_findings(cases, alike(cases))
    assert (found.value, found.verdict) == (2.0, "look")
    assert set(found.cases) == {"a", "b", "c"}
    assert label_findings(cases[3:], [])[0].value is None


def test_contamination_is_counted_for_each_pair_of_sets() -> None:
    generator = np.random.default_rng(9)
    texts = [text(generator) for _ in range(200)]
    tuned = CaseSet("tuned", tuple(case(i, t) for i, t in enumerate(texts[:100])))
    held = CaseSet("held", tuple(case(i, f"{t} x" if i < 103 else t) for i, t in enumerate(texts[97:], 97)))
    clean = CaseSet("clean", tuple(case(i) for i in range(5)))
    sets = [tuned, held, clean]
    found = {finding.what: finding for finding in split_findings(sets)}
    assert found["held in tuned"].value == pytest.approx(3 / 100)
    assert found["held in tuned"].verdict == "bad"
    assert found["held in tuned"].cases == ("97", "98", "99")
    assert found["clean in tuned"].verdict == found["clean in held"].verdict == "ok"


def test_another_reference_of_the_same_question_is_worth_a_look_however_alike() -> None:
    asked = "Is the argument in the text sound, yes or no?"
    cases = [
        case("none", asked),
        case("a", asked, reference="valid"),
        *(case(f"again {i}", asked, reference="Valid " + " " * i) for i in range(12)),
        case("b", asked.upper(), reference="invalid"),
        case("near", asked + "!", reference="unvalid"),
    ]
    (found,) = label_findings(cases, alike(cases))
    assert found.verdict == "look"
    assert {"a", "b"} <= set(found.cases)
    # Not the same but nearly: only unlike references count.
    assert "near" not in found.cases
    other = [
        case("x", asked, contexts=("one",), reference="valid"),
        case("y", asked, contexts=("two",), reference="no"),
    ]
    assert label_findings(other, alike(other))[0].verdict == "ok"


@pytest.mark.parametrize("turned", [False, True])
def test_a_test_set_inside_a_large_tuned_set_is_bad_in_either_order(turned: bool) -> None:
    generator = np.random.default_rng(21)
    texts = [text(generator, 12) for _ in range(2000)]
    sets = [
        CaseSet("test", tuple(case(f"a{i}", t) for i, t in enumerate(texts[:20]))),
        CaseSet("tuned", tuple(case(f"b{i}", t) for i, t in enumerate(texts))),
    ]
    (found,) = [finding for finding in audit(sets[::-1] if turned else sets).findings if finding.subject == "splits"]
    assert (found.value, found.verdict) == (1.0, "bad")
    assert "20 of 20 (100.0%)" in found.said
    assert "20 of 2,000 (1.0%)" in found.said


SUMMARISE = "Summarise the text in one sentence."


def test_cases_of_one_prompt_are_told_apart_by_their_contexts() -> None:
    generator = np.random.default_rng(22)
    contexts = [text(generator, 60) for _ in range(40)]
    test, tuned = (
        CaseSet(name, tuple(case(f"{name}{i}", SUMMARISE, contexts=(c,)) for i, c in enumerate(contexts)))
        for name in ("test", "tuned")
    )
    (found,) = split_findings([test, tuned])
    assert (found.value, found.verdict) == (1.0, "bad")
    assert all(finding.value == 0.0 for finding in duplicate_findings(test.cases, alike(test.cases)))
    near = [case(i, SUMMARISE, contexts=(c + " again" * (i >= 20),)) for i, c in enumerate(contexts[:20] * 2)]
    assert duplicate_findings(near, alike(near))[1].value == 0.5


def test_short_contexts_are_told_apart_under_many_long_prompts() -> None:
    """Each prompt is too rare to be common, and long: question and contexts together are alike for all its cases."""
    generator = np.random.default_rng(23)
    prompts, contexts = [text(generator, 100) for _ in range(12)], [text(generator, 12) for _ in range(100)]
    cases = [
        case(f"{i}-{j}-{end}", prompt, contexts=(context + end,))
        for i, prompt in enumerate(prompts)
        for end in ("", " x")
        for j, context in enumerate(contexts)
    ]
    joined = groups(alike(cases), len(cases))
    assert len(joined) > 0.99 * 1200
    assert all(len(places) == 2 for places in joined)


def test_variants_are_no_duplicates_but_contaminate_another_set() -> None:
    generator = np.random.default_rng(24)
    sources = [case(i, text(generator)) for i in range(30)]
    # Changed so much that only `variant_of` tells where they are from.
    variants = [case(f"v{c.case_id}", text(generator), variant_of=c.digest, variant="other words") for c in sources]
    test, tuned = CaseSet("test", tuple(sources)), CaseSet("tuned", tuple(variants))
    for first, second in ((test, tuned), (tuned, test)):
        (found,) = split_findings([first, second])
        assert (found.value, found.verdict) == (1.0, "bad")
    copies = CaseSet("copies", tuple(case(f"c{c.case_id}", c.prompt + "!") for c in variants[:10]))
    assert split_findings([tuned, copies])[0].said == (
        "10 of 10 (100.0%) are nearly there as well, where they are 10 of 30 (33.3%)"
    )
    siblings = CaseSet(
        "siblings", tuple(case(f"s{c.case_id}", text(generator), variant_of=c.variant_of) for c in variants[:3])
    )
    assert split_findings([tuned, siblings])[0].value == 1.0
    assert alike([*sources, *variants]) == []


@pytest.mark.parametrize("copies", [4, 10, 11, 30])
@pytest.mark.parametrize("leaked", [0, 1, 11, 30])
def test_more_near_copies_never_make_the_finding_vanish(copies: int, leaked: int) -> None:
    generator = np.random.default_rng(25)
    long = text(generator, 60)
    test, tuned = (
        CaseSet(
            name,
            tuple(
                case(f"{name}{i}", f"{long} {text(generator, 1)}" if i < near else text(generator, 60))
                for i in range(near + others)
            ),
        )
        for name, near, others in (("test", copies, 50), ("tuned", leaked, 20))
    )
    found = duplicate_findings(test.cases, alike(test.cases))[1]
    assert found.value == pytest.approx((copies - 1) / len(test))
    (shared,) = split_findings([test, tuned])
    assert shared.value == pytest.approx(max(copies / len(test), leaked / len(tuned)) if leaked else 0.0)


def test_long_instructions_of_several_tasks_make_no_copies() -> None:
    """Four tasks, each a quarter of both sets, with a long instruction and a short question."""
    generator = np.random.default_rng(26)
    tasks = [text(generator, 200) for _ in range(4)]
    test, tuned = (
        CaseSet(name, tuple(case(f"{name}{i}", f"{tasks[i % 4]} {text(generator, 6)}") for i in range(size)))
        for name, size in (("test", 80), ("tuned", 8))
    )
    assert index(str(test.cases[0].prompt), str(test.cases[4].prompt)) > 0.8
    assert alike(test.cases) == []
    assert split_findings([test, tuned])[0].value == 0.0


def test_an_audit_quotes_no_text_and_needs_a_set() -> None:
    secret = "my unmistakable hunter2 sentence about the portal"
    made = audit([CaseSet("set", (case("a", secret), case("b", f"{secret}!")))])
    assert made.worst == "bad"
    assert "hunter2" not in msgspec.json.encode(made).decode()
    with pytest.raises(InputError, match="at least one set"):
        audit([])


def test_names_move_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil.jsonl"
    evil = [
        case(f"a\x1b[2J{i}", "the very same question of all", reference=f"{i}", segments={"p": "x\x1b\ny"})
        for i in range(2)
    ]
    write_cases(path, evil)
    main(["audit-set", str(path)])
    assert "\x1b" not in capsys.readouterr().out


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(10)
    good, tuned = tmp_path / "good.jsonl", tmp_path / "tuned.jsonl"
    write_cases(good, [case(i, text(generator), segments={"plan": "free|pro"}) for i in range(900)])
    write_cases(tuned, [case(i, text(generator)) for i in range(20)])
    assert main(["audit-set", str(good), str(tuned)]) == 0
    table = capsys.readouterr().out
    assert "0 bad" in table
    assert "an equal version passes a margin of" in table
    assert "taken that yes-or-no scores of the two differ on 20% of cases (`--discordant`)" in table
    assert main(["audit-set", str(good), "--margin", "0.001", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["findings"][0]["verdict"] == "bad"
    assert found["sets"][0][2] == 900
    assert main(["audit-set", str(good), "--format", "markdown"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1
    assert main(["audit-set", str(good), "--margin", "2"]) == 2
    assert main(["audit-set", str(tmp_path / "none.jsonl")]) == 2


def made_of(*counts: tuple[str, str, int]) -> SetAudit:
    found = [
        Finding(subject=subject, what=f"{subject} {verdict} {i}", value=None, said="said", verdict=verdict, next="do")
        for subject, verdict, count in counts
        for i in range(count)
    ]
    return SetAudit(sets=(("set", "0" * 64, 9),), findings=tuple(found))


def test_what_is_of_most_use_comes_first_and_the_rest_of_a_kind_is_in_one_line() -> None:
    made = made_of(
        ("size", "look", 4), ("topics", "look", 5), ("labels", "ok", 1), ("traffic", "bad", 6), ("labels", "look", 1)
    )
    found = [(row["verdict"], row["subject"], row["what"]) for row in rows(made)]
    assert [what for verdict, _, what in found if verdict == "bad"] == [f"traffic bad {i}" for i in range(6)]
    assert found[6:] == [
        ("look", "labels", "labels look 0"),
        *(("look", "size", f"size look {i}") for i in range(4)),
        *(("look", "topics", f"topics look {i}") for i in range(3)),
        ("look", "topics", "and 2 more"),
        ("ok", "labels", "labels ok 0"),
    ]
    (further,) = (row for row in rows(made) if row["what"] == "and 2 more")
    assert (further["number"], further["next"]) == ("topics look 3, topics look 4", "in --format json")
    (long,) = (row for row in rows(made_of(("topics", "look", 99))) if row["what"] == "and 96 more")
    assert len(long["number"]) <= 100
    assert long["number"].endswith(" …")


def test_every_subject_has_its_place_in_the_table() -> None:
    assert sorted(BY_USE) == sorted(get_args(Subject))


@pytest.mark.parametrize("wish", [Wish(), Wish(margin=0.4), Wish(margin=0.001), Wish(discordant=0.9, margin=1e-9)])
def test_the_size_points_to_what_knows_the_suite_s_scores(wish: Wish) -> None:
    assert said(size_findings([case(i, str(i)) for i in range(40)], wish), "whole set").next.endswith(
        "evalsvc gate SUITE --power"
    )

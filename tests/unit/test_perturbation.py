"""Variants of cases: each changes what it says and nothing else, is tied to its source, and repeats with its seed."""

from __future__ import annotations

import base64
import codecs
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.cases import Case, CaseSet
from evalsvc.errors import InputError
from evalsvc.perturbation import KINDS, Amounts, attack_cases, injection_cases, leakage_cases, robustness, vary
from evalsvc.perturbation.attacks import LEAKAGE
from evalsvc.perturbation.letters import _NEIGHBOURS
from evalsvc.perturbation.wording import words_of
from evalsvc.scorers import create
from evalsvc.scorers.canary_leak import make_canary
from evalsvc.stats import compare_paired
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Abstained, Message, Scale, Scored

SHARE = Scale(0.0, 1.0, "higher", binary=True)
UNIT = Scale(0.0, 1.0, "higher")


def case(prompt: object = "Could you tell me when parcel 17 to Café Noir arrives?", **fields: object) -> Case:
    defaults = {"case_id": "a", "contexts": ("Parcels take three days.", "Cafés are closed."), "reference": "Monday."}
    return Case(**{**defaults, "prompt": prompt, **fields})


OTHER = Case(case_id="b", prompt="Refund?", contexts=("Refunds take five days.", "Ask the shop."), group="other")


def one(kind: str, source: Case, seed: int = 0, amounts: Amounts = Amounts()) -> Case | None:  # noqa: B008
    found = [v for v in vary([source, OTHER], [kind], seed, amounts).cases if v.case_id == f"{source.case_id}~{kind}"]
    return found[0] if found else None


def edits(first: str, second: str) -> int:
    """Return the optimal string alignment distance: insertions, deletions, exchanges, swaps of neighbours."""
    rows = [list(range(len(second) + 1))]
    for i, a in enumerate(first, start=1):
        row = [i]
        for j, b in enumerate(second, start=1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b)))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_variant_is_tied_to_its_source_and_depends_on_the_seed_alone(kind: str):
    source = case(segments={"language": "en"}, tags=("x",), weight=2.0, critical=True)
    if kind in ("answer_in_en", "framed_in_en"):
        source = case("Wann kommt es?", segments={"language": "de"}, tags=("x",), weight=2.0, critical=True)
    found = one(kind, source)
    assert found is not None
    assert found == one(kind, source)
    assert (found.variant_of, found.variant, found.group) == (source.digest, kind, source.digest)
    assert (found.segments, found.tags, found.weight, found.critical) == (source.segments, ("x",), 2.0, True)
    assert found.reference == (source.reference if KINDS[kind].keeps_reference else None)
    assert found.digest != source.digest
    assert (found.prompt == source.prompt) is (found.contexts != source.contexts)


def test_sources_and_variants_are_one_set_and_of_one_group():
    plain, grouped = case(), Case(case_id="c", prompt="Why so?", group="g")
    varied = vary([plain, grouped], ["typos", "upper_case"])
    assert [v.case_id for v in varied.cases] == ["a", "a~typos", "a~upper_case", "c", "c~typos", "c~upper_case"]
    assert {v.group for v in varied.cases if v.case_id.startswith("a")} == {plain.digest}
    assert {v.group for v in varied.cases if v.case_id.startswith("c")} == {"g"}
    assert varied.cases[0].digest == plain.digest
    CaseSet("s", varied.cases)
    # What is a variant already is passed through, and varied no further.
    assert vary(varied.cases, ["typos", "upper_case"]).cases == varied.cases


def test_other_cases_do_not_change_a_variant_of_the_prompt():
    kinds = [kind for kind in KINDS if kind not in ("distractors", "padded_contexts")]
    alone = {v.case_id: v for v in vary([case()], kinds).cases}
    beside = {v.case_id: v for v in vary([OTHER, case()], kinds).cases}
    assert alone.items() <= beside.items()


def test_what_cannot_be_changed_is_counted():
    numbers = Case(case_id="n", prompt="123 456 789")
    kinds = [
        "typos",
        "upper_case",
        "lookalikes",
        "accents_dropped",
        "shuffled_contexts",
        "imperative",
        "injected_context",
    ]
    varied = vary([numbers], kinds)
    assert len(varied.cases) == 1
    assert varied.unchanged == dict.fromkeys(kinds, 1)
    shouting = Case(case_id="u", prompt="WHY?")
    assert vary([shouting], ["upper_case"]).unchanged == {"upper_case": 1}
    # Equal variants would be one case twice.
    assert vary([Case(case_id="u", prompt="why?")], ["upper_case", "swapped_case"]).unchanged["swapped_case"] == 1


def test_of_a_chat_the_last_question_changes():
    turns = (
        Message("system", "Be brief."),
        Message("user", "Hello there"),
        Message("assistant", "Hi"),
        Message("user", "Why?"),
    )
    found = one("upper_case", case(turns))
    assert found is not None
    assert found.prompt == (*turns[:3], Message("user", "WHY?"))
    assert one("upper_case", case((Message("system", "Be brief."),))) is None


@pytest.mark.parametrize("seed", range(30))
def test_typos_are_one_slip_in_a_share_of_the_words(seed: int):
    text = "The quick brown fox jumps over the lazy dog near https://example.com/path and user@example.com today"
    found = one("typos", case(text), seed, Amounts(typos=0.2))
    assert found is not None
    pairs = list(zip(text.split(), str(found.prompt).split(), strict=True))
    changed = [(a, b) for a, b in pairs if a != b]
    assert len(changed) == 2  # 20 % of 12 words of letters alone
    for before, after in changed:
        assert edits(before, after) == 1
        assert before[0] == after[0]
    assert "https://example.com/path" in str(found.prompt)
    assert "user@example.com" in str(found.prompt)


def test_keys_touch_both_ways():
    assert set(_NEIGHBOURS["g"]) == set("fhtyvb")
    assert set(_NEIGHBOURS["q"]) == set("wa")
    assert all(key in _NEIGHBOURS[other] for key, others in _NEIGHBOURS.items() for other in others)


def test_lookalikes_are_letters_of_another_script_that_look_the_same():
    found = one("lookalikes", case("A cap, please"), amounts=Amounts(lookalikes=1.0))
    assert found is not None
    exchanged = [(a, b) for a, b in zip("A cap, please", str(found.prompt), strict=True) if a != b]
    assert len(exchanged) == 9
    assert all(unicodedata.name(b).startswith("CYRILLIC") for _, b in exchanged)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Où est l'été à Zürich?", "Ou est l'ete a Zurich?"),
        ("e\u0301te\u0301", "ete"),
        ("Łódź, Øst, Straße, œuvre", "Lodz, Ost, Strasse, oeuvre"),
        ("नमस्ते", None),
        ("配送", None),
        ("plain", None),
    ],
)
def test_accents(text: str, bare: str | None):
    found = one("accents_dropped", case(text))
    assert (found.prompt if found else None) == bare


@given(st.text(min_size=1, max_size=60).filter(str.strip), st.integers(0, 3))
def test_any_text_is_changed_as_it_says_or_not_at_all(text: str, seed: int):
    source = case(text)
    for variant in vary([source], list(KINDS), seed).cases[1:]:
        prompt = str(variant.prompt)
        if variant.variant == "whitespace":
            assert prompt.split() == text.split()
        if variant.variant.startswith(
            ("polite", "indirect", "imperative", "injected_prompt", "answer_in", "framed_in")
        ):
            assert text.strip() in prompt
        if variant.variant == "upper_case":
            assert prompt == text.upper()


@pytest.mark.parametrize(
    ("kind", "language", "text", "expected"),
    [
        ("terse", "en", "Hello, could you please tell me where the parcel is? Thanks a lot!", "where parcel is"),
        ("terse", "de", "Guten Tag, wo ist mein Paket? Vielen Dank!", "wo ist mein Paket"),
        ("terse", "en", "Hello!", None),
        ("terse", "ja", "いつですか?", None),
        ("polite", "ja", "いつですか?", None),
        ("imperative", "en", "Tell me more.", None),
        ("numbers_in_words", "en", "I have 2 or 12 of 300000.", "I have two or twelve of three hundred thousand."),
        ("numbers_in_words", "en", "Order A17 of 3.5 kg, $5, 10%, 12:30, 1,000 and 2026-01-02", None),
        ("numbers_in_words", "de", "Ich habe 2.", None),
        ("answer_in_de", "de-CH", "Wo?", None),
    ],
)
def test_wording(kind: str, language: str, text: str, expected: str | None):
    found = one(kind, case(text, segments={"language": language}))
    assert (found.prompt if found else None) == expected


def test_number_words_are_those_of_an_independent_reading():
    units = {word: number for number, word in enumerate(words_of(n) for n in range(20))}
    tens = {words_of(n): n for n in range(20, 100, 10)}

    def read(words: str) -> int:
        total = part = 0
        for word in words.replace("-", " ").replace(" and ", " ").split():
            if word == "hundred":
                part *= 100
            elif word == "thousand":
                total, part = part * 1000, 0
            else:
                part += units.get(word, tens.get(word, 0))
        return total + part

    assert all(read(words_of(number)) == number for number in (*range(1200), 1900, 20_026, 101_001, 999_999))


def test_contexts_stay_and_others_come_between():
    source = case()
    found = one("distractors", source)
    assert found is not None
    assert [text for text in found.contexts if text in source.contexts] == list(source.contexts)
    assert set(found.contexts) - set(source.contexts) == set(OTHER.contexts)
    # Contexts of the same group are no distractors, since they may answer the question.
    sibling = Case(case_id="s", prompt="When?", contexts=("On Monday.",), group=source.digest)
    beside = vary([source, sibling], ["distractors"])
    assert beside.unchanged == {"distractors": 2}


def test_padding_reaches_its_words_with_its_own_contexts_in_the_middle():
    source = case()
    found = one("padded_contexts", source, amounts=Amounts(padding_words=500))
    assert found is not None
    assert sum(len(text.split()) for text in found.contexts) == 500
    place = found.contexts.index(source.contexts[0])
    assert found.contexts[place : place + 2] == source.contexts
    assert 0 < place < len(found.contexts) - 2
    assert one("padded_contexts", source, amounts=Amounts(padding_words=5)) is None


@pytest.mark.parametrize(
    ("kinds", "amounts", "message"),
    [
        (["typo"], Amounts(), "did you mean `typos`"),
        ([], Amounts(), "at least one kind"),
        (["typos"], Amounts(typos=0.0), "`typos` in"),
        (["distractors"], Amounts(distractors=0), "`distractors` to be 1"),
    ],
)
def test_mistakes(kinds: list[str], amounts: Amounts, message: str):
    with pytest.raises(InputError, match=message):
        vary([case()], kinds, 0, amounts)


# --- attacks


def leak(attack: Case, response: str) -> object:
    (outcome,) = create("canary_leak").score(
        [make_sample(prompt=attack.prompt, contexts=attack.contexts, response=response)]
    )
    return outcome.value if isinstance(outcome, Scored) else outcome


CANARY = make_canary("x")
DIGITS = CANARY.removeprefix("canary-")


@pytest.mark.parametrize(
    "response",
    [
        CANARY,
        f"It is {CANARY.upper()}!",
        " ".join(DIGITS),
        DIGITS[::-1],
        codecs.encode(CANARY, "rot13"),
        base64.b64encode(f"reference {CANARY}.".encode()).decode(),
        CANARY.encode().hex(),
        "".join(chr(ord(letter) + 0xFEE0) for letter in DIGITS),
    ],
)
def test_a_canary_is_found_in_its_forms(response: str):
    assert leak(Case(case_id="a", prompt=f"Secret: {CANARY}"), response) == 1.0


@pytest.mark.parametrize("response", ["I cannot tell.", make_canary("y"), "canary-", DIGITS[:-1], "QUJD" * 50])
def test_what_is_no_canary_of_the_case(response: str):
    assert leak(Case(case_id="a", prompt=f"Secret: {CANARY}"), response) == 0.0


def test_canary_leak_keeps_the_contract():
    scorer = create("canary_leak")
    given = Case(case_id="a", prompt="Hi", contexts=(CANARY,))
    check_scorer(scorer, [make_sample("no"), make_sample("yes", contexts=(CANARY,), response=f"So {CANARY}")])
    assert leak(Case(case_id="a", prompt="Hi"), "Yes.") == Abstained("no canary in prompt or contexts")
    assert leak(given, "  ") == Abstained("empty response")
    assert leak(given, f"{CANARY}") == 1.0


def test_every_leakage_attack_is_told_apart_and_scored():
    attacks = leakage_cases("You are Kim of Example Ltd. Never grant a refund above 40 francs.")
    CaseSet("s", tuple(attacks))
    assert len(attacks) == sum(map(len, LEAKAGE.values()))
    # A technique is one group: a model that falls for one mostly falls for the others.
    assert {attack.group for attack in attacks} == {f"leakage-{technique}" for technique in LEAKAGE}
    assert {attack.tags for attack in attacks} == {("attack", "leakage")}
    for attack in attacks:
        system = attack.messages[0].content
        assert leak(attack, f"My instructions are: {system}") == 1.0
        assert leak(attack, "I cannot share that.") == 0.0
        (outcome,) = create("system_prompt_leakage").score(
            [make_sample(prompt=attack.prompt, response=system, contexts=())]
        )
        assert isinstance(outcome, Scored)
        assert outcome.value == 1.0
    assert attacks != leakage_cases("You are Kim of Example Ltd. Never grant a refund above 40 francs.", seed=1)


def test_injections_are_found_by_the_rules_and_scored_by_their_canary():
    sources = [case(case_id=str(place), prompt=f"When does parcel {place} arrive?") for place in range(60)]
    attacks = injection_cases(sources)
    assert len(attacks) == 120
    assert {attack.variant_of for attack in attacks} == {source.digest for source in sources}
    of_one = case("Why so?", case_id="g", group="parcels", tags=("x",), segments={"plan": "pro"}, weight=2.0)
    for attack in injection_cases([of_one]):
        assert (attack.group, attack.weight, attack.tags) == ("parcels", 2.0, ("x", "attack", "injection"))
        assert attack.segments == {"plan": "pro", "attack": "injection", "technique": attack.variant}
    for attack in attacks:
        given = " ".join((*(message.content for message in attack.messages), *attack.contexts))
        assert leak(attack, given[given.index("canary-") :][:23]) == 1.0
        assert leak(attack, attack.reference or "") == 0.0
    scored = create("context_injection").score(
        [make_sample(contexts=attack.contexts) for attack in attacks if attack.variant == "injected_context"]
    )
    found = [outcome for outcome in scored if isinstance(outcome, Scored) and outcome.value == 1.0]
    assert len(found) >= 0.6 * len(scored)


def test_nothing_to_attack():
    with pytest.raises(InputError, match="neither"):
        attack_cases()
    with pytest.raises(InputError, match="empty"):
        leakage_cases(" ")


# --- analysis


def varied(n: int, kinds: list[str]) -> list[Case]:
    sources = [Case(case_id=f"q{place}", prompt=f"What is number {place}, please?") for place in range(n)]
    return list(vary(sources, kinds).cases)


def test_a_scorer_that_ignores_case_shows_no_drop():
    cases = varied(40, ["upper_case", "lower_case"])
    scores = {c.digest: float(len(str(c.prompt).lower().replace("number", "")) % 2) for c in cases}
    effects = robustness(cases, scores, SHARE)
    assert [(effect.drop, effect.flips, effect.broken, effect.verdict) for effect in effects] == [
        (0.0, 0.0, 0.0, "inconclusive")
    ] * 2


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_planted_drop_is_found_with_its_sign_and_the_numbers_of_the_paired_comparison(better: str):
    rng = np.random.default_rng(3)
    scale = Scale(0.0, 1.0, better)
    cases = varied(200, ["typos", "upper_case"])
    by_digest = {c.digest: c for c in cases}
    base = {c.digest: float(rng.uniform(0.3, 0.7)) for c in cases if not c.variant_of}
    sign = -1.0 if better == "higher" else 1.0
    scores = {
        digest: base[c.variant_of or digest]
        + (sign * 0.1 if c.variant == "typos" else 0.0)
        + float(rng.normal(0, 0.02))
        for digest, c in by_digest.items()
    }
    typos, upper = robustness(cases, scores, scale, threshold=0.5)
    assert (typos.kind, typos.verdict, upper.verdict) == ("typos", "worse", "inconclusive")
    assert typos.drop == pytest.approx(0.1, abs=0.01)
    assert typos.low < 0.1 < typos.high
    pairs = [(scores[c.variant_of], scores[c.digest]) for c in cases if c.variant == "typos"]
    direct = compare_paired([a for a, _ in pairs], [b for _, b in pairs], scale, clusters=list(range(200)))
    assert typos.drop == pytest.approx(direct.difference * sign)
    assert typos.high - typos.low == pytest.approx(direct.high - direct.low)
    assert typos.adjusted_p == pytest.approx(min(1.0, 2 * direct.p_value))
    good = (lambda x: x >= 0.5) if better == "higher" else (lambda x: x <= 0.5)
    assert typos.flips == pytest.approx(np.mean([good(a) != good(b) for a, b in pairs]))
    assert typos.broken == pytest.approx(np.mean([good(a) and not good(b) for a, b in pairs]))


def test_pairs_weigh_what_their_sources_do_and_belong_to_the_sources_group():
    sources = [
        Case(case_id=f"q{place}", prompt=f"What is number {place}?", weight=1.0 + place % 3, group=f"g{place // 4}")
        for place in range(60)
    ]
    cases = list(vary(sources, ["upper_case"]).cases)
    rng = np.random.default_rng(5)
    lost = {source.digest: 0.05 * (source.weight - 1.0) for source in sources}
    scores = {c.digest: 0.6 - (lost[c.variant_of] if c.variant else 0.0) + rng.normal(0, 0.01) for c in cases}
    (effect,) = robustness(cases, scores, UNIT)
    drops = {c.variant_of: scores[c.variant_of] - scores[c.digest] for c in cases if c.variant}
    weights = {source.digest: source.weight for source in sources}
    assert effect.drop == pytest.approx(sum(weights[d] * drops[d] for d in drops) / sum(weights.values()))
    assert effect.drop > np.mean(list(drops.values())) + 0.01
    assert (effect.pairs, effect.groups) == (60, 15)


def test_p_values_are_holms_over_all_kinds():
    kinds = ["typos", "upper_case", "whitespace", "polite"]
    cases = varied(60, kinds)
    rng = np.random.default_rng(4)
    loss = dict(zip(kinds, (0.012, 0.0085, 0.008, 0.007), strict=True))
    scores = {c.digest: 0.5 - loss.get(c.variant, 0.0) + rng.normal(0, 0.02) for c in cases}
    alone = {}
    for kind in kinds:
        sides = zip(*((scores[c.variant_of], scores[c.digest]) for c in cases if c.variant == kind), strict=True)
        alone[kind] = compare_paired(*map(list, sides), UNIT).p_value
    # Holm 1979: the i-th smallest of m is taken (m - i + 1) times, and none is below one that is smaller.
    expected, most = {}, 0.0
    for place, kind in enumerate(sorted(kinds, key=alone.__getitem__)):
        most = max(most, min(1.0, (len(kinds) - place) * alone[kind]))
        expected[kind] = most
    found = robustness(cases, scores, UNIT)
    assert {effect.kind: effect.adjusted_p for effect in found} == pytest.approx(expected)
    # By itself more than one is below the level, and not all of them are among four.
    single = [kind for kind in kinds if alone[kind] <= 0.05]
    called = [effect.kind for effect in found if effect.verdict == "worse"]
    assert called == [effect.kind for effect in found if expected[effect.kind] <= 0.05]
    assert len(called) < len(single)


@pytest.mark.parametrize(("better", "broken"), [("higher", 1), ("lower", 2)])
def test_a_score_on_the_threshold_is_good(better: str, broken: int):
    cases = varied(4, ["typos"])
    sources = [c for c in cases if not c.variant]
    pairs = dict(zip((c.digest for c in sources), ((0.5, 0.4), (0.5, 0.6), (0.4, 0.5), (0.5, 0.6)), strict=True))
    scores = {c.digest: pairs[c.variant_of][1] if c.variant else pairs[c.digest][0] for c in cases}
    (effect,) = robustness(cases, scores, Scale(0.0, 1.0, better), threshold=0.5)
    # Of more is better: 0.5 to 0.4 breaks, 0.4 to 0.5 mends. Of less is better: both 0.5 to 0.6 break.
    assert (effect.flips, effect.broken) == (0.5, broken / 4)


def test_a_p_value_at_the_level_is_below_it():
    """Rejected is p <= level: the level is the chance of a p-value up to it, itself counted."""
    cases = varied(40, ["typos", "upper_case"])
    rng = np.random.default_rng(8)
    scores = {c.digest: 0.5 - 0.008 * bool(c.variant) + rng.normal(0, 0.02) for c in cases}
    for effect in robustness(cases, scores, UNIT):
        assert 0.0 < effect.adjusted_p < 0.5
        for level, verdict in ((effect.adjusted_p, "worse"), (np.nextafter(effect.adjusted_p, 0.0), "inconclusive")):
            (same,) = (e for e in robustness(cases, scores, UNIT, level=float(level)) if e.kind == effect.kind)
            assert (same.adjusted_p, same.verdict) == (effect.adjusted_p, verdict)


def test_missing_scores_are_counted_and_never_a_drop():
    cases = varied(30, ["typos"])
    scores = {c.digest: 1.0 for c in cases}
    scores |= {c.digest: None for c in cases[:10]}
    (effect,) = robustness(cases, scores, SHARE)
    assert (effect.drop, effect.pairs, effect.missing) == (0.0, 25, 5)
    (effect,) = robustness(cases, {}, SHARE)
    assert (effect.drop, effect.flips, effect.pairs, effect.missing) == (None, None, 0, 30)
    assert effect.reason


def test_sources_and_variants_belong_into_one_set():
    cases = varied(3, ["typos"])
    with pytest.raises(InputError, match="the source of variant"):
        robustness(cases[1:], {}, SHARE)
    with pytest.raises(InputError, match="variant_of"):
        robustness([cases[0]], {}, SHARE)
    assert robustness(cases, {c.digest: 0.5 for c in cases}, UNIT)[0].flips is None


def test_no_kind_is_called_worse_more_often_than_the_level_says():
    """Five kinds without an effect, sixty times: a wrong claim about any kind in at most 5 % of analyses."""
    rng = np.random.default_rng(11)
    kinds = ["typos", "upper_case", "whitespace", "polite", "indirect"]
    cases = varied(40, kinds)
    wrong = 0
    for _ in range(60):
        scores = {c.digest: float(rng.random() < 0.7) for c in cases}
        wrong += any(effect.verdict != "inconclusive" for effect in robustness(cases, scores, SHARE))
    # P(more than 8 of 60) at 5 % is 0.3 %.
    assert wrong <= 8


def test_a_variant_of_a_variant_is_of_the_group_where_it_all_began():
    sources = [Case(case_id=f"q{place}", prompt=f"Question {place}?") for place in range(10)]
    chain = list(sources)
    for turn in ("Say", "Tell"):
        for n, origin in enumerate(chain[-10:]):
            made = Case(case_id=f"{turn}{n}", prompt=f"{turn} {n}", variant_of=origin.digest, variant="said")
            chain.append(made)
    (effect,) = robustness(chain, {c.digest: 0.5 for c in chain}, UNIT)
    assert (effect.pairs, effect.groups) == (20, 10)

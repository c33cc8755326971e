"""Swapped prompts stay grammatical; pairs are compared as pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.errors import InputError
from evalsvc.fairness import compare_pairs, identity_terms, mark_dialect, swap_gender, swap_identity, swap_names
from evalsvc.fairness.counterfactual import NAME_GROUPS, lexicon
from evalsvc.types import Scale


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("She told her.", "He told him."),
        ("I saw her yesterday.", "I saw him yesterday."),
        ("Ask her, please.", "Ask him, please."),
        ("Ask her to call.", "Ask him to call."),
        ("Her own bag", "His own bag"),
        ("her first order", "his first order"),
        ("The bag is hers.", "The bag is his."),
        ("The bag is his.", "The bag is hers."),
        ("His was red, and his bag is blue.", "Hers was red, and her bag is blue."),
        ("He's himself; he'd say so.", "She's herself; she'd say so."),
        ("HER FATHER", "HIS MOTHER"),
        ("[her] idea", "[his] idea"),
        ("for [her].", "for [him]."),
        ("Dear Mr. Jay Smith, Sir", "Dear Ms. Carrie Smith, Madam"),
        ("Mrs. Lee's son-in-law", "Mr. Lee's daughter-in-law"),
        ("The theme of the other shepherd: ache.", "The theme of the other shepherd: ache."),
        ("They lost their bags.", "They lost their bags."),
        ("", ""),
        ("her", "him"),
    ],
)
def test_gender(text, swapped):
    assert swap_gender(text).text == swapped


@pytest.mark.parametrize(
    "text", ["He gave his wife the key.", "Emily asked her uncle about herself.", "The queen knows that he is hers."]
)
def test_twice_is_once_back(text):
    once = swap_gender(text)
    assert once.text != text
    assert swap_gender(once.text).text == text


def test_nouns_and_names_by_choice():
    assert swap_gender("Emily's mother saw her.", nouns=False, names=False).text == "Emily's mother saw him."


def test_changes_say_where():
    found = swap_gender("Did he see her?")
    assert [(c.start, c.end, c.new) for c in found.changes] == [(4, 6, "she"), (11, 14, "him")]
    assert swap_gender("Did it?").changes == ()


@given(st.text(max_size=80))
def test_any_text_is_only_changed_where_it_is_said(text):
    found = swap_gender(text)
    at, pieces = 0, []
    for change in found.changes:
        pieces += [text[at : change.start], change.new]
        at = change.end
    assert "".join([*pieces, text[at:]]) == found.text


def test_names_by_group():
    assert swap_names("Lakisha and Anne", "black_female", "white_female").text == "Allison and Anne"
    with pytest.raises(InputError, match="white_female"):
        swap_names("Anne", "white", "black_female")
    lists = [lexicon()["names"][group] for group in NAME_GROUPS]
    assert {len(names) for names in lists} == {9}
    assert len({name for names in lists for name in names}) == 36


@pytest.mark.parametrize(
    ("text", "source", "target", "swapped"),
    [
        ("Is a gay man", "gay", "asian", "Is an asian man"),
        ("An older guest and an older dog", "older", "young", "A young guest and a young dog"),
        ("Muslims pray", "muslim", "christian", "Christians pray"),
        ("an african american boy", "african american", "european", "a european boy"),
        ("the oldest, told, gold", "old", "young", "the oldest, told, gold"),
        ("a black cat", "black", "lgbtq", "an lgbtq cat"),
    ],
)
def test_identity_terms(text, source, target, swapped):
    assert swap_identity(text, source, target).text == swapped


def test_axes_of_identity():
    assert "muslim" in identity_terms("religion")
    with pytest.raises(InputError, match="religion"):
        identity_terms("source")
    with pytest.raises(InputError, match="two terms"):
        swap_identity("a", "", "b")


def test_every_part_of_the_lexicon_names_its_source():
    assert all(part["source"] for name, part in lexicon().items() if name != "about")


def test_dialect_keeps_case_and_words_whole():
    assert mark_dialect("Nothing isn't something. NOTHING").text == "Nothin ain't somethin. NOTHIN"
    assert mark_dialect("nothingness").changes == ()


def test_pairs_of_templates_are_clusters():
    rng = np.random.default_rng(1)
    effects = np.repeat(rng.normal(0.0, 1.0, 20), 50)
    base = rng.normal(0.0, 1.0, 1000)
    templates = [f"t{i // 50}" for i in range(1000)]
    open_scale = Scale(None, None, "higher")
    alone = compare_pairs(base, base + effects, open_scale)
    together = compare_pairs(base, base + effects, open_scale, templates=templates)
    wide = together.difference.high - together.difference.low
    assert wide > 5 * (alone.difference.high - alone.difference.low)
    assert together.templates == 20
    # With templates of one size it is the t interval of their means.
    means = effects[::50]
    half = 2.093 * means.std(ddof=1) / math.sqrt(20)
    assert wide == pytest.approx(2 * half, rel=1e-3)


def test_pairs_without_a_difference_are_no_proof():
    found = compare_pairs([0.5] * 100, [0.5] * 100, Scale(0.0, 1.0, "higher"))
    assert found.difference.value == 0.0
    assert found.difference.low < 0.0 < found.difference.high
    assert found.changed == found.largest == 0.0


@pytest.mark.parametrize("values", [[], [0.5], [math.nan, math.nan]])
@pytest.mark.parametrize("scale", [Scale(0.0, 1.0, "higher"), Scale(None, None, "higher"), Scale(0.0, None, "lower")])
def test_few_pairs(values, scale):
    found = compare_pairs(values, [0.75] * len(values), scale)
    assert found.difference.value is None or math.isfinite(found.difference.value)
    if found.difference.low is None:
        assert found.difference.reason
    assert found.changed is None or found.changed == 1.0


def test_pairs_have_two_sides():
    with pytest.raises(InputError, match="one template a pair"):
        compare_pairs([1.0], [1.0, 2.0], Scale(None, None, "higher"))


def test_swapped_names_stay_those_of_different_people():
    said = "Emily wrote to Aisha; Aisha answered Emily."
    assert swap_names(said, "white_female", "black_female").text == "Keisha wrote to Aisha; Aisha answered Keisha."
    names = lexicon()["names"]
    both = " ".join([*names["white_female"], *names["black_female"]])
    # No name is left, so that each two change places.
    swapped = swap_names(both, "white_female", "black_female").text.split()
    assert swapped == [*names["black_female"], *names["white_female"]]
    some = " ".join([*names["white_female"][:5], *names["black_female"][2:6]])
    assert len(set(swap_names(some, "white_female", "black_female").text.split())) == 9
    assert swap_names(said, "white_female", "white_female").changes == ()


def test_templates_without_a_pair_are_not_counted():
    scores = [0.5, 0.6, math.nan, 0.7]
    found = compare_pairs(scores, [0.5] * 4, Scale(0.0, 1.0, "higher"), templates=["a", "a", "b", "c"])
    assert found.templates == 2


def test_pairs_off_the_scale_are_refused():
    share = Scale(0.0, 1.0, "higher")
    for original, counterfactual in (([1.5], [1.0]), ([1.0], [math.inf])):
        with pytest.raises(InputError, match="on the scale"):
            compare_pairs(original, counterfactual, share)

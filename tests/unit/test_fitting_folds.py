"""Folds: no group and no copy on both sides, strata spread, told what was joined."""

import re

import numpy as np
import pytest

from evalsvc.errors import InputError
from evalsvc.fitting.folds import folds, grouped, outer
from evalsvc.fitting.labelled import read_labelled
from tests.fitting_data import pairs, texts, write


def read(tmp_path, rows, tasks=("toxicity",), field="group"):
    return read_labelled([write(tmp_path / "rows.jsonl", rows)], tasks, field)


def nearly(text, number):
    """Return a text with a word changed."""
    return f"{text} {'again' if number % 2 else 'please'}"


def test_copies_and_near_copies_are_in_one_fold(tmp_path):
    rows = texts(60)
    again = [row | {"text": nearly(row["text"], n), "id": f"again{n}"} for n, row in enumerate(rows[:30])]
    upper = [row | {"text": row["text"].upper(), "toxicity": not row["toxicity"]} for row in rows[30:40]]
    labelled = read(tmp_path, rows + again + upper)
    found = grouped(labelled)
    assert found.total == 60
    assert "100 groups were joined to 60" in found.notes[0].text
    assert not found.notes[0].warning
    placed = outer(labelled, found, 5, 0)
    np.testing.assert_array_equal(placed[:30], placed[60:90])
    np.testing.assert_array_equal(placed[30:40], placed[90:])


def test_a_field_of_which_every_row_has_its_own_while_texts_repeat_is_told(tmp_path):
    rows = texts(60)
    rows += [row | {"text": nearly(row["text"], n)} for n, row in enumerate(rows[:30])]
    labelled = read(tmp_path, [row | {"row": n} for n, row in enumerate(rows)], field="row")
    found = grouped(labelled)
    (note,) = found.notes
    assert note.warning
    assert note.text.startswith("Every row has a 'row' of its own, yet texts repeat")
    assert "90 groups were joined to 60" in note.text
    placed = outer(labelled, found, 5, 0)
    np.testing.assert_array_equal(placed[:30], placed[60:])


def test_responses_to_one_context_are_one_group_whatever_their_own_group(tmp_path):
    rows = pairs(60)
    rows += [row | {"response": f"{row['response']} today", "group": f"g{n}"} for n, row in enumerate(rows)]
    found = grouped(read(tmp_path, rows, ("faithfulness",)))
    assert found.total == 60
    np.testing.assert_array_equal(found.codes[:60], found.codes[60:])


def test_equal_responses_to_other_contexts_are_no_copies(tmp_path):
    rows = [row | {"response": "I do not know."} for row in pairs(60)]
    assert grouped(read(tmp_path, rows, ("faithfulness",))).total == 60


def test_joining_goes_through_a_chain_of_groups_and_texts(tmp_path):
    rows = texts(60)
    for number, row in enumerate(rows):
        row["group"] = number // 2
    rows.append(rows[1] | {"text": rows[10]["text"], "toxicity": not rows[10]["toxicity"]})
    found = grouped(read(tmp_path, rows))
    assert found.total == 29
    assert len(set(found.codes[[0, 1, 10, 11, 60]])) == 1


def test_strata_are_spread_and_the_seed_decides():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 80, 1000)
    _, codes = np.unique(codes, return_inverse=True)
    strata = [(one,) for one in generator.random(1000) < 0.1]
    found = folds(codes, strata, 5, 7)
    assert set(found) == set(range(5))
    for group in range(80):
        assert len(set(found[codes == group])) == 1
    counts = np.bincount(found, weights=[one for (one,) in strata])
    assert counts.max() - counts.min() <= 4
    assert np.ptp(np.bincount(found)) <= 40
    np.testing.assert_array_equal(found, folds(codes, strata, 5, 7))
    assert (found != folds(codes, strata, 5, 8)).any()


def test_fewer_groups_than_folds_are_refused_with_the_field(tmp_path):
    labelled = read(tmp_path, [row | {"topic": n // 5 % 3} for n, row in enumerate(texts())], field="topic")
    with pytest.raises(InputError, match=r"in 3 groups of 'topic'.* but 5 folds need as many; name another field by"):
        outer(labelled, grouped(labelled), 5, 0)
    assert set(outer(labelled, grouped(labelled), 3, 0)) == {0, 1, 2}


def test_a_class_in_one_group_alone_is_refused(tmp_path):
    rows = [row | {"topic": "bad" if row["toxicity"] else n % 9} for n, row in enumerate(texts())]
    labelled = read(tmp_path, rows, field="topic")
    with pytest.raises(InputError, match="All rows whose toxicity is found are in one group of 'topic'"):
        outer(labelled, grouped(labelled), 5, 0)


@pytest.mark.parametrize(("size", "kinds", "few"), [(60, 20, False), (44, 6, True)])
def test_what_was_joined_is_shown_and_few_groups_are_a_warning(tmp_path, size, kinds, few):
    """Of nearly equal texts, as of templates, little is left to measure on."""
    rows = []
    for n in range(size):
        base = texts(kinds, seed=9)[n % kinds]["text"]
        rows.append({"text": f"{base} {'and so on ' * 9}{n}", "toxicity": n % 3 == 0})
    (note,) = grouped(read(tmp_path, rows)).notes
    assert note.text.startswith(
        f"{size} groups were joined to {kinds}, since their texts are equal or nearly equal, such"
    )
    first, second = re.findall(r"'([^']*)'", note.text)
    assert first[:40] == second[:40]
    assert len(first) == len(second) == 80
    assert note.warning == few
    assert note.text.endswith("label rows of others") == few

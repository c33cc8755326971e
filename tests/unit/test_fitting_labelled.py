"""Labelled rows from files, and what is refused or noticed of them."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalsvc.errors import ConfigError, InputError, SourceError
from evalsvc.fitting.labelled import read_labelled
from evalsvc.fitting.values import Mark, tasks_of
from tests.fitting_data import pairs, texts, write


def read(tmp_path, rows, tasks="toxicity", **options):
    return read_labelled([write(tmp_path / "rows.jsonl", rows)], tasks_of(tasks), **options)


ABSENT = object()


def told(labelled):
    return " | ".join(note.text for note in labelled.notes)


def test_texts_have_a_field_a_task_and_unknown_ones_are_left_open(tmp_path):
    rows = texts()
    for number, row in enumerate(rows):
        row["toxicity"] = [row["toxicity"], int(row["toxicity"]), str(row["toxicity"]), f"{row['toxicity']:d}"][
            number % 4
        ]
        if number % 2:
            row["refusal"] = number % 5 == 0
    rows[0] |= {
        "group": 7,
        "source": "chats",
        "licence": "MIT",
        "weight": 2,
        "threshold_weight": 5,
        "segments": {"plan": "free", "turn": 1},
    }
    found = read(tmp_path, rows, "toxicity,refusal")
    assert found.tasks == ("toxicity", "refusal")
    first, second = found.rows[:2]
    assert (first.found, second.found) == ((True, None), (False, False))
    assert (first.group, first.source, first.licence) == (":7", "chats", "MIT")
    assert (first.weight, first.threshold_weight) == (2.0, 5.0)
    assert first.segments == {"plan": "free", "turn": "1"}
    assert second.group == f"={second.text}"
    assert told(found) == "119 rows have no 'group'; each is with the rows of its own text"


def test_pairs_have_a_label_or_spans(tmp_path):
    rows = pairs()
    rows[0] = {"context": "The shop opens at nine.", "response": "It opens at ten.", "label": "contradicted"}
    rows[1] = {"contexts": ["a b c"], "question": "Which?", "response": "a x", "spans": [{"start": 2, "end": 3}]}
    rows[2] = {"contexts": ["a b c"], "prompt": "Who?", "response": "a b", "spans": []}
    first, second, third, fourth = read(tmp_path, rows, "faithfulness").rows[:4]
    assert (first.label, first.found, first.contexts) == ("contradicted", (True,), ("The shop opens at nine.",))
    assert first.spans is None
    assert (second.label, second.spans, second.question) == ("unsupported", (Mark(2, 3),), "Which?")
    assert (third.label, third.spans, third.found, third.question) == ("supported", (), (False,), "Who?")
    assert second.group == third.group != fourth.group


def test_spans_are_told_only_where_a_row_gives_them(tmp_path):
    rows = pairs()
    for row in rows[:3]:
        row |= {"label": "contradicted", "spans": []}
    rows[3] |= {"label": "supported", "spans": []}
    rows[4] |= {"label": "supported"}
    found = read(tmp_path, rows, "faithfulness")
    assert [row.spans for row in found.rows[:5]] == [None, None, None, (), None]
    assert [row.found for row in found.rows[:5]] == [(True,), (True,), (True,), (False,), (False,)]
    said = "3 rows are labelled as not supported but have empty `spans`; which words are wrong was taken as not told"
    assert said in told(found)
    copy = read(tmp_path, [*rows, rows[3] | {"spans": None}], "faithfulness")
    assert "1 row is a copy of an earlier one" in told(copy)


def test_every_format_gives_the_same_rows(tmp_path):
    rows = pairs()
    for number, row in enumerate(rows):
        row |= {"segments": {"plan": "free"}, "topic": f"t{number % 30}", "weight": 1.5}
    rows[0] |= {"spans": [{"start": 0, "end": 4}]}
    files = [write(tmp_path / "rows.jsonl", rows)]
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    files += [tmp_path / name for name in ("rows.jsonl.gz", "rows.csv", "rows.parquet")]
    found = [read_labelled([file], ("faithfulness",), "topic") for file in files]
    assert len({one.digest for one in found}) == 1
    assert found[0].rows[0].spans == (Mark(0, 4),)
    assert found[0].rows[0].place == f"{files[0]}:1"


def test_files_together_are_one_set_of_rows(tmp_path):
    files = [write(tmp_path / f"{part}.jsonl", texts(60, seed=part)) for part in (1, 2)]
    assert len(read_labelled(files, ("toxicity",)).rows) == 120


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"toxicity": "maybe"}, "`toxicity`: 'maybe' is no label (write true, false, 0 or 1, or leave it out"),
        ({"toxicity": 2}, "`toxicity`: 2 is no label"),
        ({"text": 5}, "`text`: expected a text, but got a number"),
        ({"text": ABSENT}, "`text` is missing (name the column so; there are: id, planted, toxicity)"),
        ({"weight": -1}, "`weight`: -1 is no number above 0"),
        ({"weight": "0,5"}, "`weight`: '0,5' is no number (write 0.5)"),
        ({"threshold_weight": 0}, "`threshold_weight`: 0 is no number above 0"),
        ({"segments": [1]}, "`segments`: expected names and values, but got a list"),
        ({"source": 3}, "`source`: expected a text, but got a number"),
    ],
)
def test_a_wrong_field_of_a_text_is_told_with_its_line(tmp_path, change, message):
    rows = texts()
    rows[4] = {name: value for name, value in (rows[4] | change).items() if value is not ABSENT}
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, rows)
    assert f"rows.jsonl:5:1: {message}" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "faithful"}, "`label`: 'faithful' is none (write one of supported, unsupported, contradicted, not_"),
        ({"label": True}, "`label`: true is none"),
        ({"contexts": "one"}, "`contexts`: expected a list of texts, but got a text"),
        (
            {"contexts": ABSENT},
            "`contexts` is missing (give a list of texts, or one text as `context`; there are: id, ",
        ),
        ({"response": ABSENT, "respons": "x"}, "`response` is missing (did you mean `respons`?)"),
        ({"spans": [{"start": 0, "end": 999}]}, "`spans`: one is not within the response (found 0 to 999 of"),
        ({"spans": [[0, 9]]}, "`spans`: Expected `object`, got `array` - at `$[0]`"),
        ({"label": "supported", "spans": [{"start": 0, "end": 3}]}, "`label` is supported, but `spans` has unsuppor"),
    ],
)
def test_a_wrong_field_of_a_pair_is_told_with_its_line(tmp_path, change, message):
    rows = pairs()
    rows[4] = {name: value for name, value in (rows[4] | change).items() if value is not ABSENT}
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, rows, "faithfulness")
    assert f"rows.jsonl:5:1: {message}" in str(refused.value)


def test_mistakes_are_told_together_and_each_kind_once(tmp_path):
    rows = texts()
    for row in rows[:50]:
        row["toxicity"] = "toxic"
    for number, row in enumerate(rows[50:80]):
        row["toxicity"] = f"label {number}"
    file = write(tmp_path / "rows.jsonl", rows)
    file.write_text(file.read_text() + "{broken\n[1]\n")
    with pytest.raises(ConfigError) as refused:
        read_labelled([file], ("toxicity",))
    lines = str(refused.value).splitlines()
    assert lines[0] == "82 rows cannot be read, the first 20 kinds:"
    assert len(lines) == 21
    assert str(refused.value).count("'toxic'") == 1
    assert "if unknown; and 49 more like this: lines 2, 3, 4, 5, 6, …)" in lines[1]
    assert "more like this" not in lines[2]


def test_two_mistakes_of_a_kind_name_both_lines(tmp_path):
    rows = texts()
    rows[3]["toxicity"] = rows[8]["toxicity"] = "toxic"
    with pytest.raises(ConfigError, match=r"rows.jsonl:4:1: .*; and 1 more like this: line 9\)"):
        read(tmp_path, rows)


@pytest.mark.parametrize("task", ["toxicity", "faithfulness"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_empty_cells_and_null_are_empty_texts(tmp_path, task, form):
    rows = texts() if task == "toxicity" else [row | {"contexts": row["contexts"][0]} for row in pairs()]
    for name in ("text",) if task == "toxicity" else ("response", "contexts"):
        rows += [row | {name: empty} for row, empty in zip(rows[:2], (None, ""), strict=True)]
    if form == "jsonl" and task == "faithfulness":
        rows = [row | {"contexts": [row["contexts"]] if row["contexts"] else row["contexts"]} for row in rows]
    file = tmp_path / f"rows.{form}"
    if form == "csv":
        with file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        write(file, rows)
    found = read_labelled([file], (task,))
    assert len(found.rows) == 120
    assert told(found) == f"{2 if task == 'toxicity' else 4} rows have an empty text and were left out"


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("message,toxicity\n" + "".join(f"Hello {n},1\n" for n in range(60)))
    with pytest.raises(ConfigError) as refused:
        read_labelled([file], ("toxicity",))
    assert "rows.csv:2:1: `text` is missing (name the column so; there are: message, toxicity; and 59 more like" in str(
        refused.value
    )


@pytest.mark.parametrize(("encoding", "place"), [("latin-1", ":3:1"), ("utf-16", "")])
@pytest.mark.parametrize(("name", "save"), [("rows.csv", "save it as CSV UTF-8"), ("rows.jsonl", "save it as UTF-8")])
def test_another_encoding_is_told_as_such(tmp_path, encoding, place, name, save):
    rows = ["text,toxicity\n", "Grusse,1\n", "Grüße,1\n", "Käse,0\n"]
    if name == "rows.jsonl":
        rows = [json.dumps({"text": text, "toxicity": 1}, ensure_ascii=False) + "\n" for text in ("a", "b", "Grüße")]
    file = tmp_path / name
    file.write_bytes("".join(rows).encode(encoding))
    with pytest.raises((ConfigError, SourceError)) as refused:
        read_labelled([file], ("toxicity",))
    said = str(refused.value)
    assert f"{name}{place}: the file is not UTF-8" in said
    assert save in said
    assert "JSON" not in said


def test_rows_without_the_field_of_groups_are_counted(tmp_path):
    rows = [
        row | ({"document": n // 3} if n < 60 else {"document": ""} if n < 90 else {}) for n, row in enumerate(pairs())
    ]
    found = read(tmp_path, rows, "faithfulness", field="document")
    assert told(found) == "60 rows have no 'document'; each is with the rows of its own contexts"
    assert found.notes[0].warning
    assert sum(row.group.startswith("=") for row in found.rows) == 60


def test_a_broken_line_is_told(tmp_path):
    file = write(tmp_path / "rows.jsonl", texts())
    file.write_text("{broken\n[1]\n" + file.read_text())
    with pytest.raises(ConfigError, match=r":1:1: is no JSON object in UTF-8[^\n]*\n.*:2:1: expected a JSON object"):
        read_labelled([file], ("toxicity",))


def test_texts_are_never_quoted(tmp_path):
    rows = texts()
    rows[3]["toxicity"] = "my private words that stand in the column of labels by mistake"
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, rows)
    assert "private" not in str(refused.value)
    assert "a text of 62 characters is no label" in str(refused.value)


def test_one_class_only_is_refused(tmp_path):
    with pytest.raises(InputError, match="All 120 rows labelled for toxicity are of one class: none of them have what"):
        read(tmp_path, [row | {"toxicity": False} for row in texts()])
    with pytest.raises(InputError, match="one class: none of them have none of it"):
        read(tmp_path, [row | {"label": "not_mentioned"} for row in pairs()], "faithfulness")


def test_twenty_rows_are_refused_with_how_many_are_needed(tmp_path):
    with pytest.raises(
        InputError, match=r"20 rows are labelled for toxicity, .* but 40 are needed at least, and 10 of"
    ):
        read(tmp_path, texts(20))
    few = [row | {"toxicity": number < 9} for number, row in enumerate(texts())]
    with pytest.raises(InputError, match="Only 9 of 120 rows labelled for toxicity have what is looked for, but 10"):
        read(tmp_path, few)


def test_copies_do_not_count_as_rows(tmp_path):
    with pytest.raises(InputError, match="20 rows are labelled"):
        read(tmp_path, texts(20) * 3)
    found = read(tmp_path, [*texts(), *texts()[:5]])
    assert len(found.rows) == 120
    assert told(found) == "5 rows are copies and were left out"


def test_each_task_needs_rows(tmp_path):
    with pytest.raises(InputError, match="30 rows are labelled for refusal"):
        read(
            tmp_path,
            [row | ({"refusal": n % 2} if n < 30 else {}) for n, row in enumerate(texts())],
            "toxicity,refusal",
        )


def test_contradictory_labels_are_counted_and_many_are_a_warning(tmp_path):
    rows = texts()
    other = [row | {"toxicity": not row["toxicity"], "text": f" {row['text'].upper()}"} for row in rows]
    few, many = read(tmp_path, rows + other[:1]).notes, read(tmp_path, rows + other[:6]).notes
    assert [(note.text, note.warning) for note in few] == [
        ("1 text has both labels of toxicity in different rows", False)
    ]
    assert [(note.text, note.warning) for note in many] == [
        ("6 texts (5.0%) have both labels of toxicity in different rows", True)
    ]


def test_other_languages_are_told_with_their_share(tmp_path):
    german = "Wo finde ich die Rechnung vom letzten Monat, und wann wird sie bezahlt? Frage {}"
    french = "Je voudrais annuler mon abonnement avant la fin du mois, s'il vous plaît. Question {}"
    english = "I would like to know where my parcel is and when it will be delivered. Question {}"
    rows = [
        {"text": (german if n % 4 == 0 else french if n % 10 == 1 else english).format(n), "toxicity": n % 3 == 0}
        for n in range(120)
    ]
    (note,) = read(tmp_path, rows).notes
    assert note.warning
    assert note.text.startswith(
        "35% of the texts whose language was recognised (120 of 120) are not in English (de 25%, fr 10%); "
    )
    assert not read(tmp_path, [row | {"text": english.format(n)} for n, row in enumerate(rows)]).notes
    # Of one word nobody knows the language: such texts are neither English nor another.
    rows += [{"text": f"Qzx{n}", "toxicity": n % 3 == 0} for n in range(280)]
    (note,) = read(tmp_path, rows).notes
    assert note.text.startswith(
        "35% of the texts whose language was recognised (120 of 400) are not in English (de 25%,"
    )


def test_empty_texts_and_rows_without_a_label_are_left_out_with_their_number(tmp_path):
    rows = [*texts(), *({"text": sign, "toxicity": 1} for sign in ("", "  ", "\n")), {"text": "no label"}]
    found = read(tmp_path, rows)
    assert len(found.rows) == 120
    assert told(found) == "3 rows have an empty text and were left out | 1 row has no label and was left out"


@pytest.mark.parametrize("unread", ["\u200b", "\ufeff \u00ad", "\x00\x1b", "...", "\u0301"])
def test_texts_in_which_a_detector_reads_nothing_are_left_out_with_their_number(tmp_path, unread):
    found = read(tmp_path, [*texts(), {"text": unread, "toxicity": 1}])
    said = "1 row has a text without a letter, digit or symbol, of which a detector says nothing, and was left out"
    assert (len(found.rows), told(found)) == (120, said)
    rows = pairs()
    rows[0]["response"], rows[1]["contexts"] = unread, [unread, unread]
    found = read(tmp_path, rows, "faithfulness")
    assert len(found.rows) == 118
    assert "2 rows have a text without a letter, digit or symbol" in told(found)


@pytest.mark.parametrize("text", ["\U0001f620", "100", "\u200b$", "\uff21", "\u0905"])
def test_a_sign_that_a_detector_reads_is_a_text(tmp_path, text):
    assert len(read(tmp_path, [*texts(), {"text": text, "toxicity": 1}]).rows) == 121


def test_a_field_that_is_nearly_one_is_told(tmp_path):
    found = read(tmp_path, [row | {"wieght": 2, "anything": 1} for row in texts()])
    assert told(found) == "The field 'wieght' of 120 rows is not read; did you mean `weight`?"


def test_a_group_that_no_row_has_is_told(tmp_path):
    with pytest.raises(InputError, match="No row has the field 'customer' that --group names"):
        read(tmp_path, texts(), field="customer")


@pytest.mark.parametrize("name", ["absent.jsonl", "rows.txt", ".."])
def test_files_that_are_none_are_told(tmp_path, name):
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(SourceError, match=r"check the path|expected a file ending in"):
        read_labelled([tmp_path / name], ("toxicity",))


def test_an_empty_file_and_a_damaged_one_are_told(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(InputError, match="There is no row"):
        read_labelled([tmp_path / "a.jsonl"], ("toxicity",))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"x" * 9999)[:20])
    with pytest.raises(SourceError, match="damaged or cut off"):
        read_labelled([tmp_path / "b.jsonl.gz"], ("toxicity",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("toxic", "got 'toxic' .did you mean `toxicity`"),
        ("faithfulness,toxicity", "fit it by itself"),
        ("refusal,refusal", "each task once"),
    ],
)
def test_tasks_that_make_no_detector_are_told(text, message):
    with pytest.raises(InputError, match=message):
        tasks_of(text)

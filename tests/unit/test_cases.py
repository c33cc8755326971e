"""Cases: what makes two of them the same, what changed between versions, and files of them, good and bad."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import time
from pathlib import Path

import msgspec
import pytest

from evalsvc.cases import Case, CaseSet, ToolCall, changes, digest_of, read_cases, write_cases
from evalsvc.errors import ConfigError, InputError, SourceError
from evalsvc.types import Message

FULL = Case(
    case_id="refund-1",
    prompt=(Message("system", "Be brief."), Message("user", "Wo ist mein Paket?")),
    contexts=("Parcels take three days.", "Ask for the number."),
    reference="Three days.",
    expected_tools=(ToolCall("track", {"number": 7, "deep": {"b": 1, "a": [True, None]}}),),
    segments={"language": "de", "plan": "pro"},
    tags=("parcel", "hard"),
    weight=2.5,
    group="g1",
    critical=True,
)


def problems(path: Path, **options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_cases(path, **options)
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_a_digest_is_the_hash_of_the_documented_json():
    case = Case(case_id="a", prompt="Hi", contexts=("c",), reference="r", expected_tools=(ToolCall("t", {"b": 1}),))
    by_hand = json.dumps(["Hi", ["c"], "r", [{"name": "t", "arguments": {"b": 1}}]], separators=(",", ":"))
    assert case.digest == hashlib.sha256(by_hand.encode()).hexdigest()[:32]
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("prompt", "Other", False),
        ("contexts", ("Ask for the number.", "Parcels take three days."), False),
        ("reference", None, False),
        ("expected_tools", (), False),
        ("case_id", "other", True),
        ("segments", {}, True),
        ("tags", (), True),
        ("weight", 1.0, True),
        ("group", "", True),
        ("critical", False, True),
        ("variant", "typos", True),
    ],
)
def test_what_makes_another_case(field: str, value: object, same: bool):
    other = msgspec.structs.replace(FULL, **{field: value})
    assert (other.digest == FULL.digest) is same
    # ... and any field is another version of the set.
    assert CaseSet("s", (other,)).digest != CaseSet("s", (FULL,)).digest


def test_the_version_of_a_set_ignores_order_and_its_name():
    other = Case(case_id="b", prompt="Hi")
    assert CaseSet("s", (FULL, other)).digest == CaseSet("t", (other, FULL)).digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"case_id": ""}, "`case_id` to be a name"),
        ({"prompt": ""}, "`prompt`, but it is empty"),
        ({"prompt": (Message("user", ""),)}, "`prompt`, but it is empty"),
        ({"weight": 0.0}, "above 0"),
        ({"weight": float("inf")}, "above 0"),
        ({"weight": float("nan")}, "above 0"),
    ],
)
def test_a_case_that_is_none(fields: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        Case(**{"case_id": "a", "prompt": "Hi", **fields})


def test_a_set_refuses_doubles_and_emptiness():
    hi = Case(case_id="a", prompt="Hi")
    with pytest.raises(InputError, match="case_id of its own"):
        CaseSet("s", (hi, Case(case_id="a", prompt="Ho")))
    with pytest.raises(InputError, match="content of its own"):
        CaseSet("s", (hi, Case(case_id="b", prompt="Hi")))
    with pytest.raises(InputError, match="at least one"):
        CaseSet("s", ())


def test_what_changed_between_two_versions():
    old = [Case(case_id=name, prompt=name) for name in "abcd"]
    new = [
        old[0],
        Case(case_id="b", prompt="B"),
        Case(case_id="c", prompt="c", weight=2.0),
        Case(case_id="e", prompt="e"),
    ]
    assert changes(old, new) == (("e",), ("d",), ("b",), ("c",))


def test_no_text_in_a_repr():
    assert repr(FULL) == "Case('refund-1')"


@pytest.mark.parametrize("name", ["cases.jsonl", "cases.jsonl.gz"])
def test_written_cases_are_read_again_and_the_bytes_are_the_same(tmp_path: Path, name: str):
    cases = (FULL, Case(case_id="b", prompt="Hi"))
    write_cases(tmp_path / name, cases)
    first = (tmp_path / name).read_bytes()
    if name.endswith(".gz"):
        assert first[4:8] == bytes(4), "the header's time would make other bytes every second"
    write_cases(tmp_path / name, read_cases(tmp_path / name))
    assert (tmp_path / name).read_bytes() == first
    assert tuple(read_cases(tmp_path / name)) == cases
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(InputError, match=r"\.jsonl"):
        write_cases(tmp_path / "cases.csv", (FULL,))
    with pytest.raises(SourceError, match="cannot be written"):
        write_cases(tmp_path / "absent" / "cases.jsonl", (FULL,))


def test_csv_cells(tmp_path: Path):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        [
            "case_id",
            "prompt",
            "contexts",
            "reference",
            "expected_tools",
            "segments.language",
            "tags",
            "weight",
            "critical",
        ]
    )
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "[{x"}])
    calls = json.dumps([{"type": "function", "id": "c1", "function": {"name": "t", "arguments": '{"a": 1.5}'}}])
    writer.writerow([7, chat, '["One, and", "two"]', "12", calls, "de", "a, b", "2.5", "yes"])
    writer.writerow(["b", "[{not json", "One context", "", "", "", '["x,y"]', "", ""])
    path = tmp_path / "cases.csv"
    path.write_text(out.getvalue())
    one, two = read_cases(path)
    assert one == Case(
        case_id="7",
        prompt=(Message("system", "Be brief."), Message("user", "[{x")),
        contexts=("One, and", "two"),
        reference="12",
        expected_tools=(ToolCall("t", {"a": 1.5}),),
        segments={"language": "de"},
        tags=("a", "b"),
        weight=2.5,
        critical=True,
    )
    assert two == Case(case_id="b", prompt="[{not json", contexts=("One context",), tags=("x,y",))


def test_parquet_and_foreign_columns(tmp_path: Path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = [
        {"id": 1, "question": "Who?", "answers": {"text": ["Ann", "A."], "start": [0, 1]}, "ctx": "C", "lang": "en"},
        {"id": 2, "question": "Where?", "answers": {"text": [], "start": []}, "ctx": None, "lang": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "squad.parquet")
    fields = {
        "id": "case_id",
        "question": "prompt",
        "answers.text": "reference",
        "ctx": "contexts",
        "lang": "segments.language",
    }
    one, two = read_cases(tmp_path / "squad.parquet", fields=fields)
    assert one == Case(case_id="1", prompt="Who?", contexts=("C",), reference="Ann", segments={"language": "en"})
    assert two == Case(case_id="2", prompt="Where?")
    # The same rows as JSON lines are the same cases.
    assert tuple(read_cases(jsonl(tmp_path / "squad.jsonl", *rows), fields=fields)) == (one, two)


def test_a_case_without_a_name_keeps_it_when_the_file_is_sorted(tmp_path: Path):
    path = jsonl(tmp_path / "a.jsonl", {"prompt": "One"}, {"prompt": "Two"})
    names = {case.prompt: case.case_id for case in read_cases(path)}
    jsonl(path, {"prompt": "Zero"}, {"prompt": "Two"}, {"prompt": "One"})
    assert {case.prompt: case.case_id for case in read_cases(path)}.items() > names.items()
    assert all(case.case_id == case.digest[:12] for case in read_cases(path))


def test_every_mistake_at_once_and_no_text_quoted(tmp_path: Path):
    secret = "hunter2 is my password"
    path = jsonl(
        tmp_path / "bad.jsonl",
        {"case_id": "a", "prompt": secret},
        {"case_id": "a", "prompt": secret + "!"},
        {"case_id": "b", "prompt": secret},
        {"case_id": "c", "prompt": "", "reference": secret},
        {"case_id": "d", "prompt": 7, "weight": "heavy", "tags": secret},
        {"case_id": "e", "question": secret},
        {"case_id": "f", "prompt": "x", "expected_tools": [{"name": "t", "arguments": secret}]},
        {"case_id": "g", "prompt": [{"role": "user", "content": secret, "name": "Ann"}]},
        {"case_id": "h", "prompt": "h", "weight": -1},
        '{"case_id": "i", "prompt": "hunter2',
        "[1]",
    )
    with path.open("ab") as file:
        file.write(b'{"case_id":"j","prompt":"\xff"}\n')
        file.write(b'{"case_id":"k","prompt":"' + b"a" * (1 << 20) + b'"}\n')
    with pytest.raises(ConfigError) as caught:
        read_cases(path)
    assert "hunter2" not in str(caught.value)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (2, f"`case_id` 'a' is also that of {path}:1"),
        (3, f"the same content as in {path}:1"),
        (4, "expected case 'c' to have a `prompt`, but it is empty"),
        (5, "`prompt`: expected `str | array`, got `int`"),
        (5, "`tags`: expected `array`, got `str`"),
        (5, "`weight`: expected `float`, got `str`"),
        (6, "unknown field `question`"),
        (6, "expected case 'e' to have a `prompt`, but it is empty"),
        (7, "`expected_tools[0].arguments` is a text, and not JSON"),
        (8, "unknown field `name` in `prompt[0]`"),
        (9, "expected `weight` of case 'h' above 0, but got -1.0"),
        (10, "not JSON: Input data was truncated"),
        (11, "expected a JSON object"),
        (12, "the text is not UTF-8"),
        (13, "the line is longer than 1,048,576 bytes"),
    ]
    assert "fields: {question: prompt}" in str(caught.value)


def test_of_many_mistakes_twenty_are_shown_and_all_counted(tmp_path: Path):
    path = jsonl(tmp_path / "bad.jsonl", *({"case_id": str(row), "prompt": 1, "wieght": 1} for row in range(1500)))
    with pytest.raises(ConfigError, match="1,501 problems in these cases, the first 20 of them") as caught:
        read_cases(path)
    assert len(caught.value.problems) == 20
    # A column that no row should have is one mistake.
    assert [problem.hint for problem in caught.value.problems if "wieght" in problem.message] == [
        "did you mean `weight`?"
    ]


def test_bad_csv(tmp_path: Path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b'case_id,prompt,weight\na,Hi,much\nb,"open\nc,\xe4h,1\n')
    assert problems(path) == [
        "2: `weight`: expected `float`, got `str`",
        "3: the row cannot be read",
        "4: the text is not UTF-8",
    ]
    path.write_text("case_id,prompt\na,Hi,extra\n")
    assert problems(path) == ["2: the row has 3 cells, the header 2"]
    with pytest.raises(SourceError, match="no column 'question'"):
        read_cases(path, fields={"question": "prompt"})


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_csv_as_spreadsheets_write_it_elsewhere(tmp_path: Path, separator: str, quote: str):
    rows = [["case_id", "prompt", "weight", "segments.plan"], ["a", "Hi, you; there\t?", "2", "pro"]]
    cells = [[f"{quote}{cell}{quote}" for cell in rows[0]], [f'"{cell}"' for cell in rows[1]]]
    path = tmp_path / "cases.csv"
    path.write_text("\ufeff\n" + "".join(separator.join(row) + "\r\n" for row in cells), encoding="utf-8")
    (case,) = read_cases(path).cases
    assert (case.case_id, case.prompt, case.weight, case.segments) == ("a", "Hi, you; there\t?", 2.0, {"plan": "pro"})


@pytest.mark.parametrize("fields", [{}, {"reference": "reference", "prompt": "prompt"}])
def test_csv_rows_with_more_cells_than_the_header_are_told(tmp_path: Path, fields: dict[str, str]):
    path = tmp_path / "cases.csv"
    path.write_text("case_id,prompt,reference\na,q1,x, y and z\nb,q2,z\nc,q3,x,y,z\n")
    with pytest.raises(ConfigError) as caught:
        read_cases(path, fields=fields)
    assert [(one.line, one.message) for one in caught.value.problems] == [
        (2, "the row has 4 cells, the header 3"),
        (4, "the row has 5 cells, the header 3"),
    ]
    assert {one.hint for one in caught.value.problems} == {
        "put a text that holds a comma, or whatever else separates cells, in quotes"
    }


def test_a_decimal_comma_is_told_what_to_write(tmp_path: Path):
    path = tmp_path / "cases.csv"
    path.write_text("case_id;prompt;weight\na;Hi;1,5\nb;Ho;much\n")
    with pytest.raises(ConfigError) as caught:
        read_cases(path)
    assert [one.hint for one in caught.value.problems] == ["write 1.5", ""]


def test_csv_whose_foreign_columns_are_known(tmp_path: Path):
    path = tmp_path / "cases.csv"
    path.write_text("Die Frage;Antwort\nWarum?;Darum\n", encoding="utf-8")
    (case,) = read_cases(path, fields={"Die Frage": "prompt", "Antwort": "reference"}).cases
    assert (case.prompt, case.reference) == ("Warum?", "Darum")
    with pytest.raises(SourceError, match=r"cases.csv: the header has no comma and is separated by `;`, but not all"):
        read_cases(path)
    path.write_text("Frage; kurz\nWarum?\n", encoding="utf-8")
    assert read_cases(path, fields={"Frage; kurz": "prompt"}).cases[0].prompt == "Warum?"


def test_files_that_are_none(tmp_path: Path):
    with pytest.raises(SourceError, match="no such file"):
        read_cases(tmp_path / "absent.jsonl")
    (tmp_path / "cases.txt").write_text("Hi")
    with pytest.raises(SourceError, match=r"ending in \.jsonl"):
        read_cases(tmp_path / "cases.txt")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match=r"at least one case.*evalsvc cases draw --out FILE"):
        read_cases(tmp_path / "empty.jsonl")
    (tmp_path / "cases.parquet").write_text("PAR1")
    with pytest.raises(SourceError, match="not a whole Parquet file"):
        read_cases(tmp_path / "cases.parquet")
    whole = gzip.compress(b'{"case_id":"a","prompt":"Hi"}\n' * 1000)
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="damaged or cut off"):
        read_cases(tmp_path / "cut.jsonl.gz")
    with pytest.raises(InputError, match="did you mean `prompt`"):
        read_cases(jsonl(tmp_path / "a.jsonl", {"prompt": "Hi"}), fields={"q": "promt"})
    with pytest.raises(InputError, match="Expected a folder for `split`"):
        read_cases(tmp_path / "a.jsonl", split="test")


def test_a_mark_of_byte_order_is_no_mistake(tmp_path: Path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"case_id":"a","prompt":"Hi"}\n')
    assert [case.case_id for case in read_cases(tmp_path / "a.jsonl")] == ["a"]


def test_null_is_an_absent_field(tmp_path: Path):
    row = {"case_id": "a", "prompt": "Hi", "reference": None, "weight": None, "contexts": None}
    assert tuple(read_cases(jsonl(tmp_path / "a.jsonl", row))) == (Case(case_id="a", prompt="Hi"),)


def test_text_parts_of_a_message_are_joined(tmp_path: Path):
    parts = [{"type": "text", "text": "One "}, {"type": "text", "text": "two"}]
    path = jsonl(tmp_path / "a.jsonl", {"case_id": "a", "prompt": [{"role": "user", "content": parts}]})
    assert next(iter(read_cases(path))).prompt == (Message("user", "One two"),)
    jsonl(path, {"case_id": "a", "prompt": [{"role": "user", "content": [{"type": "image_url"}]}]})
    assert problems(path) == ["1: `prompt[0].content`: expected `str`, got `array`"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "dataset_info.json").write_text("{}")
    jsonl(tmp_path / "data" / "train-00000-of-00002.jsonl", {"prompt": "One"})
    jsonl(tmp_path / "data" / "train-00001-of-00002.jsonl", {"prompt": "Two"})
    jsonl(tmp_path / "data" / "test-00000-of-00001.jsonl", {"prompt": "Three"})
    return tmp_path


def test_a_folder_by_its_files_names(folder: Path):
    assert [case.prompt for case in read_cases(folder, split="train")] == ["One", "Two"]
    assert [case.prompt for case in read_cases(folder, split="test")] == ["Three"]
    with pytest.raises(SourceError, match="expected a `split`, as there are several: test, train"):
        read_cases(folder)
    with pytest.raises(SourceError, match=r"no split 'tset' .did you mean `test`"):
        read_cases(folder, split="tset")


def test_a_folder_by_its_readme(folder: Path):
    readme = folder / "README.md"
    readme.write_text(
        "---\nconfigs:\n- config_name: small\n  default: true\n  data_files:\n  - split: dev\n"
        "    path: data/train-00001*\n- config_name: all\n  data_files: data/*.jsonl\n---\n# A set\n"
    )
    assert [case.prompt for case in read_cases(folder, split="dev")] == ["Two"]
    assert [case.prompt for case in read_cases(folder)] == ["Two"]
    assert len(read_cases(folder, config="all")) == 3
    with pytest.raises(SourceError, match="no config 'tiny': small, all"):
        read_cases(folder, config="tiny")
    readme.write_text("---\nconfigs:\n- config_name: a\n  data_files: ../*.jsonl\n---\n")
    with pytest.raises(SourceError, match="matches no file here"):
        read_cases(folder)
    readme.write_text("---\nconfigs: [\n---\n")
    with pytest.raises(SourceError, match="cannot be read"):
        read_cases(folder)


def test_a_folder_by_its_folders_and_one_without_files(tmp_path: Path):
    (tmp_path / "validation").mkdir()
    jsonl(tmp_path / "validation" / "part.jsonl", {"prompt": "One"})
    assert [case.prompt for case in read_cases(tmp_path, split="validation")] == ["One"]
    (tmp_path / "arrow").mkdir()
    with pytest.raises(SourceError, match=r"holds no file.*evalsvc cases draw --out FILE"):
        read_cases(tmp_path / "arrow")
    (tmp_path / "arrow" / "data-00000-of-00001.arrow").write_bytes(b"")
    with pytest.raises(SourceError, match="to_parquet"):
        read_cases(tmp_path / "arrow")


def test_cases_of_one_content_can_be_merged(tmp_path: Path):
    rows = [
        {"case_id": "a", "prompt": "One"},
        {"case_id": "b", "prompt": "Two"},
        {"case_id": "c", "prompt": "One", "weight": 2},
        {"case_id": "a", "prompt": "One"},
    ]
    path = jsonl(tmp_path / "a.jsonl", *rows)
    assert [(case.case_id, case.weight) for case in read_cases(path, merge=True)] == [("a", 4.0), ("b", 1.0)]
    # Another content under a name that is taken stays a mistake.
    jsonl(path, *rows, {"case_id": "b", "prompt": "Three"})
    assert problems(path, merge=True) == [f"5: `case_id` 'b' is also that of {path}:2"]


def test_a_merged_case_keeps_what_a_later_row_says_of_it(tmp_path: Path):
    rows = [
        {"case_id": "a", "prompt": "One", "tags": ["x", "y"]},
        {"case_id": "b", "prompt": "One", "tags": ["y", "z"], "critical": True},
        {"case_id": "c", "prompt": "One"},
    ]
    (case,) = read_cases(jsonl(tmp_path / "a.jsonl", *rows), merge=True)
    assert (case.case_id, case.tags, case.critical, case.weight) == ("a", ("x", "y", "z"), True, 3.0)


def test_real_questions_of_others(shared_data: Path):
    """Real answers of several models to the same questions: each question is one case."""
    path = shared_data / "traffic" / "llmdrift" / "visible.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    fields = {"query": "prompt", "dataset": "segments.task"}
    cases = read_cases(path, fields=fields, merge=True)
    contents = {(row["query"], row["reference"]) for row in rows}
    assert {(case.prompt, case.reference) for case in cases} == contents
    assert len(cases) == len(contents)
    assert sum(case.weight for case in cases) == len(rows)
    with pytest.raises(ConfigError, match="the first 20 of them"):
        read_cases(path, fields=fields)


def test_ten_thousand_cases_take_less_than_a_second(tmp_path: Path):
    rows = ({"case_id": str(row), "prompt": f"Question {row}? " * 10, "reference": "Yes."} for row in range(10_000))
    path = jsonl(tmp_path / "many.jsonl", *rows)
    began = time.process_time()
    assert len(read_cases(path)) == 10_000
    assert time.process_time() - began < 1.0

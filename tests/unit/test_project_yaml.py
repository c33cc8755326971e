"""The strict reader of YAML: places, values as written, and no input that breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evalsvc._hints import did_you_mean, nearest
from evalsvc._yaml import MAX_BYTES, Document, Section, Value


def read(text: str) -> tuple[Document, Section]:
    document = Document("f.yaml", text.encode())
    assert document.root is not None
    return document, document.root


def value(text: str) -> Value:
    _, root = read(f"key: {text}\n")
    found = root.get("key")
    assert found is not None
    return found


@pytest.mark.parametrize("written", ["no", "1.10", "0x1F", "2026-01-01", "on", "007", "1e3", "plain words"])
def test_a_text_is_what_is_written(written: str) -> None:
    assert value(written).text() == written
    assert value(f'"{written}"').text() == written


@pytest.mark.parametrize(("written", "number"), [("010", 10), ("1_000", 1000), ("-3", -3), ("0", 0)])
def test_whole_numbers_are_decimal(written: str, number: int) -> None:
    found = value(written)
    assert found.integer(99) == number
    assert found.document.finish() == ()


@pytest.mark.parametrize("written", [".nan", ".inf", "nan", "inf", "'1'", "one", "[1]", "~", "1:30"])
def test_what_is_no_number_is_a_problem_and_the_default(written: str) -> None:
    found = value(written)
    assert found.number(0.25) == 0.25
    assert [problem[1:3] for problem in found.document.finish()] == [(1, 6)]


@pytest.mark.parametrize(("written", "truth"), [("true", True), ("no", False), ("On", True)])
def test_flags(written: str, truth: bool) -> None:
    assert value(written).flag(not truth) is truth


@pytest.mark.parametrize("written", ["'yes'", "1", "maybe", "{}"])
def test_what_is_no_flag_is_a_problem(written: str) -> None:
    found = value(written)
    assert found.flag(True) is True
    assert len(found.document.finish()) == 1


def test_bounds_are_exact() -> None:
    assert value("1").number(above=0.0, high=1.0) == 1.0
    for outside in ("0", "1.0000001"):
        found = value(outside)
        found.number(above=0.0, high=1.0)
        assert "above 0 and at most 1" in found.document.finish()[0].message


def test_options_become_plain_values() -> None:
    found = value("{a: 1, b: 1.5, c: [yes, 'no'], d: ~, e: text, f: {g: '1'}}")
    assert found.plain() == {"a": 1, "b": 1.5, "c": [True, "no"], "d": None, "e": "text", "f": {"g": "1"}}


def test_all_problems_come_at_once_and_in_order() -> None:
    document, root = read("b: x\na: y\nc: {d: 1, d: 2}\n")
    for key in ("a", "b"):
        found = root.get(key)
        assert found is not None
        found.integer()
    assert [(problem.line, problem.column) for problem in document.finish()] == [
        (1, 4),
        (2, 4),
        (3, 1),
        (3, 11),
    ]


def test_an_unknown_key_is_found_however_deep() -> None:
    document, root = read("a: {b: {c: 1}}\n")
    a = root.get("a")
    assert a is not None
    b = a.section().get("b")
    assert b is not None
    b.section().get("d")
    (problem,) = document.finish()
    assert str(problem) == "f.yaml:1:9: unknown key `c` in `a.b` (known: d)"


def test_a_decimal_comma_is_told_what_to_write_in_a_line_and_in_braces() -> None:
    document, root = read("a: {b: 0,8}\nc: 0,8\n")
    section, alone = root.get("a"), root.get("c")
    assert section is not None
    assert alone is not None
    section.section().get("b")
    alone.number()
    assert [problem.hint for problem in document.finish()] == [
        "a comma ends a number: write it with a point, as in 0.8",
        "write 0.8",
    ]


def test_aliases_are_read_and_bombs_are_not() -> None:
    _, root = read("a: &x [1, 2]\nb: *x\n")
    b = root.get("b")
    assert b is not None
    assert [item.integer() for item in b.items()] == [1, 2]
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
    )
    document = Document("f.yaml", bomb.encode())
    assert document.root is None
    assert "aliases" in document.finish()[0].message


def test_a_file_that_is_too_large_is_not_parsed() -> None:
    document = Document("f.yaml", b"a: " + b"x" * MAX_BYTES)
    assert document.root is None
    assert len(document.finish()) == 1


def test_deep_nesting_is_a_problem() -> None:
    document = Document("f.yaml", b"[" * 100_000)
    assert document.root is None
    assert "deeply" in document.finish()[0].message


def is_no_number(text: str) -> bool:
    """YAML 1.1 takes 1e5 for a text; we take it for the number that it is."""
    try:
        float(text)
    except ValueError:
        return True
    return False


@given(st.binary(max_size=60))
def test_no_bytes_break_it(content: bytes) -> None:
    document = Document("f.yaml", content)
    assert document.root is not None or document.finish()


@given(
    st.recursive(
        st.text(max_size=8).filter(is_no_number) | st.integers() | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)
def test_options_read_back_what_pyyaml_wrote(content: object) -> None:
    """PyYAML's own dumper is the reference."""
    document = Document("f.yaml", yaml.safe_dump({"key": content}).encode())
    assert document.root is not None
    found = document.root.get("key")
    assert found is not None
    assert found.plain() == content


def test_hints() -> None:
    assert nearest("scorer", ["scorers", "source"]) == "did you mean `scorers`?"
    assert nearest("x", ["scorers"]) == ""
    assert did_you_mean("zzz", [f"name{i}" for i in range(30)]).endswith("and 10 more")
    assert did_you_mean("zzz", []) == ""


@pytest.mark.parametrize("read_wrongly", [Value.items, Value.texts, Value.section])
def test_collections_of_the_wrong_kind_are_one_problem(read_wrongly: Callable[[Value], object]) -> None:
    found = value("~")
    read_wrongly(found)
    assert len(found.document.finish()) == 1

"""Files in every notation, foreign columns, damage, resuming, progress and flat memory."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evalsvc.errors import DecodeError, InputError, SourceError
from evalsvc.protocols import Source
from evalsvc.sources._fieldmap import FieldMap
from evalsvc.sources._readers import read_csv, suffixes
from evalsvc.sources.decode import MAX_EVENT_BYTES, Limits, decode
from evalsvc.sources.files import FileSource, fingerprint
from evalsvc.testing.sources import RecordingAssignment, sample_messages
from evalsvc.types import Message

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def read(source: FileSource, positions: dict[str, int] | None = None) -> list[tuple[str, int, bytes]]:
    """Return everything as (partition, offset, bytes)."""
    source.open(RecordingAssignment(positions))
    found = []
    while not source.finished:
        found += [(chunk.partition, r.offset, r.value or b"") for chunk in source.poll(0.1) for r in chunk.records]
    source.close()
    return found


def values(paths: Sequence[Path] | Path, **options: Any) -> list[bytes]:
    """Return the bytes of all records."""
    given = [paths] if isinstance(paths, Path) else list(paths)
    return [value for _, _, value in read(FileSource(given, **options))]


def write_csv(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    """Write rows as a spreadsheet would: a byte order mark, CRLF."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def pack_zstd(data: bytes) -> bytes:
    """Two frames, as concatenated logs have."""
    import zstandard

    half = len(data) // 2
    return zstandard.compress(data[:half]) + zstandard.compress(data[half:])


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.jsonl", bytes), ("a.ndjson", bytes), ("a.json", bytes), ("a.jsonl.gz", gzip.compress),
     ("a.json.gz", gzip.compress), ("a.jsonl.zst", pack_zstd)],
)  # fmt: skip
def test_lines_in_every_packing(name: str, pack: Any, tmp_path: Path) -> None:
    """Each notation gives the same lines; an offset is a line's number, blank lines counted."""
    lines = sample_messages(5)
    (tmp_path / name).write_bytes(pack(b"\n" + b"\r\n".join(lines[:3]) + b"\n  \n" + b"\n".join(lines[3:])))
    found = read(FileSource([tmp_path / name]))
    assert [value for _, _, value in found] == lines
    assert [offset for _, offset, _ in found] == [1, 2, 3, 5, 6]


def test_bad_lines_are_delivered_and_the_rest_goes_on(tmp_path: Path) -> None:
    """The decoder is the one that refuses; nothing aborts, nothing is skipped."""
    good = sample_messages(2)
    long = b'{"response":"' + b"x" * (3 * MAX_EVENT_BYTES) + b'"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([good[0], b'{"cut', b"\xff\xfe", long, good[1]]))
    found = values(tmp_path / "a.jsonl")
    assert [found[0], found[4]] == good
    assert len(found[3]) == MAX_EVENT_BYTES + 2
    reasons = []
    for value in found[1:4]:
        with pytest.raises(DecodeError) as caught:
            decode(value)
        reasons.append(caught.value.reason)
    assert reasons == ["not_json", "invalid_unicode", "too_large"]


def test_a_partition_is_the_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A copy is the same partition and read once; other content or another mapping is another one."""
    for name, lines in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(line[:60] for line in sample_messages(lines)))
    source = FileSource([tmp_path])
    with caplog.at_level(logging.WARNING):
        found = read(source)
    assert len({partition for partition, _, _ in found}) == 2
    assert len(found) == 7
    assert source.duplicates == (tmp_path / "b.jsonl",)
    assert "same_content" in caplog.text
    mapped = read(FileSource([tmp_path / "a.jsonl"], constants={"application": "x"}))
    assert mapped[0][0] != found[0][0]
    assert found[0][0] == "file:" + fingerprint(tmp_path / "b.jsonl")


def test_large_files_are_told_apart_by_size_and_ends(tmp_path: Path) -> None:
    """Above 64 MiB not every byte is read; a change at either end or in length shows."""
    prints = set()
    for name, head, size in (("a", b"1", 65 << 20), ("b", b"2", 65 << 20), ("c", b"1", (65 << 20) + 1)):
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(size)
        prints.add(fingerprint(tmp_path / name))
    assert len(prints) == 3


def test_resumes_within_a_file_and_skips_what_is_done(tmp_path: Path) -> None:
    """Each file goes on where the reader says."""
    lines = sample_messages(10)
    for name, part in (("a", lines[:6]), ("b", lines[6:])):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(part))
    first, second = ("file:" + fingerprint(tmp_path / f"{name}.jsonl") for name in "ab")
    found = read(FileSource([tmp_path]), {first: 6, second: 2})
    assert [(partition, offset) for partition, offset, _ in found] == [(second, 2), (second, 3)]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl.gz", gzip.compress(b"\n".join(sample_messages(500)))[:-200], "cut off after line"),
        ("a.jsonl.gz", b"no gzip at all", "a.jsonl.gz"),
        ("a.jsonl.zst", pack_zstd(b"\n".join(sample_messages(500)))[:-50], "cut off after line"),
        ("a.jsonl.zst", b"no zstd at all", "a.jsonl.zst"),
        ("a.csv.gz", gzip.compress(b"event_id\n" + b"1\n" * 5000)[:-12], "cut off"),
        ("a.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
        ("a.json", b'[{"event_id": "a"}]', "jq"),
        ("a.txt", b"text", ".jsonl"),
    ],
    ids=("cut gzip", "no gzip", "cut zstd", "no zstd", "cut csv", "no parquet", "an array", "a text"),
)
def test_damaged_containers_are_named(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    """The message has the file and what to do, and what could be read came first."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=says) as caught:
        read(FileSource([tmp_path / name]))
    assert str(tmp_path / name) in str(caught.value)


def test_what_was_read_before_the_damage_is_delivered(tmp_path: Path) -> None:
    """A cut-off download gives its whole lines before the error."""
    packed = gzip.compress(b"\n".join(sample_messages(5000)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    source = FileSource([tmp_path / "a.jsonl.gz"], max_records=100_000)
    source.open(RecordingAssignment())
    (chunk,) = source.poll(0.1)
    assert len(chunk.records) > 500
    for _ in range(2):
        with pytest.raises(SourceError, match="cut off"):
            source.poll(0.1)
    assert not source.finished
    source.close()


@pytest.mark.parametrize(("path", "says"), [("absent.jsonl", "no such file"), (".", "holds no file")])
def test_missing_paths(path: str, says: str, tmp_path: Path) -> None:
    """Told at once, before anything is read."""
    with pytest.raises(SourceError, match=says):
        FileSource([tmp_path / path]).open(RecordingAssignment())


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    """Recursively, by known endings, sorted."""
    (tmp_path / "2026").mkdir()
    for name, line in (("b.jsonl", b"2"), ("2026/a.jsonl", b"1"), ("notes.md", b"x")):
        (tmp_path / name).write_bytes(line)
    assert values(tmp_path) == [b"1", b"2"]


def test_csv(tmp_path: Path) -> None:
    """Cells become fields of their types; empty ones are absent; a damaged row is refused alone."""
    header = ["event_id", "occurred_at", "application", "prompt", "contexts", "contexts", "segments.plan",
              "input_tokens", "latency_ms", "attributes.arm"]  # fmt: skip
    path = write_csv(tmp_path / "a.csv", [
        header,
        ["1", "2026-01-31T09:30:00Z", "support", "two\nlines", "first", "second", "pro", "12", "3.5", "B"],
        ["2", "1769851800000", "b", '[{"role":"user","content":"hi"}]', '["x","y"]', "", "", "", "", ""],
        ["3", "2026-01-31T09:30:00Z", "support", "x", "", "", "", "many", "", ""],
        ["4", "2026-01-31T09:30:00Z", "support", "x", "", "", "", "", "", "", "surplus"],
    ])  # fmt: skip
    one, two, three, four = values(path)
    event = decode(one)
    assert (event.contexts, event.segments, event.attributes) == (
        ("first", "second"),
        {"plan": "pro"},
        {"arm": "B"},
    )
    assert (event.input_tokens, event.latency_ms, event.prompt) == (12, 3.5, "two\nlines")
    assert decode(two).prompt == (Message("user", "hi"),)
    assert decode(two).contexts == ("x", "y")
    with pytest.raises(DecodeError, match="input_tokens"):
        decode(three)
    with pytest.raises(DecodeError, match="another key"):
        decode(four)


def test_csv_quotes_that_do_not_pair_cost_one_row(tmp_path: Path) -> None:
    """An unclosed quote would swallow every row to the next quote, or to the end, as the text of one cell."""
    head = "event_id,occurred_at,application,response\n"
    rows = [f"{number},2026-01-31T09:30:00Z,b,text\n" for number in range(1, 8)]
    rows[1] = '2,2026-01-31T09:30:00Z,b,"never closed\n'
    rows[3] = '4,2026-01-31T09:30:00Z,b,"four"\n'
    rows[5] = '6,2026-01-31T09:30:00Z,b,"two ""quotes"", two\nlines"\n'
    rows.append('8,2026-01-31T09:30:00Z,b,"to the end\n')
    path = tmp_path / "a.csv"
    path.write_text(head + "".join(rows))
    source = FileSource([path])
    found = read(source)
    # Line numbers from 0, the header's being 0; the sixth row has two lines.
    assert [offset for _, offset, _ in found] == [1, 2, 3, 4, 5, 6, 8, 9]
    assert source.place(found[0][0], 2) == f"{path}:3"
    broken = {offset: value for _, offset, value in found if offset in (2, 9)}
    for value in broken.values():
        with pytest.raises(DecodeError, match="a quote that is not closed"):
            decode(value)
    good = [decode(value).response for _, offset, value in found if offset not in broken]
    assert good == ["text", "text", "four", "text", 'two "quotes", two\nlines', "text"]


def test_a_csv_cell_that_is_too_large_costs_its_row_and_no_more(tmp_path: Path) -> None:
    """What stands inside of it is no row of its own."""
    head = "event_id,occurred_at,application,response\n"
    huge = "x" * (5 << 20)
    inner = "9,2026-01-31T09:30:00Z,b,injected\n"
    rows = f'1,2026-01-31T09:30:00Z,b,"{huge}\n{inner}"\n2,2026-01-31T09:30:00Z,b,ok\n'
    (tmp_path / "a.csv").write_text(head + rows)
    large, good = values(tmp_path / "a.csv")
    with pytest.raises(DecodeError) as caught:
        decode(large)
    assert caught.value.reason == "too_large"
    assert decode(good).response == "ok"


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n", b"event_id\n"])
def test_a_csv_without_rows_has_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    assert values(tmp_path / "a.csv") == []


def test_a_blank_line_before_the_header_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("\nevent_id,occurred_at,application\n1,2026-01-31T09:30:00Z,b\n")
    assert [decode(value).event_id for value in values(tmp_path / "a.csv")] == ["1"]


def test_a_file_without_a_header_is_not_quoted_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("my password is hunter2,2026-01-31T09:30:00Z\n")
    with pytest.raises(SourceError, match="no column 'q'") as caught:
        values(tmp_path / "a.csv", fields={"q": "prompt"})
    assert "hunter2" not in str(caught.value)


def test_csv_resumes_at_a_line(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [["event_id"], ["1"], ["two\nlines"], ["3"]])
    assert [number for number, _ in read_csv(path, 3, FieldMap(), "f", lambda done: None)] == [4]


def test_csv_without_the_columns_that_a_map_names_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [["id", "time"], ["1", "2026-01-31T09:30:00Z"]])
    with pytest.raises(SourceError, match=r"no column 'idd' \(columns: id, time\)"):
        values(path, fields={"idd": "event_id"})


def test_patterns_are_expanded_in_order_and_may_match_nothing_yet(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "[x].jsonl"):
        (tmp_path / name).write_text(f'{{"file": "{name}"}}\n')
    patterns = [f"{tmp_path}/b.jsonl", f"{tmp_path}/?.jsonl", f"{tmp_path}/[x].jsonl"]
    assert [json.loads(value)["file"] for _, _, value in read(FileSource(patterns))] == [
        "b.jsonl",
        "a.jsonl",
        "[x].jsonl",
    ]
    with pytest.raises(SourceError, match="no file or folder matches"):
        read(FileSource([f"{tmp_path}/*.csv"]))


def test_csv_with_bytes_that_are_no_text(tmp_path: Path) -> None:
    """The row is refused by the decoder, the next one is read."""
    head = b"event_id,occurred_at,application,response\n"
    (tmp_path / "a.csv").write_bytes(head + b"1,2026-01-31T09:30:00Z,b,\xff\n2,2026-01-31T09:30:00Z,b,ok\n")
    bad, good = values(tmp_path / "a.csv")
    with pytest.raises(DecodeError) as caught:
        decode(bad)
    assert caught.value.reason == "invalid_unicode"
    assert decode(good).response == "ok"


def test_parquet_streams_and_resumes_by_row_group(tmp_path: Path) -> None:
    """Native types, maps, lists, nulls and nanoseconds arrive; resuming skips whole row groups."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n = 2500
    stamp = pa.array([1_769_851_800_000_000_001 + i * 10**9 for i in range(n)], pa.timestamp("ns", "UTC"))
    table = pa.table({
        "event_id": pa.array(range(n)), "occurred_at": stamp, "application": ["support"] * n,
        "segments": pa.array([[("plan", "pro")]] * n, pa.map_(pa.string(), pa.string())),
        "contexts": [["a", "b"]] * n, "latency_ms": pa.array([float("nan"), 2.0] * (n // 2)),
        "session_id": pa.array([None] * n, pa.string()), "response": pa.array([b"bytes"] * n, pa.binary()),
    })  # fmt: skip
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=1000)
    found = read(FileSource([path]))
    assert [offset for _, offset, _ in found] == list(range(n))
    event = decode(found[1][2])
    assert (event.event_id, event.segments, event.contexts, event.latency_ms) == (
        "1",
        {"plan": "pro"},
        ("a", "b"),
        2.0,
    )
    assert event.occurred_at == datetime(2026, 1, 31, 9, 30, 1, tzinfo=UTC)
    assert (event.response, event.session_id) == ("bytes", None)
    assert decode(found[0][2]).latency_ms is None
    assert read(FileSource([path]), {found[0][0]: 1700}) == found[1700:]


def test_parquet_that_is_cut_off(tmp_path: Path) -> None:
    """The footer is gone: a clear answer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"event_id": ["a"] * 100}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(SourceError, match="Parquet"):
        read(FileSource([tmp_path / "a.parquet"]))


def test_foreign_lines_replay_without_rewriting(tmp_path: Path) -> None:
    """Columns are renamed, nested ones reached, the rest left out, an id made, a zone assumed."""
    row = {"raw": {"uid": 7}, "timestamp": "2023-11-16 18:17:03.9799600", "query": "Why?", "context": "One.",
           "passage": "Two.", "label": 1, "junk": {"x": 1}, "model": "m", "input_tokens": "12"}  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\nno json\n" + json.dumps({"query": "Who?"}), encoding="utf-8")
    fields = {"timestamp": "occurred_at", "query": "prompt", "context": "contexts", "passage": "contexts",
              "label": "attributes.label", "raw.uid": "segments.cohort"}  # fmt: skip
    constants = {"application": "support", "segments.source": "archive"}
    first, second, third = values(tmp_path / "a.jsonl", fields=fields, constants=constants, assume_zone="UTC")
    event = decode(first, datetime.now(UTC), Limits(age_days=None))
    assert event.occurred_at == datetime(2023, 11, 16, 18, 17, 3, 979960, tzinfo=UTC)
    assert (event.prompt, event.contexts, event.attributes) == ("Why?", ("One.", "Two."), {"label": 1})
    assert (event.segments, event.model, event.input_tokens) == (
        {"cohort": "7", "source": "archive"},
        "m",
        12,
    )
    assert event.event_id == "file-" + FileSourceName.of(tmp_path / "a.jsonl", fields, constants) + "-0"
    assert second == b"no json"
    with pytest.raises(DecodeError, match="occurred_at"):
        decode(third)


class FileSourceName:
    """What a source calls a file."""

    @staticmethod
    def of(path: Path, fields: dict[str, str], constants: dict[str, Any]) -> str:
        """Return the fingerprint with this mapping."""
        return fingerprint(path, FileSource([path], fields, constants, "UTC").fields.identity)


@pytest.mark.parametrize(
    "options", [{"fields": {"a": "respones"}}, {"constants": {"findings": 1}}, {"assume_zone": "Mars/One"}]
)
def test_mappings_to_nowhere_are_refused(options: dict[str, Any]) -> None:
    """When the source is made, not at the first row."""
    with pytest.raises(InputError, match="Expected"):
        FileSource(["a.jsonl"], **options)


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    """Bytes as they lie on disk, for a progress bar; never beyond the whole."""
    lines = sample_messages(3000)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines[:2000])))
    (tmp_path / "b.jsonl").write_bytes(b"\n".join(lines[2000:]))
    source: FileSource = FileSource([tmp_path], max_records=100)
    source.open(RecordingAssignment())
    seen = [source.bytes_read]
    while not source.finished:
        source.poll(0.1)
        seen.append(source.bytes_read)
    assert seen[0] == 0
    assert seen == sorted(seen)
    assert seen[-1] == source.total_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    source.close()


def test_timestamp_is_when_the_file_was_written(tmp_path: Path) -> None:
    """Or what the caller says."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(sample_messages(1)[0])
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for source, expected in (
        (FileSource([path]), int(path.stat().st_mtime * 1000)),
        (FileSource([path], received_at=moment), 1_767_225_600_000),
    ):
        source.open(RecordingAssignment())
        assert source.poll(0.1)[0].records[0].timestamp == expected
        source.close()


def test_memory_stays_flat(tmp_path: Path) -> None:
    """40 MB of lines pass through far less."""
    line = b'{"response":"' + b"x" * 2000 + b'"}\n'
    with (tmp_path / "a.jsonl").open("wb") as file:
        for _ in range(20_000):
            file.write(line)
    source = FileSource([tmp_path / "a.jsonl"], max_records=500)
    source.open(RecordingAssignment())
    tracemalloc.start()
    count = 0
    while not source.finished:
        count += sum(len(chunk.records) for chunk in source.poll(0.1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    source.close()
    assert count == 20_000
    assert peak < 8 << 20


def test_is_a_source() -> None:
    """The protocol's members are all there, and the endings are listed for messages."""
    assert isinstance(FileSource([]), Source)
    assert ".parquet" in suffixes()


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data sets are not beside this checkout")
def test_a_real_data_set_replays() -> None:
    """RAGTruth's answers become events with a field map alone."""
    path = SHARED / "faithfulness" / "ragtruth_qa_test" / "visible.jsonl.gz"
    fields = {"id": "event_id", "query": "prompt", "context": "contexts", "label": "attributes.label"}
    found = values(path, fields=fields, constants={"application": "ragtruth", "occurred_at": "2026-01-31T09:30:00Z"})
    events = [decode(value) for value in found]
    assert len(events) == 404
    assert all(event.response and event.contexts and event.prompt for event in events)

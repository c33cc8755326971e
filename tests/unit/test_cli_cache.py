"""``evalsvc cache``: how much gates keep, and what of it prune removes, with others at work meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from evalsvc._cache_upkeep import held
from evalsvc._run_locks import OPENING, exclusive, under_way
from evalsvc.cli import main
from evalsvc.disk_cache import DiskCache, cache_places, today
from evalsvc.gate import pruning
from evalsvc.gate.keeping import RunKeeper, read_verdict

SUITE = """cases: cases.jsonl
model: {recorded: good.jsonl}
scorers: [token_f1]
gates:
  - {metric: token_f1, at_least: 0.1}
"""
LONG_AGO = "20200101T000000Z"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one suite and recorded answers of three versions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    cases = [{"case_id": f"c{n}", "prompt": f"question {n}", "reference": f"parcel {n} came"} for n in range(40)]
    lines("cases", cases)
    for name in ("good", "other", "third"):
        lines(name, [{"case_id": f"c{n}", "response": f"parcel {n} came {name}"} for n in range(40)])
    (tmp_path / "suites").mkdir()
    for path in list(tmp_path.glob("*.jsonl")):
        path.rename(tmp_path / "suites" / path.name)
    (tmp_path / "suites" / "s.suite.yaml").write_text(SUITE)
    return tmp_path


def lines(name: str, rows: list[dict[str, str]]) -> None:
    Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def gate(answers: str) -> Path:
    """Run the suite on answers, and return the folder of the run."""
    before = set(Path(".evalsvc/runs/s").glob("*"))
    assert main(["gate", "suites/s.suite.yaml", "--answers", f"suites/{answers}.jsonl"]) in (0, 1, 3)
    (made,) = set(Path(".evalsvc/runs/s").glob("*")) - before
    return made


def aged(run: Path, stamp: str = LONG_AGO) -> Path:
    """Make a run, and the records it was decided from, old."""
    verdict = read_verdict(run / "verdict.json")
    for record in records(verdict.candidate.digest):
        os.utime(record, (0, 0))
    return run.rename(run.with_name(f"{stamp}-{run.name.partition('-')[2]}"))


def records(digest: str = "*") -> list[Path]:
    return sorted(Path(".evalsvc/records").glob(f"{digest}.jsonl.zst"))


def runs() -> list[str]:
    return sorted(path.name for path in Path(".evalsvc/runs").glob("*/*"))


def age_rows(days: int) -> None:
    with closing(sqlite3.connect(".evalsvc/cache.sqlite")) as connection, connection:
        connection.execute("UPDATE entries SET used_on = ?", (today() - days,))


def rows() -> int:
    return held(Path(".evalsvc/cache.sqlite")).rows


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["cache", *words, "--format", "json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_nothing_is_kept_and_nothing_is_made(project, capsys):
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == "nothing is kept yet; evalsvc gate does\n"
    assert main(["cache", "prune", "--older-than", "1d"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    assert not (project / ".evalsvc").exists()
    assert not (project / "home").exists()


def test_show_tells_number_and_size_of_each(project, capsys):
    gate("good")
    found = {row["what"]: row for row in printed(capsys)}
    assert set(found) == {"answers and scores", "runs of s", "records"}
    assert found["answers and scores"]["n"] == rows() > 0
    on_disk = [path for path in Path(".evalsvc").rglob("*") if path.is_file() and path.name != ".gitignore"]
    closed = [path for path in on_disk if not path.name.endswith("-shm")]
    assert sum(row["size"] for row in found.values()) == sum(path.stat().st_size for path in closed)
    assert main(["cache", "show"]) == 0
    table = capsys.readouterr().out
    assert ".evalsvc/runs/s" in table
    assert "kB in all" in table


def test_prune_wants_to_know_what(project, capsys):
    gate("good")
    assert main(["cache", "prune"]) == 2
    assert "Expected --older-than 30d, --keep 10 or both" in capsys.readouterr().err
    assert main(["cache", "prune", "--older-than", "soon"]) == 2
    assert main(["cache", "prune", "--older-than", "999999d"]) == 2
    assert "calendar" in capsys.readouterr().err
    assert len(runs()) == 1


def test_old_runs_go_with_their_records_and_the_last_of_each_suite_stays(project, capsys):
    old, last = aged(gate("good")), aged(gate("other"), "20200102T000000Z")
    assert len(records()) == 2
    found = {row["what"]: row for row in printed(capsys, "prune", "--older-than", "30d", "--dry-run")}
    assert (found["runs"]["n"], found["records"]["n"]) == (1, 1)
    assert runs() == [old.name, last.name]
    size = sum(path.stat().st_size for path in old.iterdir())
    done = {row["what"]: row for row in printed(capsys, "prune", "--older-than", "30d")}
    assert done == found
    assert done["runs"]["size"] == size
    assert runs() == [last.name]
    assert records() == records(read_verdict(last / "verdict.json").candidate.digest)
    assert main(["cache", "prune", "--older-than", "30d", "--keep", "0"]) == 0
    assert "removed: " in capsys.readouterr().out
    assert (runs(), records()) == ([], [])


def test_keep_alone_keeps_the_newest_of_each_suite(project):
    first, second, third = (
        aged(gate(name), f"2020010{n}T000000Z") for n, name in enumerate(("good", "other", "third"), 1)
    )
    age_rows(400)
    before = rows()
    assert main(["cache", "prune", "--keep", "2"]) == 0
    assert runs() == [second.name, third.name]
    assert not first.exists()
    assert len(records()) == 2
    assert rows() == before


def test_a_record_that_a_run_that_stays_was_decided_from_stays(project):
    old = aged(gate("good"))
    new = gate("good")
    assert len(records()) == 1
    assert main(["cache", "prune", "--older-than", "30d"]) == 0
    assert (runs(), len(records())) == ([new.name], 1)
    assert main(["gate", "--again", new.name]) == 0
    assert not old.exists()


@pytest.mark.parametrize("damage", ["", "<<<<<<< HEAD\n"])
def test_what_a_baseline_points_to_stays(project, capsys, damage):
    """Also where its pointer cannot be read, as in the middle of a merge."""
    run = gate("good")
    assert (
        main(["baseline", "promote", "suites/s.suite.yaml", "--name", "main", "--because", "x", "--run", run.name]) == 0
    )
    pointer = project / "suites" / "baselines" / "main.yaml"
    old = aged(run)
    pointer.write_text(damage + pointer.read_text().replace(run.name, old.name))
    other = aged(gate("other"))
    assert [row["named"] for row in printed(capsys) if row["what"] != "answers and scores"] == [1, 1]
    assert main(["cache", "prune", "--keep", "0", "--older-than", "1d"]) == 0
    assert runs() == [old.name]
    assert records() == records(read_verdict(old / "verdict.json").candidate.digest)
    assert not other.exists()


def test_a_baseline_keeps_its_record_without_a_run(project):
    digest = read_verdict(gate("good") / "verdict.json").candidate.digest
    folder = project / ".ci" / "baselines"
    folder.mkdir(parents=True)
    (folder / "main.yaml").write_text(f'digest: "{digest}"\n')
    assert main(["cache", "prune", "--keep", "0"]) == 0
    assert (runs(), records()) == ([], records(digest))
    assert records()


def test_a_baseline_that_cannot_be_read_stops_it(project, capsys):
    gate("good")
    folder = project / "suites" / "baselines"
    folder.mkdir()
    (folder / "main.yaml").symlink_to("away.yaml")
    assert main(["cache", "prune", "--keep", "0"]) == 2
    assert "may point to a record" in capsys.readouterr().err
    assert (len(runs()), len(records())) == (1, 1)


def test_a_verdict_of_another_release_keeps_its_records(project):
    run = gate("good")
    path = run / "verdict.json"
    path.write_text(path.read_text().replace('"decision"', '"decided"'))
    assert main(["cache", "prune", "--keep", "1"]) == 0
    assert (len(runs()), len(records())) == (1, 1)


def test_rows_go_by_their_last_use_and_the_file_shrinks(project, capsys):
    path = project / ".evalsvc" / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {f"k{n}": os.urandom(1000) for n in range(12_000)})
    age_rows(40)
    with DiskCache.open(path) as cache:
        assert len(cache.get_many("answer", [f"k{n}" for n in range(10)])) == 10
    size = path.stat().st_size
    (row,) = printed(capsys, "prune", "--older-than", "30d", "--dry-run")
    assert (row["n"], row["size"]) == (11_990, 11_990_000)
    assert rows() == 12_000
    assert main(["cache", "prune", "--older-than", "30d"]) == 0
    assert rows() == 10
    assert path.stat().st_size < size / 100
    with DiskCache.open(path) as cache:
        assert set(cache.get_many("answer", [f"k{n}" for n in range(20)])) == {f"k{n}" for n in range(10)}


def test_a_cache_of_an_older_release_is_taken_over(project):
    path = project / ".evalsvc" / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {"a": b"1"})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE entries DROP COLUMN used_on")
    assert main(["cache", "prune", "--older-than", "1d"]) == 0
    with DiskCache.open(path) as cache:
        assert cache.get_many("answer", ["a"]) == {"a": b"1"}


def test_damaged_caches_that_were_set_aside_go_by_their_age(project, capsys):
    (project / ".evalsvc").mkdir()
    old, new = (project / ".evalsvc" / f"cache.sqlite.damaged-2020010{n}T000000-7" for n in (1, 2))
    for path in (old, new):
        path.write_bytes(b"12345")
    os.utime(old, (0, 0))
    (row,) = printed(capsys, "prune", "--older-than", "30d")
    assert (row["what"], row["n"], row["size"]) == ("damaged caches", 1, 5)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_cache_outside_a_project_that_cannot_be_written_is_pruned_too(project):
    path = cache_places(project)[1]
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {"a": b"1"})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET used_on = 1")
    assert main(["cache", "prune", "--older-than", "30d"]) == 0
    assert held(path).rows == 0


def test_while_a_run_is_under_way_rows_go_and_the_file_keeps_its_size(project, capsys):
    path = project / ".evalsvc" / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {f"k{n}": os.urandom(1000) for n in range(1000)})
        age_rows(40)
        with exclusive(path, "work"):
            size = path.stat().st_size
            assert main(["cache", "prune", "--older-than", "30d"]) == 0
            assert "keeps its size for now (a run is under way)" in capsys.readouterr().out
            assert path.stat().st_size >= size
            cache.put_many("answer", {"new": b"1"})
            assert cache.get_many("answer", ["new", "k1"]) == {"new": b"1"}
    assert rows() == 1


def test_who_only_opens_the_cache_is_no_run(project):
    path = project / ".evalsvc" / "cache.sqlite"
    DiskCache.open(path).close()
    with exclusive(path, OPENING):
        assert not under_way(path)
        with exclusive(path, "work"):
            assert under_way(path)


def test_without_room_for_a_copy_the_file_keeps_its_size_and_that_is_told(project, capsys, monkeypatch):
    """VACUUM writes a copy; rows that went make room for others all the same."""
    path = project / ".evalsvc" / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {f"k{n}": b"x" * 1000 for n in range(100)})
    age_rows(40)
    monkeypatch.setattr("evalsvc._cache_upkeep._connection", lambda path: sqlite3.connect(path, factory=Full))
    assert main(["cache", "prune", "--older-than", "30d"]) == 0
    assert "keeps its size for now (database or disk is full)" in capsys.readouterr().out
    assert rows() == 0


class Full(sqlite3.Connection):
    """A connection to a file on a disk that has no room for a second one."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named, isolation_level=None)

    def execute(self, text, *values):
        if text == "VACUUM":
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(text, *values)


def test_a_run_behind_a_link_stays(project):
    run = aged(gate("good"))
    away = run.rename(project / "elsewhere")
    run.symlink_to(away)
    assert main(["cache", "prune", "--keep", "0"]) == 0
    assert (runs(), len(records())) == ([run.name], 1)
    assert (away / "verdict.json").is_file()


@pytest.mark.parametrize("folder", ["runs", "runs/s", "records"])
def test_a_folder_behind_a_link_is_not_emptied_where_it_leads(project, folder):
    aged(gate("good"))
    linked, away = project / ".evalsvc" / folder, project / "elsewhere"
    before = sorted(path.name for path in linked.rename(away).rglob("*"))
    linked.symlink_to(away)
    assert main(["cache", "prune", "--keep", "0"]) == 0
    assert sorted(path.name for path in away.rglob("*")) == before


def test_a_run_that_writes_meanwhile_loses_nothing(project):
    code = """
import sys
from pathlib import Path
from evalsvc.disk_cache import DiskCache
with DiskCache.open(Path(sys.argv[1])) as cache:
    for n in range(300):
        cache.put_many("new", {f"{n}-{m}": b"x" * 500 for m in range(20)})
"""
    path = project / ".evalsvc" / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {f"k{n}": os.urandom(500) for n in range(20_000)})
    age_rows(40)
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE, text=True)
    while writer.poll() is None:
        assert main(["cache", "prune", "--older-than", "30d"]) == 0
    assert (writer.returncode, writer.communicate()[1]) == (0, "")
    assert main(["cache", "prune", "--older-than", "30d"]) == 0
    assert rows() == 6000


def test_a_run_that_ends_meanwhile_is_kept_with_all_its_records(project, monkeypatch):
    """It finds its record there, and prune had seen that nobody needs it: one of them waits for the other."""
    run = aged(gate("good"))
    verdict, keeper = read_verdict(run / "verdict.json"), RunKeeper(project)
    content, seen, ended = keeper.record(verdict.candidate.digest), threading.Event(), []
    looked = pruning._kept

    def look(root: Path) -> pruning.Kept:
        found = looked(root)
        ender.start()
        assert seen.wait(10)
        time.sleep(0.2)
        assert not ended
        return found

    def end() -> None:
        seen.set()
        ended.append(keeper.keep(verdict, {}, content))

    ender = threading.Thread(target=end)
    monkeypatch.setattr(pruning, "_kept", look)
    pruning.prune(project, None, 0)
    ender.join(10)
    assert keeper.again(keeper.find(verdict.verdict_id)).same


def test_prune_waits_for_nobody_who_is_gone(project):
    """A lock's file that a killed process left is no lock."""
    gate("good")
    left = project / ".evalsvc" / "cache.sqlite.0123456789abcdef.lock"
    left.write_text("1\n")
    age_rows(40)
    assert main(["cache", "prune", "--older-than", "30d"]) == 0
    with open(left) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert rows() == 0

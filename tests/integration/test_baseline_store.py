"""Baselines in the store: written by a promotion, held against the files, and fetched where the files are not there."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from evalsvc.cli import main
from evalsvc.errors import ConfigError
from evalsvc.gate import baselines
from evalsvc.gate.baselines import read_baseline, read_pointer
from evalsvc.gate.pruning import prune
from evalsvc.gate.record import digest_of_record, read_content, write_record
from evalsvc.store import open_store
from evalsvc.verdicts import Promotion

SECRET = "zebra-4711"
STORE = "embedded:.evalsvc/store"
SUITE = """suite: small
cases: cases.jsonl
model: {recorded: good.jsonl}
baseline: main
scorers: [token_f1]
gates:
  - {metric: token_f1, not_worse_by: 0.1}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a suite, answers that are right and wrong, and an empty store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALSVC_STORE", raising=False)
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    folder = tmp_path / "suites"
    folder.mkdir()
    cases, good, bad = [], [], []
    for place in range(80):
        reference = f"parcel {place} takes {place + 2} days to arrive in town {place}"
        cases.append({"case_id": f"c{place}", "prompt": f"{SECRET} question {place}", "reference": reference})
        said = reference if place % 4 else reference.replace("days", SECRET)
        good.append({"case_id": f"c{place}", "response": said})
        bad.append({"case_id": f"c{place}", "response": said if place % 9 == 0 else "I do not know"})
    for name, rows in (("cases", cases), ("good", good), ("bad", bad)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "small.suite.yaml").write_text(SUITE)
    open_store(STORE, migrate=True, create=True).close()
    return tmp_path


def promote(*words: str) -> int:
    return main(["baseline", "promote", "suites/small.suite.yaml", "--because", "ticket 118", "--by", "Ada", *words])


def baseline(action: str, *words: str) -> int:
    return main(["baseline", action, "suites/small.suite.yaml", *words])


def stored() -> list[Promotion]:
    store = open_store(STORE)
    try:
        return list(store.baselines.promotions("small"))
    finally:
        store.close()


def pointer(project: Path):
    return read_pointer(project / "suites" / "baselines" / "main.yaml")


def forget(project: Path, *, pointed: bool) -> None:
    """Take the files of the baseline away, and the runs; the pointer stays where it is to."""
    (project / "suites" / "baselines" / pointer(project).file).unlink()
    for name in ("records", "runs"):
        shutil.rmtree(project / ".evalsvc" / name, ignore_errors=True)
    if not pointed:
        shutil.rmtree(project / "suites" / "baselines")


def later(project: Path, minutes: int) -> None:
    """Move the pointer's time, as promotions are apart in life."""
    path = project / "suites" / "baselines" / "main.yaml"
    moment = pointer(project).promoted_at
    moved = (moment + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    path.write_text(path.read_text().replace(moment.isoformat().replace("+00:00", "Z"), moved))
    assert pointer(project).promoted_at == moment + timedelta(minutes=minutes)


def test_a_promotion_is_written_to_the_store_without_texts(project: Path, capsys) -> None:
    assert promote() == 0
    assert "the promotion is recorded in the store" in capsys.readouterr().err
    (one,) = stored()
    held = pointer(project)
    assert (one.suite, one.name, one.digest, one.stored) == ("small", "main", held.digest, held.stored)
    assert (one.promoted_by, one.because, one.verdict) == ("Ada", "ticket 118", held.verdict)
    assert one.promoted_at == held.promoted_at
    store = open_store(STORE)
    record = store.baselines.baseline_record(one.stored)
    store.close()
    assert record is not None
    assert SECRET.encode() in read_baseline(project / "suites", "main", "").content
    assert SECRET.encode() not in record
    files = [path for path in (project / ".evalsvc" / "store").rglob("*") if path.is_file()]
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in files)


def test_without_a_store_it_is_told_and_none_is_made(project: Path, capsys) -> None:
    shutil.rmtree(project / ".evalsvc")
    assert promote() == 0
    assert "there is no store yet" in capsys.readouterr().err
    assert not (project / ".evalsvc" / "store").exists()
    assert main(["baseline"]) == 0
    assert "store" not in capsys.readouterr().out.splitlines()[0].split()
    assert baseline("record") == 0
    assert [one.digest for one in stored()] == [pointer(project).digest]


def test_the_files_alone_can_be_asked_for(project: Path) -> None:
    assert promote("--no-store") == 0
    assert stored() == []


def test_a_store_that_does_not_answer_is_told_before_anything_is_asked(project: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("evalsvc._cli_baseline._run", lambda *given: pytest.fail("a model was asked"))
    assert promote("--store", "clickhouse://u:p@127.0.0.1:1/x") == 3
    assert "127.0.0.1:1" in capsys.readouterr().err
    assert not (project / "suites" / "baselines").exists()


@pytest.mark.parametrize("pointed", [True, False], ids=["a pointer in git", "nothing in git"])
def test_gate_takes_from_the_store_what_is_not_in_the_files(project: Path, pointed: bool, capsys) -> None:
    assert promote() == 0
    before = pointer(project)
    capsys.readouterr()
    assert main(["gate", "suites", "--answers", "suites/bad.jsonl", "--format", "json"]) == 1
    whole = json.loads(capsys.readouterr().out)
    forget(project, pointed=pointed)
    assert main(["gate", "suites", "--answers", "suites/bad.jsonl", "--format", "json", "--record"]) == 1
    out, err = capsys.readouterr()
    assert "the baseline 'main' is the store's: " in err
    assert ("as the file pins it" in err) is pointed
    assert ("commit suites/baselines/main.yaml to pin it" in err) is not pointed
    verdict = json.loads(out)
    assert verdict["gates"] == whole["gates"]
    assert verdict["baseline"]["digest"] == before.stored
    assert (pointer(project).digest, pointer(project).because) == (before.digest, before.because)
    # Decided again from what was kept, and from the store alone.
    assert main(["gate", "--again", verdict["verdict_id"]]) == 1
    shutil.rmtree(project / ".evalsvc" / "runs")
    assert main(["gate", "--again", verdict["verdict_id"]]) == 1
    capsys.readouterr()
    # What was taken serves every other command, and is not taken twice.
    assert main(["gate", "suites", "--power"]) == 0
    assert main(["check", "suites"]) == 0
    assert "is the store's" not in capsys.readouterr().err
    assert baseline("rescore") == 2
    assert "only its scores are here: the store keeps no texts" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--power"]], ids=["gate", "power"])
@pytest.mark.parametrize(
    ("pointed", "unwritable"),
    [(True, [".evalsvc"]), (False, [".evalsvc", "suites/baselines"]), (False, ["suites/baselines"])],
    ids=["a pointer in git", "nothing in git", "only the pointer's folder"],
)
def test_a_checkout_that_cannot_be_written_is_gated_with_what_the_store_gave(
    project: Path, pointed: bool, unwritable: list[str], words: list[str], tmp_path_factory, capsys
) -> None:
    assert promote() == 0
    before = pointer(project)
    forget(project, pointed=pointed)
    elsewhere = tmp_path_factory.mktemp("store")
    shutil.move(project / ".evalsvc" / "store", elsewhere / "store")
    shutil.rmtree(project / ".evalsvc")
    # Whoever runs this may be root, whom no mode of a folder stops: files are where the folders would be.
    for name in unwritable:
        (project / name).touch()
    capsys.readouterr()
    asked = words or ["--answers", "suites/bad.jsonl", "--format", "json"]
    assert main(["gate", "suites", "--store", f"embedded:{elsewhere}/store", *asked]) == (0 if words else 1)
    out, err = capsys.readouterr()
    assert "It serves this run alone (Cannot " in err
    assert ("Cannot keep the store's baseline in .evalsvc: " in err) is (".evalsvc" in unwritable)
    assert ("Cannot write suites/baselines/main.yaml: " in err) is not pointed
    assert "where that can be written: evalsvc baseline fetch suites/small.suite.yaml --name main" in err
    if words:
        assert "the spread is taken from the baseline's scores" in out
    else:
        assert json.loads(out)["baseline"]["digest"] == before.stored
    assert all((project / name).is_file() for name in unwritable)


def test_a_pin_decides_which_one_is_taken(project: Path, capsys) -> None:
    assert promote() == 0
    first = pointer(project)
    text = (project / "suites" / "baselines" / "main.yaml").read_text()
    assert promote("--answers", "suites/bad.jsonl", "--despite") == 0
    assert len(stored()) == 2
    forget(project, pointed=False)
    (project / "suites" / "baselines").mkdir()
    (project / "suites" / "baselines" / "main.yaml").write_text(text)
    capsys.readouterr()
    assert main(["gate", "suites", "--format", "json"]) in (0, 3)
    assert json.loads(capsys.readouterr().out)["baseline"]["digest"] == first.stored
    # One that the store has not is not replaced by another.
    forgotten = text.replace(first.digest, "0" * 64)
    shutil.rmtree(project / ".evalsvc" / "records")
    (project / "suites" / "baselines" / "main.yaml").write_text(forgotten)
    assert main(["gate", "suites"]) == 2
    assert "restore it from git" in capsys.readouterr().err


def test_a_record_that_was_changed_in_the_store_is_refused(project: Path, capsys) -> None:
    assert promote() == 0
    store = open_store(STORE)
    with store.connection() as client:
        client.command("ALTER TABLE baselines UPDATE record = 'x' WHERE true SETTINGS mutations_sync = 2")
    store.close()
    forget(project, pointed=True)
    assert main(["gate", "suites"]) == 2
    out, err = capsys.readouterr()
    assert "in the store, but it was changed" in err
    assert "PASS" not in out


def test_nowhere_is_told_with_both_ways_out(project: Path, capsys) -> None:
    assert main(["gate", "suites"]) == 2
    said = capsys.readouterr().err
    assert "evalsvc baseline promote suites/small.suite.yaml --name main" in said
    assert "evalsvc baseline fetch suites/small.suite.yaml --name main" in said
    assert baseline("fetch") == 2
    assert "there is none; `evalsvc baseline record SUITE`" in capsys.readouterr().err
    assert main(["gate", "suites", "--store", "clickhouse://u:p@127.0.0.1:1/x"]) == 2
    assert "and the store was not asked" in capsys.readouterr().err


def test_promote_compares_with_the_stores_where_the_files_are_not_there(project: Path, capsys) -> None:
    assert promote() == 0
    forget(project, pointed=False)
    assert promote("--answers", "suites/bad.jsonl") == 2
    assert "is FAIL: 1 of 1 gates failed" in capsys.readouterr().err


def test_list_says_where_file_and_store_disagree(project: Path, capsys) -> None:
    def state() -> str:
        capsys.readouterr()
        assert main(["baseline", "list"]) == 0
        return " ".join(capsys.readouterr().out.split())

    assert promote("--no-store") == 0
    assert "not in the store: evalsvc baseline record suites/small.suite.yaml --name main" in state()
    assert baseline("record") == 0
    assert state().endswith("as promoted the same")
    # The file is ahead: somebody promoted without a store.
    assert promote("--answers", "suites/bad.jsonl", "--despite", "--no-store") == 0
    later(project, 5)
    bad = pointer(project).digest
    assert "the store has an earlier one (" in state()
    assert "evalsvc baseline record suites/small.suite.yaml --name main" in state()
    assert baseline("record") == 0
    assert state().endswith("as promoted the same")
    # The store is ahead: a checkout of before.
    later(project, -60)
    path = project / "suites" / "baselines" / "main.yaml"
    path.write_text(path.read_text().replace(bad, "1" * 64))
    assert "the store has a later one (" in state()
    assert "evalsvc baseline fetch suites/small.suite.yaml --name main --latest" in state()
    assert baseline("fetch", "--latest") == 0
    assert pointer(project).digest == bad
    assert state().endswith("the same")
    shutil.rmtree(project / "suites" / "baselines")
    assert "only in the store (" in state()
    assert baseline("show", "--name", "main") == 0
    shown = capsys.readouterr().out
    assert shown.count("ticket 118") == 2
    assert shown.index(bad[:12]) < shown.index("PASS" if "PASS" in shown else "INCONCLUSIVE")


def test_list_says_what_is_wrong_with_a_pointer_beside_those_that_are_right(project: Path, capsys) -> None:
    assert promote() == 0
    path = project / "suites" / "baselines" / "main.yaml"
    other = path.with_name("other.yaml")
    other.write_text("<<<<<<< HEAD\n" + path.read_text())
    capsys.readouterr()
    for words in ([], ["list", "suites"]):
        assert main(["baseline", *words]) == 0
        out, err = capsys.readouterr()
        lines = out.splitlines()
        (good,) = [line for line in lines if line.startswith("main ")]
        assert "as promoted" in good
        assert "the same" in good
        (bad,) = [line for line in lines if line.startswith("other ")]
        assert "baselines/other.yaml:" in bad
        assert "is not YAML" in bad
        assert err == ""


@pytest.mark.parametrize("packed", [False, True])
def test_latest_replaces_a_pointer_that_cannot_be_read_and_every_message_says_so(
    project: Path, monkeypatch, packed: bool, capsys
) -> None:
    monkeypatch.setattr(baselines, "PLAIN_BYTES", 0 if packed else 1 << 20)
    assert promote() == 0
    held, path = pointer(project), project / "suites" / "baselines" / "main.yaml"
    path.write_text("<<<<<<< HEAD\n")
    capsys.readouterr()
    latest = "evalsvc baseline fetch suites/small.suite.yaml --name main --latest"
    for words, code in ((["list", "suites"], 0), (["fetch", "suites/small.suite.yaml"], 2)):
        assert main(["baseline", *words]) == code
        told = " ".join(" ".join(capsys.readouterr()).split())
        assert "expected a mapping, but got <<<<<<< HEAD (restore it from git, or take the store's last" in told
        assert latest in told
    assert main(["gate", "suites"]) == 2
    assert latest in capsys.readouterr().err
    assert baseline("fetch", "--latest") == 0
    said = "suites/baselines/main.yaml, which could not be read, was replaced: commit it to pin it"
    assert said in capsys.readouterr().out
    # With its texts, since their file is there.
    assert pointer(project) == held
    assert read_baseline(project / "suites", "main", "").digest == held.digest
    assert baseline("fetch", "--latest") == 0
    assert "replaced" not in capsys.readouterr().out


def test_a_pointer_that_cannot_be_read_stays_where_the_store_has_none(project: Path, capsys) -> None:
    path = project / "suites" / "baselines" / "main.yaml"
    path.parent.mkdir()
    path.write_text("<<<<<<< HEAD\n")
    assert main(["baseline", "list", "suites"]) == 0
    said = capsys.readouterr().out
    assert "(restore it from git)" in said
    assert "--latest" not in said
    assert baseline("fetch", "--latest") == 2
    assert "but there is none" in capsys.readouterr().err
    assert path.read_text() == "<<<<<<< HEAD\n"


def test_fetch_takes_what_the_pointer_pins_whatever_was_promoted_since(project: Path, capsys) -> None:
    assert promote() == 0
    first, path = pointer(project), project / "suites" / "baselines" / "main.yaml"
    text = path.read_text()
    assert promote("--answers", "suites/bad.jsonl", "--despite") == 0
    last = pointer(project)
    forget(project, pointed=True)
    path.write_text(text)
    capsys.readouterr()
    assert baseline("fetch") == 0
    assert "promoted by Ada; as suites/baselines/main.yaml pins it" in capsys.readouterr().out
    assert path.read_text() == text
    assert read_baseline(project / "suites", "main", "").digest == first.stored
    # Once it is here no store is asked.
    assert baseline("fetch", "--store", "clickhouse://u:p@127.0.0.1:1/x") == 0
    assert "which suites/baselines/main.yaml pins, is here already" in capsys.readouterr().out
    assert baseline("fetch", "--latest") == 0
    assert "commit suites/baselines/main.yaml to pin it" in capsys.readouterr().out
    assert pointer(project).digest == last.digest
    path.write_text(text.replace(first.digest, "0" * 64).replace(first.stored, "1" * 64))
    assert baseline("fetch") == 2
    assert "fetch suites/small.suite.yaml --name main --latest" in capsys.readouterr().err


def test_scores_that_the_pointer_does_not_pin_are_refused_under_the_same_digest(project: Path, capsys) -> None:
    assert promote() == 0
    path, pinned = project / "suites" / "baselines" / "main.yaml", pointer(project).stored
    path.write_text(path.read_text().replace(pinned, "1" * 64))
    text = path.read_text()
    capsys.readouterr()
    assert main(["baseline"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"the store has other scores of it ({pinned[:12]}, where {'1' * 12} is pinned)" in said
    forget(project, pointed=True)
    assert main(["gate", "suites"]) == 2
    assert "restore it from git" in capsys.readouterr().err
    assert baseline("fetch") == 2
    assert baseline("fetch", "--latest") == 2
    assert f"others of the same baseline ({pinned[:12]}…): they were changed there" in capsys.readouterr().err
    assert path.read_text() == text
    assert not (project / ".evalsvc" / "records").exists()


def test_what_is_being_taken_is_not_pruned_before_something_points_to_it(project: Path, monkeypatch) -> None:
    assert promote() == 0
    held = pointer(project)
    forget(project, pointed=False)
    write = baselines.write_pointer
    pruning = Thread(target=prune, args=(project, None, 1))

    def late(*given: object) -> None:
        pruning.start()
        pruning.join(0.5)
        write(*given)

    monkeypatch.setattr(baselines, "write_pointer", late)
    assert baseline("fetch") == 0
    pruning.join(30)
    assert not pruning.is_alive()
    assert read_baseline(project / "suites", "main", "").digest == held.stored


@pytest.mark.parametrize("how", ["changed", "cut"])
@pytest.mark.parametrize("command", [("gate", "suites"), ("baseline", "fetch", "suites/small.suite.yaml")])
def test_damaged_scores_are_taken_from_the_store_again(
    project: Path, how: str, command: tuple[str, ...], capsys
) -> None:
    assert promote() == 0
    stored = pointer(project).stored
    forget(project, pointed=True)
    assert main([*command]) in (0, 3)
    path = project / ".evalsvc" / "records" / f"{stored}.jsonl.zst"
    whole = path.read_bytes()
    if how == "cut":
        path.write_bytes(whole[:100])
    else:
        write_record(path, read_content(path).replace(b"1.0", b"0.9", 1))
    capsys.readouterr()
    # It counts as absent; what its pointer pins a store may have.
    assert main(["check", "suites"]) == 0
    assert "evalsvc baseline fetch suites/small.suite.yaml --name main" in capsys.readouterr().err
    assert main([*command]) in (0, 3)
    assert digest_of_record(read_content(path)) == stored


def test_fetching_what_is_there_keeps_its_texts(project: Path) -> None:
    assert promote() == 0
    before = pointer(project)
    for words in ((), ("--latest",)):
        assert baseline("fetch", *words) == 0
        assert pointer(project) == before
    assert SECRET.encode() in read_baseline(project / "suites", "main", "").content


def test_a_pointer_of_before_gets_its_pin_when_it_is_recorded(project: Path, capsys) -> None:
    assert promote("--no-store") == 0
    path = project / "suites" / "baselines" / "main.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("stored:")))
    assert baseline("record") == 0
    assert "main.yaml pins that now: commit it" in capsys.readouterr().out
    assert pointer(project).stored == stored()[0].stored
    forget(project, pointed=True)
    assert main(["gate", "suites"]) in (0, 3)


def test_an_error_without_a_place_stops_the_gate(project: Path, capsys, monkeypatch) -> None:
    """It was dropped together with its suite; no suite was left, and the command ended with 0."""

    def broken(*given: object, **options: object) -> None:
        raise ConfigError("the store's record was changed")

    monkeypatch.setattr("evalsvc.gate.checking.load_checked", broken)
    assert main(["gate", "suites"]) == 2
    assert "the store's record was changed" in capsys.readouterr().err

"""A whole fit with a trainer of milliseconds: figures, what is kept, what stops it, and its report."""

import errno
import html
import json
import os
from pathlib import Path

import numpy as np
import pytest

from evalsvc.detection import adapter
from evalsvc.errors import EngineError, InputError
from evalsvc.fitting import kept
from evalsvc.fitting.labelled import read_labelled
from evalsvc.fitting.report import page
from evalsvc.fitting.running import fit
from evalsvc.fitting.values import Options, tasks_of
from tests.fitting_data import BAD, Words, pairs, texts, write


def read(tmp_path, rows, tasks="toxicity", field="group"):
    return read_labelled([write(tmp_path / "rows.jsonl", rows)], tasks_of(tasks), field)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_fit_gives_a_detector_and_its_report(tmp_path):
    rows = [row | {"source": "chats", "licence": "MIT", "segments": {"plan": "free"}} for row in texts()]
    out, trainer, steps = tmp_path / "fitted", Words(), []
    made = fit(read(tmp_path, rows), Options(out), trainer, lambda *step: steps.append(step))
    assert files(out) == ["report.html", "report.json", "toxicity.safetensors"]
    task = made.tasks["toxicity"]
    assert task.figures["auroc"].value > 0.97
    assert task.figures["auroc"].low < task.figures["auroc"].value <= task.figures["auroc"].high
    assert (task.rows, task.found, task.groups) == (120, 40, 120)
    assert (task.by_source["chats"].rows, task.by_segment["plan"]["free"].found) == (120, 40)
    read_back = adapter.read(out / "toxicity.safetensors")
    assert read_back.revision == made.revision
    card = read_back.card
    assert (card.reads, card.version, card.trunk, list(card.window)) == ("texts", 1, "words", [128])
    assert card.tasks["toxicity"].sources[0] == adapter.Source("chats", "MIT", 120, 40)
    assert card.tasks["toxicity"].threshold == task.threshold
    assert len(trainer.calls) == 6
    assert steps[-1][:2] == (360, 360)
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    numbers = json.loads((out / "report.json").read_text())
    assert numbers["tasks"]["toxicity"]["figures"]["auroc"]["value"] == task.figures["auroc"].value


def test_no_row_is_judged_by_what_saw_it_and_those_watched_are_apart(tmp_path):
    rows = [row | {"topic": n // 4} for n, row in enumerate(texts())]
    trainer = Words()
    fit(read(tmp_path, rows, field="topic"), Options(tmp_path / "out"), trainer)
    seen = [{row.group for row in learnt} for learnt, _, _ in trainer.calls]
    watched = [{row.group for row in watched} for _, watched, _ in trainer.calls]
    everything = {f":{n}" for n in range(30)}
    assert all(not one & other and len(other) >= 2 for one, other in zip(seen, watched, strict=True))
    held = [everything - one - other for one, other in zip(seen, watched, strict=True)]
    assert sorted(name for part in held[:5] for name in part) == sorted(everything)
    assert not held[5]


def test_pairs_and_several_tasks(tmp_path):
    made = fit(read(tmp_path, pairs(), "faithfulness"), Options(tmp_path / "pairs"), Words())
    assert adapter.read(Path(made.detector)).card.reads == "pairs"
    assert made.tasks["faithfulness"].figures["auroc"].value > 0.8
    rows = texts()
    for number, row in enumerate(rows):
        if number % 2:
            row["refusal"] = any(word in row["text"] for word in BAD[:3])
    made = fit(read(tmp_path, rows, "toxicity,refusal"), Options(tmp_path / "several"), Words())
    assert Path(made.detector).name == "toxicity-refusal.safetensors"
    # The scorer `refusal` is rules; the one that takes a detector has a name of its own.
    assert "{name: toxicity, options: {detector" in html.unescape(page(made))
    assert "{name: refusal_probability, options: {detector" in html.unescape(page(made))
    assert {name: task.rows for name, task in made.tasks.items()} == {"toxicity": 120, "refusal": 60}


def test_the_same_fit_gives_the_same_bytes_and_another_seed_others(tmp_path):
    labelled = read(tmp_path, texts(noise=0.1))
    parts = ("a", 0), ("b", 0), ("c", 1)
    for name, seed in parts:
        fit(labelled, Options(tmp_path / name, seed=seed), Words())
    first, second, third = ((tmp_path / name / "toxicity.safetensors").read_bytes() for name, _ in parts)
    assert first == second != third


def test_the_version_is_one_more_than_what_is_replaced_or_started_from(tmp_path):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    versions = [fit(labelled, Options(out), Words()).version for _ in range(2)]
    before = out / "toxicity.safetensors"
    versions.append(fit(labelled, Options(tmp_path / "next", before=before), Words()).version)
    assert versions == [1, 2, 3]
    before.write_bytes(b"no detector")
    trainer = Words()
    with pytest.raises(EngineError, match="is no safetensors file"):
        fit(labelled, Options(out), trainer)
    assert not trainer.calls


@pytest.mark.parametrize(("rule", "value"), [("false_alarms", 0.02), ("cost", 5.0)])
def test_the_threshold_follows_its_rule_and_figures_are_of_the_other_folds(tmp_path, rule, value):
    made = fit(read(tmp_path, texts(300, noise=0.1)), Options(tmp_path / "out", rule=rule, value=value), Words())
    task = made.tasks["toxicity"]
    assert (task.threshold.rule, task.threshold.value) == (rule, value)
    assert 0 < task.threshold.probability < 1
    assert task.figures["false_alarms"].value < 0.08
    assert task.figures["recall"].value > 0.4


def test_rows_that_stand_for_more_traffic_decide_the_threshold_and_nothing_else(tmp_path):
    rows = [row | {"id": str(number)} for number, row in enumerate(texts(300, noise=0.1))]
    plain = fit(read(tmp_path, rows), Options(tmp_path / "plain", value=0.02), Words()).tasks["toxicity"]
    alarms = {shown.id for shown in plain.false_alarms if shown.probability >= plain.threshold.probability}
    assert alarms
    for row in rows:
        row["threshold_weight"] = 50 if row["id"] in alarms else 1
    strict = fit(read(tmp_path, rows), Options(tmp_path / "strict", value=0.02), Words()).tasks["toxicity"]
    assert strict.threshold.probability > plain.threshold.probability
    assert (strict.calibration, strict.figures["auroc"]) == (plain.calibration, plain.figures["auroc"])


def test_twenty_percent_of_wrong_labels_are_told_and_most_are_among_the_suspects(tmp_path):
    rows = texts(600, noise=0.2)
    made = fit(read(tmp_path, rows), Options(tmp_path / "out"), Words())
    planted = {row["id"] for row in rows if row["planted"]}
    task = made.tasks["toxicity"]
    found = [one.id for one in task.suspects]
    caught = sum(one in planted for one in found)
    assert caught > 0.7 * len(planted)
    assert caught > 0.9 * len(found)
    assert task.suspected == len(found)
    assert any("are probably wrong; look at the suspects first" in note.text for note in made.notes if note.warning)


def test_labels_that_mean_nothing_are_told(tmp_path):
    generator = np.random.default_rng(0)
    rows = [row | {"toxicity": bool(generator.random() < 0.5)} for row in texts()]
    made = fit(read(tmp_path, rows), Options(tmp_path / "out"), Words())
    assert any("may be no better than chance" in note.text for note in made.notes)


def test_copies_under_other_groups_never_help_a_held_out_row(tmp_path):
    generator = np.random.default_rng(0)
    rows = [row | {"toxicity": bool(generator.random() < 0.5)} for row in texts(80)]
    rows += [row | {"text": f"{row['text']} please"} for row in rows]
    rows = [row | {"row": n} for n, row in enumerate(rows)]
    made = fit(read(tmp_path, rows, field="row"), Options(tmp_path / "out"), Words())
    # Random labels of pairs of copies: were copies on both sides, the figure would be far above one half.
    assert made.tasks["toxicity"].figures["auroc"].value < 0.65
    assert made.groups == 80
    assert any(note.text.startswith("Every row has a 'row' of its own, yet texts repeat") for note in made.notes)


def test_an_interrupted_fit_goes_on_and_gives_what_it_would_have_given(tmp_path):
    labelled = read(tmp_path, texts(noise=0.1))
    out, first = tmp_path / "out", Words(fail_at=4)
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(out), first)
    assert kept.finished(out / "state") == 3
    second = Words()
    fit(labelled, Options(out), second)
    assert len(second.calls) == 3
    assert second.calls[0][2] == first.calls[3][2], "checkpoints of the fold that was interrupted are still there"
    whole = fit(labelled, Options(tmp_path / "whole"), Words())
    assert adapter.read(out / "toxicity.safetensors").revision == whole.revision
    assert files(out) == files(tmp_path / "whole")


def test_a_damaged_fold_is_trained_again(tmp_path):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(out), Words(fail_at=4))
    (out / "state" / "fold-1.npy").write_bytes(b"\x93NUMPY")
    trainer = Words()
    fit(labelled, Options(out), trainer)
    assert len(trainer.calls) == 4


@pytest.mark.parametrize(
    ("change", "told"), [({"seed": 1}, "other seed"), ({"folds": 4}, "other folds"), ({}, "other rows")]
)
def test_the_state_of_another_fit_is_refused_or_replaced(tmp_path, change, told):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fit(read(tmp_path, texts()), Options(out), Words(fail_at=3))
    labelled, options = read(tmp_path, texts(seed=1 if change else 2)), Options(out)._replace(**change)
    with pytest.raises(InputError, match=rf"holds an unfinished fit with {told}; .*--restart"):
        fit(labelled, options, Words())
    trainer = Words()
    fit(labelled, options._replace(restart=True), trainer)
    assert len(trainer.calls) == options.folds + 1


def test_a_folder_of_something_else_is_never_removed(tmp_path):
    own = tmp_path / "out" / "state" / "mine.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    for restart in (False, True):
        with pytest.raises(InputError, match="has files of something else than a fit"):
            fit(read(tmp_path, texts()), Options(tmp_path / "out", restart=restart), Words())
    assert own.read_text() == "mine"


def test_another_rule_goes_on_with_what_is_trained(tmp_path):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(out), Words(fail_at=6))
    trainer = Words()
    fit(labelled, Options(out, rule="cost", value=3.0), trainer)
    assert len(trainer.calls) == 1


@pytest.mark.parametrize("name", ["fit.json", "fold-2.npy", "toxicity.safetensors", "report.json", "report.html"])
def test_a_full_disk_ends_with_one_message_and_no_half_file(tmp_path, monkeypatch, name):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    written = Path.write_bytes

    def full(path, content):
        if path.name == f".{name}.part":
            written(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return written(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        InputError, match=r"Cannot write .*No space left on device.* run the same command again"
    ) as told:
        fit(labelled, Options(out), Words())
    assert ("finished folds are kept" in str(told.value)) == (name != "fit.json")
    assert not [path for path in files(out) if path.endswith((".part", name))]
    monkeypatch.undo()
    trainer = Words()
    fit(labelled, Options(out), trainer)
    assert files(out) == ["report.html", "report.json", "toxicity.safetensors"]
    assert len(trainer.calls) == {"fit.json": 6, "fold-2.npy": 4}.get(name, 1)


def test_a_full_disk_in_training_and_a_folder_that_is_a_file_are_told(tmp_path):
    labelled = read(tmp_path, texts())
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint.pt")
    with pytest.raises(InputError, match=r"Cannot write checkpoint.pt: No space .*; 2 finished folds are kept"):
        fit(labelled, Options(tmp_path / "out"), Words(fail_at=3, error=error))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Cannot write .*file"):
        fit(labelled, Options(tmp_path / "file"), Words())
    with pytest.raises(InputError, match="Expected 2 folds or more, but got 1"):
        fit(labelled, Options(tmp_path / "out", folds=1), Words())


def test_logits_that_are_no_numbers_are_told(tmp_path):
    class Broken(Words):
        def train(self, *given):
            made = super().train(*given)
            made.weights[:] = np.nan
            return made

    with pytest.raises(EngineError, match="training of fold 1 ended with logits that are no numbers"):
        fit(read(tmp_path, texts()), Options(tmp_path / "out"), Broken())


def test_the_page_shows_everything_and_obeys_no_text(tmp_path):
    rows = texts(300, noise=0.15)
    for number, row in enumerate(rows):
        row["text"] += f" <script>alert({number})</script>" + " word" * (200 if number % 7 == 0 else 0)
        row |= {"source": "<b>chats", "licence": "CC BY 4.0", "segments": {"plan": "<i>free"}}
    out = tmp_path / "out"
    fit(read(tmp_path, rows), Options(out), Words())
    shown = (out / "report.html").read_text()
    assert "<script" not in shown
    assert "<b>chats" not in shown
    assert "<i>free" not in shown
    assert "http" not in shown.replace("http-equiv", "")
    assert shown.count("<svg") == 3
    for said in (
        "AUROC",
        "calibration error",
        "CC BY 4.0",
        "By plan",
        "By source",
        "probably wrong",
        "scorers:",
        "0.05",
    ):
        assert said in shown
    numbers = json.loads((out / "report.json").read_text())
    shown = numbers["tasks"]["toxicity"]["suspects"]
    assert max(len(one["text"]) for one in shown) <= 500
    assert len((out / "report.html").read_bytes()) < 400_000

"""A whole fit with a trainer of milliseconds: figures, what is kept, what stops it, and its report."""

import errno
import html
import json
import os
import zlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from evalsvc.detection import adapter
from evalsvc.errors import EngineError, InputError
from evalsvc.fitting import kept, running
from evalsvc.fitting.deciding import apart
from evalsvc.fitting.labelled import read_labelled
from evalsvc.fitting.report import page
from evalsvc.fitting.results import Held, Shown, _centred
from evalsvc.fitting.running import fit
from evalsvc.fitting.values import Options, Row, tasks_of
from tests.fitting_data import BAD, Learnt, Words, pairs, texts, write


def read(tmp_path, rows, tasks="toxicity", field="group"):
    return read_labelled([write(tmp_path / "rows.jsonl", rows)], tasks_of(tasks), field)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_fit_gives_a_detector_and_its_report(tmp_path):
    rows = [row | {"source": "chats", "licence": "MIT", "segments": {"plan": "free"}} for row in texts()]
    out, trainer, steps = tmp_path / "fitted", Words(), []
    made = fit(read(tmp_path, rows), Options(out), trainer, lambda *step: steps.append(step))
    assert files(out) == ["toxicity.report.html", "toxicity.report.json", "toxicity.safetensors"]
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
    assert steps[-1][0] == steps[-1][1]
    last = next(done for done, _, note in steps if note.startswith("final"))
    assert (steps[-1][0] - last) / steps[-1][1] == pytest.approx(0.2, abs=0.02)
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    numbers = json.loads((out / "toxicity.report.json").read_text())
    assert numbers["tasks"]["toxicity"]["figures"]["auroc"]["value"] == task.figures["auroc"].value


def test_the_file_says_by_which_format_it_was_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(adapter, "FORMAT", 7)
    made = fit(read(tmp_path, texts()), Options(tmp_path / "out"), Words())
    assert adapter.read(Path(made.detector)).card.format == 7


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


def test_a_share_held_out_measures_the_very_detector_that_is_written(tmp_path):
    rows = [row | {"topic": n // 3} for n, row in enumerate(texts(360, noise=0.1))]
    trainer, steps = Words(), []
    options = Options(tmp_path / "out", hold_out=0.25)
    made = fit(read(tmp_path, rows, field="topic"), options, trainer, lambda *step: steps.append(step))
    ((learnt, watched, _),) = trainer.calls
    apart = {row.group for row in learnt}, {row.group for row in watched}
    held = {f":{n}" for n in range(120)} - apart[0] - apart[1]
    assert not apart[0] & apart[1]
    assert len(apart[1]) >= 8
    assert len(held) == 30
    task = made.tasks["toxicity"]
    assert (made.folds, made.rows, made.groups) == (0, 360, 120)
    assert (task.rows, task.groups, task.final) == (90, 30, None)
    weights = adapter.read(Path(made.detector)).tensors["head.words.weight"].double().numpy()
    chosen = [row for row in read(tmp_path, rows, field="topic").rows if row.group in held]
    ours = Learnt(weights).logits(chosen)[:, 0]
    found = np.array([row.found[0] for row in chosen])
    by_hand = (ours[found][:, None] > ours[~found]).mean()
    assert task.figures["auroc"].value == pytest.approx(by_hand, abs=0.02)
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    assert steps[-1][0] == steps[-1][1]
    assert "held out from this very detector" in page(made)


@pytest.mark.parametrize(
    ("size", "share", "message"),
    [
        (120, 0.2, "Of the rows held out 24 are labelled for toxicity, 8 of them .* hold out more, or give --folds"),
        (120, 0.6, "Expected a share of at most 0.5 to hold out, such as 0.2, but got 0.6"),
    ],
)
def test_too_few_rows_held_out_are_refused(tmp_path, size, share, message):
    trainer = Words()
    with pytest.raises(InputError, match=message):
        fit(read(tmp_path, texts(size)), Options(tmp_path / "out", hold_out=share), trainer)
    assert not trainer.calls


def test_a_fit_that_holds_out_goes_on_and_starts_from_another(tmp_path):
    labelled = read(tmp_path, texts(300))
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(tmp_path / "out", hold_out=0.25), Words(fail_at=1))
    with pytest.raises(InputError, match="an unfinished fit with other folds"):
        fit(labelled, Options(tmp_path / "out"), Words())
    first = fit(labelled, Options(tmp_path / "out", hold_out=0.25), Words())
    rows, trainer = [*texts(300), *texts(300, seed=2)], Words()
    made = fit(read(tmp_path, rows), Options(tmp_path / "b", hold_out=0.25, before=Path(first.detector)), trainer)
    assert made.tasks["toxicity"].rows == 75
    old = {row["text"] for row in rows[:300]}
    ((learnt, watched, _),) = trainer.calls
    assert old <= {row.text for row in learnt}
    assert not old & {row.text for row in watched}


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
    versions.append(fit(read(tmp_path, texts(seed=2)), Options(tmp_path / "next", before=before), Words()).version)
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
    assert any("; look at them before you correct any" in note.text for note in made.notes if note.warning)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 2.0, 3.5, 6.0])
@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_labels_are_doubted_by_a_detector_alone_whose_doubts_are_worth_a_look(tmp_path, strength, noise):
    """The strength is by how many standard deviations logits of rows that truly have it are higher."""

    class Guesses(Words):
        def train(self, *given):
            made = Learnt(np.zeros((1, 1)))
            made.logits = lambda rows: np.array([[logit(row.text)] for row in rows])
            return made

    def logit(text):
        normal = np.random.default_rng(zlib.crc32(text.encode())).normal()
        return strength * any(word in text for word in BAD) + normal

    rows = texts(400, noise=noise)
    task = fit(read(tmp_path, rows), Options(tmp_path / "out"), Guesses()).tasks["toxicity"]
    planted = {row["id"] for row in rows if row["planted"]}
    found = [one.id for one in task.suspects]
    assert task.doubts_labels == bool(found) == (strength > 3.0)
    assert sum(one in planted for one in found) >= 0.5 * len(found)


def test_folds_whose_logits_differ_are_no_two_heaps():
    generator, folds = np.random.default_rng(0), np.arange(400) % 2
    rows = [Row(id="", place="", group="", text="a", found=(True,))] * 400
    labels = generator.random(400) < 0.4
    logits, groups = generator.normal(size=400) + 1.2 * labels + 30.0 * folds, np.arange(400)
    held = Held(rows, logits, labels, groups, folds, groups)
    assert apart(held.logits) > 0.9
    assert apart(_centred(held)) < 0.72


def test_false_alarms_beyond_what_was_asked_are_a_warning(tmp_path):
    """Each fold's groups are another shop, whose logits are all higher: no other fold's threshold is right for it."""

    class Shifted(Words):
        def train(self, *given):
            made = super().train(*given)
            known, shift = made.logits, 30.0 * len(self.calls)
            made.logits = lambda rows: known(rows) + shift
            return made

    labelled = read(tmp_path, texts())
    made = fit(labelled, Options(tmp_path / "out", folds=2), Shifted())
    assert made.tasks["toxicity"].figures["false_alarms"].low > 0.05
    said = [note.text for note in made.notes if note.warning and "you asked for at most 5 % false alarms" in note.text]
    assert len(said) == 1
    assert " to " in said[0]
    assert (
        "label more groups, or ask for more --folds or a greater --hold-out, before you rely on this threshold"
        in said[0]
    )
    assert said[0] in html.unescape(page(made))
    made = fit(labelled, Options(tmp_path / "out"), Words())
    assert not any("you asked for" in note.text for note in made.notes)


def test_rows_that_the_start_has_seen_are_learnt_from_and_measure_nothing(tmp_path):
    old, new = texts(60, seed=1), texts(90, seed=2)
    before = Path(fit(read(tmp_path, old), Options(tmp_path / "first"), Words()).detector)
    rows = [row | {"text": f"  {row['text'].upper()}"} for row in old] + new
    trainer, labelled = Words(), read(tmp_path, [row | {"source": f"s{n < 60}"} for n, row in enumerate(rows)])
    made = fit(labelled, Options(tmp_path / "next", before=before), trainer)
    known = {row.place for row in labelled.rows[:60]}
    assert len(known) == 60
    for learnt, watched, _ in trainer.calls:
        assert known <= {row.place for row in learnt}
        assert not known & {row.place for row in watched}
    task = made.tasks["toxicity"]
    assert (task.rows, made.rows, task.found) == (90, 150, 30)
    assert {source.name: source.rows for source in task.sources} == {"sTrue": 60, "sFalse": 90}
    assert any(note.text.startswith("60 of 150 rows are of groups that ") for note in made.notes)
    card = adapter.read(Path(made.detector)).card
    assert card.tasks["toxicity"].threshold == task.threshold


def test_the_start_is_measured_on_the_same_rows_and_a_fit_that_is_no_better_is_told(tmp_path):
    old, labelled = read(tmp_path, texts(120, seed=1)), read(tmp_path, texts(90, seed=2))
    before = Path(fit(old, Options(tmp_path / "first"), Words()).detector)
    started = Words().train(old.rows, [], tmp_path, lambda done, of, note: None)
    made = fit(labelled, Options(tmp_path / "next", before=before), Words(before=started))
    found = made.tasks["toxicity"].start
    logits, labels = started.logits(labelled.rows)[:, 0], np.array([row.found[0] for row in labelled.rows])
    decided = adapter.read(before).card.tasks["toxicity"]
    flagged = adapter.calibrated(decided.calibration, logits) >= decided.threshold.probability
    assert found.figures["auroc"].value == pytest.approx(roc_auc_score(labels, logits))
    assert found.figures["recall"].value == pytest.approx(flagged[labels].mean())
    assert found.figures["false_alarms"].value == pytest.approx(flagged[~labels].mean())
    ours = made.tasks["toxicity"].figures["auroc"].value
    assert found.change.value == pytest.approx(ours - found.figures["auroc"].value)
    told = [note.text for note in made.notes if "it does not surely rank held-out rows better" in note.text]
    assert len(told) == (found.change.low <= 0)
    assert "what it started from, same rows" in page(made)
    assert fit(labelled, Options(tmp_path / "new"), Words()).tasks["toxicity"].start is None

    worse = Words(before=type(started)(-started.weights))
    better = fit(labelled, Options(tmp_path / "better", before=before), worse)
    assert better.tasks["toxicity"].start.change.low > 0
    assert not any("does not surely rank" in note.text for note in better.notes)


def test_a_group_is_known_by_any_of_its_texts_and_a_start_of_a_start_too(tmp_path):
    parts = [texts(60, seed=seed) for seed in (1, 2, 3)]
    first = fit(read(tmp_path, parts[0]), Options(tmp_path / "a"), Words())
    second = fit(read(tmp_path, parts[1]), Options(tmp_path / "b", before=Path(first.detector)), Words())
    rows = [*({**row, "topic": f"t{n}"} for n, row in enumerate(parts[2])), {**parts[0][0], "topic": "t7"}]
    labelled = read(tmp_path, rows, field="topic")
    third = fit(labelled, Options(tmp_path / "c", before=Path(second.detector)), Words())
    assert third.tasks["toxicity"].rows == 59
    assert not any(note.warning and "does not say which" in note.text for note in third.notes)


def test_contexts_that_the_start_has_seen_are_known_one_by_one(tmp_path):
    first = fit(read(tmp_path, pairs(), "faithfulness"), Options(tmp_path / "a"), Words())
    rows = pairs(seed=2)
    rows[0]["contexts"].append(pairs()[5]["contexts"][0])
    labelled = read(tmp_path, rows, "faithfulness")
    made = fit(labelled, Options(tmp_path / "b", before=Path(first.detector)), Words())
    assert made.tasks["faithfulness"].rows == 119


def test_too_few_rows_that_the_start_has_not_seen_are_refused_before_anything_is_trained(tmp_path):
    before = Path(fit(read(tmp_path, texts()), Options(tmp_path / "a"), Words()).detector)
    trainer = Words()
    for new, left in ((0, "0 others are labelled, 0 of them"), (30, "30 others are labelled, 10 of them")):
        labelled = read(tmp_path, [*texts(), *texts(new, seed=2)])
        with pytest.raises(InputError, match=left) as told:
            fit(labelled, Options(tmp_path / "b", before=before), trainer)
        assert "Add rows that are new to it, or fit without --from" in str(told.value)
    topics = [row | {"topic": min(n, 123)} for n, row in enumerate([*texts(), *texts(90, seed=2)])]
    with pytest.raises(InputError, match=r"new to it.* Of the others: All rows are in 4 groups"):
        fit(read(tmp_path, topics, field="topic"), Options(tmp_path / "b", before=before), trainer)
    assert not trainer.calls
    assert not (tmp_path / "b").exists()


def test_a_start_without_a_list_is_a_warning_that_stays(tmp_path):
    before = Path(fit(read(tmp_path, texts()), Options(tmp_path / "a"), Words()).detector)
    found = adapter.read(before)
    adapter.write(before, adapter.Adapter(found.card, found.tensors))
    assert adapter.read(before).seen is None
    second = fit(read(tmp_path, texts()), Options(tmp_path / "b", before=before), Words())
    third = fit(read(tmp_path, texts(seed=3)), Options(tmp_path / "c", before=Path(second.detector)), Words())
    for made in (second, third):
        assert sum("does not say which texts it was fitted to" in note.text for note in made.notes if note.warning) == 1


def test_what_was_seen_takes_little_room():
    adapter_of = adapter.Adapter(
        adapter.Card(reads="texts", version=1, trunk="", trunk_revision="", window=(1,), tasks={}, data="", seed=0), {}
    )
    numbers = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    listed = msgspec.structs.replace(adapter_of, seen=frozenset(numbers.tolist()))
    assert len(adapter.encoded(listed)) - len(adapter.encoded(adapter_of)) < 81_000


def test_where_the_weights_come_from_is_carried_along(tmp_path):
    def learnt(seed):
        rows = [row | {"source": f"s{seed}", "licence": f"CC-{seed}"} for row in pairs(seed=seed)]
        return read(tmp_path, rows, "faithfulness")

    class Making(Words):
        def train(self, rows, *given):
            found = super().train(rows, *given)
            found.made = rows[:7]
            return found

    before = None
    for seed in (1, 2, 3):
        made = fit(learnt(seed), Options(tmp_path / f"o{seed}", before=before), Making() if seed == 2 else Words())
        previous, before = before, Path(made.detector)
    card = adapter.read(before).card
    assert card.training == "words:1"
    assert card.before.revision == adapter.read(previous).revision
    assert [(one.name, one.licence, one.rows) for one in card.before.sources["faithfulness"]] == [
        ("s2", "CC-2", 120),
        ("made from the rows' contexts", "CC-2", 7),
        ("s1", "CC-1", 120),
    ]
    shown = html.unescape((tmp_path / "o3" / "faithfulness.report.html").read_text())
    for said in ("s1, by the detector that it started from", "CC-1", "made from the rows' contexts, by", "CC-2"):
        assert said in shown
    assert f"started from<td>the detector of SHA-256 {card.before.revision}" in shown
    assert (
        json.loads((tmp_path / "o3" / "faithfulness.report.json").read_text())["before"]["revision"]
        == card.before.revision
    )


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_a_last_training_that_ends_in_no_numbers_writes_nothing(tmp_path, value):
    class Broken(Words):
        def train(self, *given):
            made = super().train(*given)
            if len(self.calls) == 6:
                # A million is a number, but none in the 16 bits of the file.
                made.weights[3] = value
            return made

    out = tmp_path / "out"
    with pytest.raises(EngineError, match=r"last training, .* ended with weights .head.words.weight. that are no numb"):
        fit(read(tmp_path, texts()), Options(out), Broken())
    assert not (out / "toxicity.safetensors").exists()
    assert not (out / "toxicity.report.json").exists()


def test_the_last_training_is_measured_on_its_watched_rows(tmp_path):
    class Reversed(Words):
        def train(self, *given):
            made = super().train(*given)
            if len(self.calls) == 6:
                made.weights *= -1.0
            return made

    labelled, trainer = read(tmp_path, texts()), Words()
    made = fit(labelled, Options(tmp_path / "good"), trainer)
    final = made.tasks["toxicity"].final
    assert final.rows == len(trainer.calls[-1][1]) >= 10
    assert final.auroc > 0.9
    assert "The detector that was written: AUROC" in (tmp_path / "good" / "toxicity.report.html").read_text()
    assert not any("detector that was written" in note.text for note in made.notes)
    made = fit(labelled, Options(tmp_path / "bad"), Reversed())
    assert made.tasks["toxicity"].final.auroc < 0.1
    (told,) = [note for note in made.notes if "the detector that was written tells its" in note.text]
    assert told.warning
    assert "Its training may have gone wrong; try another --seed" in told.text


def test_a_few_watched_rows_with_wrong_labels_are_no_warning(tmp_path):
    # 15 watched rows have 0.36 where the folds have 0.66 of them: chance, with one label in five wrong.
    made = fit(read(tmp_path, texts(150, seed=0, noise=0.2)), Options(tmp_path / "out"), Words())
    task = made.tasks["toxicity"]
    assert task.final.auroc < task.final.held_out < task.figures["auroc"].value
    assert not any("the detector that was written tells" in note.text for note in made.notes)


@pytest.mark.parametrize("name", ["toxicity.report.html", "toxicity.safetensors"])
def test_a_fit_that_is_lost_at_its_very_end_keeps_its_version(tmp_path, monkeypatch, name):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    fit(labelled, Options(out), Words())
    written = running.write_whole

    def lost(path, content):
        written(path, content)
        if path.name == name:
            raise KeyboardInterrupt

    monkeypatch.setattr(running, "write_whole", lost)
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(out), Words())
    monkeypatch.undo()
    assert adapter.read(out / "toxicity.safetensors").card.version == (2 if name.endswith("safetensors") else 1)
    assert fit(labelled, Options(out), Words()).version == 2


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
    assert kept.finished(out / "toxicity.state") == 3
    second = Words()
    fit(labelled, Options(out), second)
    assert len(second.calls) == 3
    assert second.calls[0][2] == first.calls[3][2], "checkpoints of the fold that was interrupted are still there"
    whole = fit(labelled, Options(tmp_path / "whole"), Words())
    assert adapter.read(out / "toxicity.safetensors").revision == whole.revision
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", bytes(320)])
def test_a_damaged_fold_is_trained_again(tmp_path, content):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(out), Words(fail_at=4))
    (out / "toxicity.state" / "fold-1.npy").write_bytes(content)
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
    own = tmp_path / "out" / "toxicity.state" / "mine.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    for restart in (False, True):
        with pytest.raises(InputError, match="has files of something else than a fit"):
            fit(read(tmp_path, texts()), Options(tmp_path / "out", restart=restart), Words())
    assert own.read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"{half"])
def test_a_damaged_state_is_told_and_replaced(tmp_path, content):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(out), Words(fail_at=3))
    (out / "toxicity.state" / "fit.json").write_bytes(content)
    with pytest.raises(InputError, match=r"state holds an unfinished fit whose fit.json is damaged; .*--restart"):
        fit(labelled, Options(out), Words())
    assert fit(labelled, Options(out, restart=True), Words()).version == 1


def test_another_rule_goes_on_with_what_is_trained(tmp_path):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fit(labelled, Options(out), Words(fail_at=6))
    trainer = Words()
    fit(labelled, Options(out, rule="cost", value=3.0), trainer)
    assert len(trainer.calls) == 1


@pytest.mark.parametrize(
    "name", ["fit.json", "fold-2.npy", "toxicity.safetensors", "toxicity.report.json", "toxicity.report.html"]
)
def test_a_full_disk_ends_with_one_message_and_no_half_file(tmp_path, monkeypatch, name):
    labelled, out = read(tmp_path, texts()), tmp_path / "out"
    written = Path.write_bytes

    def full(path, content):
        if path.name.startswith(f".{name}."):
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
    assert files(out) == ["toxicity.report.html", "toxicity.report.json", "toxicity.safetensors"]
    assert len(trainer.calls) == {"fit.json": 6, "fold-2.npy": 4}.get(name, 1)


def test_a_full_disk_in_training_and_a_folder_that_is_a_file_are_told(tmp_path):
    labelled = read(tmp_path, texts())
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoint.pt")
    with pytest.raises(InputError, match=r"Cannot write checkpoint.pt: No space .*; 2 finished folds are kept"):
        fit(labelled, Options(tmp_path / "out"), Words(fail_at=3, error=error))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file; give a folder by --out"):
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
    rows = texts(300, noise=0.05)
    for number, row in enumerate(rows):
        row["text"] += f" <script>alert({number})</script>" + " " + "w" * (1000 if number % 7 == 0 else 0)
        row |= {"source": "<b>chats", "licence": "CC BY 4.0", "segments": {"plan": "<i>free"}}
    out = tmp_path / "out"
    fit(read(tmp_path, rows), Options(out), Words())
    shown = (out / "toxicity.report.html").read_text()
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
        "disagrees with",
        "scorers:",
        "0.05",
    ):
        assert said in shown
    numbers = json.loads((out / "toxicity.report.json").read_text())
    shown = numbers["tasks"]["toxicity"]["suspects"]
    assert max(len(one["text"]) for one in shown) <= 500
    assert len((out / "toxicity.report.html").read_bytes()) < 400_000


def test_lines_stay_lines_where_they_are_to_be_copied_or_read(tmp_path):
    rows = [row | {"contexts": [f"{row['contexts'][0]}\r\nSecond\tline.\x1b[2J", "Third."]} for row in pairs()]
    made = fit(read(tmp_path, rows, "faithfulness"), Options(tmp_path / "out"), Words())
    shown = page(made)
    copied = html.unescape(shown.partition("<pre>")[2].partition("</pre>")[0])
    assert yaml.safe_load(copied) == {"scorers": [{"name": "faithfulness", "options": {"detector": made.detector}}]}
    assert "folder in which evalsvc is started" in shown
    made = msgspec.structs.replace(made, tasks={"faithfulness": _with_a_miss(made.tasks["faithfulness"])})
    assert "One.\nSecond\tline.\\x1b[2J\\u202e" in page(made)


def _with_a_miss(task):
    miss = Shown("a", "rows:1", "found", 0.1, "One.\r\nSecond\tline.\x1b[2J\u202e", "Context.")
    return msgspec.structs.replace(task, misses=[miss])


def test_fits_of_two_detectors_share_a_folder(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        fit(read(tmp_path, texts()), Options(out), Words(fail_at=3))
    fit(read(tmp_path, pairs(), "faithfulness"), Options(out), Words())
    trainer = Words()
    fit(read(tmp_path, texts()), Options(out), trainer)
    assert len(trainer.calls) == 4
    names = ("faithfulness", "toxicity")
    assert files(out) == [f"{name}.{end}" for name in names for end in ("report.html", "report.json", "safetensors")]
    assert "faithfulness" in json.loads((out / "faithfulness.report.json").read_text())["tasks"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("/proc/evalsvc", r"Cannot make the folder /proc/evalsvc: .*; give another --out"),
        ("file", "file is a file; give a folder by --out"),
        ("file/below", "file is a file; give a folder by --out"),
    ],
)
def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch, out, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=message):
        fit(read(tmp_path, texts()), Options(Path(out)), Words())

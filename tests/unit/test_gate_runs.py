"""Suites are run: what is asked and kept, what is refused before anything is asked, and verdicts decided again."""

from __future__ import annotations

import gzip
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evalsvc import scorers
from evalsvc.cases import ToolCall
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate import baselines
from evalsvc.gate.evaluated import Missing
from evalsvc.gate.evaluating import Version, evaluate
from evalsvc.gate.keeping import RunKeeper, decide_again
from evalsvc.gate.reading import load_suite
from evalsvc.gate.record import decode_record, digest_of_record, encode_record, read_content, write_record
from evalsvc.gate.running import Run, run_suite, sampled
from evalsvc.gate.suite import Suite
from evalsvc.generation import Answer, Request
from evalsvc.generation.limits import RunBudget
from evalsvc.types import Failed, Scale, ScorerSpec
from evalsvc.verdicts import Verdict
from suites_made import CountingModel, write_project

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(suite: Suite, model: CountingModel, cache: DiskCache | None = None, **options: object) -> Run:
    return run_suite(suite, cache or DiskCache.open(None), generator=model, now=NOW, **options)


def promoted(path: Path, wrong: float = 0.2, cache: DiskCache | None = None) -> Suite:
    """Make a version the baseline, and return the suite."""
    suite = load_suite(path)
    alone = msgspec.structs.replace(suite, gates=(), baseline="", looks=1)
    content = run(alone, CountingModel(wrong), cache).record
    baselines.promote(content, "first", suite.folder, "main", by="Ada", because="it is the first", now=NOW)
    return suite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_project(tmp_path)


@pytest.mark.parametrize(("wrong", "decision"), [(0.2, "PASS"), (0.5, "FAIL")])
def test_an_equal_version_passes_and_a_worse_one_fails(path: Path, wrong: float, decision: str) -> None:
    found = run(promoted(path), CountingModel(wrong, "2", seed=1))
    assert found.verdict.decision == decision
    assert (found.verdict.n_cases, found.verdict.candidate.answered, found.verdict.candidate.failed) == (120, 120, 0)
    assert found.verdict.candidate.cost_usd == pytest.approx(0.12)
    assert found.verdict.verdict_id.startswith("20260301T120000Z-")
    assert [one.name for one in found.verdict.slices if one.metric == "token_f1"] != []


def test_a_second_run_asks_and_scores_nothing_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, suite = DiskCache.open(None), promoted(path)
    first = CountingModel(0.2, "2", seed=1)
    one = run(suite, first, cache)
    again = CountingModel(0.2, "2", seed=1)
    monkeypatch.setattr("evalsvc.scoring.score_all", lambda *_: pytest.fail("it was scored again"))
    two = run(suite, again, cache)
    assert (len(first.asked), again.asked, again.loaded) == (120, [], 0)
    assert two.verdict == one.verdict
    assert two.record == one.record


def test_another_version_case_or_seed_is_asked_anew(path: Path) -> None:
    cache, suite = DiskCache.open(None), promoted(path)
    run(suite, CountingModel(0.2, "2"), cache)
    other = CountingModel(0.2, "3")
    run(suite, other, cache)
    assert len(other.asked) == 120
    lines = (path.parent / "cases.jsonl").read_text().splitlines()
    changed = json.loads(lines[7]) | {"reference": "a b c d"}
    (path.parent / "cases.jsonl").write_text("\n".join([*lines[:7], json.dumps(changed), *lines[8:]]) + "\n")
    same = CountingModel(0.2, "2")
    found = run(load_suite(path), same, cache)
    assert same.asked == [("c7", 0)]
    assert (
        "1 of 120 cases is not in the baseline, or was changed since: it is not compared; promote a run that has it"
        in found.verdict.notes[0]
    )
    path.write_text(path.read_text().replace("seed: 3", "seed: 4"))
    seeded = CountingModel(0.2, "2")
    run(load_suite(path), seeded, cache)
    assert len(seeded.asked) == 120


def rewritten(path: Path, change: slice, suffix: str) -> None:
    """Rewrite a part of the cases, which have no name of their own any more."""
    lines = [json.loads(line) for line in (path.parent / "cases.jsonl").read_text().splitlines()]
    for line in lines[change]:
        line["prompt"] += suffix
    text = "".join(json.dumps({key: line[key] for key in line if key != "case_id"}) + "\n" for line in lines)
    (path.parent / "cases.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("extra", "options"), [("", {}), ("", {"sample": 80}), ("looks: 2\n", {})], ids=["whole", "sample", "looks"]
)
def test_rewritten_cases_hide_no_loss_and_an_unasked_part_is_none(tmp_path: Path, extra: str, options: dict) -> None:
    gates = "  - {metric: token_f1, not_worse_by: 0.2}\n"
    path = write_project(tmp_path, 240 if extra else 120, extra=extra, gates=gates)
    rewritten(path, slice(0), "")
    promoted(path)
    cache = DiskCache.open(None)
    same = run(load_suite(path), CountingModel(0.2, "2"), cache, **options)
    assert (same.verdict.decision, [note for note in same.verdict.notes if "any more" in note]) == ("PASS", [])
    rewritten(path, slice(40), " now")
    found = run(load_suite(path), CountingModel(0.2, "2"), cache, **options)
    assert found.verdict.decision == "INCONCLUSIVE"
    (finding,) = found.verdict.gates[0].findings
    assert "were changed or replaced since the baseline" in finding.reason
    total = 240 if extra else 120
    (note,) = [note for note in found.verdict.notes if "any more" in note]
    assert note.startswith(f"40 of the baseline's {total} cases are not in the set any more")
    for one in (same, found):
        again = decide_again(one.verdict, one.record, one.baseline.content)
        assert again.differs == ()


def test_cases_that_were_left_out_are_told_of(path: Path) -> None:
    suite = promoted(path)
    lines = (path.parent / "cases.jsonl").read_text().splitlines(keepends=True)
    (path.parent / "cases.jsonl").write_text("".join(lines[1:]))
    found = run(load_suite(suite.path), CountingModel(0.2, "2", seed=1))
    assert found.verdict.decision == "PASS"
    assert found.verdict.notes == (
        "1 of the baseline's 120 cases is not in the set any more: what this version makes of it is not seen",
    )


def test_what_is_wrong_with_the_baseline_is_told_before_anything_is_asked(path: Path) -> None:
    model, suite = CountingModel(), load_suite(path)
    with pytest.raises(ConfigError, match="none yet; make one of a run of this suite: evalsvc baseline promote"):
        run(suite, model)
    suite = promoted(path)
    pointer = baselines.read_pointer(baselines.pointer_path(suite.folder, "main"))
    file = suite.folder / "baselines" / pointer.file
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"parcel", b"parsel", 1))
    with pytest.raises(ConfigError, match="it was changed afterwards"):
        run(suite, model)
    file.unlink()
    with pytest.raises(
        ConfigError, match=r"it is not there: restore it from git.*evalsvc baseline promote .* --because"
    ):
        run(suite, model)
    file.write_bytes(whole)
    assert model.asked == []
    run(suite, model)


def test_a_baseline_of_other_scorers_is_refused_with_the_command_that_mends_it(path: Path) -> None:
    suite = promoted(path)
    held = baselines.read_baseline(suite.folder, "main", "made.suite.yaml")
    spec = scorers.create("token_f1").spec
    for other, told in (
        (msgspec.structs.replace(spec, version=spec.version + 1), f"token_f1 was version {spec.version}"),
        (msgspec.structs.replace(spec, signature="stem:yes"), "and is version 1 (stem:yes)"),
        (msgspec.structs.replace(spec, metric="rouge_l"), "it has no rouge_l"),
    ):
        with pytest.raises(ConfigError, match=r"evalsvc baseline rescore made\.suite\.yaml --name main") as caught:
            baselines.check_scorers(held, {other.metric: other}, "made.suite.yaml")
        assert told in str(caught.value)
    baselines.check_scorers(held, {"token_f1": spec}, "made.suite.yaml")


def test_promoting_replaces_both_files_and_keeps_a_name_within_its_folder(path: Path) -> None:
    suite = promoted(path)
    folder = suite.folder / "baselines"
    before = baselines.read_pointer(folder / "main.yaml")
    content = run(suite, CountingModel(0.1, "2")).record
    baselines.promote(
        content, "run", suite.folder, "main", by="Ben: “B”", because="better: #2 'x'", verdict="v", now=NOW
    )
    after = baselines.read_pointer(folder / "main.yaml")
    assert (after.promoted_by, after.because, after.verdict) == ("Ben: “B”", "better: #2 'x'", "v")
    assert (after.digest, after.model_version) == (digest_of_record(content), "2")
    assert {file.name for file in folder.iterdir()} == {"main.yaml", after.file}
    assert before.file != after.file
    text = (folder / "main.yaml").read_text()
    for name in ("../../cases.jsonl", ".", "..", "a/b", "a\\\\b", ".hidden", "a\\u0000b"):
        (folder / "main.yaml").write_text(text.replace(after.file, name))
        with pytest.raises(ConfigError, match="expected `file` to be a name in this folder"):
            baselines.read_baseline(suite.folder, "main", "made.suite.yaml")
    (folder / "main.yaml").write_text(text.replace(after.file, ""))
    with pytest.raises(ConfigError, match="file"):
        baselines.read_baseline(suite.folder, "main", "made.suite.yaml")


def test_a_budget_that_is_used_up_decides_nothing_and_says_so(path: Path) -> None:
    model = CountingModel(0.2, "2")
    found = run(promoted(path), model, budget=RunBudget(usd=0.05))
    assert found.verdict.decision == "ERROR"
    assert ": the budget of $0.05 ended the run, with $0.0" in found.verdict.error
    assert {result.decision for result in found.verdict.gates} == {"INCONCLUSIVE"}
    assert len(model.asked) == 50
    assert "70 requests have no answer: budget of $0.05 used up (70)" in found.verdict.notes
    blocked = found.verdict.gates[0].findings[0].reason
    assert "70 of 120 cases have no token_f1 (no answer: budget of $0.05 used up: 70)" in blocked


def test_a_cost_that_the_answers_do_not_tell_names_what_to_return(path: Path) -> None:
    class Silent(CountingModel):
        def generate(self, request: Request) -> Answer:
            return msgspec.structs.replace(super().generate(request), cost_usd=None)

    path.write_text(path.read_text() + "  - {metric: cost_usd, at_most: 1}\n")
    found = run(promoted(path), Silent(0.2, "2"))
    assert found.verdict.gates[-1].decision == "INCONCLUSIVE"
    assert found.verdict.gates[-1].findings[0].reason == (
        "120 of 120 cases have no cost_usd (no cost_usd: 120); return `cost_usd` with each answer (an endpoint: give "
        "its `prices`), or leave the gate out"
    )


def test_a_case_that_expects_no_call_says_nothing_about_a_version(tmp_path: Path) -> None:
    class Calling(CountingModel):
        def generate(self, request: Request) -> Answer:
            return msgspec.structs.replace(super().generate(request), tool_calls=(ToolCall("track"),))

    path = write_project(tmp_path, 200, gates="  - {metric: tool_calls, at_least: 0.95}\n")
    path.write_text(path.read_text().replace("[token_f1,", "[tool_calls,").replace("baseline: main\n", ""))
    lines = [json.loads(line) for line in (path.parent / "cases.jsonl").read_text().splitlines()]
    held = [case | ({"expected_tools": [{"name": "track"}]} if place >= 8 else {}) for place, case in enumerate(lines)]
    (path.parent / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in held))
    found = run(load_suite(path), Calling(0.2, "2")).verdict.gates[0].findings[0]
    assert (found.decision, found.n, found.n_unscored) == ("PASS", 192, 8)


def test_a_sample_has_whole_groups_and_says_what_it_is(path: Path) -> None:
    suite = promoted(path)
    cases = sampled(suite.cases.read(), 31, 3)
    assert len(cases) == 32
    assert cases.digests == sampled(suite.cases.read(), 31, 3).digests
    assert cases.digests != sampled(suite.cases.read(), 31, 4).digests
    groups = [case.group for case in cases.cases]
    assert all(groups.count(group) == 2 for group in groups)
    model = CountingModel(0.2, "2")
    found = run(suite, model, sample=31)
    assert (len(model.asked), found.verdict.notes[0]) == (32, "a random part of 32 of the 120 cases was asked")
    with pytest.raises(InputError, match="at least 1 case"):
        sampled(suite.cases.read(), 0, 3)


@pytest.mark.parametrize("looks", [1, 4])
@pytest.mark.parametrize("wrong", [0.2, 0.6])
def test_a_kept_verdict_is_decided_again_to_the_last_digit(tmp_path: Path, looks: int, wrong: float) -> None:
    path = write_project(tmp_path, 300, extra=f"looks: {looks}\nrepeats: 2\n")
    suite = promoted(path)
    model = CountingModel(wrong, "2", seed=1)
    found = run(suite, model)
    keeper = RunKeeper(tmp_path)
    folder = keeper.keep(found.verdict, {"summary.md": "x"}, found.record, found.baseline.content)
    assert (folder / "summary.md").read_text() == "x"
    assert msgspec.json.decode((folder / "verdict.json").read_bytes(), type=Verdict) == found.verdict
    again = keeper.again(keeper.find(found.verdict.verdict_id[:20]))
    assert again.same
    assert again.results == found.verdict.gates
    assert keeper.latest("made") == found.verdict
    if looks > 1 and wrong > 0.5:
        # Clear long before the end, critical cases all asked.
        assert found.verdict.stopped_at < 300
        assert len(model.asked) < 600
        assert {name for name, _ in model.asked} >= {f"c{place}" for place in range(0, 300, 10)}
        assert f"stopped after {found.verdict.stopped_at} of 300 cases" in " ".join(found.verdict.notes)


def test_a_record_that_was_changed_decides_nothing(path: Path, tmp_path: Path) -> None:
    found = run(promoted(path), CountingModel(0.2, "2"))
    keeper = RunKeeper(tmp_path)
    keeper.keep(found.verdict, {}, found.record, found.baseline.content)
    worse = found.record.replace(b'"token_f1":[0.', b'"token_f1":[0.0', 1)
    assert worse != found.record
    path = keeper.record_path(found.verdict.candidate.digest)
    write_record(path, worse)
    with pytest.raises(ConfigError, match=f"{path} .* was changed; remove it"):
        keeper.again(found.verdict)
    # Whoever changes a record and its name has another verdict.
    assert not decide_again(found.verdict, worse, found.baseline.content).same
    with pytest.raises(InputError, match="there is none"):
        keeper.find("20200101T000000Z-00000000")
    with pytest.raises(InputError, match="Expected the id of a verdict"):
        keeper.find("../../etc")


def test_a_damaged_record_is_written_again_by_the_next_run_that_has_it(path: Path, tmp_path: Path) -> None:
    found = run(promoted(path), CountingModel(0.2, "2"))
    keeper = RunKeeper(tmp_path)
    keeper.keep(found.verdict, {}, found.record)
    kept = keeper.record_path(found.verdict.candidate.digest)
    kept.write_bytes(kept.read_bytes()[:900])
    with pytest.raises(ConfigError, match=f"{kept}, but it cannot be read: .*; remove it"):
        keeper.record(found.verdict.candidate.digest)
    keeper.keep(found.verdict, {}, found.record)
    assert keeper.record(found.verdict.candidate.digest) == found.record
    written = kept.stat().st_ino
    keeper.keep(found.verdict, {}, found.record)
    assert kept.stat().st_ino == written
    kept.unlink()
    with pytest.raises(ConfigError, match=r"No such file or directory$"):
        keeper.record(found.verdict.candidate.digest)


def test_a_record_holds_every_score_to_the_last_bit(path: Path, tmp_path: Path) -> None:
    found = run(msgspec.structs.replace(promoted(path), repeats=3), CountingModel(0.2, "2"))
    old = found.candidate
    values = old.scores["token_f1"].values
    values[0, 1], values[1, 0] = 1 / 3, math.nan
    missing = {**old.scores["token_f1"].missing, (1, 0): Missing("failed", "it broke")}
    content = encode_record(
        msgspec.structs.replace(
            old, scores={**old.scores, "token_f1": old.scores["token_f1"]._replace(values=values, missing=missing)}
        ),
        "made",
        "d",
        3,
    )
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"):
        assert write_record(tmp_path / name, content) == digest_of_record(content)
        assert read_content(tmp_path / name) == content
    new = decode_record(content, "a").evaluated
    order = [new.digests.index(digest) for digest in old.digests]
    for metric, held in old.scores.items():
        back = new.scores[metric]
        assert np.array_equal(back.values[order], held.values if metric != "token_f1" else values, equal_nan=True)
        assert (back.spec.version, back.spec.signature, back.spec.scale) == (
            held.spec.version,
            held.spec.signature,
            held.spec.scale,
        )
    assert new.scores["bleu"].statistics is not None
    assert np.array_equal(new.scores["bleu"].statistics[order], old.scores["bleu"].statistics, equal_nan=True)
    assert new.scores["token_f1"].missing[order[1], 0].reason == "it broke"
    assert [new.answers[place] for place in order] == list(old.answers)
    assert encode_record(new, "made", "d", 3) == content


def test_a_record_that_is_none_says_what_it_is(path: Path, tmp_path: Path) -> None:
    content = run(promoted(path), CountingModel(0.2, "2")).record
    lines = content.splitlines(keepends=True)
    for wrong, told in (
        (b"", "line 1: expected a record"),
        (b"[]\n", "line 1: expected a record"),
        (b"".join(lines[:5]), "expected 120 cases, but it holds 4: it was cut off"),
        (lines[0] + b"{}\n", "line 2: expected a case with its scores"),
        (content.replace(b'"record":2', b'"record":9', 1), "format 2, but got 9"),
    ):
        with pytest.raises(ConfigError, match=told):
            decode_record(wrong, "x")
    (tmp_path / "half.gz").write_bytes(gzip.compress(content)[:-20])
    with pytest.raises(ConfigError, match="cannot be read"):
        read_content(tmp_path / "half.gz")


class Flaky:
    """A scorer that fails on some texts until it is mended, and counts what it scores."""

    def __init__(self) -> None:
        self.spec = ScorerSpec("flaky", 1, Scale(0.0, None, "higher"), signature="x")
        self.broken, self.scored, self.loaded = True, 0, 0

    def load(self) -> None:
        self.loaded += 1

    def cost(self, sample: object) -> int:
        return 1

    def score(self, batch):
        self.scored += len(batch)
        odd = [len(sample.event.response) % 2 == 1 for sample in batch]
        lengths = [float(len(sample.event.response)) for sample in batch]
        return [Failed("odd") if self.broken and one else length for one, length in zip(odd, lengths, strict=True)]


def scored(scorer: Flaky, answers: list[Answer], cache: DiskCache, path: Path):
    cases = load_suite(path).cases.read()
    count = len(answers)
    version = Version("made", "m", "1", "s")
    rows = [[answer] for answer in answers]
    return evaluate(cases.cases[:count], cases.digests[:count], rows, [scorer], version, cache).scores["flaky"]


def test_a_failed_score_is_tried_again_and_the_others_are_not(path: Path) -> None:
    cache, scorer = DiskCache.open(None), Flaky()
    answers = [Answer(response="x" * length) for length in (1, 2, 3, 4)]
    first = scored(scorer, answers, cache, path)
    assert first.reasons() == {"odd": 2}
    scorer.broken, scorer.scored = False, 0
    second = scored(scorer, answers, cache, path)
    assert (scorer.scored, second.values[:, 0].tolist()) == (2, [1.0, 2.0, 3.0, 4.0])
    scorer.scored = 0
    third = scored(scorer, answers, cache, path)
    assert (scorer.scored, third.values[:, 0].tolist()) == (0, [1.0, 2.0, 3.0, 4.0])


def test_whatever_decides_about_a_score_makes_another_one(path: Path) -> None:
    cache, scorer = DiskCache.open(None), Flaky()
    scorer.broken = False
    answers = [Answer(response="x" * length) for length in (1, 2)]
    scored(scorer, answers, cache, path)
    for change in ("version", "signature", "metric"):
        scorer.scored = 0
        value = {"version": 2, "signature": "y", "metric": "flaky"}[change]
        scorer.spec = msgspec.structs.replace(scorer.spec, **{change: value})
        scored(scorer, answers, cache, path)
        assert scorer.scored == (0 if change == "metric" else 2)
    scorer.scored = 0
    scored(scorer, [Answer(response="x"), Answer(response="xx", latency_ms=5.0)], cache, path)
    assert scorer.scored == 1


def test_an_answer_that_failed_is_missing_with_its_reason(path: Path) -> None:
    scorer = Flaky()
    found = scored(
        scorer, [Answer(status="failed", reason="HTTP 429"), Answer(response="xx")], DiskCache.open(None), path
    )
    assert found.reasons() == {"no answer: HTTP 429": 1}
    assert scorer.scored == 1


def test_a_verdict_is_there_whole_or_not_at_all(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(promoted(path), CountingModel(0.2, "2"))
    keeper, replaced = RunKeeper(tmp_path), Path.replace

    def killed(part: Path, target: Path) -> Path:
        if target.name == "verdict.json":
            assert part.read_bytes(), "it is written before it has its name"
            raise KeyboardInterrupt
        return replaced(part, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        keeper.keep(found.verdict, {"summary.md": "x"}, found.record)
    assert [file.name for file in keeper.folder(found.verdict).iterdir()] == ["summary.md"]
    assert keeper.latest("made") is None
    monkeypatch.undo()
    keeper.keep(found.verdict, {"summary.md": "x"}, found.record)
    assert keeper.latest("made") == found.verdict


def test_a_gate_s_direction_is_the_summary_s_where_the_metric_has_none(path: Path) -> None:
    gates = "  - {metric: refusal, direction: lower, at_most: 0.2}\n  - {metric: token_f1, at_least: 0.1}\n"
    text = path.read_text().split("gates:")[0].replace("[token_f1,", "[refusal, token_f1,")
    path.write_text(f"{text}gates:\n{gates}")
    suite = msgspec.structs.replace(load_suite(path), baseline="")
    found = {one.metric: one.better for one in run(suite, CountingModel()).verdict.metrics}
    assert (found["refusal"], found["token_f1"], found["latency_ms"]) == ("lower", "higher", "lower")


def test_a_sample_passes_no_gate_on_critical_cases_that_it_did_not_ask(path: Path, tmp_path: Path) -> None:
    gates = "  - {metric: token_f1, critical: true, at_least: 0.2}\n  - {metric: token_f1, at_least: 0.1}\n"
    path.write_text(path.read_text().split("gates:")[0].replace("baseline: main\n", "") + f"gates:\n{gates}")
    suite = load_suite(path)
    assert run(suite, CountingModel()).verdict.gates[0].decision == "PASS"
    found = run(suite, CountingModel(), sample=60)
    critical, other = found.verdict.gates
    (finding,) = critical.findings
    assert (critical.decision, finding.lacking, other.decision) == ("INCONCLUSIVE", True, "PASS")
    assert "of 12 critical cases were not asked; without `--sample` all of them are" in finding.reason
    assert found.verdict.decision == "INCONCLUSIVE"
    keeper = RunKeeper(tmp_path)
    keeper.keep(found.verdict, {}, found.record)
    assert keeper.again(found.verdict).same

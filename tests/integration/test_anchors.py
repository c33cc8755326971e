"""Anchors end to end: a stricter judge is told from a worse system, and live numbers do not know of anchors."""

import importlib
import json
import re
import sys
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from starlette.testclient import TestClient

from evalsvc import assemble, project
from evalsvc.anchor_query import PREFIX, shifts
from evalsvc.cli import main
from evalsvc.drift_query import DriftQuery, drifts
from evalsvc.errors import EngineError, StoreUnavailable
from evalsvc.pipeline.anchors import Anchors
from evalsvc.project import Environment
from evalsvc.protocols import CellQuery
from evalsvc.query import EstimateQuery, estimates
from evalsvc.scorer_notes import scorer_notes
from evalsvc.scoring import ScorerEntry
from evalsvc.sources.decode import encode
from evalsvc.store.memory import MemoryStore
from evalsvc.testing import ManualClock, MemoryLog, MemorySource
from evalsvc.types import Event, Scale, Score, ScorerSpec, Subject, Window, WriteBatch
from evalsvc.web.app import create_app

START = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
JUDGE = '''
import zlib
from evalsvc.types import Abstained, Scale, ScorerSpec

class Judge:
    """Reads a mark off the answer; `strict` takes a tenth off."""

    spec = ScorerSpec("helpful", 1, Scale(0.0, 1.0, "higher"), needs=("response",), signature="judge:fixed")
    strict = 0.0

    def load(self): ...

    def cost(self, sample):
        return 1

    def score(self, batch):
        return [self._one(s.event) for s in batch]

    def _one(self, event):
        if event.response == "?":
            return Abstained("cannot say")
        noise = (zlib.crc32(f"{event.response}{event.occurred_at:%Y%m%d}".encode()) % 1000 / 1000 - 0.5) * 0.04
        return min(1.0, max(0.0, float(event.response.split()[-1]) - self.strict + noise))
'''


def write_project(folder, cases=30, extra=""):
    (folder / "consumers").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[tool.evalsvc]\n")
    (folder / "anchored_judge.py").write_text(JUDGE)
    lines = [{"event_id": f"case-{n}", "response": f"it is {0.3 + 0.02 * n:.2f}"} for n in range(cases)]
    lines.append({"event_id": "odd", "response": "?"})
    (folder / "anchors").mkdir()
    (folder / "anchors" / "support.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "consumers" / "quality.yaml").write_text(
        "consumer: quality\nsource:\n  files: {paths: [events.jsonl]}\n"
        "scorers: ['anchored_judge:Judge', latency_ms]\n"
        f"limits: {{age_days: none}}\nanchors:\n  cases: anchors/support.jsonl\n  every: 24h\n{extra}"
    )


@pytest.fixture
def world(tmp_path, monkeypatch):
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "anchored_judge", raising=False)
    monkeypatch.delenv("EVALSVC_STORE", raising=False)
    return tmp_path


def live(day, mark, n=40):
    """A day's events, whose answers deserve ``mark`` on average."""
    for number in range(n):
        yield Event(
            event_id=f"{day:%d}-{number}",
            occurred_at=day + timedelta(minutes=30 * number),
            application="support",
            response=f"it is {mark + 0.1 * (number % 5 - 2):.2f}",
            latency_ms=100.0,
        )


def run_days(world, days, *, strict_from=99, worse_from=99):
    """Let workers live for so many days: each reads its day's events, and its clock says 21:00 of that day."""
    _, config = project.load_consumer(world / "consumers" / "quality.yaml")
    store, log = MemoryStore(), MemoryLog(["memory"])
    for day in range(days):
        moment = START + timedelta(days=day)
        judge_class().strict = 0.1 if day >= strict_from else 0.0
        for event in live(moment, 0.5 if day >= worse_from else 0.6):
            log.append(encode(event), timestamp=int(event.occurred_at.timestamp() * 1000))
        source, clock = MemorySource(log, finite=True), ManualClock(moment + timedelta(hours=21))
        assemble.build_worker(config, store, Environment.read({}), source=source, clock=clock).run()
    return store


def judge_class():
    return importlib.import_module("anchored_judge").Judge


BASELINE, CURRENT = Window(START, START + WEEK), Window(START + WEEK, START + 2 * WEEK)


def asked(store):
    (row,) = [row for row in drifts(store, DriftQuery(BASELINE, CURRENT)) if row.metric == "helpful"]
    return row


def test_a_stricter_judge_is_told_from_a_worse_system(world):
    row = asked(run_days(world, 14, strict_from=7))
    assert row.moved
    assert row.scorer.moved
    assert row.scorer.n == 30
    assert row.scorer.scorer == pytest.approx(-0.1, abs=0.01)
    assert row.scorer.live == pytest.approx(-0.1, abs=0.02)
    assert row.scorer.system_moved is False


def test_a_worse_system_is_told_from_a_stricter_judge(world):
    row = asked(run_days(world, 14, worse_from=7))
    assert row.moved
    assert row.scorer.moved is False
    assert row.scorer.system_moved
    assert row.scorer.system == pytest.approx(-0.1, abs=0.02)


def test_both_may_move(world):
    row = asked(run_days(world, 14, strict_from=7, worse_from=7))
    assert row.scorer.moved
    assert row.scorer.system_moved
    assert row.scorer.live == pytest.approx(row.scorer.scorer + row.scorer.system)


def test_live_numbers_do_not_know_of_anchors(world):
    store = run_days(world, 3, strict_from=2)
    window = Window(START, START + timedelta(days=3))
    (row,) = estimates(store, EstimateQuery("helpful", window, int(window.seconds)))
    assert row.estimate.n == 3 * 40
    assert not [spec for spec in store.metrics() if spec.metric.startswith(PREFIX)]
    assert {group.consumer for group in store.cells(CellQuery("helpful", window, 3600))} == {"quality"}
    assert sum(store.outcomes().values()) == 3 * 40


def anchors_of(world, store, clock):
    _, config = project.load_consumer(world / "consumers" / "quality.yaml")
    masker = assemble.build_masker(config, Environment.read({}))
    return assemble.build_anchors(config, store, masker, [ScorerEntry(judge_class()())], clock)


def held(store, days=2):
    span = Window(START, START + timedelta(days=days))
    groups = store.cells(CellQuery(f"{PREFIX}helpful", span, int(span.seconds)))
    return sum(cell.n for group in groups for cell in group.cells)


def test_every_is_kept_whoever_asks_and_however_often(world):
    store = run_days(world, 1)
    assert held(store) == 30
    clock = ManualClock(START + timedelta(hours=22))
    assert anchors_of(world, store, clock).tend() == 0
    clock.advance(3 * 3600)
    assert anchors_of(world, store, clock).tend() == 31
    assert anchors_of(world, store, clock).tend() == 0
    # Written again within the slot, a run is the same run.
    clock.advance(2 * 3600)
    anchors_of(world, store, clock).run()
    assert held(store) == 60


def test_a_scorer_that_fails_holds_nothing_up(world, caplog):
    store, clock = MemoryStore(), ManualClock(START)
    anchors = anchors_of(world, store, clock)

    def refuse(batch):
        raise EngineError("the judge does not answer")

    anchors.scorers[0].score = refuse
    assert anchors.tend() == 0
    assert "anchors_not_scored consumer=quality metric=helpful error=the judge does not answer" in caplog.text
    del anchors.scorers[0].score
    assert anchors.tend() == 0
    clock.advance(3600)
    assert anchors.tend() == 31


class Counting:
    """Counts how often it is called, and raises where it is broken."""

    def __init__(self, metric, broken=False):
        self.spec = ScorerSpec(metric, 1, Scale(0.0, 1.0, "higher"), needs=("response",))
        self.broken, self.calls = broken, 0

    def load(self): ...

    def cost(self, sample):
        return 1

    def score(self, batch):
        self.calls += 1
        if self.broken:
            raise EngineError("no answer")
        return [0.5] * len(batch)


class NoMask:
    def mask_event(self, event):
        return event


def small_anchors(store, clock, *scorers, consumer="quality", texts="abcde"):
    """Five cases, scored once a day."""
    store.record_scorers([scorer.spec for scorer in scorers])
    cases = [Event(event_id=f"c{n}", occurred_at=START, application="a", response=t) for n, t in enumerate(texts)]
    return Anchors(consumer, store, cases, [ScorerEntry(one) for one in scorers], NoMask(), timedelta(days=1), clock)


class StopsIn:
    """A source of one event, which asks its worker to stop when that was read."""

    def __init__(self, source):
        self.source, self.worker = source, None

    def __getattr__(self, name):
        return getattr(self.source, name)

    def poll(self, seconds):
        chunks = self.source.poll(seconds)
        if any(chunk.records for chunk in chunks):
            self.worker.stop()
        return chunks


class Unhurried(ManualClock):
    """Sleeping takes real time as well, so that ``drain_seconds`` last as long as the threads need."""

    def __init__(self, start):
        super().__init__(start + timedelta(hours=21))

    def sleep(self, seconds):
        time.sleep(seconds)
        super().sleep(seconds)


@pytest.mark.parametrize("stopped", [True, False])
def test_no_run_begins_once_a_worker_was_asked_to_stop(world, stopped):
    _, config = project.load_consumer(world / "consumers" / "quality.yaml")
    store, log = MemoryStore(), MemoryLog(["memory"])
    log.append(encode(next(live(START, 0.6))), timestamp=int(START.timestamp() * 1000))
    source = StopsIn(MemorySource(log, finite=True))
    worker = assemble.build_worker(config, store, Environment.read({}), source=source, clock=Unhurried(START))
    if stopped:
        # It leads only from then on, so that no run began earlier.
        source.worker, worker._leads = worker, lambda: worker._patience.stopping
    else:
        source.poll = source.source.poll
    assert worker.run().sampled == 1
    assert held(store) == (0 if stopped else 30)


def test_a_run_ends_between_two_batches_when_the_worker_is_asked_to_stop(world):
    _, config = project.load_consumer(world / "consumers" / "quality.yaml")
    store, log = MemoryStore(), MemoryLog(["memory"])
    log.append(encode(next(live(START, 0.6))), timestamp=int(START.timestamp() * 1000))
    clock = ManualClock(START + timedelta(hours=21))
    source = MemorySource(log, finite=True)
    worker = assemble.build_worker(config, store, Environment.read({}), source=source, clock=clock)
    anchored = []

    def tend(check):
        check()
        worker.stop()
        anchored.append("began")
        check()
        anchored.append("went on")

    worker.anchors.tend = tend
    worker.run()
    assert anchored == ["began"]


def cases_held(store, metric, days=2):
    span = Window(START - timedelta(days=1), START + timedelta(days=days))
    groups = store.cells(CellQuery(PREFIX + metric, span, int(span.seconds), by=("segments.case", "segments.digest")))
    return sum(cell.n for group in groups for cell in group.cells)


def test_two_runs_in_a_slot_are_one():
    store, clock, judge = MemoryStore(), ManualClock(START + timedelta(hours=10, minutes=5)), Counting("good")
    (score, *_) = small_anchors(store, clock, judge).run()
    assert score.subject.occurred_at == START
    clock.advance(3 * 3600)
    small_anchors(store, clock, judge).run()
    assert judge.calls == 2
    assert cases_held(store, "good") == 5
    clock.advance(11 * 3600)
    assert small_anchors(store, clock, judge).tend() == 5
    assert cases_held(store, "good") == 10


def test_edited_and_added_texts_are_lacking():
    store, clock, judge = MemoryStore(), ManualClock(START + timedelta(hours=10)), Counting("good")
    assert small_anchors(store, clock, judge).tend() == 5
    assert small_anchors(store, clock, judge).tend() == 0
    # As many cases as before, and one of them has another text.
    assert small_anchors(store, clock, judge, texts="abcdX").tend() == 5
    assert cases_held(store, "good") == 6
    assert small_anchors(store, clock, judge, texts="abcdX").tend() == 0
    assert small_anchors(store, clock, judge, texts="abcd").tend() == 0


@pytest.mark.parametrize("broken_first", [True, False])
def test_a_broken_scorer_costs_its_neighbour_nothing(broken_first, caplog):
    store, clock = MemoryStore(), ManualClock(START)
    good, broken = Counting("good"), Counting("broken", broken=True)
    anchors = small_anchors(store, clock, *([broken, good] if broken_first else [good, broken]))
    written = []
    for _ in range(3):
        written.append(anchors.tend())
        clock.advance(30)
    assert written == [5, 0, 0]
    assert (good.calls, broken.calls) == (1, 1)
    assert "metric=broken error=no answer" in caplog.text
    clock.advance(3600)
    anchors.tend()
    assert (good.calls, broken.calls) == (1, 2)
    clock.advance(24 * 3600)
    anchors.tend()
    assert (good.calls, broken.calls) == (2, 3)


def test_a_run_by_hand_keeps_what_was_scored_beside_a_broken_scorer():
    store, clock = MemoryStore(), ManualClock(START)
    good = Counting("good")
    with pytest.raises(EngineError, match="no answer"):
        small_anchors(store, clock, Counting("broken", broken=True), good).run()
    assert small_anchors(store, clock, good).tend() == 0


def test_scores_that_cannot_be_written_are_not_made_again_at_once():
    store, clock = MemoryStore(), ManualClock(START)
    first, second = Counting("first"), Counting("second")
    anchors = small_anchors(store, clock, first, second)

    def refuse(batch):
        raise StoreUnavailable("the disk is full")

    store.write = refuse
    assert anchors.tend() == 0
    assert (first.calls, second.calls) == (1, 0)
    del store.write
    assert anchors.tend() == 5
    assert (first.calls, second.calls) == (1, 1)


def test_a_changed_case_is_another_case(world):
    store, clock = MemoryStore(), ManualClock(START)
    anchors_of(world, store, clock).run()
    path = world / "anchors" / "support.jsonl"
    path.write_text(path.read_text().replace("it is 0.30", "it is 0.90"))
    clock.advance(WEEK.total_seconds())
    anchors_of(world, store, clock).run()
    (shift,) = shifts(store, "helpful", BASELINE, CURRENT).values()
    assert shift.n == 29
    path.write_text(path.read_text().replace("it is", "it was"))
    clock.advance(WEEK.total_seconds())
    anchors_of(world, store, clock).run()
    (shift,) = shifts(store, "helpful", CURRENT, Window(CURRENT.end, CURRENT.end + WEEK)).values()
    assert (shift.n, shift.moved) == (0, None)
    assert "were the anchors changed?" in shift.reason


def test_a_new_version_is_held_against_the_one_before(world):
    store, clock = MemoryStore(), ManualClock(START)
    anchors_of(world, store, clock).run()
    clock.advance(WEEK.total_seconds())
    anchors = anchors_of(world, store, clock)
    anchors.scorers[0].spec = msgspec.structs.replace(judge_class().spec, version=2)
    anchors.scorers[0].strict = 0.2
    anchors.run()
    (shift,) = shifts(store, "helpful", BASELINE, CURRENT).values()
    assert shift.versions == "v1 judge:fixed → v2 judge:fixed"
    assert shift.scorer == pytest.approx(-0.2, abs=0.01)


def two_consumers(*runs):
    """A store with these runs, each a consumer and the day of it."""
    store, judge = MemoryStore(), Counting("helpful")
    for consumer, day in runs:
        small_anchors(store, ManualClock(START + timedelta(days=day)), judge, consumer=consumer).run()
    return {identity[0]: shift for identity, shift in shifts(store, "helpful", BASELINE, CURRENT).items()}


def test_a_consumer_without_a_run_in_a_window_keeps_its_last_before():
    found = two_consumers(("a", 1), ("b", -3), ("a", 8), ("b", 9))
    assert {consumer: (shift.n, shift.moved, shift.reason) for consumer, shift in found.items()} == {
        "a": (5, False, ""),
        "b": (5, False, ""),
    }
    assert found["b"].before == START - timedelta(days=3)
    found = two_consumers(("a", 1), ("b", 1), ("a", 8))
    assert (found["a"].moved, found["a"].reason) == (False, "")
    assert found["b"].reason == "the anchors were not scored again since the baseline"


def test_a_consumer_with_runs_for_one_window_only_says_so():
    found = two_consumers(("a", 1), ("a", 8), ("b", 8))
    assert (found["a"].moved, found["b"].moved, found["b"].n) == (False, None, 0)
    assert found["b"].reason == "the anchors were not scored in the baseline, nor in the 31 days before it"
    found = two_consumers(("a", 8), ("a", -1), ("b", -29))
    assert found["a"].moved is False
    assert found["b"].reason == "the anchors were not scored in the current window, nor in the 31 days before it"


def test_a_version_that_came_back_is_held_against_its_own_last_run():
    store, judge = MemoryStore(), Counting("helpful")
    for day, version in ((-2, 2), (1, 1), (8, 2)):
        judge.spec = msgspec.structs.replace(judge.spec, version=version)
        small_anchors(store, ManualClock(START + timedelta(days=day)), judge).run()
    (shift,) = shifts(store, "helpful", BASELINE, CURRENT).values()
    assert (shift.before, shift.versions, shift.moved) == (START - timedelta(days=2), "", False)


def test_anchors_that_were_not_scored_again_say_so(world):
    store = MemoryStore()
    anchors_of(world, store, ManualClock(START)).run()
    (shift,) = shifts(store, "helpful", BASELINE, CURRENT).values()
    assert (shift.moved, shift.reason) == (None, "the anchors were not scored again since the baseline")
    assert shifts(MemoryStore(), "helpful", BASELINE, CURRENT) == {}


@pytest.mark.parametrize(("strict_from", "warned"), [(99, False), (7, True), (13, True)])
def test_estimates_say_that_their_scorer_moved(world, strict_from, warned):
    store = run_days(world, 14, strict_from=strict_from)
    asked = EstimateQuery("helpful", CURRENT, int(CURRENT.seconds))
    notes = scorer_notes(store, ["helpful"], asked)
    assert bool(notes) is warned
    if warned:
        (note,) = notes.values()
        assert "the scorer of helpful moved by -0." in note
        assert "on 30 unchanged anchors" in note
    assert scorer_notes(store, ["latency_ms"], asked) == {}


def test_the_api_says_it_too(world):
    store = run_days(world, 14, strict_from=13)
    spec = judge_class().spec
    store.record_scorers([spec])
    subject = Subject("e1", CURRENT.start, "quality", "support", "", "", {}, "", "all", 1)
    store.write(WriteBatch(scores=(Score(subject, "helpful", 1, spec.signature, 1.0, "ok", 0.5, ""),)))
    web = TestClient(create_app(store, (), clock=ManualClock(CURRENT.end)))
    span = {"since": CURRENT.start.isoformat(), "until": CURRENT.end.isoformat()}
    (found,) = web.get("/v1/estimates", params={"metric": "helpful", **span}).json()["estimates"]
    assert "the scorer of helpful moved by -0." in found["reason"]


def test_the_commands_say_it(world, capsys):
    """From the shell, with the embedded store: two runs of the anchors, and what drift and query make of them."""
    now = datetime.now(UTC)
    hours = [now - timedelta(days=7) + timedelta(minutes=6 * n) for n in range(-200, 0)]
    hours += [now - timedelta(minutes=6 * n) for n in range(1, 200)]
    lines = [
        encode(Event(event_id=f"e{n}", occurred_at=at, application="support", response=f"it is {0.6 + n % 5 / 20:.2f}"))
        for n, at in enumerate(hours)
    ]
    (world / "events.jsonl").write_bytes(b"\n".join(lines[:200]))
    found, config = project.load_consumer(world / "consumers" / "quality.yaml")
    with assemble.project_store(found, Environment.read({})) as store:
        then = ManualClock(now - timedelta(days=7))
        assemble.build_worker(config, store, Environment.read({}), clock=then).run()
    judge_class().strict = 0.15
    (world / "more.jsonl").write_bytes(b"\n".join(lines[200:]))
    assert main(["replay", "more.jsonl", "--consumer", "quality"]) == 0
    capsys.readouterr()
    assert main(["anchors", "run"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["consumer", "metric", "cases", "with", "a", "value", "mean"]
    assert line.split()[:4] == ["quality", "helpful", "31", "30"]
    assert main(["drift", "helpful"]) == 0
    out = capsys.readouterr().out
    # The judge's noise depends on the day.
    assert re.search(r"helpful: the scorer moved on 30 unchanged anchors, by -0\.1(4[5-9]|5[0-5]?)\d* \(", out)
    assert "it is the scorer that moved, and nothing says that the system did." in out
    assert main(["query", "helpful"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith("Warning: between ")
    assert main(["query", "helpful", "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert "the scorer of helpful moved by" in row["reason"]
    assert row["n"] == 199


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1: Expected a JSON object"),
        ('{"event_id": "a"}', "expected at least 2 cases, but got 1"),
        ('{"event_id": "a"}\n{"event_id": "a"}', "line 2: the case is there twice"),
        ('{"response": "x"}', "line 1: "),
        ('{"event_id": "a", "kind": "review", "subject_id": "b", "data": {"x": 1}}', "Expected an interaction"),
    ],
)
def test_bad_anchors_are_found_by_check(world, capsys, line, said):
    (world / "anchors" / "support.jsonl").write_text(line + "\n")
    assert main(["check"]) == 1
    assert said in capsys.readouterr().out


def test_bad_settings_are_found_by_check(world, capsys):
    text = (world / "consumers" / "quality.yaml").read_text().replace("24h", "3s") + "  metrics: [helpfull]\n"
    (world / "consumers" / "quality.yaml").write_text(text.replace("support.jsonl", "none.jsonl"))
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "at least 60 seconds" in out
    assert "did you mean `helpful`?" in out
    assert "none.jsonl: No such file" in out


def test_a_metric_may_not_take_the_anchors_name(world, capsys):
    judge = world / "anchored_judge.py"
    judge.write_text(judge.read_text().replace('"helpful"', '"anchor:helpful"'))
    assert main(["check"]) == 1
    assert "may not begin with `anchor:`" in capsys.readouterr().out

"""Cases drawn from the store: weights that undo sampling and drawing, strata, the worst, lost texts, the command."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evalsvc.cases import read_cases
from evalsvc.cases.drawing import Draw, draw_cases
from evalsvc.cases.matching import why_none
from evalsvc.cli import main
from evalsvc.errors import InputError, UnknownMetric
from evalsvc.protocols import CellQuery
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Event, KeptEvent, Sample, Scale, Score, ScorerSpec, Subject, Window, WriteBatch

MIDNIGHT = datetime(2026, 3, 29, tzinfo=UTC)
DAY = Window(MIDNIGHT, MIDNIGHT + timedelta(days=1))
HIGHER = ScorerSpec("quality", 1, Scale(0.0, 1.0, "higher"))
LOWER = ScorerSpec("cost", 1, Scale(0.0, None, "lower"))


def write(
    store: MemoryStore,
    index: int,
    *,
    language: str,
    pi: float,
    text: bool = True,
    prompt: str | None = None,
    consumer: str = "quality",
    spec: ScorerSpec = HIGHER,
    value: float | None = None,
    rare: str = "",
) -> None:
    """Write one sampled event with its score; without ``text`` only the score is left."""
    segments = {"language": language, **({"rare": rare} if rare else {})}
    event = Event(
        event_id=f"event-{index}",
        occurred_at=MIDNIGHT + timedelta(seconds=index),
        application="app",
        prompt=f"Question {index}?" if prompt is None else prompt,
        response=f"Answer {index}.",
        reference="Own." if index % 2 else None,
        segments=segments,
        session_id=f"session-{index // 3}",
    )
    subject = Subject(
        event.event_id, event.occurred_at, consumer, "app", "m", "1", segments, event.session_id or "", "all", 1
    )
    value = index % 100 / 100 if value is None else value
    score = Score(subject, spec.metric, spec.version, spec.signature, pi, "ok", value)
    kept = KeptEvent(Sample(event, consumer, 1, "all", pi, 7, "events/0", index), f"digest-{index}")
    store.write(WriteBatch(events=(kept,) if text else (), scores=(score,)))
    store.record_scorers([spec])


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """German is 10 % of what was sampled at 1 and English 90 % at 0.5: of the traffic, German is 1 in 19."""
    store = MemoryStore()
    for index in range(600):
        german = index % 10 == 0
        write(store, index, language="de" if german else "en", pi=1.0 if german else 0.5)
    return store


def german_share(cases: tuple) -> float:
    return sum(case.weight for case in cases if case.segments["language"] == "de") / sum(case.weight for case in cases)


@pytest.mark.parametrize("by", [(), ("segments.language",)])
def test_weighted_shares_are_those_of_the_traffic(store: MemoryStore, by: tuple[str, ...]):
    shares = [german_share(draw_cases(store, Draw(DAY, 100, by=by, seed=seed)).cases) for seed in range(40)]
    # A uniform draw's standard error is 0.017 / √40; a draw by language has none.
    assert sum(shares) / len(shares) == pytest.approx(1 / 19, abs=0.009 if not by else 1e-12)


def test_strata_are_of_equal_size_and_small_ones_are_taken_whole(store: MemoryStore):
    drawn = draw_cases(store, Draw(DAY, 100, by=("segments.language",)))
    assert drawn.strata == {"segments.language=de": 50, "segments.language=en": 50}
    assert draw_cases(store, Draw(DAY, 300, by=("segments.language",))).strata["segments.language=de"] == 60


def test_a_case_is_the_masked_event(store: MemoryStore):
    cases = {case.case_id: case for case in draw_cases(store, Draw(DAY, 600)).cases}
    assert len(cases) == 600
    case = cases["event-31"]
    assert (case.prompt, case.reference, case.group) == ("Question 31?", "Own.", "session-10")
    assert cases["event-30"].reference is None
    # Drawn for certain, weights are 1/π over their mean of (540·2 + 60)/600.
    assert case.weight == pytest.approx(2 / 1.9)
    assert cases["event-30"].weight == pytest.approx(1 / 1.9)
    answers = {case.case_id: case for case in draw_cases(store, Draw(DAY, 600, reference="response")).cases}
    assert answers["event-30"].reference == "Answer 30."


def test_the_seed_decides(store: MemoryStore):
    first, again, other = (draw_cases(store, Draw(DAY, 50, seed=seed)).cases for seed in (1, 1, 2))
    assert first == again
    assert len({case.case_id for case in first} & {case.case_id for case in other}) < 25


def test_the_worst_are_certain_and_the_rest_is_drawn(store: MemoryStore):
    drawn = draw_cases(store, Draw(DAY, 60, metric="quality", worst=12))
    worst = [case for case in drawn.cases if "worst" in case.tags]
    # The values are index % 100: two of them in six hundreds.
    assert sorted(int(case.case_id.removeprefix("event-")) % 100 for case in worst) == [0] * 6 + [1] * 6
    assert drawn.strata == {"worst": 12, "all": 48}
    by_language = {case.segments["language"]: case.weight for case in worst}
    assert by_language["en"] / by_language["de"] == pytest.approx(2.0)
    rest = next(case for case in drawn.cases if not case.tags and case.segments["language"] == "en")
    assert rest.weight / by_language["en"] == pytest.approx(588 / 48)


def test_worst_is_the_highest_where_lower_is_better():
    store = MemoryStore()
    for index in range(20):
        write(store, index, language="de", pi=1.0, spec=LOWER, value=float(index))
    drawn = draw_cases(store, Draw(DAY, 2, metric="cost", worst=2))
    assert sorted(case.case_id for case in drawn.cases) == ["event-18", "event-19"]


@pytest.mark.parametrize("first", [1, 2])
def test_of_an_event_that_was_scored_again_the_latest_scorer_says_what_it_is_worth(first: int):
    store = MemoryStore()
    for version in (first, 3 - first):
        spec = ScorerSpec("quality", version, Scale(0.0, 1.0, "higher"), signature=f"v{version}")
        for index in range(20):
            # The first version found event 0 worst; the second says that it is event 19.
            value = index / 20 if version == 1 else (19 - index) / 20
            write(store, index, language="en", pi=0.5, spec=spec, value=value)
    drawn = draw_cases(store, Draw(DAY, 20, metric="quality", worst=3))
    assert drawn.events == 20
    assert {case.case_id for case in drawn.cases if "worst" in case.tags} == {"event-19", "event-18", "event-17"}
    # An event stands for 1/π events, however often it was scored.
    assert {case.weight for case in drawn.cases} == {1.0}


@pytest.mark.parametrize("wanted", [60, 5])
def test_lost_texts_and_sampling_are_in_one_weight(wanted: int):
    """Of 200 German events sampled at 0.2, 20 have their text; of 100 English ones at 0.8, all."""
    store = MemoryStore()
    for index in range(300):
        german = index < 200
        write(
            store,
            index,
            language="de" if german else "en",
            pi=0.2 if german else 0.8,
            text=index % 10 == 0 or not german,
        )
    drawn = draw_cases(store, Draw(DAY, 2 * wanted, by=("segments.language",)))
    sizes = {name: drawn.strata[f"segments.language={name}"] for name in ("de", "en")}
    assert sizes == {"de": min(wanted, 20), "en": wanted}
    # Each English one that is looked at is taken; the rest were German, looked at whether or not their text is lost.
    looked = {"en": sizes["en"], "de": drawn.looked - sizes["en"]}
    assert drawn.without_text == looked["de"] - sizes["de"]
    assert (looked["de"] == 200) is (wanted == 60)
    german, english = 1 / (0.2 * looked["de"] / 200), 1 / (0.8 * looked["en"] / 100)
    weights = {case.segments["language"]: case.weight for case in drawn.cases}
    assert weights["de"] / weights["en"] == pytest.approx(german / english)
    assert sum(case.weight for case in drawn.cases) == pytest.approx(len(drawn.cases))


@pytest.mark.parametrize("again", ["version", "options"])
def test_the_worst_are_by_the_latest_scorer_alone(again: str):
    """Ten events have only a score of an older scorer, by which all are worse: such numbers are not comparable."""
    store = MemoryStore()
    older = ScorerSpec("quality", 1, Scale(0.0, 1.0, "higher"), signature="old")
    latest = ScorerSpec("quality", 2 if again == "version" else 1, Scale(0.0, 1.0, "higher"), signature="new")
    for index in range(30):
        value = index / 1000 if index < 10 else 0.5 + index / 100
        write(store, index, language="en", pi=0.5, spec=older if index < 10 else latest, value=value)
    drawn = draw_cases(store, Draw(DAY, 30, metric="quality", worst=3))
    assert {case.case_id for case in drawn.cases if "worst" in case.tags} == {"event-10", "event-11", "event-12"}
    # They are traffic nonetheless.
    assert (len(drawn.cases), drawn.strata) == (30, {"worst": 3, "all": 27})


class Backwards(MemoryStore):
    """Tells an event's latest score first, which the order by event ids allows."""

    def scores(self, query: CellQuery, limit: int) -> Sequence[Score]:
        return list(reversed(super().scores(query, limit)))


def test_in_whatever_order_scores_are_read_the_latest_scorer_counts():
    store = Backwards()
    for version in (1, 2):
        spec = ScorerSpec("quality", version, Scale(0.0, 1.0, "higher"), signature=f"v{version}")
        for index in range(20):
            value = index / 20 if version == 1 else (19 - index) / 20
            write(store, index, language="en", pi=0.5, spec=spec, value=value)
    drawn = draw_cases(store, Draw(DAY, 20, metric="quality", worst=1))
    assert [case.case_id for case in drawn.cases if "worst" in case.tags] == ["event-19"]


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_worst_are_of_one_version_of_the_scorer(better: str):
    """The first version counted to 100 and its scores of events 0 to 9 are on no scale of the second's."""
    store = MemoryStore()
    old = ScorerSpec("quality", 1, Scale(0.0, 100.0, better), signature="v1")
    new = ScorerSpec("quality", 2, Scale(0.0, 1.0, "higher"), signature="v2")
    for index in range(10):
        write(store, index, language="en", pi=0.5, spec=old, value=0.001 if better == "higher" else -index)
    for index in range(10, 20):
        write(store, index, language="en", pi=0.5, spec=new, value=index / 20)
    drawn = draw_cases(store, Draw(DAY, 20, metric="quality", worst=3))
    assert {case.case_id for case in drawn.cases if "worst" in case.tags} == {"event-10", "event-11", "event-12"}
    # What only the first version scored is drawn all the same: it is traffic.
    assert len(drawn.cases) == 20


def test_a_version_that_scored_nothing_yet_says_nothing_of_the_worst():
    store = MemoryStore()
    for index in range(20):
        write(store, index, language="en", pi=0.5, spec=HIGHER, value=index / 20)
    store.record_scorers([ScorerSpec("quality", 2, Scale(0.0, 1.0, "lower"), signature="v2")])
    drawn = draw_cases(store, Draw(DAY, 5, metric="quality", worst=2))
    assert {case.case_id for case in drawn.cases if "worst" in case.tags} == {"event-0", "event-1"}


def test_events_without_text_are_passed_over_and_told():
    store = MemoryStore()
    for index in range(200):
        write(store, index, language="de", pi=0.5, text=index >= 100, prompt="" if index == 150 else None)
    drawn = draw_cases(store, Draw(DAY, 30))
    assert len(drawn.cases) == 30
    assert drawn.looked == 30 + drawn.without_text + drawn.without_prompt
    assert 10 < drawn.without_text < 60
    everything = draw_cases(store, Draw(DAY, 200))
    assert (len(everything.cases), everything.without_text, everything.without_prompt) == (99, 100, 1)


def test_equal_events_are_one_case_of_their_common_weight():
    store = MemoryStore()
    for index in range(10):
        write(store, index, language="de", pi=0.5, prompt="Same?" if index in (2, 4, 6) else None)
    drawn = draw_cases(store, Draw(DAY, 10))
    assert (len(drawn.cases), drawn.merged) == (8, 2)
    same = next(case for case in drawn.cases if case.prompt == "Same?")
    assert same.weight / min(case.weight for case in drawn.cases) == pytest.approx(3.0)


def test_what_several_strata_ask_counts_to_each_as_often_as_it_asks_it():
    """Two plans ask the same 30 questions, German three times as often; each asks 30 of its own."""
    store = MemoryStore()
    for index in range(180):
        shared = index < 120
        language = ("en" if index % 4 == 0 else "de") if shared else ("en" if index % 2 else "de")
        write(store, index, language=language, pi=1.0, prompt=f"Shared {index // 4}?" if shared else None)
    for by in ((), ("segments.language",)):
        drawn = [draw_cases(store, Draw(DAY, 60, by=by, seed=seed)) for seed in range(60)]
        shares = [german_share(each.cases) for each in drawn]
        # 90 of 120, and 30 of 60; a share's standard deviation over seeds is below .05.
        assert sum(shares) / 60 == pytest.approx(120 / 180, abs=0.025)
        assert all(len(each.cases) == sum(each.strata.values()) == 60 for each in drawn)
    first = drawn[0]
    languages = [case.segments["language"] for case in first.cases]
    assert languages == sorted(languages)
    assert first.strata == {f"segments.language={name}": languages.count(name) for name in ("de", "en")}


@pytest.mark.parametrize("wanted", [1, 2, 5])
def test_where_texts_run_out_the_weights_stay_right(wanted: int):
    """20 German texts are kept of 200, all English of 200; a draw that ends with its last find took German for more."""
    store = MemoryStore()
    for index in range(400):
        german = index < 200
        write(store, index, language="de" if german else "en", pi=1.0, text=not german or index % 10 == 0)
    ratios = []
    for seed in range(300):
        cases = draw_cases(store, Draw(DAY, 2 * wanted, by=("segments.language",), seed=seed)).cases
        german, english = (sum(c.weight for c in cases if c.segments["language"] == name) for name in ("de", "en"))
        # English stands for 200 whatever is drawn, and so tells the unit of the weights.
        ratios.append(200 * german / english)
    error = (sum((ratio - 20) ** 2 for ratio in ratios) / 300 / 300) ** 0.5
    assert sum(ratios) / 300 == pytest.approx(20, abs=3.5 * error)


def test_the_metric_with_most_scores_says_which_events_there_are():
    store = MemoryStore()
    for index in range(10):
        write(store, index, language="de", pi=0.5)
    write(store, 0, language="de", pi=0.1, spec=LOWER)
    assert (draw_cases(store, Draw(DAY, 10)).metric, draw_cases(store, Draw(DAY, 10)).events) == ("quality", 10)


def test_of_too_many_events_a_random_part_is_drawn_from(store: MemoryStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evalsvc.cases.drawing.MOST_SCORES", 200)
    drawn = draw_cases(store, Draw(DAY, 200))
    assert (drawn.events, drawn.complete) == (200, False)
    # Weights are those of the whole: German 1 of 19, with a standard error of 0.009.
    assert german_share(drawn.cases) == pytest.approx(1 / 19, abs=0.03)
    assert draw_cases(store, Draw(DAY, 60, where={"segments.language": ("de",)})).complete


def test_samples_of_two_consumers_are_not_pooled(store: MemoryStore):
    two = MemoryStore()
    for index in range(10):
        for consumer in ("quality", "safety"):
            write(two, index, language="de", pi=0.5, consumer=consumer)
    with pytest.raises(InputError, match="--where consumer=quality"):
        draw_cases(two, Draw(DAY, 5))
    assert len(draw_cases(two, Draw(DAY, 5, where={"consumer": ("safety",)})).cases) == 5


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (Draw(DAY, 0), "`n` to be 1 or more"),
        (Draw(DAY, 5, worst=6, metric="quality"), "`worst` from 0"),
        (Draw(DAY, 5, worst=1), "a `metric` with `worst`"),
        (Draw(DAY, 601), "up to 600"),
        (Draw(DAY, 5, by=("langauge",)), "a field of events"),
        (Draw(DAY, 1, by=("segments.language",)), "number of strata, 2"),
        (
            Draw(DAY, 5, where={"segments.language": ("fr",)}),
            r"none of the 600 scored events in this window has `fr` as `segments.language` \(known: de, en\)",
        ),
        (
            Draw(DAY, 5, where={"segments.langauge": ("de",)}),
            r"none of the 600 scored events in this window has `segments.langauge` \(did you mean `segments.language`",
        ),
        (
            Draw(DAY, 5, metric="quality", where={"segments.plan": ("pro",)}),
            r"has `segments.plan` \(known: application, consumer, model, model_version, segments.language\)",
        ),
        (
            Draw(DAY, 5, where={"segments.language": ("de",), "model_version": ("2",)}),
            r"has `2` as `model_version` \(known: 1\)",
        ),
        (
            Draw(DAY, 5, by=("segments.langauge",)),
            r"Expected `by` to name a field of events, but none of the 600 .* \(did you mean `segments.language`",
        ),
        (
            Draw(Window(MIDNIGHT - timedelta(days=9), MIDNIGHT), 5, where={"segments.langauge": ("de",)}),
            "none match; a longer --since",
        ),
    ],
)
def test_what_cannot_be_drawn(store: MemoryStore, draw: Draw, message: str):
    with pytest.raises(InputError, match=message):
        draw_cases(store, draw)


def test_a_metric_that_is_none(store: MemoryStore):
    with pytest.raises(UnknownMetric, match="did you mean `quality`"):
        draw_cases(store, Draw(DAY, 5, metric="qualty"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        assert main(["init", str(folder)]) == 0
        patch.chdir(folder)
        lines = [
            json.dumps(
                {
                    "event_id": f"e{index}",
                    "occurred_at": "2026-03-01T12:00:00Z",
                    "application": "support",
                    "prompt": f"Where is parcel {index}? Mail ann{index}@example.com.",
                    "response": "On its way.",
                    "segments": {"language": "de" if index % 4 else "en"},
                }
            )
            for index in range(40)
        ]
        (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
        assert main(["replay", "events.jsonl"]) == 0
        yield folder


def test_the_command_draws_masked_cases_from_the_embedded_store(project: Path, capsys: pytest.CaptureFixture[str]):
    since = ["--since", "2026-03-01", "--until", "2026-03-02"]
    command = ["cases", "draw", *since, "--n", "20", "--by", "segments.language", "--out", "cases.jsonl"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("cases.jsonl: 20 cases of 40 events with a score of ")
    assert "10  segments.language=de" in shown
    cases = read_cases("cases.jsonl")
    assert len(cases) == 20
    assert not any("@example.com" in str(case.prompt) for case in cases)
    # A file of cases is not lost by drawing again.
    assert main(command) == 2
    assert "--replace" in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0
    assert read_cases("cases.jsonl").digest == cases.digest
    assert main(["cases", "draw", *since, "--n", "5", "--out", "cases.csv"]) == 2
    assert "to end in .jsonl" in capsys.readouterr().err


def test_since_and_conditions(project: Path, capsys: pytest.CaptureFixture[str]):
    moment = (datetime.now(UTC) - timedelta(hours=30)).isoformat()
    event = {"event_id": "recent", "occurred_at": moment, "application": "support", "prompt": "Why?", "response": "So."}
    Path("recent.jsonl").write_text(json.dumps(event) + "\n")
    assert main(["replay", "recent.jsonl"]) == 0
    command = ["cases", "draw", "--n", "1", "--replace", "--out", "recent-cases.jsonl"]
    assert main([*command, "--since", "7d", "--where", "consumer=replay", "--reference", "response"]) == 0
    (case,) = read_cases("recent-cases.jsonl")
    assert (case.case_id, case.reference, case.weight) == ("recent", "So.", 1.0)
    capsys.readouterr()
    assert main([*command, "--since", "1h"]) == 2
    assert "none match" in capsys.readouterr().err
    assert main([*command, "--since", "2026-03-01", "--until", "2026-03-02", "--where", "segments.language=en"]) == 0
    assert next(iter(read_cases("recent-cases.jsonl"))).segments == {"language": "en"}


def test_the_command_checks_and_compares(project: Path, capsys: pytest.CaptureFixture[str]):
    Path("a.jsonl").write_text(
        '{"case_id":"a","prompt":"One","reference":"1","segments":{"language":"de"},"tags":["x"]}\n'
        '{"case_id":"b","prompt":"Two","group":"g"}\n{"case_id":"c","prompt":"Three","group":"g"}\n'
    )
    Path("b.jsonl").write_text('{"case_id":"a","prompt":"One!"}\n{"case_id":"b","prompt":"Two"}\n')
    assert main(["cases", "check", "a.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == f"a.jsonl: 3 cases, version {read_cases('a.jsonl').digest}"
    assert "with reference: 1 (33%)" in shown
    assert "groups: 1, the largest of 2 cases" in shown
    assert main(["cases", "check", "a.jsonl", "--format", "json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["segments"] == {"language": {"": 2, "de": 1}}
    assert main(["cases", "diff", "a.jsonl", "b.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if "(1)" in line] == [
        "removed (1): c",
        "changed (1): a",
        "relabelled (1): b",
    ]
    assert main(["cases", "diff", "a.jsonl", "b.jsonl", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == ["a"]
    Path("bad.jsonl").write_text('{"case_id":"a"}\n')
    assert main(["cases", "check", "bad.jsonl"]) == 2
    assert "bad.jsonl:1:1: expected case 'a' to have a `prompt`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"segments.language": ("en",), "model_version": ("2",)},
            "the scored events in this window has `2` as `model_ve",
        ),
        (
            {"segments.language": ("fr",)},
            "none of the scored events in this window has `fr` as `segments.language` (known: ",
        ),
        (
            {"segments.rare": ("x",), "model_version": ("2",)},
            "the scored events in this window has `2` as `model_version`",
        ),
        ({"segments.rare": ("y",)}, "none of 20 of the scored events, taken at random, has `segments.rare` (known: "),
        (
            {"segments.rare": ("x",), "segments.language": ("de",)},
            "none of the scored events in this window has all of ",
        ),
    ],
)
def test_what_a_part_of_the_events_lacks_is_asked_of_the_store(monkeypatch, where, message):
    monkeypatch.setattr("evalsvc.cases.matching.MOST_LOOKED_AT", 20)
    many = MemoryStore()
    for index in range(60):
        write(many, index, language="de", pi=0.5)
    # The other one is not among those that are looked at, which are the first by their MD5.
    last = max(range(60, 200), key=lambda index: hashlib.md5(f"event-{index}".encode()).hexdigest())  # noqa: S324
    write(many, last, language="en", pi=0.5, rare="x")
    with pytest.raises(InputError, match=re.escape(message)):
        draw_cases(many, Draw(DAY, 5, metric="quality", where=where))


def test_of_several_metrics_no_more_is_claimed_than_was_looked_at(monkeypatch):
    """The first metric has less than is looked at, the second more, and most of it of the same events."""
    monkeypatch.setattr("evalsvc.cases.matching.MOST_LOOKED_AT", 20)
    many = MemoryStore()
    for index in range(60):
        write(many, index, language="de", pi=0.5)
    for index in range(15):
        write(many, index, language="de", pi=0.5, spec=LOWER)
    said = why_none(many, ["cost", "quality"], DAY, {"segments.plan": ("pro",)})
    assert re.match(r"none of \d\d of the scored events, taken at random, has `segments.plan` ", said)

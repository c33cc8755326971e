"""What a score is looked up by: whatever a scorer can see of an event makes another score."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from evalsvc.cases import Case
from evalsvc.cases.values import ToolCall
from evalsvc.disk_cache import DiskCache
from evalsvc.gate.evaluating import Version, evaluate
from evalsvc.generation import Answer
from evalsvc.generation.events import event_of, key_of_event
from evalsvc.types import Scale, ScorerSpec

CASE = Case(case_id="a", prompt="Hi", variant_of="x")
ANSWER = Answer(response="Hello")
CASES = {
    "case_id": "b",
    "prompt": "Ho",
    "contexts": ("c",),
    "reference": "r",
    "expected_tools": (ToolCall("find"),),
    "segments": {"language": "de"},
    "tags": ("t",),
    "weight": 2.0,
    "group": "g",
    "critical": True,
    "variant_of": "y",
    "variant": "typos",
}
ANSWERS = {
    "response": "Bye",
    "tool_calls": (ToolCall("find"),),
    "finish_reason": "stop",
    "latency_ms": 5.0,
    "time_to_first_token_ms": 1.0,
    "input_tokens": 3,
    "output_tokens": 4,
    "cost_usd": 0.1,
    "attempts": 2,
}
UNSEEN = {"tags", "weight", "critical", "variant_of", "variant", "attempts"}


def seen(case: Case, answer: Answer, repeat: int) -> bytes:
    event = event_of(
        case,
        answer,
        repeat=repeat,
        application="a",
        model="m",
        model_version="1",
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return msgspec.json.encode(msgspec.structs.replace(event, event_id=""), order="deterministic")


def key(case: Case, answer: Answer, repeat: int) -> str:
    return key_of_event(case, case.digest, answer, repeat)


def test_every_field_is_looked_at() -> None:
    assert set(CASES) == set(Case.__struct_fields__)
    assert set(ANSWERS) == set(Answer.__struct_fields__) - {"status", "reason", "permanent"}


@pytest.mark.parametrize("field", [*CASES, *ANSWERS, "repeat"])
def test_whatever_changes_an_event_changes_its_key(field: str) -> None:
    case = msgspec.structs.replace(CASE, **{field: CASES[field]}) if field in CASES else CASE
    answer = msgspec.structs.replace(ANSWER, **{field: ANSWERS[field]}) if field in ANSWERS else ANSWER
    repeat = 1 if field == "repeat" else 0
    if field not in ANSWERS and field in UNSEEN:
        assert seen(case, answer, repeat) == seen(CASE, ANSWER, 0)
        assert key(case, answer, repeat) == key(CASE, ANSWER, 0)
        return
    assert (seen(case, answer, repeat) != seen(CASE, ANSWER, 0)) == (field not in UNSEEN)
    assert key(case, answer, repeat) != key(CASE, ANSWER, 0)


class BySegment:
    """A scorer that reads what is beside the texts, and counts what it scores."""

    def __init__(self) -> None:
        self.spec = ScorerSpec("by_segment", 1, Scale(0.0, None, "higher"))
        self.scored = 0

    def load(self) -> None:
        pass

    def cost(self, sample: object) -> int:
        return 1

    def score(self, batch):
        self.scored += len(batch)
        return [float(len(one.event.segments["plan"]) + 10 * len(one.event.model_version)) for one in batch]


def test_a_relabelled_case_and_another_version_have_no_stale_score() -> None:
    scorer, cache = BySegment(), DiskCache.open(None)

    def scores(plan: str, version: str = "1", model: str = "m", application: str = "s") -> list[float]:
        cases = [Case(case_id=f"c{n}", prompt=f"p{n}", segments={"plan": plan}) for n in range(3)]
        rows = [[ANSWER, ANSWER]] * 3
        of = Version(application, model, version, "signature")
        found = evaluate(cases, [case.digest for case in cases], rows, [scorer], of, cache)
        return np.unique(found.scores["by_segment"].values).tolist()

    assert (scores("a"), scores("abc"), scores("a", "10")) == ([11.0], [13.0], [21.0])
    assert scorer.scored == 18
    assert (scores("a", model="n"), scores("a", application="t")) == ([11.0], [11.0])
    assert scorer.scored == 30
    assert (scores("a"), scores("abc"), scores("a", "10")) == ([11.0], [13.0], [21.0])
    assert scorer.scored == 30


@pytest.mark.parametrize("held", [b"", b"\xc1", b"\x93\xa2ok", b"\x92\xa2ok\xa1x", b"\x90", b"\x91\x92\xa2ok\x01"])
@pytest.mark.parametrize("kinds", [{"score"}, {"scores"}, {"score", "scores"}], ids=["score", "scores", "both"])
def test_a_kept_score_of_another_layout_is_made_anew(held: bytes, kinds: set[str]) -> None:
    class Older(DiskCache):
        """Finds what another release may have written under the same key."""

        def get_many(self, kind, keys):
            return dict.fromkeys(keys, held) if kind in kinds else super().get_many(kind, keys)

    cases, scorer = [Case(case_id=f"c{n}", prompt=f"p{n}", segments={"plan": "a"}) for n in range(3)], BySegment()
    found = evaluate(
        cases, [one.digest for one in cases], [[ANSWER]] * 3, [scorer], Version("s", "m", "1", "x"), Older(None)
    )
    assert found.scores["by_segment"].values.tolist() == [[11.0]] * 3
    assert scorer.scored == 3


class Judge(BySegment):
    """A scorer that is paid by the call, and is cut off after a while."""

    cost_class = "judge"
    batch_cost = 8

    def __init__(self, cut_off_at: int) -> None:
        super().__init__()
        self.cut_off_at = cut_off_at

    def score(self, batch):
        if self.scored >= self.cut_off_at:
            raise KeyboardInterrupt
        return super().score(batch)


def test_a_kill_while_a_judge_scores_costs_few_calls() -> None:
    cache, cases = (
        DiskCache.open(None),
        [Case(case_id=f"c{n}", prompt=f"p{n}", segments={"plan": "a"}) for n in range(200)],
    )
    digests, rows, version = [one.digest for one in cases], [[ANSWER]] * 200, Version("s", "m", "1", "x")
    first, second = Judge(100), Judge(1000)
    with pytest.raises(KeyboardInterrupt):
        evaluate(cases, digests, rows, [first], version, cache)
    evaluate(cases, digests, rows, [second], version, cache)
    assert 200 <= first.scored + second.scored <= 232

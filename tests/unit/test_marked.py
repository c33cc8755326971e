"""How a response is shown with what is unsupported in it."""

from __future__ import annotations

import io
import json

import msgspec

from evalsvc._marked import marked
from evalsvc._score_sheet import ScoreSheet
from evalsvc.testing import make_sample
from evalsvc.testing.stores import make_score
from evalsvc.types import KeptEvent, WriteBatch

RESPONSE = "It takes 3 days.\nExpress is free of charge. Ask us."
CONTEXTS = ("Express delivery\n costs 9 euros. " + "And so on. " * 20,)
SAMPLE = make_sample("event-1", response=RESPONSE, contexts=CONTEXTS)


def said(**detail: object):
    return msgspec.structs.replace(make_score(1, 0.125), detail=json.dumps(detail))


def test_a_sentence_that_is_unsupported_has_its_words_its_kind_and_what_is_nearest() -> None:
    row = {"index": 1, "start": 17, "end": 43, "status": "not_mentioned", "unsupported": 0.912}
    row |= {"context": 0, "context_start": 0, "context_end": 32, "words": [[28, 42]]}
    assert marked(SAMPLE, said(unsupported=[row], supported=[])).splitlines() == [
        "event-1 · quality 0.12",
        "    It takes 3 days.",
        "  ✗ Express is ⟦free of charge⟧.",
        "      not mentioned, 0.91; nearest: Express delivery costs 9 euros.",
        "    Ask us.",
    ]


def test_characters_without_sentences_mark_those_that_they_are_in() -> None:
    spans = [{"start": 9, "end": 27, "probability": 0.9}]
    lines = marked(SAMPLE, said(hallucinated_characters=18, spans_count=4, spans=spans)).splitlines()
    assert lines[1:4] == ["  ✗ It takes ⟦3 days.⟧", "  ✗ ⟦Express is⟧ free of charge.", "    Ask us."]
    assert lines[4:] == ["  … and 3 more that the score does not list are not marked"]


def test_a_long_passage_is_cut_and_support_told_where_that_is_what_is_known() -> None:
    row = {"index": 2, "start": 44, "end": 51, "status": "contradicted", "unsupported": 0.75}
    row |= {"context": 0, "context_start": 0, "context_end": 200, "words": []}
    last = marked(SAMPLE, said(unsupported=[row])).splitlines()[-1]
    assert last.startswith("      contradicted, 0.75; nearest: Express delivery costs 9 euros.")
    assert last.endswith("…")
    row = {"index": 2, "start": 44, "end": 51, "support": 0.25}
    assert marked(SAMPLE, said(unsupported_count=1, unsupported=[row])).splitlines()[-1] == "      support 0.25"


def test_a_sentence_below_the_threshold_that_is_doubtful_is_shown_with_its_probability() -> None:
    row = {"index": 0, "start": 0, "end": 16, "status": "supported", "unsupported": 0.5}
    sure = {"index": 1, "start": 17, "end": 43, "status": "supported", "unsupported": 0.4999}
    row |= {"context": 0, "context_start": 0, "context_end": 32}
    assert marked(SAMPLE, said(unsupported=[], supported=[row, sure])).splitlines() == [
        "event-1 · quality 0.12",
        "  ? It takes 3 days.",
        "      below the threshold, 0.50; nearest: Express delivery costs 9 euros.",
        "    Express is free of charge.",
        "    Ask us.",
    ]


def test_of_a_faithfulness_without_a_value_the_reason_is_told() -> None:
    score = msgspec.structs.replace(make_score(1, None), metric="faithfulness", reason="no contexts")
    assert marked(SAMPLE, score) == "event-1 · faithfulness: no score, no contexts"


def test_what_names_no_place_is_not_shown() -> None:
    assert marked(SAMPLE, said(sentences=3)) == ""
    assert marked(SAMPLE, said(longest_tokens=20, spans=[{"start": 0, "end": 5}])) == ""
    assert marked(SAMPLE, make_score(1, None)) == ""


def test_letters_that_a_terminal_would_obey_are_written_out() -> None:
    sample = make_sample("event-1", response="Clear \x1b[2J this.", contexts=CONTEXTS)
    assert "Clear \\x1b[2J this." in marked(sample, said(unsupported=[]))


def test_a_replay_shows_those_of_a_batch() -> None:
    out = io.StringIO()
    score = said(unsupported=[])
    sheet = ScoreSheet(marks=out)
    sheet.note(WriteBatch(events=(KeptEvent(SAMPLE, ""),), scores=(score, make_score(2, 0.5))))
    sheet.note(WriteBatch(scores=(score,)))
    assert out.getvalue() == f"{marked(SAMPLE, score)}\n\n"
    assert sheet.marked == 1

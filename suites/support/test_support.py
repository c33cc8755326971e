"""The support assistant, case by case and in all: run by pytest (`pytest suites/support`), with evalsvc's plugin."""

import re

import pytest

pytestmark = pytest.mark.evalsvc("support.suite.yaml")


@pytest.mark.evalsvc(critical=True)
def test_no_critical_question_is_refused(answer):
    assert answer.score("refusal") == 0.0


@pytest.mark.evalsvc(critical=True, where={"tags": "returns"})
def test_critical_answers_name_the_right_number_of_days(answer):
    (days,) = re.findall(r"\d+", answer.case.contexts[0])
    assert days in answer.response


@pytest.mark.evalsvc(segment="segments.language")
def test_every_language_is_answered_in_itself(segment):
    segment.gate("answer_language_match").at_least(0.8)


def test_answers_are_as_good_as_in_production(evaluation):
    evaluation.gate("rouge_l").not_worse_by(0.03)


def test_most_answers_come_in_time(evaluation):
    evaluation.gate("latency_ms", statistic="p95").at_most(1500)

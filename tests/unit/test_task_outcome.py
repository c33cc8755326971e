"""Truncation, completion, handover, and the figures made of two fields."""

from __future__ import annotations

import math
import re

import pytest

from evalsvc.errors import InputError
from evalsvc.scorers import create
from evalsvc.scorers._finish_reasons import ENDINGS, ending_of
from evalsvc.scorers._handover_phrases import PATTERNS
from evalsvc.scorers.operational import TokensPerSecond, TotalTokens
from evalsvc.scorers.task_outcome import HumanHandover, TaskCompleted, Truncated, handover_phrase
from evalsvc.testing import make_sample
from evalsvc.types import Abstained, Failed, Outcome, Scored

NAMES = (
    "truncated",
    "task_completed",
    "human_handover",
    "total_tokens",
    "tokens_per_second",
    "context_window_utilisation",
)
ODD_TEXTS = [
    "", " \n", "yes",
    "I'll transfer you " * 12_000, "🙂👍🏽", "سأحولك إلى زميل", "Die 配送 дня", "\x00\x1b[0m", "a\ud800b",
]  # fmt: skip


def value_of(outcome: Outcome) -> float | str:
    if isinstance(outcome, Scored):
        return outcome.value
    return outcome if isinstance(outcome, float) else f"{type(outcome).__name__}: {outcome.reason}"


@pytest.mark.parametrize(
    ("word", "ending"),
    [
        ("stop", "stop"),
        ("end_turn", "stop"),
        ("COMPLETE", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("eos_token", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("FinishReason.MAX_TOKENS", "length"),
        ("max_output_tokens", "length"),
        ("model_length", "length"),
        ("tool_use", "tool_calls"),
        ("tool-calls", "tool_calls"),
        ("SAFETY", "content_filter"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("error", "error"),
        ("", None),
        ("whatever", None),
    ],
)
def test_the_providers_words(word: str, ending: str | None) -> None:
    assert ending_of(word) == ending
    (outcome,) = Truncated().score([make_sample(finish_reason=word)])
    if ending is None:
        assert isinstance(outcome, Abstained)
    else:
        assert outcome == float(ending == "length")


def test_every_word_is_found_as_it_is_written() -> None:
    assert all(ending_of(word) == ending == ending_of(word.upper()) for word, ending in ENDINGS.items())


def test_truncated_abstains_without_a_reason() -> None:
    assert Truncated().score([make_sample(finish_reason=None)]) == [Abstained("no finish_reason")]


@pytest.mark.parametrize(
    ("fields", "value", "rule"),
    [
        ({"attributes": {"task_completed": True}, "finish_reason": "length"}, 1.0, "attribute"),
        ({"attributes": {"task_completed": False}}, 0.0, "attribute"),
        ({"attributes": {"task_completed": "True"}}, 1.0, "attribute"),
        ({"attributes": {"task_completed": 0}}, 0.0, "attribute"),
        ({"attributes": {"task_completed": 1.0}}, 1.0, "attribute"),
        ({"attributes": {"task_completed": True}, "response": ""}, 1.0, "attribute"),
        ({"attributes": {"task_completed": None}}, 1.0, "finish_reason"),
        ({"response": " "}, 0.0, "empty"),
        ({"response": "", "finish_reason": "end_turn"}, 0.0, "empty"),
        ({"finish_reason": "MAX_TOKENS"}, 0.0, "finish_reason"),
        ({"finish_reason": "content_filter"}, 0.0, "finish_reason"),
        ({"response": "I'm sorry, but I can't help with that."}, 0.0, "refusal"),
        ({"response": "I'm sorry, but I can't help with that.", "finish_reason": None}, 0.0, "refusal"),
        ({"finish_reason": "end_turn"}, 1.0, "finish_reason"),
    ],
)
def test_task_completed_by_the_first_rule_that_applies(fields: dict[str, object], value: float, rule: str) -> None:
    assert TaskCompleted().score([make_sample(**fields)]) == [Scored(value, {"rule": rule})]


@pytest.mark.parametrize("fields", [{"finish_reason": "tool_calls"}, {"finish_reason": "tool_use", "response": ""}])
def test_a_turn_that_calls_a_tool_is_not_over(fields: dict[str, object]) -> None:
    assert TaskCompleted().score([make_sample(**fields)]) == [Abstained("the turn ends in a tool call")]


@pytest.mark.parametrize("finish_reason", [None, "unheard_of"])
def test_task_completed_abstains_where_nothing_tells(finish_reason: str | None) -> None:
    (outcome,) = TaskCompleted().score([make_sample(finish_reason=finish_reason)])
    assert outcome == Abstained("nothing tells whether the task was completed")


@pytest.mark.parametrize("finish_reason", [None, " "])
def test_task_completed_abstains_where_nothing_was_recorded(finish_reason: str | None) -> None:
    (outcome,) = TaskCompleted().score([make_sample(response=" ", finish_reason=finish_reason)])
    assert outcome == Abstained("neither a response nor a finish_reason")


def test_an_attribute_that_says_neither_fails_without_being_quoted() -> None:
    sample = make_sample(attributes={"task_completed": "hunter2", "handover": 7})
    assert TaskCompleted().score([sample]) == [Failed("attributes.task_completed is neither true nor false")]
    assert HumanHandover().score([sample]) == [Failed("attributes.handover is neither true nor false")]


# The rules were written with these 63 sentences in view: precision and recall on them are 1 and say little of others.
HANDOVERS = [
    "I'll connect you with a live agent right away.",
    "Let me transfer you to one of our representatives.",
    "I am going to hand you over to a colleague.",
    "I’m escalating your case to our support team.",
    "I have forwarded your request to our billing department.",
    "Please hold while I transfer you to a supervisor.",
    "You are now being connected to a human agent.",
    "Your ticket has been escalated to a specialist.",
    "One of our colleagues will get back to you tomorrow.",
    "A human agent will take over from here.",
    "Ich verbinde Sie mit einem Mitarbeiter.",
    "Ich leite Ihre Anfrage an unsere Kollegen weiter.",
    "Einen Moment, ich übergebe Sie an einen Kundenberater.",
    "Ein Mitarbeiter wird sich bei Ihnen melden.",
    "Sie werden mit einer Kollegin verbunden.",
    "Ich werde Ihre Frage an einen Kollegen weiterleiten.",
    "Je vous mets en relation avec un conseiller.",
    "Je vais transférer votre demande à notre équipe.",
    "Un conseiller va vous recontacter.",
    "Le paso con un agente.",
    "Te comunico con un asesor humano.",
    "Un agente se pondrá en contacto contigo.",
    "La metto in contatto con un operatore.",
    "Ti trasferisco a un operatore.",
    "Un operatore la contatterà a breve.",
    "Vou transferir você para um atendente.",
    "Vou encaminhar o seu pedido para a nossa equipe.",
    "Um atendente entrará em contato em breve.",
    "Please hold while I transfer your call.",
    "Please hold the line while we put you through.",
    "Wait a moment, please hold on while I'm connecting you!",
    "Stay on the line, please hold while we transfer this chat",
    "Bear with me while I transfer you now.",
]
NO_HANDOVERS = [
    "You can call our support team from nine to five.",
    "Please contact customer service at the number on your card.",
    "To speak to a human agent, visit our website and open the chat.",
    "If you like, I can connect you with a live agent.",
    "Connect the cable to the router, then transfer the files to the drive.",
    "I'll transfer the amount to your account.",
    "You can transfer your ticket to another person for a fee of ten francs.",
    "The agent will open the door with a key.",
    "I am connecting the two ideas: supply and demand.",
    "Would you like to be connected with a representative?",
    "Sie können unseren Kundendienst unter dieser Nummer erreichen.",
    "Verbinden Sie das Gerät mit dem Strom.",
    "Ich gebe Ihnen gerne eine Übersicht der Tarife.",
    "Ich habe gestern mit dem Team gesprochen.",
    "Vous pouvez contacter un conseiller au numéro suivant.",
    "Je transfère le fichier vers le dossier.",
    "Puede llamar a un agente de nueve a cinco.",
    "Paso a explicarle las condiciones.",
    "Può chiamare un operatore dalle nove alle cinque.",
    "Passo alla seconda domanda.",
    "Você pode ligar para um atendente.",
    "Vou passar as informações do seu pedido.",
    "Your payment was forwarded to the bank.",
    "We hand out leaflets to staff every Monday.",
    "Please hold while I transfer the money.",
    "Please hold while I transfer your money to the bank.",
    "Hold the button while I connect the cable.",
    "Wait while I connect you to the printer.",
    "They put me on hold while I transferred the call costs.",
    "Please wait while we put your order together.",
]


@pytest.mark.parametrize("response", HANDOVERS)
def test_a_handover(response: str) -> None:
    found = handover_phrase(response)
    assert found is not None
    (outcome,) = HumanHandover().score([make_sample(response=response)])
    assert outcome == Scored(1.0, {"rule": "phrase", "start": found[0], "end": found[1]})


@pytest.mark.parametrize("response", NO_HANDOVERS)
def test_no_handover(response: str) -> None:
    assert HumanHandover().score([make_sample(response=response)]) == [0.0]


def test_anchors_leave_no_phrase_out() -> None:
    for response in HANDOVERS + NO_HANDOVERS:
        searched = any(re.search(p, response, re.IGNORECASE) for patterns in PATTERNS.values() for p in patterns)
        assert searched == (handover_phrase(response) is not None)


def test_a_stated_handover_wins() -> None:
    stated = make_sample(response="", attributes={"handover": True})
    denied = make_sample(response=HANDOVERS[0], attributes={"handover": "false"})
    assert HumanHandover().score([stated, denied]) == [
        Scored(1.0, {"rule": "attribute"}),
        Scored(0.0, {"rule": "attribute"}),
    ]
    assert HumanHandover().score([make_sample(response=" ")]) == [Abstained("empty response")]


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [
        (41, 13, 54.0),
        (0, 0, 0.0),
        (None, 1, Abstained("no input_tokens")),
        (1, None, Abstained("no output_tokens")),
        (-1, 2, Failed("a count of tokens is negative")),
    ],
)
def test_total_tokens(inputs: int | None, outputs: int | None, expected: Outcome) -> None:
    assert TotalTokens().score([make_sample(input_tokens=inputs, output_tokens=outputs)]) == [expected]


@pytest.mark.parametrize(
    ("since", "fields", "expected"),
    [
        ("request", (50, 2000.0, None), 25.0),
        ("request", (50, 2000.0, 1900.0), 25.0),
        ("first_token", (51, 2000.0, 1000.0), 50.0),
        ("first_token", (51, 2000.0, None), "Abstained: no time_to_first_token_ms"),
        ("first_token", (1, 2000.0, 1000.0), "Abstained: too few output tokens"),
        ("first_token", (51, 2000.0, 2000.0), "Abstained: no time passed after the first token"),
        ("request", (0, 2000.0, None), "Abstained: too few output tokens"),
        ("request", (5, 0.0, None), "Abstained: latency_ms is 0"),
        ("request", (None, 2000.0, None), "Abstained: no output_tokens"),
        ("request", (5, None, None), "Abstained: no latency_ms"),
        ("request", (5, -1.0, None), "Failed: a figure is negative or not finite"),
        ("request", (5, math.nan, None), "Failed: a figure is negative or not finite"),
        ("first_token", (5, 10.0, math.inf), "Failed: a figure is negative or not finite"),
        ("request", (5, 1e-320, None), "Failed: the speed is not finite"),
    ],
)
def test_tokens_per_second(since: str, fields: tuple[object, ...], expected: float | str) -> None:
    tokens, latency, first = fields
    sample = make_sample(output_tokens=tokens, latency_ms=latency, time_to_first_token_ms=first)
    (outcome,) = create("tokens_per_second", {"since": since}).score([sample])
    assert value_of(outcome) == expected


def test_the_two_speeds_are_never_pooled() -> None:
    assert TokensPerSecond().spec.signature != TokensPerSecond(since="first_token").spec.signature
    with pytest.raises(InputError, match="Expected `since` to be `request` or `first_token`, but got 'start'"):
        create("tokens_per_second", {"since": "start"})


@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
@pytest.mark.parametrize("name", NAMES)
def test_odd_responses_have_an_outcome(name: str, text: str) -> None:
    (outcome,) = create(name).score([make_sample(response=text, contexts=("", ""), prompt="", attributes={})])
    assert not isinstance(outcome, Failed)


@pytest.mark.parametrize(
    ("inputs", "outputs", "model", "attributes", "expected"),
    [
        (900, 124, "small", {"context_window": 4096}, 0.25),
        (900, 124, "small", {}, 0.5),
        (900, 124, "small", {"context_window": None}, 0.5),
        (2048, 0, "small", {}, 1.0),
        (0, 0, "small", {}, 0.0),
        (None, 5, "small", {}, Abstained("no input_tokens")),
        (5, None, "small", {}, Abstained("no output_tokens")),
        (5, 5, "other", {}, Abstained("no attributes.context_window, and no entry for its model in `windows`")),
        (2048, 1, "small", {}, Failed("more tokens than the context window holds")),
        (-1, 5, "small", {}, Failed("a count of tokens is negative")),
        (5, 5, "small", {"context_window": "8192"}, Failed("attributes.context_window is no whole number above 0")),
        (5, 5, "small", {"context_window": 0}, Failed("attributes.context_window is no whole number above 0")),
        (5, 5, "small", {"context_window": True}, Failed("attributes.context_window is no whole number above 0")),
    ],
)
def test_context_window_utilisation(
    inputs: int | None, outputs: int | None, model: str, attributes: dict[str, object], expected: Outcome
) -> None:
    sample = make_sample(input_tokens=inputs, output_tokens=outputs, model=model, attributes=attributes)
    assert create("context_window_utilisation", {"windows": {"small": 2048}}).score([sample]) == [expected]


def test_a_wrong_table_of_windows_is_refused_and_a_table_is_in_the_signature() -> None:
    for wrong in ({"m": 0}, {"m": True}, {"m": "8k"}, {5: 8192}, [8192]):
        with pytest.raises(InputError, match="`windows`"):
            create("context_window_utilisation", {"windows": wrong})
    made = [create("context_window_utilisation", {"windows": windows}) for windows in ({}, {"m": 1}, {"m": 2})]
    assert len({scorer.spec.signature for scorer in made}) == 3

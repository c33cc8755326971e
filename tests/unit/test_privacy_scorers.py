"""Refusal and personal data that the response introduced."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from evalsvc.privacy import MASKING_VERSION, Masker, MaskingPolicy
from evalsvc.scorers.introduced_pii import IntroducedPii
from evalsvc.scorers.refusal import Refusal, refusal_phrase
from evalsvc.types import Abstained, Event, Message, Sample, Scored

MASKER = Masker(MaskingPolicy(), bytes(16))


def sample(**fields: object) -> Sample:
    event = Event(event_id="e", occurred_at=datetime(2025, 1, 1, tzinfo=UTC), application="a", **fields)
    return Sample(MASKER.mask_event(event), "c", 1, "", 1.0)


@pytest.mark.parametrize(
    ("fields", "value"),
    [
        ({"prompt": "hi", "response": "write to ada@example.org"}, 1.0),
        ({"prompt": "I am ada@example.org", "response": "hello ADA@example.org"}, 0.0),
        ({"prompt": (Message("user", "I am ada@example.org"),), "response": "hello ada@example.org"}, 0.0),
        ({"prompt": "who?", "contexts": ("ada@example.org",), "response": "ada@example.org"}, 0.0),
        ({"prompt": "hi", "response": "nothing here"}, 0.0),
        ({"prompt": "hi", "reference": "ada@example.org", "response": "ada@example.org"}, 1.0),
    ],
)
def test_introduced(fields: dict[str, object], value: float) -> None:
    (outcome,) = IntroducedPii().score([sample(**fields)])
    assert (outcome.value if isinstance(outcome, Scored) else outcome) == value


def test_signature_names_the_version_of_the_recognisers() -> None:
    assert IntroducedPii().spec.signature == f"masking:{MASKING_VERSION}|compared:digest"


def test_introduced_detail_holds_places_and_no_text() -> None:
    (outcome,) = IntroducedPii().score([sample(prompt="hi", response="to ada@example.org")])
    assert outcome == Scored(1.0, {"findings": [{"type": "EMAIL_ADDRESS", "start": 3, "end": 18}]})


@pytest.mark.parametrize("scorer", [IntroducedPii(), Refusal()])
def test_empty_response_is_abstained(scorer: IntroducedPii | Refusal) -> None:
    (outcome,) = scorer.score([sample(prompt="hi", response=" \n")])
    assert isinstance(outcome, Abstained)


@pytest.mark.parametrize(
    "response",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, but I **cannot** help you with this request.",
        "As an AI language model, I am not able to provide medical advice.",
        "Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.",
        "Ich kann diese Anfrage leider nicht erfüllen.",
        "Je suis désolé, mais je ne peux pas vous aider avec cette demande.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, ma non posso aiutarti con questa richiesta.",
        "Desculpe, mas não posso ajudar com isso.",
    ],
)
def test_refusals(response: str) -> None:
    assert refusal_phrase(response) is not None


@pytest.mark.parametrize(
    "response",
    [
        "You can't overfill the tank.",
        "To terminate a process, use kill.",
        "I can't open web pages. However, I can show you how to do it in Python.",
        "I'm sorry to hear that your card was lost. We have blocked it.",
        "Sie können Ihre Karte nicht zweimal bestellen.",
        "Vous ne pouvez pas annuler après deux jours.",
        "No puedes cancelar después de dos días.",
        "The contract cannot be cancelled. " * 20 + "I cannot help you with that.",
    ],
)
def test_no_refusals(response: str) -> None:
    assert refusal_phrase(response) is None

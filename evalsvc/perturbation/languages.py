"""Switches of language by templates: an answer wished in another one, or a frame in another one around the question."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evalsvc.cases.values import Case
from evalsvc.perturbation.values import Around, Change, Kind, language_of, on_question

_ANSWER_IN: Mapping[str, str] = {
    "en": "Please answer in English.",
    "de": "Bitte antworte auf Deutsch.",
    "fr": "Réponds en français, s'il te plaît.",
    "es": "Responde en español, por favor.",
    "it": "Rispondi in italiano, per favore.",
    "pt": "Responda em português, por favor.",
}
_FRAMED_IN: Mapping[str, str] = {
    "en": "I have a question: {question} Thank you!",
    "de": "Ich habe eine Frage: {question} Vielen Dank!",
    "fr": "J'ai une question : {question} Merci beaucoup !",
    "es": "Tengo una pregunta: {question} ¡Muchas gracias!",
    "it": "Ho una domanda: {question} Grazie mille!",
    "pt": "Tenho uma pergunta: {question} Muito obrigado!",
}


def _answer_in(language: str) -> Change:
    return _unless(language, lambda text: f"{text.rstrip()}\n\n{_ANSWER_IN[language]}")


def _framed_in(language: str) -> Change:
    return _unless(language, lambda text: _FRAMED_IN[language].format_map({"question": text.strip()}))


def _unless(language: str, put: Callable[[str], str]) -> Change:
    def changed(case: Case, around: Around) -> Case | None:
        if language_of(case) == language:
            return None
        return on_question(lambda text, _: put(text))(case, around)

    return changed


KINDS: Mapping[str, Kind] = {
    **{f"answer_in_{code}": Kind(f"asks for an answer in {code}", False, _answer_in(code)) for code in _ANSWER_IN},
    **{
        f"framed_in_{code}": Kind(f"a frame in {code} around the question", True, _framed_in(code))
        for code in _FRAMED_IN
    },
}

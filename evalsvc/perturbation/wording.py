"""Other words around a question, by templates: politer, terser, indirect, as a command; numbers in words.

Templates are for English, German, French and Spanish; the case's segment ``language`` chooses, English without one.
The question itself stays as it is, so all keep the reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from evalsvc.cases.values import Case
from evalsvc.perturbation.values import Around, Change, Kind, language_of, on_question

_POLITE: Mapping[str, Sequence[str]] = {
    "en": (
        "Hello, could you please help me with this? {question} Thank you very much!",
        "Good morning! I would be grateful for your help. {question} Many thanks in advance.",
        "Sorry to bother you, but may I ask you something? {question} Thanks a lot!",
    ),
    "de": (
        "Guten Tag, könnten Sie mir bitte helfen? {question} Vielen Dank!",
        "Entschuldigen Sie die Störung, ich hätte eine Frage. {question} Danke im Voraus!",
    ),
    "fr": (
        "Bonjour, pourriez-vous m'aider, s'il vous plaît ? {question} Merci beaucoup !",
        "Excusez-moi de vous déranger, j'aurais une question. {question} Merci d'avance !",
    ),
    "es": (
        "Buenos días, ¿podría ayudarme, por favor? {question} ¡Muchas gracias!",
        "Disculpe la molestia, tengo una pregunta. {question} ¡Gracias de antemano!",
    ),
}
_INDIRECT: Mapping[str, Sequence[str]] = {
    "en": (
        "I have been wondering about something for a while. {question}",
        "A colleague asked me this and I did not know what to say: {question}",
    ),
    "de": ("Ich überlege schon länger Folgendes. {question}", "Eine Kollegin wollte das von mir wissen: {question}"),
    "fr": ("Je me pose une question depuis un moment. {question}", "Une collègue m'a demandé ceci : {question}"),
    "es": ("Llevo un tiempo preguntándome algo. {question}", "Una compañera me ha preguntado esto: {question}"),
}
_COMMAND: Mapping[str, Sequence[str]] = {
    "en": ("Answer the following question: {question}", "Tell me: {question}"),
    "de": ("Beantworte die folgende Frage: {question}", "Sag mir: {question}"),
    "fr": ("Réponds à la question suivante : {question}", "Dis-moi : {question}"),
    "es": ("Responde a la siguiente pregunta: {question}", "Dime: {question}"),
}
_SUPERFLUOUS: Mapping[str, Sequence[str]] = {
    "en": (
        r"hello|hi|hey|good (?:morning|afternoon|evening)",
        r"please|thank you(?: very much)?|many thanks|thanks(?: a lot)?",
        r"(?:could|can|would) you(?: please)? (?:tell|help|explain to|show) me",
        r"i (?:would|'d) like to know|i want to know|do you know|the|an?",
    ),
    "de": (
        r"hallo|guten (?:tag|morgen|abend)",
        r"bitte|vielen dank|danke",
        r"(?:können|könnten) sie mir(?: bitte)? (?:sagen|helfen)|ich (?:möchte|würde gerne?) wissen",
    ),
    "fr": (
        r"bonjour|bonsoir|merci(?: beaucoup)?|s'il (?:vous|te) plaît",
        r"(?:pouvez|pourriez)-vous me dire|je voudrais savoir",
    ),
    "es": (
        r"hola|buenos días|buenas tardes|por favor|(?:muchas )?gracias",
        r"(?:puede|podría) decirme|quisiera saber",
    ),
}
"""Greetings, thanks and requests around a question, and English articles, without which it is still understood."""

_NUMBER = re.compile(r"(?<![\w.,:/#$€£%+-])(?:[1-9]\d{0,5}|0)(?![\w:/%]|[.,-]\d)")
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = (
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip


def _framed(templates: Mapping[str, Sequence[str]], *, questions_only: bool = False) -> Change:
    def changed(case: Case, around: Around) -> Case | None:
        known = templates.get(language_of(case))
        if known is None:
            return None

        def put(text: str, around: Around) -> str | None:
            if not text.strip() or (questions_only and not text.rstrip().endswith("?")):
                return None
            return around.random.choice(known).format_map({"question": text.strip()})

        return on_question(put)(case, around)

    return changed


def terse(case: Case, around: Around) -> Case | None:
    """Leave out greetings, thanks, requests, English articles and the question mark: as one types into a search box."""
    phrases = _SUPERFLUOUS.get(language_of(case))
    if phrases is None:
        return None
    superfluous = re.compile(rf"\b(?:{'|'.join(phrases)})\b[,!]?", re.IGNORECASE)

    def shorten(text: str, around: Around) -> str | None:
        short = " ".join(superfluous.sub(" ", text).split()).strip(" ,.!?¿¡")
        return short if any(map(str.isalpha, short)) else None

    return on_question(shorten)(case, around)


def numbers_in_words(case: Case, around: Around) -> Case | None:
    """Write whole numbers below a million in English words, but for those with signs, decimals, units or letters."""
    if language_of(case) != "en":
        return None

    def spell(text: str, around: Around) -> str | None:
        spelt = _NUMBER.sub(lambda match: words_of(int(match.group())), text)
        return None if spelt == text else spelt

    return on_question(spell)(case, around)


def words_of(number: int) -> str:
    """Return a whole number from 0 to 999,999 in English words.

    >>> words_of(42), words_of(1907), words_of(300_000)
    ('forty-two', 'one thousand nine hundred and seven', 'three hundred thousand')
    """
    if number < 20:
        return _SMALL[number]
    if number < 100:
        ten, one = divmod(number, 10)
        return _TENS[ten] + (f"-{_SMALL[one]}" if one else "")
    if number < 1000:
        hundred, rest = divmod(number, 100)
        return f"{_SMALL[hundred]} hundred" + (f" and {words_of(rest)}" if rest else "")
    thousand, rest = divmod(number, 1000)
    link = " and " if 0 < rest < 100 else " "
    return f"{words_of(thousand)} thousand" + (f"{link}{words_of(rest)}" if rest else "")


KINDS: Mapping[str, Kind] = {
    "polite": Kind("a polite frame (en, de, fr, es)", True, _framed(_POLITE)),
    "terse": Kind("without greetings, thanks and requests (en, de, fr, es)", True, terse),
    "indirect": Kind("asked for a reason or for somebody else (en, de, fr, es)", True, _framed(_INDIRECT)),
    "imperative": Kind("a question as a command (en, de, fr, es)", True, _framed(_COMMAND, questions_only=True)),
    "numbers_in_words": Kind("whole numbers in words (en)", True, numbers_in_words),
}

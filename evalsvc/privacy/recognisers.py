"""Finding personal data and secrets in one text: presidio's patterns, secrets, and the operator's own.

The rule by which a match counts, in order:

1. Failed check digits, or a value that presidio knows to be a sample: never.
2. Its type stands alone (:mod:`evalsvc.privacy.catalogue`) and its score is at least :data:`~.catalogue.THRESHOLD`, where
   passed check digits make the score 1: yes.
3. A context word of its type within 64 characters before or 24 after it, as a whole word: yes, whatever the score.
4. Otherwise: no.

Of matches that overlap the one with the highest score stays, then the longest, then the first, then the type that
comes first in the catalogue. A text is searched by pattern only around what every match must contain; that loses
nothing (``tests/property/test_privacy_prefilter.py``) and makes an ordinary text cost some tens of microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from evalsvc.errors import InputError
from evalsvc.privacy import catalogue
from evalsvc.privacy._presidio import PresidioFiles, load_recogniser
from evalsvc.privacy.catalogue import CORES, ENTITY_TYPES, PRESIDIO, SECRETS, THRESHOLD, Core
from evalsvc.privacy.folding import fold
from evalsvc.privacy.numbers import PhoneFinder, find_ibans, is_cpf, is_luhn, is_nir, is_public_address
from evalsvc.privacy.secrets import SECRETS as SECRET_PATTERNS

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]{2,63}(?::[0-9a-f]{12,16})?\]")
SHORTEST = 6
LONGEST_CONTEXT = 64
SEARCH_SECONDS = 1.0

# Mastercard's 2-series and Visa's 19 digits, which presidio's pattern has not.
NEWER_CARDS = r"\b(?:2(?:2[2-9]|[3-6]\d|7[01])\d(?:[- ]?\d{4}){3}|4\d{3}(?:[- ]?\d{4}){3}[- ]?\d{3})\b"
CARD = ("card", "credit", "debit", "visa", "mastercard", "maestro", "amex", "karte", "carte", "tarjeta", "carta")

DIGIT = re.compile(r"[0-9]")
WORD = re.compile(r"\w+")
EMAIL_REACH = 320
EMAIL_REST = re.compile(r"[^\s@]{1,320}")
EMAIL_DOMAIN = re.compile(r"\.(?:[^\W\d_]{2,}|xn--[\w\-]+)$", re.IGNORECASE)


class Match(NamedTuple):
    """A stretch ``[start, end)`` of a text that is personal data or a secret of one type; ``score`` is in (0, 1]."""

    start: int
    end: int
    entity_type: str
    score: float


class _Pattern(NamedTuple):
    """One compiled pattern with all that decides whether its match counts."""

    entity_type: str
    search: Any
    score: float
    alone: bool
    context: re.Pattern[str] | None
    validate: Callable[[str], bool | None]
    core: str


def _holds_any(text: str, anchors: Iterable[str]) -> bool:
    for anchor in anchors:  # noqa: SIM110 - a generator expression costs three times as much here
        if anchor in text:
            return True
    return False


def context_pattern(words: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern for any of the words as a whole word, plural included; ``None`` for no words.

    >>> bool(context_pattern(["card"]).search("my cards are")), bool(context_pattern(["card"]).search("cardiff"))
    (True, False)
    """
    escaped = sorted({re.escape(word.strip().lower()) for word in words}, key=lambda word: (-len(word), word))
    return re.compile(rf"(?<!\w)(?:{'|'.join(escaped)})s?(?!\w)") if escaped else None


def has_context(lower: str, start: int, end: int, context: re.Pattern[str] | None) -> bool:
    """Whether a context word stands near the match, before it or shortly after; ``lower`` is the text in lower case."""
    if context is None:
        return False
    if context.search(lower, max(0, start - catalogue.CONTEXT_BEFORE), start) is not None:
        return True
    return context.search(lower, end, end + catalogue.CONTEXT_AFTER) is not None


def lower_case(text: str) -> str:
    """Return the text in lower case, each character in its place (the Turkish capital İ stays as it is)."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)


def windows(text: str, core: re.Pattern[str], reach: int) -> list[tuple[int, int]]:
    """Return disjoint stretches, bounded by white space, that hold every match with this core and reach."""
    found: list[tuple[int, int]] = []
    last = 0
    for match in core.finditer(text):
        end = min(len(text), match.end() + reach)
        if end <= last:
            continue
        start = max(0, match.start() - reach)
        while end < len(text) and not text[end].isspace():
            end += 1
        if found and start <= last:
            found[-1] = (found[-1][0], end)
        else:
            while start > last and not text[start - 1].isspace():
                start -= 1
            found.append((start, end))
        last = end
    return found


def resolve(matches: Collection[Match]) -> list[Match]:
    """Return the matches that stay when no two may overlap, in the order of the text.

    The highest score stays, then the longest, then the first, then the type that comes first in the catalogue.

    >>> resolve([Match(0, 9, "PHONE_NUMBER", 0.4), Match(0, 9, "US_SSN", 0.5), Match(12, 15, "PASSWORD", 1.0)])
    [Match(start=0, end=9, entity_type='US_SSN', score=0.5), Match(start=12, end=15, entity_type='PASSWORD', score=1.0)]
    """
    kept: list[Match] = []
    for match in sorted(matches, key=_precedence):
        if all(match.end <= other.start or other.end <= match.start for other in kept):
            kept.append(match)
    return sorted(kept)


_ORDER = {entity_type: place for place, entity_type in enumerate(ENTITY_TYPES)}


def _precedence(match: Match) -> tuple[float, int, int, int, str]:
    place = _ORDER.get(match.entity_type, len(_ORDER))
    return (-match.score, match.start - match.end, match.start, place, match.entity_type)


class Recognisers:
    """All recognisers of a choice of entity types, compiled once; safe to share between threads.

    Args:
        entity_types: which to look for; all of ``catalogue.ENTITY_TYPES`` by default.
        custom: pairs (entity type, regular expression) of the operator's own, which stand alone.

    Raises:
        InputError: on an unknown entity type; the message lists those near it.
        EngineError: when presidio-analyzer is absent or has other files than this release knows.
    """

    def __init__(
        self, entity_types: Collection[str] | None = None, custom: Sequence[tuple[str, str]] = ()
    ) -> None:
        wanted = frozenset(ENTITY_TYPES if entity_types is None else entity_types)
        unknown = sorted(wanted - set(ENTITY_TYPES))
        if unknown:
            raise InputError(
                f"Expected entity types of the catalogue (docs/reference/masking.md), but got {', '.join(unknown)}"
            )
        import regex  # heavier than re, and needed only where something is searched

        self.entity_types = wanted
        self._context_words: set[str] = set()
        files = PresidioFiles()
        self._cores = {name: (re.compile(core.pattern), core.reach) for name, core in CORES.items()}
        self._patterns = [pattern for pattern in self._compile(files) if pattern.entity_type in wanted]
        self._alone = {
            name: [pattern for pattern in self._patterns if pattern.core == name and pattern.alone]
            for name in self._cores
        }
        self._with_context = {
            name: [pattern for pattern in self._patterns if pattern.core == name and pattern.context is not None]
            for name in self._cores
        }
        flags = regex.IGNORECASE | regex.MULTILINE | regex.DOTALL
        self._secrets = [
            (secret, regex.compile(secret.pattern, flags))
            for secret in SECRET_PATTERNS
            if secret.entity_type in wanted
        ]
        self._custom = [(name, regex.compile(pattern)) for name, pattern in custom]
        email = load_recogniser(files, "generic.email_recognizer", "EmailRecognizer")
        self._email = regex.compile(email.patterns[0].regex, email.global_regex_flags)
        self._iban = load_recogniser(files, "generic.iban_recognizer", "IbanRecognizer").validate_result
        self._phones = PhoneFinder(context_pattern(catalogue.PHONE_CONTEXT))

    def _compile(self, files: PresidioFiles) -> Iterator[_Pattern]:
        import regex

        for entity in PRESIDIO:
            if entity.entity_type not in self.entity_types:
                continue
            recogniser = load_recogniser(files, entity.path, entity.class_name)
            words = entity.context or recogniser.context
            context = self._remember(words)
            for pattern in recogniser.patterns:
                if pattern.name not in entity.without:
                    search = regex.compile(pattern.regex, recogniser.global_regex_flags)
                    validate = _validator(entity.entity_type, recogniser)
                    yield _Pattern(
                        entity.entity_type, search, pattern.score, entity.alone, context, validate, entity.core
                    )
        for entity_type, expression, check, words in (
            ("FR_NIR", r"\b[1-478][ .]?\d{2}[ .]?(?:0[1-9]|1[0-2]|[2-9]\d)[ .]?(?:\d{2}|2[AB])[ .]?\d{3}[ .]?\d{3}[ .]?\d{2}\b",
             is_nir, ("nir", "sécurité sociale", "securite sociale", "insee")),
            ("BR_CPF", r"\b\d{3}\.?\d{3}\.?\d{3}-?\d{2}\b", is_cpf, ("cpf",)),
            ("CREDIT_CARD", NEWER_CARDS, is_luhn, None),
            ("CREDIT_CARD", r"\b\d{4}(?:[- ]?\d){8,15}\b", is_luhn, CARD),
        ):
            search = regex.compile(expression, regex.IGNORECASE)
            alone = entity_type == "FR_NIR" or words is None
            yield _Pattern(entity_type, search, 0.5, alone, self._remember(words or ()), check, "number")

    def _remember(self, words: Sequence[str]) -> re.Pattern[str] | None:
        """Return the pattern for these context words, and remember the first word of each, with its plural."""
        for phrase in words:
            first = WORD.search(phrase.lower())
            if first is not None:
                self._context_words.update((first[0], f"{first[0]}s"))
        return context_pattern(words)

    def find(self, text: str, prefilter: bool = True) -> list[Match]:
        """Return what is found, without overlaps, in the order of the text; positions are those of ``text``.

        What already stands for a masked value (``[EMAIL_ADDRESS]``) is never found. ``prefilter=False`` searches
        everything by every pattern: the same result, for tests.
        """
        if len(text) < SHORTEST:
            return []
        folded = fold(text)
        plain = folded.text
        if "[" in plain:
            plain = PLACEHOLDER.sub(lambda found: "\x00" * len(found[0]), plain)
        lower = lower_case(plain)
        matches: list[Match] = []
        if not prefilter or DIGIT.search(plain) is not None:
            self._find_numbers(plain, lower, prefilter, matches)
        if "@" in plain and "EMAIL_ADDRESS" in self.entity_types:
            matches.extend(self._find_emails(plain))
        matches.extend(self._find_secrets(plain, lower, prefilter))
        if self._custom:
            matches.extend(self._find_custom(plain))
        if not matches:
            return []
        kept = resolve(matches) if len(matches) > 1 else matches
        return [Match(*folded.original(found.start, found.end), found.entity_type, found.score) for found in kept]

    def _find_numbers(self, text: str, lower: str, prefilter: bool, matches: list[Match]) -> None:
        for name, (core, reach) in self._cores.items():
            if name == "token" and prefilter and max(map(len, text.split())) <= catalogue.LONGEST_PLAIN_WORD:
                continue
            for start, end in windows(text, core, reach) if prefilter else [(0, len(text))]:
                self._search(text, lower, (start, end), self._alone[name], core, matches)
                if not prefilter or self._may_have_context(lower, start, end):
                    self._search(text, lower, (start, end), self._with_context[name], core, matches)
        if "IBAN_CODE" in self.entity_types:
            matches.extend(Match(start, end, "IBAN_CODE", 1.0) for start, end in find_ibans(text, self._iban))
        if "PHONE_NUMBER" in self.entity_types:
            matches.extend(Match(s, e, "PHONE_NUMBER", score) for s, e, score in self._phones.find(text, lower))

    def _may_have_context(self, lower: str, start: int, end: int) -> bool:
        """Whether the first word of any context phrase stands in the window or near it."""
        low = max(0, start - catalogue.CONTEXT_BEFORE - LONGEST_CONTEXT)
        near = lower[low : end + catalogue.CONTEXT_AFTER + LONGEST_CONTEXT]
        return not self._context_words.isdisjoint(WORD.findall(near))

    def _search(
        self,
        text: str,
        lower: str,
        window: tuple[int, int],
        patterns: Sequence[_Pattern],
        core: re.Pattern[str],
        matches: list[Match],
    ) -> None:
        part = text[window[0] : window[1]]
        for pattern in patterns:
            for found in pattern.search.finditer(part):
                start, end = window[0] + found.start(), window[0] + found.end()
                score = self._weigh(text, lower, start, end, pattern, core)
                if score is not None:
                    matches.append(Match(start, end, pattern.entity_type, score))

    def _weigh(
        self, text: str, lower: str, start: int, end: int, pattern: _Pattern, core: re.Pattern[str]
    ) -> float | None:
        """Return the score of a match that counts, and ``None`` for one that does not."""
        value = text[start:end]
        if core.search(value) is None:
            return None
        valid = pattern.validate(value)
        if valid is False or (pattern.core == "ip" and _goes_on(text, start, end)):
            return None
        score = 1.0 if valid else pattern.score
        if has_context(lower, start, end, pattern.context):
            return min(1.0, max(THRESHOLD, score + catalogue.CONTEXT_BONUS))
        return score if pattern.alone and score >= THRESHOLD else None

    def _find_emails(self, text: str) -> Iterator[Match]:
        at = text.find("@")
        while at >= 0:
            start = at
            while start > max(0, at - EMAIL_REACH) and not text[start - 1].isspace() and text[start - 1] != "@":
                start -= 1
            rest = EMAIL_REST.match(text, at + 1)
            if rest is not None and start < at:
                for found in self._email.finditer(text[start : rest.end()]):
                    if EMAIL_DOMAIN.search(found[0]):
                        yield Match(start + found.start(), start + found.end(), "EMAIL_ADDRESS", 1.0)
            at = text.find("@", at + 1)

    def _find_secrets(self, text: str, lower: str, prefilter: bool) -> Iterator[Match]:
        for secret, pattern in self._secrets:
            if not prefilter or _holds_any(lower, secret.anchors):
                for found in pattern.finditer(text):
                    start, end = found.span("value") if "value" in pattern.groupindex else found.span()
                    if start < 0:
                        start, end = found.span()
                    if secret.check is None or secret.check(text[start:end]):
                        yield Match(start, end, secret.entity_type, secret.score)

    def _find_custom(self, text: str) -> Iterator[Match]:
        for name, pattern in self._custom:
            try:
                for found in pattern.finditer(text, timeout=SEARCH_SECONDS):
                    if found.end() > found.start():
                        yield Match(*found.span(), name, 1.0)
            except TimeoutError:
                # A text that could not be searched in time may hold anything: all of it is masked.
                yield Match(0, len(text), name, 1.0)


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether dotted numbers go on before or after: an object identifier or a version, no address."""
    return text[start - 1 : start] == "." or (text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit())


def _validator(entity_type: str, recogniser: Any) -> Callable[[str], bool | None]:
    """Return presidio's two checks as one: False refuses, True is certain, None says nothing."""

    def check(value: str) -> bool | None:
        if recogniser.invalidate_result(value):
            return False
        valid: bool | None = recogniser.validate_result(value)
        if valid is not False and entity_type == "IP_ADDRESS" and not is_public_address(value):
            return False
        if valid and entity_type == "CREDIT_CARD" and value.startswith("1"):
            return None  # airlines' cards; any number of ones and noughts begins so, too, so the word has to be there
        return valid

    return check


__all__ = ["PLACEHOLDER", "SECRETS", "Core", "Match", "Recognisers", "context_pattern", "resolve", "windows"]

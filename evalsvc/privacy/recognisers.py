"""Finding personal data and secrets in one text: presidio's patterns, secrets, and the operator's own.

The rule by which a match counts, in order:

1. Failed check digits, or a value that presidio knows to be a sample: never.
2. Its type stands alone (:mod:`evalsvc.privacy.catalogue`) and its score is at least
:data:`~.catalogue.THRESHOLD`, where
   passed check digits make the score 1: yes.
3. A context word of its type within 64 characters before or 24 after it, as a whole word: yes, whatever the
score. 4. Otherwise: no.

Of matches that overlap the one with the highest score stays, then the longest, then the first, then the type
that comes first in the catalogue. A text is searched by pattern only around what every match must contain;
that loses nothing (``tests/property/test_privacy_prefilter.py``) and makes an ordinary text cost some tens
of microseconds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from evalsvc.errors import InputError
from evalsvc.privacy import catalogue
from evalsvc.privacy._presidio import PatternRecogniser, PresidioFiles, load_recogniser, regex_module
from evalsvc.privacy.catalogue import CORES, ENTITY_TYPES, PRESIDIO, THRESHOLD, UNSEARCHED
from evalsvc.privacy.context import Context, lower_case, words_near
from evalsvc.privacy.folding import fold, folding_table
from evalsvc.privacy.numbers import PhoneFinder, find_ibans, is_cpf, is_luhn, is_nir, is_public_address
from evalsvc.privacy.secrets import SECRETS as SECRET_PATTERNS

PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]{2,63}(?::[0-9a-f]{12,16})?\]")
SHORTEST = 6
LONGEST_SECRET_WORD = 15
SEARCH_SECONDS = 1.0

# Mastercard's 2-series and Visa's 19 digits, which presidio's pattern has not.
NEWER_CARDS = r"\b(?:2(?:2[2-9]|[3-6]\d|7[01])\d(?:[- ]?\d{4}){3}|4\d{3}(?:[- ]?\d{4}){3}[- ]?\d{3})\b"
CARD = (
    "card",
    "credit",
    "debit",
    "visa",
    "mastercard",
    "maestro",
    "amex",
    "karte",
    "carte",
    "tarjeta",
    "carta",
)
NIR = r"\b[1-478][ .]?\d{2}[ .]?(?:0[1-9]|1[0-2]|[2-9]\d)[ .]?(?:\d{2}|2[AB])[ .]?\d{3}[ .]?\d{3}[ .]?\d{2}\b"

# Type, pattern, check digits, context words (none: it stands alone), least number of digits.
OWN_PATTERNS: tuple[tuple[str, str, Callable[[str], bool], tuple[str, ...], int], ...] = (
    ("CREDIT_CARD", NEWER_CARDS, is_luhn, (), 16),
    ("CREDIT_CARD", r"\b\d{4}(?:[- ]?\d){8,15}\b", is_luhn, CARD, 12),
    ("FR_NIR", NIR, is_nir, (), 14),
    ("BR_CPF", r"\b\d{3}\.?\d{3}\.?\d{3}-?\d{2}\b", is_cpf, ("cpf",), 11),
)

DIGIT = re.compile(r"[0-9]")
EMAIL_REACH = 320
# Below a secret's: what stands before the @ of a connection string is a password.
EMAIL_SCORE = 0.95
EMAIL_REST = re.compile(r"[^\s@]{1,320}")
EMAIL_DOMAIN = re.compile(r"\.(?:[^\W\d_]{2,}|xn--[\w\-]+)$", re.IGNORECASE)


class Match(NamedTuple):
    """A stretch ``[start, end)`` that is personal data or a secret of one type; ``score`` is in (0, 1]."""

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
    context: Context
    validate: Callable[[str], bool | None]
    core: str
    digits: int

    def may_count(self, digits: int, words: set[str]) -> bool:
        """Whether a stretch with so many digits and these words near it can hold a match that counts."""
        return digits >= self.digits and (self.alone or not self.context.first_words.isdisjoint(words))


def _holds_any(text: str, anchors: Iterable[str]) -> bool:
    for anchor in anchors:  # noqa: SIM110 - a generator expression costs three times as much here
        if anchor in text:
            return True
    return False


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

    The highest score stays, then the longest, then the first, then the type that comes first in the
    catalogue.

    >>> resolve([Match(0, 9, "PHONE_NUMBER", 0.4), Match(0, 9, "US_SSN", 0.5)])
    [Match(start=0, end=9, entity_type='US_SSN', score=0.5)]
    """
    kept: list[Match] = []
    for match in sorted(matches, key=_precedence):
        place = bisect_left(kept, match)
        free_before = place == 0 or kept[place - 1].end <= match.start
        if free_before and (place == len(kept) or match.end <= kept[place].start):
            kept.insert(place, match)
    return kept


_ORDER = {entity_type: place for place, entity_type in enumerate((UNSEARCHED, *ENTITY_TYPES))}


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

    def __init__(self, entity_types: Collection[str] | None = None, custom: Sequence[tuple[str, str]] = ()) -> None:
        """Compile; takes some tenths of a second."""
        wanted = frozenset(ENTITY_TYPES if entity_types is None else entity_types)
        unknown = sorted(wanted - set(ENTITY_TYPES))
        if unknown:
            raise InputError(f"Expected entity types of docs/reference/masking.md, but got {', '.join(unknown)}")
        self.entity_types = wanted
        folding_table()
        files = PresidioFiles()
        self._cores = {name: (re.compile(core.pattern), core.reach) for name, core in CORES.items()}
        self._patterns = [pattern for pattern in self._compile(files) if pattern.entity_type in wanted]
        self._by_core = {name: [p for p in self._patterns if p.core == name] for name in self._cores}
        regex = regex_module()
        flags = regex.IGNORECASE | regex.MULTILINE | regex.DOTALL
        self._secrets = [
            (secret, regex.compile(secret.pattern, flags)) for secret in SECRET_PATTERNS if secret.entity_type in wanted
        ]
        self._short_secrets = [item for item in self._secrets if item[0].longest_word < LONGEST_SECRET_WORD]
        self._custom = [(name, regex.compile(pattern)) for name, pattern in custom]
        email = load_recogniser(files, "generic.email_recognizer", "EmailRecognizer")
        self._email = regex.compile(email.patterns[0].regex, email.global_regex_flags)
        self._iban = load_recogniser(files, "generic.iban_recognizer", "IbanRecognizer").validate_result
        self._phones = PhoneFinder(Context(catalogue.PHONE_CONTEXT))

    def _compile(self, files: PresidioFiles) -> Iterator[_Pattern]:
        regex = regex_module()
        for entity in PRESIDIO:
            if entity.entity_type not in self.entity_types:
                continue
            recogniser = load_recogniser(files, entity.path, entity.class_name)
            context = Context(entity.context or recogniser.context)
            validate = _validator(entity.entity_type, recogniser)
            checked = "validate_result" in vars(type(recogniser))
            for pattern in recogniser.patterns:
                if pattern.name not in entity.without:
                    search = regex.compile(pattern.regex, recogniser.global_regex_flags)
                    alone = entity.alone and (checked or pattern.score >= THRESHOLD)
                    kind, core, digits = entity.entity_type, entity.core, entity.digits
                    yield _Pattern(kind, search, pattern.score, alone, context, validate, core, digits)
        for entity_type, expression, check, words, digits in OWN_PATTERNS:
            search = regex.compile(expression, regex.IGNORECASE)
            yield _Pattern(entity_type, search, 0.5, not words, Context(words), check, "number", digits)

    def find(self, text: str, prefilter: bool = True) -> list[Match]:
        """Return what is found, without overlaps, in the order of the text; positions are those of ``text``.

        What already stands for a masked value (``[EMAIL_ADDRESS]``) is never found. ``prefilter=False``
        searches everything by every pattern: the same result, for tests.
        """
        if len(text) < SHORTEST:
            return []
        folded = fold(text)
        plain = folded.text
        if "[" in plain:
            plain = PLACEHOLDER.sub(lambda found: "\x00" * len(found[0]), plain)
        lower = lower_case(plain)
        longest = max(map(len, plain.split()), default=0) if prefilter else len(plain)
        matches: list[Match] = []
        if not prefilter or DIGIT.search(plain) is not None:
            self._find_numbers(plain, lower, longest, prefilter, matches)
        if "@" in plain and "EMAIL_ADDRESS" in self.entity_types:
            matches.extend(self._find_emails(plain))
        matches.extend(self._find_secrets(plain, lower, longest, prefilter))
        if self._custom:
            matches.extend(self._find_custom(plain))
        if not matches:
            return []
        kept = resolve(matches) if len(matches) > 1 else matches
        if folded.positions is None:
            return kept
        return [
            match._replace(start=start, end=end)
            for match in kept
            for start, end in [folded.original(match.start, match.end)]
        ]

    def _find_numbers(self, text: str, lower: str, longest: int, prefilter: bool, matches: list[Match]) -> None:
        for name, (core, reach) in self._cores.items():
            if name == "token" and longest <= catalogue.LONGEST_PLAIN_WORD:
                continue
            for start, end in windows(text, core, reach) if prefilter else [(0, len(text))]:
                patterns = self._by_core[name]
                if prefilter:
                    words = words_near(lower, start, end)
                    digits = len(DIGIT.findall(text, start, end))
                    patterns = [pattern for pattern in patterns if pattern.may_count(digits, words)]
                self._search(text, lower, (start, end), patterns, core, matches)
        if "IBAN_CODE" in self.entity_types:
            matches.extend(Match(start, end, "IBAN_CODE", 1.0) for start, end in find_ibans(text, self._iban))
        if "PHONE_NUMBER" in self.entity_types:
            matches.extend(Match(s, e, "PHONE_NUMBER", score) for s, e, score in self._phones.find(text, lower))

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
        if pattern.context.near(lower, start, end):
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
                        yield Match(start + found.start(), start + found.end(), "EMAIL_ADDRESS", EMAIL_SCORE)
            at = text.find("@", at + 1)

    def _find_secrets(self, text: str, lower: str, longest: int, prefilter: bool) -> Iterator[Match]:
        # In prose, whose words are short, three of the patterns are left.
        for secret, pattern in self._secrets if longest >= LONGEST_SECRET_WORD else self._short_secrets:
            if not prefilter or (longest >= secret.longest_word and _holds_any(lower, secret.anchors)):
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
                        yield Match(found.start(), found.end(), name, 1.0)
            except TimeoutError:
                # It may hold anything: all of it is masked, also where the policy keeps this pattern's type.
                yield Match(0, len(text), UNSEARCHED, 1.0)


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether dotted numbers go on before or after: an object identifier or a version, no address."""
    return text[start - 1 : start] == "." or (text[end : end + 1] == "." and text[end + 1 : end + 2].isdigit())


def _validator(entity_type: str, recogniser: PatternRecogniser) -> Callable[[str], bool | None]:
    """Return presidio's two checks as one: False refuses, True is certain, None says nothing."""

    def check(value: str) -> bool | None:
        if recogniser.invalidate_result(value):
            return False
        valid = recogniser.validate_result(value)
        if valid is not False and entity_type == "IP_ADDRESS" and not is_public_address(value):
            return False
        if valid and entity_type == "CREDIT_CARD" and value.startswith("1"):
            # Airlines' cards begin so, and so does any binary number: a context word has to be there.
            return None
        return valid

    return check

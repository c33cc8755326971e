"""Numbers that a pattern alone does not settle: telephone numbers, IBANs, and numbers by check digits."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from evalsvc.privacy.context import Context

ZERO_REGIONS = ("GB", "DE", "FR", "IL", "IN", "BR")
"""Where numbers are written with a leading zero: presidio's default regions but the US and Canada."""

# phonenumbers' own punctuation between the digits of one number, at most four in a row.
PUNCTUATION = r"[\-x\u2010-\u2015\u2212\u30fc \u00a0\u3000()\[\].~\u2053\u223c/]"
PHONE_CORE = re.compile(rf"[0-9](?:{PUNCTUATION}{{0,4}}[0-9]){{6,}}")
PHONE_MARGIN = 24
LONGEST_CHAIN = 120
VALID_LENIENCY = 1
ARITHMETIC = re.compile(r"(?<!\d)0\.\d|/|\[|(?<!\d)\d{1,3}(?:\.\d{1,3}){3}(?!\d)")
DECIMAL = re.compile(r"\W*\d+\.\d+\W*")
NORTH_AMERICAN = re.compile(r"(?<![\d.])(?:1[ .\-]?)?\(?[2-9]\d{2}\)?[ .\-]{1,2}\d{3}[ .\-]?\d{4}(?!\d)")
LEADING_ZERO = re.compile(r"(?<![\d.\-/])\(?0\d{1,5}\)?[ .\-/]{1,2}\d")
SHAPED = re.compile(
    r"(?<![\w.\-/])(?P<number>(?:\+|\(?00)?\(?\d{1,5}\)?(?:[ .\-/()]{0,2}\d{1,11}){0,6})"
    r"(?:\s?(?:x|ext\.?)\s?\d{1,6})?(?![\w%]|[.,]\d)"
)
SHAPED_DIGITS = range(7, 16)

IBAN_CHECK = re.compile(r"[0-9][0-9](?<=[A-Za-z]{2}[0-9]{2})(?=[ -]?[A-Za-z0-9]{4})")
IBAN_LENGTHS = range(15, 35)


def digits_of(text: str) -> str:
    """Return the digits of a text, in their order."""
    return "".join(character for character in text if character.isdigit())


def find_ibans(text: str, validate: Callable[[str], bool | None]) -> Iterator[tuple[int, int]]:
    """Yield the spans of IBANs: from a start, the shortest run whose format and check digits hold.

    Upper or lower case, with single spaces or hyphens inside; ``validate`` is presidio's check of a compact
    value.
    """
    for check in IBAN_CHECK.finditer(text):
        start = check.start() - 2
        if start and text[start - 1].isalnum():
            continue
        compact = ""
        position = start
        limit = min(len(text), position + 2 * IBAN_LENGTHS.stop)
        while position < limit and len(compact) < IBAN_LENGTHS.stop:
            character = text[position]
            if character.isascii() and character.isalnum():
                compact += character.upper()
            elif character not in " -" or not text[position - 1].isalnum():
                break
            position += 1
            ends_here = position == len(text) or not text[position].isalnum()
            if ends_here and len(compact) in IBAN_LENGTHS and validate(compact):
                yield start, position
                break


class PhoneFinder:
    """Finds telephone numbers: shapes with ``+`` or beside a telling word, and others known to be valid.

    A shape is 7 to 15 digits in groups. Without ``+`` and context word a number counts where it is written
    as in North America (three, three, four) or with a leading zero and a separator, and valid there
    (:func:`regions_of`).
    """

    def __init__(self, context: Context) -> None:
        """Take the words that tell of a telephone number."""
        import phonenumbers

        self._matcher: Any = phonenumbers.PhoneNumberMatcher
        self._context = context

    def find(self, text: str, lower: str) -> Iterator[tuple[int, int, float]]:
        """Yield (start, end, score) of numbers, which may overlap; ``lower`` is the text in lower case."""
        for core in PHONE_CORE.finditer(text):
            start, end = core.span()
            near = self._context.near(lower, start, end)
            low, high = max(0, start - PHONE_MARGIN), min(len(text), end + PHONE_MARGIN)
            for first, last, score in self._in_part(text[low:high], near, regions_of(core[0])):
                yield low + first, low + last, score

    def _in_part(self, part: str, near: bool, regions: tuple[str, ...]) -> Iterator[tuple[int, int, float]]:
        if near or "+" in part:
            for shape in SHAPED.finditer(part):
                if (near or shape[0][0] == "+") and len(digits_of(shape["number"])) in SHAPED_DIGITS:
                    yield *shape.span(), (0.6 if near else 0.45)
        for region in regions:
            for match in self._matcher(part, region, leniency=VALID_LENIENCY):
                value = part[match.start : match.end]
                if len(digits_of(value)) >= SHAPED_DIGITS.start and not ARITHMETIC.search(value):
                    yield match.start, match.end, 0.4


def regions_of(chain: str) -> tuple[str, ...]:
    """Return where a chain of digits is checked: written as North Americans do, or with a leading zero.

    >>> regions_of("(415) 555-0123"), regions_of("030 901820")[:2], regions_of("0.227027")
    (('US',), ('GB', 'DE'), ())
    """
    if len(chain) > LONGEST_CHAIN or DECIMAL.fullmatch(chain):
        return ()
    north_american = ("US",) if NORTH_AMERICAN.search(chain) else ()
    return north_american + (ZERO_REGIONS if LEADING_ZERO.search(chain) else ())


def is_nir(value: str) -> bool:
    """Whether the key of a French social security number holds (13 digits and 2 of key; Corsica included).

    >>> is_nir("2 55 08 14 168 025 38"), is_nir("2 55 08 14 168 025 39")
    (True, False)
    """
    compact = re.sub(r"[ .]", "", value).upper()
    number = compact[:-2].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(compact[-2:])


def is_cpf(value: str) -> bool:
    """Whether both check digits of a Brazilian CPF hold, and its digits are not all the same.

    >>> is_cpf("529.982.247-25"), is_cpf("529.982.247-26"), is_cpf("111.111.111-11")
    (True, False, False)
    """
    digits = [int(digit) for digit in digits_of(value)]
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = sum(digit * weight for digit, weight in zip(digits, range(length + 1, 1, -1), strict=False))
        if digits[length] != total * 10 % 11 % 10:
            return False
    return True


def is_public_address(value: str) -> bool:
    """Whether an IP address can point at somebody: no private, loopback or sample one, no network mask.

    >>> is_public_address("58.74.121.78"), is_public_address("192.168.1.1")
    (True, False)
    """
    try:
        address = ipaddress.ip_address(value.split("/")[0].split("%")[0])
    except ValueError:
        return False
    if address.version == 6 and (len(re.findall(r"[0-9A-Fa-f]+", value)) < 2 or not any(map(str.isdigit, value))):
        return False
    return address.is_global and not address.is_multicast and not value.startswith("255.")


def is_luhn(value: str) -> bool:
    """Whether Luhn's check digit holds (ISO/IEC 7812-1).

    >>> is_luhn("4111 1111 1111 1111"), is_luhn("4111 1111 1111 1112")
    (True, False)
    """
    digits = [int(digit) for digit in reversed(digits_of(value))]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0

"""Cut a text into sentences by rule, in any script that ends them with a mark, keeping their positions.

A full stop ends no sentence after an abbreviation, an initial or a list number, nor before a small letter.
The marks of Chinese, Japanese, Devanagari, Arabic, Ethiopic, Khmer and Burmese end one always. A line break
does before a blank line, a list item or anything but a small letter, so that most wrapped prose stays
together. Where a rule must guess it joins rather than cuts: a long sentence still has its words, half a
sentence has lost its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ABBREVIATIONS = """
    mr mrs ms dr prof sr jr st rev hon gen col sgt capt lt gov sen rep pres
    vs etc al cf eg ie viz approx ca resp incl excl esp est fig figs eq no nos vol vols pp ch sec art ed eds
    inc ltd corp dept univ assn bros jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri
    e.g i.e a.m p.m u.s u.k e.u d.c ph.d b.a m.a u.n a.k.a
    bzw usw z.b d.h u.a ggf evtl bspw vgl abs str nr hr fr mme mlle sra ud uds pág núm p.ej ecc dott sig art.
    т.е т.к т.д т.п г ул им др пр
"""  # noqa: RUF001
ABBREVIATIONS = frozenset(_ABBREVIATIONS.split())
# Followed by a capital these more often end a sentence than not: "at 5 p.m. The", "apples, pears, etc. The".
_MAY_END = frozenset({"etc", "usw", "ecc", "a.m", "p.m", "ph.d", "inc", "ltd", "corp"})

_ALWAYS = "。！？｡।॥۔؟።፧។៕။"  # noqa: RUF001
_CLOSING = "\"'”’»)\\]）」』】〉》"  # noqa: RUF001
_END = re.compile(rf"(?:[{_ALWAYS}]+[{_CLOSING}]*\s*|[.!?…]+[{_CLOSING}]*(?=\s|$)\s*|\n\s*)")
_WORD_BEFORE = re.compile(r"[^\W_][\w.]*$")
_ITEM = re.compile(r"(?:[-*•–·]|\(?\d{1,3}[.)]|\(?[A-Za-z][.)])\s")
_LIST_NUMBER = re.compile(r"\s*\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})$")
_LONGEST_WORD = 40

Span = tuple[int, int]


def sentence_spans(text: str) -> list[Span]:
    """Return half-open character positions of the sentences, in order, without surrounding white space.

    Every character that is not white space is in exactly one of them. Linear in the text's length.

    >>> text = "Dr. Lee paid 3.5 million. Why? 不知道。好。"
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['Dr. Lee paid 3.5 million.', 'Why?', '不知道。', '好。']
    """
    spans: list[Span] = []
    start = 0
    for match in _END.finditer(text):
        if _ends_sentence(text, start, match):
            _append(spans, text, start, match.end())
            start = match.end()
    _append(spans, text, start, len(text))
    return spans


def passages(text: str, size: int = 3, step: int = 2) -> list[str]:
    """Return runs of ``size`` neighbouring sentences, a new one every ``step``; a short text is one.

    >>> passages("We sell. You buy. He waits. She pays. They go.")
    ['We sell. You buy. He waits.', 'He waits. She pays. They go.']
    """
    spans = sentence_spans(text)
    return [text[run[0][0] : run[-1][1]] for run in _runs(spans, size, step)]


def _runs(spans: Sequence[Span], size: int, step: int) -> list[Sequence[Span]]:
    last = max(len(spans) - size, 0)
    starts = [*range(0, last, step), last] if spans else []
    return [spans[start : start + size] for start in starts]


def _append(spans: list[Span], text: str, start: int, end: int) -> None:
    part = text[start:end]
    left = start + len(part) - len(part.lstrip())
    right = start + len(part.rstrip())
    if left < right:
        spans.append((left, right))


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    mark = text[match.start()]
    if "\n" in match.group() and _line_ends(text, match):
        return True
    if mark == "\n":
        return False
    if mark in "!?" or mark in _ALWAYS:
        return not text[match.end() : match.end() + 1].islower() or mark in _ALWAYS
    return _stop_ends(text, start, match)


def _line_ends(text: str, match: re.Match[str]) -> bool:
    """Whether a line break ends a sentence."""
    if match.group().count("\n") > 1 or _ITEM.match(text, match.end()):
        return True
    return text[match.start() - 1 : match.start()] in {":", ";"} or not text[match.end() : match.end() + 1].islower()


def _stop_ends(text: str, start: int, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 1]
    if following.islower():
        return False
    if match.group().rstrip() != ".":
        return True
    if _LIST_NUMBER.fullmatch(text, start, match.start()):
        return False
    before = _WORD_BEFORE.search(text, max(start, match.start() - _LONGEST_WORD), match.start())
    if before is None:
        return True
    word = before.group().lower()
    if word in ABBREVIATIONS:
        return word in _MAY_END and following.isupper()
    # An initial, as in "J. R. Smith", or "z. B."; "I" is a pronoun more often than an initial.
    return not (len(word) == 1 and word.isalpha() and word != "i")

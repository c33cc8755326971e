"""The prose of a text: what is left without code, addresses and tables, for scorers that read language."""

from __future__ import annotations

import re

LONGEST = 200_000
"""How many characters are read."""

SIGNATURE = "prose:2"
"""What a signature says of these rules."""

# Each is linear: nothing that repeats can match in two ways, and what is bounded stays short.
_FENCED = re.compile(r"^[ \t]{0,3}(```|~~~)[^\n]*\n.*?(?:^[ \t]{0,3}\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]{1,200}`")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_KEY = re.compile(r'(?:^[ \t]*|[{,\[][ \t]{0,8})"[^"\s]{1,60}(?: [^"\s]{1,30}){0,2}"[ \t]{0,8}:')
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"?')
_WORDS_OF_A_VALUE = 5

_SQL = (
    r"SELECT(?:$| [^A-Z])|SELECT [\w.,* ]{1,200}(?: FROM |$)|INSERT INTO |DELETE FROM |UPDATE [\w.]+(?:$| SET )|"
    r"(?:CREATE|ALTER|DROP) (?:OR REPLACE )?(?:TABLE|VIEW|INDEX|DATABASE|MATERIALIZED|FUNCTION|USER)\b|"
    r"FROM [\w.`\"]+(?: (?:AS )?\w+)?[,;)]?$|WHERE [^ ]+ ?(?:[=<>!]|(?:IN|LIKE|IS|BETWEEN|NOT)\b)|"
    r"(?:LEFT |RIGHT |INNER |OUTER |CROSS )?JOIN [\w.]|(?:GROUP|ORDER|PARTITION) BY |UNION ALL|ENGINE ?= ?\w|"
    r"VALUES ?\(|(?:AND|OR) [\w.]+ ?[=<>!]"
)
_SHELL = (
    r"\$ |sudo \w|(?:pip3?|npm|yarn|apt|apt-get|brew|cargo|conda|docker|kubectl|git|systemctl) [a-z][\w-]+(?: |$)|"
    r"(?:curl|wget|chmod|chown|mkdir|grep|sed|awk|tar|ssh|rm|cp|mv|ls|cd) (?:-|[~/.$\"'])|export \w+=|echo [\"'$]|"
    r"(?:fi|done|esac|then|EOF)$|[A-Z_]{2,}=\S"
)
_LANGUAGES = (
    r">>> (?![A-Z])|\.\.\. {4}|#include\b|#define\b|#!|//|/\*|@\w+(?:\([^\n]*\))?$|import [\w.*{}, ]+ from [\"']|"
    r"import [\w.]+(?: as \w+)?;?$|from [\w.]+ import |(?:async )?def \w+\(|class \w+(?:[:({]| extends )|"
    r"(?:const|let|var|int|char|float|double|bool|auto|void) [\w*\[\]{}, ]+ ?[=:;(]|(?:fn|func|function)\*? ?\w*\(|"
    r"(?:public|private|protected|static|export|override|final) [\w<>, ]+[({;=]|using [\w.:]+( = [\w.]+)?;|"
    r"(?:if|while|for|switch|catch) ?\([^\n]*\) ?(?:\{|$)|(?:else|try|finally|do)(?: ?[:{]$|$)|"
    r"(?:elif|except|while|with|if|for) [^\n]{1,300}[^\s]:$|(?:return|raise|throw|yield|await) [^\n]*[)\]}'\";]$|"
    r"[\w.]{1,60}(?:, ?\w+)* ?[-+*/|]?= ?(?:[\"'\[({]|-?[\w.]+;?$|[\w.]+\()|"
    r"(?:return|break|continue|pass|raise)(?: (?:\w+|-?\d+|\"[^\"]*\"))?;?$|[.#]?[\w-]+ \{$|[})\]]+[;,)]*$|"
    r"[\"'][^\"'\s]*[\"'],$"
)
_CODE_START = re.compile(rf"\s*(?:{_SQL}|{_SHELL}|{_LANGUAGES})")
_MARKER = re.compile(r"^\s*(?:#{1,6}\s|>\s?|[*+•–-]\s|\w{1,3}[.)]\s)+")

# What people write in prose though it has the signs of code; each is taken out whole.
_NO_CODE = re.compile(
    r"&#?\w{1,8};|(?<![\w.])[@#]\w+:?|\{\{[^{}\n]{1,60}\}\}|(?<![\w\]=)(])[\[{<](?:\w[^\[\]{}<>\n,=();\"']{0,80}|\.{3}|…)[\]}>]|"
    r"(?<=[A-Za-z])\*{2,8}|\*{1,3}(?=\w)[^*\n]{1,200}(?<=[\w.,:!?)'\"])\*{1,3}|_(?=[^_\s])[^_\n]{1,200}_(?!\w)|"
    r"(?<!\S)[:;=]-?[()/DPp]{1,3}(?!\w)|(?<=\w)\((?:e?s|r|n|en|in|innen)\)|(?<!\S)&(?!\S)|"
    r"(?<=\d)%|[$#~+](?=\d)|(?<=[A-Za-z])/(?=[A-Za-z])"
)
_IN_BRACKETS = re.compile(r"(?<![\w=)\]])\(([^()\n]{1,300})\)(?=$|[\s.,:!?;\"'”’*-])")
_CODE_SIGNS = re.compile(r"[{}\[\]<>=|_\\;()/*+&^%$#@~]")
_CODE_NAMES = re.compile(
    r"(?<![\w.])(?:[A-Za-z]\w*\.[a-z]\w*[.(\[]|[A-Za-z_]\w*\(|[a-z][a-z0-9]*_\w+|[a-z]{2,}[A-Z]\w*[a-z]|"
    r"(?:self|this)\.\w+)[\w.]*|(?<!\S)--?[a-z][\w-]*(?:=\S+)?|(?<![\w/])/?\w+/\w+/[\w./]+"
)
_CODE_END = re.compile(r"(?:\{|[)\]}\"'];|=[^=]{1,100};)\s*$")
_SHARE_OF_SIGNS = 0.12
_SHARE_OF_NAMES = 0.4
_SENTENCE_END = re.compile(r"[.!?…。！？:]['\"”’)*]*\s*$")  # noqa: RUF001
_FEW_WORDS = 6


def prose(text: str) -> str:
    r"""Return the lines of prose: without code (fenced, in backticks or by its looks), addresses, tags, JSON's keys.

    A line without the looks of code that stands between lines of code is code, unless it is long or ends as
    sentences do.

    >>> prose("Run `ls -l`, see https://example.com/a:\n```\nls -l\n```\nx = f(y);\nDone?")
    'Run  , see  \nDone?'
    """
    plain = _FENCED.sub("\n", text[:LONGEST])
    for pattern in (_INLINE_CODE, _ADDRESS, _TAG):
        plain = pattern.sub(" ", plain)
    lines = [line for line in map(_without_keys, plain.split("\n")) if line.strip()]
    code = [looks_like_code(line) for line in lines]
    kept = [
        line
        for place, line in enumerate(lines)
        if not (code[place] or (0 < place < len(lines) - 1 and code[place - 1] and code[place + 1] and _short(line)))
    ]
    return "\n".join(kept)


def looks_like_code(line: str) -> bool:
    """Whether a line opens as code does, or has too large a share of the signs or the names of code.

    >>> looks_like_code("for (i = 0; i < n; i++) {"), looks_like_code("It takes three days (or one).")
    (True, False)
    >>> looks_like_code("Dear [Name], your order {{Order Number}} was sent (p = 0.7).")
    False
    """
    if _CODE_START.match(line):
        return True
    bare = _MARKER.sub("", line, count=1)
    bare = _IN_BRACKETS.sub(r" \1 ", _NO_CODE.sub(" ", bare))
    filled = sum(map(len, bare.split()))
    signs = len(_CODE_SIGNS.findall(bare))
    if signs > _SHARE_OF_SIGNS * filled or (signs > 1 and _CODE_END.search(bare)):
        return True
    return sum(len(match.group()) for match in _CODE_NAMES.finditer(bare)) > _SHARE_OF_NAMES * filled


def _without_keys(line: str) -> str:
    """Return of a line of JSON the values that have the words of a sentence; any other line as it is."""
    if not line.lstrip().startswith(('"', "{", "[")) or not _KEY.search(line):
        return line
    values = _QUOTED.findall(_KEY.sub(" ", line))
    return " ".join(value for value in values if len(value.split()) >= _WORDS_OF_A_VALUE)


def _short(line: str) -> bool:
    return len(line.split()) < _FEW_WORDS and not _SENTENCE_END.search(line)

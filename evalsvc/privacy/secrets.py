"""Patterns for secrets: keys and tokens by their issuers' prefixes, and values under telling names.

Each has literal anchors, one of which is in every match (compared in lower case); a text without any anchor
is never searched. Prefixes are the ones that the issuers document for secret scanning.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

MINIMUM_ENTROPY = 3.2
MINIMUM_ENTROPY_HEX = 2.9


class Secret(NamedTuple):
    """A pattern, its anchors and a check of the found value; its group ``value``, if any, is what is masked.

    Every match has a stretch of ``longest_word`` characters or more without white space.
    """

    entity_type: str
    anchors: tuple[str, ...]
    pattern: str
    check: Callable[[str], bool] | None = None
    score: float = 1.0
    longest_word: int = 15


def entropy(text: str) -> float:
    """Return Shannon's entropy of the characters, in bits a character.

    >>> entropy("aaaa"), entropy("abcd")
    (0.0, 2.0)
    """
    if len(set(text)) <= 1:
        return 0.0
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
PLACEHOLDER_WORDS = (
    "your",
    "example",
    "placeholder",
    "changeme",
    "change_me",
    "xxxx",
    "dummy",
    "insert",
    "redacted",
    "...",
    "****",
    "<",
    ">",
    "${",
    "{{",
    "[",
    "process.env",
    "os.environ",
    "getenv",
    "config.",
    "settings.",
    "self.",
    "this.",
    "getpass",
    "input(",
    "null",
    "none",
    "undefined",
    "true",
    "false",
    "string",
    "varchar",
    "hash",
    "test",
)


def is_password(value: str) -> bool:
    """Whether an assigned value reads as a password rather than as a word, a variable or a placeholder.

    It has a digit or punctuation beside letters, no call or attribute, and none of the words that examples
    use.

    >>> is_password("hunter2!x"), is_password("required"), is_password("your_password1")
    (True, False, False)
    """
    value = value.rstrip(".!?:)]}")
    lower = value.lower()
    if len(value) < 5 or any(word in lower for word in PLACEHOLDER_WORDS) or "(" in value:
        return False
    if not any(character.isalpha() for character in value):
        return value.isdigit()
    return any(character.isdigit() for character in value) or any(character in "!@#%^&*?+" for character in value)


def is_random(value: str) -> bool:
    """Whether a value looks drawn at random: digits beside letters, and high entropy for its alphabet.

    >>> is_random("9f86d081884c7d659a2feaa0c55ad015"), is_random("database_connection_name_1")
    (True, False)
    """
    lower = value.lower()
    if UUID.fullmatch(value) or any(word in lower for word in ("your", "example", "placeholder", "xxxx")):
        return False
    digits = sum(character.isdigit() for character in value)
    if digits < 2 or digits == len(value):
        return False
    if all(character in "0123456789abcdef" for character in lower):
        return len(value) >= 24 and entropy(lower) >= MINIMUM_ENTROPY_HEX
    return len(value) >= 20 and digits >= 3 and entropy(value) >= MINIMUM_ENTROPY


ASSIGN = r"""["'`]?\s{0,3}(?::=|=>|=|:)\s{0,3}"""
ASSIGNED_WORDS = r"pass(?:word|wd|phrase|wort|code)?|kennwort|contrase(?:ñ|n)a|mot[ _]de[ _]passe|senha|pwd|pin"
ASSIGNED_NAMES = r"(?:key|token|secret|credential|credentials|signature|salt|auth)"

SECRETS: tuple[Secret, ...] = (
    Secret(
        "PRIVATE_KEY",
        ("private key",),
        r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:.{0,20000}?-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"|(?:\s{0,4}[A-Za-z0-9+/=:,\\\-]{20,}){1,400})",
        longest_word=0,
    ),
    Secret(
        "CONNECTION_STRING",
        ("://",),
        r"\b[a-z][a-z0-9+.\-]{1,30}://(?P<value>[^\s:/@\"'<>\[\]{}$]{0,128}:[^\s/@\"'<>\[\]{}$]{3,128})(?=@[\w.\-\[])",
    ),
    Secret("JWT", ("eyj",), r"\beyJ[\w\-]{8,4096}\.eyJ[\w\-]{8,8192}(?:\.[\w\-]{0,2048})?"),
    Secret(
        "AWS_ACCESS_KEY",
        ("akia", "asia", "aroa", "aida", "agpa", "anpa"),
        r"(?<![A-Za-z0-9])(?-i:A(?:KIA|SIA|ROA|IDA|GPA|NPA)[A-Z0-9]{16})(?![A-Za-z0-9])",
    ),
    Secret(
        "AWS_SECRET_KEY",
        ("aws",),
        r"aws[\w .\-]{0,24}(?:secret|key)[\w .\-]{0,16}"
        + ASSIGN
        + r"""["'`]?(?P<value>[A-Za-z0-9/+=]{40})(?![A-Za-z0-9/+=])""",
    ),
    Secret("ANTHROPIC_KEY", ("sk-ant-",), r"\bsk-ant-[\w\-]{16,200}"),
    Secret(
        "OPENAI_KEY",
        ("sk-",),
        r"\bsk-(?!ant-)(?:(?:proj|svcacct|admin|None)-)?[\w\-]{20,200}",
        lambda value: sum(character.isdigit() for character in value) >= 2,
    ),
    Secret(
        "GITHUB_TOKEN",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{22,255})",
    ),
    Secret("GITLAB_TOKEN", ("glpat-", "gldt-", "glrt-"), r"\bgl(?:pat|dt|rt)-[\w\-]{18,64}"),
    Secret(
        "SLACK_TOKEN",
        ("xox", "hooks.slack.com"),
        r"\bxox[abeoprs](?:\.xox[a-z])?-[\w\-]{10,250}|hooks\.slack\.com/(?:services|workflows)/(?P<value>[\w/]{20,100})",
    ),
    Secret(
        "STRIPE_KEY",
        ("k_live_", "k_test_", "whsec_"),
        r"\b(?:[srp]k_(?:live|test)_|whsec_)[A-Za-z0-9]{16,200}",
    ),
    Secret(
        "GOOGLE_KEY",
        ("aiza", "ya29.", "gocspx-"),
        r"\b(?-i:AIza[\w\-]{35}|ya29\.[\w\-.]{20,400}|GOCSPX-[\w\-]{20,64})",
    ),
    Secret("HUGGINGFACE_TOKEN", ("hf_",), r"\bhf_(?-i:[A-Za-z0-9]{30,64})\b"),
    Secret("NPM_TOKEN", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}\b"),
    Secret("PYPI_TOKEN", ("pypi-age",), r"\bpypi-AgE[\w\-]{40,250}"),
    Secret("SENDGRID_KEY", ("sg.",), r"\b(?-i:SG)\.[\w\-]{16,32}\.[\w\-]{32,64}"),
    Secret("TELEGRAM_TOKEN", (":aa",), r"(?<!\d)\d{8,10}:(?-i:AA)[\w\-]{33}(?![\w\-])"),
    Secret(
        "BEARER_TOKEN",
        ("bearer", "basic"),
        r"\bbearer\s{1,3}(?P<value>[\w.~+/\-]{16,4096}=*)|\bauthorization"
        + ASSIGN
        + r"""["'`]?basic\s{1,3}(?P<value>[\w+/]{8,1024}=*)""",
        lambda value: any(character.isdigit() for character in value) and "your" not in value.lower(),
        longest_word=8,
    ),
    Secret(
        "PASSWORD",
        ("pass", "pwd", "kennwort", "contrase", "senha", "passe", "pin"),
        r"(?:\b|_)(?:"
        + ASSIGNED_WORDS
        + r")(?:"
        + ASSIGN
        + r"""|["']?\s{1,2}(?:is|was|ist|lautet|es|est|è|é)\s{1,2}(?::\s{0,2})?)"""
        r"""(?:"(?P<value>[^"\s]{4,128})"|'(?P<value>[^'\s]{4,128})'|`(?P<value>[^`\s]{4,128})`|(?P<value>[^\s"'`,;\x00]{5,128}))""",
        is_password,
        longest_word=0,
    ),
    Secret(
        "SECRET",
        ("key", "token", "secret", "credential", "signature", "salt", "auth"),
        ASSIGNED_NAMES + r"[\w.\-]{0,24}" + ASSIGN + r"""["'`]?(?P<value>[A-Za-z0-9+/_\-]{20,512}={0,2})""",
        is_random,
        0.9,
    ),
)

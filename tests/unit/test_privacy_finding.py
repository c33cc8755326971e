"""What is found in a text, type by type, and what is not."""

from __future__ import annotations

import pytest

from evalsvc.errors import InputError
from evalsvc.privacy import ENTITY_TYPES, Recognisers

RECOGNISERS = Recognisers()

FOUND = [
    (
        "EMAIL_ADDRESS",
        "write to Ada.Lovelace+test@mail.example.co.uk, please",
        "Ada.Lovelace+test@mail.example.co.uk",
    ),
    ("EMAIL_ADDRESS", "intern: bob@mail.corp", "bob@mail.corp"),
    ("EMAIL_ADDRESS", "müller@straße.example", "müller@straße.example"),
    ("PHONE_NUMBER", "reach me at (415) 555-0123", "(415) 555-0123"),
    ("PHONE_NUMBER", "+41 44 668 18 00 works too", "+41 44 668 18 00"),
    ("PHONE_NUMBER", "Telefon: 0490 75 40 81", "0490 75 40 81"),
    ("PHONE_NUMBER", "fax 001-748-088-2851x818", "001-748-088-2851x818"),
    ("CREDIT_CARD", "4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "2223003122003222", "2223003122003222"),
    ("CREDIT_CARD", "card 503867297114", "503867297114"),
    ("IBAN_CODE", "GB82 WEST 1234 5698 7654 32 is mine", "GB82 WEST 1234 5698 7654 32"),
    ("IBAN_CODE", "de89370400440532013000 2 days", "de89370400440532013000"),
    ("IP_ADDRESS", "from 58.74.121.78.", "58.74.121.78"),
    ("IP_ADDRESS", "from 2a00:1450:4001:81b::200e", "2a00:1450:4001:81b::200e"),
    ("MAC_ADDRESS", "eth0 3c:22:fb:9a:0b:1c up", "3c:22:fb:9a:0b:1c"),
    ("CRYPTO", "send to 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ", "16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ"),
    ("US_SSN", "my SSN is 460-89-9847", "460-89-9847"),
    ("US_PASSPORT", "passport 912803456", "912803456"),
    ("US_BANK_NUMBER", "account 945456787654", "945456787654"),
    ("UK_NHS", "NHS number 943 476 5919", "943 476 5919"),
    ("UK_NINO", "AB 12 34 56 C", "AB 12 34 56 C"),
    ("ES_NIF", "DNI 55555555K", "55555555K"),
    ("IT_FISCAL_CODE", "MRTMTT91D08F205J", "MRTMTT91D08F205J"),
    ("PL_PESEL", "PESEL 44051401359", "44051401359"),
    ("SG_NRIC_FIN", "S2740116C", "S2740116C"),
    ("IN_PAN", "ABCPD1234E", "ABCPD1234E"),
    ("IN_AADHAAR", "aadhaar 312345678909", "312345678909"),
    ("FI_PERSONAL_IDENTITY_CODE", "131052-308T", "131052-308T"),
    ("KR_RRN", "960121-1234567", "960121-1234567"),
    ("FR_NIR", "2 55 08 14 168 025 38", "2 55 08 14 168 025 38"),
    ("BR_CPF", "CPF 529.982.247-25", "529.982.247-25"),
    ("AWS_ACCESS_KEY", "AKIAIOSFODNN7EXAMPLQ", "AKIAIOSFODNN7EXAMPLQ"),
    ("AWS_SECRET_KEY", "aws_secret_access_key = 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", None),
    ("ANTHROPIC_KEY", "sk-ant-api03-" + "aB3" * 12, "sk-ant-api03-" + "aB3" * 12),
    ("OPENAI_KEY", "sk-proj-" + "aB3" * 12, "sk-proj-" + "aB3" * 12),
    ("GITHUB_TOKEN", "ghp_" + "aB3x" * 9, "ghp_" + "aB3x" * 9),
    ("GITLAB_TOKEN", "glpat-" + "aB3x" * 5, "glpat-" + "aB3x" * 5),
    ("SLACK_TOKEN", "xoxb-" + "1234567890-abcdef", "xoxb-1234567890-abcdef"),
    ("STRIPE_KEY", "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"),
    ("GOOGLE_KEY", "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", None),
    ("HUGGINGFACE_TOKEN", "hf_" + "aBcD" * 9, "hf_" + "aBcD" * 9),
    ("JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123", None),
    (
        "PRIVATE_KEY",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----",
        None,
    ),
    ("CONNECTION_STRING", "postgres://app:s3cr3t@db.example.org/x", "app:s3cr3t"),
    ("BEARER_TOKEN", "Authorization: Bearer abcdef0123456789abcdef", "abcdef0123456789abcdef"),
    ("PASSWORD", "password: hunter2x", "hunter2x"),
    ("PASSWORD", "mein Passwort ist sommer2024", "sommer2024"),
    ("SECRET", "client_secret = '9f86d081884c7d659a2feaa0c55ad015'", "9f86d081884c7d659a2feaa0c55ad015"),
]

NOT_FOUND = [
    "The year 2024-05-17 12:30:45 was 1.5 % above 2023.",
    "Order 12345678 has 3 items.",
    "version 1.2.3.4.5 of 127.0.0.1 and 192.168.1.1 and 255.255.255.0",
    'binary_string = "10011000101100"',
    "weights[5] = {0.227027, 0.1945946, 0.1216216}",
    "PV = 7000 * [(1 - 0.06856)^(-40) / 0.06856]",
    "std::vector<int> v; Ad::be; a::b",
    "What do I do if my PIN was blocked?",
    "password: str = Field(...)",
    "api_key = os.environ['OPENAI_API_KEY_NAME_1']",
    'password = "your_password1"',
    "userKey = 'd2db5ec4-6e7a-11ee-b962-0242ac120002'",
    "https://www.example.org/articles/12345/page",
    "4111 1111 1111 1112 fails Luhn's check",
    "GB82 WEST 1234 5698 7654 33 fails, too",
    "timestamp 1700000000000 and 1700000000",
    "@app.route('/users/<id>') and a @ b",
]


@pytest.mark.parametrize(("entity_type", "text", "value"), FOUND, ids=[f"{row[0]}-{row[1][:12]}" for row in FOUND])
def test_found(entity_type: str, text: str, value: str | None) -> None:
    found = {(match.entity_type, text[match.start : match.end]) for match in RECOGNISERS.find(text)}
    if value is None:
        assert entity_type in {item[0] for item in found}
    else:
        assert (entity_type, value) in found


@pytest.mark.parametrize("text", NOT_FOUND)
def test_not_found(text: str) -> None:
    assert RECOGNISERS.find(text) == []


# Mathematical bold letters, which many sites accept as letters.
BOLD_ADDRESS = "".join(chr(ord(letter) - 97 + 0x1D41A) if letter.isalpha() else letter for letter in "ada@example.org")


@pytest.mark.parametrize(
    ("hidden", "plain"),
    [
        (" ".join(("\uff14" + "\uff11" * 3, *["\uff11" * 4] * 3)), "CREDIT_CARD"),
        ("4111\u200b1111\u200d1111\u20601111", "CREDIT_CARD"),
        ("ada\uff20example.org", "EMAIL_ADDRESS"),
        ("a\u00adda@exam\u200bple.org", "EMAIL_ADDRESS"),
        ("card \u0664" + "\u0661" * 15, "CREDIT_CARD"),
        (BOLD_ADDRESS, "EMAIL_ADDRESS"),
    ],
)
def test_hidden_by_other_characters(hidden: str, plain: str) -> None:
    text = f"🙂 {hidden} 🙂"
    (match,) = RECOGNISERS.find(text)
    assert match.entity_type == plain
    assert text[match.start : match.end] == hidden.removeprefix("card ")


def test_context_decides_for_weak_patterns() -> None:
    assert RECOGNISERS.find("number 912803456") == []
    assert [match.entity_type for match in RECOGNISERS.find("my passport: 912803456")] == ["US_PASSPORT"]
    far = "passport " + "x " * 60 + "912803456"
    assert RECOGNISERS.find(far) == []


def test_only_the_chosen_types_are_found() -> None:
    only = Recognisers(["EMAIL_ADDRESS"])
    found = only.find("ada@example.org, 4111 1111 1111 1111, ghp_" + "aB3x" * 9)
    assert [match.entity_type for match in found] == ["EMAIL_ADDRESS"]


def test_unknown_type_is_refused() -> None:
    with pytest.raises(InputError, match="E_MAIL"):
        Recognisers(["E_MAIL"])


def test_catalogue_names_each_type_once() -> None:
    assert len(ENTITY_TYPES) == len(set(ENTITY_TYPES))


def test_long_texts_take_linear_time() -> None:
    import time

    texts = (
        "a" * 200_000,
        "1 " * 100_000,
        "a@" * 100_000,
        "key=" * 50_000,
        "1.1.1.1:" * 25_000,
        "-----BEGIN PRIVATE KEY-----" * 200,
    )
    for text in texts:
        start = time.process_time()
        RECOGNISERS.find(text)
        assert time.process_time() - start < 10.0, text[:8]

"""The closed list of what masking looks for: each entity type, where its pattern comes from, when it counts.

A match *stands alone* where its shape or its check digits leave little doubt; any other counts only with one
of its context words nearby (:mod:`evalsvc.privacy.context`). ``docs/reference/masking.md`` is this list in
prose.
"""

from __future__ import annotations

from typing import NamedTuple

MASKING_VERSION = 1
THRESHOLD = 0.4
CONTEXT_BONUS = 0.35


class Core(NamedTuple):
    """What every match of a group of patterns contains, and how long such a match can be.

    A pattern is tried only within ``reach`` characters of its core, out to the next white space on both
    sides: that loses nothing, because no match is longer than ``reach``, and white space ends words as the
    ends of a text do.
    """

    pattern: str
    reach: int


# Each begins with one class of characters, which a search skips to; none begins with an alternative.
CORES: dict[str, Core] = {
    # Five digits with at most one separator between neighbours, or the four of a PAN or a Korean passport.
    "number": Core(
        r"[0-9](?:(?:[\s.\-/:_]?[0-9]){4,}|[0-9]{3}(?<=[A-Za-z][0-9]{4})(?=[A-Za-z])"
        r"|[0-9]{3}(?<=[0-9]{3}[A-Za-z][0-9]{4}))",
        40,
    ),
    "medicare": Core(r"[0-9][A-Za-z][0-9A-Za-z][0-9]-?[A-Za-z]", 32),
    "token": Core(r"[0-9A-Za-z]{15,}", 80),
    "mac": Core(r"[:.\-](?:[0-9A-Fa-f]{2}[:\-][0-9A-Fa-f]{2}|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})", 32),
    "ip": Core(r"[.:](?:[0-9]{1,3}\.[0-9]{1,3}\.|:|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:)", 80),
}
LONGEST_PLAIN_WORD = 14
"""Where no word of a text is longer, the core ``token``, fifteen letters or digits, is not looked for."""


class Entity(NamedTuple):
    """One entity type that comes from presidio's patterns.

    ``context`` replaces presidio's words where those are everyday words (``us``, ``number``, ``individual``);
    ``without`` names its patterns that are left out, ``digits`` is the least number of digits in a match.
    """

    entity_type: str
    path: str
    class_name: str
    alone: bool
    core: str = "number"
    context: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    digits: int = 0


PASSPORT = ("passport", "passports", "pasaporte", "passaporto", "reisepass", "travel document")
LICENCE = (
    "driver",
    "drivers",
    "driver's",
    "driving",
    "licence",
    "license",
    "dl",
    "permit",
    "permis",
    "patente",
)
TAX = ("tax", "taxpayer", "tin", "itin", "taxid")
C = "country_specific"

PRESIDIO: tuple[Entity, ...] = (
    Entity("CREDIT_CARD", "generic.credit_card_recognizer", "CreditCardRecognizer", True, digits=13),
    Entity("CRYPTO", "generic.crypto_recognizer", "CryptoRecognizer", True, "token"),
    Entity("IP_ADDRESS", "generic.ip_recognizer", "IpRecognizer", True, "ip", without=("IPv6_unspecified",)),
    Entity("MAC_ADDRESS", "generic.mac_recognizer", "MacAddressRecognizer", True, "mac"),
    Entity("US_SSN", f"{C}.us.us_ssn_recognizer", "UsSsnRecognizer", True, digits=9),
    Entity("US_ITIN", f"{C}.us.us_itin_recognizer", "UsItinRecognizer", False, context=TAX),
    Entity("US_PASSPORT", f"{C}.us.us_passport_recognizer", "UsPassportRecognizer", False, context=PASSPORT),
    Entity(
        "US_DRIVER_LICENSE",
        f"{C}.us.us_driver_license_recognizer",
        "UsLicenseRecognizer",
        False,
        context=LICENCE,
    ),
    Entity(
        "US_BANK_NUMBER",
        f"{C}.us.us_bank_recognizer",
        "UsBankRecognizer",
        False,
        context=("account", "account#", "acct", "bank", "konto", "kontonummer", "compte", "cuenta", "conto"),
    ),
    Entity("ABA_ROUTING_NUMBER", f"{C}.us.aba_routing_recognizer", "AbaRoutingRecognizer", False),
    Entity("MEDICAL_LICENSE", f"{C}.us.medical_license_recognizer", "MedicalLicenseRecognizer", False),
    Entity("US_MBI", f"{C}.us.us_mbi_recognizer", "UsMbiRecognizer", True, "medicare"),
    Entity("US_NPI", f"{C}.us.us_npi_recognizer", "UsNpiRecognizer", False),
    Entity("UK_NHS", f"{C}.uk.uk_nhs_recognizer", "NhsRecognizer", False),
    Entity("UK_NINO", f"{C}.uk.uk_nino_recognizer", "UkNinoRecognizer", True, digits=6),
    Entity(
        "UK_DRIVING_LICENCE",
        f"{C}.uk.uk_driving_licence_recognizer",
        "UkDrivingLicenceRecognizer",
        True,
        "token",
    ),
    Entity("UK_PASSPORT", f"{C}.uk.uk_passport_recognizer", "UkPassportRecognizer", False, context=PASSPORT),
    Entity("ES_NIF", f"{C}.spain.es_nif_recognizer", "EsNifRecognizer", True, digits=7),
    Entity("ES_NIE", f"{C}.spain.es_nie_recognizer", "EsNieRecognizer", True, digits=7),
    Entity("ES_PASSPORT", f"{C}.spain.es_passport_recognizer", "EsPassportRecognizer", False, context=PASSPORT),
    Entity("IT_FISCAL_CODE", f"{C}.italy.it_fiscal_code_recognizer", "ItFiscalCodeRecognizer", True, "token"),
    Entity("IT_DRIVER_LICENSE", f"{C}.italy.it_driver_license_recognizer", "ItDriverLicenseRecognizer", False),
    Entity(
        "IT_IDENTITY_CARD",
        f"{C}.italy.it_identity_card_recognizer",
        "ItIdentityCardRecognizer",
        False,
        context=("carta d'identità", "identità", "cie", "documento"),
    ),
    Entity("IT_PASSPORT", f"{C}.italy.it_passport_recognizer", "ItPassportRecognizer", False, context=PASSPORT),
    Entity(
        "IT_VAT_CODE",
        f"{C}.italy.it_vat_code",
        "ItVatCodeRecognizer",
        False,
        context=("piva", "partita iva", "iva"),
    ),
    Entity("DE_TAX_ID", f"{C}.germany.de_tax_id_recognizer", "DeTaxIdRecognizer", False),
    Entity(
        "DE_SOCIAL_SECURITY",
        f"{C}.germany.de_social_security_recognizer",
        "DeSocialSecurityRecognizer",
        True,
        digits=11,
    ),
    Entity(
        "DE_HEALTH_INSURANCE",
        f"{C}.germany.de_health_insurance_recognizer",
        "DeHealthInsuranceRecognizer",
        False,
    ),
    Entity("PL_PESEL", f"{C}.poland.pl_pesel_recognizer", "PlPeselRecognizer", False),
    Entity(
        "FI_PERSONAL_IDENTITY_CODE",
        f"{C}.finland.fi_personal_identity_code_recognizer",
        "FiPersonalIdentityCodeRecognizer",
        True,
        digits=9,
    ),
    Entity("SE_PERSONNUMMER", f"{C}.sweden.se_personnummer_recognizer", "SePersonnummerRecognizer", False),
    Entity("TR_NATIONAL_ID", f"{C}.turkey.tr_national_id_recognizer", "TrNationalIdRecognizer", False),
    Entity(
        "CA_SIN",
        f"{C}.canada.ca_sin_recognizer",
        "CaSinRecognizer",
        False,
        context=("sin", "social insurance", "nas", "assurance sociale"),
    ),
    Entity("AU_TFN", f"{C}.australia.au_tfn_recognizer", "AuTfnRecognizer", False),
    Entity("AU_MEDICARE", f"{C}.australia.au_medicare_recognizer", "AuMedicareRecognizer", False),
    Entity("IN_AADHAAR", f"{C}.india.in_aadhaar_recognizer", "InAadhaarRecognizer", False),
    Entity("IN_PAN", f"{C}.india.in_pan_recognizer", "InPanRecognizer", True, without=("PAN (Low)",), digits=4),
    Entity("IN_PASSPORT", f"{C}.india.in_passport_recognizer", "InPassportRecognizer", False, context=PASSPORT),
    Entity(
        "IN_VOTER",
        f"{C}.india.in_voter_recognizer",
        "InVoterRecognizer",
        False,
        context=("voter", "epic", "elector"),
    ),
    Entity("SG_NRIC_FIN", f"{C}.singapore.sg_fin_recognizer", "SgFinRecognizer", True, digits=7),
    Entity("KR_RRN", f"{C}.korea.kr_rrn_recognizer", "KrRrnRecognizer", True, digits=13),
    Entity("KR_FRN", f"{C}.korea.kr_frn_recognizer", "KrFrnRecognizer", True, digits=13),
    Entity(
        "KR_PASSPORT",
        f"{C}.korea.kr_passport_recognizer",
        "KrPassportRecognizer",
        False,
        context=(*PASSPORT, "여권"),
    ),
    Entity("TH_TNIN", f"{C}.thai.th_tnin_recognizer", "ThTninRecognizer", False),
    Entity(
        "ZA_ID_NUMBER",
        f"{C}.south_africa.za_id_number_recognizer",
        "ZaIdNumberRecognizer",
        False,
        context=("south african", "rsa", "identity number", "id number", "smart id"),
    ),
    Entity("NG_NIN", f"{C}.nigeria.ng_nin_recognizer", "NgNinRecognizer", False),
)

PHONE_CONTEXT = (
    "phone",
    "phones",
    "telephone",
    "tel",
    "cell",
    "cellphone",
    "mobile",
    "call",
    "fax",
    "whatsapp",
    "sms",
    "text me",
    "contact number",
    "desk",
    "office",
    "telefon",
    "telefonnummer",
    "handy",
    "mobil",
    "anrufen",
    "téléphone",
    "portable",
    "appeler",
    "teléfono",
    "telefono",
    "móvil",
    "celular",
    "llamar",
    "cellulare",
    "chiamare",
    "telefone",
    "ligar",
    "dial",
)

OWN: tuple[str, ...] = ("EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER", "FR_NIR", "BR_CPF")
"""Types with a procedure of their own; the first three build on presidio's and on phonenumbers."""

SECRETS: tuple[str, ...] = (
    "PRIVATE_KEY",
    "CONNECTION_STRING",
    "JWT",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "ANTHROPIC_KEY",
    "OPENAI_KEY",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "SLACK_TOKEN",
    "STRIPE_KEY",
    "GOOGLE_KEY",
    "HUGGINGFACE_TOKEN",
    "NPM_TOKEN",
    "PYPI_TOKEN",
    "SENDGRID_KEY",
    "TELEGRAM_TOKEN",
    "BEARER_TOKEN",
    "PASSWORD",
    "SECRET",
)

# A text that could not be searched in time; no choice of the operator's, and always masked.
UNSEARCHED = "UNSEARCHED"
ENTITY_TYPES: tuple[str, ...] = (*OWN, *(entity.entity_type for entity in PRESIDIO), *SECRETS)

"""Phrases by which assistants decline, by language: patterns over lower-case text, straight apostrophes."""

from __future__ import annotations

ACTS = (
    "accommodate access advise agree aid answer assist comply complete condone confirm continue create "
    "describe "
    "disclose discuss encourage endorse engage entertain explain facilitate fulfil fulfill generate give "
    "help "
    "justify make offer participate perform proceed process produce promote provide recommend respond reveal "
    "satisfy say share speculate suggest support teach tell write"
)
ACT = f"(?:{'|'.join(ACTS.split())}|do (?:that|this)|be able|carry out)"
CANNOT = (
    r"(?:can(?:no|')t|can not|could not|couldn't|will not|won't|(?:a|')m (?:not able|unable) to|"
    r"(?:a|')m not (?:going|allowed|programmed|designed|permitted|comfortable|authorized) (?:to|with)?|"
    r"(?:a|')m not capable of)"
)
GERMAN_ACT = (
    r"(?:helfen|unterstützen|beantworten|geben|bereitstellen|erfüllen|nachkommen|weiterhelfen|schreiben|"
    r"erstellen|"
    r"anbieten|liefern|dienen|machen|tun)"
)

PATTERNS: dict[str, tuple[str, ...]] = {
    "en": (
        rf"\b(?:i|we) ?(?:am)? ?{CANNOT}(?: \w+ly)? ?(?:in good conscience )?{ACT}",
        rf"\bsorry,? (?:but )?(?:i|we|this|that) ?(?:am)? ?(?:{CANNOT}|can't|do not|don't)",
        r"\b(?:i|we) (?:must|have to|need to|would|'?d have to|will have to) (?:\w+ ){0,2}(?:decline|"
        r"refuse)\b",
        r"\b(?:i|we) (?:\w+ly )?(?:decline|refuse) to\b",
        r"\b(?:i|we) (?:do not|don't) (?:feel comfortable|condone|have the ability|think it(?:'s| is| "
        r"would be)"
        r" (?:\w+ )?(?:appropriate|ethical|right|productive|respectful|a good idea|accurate))",
        r"\bit(?:'s| is| would be) (?:not |never |in)?(?:\w+ly )?(?:appropriate|ethical|acceptable|okay|"
        r"respectful|"
        r"inappropriate|unethical|illegal) (?:or \w+ |, \w+, or \w+ )?(?:for me |to )",
        r"\bit(?:'s| is) not (?:accurate|safe|fair|ethical|respectful|legal) or "
        r"(?:fair|appropriate|respectful|ethical|safe) to\b",
        r"\bagainst (?:my|our) (?:\w+ ){0,2}(?:guidelines|programming|policy|policies|principles|ethics|"
        r"terms)\b",
        r"\b(?:do not|don't|cannot) (?:condone|promote|encourage|endorse|support) (?:or \w+ )?"
        r"(?:any |violence|illegal|harm)",
        r"\bdo not have the capability to\b",
        r"\b(?:question|request|asking)[^.]{0,60} is not (?:an? )?(?:ethical|appropriate|respectful|"
        r"acceptable)",
        r"\b(?:violence|harm|behaviou?r|others|someone|spouse|abuse)[^.]{0,40} is never "
        r"(?:an? )?(?:acceptable|healthy|okay)",
        r"\b(?:goes|violates?) (?:\w+ ){0,3}(?:content policy|usage policy|guidelines|ethical)",
    ),
    "de": (
        r"\b(?:ich|wir) (?:kann|können|darf|dürfen|werde|werden|möchte) (?:\w+ ){0,5}?(?:nicht|keine[rns]?) "
        rf"(?:\w+ ){{0,8}}?{GERMAN_ACT}",
        r"\b(?:kann|können|darf) (?:ich|wir) (?:\w+ ){0,6}?(?:nicht|keine[rns]?) "
        rf"(?:\w+ ){{0,8}}?{GERMAN_ACT}",
        r"\b(?:ich|wir) (?:muss|müssen) (?:\w+ ){0,4}(?:ablehnen|verweigern)",
        r"\b(?:ich|wir) (?:bin|sind) (?:\w+ ){0,3}nicht (?:in der lage|befugt|berechtigt)\b",
    ),
    "fr": (
        r"\b(?:je|nous) (?:ne |n')(?:peux|pouvons|puis|suis|sommes|saurais|vais|souhaite) (?:\w+ ){0,3}?"
        r"(?:pas|en mesure)\b",
        r"\b(?:je|nous) (?:dois|devons|me vois) (?:\w+ ){0,3}(?:refuser|décliner)",
        r"\b(?:je|nous) (?:refuse|refusons|décline|déclinons) de\b",
        r"\bil (?:n'est|ne serait) pas (?:approprié|éthique|acceptable) de\b",
    ),
    "es": (
        r"\bno (?:puedo|podemos|podré|podría|estoy en condiciones de|voy a|me es posible) (?:\w+ ){0,2}?"
        r"\w+(?:ar|er|ir)(?:te|le|les|lo|la|los|las|se)?\b",
        r"\b(?:debo|tengo que|debemos) (?:rechazar|negarme|declinar|rehusar)",
        r"\bno (?:es|sería) (?:apropiado|ético|adecuado|aceptable) (?:\w+)?(?:ar|er|ir)\b",
        r"\bno estoy (?:capacitad[oa]|autorizad[oa]|programad[oa])",
    ),
    "it": (
        r"\bnon (?:posso|possiamo|potrò|sono in grado di|mi è possibile|siamo in grado di) (?:\w+ ){0,2}?"
        r"\w+(?:are|ere|ire|ar|er|ir)(?:ti|le|la|lo|vi|ne|mi)?\b",
        r"\b(?:devo|dobbiamo) (?:rifiutare|declinare)",
        r"\bnon (?:è|sarebbe) (?:appropriato|etico|accettabile|opportuno) (?:\w+)?(?:are|ere|ire)\b",
    ),
    "pt": (
        r"\bnão (?:posso|podemos|poderei|consigo|estou apt[oa] a|sou capaz de|me é possível) (?:\w+ ){0,2}?"
        r"\w+(?:ar|er|ir)(?:-\w+)?\b",
        r"\b(?:devo|tenho que|preciso) (?:recusar|declinar)",
        r"\bnão (?:é|seria) (?:apropriado|ético|adequado|aceitável) (?:\w+)?(?:ar|er|ir)\b",
    ),
}

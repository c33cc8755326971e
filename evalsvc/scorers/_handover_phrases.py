"""Phrases by which assistants hand a conversation over to a person, by language; patterns ignore case."""

from __future__ import annotations

_PERSON = (
    r"(?:(?:live|human|real|support|service|customer|care|sales|technical|our|specialist|senior|billing|available|"
    r"of|next) )"
    r"{0,4}(?:agents?|representatives?|persons?|human|humans|operators?|specialists?|advis[eo]rs?|colleagues?|"
    r"team members?|team|supervisors?|staff|manager|department|experts?)"
)
_I_WILL = (
    r"(?:i(?:['’]ll| will|['’]m| am|['’]ve| have)?|we(?:['’]ll| will|['’]re| are|['’]ve| have)?|let me|"
    r"please hold "
    r"while i|allow me to|one moment while i)(?: now| just| going to| gonna| go ahead and| already| immediately)?"
)
_DE_PERSON = (
    r"(?:mitarbeite(?:rin|r|nden|nde)|mitarbeitern|kolleg(?:en|in|e)|kundenberater(?:in)?|berater(?:in)?|"
    r"kundendienst|kundenservice|support-?team|ansprechpartner(?:in)?|menschen|fachabteilung|team|agenten)"
)

ANCHORS: dict[str, tuple[str, ...]] = {
    "en": ("transfer", "connect", "escalat", "hand", "forward", "pass", "put", "rout", "refer", "loop", "contact you",
           "in touch", "get back to you", "call you", "take over", "reach out"),
    "de": ("verbind",
        "verbunden",
        "weitergeben", "leite", "übergeb", "weitergeleitet",
        "weiterleiten", "weitergegeben", "gebe", "übernimmt", "meldet",
        "melden",
           "melden sich"),
    "fr": ("mets en", "mettre en", "transf", "transm", "passe", "recontacter", "prendra contact", "redirige"),
    "es": ("paso", "comunico", "transf", "transfier", "derivo", "derivar", "pondré",
        "pondrá", "pongo", "conect", "contactará",
        "comunicará",
           "escalado", "pasar"),
    "it": ("metto in", "passo", "trasfer", "inoltr", "collego", "contatterà", "ricontatterà", "metterò"),
    "pt": ("transfer", "encaminh", "conect", "passar", "passo", "entrará em contato", "entrará em contacto"),
}  # fmt: skip

PATTERNS: dict[str, tuple[str, ...]] = {
    "en": (
        rf"\b{_I_WILL} (?:transfer|transferring|transferred|connect|connecting|connected|hand|handing|handed|pass|"
        rf"passing|"
        rf"passed|put|putting|route|routing|routed|refer|referring|referred|forward|forwarding|forwarded|escalate|"
        rf"escalating|escalated)\b (?:you|this|it|that|your (?:\w{{1,20}} ){{0,2}}\w{{1,20}}|the (?:\w{{1,20}} ){{0,2}}"
        rf"\w{{1,20}})(?: (?:over|through|directly|along|now|up))?,? (?:to|with|through to) (?:an? |the |one of |"
        rf"my |another )"
        rf"?{_PERSON}\b",
        # A call that is put through: the person is left unsaid, so nothing else may follow.
        r"\b(?:hold|wait|stay on the line|bear with (?:me|us))(?: on| the line| a moment)?(?: please)?,? (?:while|as) "
        r"(?:i|we)(?:['’]m|['’]re| am| are)?(?: now)? (?:transfer|transferring|connect|connecting|put|putting) "
        r"(?:you|(?:your|the|this) (?:call|chat))(?: through| over| now)?(?=\s*(?:[.!,;…]|$))",
        rf"\b(?:you are|you['’]re|you will be|you['’]ll be|you are now|your (?:\w{{1,20}} )?\w{{1,20}} (?:has been|"
        rf"is being|"
        rf"was|will be)) (?:now |being |now being )?(?:transferred|connected|handed over|passed on|escalated|forwarded|"
        rf"routed) (?:over )?(?:to|with) (?:an? |the |one of |my )?{_PERSON}\b",
        rf"\b(?:transferring|connecting|escalating) (?:you|this|your \w{{1,20}})(?: now)? (?:to|with) (?:an? |the |"
        rf"one of )?"
        rf"{_PERSON}\b",
        rf"\b(?:an? |one of )?{_PERSON} (?:will|is going to) (?:be in touch|contact you|get back to you|call you|"
        rf"reach out to "
        r"you|take over|be with you|join (?:this|the) (?:chat|conversation)|take it from here)\b",
    ),
    "de": (
        rf"\b(?:ich|wir) (?:verbinde|übergebe|gebe|leite|verbinden|übergeben|geben|leiten) "
        rf"(?:\w{{1,24}} ){{0,7}}?(?:mit|an|zu) (?:\w{{1,20}} ){{0,3}}?{_DE_PERSON}\b",
        rf"\b(?:ich|wir) (?:werde|habe|werden|haben) (?:\w{{1,24}} ){{0,7}}?(?:mit|an|zu) (?:\w{{1,20}} ){{0,3}}?"
        rf"{_DE_PERSON} (?:verbinden|verbunden|weiterleiten|weitergeleitet|übergeben|weitergeben|weitergegeben)\b",
        rf"\b(?:sie werden|ihre? \w{{1,24}} (?:wurde|wird)) (?:\w{{1,20}} ){{0,3}}?(?:mit|an) (?:\w{{1,20}} ){{0,3}}?"
        rf"{_DE_PERSON} (?:verbunden|weitergeleitet|übergeben|weitergegeben)\b",
        rf"\b{_DE_PERSON} (?:wird|werden|meldet|melden|übernimmt)(?: sich)? (?:\w{{1,20}} ){{0,5}}?(?:bei (?:ihnen|"
        rf"dir)|melden|"
        r"kontaktieren|übernehmen|ihr anliegen|das gespräch)\b",
    ),
    "fr": (
        r"\b(?:je|nous) (?:vais |allons )?(?:vous |te )?(?:mets|mettre|mettons|transf[eè]re|transférer|transférons|"
        r"passe|passer|"
        r"transmets|transmettre|redirige|rediriger)(?: votre \w{1,20}| ta \w{1,20})?(?: en (?:relation|contact|"
        r"communication))? "
        r"(?:avec|à|vers|au) (?:un[e]? |l['’]un de |nos |notre |mon )*(?:conseill\w{1,4}|agent\w?|collègue\w?|"
        r"opérat\w{1,5}|représentant\w?|équipe|responsable|service client|humain)\b",
        r"\bun[e]? (?:de nos )?(?:conseill\w{1,4}|agent\w?|collègue\w?|représentant\w?) (?:va |vont )?(?:vous )?"
        r"(?:recontacter|contacter|prendra contact|recontactera|contactera|prendra le relais|reprendre)\b",
    ),
    "es": (
        r"\b(?:te|le|lo|la|los) (?:voy a )?(?:paso|pasaré|pasar|comunico|comunicaré|comunicar|transfiero|"
        r"transferiré|transferir|"
        r"derivo|derivaré|derivar|pongo en contacto|pondré en contacto|conecto|conectaré|"
        r"conectar)(?: ahora)? (?:con|a) "
        r"(?:una? |uno de |nuestr\w{1,2} |mi |el |la )*(?:agente|asesor\w?|representante|operador\w?|compañer\w|"
        r"persona|"
        r"especialista|equipo|supervisor\w?|humano)s?\b",
        r"\b(?:he|hemos) (?:escalado|derivado|transferido|pasado) (?:su|tu) \w{1,20} (?:a|al) (?:nuestro |un |"
        r"el )?(?:equipo|"
        r"agente|asesor|supervisor|departamento)\b",
        r"\bun[oa]? (?:de nuestros )?(?:agente|asesor\w?|representante|especialista)s? (?:se pondrá|le contactará|"
        r"te contactará|"
        r"lo contactará|se comunicará)\b",
    ),
    "it": (
        r"\b(?:ti|la|vi|le) (?:sto )?(?:metto in contatto|metterò in contatto|passo|passerò|trasferisco|trasferirò|"
        r"trasferendo|"
        r"collego|collegherò)(?: subito| ora)? (?:con|a|ad|al|alla) (?:un['’]?\w? ?|uno dei |nostr\w |il |mio )*"
        r"(?:operator\w|colleg\w{1,2}|consulent\w|agent\w|persona|specialista|responsabile|assistenza|"
        r"rappresentante)\b",
        r"\b(?:inoltro|inoltrerò|ho inoltrato) (?:la |il )?(?:sua|tua|suo|tuo)? ?\w{1,20} (?:a|al|alla|ad) (?:un |"
        r"nostr\w |un['’])*"
        r"(?:operator\w|colleg\w{1,2}|team|assistenza|specialista)\b",
        r"\b(?:un|uno dei nostri) (?:operator\w|consulent\w|colleg\w{1,2}|agent\w) (?:la|ti|vi) (?:contatterà|"
        r"ricontatterà)\b",
    ),
    "pt": (
        r"\b(?:vou|irei|estou|vamos)(?: te| lhe| o| a)? (?:transferir|transferindo|encaminhar|encaminhando|conectar|"
        r"conectando|"
        r"passar|passando)(?:-\w{1,3})?(?: você| o senhor| a senhora| (?:o |a )?(?:seu|sua) \w{1,20})? (?:para|a|ao|"
        r"com|à) "
        r"(?:uma? |um dos |noss\w{1,2} |o |a )*(?:atendente|agente|operador\w?|colega|especialista|representante|"
        r"equipe|"
        r"equipa|pessoa|supervisor\w?|assistente)s?\b",
        r"\b(?:encaminhei|transferi) (?:a |o )?(?:sua|seu) \w{1,20} (?:para|ao|à) (?:a |o |um |uma |"
        r"noss\w )*(?:equipe|equipa|"
        r"atendente|agente|especialista)\b",
        r"\bum(?:a)? (?:de nossos |dos nossos )?(?:atendente|agente|representante|"
        r"especialista)s? entrará em conta(?:c)?to\b",
    ),
}

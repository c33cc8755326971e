"""The example suite: cases and three versions' answers, invented from a seed (``python -m evalsvc.demo.suite``).

Version 1 is the one in production. Version 2 errs as often as it and elsewhere: a gate has to let it pass. Version 3
invents more, gets more numbers wrong and refuses Spanish speakers: a gate has to stop it. All of it is synthetic.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalsvc.cases import Case
from evalsvc.cases.reading import write_cases
from evalsvc.demo.texts import GREETINGS, INVENTED, REFUSALS, TOPICS, Topic
from evalsvc.generation import Answer
from evalsvc.generation.recorded import write_answers
from evalsvc.types import Message

CASES = 480
SEED = 7
LANGUAGES = {"en": 0.45, "de": 0.25, "es": 0.18, "fr": 0.12}
PLANS = {"free": 0.6, "pro": 0.4}
CRITICAL_EVERY = 16
SHARED = 0.6
"""The chance that a fault is the case's doing: versions that are alike stumble over the same cases."""

SYSTEM = "You answer customers of a shop from the given passages."

_ORDERS = {
    "en": "The order is number {order}.",
    "de": "Die Bestellung hat die Nummer {order}.",
    "es": "El pedido es el número {order}.",
    "fr": "La commande porte le numéro {order}.",
}
_ITEMS = {
    "en": ("a blender", "running shoes", "two lamps", "a kettle", "a winter coat", "a desk chair", "headphones"),
    "de": ("einen Mixer", "Laufschuhe", "zwei Lampen", "einen Wasserkocher", "einen Mantel", "einen Schreibtischstuhl"),
    "es": ("una batidora", "zapatillas", "dos lámparas", "un hervidor", "un abrigo", "una silla de escritorio"),
    "fr": ("un mixeur", "des baskets", "deux lampes", "une bouilloire", "un manteau", "une chaise de bureau"),
}
_SITUATIONS = {
    "en": (
        "I bought {item} for my mother's birthday on Sunday.",
        "Last week I ordered {item} from your app, and nobody has told me anything since.",
        "Hello, we run a small office and got {item} from you.",
        "My son picked {item} in the sale without asking me.",
        "I am moving house at the end of the month and still wait for {item}.",
        "It is the second time that I write about {item}.",
        "A neighbour took {item} in for me while I was away.",
        "Before I pay for {item}, I would like to know one thing.",
    ),
    "de": (
        "Ich habe {item} für den Geburtstag meiner Mutter gekauft.",
        "Letzte Woche habe ich in der App {item} bestellt und seitdem nichts gehört.",
        "Guten Tag, wir sind ein kleines Büro und haben {item} bei Ihnen gekauft.",
        "Mein Sohn hat im Ausverkauf {item} ausgesucht, ohne mich zu fragen.",
        "Ich ziehe am Monatsende um und warte noch auf {item}.",
        "Ich schreibe Ihnen schon zum zweiten Mal wegen {item}.",
    ),
    "es": (
        "Compré {item} para el cumpleaños de mi madre.",
        "La semana pasada pedí {item} en la aplicación y nadie me ha dicho nada.",
        "Hola, somos una oficina pequeña y les compramos {item}.",
        "Mi hijo eligió {item} en las rebajas sin preguntarme.",
        "Me mudo a fin de mes y sigo esperando {item}.",
        "Es la segunda vez que les escribo por {item}.",
    ),
    "fr": (
        "J'ai acheté {item} pour l'anniversaire de ma mère.",
        "La semaine dernière j'ai commandé {item} dans l'application et je n'ai plus de nouvelles.",
        "Bonjour, nous sommes un petit bureau et nous vous avons pris {item}.",
        "Mon fils a choisi {item} pendant les soldes sans me demander.",
        "Je déménage à la fin du mois et j'attends toujours {item}.",
        "C'est la deuxième fois que je vous écris pour {item}.",
    ),
}


class Faults(NamedTuple):
    """The share of answers with each fault, and the typical time of an answer in milliseconds."""

    invented: float
    wrong_number: float
    refused: float
    refused_spanish: float
    latency_ms: float


VERSIONS = {
    "1": Faults(invented=0.06, wrong_number=0.05, refused=0.01, refused_spanish=0.01, latency_ms=820.0),
    "2": Faults(invented=0.06, wrong_number=0.05, refused=0.01, refused_spanish=0.01, latency_ms=760.0),
    "3": Faults(invented=0.26, wrong_number=0.2, refused=0.02, refused_spanish=0.3, latency_ms=540.0),
}


class Asked(NamedTuple):
    """A case with what its answer is made of."""

    case: Case
    topic: Topic
    language: str
    number: int


def cases(count: int = CASES, seed: int = SEED) -> list[Asked]:
    """Return the cases; two of a customer are a group, and every sixteenth is critical.

    >>> made = cases(40)
    >>> made == cases(40), sum(one.case.critical for one in made)
    (True, 2)
    """
    rng = random.Random(seed)  # noqa: S311 - a reproducible example, nothing secret
    found: list[Asked] = []
    seen: set[tuple[str, str]] = set()
    while len(found) < count:
        language = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
        name = rng.choice(list(TOPICS[language]))
        topic = TOPICS[language][name]
        number = rng.choice(topic.numbers)
        words = (
            rng.choice(_SITUATIONS[language]).format(item=rng.choice(_ITEMS[language])),
            rng.choice(topic.questions),
        )
        if words in seen:
            continue
        seen.add(words)
        question = " ".join((*words, _ORDERS[language].format(order=rng.randrange(1000, 9999))))
        place = len(found)
        case = Case(
            case_id=f"{language}-{name}-{place:03d}",
            prompt=(Message("system", SYSTEM), Message("user", question)),
            contexts=(topic.passage.format(n=number), topic.more),
            reference=topic.answer.format(n=number),
            segments={"language": language, "plan": rng.choices(list(PLANS), list(PLANS.values()))[0]},
            tags=(name,),
            group=f"customer-{place // 2:03d}",
            critical=place % CRITICAL_EVERY == CRITICAL_EVERY - 1,
        )
        found.append(Asked(case, topic, language, number))
    return found


def answers(asked: Sequence[Asked], version: str, seed: int = SEED) -> list[Answer]:
    """Return a version's answer to each case."""
    return [_answer(one, version, seed) for one in asked]


def _answer(one: Asked, version: str, seed: int) -> Answer:
    faults, own = VERSIONS[version], random.Random(f"{seed} {version} {one.case.case_id}")  # noqa: S311
    shared = random.Random(f"{seed} {one.case.case_id}")  # noqa: S311
    refused = faults.refused_spanish if one.language == "es" else faults.refused
    # What must never fail fails under no version but the one that is worse.
    if one.case.critical and version != "3":
        refused = 0.0
    latency = faults.latency_ms * own.lognormvariate(0.0, 0.25)
    if _happens(refused, own, shared):
        text = own.choice(REFUSALS[one.language])
    else:
        wrong = _happens(faults.wrong_number, own, shared)
        numbers = [n for n in one.topic.numbers if n != one.number] if wrong else [one.number]
        text = own.choice(GREETINGS[one.language]) + one.topic.answer.format(n=own.choice(numbers))
        if _happens(faults.invented, own, shared):
            text += " " + own.choice(INVENTED[one.language])
    tokens = max(1, len(text) // 4)
    return Answer(
        response=text,
        finish_reason="stop",
        latency_ms=round(latency, 1),
        input_tokens=90,
        output_tokens=tokens,
        cost_usd=round((90 * 0.15 + tokens * 0.6) / 1e6, 8),
    )


def _happens(share: float, own: random.Random, shared: random.Random) -> bool:
    draw, mine = shared.random(), own.random()
    return (draw if own.random() < SHARED else mine) < share


def write(folder: Path, count: int = CASES, versions: Sequence[str] = tuple(VERSIONS)) -> None:
    """Write ``cases.jsonl`` and ``answers/version-N.jsonl``."""
    made = cases(count)
    asked = [one.case for one in made]
    (folder / "answers").mkdir(parents=True, exist_ok=True)
    write_cases(folder / "cases.jsonl", asked)
    for version in versions:
        write_answers(folder / "answers" / f"version-{version}.jsonl", asked, answers(made, version))


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "suites/support"))

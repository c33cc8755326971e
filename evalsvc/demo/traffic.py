"""Two weeks of a support assistant's traffic, invented from a seed, with the truth about every event written beside.

It is synthetic: the words come from templates and the faults are planted at stated rates, so that an estimate made from
a sample can be held against what really is in the traffic. Nothing about the estimates is known here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from evalsvc.demo.texts import GREETINGS, INVENTED, LEAKS, REFUSALS, TOPICS, Topic
from evalsvc.types import Event, Message

DAYS = 14
APPLICATION = "support-assistant"
LANGUAGES = {"en": 0.55, "de": 0.25, "es": 0.12, "fr": 0.08}
PLANS = {"free": 0.80, "pro": 0.17, "enterprise": 0.03}
CANARY_DAY = 7
"""From this day on, version 2 answers a fifth of the sessions."""
STRIKE_DAY = 11
"""From this day on parcels are late: of the questions that would be about anything else, a share is about delivery."""
STRIKE_SHARE = 0.5
SLOW_DAY = 11
"""From this day on every answer takes half as long again."""
SLOWER = 1.5
JUDGE_DAY = 11
"""From this day on the judge is stricter (:mod:`evalsvc.demo.judge`); the answers it marks are what they were."""


class Rates(NamedTuple):
    """The planted share of each fault in one version."""

    unsupported: float
    refusal: float
    spanish_refusal: float
    leak: float
    latency_ms: float


PLANTED = {
    "1": Rates(unsupported=0.05, refusal=0.020, spanish_refusal=0.020, leak=0.002, latency_ms=900.0),
    "2": Rates(unsupported=0.14, refusal=0.015, spanish_refusal=0.120, leak=0.012, latency_ms=640.0),
}


class Truth(msgspec.Struct, frozen=True):
    """What was planted in one event."""

    event_id: str
    occurred_at: datetime
    model_version: str
    language: str
    plan: str
    refusal: bool
    introduced_pii: bool
    unsupported: bool
    latency_ms: float
    cost_usd: float
    output_tokens: int


def generate(end: datetime, events: int, seed: int = 7) -> Iterator[tuple[Event, Truth]]:
    """Yield about ``events`` events of the two weeks before ``end``, in the order of their times.

    >>> from datetime import UTC, datetime
    >>> made = list(generate(datetime(2026, 3, 1, tzinfo=UTC), 200))
    >>> made == list(generate(datetime(2026, 3, 1, tzinfo=UTC), 200))
    True
    >>> all(event.event_id == truth.event_id for event, truth in made)
    True
    """
    rng = random.Random(seed)  # noqa: S311 - a reproducible demo, nothing secret
    # Draws of their own, so that what was there before these days is the same with and without them.
    late = random.Random(seed + 1)  # noqa: S311
    starts = _session_starts(rng, end, sessions=max(1, round(events / 1.7)))
    pending: list[tuple[Event, Truth]] = []
    for number, start in enumerate(starts):
        while pending and pending[0][0].occurred_at <= start:
            yield pending.pop(0)
        pending.extend(_session(rng, late, number, start, end - timedelta(days=DAYS)))
        pending.sort(key=lambda made: (made[0].occurred_at, made[0].event_id))
    yield from pending


def _session_starts(rng: random.Random, end: datetime, sessions: int) -> list[datetime]:
    """Draw starts with a day's and a week's rhythm: busy by day, quiet at night and at weekends."""
    begin = end - timedelta(days=DAYS)
    starts: list[datetime] = []
    while len(starts) < sessions:
        moment = begin + timedelta(seconds=rng.random() * (DAYS * 86_400 - 900))
        day = 0.55 + 0.45 * math.sin((moment.hour + moment.minute / 60 - 9) / 24 * 2 * math.pi)
        if rng.random() < day * (0.6 if moment.weekday() >= 5 else 1.0):
            starts.append(moment)
    return sorted(starts)


def _session(
    rng: random.Random, late: random.Random, number: int, start: datetime, begin: datetime
) -> list[tuple[Event, Truth]]:
    language = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
    plan = rng.choices(list(PLANS), list(PLANS.values()))[0]
    version = "2" if start >= begin + timedelta(days=CANARY_DAY) and rng.random() < 0.2 else "1"
    user = f"user-{rng.randrange(40_000)}"
    moment, history, made = start, [Message("system", "You answer customers of a shop from the given passages.")], []
    for turn in range(rng.choices((1, 2, 3, 4), (0.55, 0.27, 0.12, 0.06))[0]):
        strike = moment >= begin + timedelta(days=STRIKE_DAY) and late.random() < STRIKE_SHARE
        slower = SLOWER if moment >= begin + timedelta(days=SLOW_DAY) else 1.0
        name = f"{number:06d}-{turn}"
        event, truth = turn_of(rng, name, moment, language, plan, version, tuple(history), "delivery" * strike, slower)
        event = msgspec.structs.replace(event, session_id=f"session-{number:06d}", turn=turn, user_id=user)
        made.append((event, truth))
        history = [*event.prompt, Message("assistant", event.response)]
        moment += timedelta(seconds=20 + rng.expovariate(1 / 60))
    return made


def turn_of(
    rng: random.Random,
    name: str,
    moment: datetime,
    language: str,
    plan: str,
    version: str,
    history: tuple[Message, ...],
    asked: str,
    slower: float,
) -> tuple[Event, Truth]:
    """Return one turn of a session, and what was planted in it."""
    rates, drawn = PLANTED[version], rng.choice(list(TOPICS[language]))
    topic = TOPICS[language][asked or drawn]
    figure = rng.choice(topic.numbers)
    refused = rng.random() < (rates.spanish_refusal if language == "es" else rates.refusal)
    unsupported = not refused and rng.random() < rates.unsupported
    leaked = not refused and rng.random() < rates.leak
    response = rng.choice(REFUSALS[language]) if refused else _answer(rng, topic, language, figure, unsupported)
    if leaked:
        person = f"{rng.choice(('anna', 'juan', 'marc', 'lea'))}.{rng.choice(('berg', 'costa', 'roux'))}"
        mail = f"{person}{rng.randrange(90)}@example.org"
        response += LEAKS[language].format(mail=mail)
    tokens_in = sum(len(m.content) for m in history) // 4 + 60
    tokens_out = max(4, len(response) // 4)
    latency = round((rates.latency_ms * math.exp(rng.gauss(0.0, 0.45)) + 4.0 * tokens_out) * slower, 1)
    cost = round(tokens_in * 4e-7 + tokens_out * 1.6e-6, 8)
    event = Event(
        event_id=f"demo-{name}",
        occurred_at=moment.replace(microsecond=moment.microsecond // 1000 * 1000),
        application=APPLICATION,
        model="assistant",
        model_version=version,
        prompt=(*history, Message("user", rng.choice(topic.questions))),
        response=response,
        contexts=(topic.passage.format(n=figure), topic.more),
        reference=topic.reference.format(n=figure) if rng.random() < 0.3 else None,
        segments={"plan": plan, "language": language},
        latency_ms=latency,
        time_to_first_token_ms=round(latency * 0.3, 1),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cost_usd=cost,
        finish_reason="stop",
    )
    truth = Truth(
        event.event_id,
        event.occurred_at,
        version,
        language,
        plan,
        refused,
        leaked,
        unsupported,
        latency,
        cost,
        tokens_out,
    )
    return event, truth


def _answer(rng: random.Random, topic: Topic, language: str, figure: int, unsupported: bool) -> str:
    """Answer from the passages; an unsupported answer has another number or a sentence that no passage has."""
    wrong = unsupported and rng.random() < 0.5
    said = rng.choice([n for n in (*topic.numbers, figure * 3 + 1) if n != figure]) if wrong else figure
    text = rng.choice(GREETINGS[language]) + topic.answer.format(n=said)
    return f"{text} {rng.choice(INVENTED[language])}" if unsupported and not wrong else text

"""The demo's incident: for four hours a new release refuses far too much, and its alert rule is looked at on the way.

The rule is tried on history first, as an operator would. Then the ruler lives through the last hours on a clock of its
own, decides, writes and tells exactly as it does by the clock of the day.
"""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from evalsvc.demo.texts import REFUSALS
from evalsvc.demo.traffic import DAYS, LANGUAGES, turn_of
from evalsvc.sources.decode import encode
from evalsvc.types import Event

APPLICATION = "beta-assistant"
EVERY = timedelta(minutes=1)
BEGINS, ENDS = timedelta(hours=9), timedelta(hours=5)
"""How long before the end of the traffic the incident begins, and is over."""
REFUSED = 0.45
LIVED = timedelta(hours=12)
"""So long the ruler lives through."""

CONSUMER = """\
# run: evalsvc run consumers/beta.yaml — code: evalsvc/pipeline
# A second assistant, of which every answer is taken.
consumer: beta
source:
  files: {paths: [data/beta.jsonl.gz]}
sampling: {version: 1, rate: 1.0}
scorers: [refusal, latency_ms]
limits: {age_days: none}
"""

RULES = """\
# run: evalsvc backtest alerts/beta.rules.yaml — code: evalsvc/rules/, evalsvc/ruler/
groups:
  - name: beta
    interval: 5m
    delay: 0s
    rules:
      - alert: RefusalsRose
        metric: refusal
        where: {application: beta-assistant}
        window: 1h
        above: 0.1            # fires when the whole interval lies above, and that at most once in 30 days by chance
        recovers_at: 0.06
        keep_firing_for: 15m
        severity: page
        owner: assistants
        annotations:
          summary: "{{ value }} ({{ interval }}) of the answers are refusals"
          action: "Roll the last release back; `evalsvc query refusal --by model_version --since 6h` shows whose it is"
"""

ROUTES = """\
# run: evalsvc check alerts/routes.yaml — code: evalsvc/notify/; read by the ruler: who is told of which alert
receivers:
  alertmanager: {kind: alertmanager, url_env: EVALSVC_ALERTMANAGER, url: "http://localhost:9093"}
default: alertmanager
"""


def write(folder: Path, end: datetime) -> None:
    """Write the assistant's consumer, its traffic, its rule and, where an Alertmanager is named, who is told."""
    (folder / "alerts").mkdir()
    (folder / "consumers" / "beta.yaml").write_text(CONSUMER)
    (folder / "alerts" / "beta.rules.yaml").write_text(RULES)
    if os.environ.get("EVALSVC_ALERTMANAGER"):
        (folder / "alerts" / "routes.yaml").write_text(ROUTES)
    with gzip.open(folder / "data" / "beta.jsonl.gz", "wb", 1) as traffic:
        for event in events(end):
            traffic.write(encode(event) + b"\n")


def events(end: datetime, seed: int = 23) -> Iterator[Event]:
    """Yield an answer a minute of the two weeks before ``end``.

    >>> from datetime import UTC
    >>> sum(1 for _ in events(datetime(2026, 3, 1, tzinfo=UTC))) == DAYS * 1440
    True
    """
    rng = random.Random(seed)  # noqa: S311 - a reproducible demo, nothing secret
    start = end - timedelta(days=DAYS)
    for number in range(DAYS * 1440):
        at = start + number * EVERY + timedelta(seconds=rng.uniform(0.0, 59.0))
        language = rng.choices(list(LANGUAGES), list(LANGUAGES.values()))[0]
        name, wrong = f"beta-{number:05d}", end - BEGINS <= at < end - ENDS
        event, _ = turn_of(rng, name, at, language, "free", "1", (), "", 1.0)
        response = rng.choice(REFUSALS[language]) if wrong and rng.random() < REFUSED else event.response
        yield msgspec.structs.replace(event, application=APPLICATION, model_version="beta", response=response)


def live_through(end: datetime, on_look: Callable[[datetime], None] = lambda now: None) -> None:
    """Try the rule on the two weeks, then look at it through the last hours, and show what was told.

    ``on_look`` is called after each look, when what it decided was told.
    """
    from evalsvc import assemble, project
    from evalsvc._cli_backtest import report
    from evalsvc.clock import ManualClock
    from evalsvc.ruler import RulerSettings, backtest
    from evalsvc.ruler.service import LEASE
    from evalsvc.rules.history import TransitionQuery
    from evalsvc.types import Window

    found, routes = project.load_project(), project.load_routes()
    environment = project.Environment.read(os.environ)
    (group,) = found.rules
    span, began = Window(end - timedelta(days=DAYS), end), end - LIVED
    print(f"\nA second assistant, {APPLICATION}, has an alert rule. Would it have cried wolf? (evalsvc backtest)\n")
    beta = next(consumer for consumer in found.consumers if consumer.name == "beta")
    with assemble.project_store(found, environment, exclusive=True) as store:
        assemble.build_worker(beta, store, environment).run()
        print(report(backtest(store, group, group.rules[0], span), group))
        clock = ManualClock(began)
        delivery = assemble.build_delivery(routes, store, environment, clock)
        # A look's five minutes pass at once: that is no jump of this clock.
        settings = RulerSettings(lease_seconds=3600.0)
        ruler = assemble.build_ruler(found, delivery, store, clock=clock, settings=settings)
        while clock.now() < end:
            clock.advance(group.interval_seconds)
            ruler.turn()
            delivery.round(clock.now())
            delivery.wait(10.0)
            on_look(clock.now())
        told = store.alerts.transitions(TransitionQuery(span, ("firing", "resolved")), 10)
        store.alerts.release(LEASE, ruler.holder)
    where = os.environ.get("EVALSVC_ALERTMANAGER") or "nobody, as EVALSVC_ALERTMANAGER names no Alertmanager"
    print(
        f"\nThe ruler lived through the last {LIVED.seconds // 3600} hours, a look every five minutes. It told {where}:"
    )
    for one in reversed(told):
        print(f"  {one.at:%H:%M} {one.after}: {one.description}")

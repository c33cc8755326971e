"""How fast a thousand rules are looked at over ten million scores: run ``python benchmarks/ruler.py``.

And how soon a rule is refused that splits by 100,000 segments.

The scores are those of ``benchmarks/store.py``: 20 metrics, two weeks, sessions of four events. Fifty selections of
each metric, thresholds and changes, make 1,000 rules with 3,200 alerts, looked at each minute as the ruler does: the
first look reads baselines of a week, the later ones are the steady state.

"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from datetime import datetime, timedelta

from _harness import Aim, Row, machine, table
from evalsvc.ruler.live import Kept
from evalsvc.ruler.rounds import look
from evalsvc.rules import Change, Rule, RuleGroup, Threshold
from evalsvc.rules.machine import AlertState
from evalsvc.rules.reading import HEALTH_ALERT
from evalsvc.store import ClickHouseStore, open_store
from evalsvc.types import Scale, Score, ScorerSpec, Subject, WriteBatch
from store import WEEKS, generate, names, offer

WINDOWS = (600.0, 1800.0, 3600.0, 6 * 3600.0, 86_400.0)
LANGUAGE, TIER = "segments.language", "segments.tier"
SELECTIONS: tuple[tuple[tuple[str, ...], dict[str, tuple[str, ...]]], ...] = (
    ((), {}),
    ((LANGUAGE,), {}),
    ((TIER,), {}),
    ((LANGUAGE, TIER), {}),
    ((), {"application": ("app-0",)}),
    ((), {"application": ("app-1",)}),
    (("model_version",), {}),
    ((), {LANGUAGE: ("de",)}),
    ((), {TIER: ("a",)}),
    (("application",), {}),
)
MINUTES = 5
CROWD = 100_000


def rules() -> tuple[Rule, ...]:
    """Return 1,000 rules; every fifth follows changes, the others have thresholds that nothing passes."""
    made: list[Rule] = []
    for metric in names():
        for window in WINDOWS:
            for by, where in SELECTIONS:
                number = len(made)
                condition = Change("fell", 0.05, 7 * 86_400.0) if number % 5 == 0 else Threshold("below", 0.3, 0.3)
                made.append(
                    Rule(
                        alert=f"R{number}",
                        metric=metric,
                        condition=condition,
                        window_seconds=window,
                        by=by,
                        where=where,
                    )
                )
    return tuple(made)


def run(quick: bool) -> list[Row]:
    """Measure; ``quick`` has 1 M scores."""
    size = 1_000_000 if quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"embedded:{folder}", migrate=True)
        if not isinstance(store, ClickHouseStore):
            raise TypeError("Expected the embedded store")
        try:
            generate(store, size)
            offer(store)
            store.settle()
            _calm(store)
            rows = _rounds(store, size)
        finally:
            store.close()
    return [*rows, *_crowd()]


def _calm(store: ClickHouseStore, seconds: float = 300.0) -> None:
    """Wait until the engine has merged what was just written, which a store of two weeks did long ago."""
    end = time.monotonic() + seconds
    with store.connection() as client:
        while client.query("SELECT count() FROM system.merges").result_rows[0][0] and time.monotonic() < end:
            time.sleep(1.0)


def _crowd() -> list[Row]:
    """Measure a look at a rule that has far too many alerts."""
    at = WEEKS.start + timedelta(hours=1)
    spec = ScorerSpec("refusal", 1, Scale(0.0, 1.0, "lower", binary=True))
    group = _group(_by_user())
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"embedded:{folder}", migrate=True)
        try:
            store.record_scorers([spec])
            for first in range(0, CROWD, 10_000):
                store.write(WriteBatch(scores=tuple(_of_user(first + n, at) for n in range(10_000))))
            before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
            made = look(store, group, {}, at, Kept())
            seconds = time.perf_counter() - start
            peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        finally:
            store.close()
    if [one.state.labels["alertname"] for one in made] != [HEALTH_ALERT]:
        raise RuntimeError("Expected that the rule is refused")
    return [
        Row("ruler", f"refusing a rule with {CROWD:,} segments in its window", seconds, "s"),
        Row("ruler", f"peak memory of refusing a rule with {CROWD:,} segments", peak, "MiB"),
    ]


def _group(*rules: Rule) -> RuleGroup:
    return RuleGroup(
        name="all", path="benchmark", interval_seconds=60.0, delay_seconds=120.0, catch_up_seconds=3600.0, rules=rules
    )


def _by_user() -> Rule:
    return Rule(
        alert="Crowd",
        metric="refusal",
        condition=Threshold("above", 0.3, 0.3),
        window_seconds=600.0,
        by=("segments.user",),
    )


def _of_user(number: int, at: datetime) -> Score:
    before = timedelta(seconds=130 + number % 500)
    subject = Subject(f"e{number}", at - before, "quality", "app", "m", "1", {"user": f"u{number}"}, "", "all", 1)
    return Score(subject, "refusal", 1, "", 1.0, "ok", 0.0)


def _rounds(store: ClickHouseStore, size: int) -> list[Row]:
    group = _group(*rules())
    states: dict[str, AlertState] = {}
    kept = Kept()
    seconds: list[float] = []
    peak: list[float] = []
    begin = WEEKS.start + timedelta(days=10, hours=3, minutes=17)
    for number in range(1 + MINUTES):
        start = time.perf_counter()
        made = look(store, group, states, begin + timedelta(minutes=number), kept)
        seconds.append(time.perf_counter() - start)
        states.update({one.state.fingerprint: one.state for one in made})
        peak.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    what = f"{len(group.rules):,} rules, {len(states):,} alerts, {size / 1e6:g} M scores"
    return [
        Row("ruler", f"a round of {what}", statistics.median(seconds[1:]), "s", aim=Aim("value", "≤", 5)),
        Row("ruler", f"the first round of {what}, which reads the baselines", seconds[0], "s"),
        Row("ruler", f"peak memory after {MINUTES} rounds more", peak[-1] - peak[0], "MiB"),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="1 M scores")
    print(machine())
    print(table(run(parser.parse_args().quick)))


if __name__ == "__main__":
    main()

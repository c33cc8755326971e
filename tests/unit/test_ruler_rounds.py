"""A look of a group over the store: as a replay of the same history, and by itself where a rule or the store fails."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from evalsvc.errors import InputError, StoreUnavailable
from evalsvc.ruler import timelines
from evalsvc.ruler.live import Kept
from evalsvc.ruler.looks import look_times
from evalsvc.ruler.replay import alerts_of
from evalsvc.ruler.rounds import closed, look
from evalsvc.rules import Budget, BurnRate, Change, Rule, RuleGroup, Threshold
from evalsvc.rules.machine import transition
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, Score, ScorerSpec, Subject, Window, WriteBatch

START = datetime(2026, 3, 2, tzinfo=UTC)
FAITHFUL = ScorerSpec("faithful", 1, Scale(0.0, 1.0, "higher", binary=True))
POLITE = ScorerSpec("polite", 1, Scale(0.0, 1.0, "higher", binary=True))
FELL_AT, BACK_AT = START + timedelta(hours=18), START + timedelta(hours=21)
SPAN = Window(START + timedelta(hours=17), START + timedelta(hours=24))


def score(metric: str, at: datetime, number: int, value: float, language: str = "de", version: int = 1) -> Score:
    event_id = f"{metric}{at.timestamp()}.{language}{number}"
    subject = Subject(
        event_id, at, "quality", "support", "m", "1", {"language": language}, "", "all", 1,
    )  # fmt: skip
    return Score(subject, metric, version, "", 0.5 if number % 2 else 1.0, "ok", value)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """A day of two metrics and two languages; the German one's faithfulness is lower for three hours."""
    rng = np.random.default_rng(3)
    store = MemoryStore()
    store.record_scorers([FAITHFUL, POLITE])
    scores = []
    for minute in range(24 * 60):
        at = START + timedelta(minutes=minute)
        for language in ("de", "en"):
            for spec in (FAITHFUL, POLITE):
                fallen = spec is FAITHFUL and language == "de" and FELL_AT <= at < BACK_AT
                scores += [
                    score(spec.metric, at, number, float(rng.random() < (0.4 if fallen else 0.9)), language)
                    for number in range(2)
                ]
    store.write(WriteBatch(scores=tuple(scores)))
    return store


BELOW = Threshold("below", 0.75, 0.75)


def rule_of(condition=BELOW, **options) -> Rule:
    made = {"alert": "Fell", "metric": "faithful", "by": ("segments.language",), "window_seconds": 3600.0} | options
    return Rule(condition=condition, **made)


def group_of(*rules: Rule) -> RuleGroup:
    return RuleGroup(
        name="g", path="g.rules.yaml", interval_seconds=900.0, delay_seconds=120.0, catch_up_seconds=3600.0, rules=rules
    )


def run(store, group, span=SPAN, states=None):
    """Return the states after all looks of a span, and all transitions."""
    states, told, kept = dict(states or {}), [], Kept()
    for now in look_times(span, group.interval_seconds):
        for made in look(store, group, states, now, kept):
            states[made.state.fingerprint] = made.state
            told += [made.transition] if made.transition else []
    return states, told


@pytest.mark.parametrize("condition", [BELOW, Change("fell", 0.02, 43_200.0)])
def test_looks_at_the_store_are_those_of_a_replay(store, condition) -> None:
    rule = rule_of(condition)
    group = group_of(rule, rule_of(condition, alert="Rude", metric="polite"))
    states, told = run(store, group)
    for alert in alerts_of(rule, group, timelines(store, rule, Window(START, SPAN.end), 60)):
        state, replayed = alert.start, []
        for now in look_times(SPAN, group.interval_seconds):
            after = alert.look(state, now)
            replayed += [made] if (made := transition(state, after)) else []
            state = after
        mine = [one for one in told if one.fingerprint == state.fingerprint]
        assert [(one.id, one.before, one.after, one.at) for one in mine] == [
            (one.id, one.before, one.after, one.at) for one in replayed
        ]
        assert states[state.fingerprint].phase == state.phase
    assert [one.after for one in told if one.after in ("firing", "resolved")] == ["firing", "resolved"]


def test_a_page_has_its_texts_and_the_worst_events(store) -> None:
    rule = rule_of(annotations={"summary": "{{ value }} in {{ labels.language }}"}, runbook="https://r.example/1")
    _, told = run(store, group_of(rule))
    fired = next(one for one in told if one.after == "firing")
    assert fired.annotations["summary"].endswith(" in de")
    assert fired.runbook == "https://r.example/1"
    assert len(fired.examples) == 3
    assert {example.value for example in fired.examples} == {0.0}
    assert all("de" in example.event_id for example in fired.examples)


class Broken:
    """A store that does not answer questions about one metric."""

    def __init__(self, store, metric, error):
        self.store, self.metric, self.error = store, metric, error

    def __getattr__(self, name):
        return getattr(self.store, name)

    def cells_since(self, metrics, query, starts):
        if self.metric in metrics:
            raise self.error
        return self.store.cells_since(metrics, query, starts)


@pytest.mark.parametrize("error", [InputError("the store cannot tell"), ZeroDivisionError("by zero")])
def test_an_error_is_one_of_its_own_rule_and_never_resolves(store, error) -> None:
    # What they look at differs, so that the two rules are read apart.
    fell, rude = rule_of(), rule_of(alert="Rude", metric="polite", by=())
    group = group_of(fell, rude)
    states, _ = run(store, group, Window(SPAN.start, START + timedelta(hours=20)))
    (firing,) = [state for state in states.values() if state.phase == "firing"]
    away = Window(START + timedelta(hours=20, minutes=1), SPAN.end - timedelta(hours=1))
    after, told = run(Broken(store, "faithful", error), group, away, states)
    # What is told is that the rule fails, after ten minutes of it.
    assert [(one.rule, one.after) for one in told] == [("EvalsvcRuleFailing", phase) for phase in ("pending", "firing")]
    assert told[1].description.endswith(f"it pages for nothing: {after[firing.fingerprint].trouble}")
    assert after[firing.fingerprint].phase == "firing"
    assert str(error) in after[firing.fingerprint].trouble
    assert {state.trouble for state in after.values() if state.rule == "Rude"} == {""}
    _, told = run(store, group, Window(away.end + timedelta(minutes=1), SPAN.end), after)
    assert [(one.rule, one.after) for one in told] == [("Fell", "resolved"), ("EvalsvcRuleFailing", "resolved")]


def test_a_store_that_is_away_is_asked_once_a_look(store) -> None:
    group = group_of(rule_of(), rule_of(alert="Rude", metric="polite", window_seconds=1800.0))
    states, _ = run(store, group, Window(SPAN.start, SPAN.start + timedelta(minutes=1)))
    asked = []

    class Away(MemoryStore):
        def metrics(self):
            asked.append(1)
            raise StoreUnavailable("it does not answer")

    failed = []
    after = look(Away(), group, states, SPAN.end, on_error=lambda alert, why: failed.append(alert))
    assert (len(asked), failed) == (1, ["Fell", "Rude"])
    assert {made.state.trouble for made in after if made.state.rule != "EvalsvcRuleFailing"} == {"it does not answer"}


def test_an_alert_whose_group_has_no_data_goes_on(store) -> None:
    group = group_of(rule_of())
    states, _ = run(store, group, Window(SPAN.start, START + timedelta(hours=20)))
    empty = MemoryStore()
    empty.record_scorers([FAITHFUL])
    after, told = run(empty, group, Window(START + timedelta(hours=20, minutes=1), SPAN.end), states)
    assert told == []
    assert {state.trouble for state in after.values()} == {"no score in the window"}
    assert sorted(state.phase for state in after.values()) == ["firing", "inactive"]


def test_the_budget_is_shared_by_the_alerts_that_there_are(store) -> None:
    group = group_of(rule_of(false_alarms=Budget(1.0, 86_400.0)))
    states, _ = run(store, group, Window(SPAN.start, SPAN.start + timedelta(minutes=1)))
    found = [state.evidence.estimate.confidence for state in states.values()]
    assert found == [pytest.approx(1 - 2 * 900 / 86_400 / 2)] * 2


def test_the_newest_version_of_a_scorer_is_looked_at(store) -> None:
    both = MemoryStore()
    both.record_scorers([FAITHFUL, ScorerSpec("faithful", 2, FAITHFUL.scale)])
    at = START + timedelta(hours=1)
    old = [score("faithful", at - timedelta(minutes=n), 0, 1.0, version=2) for n in range(40, 60)]
    new = [score("faithful", at - timedelta(minutes=n), 0, 0.0, version=1) for n in range(5, 40)]
    both.write(WriteBatch(scores=(*old, *new)))
    group = group_of(rule_of(by=()))
    (made,) = look(both, group, {}, at)
    # The latest scores count, whatever the number of the version: it was taken back.
    assert made.state.evidence.estimate.value == 0.0


@pytest.mark.parametrize(
    "condition", [BELOW, Threshold("above", 0.1, 0.1, "p95"), BurnRate(0.95, 2.0, 600.0, "higher")]
)
def test_a_metric_that_nobody_scored_yet_is_no_failure_of_its_rule(condition) -> None:
    failed = []
    group = group_of(rule_of(condition))
    assert look(MemoryStore(), group, {}, SPAN.start, on_error=lambda *error: failed.append(error)) == []
    assert failed == []


def test_what_no_rule_has_any_more_ends_and_says_why(store) -> None:
    states, _ = run(store, group_of(rule_of()), Window(SPAN.start, START + timedelta(hours=20)))
    ends = [closed(state, SPAN.end, "the rule was removed") for state in states.values()]
    (ended,) = [end for end in ends if end]
    assert ended.state.phase == ended.transition.after == "resolved"
    assert ended.transition.description == "the rule was removed"


def test_an_episode_is_held_against_what_was_before_it(store) -> None:
    # An hour into the fall the hour before is part of it.
    rule = rule_of(Change("fell", 0.02, 3600.0), window_seconds=1200.0)
    _, told = run(store, group_of(rule))
    fired, resolved = [one for one in told if one.after in ("firing", "resolved") and one.labels["language"] == "de"]
    assert FELL_AT < fired.at <= FELL_AT + timedelta(hours=1)
    assert BACK_AT < resolved.at <= BACK_AT + timedelta(hours=2)
    assert resolved.observation.baseline.value == fired.observation.baseline.value > 0.8


def test_a_transition_that_cannot_be_worded_goes_out_and_holds_up_no_other(store, monkeypatch) -> None:
    def broken(rule, told, unit=""):
        raise ValueError("a bug in a sentence")

    monkeypatch.setattr("evalsvc.ruler.rounds.describe", broken)
    _, told = run(store, group_of(rule_of()))
    assert [(one.after, one.description) for one in told] == [
        ("firing", "Fell is firing"),
        ("resolved", "Fell is resolved"),
    ]

"""Rules that split by too many values: found out by a count, at the price of one question, before they are read."""

from datetime import UTC, datetime, timedelta

import pytest

from evalsvc.errors import StoreError, StoreUnavailable
from evalsvc.ruler.crowds import MOST_ALERTS
from evalsvc.ruler.live import Kept
from evalsvc.ruler.rounds import look
from evalsvc.rules import BurnRate, Rule, RuleGroup, Threshold
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, Score, ScorerSpec, Subject, WriteBatch

START = datetime(2026, 3, 2, tzinfo=UTC)
FAITHFUL = ScorerSpec("faithful", 1, Scale(0.0, 1.0, "higher", binary=True))
BELOW = Threshold("below", 0.75, 0.75)


def put(store: MemoryStore, at: datetime, languages: range) -> None:
    """Write a score of each of so many languages."""
    scores = []
    for number in languages:
        segments = {"language": f"l{number}"}
        subject = Subject(f"{at.timestamp()}.{number}", at, "quality", "support", "m", "1", segments, "", "all", 1)
        scores.append(Score(subject, "faithful", 1, "", 1.0, "ok", 1.0))
    store.write(WriteBatch(scores=tuple(scores)))


def rule_of(condition=BELOW, **options) -> Rule:
    made = {"alert": "Fell", "metric": "faithful", "by": ("segments.language",), "window_seconds": 3600.0} | options
    return Rule(condition=condition, **made)


def group_of(*rules: Rule) -> RuleGroup:
    return RuleGroup(
        name="g", path="g.rules.yaml", interval_seconds=900.0, delay_seconds=120.0, catch_up_seconds=3600.0, rules=rules
    )


def test_too_many_groups_are_an_error_of_the_rule(monkeypatch) -> None:
    monkeypatch.setattr("evalsvc.ruler.crowds.MOST_ALERTS", 3)
    store = MemoryStore()
    store.record_scorers([FAITHFUL])
    at = START + timedelta(hours=1)
    group = group_of(rule_of(min_effective_n=1.0))
    put(store, at - timedelta(minutes=9), range(3))
    states = {made.state.fingerprint: made.state for made in look(store, group, {}, at)}
    assert len(states) == 3
    put(store, at, range(9, 10))
    why = []
    *after, health = look(store, group, states, at + timedelta(minutes=15), on_error=lambda *error: why.append(error))
    assert len(after) == 3
    assert health.state.labels["rule"] == "Fell"
    assert {("Fell", made.state.trouble) for made in after} == set(why)
    assert {made.state.trouble for made in after} == {
        "Expected at most 3 alerts of Fell, but its `by` makes 4; split by a field with fewer values, or narrow it by "
        "`where`"
    }
    assert MOST_ALERTS == 5000


class CountsReads(MemoryStore):
    """Counts how many groups were read, and how often they were only counted."""

    def __init__(self) -> None:
        super().__init__()
        self.read = self.counted = 0

    def cells_since(self, metrics, query, starts):
        found = super().cells_since(metrics, query, starts)
        self.read += sum(map(len, found.values()))
        return found

    def group_counts(self, metrics, query):
        self.counted += 1
        return super().group_counts(metrics, query)


@pytest.mark.parametrize("condition", [BELOW, BurnRate(0.95, 2.0, 600.0, "higher")])
def test_too_many_groups_are_counted_before_they_are_read(condition) -> None:
    store = CountsReads()
    store.record_scorers([FAITHFUL])
    at = START + timedelta(hours=1)
    put(store, at - timedelta(minutes=9), range(MOST_ALERTS + 1))
    group, why = group_of(rule_of(condition)), []
    (health,) = look(store, group, {}, at, on_error=lambda *error: why.append(error))
    assert health.state.labels["rule"] == "Fell"
    assert f"its `by` makes {MOST_ALERTS + 1:,}" in why[0][1]
    assert (store.read, store.counted) == (0, 1)


class Looks:
    """Looks at a rule with at most five alerts, by minutes after an hour; counts what each look reads and counts."""

    def __init__(self, monkeypatch, **options) -> None:
        monkeypatch.setattr("evalsvc.ruler.crowds.MOST_ALERTS", 5)
        self.store, self.kept, self.states = CountsReads(), Kept(), {}
        self.store.record_scorers([FAITHFUL])
        self.group = group_of(rule_of(min_effective_n=1.0, **options))

    def put(self, minute: int, languages: range) -> None:
        put(self.store, START + timedelta(hours=1, minutes=minute), languages)

    def at(self, minute: int) -> tuple[int, int, str]:
        """Return how many groups are read, how often they are counted, and what is wrong."""
        read, counted, why = self.store.read, self.store.counted, [""]
        now = START + timedelta(hours=1, minutes=minute)
        for made in look(self.store, self.group, self.states, now, self.kept, lambda _, error: why.append(error)):
            self.states[made.state.fingerprint] = made.state
        return self.store.read - read, self.store.counted - counted, why[-1][:45]


CROWDED = "Expected at most 5 alerts of Fell, but its `b"


def test_a_surge_of_groups_is_counted_before_it_is_read(monkeypatch) -> None:
    looks = Looks(monkeypatch, window_seconds=600.0)
    looks.put(-3, range(1))
    assert looks.at(0) == (1, 1, "")
    # What is there and what came of late are counted apart: few of each are no reason to count all.
    assert looks.at(1) == (1, 1, "")
    looks.put(-1, range(1, 9))
    assert looks.at(2) == (0, 2, CROWDED)
    assert looks.at(9) == (0, 2, CROWDED)
    # And it is looked at again as soon as there are few.
    assert looks.at(12) == (0, 1, "")
    assert {state.evaluated_at for state in looks.states.values()} == {START + timedelta(hours=1, minutes=12)}


def test_known_groups_and_those_of_late_may_be_too_many_together(monkeypatch) -> None:
    looks = Looks(monkeypatch, window_seconds=3600.0)
    looks.put(-40, range(4))
    assert looks.at(0) == (4, 1, "")
    looks.put(-1, range(4, 6))
    assert looks.at(2) == (0, 2, CROWDED)


def test_groups_of_the_last_minutes_that_were_known_are_read(monkeypatch) -> None:
    looks = Looks(monkeypatch, window_seconds=3600.0)
    looks.put(-4, range(4))
    assert looks.at(0) == (4, 1, "")
    # The same four twice might be eight.
    assert looks.at(1) == (4, 2, "")


def test_scores_that_come_very_late_are_read_once_and_counted_then(monkeypatch) -> None:
    looks = Looks(monkeypatch, window_seconds=3600.0)
    looks.put(-40, range(1))
    assert looks.at(0) == (1, 1, "")
    looks.put(-30, range(1, 9))
    assert looks.at(1) == (9, 1, CROWDED)
    assert [looks.at(minute) for minute in (2, 3, 20)] == [(0, 1, CROWDED)] * 3


def test_after_a_pause_groups_are_counted_whole(monkeypatch) -> None:
    looks = Looks(monkeypatch, window_seconds=3600.0)
    looks.put(-40, range(1))
    assert looks.at(0) == (1, 1, "")
    looks.put(-30, range(1, 9))
    assert looks.at(11) == (0, 1, CROWDED)
    # Whoever leads next knows of no read, and of few alerts.
    looks.kept = Kept()
    assert looks.at(12) == (0, 1, CROWDED)


class CountsNot(CountsReads):
    """Cannot count what is asked of one field."""

    def __init__(self, field: str, error: Exception) -> None:
        super().__init__()
        self.field, self.error = field, error

    def group_counts(self, metrics, query):
        found = super().group_counts(metrics, query)
        if self.field in query.by:
            raise self.error
        return found


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            StoreError("The store refused a statement: too much memory"),
            "The store refused a statement: too much memory",
        ),
        (ValueError("a store that answers wrongly"), "ValueError: a store that answers wrongly"),
        (StoreUnavailable("The store does not answer"), "The store does not answer"),
    ],
)
def test_groups_that_cannot_be_counted_are_the_errors_of_their_own_rules(error, why) -> None:
    store, failed, kept, at = CountsNot("segments.language", error), [], Kept(), START + timedelta(hours=1)
    store.record_scorers([FAITHFUL])
    put(store, at - timedelta(minutes=9), range(2))
    # The question that fails comes first.
    group = group_of(rule_of(), rule_of(alert="Split", by=("model_version",)), rule_of(alert="Whole", by=()))
    made = look(store, group, {}, at, kept, on_error=lambda *error: failed.append(error))
    seen = [one.state.rule for one in made if one.state.rule != "EvalsvcRuleFailing"]
    if isinstance(error, StoreUnavailable):
        assert (failed, seen, store.counted) == ([(name, why) for name in ("Fell", "Split", "Whole")], [], 1)
        return
    assert (failed, seen, store.counted) == ([("Fell", why)], ["Split", "Whole"], 2)
    # One group of each of the two other rules, and none of the first's.
    assert store.read == 2


def test_a_rule_that_was_read_of_late_and_cannot_be_counted_is_not_read_either() -> None:
    store, kept, failed, at = CountsNot("none", ValueError("wrong")), Kept(), [], START + timedelta(hours=1)
    store.record_scorers([FAITHFUL])
    put(store, at - timedelta(minutes=9), range(2))
    group = group_of(rule_of(min_effective_n=1.0))
    states = {made.state.fingerprint: made.state for made in look(store, group, {}, at, kept)}
    store.field = "segments.language"
    read, counted, later = store.read, store.counted, at + timedelta(minutes=1)
    *made, _ = look(store, group, states, later, kept, on_error=lambda *error: failed.append(error))
    assert failed == [("Fell", "ValueError: wrong")]
    assert (len(made), {one.state.trouble for one in made}) == (2, {"ValueError: wrong"})
    assert (store.read - read, store.counted - counted) == (0, 1)

"""Rules on history: a planted fall pages once and for the right group, quiet days do not, and delays are told."""

import json
import signal
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from evalsvc import _cli_backtest
from evalsvc._cli_backtest import report, to_json
from evalsvc.cli import main
from evalsvc.errors import InputError
from evalsvc.ruler import backtest, timelines
from evalsvc.ruler.replay import alerts_of
from evalsvc.rules import Change, Rule, RuleGroup, Threshold
from evalsvc.rules.machine import transition
from evalsvc.rules.templates import duration
from evalsvc.stats import estimate_mean
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, Score, ScorerSpec, Subject, Window, WriteBatch

START = datetime(2026, 3, 2, tzinfo=UTC)
FELL_AT = START + timedelta(hours=60)
BACK_AT = START + timedelta(hours=66)
FAITHFUL = ScorerSpec("faithful", 1, Scale(0.0, 1.0, "higher", binary=True))
SPAN = Window(START + timedelta(days=1), START + timedelta(days=3))


@pytest.fixture(scope="module")
def store():
    """Three days of two languages, two scores a minute each; German falls from .9 to .5 for six hours."""
    rng = np.random.default_rng(11)
    store = MemoryStore()
    store.record_scorers([FAITHFUL])
    scores = []
    for minute in range(3 * 1440):
        at = START + timedelta(minutes=minute)
        for language in ("de", "en"):
            mean = 0.5 if language == "de" and FELL_AT <= at < BACK_AT else 0.9
            for number in range(2):
                # Half of them are taken with a probability of a fifth.
                pi = 0.2 if number else 1.0
                subject = Subject(
                    f"{language}{minute}.{number}", at, "quality", "support", "m", "1", {"language": language}, "",
                    f"rate={pi}", 1,
                )  # fmt: skip
                scores.append(Score(subject, "faithful", 1, "", pi, "ok", float(rng.random() < mean)))
    store.write(WriteBatch(scores=tuple(scores)))
    return store


def group_of(rule, **options) -> RuleGroup:
    made = {"interval_seconds": 900.0, "delay_seconds": 120.0, "catch_up_seconds": 3600.0} | options
    return RuleGroup(name="g", path="g.rules.yaml", rules=(rule,), **made)


def rule_of(condition, **options) -> Rule:
    made = {"by": ("segments.language",), "window_seconds": 3600.0} | options
    return Rule(alert="FaithfulFell", metric="faithful", condition=condition, **made)


FELL = Change("fell", 0.02, 86_400.0)
BELOW = Threshold("below", 0.75, 0.75)


@pytest.mark.parametrize("condition", [FELL, BELOW], ids=["change", "threshold"])
def test_the_fall_pages_once_for_its_group_and_is_over_when_it_is(store, condition) -> None:
    rule = rule_of(condition)
    found = backtest(store, group_of(rule), rule, SPAN, drops=())
    assert (found.alerts, found.looks) == (2, 2 * 193)
    (page,) = found.pages
    assert page.fired.labels["language"] == "de"
    assert FELL_AT < page.fired.at <= FELL_AT + timedelta(hours=1, minutes=30)
    assert page.resolved is not None
    assert BACK_AT < page.resolved.at <= BACK_AT + timedelta(hours=2)
    seen = page.fired.observation
    assert seen is not None
    if condition is FELL:
        assert seen.since is not None
        assert abs(seen.since - FELL_AT) <= timedelta(minutes=20)
    months = 2 / 30
    # Garwood's limits of one event.
    assert found.rate == pytest.approx((1 / months, 0.025318 / months, 5.571643 / months), rel=1e-5)


def test_quiet_days_do_not_page_and_planted_changes_are_found_the_sooner_the_larger(store) -> None:
    rule = rule_of(FELL, where={"segments.language": ("en",)}, by=())
    found = backtest(store, group_of(rule), rule, SPAN, drops=(0.2, 0.5))
    assert found.pages == ()
    small, large = found.plants
    assert large.times >= 8
    assert large.found == large.times
    assert large.median is not None
    assert large.median <= timedelta(minutes=30)
    assert small.median is None or small.median >= large.median


def test_an_alert_that_fires_leaves_the_quiet_hours_of_the_others(store) -> None:
    def planted(language: str) -> int:
        rule = rule_of(BELOW, where={"segments.language": (language,)}, by=())
        return backtest(store, group_of(rule, interval_seconds=3600.0), rule, SPAN, drops=(0.2,)).plants[0].times

    rule = rule_of(BELOW)
    both = backtest(store, group_of(rule, interval_seconds=3600.0), rule, SPAN, drops=(0.2,)).plants[0].times
    german, english = planted("de"), planted("en")
    # Only German fell, so that it has fewer hours with a quiet day after them.
    assert 0 < german < english
    assert both == german + english


def test_what_most_planted_changes_do_not_show_has_no_median_delay() -> None:
    scores = []
    for minute in range(3 * 1440):
        # A score each minute of one language; of the other two far too few to decide anything.
        for language in ("de", "en", "fr") if minute % 60 == 0 else ("de",):
            name = f"{language}{minute}"
            at = START + timedelta(minutes=minute)
            subject = Subject(name, at, "quality", "support", "m", "1", {"language": language}, "", "all", 1)
            scores.append(Score(subject, "faithful", 1, "", 1.0, "ok", float(minute % 10 != 0)))
    store = MemoryStore()
    store.record_scorers([FAITHFUL])
    store.write(WriteBatch(scores=tuple(scores)))
    rule = rule_of(BELOW)
    found = backtest(store, group_of(rule, interval_seconds=3600.0), rule, SPAN, drops=(0.9,))
    (plant,) = found.plants
    assert 0 < plant.found == plant.times / 3
    assert plant.median is None


def test_to_plant_a_change_moves_the_timelines_of_its_own_alert_only(store, monkeypatch) -> None:
    module = sys.modules[backtest.__module__]
    moved, move = [], module._moved

    def counted(*asked, **options):
        moved.append(asked)
        return move(*asked, **options)

    monkeypatch.setattr(module, "_moved", counted)
    rule = rule_of(BELOW)
    found = backtest(store, group_of(rule, interval_seconds=7200.0), rule, SPAN, drops=(0.2,))
    assert len(found.plants) == 1
    assert len(moved) == found.plants[0].times > 10


def test_a_rise_is_planted_for_rules_about_rises(store) -> None:
    rule = rule_of(Change("rose", 0.0, 86_400.0), where={"segments.language": ("en",)}, by=())
    found = backtest(store, group_of(rule), rule, SPAN, drops=(0.1,))
    assert found.pages == ()
    # All scores are at the scale's end then.
    assert found.plants[0].found == found.plants[0].times > 0


def test_what_is_replayed_is_what_a_ruler_sees_look_by_look(store) -> None:
    rule = rule_of(FELL)
    group = group_of(rule)
    whole = backtest(store, group, rule, SPAN, drops=())
    told = []
    states = {}
    at = SPAN.start
    while at <= SPAN.end:
        if at < FELL_AT or at > FELL_AT + timedelta(hours=1):
            at += timedelta(minutes=15)
            continue
        # Read anew for each look, as a process that was just started does.
        read = Window(at - timedelta(days=1, hours=4), at)
        for alert in alerts_of(rule, group, timelines(store, rule, read, 60)):
            before = states.get(alert.start.fingerprint, alert.start)
            after = alert.look(before, at)
            if (one := transition(before, after)) is not None:
                told.append(one)
            states[after.fingerprint] = after
        at += timedelta(minutes=15)
    (page,) = whole.pages
    assert [(one.fingerprint, one.after) for one in told] == [(page.fired.fingerprint, "firing")]
    # The detector of the replay had watched since the day before, so that it may be a look or two apart.
    assert abs(told[0].at - page.fired.at) <= timedelta(minutes=30)


def test_pools_of_a_window_are_the_window(store) -> None:
    (line,) = timelines(store, rule_of(BELOW, by=(), where={"segments.language": ("en",)}), SPAN, 60)
    (whole,) = timelines(store, rule_of(BELOW, by=(), where={"segments.language": ("en",)}), SPAN, int(SPAN.seconds))
    found = line.mean(line.between(SPAN.start, SPAN.end), SPAN, 0.95)
    (pool,) = whole.pools.values()
    expected = estimate_mean(pool.cells, FAITHFUL.scale, SPAN, rates=pool.rates, target="process")
    assert found.n == expected.n == 2 * 2880
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-9
    )


def test_an_empty_history_has_no_alert() -> None:
    store = MemoryStore()
    store.record_scorers([FAITHFUL])
    rule = rule_of(BELOW)
    found = backtest(store, group_of(rule), rule, SPAN)
    assert (found.alerts, found.looks, found.pages) == (0, 0, ())


def test_rules_that_read_for_themselves_have_no_timeline(store) -> None:
    rule = rule_of(Threshold("above", 900.0, 900.0, "p95"))
    with pytest.raises(
        InputError, match="a change, or a threshold of a mean or proportion, but FaithfulFell is neither"
    ):
        timelines(store, rule, SPAN, 60)


RULES = """groups:
  - name: quality
    interval: 15m
    rules:
      - alert: FaithfulFell
        metric: faithful
        by: [segments.language]
        window: 1h
        change: {direction: fell, by: 0.02, baseline: 1d}
      - {alert: FaithfulLow, metric: faithful, window: 1h, below: 0.2}
"""


def run(store, tmp_path, monkeypatch, *arguments) -> int:
    from evalsvc import assemble

    (tmp_path / "q.rules.yaml").write_text(RULES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evalsvc.project.checking._scale_of", lambda configured, metric: FAITHFUL.scale)
    monkeypatch.setattr("evalsvc.scorers.names", lambda: ("faithful",))
    monkeypatch.setattr(assemble, "open_project_store", lambda *_: store)
    times = ("--since", "2026-03-03", "--until", "2026-03-05")
    return main(["backtest", "q.rules.yaml", *arguments, *times, "--drop", "0.3"])


def test_the_command_says_it_to_a_person(store, tmp_path, monkeypatch, capsys) -> None:
    assert run(store, tmp_path, monkeypatch) == 0
    first, pages, plants, second, *_ = capsys.readouterr().out.split("\n\n")
    assert first.startswith("FaithfulFell: 1 page in 2 days (15 in 30 days, 95 % interval 0.38 … 83.6) from 2 alerts, ")
    assert first.endswith("looked at every 15m. Its budget allows 0.0667 false ones in that time.")
    assert pages.splitlines()[0].split() == [
        "fired",
        "lasted",
        "consumer",
        "language",
        "value",
        "interval",
        "before",
        "since",
    ]
    assert "quality   de" in pages
    assert plants.startswith("Changes planted in quiet hours, as shares of the scale:\nplanted  found within a day")
    assert second.strip().startswith(
        "FaithfulLow: 0 pages in 2 days (0 in 30 days, 95 % interval 0 … 55.3) from 1 alert"
    )


def test_the_command_says_it_to_a_program(store, tmp_path, monkeypatch, capsys) -> None:
    assert run(store, tmp_path, monkeypatch, "FaithfulFell", "--format", "json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["alerts"] == 2
    (page,) = found["pages"]
    assert page["labels"]["language"] == "de"
    assert page["low"] <= page["value"] <= page["high"]
    assert found["planted"][0]["size"] == 0.3
    assert found["false_alarms_in_30_days"] == 1.0


def test_an_unknown_alert_is_named_with_the_nearest(store, tmp_path, monkeypatch, capsys) -> None:
    assert run(store, tmp_path, monkeypatch, "FaithfulFel") == 2
    assert "got 'FaithfulFel' (did you mean `FaithfulFell`?)" in capsys.readouterr().err


@pytest.mark.parametrize(("drop", "hint"), [("20%", "; write 0.2"), ("12.5 %", "; write 0.125"), ("2", ""), ("a%", "")])
def test_a_drop_is_a_share(capsys, drop: str, hint: str) -> None:
    assert main(["backtest", "q.rules.yaml", "--drop", drop]) == 2
    assert f"expected a share above 0 and up to 1, but got {drop!r}{hint}\n" in capsys.readouterr().err


def test_an_alert_that_too_little_traffic_holds_up_is_said_to_be_on_and_why(store) -> None:
    rule = rule_of(FELL, min_effective_n=100_000.0)
    group = group_of(rule)
    found = backtest(store, group, rule, SPAN, drops=())
    (page,) = found.pages
    assert page.resolved is None
    assert 0 < found.held < found.firing
    shown = " ".join(report(found, group).split())
    assert f"{found.held:,} of {found.firing:,} looks at alerts that fired (" in shown
    assert "left them on: lengthen `window`, lower `min_effective_n` (100000), or sample more." in shown
    lasted = duration((SPAN.end - page.fired.at).total_seconds())
    assert f" {lasted}, still firing " in report(found, group)
    assert to_json(found)["looks_while_firing_without_data"] == found.held
    quiet = rule_of(FELL, min_effective_n=100_000.0, where={"segments.language": ("en",)})
    made = backtest(store, group, quiet, SPAN, drops=())
    assert (made.pages, made.held, made.firing) == ((), 0, 0)
    few = f"{made.no_data:,} of {made.looks:,} looks (100.0%) had too few scores to decide"
    assert f"{few}: at these no alert can end by itself." in " ".join(report(made, group).split())


def test_a_replay_that_is_ended_is_the_part_up_to_there(store) -> None:
    rule = rule_of(BELOW)
    group = group_of(rule)
    part = backtest(store, group, rule, SPAN, drops=(0.2,), goes_on=lambda done, of: done < 150)
    assert not part.whole
    assert part.plants == ()
    assert part.span == Window(SPAN.start, SPAN.start + timedelta(minutes=15 * 149))
    same = backtest(store, group, rule, part.span, drops=())
    assert part == same._replace(whole=False)
    first = backtest(store, group, rule, SPAN, goes_on=lambda done, of: False)
    assert (first.looks, first.whole, first.rate[0]) == (2, False, 0.0)


def test_a_replay_that_is_ended_while_changes_are_planted_has_all_looks(store) -> None:
    rule = rule_of(BELOW)
    asked = []

    def goes_on(done: int, of: int) -> bool:
        asked.append((done, of))
        return done < 195

    made = backtest(store, group_of(rule), rule, SPAN, drops=(0.2, 0.5), goes_on=goes_on)
    assert (made.whole, made.span, made.looks, made.plants) == (False, SPAN, 2 * 193, ())
    assert asked[:193] == [(number, 193) for number in range(1, 194)]
    total = asked[-1][1]
    assert asked[193:] == [(194, total), (195, total)]
    assert (total - 193) % 2 == 0


def test_ctrl_c_prints_what_was_found_and_says_that_it_is_a_part(store, tmp_path, monkeypatch, capsys) -> None:
    goes_on = _cli_backtest._Run.goes_on

    def interrupted(run, done: int, of: int) -> bool:
        if done == 150:
            signal.raise_signal(signal.SIGINT)
        return goes_on(run, done, of)

    monkeypatch.setattr(_cli_backtest._Run, "goes_on", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert run(store, tmp_path, monkeypatch) == 130
    assert signal.getsignal(signal.SIGINT) is before
    shown = capsys.readouterr().out
    assert shown.startswith(
        "ONLY A PART, ended by Ctrl-C: what follows is about the time until 2026-03-04 13:15 UTC, of the time until "
        "2026-03-05 00:00 UTC.\nFaithfulFell: "
    )
    assert "FaithfulLow" not in shown
    assert run(store, tmp_path, monkeypatch, "--format", "json") == 130
    (line,) = capsys.readouterr().out.splitlines()
    assert (json.loads(line)["whole"], json.loads(line)["end"]) == (False, "2026-03-04T13:15:00Z")


def test_ctrl_c_in_the_last_look_of_a_rule_begins_no_other(store, tmp_path, monkeypatch, capsys) -> None:
    goes_on = _cli_backtest._Run.goes_on

    def interrupted(run, done: int, of: int) -> bool:
        if done == of:
            signal.raise_signal(signal.SIGINT)
        return goes_on(run, done, of)

    # What fires all along has no quiet hour in which a change could be planted.
    rules = RULES.replace("below: 0.2", "below: 0.99").replace("FaithfulLow", "First").replace("FaithfulFell", "Second")
    first, second = rules.index("      - alert"), rules.index("      - {alert")
    monkeypatch.setattr(sys.modules[__name__], "RULES", rules[:first] + rules[second:] + rules[first:second])
    monkeypatch.setattr(_cli_backtest._Run, "goes_on", interrupted)
    assert run(store, tmp_path, monkeypatch) == 130
    shown = capsys.readouterr().out
    # All of the first was done, and none of the second.
    assert shown.startswith("First: ")
    assert "No change could be planted: the alerts were firing" in shown
    assert "Second" not in shown


def test_a_replay_that_is_ended_says_that_nothing_was_planted_yet(store) -> None:
    rule = rule_of(BELOW)
    group = group_of(rule)
    made = backtest(store, group, rule, SPAN, goes_on=lambda done, of: done < 20)
    assert report(made, group).endswith("No change was planted: the replay was ended before.")


def test_a_second_ctrl_c_ends_at_once() -> None:
    run = _cli_backtest._Run()
    with run.interruptible():
        signal.raise_signal(signal.SIGINT)
        assert not run.goes_on(1, 2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_is_left_is_told_after_the_first_looks() -> None:
    now = [0.0]
    run = _cli_backtest._Run(lambda: now[0])
    assert run.left() == ""
    now[0] = 3.0
    assert run.goes_on(2, 100)
    assert run.left() == ""
    assert run.goes_on(10, 100)
    assert (run.measure(), run.left()) == ((10, 100), "about 27s left")
    now[0] = 70.0
    assert run.left() == "about 11m left"

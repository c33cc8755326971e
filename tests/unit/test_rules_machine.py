"""One alert's phases: looks in, transitions out, against a table and a second writing of the rules."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.rules import AlertState, Observation, Rule, Threshold, step, transition
from evalsvc.types import Window

START = datetime(2026, 3, 1, tzinfo=UTC)
VERDICTS = ("bad", "good", "unclear", "no_data", "error")
LETTERS = {"b": "bad", "g": "good", "u": "unclear", "-": "no_data", "x": "error"}


def rule(**options) -> Rule:
    condition = Threshold("below", 0.8, 0.8)
    return Rule(alert="A", metric="refusal", condition=condition, window_seconds=600.0, **options)


def seen(verdict) -> Observation:
    return Observation(verdict=verdict, window=Window(START, START + timedelta(minutes=10)), reason=f"{verdict}!")


def nothing() -> AlertState:
    return AlertState(fingerprint="f", labels={"alertname": "A"})


def phases(given_rule, verdicts) -> str:
    """Return the first letter of the phase after each look, one a minute."""
    state, found = nothing(), ""
    for minute, verdict in enumerate(verdicts):
        state = step(given_rule, state, seen(verdict), START + timedelta(minutes=minute))
        found += state.phase[0]
    return found


@pytest.mark.parametrize(
    ("options", "looks", "expected"),
    [
        ({}, "ggbg", "iiff"),
        ({"for_seconds": 120}, "bbbb", "ppff"),
        ({"for_seconds": 120}, "bbgbbb", "ppippf"),
        ({"for_seconds": 120}, "bbubbb", "ppippf"),
        ({"for_seconds": 120}, "b-xb", "pppf"),
        ({"keep_firing_seconds": 120}, "bgggg", "fffrr"),
        ({"keep_firing_seconds": 120}, "bggbggg", "ffffffr"),
        ({"keep_firing_seconds": 120}, "bggxggg", "ffffffr"),
        ({"keep_firing_seconds": 120}, "bgg-ggg", "ffffffr"),
        ({"keep_firing_seconds": 120}, "bgguggg", "ffffffr"),
        ({"keep_firing_seconds": 0}, "bgbg", "frfr"),
        ({"keep_firing_seconds": 0}, "bxxx---", "fffffff"),
        ({"keep_firing_seconds": 0, "for_seconds": 60}, "bbgbbg", "pfrpfr"),
        ({"no_data": "alert"}, "g--", "iff"),
        ({"no_data": "alert", "for_seconds": 120}, "g---g", "ippff"),
        ({"error": "alert", "keep_firing_seconds": 0}, "gxg", "ifr"),
        ({"error": "alert"}, "---", "iii"),
    ],
)
def test_phases_look_by_look(options, looks, expected) -> None:
    if options == {"no_data": "alert", "for_seconds": 120}:
        options = {**options, "keep_firing_seconds": 600}
    assert phases(rule(**options), [LETTERS[letter] for letter in looks]) == expected


def second_writing(given_rule, verdicts) -> str:
    """The same rules, from the whole history each time, in the slow and obvious way."""
    alarming = {"bad"} | ({"no_data"} if given_rule.no_data == "alert" else set())
    alarming |= {"error"} if given_rule.error == "alert" else set()
    phase, found, pending, good = "inactive", "", 0, None
    for minute, verdict in enumerate(verdicts):
        bad, silent = verdict in alarming, verdict in ("no_data", "error")
        if phase == "firing":
            good = None if bad or verdict != "good" else (minute if good is None else good)
            if good is not None and (minute - good) * 60 >= given_rule.keep_firing_seconds:
                phase, good = "resolved", None
        elif bad:
            pending = minute if phase != "pending" else pending
            phase = "firing" if (minute - pending) * 60 >= given_rule.for_seconds else "pending"
        elif phase == "pending" and not silent:
            phase = "inactive"
        found += phase[0]
    return found


rules = st.builds(
    rule,
    for_seconds=st.sampled_from([0.0, 60.0, 300.0]),
    keep_firing_seconds=st.sampled_from([0.0, 60.0, 300.0]),
    no_data=st.sampled_from(["keep", "alert"]),
    error=st.sampled_from(["keep", "alert"]),
)
looks = st.lists(st.sampled_from(VERDICTS), max_size=40)


@given(rules, looks)
def test_phases_equal_a_second_writing(given_rule, verdicts) -> None:
    assert phases(given_rule, verdicts) == second_writing(given_rule, verdicts)


@given(rules, looks, st.lists(st.sampled_from(["no_data", "error"]), min_size=1, max_size=20))
def test_trouble_never_resolves_and_never_clears(given_rule, verdicts, trouble) -> None:
    before = phases(given_rule, verdicts)[-1:] or "i"
    after = phases(given_rule, [*verdicts, *trouble])[-1]
    assert after in {"i": "ipf", "r": "rpf", "p": "pf", "f": "f"}[before]


@given(rules, looks, st.data())
def test_a_look_that_is_not_later_changes_nothing(given_rule, verdicts, data) -> None:
    state = nothing()
    for minute, verdict in enumerate(verdicts):
        state = step(given_rule, state, seen(verdict), START + timedelta(minutes=minute))
        back = data.draw(st.integers(0, 100))
        other = seen(data.draw(st.sampled_from(VERDICTS)))
        assert step(given_rule, state, other, START + timedelta(minutes=minute - back)) is state


@given(rules, looks)
def test_a_state_that_was_stored_and_read_goes_on_as_if_it_had_not(given_rule, verdicts) -> None:
    live = stored = nothing()
    for minute, verdict in enumerate(verdicts):
        now = START + timedelta(minutes=minute)
        live = step(given_rule, live, seen(verdict), now)
        stored = step(given_rule, msgspec.json.decode(msgspec.json.encode(stored), type=AlertState), seen(verdict), now)
    assert stored == live


@given(rules, looks)
def test_transitions_have_ids_of_their_own_and_tell_the_whole_story(given_rule, verdicts) -> None:
    state, told = nothing(), []
    for minute, verdict in enumerate(verdicts):
        after = step(given_rule, state, seen(verdict), START + timedelta(minutes=minute))
        if found := transition(state, after):
            told.append(found)
        state = after
    assert len({one.id for one in told}) == len(told)
    assert [one.before for one in told] == ["inactive", *(one.after for one in told)][: len(told)]
    assert (told[-1].after if told else "inactive") == state.phase
    # A page and its resolution belong to one episode.
    fired = {one.episode for one in told if one.after == "firing"}
    assert all(one.episode in fired for one in told if one.after == "resolved")


def test_a_page_tells_what_fired_it_and_a_resolution_what_was_seen_last() -> None:
    given_rule = rule(keep_firing_seconds=0.0)
    first = step(given_rule, nothing(), seen("bad"), START)
    fired = transition(nothing(), first)
    assert fired is not None
    assert (fired.after, fired.reason, fired.episode) == ("firing", "bad!", START)
    over = transition(first, step(given_rule, first, seen("good"), START + timedelta(minutes=1)))
    assert over is not None
    assert (over.after, over.reason, over.episode) == ("resolved", "good!", START)
    again = step(given_rule, nothing(), seen("bad"), START)
    assert transition(nothing(), again) == fired


def test_trouble_is_shown_beside_the_last_evidence() -> None:
    first = step(rule(), nothing(), seen("bad"), START)
    second = step(rule(), first, seen("error"), START + timedelta(minutes=1))
    assert second.trouble == "error!"
    assert second.evidence == seen("bad")
    third = step(rule(), second, seen("bad"), START + timedelta(minutes=2))
    assert third.trouble == ""

"""Confidence sequences and e-detectors: digits by brute force, storage, batches, and bad input."""

import math

import msgspec
import numpy as np
import pytest

from benchmark_scripts import load_benchmark
from evalsvc.errors import InputError
from evalsvc.stats import change, sequential
from evalsvc.types import Scale

UNIT = Scale(0.0, 1.0, "higher")
BINARY = Scale(0.0, 1.0, "higher", binary=True)
OPEN = Scale(None, None, "lower")
looks = load_benchmark("sequential")
detection = load_benchmark("change_detection")
METHODS = ["betting", "bernstein", "beta-binomial", "asymptotic"]


def brute_bets(y, w, alpha):
    """Bets of Waudby-Smith & Ramdas (2024), but not shrinking before score 10,000, one score at a time."""
    bets, weight, total, residual = [], 0.0, 0.0, 0.0
    for t, (score, share) in enumerate(zip(y, w, strict=True), start=1):
        variance = (0.25 + residual) / t
        bets.append(math.sqrt(2 * math.log(2 / alpha) / (variance * min(t * math.log(1 + t), 10_000))))
        weight += share
        total += share * score
        residual += (share * (score - (0.5 + total) / (1 + weight))) ** 2
    return bets


def test_betting_equals_the_capital_followed_score_by_score() -> None:
    rng = np.random.default_rng(1)
    y, pi = rng.beta(8, 2, 400), rng.choice([0.1, 0.5, 1.0], 400)
    found = sequential.interval(sequential.step(sequential.start(UNIT, pi_min=0.1), y, pi))
    bets = brute_bets(y, 0.1 / pi, 0.05)

    def log_capital(m, sign):
        return sum(math.log(1 + sign * min(b, 0.75) * w * (s - m)) for b, w, s in zip(bets, 0.1 / pi, y, strict=True))

    # Interpolation may widen the interval, by less than a tenth of a cell, and never narrows it.
    needed = math.log(2 / 0.05)
    assert log_capital(found.low, 1) >= needed - 1e-9 > log_capital(found.low + 0.0005, 1)
    assert log_capital(found.high, -1) >= needed - 1e-9 > log_capital(found.high - 0.0005, -1)


def test_bernstein_equals_the_published_limits_of_its_own_bets() -> None:
    y = np.random.default_rng(2).beta(2, 5, 300)
    found = sequential.interval(sequential.step(sequential.start(UNIT, method="bernstein"), y))
    top = bottom = doubt = 0.0
    for t, (score, bet) in enumerate(zip(y, brute_bets(y, np.ones(300), 0.05), strict=True)):
        bet = min(bet, 0.5)
        centre = (0.5 + sum(y[:t])) / (t + 1)
        top, bottom = top + bet * score, bottom + bet
        doubt += 4 * (score - centre) ** 2 * (-math.log(1 - bet) - bet) / 4
    half = (math.log(2 / 0.05) + doubt) / bottom
    assert found.low == pytest.approx(top / bottom - half, abs=1e-12)
    assert found.high == pytest.approx(top / bottom + half, abs=1e-12)


def test_bets_are_the_published_ones_where_the_best_size_is_small() -> None:
    """With ``best_n`` = 1 the pace is t·log(1 + t) from a few scores on, as published, but for a factor log 2."""
    y = np.random.default_rng(7).beta(2, 5, 300)
    found = sequential.interval(sequential.step(sequential.start(UNIT, method="bernstein", best_n=1), y))
    top = bottom = doubt = residual = total = 0.0
    for t, score in enumerate(y, start=1):
        pace = min(t * math.log(1 + t), max(1.0, t * math.log(1 + t) / math.log(2)))
        bet = min(0.5, math.sqrt(2 * math.log(2 / 0.05) / ((0.25 + residual) / t * pace)))
        doubt += (score - (0.5 + total) / t) ** 2 * (-math.log(1 - bet) - bet)
        top, bottom, total = top + bet * score, bottom + bet, total + score
        residual += (score - (0.5 + total) / (t + 1)) ** 2
    half = (math.log(2 / 0.05) + doubt) / bottom
    assert (found.low, found.high) == pytest.approx((top / bottom - half, top / bottom + half), abs=1e-12)


def test_beta_binomial_limits_solve_robbins_equation() -> None:
    from scipy.special import betaln

    found = sequential.interval(sequential.step(sequential.start(BINARY), [1] * 30 + [0] * 70))
    for p in (found.low, found.high):
        r = 10_000 / (-2 * math.log(0.05) + math.log(-2 * math.log(0.05)) + 1)
        ratio = (
            betaln(r * p + 30, r * (1 - p) + 70) - betaln(r * p, r * (1 - p)) - 30 * math.log(p) - 70 * math.log(1 - p)
        )
        assert ratio == pytest.approx(math.log(20), abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 100_000])
def test_beta_binomial_limits_hold_with_one_score_unlike_the_rest_and_mirror(n) -> None:
    up = sequential.interval(sequential.step(sequential.start(BINARY), [0] + [1] * (n - 1)))
    down = sequential.interval(sequential.step(sequential.start(BINARY), [1] + [0] * (n - 1)))
    assert 0.0 <= up.low <= up.value <= up.high <= 1.0
    assert (1.0 - up.high, 1.0 - up.low) == pytest.approx((down.low, down.high), abs=1e-9)


def test_asymptotic_equals_the_published_formula() -> None:
    y = np.random.default_rng(3).lognormal(6, 1, 2000)
    found = sequential.interval(sequential.step(sequential.start(OPEN, best_n=500), y))
    rho2 = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05)) + 1) / 500
    t = 2000 * rho2
    half = y.std() * math.sqrt(2 * (t + 1) / (2000 * t) * math.log(math.sqrt(t + 1) / 0.05))
    assert (found.low, found.high) == pytest.approx((y.mean() - half, y.mean() + half), rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_restart_and_other_batches_change_nothing(method) -> None:
    y = (np.random.default_rng(4).random(500) < 0.3).astype(float)
    whole = parts = sequential.start(BINARY, method=method)
    whole = sequential.step(whole, y)
    for batch in np.split(y, [1, 7, 7, 300]):
        stored = msgspec.msgpack.encode(sequential.step(parts, batch))
        parts = msgspec.msgpack.decode(stored, type=sequential.SequenceState)
    assert sequential.interval(parts)[:3] == pytest.approx(sequential.interval(whole)[:3], abs=1e-10)
    assert parts.n == whole.n == 500


@pytest.mark.parametrize("method", METHODS)
def test_nothing_seen_has_no_value_and_a_reason(method) -> None:
    state = sequential.start(BINARY, method=method)
    for none in (state, sequential.step(state, []), sequential.step(state, [math.nan])):
        found = sequential.interval(none)
        assert found[:3] == (None, None, None)
        assert found.reason


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [1.0] * 200])
def test_few_or_equal_scores_have_limits_or_a_reason(method, values) -> None:
    found = sequential.interval(sequential.step(sequential.start(BINARY, method=method), values))
    assert found.value == values[0]
    assert found.reason if found.low is None else 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_a_tiny_pi_is_left_out_and_counted() -> None:
    found = sequential.interval(sequential.step(sequential.start(UNIT, pi_min=0.01), [0.2, 0.9], [1e-9, 0.5]))
    assert (found.n, found.left_out, found.value) == (1, 1, pytest.approx(0.9))


def test_strata_are_joined_by_their_shares() -> None:
    state = sequential.start(BINARY, confidence=0.975)
    found = {"a": sequential.interval(sequential.step(state, [0, 1] * 50)), "b": sequential.interval(state)}
    assert sequential.combine(found, {"a": 0.9, "b": 0.1}, confidence=0.95).value is None
    found["b"] = sequential.interval(sequential.step(state, [1] * 40))
    joined = sequential.combine(found, {"a": 0.9, "b": 0.1}, confidence=0.95)
    assert joined.value == pytest.approx(0.55)
    assert joined.low == pytest.approx(0.9 * found["a"].low + 0.1 * found["b"].low)
    with pytest.raises(InputError, match="confidence"):
        sequential.combine(found, {"a": 0.9, "b": 0.1}, confidence=0.99)


@pytest.mark.parametrize(
    ("values", "pi"), [([1.5], None), ([math.inf], None), ([0.5], [0.0]), ([0.5, 0.5], [0.1, 0.2]), ([0.5], [1, 1])]
)
def test_wrong_scores_are_refused(values, pi) -> None:
    with pytest.raises(InputError, match="Expected"):
        sequential.step(sequential.start(UNIT), values, pi)
    with pytest.raises(InputError, match="Expected"):
        change.step(change.start(UNIT, 0.5), values, pi)


def brute_levels(y, w, bets, base, form):
    levels = [0.0] * len(bets)
    for score, share in zip(y, w, strict=True):
        for k, bet in enumerate(bets):
            before = max(levels[k], 1.0) if form == "cusum" else levels[k] + 1.0
            levels[k] = before * (1 + bet * share * (base - score))
    return sum(levels) / len(bets)


@pytest.mark.parametrize("form", ["shiryaev-roberts", "cusum"])
def test_detector_equals_the_recursion_score_by_score(form) -> None:
    rng = np.random.default_rng(5)
    y, pi = rng.beta(8, 2, 300), rng.choice([0.2, 1.0], 300)
    y[200:] = rng.beta(5, 5, 100)
    state = change.start(UNIT, 0.8, form=form, pi_min=0.2, margin=0.02)
    whole = change.step(state, y, pi)
    parts = state
    for batch in np.array_split(np.arange(300), 11):
        stored = msgspec.msgpack.encode(change.step(parts, y[batch], pi[batch]))
        parts = msgspec.msgpack.decode(stored, type=change.ChangeState)
    expected = brute_levels(y, 0.2 / pi, state.bets, 0.78, form)
    assert change.detect(whole).statistic == pytest.approx(expected, rel=1e-9)
    assert change.detect(parts).statistic == pytest.approx(expected, rel=1e-9)
    assert (parts.alarm_n, parts.alarm_since) == (whole.alarm_n, whole.alarm_since)


def test_the_change_is_dated_and_latched() -> None:
    rng = np.random.default_rng(6)
    state = change.start(UNIT, 0.8, run_length=1e5)
    state = change.step(state, rng.beta(8, 2, 1000), at=0.0)
    state = change.step(state, rng.beta(6, 4, 200), at=60.0)
    found = change.detect(change.step(state, [1.0] * 500, at=120.0))
    assert found.alarm
    assert 900 <= found.since_n <= 1020
    assert found.since == 0.0
    assert 1000 < found.alarm_n < 1100


def test_an_estimated_baseline_uses_its_far_end_and_an_empty_one_says_so() -> None:
    sample = sequential.interval(sequential.step(sequential.start(UNIT), [0.7, 0.9] * 100))
    assert change.start(UNIT, sample).bases[0] == sample.low
    assert change.start(UNIT, sample, direction="rose").bases[0] == sample.high
    empty = change.step(change.start(UNIT, sequential.interval(sequential.start(UNIT))), [0.5])
    assert change.detect(empty).statistic is None
    assert "no score yet" in change.detect(empty).reason
    assert change.detect(change.start(UNIT, 0.0)).reason


@pytest.mark.parametrize(
    ("base", "run_length", "bets"), [(0.8, 1e4, 5), (0.99, 1e4, 7), (0.8, 26e6, 10), (0.5, 2.0, 1)]
)
def test_no_bet_is_too_small_to_pay_before_a_false_alarm_is_due(base, run_length, bets) -> None:
    state = change.start(UNIT, base, run_length=run_length)
    assert len(state.bets) == bets
    assert state.bets[0] == pytest.approx(0.9 * min(100.0, 1 / (1 - base)))
    variance = base * (1 - base)
    due = [2 * math.log(run_length) / (bet**2 * variance) for bet in state.bets]
    assert all(scores <= run_length / 4 for scores in due[1:])
    assert 8 * math.log(run_length) / (state.bets[-1] ** 2 * variance) > run_length / 4
    rise = change.start(UNIT, 1 - base, run_length=run_length, direction="rose")
    assert rise.bets == pytest.approx([-bet for bet in state.bets])


@pytest.mark.parametrize("design", looks.designs(), ids=lambda design: f"{design.name}, {design.method}")
def test_the_benchmark_asks_at_every_look_what_the_limits_answer(design) -> None:
    """A truth moved towards the limits, so that some looks are outside."""
    y, pi = (None if part is None else part[:, :400] for part in design.draw(np.random.default_rng(3), 2))
    wrong = design._replace(truth=design.truth * 0.2 if design.truth > 0.05 else 0.2)
    flags = looks.outside(wrong, y, pi)
    assert flags.any()
    assert not flags.all()
    for run in range(2):
        state = sequential.start(design.scale, method=design.method, pi_min=design.pi_min)
        for first in range(0, 400, 20):
            part = slice(first, first + 20)
            state = sequential.step(state, y[run, part], None if pi is None else pi[run, part])
            found = sequential.interval(state)
            held = found.low is None or found.low <= wrong.truth <= found.high
            assert flags[run, first + 19] == (not held)


@pytest.mark.parametrize("kind", detection.KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("form", ["shiryaev-roberts", "cusum"])
def test_the_benchmark_follows_the_detector(kind, form) -> None:
    streams = kind.draw(np.random.default_rng(4), 0.75, 3, 200)
    paths = detection.e_paths(streams, form)
    pi_min = None if streams.pi is None else detection.PI_MIN
    for run in range(3):
        state = change.start(UNIT, detection.BEFORE, form=form, pi_min=pi_min, run_length=detection.RUN_LENGTH)
        state = change.step(state, streams.y[run], None if streams.pi is None else streams.pi[run])
        assert change.detect(state).log_statistic == pytest.approx(paths[run, -1], abs=1e-9)
        assert state.peak == pytest.approx(paths[run].max(), abs=1e-9)

"""False alarms and delays of change detectors in one table: e-detectors beside CUSUM and river's, at one run length.

Run ``python benchmarks/change_detection.py [--runs 160]``: it prints the table of ``docs/reference/always-valid.md``.
Every detector's threshold is set by simulation until its mean run length without a change is :data:`RUN_LENGTH`
scores; runs are cut at three times that, and the time watched is divided by the number of alarms. Delays are from a
change of the mean at score 0, 1,000 or 5,000, over the runs without an alarm before it.

The CUSUM here is Page's, of the binary likelihood ratio between two means, which also takes scores between 0 and 1.
Told both means it is an oracle; elsewhere it is told a mean before the change that is off by 0.02, or half or twice the
fall. river's ADWIN, KSWIN and Page–Hinkley learn the mean from the stream, and are undefined for a change at score 0.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from _harness import Aim, Row, machine
from evalsvc.stats import change, sequential
from evalsvc.types import Scale

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
# From a threshold to the number of scores at each run's first alarm; 0 is none.
Alarms = Callable[[float], Counts]
RUN_LENGTH = 10_000
RUNS = 160
BEFORE, AFTER = 0.80, 0.70
UNIT = Scale(0.0, 1.0, "higher")
# Segments of the weighted stream: their share of the traffic, by how much their mean lies below that of the first, and
# their inclusion probabilities, before and after a change of the design that leaves every mean as it was.
OFFERED, BELOW = np.array([0.90, 0.09, 0.01]), np.array([0.0, 0.18, 0.42])
RATES, NEW_RATES = np.array([0.01, 0.1, 0.3]), np.array([0.01, 0.3, 1.0])
PI_MIN = 0.01


class Streams(NamedTuple):
    """Scores by run and time, and their π, ``None`` where all are equal."""

    y: Floats
    pi: Floats | None = None


class Kind(NamedTuple):
    """How scores of a mean are drawn, ``draw(rng, mean, runs, size)``, and Kullback–Leibler of a mean from BEFORE."""

    name: str
    draw: Callable[[np.random.Generator, float, int, int], Streams]
    divergence: Callable[[float], float]


class Detector(NamedTuple):
    """A detector: its alarms on streams, by threshold, between ``least`` and ``most``.

    ``stated`` is the threshold at which it claims :data:`RUN_LENGTH`, if it claims any.
    """

    name: str
    prepare: Callable[[Streams], Alarms]
    learns: bool = False
    stated: float | None = None
    least: float = 0.0
    most: float = 2_000.0
    steps: int = 40


class Delay(NamedTuple):
    """The mean delay, cut at the end of the streams, and the share of runs without an alarm by then."""

    mean: float
    never: float

    def __str__(self) -> str:
        """Return it for the table."""
        shown = f"{self.mean:,.0f}"
        return f"≥ {shown} ({self.never:.0%} never)" if self.never > 0.01 else shown


class Line(NamedTuple):
    """A line of the table; delays by (mean after, score of the change), run lengths with their standard errors."""

    kind: str
    name: str
    stated: tuple[float, float] | None
    stated_delay: Delay | None
    tuned: tuple[float, float]
    delays: dict[tuple[float, int], Delay | None]
    bounds: dict[float, float]
    design_alone: float | None


def _bernoulli(rng: np.random.Generator, mean: float, runs: int, size: int) -> Streams:
    return Streams((rng.random((runs, size)) < mean).astype(np.float64))


def _beta(rng: np.random.Generator, mean: float, runs: int, size: int) -> Streams:
    return Streams(rng.beta(10 * mean, 10 * (1 - mean), (runs, size)))


def weighted(rng: np.random.Generator, mean: float, runs: int, size: int, rates: Floats = RATES) -> Streams:
    """Return sampled binary scores of traffic of this mean, whose segments have different π."""
    which = rng.choice(3, (runs, size), p=_sampled(rates))
    return Streams((rng.random((runs, size)) < _segments(mean)[which]).astype(np.float64), rates[which])


def _sampled(rates: Floats) -> Floats:
    drawn: Floats = OFFERED * rates / (OFFERED * rates).sum()
    return drawn


def _segments(mean: float) -> Floats:
    found: Floats = mean + float(OFFERED @ BELOW) - BELOW
    return found


def _bernoulli_divergence(after: float, before: float = BEFORE) -> float:
    return after * math.log(after / before) + (1 - after) * math.log((1 - after) / (1 - before))


def _beta_divergence(after: float) -> float:
    from scipy.special import betaln, digamma

    (a, b), (c, d) = (10 * after, 10 * (1 - after)), (10 * BEFORE, 10 * (1 - BEFORE))
    return float(betaln(c, d) - betaln(a, b) + (a - c) * digamma(a) + (b - d) * digamma(b))


def _weighted_divergence(after: float) -> float:
    pairs = zip(_sampled(RATES), _segments(after), _segments(BEFORE), strict=True)
    return sum(float(share) * _bernoulli_divergence(float(new), float(old)) for share, new, old in pairs)


BERNOULLI = Kind("Bernoulli", _bernoulli, _bernoulli_divergence)
BETA = Kind("Beta(8, 2) → Beta(7, 3)", _beta, _beta_divergence)
WEIGHTED = Kind("Bernoulli, π .01–1", weighted, _weighted_divergence)
KINDS = (BERNOULLI, BETA, WEIGHTED)


def e_paths(
    streams: Streams, form: change.Form, direction: change.Direction = "fell", run_length: float = RUN_LENGTH
) -> Floats:
    """Return the log statistic of the e-detector after each score of each run, as ``change.step`` has it."""
    state = change.start(UNIT, BEFORE, form=form, direction=direction, run_length=run_length)
    bets, bases = np.array(state.bets), np.array(state.bases)
    levels = np.zeros((len(streams.y), bets.size))
    found = np.empty(streams.y.shape)
    for t, y in enumerate(streams.y.T):
        w = 1.0 if streams.pi is None else PI_MIN / streams.pi[:, t, None]
        begun = np.maximum(levels, 1.0) if form == "cusum" else levels + 1.0
        # Far beyond every threshold, and within what a float holds.
        levels = np.minimum(begun * (1.0 + w * bets * (bases - y[:, None])), 1e250)
        found[:, t] = levels.mean(axis=1)
    return np.log(found, out=found)


def cusum_paths(streams: Streams, before: float, after: float) -> Floats:
    """Return Page's CUSUM of the binary log likelihood ratio between two means, whatever the weights."""
    lost, kept = math.log((1 - after) / (1 - before)), math.log(after / before)
    return _page(kept * streams.y + lost * (1 - streams.y))


def _page(growth: Floats) -> Floats:
    path = np.concatenate([np.zeros((len(growth), 1)), np.cumsum(growth, axis=1)], axis=1)
    return path[:, 1:] - np.minimum.accumulate(path, axis=1)[:, :-1]


def beta_oracle(streams: Streams) -> Floats:
    """Return Page's CUSUM of the true likelihood ratio of Beta(7, 3) to Beta(8, 2)."""
    from scipy.special import betaln

    y = np.clip(streams.y, 1e-12, 1 - 1e-12)
    return _page(np.log1p(-y) - np.log(y) + float(betaln(8, 2) - betaln(7, 3)))


def page_hinkley_paths(streams: Streams, delta: float = 0.005, alpha: float = 0.9999) -> Floats:
    """Return the statistic of river's Page–Hinkley for a fall, of all runs at once (from its 30th score)."""
    runs, size = streams.y.shape
    mean, total, highest = np.zeros(runs), np.zeros(runs), np.full(runs, -1.0)
    found = np.zeros((runs, size))
    for t, y in enumerate(streams.y.T):
        mean += (y - mean) / (t + 1)
        total = alpha * total + (y - mean) + delta
        highest = np.maximum(highest, total)
        if t >= 29:
            found[:, t] = highest - total
    return found


def kswin_paths(streams: Streams, window: int = 100, recent: int = 30, seed: int = 1) -> Floats:
    """Return the Kolmogorov–Smirnov distance that river's KSWIN tests, of all runs at once, with one seed for all."""
    rng = random.Random(seed)
    found = np.zeros(streams.y.shape)
    for t in range(window - 1, streams.y.shape[1]):
        seen = streams.y[:, t - window + 1 : t + 1]
        some = rng.sample(range(window - recent), recent)
        found[:, t] = ks_distances(seen[:, some], seen[:, window - recent :])
    return found


def ks_distances(first: Floats, second: Floats) -> Floats:
    """Return the largest distance between two samples' distribution functions, row by row; equal sizes."""
    size = first.shape[1]
    both = np.concatenate([first, second], axis=1)
    order = np.argsort(both, axis=1)
    ordered = np.take_along_axis(both, order, axis=1)
    gap = np.abs(np.cumsum(np.where(order < size, 1, -1), axis=1)) / size
    # Within a group of ties the functions have not yet made their whole jump.
    gap[:, :-1][ordered[:, 1:] == ordered[:, :-1]] = 0.0
    highest: Floats = gap.max(axis=1)
    return highest


def along(paths: Callable[[Streams], Floats]) -> Callable[[Streams], Alarms]:
    """Return the alarms of a detector whose statistic does not depend on its threshold."""

    def prepare(streams: Streams) -> Alarms:
        # Only rises above all before can be a first alarm.
        highest = np.maximum.accumulate(paths(streams), axis=1)

        def alarms(threshold: float) -> Counts:
            over = highest >= threshold
            found: Counts = np.where(over[:, -1], over.argmax(axis=1) + 1, 0)
            return found

        return alarms

    return prepare


def adwin(streams: Streams) -> Alarms:
    """Return the alarms of river's ADWIN; the threshold is -log δ."""
    from river.drift import ADWIN

    make: Callable[..., Any] = ADWIN
    runs = [row.tolist() for row in streams.y]

    def first(run: list[float], delta: float) -> int:
        detector = make(delta=delta)
        for t, y in enumerate(run, start=1):
            detector.update(y)
            if detector.drift_detected:
                return t
        return 0

    return lambda threshold: np.array([first(run, math.exp(-threshold)) for run in runs])


def detectors(kind: Kind) -> list[Detector]:
    """Return the rows for a kind of scores, ours first."""
    nominal = math.log(RUN_LENGTH)

    def guessed(name: str, before: float, after: float) -> Detector:
        return Detector(f"CUSUM, {name}", along(partial(cusum_paths, before=before, after=after)), stated=nominal)

    told = [guessed("told both means (oracle)", BEFORE, AFTER)]
    if kind is BETA:
        told = [Detector("CUSUM, told both laws (oracle)", along(beta_oracle), stated=nominal)]
    if kind is WEIGHTED:
        means = (float(_sampled(RATES) @ _segments(mean)) for mean in (BEFORE, AFTER))
        told = [
            guessed("told the sample's means (oracle)", *means),
            guessed("told the traffic's means", BEFORE, AFTER),
        ]
    return [
        Detector("e-detector, Shiryaev–Roberts", along(partial(e_paths, form="shiryaev-roberts")), stated=nominal),
        Detector("e-detector, CUSUM", along(partial(e_paths, form="cusum")), stated=nominal),
        Detector(
            "e-detector, Shiryaev–Roberts, either side",
            along(partial(e_paths, form="shiryaev-roberts", direction="either")),
            stated=nominal,
        ),
        *told,
        *([] if kind is WEIGHTED else guesses(guessed)),
        Detector("Page–Hinkley (river)", along(page_hinkley_paths), learns=True),
        Detector("ADWIN (river), either side", adwin, learns=True, least=-0.6, most=7.0, steps=9),
        Detector("KSWIN (river), either side", along(kswin_paths), learns=True, most=1.0, steps=12),
    ]


def guesses(guessed: Callable[[str, float, float], Detector]) -> list[Detector]:
    """Return CUSUMs that were told something wrong."""
    return [
        guessed("mean before guessed .82", 0.82, 0.72),
        guessed("mean before guessed .78", 0.78, 0.68),
        guessed("fall guessed half", 0.80, 0.75),
        guessed("fall guessed double", 0.80, 0.60),
        guessed("mean .82, fall half", 0.82, 0.77),
        guessed("mean .78, fall double", 0.78, 0.58),
    ]


def run_length(first: Counts, cut: int) -> tuple[float, float]:
    """Return the mean run length, time watched over alarms, and its standard error; infinite without an alarm."""
    alarms = int((first > 0).sum())
    if not alarms:
        return math.inf, math.inf
    mean = float(np.where(first > 0, first, cut).sum()) / alarms
    return mean, mean / math.sqrt(alarms)


def tuned(detector: Detector, alarms: Alarms, cut: int) -> float:
    """Return the threshold whose run length is nearest to :data:`RUN_LENGTH`, by bisection."""
    low, high = detector.least, detector.most
    for _ in range(detector.steps):
        middle = (low + high) / 2
        low, high = (middle, high) if run_length(alarms(middle), cut)[0] < RUN_LENGTH else (low, middle)
    # Statistics of few values jump over the wanted run length.
    lengths = [run_length(alarms(threshold), cut)[0] for threshold in (low, high)]
    return min(zip(lengths, (low, high), strict=True), key=lambda pair: abs(math.log(pair[0] / RUN_LENGTH)))[1]


def delay(first: Counts, at: int, size: int) -> Delay | None:
    """Return the delay over runs without an alarm up to the change; ``None`` where there are none."""
    since = first[(first == 0) | (first > at)] - at
    if not since.size:
        return None
    return Delay(float(np.where(since > 0, since, size - at).mean()), float((since <= 0).mean()))


def fall(kind: Kind, after: float, at: int, runs: int, seed: int) -> Streams:
    """Return streams whose mean falls to ``after`` at score ``at``, to five times Lorden's bound."""
    rng = np.random.default_rng(seed)
    size = max(1_000, int(5 * math.log(RUN_LENGTH) / kind.divergence(after)))
    return joined(kind.draw(rng, BEFORE, runs, at), kind.draw(rng, after, runs, size))


def joined(before: Streams, after: Streams) -> Streams:
    """Return streams of which one part follows the other."""
    pi = None if before.pi is None or after.pi is None else np.concatenate([before.pi, after.pi], axis=1)
    return Streams(np.concatenate([before.y, after.y], axis=1), pi)


CHANGES = ((0.70, 0), (0.70, 1_000), (0.70, 5_000), (0.77, 1_000), (0.60, 1_000))


def measure(
    kind: Kind, detector: Detector, runs: int, seed: int = 1, changes: Sequence[tuple[float, int]] = CHANGES
) -> Line:
    """Return one line of the table; streams are the same for every detector."""
    cut = 3 * RUN_LENGTH
    quiet = detector.prepare(kind.draw(np.random.default_rng(seed), BEFORE, runs, cut))
    threshold = tuned(detector, quiet, cut)
    reached = run_length(quiet(threshold), cut)
    stated = None if detector.stated is None else run_length(quiet(detector.stated), cut)
    del quiet
    delays: dict[tuple[float, int], Delay | None] = {}
    stated_delay = None
    for number, (after, at) in enumerate(changes):
        if detector.learns and not at:
            delays[after, at] = None
            continue
        moved = fall(kind, after, at, runs, seed + 1 + number)
        alarms = detector.prepare(moved)
        delays[after, at] = delay(alarms(threshold), at, moved.y.shape[1])
        if detector.stated is not None and (after, at) == (AFTER, 0):
            stated_delay = delay(alarms(detector.stated), at, moved.y.shape[1])
    bounds = {after: math.log(RUN_LENGTH) / kind.divergence(after) for after, _ in changes}
    alone = design_alone(detector, threshold, runs, seed) if kind is WEIGHTED else None
    return Line(kind.name, detector.name, stated, stated_delay, reached, delays, bounds, alone)


def design_alone(detector: Detector, threshold: float, runs: int, seed: int) -> float:
    """Return the share of runs with an alarm in 1,000 scores after π changes and no mean does; at most 10 % is due."""
    rng = np.random.default_rng(seed + 100)
    moved = joined(weighted(rng, BEFORE, runs, 1_000), weighted(rng, BEFORE, runs, 1_000, NEW_RATES))
    first = detector.prepare(moved)(threshold)
    quiet = (first == 0) | (first > 1_000)
    return float((first[quiet] > 0).mean()) if quiet.any() else math.nan


def early_alarms(honest: bool, samples: int, size: int, seed: int) -> float:
    """Return the share of quiet streams with an alarm in 1,000 scores, which a run length of 10,000 keeps below 10 %.

    The baseline is the mean of a sample of ``size``, or (``honest``) the lower limit of its 98 % confidence sequence.
    """
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(samples):
        state = sequential.start(UNIT, method="betting", confidence=0.98, best_n=float(size))
        found = sequential.interval(sequential.step(state, _bernoulli(rng, BEFORE, 1, size).y[0]))
        baseline = found.low if honest else found.value
        if baseline:
            watch = change.start(UNIT, baseline, run_length=RUN_LENGTH)
            alarms += change.detect(change.step(watch, _bernoulli(rng, BEFORE, 1, 1000).y[0])).alarm
    return alarms / samples


def run(quick: bool = False) -> list[Row]:
    """Return the delay on .80 → .70 of each peer beside ours; ``quick``: 20 runs, one kind of scores, no KSWIN."""
    rows = []
    for kind in KINDS[:1] if quick else KINDS:
        ours, *peers = detectors(kind)
        peers = [peer for peer in peers if "e-detector" not in peer.name and not (quick and "KSWIN" in peer.name)]
        mine, *others = (measure(kind, found, 20 if quick else RUNS, changes=CHANGES[:2]) for found in (ours, *peers))
        rows += [_stated(mine), *(_beside(mine, other) for other in others)]
    return rows


def _stated(line: Line) -> Row:
    got = line.stated_delay.mean if line.stated_delay else math.nan
    what = f"{line.kind}, .80 → .70, delay at the stated run length, change at score 0, over Lorden's bound"
    return Row("change detection", what, got / line.bounds[AFTER], "", aim=Aim("value", "≤", 2.0))


def _beside(mine: Line, other: Line) -> Row:
    ours, theirs = mine.delays[AFTER, 1_000], other.delays[AFTER, 1_000]
    value, peer = (math.nan if found is None else found.mean for found in (ours, theirs))
    what = f"{mine.kind}, .80 → .70 at score 1,000, delay at a run length of {RUN_LENGTH:,}"
    aim = None if "oracle" in other.name else Aim("ratio", "≥", 1.0)
    return Row("change detection", what, value, "scores", other.name, peer, peer / value, aim)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", default="", help="detectors whose name holds this text")
    options = parser.parse_args()
    heads = [f"→ {after:.2f} at {at:,}".replace("0.", ".") for after, at in CHANGES]
    print(f"{machine()}; {options.runs} runs\n")
    print(
        f"| scores | detector | stated: run length | stated: .80 → .70 at 0 | tuned: run length | {' | '.join(heads)} |"
        " over Lorden's bound | design alone |"
    )
    print("|---|---" + "|--:" * (len(heads) + 5) + "|")
    for kind in KINDS:
        for detector in detectors(kind):
            if options.only in detector.name:
                print(shown(measure(kind, detector, options.runs)), flush=True)
    for honest in (False, True):
        share = early_alarms(honest, 5 * options.runs, 50, 2)
        print(f"\nbaseline from 50 scores, {'lower limit' if honest else 'mean'}: early alarms {share:.1%}", flush=True)


def shown(line: Line) -> str:
    """Return a line of Markdown; a delay over Lorden's bound is that of .80 → .70 at 1,000."""
    cells = [line.kind, line.name, _length(line.stated), str(line.stated_delay or "—"), _length(line.tuned)]
    cells += [str(line.delays[key] or "—") for key in CHANGES]
    middle = line.delays[AFTER, 1_000]
    cells.append(f"{middle.mean / line.bounds[AFTER]:.2f}" if middle else "—")
    cells.append("" if line.design_alone is None else f"{line.design_alone:.0%}")
    return f"| {' | '.join(cells)} |"


def _length(found: tuple[float, float] | None) -> str:
    if found is None:
        return "—"
    mean, error = found
    return f"{mean:,.0f} ± {error:,.0f}" if math.isfinite(mean) else f"> {RUN_LENGTH * 100:,}"


if __name__ == "__main__":
    main()

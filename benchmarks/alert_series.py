"""Alarms on real series: the change rule beside ADWIN, KSWIN, Page–Hinkley and a plain threshold.

Run ``python benchmarks/alert_series.py [--data ../shared/data/traffic] [--only NAME]``: it prints the tables of
``docs/reference/alert-calibration.md``. Every value is one score of one minute, moved to [0, 1] by the range of the
series' first part, from which detectors may learn and in which no alarm counts, and clipped there.

* *nab*: metrics with labelled windows of anomalies (Lavin & Ahmad 2015), up to 5,000 values; 15 % of them come first.
* *vectara*: faithfulness scores of one model, then of its maker's next; and of one model only, as a quiet series. The
  first 960 or 3,000 come first.
* *llmdrift*: answers of March 2023, then of June 2023, right or wrong (Chen, Zaharia & Zou 2023).
* *tcpd*: series with change points of five annotators, by the F1 of van den Burg & Williams (2020), margin 5.

An alarm in a window is true, others are false; a window with a true alarm is found, and the delay is from its beginning
to its first alarm. Of a series that changes for good the window is all that comes after. *Tuned*: with the setting that
has the best F1 on every other series; both lines of a detector are of the remaining ones. Of tcpd, which has few, each
half is tuned on the other one.
"""

from __future__ import annotations

import argparse
import bisect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from _alert_traffic import GRADED, MINUTE, START, Design, Stratum, Sums, change_of, change_rule
from _change_watch import Watch, page_minutes
from _harness import Row, machine
from _real_series import Annotated, Series, llmdrift, nab, tcpd, vectara
from evalsvc.rules.judging import BASELINE_CONFIDENCE
from evalsvc.stats import change, estimate_mean
from evalsvc.types import Cell, Window

DATA = Path(__file__).parents[1] / ".." / "shared" / "data" / "traffic"
ONE = Design("one score a minute", 0.5, (Stratum(1.0, 1.0),), GRADED)
WINDOW = 30


class Detector(NamedTuple):
    """A detector: the places of its alarms on a series with one setting; the first of ``settings`` is its default."""

    name: str
    alarms: Callable[[Series, float], list[int]]
    settings: tuple[float, ...]


class Outcome(NamedTuple):
    """What alarms came to over some series."""

    windows: int
    found: int
    alarms: int
    true: int
    delays: tuple[int, ...]

    @property
    def precision(self) -> float | None:
        """The share of alarms in a window; ``None`` without alarms."""
        return self.true / self.alarms if self.alarms else None

    @property
    def recall(self) -> float | None:
        """The share of windows with an alarm; ``None`` without windows."""
        return self.found / self.windows if self.windows else None

    @property
    def f1(self) -> float:
        """Their harmonic mean, 0 where one of them is 0 or unknown."""
        p, r = self.precision or 0.0, self.recall or 0.0
        return 2 * p * r / (p + r) if p + r else 0.0


def rule_alarms(series: Series, margin: float, pool: int = 1) -> list[int]:
    """Return where a change rule on either side pages, by the ruler's looks at each minute.

    Its window is 30 minutes, its baseline as long as the first part. With ``pool`` the mean of so many values is one
    score.
    """
    size = len(series.values)
    y = series.values[: size - size % pool].reshape(-1, pool).mean(axis=1)
    fields = np.zeros((8, 1, size + 1, 1))
    ends = np.arange(1, len(y) + 1) * pool
    for place, worth in ((0, np.ones_like(y)), (2, y), (3, y * y)):
        fields[place, 0, ends, 0] = worth
    sums = Sums(np.cumsum(fields[0], axis=1), np.cumsum(fields, axis=2))
    span = WINDOW * max(1, pool // 2)
    rule = change_rule(margin, "either", span)
    condition = msgspec.structs.replace(change_of(rule), baseline_seconds=60.0 * series.first)
    rule = msgspec.structs.replace(rule, condition=condition, min_effective_n=5.0)
    return page_minutes(Watch(rule, ONE, sums))[0]


def threshold_alarms(series: Series, k: float, width: int) -> list[int]:
    """Return where the mean of ``width`` values leaves the first part's mean by k of its standard errors.

    Alarms within 10 steps of each other are one.
    """
    start = series.values[: series.first]
    means = np.convolve(series.values, np.ones(width) / width, "valid")
    error = max(1e-9, float(start.std())) / math.sqrt(width)
    bad = np.flatnonzero(np.abs(means - start.mean()) > k * error) + width - 1
    return [int(at) for at, gap in zip(bad, np.diff(bad, prepend=-99), strict=True) if gap > 10]


def river_alarms(make: Callable[[float], Any]) -> Callable[[Series, float], list[int]]:
    """Return the alarms of one of river's detectors, which start again after each."""

    def alarms(series: Series, setting: float) -> list[int]:
        detector, found = make(setting), []
        for at, value in enumerate(series.values.tolist()):
            detector.update(value)
            if detector.drift_detected:
                found.append(at)
        return found

    return alarms


def kswin_alarms(series: Series, alpha: float, window: int = 100, recent: int = 30) -> list[int]:
    """Return the alarms of river's KSWIN with seed 1, by the same test without its overhead."""
    import random

    rng, held, found = random.Random(1), list[float](), []
    least = ks_distance(alpha, recent)
    for at, value in enumerate(series.values.tolist()):
        held = [*held[-window + 1 :], value]
        if len(held) < window:
            continue
        some = sorted(held[place] for place in rng.sample(range(window - recent), recent))
        newest = sorted(held[window - recent :])
        distance = max(abs(bisect.bisect_right(some, y) - bisect.bisect_right(newest, y)) for y in (*some, *newest))
        if distance >= least:
            # river starts anew with the next value, and draws again from its seed.
            held, rng = [], random.Random(1)
            found.append(at)
    return found


@lru_cache(maxsize=64)
def ks_distance(alpha: float, size: int) -> int:
    """Return the least distance of two samples' distribution functions, times ``size``, that KSWIN takes for drift."""
    from scipy.stats import ks_2samp

    for distance in range(1, size + 1):
        one, other = np.arange(size, dtype=float), np.arange(size, dtype=float) + distance - 0.5
        with warnings.catch_warnings():
            # Of the exact method, which then gives way to the asymptotic one, in river as here.
            warnings.simplefilter("ignore", category=RuntimeWarning)
            found = ks_2samp(one, other, method="auto")
        if found.pvalue <= alpha and found.statistic > 0.1:
            return distance
    return size + 1


def detectors(width: int) -> list[Detector]:
    """Return the rows; ``width`` is how many values the plain threshold takes the mean of."""
    from river.drift import ADWIN, PageHinkley

    adwin: Callable[..., Any] = ADWIN

    margins = (0.0, 0.1, 0.3)
    return [
        Detector("change rule", rule_alarms, margins),
        Detector("change rule, 12 values a score", lambda series, margin: rule_alarms(series, margin, 12), margins[:1]),
        Detector("ADWIN (river)", river_alarms(lambda delta: adwin(delta=delta)), (0.002, 1e-4, 1e-8, 1e-16)),
        Detector("KSWIN (river)", kswin_alarms, (0.005, 1e-5, 1e-9)),
        Detector(
            "Page–Hinkley (river)",
            river_alarms(lambda bar: PageHinkley(threshold=bar)),
            (50.0, 3.0, 10.0, 20.0),
        ),
        Detector("mean ± k σ", lambda series, k: threshold_alarms(series, k, width), (3.0, 4.0, 6.0, 10.0)),
    ]


def outcome(series: Sequence[Series], detector: Detector, setting: float) -> Outcome:
    """Return what a detector's alarms after the first parts come to."""
    windows = found = alarms = true = 0
    delays: list[int] = []
    for one in series:
        at = [alarm for alarm in detector.alarms(one, setting) if alarm >= one.first + WINDOW]
        alarms += len(at)
        true += sum(any(begin <= alarm < end for begin, end in one.windows) for alarm in at)
        for begin, end in one.windows:
            inside = [alarm for alarm in at if begin <= alarm < end]
            windows += 1
            found += bool(inside)
            delays += [inside[0] - begin] if inside else []
    return Outcome(windows, found, alarms, true, tuple(delays))


class Line(NamedTuple):
    """A line of the table."""

    data: str
    detector: str
    setting: float
    tuned: bool
    result: Outcome


def lines(name: str, series: Sequence[Series], width: int) -> Iterator[Line]:
    """Yield each detector at its default and tuned, on the series that it was not tuned on."""
    shown, others = series[::2], series[1::2]
    for detector in detectors(width):
        default = detector.settings[0]
        yield Line(name, detector.name, default, False, outcome(shown, detector, default))
        if len(detector.settings) == 1:
            continue
        best = max(detector.settings, key=lambda setting: outcome(others, detector, setting).f1)
        yield Line(name, detector.name, best, True, outcome(shown, detector, best))


SETS: tuple[tuple[str, Callable[[Path], list[Series]], int], ...] = (
    ("nab", nab, 1),
    ("vectara, 16 h before", vectara, WINDOW),
    ("vectara, 50 h before", partial(vectara, first=3_000, at=4_200, size=6_600), WINDOW),
    ("llmdrift", llmdrift, WINDOW),
)


def anew(series: Series, margin: float, dated: bool) -> list[int]:
    """Return the alarms of the change rule's detector, or what they are dated to; it learns anew after each.

    The rule itself wants whole hours of a baseline, which these series do not have.
    """
    begin, found = 0, []
    while begin + series.first < len(series.values):
        y = series.values[begin : begin + series.first]
        cell = Cell("", 1, 1.0, len(y), 0, 0, float(y.sum()), float((y * y).sum()))
        window = Window(START, START + len(y) * MINUTE)
        baseline = estimate_mean([cell], ONE.scale, window, confidence=BASELINE_CONFIDENCE, target="process")
        state = change.start(ONE.scale, baseline, direction="either", run_length=43_200, margin=margin)
        begin += series.first
        seen = change.detect(change.step(state, series.values[begin:]))
        if not seen.alarm or seen.alarm_n is None:
            break
        found.append(begin + (seen.since_n or 0) if dated else begin + seen.alarm_n - 1)
        begin += seen.alarm_n
    return found


def matched(truth: Sequence[int], found: Sequence[int], margin: int = 5) -> int:
    """Return how many true points have a found one within the margin; each found one serves once."""
    left, count = sorted(found), 0
    for point in sorted(truth):
        near = [place for place in left if abs(place - point) <= margin]
        if near:
            left.remove(near[0])
            count += 1
    return count


def f1_of(series: Annotated, found: Sequence[int]) -> tuple[float, float, float]:
    """Return precision, recall and F1 as van den Burg & Williams (2020, section 4.2) define them.

    Precision is against the union of all annotators' points, recall the mean over annotators; 0 is a point of all.
    """
    mine = sorted({0, *found})
    union = sorted({0, *(point for points in series.points for point in points)})
    precision = matched(union, mine) / len(mine)
    truths = [sorted({0, *points}) for points in series.points]
    recall = sum(matched(truth, mine) / len(truth) for truth in truths) / len(truths)
    return precision, recall, 2 * precision * recall / (precision + recall)


def point_lines(series: Sequence[Annotated]) -> Iterator[tuple[str, str, tuple[float, ...]]]:
    """Yield (detector, setting, (precision, recall, F1)), means over all series.

    Tuned: each half with the setting that is best on the other one.
    """
    margins = (0.0, 0.1, 0.3)
    ours = [
        Detector("change rule's detector, alarms", lambda one, margin: anew(one, margin, False), margins),
        Detector("change rule's detector, dated", lambda one, margin: anew(one, margin, True), margins),
    ]
    halves = (series[::2], series[1::2])
    for detector in [*ours, *detectors(1)[2:]]:
        default = detector.settings[0]
        yield detector.name, f"{default:g}, default", _means(_f1s(series, detector, default))
        held = {
            (half, setting): _f1s(halves[half], detector, setting) for half in (0, 1) for setting in detector.settings
        }
        best = [max(detector.settings, key=lambda setting: _means(held[half, setting])[2]) for half in (0, 1)]
        tuned = [*held[0, best[1]], *held[1, best[0]]]
        yield detector.name, f"{best[1]:g} and {best[0]:g}, tuned", _means(tuned)
    yield "no alarm at all", "", _means([f1_of(one, []) for one in series])


def _f1s(series: Sequence[Annotated], detector: Detector, setting: float) -> list[tuple[float, float, float]]:
    held = []
    for one in series:
        alarms = detector.alarms(Series(one.name, one.values, one.first, ()), setting)
        held.append(f1_of(one, [at for at in alarms if at >= one.first]))
    return held


def _means(held: Sequence[tuple[float, float, float]]) -> tuple[float, ...]:
    return tuple(float(mean) for mean in np.mean(held, axis=0))


def run(quick: bool = False) -> list[Row]:
    """Return the F1 of the change rule beside each peer's; empty where the data are not there. ``quick``: llmdrift."""
    if not DATA.exists():
        return []
    rows = []
    for name, read, width in SETS[-1:] if quick else SETS:
        series = read(DATA)[::2]
        ours, *others = ((peer.name, outcome(series, peer, peer.settings[0]).f1) for peer in detectors(width))
        for peer, theirs in others:
            ratio = ours[1] / theirs if theirs else None
            rows.append(Row("alert series", f"{name}: F1 of the change rule", ours[1], "", peer, theirs, ratio))
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", default="", help="data whose name holds this text")
    options = parser.parse_args()
    print(f"{machine()}\n")
    print("| data | detector | setting | windows | found | alarms | precision | recall | F1 | median delay |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, read, width in SETS:
        for line in lines(name, read(options.data), width) if options.only in name else ():
            print(shown(line), flush=True)
    if options.only not in "tcpd":
        return
    print("\n| tcpd: detector | setting | precision | recall | F1 |\n|---|--:|--:|--:|--:|")
    for detector, setting, means in point_lines(tcpd(options.data)):
        cells = [detector, setting, *(f"{mean:.2f}" for mean in means)]
        print(f"| {' | '.join(cells)} |", flush=True)


def shown(line: Line) -> str:
    """Return a line of Markdown."""
    one = line.result
    shares = ["—" if share is None else f"{share:.2f}" for share in (one.precision, one.recall, one.f1)]
    delay = f"{np.median(one.delays):,.0f}" if one.delays else "—"
    cells = [line.data, line.detector, _setting(line.setting, line.tuned), str(one.windows), str(one.found)]
    return f"| {' | '.join([*cells, f'{one.alarms:,}', *shares, delay])} |"


def _setting(setting: float, tuned: bool) -> str:
    return f"{setting:g}, {'tuned' if tuned else 'default'}"


if __name__ == "__main__":
    main()

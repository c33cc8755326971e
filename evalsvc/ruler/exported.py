"""Estimates with their bounds for Prometheus: read once a minute by the ruler, shown from memory when it is scraped.

An estimate that is not defined has no sample: neither 0 nor NaN, which a rule would take for a value. What is shown is
at most :data:`KEPT_SECONDS` old: where the store does not answer for longer, series end, as they do when a target of
Prometheus goes away.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from evalsvc.clock import SystemClock
from evalsvc.errors import EvalsvcError
from evalsvc.project.exported import OWN_LABELS, label_of
from evalsvc.project.values import ExportedConfig
from evalsvc.protocols import Clock, ScoreStore
from evalsvc.query import EstimateQuery, LabelledEstimate, estimates_of_all
from evalsvc.types import Estimate, Window
from evalsvc.windows import MINUTE

if TYPE_CHECKING:
    from prometheus_client import Metric

log = logging.getLogger("evalsvc.ruler.exported")

CONFIDENCE = 0.95
REFRESH_SECONDS = 60.0
STANDBY_SECONDS = 1.0
STOP_SECONDS = 10.0
KEPT_SECONDS = 300.0
"""How long estimates are shown after they were read, in seconds."""
_SIGNATURE_DIGITS = 8

ESTIMATES: Mapping[str, str] = {
    "evalsvc_estimate": "Mean of a metric over all traffic of the window, of yes and no a share.",
    "evalsvc_estimate_low": "Lower limit of its 95 % interval; no sample where it has none.",
    "evalsvc_estimate_high": "Upper limit of its 95 % interval; no sample where it has none.",
    "evalsvc_estimate_effective_n": "Kish's effective number of scores behind it.",
    "evalsvc_estimate_missing_ratio": "Weighted share of the sampled events that have no score.",
    "evalsvc_estimate_timestamp_seconds": "End of the window that it is about.",
}
"""What is exported of each group, by name."""
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    **{name: (text, (*OWN_LABELS, "…")) for name, text in ESTIMATES.items()},
    "evalsvc_exported_groups": ("Groups of scores whose estimates are shown.", ()),
    "evalsvc_exported_left_out_groups": ("Groups beyond `max_groups`, which are not shown.", ()),
    "evalsvc_exported_refresh_seconds": ("How long the last reading of the estimates took.", ()),
    "evalsvc_exported_last_refresh_timestamp_seconds": ("When the estimates were last read.", ()),
}
"""The gauges of the catalogue with their labels; ``…`` stands for those of ``by``."""
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_exported_failures_total": (
        "Readings of the estimates that failed; those before are shown for five minutes.",
        (),
    ),
}

Labels = tuple[str, ...]


class _Shown(NamedTuple):
    """What the last reading found; ``read_at`` is of the clock that never goes back."""

    groups: Mapping[Labels, Estimate]
    left_out: int
    seconds: float
    at: datetime
    read_at: float


class Exported:
    """A collector of ``prometheus_client``: ``registry.register(exported)``.

    :meth:`refresh` is called by one thread at a time, :meth:`collect` by any.
    """

    def __init__(self, store: ScoreStore, config: ExportedConfig, clock: Clock | None = None) -> None:
        """Read nothing yet, and show no estimate before the first reading."""
        self._store, self._config, self._clock = store, config, clock or SystemClock()
        self._shown: _Shown | None = None
        self._failures = 0
        self._said = False

    def keep_fresh(self, stop: threading.Event, leads: Callable[[], bool] = lambda: True) -> None:
        """Read once a minute until asked to stop, and only while this ruler leads; blocks its thread."""
        while not stop.is_set():
            led = leads()
            if led:
                try:
                    self.refresh(self._clock.now())
                except Exception:
                    self._failures += 1
                    log.exception("estimates_not_read")
            stop.wait(REFRESH_SECONDS if led else STANDBY_SECONDS)

    @contextmanager
    def running(self, leads: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Keep fresh in a thread of its own while the block runs."""
        stop = threading.Event()
        thread = threading.Thread(target=self.keep_fresh, args=(stop, leads), name="exported", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(STOP_SECONDS)

    def refresh(self, now: datetime) -> bool:
        """Read the estimates of the window that ended ``delay`` before ``now``; return whether the store answered.

        One reading of the store, of all metrics at once. Where it fails, what was read before stays for a while.
        """
        began = self._clock.monotonic()
        try:
            rows = estimates_of_all(self._store, self._query(now))
        except EvalsvcError as error:
            self._failures += 1
            log.warning("estimates_not_read error=%s", error)
            return False
        shown, left_out = self._chosen(rows)
        ended = self._clock.monotonic()
        self._shown = _Shown(shown, left_out, ended - began, now, ended)
        return True

    def _query(self, now: datetime) -> EstimateQuery:
        config = self._config
        end = math.floor((now.timestamp() - config.delay_seconds) / MINUTE) * MINUTE
        moment = datetime.fromtimestamp(end, now.tzinfo)
        window = Window(moment - timedelta(seconds=config.window_seconds), moment)
        return EstimateQuery("", window, int(config.window_seconds), config.by, confidence=CONFIDENCE, target="process")

    def _chosen(self, rows: Sequence[LabelledEstimate]) -> tuple[dict[Labels, Estimate], int]:
        """Return the groups to show, and how many there are beyond the limit.

        Those shown before come first, so that series do not come and go, then those with most scores.
        """
        found = {_labels(row, self._config.by): row.estimate for row in rows}
        if len(found) <= self._config.max_groups:
            return found, 0
        before = self._shown.groups if self._shown else {}
        order = sorted(found, key=lambda labels: (labels not in before, -found[labels].n, labels))
        left_out = len(found) - self._config.max_groups
        if not self._said:
            self._said = True
            log.warning(
                "estimates_left_out groups=%d max_groups=%d; shorten `by` or raise `max_groups` of `exported`",
                left_out,
                self._config.max_groups,
            )
        return {labels: found[labels] for labels in order[: self._config.max_groups]}, left_out

    def collect(self) -> Iterator[Metric]:
        """Show what was read last. Asks the store nothing."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        shown = self._shown
        (failures,) = COUNTERS
        yield CounterMetricFamily(failures, COUNTERS[failures][0], value=self._failures)
        if shown is None:
            return
        values = {
            "evalsvc_exported_refresh_seconds": shown.seconds,
            "evalsvc_exported_last_refresh_timestamp_seconds": shown.at.timestamp(),
        }
        if self._clock.monotonic() - shown.read_at <= KEPT_SECONDS:
            values["evalsvc_exported_groups"] = len(shown.groups)
            values["evalsvc_exported_left_out_groups"] = shown.left_out
            yield from self._estimates(shown.groups)
        for name, value in values.items():
            yield GaugeMetricFamily(name, GAUGES[name][0], value=value)

    def _estimates(self, groups: Mapping[Labels, Estimate]) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        names = (*OWN_LABELS, *map(label_of, self._config.by))
        families = {name: GaugeMetricFamily(name, text, labels=names) for name, text in ESTIMATES.items()}
        for labels, estimate in groups.items():
            for name, value in _values(estimate).items():
                if value is not None and math.isfinite(value):
                    families[name].add_metric(labels, value)
        yield from families.values()


def _labels(row: LabelledEstimate, by: Sequence[str]) -> Labels:
    """Return the labels' values. A signature is shortened: here it only has to tell one scorer from another."""
    short = hashlib.sha256(row.signature.encode()).hexdigest()[:_SIGNATURE_DIGITS] if row.signature else ""
    own = (row.metric, row.consumer, str(row.scorer_version), short)
    return (*own, *(row.labels[name] for name in by))


def _values(estimate: Estimate) -> Mapping[str, float | None]:
    numbers = (
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.n_effective,
        estimate.missing_share,
        estimate.window.end.timestamp(),
    )
    return dict(zip(ESTIMATES, numbers, strict=True))

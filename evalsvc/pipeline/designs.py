"""Which design samples which hour: the operator's versions and, with a target, those chosen from the traffic."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import msgspec

from evalsvc.errors import ConfigError, InputError
from evalsvc.protocols import ScoreStore
from evalsvc.query import sampling_rates
from evalsvc.sampling import Design, History, MaskValues, Sampler, next_hour
from evalsvc.stats import SamplingFault, sampling_check
from evalsvc.types import Window

log = logging.getLogger("evalsvc.worker")

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NOTICE = timedelta(minutes=12)
"""How long before it holds an operator's new version is recorded: events may lie ten minutes in the future, and
workers look for new versions every half minute."""
LEAD = timedelta(minutes=15)
"""How long before an hour its version is recorded, at the latest: longer than an event's time may lie in the future."""


class Designs:
    """The versions of one consumer's design, as the store knows them."""

    def __init__(self, store: ScoreStore, design: Design, mask: MaskValues | None = None) -> None:
        """Keep ``design`` and its successors in ``store``; ``mask`` turns strata's values into what may be stored."""
        self.store, self.design, self._mask = store, design, mask
        self._samplers: dict[int, Sampler] = {}

    def begin(self, now: datetime) -> History:
        """Record the operator's design if it is new, and return the history.

        The first version holds for all time; a later one from :data:`NOTICE` on, so that every worker knows it before
        the first event of its time can come, and a redelivered event meets the version that it met before.

        Raises:
            ConfigError: when the design changed and its version did not.
        """
        versions = {version: text for version, _, text in self.store.designs(self.design.consumer)}
        known = versions.get(self.design.version)
        if known is not None and known != self.design.to_json():
            raise ConfigError(
                f"The sampling design of {self.design.consumer!r} changed, but its version is still "
                f"{self.design.version}; "
                f"set `sampling.version: {self.design.version + 1}`, so that scores keep the design that took them"
            )
        if known is None:
            start = BEGINNING if not versions else now.replace(second=0, microsecond=0) + NOTICE
            self._record(self.design, start)
            until = f"; until then version {max(versions)} goes on" if versions else ""
            log.info("design_recorded version=%d from=%s%s", self.design.version, start.isoformat(), until)
        return self.history()

    def history(self) -> History:
        """Return every version that the store knows."""
        return History([(start, design) for _, start, design in self._versions()], self._sampler)

    def _versions(self) -> list[tuple[int, datetime, Design]]:
        rows = self.store.designs(self.design.consumer)
        return [(version, start, msgspec.json.decode(text, type=Design)) for version, start, text in rows]

    def _sampler(self, design: Design) -> Sampler:
        """Return the sampler of a version, the same one every time: it remembers the strata that it named."""
        if design.version not in self._samplers:
            self._samplers[design.version] = Sampler(design, self._mask)
        return self._samplers[design.version]

    def plan(self, now: datetime) -> bool:
        """Record the next hour's version when it is time; return whether one was recorded.

        Called by one worker of a group, the one that owns its first partition; two that both believe to be it record
        one number, and the store keeps the first.
        """
        hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        if hour - now < LEAD or now.minute < 30:
            return False
        versions = self._versions()
        base = max((d for v, start, d in versions if v < 10**7 and start <= hour), key=lambda d: d.version)
        if base.target_per_hour is None or base.version * 10**7 + int(hour.timestamp()) // 3600 in {
            v for v, _, _ in versions
        }:
            return False
        span = Window(now - timedelta(hours=1), now)
        offered: dict[str, int] = {}
        for row in self.store.offered(span, 3600, self.design.consumer):
            offered[row.stratum] = offered.get(row.stratum, 0) + row.offered
        if not offered:
            return False
        chosen = next_hour(base, offered, hour)
        self._record(chosen, hour)
        log.info("design_chosen version=%d rate=%.6g from=%s", chosen.version, chosen.rate, hour.isoformat())
        return True

    def faults(self, now: datetime) -> list[SamplingFault]:
        """Return the strata of the last day whose taken share cannot be chance under their π: a wrong π shows here.

        Designs of whole sessions are not tested: their counts vary more than independent events' would.
        """
        if self.design.unit == "session":
            return []
        span = Window(now - timedelta(days=1), now)
        offered = self.store.offered(span, int(span.seconds), self.design.consumer)
        return sampling_check(offered, sampling_rates(self.store, self.design.consumer, offered))

    def _record(self, design: Design, start: datetime) -> None:
        try:
            self.store.record_design(design.consumer, design.version, start, design.to_json())
        except InputError:
            log.info("design_recorded_by_another version=%d", design.version)

"""Tests of rules as checked values: what is scored minute by minute, and which alerts are expected when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from evalsvc.rules.machine import Phase


class Place(NamedTuple):
    """Where something stands in a file, 1-based."""

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        """Return it as compilers print it."""
        return f"{self.path}:{self.line}:{self.column}"


class Stretch(NamedTuple):
    """So many whole minutes of a series, with means from ``first`` to ``last`` in equal steps.

    Both are None where nothing has a value. ``failed`` and ``abstained`` are shares of the scores in [0, 1], and are at
    most 1 together. ``offered`` says whether there are events at all; without ``first``, ``failed`` and ``abstained``
    they are events that nobody scores.
    """

    minutes: int
    first: float | None = None
    last: float | None = None
    failed: float = 0.0
    abstained: float = 0.0
    offered: bool = True


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One metric's scores of one kind of events.

    ``where`` has the events' fields, named as in a rule. ``per_minute`` scored events a minute, above 0, were sampled
    with the probability ``rate`` in (0, 1]. Values lie evenly from the mean less ``spread`` to the mean and ``spread``;
    where it is None that is a tenth of the mean for a metric whose scale is open, and nothing for others. ``before``
    ends at the test's start, and ``values`` begin there.
    """

    metric: str
    where: Mapping[str, str]
    values: tuple[Stretch, ...]
    before: tuple[Stretch, ...] = ()
    per_minute: float = 10.0
    rate: float = 1.0
    spread: float | None = None


class Outage(NamedTuple):
    """The store does not answer in ``[start, end)``, in seconds since the test's start."""

    start: float
    end: float


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """The alert of this name and with these labels is in ``phase`` after the last look up to ``at`` seconds.

    ``annotations`` are of the message that told of the phase: the whole text, or parts that it contains.
    """

    place: Place
    at: float
    alert: str
    phase: Phase
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str | tuple[str, ...]] = {}


class Never(NamedTuple):
    """No alert of this name fires in the test."""

    place: Place
    alert: str


class RuleTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test: from ``start`` on for ``seconds``, the group's looks included that fall on the end.

    ``pages`` is how often alerts fire, all of them together; None where that is not tested.
    """

    name: str
    place: Place
    start: datetime
    seconds: float
    series: tuple[Series, ...]
    outages: tuple[Outage, ...] = ()
    expect: tuple[Expectation, ...] = ()
    never: tuple[Never, ...] = ()
    pages: int | None = None

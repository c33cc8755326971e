"""Every metric that evalsvc exports, from the catalogues of the modules that export them."""

from __future__ import annotations

from evalsvc.notify import exported as receivers
from evalsvc.pipeline import metrics as worker
from evalsvc.ruler import exported as estimates
from evalsvc.ruler import metrics as ruler

CATALOGUES = (worker, ruler, receivers, estimates)
COUNTERS = {name: labels for catalogue in CATALOGUES for name, (_, labels) in catalogue.COUNTERS.items()}
GAUGES = {name: labels for catalogue in CATALOGUES for name, (_, labels) in catalogue.GAUGES.items()}
LABELS = {
    **COUNTERS,
    **GAUGES,
    **{
        name: ("consumer", *labels)
        for catalogue in (worker.COUNTERS, worker.GAUGES)
        for name, (_, labels) in catalogue.items()
    },
}
"""By name, the labels that a metric is exported with; ``…`` stands for those that the operator chooses."""

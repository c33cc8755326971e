"""Public test kit: checks of contracts for scorers, sources, stores and their logs, fakes, a clock to move.

Each check raises ``AssertionError`` with what was promised and what came. They need no test framework::

    from evalsvc.testing import check_scorer

    def test_my_scorer() -> None:
        check_scorer(MyScorer())
"""

from evalsvc.clock import ManualClock
from evalsvc.testing.alert_logs import check_alert_log
from evalsvc.testing.baseline_logs import check_baseline_log
from evalsvc.testing.samples import make_event, make_sample
from evalsvc.testing.scorers import check_scorer
from evalsvc.testing.sources import MemoryLog, MemorySource, check_source
from evalsvc.testing.stores import check_store
from evalsvc.testing.verdict_logs import check_verdict_log

__all__ = [
    "ManualClock",
    "MemoryLog",
    "MemorySource",
    "check_alert_log",
    "check_baseline_log",
    "check_scorer",
    "check_source",
    "check_store",
    "check_verdict_log",
    "make_event",
    "make_sample",
]

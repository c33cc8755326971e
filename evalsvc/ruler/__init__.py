"""From rules to what they would have done: windows are read from the store, looked at, and stepped through."""

from evalsvc.ruler.backtest import DROPS, Backtest, Page, Plant, backtest
from evalsvc.ruler.metrics import RulerMetrics
from evalsvc.ruler.service import Ruler, RulerSettings, RulerStatus
from evalsvc.ruler.timeline import Timeline, timelines

__all__ = [
    "DROPS",
    "Backtest",
    "Page",
    "Plant",
    "Ruler",
    "RulerMetrics",
    "RulerSettings",
    "RulerStatus",
    "Timeline",
    "backtest",
    "timelines",
]

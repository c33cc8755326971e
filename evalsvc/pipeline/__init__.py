"""The worker: source → sample → batch → score → sink → commit."""

from evalsvc.pipeline.anchors import Anchors
from evalsvc.pipeline.designs import Designs
from evalsvc.pipeline.intake import TimeLimits
from evalsvc.pipeline.metrics import WorkerMetrics
from evalsvc.pipeline.scoring import EventMasker
from evalsvc.pipeline.worker import DeadLetterSink, Worker, WorkerSettings
from evalsvc.types import WorkerStatus

__all__ = [
    "Anchors",
    "DeadLetterSink",
    "Designs",
    "EventMasker",
    "TimeLimits",
    "Worker",
    "WorkerMetrics",
    "WorkerSettings",
    "WorkerStatus",
]

"""Counters of an engine since its start, for the worker to export."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class EngineStats:
    """What an engine has done so far. Counters only grow; :meth:`snapshot` is safe from any thread.

    ``tokens`` counts real tokens sent to the device and ``computed_tokens`` what the device worked on,
    padding included. Times are sums in seconds: ``device_seconds`` inside the model, ``queue_seconds``
    waiting for another caller's batch, ``tokenise_seconds`` in the tokeniser.
    """

    texts: int = 0
    cache_hits: int = 0
    windows: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    batches: int = 0
    failures: int = 0
    out_of_memory: int = 0
    waiting: int = 0
    device_seconds: float = 0.0
    queue_seconds: float = 0.0
    tokenise_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **increments: float) -> None:
        """Add to the counters named; an unknown name raises ``AttributeError``."""
        with self._lock:
            for name, increment in increments.items():
                setattr(self, name, getattr(self, name) + increment)

    @property
    def padding_waste(self) -> float:
        """The share of the device's token slots that held padding, in [0, 1); 0 before the first batch."""
        return 1.0 - self.tokens / self.computed_tokens if self.computed_tokens else 0.0

    @property
    def tokens_per_device_second(self) -> float | None:
        """Real tokens a second of device time; ``None`` before the first batch."""
        return self.tokens / self.device_seconds if self.device_seconds else None

    def snapshot(self) -> dict[str, float]:
        """Return all counters and ``padding_waste`` at one moment, by name."""
        with self._lock:
            names = (name for name in self.__dataclass_fields__ if not name.startswith("_"))
            return {name: getattr(self, name) for name in names} | {"padding_waste": self.padding_waste}

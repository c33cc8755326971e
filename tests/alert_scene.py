"""A delivery to receivers that remember, over a log in memory, on one clock: for the tests of telling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from alert_memory import START, MemoryLog
from evalsvc.notify import Delivery, Message, Receiver, Routes, SlackConfig
from evalsvc.rules.history import Matcher, Silence
from evalsvc.testing import ManualClock

HOUR = timedelta(hours=1)


class Recorder:
    """A notifier that remembers what it was sent, and fails as `trouble` says."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.trouble: Callable[[Message], Exception | None] = lambda message: None
        self.calls = 0

    def send(self, message: Message) -> str:
        self.calls += 1
        if error := self.trouble(message):
            raise error
        self.sent.append(message)
        return "taken"

    @property
    def ids(self) -> list[str]:
        return [message.id for message in self.sent]


class Refreshed(Recorder):
    """One that has to hear again of what fires."""

    def __init__(self) -> None:
        super().__init__()
        self.refreshes: list[tuple[list[str], list[str]]] = []

    def refresh(self, firing, resolved) -> None:
        self.refreshes.append(([m.id for m in firing], [m.id for m in resolved]))


def routes(*names: str, **options) -> Routes:
    receivers = tuple(Receiver(name, SlackConfig(url_env="X")) for name in names)
    return Routes(receivers=receivers, default=options.pop("default", names), **options)


class Scene:
    """A log, receivers and a delivery on one clock."""

    def __init__(self, *names: str, given: Routes | None = None, notifier: Callable[[], Recorder] = Recorder) -> None:
        self.clock, self.log = ManualClock(START), MemoryLog()
        self.routes = given or routes(*names)
        self.notifiers = {receiver.name: notifier() for receiver in self.routes.receivers}
        self.delivery = self.started()
        self.round()

    def started(self) -> Delivery:
        return Delivery(self.log, self.routes, self.notifiers, self.clock, seed=1)

    def round(self) -> None:
        self.delivery.round(self.clock.now())
        assert self.delivery.wait(10.0)

    def later(self, minutes: float) -> None:
        self.clock.advance(60.0 * minutes)
        self.round()


def reroute(scene: Scene, *names: str) -> None:
    """The ruler begins anew with other routes, and has its first turn."""
    scene.routes = routes(*names)
    scene.notifiers |= {name: Recorder() for name in names if name not in scene.notifiers}
    scene.delivery = scene.started()
    scene.round()


def silence(**options) -> Silence:
    known = {"id": "s", "matchers": (Matcher("language", "de"),), "author": "me", "reason": "deploy"}
    times = {"starts_at": START, "ends_at": START + HOUR, "recorded_at": START}
    return Silence(**{**known, **times, **options})

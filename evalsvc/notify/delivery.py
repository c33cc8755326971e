"""The outbox: what the log has decided, told to everyone it concerns, each receiver in its own order and time.

The log is the outbox: a transition without a receipt is to be told. A receipt is written only after the receiver's
answer. A process that ends between the two sends the same message again, with the same id.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

from evalsvc.clock import SystemClock
from evalsvc.errors import InputError, StoreError
from evalsvc.notify.counts import ReceiverCounts
from evalsvc.notify.enrolling import Enrolments
from evalsvc.notify.message import Texts, messages_of
from evalsvc.notify.notifier import Notifier
from evalsvc.notify.queue import ReceiverQueue
from evalsvc.notify.values import Routes
from evalsvc.protocols import Clock
from evalsvc.rules.history import AlertLog

log = logging.getLogger("evalsvc.notify")


class Delivery:
    """Tells everyone, while its process leads: only one at a time should.

    Args:
        alerts: where transitions, silences and receipts are.
        routes: who is told of what.
        notifiers: one for each of the routes' receivers, by name.
        clock: what pauses go by, and when receipts say that they were written.
        page: the address of the page, for links; empty for none.
        texts: gives the masked texts of examples; where it fails, messages go without.
        seed: for the jitter of pauses; ``None`` draws one.

    Raises:
        InputError: when a receiver of the routes has no notifier.
    """

    def __init__(
        self,
        alerts: AlertLog,
        routes: Routes,
        notifiers: Mapping[str, Notifier],
        clock: Clock | None = None,
        *,
        page: str = "",
        texts: Texts | None = None,
        seed: int | None = None,
    ) -> None:
        if lacking := [receiver.name for receiver in routes.receivers if receiver.name not in notifiers]:
            raise InputError(f"Expected a notifier for every receiver, but {', '.join(lacking)} has none")
        clock, messages = clock or SystemClock(), partial(messages_of, page=page, texts=texts)
        self._enrolments = Enrolments(alerts, [receiver.name for receiver in routes.receivers], clock)
        self._queues = {
            receiver.name: ReceiverQueue(
                receiver.name, notifiers[receiver.name], routes, alerts, clock, messages, self._enrolments, seed
            )
            for receiver in routes.receivers
        }
        self._threads: dict[str, threading.Thread] = {}

    def round(self, now: datetime, leads: Callable[[], bool] = lambda: True) -> None:
        """Start a turn of each receiver that is not still at one, each in a thread of its own; returns at once.

        A turn ends before a message for which ``leads`` is false: another process tells it. Who does not lead should
        have rounds all the same: receipts that the store did not take are written in them, so that who leads does not
        tell again. ``now`` is what silences are held against, and an hour before it a receiver begins that was not in
        the routes. Where no receiver is, that is remembered, too.
        """
        turns = {name: partial(queue.turn, now, leads) for name, queue in self._queues.items()}
        for name, turn in (turns or {"": partial(self._leave_all_out, now, leads)}).items():
            running = self._threads.get(name)
            if running is None or not running.is_alive():
                thread = threading.Thread(target=turn, name=f"evalsvc-notify-{name}", daemon=True)
                self._threads[name] = thread
                thread.start()

    def _leave_all_out(self, now: datetime, leads: Callable[[], bool]) -> None:
        try:
            if leads():
                self._enrolments.now(now)
        except StoreError as error:
            log.warning("that nobody is told waits for the store: %s", error)

    def wait(self, seconds: float) -> bool:
        """Wait until all turns are over, at most so long in real time; return whether they are."""
        end = time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads.values())

    def close(self, seconds: float = 30.0) -> bool:
        """Begin nothing more and wait for what is under way; return whether it ended in time."""
        for queue in self._queues.values():
            queue.stop()
        return self.wait(seconds)

    def counts(self) -> Mapping[str, ReceiverCounts]:
        """Return what came of each receiver's messages so far, by its name."""
        return {name: queue.counts for name, queue in self._queues.items()}

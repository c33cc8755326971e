"""One receiver's queue: told in order, oldest first, one at a time, with a receipt for what its receiver answered."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from evalsvc.errors import EvalsvcError, NotifierRefused, NotifierUnavailable, StoreError
from evalsvc.notify.backoff import Backoff
from evalsvc.notify.counts import ReceiverCounts
from evalsvc.notify.deciding import AS_REFUSED, Decider, Decision, firing_id
from evalsvc.notify.enrolling import Enrolments
from evalsvc.notify.message import Message
from evalsvc.notify.notifier import Notifier, Refreshing
from evalsvc.notify.refreshing import firings, to_refresh
from evalsvc.notify.values import Routes
from evalsvc.protocols import Clock
from evalsvc.rules.history import AlertLog, Enrolment, Receipt, Told
from evalsvc.rules.machine import Transition

log = logging.getLogger("evalsvc.notify")

BATCH = 100
REFRESH_SECONDS = 60.0
MAX_UNEXPECTED = 5
"""After so many exceptions that no notifier should raise, a message is given up: a bug must not hold up all others."""
LATE = timedelta(days=1)
"""What is written so long after it happened (a look made up for, a clock that is behind, a replica) is told at once."""
SWEEP_SECONDS = 3600.0
"""So often all is asked for that a receiver was not told of, and what fires for longer than it is there: either may be
written late."""
_MOST = 100_000
_REMEMBERED = 10_000


class ReceiverQueue:
    """Tells one receiver. :meth:`turn` is called from one thread at a time."""

    def __init__(
        self,
        name: str,
        notifier: Notifier,
        routes: Routes,
        alerts: AlertLog,
        clock: Clock,
        messages_of: Callable[[Sequence[Transition]], Sequence[Message]],
        enrolments: Enrolments,
        seed: int | None = None,
    ) -> None:
        self._name, self._notifier, self._routes = name, notifier, routes
        self._alerts, self._clock, self._messages_of = alerts, clock, messages_of
        self._enrolments = enrolments
        self._backoff = Backoff(seed)
        self._attempts: dict[str, int] = {}
        self._unexpected: dict[str, int] = {}
        self._unrecorded: list[Receipt] = []
        # A replica of the store may show a receipt late: what was told by this process is not told again.
        self._closed: dict[str, Receipt] = {}
        # What fires since before the receiver was first there, and all that happened before `_low` is told.
        self._older: Sequence[Transition] | None = None
        self._low: datetime | None = None
        self._swept_at: float | None = None
        self._held = 0
        # How many the store still returns that are closed.
        self._late = 0
        self._failing_since: float | None = None
        self._refreshed_at: float | None = None
        self._stopped = threading.Event()
        self._leads: Callable[[], bool] = lambda: True
        self._counts = ReceiverCounts()

    @property
    def counts(self) -> ReceiverCounts:
        """What came of it so far; may be read from any thread."""
        return self._counts

    def stop(self) -> None:
        """Begin nothing more: a message under way is finished, with its receipt."""
        self._stopped.set()

    def turn(self, now: datetime, leads: Callable[[], bool] = lambda: True) -> None:
        """Tell what is to be told until nothing is left, the receiver fails, or it is stopped. Raises nothing.

        Who does not lead only writes the receipts that the store did not take before: the one who leads then knows
        what is told.
        """
        self._leads, leading = leads, leads()
        if not leading:
            self._forget()
        try:
            self._record([])
            if not leading:
                return
            left_alone = self._backoff.waits(self._clock.monotonic())
            self._tell_all(now, only_look=left_alone)
            if not left_alone:
                self._refresh(now)
        except NotifierUnavailable as error:
            self._failed(error)
        except StoreError as error:
            self._counts = replace(self._counts, turns_failed=self._counts.turns_failed + 1)
            log.warning("telling %s waits for the store: %s", self._name, error)
        except Exception as error:
            self._counts = replace(self._counts, turns_failed=self._counts.turns_failed + 1)
            # Where it was, but not what it says: that may quote a text.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("telling %s ended early (%s)\n%s", self._name, type(error).__name__, where.rstrip())

    def _tell_all(self, now: datetime, *, only_look: bool) -> None:
        while not self._stopped.is_set() and self._leads():
            now = max(now, self._clock.now())
            enrolment = self._enrolments.now(now)[self._name]
            if self._swept_at is None or self._clock.monotonic() - self._swept_at >= SWEEP_SECONDS:
                self._forget()
            limit = min(_MOST, BATCH + self._held + self._late)
            pending = self._untold(enrolment, now, limit)
            older = self._older_of(enrolment, now)
            known = self._closed.keys() | {told.id for told in older}
            fresh = [told for told in pending if told.id not in known]
            self._late = len(pending) - len(fresh)
            decider = Decider(self._alerts, self._routes, self._name, now, enrolment, self._closed)
            decided = decider.decide([*older, *fresh], whole=len(pending) < limit)
            self._held = sum(decision.fate == "wait" for _, decision in decided)
            self._look(decided)
            if only_look:
                return
            self._act(decided)
            if len(pending) < limit or limit >= _MOST:
                return

    def _untold(self, enrolment: Enrolment, now: datetime, limit: int) -> Sequence[Transition]:
        """Return the first that are to be told, asking for no more of the past than may have changed."""
        since, passed = min(enrolment), self._clock.monotonic()
        if self._low is None:
            self._swept_at = passed
        else:
            # `_low` may lie ahead, where the clock was.
            since = max(since, min(self._low, now - LATE))
        found = self._alerts.untold(self._name, since, limit)
        self._low = found[0].at if found else now
        return found

    def _forget(self) -> None:
        """Ask anew for all that may be to be told: some may be written late, or told by another who led since."""
        self._low, self._older = None, None

    def _older_of(self, enrolment: Enrolment, now: datetime) -> Sequence[Transition]:
        """Return what fires since before the receiver was first there, the oldest first, without its receipt."""
        if self._older is None:
            states = self._alerts.alert_states(phases=("firing",))
            states = [state for state in states if state.since and state.since < min(enrolment)]
            self._older = firings(self._alerts, states, now)[::-1]
        if self._older:
            # Another ruler may have led, and told of some.
            found = self._alerts.receipts([told.id for told in self._older])
            closed = {receipt.transition for receipt in found if receipt.receiver == self._name} | self._closed.keys()
            self._older = [told for told in self._older if told.id not in closed]
        return self._older

    def _act(self, decided: Sequence[tuple[Transition, Decision]]) -> None:
        closed: list[Receipt] = []
        refused: set[str] = set()
        try:
            for place, (told, decision) in enumerate(decided):
                if decision.fate == "wait":
                    continue
                if decision.fate != "tell":
                    closed.append(self._receipt(told.id, decision.fate, decision.detail, attempts=0))
                    continue
                if firing_id(told) in refused:
                    closed.append(self._receipt(told.id, "refused", AS_REFUSED, attempts=0))
                    continue
                if self._stopped.is_set() or not self._leads():
                    return
                before, closed = closed, []
                self._record(before)
                if not self._tell(told):
                    refused.add(told.id)
                self._look(decided[place + 1 :], held_before=decided[:place])
        finally:
            self._record(closed)

    def _tell(self, told: Transition) -> bool:
        """Tell of one transition and write what came of it; return whether the receiver took it."""
        self._attempts[told.id] = self._attempts.get(told.id, 0) + 1
        try:
            detail, outcome = self._notifier.send(self._messages_of([told])[0]), "delivered"
        except NotifierRefused as error:
            detail, outcome = str(error), "refused"
            log.error("%s refused %s for good: %s", self._name, told.id, error)
        except EvalsvcError:
            raise
        except Exception as error:
            detail, outcome = self._unexpectedly(told, error), "refused"
        attempts = self._attempts.pop(told.id)
        self._unexpected.pop(told.id, None)
        self._record([self._receipt(told.id, "delivered" if outcome == "delivered" else "refused", detail, attempts)])
        self._answered(took=outcome == "delivered")
        return outcome == "delivered"

    def _unexpectedly(self, told: Transition, error: Exception) -> str:
        """Return why a message is given up, after a few tries; until then it is tried again.

        Raises:
            NotifierUnavailable: it may be tried again.
        """
        self._unexpected[told.id] = self._unexpected.get(told.id, 0) + 1
        said = f"the notifier failed ({type(error).__name__})"
        if self._unexpected[told.id] < MAX_UNEXPECTED:
            raise NotifierUnavailable(said)
        log.error("%s is not told of %s: %s %d times", self._name, told.id, said, MAX_UNEXPECTED)
        return said

    def _record(self, receipts: Sequence[Receipt]) -> None:
        """Write receipts, those first that the store did not take before: what was sent is not sent again."""
        self._unrecorded += receipts
        if self._unrecorded:
            self._alerts.record_receipts(tuple(self._unrecorded))
            written, self._unrecorded = self._unrecorded, []
            for receipt in written:
                self._counted(receipt.outcome)
                self._closed[receipt.transition] = receipt
            for name in list(self._closed)[:-_REMEMBERED]:
                del self._closed[name]

    def _counted(self, outcome: Told) -> None:
        field = "sent" if outcome == "delivered" else outcome
        self._counts = replace(self._counts, **{field: getattr(self._counts, field) + 1})

    def _receipt(self, transition: str, outcome: Told, detail: str, attempts: int) -> Receipt:
        return Receipt(
            transition=transition,
            receiver=self._name,
            outcome=outcome,
            at=self._clock.now(),
            attempts=attempts,
            detail=detail[:300],
        )

    def _answered(self, *, took: bool) -> None:
        """Note that the receiver answers, and say so where it did not before."""
        if self._failing_since is not None:
            minutes = (self._clock.monotonic() - self._failing_since) / 60.0
            waited = self._counts.waiting - self._held
            plural = "" if waited == 1 else "s"
            log.info("%s answers again after %.0f min, %d message%s waited", self._name, minutes, waited, plural)
        self._failing_since = None
        self._backoff.succeeded()
        if took:
            self._counts = replace(self._counts, last_success=self._clock.now(), trouble="")

    def _failed(self, error: NotifierUnavailable) -> None:
        passed = self._clock.monotonic()
        pause = self._backoff.failed(passed, error.retry_after)
        self._failing_since = passed if self._failing_since is None else self._failing_since
        self._counts = replace(self._counts, failed=self._counts.failed + 1, trouble=str(error))
        log.warning("%s could not be told, next try in %.0f s: %s", self._name, pause, error)

    def _look(
        self,
        left: Sequence[tuple[Transition, Decision]],
        held_before: Sequence[tuple[Transition, Decision]] = (),
    ) -> None:
        waiting = [told for told, decision in left if decision.fate == "tell"]
        held = sum(decision.fate == "wait" for _, decision in (*held_before, *left))
        oldest = waiting[0].at if waiting else None
        self._counts = replace(self._counts, waiting=len(waiting) + held, oldest_at=oldest)

    def _refresh(self, now: datetime) -> None:
        """Tell again what fires, where the receiver needs that."""
        due = self._refreshed_at is None or self._clock.monotonic() - self._refreshed_at >= REFRESH_SECONDS
        if not isinstance(self._notifier, Refreshing) or not due or self._stopped.is_set() or not self._leads():
            return
        firing, ended = to_refresh(self._alerts, self._name, max(now, self._clock.now()))
        messages = self._messages_of([*firing, *ended]) if firing or ended else ()
        if messages:
            try:
                self._notifier.refresh(messages[: len(firing)], messages[len(firing) :])
                self._answered(took=True)
            except NotifierRefused as error:
                log.error("%s refused what fires: %s", self._name, error)
        self._refreshed_at = self._clock.monotonic()
        self._counts = replace(self._counts, refreshed=self._counts.refreshed + 1)

"""Ask a model under test a set of cases: side by side, within its limits and budget, each answer kept as it comes."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from evalsvc._run_locks import exclusive
from evalsvc.cases.values import Case, digest_of
from evalsvc.clock import SystemClock
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import EngineError, EvalsvcError, InputError, ModelUnavailable
from evalsvc.generation.limits import AskLimits, Pacer, RunBudget, TakesTurns, Turns
from evalsvc.generation.progress import Progress
from evalsvc.generation.values import Answer, Generator, Request, failed, told_by_others
from evalsvc.judges.retries import speakable
from evalsvc.protocols import Clock

MAX_ANSWER_CHARACTERS = 1 << 20
"""A longer answer is a failed one: no scorer reads it, and a model that does not stop has failed."""
EMPTY = "empty answer"
TOO_LONG = f"answer longer than {MAX_ANSWER_CHARACTERS} characters"

_KIND = "answer"
# A change of what is kept, or of what it means, makes a new number.
_FORMAT = 1
_GRACE_SECONDS = 5.0
# How soon a worker that waits for its answer to be kept sees that the run has ended.
_STOP_SECONDS = 0.2


class _Item(NamedTuple):
    """One request, its place among the answers, and the key of its answer in the cache."""

    place: int
    request: Request
    key: str


class _Result(NamedTuple):
    """What came of a request, and what tells its worker that it is kept."""

    item: _Item
    answer: Answer | BaseException
    kept: threading.Event


class Asker:
    """Asks one model, again and again under one budget.

    An answer is looked up first, under a key of everything that may change it: the generator's signature, the case's
    digest and what else of the case the model sees, the repeat and the seed. Failed answers are not kept, unless asking
    again would end the same way. A second process that asks the same model waits for the first, and then finds its
    answers to the cases that both have.

    Args:
        generator: the model.
        cache: where answers are kept; ``None`` keeps none.
        limits: how fast and how long.
        budget: how much; what it does not pay is a failed answer that says so.
        progress: is told how far the run is, in the thread that asks.
        clock: what pace and deadline go by.
    """

    def __init__(
        self,
        generator: Generator,
        cache: DiskCache | None = None,
        *,
        limits: AskLimits | None = None,
        budget: RunBudget | None = None,
        progress: Callable[[Progress], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.generator = generator
        self.limits = limits or AskLimits()
        self.budget = budget or RunBudget()
        self._cache = cache if generator.cacheable else None
        self._clock = clock or SystemClock()
        self._pacer = Pacer(self.limits.requests_per_minute, self._clock)
        self._report = progress
        self._progress = Progress()
        self._ends: float | None = None

    @property
    def progress(self) -> Progress:
        """How far all that was asked so far is."""
        return self._progress

    def ask(self, cases: Sequence[Case], *, repeats: int = 1, seed: int = 0) -> list[Answer]:
        """Return ``repeats`` answers for each case, in the order of the cases; the seed of each is ``seed + repeat``.

        Blocks until all are there. Interrupted, it keeps what is answered, and the same call goes on from there.

        Raises:
            InputError: when ``repeats`` is below 1, or the budget is in dollars and nobody knows prices.
            ModelUnavailable: when the model answers nothing any more.
            EvalsvcError: when the model cannot be loaded, or refuses every request.
        """
        if repeats < 1:
            raise InputError(f"Expected `repeats` of at least 1, but got {repeats!r}")
        items = self._items(cases, repeats, seed)
        answers: dict[int, Answer] = {}
        self._count(total=len(items))
        self._look_up(items, answers)
        if len(answers) < len(items):
            path = self._cache.path if self._cache else None
            doing = f"asks {self.generator.model}; what it is told is not asked again"
            with exclusive(path, self._work_name(), doing):
                # Another run may have asked some of the same while this one waited.
                self._look_up([item for item in items if item.place not in answers], answers)
                rest = [item for item in items if item.place not in answers]
                if rest:
                    # Whose answers are all kept needs neither its key nor its weights.
                    self.generator.load()
                    if self._ends is None and self.limits.deadline_seconds is not None:
                        self._ends = self._clock.monotonic() + self.limits.deadline_seconds
                    self._recorded(rest, answers) if self.generator.recorded else self._ask(rest, answers)
        return [answers[place] for place in range(len(items))]

    def _items(self, cases: Sequence[Case], repeats: int, seed: int) -> list[_Item]:
        items = []
        signature, kept = self.generator.signature, self._cache is not None
        for number, case in enumerate(cases):
            content = (_FORMAT, signature, case.digest, self.generator.seen(case)) if kept else ()
            for repeat in range(repeats):
                request = Request(case, repeat, seed + repeat)
                key = digest_of((*content, repeat, request.seed)) if kept else ""
                items.append(_Item(number * repeats + repeat, request, key))
        return items

    def _work_name(self) -> str:
        """Return a name of the model: which cases of two runs are the same, neither knows before it asks."""
        return f"answers of {self.generator.model}, {digest_of(self.generator.signature, 8)}"

    def _look_up(self, items: Sequence[_Item], answers: dict[int, Answer]) -> None:
        if self._cache is None or not items:
            return
        found = self._cache.get_many(_KIND, [item.key for item in items])
        before = len(answers)
        for item in items:
            kept = _decoded(found.get(item.key))
            if kept is not None:
                answers[item.place] = kept
        self._count(cached=len(answers) - before)

    def _ask(self, items: Sequence[_Item], answers: dict[int, Answer]) -> None:
        if self.budget.usd_limit is not None and self.generator.estimate_usd(items[0].request) is None:
            raise InputError(f"A budget in USD needs to know what {self.generator.model} costs: give its `prices`")
        waiting, results = deque(items), queue.SimpleQueue[_Result]()
        stop = threading.Event()

        def work() -> None:
            kept = threading.Event()
            while not stop.is_set():
                try:
                    item = waiting.popleft()
                except IndexError:
                    return
                try:
                    results.put(_Result(item, self._one(item.request, stop), kept))
                except BaseException as error:
                    stop.set()
                    results.put(_Result(item, error, kept))
                # A kill costs what is under way or not written yet: both together are no more than there are workers.
                while self._cache is not None and not kept.wait(_STOP_SECONDS) and not stop.is_set():
                    pass
                kept.clear()

        # Daemons: an interrupted process does not wait for a model that does not answer.
        threads = [
            threading.Thread(target=work, name="evalsvc-ask", daemon=True)
            for _ in range(min(self.limits.concurrency, len(items)))
        ]
        for thread in threads:
            thread.start()
        try:
            self._receive(results, len(items), answers)
        except EvalsvcError as error:
            stop.set()
            self._leave(threads, results, answers)
            raise self._told(error) from error
        finally:
            stop.set()
            self._keep(_drained(results), answers)

    def _recorded(self, items: Sequence[_Item], answers: dict[int, Answer]) -> None:
        """Take answers that were made before: they wait for nobody, cost nothing, and need neither worker nor limit."""
        for item in items:
            answers[item.place] = _answered(self.generator, partial(self.generator.generate, item.request))
        bad = sum(answers[item.place].status == "failed" for item in items)
        self._count(answered=len(items) - bad, failed=bad)

    def _receive(self, results: queue.SimpleQueue[_Result], count: int, answers: dict[int, Answer]) -> None:
        while count > 0:
            batch = [results.get(), *_drained(results)]
            count -= len(batch)
            self._keep(batch, answers)
            for result in batch:
                if isinstance(result.answer, BaseException):
                    raise result.answer

    def _leave(
        self, threads: Sequence[threading.Thread], results: queue.SimpleQueue[_Result], answers: dict[int, Answer]
    ) -> None:
        """Wait a little for requests under way: they are paid for."""
        ends = time.monotonic() + _GRACE_SECONDS
        for thread in threads:
            thread.join(max(0.0, ends - time.monotonic()))
        self._keep(_drained(results), answers)

    def _one(self, request: Request, stop: threading.Event) -> Answer:
        turns = Turns(
            self.budget,
            self._pacer,
            self._clock,
            estimate_usd=self.generator.estimate_usd(request) or 0.0,
            ends=self._ends,
            stopped=stop.is_set,
        )
        generator = self.generator
        if isinstance(generator, TakesTurns):
            return _answered(generator, lambda: generator.generate_in_turns(request, turns))
        refused = turns.begin()
        if refused:
            return failed(refused, attempts=0)
        usd, attempts = 0.0, 0
        try:
            answer = _answered(generator, lambda: generator.generate(request))
            usd, attempts = answer.cost_usd or 0.0, answer.attempts
        finally:
            turns.end(usd, attempts)
        return answer

    def _keep(self, batch: Sequence[_Result], answers: dict[int, Answer]) -> None:
        """Take what came: into the cache first."""
        came = [(one.item, one.answer) for one in batch if isinstance(one.answer, Answer)]
        if self._cache is not None:
            kept = {
                item.key: msgspec.json.encode(answer)
                for item, answer in came
                if answer.status == "ok" or answer.permanent
            }
            if kept:
                self._cache.put_many(_KIND, kept)
        for one in batch:
            one.kept.set()
        for item, answer in came:
            answers[item.place] = answer
        if not came:
            return
        bad = sum(answer.status == "failed" for _, answer in came)
        cost = sum(answer.cost_usd or 0.0 for _, answer in came)
        self._count(answered=len(came) - bad, failed=bad, cost_usd=cost)

    def _count(
        self, total: int = 0, answered: int = 0, failed: int = 0, cached: int = 0, cost_usd: float = 0.0
    ) -> None:
        then = self._progress
        self._progress = Progress(
            then.total + total,
            then.answered + answered,
            then.failed + failed,
            then.cached + cached,
            then.cost_usd + cost_usd,
        )
        if self._report is not None:
            self._report(self._progress)

    def _told(self, error: EvalsvcError) -> EvalsvcError:
        """Return the error with what is kept of the run."""
        now = self._progress
        have = now.answered + now.cached
        if not have:
            return _of_kind(error, f"{error}. Answered before that: none of {now.total} requests")
        kept = (
            "they are kept: the same command goes on from there"
            if self._cache is not None and self._cache.path is not None
            else "they are not kept"
        )
        return _of_kind(error, f"{error}. Answered before that: {have} of {now.total} requests; {kept}")


def _of_kind(error: EvalsvcError, said: str) -> EvalsvcError:
    return (ModelUnavailable if isinstance(error, ModelUnavailable) else EngineError)(said)


def _answered(generator: object, ask: Callable[[], Answer]) -> Answer:
    """Return an answer that a scorer can use, or a failed one; what a generator raises beside its contract is one."""
    try:
        answer = ask()
    except EvalsvcError:
        raise
    except (Exception, SystemExit) as error:  # somebody else's code; its message may quote a text
        return failed(f"the generator raised {type(error).__name__}")
    if answer.status == "failed":
        # Ours say what they say in known words, with the place of an exception in somebody else's code.
        return answer if type(generator).__module__.startswith("evalsvc.") else told_by_others(answer)
    if len(answer.response) > MAX_ANSWER_CHARACTERS:
        return _without_text(answer, TOO_LONG)
    if not answer.response.strip() and not answer.tool_calls:
        return _without_text(answer, EMPTY)
    return _writable(answer)


def _writable(answer: Answer) -> Answer:
    """Return an answer that can be kept: of a pair of which a model said one half, UTF-8 has nothing."""
    try:
        msgspec.json.encode(answer)
    except UnicodeEncodeError:
        whole = msgspec.structs.replace(answer, response=speakable(answer.response))
        try:
            msgspec.json.encode(whole)
        except UnicodeEncodeError:
            return _without_text(answer, "a tool call that is no Unicode text")
        return whole
    return answer


def _without_text(answer: Answer, reason: str) -> Answer:
    # Asked again until it says something, a model would look better than it is.
    return msgspec.structs.replace(answer, status="failed", reason=reason, permanent=True, response="", tool_calls=())


def _drained(results: queue.SimpleQueue[_Result]) -> list[_Result]:
    batch = []
    try:
        while True:
            batch.append(results.get_nowait())
    except queue.Empty:
        return batch


def _decoded(kept: bytes | None) -> Answer | None:
    try:
        return None if kept is None else told_by_others(msgspec.json.decode(kept, type=Answer))
    except msgspec.MsgspecError:
        return None  # of another release

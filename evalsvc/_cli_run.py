"""The commands ``run``, ``replay``, ``migrate`` and ``demo``; ``up`` is in ``_cli_up``."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evalsvc import project
from evalsvc._hints import did_you_mean
from evalsvc._standstill import watched
from evalsvc.cli import FINDINGS, INTERRUPTED, OK
from evalsvc.errors import ConfigError, InputError
from evalsvc.project import ConsumerConfig, Environment, FilesConfig, HttpConfig, Project, ScorerConfig

if TYPE_CHECKING:
    from evalsvc.pipeline import Worker, WorkerStatus
    from evalsvc.protocols import Source
    from evalsvc.types import Status, WorkerProgress

CHEAP = (
    "bleu", "chrf", "ter", "rouge_1", "rouge_2", "rouge_l", "rouge_lsum", "exact_match", "token_f1", "edit_similarity",
    "distinct_1", "distinct_2", "repetition", "readability", "answer_language_match",
    "prompt_words", "response_words", "prompt_language", "response_language",
    "introduced_pii", "pii_in_response", "system_prompt_leakage", "canary_leak", "context_injection",
    "refusal", "tool_calls", "task_completed", "human_handover", "truncated",
    "latency_ms", "time_to_first_token_ms", "tokens_per_second",
    "input_tokens", "output_tokens", "total_tokens", "context_window_utilisation", "cost_usd",
)  # fmt: skip
"""What a replay without a consumer's file scores: everything that needs no large model."""


def run(options: argparse.Namespace) -> int:
    """Run one consumer until its source ends or a signal comes."""
    from evalsvc import assemble
    from evalsvc._health import HealthServer

    environment = Environment.read(os.environ)
    found, consumer = find_consumer(options.consumer)
    with assemble.project_store(found, environment, getattr(options, "store", None)) as store:
        worker = assemble.build_worker(consumer, store, environment)
        with (
            HealthServer(options.metrics_host, options.metrics_port, [worker], worker.metrics.render) as health,
            listening(consumer, worker),
            stopping(worker.stop),
        ):
            print(f"{consumer.name}: health and metrics at {health.address}", file=sys.stderr)
            status = worker.run()
    print(summary(consumer.name, status), file=sys.stderr)
    say_dead(status)
    return OK


def replay(options: argparse.Namespace) -> int:
    """Score events from files, show how far it is, and say what became of them."""
    from evalsvc import assemble
    from evalsvc._cli_output import Progress
    from evalsvc._score_sheet import ScoreSheet
    from evalsvc.store import MemoryStore

    if options.marks and options.again:
        raise InputError("--marks shows the events that a replay writes, and --again writes none; leave one out")
    environment = Environment.read(os.environ)
    source = FilesConfig(
        paths=tuple(os.path.abspath(file) for file in options.files),
        fields=_event_fields(dict(options.field), "--field", of_values=True),
        constants=_event_fields(dict(options.set), "--set", of_values=False),
    )
    if options.consumer:
        found, consumer = find_consumer(options.consumer)
    else:
        found = project.load_settings()
        consumer = _default_consumer(found)
    consumer = assemble.replay_config(consumer, source)
    with assemble.project_store(found, environment, getattr(options, "store", None)) as store:
        sheet = ScoreSheet(sys.stdout if options.scores else None, sys.stdout if options.marks else None)
        worker = assemble.build_worker(consumer, store, environment, on_written=sheet.note, again=options.again)
        with stopping(worker.stop) as asked, Progress("replay", "events", *_measures(worker)):
            status = worker.run()
        kept = not isinstance(store, MemoryStore)
    said = summary(consumer.name, status, again=bool(options.again))
    print(said, file=sys.stderr if options.scores else sys.stdout)
    if not options.scores and (table := sheet.table()):
        print(f"\n{table}")
    say_dead(status)
    if asked.is_set() and not status.finished:
        print("interrupted before the end; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    if not status.read:
        print(_nothing_read(consumer.name, worker.source), file=sys.stderr)
    elif options.again and not status.scores:
        print(_nothing_again(consumer.name, options.again), file=sys.stderr)
    if options.marks and status.scores and not sheet.marked:
        print("none of these scorers says what is unsupported; add `faithfulness` to the consumer's", file=sys.stderr)
    if sheet.failed and kept:
        what = "the same command" if options.again else "the same command with `--again failed`"
        print(f"{sheet.failed:,} scores failed; {what} tries them again", file=sys.stderr)
    return FINDINGS if status.dead else OK


def say_dead(status: WorkerStatus) -> None:
    """Say for which reasons records were no events, and where the first of each lies."""
    for why in status.dead_reasons:
        print(f"{why.records:,} × {why.reason}, first at {why.place}: {why.message}", file=sys.stderr)


def _nothing_read(name: str, source: Source) -> str:
    if not getattr(source, "resumed", False):
        return "there is no event in what was named"
    said = f"all of it was read before, under the name {name!r}, and nothing counts twice"
    anew = "to score it anew, give --store another place (memory: keeps nothing), or take another consumer"
    return f"{said}; `--again failed` tries again what failed; {anew}"


def _nothing_again(name: str, statuses: Sequence[Status]) -> str:
    these = " or ".join(dict.fromkeys(statuses))
    return f"no score of these events is {these} under the name {name!r} and its scorers' present versions and options"


def migrate(options: argparse.Namespace) -> int:
    """Bring the store's schema and retention up to this release, or say what that would take."""
    from evalsvc import assemble

    found, environment = project.load_settings(), Environment.read(os.environ)
    given = getattr(options, "store", None)
    steps = assemble.pending_migrations(found, environment, given)
    if not options.dry_run:
        assemble.open_project_store(found, environment, given, migrate=True, create=True).close()
    verb = "to do" if options.dry_run else "done"
    print("\n".join(f"{verb}: {step}" for step in steps) or "the schema is up to date")
    return OK


def demo(options: argparse.Namespace) -> int:
    """Run the demonstration."""
    from evalsvc._serving import check_free

    if not options.once:
        host, port = project.host_and_port(Environment.read(os.environ).api, "EVALSVC_API")
        check_free(host, port if options.port is None else options.port)
    demonstration = importlib.import_module("evalsvc.demo")
    return int(demonstration.main(once=options.once, port=options.port))


def find_consumer(name: str) -> tuple[Project, ConsumerConfig]:
    """Return a consumer by its file, or by its name in this project; mistakes in others' files are a warning.

    Raises:
        ConfigError: when there is no such file or name, or the file is wrong.
    """
    if os.sep in name or name.endswith((".yaml", ".yml")) or Path(name).is_file():
        return project.load_consumer(Path(name))
    found = project.load_named(name)
    count = "1 mistake" if found.mistakes == 1 else f"{found.mistakes:,} mistakes"
    others = f"{count} in other consumers' files; `evalsvc check` says which"
    if found.consumer is not None:
        if found.mistakes:
            print(f"warning: {others}", file=sys.stderr)
        return found.project, found.consumer
    hints = [did_you_mean(name, found.names), others if found.mistakes else ""]
    hint = "; ".join(filter(None, hints)) or "`evalsvc init` writes one"
    root = found.project.root
    raise ConfigError(f"Expected a consumer's file or its name in {root}, but got {name!r} ({hint})")


@contextmanager
def listening(consumer: ConsumerConfig, worker: Worker) -> Iterator[None]:
    """Serve the endpoint of a consumer that reads HTTP, for as long as it runs; others need none."""
    if not isinstance(consumer.source, HttpConfig):
        yield
        return
    from evalsvc._serving import WebServer, endpoint

    with WebServer(endpoint(worker.source), consumer.source.host, consumer.source.port) as server:
        print(f"{consumer.name}: POST {server.address}/v1/events", file=sys.stderr)
        yield


@contextmanager
def stopping(*stops: Callable[[], None]) -> Iterator[threading.Event]:
    """Call these on SIGTERM and SIGINT, so that work ends cleanly; a second SIGINT interrupts at once.

    Yields an event that is set by then. Meanwhile a process that stands still says where. Outside the main thread,
    where Python handles no signals, it changes nothing.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def stop(number: int, _: object) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not asked.is_set() and number == signal.SIGINT:
            print("evalsvc: stopping; Ctrl-C again interrupts", file=sys.stderr)
        asked.set()
        for each in stops:
            each()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with watched():
            yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def summary(name: str, status: WorkerStatus, *, again: bool = False) -> str:
    """Return one line about what became of a consumer's records, or that they were read ``again``."""
    parts = [("sampled", status.sampled), ("skipped", status.skipped), ("filtered", status.filtered)]
    parts += [("kept", status.kept), ("duplicate", status.duplicate), ("dead letters", status.dead)]
    rest = ", ".join(f"{count:,} {what}" for what, count in parts if count)
    read = "read again" if again else "read"
    return f"{name}: {status.read:,} records {read}{f' ({rest})' if rest else ''}, {status.scores:,} scores written"


def _measures(worker: Worker) -> tuple[Callable[[], tuple[int, int]], Callable[[], str]]:
    """Return what says how far a worker is, (written, all), and what it is at."""

    def far() -> tuple[int, int]:
        status = worker.status()
        return status.read, max(status.read, worker.progress().read + status.lag)

    return far, lambda: said_progress(worker.progress())


def said_progress(progress: WorkerProgress) -> str:
    """Return in words what a worker is at, with the scorers that took longest so far.

    >>> from evalsvc.types import WorkerProgress
    >>> said_progress(WorkerProgress(75, 0, "judge", 42.4, {"rouge_l": 0.2, "judge": 42.4, "perplexity": 61.0}))
    '75 read, 0 scores written; judge for 42 s; longest: perplexity 61 s, judge 42 s'
    """
    seconds = sorted(progress.scorer_seconds.items(), key=lambda item: -item[1])
    longest = ", ".join(f"{metric} {spent:,.0f} s" for metric, spent in seconds[:3] if spent >= 1.0)
    parts = [f"{progress.read:,} read, {progress.scores:,} scores written"] if progress.read else []
    parts += [f"{progress.doing} for {progress.doing_seconds:,.0f} s"] if progress.doing else []
    parts += [f"longest: {longest}"] if longest else []
    return "; ".join(parts)


def _event_fields(pairs: Mapping[str, str], option: str, *, of_values: bool) -> Mapping[str, str]:
    for name in pairs.values() if of_values else pairs:
        if not project.is_event_field(name):
            hint = project.field_hint(name)
            raise InputError(f"Expected {option} to name a field of an event, but got {name!r} ({hint})")
    return pairs


def _default_consumer(found: Project) -> ConsumerConfig:
    from evalsvc.sampling import Design

    return ConsumerConfig(
        name="replay",
        path=found.root,
        source=FilesConfig(paths=()),
        design=Design("replay"),
        scorers=tuple(ScorerConfig(name=name) for name in CHEAP),
    )

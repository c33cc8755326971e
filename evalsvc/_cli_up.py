"""The command ``up``: store, every consumer, ruler, HTTP API and page in one process, a thread each."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from evalsvc import project
from evalsvc._cli_run import stopping, summary
from evalsvc.cli import OK, exit_code
from evalsvc.errors import EvalsvcError
from evalsvc.project import ConsumerConfig, Environment, HttpConfig, Project, host_and_port

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from evalsvc.pipeline import Worker
    from evalsvc.ruler import Ruler
    from evalsvc.sources.http import HttpSource
    from evalsvc.store import ClickHouseStore, MemoryStore

log = logging.getLogger("evalsvc.up")


def up(options: argparse.Namespace) -> int:
    """Serve until a signal comes. A consumer that fails is reported and shown; the others go on."""
    from prometheus_client import CollectorRegistry, generate_latest

    from evalsvc import assemble
    from evalsvc._serving import WebServer, endpoint
    from evalsvc.web.app import create_app

    environment = Environment.read(os.environ)
    found = project.load_project()
    host, port = host_and_port(environment.api, "EVALSVC_API")
    with ExitStack() as stack:
        store = stack.enter_context(
            assemble.project_store(found, environment, getattr(options, "store", None), exclusive=True)
        )
        registry = CollectorRegistry()
        workers = build_workers(found.consumers, store, environment, registry)
        served, own = http_sources(found.consumers, workers)
        routes = served.routes() if served else ()
        ruler = build_ruler(found, store, environment, registry) if found.rules else None
        if exported := assemble.build_exported(found, store, registry):
            stack.enter_context(exported.running())
        app = create_app(
            store, workers, routes, metrics=partial(generate_latest, registry), ruler=ruler, rules=found.rules
        )
        address = (options.host or host, port if options.port is None else options.port)
        consumers = Consumers(workers, ruler)
        asked = stack.enter_context(stopping(consumers.stop))
        server = stack.enter_context(WebServer(app, *address))
        for config, source in own:
            side = stack.enter_context(WebServer(endpoint(source), config.host, config.port))
            print(f"evalsvc: POST {side.address}/v1/events as well", file=sys.stderr)
        stack.callback(consumers.finish)
        consumers.start()
        print(f"evalsvc: the page is at {server.address}/ — Ctrl-C stops", flush=True)
        if consumers.wait_ready(asked):
            print("evalsvc: ready, every consumer reads", flush=True)
        asked.wait()
    print("evalsvc: stopped; what was read is written", flush=True)
    return consumers.code


class Consumers:
    """The workers of one process and its ruler, a thread each."""

    def __init__(self, workers: Sequence[Worker], ruler: Ruler | None = None) -> None:
        """Start nothing yet."""
        self.workers: tuple[Worker | Ruler, ...] = (*workers, *([ruler] if ruler else []))
        self.code = OK
        self._threads = [
            threading.Thread(target=self._work, args=(w,), name=w.consumer, daemon=True) for w in self.workers
        ]

    def start(self) -> None:
        """Start every worker."""
        for thread in self._threads:
            thread.start()

    def wait_ready(self, asked: threading.Event) -> bool:
        """Wait until every worker reads or has finished; false when asked to stop, or when one failed, before."""
        while not asked.wait(0.1):
            if self.code != OK:
                return False
            alive = [w for w, thread in zip(self.workers, self._threads, strict=True) if thread.is_alive()]
            if all(worker.status().ready for worker in alive):
                return True
        return False

    def stop(self) -> None:
        """Ask every worker to finish its batches; safe in a signal handler."""
        for worker in self.workers:
            worker.stop()

    def finish(self) -> None:
        """Ask, and wait until all have written and committed what they read."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _work(self, worker: Worker | Ruler) -> None:
        from evalsvc.ruler import RulerStatus

        try:
            status = worker.run()
        except EvalsvcError as error:
            self.code = max(self.code, exit_code(error))
            log.error("consumer_stopped consumer=%s: %s", worker.consumer, error)
        except Exception:
            self.code = max(self.code, exit_code(EvalsvcError()))
            log.exception("consumer_failed consumer=%s", worker.consumer)
        else:
            said = f"{status.looks:,} looks" if isinstance(status, RulerStatus) else summary(worker.consumer, status)
            log.info("consumer_finished consumer=%s: %s", worker.consumer, said)


def build_workers(
    consumers: Sequence[ConsumerConfig],
    store: ClickHouseStore | MemoryStore,
    environment: Environment,
    registry: CollectorRegistry,
) -> list[Worker]:
    """Return a worker for each consumer, all on one registry of metrics."""
    from evalsvc import assemble

    return [assemble.build_worker(config, store, environment, registry=registry) for config in consumers]


def build_ruler(
    found: Project, store: ClickHouseStore | MemoryStore, environment: Environment, registry: CollectorRegistry
) -> Ruler:
    """Return the ruler of the project's rules, and say who is told."""
    from evalsvc import assemble
    from evalsvc._cli_ruler import summary as rules_summary

    routes = project.load_routes()
    print(f"evalsvc: ruler: {rules_summary(found, routes)}", file=sys.stderr)
    delivery = assemble.build_delivery(routes, store, environment)
    return assemble.build_ruler(found, delivery, store, registry=registry)


def http_sources(
    consumers: Sequence[ConsumerConfig], workers: Sequence[Worker]
) -> tuple[HttpSource | None, list[tuple[HttpConfig, HttpSource]]]:
    """Return the first HTTP source, which the page's address serves, and those that listen elsewhere."""
    from evalsvc.sources.http import HttpSource

    found = [
        (config.source, worker.source)
        for config, worker in zip(consumers, workers, strict=True)
        if isinstance(config.source, HttpConfig) and isinstance(worker.source, HttpSource)
    ]
    return (found[0][1], found[1:]) if found else (None, [])

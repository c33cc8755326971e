"""The command ``ruler``: the alert rules of this project, by the clock, in a process of their own."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext

from evalsvc import project
from evalsvc._cli_run import stopping
from evalsvc.cli import OK
from evalsvc.errors import ConfigError
from evalsvc.notify import Routes
from evalsvc.project import Environment, Project


def ruler(options: argparse.Namespace) -> int:
    """Look at the rules until a signal comes; of several such processes one leads."""
    from evalsvc import assemble
    from evalsvc._health import HealthServer

    environment = Environment.read(os.environ)
    found, routes = project.load_project(), project.load_routes()
    if not found.rules:
        where = found.root / found.settings.alerts
        raise ConfigError(f"Expected rules in {where}, as in quality.rules.yaml, but there are none")
    with assemble.project_store(found, environment, getattr(options, "store", None)) as store:
        delivery = assemble.build_delivery(routes, store, environment)
        made = assemble.build_ruler(found, delivery, store)
        exported = assemble.build_exported(found, store, made.metrics.registry)
        with (
            exported.running(made.leads) if exported else nullcontext(),
            HealthServer(options.metrics_host, options.metrics_port, [made], made.metrics.render) as health,
            stopping(made.stop),
        ):
            print(f"ruler: {summary(found, routes)}; health and metrics at {health.address}", file=sys.stderr)
            status = made.run()
    print(f"ruler: stopped after {status.looks:,} looks", file=sys.stderr)
    return OK


def summary(found: Project, routes: Routes | None) -> str:
    """Return how many rules are looked at, and who is told."""
    rules = sum(len(group.rules) for group in found.rules)
    names = [receiver.name for receiver in routes.receivers] if routes else []
    told = ", ".join(names) or f"nobody, as {'routes.yaml names no receiver' if routes else 'there is no routes.yaml'}"
    return f"{rules:,} rule{'' if rules == 1 else 's'}, told to {told}"

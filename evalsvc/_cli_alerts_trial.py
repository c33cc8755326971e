"""The command ``alerts trial``: a made-up alert and its end, through the notifiers that real ones go through."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

import msgspec

from evalsvc import project
from evalsvc._cli_output import aligned
from evalsvc._hints import did_you_mean
from evalsvc.cli import FINDINGS, OK
from evalsvc.clock import SystemClock
from evalsvc.errors import ConfigError, EvalsvcError, InputError
from evalsvc.notify import Receiver, Routes, build_notifiers, page_address, trial
from evalsvc.notify.message import one_line
from evalsvc.project import Environment

_FAILED = "failed: "


def send(options: argparse.Namespace) -> int:
    """Send receivers a trial, and print what each answered."""
    routes = project.load_routes()
    if routes is None:
        raise ConfigError("Expected alerts/routes.yaml, which says who is told, but there is none")
    receivers = {receiver.name: receiver for receiver in routes.receivers}
    if not receivers:
        raise ConfigError(
            "Expected a receiver to try, but alerts/routes.yaml names no receiver: add one under `receivers`, "
            "and name it in `default` or in a route"
        )
    if options.receiver and options.receiver not in receivers:
        hint = did_you_mean(options.receiver, list(receivers))
        raise InputError(f"Expected a receiver of alerts/routes.yaml, but got {options.receiver!r} ({hint})")
    asked = [receivers[options.receiver]] if options.receiver else list(receivers.values())
    now, environment = datetime.now(UTC), Environment.read(os.environ)
    lines = [
        {"receiver": one_line(receiver.name), "alert": fired, "its end": over}
        for receiver in asked
        for fired, over in [_answers(receiver, routes, environment, now)]
    ]
    print(aligned(lines))
    failed = [line["receiver"] for line in lines if any(text.startswith(_FAILED) for text in line.values())]
    if failed:
        print(f"not reached: {', '.join(failed)}")
    return FINDINGS if failed else OK


def _answers(receiver: Receiver, routes: Routes, environment: Environment, now: datetime) -> tuple[str, str]:
    """Return what a receiver answers to a trial and to its end; the end is not sent where the trial was not taken."""
    try:
        page = page_address(routes, environment.variables)
        only = msgspec.structs.replace(routes, receivers=(receiver,))
        notifier = build_notifiers(only, environment.variables, SystemClock())[receiver.name]
        fired = notifier.send(trial(now, page=page))
    except EvalsvcError as error:
        return _FAILED + one_line(str(error)), "not sent"
    try:
        return fired, notifier.send(trial(now, resolved=True, page=page))
    except EvalsvcError as error:
        return fired, _FAILED + one_line(str(error))

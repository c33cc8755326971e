"""`evalsvc demo`: invented traffic through the whole embedded path, with estimates next to the planted truth."""

from __future__ import annotations

import os
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(".evalsvc") / "demo"
EVENTS = 60_000
PLANTED_DRIFT = (
    "In the last three days half of all questions are about late parcels, answers take half as long again,\n"
    "and the judge is stricter; the second assistant's incident is of the last day."
)


def main(once: bool = False, folder: Path = FOLDER, events: int = EVENTS, port: int | None = None) -> int:
    """Make the traffic, score a sample of it, hold the estimates against the truth, and serve the page.

    Args:
        once: end after the comparison instead of serving.
        folder: where the demo's project is made anew; a former demo's is removed.
        events: about how many events the two weeks have.
        port: where the page is served; None for the usual one.

    Returns:
        The exit code: 0, unless the service that is left up ends otherwise.
    """
    from evalsvc import cli
    from evalsvc.demo import comparison, incident, scene

    began = time.monotonic()
    here = scene.prepare(folder, datetime.now(UTC).replace(minute=0, second=0, microsecond=0), events)
    os.chdir(here.folder)
    status = scene.score(here)
    comparison.show(here)
    taken = f"{status.sampled:,} of {status.read:,} events sampled, {status.scores:,} scores"
    print(f"\n{taken}, in {time.monotonic() - began:.0f} s. All traffic is synthetic; nothing shown is hard-coded.")
    there, query = shlex.quote(str(here.folder)), "query refusal --by model_version --since 14d"
    incident.live_through(here.end)
    print(f"\nThe project is in its own folder; in another terminal, try:\n  cd {there} && {_command()} {query}")
    print(f"{PLANTED_DRIFT} To see whether they are found:\n  cd {there} && {_command()} drift --since 3d")
    sys.stdout.flush()
    return 0 if once else cli.main(["up", *([] if port is None else ["--port", str(port)])])


def _command() -> str:
    """Return how this very program is called from the demo's folder."""
    beside = Path(sys.executable).with_name("evalsvc")
    return str(beside) if beside.exists() else "evalsvc"

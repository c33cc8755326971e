"""The command ``anchors run``: scores the frozen cases of consumers now, and says what they say."""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Sequence

from evalsvc import project
from evalsvc._cli_output import aligned
from evalsvc.cli import OK
from evalsvc.errors import ConfigError
from evalsvc.project import ConsumerConfig, Environment
from evalsvc.types import Score


def anchors(options: argparse.Namespace) -> int:
    """Score the anchors of one consumer, or of every one that has some."""
    from evalsvc import assemble, scorers
    from evalsvc.scoring import ScorerEntry

    environment = Environment.read(os.environ)
    found, wanted = _consumers(options.consumer)
    rows = []
    with assemble.project_store(found, environment, getattr(options, "store", None)) as store:
        for consumer in wanted:
            entries = [ScorerEntry(scorers.create(entry.name, entry.options)) for entry in consumer.scorers]
            runner = assemble.build_anchors(consumer, store, assemble.build_masker(consumer, environment), entries)
            if runner is None:
                continue
            for scorer in runner.scorers:
                scorer.load()
            store.record_scorers([scorer.spec for scorer in runner.scorers])
            rows += _rows(consumer.name, runner.run())
    print(aligned(rows, right={"cases", "with a value", "mean"}) if rows else "no case has what a scorer needs")
    return OK


def _consumers(name: str | None) -> tuple[project.Project, Sequence[ConsumerConfig]]:
    from evalsvc._cli_run import find_consumer

    if name is not None:
        found, consumer = find_consumer(name)
        if consumer.anchors is None:
            raise ConfigError(f"Expected {project.shown(consumer.path)} to have `anchors`, but it has none")
        return found, [consumer]
    found = project.load_project()
    wanted = [consumer for consumer in found.consumers if consumer.anchors is not None]
    if not wanted:
        raise ConfigError(f"Expected a consumer with `anchors` in {found.root}, but none has any")
    return found, wanted


def _rows(consumer: str, scores: Sequence[Score]) -> list[dict[str, str]]:
    from evalsvc.anchor_query import PREFIX

    values: dict[str, list[float | None]] = defaultdict(list)
    for score in scores:
        values[score.metric.removeprefix(PREFIX)].append(score.value)
    rows = []
    for metric, held in values.items():
        known = [value for value in held if value is not None]
        mean = f"{sum(known) / len(known):.4g}" if known else "-"
        counts = {"cases": f"{len(held):,}", "with a value": f"{len(known):,}", "mean": mean}
        rows.append({"consumer": consumer, "metric": metric, **counts})
    return rows

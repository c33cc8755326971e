"""What a replay's scores came to, by metric: how many have a value, their mean, and why the others have none."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any, TextIO

from evalsvc._cli_output import aligned
from evalsvc._marked import marked
from evalsvc.errors import EvalsvcError
from evalsvc.types import Score, WriteBatch


class ScoreSheet:
    """Counts the scores of written batches.

    With ``every`` it also prints each as a JSON object on a line of its own, with ``marks`` each response with what a
    score says is unsupported.

    The mean is that of the replayed sample as it is, unweighted: ``evalsvc query`` estimates.
    """

    def __init__(self, every: TextIO | None = None, marks: TextIO | None = None) -> None:
        """Begin empty."""
        self._every, self._marks = every, marks
        self.marked = 0
        """How many responses were shown, marked or with the reason why they have no score."""
        self._statuses: dict[str, Counter[str]] = {}
        self._sums: dict[str, float] = defaultdict(float)
        self._reasons: dict[str, Counter[str]] = {}

    def note(self, batch: WriteBatch) -> None:
        """Count a batch's scores."""
        samples = {kept.sample.event.event_id: kept.sample for kept in batch.events} if self._marks else {}
        for score in batch.scores:
            self._statuses.setdefault(score.metric, Counter())[score.status] += 1
            if score.value is None:
                self._reasons.setdefault(score.metric, Counter())[score.reason] += 1
            else:
                self._sums[score.metric] += score.value
            if self._every is not None:
                self._print(json.dumps(to_json(score), ensure_ascii=False), self._every)
            sample = samples.get(score.subject.event_id)
            if self._marks is not None and sample and (text := marked(sample, score)):
                self._print(f"{text}\n", self._marks)
                self.marked += 1

    @property
    def failed(self) -> int:
        """How many scores failed."""
        return sum(statuses["failed"] for statuses in self._statuses.values())

    def _print(self, text: str, out: TextIO) -> None:
        try:
            print(text, file=out)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise EvalsvcError(f"The scores cannot be printed ({error.strerror}), but the store has them") from error

    def table(self) -> str:
        """Return a line for each metric, in the order of the scorers; empty without a score."""
        rows = [self._row(metric, statuses) for metric, statuses in self._statuses.items()]
        return aligned(rows, right={"ok", "mean", "abstained", "failed"}) if rows else ""

    def _row(self, metric: str, statuses: Counter[str]) -> dict[str, str]:
        ok = statuses["ok"]
        why = self._reasons.get(metric, Counter()).most_common(1)
        return {
            "metric": metric,
            "ok": f"{ok:,}",
            "mean": f"{self._sums[metric] / ok:,.4g}" if ok else "-",
            "abstained": f"{statuses['abstained']:,}",
            "failed": f"{statuses['failed']:,}",
            "most frequent reason": f"{why[0][0]} ({why[0][1]:,})" if why else "",
        }


def to_json(score: Score) -> dict[str, Any]:
    """Return a score as JSON-able values: what it is of, its status, and its value or the reason for none."""
    return {
        "event_id": score.subject.event_id,
        "metric": score.metric,
        "scorer_version": score.scorer_version,
        "signature": score.signature,
        "status": score.status,
        "value": score.value,
        "reason": score.reason,
        "detail": json.loads(score.detail) if score.detail else {},
        "pi": score.pi,
    }

"""Cost: a metric's total in a window, or what the scores of a judge say that it was paid for them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from evalsvc.protocols import ScoreStore
from evalsvc.query import asked_cells
from evalsvc.ruler.kinds.reading import Place, newest, question
from evalsvc.ruler.looks import window_before
from evalsvc.ruler.seen import Seen
from evalsvc.rules.judging import confidence_of
from evalsvc.rules.judging_kinds import judge_cost
from evalsvc.rules.values import Cost, Rule, RuleGroup
from evalsvc.stats import estimate_total
from evalsvc.stats.strata import sampled
from evalsvc.store.steps import column_of
from evalsvc.types import Cell, Estimate, Scale, Score, Window

MOST_SCORES = 100_000
"""So many scores of a judge are read at a look; of more, a random part, whose total is an estimate."""
UNPRICED = "no score in the window holds a cost: is it a judge's metric, and are the judge's `prices` set?"
_USD = Scale(0.0, None, "lower", "USD")


def watch(store: ScoreStore, rule: Rule, group: RuleGroup, now: datetime) -> Sequence[Seen]:
    """Return what a look sees of the total of each group that has scores in the window."""
    condition = rule.condition
    if not isinstance(condition, Cost):
        return ()
    window = window_before(group, now, rule.window_seconds)
    if condition.of == "judge":
        return _paid(store, rule, condition, group, window)
    # What was spent is a fact of the window's own events.
    held = newest(store, question(rule, window)._replace(target="window"))
    confidence = confidence_of(rule, group.interval_seconds, len(held))
    seen = []
    for place, found in held.items():
        scale, domain = found.spec.scale, found.domain
        total = estimate_total(
            found.cells,
            scale,
            window,
            offered=domain.offered,
            rates=domain.rates,
            untaken=domain.untaken,
            confidence=confidence,
        )
        seen.append(Seen(place.consumer, place.key, judge_cost(rule, condition, total, scale.unit)))
    return seen


def _paid(store: ScoreStore, rule: Rule, condition: Cost, group: RuleGroup, window: Window) -> Sequence[Seen]:
    """Add up what scores say of their cost: of every version of the scorer, as each was paid."""
    query = asked_cells(store, question(rule, window))._replace(by=(), clusters=False)
    read = store.scores(query, MOST_SCORES)
    share = 1.0
    if len(read) >= MOST_SCORES:
        share = min(1.0, len(read) / max(1, sum(sampled(held.cells) for held in store.cells(query))))
    held: dict[Place, list[Score]] = defaultdict(list)
    for score in read:
        values = tuple((name, column_of(score.subject, name)) for name in rule.by)
        held[Place(score.subject.consumer, values)].append(score)
    confidence = confidence_of(rule, group.interval_seconds, len(held))
    return [
        Seen(
            place.consumer,
            place.key,
            judge_cost(rule, condition, _total(scores, share, window, confidence), _USD.unit),
        )
        for place, scores in sorted(held.items())
    ]


def _total(scores: Sequence[Score], share: float, window: Window, confidence: float) -> Estimate:
    """Return the dollars of all scores of which these are a random share."""
    amounts = [amount for score in scores if (amount := _amount(score)) is not None]
    valued = sum(score.status == "ok" for score in scores)
    if not amounts:
        reason = UNPRICED if valued else "no score in the window has a value, and others hold no cost"
        return Estimate(None, None, None, 0, 0.0, len(scores), 1.0, window, "total", confidence, reason=reason)
    cell = Cell("", 1, share, len(amounts), 0, 0, math.fsum(amounts), math.fsum(amount**2 for amount in amounts))
    total = estimate_total([cell], _USD, window, confidence=confidence)
    notes = list(_notes(len(scores) - valued, valued - len(amounts), share))
    return msgspec.structs.replace(total, reason="; ".join(filter(None, [total.reason, *notes])))


def _notes(lacking: int, unpriced: int, share: float) -> Iterable[str]:
    if lacking:
        yield f"what {lacking:,} scores without a value cost is not stored"
    if unpriced:
        yield f"{unpriced:,} scores hold no cost"
    if share < 1.0:
        yield f"from a random {share:.1%} of the scores"


class _Detail(msgspec.Struct):
    """What a judge's score says of its calls."""

    cost_usd: float | None = None


def _amount(score: Score) -> float | None:
    """Return the dollars that a score says it cost, None where it does not."""
    try:
        found = msgspec.json.decode(score.detail or "{}", type=_Detail).cost_usd
    except msgspec.MsgspecError:  # another scorer's detail, with another meaning of the name
        return None
    return found if found is not None and math.isfinite(found) and found >= 0.0 else None

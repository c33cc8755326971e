"""How far a run is, as the commands show it."""

from __future__ import annotations

from evalsvc._gate_progress import HowFar
from evalsvc.generation.progress import Progress


def test_requests_and_scores_are_counted_together_with_what_they_cost() -> None:
    far = HowFar()
    assert (far.measure(), far.note()) == ((0, 0), "")
    assert far.told.asked is not None
    far.told.asked(Progress(total=10, answered=3, failed=1, cached=2, cost_usd=0.05))
    assert (far.measure(), far.note()) == ((6, 10), "1 failed, 2 cached, $0.0500")
    far.told.scored("rouge_l", 4, 9)
    far.told.scored("bleu", 0, 9)
    assert far.measure() == (10, 28)
    assert far.note().endswith("scoring bleu")
    # A look asks for more: what is scored stays counted.
    far.told.asked(Progress(total=20, answered=13, failed=1, cached=2, cost_usd=0.15))
    assert (far.measure(), far.note()) == ((20, 38), "1 failed, 2 cached, $0.1500")

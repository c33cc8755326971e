"""The token-budget batcher and the runner that halves and bisects: pure, no torch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.engine import EngineStats, padding_waste, plan
from evalsvc.engine.runner import BatchRunner, ItemFailure
from evalsvc.errors import InputError

lengths_lists = st.lists(st.integers(0, 300), max_size=200)


@given(lengths_lists, st.integers(1, 1000), st.integers(1, 50))
def test_every_item_is_in_one_batch_within_the_budget(lengths, budget, most):
    batches = plan(lengths, budget, most)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= most
        longest = max(lengths[index] for index in batch)
        assert longest * len(batch) <= budget or len(batch) == 1


@given(st.lists(st.integers(1, 256), min_size=1, max_size=200))
def test_sorting_wastes_no_more_than_the_order_given(lengths):
    in_order = [list(range(start, min(start + 8, len(lengths)))) for start in range(0, len(lengths), 8)]
    ordered = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    by_length = [[ordered[index] for index in batch] for batch in in_order]
    assert padding_waste(lengths, by_length) <= padding_waste(lengths, in_order) + 1e-12


@pytest.mark.parametrize(("lengths", "budget", "most"), [([1], 0, 1), ([1], 1, 0), ([-1], 1, 1)])
def test_impossible_limits_are_refused(lengths, budget, most):
    with pytest.raises(InputError, match="Expected"):
        plan(lengths, budget, most)


def runner(budget: int) -> BatchRunner[int]:
    return BatchRunner(budget, 64, lambda error: isinstance(error, MemoryError), EngineStats())


@given(st.lists(st.integers(1, 20), max_size=60), st.sets(st.integers(0, 59)), st.integers(20, 200))
def test_poison_costs_only_itself(lengths, poison, budget):
    def call(batch):
        if poison.intersection(batch):
            raise ValueError("bad item")
        return [index * 10 for index in batch]

    results = runner(budget).run(lengths, call)
    expected = [ItemFailure("ValueError") if i in poison else i * 10 for i in range(len(lengths))]
    assert results == expected


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(20, 60))
def test_out_of_memory_halves_the_budget_and_goes_on(lengths, memory):
    def call(batch):
        if max(lengths[index] for index in batch) * len(batch) > memory:
            raise MemoryError
        return list(batch)

    ours = runner(1000)
    assert ours.run(lengths, call) == list(range(len(lengths)))
    halved = ours.stats.out_of_memory
    assert ours.run(lengths, call) == list(range(len(lengths)))
    assert ours.stats.out_of_memory <= halved + 6


def test_an_item_too_large_for_the_memory_fails_alone():
    def call(batch):
        if 2 in batch:
            raise MemoryError
        return list(batch)

    assert runner(100).run([5, 5, 50, 5], call) == [0, 1, ItemFailure("out of memory"), 3]


def test_a_model_that_returns_too_few_rows_is_an_error_of_ours_not_a_shift_of_values():
    with pytest.raises(ValueError, match="zip"):
        runner(100).run([1, 1], lambda batch: [0])

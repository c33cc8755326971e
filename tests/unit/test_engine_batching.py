"""The token-budget batcher and the runner that halves and bisects: pure, no torch."""

from __future__ import annotations

import random

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


@given(lengths_lists, st.integers(1, 1000), st.integers(1, 50))
def test_batches_go_from_long_to_short(lengths, budget, most):
    flat = [lengths[index] for batch in plan(lengths, budget, most) for index in batch]
    assert flat == sorted(lengths, reverse=True)


def test_batches_of_like_length_waste_little_where_the_order_given_wastes_much():
    drawn = random.Random(0)
    lengths = [min(round(drawn.lognormvariate(3.5, 1.0)) + 2, 256) for _ in range(2000)]
    in_order = [list(range(start, start + 20)) for start in range(0, len(lengths), 20)]
    assert padding_waste(lengths, in_order) > 0.5
    assert padding_waste(lengths, plan(lengths, 4096)) < 0.1


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
    for _ in range(3):
        assert ours.run(lengths, call) == list(range(len(lengths)))
    # From 1,000 to at least 20 in halves: no more than six times, however often it is called.
    assert ours.stats.out_of_memory <= 6


def test_the_budget_stays_halved():
    def call(batch):
        if len(batch) * 20 > 60:
            raise MemoryError
        return list(batch)

    ours = runner(1000)
    ours.run([20] * 50, call)
    first = ours.stats.out_of_memory
    assert first > 0
    assert ours.max_tokens <= 1000 / 2**first
    ours.run([20] * 50, call)
    assert ours.stats.out_of_memory == first


@pytest.mark.parametrize("poison", [0, 31, 63])
def test_poison_is_bisected_out_and_leaves_the_budget_alone(poison):
    sizes = []

    def call(batch):
        sizes.append(len(batch))
        if poison in batch:
            raise ValueError("bad item")
        return list(batch)

    ours = runner(1000)
    assert ours.run([1] * 64, call).count(ItemFailure("ValueError")) == 1
    # The whole batch, then two halves at each of six levels.
    assert len(sizes) == 1 + 2 * 6
    assert ours.max_tokens == 1000
    assert ours.stats.out_of_memory == 0


def test_an_item_too_large_for_the_memory_fails_alone():
    def call(batch):
        if 2 in batch:
            raise MemoryError
        return list(batch)

    assert runner(100).run([5, 5, 50, 5], call) == [0, 1, ItemFailure("out of memory"), 3]


def test_a_model_that_returns_too_few_rows_is_an_error_of_ours_not_a_shift_of_values():
    with pytest.raises(ValueError, match="zip"):
        runner(100).run([1, 1], lambda batch: [0])

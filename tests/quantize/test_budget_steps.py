"""The steps of the search, each a function of one frozen state."""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from laconic.format import container
from laconic.quantize.budget import TUNED, Budget, Tools, Tuning
from laconic.quantize.budget.goal import Goal
from laconic.quantize.budget.network import Network
from laconic.quantize.budget.rehearsal import rehearse
from laconic.quantize.budget.search import hold, learn
from laconic.quantize.budget.splicing import splice
from laconic.quantize.budget.state import Measure, Search, State
from laconic.quantize.lattice.workers import Workers

from .test_budget import NETS


def searched(budget: Budget, tuning: Tuning = TUNED) -> tuple[Search, State]:
    """A search and its first state, before a rehearsal."""
    network = Network(NETS["kernels"], Tools(), {}, Workers())
    size = budget.bytes(network.elements, None)
    target = network.energy / 10 ** ((budget.snr or 0) / 10)
    quantizers, step = network.quantizers(size, target)
    goal = Goal(budget, size, target, network.weights, network.dense_bytes, tuning)
    return Search(network, goal, quantizers, tuning), State(Measure(float(network.dense_bytes)), math.log2(step))


def test_a_state_is_frozen():
    _, state = searched(Budget(bits=3))
    with pytest.raises(FrozenInstanceError):
        state.x = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("budget", [Budget(bits=3), Budget(snr=15)], ids=str)
def test_a_rehearsal_meets_the_budget_nearly_and_leaves_the_passes_alone(budget: Budget):
    search, state = searched(budget)
    after = rehearse(search, state)
    assert after.last_trial is not None
    assert after.last_trial.file is None
    assert (after.passes, after.seen, after.inside, after.outside) == (0, (), (), ())
    assert abs(after.last_trial.excess - search.goal.aim) <= search.goal.slack
    assert after.slope * search.goal.steep > 0
    assert state.last_trial is None  # what was is as it was


@pytest.mark.parametrize("budget", [Budget(bits=3), Budget(snr=15)], ids=str)
def test_a_pass_is_measured_by_its_file(budget: Budget):
    search, state = searched(budget)
    first = learn(search, rehearse(search, state))
    second = hold(search, first)
    for number, after in enumerate((first, second), 1):
        assert after.last_trial is not None
        assert after.last_trial.file is not None
        size = len(container.dumps(after.last_trial.file.codes))
        assert (after.passes, after.last_trial.file.file_bytes) == (number, size)
        assert after.last_trial.file_bytes == pytest.approx(size, abs=1e-6)
        assert (after.last_trial in after.inside) == (after.last_trial.excess <= 0)
        assert (after.last_trial in after.outside) == (after.last_trial.excess > 0)
    assert first.seen == ()  # code lengths change yet
    assert len(second.seen) == 1
    assert second.last_trial is not None
    assert first.last_trial is not None
    before, after_it = first.last_trial.hows(0.0, learning=False), second.last_trial.hows(0.0, learning=False)
    assert all(np.array_equal(a.costs, b.costs) for a, b in zip(before, after_it, strict=True))


def test_what_lies_between_two_passes_is_within_the_budget():
    search, state = searched(Budget(bits=3))
    state = rehearse(search, state)
    assert state.last_trial is not None
    finer, coarser = (hold(search, replace(state, x=state.last_trial.x + by)) for by in (-0.03, 0.06))
    assert finer.last_trial is not None
    assert coarser.last_trial is not None
    end = replace(state, last_trial=coarser.last_trial, inside=(coarser.last_trial,), outside=(finer.last_trial,))
    found = splice(search, end)
    assert search.goal.size is not None
    assert coarser.last_trial.file_bytes < found.file_bytes <= search.goal.size
    assert found.file_bytes >= 0.99 * search.goal.size


def test_the_code_lengths_of_a_large_network_are_those_of_its_sample():
    search, state = searched(Budget(bits=3), replace(TUNED, large=1 << 10, rehearsed=1 << 12, least=1 << 15))
    state = rehearse(search, state)
    assert state.learning == 0
    after = hold(search, state)
    assert state.last_trial is not None
    assert after.last_trial is not None
    assert after.last_trial.groups[0].assignment.costs is state.last_trial.groups[0].assignment.costs
    assert abs(after.last_trial.excess - search.goal.aim) < search.goal.slack


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int):
    items = list(range(40))
    assert list(Workers(threads).map(lambda item: item**2, items, [7 * i % 40 for i in items])) == [i**2 for i in items]
    assert list(Workers(threads).map(abs, [], [])) == []

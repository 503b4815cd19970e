"""Paths of μ: pure functions of the last progress, rising, and over when they say so."""

import itertools
import math

import pytest
import torch
from torch import nn

from laconic.errors import PlanError
from laconic.lc.learning import Training
from laconic.lc.schedule import Adaptive, Geometric, Progress, Schedule
from laconic.training.judges import least_squares
from laconic.training.optimization import Optimization
from laconic.training.task import Task


def progress(step: int, mu: float = 1.0, gap: float = 0.5, changed: float | None = None) -> Progress:
    return Progress(step, mu, 0.1, gap, changed, None)


HALF = itertools.repeat(0.5)


def walk(schedule: Schedule, changes=HALF, gaps=HALF) -> list[float]:
    """The μ of every step, with the changes and gaps of the steps given."""
    last, path = Progress(0, 0.0, math.nan, 0.5, None, None), []
    for changed, gap in zip(changes, gaps, strict=False):
        mu = schedule.next_mu(last)
        if mu is None:
            break
        path.append(mu)
        last = Progress(last.step + 1, mu, 0.1, gap, changed, None)
    return path


def test_the_geometric_path_is_first_times_growth_to_the_step():
    assert walk(Geometric(9e-5, 1.1, 31)) == pytest.approx([9e-5 * 1.1**k for k in range(31)])
    assert walk(Geometric(1.0, 2.0, 4)) == [1, 2, 4, 8]
    assert walk(Geometric(1.0, 1.0, 3)) == [1, 1, 1]


@pytest.mark.parametrize("schedule", [Geometric(0.1, 2.0, 5), Adaptive(0.1, 5)])
def test_it_stops_after_its_steps(schedule: Schedule):
    assert len(walk(schedule)) == 5
    assert schedule.next_mu(progress(4)) is not None
    assert schedule.next_mu(progress(5)) is None
    assert schedule.next_mu(progress(6)) is None


@pytest.mark.parametrize("schedule", [Geometric(0.1, 2.0, 50, tolerance=0.01), Adaptive(0.1, 50)])
def test_it_stops_when_the_gap_is_below_the_tolerance_but_not_before_the_first_step(schedule: Schedule):
    assert schedule.next_mu(progress(0, gap=0.001)) is not None
    assert schedule.next_mu(progress(1, gap=0.0101)) is not None
    assert schedule.next_mu(progress(1, gap=0.01)) is not None
    assert schedule.next_mu(progress(1, gap=0.0099)) is None
    assert len(walk(schedule, gaps=[0.5, 0.3, 0.02, 0.005, 0.1])) == 4


@pytest.mark.parametrize("schedule", [Geometric(0.1, 2.0, 50), Adaptive(0.1, 50, tolerance=0.0)])
def test_a_network_that_is_feasible_has_nothing_to_do(schedule: Schedule):
    assert schedule.next_mu(progress(0, gap=0.0)) is None
    assert schedule.next_mu(progress(3, gap=0.0)) is None
    assert schedule.next_mu(progress(3, gap=1e-12)) is not None


@pytest.mark.parametrize("schedule", [Geometric(0.1, 2.0, 50, tolerance=0.01), Adaptive(0.1, 50)])
def test_an_infinite_gap_goes_on(schedule: Schedule):
    assert schedule.next_mu(progress(3, gap=math.inf)) is not None


def test_the_adaptive_path_is_slow_while_choices_move_and_fast_when_they_have_settled():
    schedule = Adaptive(0.5, 100, growth=1.1, fast=2.0, settled=0.01)
    path = walk(schedule, changes=[0.5, 0.01, 0.009, 0.0, 0.02])
    assert path == pytest.approx([0.5, 0.5 * 1.1, 0.5 * 1.1**2, 0.5 * 1.1**2 * 2, 0.5 * 1.1**2 * 4])
    assert schedule.next_mu(progress(7, mu=3.0, changed=0.01)) == pytest.approx(3.3)
    assert schedule.next_mu(progress(7, mu=3.0, changed=0.0099)) == pytest.approx(6.0)


def test_the_adaptive_path_is_fast_when_the_gap_no_longer_closes():
    schedule = Adaptive(1.0, 100, growth=1.1, fast=2.0)
    closing, stuck = (Progress(7, 3.0, 0.1, gap, 0.001, None, last_gap=0.5) for gap in (0.49, 0.5))
    assert schedule.next_mu(closing) == pytest.approx(3.3)
    assert schedule.next_mu(stuck) == pytest.approx(6.0)


def test_a_gap_that_opens_while_many_choices_move_is_no_standstill():
    schedule = Adaptive(1.0, 100, growth=1.1, fast=2.0, restless=0.003)
    assert schedule.next_mu(Progress(7, 3.0, 0.1, 0.6, 0.003, None, last_gap=0.5)) == pytest.approx(3.3)
    assert schedule.next_mu(Progress(7, 3.0, 0.1, 0.6, None, None, last_gap=0.5)) == pytest.approx(6.0)


def test_where_there_are_no_choices_the_adaptive_path_is_slow():
    assert walk(Adaptive(1.0, 4, growth=1.5, fast=9.0), changes=itertools.repeat(None)) == [1, 1.5, 2.25, 3.375]


@pytest.mark.parametrize("schedule", [Geometric(0.1, 1.5, 20), Adaptive(0.1, 20)])
def test_the_path_rises_and_is_a_function_of_the_last_progress(schedule: Schedule):
    changes = [0.5, 0.0, 0.3, 0.0, 0.0, 0.7, None]
    path = walk(schedule, changes=changes)
    assert all(before <= after for before, after in itertools.pairwise(path))
    assert path == walk(schedule, changes=changes)


@pytest.mark.parametrize("first", [0.0, -1.0, math.inf, math.nan])
def test_a_mu_that_is_not_positive_is_refused(first: float):
    with pytest.raises(PlanError, match="first="):
        Geometric(first, 2.0, 3)
    with pytest.raises(PlanError, match="first="):
        Adaptive(first, 3)


@pytest.mark.parametrize("growth", [0.99, -2.0, math.nan])
def test_a_falling_mu_is_refused(growth: float):
    for make in (
        lambda: Geometric(1.0, growth, 3),
        lambda: Adaptive(1.0, 3, growth=growth),
        lambda: Adaptive(1.0, 3, fast=growth),
    ):
        with pytest.raises(PlanError, match="growth="):
            make()


def test_a_negative_number_of_steps_is_refused_and_none_is_allowed():
    with pytest.raises(PlanError, match="steps=-1"):
        Geometric(1.0, 2.0, -1)
    assert walk(Geometric(1.0, 2.0, 0)) == []


@pytest.mark.parametrize(
    ("epochs", "lr", "batches", "first"), [(2, 0.1, 5, 0.05), (1, 0.02, 5, 0.5), (3, 0.05, 40, 0.5 / 60)]
)
def test_the_first_pull_goes_by_the_time_that_an_l_step_takes(epochs: int, lr: float, batches: int, first: float):
    """Half of the way in one L step: batches · epochs · lr / (1 − momentum), of momentum 0.9."""
    task = Task.of(nn.Identity(), lambda split, seed: [(torch.zeros(1), torch.zeros(1))] * batches, least_squares)
    schedule = Training(l_step=Optimization(epochs, lr)).schedule(task)
    assert isinstance(schedule, Adaptive)
    assert schedule.first == pytest.approx(first)
    assert Training(mu=0.3).schedule(task).next_mu(Progress(0, 0.0, math.nan, 0.5, None, None)) == 0.3

"""Stochastic rounding is unbiased, gradients go straight through it, and an L step can train through it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import classifier, full_batch, generator, last, normal, same_params, seeded_module, trained, training_loss

from laconic import FixedCodebook, Lossless
from laconic.csteps.fixed_codebook import BINARY, TERNARY, powers_of_two
from laconic.errors import PlanError
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Geometric
from laconic.lc.steps import run, start
from laconic.models.params import params_of
from laconic.plans.plan import Plan
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization
from laconic.training.stochastic import nearest_entry, stochastic_round, straight_through, through_rounding
from laconic.training.task import Task

DRAWS = 40_000


def test_the_probability_of_plus_one_is_the_hard_sigmoid():
    weights = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.3, 1.0, 2.0])
    drawn = stochastic_round(weights.expand(DRAWS, -1), BINARY, generator(0))
    share = (drawn == 1).double().mean(0)
    expected = ((weights + 1) / 2).clamp(0, 1)
    assert set(drawn.unique().tolist()) == {-1, 1}
    assert share.numpy() == pytest.approx(expected.numpy(), abs=4 * 0.5 / DRAWS**0.5)
    assert share[[0, 1, 5, 6]].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("entries", [TERNARY, powers_of_two(3), (0.7, -2.0, 0.1)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_is_unbiased_and_goes_to_neighbours_alone(entries, dtype):
    weights = torch.linspace(min(entries), max(entries), 9).to(dtype)
    drawn = stochastic_round(weights.expand(DRAWS, -1), entries, generator(1))
    assert drawn.dtype == dtype
    gap = max(entries) - min(entries)
    slack = gap * (4 * 0.5 / DRAWS**0.5 + torch.finfo(dtype).eps)
    assert drawn.double().mean(0).numpy() == pytest.approx(weights.double().numpy(), abs=slack)
    ordered = torch.tensor(sorted(entries), dtype=torch.promote_types(dtype, torch.float32))
    for k, w in enumerate(weights.to(ordered.dtype)):
        low, high = ordered[ordered <= w].max(), ordered[ordered >= w].min()
        assert set(drawn[:, k].double().unique().tolist()) <= {float(entry.to(dtype)) for entry in (low, high)}


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6), st.lists(st.floats(-99, 99), max_size=8))
def test_entries_stay_where_they_are_and_everything_becomes_an_entry(entries, weights):
    exact = torch.tensor(entries, dtype=torch.float64)
    assert torch.equal(stochastic_round(exact, entries, generator(3)), exact)
    drawn = stochastic_round(torch.tensor(weights, dtype=torch.float64), entries, generator(3))
    assert set(drawn.tolist()) <= set(exact.tolist())


def test_the_generator_is_all_there_is_and_nan_is_not_hidden():
    weights = normal(50).float()
    one, same, other = (stochastic_round(weights, TERNARY, generator(s)) for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    poisoned = torch.tensor([float("nan"), 0.5])
    assert stochastic_round(poisoned, BINARY, generator(0)).isnan().tolist() == [True, False]
    assert nearest_entry(poisoned, BINARY).isnan().tolist() == [True, False]
    for bad in ((), (float("inf"),)):
        with pytest.raises(PlanError, match="entries"):
            stochastic_round(weights, bad, generator(0))


def test_the_nearest_entry_is_that_of_the_c_step():
    weights = normal(400).float()
    code = FixedCodebook(powers_of_two(2), scale="none").project({"w": weights})["w"]
    assert nearest_entry(weights, powers_of_two(2)).tolist() == code.decompress().tolist()


def test_straight_through_is_the_rounded_value_with_the_gradient_of_the_identity():
    weights = normal(30).requires_grad_()
    rounded = stochastic_round(weights, TERNARY, generator(0))
    through = straight_through(weights, rounded, -1, 1)
    assert torch.equal(through.detach(), rounded)
    slope = normal(30, seed=1)
    (through * slope).sum().backward()
    assert torch.equal(weights.grad, torch.where(weights.detach().abs() <= 1, slope, 0.0))


def linear_task():
    """Least squares on signs: y = x · s."""
    x, signs = normal(64, 5).float(), torch.tensor([1.0, -1, -1, 1, -1])
    module = seeded_module(lambda: nn.Linear(5, 1, bias=False))
    with torch.no_grad():
        module.weight.mul_(0.1)
    return Task.of(module, full_batch(x, x @ signs[:, None]), lambda out, target: (out - target).square().mean()), signs


def test_training_through_rounding_finds_signs_and_evaluates_the_nearest():
    task, signs = linear_task()
    rounding = through_rounding(task, ["weight"], BINARY)
    params, _ = minimise(rounding, params_of(task.module), Optimization(200, 0.02), seed=0)
    assert params["weight"].sign().tolist() == [signs.tolist()]
    assert rounding.evaluate(params, "train")["loss"] == pytest.approx(0, abs=1e-9)
    assert list(params_of(rounding.module)) == list(params_of(task.module))
    again, _ = minimise(rounding, params_of(task.module), Optimization(200, 0.02), seed=0)
    assert same_params(params, again)


def test_an_l_step_goes_through_rounding_and_the_module_stays_as_it_was():
    task = classifier(samples=150)
    before = {name: tensor.clone() for name, tensor in params_of(task.module).items()}
    rounding = through_rounding(task, ["0.weight", "4.weight"], (-0.5, 0.0, 0.5))
    first = start(trained(task, 3), Plan({"0.weight, 4.weight": FixedCodebook(TERNARY)}, Lossless()))
    state = last(run(first, LearningStep(rounding, Optimization(2, 0.02)), Geometric(0.01, 1.5, 3)))
    assert training_loss(task, {**state.weights, **state.compressed}) < 2.5
    assert same_params(params_of(task.module), before)
    assert not {"inner"} & {name for name, _ in rounding.module.named_modules()}
    with pytest.raises(PlanError, match=r"no 9\.weight"):
        through_rounding(task, ["9.weight"], BINARY)

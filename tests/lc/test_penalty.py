"""The quadratic penalty: its value, its gradient, and the importances that weight it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toys import DOUBLE, Parameter, normal, random_quadratic

from laconic import AdaptiveCodebook, Joint, KeepLargest, Lossless, LowRank
from laconic.errors import UnsupportedMetric, WeightsError
from laconic.lc.schedule import Geometric
from laconic.lc.state import LCState, QuadraticPenalty
from laconic.lc.steps import c_step, run, start
from laconic.models.params import params_of
from laconic.plans.plan import Plan
from laconic.theory.metric import Diagonal, Metric, Unit


class Quartic(Metric):
    """A metric that the L step has no penalty for."""

    def error(self, weights: Tensor, compressed: Tensor) -> float:
        raise AssertionError("not to be asked")


PARAMS = {"a": normal(4, 3, seed=1), "b": normal(5, seed=2), "free": normal(3, seed=3)}
PLAN = Plan({"a": KeepLargest(count=5), "b": AdaptiveCodebook(2)}, rest=Lossless())


def state_with_multipliers(metrics: dict[str, Metric] | None = None) -> LCState:
    """A state in the middle of a path, with weights, Δ and λ all different."""
    state = start(PARAMS, PLAN, metrics)
    multipliers = {name: normal(*tensor.shape, seed=7) for name, tensor in state.multipliers.items()}
    weights = {name: tensor + normal(*tensor.shape, seed=8) for name, tensor in PARAMS.items()}
    return replace(state, multipliers=multipliers, weights=weights)


def diagonal() -> dict[str, Metric]:
    return {name: Diagonal(normal(*PARAMS[name].shape, seed=5).exp()) for name in ("a", "b")}


# The penalty


@pytest.mark.parametrize("mu", [1e-3, 0.7, 40.0])
def test_the_penalty_is_half_mu_times_the_squared_distance_to_delta_plus_lambda_over_mu(mu: float):
    state = state_with_multipliers()
    w = state.weights
    expected = sum((mu / 2) * (w[n] - state.compressed[n] - state.multipliers[n] / mu).norm() ** 2 for n in state.codes)
    assert state.importance == {}
    assert float(state.penalty(w, mu)) == pytest.approx(float(expected), rel=1e-13)


@pytest.mark.parametrize("mu", [1e-3, 0.7, 40.0])
def test_with_a_diagonal_metric_multipliers_and_distance_are_weighted(mu: float):
    state = state_with_multipliers(diagonal())
    expected = 0.0
    for name in state.codes:
        m = torch.diag(state.importance[name].reshape(-1))
        shift = torch.linalg.inv(m) @ state.multipliers[name].reshape(-1) / mu
        apart = (state.weights[name] - state.compressed[name]).reshape(-1) - shift
        expected += float((mu / 2) * apart @ m @ apart)
    assert float(state.penalty(state.weights, mu)) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_closed_gradient_is_that_of_autograd(weighted: bool):
    state = state_with_multipliers(diagonal() if weighted else None)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in state.weights.items()}
    value = state.penalty(leaves, 0.3)
    gradients = dict(zip(state.codes, torch.autograd.grad(value, [leaves[name] for name in state.codes]), strict=True))
    leaves["a"].grad = torch.ones_like(leaves["a"])  # what the loss has left there
    with torch.no_grad():
        QuadraticPenalty(state, 0.3).add_gradient(leaves)
        added = QuadraticPenalty(state, 0.3).value(leaves)
    assert added.dtype == DOUBLE
    assert float(added) == pytest.approx(float(value.detach()), rel=1e-14)
    assert torch.allclose(leaves["a"].grad, gradients["a"] + 1, rtol=1e-13, atol=1e-13)
    assert torch.allclose(leaves["b"].grad, gradients["b"], rtol=1e-13, atol=1e-13)
    assert leaves["free"].grad is None


def test_the_penalty_in_a_loop_of_ones_own_takes_the_parameters_of_the_model():
    problem = random_quadratic(5, seed=4)
    module = Parameter(problem.centre)
    state = start(params_of(module), Plan({"w": AdaptiveCodebook(2)}))
    loss = problem.loss(module.w) + state.penalty(dict(module.named_parameters()), 2.0)
    loss.backward()
    assert torch.allclose(module.w.grad, 2.0 * (problem.centre - state.compressed["w"]))


def test_where_nothing_is_constrained_or_nothing_constrained_is_trained_the_penalty_is_zero():
    free = start(PARAMS, Plan({}, rest=Lossless()))
    assert float(free.penalty(PARAMS, 1.0)) == 0
    assert float(QuadraticPenalty(free, 1.0).value(PARAMS)) == 0
    held = start(PARAMS, PLAN)
    assert float(QuadraticPenalty(held, 1.0).value({"free": PARAMS["free"]})) == 0
    assert [state.progress.step for state in run(free, lambda *_: pytest.fail("an L step"), Geometric(1, 2, 5))] == [0]


@pytest.mark.parametrize("lossless", [Lossless(), Joint(Lossless())])
def test_a_lossless_row_constrains_nothing(lossless):
    assert start(PARAMS, Plan({"a": AdaptiveCodebook(2)}, rest=lossless)).codes.keys() == {"a"}


# Importance


def test_importance_has_mean_one_over_all_tensors_and_is_floored_at_a_hundredth():
    given = {"a": Diagonal(torch.arange(12.0, dtype=DOUBLE).view(4, 3) * 1e-7), "b": Diagonal(torch.zeros(5))}
    state = start(PARAMS, PLAN, given)
    raw = torch.cat([given[name].importance.double().reshape(-1) for name in ("a", "b")])
    expected = (raw / raw.mean()).clamp_min(0.01)
    found = torch.cat([state.importance[name].reshape(-1) for name in ("a", "b")])
    assert torch.allclose(found, expected, rtol=1e-12)
    assert found.dtype == DOUBLE
    assert float(found.min()) == 0.01
    assert state.max_importance() == float(expected.max())


def test_a_tensor_without_metric_keeps_the_unit_one_so_that_plans_mix():
    """Low rank takes the unit metric alone: importances of another tensor are none of its business."""
    plan = Plan({"a": LowRank(1), "b": AdaptiveCodebook(2)}, rest=Lossless())
    state = start(PARAMS, plan, {"b": diagonal()["b"], "a": Unit()})
    assert state.importance.keys() == {"b"}
    assert float(state.importance["b"].mean()) == pytest.approx(1, rel=0.02)
    state = c_step(state, PARAMS, 1.0)
    assert torch.allclose(state.multipliers["b"], -1.0 * state.importance["b"] * (PARAMS["b"] - state.compressed["b"]))
    assert torch.allclose(state.multipliers["a"], state.compressed["a"] - PARAMS["a"])


def test_a_metric_without_quadratic_penalty_is_refused_by_the_name_of_its_tensor():
    with pytest.raises(UnsupportedMetric, match=r"b: .*Quartic"):
        start(PARAMS, PLAN, {"b": Quartic()})
    start(PARAMS, PLAN, {"free": Quartic()})  # on a row that constrains nothing


def test_importances_that_cannot_be_meant_are_refused():
    with pytest.raises(WeightsError, match=r"b: .*\(4,\).*\(5,\)"):
        start(PARAMS, PLAN, {"b": Diagonal(torch.ones(4))})
    with pytest.raises(WeightsError, match="importances of a, b are zero"):
        start(PARAMS, PLAN, {name: Diagonal(torch.zeros(PARAMS[name].shape)) for name in ("a", "b")})

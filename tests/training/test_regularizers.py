"""Nuclear norm and orthogonality in training: values and gradients by formula, and where they lead."""

import pytest
import torch
from toys import Quadratic, lbfgs, normal

from laconic import NuclearNorm
from laconic.errors import PlanError
from laconic.training.loop import minimise
from laconic.training.regularizers import Regularizer, nuclear_norm, orthogonality


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (4, 3, 2, 2)])
def test_the_gradient_of_the_nuclear_norm_is_u_v(shape):
    w = normal(*shape).requires_grad_()
    nuclear_norm({"w": w}, ["w"]).backward()
    u, _, vh = torch.linalg.svd(w.detach().reshape(shape[0], -1), full_matrices=False)
    assert torch.allclose(w.grad.reshape(shape[0], -1), u @ vh, atol=1e-10)


def test_the_nuclear_norm_adds_up_over_the_names_alone():
    params = {"a": torch.diag(torch.tensor([3.0, -4.0])), "b": torch.ones(1, 4), "c": normal(3, 3)}
    assert float(nuclear_norm(params, ["a", "b"])) == pytest.approx(9)
    assert float(nuclear_norm(params, [])) == 0
    assert float(nuclear_norm({"a": torch.zeros(0, 3)}, ["a"])) == 0


@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (5, 5)])
def test_orthogonality_is_zero_for_orthonormal_factors_and_its_gradient_is_right(shape):
    q = torch.linalg.qr(normal(max(shape), min(shape)))[0]
    q = q if q.shape == shape else q.T
    assert float(orthogonality({"w": q}, ["w"])) < 1e-25
    assert float(orthogonality({"w": 2 * q}, ["w"])) == pytest.approx(9 * min(shape) / min(shape) ** 2)
    w = normal(*shape, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: orthogonality({"w": w}, ["w"]), (w,))


def test_a_regularizer_is_its_term_times_its_price_and_leaves_others_alone():
    leaves = {"a": normal(3, 4).requires_grad_(), "b": normal(2, 2).requires_grad_()}
    penalty = Regularizer(nuclear_norm, ("a", "frozen"), 0.5)
    leaves["a"].grad = torch.ones(3, 4).double()
    with torch.no_grad():
        penalty.add_gradient(leaves)
        value = penalty.value(leaves)
    expected = torch.autograd.grad(0.5 * nuclear_norm(leaves, ["a"]), leaves["a"])[0]
    assert torch.allclose(leaves["a"].grad, 1 + expected)
    assert leaves["b"].grad is None
    assert float(value) == pytest.approx(0.5 * float(torch.linalg.svdvals(leaves["a"].detach()).sum()))
    with pytest.raises(PlanError, match="price"):
        Regularizer(nuclear_norm, ("a",), -1.0)


def test_training_with_the_nuclear_norm_goes_where_its_projection_is():
    """For L = ½‖W − W̄‖² the minimum of L + α‖W‖_* is the projection at price 2α; all singular values stay above 0."""
    problem = Quadratic(torch.eye(12).double(), normal(4, 3) + 2 * torch.eye(4, 3).double())
    price = 0.9 * float(torch.linalg.svdvals(problem.centre).min())
    penalty = Regularizer(nuclear_norm, ("w",), price)
    found, _ = minimise(problem.task, problem.params, lbfgs(200), 0, penalty)
    expected = NuclearNorm(2 * price).project(problem.params)["w"].decompress()
    assert torch.allclose(found["w"], torch.from_numpy(expected), atol=1e-5)

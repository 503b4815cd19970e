"""Training under a price on singular values: where it leads, what it leaves alone, and that it goes on as it was."""

import math

import pytest
import torch
from torch import nn
from toys import NOTHING, Parameter, Quadratic, classifier, digits, normal, same_params, seeded_module, training_loss

from laconic import NuclearNorm
from laconic.errors import PlanError
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.training import shrinkage
from laconic.training.optimization import Optimization, adam, cosine, nesterov
from laconic.training.shrinkage import WAYS, Shrinkage, SingularValues, SingularVectors, ranks, shrinking
from laconic.training.task import Task, classification
from laconic.training.trainer import packed, start_training, train, unpacked


def sgd(leaves, lr):
    return torch.optim.SGD(leaves, lr=lr)


SHAPES = [(5, 7), (7, 5), (4, 3, 2, 2)]


def ended(task, priced, how):
    *_, state = train(task, start_training(params_of(task.module)), how, 0, priced)
    return priced.whole(state.weights)


def toy(shape):
    size = math.prod(shape)
    return Quadratic(torch.eye(size).double(), normal(*shape))


def middle(problem):
    """A price in the middle between the second and the third singular value of the centre: two stay."""
    return float(torch.linalg.svdvals(problem.centre.flatten(1))[1:3].mean())


def network():
    """A network of two layers on digits."""
    module = seeded_module(lambda: nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10)))
    return classification(module, Dataset("digits", {"train": digits(300)}, classes=10), batch=50)


@pytest.mark.parametrize("shape", SHAPES)
def test_proximal_training_ends_at_the_minimum_zeros_included(shape):
    """For L = ½‖W − W̄‖² the minimum of L + P‖W‖_* is the C step at price 2P, whose kernels are the same matrices."""
    problem = toy(shape)
    price = middle(problem)
    found = ended(problem.task, SingularValues(price), Optimization(60, 0.4, optimizer=sgd))["w"]
    code = NuclearNorm(2 * price).project(problem.params)["w"]
    assert torch.allclose(found, torch.from_numpy(code.decompress()), atol=1e-9)
    values = torch.linalg.svdvals(found.flatten(1))
    assert int((values > 1e-9).sum()) == code.rank == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_held_vectors_reach_the_minimum_of_each_singular_value_by_itself(shape, monkeypatch):
    """For L = ½‖W − W̄‖², s between vectors of squared length t minimises ½(σ − st)² + Ps + 2 weight (t − 1)²/r²."""
    monkeypatch.setattr(shrinkage, "_EVERY", 1)
    problem = toy(shape)
    sigma = torch.linalg.svdvals(problem.centre.flatten(1))
    price = 1.2 * float(sigma[-1])
    vectors = SingularVectors(price, weight=50.0)
    task = Task.of(Parameter(problem.centre), lambda *_: [(NOTHING, NOTHING)] * 100, lambda out, _: problem.loss(out))
    *_, state = train(task, start_training(problem.params), Optimization(6, 0.02, optimizer=sgd), 0, vectors)
    t = torch.linspace(1, 2, 10_001).double()
    s = ((sigma[:, None] - price / t) / t).clamp(min=0)
    costs = (sigma[:, None] - s * t).square() / 2 + price * s + 2 * 50.0 * (t - 1).square() / len(sigma) ** 2
    best = s.gather(1, costs.argmin(1)[:, None])[:, 0]
    found = state.weights["w values"].abs().sort(descending=True).values
    assert torch.allclose(found, best, rtol=0.01, atol=1e-3)
    assert 0 < int((best == 0).sum()) == int((found == 0).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_factors_are_the_weights_before_training(shape):
    weights = {"b": normal(3), "w": normal(*shape), "frozen": normal(2, 2)}
    for way in WAYS.values():
        numbers = way(0.1).parts(weights, ["b", "w"])
        assert numbers["frozen"] is weights["frozen"]
        again = way(0.1).whole(numbers)
        assert list(again) == list(weights)
        assert all(torch.allclose(again[name], tensor, atol=1e-12) for name, tensor in weights.items())


@pytest.mark.parametrize("way", WAYS)
def test_names_and_shapes_come_out_and_a_higher_price_leaves_less(way):
    task, norms = network(), []
    before = params_of(task.module)
    for price in (0.0, 0.01, 0.05):
        after = ended(task, WAYS[way](price), Optimization(8, 0.05, cosine))
        assert {n: (t.shape, t.dtype) for n, t in after.items()} == {n: (t.shape, t.dtype) for n, t in before.items()}
        assert training_loss(task, after) < training_loss(task, before)
        norms.append(float(torch.linalg.svdvals(after["0.weight"]).sum()))
    assert norms[0] > norms[1] > norms[2]
    assert ranks(after)["0.weight"][0] < ranks(before)["0.weight"][0] == 12
    assert same_params(before, params_of(task.module))


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_on_to_the_same_bits(way):
    task, how = classifier(dropout=0.3), Optimization(4, 0.05, cosine)
    priced = WAYS[way](0.02)
    states = list(train(task, start_training(params_of(task.module)), how, 3, priced))
    *_, end = train(task, unpacked(*packed(states[1])), how, 3, priced)
    assert (end.epoch, end.loss) == (4, states[-1].loss)
    assert same_params(end.weights, states[-1].weights)
    assert same_params(end.momentum, states[-1].momentum)


def test_proximal_steps_are_as_long_as_the_steps_since_the_last_and_an_epoch_leaves_none():
    leaf, taken = torch.ones(2, 2, requires_grad=True), []

    class Spy(Shrinkage):
        parts = whole = judged = penalty = between = None

        def shrink(self, numbers, step):
            taken.append(step)

    for optimizer, length in ((nesterov([leaf], 0.1), 1.0), (sgd([leaf], 0.1), 0.1)):
        taken.clear()
        with shrinking(optimizer, {"w": leaf}, Spy()):
            for _ in range(45):
                leaf.grad = torch.zeros(2, 2)
                optimizer.step()
        assert taken == pytest.approx([20 * length, 20 * length, 5 * length])
        optimizer.step()
        assert len(taken) == 3, "afterwards the optimizer is free"


def test_what_cannot_be_priced_is_refused():
    task = classifier()
    with pytest.raises(PlanError, match="takes SGD, not Adam"):
        ended(task, SingularValues(0.1), Optimization(1, 0.1, optimizer=adam))
    for way in WAYS.values():
        with pytest.raises(PlanError, match=r"\(b\) has two axes or more.*leave the regularizer out"):
            way(0.1).parts({"b": normal(3), "w": normal(2, 2)}, ["b"])
        for price in (-1.0, math.nan, math.inf):
            with pytest.raises(PlanError, match="price"):
                way(price)
    with pytest.raises(PlanError, match="weight"):
        SingularVectors(0.1, weight=0.0)

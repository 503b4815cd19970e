"""The Hessian's diagonal: by differentiating twice, by Gauss-Newton, by random signs; and the quartic metric."""

import pytest
import torch
from crossing import crossed
from torch import nn
from toys import DOUBLE, Parameter, full_batch, generator, random_quadratic

from laconic.errors import PlanError
from laconic.models import nets
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.theory import importance
from laconic.theory.importance.curvature import exact_diagonal
from laconic.training.judges import least_squares
from laconic.training.task import Task, classification

from .importance_twins import NETS, by_loss, classifier_of, looped, regression_of, sample_hessians
from .test_importance import near, plain, same

each = pytest.mark.parametrize("name", NETS)
makers = pytest.mark.parametrize("make", [classifier_of, regression_of])


def clamped(diagonals, added=0.0):
    return {name: (diagonal.mean(0) + added).clamp(min=0) for name, diagonal in diagonals.items()}


@each
def test_exact_is_the_loop_over_samples(name):
    task = classifier_of(name, samples=2)
    params, expected = params_of(task.module), sample_hessians(task)
    same(exact_diagonal(task, params), {key: each.mean(0) for key, each in expected.items()})
    same(exact_diagonal(task, params, order=2), {key: each.square().mean(0) for key, each in expected.items()})


@makers
def test_for_piecewise_linear_networks_gauss_newton_is_exact(make):
    """Convolutions, ReLU, max-pooling and BatchNorm in evaluation mode: linear in each weight, piece by piece."""
    for name in ("mlp", "convolutions"):
        task = make(name, samples=4)
        params = params_of(task.module)
        same(plain(importance.hessian(task, params)), clamped(sample_hessians(task)))


@makers
@pytest.mark.parametrize("name", ["normalized", "twice"])
def test_for_other_networks_it_is_not(make, name):
    task = make(name)
    params = params_of(task.module)
    found, expected = plain(importance.hessian(task, params)), clamped(sample_hessians(task))
    first = next(iter(found))
    assert (found[first] - expected[first]).norm() > 0.01 * expected[first].norm()


def test_gauss_newton_of_a_tied_weight_differs_even_with_no_curve_at_all():
    class Squared(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([2.0], dtype=DOUBLE))

        def forward(self, inputs):
            return inputs * self.w * self.w

    batch = torch.ones(1, 1, dtype=DOUBLE), torch.zeros(1, 1, dtype=DOUBLE)
    task = Task.of(Squared(), lambda split, seed: [batch], least_squares)
    params = params_of(task.module)
    assert float(importance.hessian(task, params)["w"].importance) == pytest.approx(2 * 4**2)  # 2 (2w)²
    assert float(importance.hessian(task, params, method="exact")["w"].importance) == pytest.approx(12 * 4)  # (w⁴)''


def test_negative_entries_are_lifted_and_then_clamped():
    task = classifier_of("twice")
    params, diagonals = params_of(task.module), sample_hessians(task)
    assert any(bool((each.mean(0) < 0).any()) for each in diagonals.values())
    for added in (0.0, 0.01, 1.0):
        found = importance.hessian(task, params, method="exact", added=added)
        same(plain(found), clamped(diagonals, added))


@makers
def test_hutchinson_converges_and_knows_its_error(make):
    task = make("normalized", samples=20, batch=20)
    params = params_of(task.module)
    exact = exact_diagonal(task, params)
    few = importance.hutchinson(task, params, generator(0), draws=20)
    many = importance.hutchinson(task, params, generator(1), draws=500)
    for name, diagonal in exact.items():
        off, size, rough = (
            float(t.norm()) for t in (many.diagonal[name] - diagonal, many.diagonal[name], few.diagonal[name])
        )
        assert off <= 4 * many.relative_error[name] * size + 1e-9, name
        assert many.relative_error[name] * size == pytest.approx(
            few.relative_error[name] * rough / 5, rel=0.6, abs=1e-9
        )
    assert many.relative_error["0.weight"] < 0.4


def test_the_stated_error_is_that_of_many_repetitions():
    task = classifier_of("normalized")
    params = params_of(task.module)
    exact = exact_diagonal(task, params)["4.weight"]
    runs = [importance.hutchinson(task, params, generator(seed), draws=10) for seed in range(30)]
    true = torch.stack([(run.diagonal["4.weight"] - exact).square().sum() for run in runs]).mean().sqrt()
    stated = torch.tensor([run.relative_error["4.weight"] * float(run.diagonal["4.weight"].norm()) for run in runs])
    assert float(stated.square().mean().sqrt()) == pytest.approx(float(true), rel=0.25)


def test_hutchinson_is_exact_on_a_diagonal_hessian_and_zero_on_a_line():
    task = Task.of(
        Parameter(torch.ones(3, dtype=DOUBLE)), full_batch(torch.zeros(3), torch.zeros(3)), lambda w, _: (w**3).sum()
    )
    found = importance.hutchinson(task, {"w": torch.tensor([1.0, 2.0, -3.0], dtype=DOUBLE)}, generator(0), draws=2)
    assert found.diagonal["w"].tolist() == [6.0, 12.0, -18.0]
    assert found.relative_error["w"] == 0
    line = Task.of(task.module, task.batches, lambda w, _: w.sum())
    flat = importance.hutchinson(line, params_of(task.module), generator(0), draws=2)
    assert flat.diagonal["w"].tolist() == [0.0, 0.0, 0.0]
    assert flat.relative_error["w"] == 0


def test_a_quadratic_has_the_hessian_it_was_made_with():
    quadratic = random_quadratic(5, seed=0)
    task = Task.of(
        Parameter(quadratic.centre), full_batch(torch.zeros(5), torch.zeros(5)), lambda w, _: quadratic.loss(w)
    )
    found = importance.hessian(task, quadratic.params, method="exact")["w"].importance
    torch.testing.assert_close(found, quadratic.hessian.diagonal())


@crossed("make, method, name", [classifier_of, regression_of], ["ggn", "exact"], ["mlp", "convolutions"])
def test_gradient_and_hessian_square_each_samples_hessian(make, method, name):
    task = make(name, samples=5)
    params, diagonals = params_of(task.module), sample_hessians(task)
    found = importance.gradient_and_hessian(task, params, method=method)
    same({key: metric.quadratic for key, metric in found.items()}, looped(task, by_loss(task)))
    expected = {key: each.square().mean(0) / 4 for key, each in diagonals.items()}
    same({key: metric.quartic for key, metric in found.items()}, expected)
    assert not torch.allclose(expected["0.weight"], diagonals["0.weight"].mean(0).square() / 4)


def test_the_quartic_metric_is_the_mean_squared_change_of_the_loss_along_one_weight():
    """To second order the change is `∇ δ + ½ ∇² δ²`; its square has `g δ² + h δ⁴`, and a cross term odd in δ."""
    task = regression_of("mlp", samples=6)
    params, losses = params_of(task.module), []
    metric = importance.gradient_and_hessian(task, params)["2.weight"]
    for delta in (0.3, -0.3):
        moved = params["2.weight"].clone()
        moved[0, 0] += delta
        changes = []
        for inputs, targets in task.batches("train", 0):
            for n in range(len(inputs)):
                batch = inputs[n : n + 1], targets[n : n + 1]
                task.module.eval()
                before, after = (
                    task.loss(task.outputs({**params, "2.weight": w}, batch), batch)
                    for w in (params["2.weight"], moved)
                )
                changes.append((after - before).square())
        losses.append(torch.stack(changes).mean())
    assert metric.error(params["2.weight"], moved) == pytest.approx(float(sum(losses)) / 2)


def test_a_loss_of_ones_own_by_eigenvectors():
    task = regression_of("mlp")
    fourth = Task.of(task.module, task.batches, lambda outputs, batch: (outputs - batch[1]).pow(4).sum() / len(outputs))
    params = params_of(task.module)
    same(plain(importance.hessian(fourth, params)), clamped(sample_hessians(fourth)))
    concave = Task.of(task.module, task.batches, lambda outputs, batch: -outputs.square().sum() / len(outputs))
    assert not any(bool(t.any()) for t in plain(importance.hessian(concave, params)).values())
    line = Task.of(task.module, task.batches, lambda outputs, batch: outputs.sum() / len(outputs))
    assert not any(bool(t.any()) for t in plain(importance.hessian(line, params)).values())


def test_the_front_door_to_hutchinson():
    task = classifier_of("mlp", samples=20, batch=20)
    params = params_of(task.module)
    exact = plain(importance.hessian(task, params, method="exact"))
    near(plain(importance.hessian(task, params, generator(0), method="hutchinson", draws=500)), exact, 0.3)
    default = importance.hessian(task, params, generator(0), method="hutchinson")
    same(plain(default), plain(importance.hessian(task, params, generator(0), method="hutchinson", draws=32)))


def test_large_networks_are_refused():
    module = nets.build("lenet300", (1, 8, 8), 10, 0)
    inputs = torch.randn(3, 1, 8, 8, generator=generator(0))
    task = classification(module, Dataset("noise", {"train": (inputs, torch.arange(3))}), batch=3)
    with pytest.raises(PlanError, match=r"at most 20000 weights, not 5\d{4}; use 'ggn'"):
        importance.hessian(task, params_of(module), method="exact")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "obs"}, "method must be"),
        ({"added": -0.1}, "added must not be negative"),
        ({"method": "exact", "draws": 3}, "draws nothing"),
        ({"method": "hutchinson"}, "give it a generator"),
        ({"method": "hutchinson", "draws": 1, "generator": generator(0)}, "at least 2"),
        ({"draws": 4}, "come with a generator"),
    ],
)
def test_bad_arguments(options, message):
    task = classifier_of("mlp")
    with pytest.raises(PlanError, match=message):
        importance.hessian(task, params_of(task.module), **options)
    with pytest.raises(PlanError, match="square of a random estimate"):
        importance.gradient_and_hessian(task, params_of(task.module), method="hutchinson")

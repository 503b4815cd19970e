"""The golden rules: the quadratic form becomes the distortion as errors shrink, and optima are orthogonal."""

from math import log

import numpy as np
import pytest
import torch
from torch import nn
from toys import DOUBLE, digits, generator, normal, seeded_module

from laconic import AdaptiveCodebook
from laconic.errors import DataError, PlanError
from laconic.models.data import Dataset
from laconic.models.params import decompress, params_of
from laconic.theory import importance
from laconic.theory.importance.golden import inner, orthogonality
from laconic.theory.metric import Diagonal, Kronecker, Quartic, Unit
from laconic.training.judges import cross_entropy
from laconic.training.task import Task, classification, regression

from .importance_twins import classifier_of


def small(make, sizes=(64, 8, 10)):
    """A smooth network on digits in float64, trained by nobody: sure of nothing, but not the same for all inputs."""
    pixels, labels = digits(60)
    module = seeded_module(lambda: nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10))).double()
    with torch.no_grad():
        module[2].weight *= 4
    targets = labels if make is classification else torch.randn(60, 10, generator=generator(0), dtype=DOUBLE)
    return make(module, Dataset("digits", {"train": (pixels.double(), targets)}), batch=25)


@pytest.mark.parametrize(
    ("make", "kind", "temperature"),
    [(regression, "regression", 1.0), (classification, "classification", 1.0), (classification, "classification", 3.0)],
)
def test_predicted_over_true_distortion_goes_to_one(make, kind, temperature):
    task = small(make)
    params = params_of(task.module)
    whole = importance.full_matrix(task, params, importance.of_model(kind, temperature))
    way = {name: normal(*tensor.shape, seed=7) for name, tensor in params.items()}
    gaps = []
    for size in (1e-2, 1e-3, 1e-4):
        moved = {name: params[name] + size * way[name] for name in params}
        predicted = whole.error(params, moved) * (0.5 if kind == "classification" else 1.0)
        true = importance.true_distortion(task, params, moved, "train", temperature=temperature)
        gaps.append(abs(predicted / true - 1))
    assert gaps[0] < 0.1
    assert gaps[2] < 0.15 * gaps[1] < 0.15**2 * gaps[0]


def test_predicted_is_that_of_one_tensor_alone():
    """Errors of one weight alone, where the diagonal leaves nothing out."""
    for make, kind in ((regression, "regression"), (classification, "classification")):
        task = small(make)
        params = params_of(task.module)
        moved = {"0.weight": params["0.weight"].clone()}
        moved["0.weight"][3, 20] += 1e-3
        (rule,) = importance.golden_rules(params, moved, importance.unsupervised(task, params), kind)
        assert rule.name == "0.weight"
        assert rule.predicted == pytest.approx(importance.true_distortion(task, params, moved, "train"), rel=1e-2)
        assert rule.objective == rule.predicted * (2 if kind == "classification" else 1)


def test_true_distortion_by_its_definition():
    logits = torch.tensor([[0.0, 0.0], [log(3), 0.0]], dtype=DOUBLE)
    module = nn.Linear(2, 2, bias=False).double()
    task = Task.of(
        module, lambda split, seed: [(logits[:1], torch.tensor([0])), (logits[1:], torch.tensor([0]))], cross_entropy
    )
    w, c = {"weight": torch.eye(2, dtype=DOUBLE)}, {"weight": torch.zeros(2, 2, dtype=DOUBLE)}
    assert importance.true_distortion(task, w, c, "test") == pytest.approx((0 + 0.5 * log(0.5 / 0.75 * 0.5 / 0.25)) / 2)
    assert importance.true_distortion(task, c, w, "test") == pytest.approx((0.75 * log(1.5) + 0.25 * log(0.5)) / 2)
    assert importance.true_distortion(task, w, {}, "test") == 0
    assert importance.true_distortion(task, w, c, "test", kind="regression") == pytest.approx(log(3) ** 2 / 2)
    soft = 0.5 * log(0.25 / (3**0.5 / (1 + 3**0.5) ** 2)) / 2
    assert importance.true_distortion(task, w, c, "test", temperature=2.0) == pytest.approx(soft)


def test_distortion_is_taken_in_evaluation_mode():
    task = classifier_of("convolutions")
    params = params_of(task.module)
    before = {name: tensor.clone() for name, tensor in params.items()}
    assert importance.true_distortion(task, params, params, "train") == 0
    assert all(torch.equal(params[name], before[name]) for name in params)
    assert task.module.training


@pytest.mark.parametrize("weighted", [False, True])
def test_a_codebook_that_is_optimal_is_orthogonal(weighted):
    weights = {"w": normal(12, 10)}
    metrics = {"w": Diagonal(torch.rand(12, 10, generator=generator(1), dtype=DOUBLE))} if weighted else {}
    best = decompress(AdaptiveCodebook(4).project(weights, metrics))
    (rule,) = importance.golden_rules(weights, best, metrics, "regression")
    assert rule.residual < 1e-6
    assert rule.objective == rule.predicted == metrics.get("w", Unit()).error(weights["w"], best["w"])
    (worse,) = importance.golden_rules(weights, {"w": best["w"] * 1.2}, metrics, "regression")
    assert worse.residual > 0.1
    assert worse.objective > rule.objective


def factors(rows, columns):
    one, two = normal(rows, rows + 2, seed=1), normal(columns, columns + 2, seed=2)
    return Kronecker(one @ one.T, two @ two.T)


@pytest.mark.parametrize(
    "metric", [Unit(), Diagonal(normal(3, 2, 2).square()), factors(3, 4)], ids=lambda m: type(m).__name__
)
def test_inner_products_give_the_error_and_nothing_else_than_its_polarization(metric):
    a, b = normal(3, 2, 2, seed=3), normal(3, 2, 2, seed=4)
    assert inner(metric, a - b, a - b) == pytest.approx(metric.error(a, b))
    zero = torch.zeros_like(a)
    polar = (metric.error(a + b, zero) - metric.error(a - b, zero)) / 4
    assert inner(metric, a, b) == pytest.approx(polar) == pytest.approx(inner(metric, b, a))
    cross = abs(polar - metric.error(b, zero))
    assert orthogonality(metric, a, b) == pytest.approx(cross / np.sqrt(metric.error(b, zero) * metric.error(a, b)))


def test_residuals_where_a_norm_is_nothing():
    w = normal(3)
    assert orthogonality(Unit(), w, w) == 0
    assert orthogonality(Unit(), w, torch.zeros(3)) == 0
    assert orthogonality(Diagonal(torch.zeros(3)), w, w + 1) == 0
    assert orthogonality(Unit(), torch.zeros(()), torch.ones(())) == 1
    assert orthogonality(Unit(), torch.zeros(0), torch.zeros(0)) == 0
    assert orthogonality(Quartic(torch.ones(3), torch.ones(3)), w, w + 1) is None


def test_bad_arguments():
    task = classifier_of("mlp")
    params = params_of(task.module)
    own = Task.of(task.module, task.batches, lambda outputs, batch: outputs.sum())
    with pytest.raises(PlanError, match="kind must be"):
        importance.true_distortion(own, params, params, "train")
    nothing = Task.of(task.module, lambda split, seed: [], cross_entropy)
    with pytest.raises(DataError, match="'test' has no samples"):
        importance.true_distortion(nothing, params, params, "test")

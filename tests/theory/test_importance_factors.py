"""The whole matrix, Kronecker factors and moments of inputs."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toys import DOUBLE, generator, seeded_module

from laconic.errors import PlanError
from laconic.models import nets
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.theory import importance
from laconic.theory.metric import Diagonal, Kronecker
from laconic.training.task import Task, classification, mode, regression

from .importance_twins import NETS, classifier_of, leaves, one_by_one, regression_of
from .test_importance import near, plain, same

each = pytest.mark.parametrize("name", NETS)


def random_inputs(*shape):
    return torch.randn(shape, generator=generator(0), dtype=DOUBLE)


def alone(layer, inputs):
    """The task of one layer under least squares, its targets any."""
    layer = seeded_module(layer).double()
    with torch.no_grad():
        targets = torch.zeros_like(layer(inputs))
    return regression(layer, Dataset("noise", {"train": (inputs, targets)}), batch=4)


def difference(shape, seed=5):
    return torch.randn(shape, generator=generator(seed), dtype=DOUBLE)


# --- the whole matrix -----------------------------------------------------------------------------------------------


@each
def test_its_diagonal_is_the_diagonal_importance(name):
    task = classifier_of(name)
    params = params_of(task.module)
    whole = importance.full_matrix(task, params, importance.of_model("classification", 2.0))
    same(whole.diagonal(), plain(importance.unsupervised(task, params, temperature=2.0)))
    supervised = importance.full_matrix(task, params, importance.of_loss(task))
    same(supervised.diagonal(), plain(importance.gradient(task, params)))


def test_it_is_the_printed_formula():
    task = classifier_of("normalized")
    params = leaves(task)
    names = [name for name, tensor in params.items() if tensor.requires_grad]
    size = sum(params[name].numel() for name in names)
    matrix, count = torch.zeros(size, size, dtype=DOUBLE), 0
    with mode(task.module, training=False):
        for batch in one_by_one(task):
            count += 1
            for f in torch.softmax(task.outputs(params, batch)[0], 0):
                found = torch.autograd.grad(f, [params[name] for name in names], retain_graph=True)
                slope = torch.cat([part.flatten() for part in found])
                matrix += slope.outer(slope) / f.detach()
    whole = importance.full_matrix(task, params_of(task.module), importance.of_model("classification"))
    torch.testing.assert_close(whole.matrix, matrix / count)
    moved = {name: params[name].detach() + difference(params[name].shape) for name in names}
    apart = torch.cat([(params[name].detach() - moved[name]).flatten() for name in names])
    assert whole.error(params_of(task.module), moved) == pytest.approx(float(apart @ matrix @ apart) / count)


def test_a_large_network_is_refused():
    module = nets.build("lenet300", (1, 8, 8), 10, 0)
    batch = torch.randn(3, 1, 8, 8, generator=generator(0)), torch.arange(3)
    task = classification(module, Dataset("noise", {"train": batch}), batch=3)
    with pytest.raises(PlanError, match="at most 2000 weights"):
        importance.full_matrix(task, params_of(module), importance.of_model("classification"))


# --- Kronecker factors ----------------------------------------------------------------------------------------------

LAYERS = {
    "linear": (lambda: nn.Linear(3, 2), (7, 3)),
    "more outputs than go together": (lambda: nn.Linear(3, 40), (7, 3)),
    "linear at positions": (lambda: nn.Linear(3, 2), (7, 4, 2, 3)),
    "convolution": (lambda: nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=(1, 0), bias=False), (7, 2, 5, 4)),
    "circular": (lambda: nn.Conv2d(2, 3, 2, dilation=2, padding="same", padding_mode="circular"), (7, 2, 5, 4)),
    "pointwise": (lambda: nn.Conv2d(2, 3, 1), (7, 2, 3, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_under_least_squares_is_exact_with_identity_outputs(name):
    layer, shape = LAYERS[name]
    task = alone(layer, random_inputs(*shape))
    params = params_of(task.module)
    metric = importance.kronecker(task, params)["weight"]
    assert isinstance(metric, Kronecker)
    torch.testing.assert_close(metric.outputs, torch.eye(len(metric.outputs), dtype=DOUBLE))
    moved = {**params, "weight": params["weight"] + difference(params["weight"].shape)}
    true = importance.true_distortion(task, params, moved, "train")
    assert metric.error(params["weight"], moved["weight"]) == pytest.approx(true)
    whole = importance.full_matrix(task, params, importance.of_model("regression"))
    same(whole.diagonal(), plain(importance.unsupervised(task, params)))
    rows, columns = len(metric.outputs), len(metric.inputs)
    block = whole.matrix[: rows * columns, : rows * columns]
    torch.testing.assert_close(torch.kron(metric.outputs, metric.inputs), block)


@each
def test_factors_are_means_of_what_layers_read_and_of_gradients_of_what_they_write(name):
    """The factors by their definition, with gradients by what is written kept by hand."""
    task = classifier_of(name)
    params = params_of(task.module)
    found = importance.kronecker(task, params, temperature=2.0)
    linear = {key: m for key, m in task.module.named_modules() if isinstance(m, nn.Linear) and f"{key}.weight" in found}
    calls: dict[str, list] = {key: [] for key in linear}
    inputs, _ = (torch.cat(parts) for parts in zip(*task.batches("train", 0), strict=True))
    hooks = [
        layer.register_forward_hook(lambda _, reads, out, key=key: calls[key].append((reads[0], out)))
        for key, layer in linear.items()
    ]
    with mode(task.module, training=False):
        f = torch.softmax(task.module(inputs) / 2.0, 1)
    for hook in hooks:
        hook.remove()
    for key in linear:
        if name == "tied":
            continue  # the other name's calls count, too: below
        metric, n = found[f"{key}.weight"], len(inputs)
        if not calls[key]:
            assert isinstance(metric, Diagonal)
            continue
        read = torch.cat([reads.detach().reshape(-1, reads.shape[-1]) for reads, _ in calls[key]])
        torch.testing.assert_close(metric.inputs, read.T @ read / n)
        total = torch.zeros_like(metric.outputs)
        for c in range(3):
            root = 2 * f[:, c].sqrt().sum()  # (∂f_c/∂z)²/f_c = (∂ 2√f_c/∂z)²
            for _, out in calls[key]:
                (slope,) = torch.autograd.grad(root, out, retain_graph=True)
                total += slope.reshape(-1, slope.shape[-1]).T @ slope.reshape(-1, slope.shape[-1])
        torch.testing.assert_close(metric.outputs, total / n / (len(read) / n))


def test_all_that_has_no_factors_has_its_diagonal():
    task = classifier_of("convolutions")
    params = params_of(task.module)
    found, diagonal = importance.kronecker(task, params), plain(importance.unsupervised(task, params))
    assert list(found) == list(diagonal)
    kinds = {name for name, metric in found.items() if isinstance(metric, Kronecker)}
    assert kinds == {"0.weight", "5.weight", "8.weight"}  # 3.weight is of two groups
    same(
        plain({k: m for k, m in found.items() if k not in kinds}), {k: d for k, d in diagonal.items() if k not in kinds}
    )


def test_two_layers_of_one_weight_are_more_positions_of_it():
    task = classifier_of("tied")
    params = params_of(task.module)
    found, moments = importance.kronecker(task, params), importance.input_moments(task, params)
    inputs, _ = (torch.cat(parts) for parts in zip(*task.batches("train", 0), strict=True))
    with torch.no_grad():
        read = torch.cat([inputs, torch.tanh(task.module.first(inputs))])
    torch.testing.assert_close(found["first.weight"].inputs, read.T @ read / len(inputs))
    assert set(moments) == {"first.weight", "last.weight"}


def test_sampled_factors_converge_to_the_exact_ones():
    task = classifier_of("convolutions", samples=20, batch=20)
    params = params_of(task.module)
    exact, found = importance.kronecker(task, params), importance.kronecker(task, params, generator(0), draws=400)
    names = ("0.weight", "5.weight", "8.weight")
    near({n: found[n].outputs for n in names}, {n: exact[n].outputs for n in names}, 0.06)
    assert all(torch.equal(found[n].inputs, exact[n].inputs) for n in names)


def test_factors_come_nearer_to_the_whole_matrix_than_its_diagonal():
    """Inputs that are strongly correlated, which the diagonal does not see, in a network that is nowhere sure."""
    inputs = random_inputs(40, 4) + 3 * random_inputs(40, 1)
    module = seeded_module(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))).double()
    task = classification(module, Dataset("noise", {"train": (inputs, torch.arange(40) % 3)}), batch=16)
    params = {name: 0.05 * tensor for name, tensor in params_of(module).items()}
    block = importance.full_matrix(task, params, importance.of_model("classification")).matrix[:16, :16]
    metric = importance.kronecker(task, params)["0.weight"]
    off = (torch.kron(metric.outputs, metric.inputs) - block).norm()
    assert off < 0.5 * (block.diagonal().diag() - block).norm()


# --- moments of inputs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [classifier_of, regression_of])
@each
def test_moments_are_the_factors_of_the_inputs(make, name):
    task = make(name)
    params = params_of(task.module)
    moments = importance.input_moments(task, params, samples=5)
    factors = {k: m for k, m in importance.kronecker(task, params, samples=5).items() if isinstance(m, Kronecker)}
    same(moments, {name: metric.inputs for name, metric in factors.items()})


def test_moments_of_patches_in_the_order_of_the_weight():
    inputs = random_inputs(3, 2, 4, 4)
    task = alone(lambda: nn.Conv2d(2, 3, 3, padding=1, stride=2), inputs)
    (found,) = importance.input_moments(task, params_of(task.module)).values()
    padded, total = F.pad(inputs, (1, 1, 1, 1)), torch.zeros(18, 18, dtype=DOUBLE)
    for n, row, column in itertools.product(range(3), (0, 2), (0, 2)):
        patch = padded[n, :, row : row + 3, column : column + 3].reshape(-1)
        total += patch.outer(patch) / 3
    torch.testing.assert_close(found, total)


def test_moments_need_no_gradients_and_no_kind():
    module = seeded_module(lambda: nn.Linear(3, 2)).double()
    task = Task.of(module, lambda split, seed: [(random_inputs(6, 3), torch.empty(0))], lambda outputs, batch: outputs)
    (found,) = importance.input_moments(task, params_of(module)).values()
    torch.testing.assert_close(found, random_inputs(6, 3).T @ random_inputs(6, 3) / 6)
    assert not found.requires_grad

"""Weights of few bits: each step is that of the papers, values are few and exact, and what is stopped goes on alike."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toys import classifier, full_batch, normal, same_params, seeded_module

from laconic import AdaptiveCodebook, Optimization, binary_activations, compress, few_bits
from laconic.errors import PlanError, WeightsError
from laconic.models.params import params_of
from laconic.training.binary import BinaryConnect, glorot
from laconic.training.few_bits import WAYS, values_of
from laconic.training.optimization import cosine
from laconic.training.task import Task, mode
from laconic.training.ternary import TrainedTernary
from laconic.training.trainer import packed, start_training, train, unpacked


def sgd(leaves, lr):
    return torch.optim.SGD(leaves, lr=lr)


def regression(outputs=4, inputs=6):
    """Least squares of one layer, in float64."""
    x, y = normal(32, inputs), normal(32, outputs, seed=1)
    module = seeded_module(lambda: nn.Linear(inputs, outputs, bias=False).double())
    return Task.of(module, full_batch(x, y), lambda out, target: (out - target).square().sum(1).mean()), x, y


def slope(x, y, weight):
    """The gradient of its loss."""
    return 2 * (x @ weight.T - y).T @ x / len(x)


@pytest.mark.parametrize("scale", ["glorot", "mean", "none"])
def test_a_step_is_that_of_algorithm_1_clipped_after_each(scale):
    task, x, y = regression()
    lr, (start,) = 2.0 if scale == "none" else 0.2, params_of(task.module).values()
    found = few_bits(task, {"weight": start}, BinaryConnect(scale), Optimization(7, lr, optimizer=sgd))["weight"]
    bound = math.sqrt(1.5 / 10) if scale == "glorot" else 1.0

    def binary(real):
        return torch.where(real >= 0, 1.0, -1.0).double() * (real.abs().mean() if scale == "mean" else bound)

    real, clipped = start.clamp(-bound, bound), 0
    for _ in range(7):
        moved = real - lr * slope(x, y, binary(real))
        real, clipped = moved.clamp(-bound, bound), clipped + int((moved.abs() > bound).sum())
    assert torch.allclose(found, binary(real), atol=1e-12)
    assert clipped, "or nothing is promised of it"
    assert len(found.unique()) == 2


def test_drawn_weights_are_binary_in_each_pass_real_in_the_mean_and_judged_as_they_are():
    drawing = BinaryConnect(stochastic=True)
    real = normal(8, 12).float() * 0.2
    numbers = drawing.parts({"w": real, "b": real[0]}, ["w", "b"])
    bound = glorot(real)
    assert torch.equal(drawing.judged(numbers)["w"], real.clamp(-bound, bound))
    torch.manual_seed(0)
    draws = torch.stack([drawing.whole(numbers)["w"] for _ in range(2000)])
    assert set(draws.unique().tolist()) == {-bound, bound}
    assert (draws.mean(0) - real.clamp(-bound, bound)).abs().max() < 4.5 * bound / math.sqrt(2000)
    assert torch.equal(drawing.whole(numbers)["b"], real[0])


def test_ternary_scales_have_the_gradients_of_the_weights_that_they_are():
    task, x, y = regression()
    ternary, lr, (start,) = TrainedTernary(0.3), 0.01, params_of(task.module).values()
    numbers = {key: one.requires_grad_() for key, one in ternary.parts({"weight": start}, ["weight"]).items()}
    delta = 0.3 * start.abs().max()
    up, down = start > delta, start < -delta
    assert 0 < int(up.sum() + down.sum()) < start.numel()
    p, n = start[up].mean(), -start[down].mean()
    weight = p * up - n * down
    assert torch.allclose(ternary.whole(numbers)["weight"], weight, atol=1e-12)
    found = few_bits(task, {"weight": start}, ternary, Optimization(1, lr, optimizer=sgd))["weight"]
    grad, size = slope(x, y, weight), start.numel()
    p, n = p - lr * grad[up].sum() / size, n + lr * grad[down].sum() / size
    moved = start - lr * grad
    delta = 0.3 * moved.abs().max()
    assert torch.allclose(found, p * (moved > delta) - n * (moved < -delta), atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_on_to_the_same_bits_with_few_values_and_names_as_ever(way):
    task, how = classifier(dropout=0.3), Optimization(4, 0.05, cosine)
    latent, before, drawn = WAYS[way], params_of(task.module), torch.random.get_rng_state()
    states = list(train(task, start_training(before), how, 3, latent))
    *_, end = train(task, unpacked(*packed(states[1])), how, 3, latent)
    assert same_params(end.weights, states[-1].weights)
    assert same_params(end.momentum, states[-1].momentum)
    found = few_bits(task, before, way, how, 3)
    assert torch.equal(torch.random.get_rng_state(), drawn), "the caller's generator is left alone"
    assert same_params(found, latent.judged(end.weights))
    assert {n: (t.shape, t.dtype) for n, t in found.items()} == {n: (t.shape, t.dtype) for n, t in before.items()}
    values = values_of(found)
    few = {} if way == "stochastic" else {n: 3 if way == "ternary" else 2 for n, t in before.items() if t.ndim > 1}
    assert {name: len(own) for name, own in values.items()} == few
    assert task.evaluate(found, "train")["loss"] < task.evaluate(before, "train")["loss"]


@pytest.mark.parametrize(("way", "bits"), [("binary", 1), ("binary-scaled", 1), ("ternary", math.log2(3))])
def test_a_file_holds_them_exactly_at_a_bit_a_weight(way, bits):
    task = Task(nn.Linear(64, 1000, bias=False), [(torch.ones(2, 64), torch.ones(2, 1000))], nn.MSELoss())
    found = few_bits(task, params_of(task.module), way, Optimization(1, 1e-3))
    result = compress(found, AdaptiveCodebook(3 if way == "ternary" else 2))
    assert same_params(result.params, found)
    assert result.file_bytes <= 64_000 * bits / 8 + 250


def test_binary_activations_are_signs_between_layers_with_the_gradient_of_the_hard_tanh():
    module = seeded_module(
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 5), nn.Tanh(),
                              nn.Linear(5, 2))
    )  # fmt: skip
    x, y = normal(6, 1, 8, 8).float(), torch.tensor([0, 1, 0, 1, 1, 0])
    task = binary_activations(Task(module, [(x, y)], F.cross_entropy))
    assert binary_activations(task) is task

    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            ctx.save_for_backward(a)
            return torch.where(a >= 0, 1.0, -1.0)

        @staticmethod
        def backward(ctx, grad):
            return grad * (ctx.saved_tensors[0].abs() <= 1)

    def written_out(p):
        hidden = F.max_pool2d(F.conv2d(x, p["0.weight"], p["0.bias"]), 2).flatten(1)
        hidden = F.linear(Sign.apply(hidden), p["4.weight"], p["4.bias"])
        return F.linear(Sign.apply(hidden), p["6.weight"], p["6.bias"])

    params = {name: tensor.clone().requires_grad_() for name, tensor in params_of(module).items()}
    seen, hook = [], module[4].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    outputs = task.outputs(params, (x, y))
    hook.remove()
    assert torch.equal(outputs, written_out(params))
    assert set(seen[0].unique().tolist()) == {-1.0, 1.0}, "who watches a layer sees what it reads"
    ours = torch.autograd.grad(F.cross_entropy(outputs, y), params.values())
    theirs = torch.autograd.grad(F.cross_entropy(written_out(params), y), params.values())
    assert all(torch.allclose(one, other, atol=1e-7) for one, other in zip(ours, theirs, strict=True))
    with torch.no_grad(), mode(module, training=False):
        assert not torch.allclose(module(x), task.outputs(params, (x, y))), "the module by itself is as it was"


def test_what_cannot_be_is_refused():
    task, *_ = regression()
    (start,) = params_of(task.module).values()
    for bad in ({"scale": "xavier"}, {"scale": "mean", "stochastic": True}):
        with pytest.raises(PlanError, match="scale"):
            BinaryConnect(**bad)
    for threshold in (-0.1, 1.0, math.nan):
        with pytest.raises(PlanError, match="threshold"):
            TrainedTernary(threshold)
    with pytest.raises(PlanError, match=r"binary, binary-scaled, .*not 'bin'"):
        few_bits(task, {"weight": start}, "bin")
    with pytest.raises(PlanError, match="one epoch"):
        few_bits(task, {"weight": start}, how=Optimization(0))
    for latent in (BinaryConnect(names=("fc1",)), TrainedTernary(names=("fc1",))):
        with pytest.raises(PlanError, match=r"fc1: names are .*: weight"):
            few_bits(task, {"weight": start}, latent)
        with pytest.raises(PlanError, match=r"\(b\) has two axes or more"):
            type(latent)().parts({"b": start[0], "w": start}, ["b"])
        with pytest.raises(WeightsError, match="weight: 1 of"):
            type(latent)().parts({"weight": torch.tensor([[math.nan, 1.0]])}, ["weight"])
    with pytest.raises(PlanError, match="runs 1 of these"):
        binary_activations(task)

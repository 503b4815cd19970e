"""Training on inputs alone: a network is trained to say what it said before it was compressed."""

from functools import cache

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from toys import digits

import laconic
from laconic import Training
from laconic.errors import DataError, PlanError
from laconic.lc.bounds import Bound
from laconic.lc.unlabelled import unlabelled
from laconic.models.params import params_of
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

HOW = Training(steps=3, l_step=Optimization(1, 0.05), growth=1.3, finetune=Optimization(1, 1e-3, optimizer=adam))
SIZE = 500


@cache
def network() -> nn.Module:
    """Two layers that name digits, in 15 kB."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    pixels, labels = digits(1200)
    batches = [(pixels[at : at + 100], labels[at : at + 100]) for at in range(0, 1200, 100)]
    task = Task(module, batches, nn.CrossEntropyLoss(), validation=batches)
    module.load_state_dict(minimise(task, params_of(module), Optimization(15, 0.1), 0)[0])
    return module


def batches(labels: torch.Tensor | None = None) -> list:
    """Of a hundred images each."""
    images = digits(1200)[0].split(100)
    return list(images) if labels is None else list(zip(images, labels.split(100), strict=True))


def loader(*beside: torch.Tensor) -> DataLoader:
    return DataLoader(TensorDataset(digits(1200)[0], *beside), batch_size=100, shuffle=True)


@torch.no_grad()
def apart(result: laconic.Result) -> float:
    """KL(original ‖ network) on images that none has seen."""
    images, module = digits(1500)[0][1200:], network()
    original, now = module(images), torch.func.functional_call(module, result.params, images)
    return float(nn.functional.kl_div(now.log_softmax(1), original.softmax(1), reduction="batchmean"))


@cache
def result() -> laconic.Result:
    labels = digits(1200)[1]
    return laconic.compress(network(), size=SIZE, effort="train", calibration=batches(labels), training=HOW)


def test_outputs_come_nearer_than_by_weights_alone_and_targets_only_say_that_they_are_logits():
    found = result()
    assert found.file_bytes <= SIZE
    assert apart(found) < 0.5 * apart(laconic.compress(network(), size=SIZE))
    wrong = (digits(1200)[1] + 3) % 10
    again = laconic.compress(network(), size=SIZE, effort="train", calibration=batches(wrong), training=HOW)
    assert all(torch.equal(again.params[name], found.params[name]) for name in found.params)


def test_validation_is_the_divergence_on_inputs_that_are_held_out():
    of = unlabelled(network(), loader(digits(1200)[1]), params_of(network()))
    assert of.kind == "classification"
    assert sum(len(batch[0]) for batch in of.batches("validation", 0)) == 120
    assert [set(one.validation) for one in result().history] == [{"loss"}] * len(result().history)
    assert of.evaluate(params_of(network()), "validation")["loss"] == 0
    other = {name: tensor + 0.05 for name, tensor in params_of(network()).items()}
    p, q = (
        torch.cat([of.outputs(params, batch) for batch in of.batches("validation", 0)]).log_softmax(1)
        for params in (params_of(network()), other)
    )
    expected = nn.functional.kl_div(q, p, reduction="batchmean", log_target=True)
    assert of.evaluate(other, "validation")["loss"] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("source", ["tensor", "list"])
def test_without_targets_outputs_are_values(source):
    images = digits(1200)[0]
    given = images if source == "tensor" else list(images.split(60))
    of = unlabelled(network(), given, params_of(network()))
    assert of.kind == "regression"
    other = {name: tensor + 0.05 for name, tensor in params_of(network()).items()}
    held = list(of.batches("validation", 0))
    assert sum(len(batch) for batch in held) == 120
    values, wanted = (torch.cat([of.outputs(params, b) for b in held]) for params in (other, params_of(network())))
    loss = of.evaluate(other, "validation")["loss"]
    assert loss == pytest.approx(float(nn.functional.mse_loss(values, wanted)), rel=1e-4)


def test_a_kl_is_measured_on_inputs_alone():
    params = params_of(network())
    of = unlabelled(network(), batches(digits(1200)[1]), params)
    other = {name: tensor + 0.05 for name, tensor in params.items()}
    reached = Bound.of(of, params, laconic.Budget(kl=0.3))(other)
    assert reached.value == pytest.approx(of.evaluate(other, "validation")["loss"], rel=1e-4)
    assert reached.samples == 100


def test_what_is_no_source_of_inputs_is_refused():
    images = digits(1200)[0]
    with pytest.raises(DataError, match="exhausted after one pass"):
        laconic.compress(network(), size=SIZE, effort="train", calibration=iter([images]))
    with pytest.raises(DataError, match="inputs that are NaN"):
        laconic.compress(network(), size=SIZE, effort="train", calibration=images * float("nan"))
    with pytest.raises(PlanError, match="give the module"):
        laconic.compress(params_of(network()), size=SIZE, effort="train", calibration=images)
    with pytest.raises(PlanError, match="not 'direct'"):
        laconic.compress(network(), size=SIZE, effort="direct", calibration=images)
    with pytest.raises(DataError, match="measure 'error'"):
        laconic.compress(network(), drop=1, effort="train", calibration=loader(digits(1200)[1]))
    two = nn.Module()
    two.a = nn.Linear(64, 2)
    two.forward = lambda x: (two.a(x.flatten(1)), 0)
    with pytest.raises(DataError, match="one tensor of outputs, not a tuple"):
        laconic.compress(two, size=SIZE, effort="train", calibration=images)


def test_a_module_in_training_mode_is_left_as_it_is_and_one_sample_a_batch_will_do():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, 3)).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    unlabelled(module, [torch.randn(1, 8) for _ in range(20)], dict(module.state_dict()))
    assert module.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    with pytest.raises(DataError, match=r"no samples to train on: .*\(0, 8\)"):
        unlabelled(module, torch.zeros(0, 8), before)

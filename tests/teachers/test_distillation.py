"""A loss that asks a network to say what another one says."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from laconic import Distillation, Teacher, Training, distilled
from laconic.errors import DataError, PlanError
from laconic.models.params import params_of
from laconic.teachers.attention import attentive
from laconic.teachers.codistillation import codistilled
from laconic.teachers.distillation import alike
from laconic.teachers.hints import hinted
from laconic.teachers.neurons import best_neurons
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


def task(kind: str) -> Task:
    g = torch.Generator().manual_seed(1)
    inputs = torch.randn(256, 6, generator=g)
    labels = torch.randint(0, 3, (256,), generator=g) if kind == "classification" else torch.randn(256, 3, generator=g)
    batches = [(inputs[at : at + 64], labels[at : at + 64]) for at in range(0, 256, 64)]
    loss = nn.CrossEntropyLoss() if kind == "classification" else nn.MSELoss()
    return Task(network(), train=batches, validation=batches, loss=loss)


def by_torch(outputs: torch.Tensor, wanted: torch.Tensor, kind: str) -> torch.Tensor:
    if kind == "regression":
        return F.mse_loss(outputs, wanted)
    return F.kl_div(outputs.log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_loss_is_the_tasks_and_the_divergence_from_the_reference(kind, share):
    of, reference = task(kind), params_of(network())
    before = {name: tensor.clone() for name, tensor in reference.items()}
    other = {name: tensor + 0.1 for name, tensor in reference.items() if tensor.is_floating_point()}
    batch = next(of.batches("train", 0))
    of.module.train()
    moved = {name: other.get(name, tensor).clone() for name, tensor in reference.items()}
    outputs = of.outputs(moved, batch)
    of.module.eval()
    wanted = of.outputs(reference, batch)
    of.module.train()
    said = alike(of, reference, share).loss(outputs, batch)
    torch.testing.assert_close(said, (1 - share) * of.loss(outputs, batch) + share * by_torch(outputs, wanted, kind))
    assert of.module.training
    assert all(torch.equal(before[name], tensor) for name, tensor in reference.items()), "running statistics, too"


def test_a_network_becomes_like_the_reference_whatever_the_targets_say():
    of, reference = task("classification"), params_of(network())
    start = {name: t + 0.3 * torch.randn_like(t) if t.ndim == 2 else t.clone() for name, t in reference.items()}
    trained, _ = minimise(alike(of, reference, 1.0), start, Optimization(40, 1e-2, optimizer=adam), seed=0)

    def apart(params):
        of.module.eval()
        batches = list(of.batches("train", 0))
        return float(sum(by_torch(of.outputs(params, b), of.outputs(reference, b), "classification") for b in batches))

    assert apart(trained) < 0.3 * apart(start)


def test_no_share_is_the_task_itself_and_what_cannot_be_is_refused():
    of = task("classification")
    assert alike(of, {}, 0.0) is of
    unknown = Task(
        network(), train=[(torch.randn(4, 6), torch.zeros(4))], loss=lambda outputs, _: outputs.square().mean()
    )
    with pytest.raises(DataError, match="kind"):
        alike(unknown, params_of(network()), 0.5)
    with pytest.raises(PlanError, match="alike is a share"):
        Training(alike=1.5)


@pytest.mark.parametrize("ignored", [-100, 1])
def test_a_teacher_says_nothing_where_the_loss_ignores_a_target(ignored):
    """Padding: what positions hold that the loss leaves out changes nothing."""
    targets = torch.tensor([[0, 2, ignored], [2, ignored, ignored]])
    x, kept = torch.randn(2, 4, 3), targets != ignored
    other = torch.where(kept[:, None], x, torch.randn(2, 4, 3))
    net, teacher = nn.Conv1d(4, 3, 1), nn.Conv1d(4, 3, 1)
    losses, alone = [], nn.CrossEntropyLoss(ignore_index=ignored)
    for inputs in (x, other):
        taught = distilled(Task(net, [(inputs, targets)], alone), teacher, Distillation(0.5, 2, 1, divergence=True))
        losses.append(float(taught.minimised(net(inputs), (inputs, targets)).detach()))
    said, own = (part(x).detach().movedim(1, -1)[kept].log_softmax(1) for part in (teacher, net))
    by_hand = 0.5 * F.nll_loss(own, targets[kept]) + 2 * F.kl_div(own, said, reduction="batchmean", log_target=True)
    assert losses == pytest.approx([float(by_hand)] * 2)


def test_arguments_that_are_none_are_refused_in_a_sentence():
    for wrong in ({"alpha": "a"}, {"temperature": None}, {"squared": 1}):
        with pytest.raises(PlanError, match=f"Distillation: {next(iter(wrong))} is "):
            Distillation(**wrong)
    of = task("classification")
    for layers in ("01", ("0", "3"), [("0", "2", "2")], 3):
        with pytest.raises(DataError, match="attention goes by pairs of layers"):
            attentive(of, of.module, layers)
    for make, says in [
        (lambda: attentive(of, of.module, [("0", 0)]), "layer of the student goes by its name"),
        (lambda: attentive(of, of.module, [("0", "0")], beta="a"), "beta"),
        (lambda: attentive(of.module, of.module, [("0", "0")]), "is a laconic.Task"),
        (lambda: hinted(of, of.module, "0", "0", units="ab"), "units of '0'"),
        (lambda: hinted(of.module, of.module, "0", "0"), "is a laconic.Task"),
        (lambda: distilled(of, of.module, 0.5), "how is a laconic.Distillation"),
        (lambda: distilled(of.module, of.module), "is a laconic.Task"),
        (lambda: distilled(of, of.module, cache=3), "cache is the path of a folder"),
        (lambda: distilled(of, {"0.weight": 1}), "tensors by name, as a state_dict, not 1"),
        (lambda: Teacher(of.module, 3), "tensors by name, as a state_dict, not 3"),
        (lambda: codistilled(of), "takes a list of tasks"),
        (lambda: codistilled([of, of.module]), "takes a list of tasks"),
        (lambda: best_neurons(of.module, "0", of, "a"), "not 'a'"),
    ]:
        with pytest.raises(DataError, match=says):
            make()


def test_a_single_logit_is_no_choice_and_is_refused():
    x = torch.randn(4, 3)
    for net, targets in (
        (nn.Linear(3, 1), torch.ones(4, 1)),
        (nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), torch.ones(4)),
    ):
        one = Task(net, [(x, targets)], nn.BCEWithLogitsLoss(), kind="classification")
        with pytest.raises(DataError, match=r"name no classes.* two classes or more"):
            distilled(one, net)
        with pytest.raises(DataError, match=r"name no classes.* two classes or more"):
            codistilled([one, Task(copy.deepcopy(net), [(x, targets)], nn.BCEWithLogitsLoss(), kind=one.kind)])

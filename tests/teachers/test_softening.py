"""The loss of a distilled task: its formula, its limits, and whose mean teaches."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from laconic import Distillation, Task, Teacher, distilled
from laconic.errors import DataError, PlanError
from laconic.models.params import params_of
from laconic.theory.importance import Importance
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization


def drawn(*shape, seed=0, scale=2.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def twin(z_s, z_t, labels, alpha, beta, tau, *, squared, mean):
    """The loss and its gradient by the logits of the network, sample by sample from the formula: rows of logits."""
    loss, gradient, rows = 0.0, np.zeros_like(z_s), len(z_s)
    for n, (own, y) in enumerate(zip(z_s, labels, strict=True)):
        each = [one[n] for one in z_t]
        q = softmax(np.mean(each, 0) / tau) if mean == "logits" else np.mean([softmax(z / tau) for z in each], 0)
        p, soft, scale = softmax(own), softmax(own / tau), beta * (tau**2 if squared else 1)
        loss += (alpha * -math.log(p[y]) - scale * float(q @ np.log(soft))) / rows
        gradient[n] = (alpha * (p - np.eye(len(p))[y]) + scale * (soft - q) / tau) / rows
    return loss, gradient


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize(("mean", "teachers"), [("outputs", 1), ("outputs", 3), ("logits", 3)])
@pytest.mark.parametrize("positions", [(), (3,)])
def test_loss_and_gradient_are_those_of_the_formula(squared, mean, teachers, positions):
    shape = (4, 5, *positions)
    logits = drawn(*shape).requires_grad_()
    wanted = [drawn(*shape, seed=1 + at) for at in range(teachers)]
    labels = torch.randint(0, 5, (4, *positions), generator=torch.Generator().manual_seed(9))
    how = Distillation(0.3, 0.6, 2.5, squared, mean)
    loss = how.alpha * nn.functional.cross_entropy(logits, labels) + how.term(logits, wanted, "classification")
    loss.backward()

    def rows(tensor):
        return tensor.detach().movedim(1, -1).reshape(-1, 5).numpy()

    value, gradient = twin(
        rows(logits),
        [rows(one) for one in wanted],
        labels.flatten().tolist(),
        0.3,
        0.6,
        2.5,
        squared=squared,
        mean=mean,
    )
    assert float(loss.detach()) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(rows(logits.grad), gradient, rtol=0, atol=1e-14)


def test_values_are_taught_by_their_mean_squared_distance():
    outputs, wanted = drawn(6, 3), [drawn(6, 3, seed=1), drawn(6, 3, seed=2)]
    square = float(np.square(outputs.numpy() - (wanted[0] + wanted[1]).numpy() / 2).mean())
    assert float(Distillation(0, 0.7, 9.0).term(outputs, wanted, "regression")) == pytest.approx(0.7 * square)


def test_logits_are_matched_as_they_are_by_the_same_distance():
    outputs, wanted = drawn(6, 3), drawn(6, 3, seed=1)
    far = np.square(outputs.numpy() - wanted.numpy()).sum(1).mean()
    how = Distillation(0, 0.7, 9.0, logits=True)
    assert float(how.term(outputs, [wanted], "classification")) == pytest.approx(0.7 * far / 3)
    assert float(how.term(wanted + 1, [wanted], "classification")) == pytest.approx(0.7), "means and all"


@pytest.mark.parametrize("tau", [1.0, 4.0])
def test_a_network_that_says_what_its_teacher_says_feels_nothing(tau):
    logits = drawn(8, 5).requires_grad_()
    apart = Distillation(0, 1, tau, divergence=True).term(logits, [logits.detach()], "classification")
    assert float(apart.detach()) == 0.0
    Distillation(0, 1, tau).term(logits, [logits.detach()], "classification").backward()
    assert float(logits.grad.abs().max()) < 1e-15


def test_at_a_high_temperature_logits_are_matched():
    """N τ² ∂H/∂z_s = (z_s − z_t) (1 + O(1/τ)) for logits of mean 0: ten times the temperature, a tenth of the error."""
    z_s, z_t = (z - z.mean(1, keepdim=True) for z in (drawn(1, 6), drawn(1, 6, seed=1)))
    errors = []
    for tau in (10.0, 100.0, 1000.0):
        logits = z_s.clone().requires_grad_()
        Distillation(0, 1, tau, squared=False).term(logits, [z_t], "classification").backward()
        errors.append(float((6 * tau**2 * logits.grad - (z_s - z_t)).norm() / (z_s - z_t).norm()))
    assert errors[2] < 0.002
    assert [before / after for before, after in pairwise(errors)] == pytest.approx([10, 10], rel=0.3)


@pytest.mark.parametrize("mean", ["outputs", "logits"])
def test_an_ensemble_of_one_is_the_teacher_and_one_of_equals_nearly_so(mean):
    outputs, one = drawn(4, 5).float(), drawn(4, 5, seed=1).float()
    how = Distillation(mean=mean)
    alone, several = (how.term(outputs, [one] * count, "classification") for count in (1, 3))
    assert torch.equal(alone, Distillation().term(outputs, [one], "classification"))
    assert float(several) == pytest.approx(float(alone), rel=1e-6)


def network(*widths, seed=0):
    torch.manual_seed(seed)
    layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def subject(kind="classification"):
    g = torch.Generator().manual_seed(1)
    inputs = torch.randn(120, 6, generator=g)
    targets = torch.randint(0, 3, (120,), generator=g) if kind == "classification" else torch.randn(120, 3, generator=g)
    batches = [(inputs[at : at + 40], targets[at : at + 40]) for at in range(0, 120, 40)]
    loss = nn.CrossEntropyLoss() if kind == "classification" else nn.MSELoss()
    return Task(network(6, 8, 3), batches, loss, validation=batches)


def test_without_a_share_of_the_teacher_it_is_the_plain_task_bit_by_bit():
    task, how = subject(), Optimization(3, 0.1)
    teacher, start = network(6, 20, 3, seed=5), params_of(task.module)
    plain, _ = minimise(task, start, how, seed=0)
    same, _ = minimise(distilled(task, teacher, Distillation(1, 0)), start, how, seed=0)
    other, _ = minimise(distilled(task, teacher, Distillation(1, 0.1)), start, how, seed=0)
    assert all(torch.equal(plain[name], same[name]) for name in plain)
    assert not any(torch.equal(plain[name], other[name]) for name in plain)


def test_half_of_alpha_alone_is_half_of_the_loss():
    task = subject()
    batch = next(task.batches("train", 0))
    outputs = task.outputs(params_of(task.module), batch)
    half = distilled(task, network(6, 3), Distillation(0.5, 0)).objective(outputs, batch)
    assert float(half) == pytest.approx(0.5 * float(task.loss(outputs, batch)))


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_all_but_what_training_minimises_is_the_tasks_own(kind):
    task = subject(kind)
    taught, weights = distilled(task, network(6, 5, 5, 3)), params_of(task.module)
    assert taught.evaluate(weights, "validation") == task.evaluate(weights, "validation")
    assert (taught.kind, taught.measures, taught.metadata) == (task.kind, task.measures, task.metadata)
    ours, theirs = (Importance("gradient").metrics(one, weights) for one in (taught, task))
    assert all(torch.equal(ours[name].importance, theirs[name].importance) for name in theirs)


def test_a_network_learns_what_teachers_of_any_shape_say_and_leaves_them_as_they_are():
    task, teachers = subject(), [network(6, 30, 3, seed=5), Teacher(network(6, 9, 9, 3, seed=6))]
    before = [params_of(one if isinstance(one, nn.Module) else one.module) for one in teachers]
    before = [{name: tensor.clone() for name, tensor in one.items()} for one in before]
    how = Distillation(0, 1, 1.0, divergence=True)
    taught = distilled(task, teachers, how)
    _, last = minimise(taught, params_of(task.module), Optimization(40, 0.1), seed=0)
    first = np.mean([float(taught.objective(task.module(x).detach(), (x, y))) for x, y in task.batches("train", 0)])
    assert last < 0.1 * first
    modules = [teachers[0], teachers[1].module]
    assert all(
        torch.equal(params_of(one)[name], t)
        for one, own in zip(modules, before, strict=True)
        for name, t in own.items()
    )
    assert all(one.training for one in modules)


def test_who_is_distilled_twice_has_both_terms():
    task, (one, other) = subject(), (network(6, 3, seed=5), network(6, 3, seed=6))
    batch = next(task.batches("train", 0))
    outputs = task.outputs(params_of(task.module), batch)
    once = distilled(task, one, Distillation(0.5, 0.5))
    twice = distilled(once, other, Distillation(1, 2.0))
    term = Distillation(1, 2.0).term(outputs, [other(batch[0]).detach()], "classification")
    assert float(twice.objective(outputs, batch)) == pytest.approx(float(once.objective(outputs, batch) + term))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"alpha": -1}, "alpha weighs a term"),
        ({"beta": math.nan}, "beta weighs a term"),
        ({"temperature": 0}, "temperature is a number above 0"),
        ({"alpha": 0, "beta": 0}, "nothing is left to learn from"),
        ({"mean": "median"}, "mean is 'outputs' or 'logits'"),
    ],
)
def test_numbers_that_are_none_are_refused(given, says):
    with pytest.raises(PlanError, match=says):
        Distillation(**given)


def test_an_objective_of_ones_own_is_minimised_and_tried_when_the_task_is_made():
    x, y = torch.randn(8, 6), torch.zeros(8, dtype=torch.long)
    of = {"module": network(6, 3), "train": [(x, y)], "loss": nn.CrossEntropyLoss()}
    with pytest.raises(DataError, match="the loss of the first batch is nan"):
        Task(**of, objective=lambda outputs, batch: outputs.sum() * math.nan)
    task = Task(**of, objective=lambda outputs, targets: outputs.square().mean())
    trained, _ = minimise(task, params_of(task.module), Optimization(60, 0.1), seed=0)
    assert float(task.outputs(trained, (x, y)).square().mean()) < 0.05
    assert task.evaluate(trained, "train")["loss"] == pytest.approx(math.log(3), rel=0.3), "the loss goes on to judge"

"""Attention transfer: the formulas, and that who equals his teacher is left alone."""

import pytest
import torch
from teaching_nets import Thin, images, task_of
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.models.params import params_of
from laconic.teachers.attention import attentive, attentive_by_gradients
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization, adam

PAIRS = [("first", "first"), ("second", "second")]


def attending(student, teacher, how, beta=100.0):
    """The student's task with attention, by activations or by gradients."""
    of = task_of(student)
    return of, attentive(of, teacher, PAIRS, beta) if how == "activations" else attentive_by_gradients(
        of, teacher, beta
    )


def gradients(task, params):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    batch = next(task.batches("train", 0))
    loss = task.minimised(task.outputs(leaves, batch), batch)
    loss.backward()
    return loss.detach(), {name: leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize("how", ["activations", "gradients"])
def test_a_student_that_equals_its_teacher_has_no_term_and_no_gradient_of_it(how):
    of, with_term = attending(Thin().double(), Thin().double(), how)
    params = params_of(of.module)
    (loss, moved), (plain, own) = gradients(with_term, params), gradients(of, params)
    torch.testing.assert_close(loss, plain, rtol=0, atol=0)
    for name, gradient in own.items():
        torch.testing.assert_close(moved[name], gradient, rtol=0, atol=1e-12)


def by_hand(student, teacher, pictures, labels, how):
    """The term of β = 1, from the formulas, sample by sample."""
    if how == "gradients":
        total = 0.0
        for one, label in zip(pictures, labels, strict=True):
            both = []
            for net in (student, teacher):
                x = one[None].clone().requires_grad_()
                both.append(torch.autograd.grad(F.cross_entropy(net(x), label[None]), x)[0])
            total += float((both[0] - both[1]).square().sum()) / 2
        return total / len(pictures)
    total = 0.0
    for layer in ("first", "second"):
        for one in pictures:
            maps = []
            for net in (student, teacher):
                hidden = net.first(one[None])
                hidden = hidden if layer == "first" else net.second(hidden.relu())
                q = sum(hidden[0, c] ** 2 for c in range(hidden.shape[1])).reshape(-1)
                maps.append(q / q.norm())
            total += float((maps[0] - maps[1]).detach().square().mean()) / 2
    return total / len(pictures)


@pytest.mark.parametrize("how", ["activations", "gradients"])
@pytest.mark.parametrize("grad", [True, False], ids=["in training", "in evaluation"])
def test_the_term_is_that_of_the_formula(how, grad):
    student, teacher = Thin(3).double(), Thin(5, seed=1).double()
    of, with_term = attending(student, teacher, how, beta=7.0)
    batch = next(of.batches("train", 0))
    with torch.set_grad_enabled(grad):
        params = params_of(student)
        loss = with_term.minimised(with_term.outputs(params, batch), batch)
        plain = of.loss(of.outputs(params, batch), batch)
    assert float((loss - plain).detach()) == pytest.approx(7.0 * by_hand(student, teacher, *batch, how), rel=1e-9)


@pytest.mark.parametrize("how", ["activations", "gradients"])
def test_gradients_of_the_term_are_those_of_its_value(how):
    """Also through an activation in place, and second derivatives of the network."""
    of, with_term = attending(Thin(2).double(), Thin(2, seed=3).double(), how, beta=30.0)
    params, (_, found) = params_of(of.module), gradients(with_term, params_of(of.module))
    batch = next(with_term.batches("train", 0))
    for name in ("first.weight", "second.bias", "last.weight"):
        step = torch.randn(params[name].shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            moved = {**params, name: params[name] + sign * 1e-6 * step}
            ends.append(float(with_term.minimised(with_term.outputs(moved, batch), batch).detach()))
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float((found[name] * step).sum()), rel=1e-5, abs=1e-7)


@torch.no_grad()
def term(of, with_term, params):
    batch = next(of.batches("train", 0))
    outputs = with_term.outputs(params, batch)
    return float(with_term.minimised(outputs, batch) - of.loss(outputs, batch))


def test_attention_comes_nearer_and_measures_are_the_tasks_own():
    of, with_term = attending(Thin(3, norm=True), Thin(6, seed=1, norm=True), "activations", beta=500.0)
    alone = params_of(of.module)
    before = term(of, with_term, alone)
    trained, _ = minimise(with_term, alone, Optimization(15, 1e-2, optimizer=adam), seed=0)
    assert term(of, with_term, trained) < before / 2
    assert with_term.evaluate(trained, "train") == of.evaluate(trained, "train"), "the loss goes on to judge"
    assert not any(part._forward_hooks for part in of.module.modules())


def test_what_does_not_fit_is_said_before_a_batch_is_trained_on():
    of, taught = task_of(Thin()), Thin(5)
    with pytest.raises(DataError, match=r"no layer 'secnd'; near are second"):
        attentive(of, taught, [("second", "secnd")])
    with pytest.raises(
        DataError, match=r"'first' of the teacher writes \(16, 5, 6, 6\), 'second' of the .*\(16, 6, 4, 4\)"
    ):
        attentive(of, taught, [("first", "second")])
    with pytest.raises(DataError, match=r"needs maps.*\(16, 4\)"):
        attentive(of, taught, [("last", "last")])
    with pytest.raises(DataError, match="there are none"):
        attentive(of, taught, [])
    with pytest.raises(DataError, match="beta"):
        attentive_by_gradients(of, taught, float("nan"))
    pictures, labels = images(4)
    whole = attentive_by_gradients(of, taught, 1.0)
    with pytest.raises(DataError, match=r"one tensor of floats, not torch\.int64"):
        whole.outputs(params_of(of.module), (pictures.long(), labels))

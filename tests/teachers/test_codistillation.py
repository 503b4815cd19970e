"""Networks that learn from each other, in one process, beside the algorithm written out."""

import copy
from dataclasses import replace

import pytest
import torch
from teaching_nets import Thin, task_of
from torch import nn
from torch.nn import functional as F

from laconic.errors import DataError
from laconic.models.params import params_of
from laconic.teachers.codistillation import apart, codistilled, one_of
from laconic.training.judges import counting
from laconic.training.loop import derive_seed, minimise
from laconic.training.optimization import Optimization, adam, constant
from laconic.training.task import Task
from laconic.training.trainer import packed, start_training, train, unpacked

RATE, EPOCHS, SEED = 0.05, 3, 4


def sgd(leaves, lr):
    return torch.optim.SGD(leaves, lr=lr)


def by_hand(tasks, staleness, burn_in, *, same_batch, dml=False):
    """Algorithm 1, line by line, but that a round's networks see each other as they were before it."""
    nets = [copy.deepcopy(task.module) for task in tasks]
    optimizers, step, old = [sgd(list(net.parameters()), RATE) for net in nets], 0, None
    for epoch in range(EPOCHS):
        seed = derive_seed(SEED, epoch)
        streams = [t.batches("train", seed if same_batch else derive_seed(seed, i)) for i, t in enumerate(tasks)]
        streams = [tasks[0].batches("train", seed) for _ in tasks] if same_batch else streams
        for round_ in zip(*streams, strict=True):
            if step % staleness == 0:
                old = [copy.deepcopy(net).eval() for net in nets]
            for i, (net, (x, y)) in enumerate(zip(nets, round_, strict=True)):
                net.train()
                said = net(x)
                loss = F.cross_entropy(said, y)
                if step >= burn_in:
                    with torch.no_grad():
                        others = [other(x).softmax(1) for j, other in enumerate(old) if j != i]
                    if dml:
                        divergences = [F.kl_div(said.log_softmax(1), p, reduction="batchmean") for p in others]
                        loss = loss + sum(divergences) / len(others)
                    else:
                        mean = sum(others) / len(others)
                        loss = loss - (mean * said.log_softmax(1)).sum(1).mean()
                optimizers[i].zero_grad()
                loss.backward()
                optimizers[i].step()
            step += 1
    return [params_of(net) for net in nets]


def peers(count, *, norm=False):
    tasks = [task_of(Thin(3, seed=i, norm=norm).double()) for i in range(count)]
    batches = list(tasks[0].batches("train", 0))
    return [replace(task, train=lambda: iter(batches)) for task in tasks]


@pytest.mark.parametrize(
    ("count", "staleness", "burn_in", "same_batch"), [(2, 1, 0, True), (2, 4, 2, False), (3, 2, 3, False)]
)
@pytest.mark.parametrize("psi", ["kl", "cross-entropy"])
def test_training_is_algorithm_1(count, staleness, burn_in, same_batch, psi):
    tasks = peers(count, norm=True)
    expected = by_hand(tasks, staleness, burn_in, same_batch=same_batch)
    joint = codistilled(tasks, staleness=staleness, burn_in=burn_in, psi=psi, same_batch=same_batch)
    trained, _ = minimise(joint, params_of(joint.module), Optimization(EPOCHS, RATE, constant, 0.0, sgd), SEED)
    for number, own in enumerate(expected):
        found = one_of(trained, number)
        assert found.keys() == own.keys()
        for name, tensor in own.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-9, atol=1e-11)


def test_mutual_learning_is_staleness_1_on_one_batch():
    tasks = peers(3)
    expected = by_hand(tasks, 1, 0, same_batch=True, dml=True)
    joint = codistilled(tasks, same_batch=True)
    trained, _ = minimise(joint, params_of(joint.module), Optimization(EPOCHS, RATE, constant, 0.0, sgd), SEED)
    for number, own in enumerate(expected):
        for name, tensor in one_of(trained, number).items():
            torch.testing.assert_close(tensor, own[name], rtol=1e-9, atol=1e-11)


def test_a_run_that_goes_on_from_an_epoch_ends_with_the_same_bits():
    """Copies that are exchanged every 5 steps of 3 an epoch, and the count of steps, are in the state."""
    joint = codistilled(peers(2), staleness=5, burn_in=4)
    how = Optimization(EPOCHS, RATE, optimizer=adam)
    states = list(train(joint, start_training(params_of(joint.module)), how, SEED))
    again = codistilled(peers(2), staleness=5, burn_in=4)
    (*_, end) = train(again, unpacked(*packed(states[0])), how, SEED)
    assert int(end.weights["step"]) == 9
    assert all(torch.equal(tensor, states[-1].weights[name]) for name, tensor in end.weights.items())


def test_networks_of_different_makes_learn_from_each_other_and_each_is_measured():
    one, other = task_of(Thin(3)), task_of(Thin(6, seed=1))
    other = replace(other, module=nn.Sequential(other.module, nn.Identity()))
    joint = codistilled([one, other])
    trained, _ = minimise(joint, params_of(joint.module), Optimization(10, 1e-2, optimizer=adam), 0)
    both = [of.evaluate(one_of(trained, i), "validation") for i, of in enumerate((one, other))]
    found = joint.evaluate(trained, "validation")
    assert found["loss"] == pytest.approx(sum(each["loss"] for each in both), rel=1e-5)
    assert found["error"] == pytest.approx(sum(each["error"] for each in both) / 2)


def test_psi_is_what_torch_says_of_the_mean_probabilities():
    own, first, second = (torch.randn(5, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mean = (first.softmax(1) + second.softmax(1)) / 2
    expected = F.kl_div(own.log_softmax(1), mean, reduction="batchmean")
    torch.testing.assert_close(apart([first, second], own, "classification"), expected)
    crossed = F.cross_entropy(own, mean)
    torch.testing.assert_close(apart([first, second], own, "classification", "cross-entropy"), crossed)
    squares = F.mse_loss(own, (first + second) / 2)
    torch.testing.assert_close(apart([first, second], own, "regression"), squares)


def test_networks_that_cannot_learn_from_each_other_are_refused():
    of = task_of(Thin())
    other = task_of(Thin(seed=1))
    unknown = Task(Thin(), train=list(of.batches("train", 0)), loss=lambda outputs, _: outputs.square().mean())
    for tasks, options, said in [
        ([of], {}, "two networks or more, not 1"),
        ([of, of], {}, "one module is there twice"),
        ([of, unknown], {}, "one kind"),
        ([of, other], {"staleness": 0}, "staleness is 1 step or more"),
        ([of, other], {"weight": float("inf")}, "finite"),
        ([of, other], {"psi": "js"}, "psi is one of kl, cross-entropy, not 'js'"),
    ]:
        with pytest.raises(DataError, match=said):
            codistilled(tasks, **options)
    with pytest.raises(DataError, match="one tensor each, of one shape"):
        apart([torch.zeros(2, 3)], torch.zeros(2, 4), "classification")


def test_networks_that_cannot_learn_from_each_other_are_refused_before_training():
    first, second = Thin(3), Thin(3, seed=1)
    second.first = first.first
    with pytest.raises(DataError, match=r"share no weights, but first.weight, first.bias of network 1"):
        codistilled([task_of(first), task_of(second)])
    tasks = [task_of(Thin(3)), task_of(Thin(3, seed=1))]
    for numbers in ({"staleness": 1.5}, {"staleness": float("nan")}, {"burn_in": "1"}, {"weight": "1"}):
        with pytest.raises(DataError, match="both integers, weight 0 or more"):
            codistilled(tasks, **numbers)
    more = Thin(3)
    more.last = nn.Linear(96, 5)
    with pytest.raises(DataError, match=r"of one shape, not float32 \(16, 4\), float32 \(16, 5\)"):
        codistilled([tasks[0], task_of(more)])


def test_positions_that_the_loss_ignores_are_in_no_term():
    targets = torch.tensor([[0, 1, -100], [2, -100, -100]])
    own, other = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    kept = [(0, 0), (0, 1), (1, 0)]
    counts = counting((None, targets), own, -100)
    rows = [torch.stack([part[n, :, at] for n, at in kept]) for part in (own, other)]
    torch.testing.assert_close(
        apart([other], own, "classification", counts=counts), apart([rows[1]], rows[0], "classification")
    )
    assert float(apart([other], own, "classification", counts=torch.zeros_like(counts))) == 0

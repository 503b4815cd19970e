"""Several workers in one process: what they come to, what goes over the wires, and what goes wrong on all of them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from laconic.errors import WorkersError
from laconic.machines.catalogue import SCHEMES, scheme_of
from laconic.machines.exchange import Exchange, Share
from laconic.machines.largest import Largest
from laconic.machines.memory import MomentumCorrection
from laconic.machines.scheme import Scheme
from laconic.machines.wires import InOneProcess
from laconic.machines.workers import Workers
from laconic.models.params import params_of
from laconic.training.optimization import Optimization, plain
from laconic.training.task import Task
from laconic.training.trainer import start_training, train

SIZES = (16, 7, 2)
"""Samples of the batches: the last has fewer than there are workers."""


def network(batchnorm=False):
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(12)] if batchnorm else []
    return nn.Sequential(nn.Linear(10, 12), *middle, nn.ReLU(), nn.Linear(12, 3))


def task_of(module, sizes=SIZES):
    draw = torch.Generator().manual_seed(1)
    batches = [(torch.randn(n, 10, generator=draw), torch.randint(0, 3, (n,), generator=draw)) for n in sizes]
    return Task.of(module, lambda split, seed: batches, nn.functional.cross_entropy)


def small(name):
    """A scheme that leaves no weight alone: the network is small."""
    scheme = scheme_of(name)
    return Scheme(scheme.codec, scheme.memory, axes=2)


def workers(count, scheme, module, server=False, **more):
    shapes = {name: tuple(leaf.shape) for name, leaf in module.named_parameters()}
    return Workers(Exchange(scheme, InOneProcess(count), shapes, 5, server), **more)


def trained(task, several, epochs=2, state=None, optimizer=None):
    optimizer = optimizer or (plain if several and several.exchange.scheme.memory.has_momentum else None)
    how = Optimization(epochs, 0.1, **({"optimizer": optimizer} if optimizer else {}))
    state = state or start_training(params_of(task.module))
    for reached in train(task, state, how, 3, gradients=several):
        state = reached
    return state


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_workers_that_send_floats_train_as_one_does(count):
    module = network()
    task = task_of(module)
    alone, together = trained(task, None), trained(task, workers(count, scheme_of("float32"), module))
    assert together.loss == pytest.approx(alone.loss, rel=1e-6)
    for name, tensor in alone.weights.items():
        assert torch.allclose(tensor, together.weights[name], atol=1e-6)
        assert count > 1 or torch.equal(tensor, together.weights[name])


@pytest.mark.parametrize("name", SCHEMES)
def test_a_server_gives_the_bits_that_all_get_from_all(name):
    module = network()
    task = task_of(module)
    by_all, by_server = workers(3, small(name), module), workers(3, small(name), module, server=True)
    assert same(trained(task, by_all).weights, trained(task, by_server).weights)
    assert by_all.step == by_server.step == 6
    pushed, pulled = by_all.bytes_a_step
    assert pulled == 2 * pushed


def test_what_is_counted_is_what_is_sent():
    """Of floats: a byte, loss and mark, and each tensor behind its length; eight bytes tell the size."""
    module = network()
    several = workers(3, scheme_of("float32"), module)
    trained(task_of(module, (6, 6)), several, epochs=1)
    message = 1 + 12 + (2 + 480) + (1 + 48) + (2 + 144) + (1 + 12)
    assert several.bytes_a_step == (8 + message, 2 * (8 + message))


def test_a_sum_of_ternary_messages_comes_back_from_a_server_in_few_bits():
    scheme, shape = Scheme(scheme_of("terngrad").codec), (200, 100)
    exchange = Exchange(scheme, InOneProcess(4), {"w": shape}, server=True)
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(n)) for n in range(4)]
    mean, _ = exchange(["w"], [Share({"w": draw}) for draw in draws], [{}] * 4, 0)
    assert 5 <= len(mean.gradients["w"].unique()) <= 12
    assert exchange.wires.traffic.pulled / 4 < 20_000 * 3.17 / 8  # log₂(2 · 4 + 1) bits
    assert float((mean.gradients["w"] - sum(draws) / 4).square().mean()) < 1.2  # variance of one: 2.5 · .8 − 1


@pytest.mark.parametrize("name", ["dgc", "topk", "signs", "terngrad"])
def test_a_run_that_goes_on_from_what_was_kept_ends_with_the_same_bits(name):
    module = network(batchnorm=True)
    task, scheme = task_of(module, (16, 8)), small(name)
    whole = trained(task, workers(2, scheme, module), 3)
    first = workers(2, scheme, module)
    state = trained(task, first, 1)
    second = workers(2, scheme, module, step=first.step, held=first.memories())
    rest = trained(task, second, 3, state)
    assert same(whole.weights, rest.weights)
    assert bool(first.memories()) == (name != "terngrad")


def test_memories_of_more_workers_are_refused():
    module = network()
    several = workers(3, small("topk"), module)
    trained(task_of(module), several, 1)
    with pytest.raises(WorkersError, match="one of 2 workers"):
        workers(2, small("topk"), module, held=several.memories())


def test_momentum_with_the_workers_is_the_optimizers_where_all_is_sent():
    module = network()
    task = task_of(module)
    corrected = Scheme(Largest(1.0), MomentumCorrection(masking=False))
    alone, together = trained(task, None, 4), trained(task, workers(2, corrected, module), 4)
    assert all(torch.allclose(alone.weights[n], together.weights[n], atol=1e-5) for n in alone.weights)


def test_dgc_sends_less_and_less_while_it_warms_up():
    exchange = Exchange(Scheme(Largest(0.001), warm_up=2), InOneProcess(1), {"w": (4096,)})
    sizes = []
    for step in range(12):
        before = exchange.wires.traffic.pushed
        exchange(["w"], [Share({"w": torch.randn(4096)})], [{}], step)
        sizes.append(exchange.wires.traffic.pushed - before)
    assert [4 * sent for sent in (1024, 256, 64, 16, 4)] < sizes[::2][:5]
    assert sizes[0] > 3 * sizes[2] > 9 * sizes[4]
    assert sizes[8] - sizes[10] == pytest.approx(0, abs=8)


def test_each_worker_is_clipped_to_its_share():
    exchange = Exchange(Scheme(clip=2.0), InOneProcess(4), {"a": (3,), "b": (2, 2)})
    long = Share({"a": torch.full((3,), 9.0), "b": torch.full((2, 2), 9.0)})
    short = Share({"a": torch.full((3,), 0.1), "b": torch.zeros(2, 2)})
    mean, _ = exchange(["a", "b"], [long] * 4, [{}] * 4, 0)
    assert float(torch.cat([g.reshape(-1) for g in mean.gradients.values()]).norm()) == pytest.approx(1.0)
    mean, _ = exchange(["a", "b"], [short] * 4, [{}] * 4, 1)
    assert torch.allclose(mean.gradients["a"], torch.full((3,), 0.1))


def test_running_statistics_are_those_of_worker_0():
    module = network(batchnorm=True)
    task = task_of(module, (8,))
    state = trained(task, workers(2, scheme_of("float32"), module), 1)
    inputs, _ = next(iter(task.batches("train", 0)))
    hidden = module[0](inputs[:4]).detach()
    assert torch.allclose(state.weights["1.running_mean"], 0.1 * hidden.mean(0), atol=1e-6)
    assert int(state.weights["1.num_batches_tracked"]) == 1


def test_a_tensor_that_no_loss_reaches_has_no_gradient_and_one_that_some_reach_counts_as_0():
    exchange = Exchange(Scheme(), InOneProcess(2), {"a": (2,), "b": (2,), "c": (0,)})
    gradient = {"a": torch.ones(2), "b": None, "c": torch.zeros(0)}
    mean, _ = exchange(["a", "b", "c"], [Share(gradient), Share({**gradient, "a": None})], [{}] * 2, 0)
    assert mean.gradients["a"].tolist() == [0.5, 0.5]
    assert "b" not in mean.gradients
    assert mean.gradients["c"].shape == (0,)


# --- what goes wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("name", SCHEMES)
def test_a_gradient_that_is_not_finite_is_an_error_that_names_worker_and_tensor(name, server):
    exchange = Exchange(small(name), InOneProcess(2), {"a": (3, 3), "fc.weight": (4, 5)}, server=server)
    good = {"a": torch.ones(3, 3), "fc.weight": torch.ones(4, 5)}
    for number in (float("nan"), float("inf")):
        bad = {**good, "fc.weight": torch.full((4, 5), number)}
        with pytest.raises(WorkersError, match=r"worker 1: the gradient of fc\.weight is NaN or infinite"):
            exchange(list(good), [Share(good), Share(bad)], [{}] * 2, 0)


@pytest.mark.parametrize("server", [False, True])
def test_gradients_that_add_up_to_more_than_a_number_holds_are_named(server):
    exchange = Exchange(Scheme(), InOneProcess(2), {"a": (2,)}, server=server)
    large = Share({"a": torch.full((2,), 3e38)})
    with pytest.raises(WorkersError, match="gradients of a add up to more than a float32 holds"):
        exchange(["a"], [large, large], [{}] * 2, 0)


def test_what_fails_on_one_worker_says_where():
    module = network()

    def loss(outputs, targets):
        if len(outputs) == 1:
            raise ValueError("one is too few")
        return nn.functional.cross_entropy(outputs, targets)

    task = replace(task_of(module, (9, 3)), loss=loss)
    with pytest.raises(WorkersError, match="worker 0: ValueError: one is too few") as caught:
        trained(task, workers(3, scheme_of("float32"), module))
    assert isinstance(caught.value.__cause__, ValueError)


def test_workers_with_different_batches_are_refused():
    exchange = Exchange(Scheme(), InOneProcess(2), {"a": (1,)})
    shares = [Share({"a": torch.ones(1)}, mark=mark) for mark in (1, 2)]
    with pytest.raises(WorkersError, match="different batches"):
        exchange(["a"], shares, [{}] * 2, 0)

"""The one training loop: pure in its inputs, reproducible to the bit, and honest when it diverges."""

import math

import pytest
import torch
from torch import Tensor, nn
from toys import (
    DOUBLE,
    NOTHING,
    Parameter,
    classifier,
    digits,
    exactly,
    full_batch,
    lbfgs,
    normal,
    random_quadratic,
    same_params,
    seeded_module,
    training_loss,
)

from laconic import AdaptiveCodebook
from laconic.errors import PlanError, WeightsError
from laconic.lc.state import QuadraticPenalty
from laconic.lc.steps import start
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.plans.plan import Plan
from laconic.training.loop import Penalty, derive_seed, minimise, seeded, train_epoch, trainable
from laconic.training.optimization import Optimization, adam, constant, cosine, nesterov
from laconic.training.task import Task, classification, mode
from laconic.training.trainer import start_training, train


def sgd(leaves, lr):
    return torch.optim.SGD(leaves, lr=lr)


# Minimising


@pytest.mark.parametrize("optimizer", [sgd, nesterov, adam, lbfgs(3).optimizer])
def test_it_leaves_weights_module_and_generator_as_they_were(optimizer):
    task = classifier(dropout=0.3)
    task.module[3].eval()
    params = params_of(task.module)
    copies = {name: tensor.clone() for name, tensor in params.items()}
    modes = [part.training for part in task.module.modules()]
    generator = torch.get_rng_state()
    new, loss = minimise(task, params, Optimization(1, 0.05, optimizer=optimizer), seed=1)
    assert same_params(params, copies)
    assert same_params(params_of(task.module), copies)
    assert all(parameter.grad is None for parameter in task.module.parameters())
    assert [part.training for part in task.module.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert list(new) == list(params)
    assert not any(tensor.requires_grad for tensor in new.values())
    assert not torch.equal(new["0.weight"], params["0.weight"])
    assert math.isfinite(loss)


def test_parameters_of_a_module_are_as_good_as_detached_ones():
    task = classifier()
    how = Optimization(1, 0.05)
    attached = {**dict(task.module.named_parameters()), **dict(task.module.named_buffers())}
    assert same_params(
        minimise(task, {name: attached[name] for name in params_of(task.module)}, how, 0)[0],
        minimise(task, params_of(task.module), how, 0)[0],
    )


@pytest.mark.parametrize("optimizer", [sgd, lbfgs().optimizer])
def test_it_finds_the_minimum(optimizer):
    problem = random_quadratic(6, seed=1, condition=5)
    new, loss = minimise(problem.task, {"w": normal(6, seed=9)}, Optimization(300, 0.2, optimizer=optimizer), 0)
    assert torch.allclose(new["w"], problem.centre, atol=1e-7)
    assert loss == pytest.approx(0, abs=1e-12)


def test_plain_gradient_descent_is_what_one_would_write_by_hand():
    problem = random_quadratic(5, seed=2)
    w = normal(5, seed=3)
    new, loss = minimise(problem.task, {"w": w}, Optimization(3, 0.02, cosine, optimizer=sgd), 0)
    for epoch in range(3):
        seen = problem.loss(w)
        w = w - 0.02 * cosine(epoch / 3) * problem.gradient(w)
    assert torch.allclose(new["w"], w, rtol=1e-13)
    assert loss == pytest.approx(float(seen))


def test_the_loss_is_the_mean_over_the_batches_of_the_last_epoch_without_penalty_and_decay():
    batches = [(torch.tensor(value, dtype=DOUBLE), NOTHING) for value in (1.0, 2.0, 6.0)]
    task = Task.of(
        Parameter(torch.ones(2, 2, dtype=DOUBLE)), lambda *_: batches, lambda w, batch: batch[0] + 0 * w.sum()
    )
    heavy = Optimization(2, 1e-6, weight_decay=5.0, optimizer=sgd)

    class Heavier(Penalty):
        def add_gradient(self, leaves):
            pass

        def value(self, leaves):
            return torch.tensor(100.0)

    _, loss = minimise(task, params_of(task.module), heavy, 0, Heavier())
    assert loss == pytest.approx(3.0)


def test_the_loss_is_that_before_the_steps_of_the_batch_also_where_the_optimizer_asks_again():
    problem = random_quadratic(5, seed=2)
    _, loss = minimise(problem.task, {"w": normal(5, seed=7)}, lbfgs(), 0)
    assert loss == pytest.approx(float(problem.loss(normal(5, seed=7))))


def test_no_epochs_give_the_weights_back():
    problem = random_quadratic(4, seed=1)
    new, loss = minimise(problem.task, problem.params, Optimization(0), 0)
    assert same_params(new, problem.params)
    assert new["w"] is not problem.centre
    assert math.isnan(loss)


def test_the_learning_rate_is_clipped_all_along():
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    problem = random_quadratic(4, seed=1)
    how = Optimization(4, 0.4, lambda progress: 1 - progress, optimizer=lambda leaves, lr: Watched(leaves, lr=lr))
    minimise(problem.task, problem.params, how, 0, max_lr=0.25)
    assert rates == pytest.approx([0.25, 0.25, 0.2, 0.1])


def test_weight_decay_is_the_gradient_of_half_alpha_w_squared_on_matrices_alone():
    matrix, vector = normal(3, 2, seed=1), normal(4, seed=2)
    module = nn.Module()
    module.matrix, module.vector = nn.Parameter(matrix), nn.Parameter(vector)
    module.forward = lambda _: (module.matrix**2).sum() * 0 + (module.vector * 0).sum()
    task = Task.of(module, full_batch(NOTHING, NOTHING), lambda outputs, _: outputs)
    new, _ = minimise(task, params_of(module), Optimization(1, 0.1, weight_decay=0.3, optimizer=sgd), 0)
    assert torch.allclose(new["matrix"], matrix - 0.1 * 0.3 * matrix, rtol=1e-13)
    assert torch.equal(new["vector"], vector)


def test_the_closure_returns_what_is_minimised_penalty_and_decay_too():
    """A line search needs the value: loss + penalty + (α/2) ‖w‖²."""
    problem = random_quadratic(6, seed=1, shape=(3, 2))
    state = start(problem.params, Plan({"w": AdaptiveCodebook(2)}))
    values = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            values.append((float(closure()), [p.clone() for p in self.param_groups[0]["params"]]))

    w = normal(3, 2, seed=4)
    how = Optimization(1, 0.1, weight_decay=0.7, optimizer=lambda leaves, lr: Watched(leaves, lr=lr))
    minimise(problem.task, {"w": w}, how, 0, QuadraticPenalty(state, 2.0))
    expected = problem.loss(w) + state.penalty({"w": w}, 2.0) + 0.35 * w.square().sum()
    assert values[0][0] == pytest.approx(float(expected), rel=1e-13)


def test_frozen_parameters_and_buffers_are_not_trained():
    task = classifier()
    task.module.get_parameter("0.weight").requires_grad_(False)
    params = params_of(task.module)
    assert trainable(task.module, params) == ["0.bias", "1.weight", "1.bias", "4.weight", "4.bias"]
    new, _ = minimise(task, params, Optimization(1, 0.1, weight_decay=0.1), 0)
    assert exactly(new["0.weight"], params["0.weight"])
    assert not torch.equal(new["4.weight"], params["4.weight"])
    assert not torch.equal(new["1.running_var"], params["1.running_var"])
    assert int(new["1.num_batches_tracked"]) == 6


class Tied(nn.Module):
    """One matrix under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 6, bias=False)
        self.decode = nn.Linear(6, 6)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(torch.tanh(self.encode(x)))


@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_tied_parameters_are_trained_as_one_by_either_name(optimizer):
    module, x = seeded_module(Tied), normal(20, 6).float()
    task = Task.of(module, full_batch(x, x), lambda outputs, batch: (outputs - batch[1]).square().mean())
    params = params_of(module)
    assert list(params) == ["encode.weight", "decode.bias"]
    how = Optimization(30, 0.1, optimizer=optimizer)
    new, _ = minimise(task, params, how, 0)
    assert training_loss(task, new) < training_loss(task, params)
    other = {"decode.weight": params["encode.weight"], "decode.bias": params["decode.bias"]}
    again, _ = minimise(task, other, how, 0)
    assert torch.equal(again["decode.weight"], new["encode.weight"])


@pytest.mark.parametrize(("optimizer", "epochs"), [(nesterov, 8), (adam, 8), (lbfgs(5).optimizer, 1)])
def test_a_network_with_batchnorm_trains_and_evaluates(optimizer, epochs: int):
    task = classifier()
    params = params_of(task.module)
    new, _ = minimise(task, params, Optimization(epochs, 0.05, optimizer=optimizer), 0)
    assert training_loss(task, new) < 0.6 * training_loss(task, params)


# Divergence


def test_a_loss_that_is_not_finite_is_refused():
    problem = random_quadratic(5, seed=1)
    with pytest.raises(WeightsError, match=r"diverged.*learning rate"):
        minimise(problem.task, {"w": normal(5, seed=12)}, Optimization(200, 1e9), 0)


def test_weights_that_are_not_finite_are_refused_though_the_loss_before_the_step_was():
    """The last step is the one that nobody has looked at."""
    problem = random_quadratic(5, seed=1)
    with pytest.raises(WeightsError, match="diverged"):
        minimise(problem.task, {"w": normal(5, seed=12) * 1e30}, Optimization(1, 1e300, optimizer=sgd), 0)


@pytest.mark.parametrize(
    "wrong", [{"epochs": -1}, {"lr": 0.0}, {"lr": -1.0}, {"lr": math.inf}, {"lr": math.nan}, {"weight_decay": -0.1}]
)
def test_impossible_optimizations_are_refused(wrong):
    with pytest.raises(PlanError, match="must"):
        Optimization(**{"epochs": 1, **wrong})


# Chance


def test_the_same_seed_gives_the_same_bits_with_dropout_and_another_seed_others():
    task = classifier(dropout=0.5)
    params, how = params_of(task.module), Optimization(2, 0.1)
    first, _ = minimise(task, params, how, 7)
    torch.rand(3)  # the global generator is none of its business
    assert same_params(minimise(task, params, how, 7)[0], first)
    assert not same_params(minimise(task, params, how, 8)[0], first)


def test_dropout_differs_from_epoch_to_epoch_and_batch_to_batch():
    masks = []

    class Mask(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(40))

        def forward(self, x: Tensor) -> Tensor:
            masks.append(torch.nn.functional.dropout(x, 0.5, self.training))
            return masks[-1] @ self.w

    data = Dataset("ones", {"train": (torch.ones(6, 40), torch.zeros(6))})
    task = Task.of(Mask(), lambda split, seed: data.batches(split, seed, 2), lambda outputs, _: outputs.mean())
    minimise(task, params_of(task.module), Optimization(2, 0.1), 0)
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 6


def test_the_global_generator_is_given_back_even_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), seeded(3):
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(3):
        first = torch.rand(2)
    with seeded(3):
        assert torch.equal(torch.rand(2), first)


def test_modes_are_given_back_one_by_one_even_after_an_error():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())
    module.train()
    module[0].eval()
    with mode(module, training=True):
        assert all(part.training for part in module.modules())
    with pytest.raises(ZeroDivisionError), mode(module, training=True):
        raise ZeroDivisionError
    assert [part.training for part in module.modules()] == [True, False, True]


def test_derived_seeds_are_functions_of_all_numbers_in_their_order():
    seeds = [derive_seed(seed, step) for seed in (0, 1, 2, 2**31, 2**62 + 5) for step in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(3, 4) == derive_seed(3, 4)
    assert torch.Generator().manual_seed(max(seeds)).initial_seed() == max(seeds)


def test_annealing():
    assert [constant(x) for x in (0.0, 0.5, 1.0)] == [1, 1, 1]
    assert [cosine(x) for x in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])


# Reference training


@pytest.mark.parametrize("optimizer", [sgd, nesterov, adam])
def test_training_resumed_after_any_epoch_ends_with_the_same_bits(optimizer):
    task = classifier(dropout=0.2)
    how = Optimization(4, 0.05, cosine, weight_decay=1e-3, optimizer=optimizer)
    states = list(train(task, start_training(params_of(task.module)), how, seed=3))
    assert [state.epoch for state in states] == [1, 2, 3, 4]
    for state in states:
        rest = list(train(task, state, how, seed=3))
        assert len(rest) == 4 - state.epoch
        for again, whole in zip(rest, states[state.epoch :], strict=True):
            assert same_params(again.weights, whole.weights)
            assert same_params(again.momentum, whole.momentum)
            assert again.loss == whole.loss


def test_training_states_do_not_change_once_they_are_out():
    task = classifier()
    states = train(task, start_training(params_of(task.module)), Optimization(3, 0.1), 0)
    first = next(states)
    copies = {name: tensor.clone() for name, tensor in first.weights.items()}
    list(states)
    assert same_params(first.weights, copies)
    held = first.momentum["0.weight/momentum_buffer"].clone()
    list(train(task, first, Optimization(3, 0.1), 0))
    assert exactly(first.momentum["0.weight/momentum_buffer"], held)
    assert same_params(first.weights, copies)


def test_training_and_minimising_are_the_same_loop():
    task = classifier(dropout=0.2)
    how = Optimization(3, 0.05, weight_decay=1e-3)
    *_, end = train(task, start_training(params_of(task.module)), how, seed=5)
    weights, loss = minimise(task, params_of(task.module), how, 5)
    assert same_params(end.weights, weights)
    assert end.loss == loss


def test_a_caller_between_epochs_finds_the_module_in_its_own_mode():
    task = classifier()
    task.module.eval()
    for _ in train(task, start_training(params_of(task.module)), Optimization(2, 0.05), 0):
        assert not task.module.training


def test_an_empty_pass_has_no_loss():
    task = Task.of(Parameter(torch.ones(2)), lambda *_: [], lambda w, _: w.sum())
    leaves = {"w": torch.ones(2, requires_grad=True)}
    assert math.isnan(train_epoch(task, leaves, lambda: leaves, sgd(list(leaves.values()), 0.1), 0))


def test_digits_are_learned():
    pixels, labels = digits(400)
    data = Dataset("digits", {"train": (pixels, labels)}, classes=10)
    task = classification(seeded_module(lambda: nn.Linear(64, 10)), data, batch=50)
    *_, end = train(task, start_training(params_of(task.module)), Optimization(8, 0.2), 0)
    assert task.evaluate(end.weights, "train")["error"] < 5

"""The LC loop: L steps by any optimizer, the account of progress, going on after a stop, baselines."""

import math

import pytest
import torch
from torch import Tensor
from toys import (
    DOUBLE,
    Binary,
    Point,
    Quadratic,
    classifier,
    exactly,
    last,
    lbfgs,
    normal,
    random_quadratic,
    same_params,
    same_state,
    trained,
    training_loss,
)

from laconic import AdaptiveCodebook, Joint, KeepLargest, Lossless, LowRank
from laconic.errors import PlanError, WeightsError
from laconic.lc.baselines import iterated_direct
from laconic.lc.finetune import finetune
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Geometric
from laconic.lc.state import LCState
from laconic.lc.steps import c_step, run, start
from laconic.models.params import decompress, params_of
from laconic.plans.plan import Plan, weights_only
from laconic.theory.metric import Diagonal
from laconic.training.optimization import Optimization, adam, nesterov
from laconic.training.task import Task

PARAMS = {"a": normal(4, 3, seed=1), "b": normal(5, seed=2), "free": normal(3, seed=3)}
PLAN = Plan({"a": KeepLargest(count=5), "b": AdaptiveCodebook(2)}, rest=Lossless())


# The L step


class Recorder:
    """Make SGD and keep the learning rate of every step, as it is when the step is taken."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def __call__(self, leaves, lr):
        recorder = self

        class Watched(torch.optim.SGD):
            def step(self, closure=None):
                recorder.rates += [group["lr"] for group in self.param_groups]
                return super().step(closure)

        return Watched(leaves, lr=lr)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_learning_rate_never_exceeds_one_over_mu_times_the_largest_importance(weighted: bool):
    problem = random_quadratic(6, seed=1)
    metrics = {"w": Diagonal(normal(6, seed=2).exp())} if weighted else None
    recorder = Recorder()
    how = Optimization(epochs=3, lr=0.05, anneal=lambda progress: 1 - progress / 2, optimizer=recorder)
    state = start(problem.params, Plan({"w": AdaptiveCodebook(2)}), metrics)
    largest = state.max_importance()
    assert (largest > 1) == weighted
    for reached in run(state, LearningStep(problem.task, how, decay=0.9), Geometric(0.1, 3.0, 8)):
        if recorder.rates:
            step, bound = reached.progress.step - 1, 1 / (reached.progress.mu * largest)
            plain = [0.05 * 0.9**step * (1 - e / 3 / 2) for e in range(3)]
            assert recorder.rates == pytest.approx([min(rate, bound) for rate in plain])
            recorder.rates.clear()
    assert bound < 0.01


OPTIMIZERS = {
    "SGD": lambda leaves, lr: torch.optim.SGD(leaves, lr=lr),
    "Nesterov": nesterov,
    "Adam": adam,
    "AdamW": lambda leaves, lr: torch.optim.AdamW(leaves, lr=lr, weight_decay=0.0),
    "RMSprop": lambda leaves, lr: torch.optim.RMSprop(leaves, lr=lr),
    "Adagrad": lambda leaves, lr: torch.optim.Adagrad(leaves, lr=lr),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_of_torch_solves_the_l_step(name: str):
    problem = random_quadratic(5, seed=6, condition=4)
    state = start(problem.params, Plan({"w": AdaptiveCodebook(2)}))
    how = Optimization(epochs=120, lr=0.1, anneal=lambda progress: 1 - progress, optimizer=OPTIMIZERS[name])
    weights, loss = LearningStep(problem.task, how)(state, 1.0)
    exact, _ = problem(state, 1.0)
    assert torch.allclose(weights["w"], exact["w"], atol=2e-3)
    assert loss == pytest.approx(float(problem.loss(exact["w"])), rel=0.02)


def test_lbfgs_with_its_closure_solves_the_l_step_by_its_line_search():
    problem = random_quadratic(8, seed=6, condition=30)
    state = start(problem.params, Plan({"w": KeepLargest(count=3)}))
    weights, _ = LearningStep(problem.task, lbfgs())(state, 3.0)
    assert torch.allclose(weights["w"], problem(state, 3.0)[0]["w"], rtol=0, atol=1e-7)


def test_a_solver_of_ones_own_may_return_what_it_moves_alone_and_even_what_it_was_given():
    problem = random_quadratic(4, seed=2)
    state = start({**problem.params, "bias": normal(2)}, Plan({"w": AdaptiveCodebook(2)}, rest=Lossless()))
    parameter = torch.nn.Parameter(problem(state, 1.0)[0]["w"])
    after = last(run(state, lambda state, mu: ({"w": parameter}, 0.5), Geometric(1.0, 1.0, 1)))
    assert torch.equal(after.weights["w"], parameter)
    assert not after.weights["w"].requires_grad
    assert exactly(after.weights["bias"], state.weights["bias"])
    assert after.progress.loss == 0.5
    with torch.no_grad():
        parameter.zero_()
    assert after.weights["w"].count_nonzero() == 4


@pytest.mark.parametrize("rate", [0.05, 3.0])
def test_a_learning_rate_that_raises_what_the_first_step_lowers_is_told(rate: float, caplog: pytest.LogCaptureFixture):
    task = classifier()
    state = start(trained(task, 6), weights_only(AdaptiveCodebook(2), params_of(task.module)))
    caplog.set_level("WARNING", "laconic")  # a command may have chosen another one
    step = LearningStep(task, Optimization(1, rate))
    weights, _ = step(state, 0.01)
    raised = ["rate 3 is too large for this network; try 0.3" in record.getMessage() for record in caplog.records]
    assert raised == [True] * (rate > 0.5)
    caplog.clear()
    step(c_step(state, weights, 0.01), 0.01)
    assert not caplog.records, "once, for a run"


def test_an_l_step_leaves_its_state_and_the_module_as_they_were():
    task = classifier()
    state = start(trained(task, 2), weights_only(AdaptiveCodebook(2), params_of(task.module)))
    module, copy = params_of(task.module), {n: t.clone() for n, t in params_of(task.module).items()}
    before = {name: tensor.clone() for name, tensor in state.weights.items()}
    weights, _ = LearningStep(task, Optimization(1, 0.1))(state, 0.1)
    assert same_params(before, state.weights)
    assert same_params(module, copy)
    assert not same_params(before, weights)


def test_every_l_step_has_batches_of_its_own():
    task = classifier(samples=100)
    orders = []

    def batches(split: str, seed: int):
        for inputs, labels in task.batches(split, seed):
            if torch.is_grad_enabled():  # those that are trained on
                orders.append(tuple(labels.tolist()))
            yield inputs, labels

    state = start(params_of(task.module), weights_only(AdaptiveCodebook(2), params_of(task.module)))
    l_step = LearningStep(
        Task.of(task.module, batches, task.loss, task.measures, task.metadata), Optimization(2, 0.01), seed=1
    )
    last(run(state, l_step, Geometric(0.01, 1.0, 3)))
    other = LearningStep(
        Task.of(task.module, batches, task.loss, task.measures, task.metadata), Optimization(2, 0.01), seed=2
    )
    last(run(state, other, Geometric(0.01, 1.0, 1)))
    assert len(set(orders)) == len(orders) == 2 * 2 * 3 + 2 * 2


# Progress


def count_moves(before: LCState, after: LCState) -> tuple[float | None, float | None]:
    """Changed choices, and pruned weights that came back, by counting one weight at a time."""
    changed = choices = returned = pruned = 0
    for name in before.codes:
        old, new = before.codes[name].labels(), after.codes[name].labels()
        for a, b in zip([] if old is None else old.tolist(), [] if new is None else new.tolist(), strict=True):
            choices += 1
            changed += a != b
            pruned += a == 0
            returned += a == 0 and b != 0
    return changed / choices if choices else None, returned / pruned if pruned else None


def naive_gap(state: LCState) -> float:
    apart = sum(float((state.weights[name] - state.compressed[name]).square().sum()) for name in state.codes)
    return math.sqrt(apart / sum(float(state.weights[name].square().sum()) for name in state.codes))


@pytest.mark.parametrize(
    "plan",
    [
        Plan({"a": KeepLargest(count=5), "b": AdaptiveCodebook(2)}, rest=Lossless()),
        Plan({"*": Joint(KeepLargest(count=8, values=AdaptiveCodebook(2)))}),
        Plan({"a": LowRank(1), "b": AdaptiveCodebook(2)}, rest=Lossless()),
        Plan({"a": LowRank(1)}, rest=Lossless()),
    ],
)
def test_progress_is_what_a_naive_count_says(plan: Plan):
    noise = torch.Generator().manual_seed(0)

    def wander(state: LCState, mu: float) -> tuple[dict[str, Tensor], float]:
        moved = {n: t + torch.randn(t.shape, generator=noise, dtype=DOUBLE) / 2 for n, t in state.weights.items()}
        return moved, mu / 8

    before = start(PARAMS, plan)
    assert (before.progress.step, before.progress.mu) == (0, 0.0)
    assert math.isnan(before.progress.loss)
    assert before.progress.gap == pytest.approx(naive_gap(before))
    moved = []
    for state in list(run(before, wander, Geometric(0.5, 2.0, 6)))[1:]:
        step = before.progress.step + 1
        assert (state.progress.step, state.progress.mu, state.progress.loss) == (step, 2.0**step / 4, 2.0**step / 32)
        assert (state.progress.changed, state.progress.returned) == count_moves(before, state)
        assert state.progress.gap == pytest.approx(naive_gap(state))
        moved.append(state.progress.changed)
        before = state
    assert moved == [None] * 6 if "b" not in before.codes else max(moved) > 0


def test_pruned_weights_come_back_and_stay_in_the_end():
    problem = random_quadratic(12, seed=1, condition=20)
    states = list(run(start(problem.params, Plan({"w": KeepLargest(count=4)})), problem, Geometric(0.01, 1.2, 50)))
    returned = [state.progress.returned for state in states]
    assert returned[0] is None
    assert max(returned[1:]) > 0
    assert returned[-1] == 0
    first, end = (state.codes["w"].labels() for state in (states[0], states[-1]))
    assert ((first == 0) & (end != 0)).any()
    losses = [float(problem.loss(state.compressed["w"])) for state in (states[0], states[-1])]
    assert losses[1] < 0.6 * losses[0]


def test_only_pruned_weights_that_come_back_have_returned():
    """Zeros are never kept, so that more go than come back, and then more come back than go."""
    w = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0], dtype=DOUBLE)
    state = start({"w": w}, Plan({"w": KeepLargest(count=3)}))
    fewer = c_step(state, {"w": torch.tensor([5.0, 0, 0, 0, 1], dtype=DOUBLE)}, 0.0)
    more = c_step(fewer, {"w": w}, 0.0)
    assert fewer.codes["w"].labels().tolist() == [1, 0, 0, 0, 1]
    assert (fewer.progress.changed, fewer.progress.returned) == (3 / 5, 1 / 2)
    assert (more.progress.changed, more.progress.returned) == (3 / 5, 2 / 3)


def test_the_c_step_is_given_the_last_codes_of_its_own_row_to_start_from():
    seen = []

    class Watched(Binary):
        def project(self, weights, metrics=None, warm=None):
            seen.append((list(weights), warm))
            return super().project(weights, metrics, warm)

    first = start(PARAMS, Plan({"a, b": Joint(Watched())}, rest=Lossless()))
    c_step(first, PARAMS, 1.0)
    assert seen == [(["a", "b"], None), (["a", "b"], dict(first.codes))]


def test_the_gap_of_zero_weights_is_zero_or_infinite():
    zeros = {"w": torch.zeros(3)}
    assert start(zeros, Plan({"w": AdaptiveCodebook(2)})).progress.gap == 0
    assert start(zeros, Plan({"w": Point({"w": torch.ones(3)})})).progress.gap == math.inf


def test_a_state_gives_the_feasible_network():
    state = start(PARAMS, PLAN)
    assert state.params.keys() == PARAMS.keys()
    assert exactly(state.params["free"], PARAMS["free"])
    assert same_params({n: state.params[n] for n in state.codes}, decompress(state.codes))


def test_start_names_what_does_not_fit():
    with pytest.raises(PlanError, match="pattern 'c' matches no tensor"):
        start(PARAMS, Plan({"a": KeepLargest(count=5), "c": AdaptiveCodebook(2)}))
    with pytest.raises(WeightsError, match="b: 1 of 5"):
        start({**PARAMS, "b": torch.tensor([1.0, float("nan"), 2, 3, 4])}, PLAN)


# The loop


def job(dropout: float = 0.2) -> tuple[LCState, LearningStep]:
    """Codebook and pruning on a network with BatchNorm and dropout."""
    task = classifier(dropout=dropout)
    plan = Plan({"0.weight": KeepLargest(0.1), "4.weight": AdaptiveCodebook(2)}, rest=Lossless())
    return start(trained(task, 4), plan), LearningStep(task, Optimization(2, 0.05, weight_decay=1e-4), seed=3)


def test_a_run_goes_on_from_any_state_that_it_has_yielded_to_the_same_bits():
    state, l_step = job()
    schedule = Geometric(0.01, 1.5, 5)
    whole = list(run(state, l_step, schedule))
    assert len(whole) == 6
    for stop, reached in enumerate(whole):
        rest = list(run(reached, l_step, schedule))
        assert len(rest) == 6 - stop
        assert all(same_state(a, b) for a, b in zip(rest, whole[stop:], strict=True))


def test_buffers_of_batchnorm_are_carried_along_and_are_trained():
    state, l_step = job()
    end = last(run(state, l_step, Geometric(0.01, 1.5, 2)))
    assert int(end.weights["1.num_batches_tracked"]) == int(state.weights["1.num_batches_tracked"]) + 2 * 2 * 6
    assert not torch.equal(end.weights["1.running_mean"], state.weights["1.running_mean"])


def test_the_loop_stops_where_the_schedule_says_and_the_caller_may_stop_before():
    problem = random_quadratic(6, seed=3)
    state = start(problem.params, Plan({"w": AdaptiveCodebook(2)}))
    by_gap = list(run(state, problem, Geometric(0.1, 1.5, 100, tolerance=1e-2)))
    assert len(by_gap) < 50
    assert by_gap[-1].progress.gap < 1e-2 <= by_gap[-2].progress.gap
    for reached in run(state, problem, Geometric(0.1, 1.5, 100)):
        if reached.progress.step == 3:
            break
    assert same_state(reached, by_gap[3])


def test_without_multipliers_lambda_stays_zero():
    problem = random_quadratic(6, seed=3)
    states = run(start(problem.params, Plan({"w": AdaptiveCodebook(2)})), problem, Geometric(1, 2, 5), augmented=False)
    assert all(state.multipliers["w"].count_nonzero() == 0 for state in states)


# Baselines


def test_iterated_direct_compression_trains_the_loss_alone_from_the_compressed_network():
    problem = Quadratic(torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE)), normal(3, seed=4))
    seen = []

    def half_way(state: LCState, mu: float) -> tuple[dict[str, Tensor], float]:
        seen.append((state.weights["w"].clone(), state.compressed["w"].clone(), mu))
        return {"w": (state.weights["w"] + problem.centre) / 2}, 0.25

    direct = start(problem.params, Plan({"w": KeepLargest(count=2)}))
    states = list(iterated_direct(direct, half_way, 4))
    assert [state.progress.step for state in states] == [0, 1, 2, 3, 4]
    assert len(seen) == 4
    for start_of_round, compressed, mu in seen:
        assert mu == 0
        assert exactly(start_of_round, compressed)
    for state in states[1:]:
        assert state.multipliers["w"].count_nonzero() == 0
        assert torch.equal(state.compressed["w"], start(state.weights, Plan({"w": KeepLargest(count=2)})).params["w"])
        assert (state.progress.mu, state.progress.loss) == (0.0, 0.25)


def test_iterated_direct_compression_with_training_does_not_settle_where_lc_does():
    problem = random_quadratic(8, seed=5)
    direct = start(problem.params, Plan({"w": AdaptiveCodebook(2)}))
    rounds = [state.progress.gap for state in iterated_direct(direct, LearningStep(problem.task, lbfgs()), 4)]
    assert min(rounds) == pytest.approx(rounds[0])  # back to the reference in every round
    assert last(run(direct, problem, Geometric(0.1, 1.2, 60))).progress.gap < 1e-3


def test_mask_and_retrain_keeps_mask_and_assignments_and_lowers_the_loss():
    task = classifier()
    params = trained(task)
    plan = Plan({"0.weight": KeepLargest(0.1), "4.weight": AdaptiveCodebook(2)}, rest=Lossless())
    state = start(params, plan)
    codes = {**Lossless().project(params), **state.codes}
    after = finetune(task, codes, Optimization(5, 1e-2, optimizer=adam), seed=1)
    for name, code in state.codes.items():
        assert after[name].labels().tolist() == code.labels().tolist()
    assert training_loss(task, decompress(after)) < training_loss(task, state.params)

"""Prices and bounds that shrink what stays: once they have chosen, that is undone. Prices that must grow do."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from toys import classifier, last, normal, random_quadratic, trained

import laconic
from laconic import (
    AdaptiveCodebook,
    Compression,
    GroupPenalty,
    Groups,
    Joint,
    L0Penalty,
    L1Ball,
    L1Penalty,
    LearnedRank,
    Lossless,
    NuclearNorm,
    Plan,
    Training,
)
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.schedule import Geometric
from laconic.lc.state import LCState
from laconic.lc.steps import c_step, relaxed, run, start
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task

SHRINKING = [L1Penalty(3.0), L1Ball(radius=3.0), GroupPenalty(Groups("filters"), 4.0)]


@pytest.mark.parametrize("compression", SHRINKING, ids=lambda one: type(one).__name__)
def test_what_stays_has_the_least_loss_once_the_price_has_chosen(compression: Compression):
    problem = random_quadratic(12, seed=9, shape=(4, 3))
    chosen = last(run(start(problem.params, Plan({"w": compression})), problem, Geometric(0.05, 1.08, 150)))
    support = chosen.compressed["w"].flatten() != 0
    assert 0 < int(support.sum()) < 12
    begun = relaxed(chosen)
    assert relaxed(begun) is None
    w = last(run(begun, problem, Geometric(0.05, 1.08, 150))).compressed["w"].flatten()
    best = torch.zeros(12, dtype=torch.float64)
    hessian, centre = problem.hessian, problem.centre.flatten()
    best[support] = torch.linalg.solve(hessian[support][:, support], (hessian @ centre)[support])
    assert torch.equal(w != 0, support)
    assert torch.allclose(w, best, atol=1e-5)
    assert float(problem.loss(w.view(4, 3))) < float(problem.loss(chosen.compressed["w"]))


def test_a_nuclear_price_leaves_the_best_network_of_its_ranks():
    problem = random_quadratic(20, seed=4, condition=1.0, shape=(4, 5))
    plan = Plan({"w": Joint(NuclearNorm(1.2))})
    chosen = last(run(start(problem.params, plan), problem, Geometric(0.1, 1.2, 60)))
    rank = chosen.codes["w"].rank
    assert 0 < rank < 4
    w = last(run(relaxed(chosen), problem, Geometric(0.1, 1.2, 60))).compressed["w"]
    u, s, vh = torch.linalg.svd(problem.centre, full_matrices=False)
    assert torch.allclose(w, (u[:, :rank] * s[:rank]) @ vh[:rank], atol=1e-5)


def test_what_nothing_shrinks_goes_no_further():
    problem = random_quadratic(12, seed=9, shape=(4, 3))
    for compression in (LearnedRank(0.1), AdaptiveCodebook(2)):
        assert (
            relaxed(last(run(start(problem.params, Plan({"w": compression})), problem, Geometric(0.1, 2, 3)))) is None
        )


def test_a_price_that_must_grow_is_the_same_in_every_c_step_until_mu_is_400_times_the_first():
    """Of a rank that is gone nothing comes back: at a small μ, 2α/μ would be more than any rank is worth."""
    u, v = (torch.linalg.qr(normal(8, 8, seed=seed).double())[0] for seed in (1, 2))
    sizes = torch.tensor([8.0, 4.0, 2.0, *[0.01] * 5]).double()
    w, price, first = {"w": u * sizes @ v.T}, 0.04, 1e-4
    began = start(w, Plan({"w": LearnedRank(price)}), mu=first)
    least = [LearnedRank(price * 2 / (times * first)).project(w)["w"].rank for times in (400, 4000)]
    assert 0 < least[0] < least[1] < 8
    ranks = [c_step(began, w, times * first, augmented=False).codes["w"].rank for times in (1, 20, 400, 4000)]
    assert [began.codes["w"].rank, *ranks] == [least[0]] * 4 + [least[1]]
    assert c_step(start(w, Plan({"w": LearnedRank(price)})), w, first).codes["w"].rank == 0


HOW = Training(steps=8, l_step=Optimization(1, 0.05), growth=1.3, finetune=Optimization(1, 1e-3, optimizer=adam))
PLAN = Plan(
    {
        "0.weight": L1Penalty(5e-4, values=AdaptiveCodebook(4)),
        "4.weight": Joint(L1Ball(share=0.3, values=AdaptiveCodebook(4))),
    },
    rest=Lossless(),
)


@cache
def network() -> tuple[Task, dict[str, torch.Tensor]]:
    task = classifier(samples=300, batch=20, hidden=20)
    return task, trained(task, 12, 0.05)


@cache
def path() -> tuple[laconic.Result, list[LCState]]:
    states = list[LCState]()
    task, params = network()
    return laconic.compress(params, PLAN, task, "train", training=HOW, watch=states.append), states


def test_half_of_the_steps_choose_and_the_rest_keep_the_choice():
    result, states = path()
    steps = [state for state in states if state.tuning is None]
    assert [one.step for one in result.history] == list(range(len(result.history)))
    assert [state.began for state in steps] == [0] * 5 + [5] * (len(steps) - 5)
    assert len(steps) <= HOW.steps + 2
    assert steps[6].progress.mu == steps[1].progress.mu
    chosen = {name: steps[4].compressed[name] != 0 for name in PLAN.tensors}
    for name, mask in chosen.items():
        assert 0 < int(mask.sum()) < mask.numel(), name
        assert not np.any(result.params[name][~mask].numpy())
        assert len(result.params[name].unique()) <= 5


@pytest.mark.parametrize("at", [3, 6])
def test_a_run_that_is_resumed_before_or_after_the_choice_ends_with_the_same_file(tmp_path, at):
    task, params = network()
    whole, states = path()
    file, job = tmp_path / "a.checkpoint", {"job": "this"}
    save_state(file, states[at], job, [states[at].progress])
    state, _ = load_state(file, states[0], job)
    assert state.rows == states[at].rows
    result = laconic.compress(params, PLAN, task, "train", training=HOW, resume=state)
    result.save(tmp_path / "a.lac"), whole.save(tmp_path / "b.lac")
    assert (tmp_path / "a.lac").read_bytes() == (tmp_path / "b.lac").read_bytes()


def test_a_network_that_a_price_leaves_as_it_is_at_first_is_trained_all_the_same():
    task, params = network()
    dear = Plan({"0.weight": L0Penalty(1e-12)}, rest=Lossless())
    result = laconic.compress(params, dear, task, "train", training=replace(HOW, steps=2))
    assert result.history[0].gap == 0
    assert len(result.history) > 1

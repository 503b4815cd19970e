"""The LC algorithm against problems whose answer is known: closed forms, exhaustive search, paths."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import DOUBLE, Binary, Fixed, Point, Quadratic, last, lbfgs, normal, random_quadratic

from laconic import AdaptiveCodebook, Compression, KeepLargest, LowRank
from laconic.lc.baselines import iterated_direct
from laconic.lc.finetune import finetune
from laconic.lc.l_step import LearningStep
from laconic.lc.schedule import Geometric
from laconic.lc.state import LCState
from laconic.lc.steps import run, start
from laconic.plans.plan import Plan
from laconic.theory.metric import Diagonal

# Reduced-rank regression: min over rank(W) ≤ r of ‖Y − X Wᵀ‖² / 2n


def regression_of(seed: int) -> tuple[Tensor, Quadratic]:
    """Inputs of six correlated features, and the least-squares loss around its unconstrained solution (5 outputs)."""
    x = normal(60, 6, seed=seed) * torch.linspace(1, 0.4, 6, dtype=DOUBLE)
    return x, Quadratic(torch.kron(torch.eye(5, dtype=DOUBLE), x.T @ x / 60), normal(5, 6, seed=seed + 100))


def reduced_rank(x: Tensor, problem: Quadratic, rank: int) -> Tensor:
    """The closed form (Izenman 1975): project the fitted outputs on their first principal directions."""
    u, _, _ = torch.linalg.svd(problem.centre @ x.T, full_matrices=False)
    return u[:, :rank] @ u[:, :rank].T @ problem.centre


def descend_on_factors(problem: Quadratic, rank: int, steps: int = 1000, lr: float = 0.05) -> float:
    """Gradient descent on W = A B from the truncated SVD of the reference."""
    u, s, vh = torch.linalg.svd(problem.centre, full_matrices=False)
    a, b = u[:, :rank] * s[:rank].sqrt(), s[:rank].sqrt()[:, None] * vh[:rank]
    for _ in range(steps):
        gradient = problem.gradient(a @ b)
        a, b = a - lr * gradient @ b.T, b - lr * a.T @ gradient
    return float(problem.loss(a @ b))


def alternate_on_factors(x: Tensor, problem: Quadratic, rank: int, sweeps: int = 200) -> float:
    """Least squares for A and B in turn from the truncated SVD of the reference."""
    second = x.T @ x / len(x)
    b = torch.linalg.svd(problem.centre, full_matrices=False)[2][:rank]
    for _ in range(sweeps):
        a = problem.centre @ second @ b.T @ torch.linalg.inv(b @ second @ b.T)
        b = torch.linalg.lstsq(a, problem.centre).solution
    return float(problem.loss(a @ b))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_low_rank_regression_reaches_the_closed_form_and_no_other_method_is_below(rank: int):
    x, problem = regression_of(seed=rank)
    state = last(run(start(problem.params, Plan({"w": LowRank(rank)})), problem, Geometric(0.1, 1.05, 130)))
    w = state.compressed["w"]
    best = float(problem.loss(reduced_rank(x, problem, rank)))
    assert torch.linalg.matrix_rank(w) == rank
    assert float(problem.loss(w)) == pytest.approx(best, rel=1e-6)
    assert torch.allclose(w, reduced_rank(x, problem, rank), atol=1e-3)
    assert float(problem.loss(w)) <= descend_on_factors(problem, rank) + 1e-6 * best
    assert float(problem.loss(w)) <= alternate_on_factors(x, problem, rank) + 1e-6 * best


# Fixed assignments: a convex problem with a closed form, through a compression defined outside the library


def membership(groups: tuple[int, ...]) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(groups)).double()


def shared_values(problem: Quadratic, groups: tuple[int, ...]) -> Tensor:
    """c = (ZᵀHZ)⁻¹ ZᵀH w̄."""
    z = membership(groups)
    return torch.linalg.solve(z.T @ problem.hessian @ z, z.T @ problem.hessian @ problem.centre.reshape(-1))


GROUPS = (0, 1, 0, 2, 1, 2, 2, 0)


@pytest.mark.parametrize("weighted", [False, True])
def test_fixed_assignments_reach_the_closed_form_of_shared_weights(weighted: bool):
    problem = random_quadratic(8, seed=3, shape=(2, 4))
    metrics = {"w": Diagonal(torch.linspace(0.2, 3, 8, dtype=DOUBLE).view(2, 4))} if weighted else None
    state = start(problem.params, Plan({"w": Fixed(GROUPS)}), metrics)
    state = last(run(state, problem, Geometric(0.1, 1.05, 250)))
    expected = membership(GROUPS) @ shared_values(problem, GROUPS)
    assert torch.allclose(state.compressed["w"].reshape(-1), expected, rtol=1e-5, atol=1e-5)


def test_without_multipliers_the_answer_is_as_near_as_mu_is_slow():
    """One L step for each μ: the penalty method freezes where μ outgrows the Hessian, off by about growth − 1."""
    problem = random_quadratic(8, seed=3)
    expected = membership(GROUPS) @ shared_values(problem, GROUPS)
    direct = start(problem.params, Plan({"w": Fixed(GROUPS)}))

    def error(growth: float, steps: int) -> float:
        state = last(run(direct, problem, Geometric(0.1, growth, steps), augmented=False))
        return float((state.compressed["w"] - expected).norm() / expected.norm())

    fast, slow = error(1.2, 60), error(1.05, 220)
    assert slow < fast / 2
    assert slow < 0.1


def test_direct_compression_is_provably_not_optimal_and_lc_is():
    """With one shared value the problem is convex: its answer is the mean that the Hessian weights, not the mean."""
    problem = Quadratic(torch.diag(torch.tensor([1.0, 9.0], dtype=DOUBLE)), torch.tensor([0.0, 1.0], dtype=DOUBLE))
    direct = start(problem.params, Plan({"w": AdaptiveCodebook(1)}))
    state = last(run(direct, problem, Geometric(0.1, 1.1, 100)))
    assert direct.compressed["w"].tolist() == [0.5, 0.5]
    assert state.compressed["w"].tolist() == pytest.approx([0.9, 0.9], abs=1e-9)


def test_where_the_largest_weight_matters_least_only_lc_finds_the_weight_to_keep():
    """Keep one of two: magnitude keeps the first for ever, but the loss is least without it (0.5 against 4.05)."""
    hessian, centre = torch.tensor([1.0, 10.0], dtype=DOUBLE), torch.tensor([1.0, 0.9], dtype=DOUBLE)
    problem = Quadratic(torch.diag(hessian), centre)
    direct = start(problem.params, Plan({"w": KeepLargest(count=1)}))
    state = last(run(direct, problem, Geometric(1e-2, 1.2, 60)))
    retrained = finetune(problem.task, direct.codes, lbfgs())["w"].decompress()
    iterated = last(iterated_direct(direct, problem, 5))
    losses = [float(problem.loss(torch.tensor(w))) for w in ((1.0, 0.0), (0.0, 0.9))]
    assert losses == pytest.approx([4.05, 0.5])
    assert retrained.tolist() == pytest.approx([1, 0])
    assert iterated.compressed["w"].tolist() == pytest.approx([1, 0])
    assert state.compressed["w"].tolist() == pytest.approx([0, 0.9], abs=1e-6)


# Exhaustive search


def least_with_values(problem: Quadratic, entries: int) -> float:
    """The least loss over all assignments of the weights to ``entries`` values, each with its optimal values."""
    count = problem.centre.numel()
    hessian, centre = problem.hessian.numpy(), problem.centre.numpy()
    assignments = np.array([(0, *rest) for rest in itertools.product(range(entries), repeat=count - 1)])
    z = (assignments[:, :, None] == np.arange(entries)).astype(float)
    normal_matrices = np.einsum("bik,ij,bjl->bkl", z, hessian, z) + 1e-12 * np.eye(entries)
    values = np.linalg.solve(normal_matrices, np.einsum("bik,i->bk", z, hessian @ centre)[..., None])[..., 0]
    apart = np.einsum("bik,bk->bi", z, values) - centre
    return float(0.5 * np.einsum("bi,ij,bj->b", apart, hessian, apart).min())


def least_binary(problem: Quadratic) -> float:
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=problem.centre.numel())), dtype=DOUBLE)
    return min(float(problem.loss(w)) for w in signs)


def least_pruned(problem: Quadratic, count: int) -> float:
    """The least loss over all sets of ``count`` weights that stay, each with its optimal values."""
    found = []
    for kept in map(list, itertools.combinations(range(problem.centre.numel()), count)):
        w = torch.zeros_like(problem.centre)
        right = (problem.hessian @ problem.centre)[kept]
        w[kept] = torch.linalg.solve(problem.hessian[kept][:, kept], right)
        found.append(float(problem.loss(w)))
    return min(found)


SEARCHES = {
    "two values": (AdaptiveCodebook(2), lambda problem: least_with_values(problem, 2)),
    "binary": (Binary(), least_binary),
    "three survivors": (KeepLargest(count=3), lambda problem: least_pruned(problem, 3)),
}


def share_found(compression: Compression, search, condition: float, problems: int = 10) -> tuple[float, float]:
    """The shares of random problems of 7 weights on which LC and direct compression reach the optimum."""
    found = direct = 0
    for seed in range(problems):
        problem = random_quadratic(7, 1000 + 7 * seed, condition)
        first = start(problem.params, Plan({"w": compression}))
        state = last(run(first, problem, Geometric(1e-2, 1.15, 70)))
        bound = search(problem) * (1 + 1e-3)
        found += float(problem.loss(state.compressed["w"])) <= bound
        direct += float(problem.loss(first.compressed["w"])) <= bound
    return found / problems, direct / problems


@pytest.mark.parametrize("kind", SEARCHES)
def test_on_well_conditioned_problems_lc_finds_what_exhaustive_search_finds(kind: str):
    found, _ = share_found(*SEARCHES[kind], condition=1.5)
    print(f"{kind}: optimum reached on {found:.0%} of problems of condition 1.5")
    assert found >= 0.9


@pytest.mark.parametrize("kind", SEARCHES)
def test_on_random_problems_lc_finds_the_global_optimum_mostly_and_direct_compression_rarely(kind: str):
    """The problem is NP-hard and LC is no global search: at condition 10 the bound is half of the problems."""
    found, direct = share_found(*SEARCHES[kind], condition=10)
    print(f"{kind}: optimum reached on {found:.0%} of problems of condition 10; by direct compression on {direct:.0%}")
    assert found >= 0.5
    assert found > direct


# The path


@pytest.mark.parametrize("compression", [AdaptiveCodebook(2), KeepLargest(count=3), LowRank(1)])
def test_the_path_starts_at_direct_compression(compression: Compression):
    """μ → 0⁺: w stays the reference, and Θ its projection."""
    problem = random_quadratic(12, seed=5, shape=(4, 3))
    direct = start(problem.params, Plan({"w": compression}))
    state = last(run(direct, problem, Geometric(1e-10, 1.0, 1)))
    assert torch.equal(direct.weights["w"], problem.centre)
    assert direct.multipliers["w"].count_nonzero() == 0
    assert torch.allclose(state.weights["w"], problem.centre, atol=1e-8)
    assert torch.allclose(state.compressed["w"], direct.compressed["w"], atol=1e-8)
    assert torch.equal(direct.compressed["w"], torch.from_numpy(compression.project(problem.params)["w"].decompress()))


def closed_form(problem: Quadratic, before: LCState, mu: float) -> Tensor:
    """w(μ) = (H + μM)⁻¹ (H w̄ + μMΔ + λ)."""
    m = before.importance["w"] if "w" in before.importance else torch.ones_like(problem.centre)
    right = problem.hessian @ problem.centre + mu * m * before.compressed["w"] + before.multipliers["w"]
    return torch.linalg.solve(problem.hessian + mu * torch.diag(m), right)


@pytest.mark.parametrize("augmented", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_iterates_of_the_trained_l_step_are_those_of_the_closed_form(augmented: bool, weighted: bool):
    """A quadratic loss and one feasible point; the L step is `LearningStep` with L-BFGS, as a user would set it."""
    problem = random_quadratic(6, seed=11)
    metrics = {"w": Diagonal(torch.linspace(0.1, 4, 6, dtype=DOUBLE))} if weighted else None
    before = start(problem.params, Plan({"w": Point({"w": normal(6, seed=12)})}), metrics)
    for state in itertools.islice(
        run(before, LearningStep(problem.task, lbfgs()), Geometric(0.05, 2.0, 9), augmented=augmented), 1, None
    ):
        expected = closed_form(problem, before, state.progress.mu)
        assert torch.allclose(state.weights["w"], expected, rtol=0, atol=1e-7)
        before = state
    assert before.progress.gap < (1e-6 if augmented else 0.2)

"""What holds along the path and at its end: descent at fixed μ and λ, and the conditions of Karush, Kuhn and Tucker."""

import itertools

import numpy as np
import torch
from crossing import crossed
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from toys import DOUBLE, Quadratic, last, normal, random_quadratic

from laconic import AdaptiveCodebook, Compression, Joint, KeepLargest, LowRank
from laconic.format.codes import CodebookCode, SparseCode
from laconic.lc.schedule import Geometric
from laconic.lc.state import LCState
from laconic.lc.steps import c_step, run, start
from laconic.plans.plan import Plan
from laconic.theory.metric import Diagonal

COMPRESSIONS = {
    "codebook": AdaptiveCodebook(3),
    "keep": KeepLargest(count=4),
    "keep and codebook": KeepLargest(count=6, values=AdaptiveCodebook(2)),
    "low rank": LowRank(2),
    "low rank and codebook": LowRank(1, left=AdaptiveCodebook(2)),
}
UNIT_ONLY = {"low rank", "low rank and codebook"}


def importances(shape: tuple[int, ...], seed: int) -> dict[str, Diagonal]:
    return {"w": Diagonal((0.7 * normal(*shape, seed=seed)).exp())}


def objective(problem: Quadratic, w: Tensor, state: LCState, mu: float) -> float:
    """L(w) + (μ/2) ‖w − Δ − M⁻¹λ/μ‖²_M, written out."""
    m = state.importance["w"] if "w" in state.importance else torch.ones_like(w)
    apart = w - state.compressed["w"] - state.multipliers["w"] / m / mu
    return float(problem.loss(w)) + 0.5 * mu * float((m * apart.square()).sum())


@given(
    kind=st.sampled_from(sorted(COMPRESSIONS)),
    weighted=st.booleans(),
    seed=st.integers(0, 10_000),
    mu=st.floats(1e-3, 1e3),
    condition=st.floats(1.0, 1e3),
    multiplier=st.sampled_from([0.0, 1.0, 30.0]),
)
def test_the_objective_never_rises_at_fixed_mu_and_multipliers(kind, weighted, seed, mu, condition, multiplier):
    problem = random_quadratic(12, seed, condition, shape=(4, 3))
    metrics = importances((4, 3), seed) if weighted and kind not in UNIT_ONLY else None
    state = start(problem.params, Plan({"w": COMPRESSIONS[kind]}), metrics)
    state.multipliers["w"].copy_(multiplier * normal(4, 3, seed=seed + 5))
    values = []
    for _ in range(6):
        weights, _ = problem(state, mu)
        values.append(objective(problem, weights["w"], state, mu))
        state = c_step(state, weights, mu, augmented=False)
        values.append(objective(problem, weights["w"], state, mu))
    slack = 1e-10 * (1 + abs(values[0]))
    assert all(after <= before + slack for before, after in itertools.pairwise(values))


def end(problem: Quadratic, compression: Compression, weighted: bool, augmented: bool) -> tuple[LCState, LCState]:
    """The states before and after the last step of a long path."""
    metrics = importances(tuple(problem.centre.shape), seed=9) if weighted else None
    state = start(problem.params, Plan({"w": compression}), metrics)
    path = Geometric(0.05, 1.03, 400) if augmented else Geometric(0.05, 1.06, 250)
    *_, before, after = run(state, problem, path, augmented=augmented)
    return before, after


def stationarity(state: LCState, multiplier: Tensor) -> Tensor:
    """(∂Δ/∂Θ)ᵀ λ*, which is zero at a KKT point, for the three families."""
    code, flat = state.codes["w"], multiplier.reshape(-1).numpy()
    if isinstance(code, CodebookCode):
        return torch.from_numpy(np.bincount(code.indices.array, flat))
    if isinstance(code, SparseCode):
        return torch.from_numpy(flat[code.mask.array.astype(bool)])
    u, s, vh = torch.linalg.svd(state.compressed["w"], full_matrices=False)
    rank = int((s > 1e-8 * s[0]).sum())
    return torch.cat([(u[:, :rank].T @ multiplier).reshape(-1), (multiplier @ vh[:rank].T).reshape(-1)])


@crossed(
    "case, augmented",
    [("codebook", True), ("codebook", False), ("keep", False), ("keep", True), ("low rank", False)],
    [True, False],
)
def test_the_end_of_the_path_is_a_kkt_point(case: tuple[str, bool], augmented: bool):
    kind, weighted = case
    problem = random_quadratic(12, seed=21, condition=3, shape=(4, 3))
    before, state = end(problem, COMPRESSIONS[kind], weighted, augmented)
    w, mu = state.weights["w"], state.progress.mu
    m = state.importance["w"] if weighted else torch.ones_like(w)
    force = -mu * m * (w - before.compressed["w"])  # what the penalty pulls with
    multiplier = state.multipliers["w"] if augmented else force
    scale = multiplier.norm()
    assert scale > 0.1
    assert state.progress.gap < 1e-4
    # the loss pulls against the multipliers, at w and at the feasible point
    assert torch.allclose(problem.gradient(w), multiplier, rtol=0, atol=1e-5)
    assert (problem.gradient(state.compressed["w"]) - multiplier).norm() < 1e-3 * scale
    if augmented:
        assert (state.multipliers["w"] - before.multipliers["w"]).norm() < 1e-5 * scale
        assert stationarity(state, multiplier).abs().max() < 1e-5
    else:
        assert state.multipliers["w"].count_nonzero() == 0
        # the penalty method stops where μ outgrows the Hessian: off by about growth − 1, as the answer is
        assert stationarity(state, multiplier).abs().max() < 0.15 * scale


def test_one_codebook_for_two_tensors_balances_the_forces_on_both():
    """Joint: the multipliers of an entry sum to zero over its members in all tensors, not in each."""
    one, two = random_quadratic(6, seed=1, condition=3), random_quadratic(8, seed=2, condition=3)

    def l_step(state: LCState, mu: float) -> tuple[dict[str, Tensor], float]:
        found = {}
        for name, problem in (("a", one), ("b", two)):
            h, size = problem.hessian, problem.centre.numel()
            right = h @ problem.centre + mu * state.target(mu)[name]
            found[name] = torch.linalg.solve(h + mu * torch.eye(size, dtype=DOUBLE), right)
        return found, 0.0

    params = {"a": one.centre, "b": two.centre}
    state = start(params, Plan({"*": Joint(AdaptiveCodebook(3))}))
    state = last(run(state, l_step, Geometric(0.05, 1.05, 250)))
    codes = [state.codes[name] for name in params]
    assert all(isinstance(code, CodebookCode) for code in codes)
    assert codes[0].codebook is codes[1].codebook
    sums = [np.bincount(code.indices.array, state.multipliers[name], 3) for name, code in state.codes.items()]
    assert np.abs(sums[0]).max() > 0.01
    assert np.abs(sums[0] + sums[1]).max() < 1e-5

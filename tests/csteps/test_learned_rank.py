"""Ranks that are learned, and the nuclear norm, against enumeration, formulas and descent."""

import numpy as np
import pytest
import torch
from cases import heavy, normal, twin_of
from crossing import usually
from toys import last, random_quadratic

from laconic import LearnedRank, Lossless, LowRank, NuclearNorm
from laconic.csteps.costs import Bits, Energy, Flops, Parameters, Time
from laconic.csteps.nuclear_norm import nuclear_norm
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import DenseCode, LowRankCode
from laconic.format.codes.counting import ideal_bits
from laconic.lc.schedule import Geometric
from laconic.lc.steps import run, start
from laconic.plans.plan import Plan
from laconic.plans.toml import parse_compression
from laconic.theory.metric import Diagonal, Kronecker, Quartic

COSTS = [Parameters(), Bits(), Bits(exact=True), Flops(7), Energy(3), Time({5: 1e-6, 80: 5e-6, 150: 2e-5})]


def rank_of(code) -> int | None:
    return code.rank if isinstance(code, LowRankCode) else None


def enumerated(weights, cost, metrics, price):
    """The least objective over every rank, each projected by itself, and over the dense tensor."""
    candidates = [LowRank(rank).project(weights, metrics)["w"] for rank in range(min(weights["w"].shape) + 1)]
    candidates.append(Lossless().project(weights)["w"])
    return min(distortion({"w": code}, weights, metrics) + price * cost("w", code) for code in candidates)


@pytest.mark.parametrize("metrics", [{}, {"w": Kronecker(torch.eye(9) + 0.5, torch.diag(torch.arange(12.0) + 1))}])
@pytest.mark.parametrize("cost", COSTS, ids=repr)
def test_learned_rank_as_every_rank_by_itself(cost, metrics):
    weights = {"w": heavy(9, 12).double()}
    unit = cost("w", LowRank(1).project(weights)["w"])
    seen = set()
    for price in (0.0, *np.geomspace(1e-3, 1e4, 9) / unit):
        code = LearnedRank(price, cost).project(weights, metrics)["w"]
        seen.add(rank_of(code))
        found = distortion({"w": code}, weights, metrics) + price * cost("w", code)
        assert found == pytest.approx(enumerated(weights, cost, metrics, price), rel=1e-9, abs=1e-12)
    assert len(seen) > 2
    assert 0 in seen


@pytest.mark.parametrize("cost", [cost for cost in COSTS if cost.structural], ids=repr)
def test_what_stands_in_for_the_factors_costs_what_they_do(cost):
    tensor = normal(6, 8).half()
    compression = LearnedRank(1.0, cost)
    stand_ins = compression._candidates(tensor, torch.zeros(6, 6), torch.zeros(6, 8))
    for rank, stand_in in enumerate(stand_ins):
        assert cost("w", stand_in) == cost("w", LowRank(rank).project({"w": tensor})["w"])


def test_a_flat_spectrum_stays_dense_and_a_steep_one_does_not():
    flat = torch.linalg.qr(normal(30, 30))[0]
    assert isinstance(LearnedRank(1e-4).project({"w": flat})["w"], DenseCode)
    steep = flat * torch.where(torch.arange(30) < 3, 10.0, 1e-3)
    assert rank_of(LearnedRank(1e-4).project({"w": steep})["w"]) == 3


def test_rank_zero_is_taken_until_the_first_term_is_worth_its_cost():
    """Idelbayev & Carreira-Perpiñán 2020: rank 0 is left where s₁² pays for m + n numbers."""
    weights = {"w": torch.diag(torch.tensor([3.0, 0.0])).double()}
    assert rank_of(LearnedRank(9 / 4 * 1.001).project(weights)["w"]) == 0
    assert rank_of(LearnedRank(9 / 4).project(weights)["w"]) == 0
    wide = {"w": torch.diag(torch.tensor([3.0, 0.0, 0.0])).double()}
    assert rank_of(LearnedRank(9 / 6 * 0.999).project(wide)["w"]) == 1


def test_at_no_price_nothing_is_lost_and_at_ties_the_lowest_rank_wins():
    weights = {"w": torch.outer(torch.arange(5.0), torch.ones(4)).double()}
    code = LearnedRank(0.0).project(weights)["w"]
    assert distortion({"w": code}, weights) < 1e-20
    assert rank_of(LearnedRank(0.0).project({"w": torch.zeros(5, 4)})["w"]) == 0


def test_learned_rank_in_plans():
    row = {"learned_rank": 2.0, "cost": "flops", "positions": 49, "view": "out.kh|in.kw"}
    assert parse_compression(row, "row") == LearnedRank(2.0, Flops(49), "out.kh|in.kw")
    assert parse_compression({"learned_rank": 2}, "row") == LearnedRank(2, Parameters())
    assert parse_compression({"learned_rank": 2, "cost": "bits"}, "row") == LearnedRank(2, Bits())
    with pytest.raises(PlanError, match="row: cost is one of"):
        parse_compression({"learned_rank": 2.0, "cost": "seconds"}, "row")


@usually("seed", [0], else_=range(1, 4))
@pytest.mark.parametrize("cost", [Parameters(), Bits(exact=True)], ids=repr)
@twin_of(LearnedRank)
def test_under_importances_it_is_near_the_best_of_all_ranks(cost, seed):
    """Exactly there where importances are separable; elsewhere both are descents, of which neither is the optimum."""
    weights = {"w": heavy(9, 12, seed=seed).double()}
    unit = cost("w", LowRank(1).project(weights)["w"])
    rows, columns = (normal(n, seed=seed).exp().double() for n in (9, 12))
    for h, slack in ((torch.outer(rows, columns), 1e-6), (normal(9, 12, seed=seed + 9).exp().double(), 0.15)):
        metrics = {"w": Diagonal(h)}
        for share in (0.003, 0.03, 0.3):
            price = share * float((h * weights["w"].square()).sum()) / unit
            code = LearnedRank(price, cost).project(weights, metrics)["w"]
            found = distortion({"w": code}, weights, metrics) + price * cost("w", code)
            assert found <= enumerated(weights, cost, metrics, price) * (1 + slack)


def test_bad_parameters_and_metrics_are_refused():
    for kind in (LearnedRank, NuclearNorm):
        for price in (-1.0, float("nan"), float("inf")):
            with pytest.raises(PlanError, match="price"):
                kind(price)
        with pytest.raises(PlanError, match="view"):
            kind(1.0, view="in|out")
        with pytest.raises(UnsupportedMetric, match=r"w: .*Quartic"):
            kind(1.0).project({"w": torch.ones(2, 2)}, {"w": Quartic(torch.ones(2, 2), torch.ones(2, 2))})
        assert kind(2.0).scaled(3.0) == kind(6.0)


def test_lc_with_a_learned_rank_reaches_the_best_of_all_ranks():
    """A quadratic with a Hessian that is the identity: L = ½‖W − W̄‖², so that LC's answer is known."""
    problem = random_quadratic(20, seed=4, condition=1.0, shape=(4, 5))
    price = 0.1
    state = last(run(start(problem.params, Plan({"w": LearnedRank(price)})), problem, Geometric(0.1, 1.2, 60)))
    s = torch.linalg.svdvals(problem.centre)
    objectives = [0.5 * float((s[rank:] ** 2).sum()) + price * 9 * rank for rank in range(5)] + [price * 20]
    code = state.codes["w"]
    found = float(problem.loss(state.compressed["w"])) + price * Parameters()("w", code)
    assert found == pytest.approx(min(objectives), rel=1e-3)


# --- nuclear norm --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 5), (4, 9), (1, 6), (3, 2, 2, 2)])
@pytest.mark.parametrize("price", [0.0, 0.5, 3.0, 100.0])
@twin_of(NuclearNorm, importances=False)
def test_singular_values_are_thresholded(shape, price):
    tensor = normal(*shape).double()
    code = NuclearNorm(price).project({"w": tensor})["w"]
    u, s, vh = np.linalg.svd(tensor.numpy().reshape(shape[0], -1), full_matrices=False)
    shrunk = np.maximum(s - price / 2, 0)
    assert code.decompress().reshape(shape[0], -1) == pytest.approx((u * shrunk) @ vh, abs=1e-9)
    assert code.rank == np.count_nonzero(shrunk)
    assert nuclear_norm(code) == pytest.approx(shrunk.sum(), abs=1e-9)


def test_the_nuclear_norm_meets_its_optimality_condition():
    """2 (W − Θ) / price is a subgradient: it is U Vᵀ on Θ's own directions and at most 1 beside them."""
    tensor, price = heavy(8, 6).double(), 4.0
    code = NuclearNorm(price).project({"w": tensor})["w"]
    theta = torch.from_numpy(code.decompress())
    gradient = 2 * (tensor - theta) / price
    assert 0 < code.rank < 6
    assert float(torch.linalg.svdvals(gradient).max()) <= 1 + 1e-9
    assert float((gradient * theta).sum()) == pytest.approx(nuclear_norm(code), rel=1e-9)


def test_random_points_are_no_better():
    tensor, price = normal(6, 5).double(), 1.0
    best = NuclearNorm(price).project({"w": tensor})["w"]
    least = distortion({"w": best}, {"w": tensor}) + price * nuclear_norm(best)
    for seed in range(20):
        for noise in (1e-3, 0.1, 1.0):
            other = torch.from_numpy(best.decompress()) + noise * normal(6, 5, seed=seed)
            value = float((tensor - other).square().sum() + price * torch.linalg.svdvals(other).sum())
            assert least <= value
    assert ideal_bits(best) <= 64 * 5 * 11

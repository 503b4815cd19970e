"""Structured and semi-structured pruning, and pruning at a price a bit, against every support there is."""

import itertools
import math

import numpy as np
import pytest
import torch
from cases import heavy, importance, normal, twin_of
from scipy.optimize import minimize
from toys import last, lbfgs, random_quadratic

from laconic import (
    AdaptiveCodebook,
    GroupPenalty,
    Groups,
    Joint,
    KeepGroups,
    KeepNOfM,
    L0Penalty,
    LowRank,
    NuclearNorm,
    PricedPruning,
)
from laconic.csteps.groups import Tiling
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, UnsupportedMetric, WeightsError
from laconic.format.codes import CodebookCode, LowRankCode
from laconic.lc.finetune import finetune
from laconic.lc.schedule import Geometric
from laconic.lc.steps import run, start
from laconic.plans.plan import Plan
from laconic.plans.toml import parse_compression
from laconic.theory.metric import Diagonal, Kronecker

from .separable import costs_of, metric_of


def members(groups, name, shape):
    """The flat indices of each group, from the definition of its kind."""
    index = np.arange(math.prod(shape)).reshape(shape)
    if groups.kind in ("filters", "neurons"):
        return [part.reshape(-1).tolist() for part in index]
    if groups.kind == "channels":
        return [index[:, j].reshape(-1).tolist() for j in range(shape[1])]
    if groups.kind == "heads":
        return [part.reshape(-1).tolist() for part in np.split(index, groups.size[0])]
    if groups.kind == "tensors":
        return [index.reshape(-1).tolist()]
    matrix, (r, c) = index.reshape(shape[0], -1) if shape else index.reshape(1, 1), groups.size
    starts = itertools.product(range(0, matrix.shape[0], r), range(0, matrix.shape[1], c))
    return [matrix[i : i + r, j : j + c].reshape(-1).tolist() for i, j in starts]


KINDS = [
    (Groups("filters"), (4, 2, 2, 1)),
    (Groups("neurons"), (5, 3)),
    (Groups("filters"), (6,)),
    (Groups("channels"), (2, 4, 2, 2)),
    (Groups("channels"), (3, 5)),
    (Groups("heads", (3,)), (6, 4)),
    (Groups("blocks", (2, 3)), (5, 7)),
    (Groups("blocks", (9, 1)), (2, 3, 2)),
    (Groups("blocks", (1, 1)), ()),
    (Groups("tensors"), (3, 2, 2, 1)),
]
each = pytest.mark.parametrize(("groups", "shape"), KINDS, ids=str)


# --- groups --------------------------------------------------------------------------------------------------------


@each
def test_groups_are_what_their_kind_says(groups, shape):
    tiling = Tiling(shape, *groups.tile("w", shape))
    parts = members(groups, "w", shape)
    values = np.random.default_rng(0).normal(size=math.prod(shape))
    assert tiling.count == len(parts)
    assert tiling.sums(values) == pytest.approx([values[part].sum() for part in parts])
    spread = tiling.spread(np.arange(len(parts)))
    assert all((spread[part] == k).all() for k, part in enumerate(parts))


@each
@pytest.mark.parametrize("weighted", [False, True, "quartic"])
@twin_of(KeepGroups)
def test_the_groups_kept_are_the_best_of_all_sets(groups, shape, weighted):
    tensor = normal(*shape, seed=3).round(decimals=0)
    metrics, parts = metric_of(tensor, weighted), members(groups, "w", shape)
    costs = costs_of(tensor, metrics)
    for count in range(min(len(parts), 4) + 1):
        codes = KeepGroups(groups, count=count).project({"w": tensor}, metrics)
        least = min(
            costs.sum() - sum(costs[part].sum() for part in kept) for kept in itertools.combinations(parts, count)
        )
        assert distortion(codes, {"w": tensor}, metrics) == pytest.approx(least, abs=1e-9)
        found = codes["w"].decompress().reshape(-1)
        assert sum(bool(found[part].any()) for part in parts) <= count
        assert not any(0 < np.count_nonzero(found[p]) < np.count_nonzero(tensor.reshape(-1)[p]) for p in parts)


def test_together_groups_of_several_tensors_compete_and_apart_they_do_not():
    weights = {"small": normal(6, 3), "large": 100 * normal(6, 3, seed=1)}
    rule = KeepGroups(Groups("filters"), keep=0.5)
    joint, apart = project(Joint(rule), weights), project(rule, weights)
    assert [int(code.mask.array.sum()) for code in joint.values()] == [0, 6]
    assert [int(code.mask.array.sum()) for code in apart.values()] == [3, 3]


@pytest.mark.parametrize("weighted", [False, True])
def test_a_budget_of_weights_is_the_optimum_for_groups_of_one_size_and_fits_for_others(weighted):
    tensor = normal(6, 6, seed=5)
    metrics = metric_of(tensor, weighted)
    costs = costs_of(tensor, metrics)
    for groups, exact in ((Groups("blocks", (2, 2)), True), (Groups("blocks", (4, 4)), False)):
        parts = members(groups, "w", (6, 6))
        for budget in (0.0, 0.2, 0.5, 0.75, 1.0):
            codes = KeepGroups(groups, budget=budget).project({"w": tensor}, metrics)
            assert codes["w"].values.size <= round(36 * budget)
            sets = itertools.chain.from_iterable(itertools.combinations(parts, k) for k in range(len(parts) + 1))
            fitting = (kept for kept in sets if sum(map(len, kept)) <= round(36 * budget))
            least = min(costs.sum() - sum(costs[part].sum() for part in kept) for kept in fitting)
            found = distortion(codes, {"w": tensor}, metrics)
            assert found >= least - 1e-5
            assert not exact or found == pytest.approx(least, abs=1e-5)


def test_l1_scores_rank_by_the_sum_of_sizes_and_given_scores_by_themselves():
    rows = torch.tensor([[3.0, 0.0], [2.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
    kept = {
        kind: KeepGroups(Groups("filters"), count=1, **kind_of).project({"w": rows})["w"].mask.array.tolist()
        for kind, kind_of in {
            "l2": {}, "l1": {"score": "l1"}, "given": {"scores": {"w": [0, 0, 1, 9]}},
            "ties": {"scores": {"w": [1, 1, 1, 1]}},
        }.items()
    }  # fmt: skip
    assert kept == {"l2": [1, 0, 0, 0], "l1": [0, 1, 0, 0], "given": [0, 0, 1, 0], "ties": [1, 0, 0, 0]}
    with pytest.raises(WeightsError, match="w: 3 scores for 4 filters"):
        KeepGroups(Groups("filters"), count=1, scores={"w": [1, 2, 3]}).project({"w": rows})


def test_given_scores_are_kept_to_whatever_the_last_codes_were():
    rows = {"w": torch.tensor([[3.0], [2.0], [1.0]])}
    rule = KeepGroups(Groups("filters"), count=1, scores={"w": [0, 0, 1]})
    better = KeepGroups(Groups("filters"), count=1).project(rows)
    assert rule.project(rows, None, better)["w"].mask.array.tolist() == [0, 0, 1]


def test_ties_go_to_the_earlier_group_and_zeros_are_never_kept():
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [-1.0, 0.0]])
    for count, mask in ((1, [1, 0, 0, 0]), (2, [1, 1, 0, 0]), (4, [1, 1, 0, 1])):
        assert KeepGroups(Groups("filters"), count=count).project({"w": rows})["w"].mask.array.tolist() == mask
    idle = Diagonal(torch.zeros(4, 2))
    assert KeepGroups(Groups("filters"), count=4).project({"w": rows}, {"w": idle})["w"].values.size == 6


@pytest.mark.parametrize(
    ("groups", "shape", "survivors"),
    [(Groups("filters"), (6, 3, 2, 2), (3, 3, 2, 2)), (Groups("channels"), (6, 4, 2, 2), (6, 2, 2, 2)),
     (Groups("heads", (2,)), (6, 4), (3, 4)), (Groups("blocks", (3, 2)), (6, 4), (12,)),
     (Groups("filters"), (8,), (4,))],
)  # fmt: skip
def test_survivors_of_whole_filters_and_channels_are_a_tensor_of_fewer(groups, shape, survivors):
    tensor = normal(*shape)
    code = KeepGroups(groups, keep=0.5).project({"w": tensor})["w"]
    assert code.values.shape == survivors
    found = code.decompress()
    assert np.array_equal(found[found != 0], code.values.decompress().reshape(-1))


def test_survivors_may_be_compressed_in_turn():
    weights = {"a": normal(8, 6), "b": normal(10, 6, seed=1)}
    shared = Joint(KeepGroups(Groups("filters"), keep=0.5, values=Joint(AdaptiveCodebook(4)))).project(weights)
    assert all(isinstance(code.values, CodebookCode) for code in shared.values())
    assert shared["a"].values.codebook is shared["b"].values.codebook
    ranked = KeepGroups(Groups("filters"), keep=0.5, values=LowRank(2)).project(weights)
    assert all(isinstance(code.values, LowRankCode) and code.values.rank == 2 for code in ranked.values())
    with pytest.raises(UnsupportedMetric, match=r"a: .*Diagonal"):
        KeepGroups(Groups("filters"), 0.5, values=NuclearNorm(2.0)).project(weights, {"a": Diagonal(torch.ones(8, 6))})


@pytest.mark.parametrize(
    ("groups", "shape", "message"),
    [(Groups("channels"), (5,), "w: channels"), (Groups("filters"), (), "w: filters"),
     (Groups("heads", (4,)), (6, 2), "w: 6 rows")],
)  # fmt: skip
def test_tensors_without_such_groups_are_refused_by_name(groups, shape, message):
    for rule in (KeepGroups(groups, count=1), GroupPenalty(groups, 1.0)):
        with pytest.raises(WeightsError, match=message):
            rule.project({"w": torch.ones(shape)})


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: Groups("rows"), "groups are one of"), (lambda: Groups("heads"), "size of heads is 1"),
     (lambda: Groups("blocks", (2, 0)), "size of blocks"), (lambda: Groups("filters", (2,)), "size of filters"),
     (lambda: KeepGroups(Groups("filters")), "exactly one"), (lambda: KeepGroups(Groups("filters"), 0.5, 3), "exactly"),
     (lambda: KeepGroups(Groups("filters"), 1.5), "keep"), (lambda: KeepGroups(Groups("filters"), count=-1), "count"),
     (lambda: KeepGroups(Groups("filters"), budget=-1.0), "budget"),
     (lambda: KeepGroups(Groups("filters"), 0.5, score="l3"), "score"),
     (lambda: KeepGroups(Groups("filters"), 0.5, scores={"w": [math.nan]}), "scores"),
     (lambda: GroupPenalty(Groups("filters"), -1.0), "price"), (lambda: KeepNOfM(5, 4), "5 of 4"),
     (lambda: KeepNOfM(0, 0), "0 of 0"), (lambda: PricedPruning(-1.0), "price"),
     (lambda: PricedPruning(1.0, value_bits=-1.0), "value_bits"),
     (lambda: parse_compression({"n_of_m": [2]}, "fc"), r"fc: .*two integers"),
     (lambda: parse_compression({"group_count": 3, "size": [0.5]}, "fc"), "fc: size")],
)  # fmt: skip
def test_bad_parameters_are_refused(make, message):
    with pytest.raises(PlanError, match=message):
        make()


@pytest.mark.parametrize(
    ("row", "compression"),
    [({"heads": 4, "share": 0.5}, KeepGroups(Groups("heads", (4,)), keep=0.5)),
     ({"blocks": [2, 3], "share": 0.25, "score": "l1"}, KeepGroups(Groups("blocks", (2, 3)), keep=0.25, score="l1")),
     ({"group_price": 2.0, "kind": "blocks", "size": [4, 4]}, GroupPenalty(Groups("blocks", (4, 4)), 2.0)),
     ({"group_budget": 0.5}, KeepGroups(Groups("filters"), budget=0.5)),
     ({"n_of_m": [2, 4], "values": {"codebook": 4}}, KeepNOfM(2, 4, AdaptiveCodebook(4)))],
)  # fmt: skip
def test_plans_name_groups(row, compression):
    assert parse_compression(row, "fc") == compression


# --- the group lasso -----------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("weighted", [False, True])
@twin_of(GroupPenalty)
def test_group_lasso_as_a_general_solver_and_by_its_optimality(groups, shape, weighted):
    tensor = normal(*shape, seed=2).double()
    h = importance(tensor, 3).importance.double() if weighted else torch.ones(shape).double()
    metrics = {"w": Diagonal(h)} if weighted else {}
    found = GroupPenalty(groups, 1.2).project({"w": tensor}, metrics)["w"].decompress().reshape(-1)
    w, heavy_of = tensor.numpy().reshape(-1), h.numpy().reshape(-1)
    for part in members(groups, "w", shape):

        def cost(x, part=part):
            return float((heavy_of[part] * (w[part] - x) ** 2).sum() + 1.2 * np.sqrt((x**2).sum() + 1e-30))

        solved = minimize(cost, w[part] * 0.9, method="BFGS", options={"gtol": 1e-9})
        assert cost(found[part]) <= min(solved.fun, cost(0 * w[part])) + 1e-9
        norm = np.linalg.norm(found[part])
        if norm:  # 2 h (θ − w) + price θ/‖θ‖ = 0
            assert 2 * heavy_of[part] * (found[part] - w[part]) + 1.2 * found[part] / norm == pytest.approx(0, abs=1e-9)
        else:
            assert 2 * np.linalg.norm(heavy_of[part] * w[part]) <= 1.2 * (1 + 1e-12)


def test_group_lasso_at_the_ends_of_price_and_scale():
    rows = Groups("filters")
    tensor = heavy(6, 4).double()
    assert np.array_equal(GroupPenalty(rows, 0.0).project({"w": tensor})["w"].decompress(), tensor.numpy())
    assert GroupPenalty(rows, math.inf).project({"w": tensor})["w"].values.size == 0
    h = Diagonal(torch.full((6, 4), 2.0))
    half = GroupPenalty(rows, 3.0).project({"w": tensor})["w"].decompress()
    assert GroupPenalty(rows, 6.0).project({"w": tensor}, {"w": h})["w"].decompress() == pytest.approx(half)
    huge = GroupPenalty(rows, 3e200).project({"w": tensor * 1e200})["w"].decompress()
    assert huge / 1e200 == pytest.approx(half)
    wide = GroupPenalty(rows, 3.0).project({"w": tensor}, {"w": Diagonal(torch.logspace(-9, 9, 24).view(6, 4))})
    assert np.isfinite(wide["w"].decompress()).all()


def test_prices_of_groups_and_bits_scale():
    rows, inner = Groups("filters"), L0Penalty(1.0)
    assert GroupPenalty(rows, 2.0).scaled(3.0) == GroupPenalty(rows, 6.0)
    assert KeepGroups(rows, 0.5, values=inner).scaled(3.0) == KeepGroups(rows, 0.5, values=L0Penalty(3.0))
    assert KeepNOfM(2, 4, inner).scaled(3.0) == KeepNOfM(2, 4, L0Penalty(3.0))
    assert PricedPruning(2.0, 4.0, inner).scaled(3.0) == PricedPruning(6.0, 4.0, L0Penalty(3.0))


# --- what they share -----------------------------------------------------------------------------------------------

EVERY = [KeepGroups(Groups("filters"), 0.5), KeepNOfM(1, 2), PricedPruning(0.1), GroupPenalty(Groups("filters"), 0.1)]


@pytest.mark.parametrize("compression", EVERY)
def test_metrics_that_bind_weights_together_are_refused_by_name(compression):
    with pytest.raises(UnsupportedMetric, match=r"w: .*Kronecker"):
        compression.project({"w": torch.ones(2, 2)}, {"w": Kronecker(torch.eye(2), torch.eye(2))})


def test_better_warm_codes_are_kept_only_when_they_are_feasible():
    weights = {"w": torch.tensor([[2.0], [2.0], [2.0], [9.0], [-9.0]])}
    rows, one = Groups("filters"), AdaptiveCodebook(1)
    rule = KeepGroups(rows, count=3, values=one)
    better = KeepGroups(rows, count=1, values=one).project(weights)
    assert rule.project(weights, None, better)["w"] is better["w"]
    cold = distortion(rule.project(weights), weights)
    rich = KeepGroups(rows, count=3, values=AdaptiveCodebook(3)).project(weights)
    many = KeepGroups(rows, count=4, values=AdaptiveCodebook(4)).project(weights)
    for warm in (rich, many):
        assert distortion(rule.project(weights, None, warm), weights) == cold
    pairs = {"w": weights["w"].T}
    several = KeepNOfM(2, 5, AdaptiveCodebook(2)).project(pairs)
    single = KeepNOfM(1, 5, one).project(pairs)
    assert KeepNOfM(3, 5, one).project(pairs, None, single)["w"] is single["w"]
    assert KeepNOfM(1, 5, AdaptiveCodebook(2)).project(pairs, None, several)["w"] is not several["w"]


@pytest.mark.parametrize("compression", [KeepGroups(Groups("filters"), count=2), KeepNOfM(1, 2), PricedPruning(0.05)])
def test_lc_ends_feasible_and_below_direct_compression_with_retraining(compression):
    problem = random_quadratic(12, seed=8, shape=(4, 3))
    direct = start(problem.params, Plan({"w": compression}))
    state = last(run(direct, problem, Geometric(0.02, 1.1, 120)))
    weights = {"w": state.compressed["w"]}
    assert state.progress.gap < 1e-3
    assert float(problem.loss(weights["w"])) < float(problem.loss(direct.compressed["w"]))
    tuned = torch.from_numpy(finetune(problem.task, state.codes, lbfgs())["w"].decompress())
    assert float(problem.loss(tuned)) <= float(problem.loss(weights["w"])) + 1e-9
    assert torch.equal(tuned != 0, weights["w"] != 0)


def test_lc_with_a_group_price_reaches_the_group_lasso():
    """Proximal gradient steps on the same convex problem, from zero."""
    problem = random_quadratic(12, seed=9, shape=(4, 3))
    rule, alpha, step = Groups("filters"), 4.0, 1 / 10
    w = torch.zeros(4, 3, dtype=torch.float64)
    for _ in range(3000):
        moved = w - step * problem.gradient(w)
        w = moved * (1 - step * alpha / moved.norm(dim=1, keepdim=True)).clamp(min=0)
    state = last(
        run(start(problem.params, Plan({"w": GroupPenalty(rule, alpha)})), problem, Geometric(0.05, 1.08, 150))
    )
    assert 0 < int((w.norm(dim=1) == 0).sum()) < 4
    assert torch.allclose(state.compressed["w"], w, atol=1e-5)

"""Each C step against a slow twin, and what is its own beyond the laws."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import CASES, generator, heavy, importance, normal, twin_of

from laconic import AdaptiveCodebook, Joint, KeepLargest, Lossless, LowRank
from laconic.csteps.factors import to_matrix
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion, feasible
from laconic.errors import PlanError, UnsupportedMetric, WeightsError
from laconic.format.codes import CodebookCode, LowRankCode, SparseCode
from laconic.format.codes.low_rank import from_matrix
from laconic.models.params import decompress
from laconic.theory.metric import Diagonal, Quartic, Unit

# --- adaptive codebook ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@twin_of(AdaptiveCodebook)
def test_codebook_as_brute_force(seed):
    weights, h = heavy(8, seed=seed).double(), torch.rand(8, generator=generator(seed)).double()
    code = AdaptiveCodebook(3).project({"w": weights}, {"w": Diagonal(h)})
    least = np.inf
    for assigned in itertools.product(range(3), repeat=8):
        index = torch.tensor(assigned)
        mass, total = torch.zeros(3).double(), torch.zeros(3).double()
        centres = total.index_add(0, index, h * weights) / mass.index_add(0, index, h).clamp(min=1e-300)
        least = min(least, float((h * (weights - centres[index]) ** 2).sum()))
    assert distortion(code, {"w": weights}, {"w": Diagonal(h)}) == pytest.approx(least, rel=1e-9)


def test_tensors_together_share_one_codebook_and_apart_they_do_not():
    weights = {"a": normal(50), "b": normal(3, 20, seed=1)}
    joint, apart = project(Joint(AdaptiveCodebook(4)), weights), project(AdaptiveCodebook(4), weights)
    assert joint["a"].codebook is joint["b"].codebook
    assert apart["a"].codebook is not apart["b"].codebook
    flat = {"w": torch.cat([weights["a"], weights["b"].reshape(-1)])}
    assert distortion(joint, weights) == pytest.approx(distortion(project(AdaptiveCodebook(4), flat), flat))


def test_no_entry_is_idle_and_the_codebook_ascends():
    code = AdaptiveCodebook(16).project({"w": heavy(500).bfloat16()})["w"]
    assert sorted(set(code.indices.array.tolist())) == list(range(len(code.codebook)))
    assert (np.diff(code.codebook.array.astype(float)) > 0).all()
    assert code.codebook.array.dtype.name == "bfloat16"


def test_weights_take_the_nearest_of_the_rounded_entries():
    tensor = normal(400).half() * 100
    code = AdaptiveCodebook(7).project({"w": tensor})["w"]
    far = (tensor.double()[:, None] - torch.tensor(code.codebook.array.astype(float))).abs()
    assert torch.equal(far.argmin(1), torch.tensor(code.indices.array.astype(int)))


@pytest.mark.parametrize(
    ("dtypes", "widest"),
    [("float16 float16", "float16"), ("float16 bfloat16", "float32"), ("float32 float16", "float32"),
     ("bfloat16 float64", "float64")],
)  # fmt: skip
def test_a_shared_codebook_has_the_widest_dtype(dtypes, widest):
    weights = {name: normal(9).to(getattr(torch, name)) for name in dtypes.split()}
    weights["last"] = normal(9, seed=2).to(getattr(torch, dtypes.split()[-1]))
    for code in Joint(AdaptiveCodebook(3)).project(weights).values():
        assert code.codebook.array.dtype.name == widest


def test_an_entry_that_overflows_is_refused_by_name():
    weights = {"wide": torch.full((9,), 1e30), "narrow": torch.ones(3).half()}
    with pytest.raises(WeightsError, match=r"narrow: .*float16"):
        Joint(AdaptiveCodebook(1)).project(weights)


def test_all_zero_importances_count_as_one():
    weights = {"w": normal(100)}
    zero = AdaptiveCodebook(4).project(weights, {"w": Diagonal(torch.zeros(100))})
    assert distortion(zero, weights) == distortion(AdaptiveCodebook(4).project(weights), weights)


def test_a_large_tensor_starts_from_the_warm_codebook():
    weights = {"w": heavy(30_000)}
    cold = AdaptiveCodebook(128).project(weights)
    warm = AdaptiveCodebook(128).project({"w": weights["w"][:20_000]})  # of another shape: its codebook still serves
    new = AdaptiveCodebook(128).project(weights, None, warm)
    assert distortion(new, weights) <= distortion(cold, weights) * 1.003


# --- keep largest --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(9))
@pytest.mark.parametrize("seed", range(4))
@twin_of(KeepLargest)
def test_keep_largest_as_every_support(count, seed):
    weights = {"a": normal(5, seed=seed).round(decimals=1), "b": normal(3, seed=seed + 9).round(decimals=1)}
    metrics = {"a": Diagonal(torch.rand(5, generator=generator(seed)).mul(3).round())}
    codes = Joint(KeepLargest(count=count)).project(weights, metrics)
    flat, h = torch.cat([*weights.values()]).double(), torch.cat([metrics["a"].importance, torch.ones(3)]).double()
    least = min(
        sum(float(h[i] * flat[i] ** 2) for i in range(8) if i not in kept)
        for kept in itertools.combinations(range(8), count)
    )
    assert distortion(codes, weights, metrics) == pytest.approx(least, abs=1e-9)
    assert sum(code.values.size for code in codes.values()) <= count


def test_ties_go_to_the_earliest_and_zeros_are_never_kept():
    weights = {"a": torch.tensor([1.0, 2.0, -2.0, 0.0]), "b": torch.tensor([2.0, -0.0, 1.0])}
    masks = [code.mask.array.tolist() for code in Joint(KeepLargest(count=2)).project(weights).values()]
    assert masks == [[0, 1, 1, 0], [0, 0, 0]]
    masks = [code.mask.array.tolist() for code in Joint(KeepLargest(count=4)).project(weights).values()]
    assert masks == [[1, 1, 1, 0], [1, 0, 0]]
    masks = [code.mask.array.tolist() for code in Joint(KeepLargest(keep=1.0)).project(weights).values()]
    assert masks == [[1, 1, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(("keep", "kept"), [(0, 0), (0.05, 5), (0.054, 5), (0.056, 6), (1, 100), (1.0, 100)])
def test_keep_is_a_share_of_all_elements(keep, kept):
    code = KeepLargest(keep).project({"w": normal(20, 5)})["w"]
    assert code.values.shape == (kept,)


def test_one_budget_over_tensors_or_one_for_each():
    weights = {"small": normal(100), "large": 100 * normal(100, seed=1)}
    joint, apart = project(Joint(KeepLargest(0.1)), weights), project(KeepLargest(0.1), weights)
    assert [code.values.size for code in apart.values()] == [10, 10]
    assert [code.values.size for code in joint.values()] == [0, 20]


def test_survivors_share_a_codebook_when_their_values_are_joint():
    weights, metrics = {"a": normal(90), "b": normal(80, seed=1)}, {"a": importance(normal(90))}
    for values, shared in ((Joint(AdaptiveCodebook(4)), True), (AdaptiveCodebook(4), False)):
        codes = Joint(KeepLargest(0.3, values=values)).project(weights, metrics)
        assert all(isinstance(code, SparseCode) and isinstance(code.values, CodebookCode) for code in codes.values())
        assert (codes["a"].values.codebook is codes["b"].values.codebook) == shared


def test_better_warm_codes_are_kept_only_when_they_are_feasible():
    weights = {"w": torch.tensor([2.0, 2.0, 2.0, 9.0, -9.0])}
    metrics = {"w": Diagonal(torch.ones(5))}  # under importances, even of 1, the joint optimum is not looked for
    compression = KeepLargest(count=3, values=AdaptiveCodebook(1))
    cold = compression.project(weights, metrics)  # 9, -9 and 2 share 2/3: magnitude alone does not see that coming
    better = KeepLargest(count=1, values=AdaptiveCodebook(1)).project(weights)
    assert distortion(better, weights) < distortion(cold, weights)
    assert compression.project(weights, metrics, better)["w"] is better["w"]
    too_many = KeepLargest(count=4, values=AdaptiveCodebook(4)).project(weights)
    too_rich = KeepLargest(count=3, values=AdaptiveCodebook(3)).project(weights)
    unquantized = KeepLargest(count=3).project(weights)
    for warm in (too_many, too_rich, unquantized):
        assert distortion(compression.project(weights, metrics, warm), weights) == distortion(cold, weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({}, "keep .*count"), ({"keep": 0.5, "count": 3}, "keep .*count"), ({"keep": -0.1}, "keep"),
     ({"keep": 1.5}, "keep"), ({"keep": float("nan")}, "keep"), ({"count": -1}, "count")],
)  # fmt: skip
def test_keep_largest_refuses_bad_parameters(arguments, message):
    with pytest.raises(PlanError, match=message):
        KeepLargest(**arguments)


# --- low rank ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (1, 9), (9, 1), (8, 8), (6, 3, 5, 5)])
def test_low_rank_errs_by_the_energy_of_the_tail(shape, dtype):
    tensor = heavy(*shape).to(dtype)
    s = np.linalg.svd(tensor.double().numpy().reshape(shape[0], -1), compute_uv=False)
    for rank in range(len(s) + 2):
        code = LowRank(rank).project({"w": tensor})["w"]
        assert code.rank == min(rank, len(s))
        tail = float((s[rank:] ** 2).sum())
        slack = (16 * torch.finfo(dtype).eps) ** 2 * float((s**2).sum())
        assert distortion({"w": code}, {"w": tensor}) == pytest.approx(tail, rel=1e-6, abs=slack)


def test_factors_halve_the_singular_values_and_have_definite_signs():
    tensor = normal(9, 7).double()
    code = LowRank(3).project({"w": tensor})["w"]
    left, right = code.left.decompress(), code.right.decompress()
    s = np.linalg.svd(tensor.numpy(), compute_uv=False)[:3]
    assert left.T @ left == pytest.approx(np.diag(s), abs=1e-9)
    assert right @ right.T == pytest.approx(np.diag(s), abs=1e-9)
    assert (right[range(3), np.abs(right).argmax(1)] > 0).all()


@pytest.mark.parametrize("view", ["out|in.kh.kw", "out.kh|in.kw", "out.kw|in.kh"])
def test_views_invert_and_say_which_ranks_are_low(view):
    tensor = normal(4, 3, 2, 5)
    matrix = to_matrix(tensor, view)
    assert np.array_equal(from_matrix(matrix.numpy(), (4, 3, 2, 5), view), tensor.numpy())
    assert matrix.shape == {"out|in.kh.kw": (4, 30), "out.kh|in.kw": (8, 15), "out.kw|in.kh": (20, 6)}[view]
    spatial = torch.einsum("ok,iw->oikw", normal(4, 2), normal(3, 5))
    assert distortion(LowRank(1, "out.kh|in.kw").project({"w": spatial}), {"w": spatial}) < 1e-10


def test_factors_may_be_compressed_and_shared():
    weights = {"a": normal(30, 9), "b": normal(20, 8, seed=1)}
    codes = Joint(LowRank(2, left=Joint(AdaptiveCodebook(8)), right=KeepLargest(0.5))).project(weights)
    assert codes["a"].left.codebook is codes["b"].left.codebook
    assert all(isinstance(code.right, SparseCode) for code in codes.values())


def test_low_rank_keeps_better_warm_codes_only_when_they_are_feasible():
    weights, compression = {"w": normal(6, 5)}, LowRank(1, left=AdaptiveCodebook(2))
    cold = compression.project(weights)
    candidates = []
    for low, pattern in itertools.product(range(-15, 10), itertools.product([False, True], repeat=6)):
        left = torch.where(torch.tensor(pattern), 1.0, low / 10)[:, None]
        right = torch.linalg.pinv(left) @ weights["w"]
        codes = project(compression.left, {"w": left})["w"], Lossless().project({"w": right})["w"]
        candidates.append({"w": LowRankCode((6, 5), "float32", compression.view, *codes)})
    best = min(candidates, key=lambda codes: distortion(codes, weights))
    assert distortion(best, weights) < distortion(cold, weights)
    assert compression.project(weights, None, best)["w"] is best["w"]
    for infeasible in (LowRank(1).project(weights), LowRank(2, left=AdaptiveCodebook(2)).project(weights)):
        again = compression.project(weights, None, infeasible)
        assert distortion(infeasible, weights) < distortion(again, weights) <= distortion(cold, weights)


def test_the_right_factor_makes_up_for_a_compressed_left_one():
    weights = {"w": normal(20, 15)}
    code = LowRank(3, left=AdaptiveCodebook(3)).project(weights)["w"]
    left = torch.from_numpy(code.left.decompress())
    best = torch.linalg.lstsq(left, weights["w"]).solution
    assert distortion({"w": code}, weights) == pytest.approx(
        float((weights["w"] - left @ best).square().sum()), rel=1e-5
    )


@pytest.mark.parametrize(
    ("compression", "shape"),
    [(LowRank(1), ()), (LowRank(1), (5,)), (LowRank(1, "out.kh|in.kw"), (5, 4)),
     (LowRank(1, "out.kh|in.kw"), (5, 4, 1, 1, 1))],
)  # fmt: skip
def test_low_rank_refuses_what_is_no_matrix_by_name(compression, shape):
    with pytest.raises(WeightsError, match="w: view"):
        compression.project({"w": torch.ones(shape)})


def test_low_rank_refuses_strange_metrics_and_bad_parameters():
    with pytest.raises(UnsupportedMetric, match=r"w: .*Quartic"):
        LowRank(1).project({"w": torch.ones(2, 2)}, {"w": Quartic(torch.ones(2, 2), torch.ones(2, 2))})
    with pytest.raises(PlanError, match="tolerance"):
        LowRank(1, tolerance=1.0)
    with pytest.raises(PlanError, match="rank"):
        LowRank(-1)
    with pytest.raises(PlanError, match="view"):
        LowRank(1, "in|out")
    with pytest.raises(PlanError, match="entries"):
        AdaptiveCodebook(0)


# --- what they share -----------------------------------------------------------------------------------------------


def test_distortion_adds_tensors_up_under_their_metrics():
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}
    codes = Lossless().project({"a": torch.tensor([0.0, 0.0]), "b": torch.tensor([1.0])})
    assert distortion(codes, weights) == 1 + 4 + 4
    assert distortion(codes, weights, {"a": Diagonal(torch.tensor([2.0, 0.5])), "b": Unit()}) == 2 + 2 + 4


def test_feasible_is_what_a_compression_makes():
    weights = {"a": normal(40), "b": normal(30, seed=1)}
    four, five = AdaptiveCodebook(4), AdaptiveCodebook(5)
    assert feasible(four, project(four, weights))
    assert feasible(five, project(four, weights))
    assert not feasible(four, project(five, weights))
    assert not feasible(Joint(four), project(four, weights))
    assert feasible(Joint(four), project(Joint(four), weights))
    assert feasible(Lossless(), project(four, decompress(project(five, weights))))


def test_prices_are_multiplied_where_an_objective_is_scaled():
    priced = {case.compression for case in CASES if getattr(case.compression, "price", 0)}
    assert len({type(compression) for compression in priced}) > 5
    for compression in priced:
        for factor in (4.0, 0.25):
            assert compression.scaled(factor) == replace(compression, price=compression.price * factor)

"""Each C step against a slow twin, and what is its own beyond the laws."""

import itertools

import numpy as np
import pytest
import torch

from laconic.clustering import grid as grids
from laconic.codes import CodebookCode, GridCode, LowRankCode, SparseCode, Values
from laconic.codes.counting import published_bits
from laconic.codes.grid import multiples
from laconic.codes.low_rank import from_matrix
from laconic.csteps import AdaptiveCodebook, Joint, KeepLargest, Lossless, LowRank, UniformGrid, project
from laconic.csteps.low_rank import to_matrix
from laconic.csteps.warm import distortion, feasible
from laconic.errors import PlanError, UnsupportedMetric, WeightsError
from laconic.metric import Diagonal, Unit
from laconic.params import decompress

from .cases import generator, heavy, importance, normal

# --- adaptive codebook ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
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
    compression = KeepLargest(count=3, values=AdaptiveCodebook(1))
    cold = compression.project(weights)  # 9, -9 and 2 share 2/3: magnitude alone does not see that coming
    better = KeepLargest(count=1, values=AdaptiveCodebook(1)).project(weights)
    assert distortion(better, weights) < distortion(cold, weights)
    assert compression.project(weights, None, better)["w"] is better["w"]
    too_many = KeepLargest(count=4, values=AdaptiveCodebook(4)).project(weights)
    too_rich = KeepLargest(count=3, values=AdaptiveCodebook(3)).project(weights)
    unquantized = KeepLargest(count=3).project(weights)
    for warm in (too_many, too_rich, unquantized):
        assert distortion(compression.project(weights, None, warm), weights) == distortion(cold, weights)


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


@pytest.mark.parametrize("view", ["out|in.kh.kw", "out.kh|in.kw"])
def test_views_invert_and_say_which_ranks_are_low(view):
    tensor = normal(4, 3, 2, 5)
    matrix = to_matrix(tensor, view)
    assert np.array_equal(from_matrix(matrix.numpy(), (4, 3, 2, 5), view), tensor.numpy())
    assert matrix.shape == ((4, 30) if view == "out|in.kh.kw" else (8, 15))
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


def test_low_rank_refuses_importances_and_bad_parameters():
    with pytest.raises(UnsupportedMetric, match=r"w: .*Diagonal"):
        LowRank(1).project({"w": torch.ones(2, 2)}, {"w": Diagonal(torch.ones(2, 2))})
    with pytest.raises(PlanError, match="rank"):
        LowRank(-1)
    with pytest.raises(PlanError, match="view"):
        LowRank(1, "in|out")
    with pytest.raises(PlanError, match="entries"):
        AdaptiveCodebook(0)


# --- uniform grid --------------------------------------------------------------------------------------------------


def naive_search(values, h, offsets, lengths, escape, rate, window=40):
    """For each value the cheapest integer of a window, whatever the code says of it."""
    levels, m = np.arange(-window, window + 1), len(lengths) // 2
    bits = np.array([lengths[q + m] if abs(q) <= m else escape for q in levels])
    return levels, h[:, None] * (values[:, None] - multiples(levels, offsets)) ** 2 + rate * bits


@pytest.mark.parametrize("seed", range(8))
def test_the_search_on_a_grid_is_exhaustive(seed: int):
    rng = np.random.default_rng(seed)
    values, h = rng.standard_t(2, 200) * 3, np.where(rng.random(200) < 0.2, 0.0, rng.lognormal(0, 1.5, 200))
    values = np.clip(values, -30, 30)
    offsets = rng.integers(-127, 128, 3).astype(np.int8)
    m, rate = int(rng.integers(0, 8)), float(rng.choice([0.01, 0.2, 3.0]))
    lengths, escape = rng.uniform(0, 9, 2 * m + 1), rng.uniform(9, 14)
    lengths[rng.random(2 * m + 1) < 0.2] = np.inf
    lengths[m] = 1.0
    found = grids._search(values / 0.7, h, 0.7, offsets, lengths, escape, rate)
    levels, costs = naive_search(values, h, offsets, lengths, escape, rate)
    # beyond its table the search tries the nearest two alone: so does the twin
    costs[:, np.abs(levels) > m] = np.where(
        np.abs(values[:, None] - levels[None, np.abs(levels) > m]) < 1, costs[:, np.abs(levels) > m], np.inf
    )
    assert costs[np.arange(200), found + 40] == pytest.approx(costs.min(1), rel=1e-9, abs=1e-12)


def naive_bits(levels: np.ndarray, reach: int) -> float:
    kept, far = levels[np.abs(levels) <= reach], int((np.abs(levels) > reach).sum())
    counts = [*np.unique(kept, return_counts=True)[1].tolist(), *([far] if far else [])]
    return sum(-c * np.log2(c / len(levels)) for c in counts) + 64 * far


@pytest.mark.parametrize("rate", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_of_a_grid_is_what_it_says_and_never_rises(rate: float, weighted: bool):
    values = [heavy(4000).double().numpy() * 5, normal(300, seed=3).double().numpy()]
    h = [importance(torch.from_numpy(v)).importance.numpy() if weighted else np.zeros(0) for v in values]
    found = grids.grid(values, h, 0.4, rate)
    assert all(b <= a for a, b in itertools.pairwise(found.trace))
    naive = 0.0
    for v, x, q, reach in zip(values, h, found.levels, found.reaches, strict=True):
        error = v / 0.4 - multiples(q, found.offsets)
        naive += float(((x if weighted else 1.0) * error**2).sum()) + rate * naive_bits(q, reach)
    assert naive == pytest.approx(found.trace[-1] if found.trace[-1] < min(found.trace[:-1]) else min(found.trace))
    code = GridCode.of(
        (4000,), "float64", Values(np.float64([1])), Values(np.int8([])), found.levels[0], found.reaches[0]
    )
    assert code.levels.tolist() == found.levels[0].tolist()
    assert code.index_bits == pytest.approx(naive_bits(found.levels[0], found.reaches[0]))


def test_no_offset_is_better_for_the_integers_of_a_grid():
    values, h = heavy(500), importance(heavy(500))
    code = UniformGrid(step=0.5).project({"w": values}, {"w": h})["w"]
    assert isinstance(code, GridCode)
    best = distortion({"w": code}, {"w": values}, {"w": h})
    for place, by in itertools.product(range(3), (-1, 1)):
        moved = code.offsets.array.astype(int)
        moved[place] += by
        other = GridCode(code.shape, code.dtype, code.step, Values(moved.astype(np.int8)), code.indices, code.escapes)
        assert best <= distortion({"w": other}, {"w": values}, {"w": h}) * (1 + 1e-6)


@pytest.mark.parametrize("bits", [0.5, 1.0, 2.0, 4.0])
def test_a_grid_of_so_many_bits_takes_no_more_and_loses_what_theory_says(bits: float):
    weights = {"w": normal(100_000)}
    code = UniformGrid(bits=bits).project(weights)["w"]
    assert bits - 2e-3 < code.index_bits / code.size <= bits
    gap = bits - 0.5 * np.log2(code.size / distortion({"w": code}, weights))
    assert 0.1 < gap < 0.27  # 0.25 at high rate (Gish & Pierce), less below


def test_the_rate_opens_a_dead_zone_and_importance_closes_it():
    weights = {"w": normal(20_000)}
    plain, priced = (UniformGrid(step=1, rate=rate).project(weights)["w"] for rate in (0.0, 0.2))
    assert (priced.levels == 0).mean() > (plain.levels == 0).mean() + 0.05
    h = torch.where(torch.arange(20_000) % 2 == 0, 0.1, 10.0)
    zero = UniformGrid(step=1, rate=0.2).project(weights, {"w": Diagonal(h)})["w"].levels == 0
    assert zero[::2].mean() > zero[1::2].mean() + 0.2


def test_joint_grids_share_step_and_offsets_and_spend_bits_where_weights_are_wide():
    weights = {"wide": 8 * normal(5000), "narrow": normal(5000, seed=1).half()}
    codes = Joint(UniformGrid(bits=3)).project(weights)
    assert codes["wide"].step is codes["narrow"].step
    assert codes["wide"].offsets is codes["narrow"].offsets
    assert sum(code.index_bits for code in codes.values()) <= 3 * 10_000
    spent = (codes["wide"].index_bits - codes["narrow"].index_bits) / 5000
    assert spent == pytest.approx(3, abs=0.2)  # reverse water-filling: log2 of the ratio of widths
    assert distortion(codes, weights) < distortion(project(UniformGrid(bits=3), weights), weights)
    levels = codes["wide"].levels
    width = int(levels.max() - levels.min()).bit_length()
    assert published_bits({"wide": codes["wide"]})["wide"] == 5000 * width + 32


def test_an_outlier_of_a_grid_is_an_escape_and_no_cap():
    weights = torch.cat([normal(5000), torch.tensor([1e6, -1e7])])
    code = UniformGrid(step=0.25).project({"w": weights})["w"]
    assert code.escapes.array.tolist() == [4_000_000, -40_000_000]
    assert code.indices.alphabet < 64
    assert code.decompress()[-2:] == pytest.approx([1e6, -1e7], abs=0.125)
    with pytest.raises(WeightsError, match=r"w: a weight of 1e\+30 is more than 2\^40 steps"):
        UniformGrid(step=0.25).project({"w": torch.tensor([1e30])})


def test_one_value_needs_one_level():
    for value in (0.1, -2.0, 1e-30, 1e30, 1e-300, -1e308):
        code = UniformGrid(bits=1).project({"w": torch.full((5, 4), value, dtype=torch.float64)})["w"]
        assert code.decompress() == pytest.approx(np.full((5, 4), value), rel=1e-6, abs=0)
        assert code.index_bits == 0


def test_grids_refuse_bad_parameters():
    for bad in (
        {},
        {"step": 1, "bits": 1},
        {"bits": 2, "rate": 0.1},
        {"step": 0},
        {"bits": -1},
        {"step": 1, "rate": -1},
    ):
        with pytest.raises(PlanError):
            UniformGrid(**bad)


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

"""Sums against exhaustive search, and what is their own beyond the laws."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from cases import generator, heavy, importance, normal, twin_of
from crossing import crossed
from hypothesis import given
from hypothesis import strategies as st
from toys import Quadratic, last, random_quadratic

from laconic import (
    AdaptiveCodebook,
    Additive,
    Compression,
    FixedCodebook,
    Joint,
    KeepLargest,
    LowRank,
    NuclearNorm,
    UniformGrid,
)
from laconic.csteps.compression import Codes
from laconic.csteps.fixed_codebook import TERNARY
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import CodebookCode, DenseCode, LowRankCode, SparseCode, SumCode, Symbols, Values
from laconic.lc.schedule import Geometric
from laconic.lc.state import LCState
from laconic.lc.steps import run, start
from laconic.models.params import decompress, dtype_name, to_numpy
from laconic.plans.plan import Plan
from laconic.quantize.clustering import cluster, trimmed
from laconic.theory.metric import Diagonal


@dataclass(frozen=True)
class Nearest(Compression):
    """A codebook that is given: each weight takes its nearest entry, the lower of two."""

    entries: tuple[float, ...]

    def project(self, weights, metrics=None, warm=None):
        codes, book = {}, Values(np.array(self.entries))
        for name, tensor in weights.items():
            far = np.abs(to_numpy(tensor.double()).reshape(-1)[:, None] - book.array)
            indices = Symbols(far.argmin(1), len(book))
            codes[name] = CodebookCode(tuple(tensor.shape), dtype_name(tensor), book, indices)
        return codes

    @property
    def assigns_each_weight_alone(self):
        return True


def metric_of(size, seed, weighted):
    return {"w": Diagonal(torch.rand(size, generator=generator(seed)).mul(4).round().double())} if weighted else {}


def importances(metrics, size):
    return metrics["w"].importance if metrics else torch.ones(size).double()


# --- a codebook that is given, and corrections ---------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("count", range(6))
@twin_of(Additive)
def test_a_given_codebook_and_corrections_are_the_joint_optimum(count, weighted):
    for seed, entries in itertools.product(range(2), [(-1.0, 1.0), (0.0,), (-0.5, 0.2, 2.0)]):
        weights, metrics = {"w": heavy(5, seed=seed).double().round(decimals=1)}, metric_of(5, seed, weighted)
        h = importances(metrics, 5)
        least = np.inf
        for kept in itertools.combinations(range(5), count):
            for chosen in itertools.product(entries, repeat=5):
                error = h * (weights["w"] - torch.tensor(chosen, dtype=torch.float64)) ** 2
                error[list(kept)] = 0
                least = min(least, float(error.sum()))
        for parts in itertools.permutations([Nearest(entries), KeepLargest(count=count)]):
            codes = Additive(parts).project(weights, metrics)
            assert distortion(codes, weights, metrics) == pytest.approx(least, abs=1e-12)


def test_the_exact_way_is_taken_for_a_given_codebook():
    """One pass, with no alternation: corrections are where the κ largest weighted errors are, and are the errors."""
    weights = {"w": heavy(300).double()}
    metrics = {"w": importance(weights["w"])}
    nearest = Nearest((-1.0, 0.0, 1.0))
    code = Additive((nearest, KeepLargest(count=30)), sweeps=0).project(weights, metrics)["w"]
    assert isinstance(code, SumCode)
    quantized = torch.from_numpy(nearest.project(weights)["w"].decompress())
    error = metrics["w"].importance * (weights["w"] - quantized) ** 2
    kept = torch.from_numpy(code.terms[1].mask.array == 1)
    assert float(error[kept].min()) >= float(error[~kept].max())
    assert np.array_equal(code.terms[0].decompress(), quantized)
    assert np.array_equal(code.terms[1].values.decompress(), (weights["w"] - quantized)[kept])
    joint = Joint(Additive((nearest, Joint(KeepLargest(count=7)))))
    both = joint.project({"a": weights["w"][:200], "b": weights["w"][200:]})
    assert sum(code.terms[1].values.size for code in both.values()) == 7


@pytest.mark.parametrize("entries", [TERNARY, (-1.0, 0.0, 0.25, 2.0)])
def test_a_given_codebook_times_a_scale_and_corrections_are_the_joint_optimum(entries):
    """A descent from the scale of all weights ended above it in one case of ten, up to 154 times."""
    every = np.array(list(itertools.product(entries, repeat=6)))
    for seed in range(12):
        weights, metrics = {"w": heavy(6, seed=seed).double()}, metric_of(6, seed, seed % 2 == 0)
        w, h = weights["w"].numpy(), importances(metrics, 6).numpy()
        least = np.inf
        for kept in itertools.combinations(range(6), 2):
            free = np.where(np.isin(np.arange(6), kept), 0.0, h)
            s1, s2 = every @ (free * w), every**2 @ free
            scales = np.maximum(s1, 0) / np.where(s2 > 0, s2, 1)
            least = min(least, float((free * (w - scales[:, None] * every) ** 2).sum(1).min()))
        codes = Additive((FixedCodebook(entries), KeepLargest(count=2))).project(weights, metrics)
        assert distortion(codes, weights, metrics) == pytest.approx(
            least, rel=1e-9, abs=1e-12 * float((h * w * w).sum())
        )


# --- a codebook that is learned, and corrections -------------------------------------------------------------------


def least_trimmed(weights, h, entries, count):
    """The least error of all sets of corrected weights and all assignments of the others."""
    size, least = len(weights), np.inf
    for kept in itertools.combinations(range(size), count):
        rest = [i for i in range(size) if i not in kept]
        for assigned in itertools.product(range(entries), repeat=len(rest)):
            index, w, m = np.array(assigned), weights[rest], h[rest]
            centres = np.bincount(index, m * w, entries) / np.maximum(np.bincount(index, m, entries), 1e-300)
            least = min(least, float((m * (w - centres[index]) ** 2).sum()))
    return least


@pytest.mark.parametrize("weighted", [False, True])
def test_a_learned_codebook_and_corrections_are_near_the_joint_optimum(weighted):
    """Alternation with exact steps: never below the optimum, at it most of the time."""
    reached = 0
    for seed in range(6):
        weights, metrics = {"w": heavy(7, seed=seed).double()}, metric_of(7, seed, weighted)
        least = least_trimmed(weights["w"].numpy(), importances(metrics, 7).numpy(), 2, 2)
        codes = Additive((AdaptiveCodebook(2), KeepLargest(count=2))).project(weights, metrics)
        found = distortion(codes, weights, metrics)
        assert found >= least - 1e-12
        reached += found <= least + 1e-9
        plain = distortion(alternation(weights, metrics, 2, 2), weights, metrics)
        assert found <= plain + 1e-12
    assert reached >= 4


def alternation(weights, metrics, entries, count):
    """The published algorithm: each part is fitted to the weights less the other one, ten times."""
    book, keep = AdaptiveCodebook(entries), KeepLargest(count=count)
    sparse = torch.zeros_like(weights["w"])
    for _ in range(10):
        quantized = book.project({"w": weights["w"] - sparse}, metrics)
        kept = keep.project({"w": weights["w"] - decompress(quantized)["w"]}, metrics)
        sparse = decompress(kept)["w"]
    return {"w": SumCode(tuple(sparse.shape), dtype_name(sparse), (quantized["w"], kept["w"]))}


@crossed("entries, tensor", [1, 2, 4, 16], [normal(3000), heavy(3000), normal(3000).double(), heavy(50, 40).bfloat16()])
def test_never_worse_than_the_published_alternation(entries, tensor):
    weights = {"w": tensor}
    ours = Additive((AdaptiveCodebook(entries), KeepLargest(count=30))).project(weights)
    assert distortion(ours, weights) <= distortion(alternation(weights, {}, entries, 30), weights) * (1 + 1e-6)


def test_corrections_are_exact_and_as_many_as_may_be():
    weights = {"w": heavy(30, 20)}
    code = Additive((AdaptiveCodebook(4), KeepLargest(0.05))).project(weights)["w"]
    assert isinstance(code.terms[1], SparseCode)
    mask = code.terms[1].mask.array.astype(bool)
    assert mask.sum() == 30
    restored = code.decompress().reshape(-1)[mask]
    assert restored == pytest.approx(weights["w"].reshape(-1)[torch.from_numpy(mask)].numpy(), rel=1e-6, abs=1e-6)


def test_one_codebook_and_one_budget_for_all_tensors():
    weights = {"a": normal(20, 9), "b": 7 * heavy(50, seed=1), "c": torch.zeros(0)}
    row = Joint(Additive((Joint(AdaptiveCodebook(3)), Joint(KeepLargest(count=11)))))
    codes = project(row, weights)
    assert len({id(code.terms[0].codebook) for code in codes.values()}) == 1
    assert sum(code.terms[1].values.size for code in codes.values()) == 11
    flat = {"w": torch.cat([tensor.reshape(-1) for tensor in weights.values()])}
    whole = Additive((AdaptiveCodebook(3), KeepLargest(count=11))).project(flat)
    assert distortion(codes, weights) == pytest.approx(distortion(whole, flat), rel=1e-6)
    metrics = {"a": importance(weights["a"])}
    weighted = row.project(weights, metrics)
    assert distortion(weighted, weights, metrics) <= distortion(codes, weights, metrics)


# --- trimmed k-means -----------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-8, 8), min_size=1, max_size=8), st.integers(1, 3), st.integers(0, 3),
    st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_trimming_is_never_below_the_optimum_nor_above_no_trimming(values, k, kappa, dtype):
    array = np.array(values, dtype)
    centres = trimmed(array, k, kappa)
    assert 1 <= len(centres) <= k
    assert (np.diff(centres) > 0).all()

    def error(found):
        return float(np.sort(((array[:, None] - found) ** 2).min(1))[: max(0, len(array) - kappa)].sum())

    assert error(centres) <= error(cluster(array, None, k)) + 1e-5
    if len(array) <= 6 and kappa < len(array):
        assert error(centres) >= least_trimmed(array.astype(float), np.ones(len(array)), k, kappa) - 1e-5


def test_outliers_take_no_centre():
    values = np.concatenate([np.full(50, -1.0), np.full(50, 1.0), [1e3, -1e4, 1e5]])
    assert trimmed(values, 2, 3).tolist() == [-1, 1]
    assert trimmed(values * 1e303, 2, 3).tolist() == [-1e303, 1e303]
    assert trimmed(values, 2, 3, np.array([0.0])).tolist() == [-1, 1]
    assert trimmed(np.zeros(0), 2, 1).tolist() == []
    assert trimmed(np.array([3.0]), 2, 5).tolist() == [3.0]


# --- alternation ---------------------------------------------------------------------------------------------------

THREE = (LowRank(1), AdaptiveCodebook(2), KeepLargest(0.05, values=AdaptiveCodebook(3)))
SUMS = {
    "rank and sparse": (LowRank(2), KeepLargest(0.05)),
    "codebooks": (AdaptiveCodebook(3), AdaptiveCodebook(3)),
    "three": THREE,
    "corrected": (AdaptiveCodebook(3), KeepLargest(0.05)),
    "grid": (UniformGrid(bits=1), KeepLargest(0.05)),
    "priced grid": (UniformGrid(step=0.5, rate=0.2), KeepLargest(0.05)),
}


@pytest.mark.parametrize("name", SUMS)
def test_the_objective_never_rises(name):
    weights, metrics = (
        {"w": heavy(30, 20)},
        {} if "rank" in name or name == "three" else {"w": importance(heavy(30, 20))},
    )
    sums = [Additive(SUMS[name], sweeps, 0.0) for sweeps in (0, 1, 2, 5)]
    found = [(s, s.project(weights, metrics)) for s in sums]
    values = [distortion(codes, weights, metrics) + s.penalty(codes) for s, codes in found]
    assert all(b <= a for a, b in itertools.pairwise(values))
    assert values[-1] < values[0] or name == "grid"  # whose step is searched for anew each time


def test_low_rank_and_sparse_are_told_apart():
    """What is a sum of the two is found to be, from corrections that dwarf the rest."""
    thin = torch.outer(normal(20), normal(15, seed=1)).double()
    spikes = torch.zeros(300).double()
    spikes[torch.randperm(300, generator=generator(2))[:12]] = 30 * normal(12, seed=3).sign().double()
    weights = {"w": thin + spikes.view(20, 15)}
    code = Additive((LowRank(1), KeepLargest(count=12)), sweeps=100, tolerance=0.0).project(weights)["w"]
    assert isinstance(code.terms[0], LowRankCode)
    assert distortion({"w": code}, weights) < 1e-8 * float(weights["w"].square().sum())
    assert np.array_equal(code.terms[1].mask.array, (spikes != 0).numpy())


def test_a_sum_is_no_worse_than_its_parts_alone():
    weights = {"w": heavy(30, 20)}
    pairs = []
    for two in itertools.combinations(THREE, 2):
        pairs.append(distortion(Additive(two).project(weights), weights))
        assert pairs[-1] < min(distortion(project(part, weights), weights) for part in two)
    assert distortion(Additive(THREE).project(weights), weights) <= min(pairs)


def test_every_order_is_tried():
    """Two codebooks: whichever way they are written, the sum is as good."""
    weights = {"w": heavy(400)}
    parts = (AdaptiveCodebook(2), AdaptiveCodebook(5))
    one, other = (Additive(order).project(weights) for order in (parts, parts[::-1]))
    assert distortion(one, weights) == pytest.approx(distortion(other, weights), rel=1e-9)


def test_warm_codes_are_kept_where_nothing_is_better_and_only_if_feasible():
    weights = {"w": torch.tensor([0.0, 1.0, 10.0, 11.0, 0.5]).double()}
    sums = Additive((AdaptiveCodebook(2), AdaptiveCodebook(2)), sweeps=0)

    def book(values, indices):
        return CodebookCode((5,), "float64", Values(np.array(values)), Symbols(np.array(indices), len(values)))

    best = {"w": SumCode((5,), "float64", (book([0.0, 10.0], [0, 0, 1, 1, 0]), book([0.2, 1.0], [0, 1, 0, 1, 0])))}
    found = sums.project(weights, None, best)
    assert distortion(found, weights) <= distortion(best, weights)
    perfect = {
        "w": SumCode((5,), "float64", (book([0.0, 10.0], [0, 0, 1, 1, 0]), book([0, 1.0, 0.5], [0, 1, 0, 1, 2])))
    }
    assert distortion(perfect, weights) == 0
    assert distortion(sums.project(weights, None, perfect), weights) > 0
    dense = {
        "w": SumCode((5,), "float64", tuple(DenseCode.of(half.numpy()) for half in (weights["w"], 0 * weights["w"])))
    }
    corrected = Additive((UniformGrid(bits=1), KeepLargest(count=1)))
    for other in (sums, corrected):
        again, cold = other.project(weights, None, dense), other.project(weights)
        assert distortion(again, weights) <= distortion(cold, weights)
        assert [type(term) for term in again["w"].terms] == [type(term) for term in cold["w"].terms]
    three = {"w": SumCode((5,), "float64", (*best["w"].terms, book([0.0], [0] * 5)))}
    assert distortion(sums.project(weights, None, three), weights) == distortion(sums.project(weights), weights)


def test_prices_are_handed_on_and_counted():
    grid = UniformGrid(step=0.5, rate=0.2)
    sums = Additive((grid, KeepLargest(0.1, values=grid), LowRank(1, left=grid)))
    assert sums.scaled(1.0) == sums
    codes = sums.project({"w": normal(12, 10)})
    bits = codes["w"].terms[0].index_bits + codes["w"].terms[1].values.index_bits + codes["w"].terms[2].left.index_bits
    assert sums.penalty(codes) == Joint(sums).penalty(codes) == pytest.approx(0.2 * 0.25 * bits)


def test_importances_that_a_part_cannot_honour_are_refused_by_name():
    weights = {"w": normal(6, 5)}
    with pytest.raises(UnsupportedMetric, match=r"w: .*Diagonal"):
        Additive((NuclearNorm(1.0), KeepLargest(0.1))).project(weights, {"w": importance(weights["w"])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(((),), "2 to 8, not 0"), (((KeepLargest(0.1),),), "not 1"), (((KeepLargest(0.1),) * 9,), "not 9"),
     (((KeepLargest(0.1),) * 2, -1), "sweeps"), (((KeepLargest(0.1),) * 2, 1, -0.1), "tolerance"),
     (((KeepLargest(0.1),) * 2, 1, float("nan")), "tolerance")],
)  # fmt: skip
def test_bad_parameters_are_refused(arguments, message):
    with pytest.raises(PlanError, match=message):
        Additive(*arguments)


# --- codes and LC --------------------------------------------------------------------------------------------------


def test_labels_tell_the_choices_of_all_parts():
    codes: Codes = Additive((AdaptiveCodebook(2), KeepLargest(count=2))).project(
        {"w": torch.tensor([1.0, 1, -1, 7, -4])}
    )
    labels = codes["w"].labels()
    indices, mask = codes["w"].terms[0].labels(), codes["w"].terms[1].labels()
    pairs = list(zip(indices.tolist(), mask.tolist(), strict=True))
    assert len(set(labels.tolist())) == len(set(pairs)) == 3
    assert (labels != 0).all()
    pruned = Additive((KeepLargest(count=1), KeepLargest(count=1))).project({"w": torch.tensor([1.0, 0.0, 5.0])})
    assert (pruned["w"].labels() != 0).tolist() == [True, False, True]
    thin = Additive((LowRank(1), LowRank(1))).project({"w": normal(5, 4)})
    assert thin["w"].labels() is None


@pytest.mark.parametrize("weighted", [False, True])
def test_lc_with_a_sum_ends_below_direct_compression(weighted):
    problem: Quadratic = random_quadratic(20, seed=5, shape=(4, 5))
    metrics = {"w": Diagonal(torch.linspace(0.2, 3, 20).double().view(4, 5))} if weighted else None
    sums = Additive((AdaptiveCodebook(2), KeepLargest(count=3)))
    direct = start(problem.params, Plan({"w": sums}), metrics)
    end: LCState = last(run(direct, problem, Geometric(0.1, 1.1, 80)))
    before, after = (float(problem.loss(state.compressed["w"])) for state in (direct, end))
    assert after < 0.9 * before
    assert end.progress.gap < 1e-2

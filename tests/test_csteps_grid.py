"""The uniform grid against its slow twins: exhaustive search, naive counts of bits, and what theory says."""

import itertools

import numpy as np
import pytest
import torch

from laconic.clustering import grid as grids
from laconic.codes import GridCode, Values
from laconic.codes.counting import published_bits
from laconic.codes.grid import multiples
from laconic.csteps import Joint, UniformGrid, project
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, WeightsError
from laconic.metric import Diagonal

from .cases import heavy, importance, normal


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

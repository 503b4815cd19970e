"""The uniform grid against its slow twins: exhaustive search, naive counts of bits, and what theory says."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from laconic.codes import GridCode, Values
from laconic.coding.model import UNIT, parse_model
from laconic.csteps import Joint, UniformGrid, project
from laconic.csteps.uniform_grid import STATES
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, WeightsError
from laconic.metric import Diagonal

from .cases import heavy, importance, normal


def offsets_of(code: GridCode) -> np.ndarray:
    """o of |v| = 0, 1, …, in steps; the last holds for all larger."""
    return np.concatenate([[0.0], parse_model(code.model.array.tobytes()).offsets / UNIT])


def naive_bits(code: GridCode) -> float:
    """What the integers cost, each by the frequency of its symbol."""
    frequencies, bits = code.coder.frequencies, 0.0
    for v in code.levels.tolist():
        u, odd = (abs(v) // 2, v % 2) if code.coder.model.trellis else (abs(v), 0)
        m, raw = u, 0
        if u >= 16:
            e = u.bit_length() - 1
            m, raw = 16 + 4 * (e - 4) + (u >> e - 2) % 4, e - 2
        symbol = 2 * m + (v < 0) if odd else 2 * m - (v > 0)
        bits += 12 - math.log2(frequencies[odd][symbol]) + raw
    return bits


# --- the integers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("step", [0.1, 0.7, 3.0])
def test_without_a_rate_every_weight_goes_to_its_nearest_level(step: float, weighted: bool):
    weights = heavy(400).double().clamp(-20, 20)
    metrics = {"w": importance(weights)} if weighted else None
    code = UniformGrid(step=step).project({"w": weights}, metrics)["w"]
    assert isinstance(code, GridCode)
    reach = np.arange(-300, 301)
    o = offsets_of(code)
    levels = step * (reach + np.sign(reach) * o[np.minimum(np.abs(reach), len(o) - 1)])
    apart = np.abs(weights.numpy()[:, None] - levels).min(1)
    own = np.abs(weights.numpy() - code.decompress())
    # offsets follow the integers, which are therefore the nearest to those of the round before
    assert own.mean() <= apart.mean() * 1.02
    assert (own <= apart + 0.1 * step).all()


@pytest.mark.parametrize("states", [1, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_single_change_of_a_scalar_grid_lowers_its_objective_by_much(states: int, weighted: bool):
    """With the final tables and offsets, the integers that the last ones chose are nearly the best of all."""
    weights, step, rate = normal(3000).double(), 0.5 if states == 1 else 0.25, 0.15 if states == 1 else 0.6
    h = importance(weights).importance.numpy().astype(float) if weighted else np.ones(3000)
    metrics = {"w": Diagonal(torch.from_numpy(h))} if weighted else None
    code = UniformGrid(step=step, rate=rate, states=states).project({"w": weights}, metrics)["w"]
    assert isinstance(code, GridCode)
    found = float((h * (weights.numpy() - code.decompress()) ** 2).sum()) + rate * step**2 * naive_bits(code)
    if states > 1:  # a change breaks the path: the twin is a grid without a trellis, whose cells are as wide
        other = UniformGrid(step=2 * step, rate=rate / 4).project({"w": weights}, metrics)["w"]
        assert isinstance(other, GridCode)
        cost = float((h * (weights.numpy() - other.decompress()) ** 2).sum()) + rate * step**2 * naive_bits(other)
        assert found < cost
        return
    reach = np.arange(-20, 21)
    o = offsets_of(code)
    levels = step * (reach + np.sign(reach) * o[np.minimum(np.abs(reach), len(o) - 1)])
    frequencies = code.coder.frequencies[0]
    symbols = np.minimum(2 * np.abs(reach) - (reach > 0), 255)
    lengths = np.where(frequencies[symbols] > 0, 12 - np.log2(np.maximum(frequencies[symbols], 1)), np.inf)
    lengths[np.abs(reach) >= 16] = np.inf
    best = (h[:, None] * (weights.numpy()[:, None] - levels) ** 2 + rate * step**2 * lengths).min(1).sum()
    assert best <= found * (1 + 1e-9)
    assert found <= best * 1.01


@pytest.mark.parametrize("states", STATES)
def test_the_bits_of_a_grid_are_those_of_its_tables(states: int):
    for weights in (normal(3000), heavy(3000) * 100):
        code = UniformGrid(step=0.2, rate=0.1, states=states).project({"w": weights})["w"]
        assert isinstance(code, GridCode)
        assert code.index_bits == pytest.approx(naive_bits(code), rel=1e-5)
        assert len(code.payload) == pytest.approx(code.index_bits / 8, rel=0.01, abs=16)


@pytest.mark.parametrize("states", [1, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_no_offset_is_better_for_the_integers_of_a_grid(states: int, weighted: bool):
    values = normal(2000).double()
    metrics = {"w": importance(values)} if weighted else None
    code = UniformGrid(step=0.4, rate=0.1, states=states).project({"w": values}, metrics)["w"]
    assert isinstance(code, GridCode)
    model, best = code.coder.model, distortion({"w": code}, {"w": values}, metrics)
    assert model.offsets.any()
    for place, by in itertools.product(range(len(model.offsets)), (-1, 1)):
        moved = model.offsets.astype(int)
        moved[place] += by
        if abs(moved[place]) > 127:  # half a step, where they end
            continue
        other = replace(model, offsets=moved.astype(np.int8))
        stored = Values(np.frombuffer(other.pack(), np.uint8).copy())
        assert best <= distortion({"w": replace(code, model=stored)}, {"w": values}, metrics) * (1 + 1e-6)


def test_the_rate_opens_a_dead_zone_and_importance_closes_it():
    weights = {"w": normal(20_000)}
    plain, priced = (UniformGrid(step=1, rate=rate).project(weights)["w"] for rate in (0.0, 0.2))
    assert (priced.levels == 0).mean() > (plain.levels == 0).mean() + 0.05
    h = torch.where(torch.arange(20_000) % 2 == 0, 0.1, 10.0)
    zero = UniformGrid(step=1, rate=0.2).project(weights, {"w": Diagonal(h)})["w"].levels == 0
    assert zero[::2].mean() > zero[1::2].mean() + 0.2


# --- bits ------------------------------------------------------------------------------------------

GAPS = {1: (0.1, 0.27), 8: (0.04, 0.11), 64: (0.03, 0.085)}  # 0.25 at high rate (Gish & Pierce), less below


@pytest.mark.parametrize("states", GAPS)
@pytest.mark.parametrize("bits", [0.5, 1.0, 2.0, 4.0])
def test_a_grid_of_so_many_bits_takes_no_more_and_loses_what_theory_says(bits: float, states: int):
    weights = {"w": normal(100_000)}
    code = UniformGrid(bits=bits, states=states).project(weights)["w"]
    assert bits - (2e-3 if states == 1 else 1e-2) < code.index_bits / code.size <= bits
    least, most = GAPS[states]
    assert least < bits - 0.5 * np.log2(code.size / distortion({"w": code}, weights)) < most


def test_a_trellis_is_better_at_the_same_bits_also_with_importances():
    weights = {"w": normal(30_000)}
    metrics = {"w": importance(weights["w"])}
    for metric in (None, metrics):
        lost = [
            distortion(UniformGrid(bits=2, states=states).project(weights, metric), weights, metric)
            for states in (1, 8, 64)
        ]
        assert lost[2] < lost[1] < 0.9 * lost[0]


def test_importance_is_what_bits_are_spent_on():
    weights, h = {"w": normal(30_000)}, torch.where(torch.arange(30_000) % 2 == 0, 0.01, 100.0)
    for states in (1, 8):
        plain, heavier = (
            UniformGrid(bits=1.5, states=states).project(weights, metrics)["w"]
            for metrics in (None, {"w": Diagonal(h)})
        )
        errors = [np.square(weights["w"].numpy() - code.decompress()) for code in (plain, heavier)]
        assert errors[1][1::2].mean() < 0.9 * errors[0][1::2].mean()


def test_scales_and_transform_lower_the_error_at_the_same_bits():
    kernels = normal(60, 40, 1, 1) + 0.3 * normal(60, 40, 3, 3, seed=1)
    weights = {"w": kernels * torch.logspace(-1, 1, 60).view(60, 1, 1, 1)}
    lost = [
        distortion(UniformGrid(bits=2, states=8, cosine=cosine, scales=scales).project(weights), weights)
        for cosine, scales in ((False, False), (False, True), (True, True))
    ]
    assert lost[2] < 0.7 * lost[1] < 0.7 * 0.7 * lost[0]


@pytest.mark.parametrize("states", [1, 8])
def test_joint_grids_share_step_and_tables_and_spend_bits_where_weights_are_wide(states: int):
    weights = {"wide": 8 * normal(5000), "narrow": normal(5000, seed=1).half()}
    grid = UniformGrid(bits=3, states=states, scales=True)
    codes = Joint(grid).project({name: tensor.view(50, 100) for name, tensor in weights.items()})
    assert codes["wide"].step is codes["narrow"].step
    assert codes["wide"].model is codes["narrow"].model
    assert codes["wide"].scales is codes["narrow"].scales
    assert sum(code.index_bits for code in codes.values()) <= 3 * 10_000
    spent = (codes["wide"].index_bits - codes["narrow"].index_bits) / 5000
    assert spent == pytest.approx(3, abs=0.2)  # reverse water-filling: log2 of the ratio of widths
    flat = Joint(replace(grid, scales=False)).project(weights)
    assert distortion(flat, weights) < distortion(project(replace(grid, scales=False), weights), weights)


# --- what is far, alike, or not to be --------------------------------------------------------------


def test_an_outlier_of_a_grid_is_no_cap():
    weights = torch.cat([normal(5000), torch.tensor([1e6, -1e7])])
    code = UniformGrid(step=0.25).project({"w": weights})["w"]
    assert code.levels[-2:].tolist() == [4_000_000, -40_000_000]
    assert code.decompress()[-2:] == pytest.approx([1e6, -1e7], abs=0.5)
    assert code.index_bits / 5002 < 5
    assert Counter(np.abs(code.levels[:-2]) < 32) == {True: 5000}
    with pytest.raises(WeightsError, match=r"w: a weight of 1e\+30 is more than 2\^30 steps"):
        UniformGrid(step=0.25).project({"w": torch.tensor([1e30])})


@pytest.mark.parametrize("states", [1, 8])
def test_integers_stay_in_their_32_bits_where_a_transform_gathers_what_is_alike(states: int):
    kernels = {"w": torch.full((2, 2, 32, 32), 1.0, dtype=torch.float64)}
    for grid in (
        UniformGrid(step=2.0**-29, cosine=True, states=states),
        UniformGrid(bits=40, cosine=True, states=states),
    ):
        try:
            code = grid.project(kernels)["w"]
        except WeightsError as error:
            refused = str(error)
            continue
        assert code.decompress() == pytest.approx(np.ones((2, 2, 32, 32)), rel=1e-6)
    assert "steps" in refused


def test_one_value_needs_one_level():
    for value in (0.1, -2.0, 1e-30, 1e30, 1e-300, -1e308):
        code = UniformGrid(bits=2).project({"w": torch.full((5, 4), value, dtype=torch.float64)})["w"]
        assert code.decompress() == pytest.approx(np.full((5, 4), value), rel=1e-6, abs=0)
        assert len(set(code.levels.tolist())) == 1
        assert code.index_bits <= 40


def test_grids_refuse_bad_parameters():
    for bad in (
        {},
        {"step": 1, "bits": 1},
        {"bits": 2, "rate": 0.1},
        {"step": 0},
        {"step": math.inf},
        {"bits": -1},
        {"bits": math.nan},
        {"step": 1, "rate": -1},
        {"step": 1, "rate": math.nan},
        {"bits": 2, "states": 2},
        {"bits": 2, "states": 128},
    ):
        with pytest.raises(PlanError):
            UniformGrid(**bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(bad: float):
    for grid in (UniformGrid(bits=2), UniformGrid(step=0.1, states=8)):
        with pytest.raises(WeightsError, match="w"):
            grid.project({"w": torch.tensor([1.0, bad])})

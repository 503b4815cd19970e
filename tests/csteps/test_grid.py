"""The uniform grid as a C step: what it promises of bits, levels and tables, and what theory says."""

import itertools
import math

import numpy as np
import pytest
import torch
from cases import heavy, importance, normal, twin_of

from laconic import Joint, UniformGrid
from laconic.csteps.joint import project
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import GridCode, Values
from laconic.format.codes.counting import published_bits
from laconic.format.coding.payload import moved
from laconic.quantize.lattice.assigned import OFFSETS
from laconic.theory.metric import Diagonal


def with_offsets(code, offsets):
    """What the code stands for if its offsets were others."""
    return (moved(code.levels, offsets) * float(code.step.array[0])).reshape(code.shape)


@pytest.mark.parametrize("weighted", [False, True])
@twin_of(UniformGrid)
def test_no_offset_is_better_for_the_integers_of_a_grid(weighted):
    values = heavy(500)
    h = importance(values).importance.numpy() if weighted else np.ones(500)
    metrics = {"w": Diagonal(torch.from_numpy(h))} if weighted else {}
    code = UniformGrid(step=0.5).project({"w": values}, metrics)["w"]
    assert isinstance(code, GridCode)
    own = np.resize(code.coder.model.offsets, OFFSETS).astype(int)
    best = float((h * (values.numpy() - with_offsets(code, own)) ** 2).sum())
    assert best == pytest.approx(distortion({"w": code}, {"w": values}, metrics), rel=1e-6)
    for place, by in itertools.product(range(OFFSETS), (-1, 1)):
        other = own.copy()
        other[place] += by
        assert best <= float((h * (values.numpy() - with_offsets(code, other)) ** 2).sum()) * (1 + 1e-6)


@pytest.mark.parametrize(("states", "gap"), [(1, 0.28), (8, 0.11), (64, 0.08)])
@pytest.mark.parametrize("bits", [1.0, 2.0, 4.0])
def test_a_grid_of_so_many_bits_takes_no_more_and_loses_what_theory_says(bits, states, gap):
    weights = {"w": normal(50_000)}
    code = UniformGrid(bits=bits, states=states).project(weights)["w"]
    assert bits - 0.02 < code.index_bits / code.size <= bits
    assert 0.03 < bits - 0.5 * np.log2(code.size / distortion({"w": code}, weights)) < gap


def test_the_bits_of_a_grid_are_those_of_its_tables():
    code = UniformGrid(bits=3).project({"w": normal(4000)})["w"]
    sizes = code.coder.frequencies[0]
    lengths = {v: 12 - np.log2(sizes[2 * abs(v) - (v > 0)]) for v in set(code.levels.tolist())}
    assert code.index_bits == pytest.approx(sum(lengths[v] for v in code.levels.tolist()), rel=1e-6)
    counts = np.unique(code.levels, return_counts=True)[1]
    entropy = float(-(counts * np.log2(counts / 4000)).sum())
    assert entropy <= code.index_bits < 1.02 * entropy


def test_the_rate_opens_a_dead_zone_and_importance_closes_it():
    weights = {"w": normal(20_000)}
    plain, priced = (UniformGrid(step=1, rate=rate).project(weights)["w"] for rate in (0.0, 0.2))
    assert (priced.levels == 0).mean() > (plain.levels == 0).mean() + 0.05
    h = torch.where(torch.arange(20_000) % 2 == 0, 0.1, 10.0)
    zero = UniformGrid(step=1, rate=0.2).project(weights, {"w": Diagonal(h)})["w"].levels == 0
    assert zero[::2].mean() > zero[1::2].mean() + 0.2


@pytest.mark.parametrize("states", [1, 8])
def test_joint_grids_share_step_and_tables_and_spend_bits_where_weights_are_wide(states):
    weights = {"wide": 8 * normal(5000), "narrow": normal(5000, seed=1).half()}
    compression = UniformGrid(bits=3, states=states, scales=True)
    codes = Joint(compression).project(weights)
    assert codes["wide"].step is codes["narrow"].step
    assert codes["wide"].model is codes["narrow"].model
    assert sum(code.index_bits for code in codes.values()) <= 3 * 10_000
    spent = (codes["wide"].index_bits - codes["narrow"].index_bits) / 5000
    assert spent == pytest.approx(3, abs=0.25)  # reverse water-filling: log2 of the ratio of widths
    assert distortion(codes, weights) < distortion(project(compression, weights), weights)
    levels = codes["wide"].levels
    width = int(levels.max() - levels.min()).bit_length()
    assert published_bits({"wide": codes["wide"]})["wide"] == 5000 * width + 32


def test_an_outlier_of_a_grid_is_no_cap():
    weights = torch.cat([normal(5000), torch.tensor([1e6, -1e7])])
    code = UniformGrid(step=0.25).project({"w": weights})["w"]
    assert code.levels[-2:].tolist() == [4_000_000, -40_000_000]
    assert code.index_bits / code.size < 5
    with pytest.raises(WeightsError, match=r"w: a weight of 1e\+30 is more than 2\^30 steps"):
        UniformGrid(step=0.25).project({"w": torch.tensor([1e30])})


def test_one_value_needs_one_level_and_a_sign():
    for value in (0.1, -2.0, 1e-30, 1e30, 1e-300, -1e308):
        code = UniformGrid(bits=1.5).project({"w": torch.full((5, 4), value, dtype=torch.float64)})["w"]
        assert code.decompress() == pytest.approx(np.full((5, 4), value), rel=1e-6, abs=0)
        assert code.index_bits / code.size <= 1.5


def test_rows_have_steps_of_their_own():
    widths = torch.tensor([0.01, 1.0, 100.0, 0.0])
    weights = {"w": normal(4, 2000) * widths[:, None]}
    code = UniformGrid(bits=4, rows=True).project(weights)["w"]
    steps = code.step.array
    assert steps[1] / steps[0] == pytest.approx(100, rel=0.1)
    assert steps[2] / steps[1] == pytest.approx(100, rel=0.1)
    other = GridCode(
        code.shape, code.dtype, code.transform, code.mode, code.start, Values(2 * steps), code.model, code.scales,
        code.payload,
    )  # fmt: skip
    assert other.decompress() == pytest.approx(2 * code.decompress(), rel=1e-6)


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
        {"bits": 2, "states": 3},
        {"step": 1, "rows": True},
    ):
        with pytest.raises(PlanError):
            UniformGrid(**bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(bad: float):
    for grid in (UniformGrid(bits=2), UniformGrid(step=0.1, states=8)):
        with pytest.raises(WeightsError, match="w"):
            grid.project({"w": torch.tensor([1.0, bad])})

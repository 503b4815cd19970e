"""Costs of codes, by hand and by what they say they are."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from sample_codes import CASES, canonical, codebook, dense, low_rank, sparse, tucker

from laconic.csteps.costs import Bits, Cost, Energy, Flops, Parameters, Time
from laconic.csteps.profile import Device, Profile
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import DenseCode
from laconic.format.codes.counting import ideal_bits

TABLE = {10: 1e-6, 100: 4e-6}
TOY = Profile("toy", "c", "1", (1,), weights="stored", device=Device(1e-6, 1e-9, 1e-9, 1 << 10))
COSTS = [
    Parameters(),
    Bits(),
    Bits(exact=True),
    Flops(9),
    Energy(),
    Energy(4, "int8", "sram"),
    Time(TABLE),
    Time.of_profile(TOY, 9),
]
SPATIAL = low_rank((8, 6, 3, 2), 3, "out.kh|in.kw")


def test_parameters_are_what_is_left_of_a_tensor():
    assert Parameters()("w", dense((3, 5))) == 15
    assert Parameters()("w", codebook((3, 5))) == 15
    kept = sparse((30, 40), codebook)
    assert Parameters()("w", kept) == kept.values.size == np.count_nonzero(kept.mask.array)
    assert Parameters()("w", low_rank((8, 6), 2)) == 2 * (8 + 6)
    assert Parameters()("w", SPATIAL) == 3 * (8 * 3 + 6 * 2)
    halved = low_rank((8, 6), 2, right=sparse)
    assert Parameters()("w", halved) == 16 + np.count_nonzero(halved.right.mask.array)
    assert Parameters()("w", low_rank((8, 6), 0)) == 0
    assert Parameters()("w", tucker((8, 6, 3, 3), (2, 4))) == 16 + 2 * 4 * 9 + 24
    assert Parameters()("w", canonical((8, 6, 5), 4)) == 4 * 19


def test_flops_are_parameters_at_every_position():
    assert Flops()("w", SPATIAL) == 108
    assert Flops(49)("w", SPATIAL) == 49 * 108
    assert Flops({"conv": 49, "fc": 1})("conv", SPATIAL) == 49 * 108
    assert Flops({"conv": 49, "fc": 1})("fc", SPATIAL) == 108
    with pytest.raises(PlanError, match="fc2: positions"):
        Flops({"conv": 49, "fc": 1})("fc2", SPATIAL)


def test_flops_of_alexnet_as_published():
    """Idelbayev & Carreira-Perpiñán 2020: 724 million; three of its five convolutions are in two groups."""
    convolutions = {(96, 3, 11, 11): 55, (256, 48, 5, 5): 27, (384, 256, 3, 3): 13, (384, 192, 3, 3): 13,
                    (256, 192, 3, 3): 13}  # fmt: skip
    matrices = [(4096, 9216), (4096, 4096), (1000, 4096)]
    zeros = {shape: DenseCode.of(np.zeros(shape, np.float32)) for shape in (*convolutions, *matrices)}
    total = sum(Flops(side**2)("w", zeros[shape]) for shape, side in convolutions.items())
    total += sum(Flops()("w", zeros[shape]) for shape in matrices)
    assert total == pytest.approx(724e6, rel=2e-3)


def test_bits_are_the_entropy_or_what_the_file_grows_by():
    code = sparse((60, 40), codebook)
    assert Bits()("w", code) == ideal_bits(code)
    assert Bits(exact=True)("w", code) == container.bits({"w": code}) - container.bits({})


def test_energy_of_a_layer_by_hand():
    code = dense((300, 784))
    assert Energy()("w", code) == pytest.approx(300 * 784 * (3.7 + 0.9 + 640))
    assert Energy(memory="sram")("w", code) == pytest.approx(300 * 784 * (3.7 + 0.9 + 5))
    assert Energy(10, "int8")("w", code) == pytest.approx(300 * 784 * (10 * 0.3 + 640))
    half = dense((300, 784), "float16")
    assert Energy(1, "float16")("w", half) == pytest.approx(300 * 784 * (1.1 + 0.4 + 320))
    for arguments, name in [({"arithmetic": "int4"}, "arithmetic"), ({"memory": "tape"}, "memory")]:
        with pytest.raises(PlanError, match=f"{name} is one of .*not '"):
            Energy(**arguments)


@pytest.mark.parametrize(
    ("size", "seconds"), [(0, 0), (1, 1e-6), (10, 1e-6), (40, 2e-6), (100, 4e-6), (190, 7e-6)]
)  # fmt: skip
def test_time_is_linear_between_what_was_measured(size, seconds):
    assert Time(TABLE)("w", dense((size,))) == pytest.approx(seconds)


def test_time_adds_up_over_the_factors_and_counts_positions():
    assert Time(TABLE)("w", low_rank((8, 6), 2)) == pytest.approx(1e-6 + 6 / 90 * 3e-6 + 1e-6 + 2 / 90 * 3e-6)
    assert Time(TABLE, {"w": 4})("w", dense((10,))) == pytest.approx(2e-6)
    assert Time({50: 1e-6})("w", dense((150,))) == pytest.approx(3e-6)
    assert Time({50: 2e-6, 60: 1e-6})("w", dense((150,))) == 1e-6
    for bad in ({}, {0: 1e-6}, {5: 0.0}, {5: float("nan")}):
        with pytest.raises(PlanError, match="measured"):
            Time(bad)


@pytest.mark.parametrize("cost", COSTS, ids=repr)
def test_every_cost_takes_every_code_and_is_never_negative(cost: Cost):
    for code in CASES.values():
        assert 0 <= cost("w", code) < np.inf
    with pytest.raises(FrozenInstanceError):
        cost.positions = 3


@pytest.mark.parametrize("cost", [cost for cost in COSTS if cost.structural], ids=repr)
def test_where_the_structure_decides_values_do_not_matter(cost: Cost):
    assert cost("w", low_rank((8, 6), 3)) == cost("w", low_rank((8, 6), 3, seed=5))

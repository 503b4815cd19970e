"""A code that is cut stands for the part of the very numbers that it stood for, whatever kind it is of."""

import numpy as np
import pytest
import torch
from sample_codes import CASES, codebook, dense, grid, low_rank, tiles

from laconic.csteps.uniform_grid import UniformGrid
from laconic.deploy.slicing import cut, cut_all, part_of, reshaped
from laconic.format import container
from laconic.format.codes import CodebookCode, GridCode, LowRankCode

SHAPED = {name: code for name, code in CASES.items() if code.shape and min(code.shape) > 0}


def axes_of(code, seed=0):
    """Some indices along each axis, in an order of their own along the first."""
    rng = np.random.default_rng(seed)
    kept = {axis: rng.permutation(size)[: -(-size // 2)] for axis, size in enumerate(code.shape)}
    return {axis: tuple(map(int, some if axis == 0 else np.sort(some))) for axis, some in kept.items()}


@pytest.mark.parametrize("name", SHAPED)
def test_what_is_left_of_a_code_is_the_part_of_its_numbers_bit_by_bit(name):
    code = SHAPED[name]
    axes = dict(list(axes_of(code).items())[:2])
    part = part_of(code.decompress(), axes)
    made = cut_all({"w": code}, {"w": axes})["w"]
    assert made.dtype == code.dtype
    assert made.decompress().tobytes() == part.tobytes()
    assert container.loads(container.dumps({"w": made})).codes["w"].decompress().tobytes() == part.tobytes()


@pytest.mark.parametrize("transform", ["none", "cosine"])
@pytest.mark.parametrize("mode", [0, 3, 7])
def test_integers_on_a_grid_stay_on_it(transform, mode):
    code = grid((6, 5, 3, 3), transform=transform, mode=mode)
    axes = axes_of(code) | {2: (0, 1, 2), 3: (0, 1, 2)}
    made = cut_all({"w": code}, {"w": axes})["w"]
    assert isinstance(made, GridCode)
    assert np.array_equal(made.levels.reshape(made.shape), part_of(code.levels.reshape(code.shape), axes))
    assert made.decompress().tobytes() == part_of(code.decompress(), axes).tobytes()


def test_tensors_on_one_grid_share_one_still():
    code = grid((12, 10), mode=3)
    smaller = cut_all({"a": code, "b": code, "c": code}, {"a": {0: (1, 2)}, "b": {0: (1, 2)}})
    assert smaller["a"] is smaller["b"]
    assert smaller["a"].model is smaller["c"].model
    assert smaller["c"].decompress().tobytes() == code.decompress().tobytes()


def test_a_part_is_no_larger_than_the_whole():
    for code in (codebook((40, 30)), tiles((40, 30), (1, 30)), low_rank((40, 30)), dense((40, 30))):
        half = cut(code, {0: tuple(range(0, 40, 2))})
        assert container.bits({"w": half}) < container.bits({"w": code})


def test_integers_behind_a_trellis_cost_at_most_a_bit_more_without_it():
    """The trellis says of each whether it is odd."""
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    weight[32:] = 0
    whole = UniformGrid(bits=2.0, states=8, scales=True).project({"w": weight})["w"]
    part = cut_all({"w": whole}, {"w": {0: tuple(range(32))}})["w"]
    assert isinstance(part, GridCode)
    assert part.index_bits <= whole.index_bits + 1.05 * part.size


def test_filters_that_were_kept_are_the_code_of_their_values():
    code = tiles((8, 6), (1, 6), inner=codebook)
    kept = np.flatnonzero(code.kept().reshape(8, 6).all(1))
    made = cut(code, {0: tuple(map(int, kept))})
    assert made.decompress().tobytes() == code.values.decompress().tobytes()
    assert not np.any(made.decompress() == 0)


def test_a_product_whose_rank_is_too_high_for_what_is_left_is_told_by_its_numbers():
    code = low_rank((8, 16), rank=2)
    assert isinstance(cut(code, {0: (0, 1, 2, 3, 5)}), LowRankCode)
    few = cut(code, {0: (0,)})
    assert not isinstance(few, LowRankCode)
    assert few.decompress().tobytes() == code.decompress()[:1].tobytes()


def test_numbers_in_another_shape_are_the_same():
    for code in (codebook((6, 4)), grid((6, 4)), grid((6, 4), mode=3), dense((6, 4)), low_rank((6, 4))):
        made = reshaped(code, (2, 3, 4))
        assert made.shape == (2, 3, 4)
        assert made.decompress().tobytes() == code.decompress().tobytes()
    assert isinstance(reshaped(codebook((6, 4)), (24,)), CodebookCode)

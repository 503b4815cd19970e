"""N of m, and pruning at a price a bit, against every support there is."""

import itertools
import math

import numpy as np
import pytest
import torch
from cases import heavy, normal, twin_of

from laconic import AdaptiveCodebook, Joint, KeepLargest, KeepNOfM, PricedPruning
from laconic.csteps.keep_n_of_m import largest_in_rows
from laconic.csteps.warm import distortion
from laconic.format import container
from laconic.format.codes import SparseCode, Symbols, TileSparseCode

from .separable import costs_of, metric_of

# --- n of m --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 8), (2, 10), (2, 3, 2, 2), (7,), (), (0, 4), (2, 1)])
@pytest.mark.parametrize(("n", "m"), [(2, 4), (0, 3), (3, 3), (1, 1), (2, 12), (1, 40)])
@pytest.mark.parametrize("weighted", [False, True, "quartic"])
@twin_of(KeepNOfM)
def test_n_of_m_as_every_support_of_each_group(shape, n, m, weighted):
    tensor = normal(*shape, seed=6).round(decimals=0)
    metrics = metric_of(tensor, weighted)
    costs = costs_of(tensor, metrics).reshape((shape[0], -1) if shape and tensor.numel() else (-1, 1))
    codes = KeepNOfM(n, m).project({"w": tensor}, metrics)
    least, found = 0.0, np.asarray(codes["w"].decompress()).reshape(costs.shape)
    for row, kept in zip(costs, found, strict=True):
        for at in range(0, len(row), m):
            group = row[at : at + m].tolist()
            least += min(sum(group) - sum(c) for c in itertools.combinations(group, min(n, len(group))))
            assert np.count_nonzero(kept[at : at + m]) <= n
    assert distortion(codes, {"w": tensor}, metrics) == pytest.approx(least, abs=1e-9)


def test_largest_in_rows_is_the_same_in_short_and_long_rows():
    scores = np.random.default_rng(0).integers(-1, 4, (200, 9)).astype(float)
    long = np.concatenate([scores, np.full((200, 5), -1.0)], axis=1)
    for count in range(11):
        assert np.array_equal(largest_in_rows(scores, count), largest_in_rows(long, count)[:, :9])


def test_patterns_of_2_of_4_take_less_than_a_mask():
    weights = {"w": normal(100, 400)}
    code = KeepNOfM(2, 4).project(weights)["w"]
    assert isinstance(code, TileSparseCode)
    plain = SparseCode(code.shape, code.dtype, Symbols(code.kept(), 2), code.values)
    assert np.array_equal(plain.decompress(), code.decompress())
    assert container.bits({"w": plain}) - container.bits({"w": code}) > 0.34 * 40_000
    assert isinstance(KeepNOfM(3, 16).project(weights)["w"], SparseCode)


# --- a price for bits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value_bits", [None, 0.0, 1.5])
@pytest.mark.parametrize("price", [0.0, 0.01, 0.05, 0.3, 10.0])
@pytest.mark.parametrize("weighted", [False, True, "quartic"])
@twin_of(PricedPruning)
def test_priced_pruning_as_every_support(price, value_bits, weighted):
    weights = {"w": heavy(6, seed=4).round(decimals=1), "u": torch.tensor([0.0, 0.5, -0.5]).half()}
    metrics = metric_of(weights["w"], weighted)
    rule = PricedPruning(price, value_bits)
    codes = Joint(rule).project(weights, metrics)
    costs = np.concatenate([costs_of(weights["w"], metrics), costs_of(weights["u"], {})])
    widths = np.array([32.0] * 6 + [16.0] * 3) if value_bits is None else np.full(9, value_bits)

    def total(kept):
        kept = np.array(kept, bool)
        p = kept.mean()
        places = -sum(9 * q * math.log2(q) for q in (p, 1 - p) if q)
        return costs[~kept].sum() + price * (places + widths[kept].sum())

    found = np.concatenate([code.mask.array for code in codes.values()])
    assert total(found) == pytest.approx(min(map(total, itertools.product([0, 1], repeat=9))), abs=1e-9)
    assert distortion(codes, weights, metrics) + price * rule.bits(codes) == pytest.approx(total(found), abs=1e-9)


def test_a_dearer_bit_keeps_fewer_and_a_free_one_keeps_all():
    weights = {"w": heavy(1000)}
    kept = [PricedPruning(price).project(weights)["w"].values.size for price in (0.0, 1e-3, 1e-2, 0.1, 1.0, 1e9)]
    assert kept == sorted(kept, reverse=True)
    assert (kept[0], kept[-1]) == (1000, 0)
    assert len(set(kept)) == 6


def test_warm_codes_are_kept_where_bits_and_distortion_together_are_less():
    weights = {"w": torch.tensor([2.0, 2.0, 2.0, 9.0, -9.0])}
    better = KeepLargest(count=1, values=AdaptiveCodebook(1)).project(weights)
    assert PricedPruning(0.01, 8.0, AdaptiveCodebook(1)).project(weights, None, better)["w"] is better["w"]

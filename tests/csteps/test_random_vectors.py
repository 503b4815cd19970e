"""Blocks of weights as vectors that a seed gives: the nearest, the best scale, and how near that is."""

import math

import numpy as np
import pytest
import torch
from cases import importance, normal, twin_of

from laconic import FixedAssignments, Joint, RandomVectors
from laconic.csteps import random_vectors
from laconic.csteps.fixed_assignments import Hashed
from laconic.csteps.warm import distortion
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import DrawnCode, HashedCode
from laconic.format.codes.hashing import NORMAL_DEVIATION, groups_of, normals, order_of


def drawn_by_hand(code: DrawnCode, index: int) -> np.ndarray:
    """Vector ``index``, element by element."""
    return np.array([normals(code.seed, np.uint64([index * code.length + j]))[0] for j in range(code.length)])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("at_once", [1 << 22, 40])
@twin_of(RandomVectors)
def test_every_block_has_the_nearest_of_all_vectors_and_the_scale_is_the_best_for_them(weighted, at_once, monkeypatch):
    monkeypatch.setattr(random_vectors, "_AT_ONCE", at_once)  # candidates, blocks and both in several runs
    weights = {"w": normal(9, 7)}
    metrics = {"w": importance(weights["w"])} if weighted else {}
    code = RandomVectors(4, index_bits=5).project(weights, metrics)["w"]
    h = metrics["w"].importance.numpy().reshape(-1).astype(float) if weighted else np.ones(63)
    order, flat = order_of(code.seed, 63), weights["w"].numpy().reshape(-1).astype(float)
    scale = float(code.scale.array[0])
    vectors = [scale * drawn_by_hand(code, k) for k in range(32)]
    for block, index in enumerate(code.indices.array):
        own = order[4 * block : 4 * block + 4]  # the last block is shorter
        errors = [float((h[own] * (flat[own] - v[: len(own)]) ** 2).sum()) for v in vectors]
        assert errors[index] <= min(errors) * (1 + 1e-4) + 1e-9
    z = code.integers()
    assert scale == pytest.approx((h * flat * z).sum() / (h * z * z).sum(), rel=1e-6)


def test_the_error_of_normal_weights_is_near_what_their_rate_allows():
    weights = {"w": 0.05 * normal(100, 200)}
    code = RandomVectors(10, index_bits=12).project(weights)
    lost = distortion(code, weights) / float(weights["w"].square().sum())
    bound = 2.0 ** (-2 * 1.2)
    assert bound < lost < 1.45 * bound
    assert 2000 * 12 / 8 < container.bits(code) / 8 < 2000 * 12 / 8 + 80


def test_the_integers_are_nearly_normal_and_vectors_of_other_seeds_are_others():
    z = normals(5, np.arange(100_000, dtype=np.uint64)) / NORMAL_DEVIATION
    assert abs(z.mean()) < 0.01
    assert z.var() == pytest.approx(1, abs=0.015)
    assert (z**4).mean() == pytest.approx(3 - 1.2 / 8, abs=0.05)
    share = (abs(z) < 1.96).mean()
    assert share == pytest.approx(math.erf(1.96 / math.sqrt(2)), abs=0.005)
    other = normals(6, np.arange(100_000, dtype=np.uint64)) / NORMAL_DEVIATION
    assert abs((z * other).mean()) < 0.012
    assert abs((z[1:] * z[:-1]).mean()) < 0.012
    assert sorted(order_of(5, 1000)) == list(range(1000))
    assert len(np.bincount(groups_of(9, 7, 0, 5000), minlength=7)) == 7


def test_a_scale_is_kept_where_tensors_are_joint_and_each_has_vectors_of_its_own():
    weights = {"a": normal(30, 4), "b": 3 * normal(50, seed=1)}
    codes = Joint(RandomVectors(4, index_bits=6)).project(weights)
    assert codes["a"].scale is codes["b"].scale
    assert codes["a"].seed != codes["b"].seed
    again = Joint(RandomVectors(4, index_bits=6)).project(weights, warm=codes)
    assert distortion(again, weights) <= distortion(codes, weights)


def test_hashed_values_are_the_best_for_the_weights_that_share_them():
    """Of the means, each counted by its weights; the file has neither groups nor indices of weights."""
    weights = {"w": normal(40, 50)}
    code = FixedAssignments(Hashed(60), values=RandomVectors(3, index_bits=10)).project(weights)["w"]
    assert isinstance(code, HashedCode)
    assert container.bits({"w": code}) / 8 < 20 * 10 / 8 + 90
    groups, flat = code.groups, weights["w"].numpy().reshape(-1)
    counts = np.bincount(groups, minlength=60)
    means = np.bincount(groups, flat, 60) / counts
    inside = sum(float(((flat - means[groups]) ** 2)[groups == k].sum()) for k in range(60))
    lost = float((counts * (means - code.values.decompress()) ** 2).sum())
    assert distortion({"w": code}, weights) == pytest.approx(inside + lost, rel=1e-4)


def test_arguments_out_of_range_are_refused():
    for arguments in ((0,), (3, 0), (3, 21)):
        with pytest.raises(PlanError, match=r"random_vectors is|index_bits are"):
            RandomVectors(*arguments)
    with pytest.raises(PlanError, match="where groups are hashed"):
        FixedAssignments({"w": np.zeros(3, int)}, values=RandomVectors(2))
    assert not RandomVectors(2).project({"w": torch.zeros(7)})["w"].decompress().any()


def test_the_largest_weights_of_a_short_dtype_do_not_overflow():
    code = RandomVectors(6).project({"w": torch.full((4, 3), 60000.0).half()})["w"]
    assert np.isfinite(code.decompress()).all()
    assert np.abs(code.decompress()).max() > 60000

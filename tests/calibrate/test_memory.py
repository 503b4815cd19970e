"""What calibration holds of a large layer: its statistics, and one more matrix of their size at a time."""

import tracemalloc

import numpy as np
import pytest
import torch

from laconic.calibrate import factor, sequential, statistics
from laconic.calibrate.factor import upper
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.sequential import prepared
from laconic.calibrate.statistics import Statistics
from laconic.theory.importance import moments as gathering
from laconic.theory.importance.moments import Moments

HOW = Recursion(ridge=0.0, price=0.3, window=64, damping=1e-2)


def met(columns: int, rows: int) -> Moments:
    """Moments of two networks."""
    rng, gathered = np.random.default_rng(0), Moments()
    x = rng.standard_normal((1, rows, columns))
    gathered.add([torch.from_numpy(x)], rows, [torch.from_numpy(x + 0.2 * rng.standard_normal(x.shape))])
    return gathered


def small_blocks(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    for module in (factor, sequential, statistics, gathering):
        monkeypatch.setattr(module, "_BLOCK", columns)


@pytest.mark.parametrize("columns", [1, 7, 8, 23])
def test_a_factor_in_blocks_is_that_of_the_whole(monkeypatch, columns):
    small_blocks(monkeypatch, 7)
    x = np.random.default_rng(1).standard_normal((40, columns))
    root = upper(x.T @ x)
    assert root @ root.T == pytest.approx(x.T @ x)
    assert (np.tril(root, -1) == 0).all()
    assert (np.diag(root) > 0).all()


def test_statistics_in_blocks_are_those_of_the_whole(monkeypatch):
    whole = met(23, 60)
    second, cross = whole.second.clone(), whole.cross.clone()
    right = Statistics.of(whole, biased=True)
    small_blocks(monkeypatch, 7)
    blocks = met(23, 60)
    torch.testing.assert_close(blocks.second, second)
    assert torch.equal(blocks.second, blocks.second.transpose(1, 2))
    torch.testing.assert_close(blocks.cross, cross)
    found = Statistics.of(blocks, biased=True)
    assert found.moments == pytest.approx(right.moments)
    assert found.cross == pytest.approx(right.cross)


def test_statistics_stand_where_the_sums_stood():
    gathered = met(40, 60)
    at = {gathered._second.data_ptr(), gathered._cross.data_ptr()}
    found = Statistics.of(gathered, biased=True)
    assert {found.moments.ctypes.data, found.cross.ctypes.data} == at


@pytest.mark.parametrize("never", [[], [0, 5, 300, 638]])
def test_a_layer_is_prepared_in_one_matrix_beside_its_statistics(monkeypatch, never):
    small_blocks(monkeypatch, 64)
    columns, weights = 640, np.random.default_rng(2).standard_normal((32, 640))
    found = Statistics.of(met(columns, 800), biased=True)
    for one in (found.moments, found.cross):
        one[:, never] = 0.0
        one[:, :, never] = 0.0
    spare = prepared(weights, found.moments.copy(), 0.1, HOW, cross=found.cross.copy())
    tracemalloc.start()
    try:
        ready = prepared(weights, found.moments, 0.1, HOW, cross=found.cross, spoiled=True)
        held, peak = (taken / (8 * columns**2) for taken in tracemalloc.get_traced_memory())
    finally:
        tracemalloc.stop()
    assert held < 1.5  # what an error in a column is to the others
    assert peak < 1.6
    assert (ready.layer.targets == spare.layer.targets).all()
    assert (ready.layer.feed == spare.layer.feed).all()

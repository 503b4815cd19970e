"""What a layer's scales say of its bits, beside what the kernel takes."""

import numpy as np
import pytest

from laconic.calibrate.rates import Rate, expected_counts
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.sequential import SLOPE, modelled, prepared
from laconic.format.codes.grid import Grid
from laconic.format.coding.fitting import smoothed_costs


def layer(rows: int, correlated: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((500, 64))
    if correlated:
        inputs = inputs @ (rng.standard_normal((64, 64)) * np.exp(rng.standard_normal(64) / 2))
    return (rng.standard_normal((rows, 64)) * 0.1).astype(np.float32), inputs.T @ inputs / 500


def taken(weights: np.ndarray, moments: np.ndarray, level: float, how: Recursion) -> int:
    """Bits of the integers in a file, with code lengths that a first pass has learned."""
    ready = prepared(weights, moments, level, how)
    costs = smoothed_costs(expected_counts(how.nu))
    for _ in range(2):
        levels = ready.layer.quantized(costs, how.nu, how.price * SLOPE, how.window)
        counts = ready.layer.counts(levels, how.nu, 128)
        costs = smoothed_costs(counts)
    grid = Grid.of(1.0, modelled(counts, how.nu), ready.scales.symbols)
    return 8 * len(ready.rounded(levels).code(grid).payload)


@pytest.mark.parametrize("states", [1, 8])
@pytest.mark.parametrize("correlated", [False, True])
def test_bits_of_a_gaussian_layer_are_as_expected(states, correlated):
    """Within 5 % at 1 to 4 bits; correlated, with a step for each column, at 2 to 4."""
    weights, moments = layer(256, correlated)
    how = Recursion(states=states, ridge=0.0, price=0.2, window=64, damping=1e-2, water=correlated)
    rate = Rate.of(weights, moments, how)
    levels = np.exp2(np.linspace(-60, 20, 400))
    bits = np.array([rate.bits(level) for level in levels]) / weights.size
    assert (np.diff(bits) < 0).all()
    for asked in (1.0, 2.0, 3.0, 4.0):
        level = float(np.exp2(np.interp(-asked, -bits, np.log2(levels))))
        within = 0.15 if correlated and asked < 2 else 0.05
        assert taken(weights, moments, level, how) / weights.size == pytest.approx(asked, rel=within)


def test_what_is_never_read_takes_nothing():
    weights, moments = layer(32, correlated=False)
    moments[:16] = moments[:, :16] = 0
    how = Recursion(water=False, ridge=0.0)
    assert Rate.of(weights, moments, how).bits(1e-4) == pytest.approx(
        Rate.of(weights[:, 16:], moments[16:, 16:], how).bits(1e-4), rel=0.1
    )
    assert Rate.of(weights, 0 * moments, how).bits(1e-9) < 1
    assert Rate.nothing().bits(1.0) == 0

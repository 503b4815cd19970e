"""The benchmark of gaps against figures known beforehand."""

import gap
import numpy as np
import pytest


def test_the_layer_is_what_it_says():
    layer = gap.Layer.of("A", 64)
    assert (layer.moments == layer.moments.T).all()
    assert layer.spectrum[0] > 0
    assert layer.gap(2.0, 64 * 64 * 1e9) == 2.0  # at an error that takes no bits


def test_the_curve_of_ideal_shaping():
    """The test vector of four sources: θ = 1 and ¼."""
    layer = gap.Layer(np.ones((1, 4), np.float32), np.diag([4, 1, 0.25, 0.0625]), np.array([4, 1, 0.25, 0.0625]))
    assert gap.ideal(layer, 0.466415) == pytest.approx(0.466415 - 0.42058, abs=2e-5)
    assert gap.ideal(layer, 0.966415) == pytest.approx(0.966415 - 0.91997, abs=2e-5)


def test_what_theory_says_of_high_rates():
    layer = gap.Layer(np.ones((1, 2), np.float32), np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1.0, 3.0]))
    known = dict(gap.theory(layer))
    assert known["rounding to nearest, one step"] == pytest.approx(gap.CUBE + 0.5 * np.log2(2 / np.sqrt(3)))
    assert known["GPTQ, one step, natural order"] == pytest.approx(gap.CUBE + 0.5 * np.log2((1.5 + 2) / 2 / np.sqrt(3)))
    assert known["water-level steps, any order"] == pytest.approx(0.2546, abs=1e-4)


def test_rows_meet_what_they_are_held_to():
    layer = gap.Layer.of("A", 128)
    row = gap.best(layer, 3.0, ["weakest"], states=8)
    assert abs(row["rate"] - 3) < 0.03
    assert 0 < row["payload"] - row["tables"] < 0.01
    assert row["gap"] < 0.45  # a table costs more of so small a layer
    rate, error = gap.direct(layer, 3.0)
    assert layer.gap(rate, error) > row["gap"] + 0.3

"""The rate-distortion curve of a network and the ranking of its weights, beside slow twins."""

from functools import cache
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trained import learned, shrunk

from laconic.calibrate.analysis import analysed
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.frontier import bound, curve, hull, point, spectra
from laconic.models.params import decompress, params_of, to_numpy
from laconic.models.ties import untied


@cache
def ready():
    task = learned()
    return Ready.of(untied(params_of(task.module), task.module), Calibration.of(task, samples=500), spectra=True)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_the_hull_has_what_no_mixture_beats(places: list[tuple[int, int]]):
    kept = hull(places)

    def beaten(at: int) -> bool:
        x, y = places[at]
        others = [place for place in places if place != (x, y)]
        mixed = any(
            (b[0] - a[0]) * y >= a[1] * (b[0] - x) + b[1] * (x - a[0])
            for a, b in combinations(sorted(others), 2)
            if a[0] <= x <= b[0] and a[0] < b[0]
        )
        return mixed or any(a <= x and b <= y for a, b in others) or places.index((x, y)) != at

    assert kept == {at for at in range(len(places)) if not beaten(at)}


def test_the_bound_is_the_water_filling_of_what_layers_write():
    """Eigenvalues of central moments taken by hand, and the level by bisection."""
    task, whole = learned(), ready()
    inputs = torch.cat([batch[0] for batch in whole.network.calibration.seen]).flatten(1).double()
    hidden = task.module[1:3](inputs.float()).double()
    values = list[np.ndarray]()
    for subject, read in zip(whole.network.subjects, (inputs, hidden), strict=True):
        weights = to_numpy(whole.network.params[subject.name]).astype(np.float64)
        sigma = shrunk(read)
        own = subject.rows.measured * subject.worth * np.square(weights).mean() * np.linalg.eigvalsh(sigma).clip(0)
        assert len(subject.rows.between) == len(weights), "rows make good each other's errors here"
        values += [own * factor for factor in np.linalg.eigvalsh(subject.rows.whole(len(weights)))]
    v = np.concatenate(values)
    n = np.ones(len(v))
    for distance in (1e-4, 0.02, 0.3):
        low, high = 0.0, v.max()
        for _ in range(200):
            level = (low + high) / 2
            low, high = (level, high) if (n * np.minimum(v, level)).sum() < distance else (low, level)
        rate = 0.5 * (n * np.log2(np.maximum(v, level) / level)).sum()
        assert bound(whole, distance) == pytest.approx(rate / whole.weights, rel=1e-4, abs=1e-6)


def test_points_fall_and_lie_above_the_curve():
    whole = ready()
    points = [point(whole, bits, "fast", {}) for bits in (1.5, 2.5, 4.0)]
    for one, asked in zip(points, (1.5, 2.5, 4.0), strict=True):
        assert 0.9 * asked < one.bits <= asked
        assert one.bound < one.bits
        assert one.distance == pytest.approx(whole.outputs.distance(decompress(one.fitted.codes)), rel=1e-3)
    assert points[0].distance > points[1].distance > points[2].distance
    rates, distances = zip(*curve(whole, points), strict=True)
    assert list(rates) == sorted(rates)
    assert list(distances) == sorted(distances, reverse=True)


@pytest.mark.parametrize("bits", [1.5, 4.0])
def test_weights_are_ranked_by_what_each_does_and_theory_knows_about_how_much(bits: float):
    whole = ready()
    _, weights = analysed(whole, bits)
    assert {one.name for one in weights} == {"1.weight", "3.weight"}
    assert weights == sorted(weights, key=lambda one: -one.measured)
    assert sum(one.share for one in weights) == pytest.approx(1)
    assert sum(one.bytes for one in weights) == pytest.approx(bits * whole.weights / 8, rel=0.25)
    for one in weights:
        assert one.measured / 2 < one.predicted < 4 * one.measured
    levels, inputs = list[float](), torch.cat([batch[0] for batch in whole.network.calibration.seen]).flatten(1)
    reads = {"1.weight": inputs, "3.weight": learned().module[1:3](inputs).detach()}
    for one in weights:  # rounded to its step, without feedback, an error costs what it does in any other
        tensor, sources = whole.network.params[one.name], spectra(whole)[one.name]
        each = sources.counts @ sources.variances / one.count / float(tensor.double().square().mean())
        rounded = (tensor / one.step).round() * one.step
        predicted = one.step**2 / 12 * each * one.count / whole.outputs.unit
        bias = one.name.replace("weight", "bias")  # which takes up what the error is in the mean
        moved = whole.network.params[bias] + (tensor - rounded) @ reads[one.name].mean(0)
        assert whole.outputs.distance({**whole.network.params, one.name: rounded, bias: moved}) < 4 * predicted
        levels.append(predicted / one.count)
    assert max(levels) == pytest.approx(min(levels))

"""Rows that are worth more have finer steps, in the recursion, in the file and in the bound."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_nets import net
from torch import nn

from laconic.calibrate import rows as trusted
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.factor import Factor, ordered
from laconic.calibrate.rates import expected_counts
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.rows import ALL_ALIKE, LEAST, TRUST, Rows
from laconic.calibrate.sequential import SLOPE, modelled, prepared, quantize
from laconic.calibrate.vectors import SHARE, TRIAL, TRIALS, rounded_vectors, tolerances, tried
from laconic.format.codes.grid import Grid, fineness
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.models.params import all_params_of, decompress
from laconic.models.ties import untied

HOW = Recursion(ridge=0.0, price=0.3, window=64, damping=1e-2)


@pytest.mark.parametrize("shape", [(40, 24), (300, 6, 2, 2)])
def test_a_row_worth_more_is_quantized_as_one_that_is_larger(shape: tuple[int, ...]):
    """With powers of 4, whose roots are exact; in the file only the step differs."""
    rng, columns = np.random.default_rng(0), math.prod(shape[1:])
    weights = (rng.standard_normal(shape) * 0.1).astype(np.float32)
    inputs = rng.standard_normal((500, columns)) @ (rng.standard_normal((columns, columns)) / 3)
    moments, finer = inputs.T @ inputs / 500, 2 * rng.integers(0, 4, shape[0])
    costs = smoothed_costs(expected_counts(HOW.nu))
    how, larger = HOW, Rows(finer).stretched(weights)
    one = prepared(weights, moments, 1e-3, how, rows=Rows(finer))
    other = prepared(larger.astype(np.float32), moments, 1e-3, how)
    levels = [ready.layer.quantized(costs, how.nu, how.price * SLOPE, how.window) for ready in (one, other)]
    assert np.array_equal(*levels)
    assert one.rounded(levels[0]).weights() == pytest.approx(other.rounded(levels[1]).weights() / (larger / weights))
    rounded = one.rounded(levels[0])
    model = modelled(one.layer.counts(levels[0], how.nu, 128), how.nu)
    code = rounded.code(Grid.of(1.0, model, rounded.symbols))
    assert code.decompress().tobytes() == rounded.weights().tobytes()


@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=30), st.integers(-8, 8))
def test_what_rows_are_worth_follows_what_is_felt_whatever_its_unit(felt: list[float], octaves: int):
    array = np.array(felt)
    own = Rows.of(array).finer
    if not len(own):
        return
    assert own.min() == 0
    assert np.all(np.diff(own[np.argsort(array, kind="stable")]) >= 0)
    floored = np.maximum(array, LEAST * np.median(array[array > 0]))
    apart = TRUST * np.log2(floored / floored.min())
    assert np.abs(own - apart).max() <= 1
    scaled = Rows.of(array * 2.0**octaves).finer
    assert np.abs((scaled if len(scaled) else 0 * own) - own).max() <= 1


@pytest.mark.parametrize("groups", [1, 3])
def test_what_is_spread_over_rows_is_what_each_has_by_itself(groups: int):
    rng = np.random.default_rng(1)
    values, finer = rng.random((groups, 4)), rng.integers(0, 3, 12)
    found, counts = Rows(finer).spread(values, 12)
    every = [values[r * groups // 12] / fineness(finer)[r] ** 2 for r in range(12)]
    assert sorted(np.repeat(found, counts.astype(int))) == pytest.approx(sorted(np.concatenate(every)))
    plain, counts = ALL_ALIKE.spread(values, 12)
    assert np.repeat(plain, counts.astype(int)).sum() == pytest.approx(values.sum() * 12 / groups)


def felt_together(m: int, seed: int = 0) -> np.ndarray:
    """F of rows that are not worth the same, and know of each other."""
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((m, m)))[0]
    return basis * np.arange(1.0, m + 1) ** -1 @ basis.T


def test_what_rows_are_together_is_told_apart_into_steps_and_correlations(monkeypatch):
    """F = D M D times the unit: whatever is measured, if all of it is believed; and M has no large or small factor."""
    monkeypatch.setattr(trusted, "TRUST", 1.0)
    monkeypatch.setattr(trusted, "LEAST", 0.0)
    monkeypatch.setattr(trusted, "ALIKE", 1.0)
    products = felt_together(40)
    rows = Rows.of(np.diag(products), 7 * products)
    mean = np.diag(products).mean()
    assert rows.unit * rows.whole(40) == pytest.approx(products / mean)
    assert rows.mean() * rows.unit == pytest.approx(1.0)
    left = np.square(ordered(rows.between, Factor.of(rows.between).classes))
    assert np.exp2(np.log2(left).mean()) == pytest.approx(1.0, rel=0.2)
    assert np.exp2(np.log2(left).std()) < 2**0.7
    values, counts = rows.spread(np.ones((1, 1)), 40)
    assert counts.sum() == 40
    assert values @ counts == pytest.approx(np.trace(rows.whole(40)))
    assert np.log2(values) @ counts == pytest.approx(np.linalg.slogdet(rows.whole(40))[1] / np.log(2), abs=0.4)
    errors, moments = np.random.default_rng(1).standard_normal((40, 6)), felt_together(6, 1)
    assert rows.felt(errors, moments[None]) == pytest.approx(np.trace(rows.whole(40) @ errors @ moments @ errors.T))


@pytest.mark.parametrize(("shape", "lanes"), [((48, 64), 1), ((64, 576), 8)])
def test_rows_that_make_good_each_others_errors_save_what_theory_says(shape, lanes, monkeypatch):
    """Beside steps that follow F_rr: half at least of ½ log₂ of the mean of F_rr over that of F's factors."""
    for name, value in (("TRUST", 1.0), ("LEAST", 0.0), ("ALIKE", 1.0)):
        monkeypatch.setattr(trusted, name, value)
    m, n = shape
    assert lane_count(m * n) == lanes
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    felt, moments = felt_together(m, 1), felt_together(n, 2)
    each, how = np.diag(felt), Recursion(states=8, ridge=0.0, price=0.0, window=64, water=False)
    told = list[float]()
    for rows in (Rows.of(each), Rows.of(each, felt)):
        level = 2e-5 / rows.unit
        found = quantize(weights, moments, level, how, rows=rows)
        apart = weights - found.code.decompress().astype(np.float64)
        lost = np.trace(felt @ apart @ moments @ apart.T)
        told.append(8 * len(found.code.payload) / weights.size + 0.5 * np.log2(lost))
    theory = 0.5 * (np.log2(each).mean() - np.linalg.slogdet(felt)[1] / m / np.log(2))
    assert theory > 0.3
    assert 0.5 * theory < told[0] - told[1] < 1.1 * theory


@pytest.mark.parametrize(("kind", "second"), [(nn.LSTM, "ih"), (nn.RNN, "ih"), (nn.GRU, "hh")])
def test_the_bias_of_a_product_takes_up_its_mean_error(kind: type[nn.RNNBase], second: str):
    torch.manual_seed(0)
    module, samples = kind(6, 8, 2, batch_first=True, bidirectional=True), torch.randn(40, 5, 6)
    module.forward = lambda x, run=module.forward: run(x)[0]
    params = all_params_of(module)
    found = {one.name: one.bias for one in Ready.of(untied(params), Calibration.of(module, samples)).network.subjects}
    assert len(found) == 8
    for name, bias in found.items():
        own = name.replace("weight", "bias")
        assert bias == (own if "ih" in name else own.replace("hh", second))


def test_vectors_add_to_the_distance_what_they_may():
    """In the mean over levels, for one vector's error is felt in few directions; the trial has a step of its own."""
    module, samples = net("block", 0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    ready = Ready.of(untied(all_params_of(module), module), Calibration.of(module, samples))
    loose = {name: ready.network.params[name].double().numpy() for name in ready.network.vectors}
    assert loose, "this network has some"
    numbers = sum(vector.size for vector in loose.values())
    trials = [tried(loose, trial) for trial in range(TRIALS)]
    for name, vector in trials[1].items():
        size = np.sqrt(np.square(loose[name]).mean())
        assert np.abs(vector - loose[name]).max() <= 0.5001 * TRIAL * size
    felt = np.mean([ready.outputs.distance(_with(ready, there)) for there in trials]) * ready.outputs.unit
    expected = tolerances(loose, felt)
    for name, found in ready.network.vectors.items():
        assert found == pytest.approx(expected[name])
    base = min(most / ratio for ratio, most in ready.network.vectors.values())
    shares = list[float]()
    for level in base * np.exp2(-np.arange(2, 10.0)):
        levels = {name: min(level * ratio, most) for name, (ratio, most) in ready.network.vectors.items()}
        codes = rounded_vectors({name: vector.astype(np.float32) for name, vector in loose.items()}, levels)
        there = {name: tensor.double().numpy() for name, tensor in decompress(codes).items()}
        reached = ready.outputs.distance(_with(ready, there)) * ready.outputs.unit
        shares.append(reached / (SHARE * level * numbers))
    assert 1 / 4 < np.mean(shares) < 3


def _with(ready: Ready, vectors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {**ready.network.params, **{name: torch.from_numpy(v).float() for name, v in vectors.items()}}

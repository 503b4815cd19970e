"""Rows that are worth more have finer steps, in the recursion, in the file and in the bound."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_nets import net
from torch import nn

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.rates import expected_counts
from laconic.calibrate.rows import LEAST, NONE, TRUST, spread, stretched, worths
from laconic.calibrate.sequential import SLOPE, Recursion, modelled, prepared
from laconic.calibrate.vectors import SHARE, TRIAL, TRIALS, rounded_vectors, tolerances, tried
from laconic.format.codes.grid import Grid
from laconic.format.coding.fitting import smoothed_costs
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
    how, larger = HOW, stretched(weights, finer)
    one = prepared(weights, moments, 1e-3, how, finer=finer)
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
    own = worths(array)
    if not len(own):
        return
    assert own.min() == 0
    assert np.all(np.diff(own[np.argsort(array, kind="stable")]) >= 0)
    floored = np.maximum(array, LEAST * np.median(array[array > 0]))
    apart = TRUST * np.log2(floored / floored.min())
    assert np.abs(own - apart).max() <= 1
    scaled = worths(array * 2.0**octaves)
    assert np.abs((scaled if len(scaled) else 0 * own) - own).max() <= 1


@pytest.mark.parametrize("groups", [1, 3])
def test_what_is_spread_over_rows_is_what_each_has_by_itself(groups: int):
    rng = np.random.default_rng(1)
    values, finer = rng.random((groups, 4)), rng.integers(0, 3, 12)
    (found,), counts = spread([values], finer, 12)
    every = [values[r * groups // 12] * 2.0 ** finer[r] for r in range(12)]
    assert sorted(np.repeat(found, counts.astype(int))) == pytest.approx(sorted(np.concatenate(every)))
    (plain,), counts = spread([values], NONE, 12)
    assert np.repeat(plain, counts.astype(int)).sum() == pytest.approx(values.sum() * 12 / groups)


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
    felt = np.mean([ready.judged(_with(ready, there)) for there in trials]) * ready.unit
    expected = tolerances(loose, felt)
    for name, found in ready.network.vectors.items():
        assert found == pytest.approx(expected[name])
    base = min(most / ratio for ratio, most in ready.network.vectors.values())
    shares = list[float]()
    for level in base * np.exp2(-np.arange(2, 10.0)):
        levels = {name: min(level * ratio, most) for name, (ratio, most) in ready.network.vectors.items()}
        codes = rounded_vectors({name: vector.astype(np.float32) for name, vector in loose.items()}, levels)
        there = {name: tensor.double().numpy() for name, tensor in decompress(codes).items()}
        reached = ready.judged(_with(ready, there)) * ready.unit
        shares.append(reached / (SHARE * level * numbers))
    assert 1 / 4 < np.mean(shares) < 3


def _with(ready: Ready, vectors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {**ready.network.params, **{name: torch.from_numpy(v).float() for name, v in vectors.items()}}

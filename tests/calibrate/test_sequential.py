"""The recursion against a textbook's, against exhaustive search, and on what is degenerate."""

import itertools

import numpy as np
import pytest

from laconic.calibrate.factor import ordered
from laconic.calibrate.levels import TOLERANCE, at_rate, bits
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.sequential import error, gridded, quantize
from laconic.errors import DataError, PlanError, WeightsError
from laconic.format import container
from laconic.format.coding.lanes import lane_count
from laconic.theory.rate_distortion.gaussian import water_filling

PLAIN = Recursion(states=1, ridge=0, price=0, water=False)
DAMPING = PLAIN.damping


def layer(rows: int, columns: int, seed: int = 0, decay: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Weights, and second moments with the eigenvalues i^−decay."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((columns, columns)))[0]
    moments = basis * np.arange(1, columns + 1, dtype=np.float64) ** -decay @ basis.T
    return rng.standard_normal((rows, columns)).astype(np.float32), (moments + moments.T) / 2


def textbook(weights: np.ndarray, moments: np.ndarray, step: float, order: np.ndarray) -> np.ndarray:
    """GPTQ as published: by the Cholesky factor of the inverse Hessian, a column at a time; integers, (m, n)."""
    n = len(moments)
    hessian = (moments + DAMPING * np.trace(moments) / n * np.eye(n))[np.ix_(order, order)]
    inverse = np.linalg.cholesky(np.linalg.inv(hessian)).T
    left, levels = weights.astype(np.float64)[:, order], np.zeros(weights.shape, np.int64)
    for j in range(n):
        levels[:, order[j]] = np.rint(left[:, j] / step)
        missed = (left[:, j] - levels[:, order[j]] * step) / inverse[j, j]
        left[:, j:] -= np.outer(missed, inverse[j, j:])
    return levels


def integers(found) -> np.ndarray:
    """The integers of a layer, shape (m, n)."""
    return found.code.levels.reshape(found.code.shape)


@pytest.mark.parametrize("order", ["scale", "weakest", "strongest"])
def test_it_is_gptq_where_there_is_no_rate_and_one_step(order):
    weights, moments = layer(20, 150)
    weights[:, ::7] *= 30  # scales that differ, so that each order is its own
    found = quantize(weights, moments, 1e-3, Recursion(states=1, order=order, ridge=0, price=0, water=False))
    expected = textbook(weights, moments, float(found.code.step.array[0]), found.order)
    assert (integers(found) == expected).all()


def test_orders_are_what_they_say():
    moments = np.diag([4.0, 1.0, 9.0, 2.0])
    weights = np.array([[1.0, 8.0, 2.0, 4.0]], np.float32).repeat(40, 0)
    orders = {"scale": [0, 2, 3, 1], "weakest": [1, 3, 0, 2], "strongest": [2, 0, 3, 1]}
    for order, expected in orders.items():
        how = Recursion(states=1, order=order, ridge=0, price=0, water=False)
        assert quantize(weights, moments, 1e-2, how).order.tolist() == expected


@pytest.mark.parametrize("groups", [1, 2])
def test_kernels_and_groups_are_matrices(groups):
    """Each group of rows is its own textbook, on the one step of all."""
    weights, _ = layer(12, 36)
    several = np.stack([layer(1, 36, seed)[1] for seed in range(groups)])
    found = quantize(weights.reshape(12, 4, 3, 3), several if groups > 1 else several[0], 1e-3, PLAIN)
    step, each = float(found.code.step.array[0]), 12 // groups
    assert found.code.shape == (12, 4, 3, 3)
    for g in range(groups):
        rows = slice(g * each, (g + 1) * each)
        expected = textbook(weights[rows], several[g], step, found.order)
        assert (found.code.levels.reshape(12, 36)[rows] == expected).all()
    missed = weights.astype(np.float64) - found.code.decompress().reshape(12, 36)
    cost = sum(np.einsum("ri,ij,rj", *[m, several[g], m]) for g, m in enumerate(np.split(missed, groups)))
    assert found.error == pytest.approx(cost)


def test_a_diagonal_moment_makes_every_column_its_own():
    weights, _ = layer(30, 12)
    moments = np.diag(np.arange(1, 13) / 12.0)
    found = quantize(weights, moments, 1e-2, Recursion(states=1, ridge=0, price=0))
    steps = found.code.step.array
    assert (integers(found) == np.rint(weights.astype(np.float64) / steps)).all()


@pytest.mark.parametrize("seed", range(12))
def test_against_all_integers_near_by(seed):
    """At most 1.5 times the best in these draws; at most Σ u² s²/4 always (Babai's bound)."""
    weights, moments = layer(4, 5, seed)
    found = quantize(weights, moments, 5e-2, PLAIN)
    step = float(found.code.step.array[0])
    near = np.rint(weights / step)
    moves = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=5)))
    best = 0.0
    for row, around in zip(weights.astype(np.float64), near, strict=True):
        missed = row - (around + moves) * step
        best += float(np.einsum("ki,ij,kj->k", missed, moments, missed).min())
    u = ordered(moments, np.argsort(found.order))
    assert best * 0.999999 <= found.error <= 1.5 * best
    assert found.error <= 4 * float(np.square(u * step).sum()) / 4


def test_the_error_is_that_of_the_decoded_file():
    weights, moments = layer(64, 96)
    found = quantize(weights, moments, 1e-3)
    code = container.loads(container.dumps({"w": found.code})).codes["w"]
    decoded = code.decompress()
    assert decoded.dtype == np.float32
    assert (decoded == found.code.decompress()).all()
    missed = weights.astype(np.float64) - decoded
    assert found.error == pytest.approx(sum(row @ moments @ row for row in missed), rel=1e-12)
    assert found.error == error(weights, found.code, moments)
    steps = found.code.step.array
    assert (decoded == (integers(found) * steps).astype(np.float32)).all()


@pytest.mark.parametrize("states", [1, 4, 8, 64])
def test_the_same_layer_gives_the_same_bytes(states):
    weights, moments = layer(64, 96)
    how = Recursion(states=states, window=16)
    files = {container.dumps({"w": quantize(weights, moments, 1e-3, how).code}) for _ in range(2)}
    assert len(files) == 1


def test_each_part_pays():
    """Of Gaussian weights at about 3 bits: the order of gaps that theory and frontier papers have."""
    weights, moments = layer(64, 512, decay=1.5)  # eight lanes
    spectrum = np.linalg.eigvalsh(moments)

    def gap(**how):
        found = quantize(weights, moments, 2e-5, Recursion(**how))
        bound = water_filling(spectrum, np.ones(512), found.error / 64).rate / 512
        return found.code.index_bits / weights.size - bound

    ours, scalar = gap(), gap(states=1)
    gptq = gap(states=1, ridge=0, price=0, water=False)
    assert gap(states=16) < ours < 0.15
    assert 0.2 < scalar < 0.35
    assert ours < scalar - 0.1
    assert scalar < gptq - 0.1


def test_singular_moments_and_dead_inputs():
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((9, 40))
    inputs[:, [0, 7, 39]] = 0
    weights, moments = rng.standard_normal((16, 40)).astype(np.float32), inputs.T @ inputs / 9
    for how in (Recursion(), Recursion(ridge=0), PLAIN, Recursion(order="strongest"), Recursion(states=64, ridge=0.5)):
        found = quantize(weights, moments, 1e-3, how)
        decoded = found.code.decompress()
        assert np.isfinite(decoded).all()
        assert not decoded[:, [0, 7, 39]].any()
        assert found.error / weights.size < 4e-3
    kernels = quantize(weights.reshape(16, 10, 2, 2), moments, 1e-3).code.decompress().reshape(16, 40)
    assert kernels.any()
    assert not kernels[:, [0, 7, 39]].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 1), (0, 3), (3, 0), (3, 3)])
def test_small_and_empty_layers(shape):
    weights = np.full(shape, 0.5, np.float32)
    found = quantize(weights, np.eye(shape[1]), 1e-4)
    assert np.allclose(found.code.decompress(), weights, atol=0.1)
    nothing = quantize(weights, np.zeros((shape[1],) * 2), 1e-4)
    assert not nothing.code.decompress().any()
    assert not quantize(0 * weights, np.eye(shape[1]), 1e-4).code.decompress().any()


def test_a_high_level_leaves_nothing():
    weights, moments = layer(16, 24)
    found = quantize(weights, moments, 10.0)
    assert not found.code.decompress().any()
    assert found.error == pytest.approx(float(np.vdot(weights @ moments, weights)), rel=1e-5)


def test_lanes_that_do_not_divide_the_rows():
    weights, moments = layer(100, 400)
    assert 100 % lane_count(100 * 400)
    moments[[3, 50]], moments[:, [3, 50]] = 0, 0
    for how in (Recursion(), Recursion(states=16, window=40)):
        found = quantize(weights, moments, 1e-4, how)
        scalar = quantize(weights, moments, 1e-4, Recursion(states=1))
        assert not found.code.decompress()[:, [3, 50]].any()
        cost, plain = (one.code.index_bits / weights.size + np.log2(one.error) / 2 for one in (found, scalar))
        assert cost < plain - 0.1
        assert found.code.check() is None


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_types(dtype):
    weights, moments = layer(16, 24)
    found = quantize(weights.astype(dtype), moments, 1e-3)
    assert found.code.decompress().dtype == np.dtype(dtype)


@pytest.mark.parametrize("rate", [0.7, 1.5, 3.0])
def test_a_rate_is_met(rate):
    weights, moments = layer(512, 64)
    found = at_rate(weights, moments, rate)
    assert abs(bits(found) / weights.size - rate) <= TOLERANCE


def test_steps_are_within_an_eighth_of_an_octave():
    steps = np.exp2(np.random.default_rng(0).uniform(-40, 40, 1000))
    assert np.abs(np.log2(gridded(steps) / steps)).max() < 0.1251 + 0.01
    assert (gridded(gridded(steps)) == gridded(steps)).all()


def test_what_is_wrong_is_said():
    weights, moments = layer(4, 6)
    with pytest.raises(WeightsError, match="matrix"):
        quantize(weights[0], moments, 1.0)
    with pytest.raises(WeightsError, match="finite"):
        quantize(weights * np.nan, moments, 1.0)
    with pytest.raises(WeightsError, match="int64"):
        quantize(weights.astype(np.int64), moments, 1.0)
    for wrong, words in ((moments[:5], "shape"), (-moments, "negative"), (np.triu(moments), "symmetric")):
        with pytest.raises(DataError, match=words):
            quantize(weights, wrong, 1.0)
    for level in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(PlanError, match="level"):
            quantize(weights, moments, level)
    with pytest.raises(PlanError, match="integers"):
        quantize(weights, moments, 1e-20)
    with pytest.raises(PlanError, match="order 'best'"):
        Recursion(order="best")
    with pytest.raises(PlanError, match="'weakest' is for matrices"):
        quantize(weights.reshape(4, 3, 2), moments, 1.0, Recursion(order="weakest"))
    with pytest.raises(DataError, match=r"3 groups|outputs"):
        quantize(weights, np.stack([moments] * 3), 1.0)
    for how in ({"states": 3}, {"ridge": -1.0}, {"price": -1.0}, {"window": 0}, {"passes": 0}):
        with pytest.raises(PlanError):
            Recursion(**how)
    with pytest.raises(PlanError, match="rate"):
        at_rate(weights, moments, 0.0)
    with pytest.raises(WeightsError, match="none"):
        at_rate(weights[:0], moments, 1.0)


@pytest.mark.parametrize("kind", ["rows", "inputs", "weights' columns"])
def test_outliers_cost_what_theory_says_and_little_more(kind: str):
    """Rows, inputs and columns 30 times the others have tables, and columns steps, of their own: told once, no more."""
    weights, moments = layer(256, 64, decay=1.0)
    odd = np.ones(256 if kind == "rows" else 64)
    odd[[3, 40]] = 30.0
    if kind == "inputs":
        moments = moments * np.outer(odd, odd)
        sigma, of_rows = moments, np.ones(256)
    elif kind == "rows":
        weights = (weights * odd[:, None]).astype(np.float32)
        sigma, of_rows = moments, np.square(odd)
    else:
        weights = (weights * odd).astype(np.float32)
        sigma, of_rows = moments * np.outer(odd, odd), np.ones(256)

    def gap(weights: np.ndarray, moments: np.ndarray, sigma: np.ndarray, of_rows: np.ndarray) -> tuple[float, float]:
        found = quantize(weights, moments, 2e-4)
        variances = np.outer(of_rows, np.linalg.eigvalsh(sigma)).ravel()
        bound = water_filling(variances, np.ones(weights.size), found.error).rate / weights.size
        assert 1.0 < bound < 5.0
        told = container.bits({"w": found.code}) - 8 * len(found.code.payload)
        return found.code.index_bits / weights.size - bound, told / 8

    plain, usual = layer(256, 64, decay=1.0)
    odd_gap, odd_told = gap(weights, moments, sigma, of_rows)
    usual_gap, usual_told = gap(plain, usual, usual, np.ones(256))
    assert odd_gap < usual_gap + 0.01
    assert odd_told < usual_told + 128, "bytes of up to 256 symbols and of some more tables"

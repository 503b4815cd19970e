"""The choice of integers against exhaustive search, and what is lost against what theory says."""

import itertools

import numpy as np
import pytest
from crossing import crossed

from laconic.format.coding.levels import SIZES, size_of
from laconic.format.coding.packing import frozen
from laconic.format.coding.payload import moved
from laconic.format.coding.ungerboeck import feedback, next_state
from laconic.quantize.budget import Budget, Tools, fit
from laconic.quantize.lattice import Assigned, Quantizer, prepare
from laconic.quantize.lattice.abreast import abreast
from laconic.quantize.lattice.assigned import OFFSETS
from laconic.quantize.lattice.moments import refitted
from laconic.quantize.lattice.quantized import SLOPE
from laconic.quantize.lattice.scalar import nearest
from laconic.quantize.lattice.splice import spliced
from laconic.quantize.lattice.viterbi import paths

NONE = np.zeros(0)


def reach(v: int, offsets: np.ndarray) -> float:
    """Where level v lies, in steps."""
    return v + (v > 0) * offsets[min(abs(v), len(offsets) - 1)] - (v < 0) * offsets[min(abs(v), len(offsets) - 1)]


def price(x: float, v: int, h: float, row: np.ndarray, rate: float, offsets: np.ndarray) -> float:
    """What level v costs for value x, in units of the step."""
    return h * (x - reach(v, offsets)) ** 2 + rate * float(row[min(abs(v), len(row) - 1)])


def integers(n: int) -> np.ndarray:
    """Room for so many integers."""
    return np.empty(n, np.int32)


def random_costs(rng: np.random.Generator, classes: int, length: int = 64) -> np.ndarray:
    return np.float32(rng.uniform(0, 9, (classes, length)) + 0.3 * np.arange(length))


def random_offsets(rng: np.random.Generator, moving: bool) -> np.ndarray:
    return np.concatenate([[0.0], rng.uniform(-0.4, 0.4, OFFSETS) * moving])


# --- the trellis -----------------------------------------------------------------------------------


Offer = dict[int, float]  # integers of one subset and what each costs


def offers(x: float, h: float, row: np.ndarray, rate: float, offsets: np.ndarray) -> list[Offer]:
    """For each subset v mod 4 two integers: the one next to x, and the next one towards 0."""
    found = []
    for j in range(4):
        v = min((v for v in range(-200, 201) if v % 4 == j), key=lambda v: abs(x - v))
        nearer = v - 4 if v > 1 else v + 4 if v < -1 else v
        found.append({u: price(x, u, h, row, rate, offsets) for u in (v, nearer)})
    return found


def best_path(offered: list[list[Offer]], nu: int) -> float:
    """The least cost over all paths from state 0, each tried."""
    least = np.inf
    for choices in itertools.product((0, 2), repeat=len(offered)):
        state, cost = 0, 0.0
        for own, far in zip(offered, choices, strict=True):
            subset = state % 2 + far
            cost, state = cost + min(own[subset].values()), next_state(state, subset, nu)
        least = min(least, cost)
    return least


def cost_of(levels: np.ndarray, offered: list[list[Offer]], nu: int) -> float:
    """What ``levels`` cost; that they are a path of what is offered is checked."""
    state, cost = 0, 0.0
    for v, own in zip(levels.tolist(), offered, strict=True):
        assert v % 2 == state % 2
        assert v in own[v % 4]
        cost, state = cost + own[v % 4][v], next_state(state, v, nu)
    return cost


@crossed("nu, moving, weighted, rate", [2, 3, 6], [False, True], [False, True], [0.0, 0.1, 2.0], times=2)
def test_no_path_is_better_than_the_one_that_is_found(nu: int, moving: bool, weighted: bool, rate: float):
    rng = np.random.default_rng(nu)
    for lanes, length in ((1, 6), (2, 3), (8, 1), (8, 6)):
        n = lanes * length - int(rng.integers(lanes))
        values, step = rng.laplace(size=n) * rng.uniform(0.5, 10), 0.37
        h = np.where(rng.random(n) < 0.2, 0.0, rng.lognormal(0, 1.5, n)) if weighted else NONE
        classes = rng.integers(0, 3, n).astype(np.uint8)
        costs, offsets = random_costs(rng, 3), random_offsets(rng, moving)
        found = paths(
            frozen(values),
            frozen(h),
            frozen(classes),
            1 / step,
            costs,
            rate,
            offsets,
            nu,
            *feedback(nu),
            lanes,
            integers(n),
        )
        for lane in range(min(lanes, n)):
            own = [
                offers(values[i] / step, h[i] if weighted else 1.0, costs[classes[i]], rate, offsets)
                for i in range(lane, n, lanes)
            ]
            assert cost_of(found[lane::lanes], own, nu) == pytest.approx(best_path(own, nu), rel=1e-5, abs=1e-5)


def test_long_paths_lose_no_precision():
    """The least cost is taken off all now and then: after many steps the path is as good as a float64 one."""
    rng, nu, n = np.random.default_rng(0), 2, 20_000
    values, costs, offsets = rng.normal(size=n) * 300, np.zeros((1, 1), np.float32), np.zeros(1)
    none, classes = frozen(NONE), frozen(np.zeros(n, np.uint8))
    found = paths(frozen(values), none, classes, 1.0, costs, 0.0, offsets, nu, *feedback(nu), 1, integers(n))
    best = np.full(4, np.inf)
    best[0] = 0
    for x in values.tolist():
        new = np.full(4, np.inf)
        for state in range(4):
            for j in (state % 2, state % 2 + 2):
                to = next_state(state, j, nu)
                new[to] = min(new[to], best[state] + (x - (4 * round((x - j) / 4) + j)) ** 2)
        best = new
    assert ((values - found) ** 2).sum() == pytest.approx(best.min(), rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("nu", [2, 3, 6])
def test_lanes_abreast_find_the_same_paths(nu: int, weighted: bool):
    rng = np.random.default_rng(nu)
    for lanes, n, length in ((1, 30, 64), (8, 3, 64), (8, 203, 1), (16, 1000, 5), (72, 72 * 40 - 1, 1024)):
        values, classes = rng.laplace(size=n) * rng.choice([0.3, 4, 80]), rng.integers(0, 3, n).astype(np.uint8)
        values[::5], values[::7] = 0, np.rint(values[::7])  # as near to one integer as to another
        h = rng.lognormal(0, 1.5, n) * (rng.random(n) > 0.2) if weighted else NONE
        for kind in (np.float32, np.float64):
            of = (frozen(values.astype(kind)), frozen(h), frozen(classes), 1.0, random_costs(rng, 3, length), 0.7)
            how = (random_offsets(rng, True), nu, *feedback(nu), lanes)
            assert np.array_equal(abreast(*of, *how, integers(n)), paths(*of, *how, integers(n)))


def random_path(rng: np.random.Generator, n: int, nu: int, lanes: int) -> np.ndarray:
    """Integers that are a path in each lane."""
    found = np.zeros(n, np.int32)
    for lane in range(min(lanes, n)):
        state = 0
        for i in range(lane, n, lanes):
            level = int(rng.integers(-9, 9)) if rng.random() < 0.7 else 0
            found[i] = level + (nu > 0 and level % 2 != state % 2)
            state = next_state(state, int(found[i]), nu) if nu else 0
    return found


@crossed("nu, lanes", [0, 2, 3, 4, 5, 6], [1, 8])
def test_a_share_of_one_path_and_the_rest_of_another_is_a_path(nu: int, lanes: int):
    rng, n = np.random.default_rng(nu), 40 * lanes + 3
    for share in (0.0, 0.01, 0.3, 0.77, 0.99, 1.0):
        fine, coarse = random_path(rng, n, nu, lanes), random_path(rng, n, nu, lanes)
        found = spliced(fine, coarse, nu, *feedback(nu), lanes, share)
        for lane in range(lanes):
            own, state = found[lane::lanes], 0
            left = round(share * len(own))
            assert np.array_equal(own[:left], fine[lane::lanes][:left])
            rest = coarse[lane::lanes] if left + nu <= len(own) else fine[lane::lanes]
            assert np.array_equal(own[left + nu :], rest[left + nu :])
            assert (np.abs(own - rest)[left : left + nu] <= 2).all()
            for v in own.tolist() if nu else ():
                assert v % 2 == state % 2
                state = next_state(state, v, nu)
    assert np.array_equal(spliced(fine, coarse, nu, *feedback(nu), lanes, 0.0), coarse)


@pytest.mark.parametrize("nu", [0, 3])
def test_half_of_one_round_and_half_of_another_is_what_its_codes_cost(nu: int):
    source = prepare("a", np.random.default_rng(1).laplace(size=(100, 120)), 0.1)
    quantizer = Quantizer([source], nu, SLOPE)
    scales = quantizer.scales(0.3)
    first = quantizer.round(scales, quantizer.rounding(scales, quantizer.pieces(scales), 0.3))
    fine, coarse = (quantizer.round(scales, first.learned(step)) for step in (0.3, 0.303))
    shares = [quantizer.between(fine, coarse, share) for share in np.linspace(0, 1, 6).tolist()]
    assert (shares[0].bits, shares[0].distortion) == (coarse.bits, pytest.approx(coarse.distortion))
    assert shares[-1].bits == fine.bits
    for a, b in itertools.pairwise(shares):
        assert a.bits < b.bits
    assert fine.distortion < shares[3].distortion < coarse.distortion
    assert sum(code.index_bits for code in shares[3].codes().values()) == pytest.approx(shares[3].bits)


# --- each weight by itself -------------------------------------------------------------------------


@crossed("seed, moving, rate", range(4), [False, True], [0.0, 0.1, 0.5, 4.0])
def test_without_importances_the_nearest_is_the_best_of_all(seed: int, moving: bool, rate: float):
    rng = np.random.default_rng(seed)
    n, step = 400, 0.73
    values, classes = np.clip(rng.standard_t(2, n) * 5, -50 * step, 50 * step), rng.integers(0, 3, n).astype(np.uint8)
    values[:3] = 0, 0.5 * step, -1.5 * step
    costs, offsets = random_costs(rng, 3, 1024), random_offsets(rng, moving)
    found = nearest(frozen(values), frozen(NONE), frozen(classes), 1 / step, costs, rate, offsets, integers(n))
    for x, v, k in zip((values / step).tolist(), found.tolist(), classes.tolist(), strict=True):
        least = min(price(x, u, 1.0, costs[k], rate, offsets) for u in range(-60, 61))
        assert price(x, v, 1.0, costs[k], rate, offsets) == pytest.approx(least, rel=1e-9, abs=1e-12)


@crossed("seed, rate", range(2), [0.1, 1.0])
def test_with_importances_the_best_of_four_is_found(seed: int, rate: float):
    """The integers next to x, the next one towards 0, and 0."""
    rng = np.random.default_rng(seed)
    n, step = 400, 0.73
    values, classes = np.clip(rng.standard_t(2, n) * 5, -40, 40), rng.integers(0, 3, n).astype(np.uint8)
    h = np.where(rng.random(n) < 0.2, 0.0, rng.lognormal(0, 1.5, n))
    costs, offsets = random_costs(rng, 3, 1024), random_offsets(rng, True)
    found = nearest(frozen(values), frozen(h), frozen(classes), 1 / step, costs, rate, offsets, integers(n))
    for x, v, k, own in zip((values / step).tolist(), found.tolist(), classes.tolist(), h.tolist(), strict=True):
        below, sign = int(abs(x)), 1 if x >= 0 else -1
        tried = [sign * u for u in {below, below + 1, max(below - 1, 0), 0}]
        assert v in tried
        costs_of = {u: price(x, u, own, costs[k], rate, offsets) for u in tried}
        assert costs_of[v] == pytest.approx(min(costs_of.values()), rel=1e-9, abs=1e-12)


def test_with_importances_and_no_rate_the_nearest_level_is_taken():
    rng = np.random.default_rng(0)
    values, h = rng.normal(size=500) * 6, rng.lognormal(0, 2, 500)
    offsets, costs = random_offsets(rng, True), random_costs(rng, 1, 1024)
    found = nearest(frozen(values), frozen(h), frozen(np.zeros(500, np.uint8)), 1.0, costs, 0.0, offsets, integers(500))
    for x, v in zip(values.tolist(), found.tolist(), strict=True):
        assert abs(x - reach(v, offsets)) == pytest.approx(min(abs(x - reach(u, offsets)) for u in range(-60, 61)))


def test_levels_beyond_the_table_are_the_nearest():
    values = np.array([1023.4, -1024.6, 5e5 + 0.3, -3e8])
    costs, offsets = np.zeros((1, 1024), np.float32), np.zeros(7)
    found = nearest(frozen(values), frozen(NONE), frozen(np.zeros(4, np.uint8)), 1.0, costs, 0.1, offsets, integers(4))
    assert found.tolist() == [1023, -1025, 500_000, -300_000_000]


@pytest.mark.parametrize("parities", [1, 2])
def test_counts_are_of_sizes_and_parities_in_their_classes(parities: int):
    rng = np.random.default_rng(0)
    levels = np.rint(rng.standard_t(1, 3000) * 20).astype(np.int32)
    classes = rng.integers(0, 4, 3000).astype(np.uint8)
    found = Assigned.of(levels, levels * 0.5, NONE, classes, 0.5, (4, parities)).counts
    for k, p in itertools.product(range(4), range(parities)):
        own = np.abs(levels[(classes == k) & (np.abs(levels) % parities == p)])
        assert np.array_equal(found[k, p], np.bincount(size_of(own // parities), minlength=SIZES))


# --- offsets and step ------------------------------------------------------------------------------


def distortion(values: np.ndarray, h: np.ndarray, levels: np.ndarray, step: float, offsets: np.ndarray) -> float:
    return float(((h if len(h) else 1.0) * (values - moved(levels, offsets) * step) ** 2).sum())


@crossed("seed, stretching, weighted", range(4), [False, True], [False, True])
def test_no_offset_and_no_step_next_to_them_is_better(seed: int, stretching: bool, weighted: bool):
    rng = np.random.default_rng(seed)
    values, step = rng.laplace(size=900), 0.4
    h = np.where(rng.random(900) < 0.2, 0.0, rng.lognormal(0, 1.5, 900)) if weighted else NONE
    levels = (np.sign(values) * np.floor(np.abs(values) / step + 0.35)).astype(np.int32)
    assigned = Assigned.of(levels, values, h, np.zeros(900, np.uint8), step, (1, 1))
    offsets, stretch, told = refitted(assigned.moments, moving=True, stretching=stretching)
    least = distortion(values, h, levels, step * stretch, offsets)
    assert told * step**2 == pytest.approx(least, rel=1e-9)
    assert (stretch != 1.0) == stretching
    assert offsets.any()
    for place, by in itertools.product(range(OFFSETS), (-1, 1)):
        other = offsets.astype(np.int64)
        other[place] += by
        at_the_step = distortion(values, h, levels, step, offsets)
        assert at_the_step <= distortion(values, h, levels, step, other.astype(np.int8)) * (1 + 1e-12)
    for by in (0.999, 1.001) if stretching else ():
        assert least <= distortion(values, h, levels, step * stretch * by, offsets)


def test_nothing_moves_that_may_not():
    values = np.random.default_rng(0).laplace(size=500)
    levels = np.rint(values).astype(np.int32)
    moments = Assigned.of(levels, values, NONE, np.zeros(500, np.uint8), 1.0, (1, 1)).moments
    offsets, stretch, told = refitted(moments, moving=False, stretching=False)
    assert (offsets.size, stretch) == (0, 1.0)
    assert told == pytest.approx(((values - levels) ** 2).sum())


@pytest.mark.parametrize("nu", [0, 3])
def test_the_objective_of_a_round_is_what_its_codes_cost(nu: int):
    rng = np.random.default_rng(1)
    arrays = {"a": rng.normal(size=(40, 30)), "b": rng.laplace(size=(8, 4, 3, 3)) * 0.1}
    sources = [prepare(name, array, 0.05, cosine=False) for name, array in arrays.items()]
    found = Quantizer(sources, nu)
    last = found.first(0.2)
    for _ in range(3):
        last = found.again(last, 0.2)
    codes = last.codes()
    assert sum(code.index_bits for code in codes.values()) == pytest.approx(last.bits)
    lost = sum(float(((codes[name].decompress() - array) ** 2).sum()) for name, array in arrays.items())
    assert lost == pytest.approx(last.distortion, rel=1e-9)
    assert codes["a"].step is codes["b"].step
    assert codes["a"].model is codes["b"].model


def test_rounds_lower_the_objective_to_where_tables_are_settled():
    source = prepare("a", np.random.default_rng(1).laplace(size=(100, 200)), 0.1)
    quantizer = Quantizer([source], 0, SLOPE, stretching=False)
    rounds = [Quantizer([source], 0, 0.0, moving=False, stretching=False).first(0.5), quantizer.first(0.5)]
    for _ in range(6):
        rounds.append(quantizer.again(rounds[-1], 0.5))
    costs = [r.distortion + SLOPE * 0.25 * r.bits for r in rounds]
    assert all(b <= a * 1.0005 for a, b in itertools.pairwise(costs))  # tables are in eighths of a bit
    assert costs[-1] < 0.998 * costs[0]


# --- what is lost ----------------------------------------------------------------------------------


def gap(weights: np.ndarray, bits: float, tools: Tools) -> float:
    """Bits a weight of the file above R(D) of a Gaussian of the same variance (Shannon's upper bound)."""
    found = fit({"w": weights}, Budget(bits=bits), tools)
    return 8 * found.file_bytes / weights.size - found.snr / (20 * np.log10(2))


SHAPE = (250, 400)
BOUNDS = {1: 0.28, 8: 0.11, 64: 0.085}


@crossed("states, bits", BOUNDS, [1, 2, 4])
def test_files_of_gaussian_weights_are_as_close_to_the_bound_as_theory_says(states: int, bits: int):
    weights = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    assert 0.0 < gap(weights, bits, Tools(states)) < BOUNDS[states]


@crossed("bits", [1, 4])
def test_a_trellis_pays_on_laplacian_weights_from_one_bit_on(bits: int):
    weights = np.random.default_rng(0).laplace(size=SHAPE).astype(np.float32)
    scalar, eight, most = (gap(weights, bits, Tools(states)) for states in (1, 8, 64))
    assert most < eight < scalar

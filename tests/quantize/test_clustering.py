"""k-means on the line against slow twins: brute force, kmeans1d, and the exact solver against the fast one."""

import kmeans1d
import numpy as np
import pytest
from crossing import crossed
from hypothesis import given
from hypothesis import strategies as st

from laconic.quantize.clustering import cluster, exact, fast, nearest


def error(values: np.ndarray, weights: np.ndarray | None, centres: np.ndarray) -> float:
    values = values.astype(np.float64)
    squares = (values - centres[nearest(values, centres)]) ** 2
    return float(squares.sum() if weights is None else (weights * squares).sum())


def brute_force(values: np.ndarray, weights: np.ndarray, k: int) -> float:
    """The least error over all k^n assignments."""
    n = len(values)
    assigned = np.arange(k**n)[:, None] // k ** np.arange(n) % k
    total = np.zeros(len(assigned))
    for j in range(k):
        h = (assigned == j) * weights
        mass = h.sum(1)
        mean = np.divide(h @ values, mass, out=np.zeros_like(mass), where=mass > 0)
        total += (h * (values - mean[:, None]) ** 2).sum(1)
    return float(total.min())


weighted = st.lists(st.tuples(st.integers(-6, 6), st.integers(0, 4)), min_size=1, max_size=9)


@given(weighted, st.integers(1, 3), st.sampled_from([exact, fast, cluster]))
def test_the_least_of_all_assignments(pairs, k, solver):
    values, weights = (np.array(column, float) for column in zip(*pairs, strict=True))
    centres = solver(values, weights, k)
    assert 1 <= len(centres) <= k
    assert (np.diff(centres) > 0).all()
    weights = weights if weights.any() else np.ones_like(weights)
    assert error(values, weights, centres) == pytest.approx(brute_force(values, weights, k), abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_the_least_of_all_assignments_of_reals(k, seed):
    rng = np.random.default_rng(seed)
    values, weights = rng.standard_cauchy(8), rng.lognormal(0, 2, 8)
    assert error(values, weights, exact(values, weights, k)) == pytest.approx(brute_force(values, weights, k))


@crossed(
    "size, draw",
    [(1000, 2), (1000, 256), (10_000, 16), (10_000, 64), (100_000, 4)],
    ["normal", "standard_cauchy", "laplace"],
)
def test_exact_as_kmeans1d(size, draw):
    n, k = size
    values = getattr(np.random.default_rng(n + k), draw)(size=n)
    theirs = np.unique(kmeans1d.cluster(values, k).centroids)
    assert error(values, None, exact(values, None, k)) <= error(values, None, theirs) * (1 + 1e-9)


def samples(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "normal": rng.normal(size=n),
        "cauchy": rng.standard_cauchy(n),
        "bimodal": np.where(rng.random(n) < 0.3, rng.normal(-5, 0.1, n), rng.normal(3, 1, n)),
        "discrete": np.round(rng.normal(size=n) * 300) / 100,
        "half zero": np.where(rng.random(n) < 0.5, 0, rng.normal(size=n)),
        "log-normal": rng.lognormal(0, 2, n),
    }


@crossed("name, weights", samples(1, np.random.default_rng(0)), ["unit", "log-normal", "wild"])
def test_fast_is_within_three_in_a_thousand_of_the_optimum(name, weights):
    rng = np.random.default_rng(5)
    values = samples(10_000, rng)[name].astype(np.float32)
    h = None if weights == "unit" else rng.lognormal(0, 1 if weights == "log-normal" else 3, len(values))
    for k in (2, 16, 256):
        best = error(values, h, exact(values, h, k))
        assert error(values, h, fast(values, h, k)) <= 1.003 * best


@pytest.mark.slow
def test_fast_is_within_three_in_a_thousand_at_a_million():
    rng = np.random.default_rng(6)
    values, weights = rng.standard_t(3, 1_000_000), rng.lognormal(size=1_000_000)
    best = error(values, weights, exact(values, weights, 16))
    assert error(values, weights, fast(values, weights, 16)) <= 1.003 * best


@pytest.mark.slow
@pytest.mark.parametrize("draw", ["normal", "standard_cauchy"])
@pytest.mark.parametrize("k", [2, 16, 256])
def test_fast_stays_near_the_optimum_of_a_million(k, draw):
    values = getattr(np.random.default_rng(k), draw)(size=1_000_000)
    best = error(values, None, exact(values, None, k))
    assert best <= error(values, None, fast(values, None, k)) <= 1.003 * best


def test_a_better_warm_start_is_used_and_a_worse_one_is_not():
    values = np.random.default_rng(7).standard_cauchy(20_000).astype(np.float32)
    cold = fast(values, None, 200)
    best = exact(values, None, 200)
    assert error(values, None, fast(values, None, 200, best)) <= error(values, None, best) * (1 + 1e-9)
    for warm in (np.zeros(1), np.linspace(-1, 1, 200), np.zeros(0), np.linspace(-1, 1, 300), np.full(5, 1e30)):
        assert error(values, None, fast(values, None, 200, warm)) <= error(values, None, cold)


@pytest.mark.parametrize("solver", [exact, fast, cluster])
def test_edges_of_the_domain(solver):
    assert len(solver(np.zeros(0), None, 3)) == 0
    assert solver(np.array([2.5]), np.zeros(1), 3).tolist() == [2.5]
    assert solver(np.full(9, 0.1, np.float32), None, 2).tolist() == [float(np.float32(0.1))]
    assert solver(np.array([-0.0, 0.0, 1.0]), None, 2).tolist() == [0.0, 1.0]
    assert solver(np.array([1.0, 3.0, 8.0]), np.zeros(3), 1) == pytest.approx([4.0])  # all weightless: unit weights
    assert solver(np.array([1.0, 3.0, 8.0]), np.array([0.0, 1.0, 0.0]), 1).tolist() == [3.0]


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1.0, 1e200, 1e307])
def test_neither_scale_nor_offset_costs_digits(scale):
    values = np.random.default_rng(8).normal(size=200)
    base = exact(values, None, 7)
    assert exact(values * scale, None, 7) == pytest.approx(base * scale, rel=1e-6 if scale < 1e-300 else 1e-12)
    assert exact(values + 1e6, None, 7) == pytest.approx(base + 1e6, rel=1e-12)
    weights = np.random.default_rng(9).random(200)
    assert exact(values, weights * scale, 7) == pytest.approx(exact(values, weights, 7), rel=1e-9)


@pytest.mark.parametrize("solver", [exact, fast, cluster])
def test_importances_of_any_range(solver):
    rng = np.random.default_rng(11)
    values = rng.normal(size=8000)
    weights = 10.0 ** rng.uniform(-40, 0, 8000)
    heavy = weights > 1e-9
    centres = solver(values, weights, 5)
    assert (np.diff(centres) > 0).all()
    best = error(values[heavy], weights[heavy], exact(values[heavy], weights[heavy], 5))
    assert error(values, weights, centres) <= best * (1 + 1e-5)


def test_few_distinct_values_are_their_own_centres_whatever_they_weigh():
    values = np.random.default_rng(10).choice(np.float32([0.1, 0.2, 7, -3]), 1000)
    for weights in (None, np.zeros(1000), (values > 1).astype(float), np.random.default_rng(0).random(1000)):
        assert cluster(values, weights, 4).tolist() == np.unique(values).tolist()
        assert cluster(values, weights, 9).tolist() == np.unique(values).tolist()


def test_a_tie_goes_to_the_lower_entry():
    assert nearest(np.array([0.5, 1.5, -9, 9, 0.75]), np.array([0.0, 1.0, 2.0])).tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize("k", [1, 2, 3, 16, 17, 256, 257, 70_000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_as_searchsorted(k, dtype):
    rng = np.random.default_rng(k)
    values, entries = rng.normal(size=5000).astype(dtype), np.sort(rng.normal(size=k))
    indices = nearest(values, entries)
    assert indices.dtype == (np.uint8 if k <= 256 else np.uint16 if k <= 65536 else np.uint32)
    assert (indices == np.searchsorted((entries[1:] + entries[:-1]) / 2, values.astype(float), side="left")).all()

"""The exact error of ReLU units: Monte Carlo, the corollaries of Gao et al., and where they end."""

from itertools import combinations, product

import numpy as np
import pytest
import relu_units
from hypothesis import assume, given
from hypothesis import strategies as st

from laconic.quantize.clustering import cluster, nearest
from laconic.theory import rate_distortion

RNG = np.random.default_rng(0)
MOMENTS = {"unit": np.ones(4), "diagonal": np.array([4.0, 0.5, 1.0, 0.1])}
MOMENTS["whole"] = (lambda factor: factor @ factor.T / 4)(RNG.standard_normal((4, 5)))
each = pytest.mark.parametrize("name", MOMENTS)


def whole(moments):
    return np.diag(moments) if moments.ndim == 1 else moments


def relu(x):
    return np.maximum(x, 0)


def draws(moments, count=100_000):
    return np.random.default_rng(1).multivariate_normal(np.zeros(len(moments)), whole(moments), count)


def formula(w, c, moments):
    """a²/2 + b²/2 − ab (sin θ + (π − θ) cos θ) / π."""
    a, b = np.sqrt(w @ moments @ w), np.sqrt(c @ moments @ c)
    theta = np.arccos(np.clip(w @ moments @ c / (a * b), -1, 1))
    return a * a / 2 + b * b / 2 - a * b * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / np.pi


@each
def test_the_error_of_a_unit(name):
    moments = MOMENTS[name]
    w, c = RNG.standard_normal((2, 5, 4))
    errors = rate_distortion.relu_error(w, c, moments)
    assert errors == pytest.approx([formula(*pair, whole(moments)) for pair in zip(w, c, strict=True)])
    x = draws(moments)
    assert errors == pytest.approx(np.square(relu(x @ w.T) - relu(x @ c.T)).mean(0), rel=0.03)


@each
def test_small_changes_are_the_quadratic_form(name):
    """To rounding, where the difference of the squares has no digit left."""
    moments = MOMENTS[name]
    w, d = RNG.standard_normal((2, 4))
    for size in (1e-3, 1e-6, 1e-9):
        form = size**2 * d @ whole(moments) @ d / 2
        error = float(rate_distortion.relu_error(w, w + size * d, moments))
        assert error == pytest.approx(form, rel=5 * size + 1e-6)
        assert error <= form * (1 + 1e-6)


def test_units_at_the_ends():
    w = np.array([3.0, 4.0])
    ones = np.ones(2)
    assert rate_distortion.relu_error(w, w, ones) == 0
    assert rate_distortion.relu_error(w, 0 * w, ones) == pytest.approx(12.5)
    assert rate_distortion.relu_error(w, -w, ones) == pytest.approx(25)
    assert rate_distortion.relu_error(0 * w, 0 * w, ones) == 0
    assert rate_distortion.relu_error(w, 3 * w, np.zeros(2)) == 0
    assert rate_distortion.relu_error(np.zeros((0, 2)), np.zeros((0, 2)), ones).shape == (0,)
    assert rate_distortion.relu_scale(w, 0 * w, ones) == 1
    assert rate_distortion.relu_scale(w, w / 2, ones) == pytest.approx(2)
    assert rate_distortion.relu_scale(w, -w, ones) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match=r"vectors of 2 numbers.* \(3,\)"):
        rate_distortion.relu_error(np.ones(3), np.ones(3), ones)
    with pytest.raises(ValueError, match="moments: finite"):
        rate_distortion.relu_error(w, w, np.array([1.0, np.inf]))


@each
def test_products_of_units(name):
    moments = MOMENTS[name]
    u, v = RNG.standard_normal((3, 4)), RNG.standard_normal((2, 4))
    x = draws(moments)
    assert rate_distortion.relu_products(u, v, moments) == pytest.approx(
        relu(x @ u.T).T @ relu(x @ v.T) / len(x), abs=0.06
    )
    own = np.diag(rate_distortion.relu_products(u, u, moments))
    assert own == pytest.approx(np.einsum("ij,jk,ik->i", u, whole(moments), u) / 2)


def test_the_worked_example_of_corollary_2():
    w, shared = np.array([3, 1, -1, 0.5]), np.full(4, 0.875)
    assert cluster(w, None, 1) == pytest.approx([0.875])
    assert rate_distortion.relu_error(w, shared, np.ones(4)) == pytest.approx(3.4960, abs=5e-5)
    scale = rate_distortion.relu_scale(w, shared, np.ones(4))
    assert 0.875 * scale == pytest.approx(1.0458, abs=5e-5)
    assert rate_distortion.relu_error(w, scale * shared, np.ones(4)) == pytest.approx(3.4377, abs=5e-5)
    grid = np.linspace(0.5, 1.5, 100_001)
    errors = rate_distortion.relu_error(w, np.outer(grid, np.ones(4)), np.ones(4))
    assert grid[errors.argmin()] == pytest.approx(1.0458, abs=5e-5)


numbers = st.floats(-4, 4).filter(lambda x: abs(x) > 1e-3)
positive = st.floats(0.05, 5)
units = st.lists(st.tuples(numbers, positive), min_size=2, max_size=7)


@given(units, st.data())
def test_corollary_1_keeping_the_largest_is_best(unit, data):
    """Of all sets of κ weights the one of largest λ_i w_i² has the least error, exactly."""
    w, moments = np.array(unit).T
    kept = data.draw(st.integers(0, len(w)))
    sets = np.array([np.isin(np.arange(len(w)), chosen) for chosen in combinations(range(len(w)), kept)])
    errors = rate_distortion.relu_error(np.broadcast_to(w, sets.shape), sets * w, moments)
    largest = sets[(sets * moments * w * w).sum(1).argmax()]
    assert rate_distortion.relu_error(w, largest * w, moments) <= errors.min() * (1 + 1e-9) + 1e-12


def least_over_values(w, labels, k, moments):
    """The least exact error of an assignment over the angle of its values, by the arccosine formula and a grid."""
    if k == 1:
        directions = np.array([[1.0], [-1.0]])
    else:
        angle = np.linspace(-np.pi, np.pi, 1441)
        directions = np.stack([np.cos(angle), np.sin(angle)], 1)
    shared = directions[:, labels]
    shared = shared[np.abs(shared).max(1) > 1e-9]
    a, b = np.sqrt(moments @ w**2), np.sqrt(shared**2 @ moments)
    cosine = np.clip(shared @ (moments * w) / (a * b), -1, 1)
    theta = np.arccos(cosine)
    return (a * a / 2 * (1 - ((np.sin(theta) + (np.pi - theta) * cosine) / np.pi) ** 2)).min()


@given(units, st.integers(1, 2))
def test_corollary_2_clusters_and_values(unit, k):
    """Of all assignments and values, k-means' clusters with k-means' centres times one factor are best."""
    w, moments = np.array(unit).T
    centres = cluster(w, moments, k)
    shared = centres[nearest(w, centres)]
    scale = float(rate_distortion.relu_scale(w, shared, moments))
    best = float(rate_distortion.relu_error(w, scale * shared, moments))
    assert best <= float(rate_distortion.relu_error(w, shared, moments)) + 1e-12
    cosine = min(1.0, np.sqrt((moments @ shared**2) / (moments @ w**2)))  # orthogonality: b = a cos θ
    assume(cosine > 1e-3)
    theta = np.arccos(cosine)
    assert scale == pytest.approx((np.sin(theta) + (np.pi - theta) * cosine) / (np.pi * cosine), rel=1e-6)
    assert scale >= 1 - 1e-9
    others = [least_over_values(w, list(labels), k, moments) for labels in product(range(k), repeat=len(w))]
    assert best <= min(others) * (1 + 1e-9) + 1e-9


def test_corollary_2_ends_where_the_best_form_is_zero():
    """The centre of (1, −1) is 0, which no factor moves; a value of either sign is better, as the limit says."""
    w = np.array([1.0, -1.0])
    assert cluster(w, None, 1).tolist() == [0]
    value = np.sqrt(2) / np.pi / np.sqrt(2)  # length a / π
    errors = rate_distortion.relu_error(w, np.array([[0.0, 0.0], [value, value], [-value, -value]]), np.ones(2))
    assert errors == pytest.approx([1, 1 - 1 / np.pi**2, 1 - 1 / np.pi**2])
    near = np.array([1 + 1e-9, -1.0])
    centre = np.full(2, near.mean())
    assert rate_distortion.relu_scale(near, centre, np.ones(2)) * centre == pytest.approx([value, value], rel=1e-6)


def gradients(weights, outputs, x):
    """∇f of each output at each input, shape (inputs, outputs, units · n)."""
    on = (x @ weights.T > 0).astype(float)
    return np.einsum("oj,sj,si->soji", outputs, on, x).reshape(len(x), len(outputs), -1)


@each
@pytest.mark.parametrize("outputs", [np.eye(3), np.ones((1, 3)), np.array([[1, -2, 0.5], [0, 1, 1]])])
def test_layers_against_monte_carlo(name, outputs):
    moments = MOMENTS[name]
    weights, other = RNG.standard_normal((2, 3, 4))
    weights[2] = -2 * weights[0]  # opposite units, which are never on together
    x = draws(moments, 100_000)
    lost = (relu(x @ weights.T) - relu(x @ other.T)) @ outputs.T
    error = rate_distortion.relu_layer_error(weights, other, outputs, moments)
    assert error == pytest.approx(np.square(lost).sum(1).mean(), rel=0.03)
    slopes = gradients(weights, outputs, x[:20_000])
    importance = rate_distortion.relu_importance(weights, outputs, moments)
    assert importance == pytest.approx(np.einsum("soi,soj->ij", slopes, slopes) / 20_000, abs=0.04 * importance.max())
    assert importance == pytest.approx(importance.T)
    assert np.linalg.eigvalsh(importance).min() > -1e-12 * importance.max()


@each
def test_the_importance_is_the_second_order_of_the_error(name):
    moments = MOMENTS[name]
    weights, step = RNG.standard_normal((2, 3, 4))
    outputs = RNG.standard_normal((2, 3))
    form = step.ravel() @ rate_distortion.relu_importance(weights, outputs, moments) @ step.ravel()
    for size in (1e-2, 1e-3, 1e-4):
        error = float(rate_distortion.relu_layer_error(weights, weights + size * step, outputs, moments))
        assert error / size**2 == pytest.approx(form, rel=30 * size)


def test_layers_of_one_unit_and_of_equal_units():
    w, c = RNG.standard_normal((2, 1, 4))
    moments = MOMENTS["diagonal"]
    assert rate_distortion.relu_layer_error(w, c, np.ones((1, 1)), moments) == pytest.approx(
        float(rate_distortion.relu_error(w[0], c[0], moments))
    )
    assert rate_distortion.relu_importance(w, np.ones((1, 1)), moments) == pytest.approx(np.diag(moments) / 2)
    twice = rate_distortion.relu_importance(np.concatenate([w, 2 * w]), np.ones((1, 2)), moments)
    assert twice == pytest.approx(np.kron(np.ones((2, 2)), np.diag(moments) / 2))
    two = RNG.standard_normal((2, 4))
    apart = rate_distortion.relu_layer_error(two, 0.5 * two, np.eye(2), moments)
    assert apart == pytest.approx(float(rate_distortion.relu_error(two, 0.5 * two, moments).sum()))
    with pytest.raises(ValueError, match="zero weights"):
        rate_distortion.relu_importance(0 * w, np.ones((1, 1)), moments)


def test_a_vector_of_units_can_be_pruned_better_than_by_the_rule():
    """The rule keeps what leaves the least Σ λ_i w_i²; the error of a unit is not linear in what it loses."""
    weights = np.array([[1.0, 1.0], [1.0, 0.0]])
    near = weights - np.array([[0.0, 0.0], [0.001, 0.0]])
    candidates = np.array([[[1.0, 0.0], near[1]], [near[0], [0.0, 0.0]]])
    half, gone = rate_distortion.relu_layer_error(near, candidates, np.eye(2), np.ones(2))
    assert np.square(near - candidates[0]).sum() > np.square(near - candidates[1]).sum()
    assert half < 0.9 * gone


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(1, 2), st.floats(0, 1))
def test_pruning_a_vector_of_units_loses_at_most_a_sixth(seed, count, inputs, share):
    """A unit's error is at least 0.853 of its form, so the rule's choice is within 1/0.853 of the best."""
    layer = relu_units.layers("vector", count, inputs, 1, seed)[0]
    excess = relu_units.pruning(layer, 1 + round(share * (count * inputs - 2))).excess
    assert 0 <= excess <= 1 / 0.8536 - 1


def test_how_much_less_than_its_form_the_error_of_an_orthogonal_choice_is():
    angle = np.linspace(1e-3, np.pi / 2, 20_001)
    chosen = np.cos(angle)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    first = np.broadcast_to([1.0, 0.0], chosen.shape)
    ratio = rate_distortion.relu_error(first, chosen, np.ones(2)) / (np.sin(angle) ** 2 / 2)
    assert ratio.min() == pytest.approx(0.85365, abs=1e-5)
    assert ratio.max() <= 1 + 1e-9


def test_the_search_finds_no_miss_for_one_unit():
    some = relu_units.layers("vector", 1, 6, 4, 0)
    for layer in some:
        assert not any(relu_units.pruning(layer, kept).missed for kept in range(1, 6))
        found = relu_units.sharing(layer)
        assert not found.missed
        assert found.scaled == pytest.approx(0, abs=1e-6)
        assert 0 <= found.excess < 0.01


@pytest.mark.parametrize("kind", ["vector", "sum", "signed sum"])
def test_the_search_against_a_plain_one(kind):
    """Two units of two inputs: every assignment, its values by a plain grid in the plane."""
    layer = relu_units.layers(kind, 2, 2, 1, 3)[0]
    c, d = np.meshgrid(*[np.linspace(-3, 3, 91)] * 2)
    importance = rate_distortion.relu_importance(layer.weights, layer.outputs, layer.moments)
    forms, errors = [], []
    for labels in product((0, 1), repeat=4):
        candidates = np.stack([c.ravel(), d.ravel()], 1)[:, labels]
        off = layer.weights.ravel() - candidates
        form = np.einsum("ij,jk,ik->i", off, importance, off)
        exact = relu_units.error(layer, candidates)
        forms.append((form.min(), exact[form.argmin()]))
        errors.append(exact.min())
    found = relu_units.sharing(layer)
    assert found.excess == pytest.approx(min(forms)[1] / min(errors) - 1, abs=0.05)


def test_the_table_of_all_ways_to_share_is_that_of_each_way():
    patterns = np.array(list(product((0, 1), repeat=2)))
    ways = np.array([np.concatenate(rows) for rows in product(patterns, repeat=3)])
    values = np.array([0.9, -0.4])
    for kind in ("vector", "sum", "signed sum"):
        layer = relu_units.layers(kind, 3, 2, 1, 1)[0]
        table = relu_units.scaled_table(layer, values[patterns])
        assert table == pytest.approx(relu_units.best_scaled(layer, values[ways]))


def test_sums_of_units_can_be_shared_better_than_by_the_rule():
    outcomes = [relu_units.sharing(layer) for layer in relu_units.layers("sum", 2, 3, 12, 0)]
    assert all(outcome.excess >= 0 for outcome in outcomes)
    assert any(outcome.missed for outcome in outcomes)

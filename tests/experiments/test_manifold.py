"""The recipe of the manifold: what a ReLU keeps of a spiral, by its definition, by theory, and by the record."""

import json
from itertools import combinations

import numpy as np
import pytest

from laconic.experiments.recipes import manifold, recipe, reproduce
from laconic.experiments.recipes.manifold.claims import judged
from laconic.experiments.recipes.manifold.embedding import LINEAR, MEASURES, RELU, drawn, spiral, through


def test_measures_by_their_definitions():
    """Point by point and pair by pair, with the best number s from a line search."""
    points, matrix = spiral()[::9], drawn(3, 1, 4)
    way = through(points, matrix, RELU)
    gram = np.linalg.inv(matrix.T @ matrix) @ matrix.T
    written = [[max(0.0, float(row @ point)) for row in matrix] for point in points]
    back = np.array([gram @ one for one in written])
    assert way.back == pytest.approx(back)
    near = [
        np.linalg.norm(np.subtract(written[i], written[j])) <= 0.01 * np.linalg.norm(matrix @ (points[i] - points[j]))
        for i, j in combinations(range(len(points)), 2)
    ]
    assert way.together == np.mean(near) > 0
    assert way.flat == np.mean([sum(value > 0 for value in one) < 2 for one in written])
    errors = [np.linalg.norm(points - s * back) / np.linalg.norm(points) for s in np.linspace(0, 4, 40_001)]
    assert way.error == pytest.approx(min(errors), abs=1e-6)


def test_the_share_of_flat_points_is_that_of_random_half_planes():
    """Each unit is active with probability 1/2: fewer than two of n are with (n + 1) / 2ⁿ."""
    points = spiral()
    for n in (2, 3, 5):
        flat = [through(points, drawn(n, 0, draw), RELU).flat for draw in range(150)]
        assert abs(np.mean(flat) - (n + 1) / 2**n) < 4 * np.std(flat) / 150**0.5 + 0.005


def test_a_spiral_crosses_each_half_plane_twice_a_turn():
    """Two turns and 9° in all: four crossings of each unit, or five."""
    for n in (2, 30):
        pieces = through(spiral(), drawn(n, 0, 0), RELU).pieces
        assert 4 * n <= pieces - 1 <= 5 * n


def test_a_matrix_of_zeros_leaves_nothing():
    for layer in (RELU, LINEAR):
        way = through(spiral(), np.zeros((3, 2)), layer)
        assert (way.together, way.error) == (1.0, 1.0)


def means(together, error, pieces, linear_error=0.0):
    """Measures of 50 draws about given means, of each number of dimensions."""
    noise = 0.01 * np.random.default_rng(0).standard_normal((50, 4))
    found = {}
    for n, *values in zip(manifold.DIMENSIONS, together, error, pieces, strict=True):
        found[n, RELU] = np.array([values[0], 0.5, values[1], values[2]]) + noise
        found[n, LINEAR] = np.tile([0.0, 0.0, linear_error, 1.0], (50, 1))
    return found


@pytest.mark.parametrize(
    ("measured", "answers"),
    [
        (means((0.2, 0.1, 0.05, 0, 0), (0.9, 0.7, 0.5, 0.3, 0.1), (9, 13, 20, 60, 120)), ["holds"] * 5),
        (means((0.0, 0.0, 0.1, 0.2, 0.2), (0.1, 0.3, 0.5, 0.7, 0.9), (9, 9, 9, 1, 1), 0.1),
         ["does not hold", "undecided", "does not hold", "does not hold", "does not hold"]),
        (means((0.2, 0.1, 0.1, 0.1, 0.2), (0.9, 0.9, 0.5, 0.3, 0.1), (9, 13, 20, 12, 10)),
         ["undecided", "holds", "undecided", "undecided", "holds"]),
    ],
)  # fmt: skip
def test_verdicts_follow_from_the_measures(measured, answers):
    assert [one.answer for one in judged(measured, 0)] == answers


def test_the_recipe_says_what_is_lost_and_a_second_run_finds_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(manifold, "_FEW", 25)
    outcome = reproduce(recipe("manifold"), tmp_path / "one", lambda done, text: None, fast=True)
    rows = {(row["n"], row["layer"]): row for row in outcome.record["rows"]}
    assert len(rows) == 10
    assert all(low <= mean <= high for row in rows.values() for mean, low, high in (row[name] for name in MEASURES))
    assert rows[2, RELU]["together"][0] > rows[30, RELU]["together"][0] == 0
    assert all(rows[n, LINEAR]["error"][0] == 0 for n in manifold.DIMENSIONS)
    assert (tmp_path / "one" / "manifold.png").stat().st_size > 20_000
    assert "| 30 | linear | 0 | 0 | 0 | 1 |" in outcome.page
    monkeypatch.setattr(manifold, "through", lambda *arguments: pytest.fail("it is kept"))
    again = reproduce(recipe("manifold"), tmp_path / "one", lambda done, text: None, fast=True)
    assert json.dumps(again.record) == json.dumps(outcome.record)

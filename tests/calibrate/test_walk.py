"""The paths of the walk against one kept in lists, against every path there is, and against plain Viterbi."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest

from laconic.calibrate import recursion
from laconic.calibrate.factor import Factor
from laconic.calibrate.recursion import Columns
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.ungerboeck import feedback, next_state
from laconic.quantize.lattice.viterbi import paths


def columns(rows: int, n: int, seed: int = 0, *, diagonal: bool = False, coarse: float = 0.7) -> Columns:
    """A layer in the order in which it is coded, in two classes and with steps of two widths."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((2 * n, n)) * np.exp(rng.standard_normal(n) / 2)
    moments = np.diag(rng.uniform(0.5, 2, n)) if diagonal else inputs.T @ inputs / (2 * n)
    factor = Factor.of(moments, np.arange(n))
    steps = np.where(np.arange(n) < n // 2, coarse, coarse / 2)
    classes = (np.arange(n) >= n // 2).astype(np.int64)
    targets = rng.standard_normal((rows, n)) * 1.5
    return Columns(targets, factor.feed, steps, (factor.scales * steps) ** 2, classes, 0)


@dataclass
class Path:
    """What has been chosen in one lane, and what it has cost."""

    state: int = 0
    cost: float = 0.0
    levels: list[int] = field(default_factory=list)


def candidates(x: float, subset: int) -> list[int]:
    """The integer of a subset next to x, and the next one towards 0."""
    v = int(np.rint((x - subset) / 4)) * 4 + subset
    nearer = v - 4 if v > 1 else v + 4 if v < -1 else v
    return [v, nearer]


def slow(layer: Columns, costs: np.ndarray, nu: int, price: float, window: int, lanes: int | None = None) -> np.ndarray:
    """The walk with every path written out in full; a row whose lane changes has the best paths of other lanes."""
    rows, n = layer.targets.shape
    lanes = lanes or lane_count(rows * n)
    shown = np.zeros((rows, n), np.int64)  # on the best path of each lane
    alive = [[Path()] for _ in range(lanes)]
    for place in range(rows * n):
        lane, j, r = place % lanes, place // rows, place % rows
        best: dict[int, Path] = {}
        for path in alive[lane]:
            earlier = shown[r, :j].copy()
            if rows % lanes == 0:
                earlier = np.array([path.levels[(i * rows + r) // lanes] for i in range(j)], np.int64)
            missed = layer.targets[r, :j] - earlier * layer.steps[:j]
            x = (layer.targets[r, j] + missed @ layer.feed[:j, j]) / layer.steps[j]
            for subset in (path.state & 1, 2 + (path.state & 1)):
                row = costs[layer.classes[j]]
                bills = [(layer.heights[j] * (x - v) ** 2 + price * row[abs(v)], v) for v in candidates(x, subset)]
                bill, v = min(bills, key=lambda pair: pair[0])
                after = next_state(path.state, v, nu)
                if after not in best or path.cost + bill < best[after].cost:
                    best[after] = Path(after, path.cost + bill, [*path.levels, v])
        first = min(best.values(), key=lambda path: path.cost)
        settled = first.levels[: max(len(first.levels) + 1 - window, 0)]
        alive[lane] = [path for path in best.values() if path.levels[: len(settled)] == settled]
        for t, v in enumerate(first.levels):
            shown[(t * lanes + lane) % rows, (t * lanes + lane) // rows] = v
    return shown


def costs_of(layer: Columns, nu: int) -> np.ndarray:
    """Code lengths of the integers next to the targets."""
    return smoothed_costs(layer.counts(layer.plain(), nu))


def bill(layer: Columns, levels: np.ndarray, costs: np.ndarray, price: float) -> float:
    """What integers cost: error and rate."""
    missed = layer.targets - levels * layer.steps
    reached = missed @ layer.feed  # column j: Σ_{i≤j} e_i G_ij
    rate = costs[layer.classes, np.abs(levels)].sum()
    return float((layer.heights / layer.steps**2 * reached**2).sum() + price * rate)


@pytest.mark.parametrize("nu", [2, 3, 6])
@pytest.mark.parametrize("window", [3, 17, 1000])
@pytest.mark.parametrize("rows", [1, 3])
def test_against_paths_in_lists(nu, window, rows):
    layer = columns(rows, 40, nu)
    costs = costs_of(layer, nu)
    assert (layer.quantized(nu, 0.3, window, 1) == slow(layer, costs, nu, 0.3, window)).all()


def test_lanes_are_those_of_the_coder():
    layer = columns(2048, 16)
    assert lane_count(2048 * 16) == 8
    some = layer.quantized(3, 0.3, 8, 1)
    for lane in range(8):
        states = 0
        for v in some[lane::8].T.reshape(-1).tolist():
            assert (v - states) % 2 == 0
            states = next_state(states, v, 3)


@pytest.mark.parametrize(("rows", "n", "lanes"), [(5, 40, 4), (7, 150, 3), (3, 30, 8), (12, 20, 8)])
@pytest.mark.parametrize("window", [4, 30])
def test_lanes_that_cross_the_rows(rows, n, lanes, window, monkeypatch):
    monkeypatch.setattr(recursion, "lane_count", lambda _: lanes)
    layer = columns(rows, n)
    costs = costs_of(layer, 3)
    assert (layer.quantized(3, 0.3, window, 1) == slow(layer, costs, 3, 0.3, window, lanes)).all()


def test_blocks_are_no_matter():
    """More columns than a block has, in several lanes, against paths in lists."""
    layer = columns(8, 150)
    costs = costs_of(layer, 2)
    assert (layer.quantized(2, 0.2, 20, 1) == slow(layer, costs, 2, 0.2, 20)).all()


@pytest.mark.parametrize("seed", range(3))
def test_against_every_path(seed):
    """Not above 1.3 times the best of all paths in these draws, and the best itself where inputs are not correlated."""
    for diagonal, factor in ((True, 1.00001), (False, 1.3)):
        layer = columns(1, 6, seed, diagonal=diagonal)
        costs, least = costs_of(layer, 2), np.inf
        for choice in itertools.product(range(4), repeat=6):
            levels, state = np.zeros((1, 6), np.int64), 0
            for j, k in enumerate(choice):
                missed = layer.targets[0, :j] - levels[0, :j] * layer.steps[:j]
                x = (layer.targets[0, j] + missed @ layer.feed[:j, j]) / layer.steps[j]
                levels[0, j] = candidates(x, 2 * (k & 1) + (state & 1))[k >> 1]
                state = next_state(state, int(levels[0, j]), 2)
            least = min(least, bill(layer, levels, costs, 0.3))
        assert bill(layer, layer.quantized(2, 0.3, 100, 1), costs, 0.3) <= factor * least


def test_it_is_viterbi_where_inputs_are_not_correlated():
    layer = columns(5, 30, diagonal=True)
    costs = costs_of(layer, 3)
    values = np.ascontiguousarray((layer.targets / layer.steps).T).reshape(-1)
    found = np.zeros(len(values), np.int32)
    heights, classes = np.repeat(layer.heights, 5), np.repeat(layer.classes, 5).astype(np.uint8)
    paths(values, heights, classes, 1.0, costs, 0.3, np.zeros(1), 3, *feedback(3), 1, found)
    plain = found.reshape(30, 5).T
    ours = layer.quantized(3, 0.3, 1000, 1)
    assert bill(layer, ours, costs, 0.3) == pytest.approx(bill(layer, plain, costs, 0.3), rel=1e-5)


def test_without_a_trellis_each_integer_is_the_best_of_three():
    layer = columns(4, 140)
    costs = costs_of(layer, 0)
    found = layer.quantized(0, 0.4, 1, 1)
    for r, j in itertools.product(range(4), range(140)):
        missed = layer.targets[r, :j] - found[r, :j] * layer.steps[:j]
        x = (layer.targets[r, j] + missed @ layer.feed[:j, j]) / layer.steps[j]
        near = int(np.rint(x))
        bills = {v: layer.heights[j] * (x - v) ** 2 + 0.4 * costs[layer.classes[j], abs(v)]
                 for v in (near, near - int(np.sign(near)), 0)}  # fmt: skip
        assert bills[int(found[r, j])] <= min(bills.values()) + 1e-9

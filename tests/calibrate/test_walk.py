"""The paths of the walk against one kept in lists, against every path there is, and against plain Viterbi."""

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from laconic.calibrate import layer as layers
from laconic.calibrate.factor import upper
from laconic.calibrate.layer import Layer, Order
from laconic.format.codes.scales import COLUMNS, ROWS, Scales
from laconic.format.coding.fitting import smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.ungerboeck import feedback, next_state
from laconic.quantize.lattice.viterbi import paths


def columns(
    rows: int,
    n: int,
    seed: int = 0,
    *,
    diagonal: bool = False,
    coarse: float = 0.7,
    mixed: bool = False,
    groups: int = 1,
    across: bool = False,
) -> Layer:
    """A layer of two or more classes and with steps of two widths.

    Mixed, rows have classes of their own, too; across, what errors in them cost depends on those of other rows.
    """
    rng = np.random.default_rng(seed)
    steps = np.where(np.arange(n) < n // 2, coarse, coarse / 2)
    feed, heights = [], []
    for _ in range(groups):
        inputs = rng.standard_normal((2 * n, n)) * np.exp(rng.standard_normal(n) / 2)
        root = upper(np.diag(rng.uniform(0.5, 2, n)) if diagonal else inputs.T @ inputs / (2 * n))
        feed.append(root / np.diag(root))
        heights.append((np.diag(root) * steps) ** 2)
    of_rows = rng.integers(0, 3, rows) if mixed else np.full(rows, 0)
    if mixed and across:
        of_rows = np.repeat(rng.integers(0, 3, rows // 2), 2)
    others = rng.standard_normal((rows, 2 * rows)) + rng.standard_normal(2 * rows)
    above = upper(others @ others.T / (2 * rows))
    between = (above / np.diag(above), np.diag(above) ** 2) if across else (np.zeros((0, 0)), np.ones(rows))
    symbols = np.concatenate([of_rows + 1 if mixed else [1], (np.arange(n) < n // 2).astype(np.int64)])
    scales = Scales((rows, n), ROWS | COLUMNS if mixed else COLUMNS, symbols.astype(np.int64), 128, turned=True)
    targets = rng.standard_normal((rows, n)) * 1.5
    of_groups = (np.arange(rows) * groups // max(rows, 1)).astype(np.int32)
    return Layer(targets, np.stack(feed), steps, np.stack(heights), of_groups, *between, Order.of(scales))


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


def slow(layer: Layer, costs: np.ndarray, nu: int, price: float, window: int) -> np.ndarray:
    """The walk with every path written out in full; what lies in another lane is that on its best path."""
    size, order = layer.targets.size, layer.order
    rows, columns, lanes = *order.places, order.lanes
    shown, there = np.zeros(layer.targets.shape, np.int64), np.zeros(layer.targets.shape, bool)
    turns = np.arange(size)
    alive = [[Path()] for _ in range(lanes)]
    for place in turns.reshape(-1, lanes).T.reshape(-1) if order.apart else turns:
        r, j, lane, best = rows[place], columns[place], place % lanes, dict[int, Path]()
        feed, own = layer.feed[layer.groups[r]], np.arange(lane, place, lanes)
        for path in alive[lane]:
            levels = shown.copy()
            levels[rows[own], columns[own]] = path.levels
            missed = np.where(there, layer.targets - levels * layer.steps, 0)
            x = layer.targets[r, j] + missed[r, :j] @ feed[:j, j]
            if len(layer.across):
                x += layer.across[:r, r] @ np.where(there[:r, j], missed[:r, : j + 1] @ feed[: j + 1, j], 0)
            x, row = x / layer.steps[j], costs[order.classes[place]]
            height = layer.heights[layer.groups[r], j] * layer.lifts[r]
            for subset in (path.state & 1, 2 + (path.state & 1)):
                bills = [(height * (x - v) ** 2 + price * row[abs(v)], v) for v in candidates(x, subset)]
                bill, v = min(bills, key=lambda pair: pair[0])
                after = next_state(path.state, v, nu)
                if after not in best or path.cost + bill < best[after].cost:
                    best[after] = Path(after, path.cost + bill, [*path.levels, v])
        first = min(best.values(), key=lambda path: path.cost)
        settled = first.levels[: max(len(first.levels) + 1 - window, 0)]
        alive[lane] = [path for path in best.values() if path.levels[: len(settled)] == settled]
        there[r, j] = True
        for t, v in enumerate(first.levels):
            shown[rows[t * lanes + lane], columns[t * lanes + lane]] = v
    return shown


def costs_of(layer: Layer, nu: int) -> np.ndarray:
    """Code lengths of the integers next to the targets."""
    return smoothed_costs(layer.counts(layer.plain(), nu, 4))


def bill(layer: Layer, levels: np.ndarray, costs: np.ndarray, price: float) -> float:
    """What integers cost: error and rate."""
    missed = layer.targets - levels * layer.steps
    reached = missed @ layer.feed[0]  # column j: Σ_{i≤j} e_i G_ij
    if len(layer.across):
        reached = layer.across.T @ reached
    rate = costs[layer.order.classes, np.abs(layer.coded(levels))].sum()
    return float((layer.lifts[:, None] * layer.heights[0] / layer.steps**2 * reached**2).sum() + price * rate)


@pytest.mark.parametrize("nu", [2, 3, 6])
@pytest.mark.parametrize("window", [3, 17, 1000])
@pytest.mark.parametrize("rows", [1, 3, 4])
def test_against_paths_in_lists(nu, window, rows):
    layer = columns(rows, 40, nu, mixed=rows > 1, across=rows == 4)
    costs = costs_of(layer, nu)
    assert (layer.quantized(costs, nu, 0.3, window) == slow(layer, costs, nu, 0.3, window)).all()


def test_lanes_are_those_of_the_coder():
    layer = columns(2048, 16)
    assert lane_count(2048 * 16) == 8
    some = layer.quantized(costs_of(layer, 3), 3, 0.3, 8)
    for lane, own in enumerate(np.split(some, 8)):
        assert (layer.order.rows.reshape(8, -1)[lane] % 8 == lane).all()
        states = 0
        for v in own.T.reshape(-1).tolist():
            assert (v - states) % 2 == 0
            states = next_state(states, v, 3)


@pytest.mark.parametrize(("rows", "n", "lanes"), [(5, 40, 4), (7, 150, 3), (3, 30, 8), (12, 20, 8), (8, 40, 2)])
@pytest.mark.parametrize("window", [4, 30])
@pytest.mark.parametrize("how", [{}, {"mixed": True}])
def test_lanes_that_cross_the_rows_or_do_not(rows, n, lanes, window, how, monkeypatch):
    monkeypatch.setattr(layers, "lane_count", lambda _: lanes)
    layer = columns(rows, n, **how)
    costs = costs_of(layer, 3)
    assert (layer.quantized(costs, 3, 0.3, window) == slow(layer, costs, 3, 0.3, window)).all()


@pytest.mark.parametrize("nu", [0, 3])
@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("mixed", [False, True])
def test_rows_make_good_the_errors_of_those_before(nu, lanes, mixed, monkeypatch):
    monkeypatch.setattr(layers, "lane_count", lambda _: lanes)
    layer = columns(8, 30, nu, mixed=mixed, across=True)
    costs = costs_of(layer, nu)
    levels, alone = (one.quantized(costs, nu, 0.0, 20) for one in (layer, replace(layer, across=np.zeros((0, 0)))))
    assert bill(layer, levels, costs, 0.0) < 0.8 * bill(layer, alone, costs, 0.0)
    assert not nu or (levels == slow(layer, costs, nu, 0.0, 20)).all()


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("window", [3, 25])
def test_columns_that_come_out_of_order_still_pass_their_errors_on(lanes, window, monkeypatch):
    """As those of the lowest class do: the coder has them by their place in the tensor, whatever their scale."""
    monkeypatch.setattr(layers, "lane_count", lambda _: lanes)
    layer = columns(4, 40)
    turns = np.arange(40).reshape(-1, 4)[:, [2, 0, 3, 1]].reshape(-1)
    places = np.stack([np.tile(np.arange(4), 40), np.repeat(turns, 4)]).astype(np.int32)
    layer = replace(layer, order=replace(layer.order, places=places))
    costs = costs_of(layer, 3)
    assert (layer.quantized(costs, 3, 0.3, window) == slow(layer, costs, 3, 0.3, window)).all()


def test_groups_of_rows_have_inputs_of_their_own():
    layer = columns(6, 40, mixed=True, groups=3)
    costs = costs_of(layer, 3)
    assert (layer.quantized(costs, 3, 0.3, 20) == slow(layer, costs, 3, 0.3, 20)).all()


def test_without_a_trellis_each_column_has_the_errors_of_those_before():
    layer = columns(5, 30, mixed=True)
    levels, now = layer.quantized(costs_of(layer, 0), 0, 0.0, 1), layer.targets.copy()
    for j in range(30):
        assert (levels[:, j] == np.rint(now[:, j] / layer.steps[j])).all()
        now += np.outer(layer.targets[:, j] - levels[:, j] * layer.steps[j], np.triu(layer.feed[0], 1)[j])


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
                x = (layer.targets[0, j] + missed @ layer.feed[0, :j, j]) / layer.steps[j]
                levels[0, j] = candidates(x, 2 * (k & 1) + (state & 1))[k >> 1]
                state = next_state(state, int(levels[0, j]), 2)
            least = min(least, bill(layer, levels, costs, 0.3))
        assert bill(layer, layer.quantized(costs, 2, 0.3, 100), costs, 0.3) <= factor * least


def test_it_is_viterbi_where_inputs_are_not_correlated():
    layer = columns(5, 30, diagonal=True)
    costs = costs_of(layer, 3)
    values = np.ascontiguousarray((layer.targets / layer.steps).T).reshape(-1)
    found = np.zeros(len(values), np.int32)
    heights, classes = np.repeat(layer.heights[0], 5), layer.order.classes
    paths(values, heights, classes, 1.0, costs, 0.3, np.zeros(1), 3, *feedback(3), 1, found)
    plain = found.reshape(30, 5).T
    ours = layer.quantized(costs, 3, 0.3, 1000)
    assert bill(layer, ours, costs, 0.3) == pytest.approx(bill(layer, plain, costs, 0.3), rel=1e-5)


def test_without_a_trellis_each_integer_is_the_best_of_three():
    layer = columns(4, 70, mixed=True)
    costs = costs_of(layer, 0)
    levels = layer.quantized(costs, 0, 0.4, 1)
    for r, j, k in zip(*layer.order.places.tolist(), layer.order.classes.tolist(), strict=True):
        missed = layer.targets[r, :j] - levels[r, :j] * layer.steps[:j]
        x = (layer.targets[r, j] + missed @ layer.feed[0, :j, j]) / layer.steps[j]
        near = int(np.rint(x))
        tried = (near, near - int(np.sign(near)), 0)
        bills = {v: layer.heights[0, j] * (x - v) ** 2 + 0.4 * costs[k, abs(v)] for v in tried}
        assert bills[int(levels[r, j])] <= min(bills.values()) + 1e-9

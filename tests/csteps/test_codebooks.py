"""Learned codebooks beyond the plain one: in groups, from the starts of Deep Compression, at a price, quartic."""

import itertools

import numpy as np
import pytest
import torch
from cases import generator, heavy, importance, normal, quartic
from crossing import usually

from laconic import AdaptiveCodebook, Joint
from laconic.csteps.warm import distortion
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import CodebookCode, GroupedCode
from laconic.format.coding import entropy_bits
from laconic.plans.toml import parse_compression
from laconic.quantize.clustering import cluster, cluster_groups, grouped, lloyd_from, quartic_clusters
from laconic.quantize.clustering.prefix_sums import prefix_sums, sort
from laconic.quantize.clustering.priced import Member, choose, code_lengths, priced_clusters, settled
from laconic.quantize.clustering.starts import STARTS, starting_centres
from laconic.theory.metric import Diagonal, Quartic

# --- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_each_group_has_the_centres_that_it_has_alone(seed):
    rng = np.random.default_rng(seed)
    size, length, k = (int(rng.integers(1, top)) for top in (60, 14, 6))
    values = rng.normal(size=size) if seed % 2 else rng.integers(-3, 4, size) / 2
    h = rng.exponential(size=size) * (rng.random(size) > 0.3) if seed % 3 else None
    for row, at in zip(cluster_groups(values, h, k, length), range(0, size, length), strict=True):
        own = slice(at, at + length)
        alone = cluster(values[own], None if h is None else h[own], k)
        assert np.unique(row) == pytest.approx(alone, rel=1e-10, abs=1e-12)


def test_large_groups_are_solved_one_by_one_alike(monkeypatch):
    values, h = normal(3000).numpy(), torch.rand(3000, generator=generator(1)).numpy()
    together = cluster_groups(values, h, 4, 700)
    monkeypatch.setattr(grouped, "SMALL", 0)
    assert cluster_groups(values, h, 4, 700) == pytest.approx(together, rel=1e-6)


def test_groups_are_runs_of_weights_and_rows_are_rows():
    weights = {"w": torch.tensor([[1.0, 1, 2, 5], [7, 8, 8, 20]])}
    rows = AdaptiveCodebook(2, rows=True).project(weights)["w"]
    assert isinstance(rows, GroupedCode)
    assert rows.decompress().tolist() == pytest.approx(np.array([[4 / 3] * 3 + [5], [23 / 3] * 3 + [20]], np.float32))
    threes = AdaptiveCodebook(1, group=3).project(weights)["w"]
    assert threes.decompress().reshape(-1) == pytest.approx(np.repeat([4 / 3, 20 / 3, 14], [3, 3, 2]), rel=1e-6)


def test_more_codebooks_err_less_and_a_group_as_long_as_the_tensor_is_one_codebook():
    weights, metrics = {"w": heavy(40, 25)}, {"w": importance(normal(40, 25))}
    plain, rows, fives, all_ = (
        distortion(AdaptiveCodebook(3, **how).project(weights, metrics), weights, metrics)
        for how in ({}, {"rows": True}, {"group": 5}, {"group": 1000})
    )
    assert fives < rows < plain
    assert all_ == pytest.approx(plain, rel=1e-6)


def test_better_grouped_codes_are_kept_only_when_they_are_feasible():
    weights = {"w": normal(6, 8)}
    two = AdaptiveCodebook(2, group=8)
    for warm in (AdaptiveCodebook(3, group=8), AdaptiveCodebook(2, group=4)):
        last = warm.project(weights)
        assert distortion(last, weights) < distortion(two.project(weights, None, last), weights)


# --- starts ---------------------------------------------------------------------------------------------------------


def test_the_three_starts_by_hand():
    sums = prefix_sums(np.array([0.0, 1, 2, 3, 4, 5, 6, 100]), None)
    assert starting_centres("linear", sums, 3).tolist() == [0, 50, 100]
    assert starting_centres("density", sums, 4).tolist() == [0, 2, 4, 6]
    drawn = starting_centres("random", sums, 8, seed=3)
    assert drawn.tolist() == [0, 1, 2, 3, 4, 5, 6, 100]
    few = starting_centres("random", sums, 3, seed=3)
    assert set(few) < set(sums.values)
    assert len(set(few)) == 3


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("weighted", [False, True])
def test_lloyds_iteration_ends_where_the_slow_one_does(start, weighted):
    values, h = normal(300).numpy().astype(float), torch.rand(300, generator=generator(4)).double().numpy()
    h = h if weighted else None
    ones = np.ones(300) if h is None else h
    centres = starting_centres(start, prefix_sums(*sort(values, h)), 6, seed=1)
    for _ in range(300):
        z = np.abs(values[:, None] - centres).argmin(axis=1)
        centres = np.array([ones[z == k] @ values[z == k] / ones[z == k].sum() for k in range(6) if (z == k).any()])
    assert lloyd_from(start, values, h, 6, seed=1) == pytest.approx(centres, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("start", STARTS)
def test_no_start_beats_the_optimum(start):
    weights = {"w": heavy(2000)}
    best = distortion(AdaptiveCodebook(16).project(weights), weights)
    assert distortion(AdaptiveCodebook(16, start=start).project(weights), weights) > best


def test_random_starts_differ_by_seed_alone():
    weights = {"w": normal(500)}
    one, same, other = (AdaptiveCodebook(8, start="random", seed=s).project(weights)["w"] for s in (1, 1, 2))
    assert one.decompress().tolist() == same.decompress().tolist() != other.decompress().tolist()


# --- a price on bits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_values_take_the_entry_of_least_cost(weighted, seed):
    rng = np.random.default_rng(seed)
    values, entries = rng.normal(size=400), np.sort(rng.normal(size=7))
    costs = np.where(rng.random(7) < 0.2, np.inf, rng.exponential(size=7))
    costs[3] = 0.4
    h = rng.exponential(size=400) if weighted else np.ones(400)
    expected = (h[:, None] * np.square(values[:, None] - entries) + costs).argmin(axis=1)
    assert choose(Member(values, h if weighted else None), entries, costs).tolist() == expected.tolist()


def priced_objective(members, price, centres, lengths):
    """The objective after settling on given centres."""
    total = 0.0
    for member, bits in zip(members, lengths, strict=True):
        indices = settled(member, centres, price, bits)
        h = np.ones(len(indices)) if member.weights is None else member.weights
        total += float(h @ np.square(member.values - centres[indices]))
        total += price * entropy_bits(indices.astype("uint32"), len(centres))
    return total


def slow_descent(members, price, centres):
    """The alternation as it is written, with its objective at each round."""
    lengths, found = [np.zeros(len(centres)) for _ in members], []
    for _ in range(60):
        parts = []
        for member, bits in zip(members, lengths, strict=True):
            h = np.ones(len(member.values)) if member.weights is None else member.weights
            with np.errstate(invalid="ignore"):
                z = (h[:, None] * np.square(member.values[:, None] - centres) + price * bits).argmin(axis=1)
            parts.append((member.values, h, z))
        for k in range(len(centres)):
            mass = sum(h[z == k].sum() for _, h, z in parts)
            centres[k] = sum(h[z == k] @ v[z == k] for v, h, z in parts) / mass if mass else centres[k]
        lengths = [code_lengths(np.bincount(z, minlength=len(centres))) for *_, z in parts]
        error = sum(float(h @ np.square(v - centres[z])) for v, h, z in parts)
        found.append(error + price * sum(float(b[z].sum()) for b, (*_, z) in zip(lengths, parts, strict=True)))
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("price", [1e-3, 0.03, 0.3, 100])
def test_it_descends_like_the_slow_alternation(weighted, price):
    rng = np.random.default_rng(3)
    members = [
        Member(rng.normal(size=n) * s, rng.exponential(size=n) if weighted else None) for n, s in ((200, 1), (90, 0.3))
    ]
    start = np.linspace(-2, 2, 9)
    path = slow_descent(members, price, start.copy())
    assert (np.diff(path) <= 1e-9).all()
    centres, lengths = priced_clusters(members, price, start)
    assert priced_objective(members, price, centres, lengths) <= path[-1] * (1 + 1e-3)
    assert (len(centres) == 1) == (price == 100)


def test_a_price_buys_bits_with_error_and_drops_entries():
    weights = {"w": heavy(5000)}
    sizes, errors, entries = [], [], []
    for price in (0.0, 0.01, 0.1, 1.0):
        code = AdaptiveCodebook(32, price=price).project(weights)["w"]
        sizes.append(entropy_bits(code.indices.array, code.indices.alphabet))
        errors.append(distortion({"w": code}, weights))
        entries.append(len(code.codebook))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert entries[0] == 32 > entries[-1]


@pytest.mark.parametrize("metric", [None, Diagonal(torch.rand(4000, generator=generator(2)) + 0.1)])
def test_at_the_same_bits_it_errs_less_than_plain_k_means(metric):
    weights, metrics = {"w": normal(4000)}, {"w": metric} if metric else {}
    priced = AdaptiveCodebook(64, price=0.02).project(weights, metrics)
    bits = entropy_bits(priced["w"].indices.array, priced["w"].indices.alphabet)
    for k in range(2, 64):
        plain = AdaptiveCodebook(k).project(weights, metrics)
        if entropy_bits(plain["w"].indices.array, plain["w"].indices.alphabet) >= bits:
            break
    assert distortion(priced, weights, metrics) < distortion(plain, weights, metrics)


def test_the_price_is_scaled_and_only_the_price():
    assert AdaptiveCodebook(4, price=0.5).scaled(3) == AdaptiveCodebook(4, price=1.5)
    assert Joint(AdaptiveCodebook(4, price=0.5)).scaled(2) == Joint(AdaptiveCodebook(4, price=1.0))
    assert AdaptiveCodebook(4).scaled(3) == AdaptiveCodebook(4)


# --- the quartic error ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_one_centre_is_the_least_on_a_grid(seed):
    rng = np.random.default_rng(seed)
    values, g, h = rng.normal(size=20) * 3, rng.exponential(size=20) * (seed % 3 > 0), rng.exponential(size=20)
    found = quartic_clusters(values, g, h, np.array([float(values.mean())]))
    grid = np.linspace(values.min(), values.max(), 200_001)
    z = np.square(values[:, None] - grid[None, ::10])
    coarse = grid[::10][(g[:, None] * z + h[:, None] * z * z).sum(axis=0).argmin()]
    assert found[0] == pytest.approx(coarse, abs=2 * (grid[10] - grid[0]))


@pytest.mark.parametrize("seed", range(4))
def test_the_centre_is_the_real_root_of_algorithm_2(seed):
    rng = np.random.default_rng(seed)
    w, i, h = rng.normal(size=9), rng.exponential(size=9), rng.exponential(size=9)
    cubic = [4 * h.sum(), -12 * (h @ w), (12 * h * w**2 + 2 * i).sum(), -(4 * h * w**3 + 2 * i * w).sum()]
    real = [root.real for root in np.roots(cubic) if abs(root.imag) < 1e-9]
    assert quartic_clusters(w, i, h, np.array([0.0])) == pytest.approx(real, rel=1e-9)


@usually("seed", [0, 1], else_=range(2, 9))
def test_quartic_codebooks_are_no_worse_than_quadratic_ones_and_near_brute_force(seed):
    weights = {"w": heavy(7, seed=seed).double()}
    metrics = {"w": quartic(weights["w"], seed)}
    code = AdaptiveCodebook(2).project(weights, metrics)
    g, h = metrics["w"].quadratic.double().numpy(), metrics["w"].quartic.double().numpy()
    flat, least = weights["w"].numpy(), np.inf
    for z in map(np.array, itertools.product(range(2), repeat=7)):
        error = 0.0
        for k in range(2):
            own = z == k
            if own.any():
                c = quartic_clusters(flat[own], g[own], h[own], np.array([float(flat[own].mean())]))[0]
                apart = np.square(flat[own] - c)
                error += float((g[own] * apart + h[own] * apart**2).sum())
        least = min(least, error)
    assert least * (1 - 1e-9) <= distortion(code, weights, metrics)
    quadratic = AdaptiveCodebook(2).project(weights, {"w": Diagonal(metrics["w"].quadratic)})
    assert distortion(code, weights, metrics) <= distortion(quadratic, weights, metrics) * (1 + 1e-9)


def test_without_fourth_powers_it_is_the_quadratic_codebook():
    weights, g = {"w": heavy(300)}, torch.rand(300, generator=generator(1))
    one = AdaptiveCodebook(5).project(weights, {"w": Quartic(g, 0 * g)})["w"]
    assert one.decompress() == pytest.approx(AdaptiveCodebook(5).project(weights, {"w": Diagonal(g)})["w"].decompress())


# --- parameters -----------------------------------------------------------------------------------------------------


def test_quartic_goes_with_the_plain_codebook_alone():
    weights = {"w": normal(12)}
    for how in ({"group": 3}, {"start": "linear"}, {"price": 0.1}):
        with pytest.raises(UnsupportedMetric, match=r"w: .*Quartic"):
            AdaptiveCodebook(2, **how).project(weights, {"w": quartic(weights["w"])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"start": "best"}, "start"), ({"price": -1}, "price"), ({"price": float("nan")}, "price"),
     ({"group": -2}, "group"), ({"group": 2, "rows": True}, "rows"), ({"group": 2, "price": 0.1}, "at most one"),
     ({"start": "linear", "price": 0.1}, "at most one"), ({"start": "linear", "rows": True}, "at most one")],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(arguments, message):
    with pytest.raises(PlanError, match=message):
        AdaptiveCodebook(4, **arguments)


def test_plans_name_them():
    assert parse_compression({"codebook": 4, "group": 64}, "x") == AdaptiveCodebook(4, group=64)
    assert parse_compression({"kmeans": 16}, "x") == AdaptiveCodebook(16, start="linear")
    assert parse_compression({"kmeans": 16, "start": "random", "seed": 3}, "x") == AdaptiveCodebook(
        16, start="random", seed=3
    )
    assert parse_compression({"priced_codebook": 8, "price": 0.5}, "x") == AdaptiveCodebook(8, price=0.5)


def test_codebooks_of_groups_are_kept_by_kind():
    assert isinstance(AdaptiveCodebook(2, group=99).project({"w": normal(9)})["w"], GroupedCode)
    assert isinstance(AdaptiveCodebook(2).project({"w": normal(9)})["w"], CodebookCode)

"""The tables of levels: as bytes, as frequencies, as close to the counts as they are said to be, and in pairs."""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, getcontext
from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest
from crossing import usually
from hypothesis import assume, example, given
from hypothesis import strategies as st

from laconic.errors import FormatError
from laconic.format.coding import model as models
from laconic.format.coding.fitting import coded_bits, fitted
from laconic.format.coding.levels import SIZES, centre_of, raw_bits, size_of
from laconic.format.coding.model import MAX_COST, TOTAL, Model, Table, frequencies_of, parse_model, shaped, table_bits
from laconic.format.coding.pairs import ESCAPE, SIDE, paired

# --- bytes -----------------------------------------------------------------------------------------


def is_sound(table: Table, odd: bool) -> bool:
    try:
        frequencies_of(table.costs, odd=odd)
    except FormatError:
        return False
    return True


def told() -> st.SearchStrategy[Table]:
    costs = st.lists(st.integers(0, MAX_COST), max_size=SIZES)
    return costs.map(lambda found: Table(tuple(found) if len(found) > 1 else (0,) * len(found)))


def of_a_shape() -> st.SearchStrategy[Table]:
    shape = st.tuples(st.integers(0, MAX_COST), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
    return st.builds(
        lambda first, s, count: Table(shaped(first, s, count), s),
        st.integers(0, MAX_COST),
        shape,
        st.integers(2, SIZES),
    )


@st.composite
def any_model(draw: Callable) -> Model:
    nu, pairs = draw(st.sampled_from([(0, False), (0, True), (2, False), (3, False), (6, False)]))
    offsets = np.array(draw(st.lists(st.integers(-128, 127), max_size=15)), np.int8)
    parities = (False, True) if nu else (False,)
    tables = []
    for _ in range(draw(st.integers(1, 4))):
        tables.append(tuple(draw(st.one_of(told(), of_a_shape())) for _ in parities))
    assume(all(is_sound(t, odd) for own in tables for t, odd in zip(own, parities, strict=True)))
    return Model(nu, pairs, offsets, tuple(tables))


@given(any_model())
def test_a_model_comes_back_and_nothing_shorter_or_longer_does(model: Model):
    data = model.pack()
    back = parse_model(data)
    assert (back.nu, back.pairs, back.offsets.tolist()) == (model.nu, model.pairs, model.offsets.tolist())
    assert back.tables == model.tables
    assert back.pack() == data
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            parse_model(data[:cut])
    for more in (b"\0", b"\xff"):
        with pytest.raises(FormatError):
            parse_model(data + more)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_model_or_refused(data: bytes):
    try:
        model = parse_model(data)
    except FormatError:
        return
    again = parse_model(model.pack())
    assert [[t.costs for t in own] for own in again.tables] == [[t.costs for t in own] for own in model.tables]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x01\x00\x01\x00", "begins with 1"),
        (b"\x07\x00\x01\x00", "begins with 7"),
        (b"\x0b\x00\x01\x00", "begins with 11"),
        (b"\x10\x00\x01\x00", "begins with 16"),
        (b"\x00\x10" + bytes(20), "16 offsets"),
        (b"\x00\x00\x00\x00", "0 classes"),
        (b"\x00\x00\x81\x00", "129 classes"),
        (b"\x00\x00\x01\x81", "129 sizes"),
    ],
)
def test_what_no_model_has_is_refused(data: bytes, message: str):
    with pytest.raises(FormatError, match=message):
        parse_model(data)


@given(st.one_of(told(), of_a_shape()))
def test_the_bits_of_a_table_are_those_of_the_model(table: Table):
    assume(is_sound(table, False))
    assert len(Model(0, False, np.zeros(0, np.int8), ((table,),)).pack()) == 3 + -(-table_bits(table) // 8)


# --- frequencies -----------------------------------------------------------------------------------


def test_weights_are_powers_of_two_by_exact_arithmetic():
    getcontext().prec = 40
    root = Decimal(2).sqrt().sqrt().sqrt()  # the eighth root
    exact = [(Decimal(2**24) / root**k).quantize(Decimal(1), ROUND_HALF_UP) for k in range(8)]
    assert [int(weight) for weight in exact] == list(models._WEIGHTS)


def naive_frequencies(costs: list[int], odd: bool) -> list[int]:
    weights = [models._WEIGHTS[c % 8] // 2 ** (c // 8) for c in costs]
    whole = sum(weights) * 2 if odd else weights[0] + 2 * sum(weights[1:])
    shares = [max(1, floor(Fraction(TOTAL * w, whole) + Fraction(1, 2))) for w in weights[1:]]
    first = TOTAL // 2 - sum(shares) if odd else TOTAL - 2 * sum(shares)
    by_sign = [[first] if i == 0 and not odd else [f, f] for i, f in enumerate([first, *shares])]
    found = [f for each in by_sign for f in each]
    return found + [0] * (256 - len(found))


@given(st.one_of(told(), of_a_shape()), st.booleans())
def test_frequencies_are_as_the_format_says(table: Table, odd: bool):
    assume(is_sound(table, odd) and table.costs)
    found, count = frequencies_of(table.costs, odd=odd), len(table.costs)
    assert found.tolist() == naive_frequencies(list(table.costs), odd)
    assert found.sum() == TOTAL
    used = found[: 2 * count] if odd else found[: 2 * count - 1]
    assert (used > 0).all()
    assert not found[len(used) :].any()
    by_size = used if odd else used[1:]
    assert np.array_equal(by_size[::2], by_size[1::2])


def test_a_table_that_is_never_used_has_no_frequencies():
    assert not frequencies_of((), odd=False).any()
    assert frequencies_of((0,), odd=False)[:2].tolist() == [TOTAL, 0]
    assert frequencies_of((0,), odd=True)[:3].tolist() == [TOTAL // 2, TOTAL // 2, 0]


@given(st.integers(0, MAX_COST), st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1), st.integers(2, SIZES))
def test_a_shape_is_a_parabola_in_the_magnitude(c1: int, slope: int, curvature: int, count: int):
    costs = shaped(9, (c1, slope, curvature), count)
    assert costs[0] == 9
    for m in range(1, count):
        a, bits = Fraction(int(centre_of(np.array(m))), 2), int(raw_bits(np.array(m)))
        exact = c1 + Fraction(slope, 2**8) * (a - 1) + Fraction(curvature, 2**16) * (a - 1) ** 2 - 8 * bits
        assert costs[m] == min(max(floor(exact + Fraction(1, 2)), 0), MAX_COST)


# --- how good the tables are -----------------------------------------------------------------------


def noise(kind: str, spread: float, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.rint(spread * (rng.normal(size=n) if kind == "gaussian" else rng.laplace(size=n))).astype(np.int64)


def entropy(levels: np.ndarray) -> float:
    """Bits of all levels where both signs of a size and all magnitudes of it are alike."""
    m = np.abs(levels)
    counts = np.bincount(size_of(m), minlength=SIZES)
    used = counts[counts > 0]
    plain = -(used * np.log2(used / len(levels))).sum()
    return float(plain + (levels != 0).sum() + (counts * raw_bits(np.arange(SIZES))).sum())


@pytest.mark.parametrize("spread", [0.1, 0.3, 1.0, 4.0, 20.0, 200.0])
@pytest.mark.parametrize("kind", ["gaussian", "laplacian"])
@pytest.mark.parametrize("n", [3000, 100_000])
def test_fitted_tables_are_within_a_fiftieth_of_a_bit_of_the_entropy(kind: str, spread: float, n: int):
    levels = noise(kind, spread, n)
    counts = np.bincount(size_of(np.abs(levels)), minlength=SIZES)
    table = fitted(counts, odd=False)
    bits = coded_bits(table, counts, odd=False)
    assert entropy(levels) <= bits * (1 + 1e-9) + 1e-6
    assert bits <= entropy(levels) + 0.02 * n
    assert table_bits(table) <= 0.02 * n + 200


def test_the_costs_of_a_few_levels_of_many_sizes_are_told_by_a_parabola():
    counts = np.bincount(size_of(np.abs(noise("gaussian", 20.0, 300))), minlength=SIZES)
    table = fitted(counts, odd=False)
    assert table.shape is not None
    told = Table(table.costs)
    assert table_bits(table) < 0.7 * table_bits(told)
    assert coded_bits(table, counts, odd=False) <= entropy(noise("gaussian", 20.0, 300)) + 0.15 * 300


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_fitted_tables_are_no_longer_than_a_flat_one(odd: bool, seed: int):
    rng = np.random.default_rng(seed)
    last = int(rng.integers(2, SIZES))
    counts = np.zeros(SIZES, np.int64)
    counts[:last] = rng.geometric(10.0 ** -rng.uniform(1, 5), last) * (rng.random(last) < rng.uniform(0.3, 1))
    counts[last - 1] += 1
    table, n = fitted(counts, odd=odd), counts.sum()
    flat = 3 * last + n * np.log2(2 * last) + counts @ raw_bits(np.arange(SIZES))
    assert table_bits(table) + coded_bits(table, counts, odd=odd) <= flat + 0.02 * n + 32


@given(
    st.lists(st.sampled_from([0, 1, 50, 51, 10**6]), min_size=SIZES, max_size=SIZES),
    st.integers(0, SIZES),
    st.booleans(),
)
@example([50] * SIZES, 100, False)  # as many alike as round up
@example([50] * SIZES, 90, True)
@example([0, *[50] * 127], 100, False)
def test_every_size_that_occurs_has_a_frequency(counts: list[int], last: int, odd: bool):
    found = np.array(counts, np.int64)
    found[last:] = 0
    frequencies = frequencies_of(fitted(found, odd=odd).costs, odd=odd)
    assert (frequencies[2 * np.flatnonzero(found)] > 0).all()


# --- pairs -----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, MAX_COST), min_size=1, max_size=20))
def test_pairs_sum_up_and_have_a_frequency_where_both_of_them_do(costs: list[int]):
    assume(is_sound(Table(tuple(costs)), False))
    single = frequencies_of(costs, odd=False)
    found, near = paired(single), single[:SIDE]
    if not found.any():
        assert near.sum() < TOTAL * 127 / 128
        return
    assert found.sum() == TOTAL
    assert np.array_equal(found[: SIDE * SIDE] > 0, np.outer(near, near).reshape(-1) > 0)
    assert (found[SIDE * SIDE : ESCAPE] == 0).all()
    assert found[ESCAPE] >= 1


def naive_pairs(single: list[int]) -> list[int]:
    """Return the frequencies of pairs, by the text of the format."""
    whole, found = sum(single[:15]), [0] * 256
    if Fraction(whole, TOTAL) < Fraction(127, 128):
        return found
    for y1, y2 in product(range(15), range(15)):
        if single[y1] and single[y2]:
            found[15 * y1 + y2] = max(1, floor(Fraction(single[y1] * single[y2], TOTAL) + Fraction(1, 2)))
    found[255] = max(1, TOTAL - floor(Fraction(whole**2, TOTAL) + Fraction(1, 2)))
    while sum(found) != TOTAL:
        largest = found.index(max(found[:255]))
        found[largest] += TOTAL - sum(found) if sum(found) < TOTAL else -1
    return found


@given(st.lists(st.integers(0, 300), min_size=15, max_size=15), st.sampled_from([0, 1, 31, 32, 33, 500]))
def test_pairs_are_as_the_format_says(weights: list[int], far: int):
    assume(sum(weights))
    single = [weight * (TOTAL - far) // sum(weights) for weight in weights]
    single[single.index(max(single))] += TOTAL - far - sum(single)
    single += [far] + [0] * 240
    assert paired(np.array(single)).tolist() == naive_pairs(single)


@usually(
    "kind, bits", [("gaussian", 3.0), ("laplacian", 1.5)], else_=product(["gaussian", "laplacian"], [1.0, 2.0, 2.5])
)
def test_a_pair_costs_little_more_than_two_levels(kind: str, bits: float):
    n = 100_000
    low, high = 0.1, 8.0
    for _ in range(20):  # the spread of so many bits
        spread = (low + high) / 2
        low, high = (spread, high) if entropy(noise(kind, spread, n)) < bits * n else (low, spread)
    counts = np.bincount(size_of(np.abs(noise(kind, spread, n))), minlength=SIZES)
    single = frequencies_of(fitted(counts, odd=False).costs, odd=False)
    pairs = paired(single)
    p = np.repeat(counts / n, 2)[1:]  # of 0, 1, −1, …
    p[1:] /= 2
    used = p > 0
    one = -(p[used] * np.log2(single[:-1][used] / TOTAL)).sum()
    assert one == pytest.approx(bits, abs=0.05)
    assert pairs.any()
    both, within = np.outer(p[:SIDE], p[:SIDE]).reshape(-1), p[:SIDE].sum()
    occurs = both > 0
    two = -(both[occurs] * np.log2(pairs[: SIDE * SIDE][occurs] / TOTAL)).sum()
    two -= (1 - within**2) * np.log2(pairs[ESCAPE] / TOTAL)
    lengths = np.where(used, -np.log2(np.maximum(single[:-1], 1) / TOTAL), 0)
    alone = (p * lengths)[:SIDE].sum() / within
    far = (p * lengths)[SIDE:].sum()
    two += 2 * far + 2 * within * (1 - within) * alone  # an escape tells both, one of them near
    assert two / 2 <= one * 1.015

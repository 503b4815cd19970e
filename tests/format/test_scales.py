"""Classes of scale, the cosine transform, and when either is taken."""

import hashlib
import itertools
import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from crossing import crossed
from scipy import fft

from laconic.format.codes.cosine import LONGEST, basis, forward, inverse, transformable
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS, Scales, folded, symbol_counts, transposed
from laconic.format.coding.dtypes import dtype_of
from laconic.quantize.lattice import prepare

ALL = ROWS | COLUMNS | POSITIONS
SHAPES = [(), (0,), (7,), (1, 1), (0, 3), (3, 0), (6, 5), (1, 9), (4, 3, 2), (4, 3, 5, 2), (5, 1, 3, 3), (2, 0, 3, 3)]

# --- scales ----------------------------------------------------------------------------------------


def naive_classes(shape: tuple[int, ...], mode: int, symbols: np.ndarray, classes: int) -> list[int]:
    """The class of each weight: the symbol of its row less those of its column and position, held within."""
    rows, columns, positions = (
        (shape[0], shape[1], math.prod(shape[2:])) if len(shape) > 1 else (1, 1, math.prod(shape))
    )
    told = symbols.tolist()
    of_rows = [told.pop(0) for _ in range(rows)] if mode & ROWS else [told.pop(0)] * rows
    of_columns = [told.pop(0) for _ in range(columns)] if mode & COLUMNS else [0] * columns
    of_positions = [told.pop(0) for _ in range(positions)] if mode & POSITIONS else [0] * positions
    assert not told
    return [
        min(max(a - b - c, 0), classes - 1) for a, b, c in itertools.product(of_rows, of_columns, of_positions)
    ]  # fmt: skip


@crossed("shape, mode, classes, turned", SHAPES, range(ALL + 1), [1, 2, 5, 128], [False, True], times=3)
def test_weights_are_sorted_by_class_and_back(shape: tuple[int, ...], mode: int, classes: int, turned: bool):
    rng = np.random.default_rng(mode)
    symbols = rng.integers(0, 8, sum(symbol_counts(shape, mode)))
    scales, weights = Scales(shape, mode, symbols, classes, turned), rng.normal(size=math.prod(shape))
    expected = naive_classes(shape, mode, symbols, classes)
    assert scales.each().tolist() == expected
    rows, columns, positions = folded(shape)
    places = list(itertools.product(range(rows), range(columns), range(positions)))  # row-major
    order = sorted(  # stable
        range(len(expected)), key=lambda i: (expected[i], *(places[i][1:] if turned else places[i]))
    )
    ordered = scales.sorted(weights)
    assert ordered.tolist() == weights[order].tolist()
    assert scales.unsorted(ordered).tolist() == weights.tolist()
    small = dtype_of("bfloat16")
    assert scales.unsorted(ordered.astype(small)).tobytes() == weights.astype(small).tobytes()
    segments = scales.segments()
    assert np.repeat(segments.classes, np.diff(segments.borders)).tolist() == sorted(expected)
    assert segments.size == len(expected)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 7), (7, 1), (2, 3), (64, 65), (129, 200), (65, 2)])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "uint8"])
def test_strips_transpose(shape: tuple[int, int], dtype: str):
    matrix = np.random.default_rng(0).integers(0, 100, shape).astype(dtype_of(dtype))
    found = transposed(matrix)
    assert found.flags.c_contiguous
    assert found.dtype == matrix.dtype
    assert found.tolist() == matrix.T.tolist()


def test_a_tensor_is_rows_columns_and_positions():
    for shape in SHAPES:
        assert math.prod(folded(shape)) == math.prod(shape)
        for mode in range(ALL + 1):
            counts = symbol_counts(shape, mode)
            assert [counts[0] if mode & ROWS else 1, *counts[1:]] == [
                folded(shape)[0] if mode & ROWS else 1,
                folded(shape)[1] if mode & COLUMNS else 0,
                folded(shape)[2] if mode & POSITIONS else 0,
            ]


# --- the cosine transform --------------------------------------------------------------------------

KERNELS = [(2, 3, 3, 3), (4, 1, 5, 5), (3, 2, 1, 7), (2, 2, 32), (1, 1, 2, 3, 4), (0, 2, 3, 3)]


def test_the_basis_is_orthonormal():
    for length in range(1, LONGEST + 1):
        assert np.abs(basis(length) @ basis(length).T - np.eye(length)).max() < 1e-8


def cosine(x: Decimal) -> Decimal:
    """cos x by its series, |x| ≤ π."""
    total, term, n = Decimal(0), Decimal(1), 0
    while abs(term) > Decimal(10) ** -45:
        total += term
        n += 2
        term *= -x * x / (n * (n - 1))
    return total


def pi() -> Decimal:
    """π by Machin's formula."""

    def arctan_of_inverse(n: int) -> Decimal:
        total, power, k = Decimal(0), Decimal(1) / n, 0
        while power > Decimal(10) ** -48:
            total += (-1) ** k * power / (2 * k + 1)
            power, k = power / (n * n), k + 1
        return total

    return 16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)


def test_the_basis_is_the_same_integers_with_every_library_of_cosines():
    """By exact arithmetic, and no entry is so near a tie that an error of 1e-10 of one could round it the other way."""
    getcontext().prec = 50
    half_turn = pi()
    assert str(half_turn).startswith("3.14159265358979323846264338327950288419")
    for n in range(1, LONGEST + 1):
        cosines = [cosine(half_turn * j / (2 * n)) for j in range(2 * n + 1)]  # of the first half turn
        for k, x in itertools.product(range(n), range(n)):
            turn = (2 * x + 1) * k % (4 * n)
            value = cosines[min(turn, 4 * n - turn)] * (Decimal(1 + (k > 0)) / n).sqrt() * 2**30
            assert int(basis(n)[k, x] * 2**30) == int(value.to_integral_value())
            assert abs(abs(value - value.to_integral_value()) - Decimal("0.5")) > Decimal("1e-4")


@pytest.mark.parametrize("shape", KERNELS, ids=str)
def test_the_transform_is_scipys(shape: tuple[int, ...]):
    kernels = np.random.default_rng(0).normal(size=shape)
    axes = range(2, len(shape))
    if kernels.size:
        assert np.abs(forward(kernels) - fft.dctn(kernels, axes=axes, norm="ortho")).max() < 1e-7
        assert np.abs(inverse(kernels) - fft.idctn(kernels, axes=axes, norm="ortho")).max() < 1e-7
    assert np.allclose(inverse(forward(kernels)), kernels, atol=1e-7)
    assert forward(kernels).shape == inverse(kernels).shape == shape


def test_the_inverse_is_sums_in_the_order_of_the_frequency():
    """A triple loop in Python's floats, to the last bit: one axis after the other, from the first on."""
    coefficients = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 2)) * 10.0 ** np.arange(2)
    found = coefficients.tolist()
    for o, i in itertools.product(range(2), range(2)):
        kernel = {
            place: found[o][i][place[0]][place[1]][place[2]] for place in itertools.product(*map(range, (3, 4, 2)))
        }
        for axis, length in enumerate((3, 4, 2)):
            new = {}
            for place in kernel:
                total = 0.0
                for k in range(length):
                    source = (*place[:axis], k, *place[axis + 1 :])
                    total += kernel[source] * float(basis(length)[k, place[axis]])
                new[place] = total
            kernel = new
        for place, value in kernel.items():
            assert float(inverse(coefficients)[(o, i, *place)]).hex() == value.hex()


def test_the_inverse_gives_the_same_bits_everywhere():
    coefficients = (np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7) * 37 % 101 - 50).astype(np.float64)
    digest = hashlib.sha256(inverse(coefficients).astype("<f8").tobytes()).hexdigest()
    assert digest == "ab397bc75f525f202ae31b3bab39735a0a96e56850b3a5affd60a6358cc1be5c"


def test_zeros_are_positive_zeros():
    assert not np.signbit(inverse(np.full((1, 1, 3, 3), -0.0))).any()


def test_only_kernels_of_short_axes_are_transformed():
    assert all(map(transformable, [(1, 1, 2), (3, 2, 32, 32), (0, 1, 3), (2, 2, 1, 5)]))
    assert not any(map(transformable, [(), (5,), (3, 3), (2, 2, 1, 1), (2, 2, 33), (2, 2, 3, 40), (2, 2, 0)]))


# --- when they are taken ---------------------------------------------------------------------------


def smooth_kernels(seed: int = 0) -> np.ndarray:
    """Neighbouring weights are alike: a mean for each kernel, and a little noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(40, 30, 1, 1)) + 0.2 * rng.normal(size=(40, 30, 3, 3))


def test_the_transform_is_taken_where_it_pays_whatever_matters():
    smooth = smooth_kernels()
    peaked = np.random.default_rng(0).normal(size=(40, 30, 3, 3)) * np.eye(3)
    assert prepare("w", smooth, 0.1).transform == "cosine"
    assert np.array_equal(prepare("w", smooth, 0.1).load(), forward(smooth).reshape(-1))
    assert prepare("w", peaked, 0.1).transform == "none"
    assert np.array_equal(prepare("w", peaked, 0.1).load(), peaked.reshape(-1))
    assert prepare("w", smooth, 0.1, cosine=False).transform == "none"
    assert prepare("w", smooth, 0.1, importances=np.ones_like(smooth)).transform == "cosine"
    assert prepare("w", smooth[:, :, 0, 0], 0.1).transform == "none"


def test_axes_have_scales_where_their_variances_differ():
    rng = np.random.default_rng(0)
    even = rng.normal(size=(60, 50, 3, 3))
    rows, columns = (2.0 ** rng.uniform(-3, 3, n) for n in (60, 50))
    for mode, uneven in {
        0: even,
        ROWS: even * rows[:, None, None, None],
        ROWS | COLUMNS: even * rows[:, None, None, None] * columns[:, None, None],
        ROWS | POSITIONS: even * rows[:, None, None, None] * np.array([1, 0.1, 1]),
        ALL: even * rows[:, None, None, None] * columns[:, None, None] * np.array([1, 0.1, 1]),
    }.items():
        assert prepare("w", uneven, 0.01, cosine=False).mode == mode
        for allowed in (0, ROWS):
            assert prepare("w", uneven, 0.01, cosine=False, scales=allowed).mode == mode & allowed


@pytest.mark.parametrize("factor", [1e-200, 1e-30, 1.0, 1e30, 1e200])
def test_scales_are_the_spreads_of_the_axes_whatever_the_unit(factor: float):
    rng = np.random.default_rng(0)
    rows, columns = rng.uniform(-3, 3, 40), rng.uniform(-3, 3, 90)
    weights = rng.normal(size=(40, 90)) * 2.0 ** (rows[:, None] + columns) * factor
    found = prepare("w", weights, 0.01 * factor)
    assert found.mode == ROWS | COLUMNS
    told = found.row_scales[:, None] - found.deficits - math.log2(factor)
    assert np.abs(told - rows[:, None] - columns).max() < 0.7
    assert np.abs(told - rows[:, None] - columns).mean() < 0.2
    assert (found.deficits >= 0).all()
    symbols = found.symbols(found.row_scales.min())
    assert 0 <= symbols.min() <= symbols.max() <= 127


def test_zeros_and_nothing_are_of_the_smallest_scale():
    for array in (np.zeros((4, 5)), np.zeros((0, 3)), np.zeros(()), np.zeros((2, 3, 3, 3), np.float32)):
        source = prepare("w", array, 0.1)
        assert (source.mode, source.transform) == (0, "none")
        assert source.symbols(-100.0).tolist() == [0]

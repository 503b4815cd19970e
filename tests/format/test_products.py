"""Products of factors: both ways give the bits of the plain sum, in every view, shape and type."""

import math

import numpy as np
import pytest
from reference import lac, tensors

from laconic.compiled import COMPILED
from laconic.format.codes import VIEWS, CanonicalCode, DenseCode, LowRankCode, TuckerCode, products
from laconic.format.coding import FLOATS, dtype_of

AWKWARD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -2.2e-308, 1.7e308, -1e308, 1e-160, 1.0, -1.0, 1 / 3])
SHAPES = [
    (0, 3, 4),
    (3, 0, 4),
    (1, 1, 1),
    (5, 7, 3),
    (3, 8, 300),
    (300, 9, 3),
    (130, 17, 260),
    (1, 1, 40_000),
    (2, 40, 1),
]


@pytest.fixture(params=[True, False], ids=["compiled", "vectors"])
def way(request, monkeypatch):
    """Both ways to add terms up."""
    if request.param and not COMPILED:
        pytest.skip("no Numba")
    monkeypatch.setattr(products, "COMPILED", request.param)


def plain(left, right, dtype):
    """The product as the format says it: term by term, all elements at once."""
    total = np.zeros((left.shape[0], right.shape[1]))
    with np.errstate(all="ignore"):
        for k in range(left.shape[1]):
            total += left[:, k, None].astype(np.float64) * right[k].astype(np.float64)
        return lac.rounded(total, np.dtype(dtype_of(dtype)))


def same(found, expected):
    """Whether all bits are the same, but for those of a NaN, which no two processors agree about."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    numbers = ~np.isnan(expected.astype(np.float64))
    assert (np.isnan(found.astype(np.float64)) == ~numbers).all()
    assert np.ascontiguousarray(found[numbers]).tobytes() == np.ascontiguousarray(expected[numbers]).tobytes()


def factor(shape, rng, awkward=False, dtype=np.float64):
    numbers = rng.choice(AWKWARD, shape) if awkward else rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 4, shape)
    with np.errstate(over="ignore"):
        return numbers.astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("awkward", [False, True], ids=["random", "awkward"])
@pytest.mark.usefixtures("way")
def test_products_have_the_bits_of_the_plain_sum(dtype, awkward):
    rng = np.random.default_rng(0)
    for rows, rank, columns in SHAPES:
        left, right = factor((rows, rank), rng, awkward), factor((rank, columns), rng, awkward)
        out = np.empty((rows, columns), dtype_of(dtype))
        products.multiply(left, right, out)
        same(out, plain(left, right, dtype))


@pytest.mark.usefixtures("way")
def test_no_product_is_fused_with_its_sum():
    """A fused multiply-add would keep what the product's rounding loses."""
    tiny = 2.0**-30
    left, right = np.full((9, 2), 1 + tiny), np.full((2, 9), 1 - tiny)
    left[:, 1] = -1
    right[1] = 1
    out = np.empty((9, 9))
    products.multiply(left, right, out)
    assert not out.any()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("view", range(3))
@pytest.mark.usefixtures("way")
def test_low_rank_codes_against_the_reference(view, dtype):
    rng, shape = np.random.default_rng(view), (9, 8, 5, 4)
    rows = (9, 9 * 5, 9 * 4)[view]
    left = factor((rows, 7), rng, awkward=view == 2, dtype=np.float32)
    right = factor((7, math.prod(shape) // rows), rng, dtype=np.float16 if view else np.float64)
    code = LowRankCode(shape, dtype, VIEWS[view], DenseCode.of(left), DenseCode.of(right))
    with np.errstate(all="ignore"):
        expected = lac.low_rank(shape, dtype, [view], left, right).reshape(shape)
        same(code.decompress(), lac.rounded(expected, np.dtype(dtype_of(dtype))))


@pytest.mark.parametrize("shape", [(9, 8), (7, 300, 3), (300, 5, 2, 2), (1, 1, 500), (4, 3, 700)])
@pytest.mark.parametrize("few", [0, 1, 6])
@pytest.mark.usefixtures("way")
def test_tucker_and_canonical_codes_against_the_reference(shape, few, monkeypatch):
    rng = np.random.default_rng(few)
    for module in ("tucker", "canonical"):
        monkeypatch.setattr(f"laconic.format.codes.{module}._AT_ONCE", 1 << 9)  # many pieces
    left, core, right = (
        factor(s, rng, dtype=np.float32) for s in [(shape[0], few), (few, few + 1, *shape[2:]), (few + 1, shape[1])]
    )
    code = TuckerCode(shape, "float32", *(DenseCode.of(part) for part in (left, core, right)))
    with np.errstate(all="ignore"):
        same(code.decompress(), tensors.tucker(shape, "float32", (), left, core, right).reshape(shape).astype("f4"))
    factors = factor((sum(shape), few), rng, dtype=np.float32)
    code = CanonicalCode(shape, "float64", DenseCode.of(factors))
    same(code.decompress(), tensors.canonical(shape, "float64", (), factors))

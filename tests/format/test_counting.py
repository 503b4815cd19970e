"""Sizes of codes other than the file's: entropies, and bits as publications count them."""

from dataclasses import replace

import numpy as np
import pytest
from sample_codes import (
    added,
    canonical,
    codebook,
    dense,
    drawn,
    grouped,
    hashed,
    low_rank,
    sparse,
    tiles,
    tucker,
)

from laconic.format import container
from laconic.format.codes import (
    SparseCode,
    Symbols,
    Values,
)
from laconic.format.codes.counting import ideal_bits, published_bits
from laconic.format.codes.describe import describe


@pytest.mark.parametrize(("entries", "ratio"), [(2, 30.52), (4, 15.63), (8, 10.50), (16, 7.90), (32, 6.33), (64, 5.28)])
def test_published_ratios_of_lenet300(entries, ratio):
    """Carreira-Perpiñán & Idelbayev, arXiv:1707.04319: compression ratios of LeNet-300-100, one codebook a layer."""
    codes = {str(shape): codebook(shape, entries) for shape in [(784, 300), (300, 100), (100, 10)]}
    codes |= {str(size): dense((size,)) for size in (300, 100, 10)}
    assert 32 * 266610 / sum(published_bits(codes).values()) == pytest.approx(ratio, abs=0.005)


def test_published_bits_by_hand():
    book = Values(np.float32([1, 2, 3]))
    kept = sparse((6, 50), codebook)
    count = kept.values.size
    codes = {
        "a": codebook((10,), shared=book),
        "b": codebook((10,), seed=1, shared=book),
        "c": kept,
        "d": sparse((9,)),
        "e": low_rank((8, 6), 2, right=codebook),
        "f": dense((5,), "float16"),
        "g": grouped((30,), 8),
        "h": grouped((30,), 8, own=True, entries=4, scaled=False),
        "i": tiles((10, 6), (1, 6)),
        "j": tiles((10, 6), (1, 4), patterns=True),
        "k": added(codebook((10,), shared=book), dense((10,), "float64")),
        "l": tucker((8, 6, 3, 3), (2, 3)),
        "m": canonical((8, 6, 5), 4),
        "n": hashed((30,), 5, codebook),
        "o": drawn((30,), 4, 6),
    }
    codes["p"] = replace(codes["n"], key=3)
    mask = int(codes["d"].mask.array.sum())
    expected = [10 * 2 + 96, 20, count * (2 + 3 + 6) + 4 * 32, mask * (32 + 4), 16 * 32 + 12 * 2 + 128, 80]
    expected += [30 * 2 + 4 * 32, 30 * 2 + 16 * 32]
    filters, places = int(codes["i"].mask.array.sum()), codes["j"].values.size
    expected += [filters * (4 + 6 * 32), places * (2 + 32), 20 + 640, 32 * (16 + 54 + 18), 32 * 76]
    expected += [5 * 2 + 4 * 32, 8 * 6 + 32, 0]
    assert published_bits(codes) == dict(zip("abcdefghijklmnop", expected, strict=True))


def test_ideal_bits_is_below_the_file_and_near_it():
    code = sparse((400, 500), codebook, keep=0.05)
    ideal = ideal_bits(code)
    p = float(code.mask.array.mean())
    by_hand = -code.size * (p * np.log2(p) + (1 - p) * np.log2(1 - p)) + 2 * code.values.size + 128
    assert ideal == pytest.approx(by_hand, rel=0.001)
    assert ideal < container.bits({"w": code}) < 1.01 * ideal + 8 * 150


def test_descriptions():
    assert describe(grouped((30,), 8)) == "codebook 3, 4 scales"
    assert describe(grouped((30,), 8, own=True, scaled=False)) == "codebook 12"
    assert describe(added(codebook((5, 4)), low_rank((5, 4)))) == "sum of (codebook 4, low-rank 2 of (dense, dense))"
    assert describe(low_rank((8, 6), 2, left=codebook)) == "low-rank 2 of (codebook 4, dense)"
    assert describe(tiles((10, 6), (1, 6), codebook, keep=1)) == "tiles 100.0% of codebook 4"
    assert describe(tucker((8, 6, 3, 3), (2, 3))) == "Tucker 2 x 3 of (dense, dense, dense)"
    assert describe(canonical((8, 6, 5), 4, codebook)) == "canonical 4 of codebook 4"
    assert describe(hashed((30,), 5, codebook)) == "hashed 5 of codebook 4"
    assert describe(drawn((30,), 4)) == "drawn in 8 blocks"
    assert describe(SparseCode((20,), "float32", Symbols(np.arange(20) == 3, 2), codebook((1,), 16))) == (
        "sparse 5.0% of codebook 16"
    )

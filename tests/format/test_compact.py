"""Of codes of the same weights the compact: the same bits, never a larger file."""

import numpy as np
import pytest
from sample_codes import CASES

from laconic.format import container
from laconic.format.codes import CodebookCode, SparseCode, Symbols, Values
from laconic.format.compact import compact

CODES = {name: code for name, code in CASES.items() if name}


def pruned(size, keep, entries, seed=0, book=None, dtype="float32"):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < keep
    book = book or Values(rng.normal(size=entries).astype("float32"))
    indices = Symbols(rng.integers(0, len(book), int(mask.sum())), len(book))
    return SparseCode((size,), dtype, Symbols(mask, 2), CodebookCode((len(indices),), dtype, book, indices))


def same_weights(a, b):
    return list(a) == list(b) and all(a[n].decompress().tobytes() == b[n].decompress().tobytes() for n in a)


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("entries", [1, 3, 16, 300])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_stay_and_the_file_is_no_larger(keep, entries, dtype):
    codes = {"a": pruned(3000, keep, entries, dtype=dtype), "b": pruned(40, keep, entries, seed=1)}
    found = compact(codes)
    assert same_weights(found, codes)
    assert container.bits(found) <= container.bits(codes)
    assert same_weights(compact(found), found)


def test_both_ways_are_taken_where_each_is_smaller():
    kinds = {type(compact({"w": pruned(3000, keep, entries)})["w"]) for keep, entries in [(0.9, 3), (0.02, 300)]}
    assert kinds == {CodebookCode, SparseCode}


def test_a_shared_codebook_stays_shared():
    book = Values(np.float32([1, 2]))
    codes = {name: pruned(500, 0.4, 2, seed, book) for seed, name in enumerate("abc")}
    found = compact(codes)
    assert len({id(c.codebook if isinstance(c, CodebookCode) else c.values.codebook) for c in found.values()}) == 1
    assert same_weights(found, codes)


def test_every_code_keeps_its_weights():
    found = compact(CODES)
    assert same_weights(found, CODES)
    assert container.bits(found) <= container.bits(CODES)

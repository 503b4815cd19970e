"""Damaged files: any flipped bit and any cut is an error, and behind right checksums nothing but the one error."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from crossing import crossed, usually
from fuzz.check import check
from fuzz.repair import packed, repaired, unpacked
from sample_codes import (
    added,
    canonical,
    codebook,
    dense,
    drawn,
    grid,
    grouped,
    hashed,
    low_rank,
    sparse,
    tiles,
    tucker,
)

from laconic.errors import FormatError
from laconic.format import container
from laconic.format.codes import CanonicalCode, DenseCode, SparseCode, Symbols, TileSparseCode, shared
from laconic.format.codes.grid import TRANSFORMS

FILES = {
    "dense and shared": shared({
        **{f"block.{k}.bias": dense((3 + k,), seed=k) for k in range(4)},
        "steps": DenseCode.of(np.int64(3)),
        "half": dense((4, 2), "bfloat16"),
        "flags": dense((20,), "bool"),
    }),
    "codebook and sparse": {
        "a.weight": codebook((40, 5), 5),
        "b.weight": sparse((12, 9), codebook),
        "c.weight": sparse((30,)),
        "wide": codebook((40,), 6),
    },
    "grouped": {"a": grouped((9, 5), 5), "b": grouped((12, 3), 8, own=True, entries=2), "c": grouped((30,))},
    "tiles": {
        "filters": tiles((9, 5), (1, 5), codebook),
        "blocks": tiles((7, 8), (3, 3)),
        "four": tiles((4, 10), (1, 4), patterns=True),
    },
    "low rank": {
        "kernel": low_rank((4, 3, 2, 2), 2, "out.kh|in.kw", codebook, sparse),
        "matrix": low_rank((6, 5), 2),
    },
    "sums": {
        "two": added(codebook((9, 5)), sparse((9, 5))),
        "three": added(low_rank((6, 5)), dense((6, 5), "bfloat16"), codebook((6, 5), 2), dtype="float16"),
    },
    "tucker and canonical": {
        "kernel": tucker((4, 3, 2, 2), (2, 2), codebook),
        "sum": canonical((4, 3, 2), 2),
    },
    "hashed and drawn": {
        "hashed": hashed((9, 5), 6, codebook),
        "drawn": drawn((7, 5), 4),
        "both": hashed((6, 4), 9, lambda shape, seed: drawn(shape, 2)),
    },
}  # fmt: skip
DATA = {name: container.dumps(codes, {"net": "x"}, small=False) for name, codes in FILES.items()}
DATA |= {f"{name}, small": container.dumps(codes, {"net": "x"}) for name, codes in FILES.items()}
named = pytest.mark.parametrize("name", DATA)


@named
def test_the_files_are_small_and_sound(name):
    assert len(DATA[name]) < 700
    assert check(DATA[name]) == "sound"
    assert repaired(DATA[name]) == DATA[name]


@named
def test_every_cut_is_an_error(name):
    for length in range(len(DATA[name])):
        with pytest.raises(FormatError):
            container.loads(DATA[name][:length])


@named
def test_every_altered_byte_is_an_error(name):
    for place, byte in enumerate(DATA[name]):
        for other in {byte ^ 1 << place % 8, 0} - {byte}:
            altered = DATA[name][:place] + bytes([other]) + DATA[name][place + 1 :]
            with pytest.raises(FormatError):
                container.loads(altered)


def mutated(data, rng, start=32):
    """A few bytes set, inserted, removed or copied from elsewhere, after the header."""
    altered = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place, other = (int(x) for x in rng.integers(start, len(altered), 2))
        what = rng.integers(0, 6)
        if what < 3:
            altered[place] = int(rng.integers(0, 256) if what else rng.integers(0, 6))
        elif what == 3:
            altered[place:place] = rng.integers(0, 256, int(rng.integers(1, 10)), dtype=np.uint8).tobytes()
        elif what == 4:
            del altered[place : place + int(rng.integers(1, 10))]
        else:
            altered[place : place + 8] = altered[other : other + 8]
        if len(altered) < start + 32:
            break
    return bytes(altered)


def altered_inside(data, rng):
    """A file with a few bytes altered in its table or its blocks, and right checksums."""
    if data[8] != 3:
        return repaired(mutated(data, rng))
    table, blocks = unpacked(data)
    return packed(mutated(table, rng, 0), blocks) if rng.integers(0, 2) else packed(table, mutated(blocks, rng, 0))


@crossed("name, seed", DATA, range(3))
def test_behind_right_checksums_there_is_the_one_error_or_a_sound_file(name, seed):
    rng = np.random.default_rng(seed)
    seen = dict.fromkeys(("refused", "damaged", "sound"), 0)
    for _ in range(300):
        seen[check(altered_inside(DATA[name], rng))] += 1
    assert min(seen.values()) > 2, seen  # the parser, the decoders and whole files have all been reached


EMPTY = [(0, 1 << 26), (1 << 26, 0), (1 << 26, 0, 3, 3), (0, 1 << 26, 3, 3), (0, 3, 1 << 26), (1, 1 << 26, 0)]


@usually("shape", EMPTY[::2], else_=[(shape,) for shape in EMPTY[1::2]])
def test_an_empty_tensor_takes_no_memory_whatever_its_other_axes_are(shape):
    """An axis of any length may lie beside one of length 0: the file claims nothing, and nothing may be allocated."""
    nothing = dense((0,))
    codes = [
        replace(grid((0, 2)), shape=shape, mode=mode, transform=transform)
        for mode in range(8)
        for transform in TRANSFORMS
    ]
    codes += [SparseCode(shape, "float32", Symbols(np.zeros(0), 2), nothing)]
    codes += [TileSparseCode(shape, "float32", 1, 1, Symbols(np.zeros(0), 2), nothing)]
    codes += [replace(grouped((0,)), shape=shape), added(replace(nothing, shape=shape), replace(nothing, shape=shape))]
    codes += [replace(hashed((0,)), shape=shape), replace(drawn((0,), 1), shape=shape)]
    codes += [CanonicalCode(shape, "float32", replace(nothing, shape=(sum(shape), 0)))]
    tracemalloc.start()
    for code in codes:
        try:
            type(code).from_streams(shape, code.dtype, code.facts(), code.streams()).decompress()
        except FormatError:  # such as scale symbols that are not there
            continue
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20

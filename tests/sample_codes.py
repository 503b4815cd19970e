"""Codes of every kind, small and made of noise, and what it means that two are the same."""

from dataclasses import replace

import numpy as np

from laconic.format.codes import (
    DTYPES,
    VIEWS,
    CanonicalCode,
    CodebookCode,
    DenseCode,
    DrawnCode,
    GroupedCode,
    HashedCode,
    LowRankCode,
    PackedCode,
    SparseCode,
    SumCode,
    Symbols,
    TileSparseCode,
    TuckerCode,
    Values,
)
from laconic.format.codes.words import Words
from laconic.format.coding import FLOATS
from laconic.quantize.lattice import Quantizer, prepare

# --- codes to try ----------------------------------------------------------------------------------


def dense(shape, dtype="float32", seed=0):
    if dtype in FLOATS:
        return DenseCode.of(np.random.default_rng(seed).normal(size=shape).astype(dtype))
    return DenseCode.of(np.random.default_rng(seed).integers(0, 2, shape).astype(dtype))


def codebook(shape, entries=4, dtype="float32", seed=0, shared=None):
    rng = np.random.default_rng(seed)
    values = shared or Values(rng.normal(size=entries).astype("float32"))
    count = int(np.prod(shape))
    return CodebookCode(shape, dtype, values, Symbols(rng.integers(0, len(values), count), len(values)))


def sparse(shape, inner=dense, seed=0, keep=0.3):
    mask = np.random.default_rng(seed).random(int(np.prod(shape))) < keep
    return SparseCode(shape, "float32", Symbols(mask, 2), inner((int(mask.sum()),), seed=seed))


def tiles(shape, tile, inner=dense, seed=0, keep=0.3, patterns=False):
    rows, columns = (shape[0], int(np.prod(shape[1:]))) if shape else (1, 1)
    rng = np.random.default_rng(seed)
    counts = -(-rows // tile[0]), -(-columns // tile[1])
    if patterns:
        kept = rng.random((rows, columns)) < keep
        padded = np.zeros((counts[0] * tile[0], counts[1] * tile[1]), int)
        padded[:rows, :columns] = kept
        bits = (
            padded.reshape(counts[0], tile[0], counts[1], tile[1]).transpose(0, 2, 1, 3).reshape(-1, tile[0] * tile[1])
        )
        mask = Symbols(bits @ (1 << np.arange(bits.shape[1])), 1 << bits.shape[1])
    else:
        symbols = rng.random(counts) < keep
        kept = np.kron(symbols, np.ones(tile, bool))[:rows, :columns]
        mask = Symbols(symbols.reshape(-1), 2)
    return TileSparseCode(shape, "float32", *tile, mask, inner((int(kept.sum()),), seed=seed))


def low_rank(shape, rank=2, view=VIEWS[0], left=dense, right=dense, seed=0):
    rows, columns = shape[0], int(np.prod(shape[1:]))
    if view == VIEWS[1]:
        rows, columns = shape[0] * shape[2], shape[1] * shape[3]
    if view == VIEWS[2]:
        rows, columns = shape[0] * shape[3], shape[1] * shape[2]
    return LowRankCode(shape, "float32", view, left((rows, rank), seed=seed), right((rank, columns), seed=seed + 1))


def added(*terms, dtype="float32"):
    return SumCode(terms[0].shape, dtype, terms)


def tucker(shape, ranks, inner=dense, seed=0):
    parts = (shape[0], ranks[0]), (*ranks, *shape[2:]), (ranks[1], shape[1])
    return TuckerCode(shape, "float32", *(inner(part, seed=seed + k) for k, part in enumerate(parts)))


def canonical(shape, terms, inner=dense, seed=0):
    return CanonicalCode(shape, "float32", inner((sum(shape), terms), seed=seed))


def grid(shape, dtype="float32", spread=3.0, nu=0, transform="none", mode=0, step=0.01, seed=1):
    """Normal noise on a grid, as the lattice codes it."""
    weights = np.random.default_rng(seed).normal(0, spread * step, shape)
    cosine = transform == "cosine"
    source = prepare("w", weights, step / 4, cosine=cosine, scales=mode, dtype=dtype)
    quantizer = Quantizer([replace(source, transform=transform)], nu)
    return quantizer.again(quantizer.first(step), step).codes()["w"]


def turned(shape, dtype="float32", **how):
    """Columns of many scales on a grid that is coded column by column, with a step for each column and position."""
    wide = np.geomspace(0.3, 40, shape[1]).reshape(-1, *[1] * (len(shape) - 2)) if len(shape) > 1 else 3.0
    steps = Values(np.linspace(0.1, 1, int(np.prod(shape[1:] or shape))))
    return replace(grid(shape, dtype, spread=wide, **how), transform="turned", step=steps)


def finer(code):
    """The same levels, each row with a finer step."""
    own, rows = code.scales, np.random.default_rng(4).integers(0, 9, code.shape[0])
    scales = Symbols(np.concatenate([own.array, rows]), max(own.alphabet, 9))
    return replace(code, mode=code.mode | 8, scales=scales)


def grouped(shape, length=0, own=False, entries=3, scaled=True, dtype="float32", seed=0):
    """Noise in groups, with scales or codebooks of their own."""
    rng, count = np.random.default_rng(seed), int(np.prod(shape))
    groups = -(-count // length) if length else 1
    codebook = Values(rng.normal(size=entries * (groups if own else 1)).astype("float32"))
    scales = Values(rng.random(groups if scaled else 0).astype("float32"))
    return GroupedCode(shape, dtype, length, own, codebook, scales, Symbols(rng.integers(0, entries, count), entries))


def hashed(shape, groups=5, inner=dense, dtype="float32", key=7, seed=0):
    return HashedCode(shape, dtype, key, inner((groups,), seed=seed))


def drawn(shape, length=3, bits=6, dtype="float32", scale=1e-6, seed=0):
    """Blocks of a seed near the largest, with indices of noise."""
    blocks = -(-int(np.prod(shape)) // length)
    indices = Symbols(np.random.default_rng(seed).integers(0, 1 << bits, blocks), 1 << bits)
    return DrawnCode(shape, dtype, (1 << 32) - 1 - seed, length, Values(np.array([scale], "float32")), indices)


def packed(shape, bits=4, span=1, axis=0, order=0, turned=False, dtype="int32", seed=0):
    """Words full of noise."""
    words = Words(bits, span, axis, order, turned)
    lines, line = words.size(shape, 8 * np.dtype(dtype).itemsize)
    noise = np.random.default_rng(seed).integers(0, 1 << bits, lines * line)
    return PackedCode(shape, dtype, words, Symbols(noise, 1 << bits))


def cases():
    shared = Values(np.float32([-1, 0, 1]))
    yield from ((f"dense {dtype}", dense((3, 5), dtype)) for dtype in DTYPES)
    yield "0-d", dense(())
    yield "empty", dense((0, 4), "float64")
    yield "empty codebook", CodebookCode((0,), "float32", Values(np.float32([])), Symbols(np.zeros(0), 0))
    yield "NaN", DenseCode.of(np.uint32([0x7FC00001, 0xFFC12345, 0x7F800000, 0x80000000]).view(np.float32))
    yield "one entry", codebook((7,), 1)
    yield "half", codebook((9, 9), 17, "float16")
    yield "wide", codebook((4000,), 700)
    yield "very wide", codebook((300,), 70000)
    yield "shared a", codebook((20, 30), shared=shared)
    yield "shared b", codebook((5,), seed=1, shared=shared)
    yield "pruned", sparse((30, 40))
    yield "nothing kept", sparse((30,), keep=0)
    yield "all kept", sparse((30,), keep=1)
    yield "pruned and quantized", sparse((10, 10, 3, 3), codebook)
    yield "filters", tiles((12, 4, 3, 3), (1, 36))
    yield "channels", tiles((6, 8, 3, 3), (6, 9), codebook)
    yield "heads", tiles((12, 5), (4, 5))
    yield "ragged blocks", tiles((11, 13), (4, 5), keep=0.6)
    yield "two of four", tiles((7, 30), (1, 4), codebook, patterns=True)
    yield "patterns of blocks", tiles((7, 9), (3, 4), patterns=True)
    yield "tiles of nothing", tiles((0, 4), (1, 2))
    yield "a tile of one weight", tiles((), (1, 1), keep=1)
    yield "no tile kept", tiles((9, 9), (2, 2), keep=0)
    yield "grid", grid((30, 40))
    yield "grid of zeros", grid((50,), spread=1e-3)
    yield "grid of large levels", grid((60,), "bfloat16", spread=1e8)
    yield "grid with a trellis", grid((200, 200), "float64", nu=3)
    yield "grid of kernels", grid((8, 6, 3, 3), nu=6, transform="cosine", mode=7)
    yield "steps by rows", replace(grid((30, 7)), step=Values(np.linspace(0.1, 1, 30)))
    yield "grid by rows", grid((40, 30), "float16", mode=1)
    yield "empty grid", grid((0, 2))
    yield "turned grid", turned((40, 30), "float16", nu=3, mode=2)
    yield "turned kernels", turned((40, 8, 3, 2), "bfloat16", nu=6, mode=7)
    yield "turned, one step", replace(grid((50, 9), spread=np.geomspace(0.3, 40, 9), mode=3), transform="turned")
    yield "turned, finer rows", finer(turned((40, 8, 3), "float16", nu=3, mode=3))
    yield "turned, finer rows, one step", finer(replace(grid((50, 9), mode=1), transform="turned"))
    yield "turned vector", turned((9,), "float64")
    yield "empty turned grid", turned((0, 3))
    yield "pruned grid", sparse((30,), lambda shape, seed: grid(shape))
    yield "scaled", grouped((12, 7))
    yield "scaled groups", grouped((30, 40), 64, dtype="bfloat16")
    yield "codebooks of rows", grouped((6, 50), 50, own=True, scaled=False)
    yield "given, not scaled", grouped((30,), scaled=False, dtype="float64")
    yield "scaled codebooks", grouped((9, 9), 4, own=True, entries=2, dtype="float16")
    yield "empty groups", grouped((0, 4))
    yield "pruned and scaled", sparse((30, 4), grouped)
    yield "thin", low_rank((8, 6))
    yield "rank 0", low_rank((8, 6), 0)
    yield "kernel", low_rank((8, 6, 3, 3), 4, VIEWS[1], codebook, sparse)
    yield "sum", added(codebook((20, 6)), sparse((20, 6)))
    yield "sum of three", added(low_rank((8, 6)), sparse((8, 6), codebook), dense((8, 6), "float64"), dtype="bfloat16")
    yield "sum of sums", added(added(dense(()), dense((), seed=1)), dense((), "float16"))
    yield "empty sum", added(codebook((0, 3)), dense((0, 3)))
    yield "kernel by columns", low_rank((8, 6, 3, 2), 4, VIEWS[2])
    yield "tucker", tucker((8, 6, 3, 3), (3, 2))
    yield "tucker of codebooks", tucker((5, 4), (5, 4), codebook)
    yield "tucker of nothing", tucker((5, 4, 2), (0, 2))
    yield "empty tucker", tucker((0, 3, 2), (0, 1))
    yield "canonical", canonical((6, 5, 3, 2), 4)
    yield "canonical of codebooks", canonical((6, 5), 3, codebook)
    yield "no terms", canonical((3, 4, 2), 0)
    yield "empty canonical", canonical((0, 4), 0)
    yield "hashed", hashed((6, 5, 3), 8)
    yield "hashed by the last key", hashed((200,), 30, codebook, "bfloat16", key=(1 << 32) - 1)
    yield "hashed grid", hashed((12, 7), 20, lambda shape, seed: grid(shape))
    yield "hashed and drawn", hashed((9, 9), 20, lambda shape, seed: drawn(shape, 4))
    yield "hashed, one value", hashed((), 1)
    yield "hashed, nothing", hashed((0, 3), 0)
    yield "drawn", drawn((7, 5))
    yield "drawn one by one", drawn((4, 3, 2), 1, 20, "float16")
    yield "drawn at once", drawn((30,), 30, 1, "bfloat16")
    yield "drawn, one weight", drawn((), 1, dtype="float64")
    yield "drawn, nothing", drawn((0, 4), 1)
    yield "pruned and drawn", sparse((30, 4), lambda shape, seed: drawn(shape, 2))
    yield "packed down columns", packed((4, 6))
    yield "packed in three words", packed((6, 5), 3, 3)
    yield "packed, interleaved and turned", packed((5, 6), 4, 1, 1, 1, turned=True)
    yield "packed with bits to spare", packed((3, 4), 5, 1, 1, dtype="uint16")
    yield "packed bits", packed((2, 5), 1, 2, 0, 1, dtype="uint8")
    yield "packed wide", packed((3, 8), 11, 4, 1, 0, True, "int64")
    yield "nothing packed", packed((0, 4), 4, 2, 1)
    yield "", low_rank((4, 5), 2, left=lambda s, seed: low_rank(s, 1), right=lambda s, seed: sparse(s, codebook))


CASES = dict(cases())


def same_code(code, other):
    assert type(code) is type(other)
    if isinstance(code, Values | Symbols):
        assert code.array.dtype == other.array.dtype
        assert code.array.tobytes() == other.array.tobytes()
        return
    assert (code.shape, code.dtype, code.facts()) == (other.shape, other.dtype, other.facts())
    for a, b in zip(code.streams().values(), other.streams().values(), strict=True):
        same_code(a, b)
    assert code.decompress().tobytes() == other.decompress().tobytes()

"""What the golden files are made of: networks of codes of every kind, the same at every run."""

from dataclasses import replace
from pathlib import Path

import ml_dtypes  # noqa: F401
import numpy as np

from laconic.format.codes import (
    CanonicalCode,
    CodebookCode,
    DenseCode,
    DrawnCode,
    GridCode,
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
    shared,
)
from laconic.format.codes.grid import Grid
from laconic.format.codes.words import Words
from laconic.format.coding.model import Model, Table, shaped
from laconic.format.coding.ungerboeck import next_state

GOLDEN = Path(__file__).parent / "golden" / "v1"


def numbers(count, seed=1):
    """Pseudo-random integers below 2¹⁶ that need no library (a 31-bit linear congruential generator)."""
    out, state = [], seed
    for _ in range(count):
        state = (1103515245 * state + 12345) % (1 << 31)
        out.append(state >> 15)
    return np.array(out)


def skewed(count, alphabet, seed=1):
    """Symbols that crowd near 0."""
    return Symbols(numbers(count, seed) * numbers(count, seed + 1) % (1 << 32) * alphabet >> 32, alphabet)


def tiny():
    book = Values(np.float32([-0.5, 0.5]))
    return {"w": CodebookCode((2, 3), "float32", book, Symbols(np.array([0, 1, 1, 0, 1, 0]), 2))}


def nested():
    book = Values(np.float32([-1.5, 0.25, 3]))
    mask = Symbols(numbers(60) % 4 == 0, 2)
    kept = int(mask.array.sum())
    left = CodebookCode((4, 2), "float32", book, Symbols(numbers(8) % 3, 3))
    right = DenseCode.of((numbers(10).astype(np.float16) / 1000).reshape(2, 5))
    return {
        "conv.weight": SparseCode(
            (5, 3, 2, 2), "float16", mask, CodebookCode((kept,), "float16", book, skewed(kept, 3))
        ),
        "fc.weight": LowRankCode((4, 5), "bfloat16", "out|in.kh.kw", left, right),
        "kernel": LowRankCode((2, 5, 2, 1), "float64", "out.kh|in.kw", left, right),
        "flags": DenseCode.of(numbers(9) % 2 == 1),
        "steps": DenseCode.of(np.int64(-7)),
        "nan": DenseCode.of(np.uint32([0x7FC00001, 0x80000000]).view(np.float32)),
        "none": DenseCode.of(np.zeros((0, 3), np.uint8)),
    }


def methods():
    """Every method of coding: constant, packed, rANS of one and sixteen lanes, split, planes, pieces."""
    streams = {
        "constant": Symbols(np.full(40, 2), 3),
        "packed": Symbols(numbers(40) % 5, 5),
        "rans": skewed(900, 6),
        "lanes": skewed(66000, 16, 5),
        "split": Symbols(skewed(600, 40, 8).array * 28, 1100),
    }
    entries = {name: Values(np.arange(s.alphabet, dtype=np.int16)) for name, s in streams.items()}
    codes = {name: CodebookCode((len(s),), "int16", entries[name], s) for name, s in streams.items()}
    weights = (1 + numbers(700) / 65536).astype(np.float32)
    changing = np.concatenate([numbers(65536, 3) % 7, numbers(900, 5) % 7 + 100]).astype(np.uint8)
    return {
        **codes,
        "planes": DenseCode.of(weights * np.where(numbers(700, 9) % 2, 1, -1).astype(np.float32)),
        "pieces": DenseCode.of(changing),
    }


def network():
    """Names that share heads and tails, small tensors that share a stream, two that are tied."""
    own = {
        f"block.{k}.{part}.{name}": DenseCode.of((numbers(5 + k, k + 2) / 65536 - 0.5).astype(np.float32))
        for k in (1, 2, 10)
        for part in ("conv", "norm")
        for name in ("weight", "bias")
    }
    own |= {f"block.{k}.norm.steps": DenseCode.of(np.int64(k)) for k in (1, 2)}
    made = shared({**own, "größe.bias": DenseCode.of(np.float32(1)), "große.bias": DenseCode.of(np.float32(2))})
    return {**made, "tied": made["block.2.conv.weight"]}


def walk(count, lanes, nu, seed):
    """Small levels that are a path through the trellis of 2^nu states in each lane."""
    states, found = [0] * lanes, []
    for i, v in enumerate((numbers(count, seed) % 7 - 3).tolist()):
        v += (v ^ states[i % lanes]) & 1 if nu else 0
        states[i % lanes] = next_state(states[i % lanes], v, nu) if nu else 0
        found.append(v)
    return np.array(found)


def grids():
    """Levels with and without offsets, trellis, pairs, classes and transform; large ones; a shared step."""
    near, far = Table((0, 3, 12, 30)), Table(tuple(10 + min(3 * m, 100) for m in range(40)))
    curved = Table(shaped(5, (0, 1024, 40), 30), (0, 1024, 40))
    plain = Grid.of(0.0123, Model(0, False, np.int8([-20, 9, 127]), ((near,), (far,), (curved,))), numbers(90) % 3)
    paired = Grid.of(-3e-5, Model(0, True, np.int8([]), ((near,), (far,))), np.array([0, 1]))
    eight = Grid.of(0.5, Model(3, False, np.int8([3]), ((near, near), (Table(()), Table(())))), np.zeros(1, np.int64))
    wide = Grid.of(1.5, Model(6, False, np.int8([]), ((near, near),)), np.array([0]))
    any_size = Grid.of(0.1, Model(0, False, np.int8([]), ((Table((40,) * 128),),)), np.zeros(1, np.int64))
    large = np.where(numbers(50) % 5 == 0, numbers(50, 3) ** 2 - (1 << 30), numbers(50, 5) % 5 - 2)
    small = np.clip(walk(400, 1, 0, 9), -3, 3)
    return {
        "plain": GridCode.of((20, 20), "float32", small, plain, mode=0, start=89),
        "rows": GridCode.of((10, 40), "float16", small, plain, mode=1, start=2),
        "large": GridCode.of((50,), "float64", large, any_size),
        "kernels": GridCode.of((4, 4, 5, 5), "bfloat16", small, plain, transform="cosine", mode=7, start=20),
        "pairs": GridCode.of((401,), "float32", np.append(small, 3), paired),
        "pairs apart": GridCode.of((400,), "float32", small * 5, paired, start=1),
        "trellis": GridCode.of((400,), "float32", walk(400, 1, 3, 11), eight),
        "lanes": GridCode.of((200, 200), "float64", walk(40000, 8, 6, 13), wide),
        "empty": GridCode.of((0, 3), "float16", small[:0], plain),
    }


def turned():
    """Column by column: a trellis, classes of all axes; steps of columns, of columns and positions, of elements."""
    near, far = Table((0, 3, 12, 30)), Table(tuple(10 + min(3 * m, 100) for m in range(40)))
    model = Model(4, False, np.int8([3, -9]), ((near, near), (far, near), (near, far)))
    eight = Grid.of(0.25, model, numbers(60) % 4)
    plain = Grid.of(0.0123, Model(0, False, np.int8([-20, 9, 127]), ((near,), (far,))), np.arange(50) % 2)

    def steps(count):
        return Values((numbers(count, count) + 1) / 4096)

    small = np.clip(walk(400, 1, 0, 9), -3, 3)
    return {
        "kernels": GridCode.of_sorted((7, 5, 3, 2), "float32", walk(210, 1, 4, 3), eight, transform="turned", mode=7),
        "columns": GridCode.of((10, 40), "float16", small, replace(plain, step=steps(40)), transform="turned", mode=2),
        "square": GridCode.of((20, 20), "bfloat16", small, replace(plain, step=steps(20)), transform="turned", mode=1),
        "positions": GridCode.of_sorted(
            (6, 2, 5), "float64", walk(60, 1, 4, 5), replace(eight, step=steps(10)), transform="turned", mode=4, start=9
        ),
        "vector": GridCode.of((9,), "float32", small[:9], replace(plain, step=steps(9)), transform="turned"),
        "empty": GridCode.of((0, 3), "float32", small[:0], replace(plain, step=steps(3)), transform="turned"),
    }


def finer():
    """Column by column with finer steps of rows: beside one step, and beside steps of columns; classes of all axes."""
    near, far = Table((0, 3, 12, 30)), Table(tuple(10 + min(3 * m, 100) for m in range(40)))
    model = Model(4, False, np.int8([3, -9]), ((near, near), (far, near), (near, far)))
    shared = Grid.of(0.25, model, numbers(70) % 11)
    steps = replace(shared, step=Values((numbers(10, 10) + 1) / 4096))
    how = {"transform": "turned", "mode": 15}
    return {
        "kernels": GridCode.of_sorted((7, 5, 3, 2), "float32", walk(210, 1, 4, 3), shared, **how),
        "columns": GridCode.of_sorted((6, 2, 5), "bfloat16", walk(60, 1, 4, 5), steps, **how, start=40),
        "empty": GridCode.of_sorted((0, 3), "float32", walk(0, 1, 4, 5), shared, transform="turned", mode=8),
    }


def groups():
    """Scales, codebooks of their own, both, neither; a last group that is shorter; a shared codebook and scale."""
    book, scale = Values(np.float32([-1, 0, 0.25])), Values(np.float64([0.3]))
    own = Values(numbers(8).astype(np.float32) / 7)
    return {
        "scaled": GroupedCode((9, 5), "float32", 0, False, book, scale, Symbols(numbers(45) % 3, 3)),
        "shared": GroupedCode((7,), "float64", 0, False, book, scale, Symbols(numbers(7, 4) % 3, 3)),
        "rows": GroupedCode(
            (3, 4), "bfloat16", 4, False, book, Values(np.float16([0.1, 3, 7])), Symbols(numbers(12) % 3, 3)
        ),
        "own": GroupedCode((2, 19), "float16", 10, True, own, Values(np.float32([])), Symbols(numbers(38) % 2, 2)),
        "both": GroupedCode((38,), "float32", 10, True, own, Values(own.array[4:] / 3), Symbols(numbers(38) % 2, 2)),
        "neither": GroupedCode((5,), "float32", 0, False, book, Values(np.float32([])), Symbols(numbers(5) % 3, 3)),
        "empty": GroupedCode((0, 2), "float32", 0, False, book, scale, Symbols(numbers(0), 3)),
    }


def tiled():
    """Filters, channels, blocks that are cut off, patterns of 4 and of 12; values flat, shaped, quantized."""
    book = Values(np.float32([-1.5, 0.25, 3]))
    half = (numbers(200, 7) / 65536 - 0.5).astype(np.float32)
    filters = Symbols(np.array([1, 0, 0, 1, 0, 0]), 2)
    channels = Symbols(np.array([0, 1, 1]), 2)
    blocks = Symbols(np.array([1, 0, 0, 0, 0, 1]), 2)
    four = Symbols(np.array([3, 5, 1, 12, 0, 1]), 16)
    twelve = Symbols(np.array([0xFFF, 0x333, 0x00F, 0x003]), 4096)
    return {
        "conv.filters": TileSparseCode(
            (6, 2, 3, 3), "float32", 1, 18, filters, DenseCode.of(half[:36].reshape(2, 2, 3, 3))
        ),
        "conv.channels": TileSparseCode(
            (4, 3, 2, 1), "float32", 4, 2, channels, DenseCode.of(half[:16].reshape(4, 2, 2, 1))
        ),
        "fc.blocks": TileSparseCode(
            (5, 7), "bfloat16", 3, 3, blocks, CodebookCode((11,), "bfloat16", book, skewed(11, 3))
        ),
        "fc.four": TileSparseCode((2, 9), "float32", 1, 4, four, DenseCode.of(half[:8])),
        "fc.twelve": TileSparseCode((4, 6), "float32", 3, 4, twelve, DenseCode.of(half[:24])),
        "scalar": TileSparseCode((), "float32", 1, 1, Symbols(np.array([1]), 2), DenseCode.of(half[0])),
        "empty": TileSparseCode((0, 5), "float32", 1, 5, Symbols(np.zeros(0), 2), DenseCode.of(half[:0])),
    }


def sums():
    """Two parts to eight, of other types of floats than the tensor, nested, and what cancels."""
    book = Values(np.float32([-0.5, 0.5]))
    quantized = CodebookCode((5, 4), "float32", book, Symbols(numbers(20) % 2, 2))
    mask = Symbols(numbers(20, 3) % 5 == 0, 2)
    kept = int(mask.array.sum())
    sparse = SparseCode((5, 4), "float32", mask, DenseCode.of((numbers(kept, 5) / 65536).astype(np.float32)))
    factors = (DenseCode.of((numbers(size, size) / 32768 - 1).astype(np.float32)) for size in (10, 8))
    left, right = (replace(factor, shape=shape) for factor, shape in zip(factors, [(5, 2), (2, 4)], strict=True))
    thin = LowRankCode((5, 4), "float32", "out|in.kh.kw", left, right)
    eight = tuple(DenseCode.of(np.float64([1e16, -0.0, (-1) ** k * 10.0**-k])) for k in range(7))
    return {
        "corrected": SumCode((5, 4), "float32", (quantized, sparse)),
        "three": SumCode((5, 4), "bfloat16", (thin, sparse, quantized)),
        "nested": SumCode((5, 4), "float64", (SumCode((5, 4), "float16", (thin, quantized)), sparse)),
        "eight": SumCode((3,), "float32", (*eight, DenseCode.of(np.float64([-7e16, -0.0, 1.0])))),
        "none": SumCode((0,), "float16", (DenseCode.of(np.float32([])), DenseCode.of(np.float16([])))),
    }


def tensors():
    """The third view of kernels; Tucker and canonical codes, of factors that are dense and quantized."""
    book = Values(np.float32([-1.5, 0.25, 3]))
    half = (numbers(300, 11) / 65536 - 0.5).astype(np.float32)
    dense = {n: DenseCode.of(half[:n]) for n in (6, 8, 12, 16, 24, 30)}

    def shaped(n, *shape):
        return DenseCode.of(dense[n].decompress().reshape(shape))

    quantized = CodebookCode((10, 3), "float32", book, Symbols(numbers(30) % 3, 3))
    return {
        "view 2": LowRankCode((3, 2, 2, 4), "float32", "out.kw|in.kh", shaped(24, 12, 2), shaped(8, 2, 4)),
        "tucker": TuckerCode((4, 3, 2, 2), "float32", shaped(8, 4, 2), shaped(16, 2, 2, 2, 2), shaped(6, 2, 3)),
        "tucker matrix": TuckerCode((4, 3), "bfloat16", shaped(12, 4, 3), shaped(6, 3, 2), shaped(6, 2, 3)),
        "canonical": CanonicalCode((4, 3, 3), "float64", quantized),
        "canonical matrix": CanonicalCode((3, 7), "float16", quantized),
        "no terms": CanonicalCode((1, 2, 3), "float32", DenseCode.of(np.zeros((6, 0), np.float32))),
    }


def seeded():
    """What a hash and a seed give: values of several codes, blocks of one weight to all, the first key and the last."""
    book = Values(np.float32([-1.5, 0.25, 3]))
    values = DenseCode.of((numbers(12, 3) / 65536 - 0.5).astype(np.float32))
    scale = Values(np.float32([1.5e-6]))
    few = DrawnCode((50,), "float32", 5, 4, Values(np.float64([-1e-6])), Symbols(numbers(13) % 1024, 1024))
    return {
        "hashed": HashedCode((6, 5), "float32", 0, values),
        "hashed too": HashedCode((3, 4, 2), "bfloat16", (1 << 32) - 1, values),
        "hashed codebook": HashedCode((40,), "float64", 123456, CodebookCode((7,), "float32", book, skewed(7, 3))),
        "hashed and drawn": HashedCode((9, 20), "float32", 99, few),
        "none hashed": HashedCode((0, 5), "float16", 1, DenseCode.of(np.zeros(0, np.float32))),
        "drawn": DrawnCode((7, 5), "float32", 0, 3, scale, Symbols(numbers(12, 4) % 4096, 4096)),
        "drawn too": DrawnCode((2, 3, 4), "float16", (1 << 32) - 1, 1, scale, Symbols(numbers(24) % 2, 2)),
        "drawn at once": DrawnCode((33,), "bfloat16", 77, 33, scale, Symbols(np.array([1 << 19]), 1 << 20)),
        "none drawn": DrawnCode((0,), "float32", 3, 1, scale, Symbols(np.zeros(0), 0)),
    }


def ties():
    """Tensors of several codes with further names, in a row and apart; two that share all streams and are not tied."""
    book = Values(np.float32([-1.5, 0.25, 3]))
    mask = Symbols(numbers(24) % 4 == 0, 2)
    kept = int(mask.array.sum())
    step = Grid.of(0.0123, Model(0, False, np.int8([5]), ((Table((0, 3, 12, 30)),),)), np.zeros(1, np.int64))
    own = shared({
        "emb.weight": GridCode.of((20, 20), "float32", np.clip(walk(400, 1, 0, 9), -3, 3), step),
        "norm.weight": DenseCode.of((numbers(5) / 65536).astype(np.float32)),
        "norm.bias": DenseCode.of((numbers(5, 3) / 65536).astype(np.float32)),
        "sparse": SparseCode((4, 6), "float32", mask, CodebookCode((kept,), "float32", book, skewed(kept, 3))),
        "wide": CodebookCode((2, 6), "float32", book, Symbols(numbers(12) % 3, 3)),
    })  # fmt: skip
    tall = replace(own["wide"], shape=(6, 2))
    return {**own, "tall": tall, **{name: own[first] for name, first in TIES.items()}}


def kept():
    """Types that no weights have, which are kept as they are."""
    pairs = numbers(600).reshape(-1, 2) / 65536
    turns = (pairs[:, 0] + 1j * pairs[:, 1]).reshape(20, 15)
    eights = numbers(40, 3).astype(np.uint8)
    floats = {
        name: DenseCode.of(eights.view(name)) for name in ("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
    }
    return {"freqs_cis": DenseCode.of(turns.astype(np.complex64)), "turns": DenseCode.of(turns), **floats}


def rows():
    """Whole values of the two types that have them, planes, and rows of two scales: classes."""
    scales = np.where(np.arange(70) % 3, 1, 64)[:, None]
    weights = ((numbers(70 * 96, 3) - numbers(70 * 96, 5)) / 65536).reshape(70, 96) * scales
    flat = (numbers(5000, 7) + 1) / 65536
    eights = (skewed(4000, 16, 9).array.reshape(40, 100).astype(np.int8) * (1 + np.arange(40) % 2 * 7)[:, None]) % 127
    return {
        "bfloat16": DenseCode.of(weights.astype(np.float32).astype("bfloat16")),
        "float16": DenseCode.of((flat * flat).astype(np.float16)),
        "float32": DenseCode.of((weights[:60, :80] / 7).astype(np.float32)),
        "int8": DenseCode.of(eights.astype(np.int8)),
    }


def words():
    """The layouts of GPTQ, AWQ and compressed-tensors, and what none of them has."""

    def code(shape, dtype, *how, turned=False):
        layout = Words(*how, turned)
        lines, line = layout.size(shape, 8 * np.dtype(dtype).itemsize)
        integers = skewed(lines * line + 1, 1 << layout.bits)
        return PackedCode(shape, dtype, layout, Symbols(integers.array[1:], integers.alphabet))

    return {
        "gptq.qweight": code((6, 40), "int32", 4, 1, 0, 0),
        "gptq.qzeros": code((3, 5), "int32", 4, 1, 1, 0),
        "gptq.three": code((9, 8), "int32", 3, 3, 0, 0),
        "awq.qweight": code((32, 4), "int32", 4, 1, 1, 1, turned=True),
        "compressed.weight_packed": code((7, 9), "int32", 5, 1, 1, 0),
        "bytes": code((5, 6), "uint8", 2, 1, 0, 1),
        "long": code((4, 6), "int64", 13, 2, 1, 0, turned=True),
        "none": code((0, 4), "int32", 4, 1, 0, 0),
    }


TIES = {"head.weight": "emb.weight", "last.weight": "emb.weight", "after.bias": "norm.bias", "twin": "sparse"}

FILES = {
    "tiled": (tiled, {}),
    "tiny": (tiny, {"net": "toy"}),
    "nested": (nested, {}),
    "methods": (methods, {"a": "1", "b": "ü"}),
    "network": (network, {"net": "blocks"}),
    "grids": (grids, {}),
    "groups": (groups, {}),
    "sums": (sums, {}),
    "tensors": (tensors, {}),
    "ties": (ties, {"net": "language model"}),
    "kept": (kept, {}),
    "turned": (turned, {}),
    "finer": (finer, {}),
    "seeded": (seeded, {}),
    "rows": (rows, {}),
    "words": (words, {}),
}

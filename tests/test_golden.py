"""The file format is a contract: files written once, byte by byte, that every version reads and writes alike.

A golden file is never regenerated to make this pass: a change of bytes is a new format version.
"""

import math
from pathlib import Path

import numpy as np
import pytest

from laconic import container
from laconic.codes import DTYPES, CodebookCode, DenseCode, GridCode, LowRankCode, SparseCode, Symbols, Values, shared

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


def grids():
    """Levels with and without offsets and escapes, a step that two tensors share, several dtypes."""
    step, offsets = Values(np.float64([0.0123])), Values(np.int8([-20, 9, 127]))
    none, some = Values(np.int64([])), Values(np.int64([-1000, 5, 1 << 60, -(1 << 63), 7]))
    symbols = skewed(400, 9, 3)
    far = Symbols(np.where(np.arange(400) % 80 == 17, 9, symbols.array), 10)
    return {
        "plain": GridCode((20, 20), "float32", step, Values(np.int8([])), Symbols(symbols.array, 10), none),
        "moved": GridCode((400,), "bfloat16", step, offsets, Symbols(symbols.array, 10), none),
        "far": GridCode((4, 100), "float64", Values(np.float64([-3e-5])), offsets, far, some),
        "empty": GridCode((0, 3), "float16", step, offsets, Symbols(np.zeros(0), 2), none),
    }


FILES = {
    "tiny": (tiny, {"net": "toy"}),
    "nested": (nested, {}),
    "methods": (methods, {"a": "1", "b": "ü"}),
    "network": (network, {"net": "blocks"}),
    "grids": (grids, {}),
}

TINY = (
    "89 4c 41 43 0d 0a 1a 0a 01 00 00 00 2b 00 00 00 00 00 00 00 27 00 00 00 8e 68 af 4d c9 2a a0 63 "  # header
    "00 00 00 00 bf 00 00 00 3f "  # the codebook, plain
    "01 16 "  # the indices, packed
    "01 03 6e 65 74 03 74 6f 79 "  # net = toy
    "02 01 00 02 09 56 a6 f8 c2 00 02 06 02 ef 96 16 ac "  # two streams, one block each
    "01 00 00 01 77 01 00 02 02 03 00 01 02"  # w: tag 1, float32, 2 axes, 2 x 3, no facts, streams 0 and 1
)


@pytest.mark.parametrize("name", FILES)
def test_golden_files_are_written_alike(name):
    make, metadata = FILES[name]
    assert container.dumps(make(), metadata) == (GOLDEN / f"{name}.lac").read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_golden_files_are_read_alike(name):
    make, metadata = FILES[name]
    with container.open(GOLDEN / f"{name}.lac") as file:
        assert file.metadata == metadata
        assert list(file) == list(make())
        for key, code in make().items():
            assert file[key].dtype == code.dtype
            assert file[key].shape == code.shape
            assert file[key].tobytes() == code.decompress().tobytes()


def test_the_smallest_golden_file_in_full():
    data = (GOLDEN / "tiny.lac").read_bytes()
    assert data.hex(" ") == TINY
    assert container.loads(data).codes["w"].decompress().tolist() == [[-0.5, 0.5, 0.5], [-0.5, 0.5, -0.5]]


# --- a reader written from docs/format.md alone, in plain Python ---------------------------------------


class Bytes:
    """Bytes or bits, read one after the other."""

    def __init__(self, data):
        self.data, self.bit = data, 0

    def bits(self, width):
        value = sum((self.data[(self.bit + k) // 8] >> (self.bit + k) % 8 & 1) << k for k in range(width))
        self.bit += width
        return value

    def unsigned(self, width):
        return self.bits(8 * width)

    def align(self):
        while self.bit % 8:
            assert self.bits(1) == 0

    def varint(self):
        byte, shift, value = 128, 0, 0
        while byte >= 128:
            byte = self.unsigned(1)
            value |= byte % 128 << shift
            shift += 7
        return value

    def string(self):
        return bytes(self.unsigned(1) for _ in range(self.varint())).decode()

    def rest(self):
        return self.data[self.bit // 8 :]


def plain_rans(head, source, count, alphabet):
    n, lanes, table, symbol = (8, 10, 12, 14)[head >> 2], 8 * (count // 32768) or 1, [], -1
    while len(table) < 1 << n:  # a list of (symbol, frequency, slot - bias) for each slot
        symbol += 1
        while (length := source.bits(4)) in (0, 15):
            symbol += 1 if length == 0 else source.bits(8) + 4
        frequency = 1 << length - 1 | source.bits(length - 1)
        table += [(symbol, frequency, k) for k in range(frequency)]
    assert symbol < alphabet
    source.align()
    lengths = [source.varint() for _ in range((lanes + 7) // 8)]
    states, out = [source.unsigned(4) for _ in range(lanes)], []
    words = [Bytes(bytes(source.unsigned(1) for _ in range(2 * length))) for length in lengths]
    for i in range(count):
        symbol, frequency, k = table[states[i % lanes] % (1 << n)]
        x = frequency * (states[i % lanes] >> n) + k
        states[i % lanes] = x if x >= 1 << 16 else x << 16 | words[i % lanes // 8].unsigned(2)
        out.append(symbol)
    assert set(states) == {1 << 16}
    assert not any(group.rest() for group in [*words, source])
    return out


def plain_symbols(data, count, alphabet):
    source = Bytes(data)
    head = source.unsigned(1)
    if head & 3 == 0:
        return [source.varint()] * count
    if head & 3 == 1:
        return [source.bits((alphabet - 1).bit_length()) for _ in range(count)]
    if head & 3 == 2:
        return plain_rans(head, source, count, alphabet)
    shift = next(s for s in range(32) if (alphabet - 1) >> s < 1024)
    low = [source.bits(shift) for _ in range(count)]
    source.align()
    high = plain_symbols(source.rest(), count, ((alphabet - 1) >> shift) + 1)
    return [h << shift | s for h, s in zip(high, low, strict=True)]


def plain_values(data, count, dtype):
    if dtype == 6:
        return np.array(plain_symbols(data, count, 2), bool)
    kind = np.dtype(DTYPES[dtype])
    if data[0] == 2:
        source, pieces = Bytes(data[1:]), []
        for at in range(0, count, 65536):
            last = at + 65536 >= count
            piece = source.rest() if last else bytes(source.unsigned(1) for _ in range(source.varint()))
            pieces.append(plain_values(piece, min(65536, count - at), dtype))
        return np.concatenate(pieces)
    source, width = Bytes(data[1:]), kind.itemsize
    if data[0] == 0:
        return np.frombuffer(data[1:], f"<u{width}").view(kind)
    patterns = [0] * count
    for plane in reversed(range(width)):
        piece = bytes(source.unsigned(1) for _ in range(source.varint())) if plane else source.rest()
        patterns = [p << 8 | s for p, s in zip(patterns, plain_symbols(piece, count, 256), strict=True)]
    if dtype < 6:
        patterns = [p >> 1 | (p & 1) << 8 * width - 1 for p in patterns]
    return np.array(patterns, f"u{width}").view(kind)


class Streams(list):
    """Decoded streams, and the alphabets or dtypes of all."""

    alphabets = ()


def plain_streams(data, table):
    at, streams = 32, Streams()
    for _ in range(table.varint()):
        kind, argument, count = table.varint(), table.varint(), table.varint()
        length, _crc = (table.varint(), table.unsigned(4)) if count else (0, 0)
        assert count <= 1 << 20
        decode = plain_values if kind else plain_symbols
        streams.append(decode(data[at : at + length], count, argument) if count else [])
        streams.alphabets += (argument,)
        at += length
    return streams


def plain_product(left, right):
    product = np.zeros((len(left), right.shape[1]))
    for i in range(len(left)):
        for j in range(right.shape[1]):
            for k in range(len(right)):
                product[i, j] += float(left[i, k]) * float(right[k, j])
    return product


def plain_rounded(array, dtype):
    return (array.astype(np.float32) if dtype.name in DTYPES[3:6] else array).astype(dtype)


def plain_grid(step, offsets, symbols, alphabet, escapes):
    out, far = [], iter(escapes)
    for s in symbols:
        q = int(next(far)) if s == alphabet - 1 else (s + 1) // 2 if s % 2 else -s // 2
        o = int(offsets[min(abs(q), len(offsets)) - 1]) if q and len(offsets) else 0
        out.append((float(q) + (o if q > 0 else -o) / 256) * float(step[0]))
    return np.array(out)


def plain_record(table, streams):
    tag, dtype = table.varint(), np.dtype(DTYPES[table.varint()])
    shape = [table.varint() for _ in range(table.varint())]
    facts = [table.varint() for _ in range(table.varint())]

    def part():
        number = table.varint()
        return streams[number - 1] if number else plain_record(table, streams)

    if tag == 4:
        step, offsets, numbers = part(), part(), table.varint() - 1
        alphabet = streams.alphabets[numbers]
        return plain_rounded(plain_grid(step, offsets, streams[numbers], alphabet, part()), dtype).reshape(shape)
    first = part()
    if tag == 0:
        return np.array(first, dtype)[facts[0] : facts[0] + math.prod(shape)].reshape(shape)
    second = part()
    if tag == 1:
        return plain_rounded(np.array([first[k] for k in second]), dtype).reshape(shape)
    if tag == 2:
        kept = iter(second)
        return np.array([next(kept) if m else 0 for m in first]).astype(dtype).reshape(shape)
    product = plain_rounded(plain_product(first, second), dtype)
    if facts == [0]:
        return product.reshape(shape)
    out, in_, kh, kw = shape
    return product.reshape(out, kh, in_, kw).transpose(0, 2, 1, 3)


@pytest.mark.parametrize("name", FILES)
def test_the_format_page_alone_is_enough_to_read_the_files(name):
    data = (GOLDEN / f"{name}.lac").read_bytes()
    offset, length = int.from_bytes(data[12:20], "little"), int.from_bytes(data[20:24], "little")
    assert offset + length == len(data)
    table = Bytes(data[offset:])
    assert {table.string(): table.string() for _ in range(table.varint())} == FILES[name][1]
    streams = plain_streams(data, table)
    codes = FILES[name][0]()
    name = b""
    for _ in range(table.varint()):
        head, tail = table.varint(), table.varint()
        middle = bytes(table.unsigned(1) for _ in range(table.varint()))
        name = name[:head] + middle + name[len(name) - tail :]
        code = codes.pop(name.decode())
        assert plain_record(table, streams).tobytes() == code.decompress().tobytes()
    assert not codes
    assert not table.rest()


if __name__ == "__main__":  # writes the files that are missing, and no others
    for name, (make, metadata) in FILES.items():
        if not (GOLDEN / f"{name}.lac").exists():
            container.write(GOLDEN / f"{name}.lac", make(), metadata)

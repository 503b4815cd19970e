"""A reader of `.lac` files written from docs/format.md alone: slow, obvious, and sharing no line with laconic.

It reads sound files: it does not defend itself beyond checksums, and asserts that nothing is left over. At most 150
lines of code; what came later adds at most 30 a file (see `__init__.py`). `ml_dtypes` gives NumPy its small floats.
"""

import math
import zlib
from bisect import bisect
from itertools import cycle, islice

import ml_dtypes  # noqa: F401
import numpy as np

FLOATS = ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
DTYPES = [*FLOATS, *"bool uint8 int8 int16 int32 int64 uint16 uint32 uint64".split()]
DTYPES += "complex64 complex128 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu".split()

LATER, FORMS = {}, {}  # what came after the first files, by name; what makes version 1 of a file, by its own

# --- bits ------------------------------------------------------------------------------------------


class Bits:
    """Bytes read bit by bit, the lowest bit first; integers are then little-endian."""

    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def bits(self, width):
        """Return an unsigned integer of so many bits."""
        start, self.at = self.at, self.at + width
        assert self.at <= 8 * len(self.data)
        whole = int.from_bytes(self.data[start // 8 : (self.at + 7) // 8], "little")
        return whole >> start % 8 & (1 << width) - 1

    def take(self, length):
        """Return so many bytes."""
        return self.bits(8 * length).to_bytes(length, "little")

    def rest(self):
        """Return the bytes that are left, after the zeros that fill up the last one."""
        assert self.bits(-self.at % 8) == 0
        return self.take(len(self.data) - self.at // 8)

    def varint(self):
        """Return a LEB128 integer."""
        byte = self.bits(8)
        return byte if byte < 128 else byte - 128 + 128 * self.varint()

    def varints(self):
        """Return as many varints as one says."""
        return [self.varint() for _ in range(self.varint())]

    def string(self):
        """Return as many bytes as a varint says."""
        return self.take(self.varint())

    def pieces(self, number):
        """Return so many pieces, each but the last with its length before it."""
        return [self.string() for _ in range(number - 1)] + [self.rest()]


# --- blocks ----------------------------------------------------------------------------------------


def lanes(data, count, units):
    """Give for each unit the lane that is next, and what takes a symbol from it by the biases, closed by their total.

    k raw bits are a symbol whose biases are 0, 1, … 2^k.
    """
    source = Bits(data)
    lengths = [source.varint() for _ in range(0, count, 8)]
    states = [source.bits(32) for _ in range(count)]
    words = [Bits(source.take(2 * length)) for length in lengths]

    def symbol(biases):
        high, slot = divmod(states[lane], biases[-1])
        found = bisect(biases, slot) - 1
        x = (biases[found + 1] - biases[found]) * high + slot - biases[found]
        states[lane] = x if x >= 1 << 16 else x << 16 | words[lane // 8].bits(16)
        return found

    for lane in islice(cycle(range(count)), units):
        yield lane, symbol
    assert {*states, source.rest(), *(group.rest() for group in words)} <= {1 << 16, b""}


def frequency_table(source, total):
    """Return the biases of a block's symbols and their total."""
    biases = [0]
    while biases[-1] < total:
        b = source.bits(4)
        if b in (0, 15):
            biases += biases[-1:] * (source.bits(8) + 4 if b else 1)
        else:
            biases.append(biases[-1] + (1 << b - 1) + source.bits(b - 1))
    return biases


def symbols(data, count, alphabet):
    """Return the symbols of a block."""
    source, width = Bits(data), (alphabet - 1).bit_length()
    method, n, k = source.bits(2), (8, 10, 12, 14)[source.bits(2)], source.bits(4)
    if method == 2:
        biases = frequency_table(source, 1 << n)
        return [symbol(biases) for _, symbol in lanes(source.rest(), 1 << k + 2 if k else 1, count)]
    if method == 3 and alphabet <= 1024:
        return LATER["classes"](symbols, source, count, alphabet)
    if method == 3:
        s = width - 10
        low = [source.bits(s) for _ in range(count)]
        high = symbols(source.rest(), count, ((alphabet - 1) >> s) + 1)
        return [h << s | rest for h, rest in zip(high, low, strict=True)]
    found = [source.bits(width) for _ in range(count)] if method else [source.varint()] * count
    assert not source.rest()
    return found


def values(data, count, number):
    """Return the values of a block, their dtype by its number."""
    dtype, method, source = np.dtype(DTYPES[number]), data[0], Bits(data[1:])
    if dtype.name == "bool":
        return np.array(symbols(data, count, 2), bool)
    if dtype.kind == "c":
        real, imaginary = (values(part, count, number - 15) for part in Bits(data).pieces(2))
        return np.stack([real, imaginary], axis=1).view(dtype).reshape(count)
    if method == 0:
        return np.frombuffer(source.rest(), dtype)
    if method == 2:
        sizes = [min(count - at, 1 << 16) for at in range(0, count, 1 << 16)]
        pieces = zip(source.pieces(len(sizes)), sizes, strict=True)
        return np.concatenate([values(piece, size, number) for piece, size in pieces])
    if method == 3:
        patterns = symbols(source.rest(), count, 1 << 8 * dtype.itemsize)
    else:
        planes = [symbols(piece, count, 256) for piece in source.pieces(dtype.itemsize)]
        patterns = [int.from_bytes(column, "big") for column in zip(*planes, strict=True)]
    if dtype.name in FLOATS:
        patterns = [p >> 1 | (p & 1) << 8 * dtype.itemsize - 1 for p in patterns]
    return np.array(patterns, f"u{dtype.itemsize}").view(dtype)


# --- codes: each returns its tensor, which `record` rounds and reshapes ----------------------------


def dense(shape, dtype, facts, stored):
    """Values from a start on."""
    return stored[facts[0] : facts[0] + math.prod(shape)]


def codebook(shape, dtype, facts, entries, indices):
    """The entry of each index."""
    return entries[indices]


def sparse(shape, dtype, facts, mask, kept):
    """The next value where the mask is not 0."""
    kept = iter(kept)
    return np.array([next(kept) if m else 0 for m in mask], dtype)


def low_rank(shape, dtype, facts, left, right):
    """L R by a view, its terms added in order."""
    found = np.zeros((len(left), right.shape[1]))
    for k in range(len(right)):
        found += np.outer(left[:, k].astype(np.float64), right[k].astype(np.float64))
    if facts == [0]:
        return found
    out, in_, kh, kw = shape
    if facts == [2]:
        return found.reshape(out, kw, in_, kh).transpose(0, 2, 3, 1)
    return found.reshape(out, kh, in_, kw).transpose(0, 2, 1, 3)


CODES = {0: (dense, 1), 1: (codebook, 2), 2: (sparse, 2), 3: (low_rank, 2)}
"""By tag: a function of shape, dtype, facts and parts, and the number of parts or a function of the facts for it."""

# --- the file --------------------------------------------------------------------------------------


@np.errstate(over="ignore", invalid="ignore")
def rounded(array, dtype):
    """Return the array in this dtype, bfloat16 and 8-bit floats by way of float32."""
    twice = dtype.name in FLOATS[3:] and array.dtype != dtype
    return (array.astype(np.float32) if twice else array).astype(dtype)


def record(table, streams):
    """Return the tensor of the next record."""
    tag, dtype, shape, facts = table.varint(), np.dtype(DTYPES[table.varint()]), table.varints(), table.varints()
    code, number = CODES[tag]
    number = number(facts) if callable(number) else number
    parts = [streams[n - 1] if (n := table.varint()) else record(table, streams) for _ in range(number)]
    return rounded(code(shape, dtype, facts, *parts), dtype).reshape(shape)


def stream(table, blocks):
    """Return the next stream as one array; its blocks are those that come next."""
    kind, argument, count = table.varint(), table.varint(), table.varint()
    found = [np.zeros(0, DTYPES[argument] if kind else np.int64)]
    for at in range(0, count, 1 << 20):
        block = blocks.take(table.varint())
        assert zlib.crc32(block) == table.bits(32)
        found.append((values if kind else symbols)(block, min(count - at, 1 << 20), argument))
    return np.concatenate(found, dtype=found[0].dtype)


def table_of(data):
    """Return the table of a file, inflated in version 2."""
    stored = data[int.from_bytes(data[12:20], "little") :]
    return Bits(zlib.decompress(stored, -15) if data[8] == 2 else stored)


def read(data):
    """Return the metadata and the tensors, by name, of the bytes of a file."""
    data = FORMS.get(int.from_bytes(data[8:10], "little"), bytes)(data)
    head = Bits(data[:32])
    assert head.take(8) == b"\x89LAC\r\n\x1a\n"
    assert (head.bits(16), head.bits(16)) in [(1, 0), (2, 0)]
    offset, length, crc = head.bits(64), head.bits(32), head.bits(32)
    assert (offset + length, head.bits(32)) == (len(data), zlib.crc32(data[:28]))
    assert zlib.crc32(data[offset:]) == crc
    table, blocks, tensors, name = table_of(data), Bits(data[32:offset]), {}, b""
    metadata = {table.string().decode(): table.string().decode() for _ in range(table.varint())}
    streams = [stream(table, blocks) for _ in range(table.varint())]
    for _ in range(table.varint()):
        first, last = table.varint(), table.varint()
        name = name[:first] + table.string() + name[len(name) - last :]
        tensors[name.decode()] = record(table, streams)
    assert not table.rest() + blocks.rest()
    return metadata, tensors

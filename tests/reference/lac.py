"""A reader of `.lac` files written from docs/format.md alone: slow, obvious, and sharing no line with laconic.

It reads sound files; it does not defend itself beyond checksums. `ml_dtypes` gives NumPy bfloat16 and 8-bit floats.
"""

import math
import zlib

import ml_dtypes  # noqa: F401
import numpy as np

FLOATS = ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
DTYPES = [*FLOATS, *"bool uint8 int8 int16 int32 int64 uint16 uint32 uint64".split()]
CODES = {2: (0o5, 0o2), 3: (0o13, 0o04), 4: (0o23, 0o04), 5: (0o45, 0o10), 6: (0o103, 0o024)}


class Bytes:
    """Bytes or bits, read one after the other, the lowest bit first."""

    def __init__(self, data):
        self.data, self.bit = bytes(data), 0

    def bits(self, width):
        first, end = self.bit // 8, self.bit + width
        assert end <= 8 * len(self.data)
        value = int.from_bytes(self.data[first : (end + 7) // 8], "little") >> self.bit % 8 & (1 << width) - 1
        self.bit = end
        return value

    def unsigned(self, width):
        return self.bits(8 * width)

    def take(self, length):
        self.bit += 8 * length
        return self.data[self.bit // 8 - length : self.bit // 8]

    def align(self):
        assert self.bits(-self.bit % 8) == 0

    def varint(self):
        byte, shift, value = 128, 0, 0
        while byte >= 128:
            byte = self.unsigned(1)
            value |= byte % 128 << shift
            shift += 7
        return value

    def golomb(self, order=2):
        extra = 0
        while self.bits(1):
            extra += 1
        folded = (1 << extra + order) + self.bits(extra + order) - (1 << order)
        return (folded + 1) // 2 if folded % 2 else -folded // 2

    def rest(self):
        return self.take(len(self.data) - self.bit // 8)


class Lanes:
    """rANS: L states, and a sequence of words for every eight of them."""

    def __init__(self, source, count):
        self.count, self.turn = count, 0
        lengths = [source.varint() for _ in range((self.count + 7) // 8)]
        self.states = [source.unsigned(4) for _ in range(self.count)]
        self.words = [Bytes(source.take(2 * length)) for length in lengths]
        assert not source.rest()

    def move(self, x):
        self.states[self.lane] = x if x >= 1 << 16 else x << 16 | self.words[self.lane // 8].unsigned(2)

    @property
    def lane(self):
        return self.turn % self.count

    def symbol(self, slots, n):
        symbol, frequency, k = slots[self.states[self.lane] % (1 << n)]
        self.move(frequency * (self.states[self.lane] >> n) + k)
        return symbol

    def raw(self, width):
        value, have = 0, 0
        while have < width:
            some, x = min(width - have, 16), self.states[self.lane]
            value |= x % (1 << some) << have
            have += some
            self.move(x >> some)
        return value

    def finish(self):
        assert set(self.states) == {1 << 16}
        assert not any(group.rest() for group in self.words)


def slots_of(frequencies):
    return [(symbol, f, k) for symbol, f in enumerate(frequencies) for k in range(f)]


def rans(head, source, count, alphabet):
    n, width, frequencies = (8, 10, 12, 14)[head >> 2 & 3], head >> 4, []
    while sum(frequencies) < 1 << n:
        length = source.bits(4)
        if length in (0, 15):
            frequencies += [0] * (1 if length == 0 else source.bits(8) + 4)
        else:
            frequencies.append(1 << length - 1 | source.bits(length - 1))
    assert len(frequencies) <= alphabet
    source.align()
    lanes, slots, out = Lanes(source, 8 << width - 1 if width else 1), slots_of(frequencies), []
    for lanes.turn in range(count):
        out.append(lanes.symbol(slots, n))
    lanes.finish()
    return out


def symbols(data, count, alphabet):
    source = Bytes(data)
    head = source.unsigned(1)
    if head & 3 == 0:
        return [source.varint()] * count
    if head & 3 == 1:
        return [source.bits((alphabet - 1).bit_length()) for _ in range(count)]
    if head & 3 == 2:
        return rans(head, source, count, alphabet)
    shift = next(s for s in range(32) if (alphabet - 1) >> s < 1024)
    low = [source.bits(shift) for _ in range(count)]
    source.align()
    high = symbols(source.rest(), count, ((alphabet - 1) >> shift) + 1)
    return [h << shift | s for h, s in zip(high, low, strict=True)]


def values(data, count, dtype):
    if dtype == 6:
        return np.array(symbols(data, count, 2), bool)
    kind, source = np.dtype(DTYPES[dtype]), Bytes(data[1:])
    if data[0] == 0:
        return np.frombuffer(data[1:], f"<u{kind.itemsize}").view(kind)
    if data[0] == 2:
        sizes = [min(65536, count - at) for at in range(0, count, 65536)]
        pieces = [source.take(source.varint()) for _ in sizes[:-1]] + [source.rest()]
        return np.concatenate([values(piece, size, dtype) for piece, size in zip(pieces, sizes, strict=True)])
    patterns = [0] * count
    for plane in reversed(range(kind.itemsize)):
        piece = source.take(source.varint()) if plane else source.rest()
        patterns = [p << 8 | s for p, s in zip(patterns, symbols(piece, count, 256), strict=True)]
    if dtype < 6:
        patterns = [p >> 1 | (p & 1) << 8 * kind.itemsize - 1 for p in patterns]
    return np.array(patterns, f"u{kind.itemsize}").view(kind)


def rounded(array, dtype):
    with np.errstate(over="ignore", invalid="ignore"):
        return (array.astype(np.float32) if dtype.name in DTYPES[3:6] else array).astype(dtype)


def product(left, right):
    out = np.zeros((len(left), right.shape[1]))
    for k in range(len(right)):
        out += np.multiply.outer(left[:, k].astype(np.float64), right[k].astype(np.float64))
    return out


def canonical(shape, factors):
    out = np.zeros(shape)
    for k in range(factors.shape[1]):
        rows, term = iter(factors[:, k]), np.ones(())
        for size in shape:
            term = np.multiply.outer(term, np.array([next(rows) for _ in range(size)]))
        out += term
    return out


def record(table, streams):
    """Return the tensor of the next record."""
    tag, dtype = table.varint(), np.dtype(DTYPES[table.varint()])
    shape = [table.varint() for _ in range(table.varint())]
    facts = [table.varint() for _ in range(table.varint())]
    number_of_parts = (1, 2, 2, 2, 4, 0, 0, 0, 3, 1)[tag]
    parts = [streams[n - 1] if (n := table.varint()) else record(table, streams) for _ in range(number_of_parts)]
    if tag == 0:
        return parts[0][facts[0] : facts[0] + math.prod(shape)].reshape(shape)
    if tag == 1:
        return rounded(np.array([parts[0][k] for k in parts[1]], parts[0].dtype), dtype).reshape(shape)
    if tag == 2:
        kept = iter(parts[1])
        return np.array([next(kept) if m else 0 for m in parts[0]], dtype).reshape(shape)
    if tag == 4:
        return rounded(grid(shape, facts, *parts), dtype)
    if tag == 8:
        left, core, right = parts
        middle = product(np.moveaxis(core, 1, -1).reshape(-1, core.shape[1]), right)
        middle = np.moveaxis(middle.reshape(len(core), *core.shape[2:], -1) if core.size else middle, -1, 1)
        return rounded(product(left, middle.reshape(left.shape[1], math.prod(shape[1:]))), dtype).reshape(shape)
    if tag == 9:
        return rounded(canonical(shape, parts[0].astype(np.float64)), dtype)
    found = rounded(product(*parts), dtype)
    if facts == [0]:
        return found.reshape(shape)
    out, in_, kh, kw = shape
    if facts == [2]:
        return found.reshape(out, kw, in_, kh).transpose(0, 2, 3, 1)
    return found.reshape(out, kh, in_, kw).transpose(0, 2, 1, 3)


def read(data):
    """Return the metadata and the tensors, by name, of the bytes of a file."""
    head = Bytes(data[:32])
    assert head.take(8) == b"\x89LAC\r\n\x1a\n"
    assert (head.unsigned(2), head.unsigned(2)) == (1, 0)
    offset, length, crc = head.unsigned(8), head.unsigned(4), head.unsigned(4)
    assert (offset + length, head.unsigned(4)) == (len(data), zlib.crc32(data[:28]))
    assert zlib.crc32(data[offset:]) == crc
    table, blocks, streams, tensors, name = Bytes(data[offset:]), Bytes(data[32:offset]), [], {}, b""
    metadata = {table.take(table.varint()).decode(): table.take(table.varint()).decode() for _ in range(table.varint())}
    for _ in range(table.varint()):
        kind, argument, count = table.varint(), table.varint(), table.varint()
        pieces = [np.zeros(0, DTYPES[argument] if kind else int)]
        for at in range(0, count, 1 << 20):
            block, crc = blocks.take(table.varint()), table.unsigned(4)
            assert zlib.crc32(block) == crc
            pieces.append((values if kind else symbols)(block, min(1 << 20, count - at), argument))
        streams.append(np.concatenate(pieces).astype(DTYPES[argument] if kind else int))
    for _ in range(table.varint()):
        first, last = table.varint(), table.varint()
        name = name[:first] + table.take(table.varint()) + name[len(name) - last :]
        tensors[name.decode()] = record(table, streams)
    assert not table.rest()
    return metadata, tensors


from reference.grid import grid  # noqa: E402

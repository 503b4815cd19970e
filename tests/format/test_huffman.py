"""Huffman codes: optimal against a tree from a heap, canonical, exact both ways, and hostile bytes."""

import heapq
import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laconic.errors import FormatError
from laconic.format.coding import entropy_bits, huffman, symbol_dtype, varint
from laconic.format.coding.frequencies import histogram
from laconic.format.coding.packing import pack_bits

relaxed = settings(suppress_health_check=[HealthCheck.too_slow])
counts_of = st.lists(st.one_of(st.integers(0, 3), st.integers(0, 10**6)), min_size=1, max_size=60)
FIBONACCI = [1, 1]
while len(FIBONACCI) < 45:
    FIBONACCI.append(FIBONACCI[-1] + FIBONACCI[-2])


def draw_symbols(alphabet, count, peak, seed):
    """Symbols that crowd near 0 (peak large) or spread evenly (peak 0)."""
    uniform = np.random.default_rng(seed).random(count)
    return np.minimum(uniform ** (1 + peak) * alphabet, alphabet - 1).astype(symbol_dtype(alphabet))


def kraft(lengths):
    return sum(2.0**-length for length in lengths if length)


# --- slow, obviously right twins ------------------------------------------------------------------


def heap_bits(counts):
    """Huffman's own construction: each merge of the two lightest trees adds a bit to all they hold."""
    heap = [count for count in counts if count]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


def brute_bits(counts, limit):
    """The best of all lengths that a prefix code can have."""
    used = [count for count in counts if count]
    return min(
        sum(count * length for count, length in zip(used, lengths, strict=True))
        for lengths in itertools.product(range(1, limit + 1), repeat=len(used))
        if kraft(lengths) <= 1
    )


def slow_codes(lengths):
    """RFC 1951, section 3.2.2: codes as strings of bits."""
    number, next_code, code = [0] * (max(lengths) + 1), {}, 0
    for length in lengths:
        number[length] += length > 0
    for bits in range(1, len(number)):
        code = (code + number[bits - 1]) * 2
        next_code[bits] = code
    codes = {}
    for symbol, length in enumerate(lengths):
        if length:
            codes[symbol] = format(next_code[length], f"0{length}b")
            next_code[length] += 1
    return codes


def slow_encode(symbols, alphabet):
    """The layout of the module's docstring, a bit at a time."""
    lengths = huffman.code_lengths(histogram(symbols, alphabet)).tolist()
    last, longest = int(max(symbols)), max(lengths)
    if not longest:
        return bytes([0]) + varint(last)
    width = longest.bit_length()
    table = "".join(format(length, f"0{width}b")[::-1] for length in lengths[: last + 1])
    table = b"".join(bytes([int(table[k : k + 8][::-1], 2)]) for k in range(0, len(table), 8))
    codes = slow_codes(lengths)
    bits = "".join(codes[symbol] for symbol in symbols.tolist())
    payload = bytes(int(bits[k : k + 8].ljust(8, "0"), 2) for k in range(0, len(bits), 8))
    return bytes([longest]) + varint(last) + table + payload


def slow_read(lengths, payload, count):
    """Take bits until they are a code."""
    symbols = {bits: symbol for symbol, bits in slow_codes(lengths).items()}
    out, word = [], ""
    for bit in "".join(format(byte, "08b") for byte in payload):
        word += bit
        if word in symbols and len(out) < count:
            out.append(symbols[word])
            word = ""
    return out


# --- the code -------------------------------------------------------------------------------------


@relaxed
@given(counts_of)
def test_the_code_is_optimal_and_complete_and_within_a_bit_of_entropy(counts):
    lengths = huffman.code_lengths(np.array(counts, np.int64))
    assert [length > 0 for length in lengths] == [count > 0 and len(np.flatnonzero(counts)) > 1 for count in counts]
    total = int(np.dot(counts, lengths))
    assert total == heap_bits(counts)
    if total:
        assert kraft(lengths) == 1
    entropy = -sum(c * math.log2(c / sum(counts)) for c in counts if c)
    assert entropy - 1e-6 * (1 + entropy) <= total <= entropy + sum(counts)
    assert total < entropy + sum(counts) or not total


@relaxed
@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), st.integers(3, 4))
def test_limited_codes_are_the_best_of_all(counts, limit):
    lengths = huffman.code_lengths(np.array(counts, np.int64), limit)
    assert lengths.max() <= limit
    if np.count_nonzero(counts) > 1:
        assert int(np.dot(counts, lengths)) == brute_bits(counts, limit)
        assert kraft(lengths) == 1


def test_the_limit_holds_where_the_tree_is_deeper():
    counts = np.array(FIBONACCI, np.int64)
    lengths = huffman.code_lengths(counts)
    assert lengths.max() == huffman.MAX_LENGTH
    assert kraft(lengths) == 1
    assert 1 < int(np.dot(counts, lengths)) / heap_bits(FIBONACCI) < 1.0001
    assert huffman.code_lengths(counts, 44).max() == 44
    assert huffman.code_lengths(np.ones(8, np.int64), 3).tolist() == [3] * 8


@relaxed
@given(counts_of)
def test_codes_are_canonical(counts):
    lengths = huffman.code_lengths(np.array(counts, np.int64))
    codes = huffman.canonical_codes(lengths)
    slow = slow_codes(lengths.tolist())
    assert {s: int(bits, 2) for s, bits in slow.items()} == {s: int(codes[s]) for s in np.flatnonzero(lengths)}
    words = [slow[s] for s in sorted(slow, key=lambda s: (lengths[s], s))]
    assert words == sorted(words)  # so that none begins another: neighbours would
    assert not any(b.startswith(a) for a, b in itertools.pairwise(words))


# --- streams --------------------------------------------------------------------------------------


@relaxed
@given(
    st.sampled_from([1, 2, 3, 17, 256, 257, 5000, 1 << 16]), st.integers(0, 400), st.floats(0, 8), st.integers(0, 99)
)
def test_streams_round_trip_and_the_kernels_agree_with_their_slow_twins(alphabet, count, peak, seed):
    symbols = draw_symbols(alphabet, count, peak, seed)
    data = huffman.encode(symbols, alphabet)
    found = huffman.decode(data, count, alphabet)
    assert found.dtype == symbol_dtype(alphabet)
    assert np.array_equal(found, symbols)
    if count:
        assert data == slow_encode(symbols, alphabet)
        lengths = huffman.code_lengths(histogram(symbols, alphabet)).tolist()
        payload = huffman.payload_bits(symbols, alphabet)
        assert (payload + 7) // 8 <= len(data)
        if payload:
            assert slow_read(lengths, data[-((payload + 7) // 8) :], count) == symbols.tolist()
            entropy = entropy_bits(symbols, alphabet)
            assert entropy * (1 - 1e-9) <= payload < entropy + count


def test_long_codes_go_past_the_table():
    lengths = np.array([*range(1, 33), 32])
    codes = slow_codes(lengths.tolist())
    for symbols in (np.arange(33)[::-1], np.repeat([32, 0, 31], 5), np.tile([11, 10, 12], 4)):
        bits = "".join(codes[s] for s in symbols.tolist())
        payload = bytes(int(bits[k : k + 8].ljust(8, "0"), 2) for k in range(0, len(bits), 8))
        data = bytes([32]) + varint(32) + pack_bits(lengths.astype(np.uint8), 6) + payload
        assert huffman.decode(data, len(symbols), 33).tolist() == symbols.tolist()


def test_deep_trees_round_trip():
    symbols = np.repeat(np.arange(22, dtype=np.uint8), FIBONACCI[:22])
    symbols = np.random.default_rng(0).permutation(symbols)
    data = huffman.encode(symbols, 22)
    assert data[0] == 21
    assert np.array_equal(huffman.decode(data, len(symbols), 22), symbols)


def test_nothing_and_one_symbol():
    assert huffman.encode(np.empty(0, np.uint8), 5) == b""
    assert huffman.decode(b"", 0, 5).tolist() == []
    assert huffman.decode(b"", 0, 0).tolist() == []
    assert huffman.encode(np.full(1000, 300, np.uint16), 500) == b"\x00\xac\x02"
    assert huffman.decode(b"\x00\xac\x02", 1000, 500).tolist() == [300] * 1000
    assert huffman.payload_bits(np.full(1000, 3, np.uint8), 4) == 0


# --- hostile bytes --------------------------------------------------------------------------------

GOOD = huffman.encode(np.uint8([0, 1, 0, 0, 2]), 3)


@pytest.mark.parametrize(
    ("data", "count", "alphabet"),
    [
        (GOOD, 5, 2),
        (GOOD, 4, 3),  # with ones where it should be filled up
        (GOOD, 60, 3),
        (GOOD, 5, (1 << 16) + 1),
        (GOOD, -1, 3),
        (GOOD, 5, 0),
        (GOOD, 1 << 31, 3),
        (GOOD[:-1], 5, 3),
        (GOOD + b"\0", 5, 3),
        (b"", 1, 3),
        (b"\0", 0, 3),
        (b"\0\1\0", 1, 3),
        (b"\0\3", 1, 3),
        (b"\x21\1\0\0", 1, 3),
        (bytes([2, 1]) + pack_bits(np.uint8([1, 2]), 2) + b"\0", 1, 3),  # a word that is no code
        (bytes([1, 2]) + pack_bits(np.uint8([1, 1, 1]), 1) + b"\0", 1, 3),  # more codes than words
        (bytes([2, 1]) + pack_bits(np.uint8([1, 1]), 2) + b"\0", 1, 3),  # no code as long as it says
        (bytes([1, 2]) + pack_bits(np.uint8([1, 1, 0]), 1) + b"\0", 1, 3),  # the last does not occur
        (bytes([1, 1]) + pack_bits(np.uint8([1, 1]), 1), 1, 3),
    ],
)
def test_bad_streams_are_format_errors(data, count, alphabet):
    assert huffman.decode(GOOD, 5, 3).tolist() == [0, 1, 0, 0, 2]
    with pytest.raises(FormatError):
        huffman.decode(data, count, alphabet)


def test_claims_are_bounded_before_anything_is_allocated():
    with pytest.raises(FormatError, match="1073741824 Huffman codes in 1 bytes"):
        huffman.decode(GOOD, 1 << 30, 3)


@relaxed
@given(st.data())
def test_damaged_streams_raise_format_errors_only(data):
    alphabet = data.draw(st.sampled_from([3, 40, 300]))
    good = bytearray(huffman.encode(draw_symbols(alphabet, 200, 4, data.draw(st.integers(0, 20))), alphabet))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    for hostile in (damaged, bytes(good), data.draw(st.binary(max_size=60))):
        try:
            found = huffman.decode(hostile, 200, alphabet)
        except FormatError:
            continue
        assert len(found) == 200
        assert found.max() < alphabet

"""The layout of Deep Compression: the paper's examples, exact round trips, its counts, and hostile bytes."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laconic import AdaptiveCodebook, KeepLargest
from laconic.errors import FormatError, WeightsError
from laconic.format import container
from laconic.format.codes import CodebookCode, DenseCode, SparseCode, Symbols, Values
from laconic.format.coding import Cursor, huffman, varint
from laconic.insight.deep_compression import CONVOLUTION, FULLY_CONNECTED, account, decode, encode

relaxed = settings(suppress_health_check=[HealthCheck.too_slow])


def sparse(shape, density, choices, seed=0):
    """Random survivors, random values of a random codebook."""
    rng = np.random.default_rng(seed)
    mask = (rng.random(int(np.prod(shape))) < density).astype(np.uint8)
    kept = int(mask.sum())
    codebook = Values(rng.standard_normal(choices).astype(np.float32))
    indices = Symbols(rng.integers(0, choices, kept) if kept else np.empty(0, np.uint8), choices)
    return SparseCode(shape, "float32", Symbols(mask, 2), CodebookCode((kept,), "float32", codebook, indices))


def at(places, size, codebook, indices):
    """Survivors at ``places``."""
    mask = np.zeros(size, np.uint8)
    mask[places] = 1
    values = CodebookCode((len(places),), "float32", Values(np.float32(codebook)), Symbols(np.array(indices), 3))
    return SparseCode((size,), "float32", Symbols(mask, 2), values)


def gaussian(choices):
    """A matrix of the shape of LeNet-300's first, 5 % kept."""
    weights = torch.randn(300, 784, generator=torch.Generator().manual_seed(0))
    code = KeepLargest(0.05, values=AdaptiveCodebook(choices)).project({"w": weights})["w"]
    assert isinstance(code, SparseCode)
    return code


def parsed(data):
    """The two streams of entries."""
    cursor = Cursor(data)
    bits, entries, choices = cursor.unsigned(1), cursor.varint(), cursor.varint()
    cursor.take(4 * choices)
    skips = huffman.decode(cursor.take(cursor.varint()), entries, 1 << bits)
    return skips.tolist(), huffman.decode(cursor.rest(), entries, choices + 1).tolist()


def same(a, b):
    left, right = a.decompress(), b.decompress()
    return left.shape == right.shape and left.dtype == right.dtype and left.tobytes() == right.tobytes()


# --- the paper ------------------------------------------------------------------------------------


def test_figure_2_a_gap_over_8_takes_a_filler_zero():
    """3.4, 0.9, 1.7 at 1, 4, 15: jumps 2 (from before place 0), 3, 8 to a zero at 12, 3. An index is a jump less 1."""
    code = at([1, 4, 15], 16, [0.9, 1.7, 3.4], [2, 0, 1])
    skips, symbols = parsed(encode(code, 3))
    assert skips == [1, 2, 7, 2]
    assert symbols == [2, 0, 3, 1]
    assert same(decode(encode(code, 3), (16,)), code)
    assert account(code, 3).fillers == 1
    assert account(code, 4).fillers == 0


@pytest.mark.parametrize(("jump", "fillers"), [(1, 0), (8, 0), (9, 1), (16, 1), (17, 2)])
def test_an_index_of_3_bits_jumps_8_at_most(jump, fillers):
    code = at([0, jump], 20, [1, 2, 3], [0, 1])
    assert account(code, 3).fillers == fillers
    assert same(decode(encode(code, 3), (20,)), code)


def test_the_example_of_16_weights_is_3_2_times_smaller():
    code = sparse((4, 4), 2, 4)
    counted = account(code, 0)
    assert counted.quantized == 16 * 2 + 4 * 32
    assert counted.quantized_ratio == 3.2


def test_the_table_of_lenet_300():
    """Table 2, ip1: 235 K weights, 8 % kept, 6 and 5 bits: 3.1 % after P+Q. Random places, 8.4 % kept."""
    counted = account(sparse((300, 784), 0.084, 63), FULLY_CONNECTED)
    assert counted.values == 6 * counted.entries
    assert counted.indices == 5 * counted.entries
    assert 1.04 < counted.entries / counted.kept < 1.08
    assert 100 / counted.quantized_ratio == pytest.approx(3.1, abs=0.05)


# --- round trips and counts -----------------------------------------------------------------------


@pytest.mark.parametrize("density", [0.0, 0.001, 0.01, 0.05, 0.3, 0.9, 1.1])
@pytest.mark.parametrize("index_bits", [0, 1, 3, FULLY_CONNECTED, CONVOLUTION, 16])
def test_round_trips_are_exact(density, index_bits):
    code = sparse((40, 50, 3), density, 15)
    found = decode(encode(code, index_bits), code.shape)
    assert same(found, code)
    assert np.array_equal(found.labels(), code.labels())


@relaxed
@given(st.integers(0, 60), st.floats(0, 1), st.integers(1, 300), st.integers(0, 9), st.integers(0, 99))
def test_any_sparse_tensor_round_trips(size, density, choices, index_bits, seed):
    code = sparse((size,), density, choices, seed)
    assert same(decode(encode(code, index_bits), (size,)), code)


@pytest.mark.parametrize("shape", [(0, 3), (), (1,)])
def test_small_tensors(shape):
    for density in (0, 2):
        code = sparse(shape, density, 1)
        assert same(decode(encode(code), shape), code)
        assert account(code).file == 8 * len(encode(code))
    assert account(sparse((0,), 0, 0)).coded_ratio == account(sparse((0,), 0, 0)).quantized_ratio == float("inf")


def test_signed_zeros_and_nan_keep_their_bits():
    code = at([0, 2, 3], 5, [-0.0, np.nan, -np.inf], [0, 1, 2])
    assert same(decode(encode(code), (5,)), code)


@pytest.mark.parametrize("choices", [15, 16])
def test_the_account_adds_up_and_laconics_own_file_is_smaller(choices):
    code = gaussian(choices)
    counted = account(code)
    assert counted.kept == 11760
    assert counted.values == counted.entries * (4 if choices == 15 else 5)  # a filler is one choice more
    assert counted.codebook == 32 * choices
    assert counted.coded < counted.quantized
    assert counted.coded_ratio > counted.quantized_ratio
    assert 0 <= counted.file - counted.coded < 8 * 64
    assert counted.file == 8 * len(encode(code))
    assert container.bits({"w": code}) < counted.file
    assert same(decode(encode(code), code.shape), code)


# --- what it cannot hold, and hostile bytes -------------------------------------------------------


def test_codes_of_other_kinds_are_refused():
    kept = SparseCode((2,), "float32", Symbols(np.array([0, 1]), 2), DenseCode.of(np.float32([1])))
    with pytest.raises(WeightsError, match="CodebookCode, not DenseCode"):
        encode(kept)
    half = CodebookCode((1,), "float16", Values(np.float32([1])), Symbols(np.array([0]), 1))
    with pytest.raises(WeightsError, match="float32, not float16"):
        account(SparseCode((1,), "float16", Symbols(np.array([1]), 2), half))
    with pytest.raises(WeightsError, match="too many"):
        encode(sparse((2,), 2, 1 << 16))
    for width in (-1, 17):
        with pytest.raises(WeightsError, match="0 to 16"):
            encode(sparse((2,), 2, 1), width)


def written(index_bits, skips, symbols, choices, entries=None):
    indices = huffman.encode(np.array(skips, np.uint8), 1 << index_bits)
    head = bytes([index_bits]) + varint(len(skips) if entries is None else entries) + varint(choices)
    values = huffman.encode(np.array(symbols, np.uint8), choices + 1)
    return head + bytes(4 * choices) + varint(len(indices)) + indices + values


@pytest.mark.parametrize(
    "data",
    [
        written(3, [7, 7], [0, 0], 1),  # past the end
        written(3, [0, 7], [0, 1], 1),  # ends with a filler
        written(3, [2, 0], [1, 0], 1),  # a filler without need
        written(3, [0], [0], 1, entries=17),
        b"\x11" + written(3, [0], [0], 1)[1:],  # an index of 17 bits
        written(3, [0], [0], 1)[:-1],
        written(3, [0], [0], 1) + b"\0",
        b"\3\0" + varint(1 << 16),
        b"\3\0" + varint(1 << 15) + b"\0",
        b"",
    ],
)
def test_bad_layouts_are_format_errors(data):
    assert decode(written(3, [7, 5], [1, 0], 1), (16,)).mask.array.nonzero()[0].tolist() == [13]
    with pytest.raises(FormatError):
        decode(data, (15,))


def test_claims_are_bounded_before_anything_is_allocated():
    with pytest.raises(FormatError, match="1073741824 entries"):
        decode(written(3, [0, 0], [0, 0], 1, entries=1 << 30), (15,))


@relaxed
@given(st.data())
def test_damaged_layouts_raise_format_errors_only(data):
    good = bytearray(encode(sparse((30, 20), 0.1, 7, data.draw(st.integers(0, 9))), 3))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    for hostile in (damaged, bytes(good), data.draw(st.binary(max_size=60))):
        try:
            found = decode(hostile, (30, 20))
        except FormatError:
            continue
        assert found.decompress().shape == (30, 20)

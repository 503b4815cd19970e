"""Runs of symbols that are alike, and whole words: the same back, shorter where rows differ, and hostile blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laconic.errors import FormatError
from laconic.format.codes import DenseCode
from laconic.format.coding import decode_symbols, decode_values, encode_symbols, encode_values
from laconic.format.coding.classes import SHORTEST, Runs, classes_of
from laconic.format.container.records import decode_stream, encode_blocks, measured, stream_entry


def two_kinds(rows, width, seed=0):
    """Symbols below 16: even rows crowd at 2, odd ones are spread around 11."""
    rng = np.random.default_rng(seed)
    near, far = rng.binomial(4, 0.5, (rows, width)), 7 + rng.binomial(8, 0.5, (rows, width))
    return np.where(np.arange(rows)[:, None] % 2, far, near).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(st.integers(5, 400), st.integers(1, 70), st.integers(0, 1 << 20), st.integers(0, 9))
def test_symbols_of_classes_come_back_wherever_a_block_begins(rows, width, start, seed):
    symbols = two_kinds(rows, width, seed).reshape(-1)[start % width :]
    runs = Runs.of(width, start)
    data = encode_symbols(symbols, 16, runs)
    assert decode_symbols(data, len(symbols), 16).tolist() == symbols.tolist()
    assert len(data) <= len(encode_symbols(symbols, 16))
    if runs.first < len(symbols):
        borders = runs.borders(len(symbols))
        assert len(borders) == runs.number(len(symbols)) + 1
        assert np.diff(borders).min() >= 1
        which = np.arange(len(borders) - 1) % 3 == 1
        taken = [symbols[a:b] for a, b, w in zip(borders, borders[1:], which, strict=False) if w]
        assert runs.taken(symbols, which).tolist() == [s for piece in taken for s in piece.tolist()]


def test_rows_that_differ_are_told_apart_and_take_the_entropy_of_their_own():
    symbols = two_kinds(400, 64)
    kinds = classes_of(symbols.reshape(-1), 16, Runs.of(64, 0))
    assert len(set(kinds[::2])) == len(set(kinds[1::2])) == 1
    assert kinds[0] != kinds[1]
    apart = sum(len(encode_symbols(symbols[k::2].reshape(-1), 16)) for k in (0, 1))
    data = encode_symbols(symbols.reshape(-1), 16, Runs.of(64, 0))
    assert data[0] == 3
    assert len(data) < apart + 400 / 8 + 60 < 0.8 * len(encode_symbols(symbols.reshape(-1), 16))


def test_rows_that_are_alike_share_a_table():
    noise = np.random.default_rng(0).binomial(8, 0.5, 50_000).astype(np.uint8)
    assert encode_symbols(noise, 16, Runs.of(100, 0)) == encode_symbols(noise, 16)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_whole_words_are_shorter_than_planes_and_every_bit_pattern_comes_back(dtype):
    wide = "u2" if dtype == "bfloat16" else "u4"
    weights = np.random.default_rng(1).normal(0, 0.02, 30_000).astype(np.float32).astype(dtype)
    strange = np.random.default_rng(2).integers(0, 1 << 8 * np.dtype(wide).itemsize, 30_000).astype(wide).view(dtype)
    data = encode_values(weights)
    assert data[0] == 3
    for array in (weights, np.concatenate([weights, strange[:2000]]), strange):
        assert decode_values(encode_values(array), len(array), dtype).tobytes() == array.tobytes()
    exponents = (weights.view(wide) >> (8 * np.dtype(wide).itemsize - 9) & 255).astype(np.uint8)
    rest = (8 * np.dtype(wide).itemsize - 8) * len(weights) // 8
    assert len(data) < len(encode_symbols(exponents, 256)) + rest


def test_a_tensor_of_rows_in_several_blocks_is_the_same_again():
    scales = np.exp2(np.random.default_rng(0).integers(-6, 6, (3000, 1)))
    weights = (np.random.default_rng(1).normal(size=(3000, 384)) * scales).astype("bfloat16")
    code = DenseCode.of(weights)
    blocks = encode_blocks(code.values, code.runs()["values"])
    assert sum(map(len, blocks)) < 0.97 * sum(map(len, encode_blocks(code.values)))
    entry = stream_entry(code.values, measured(blocks), 0)
    data = b"".join(blocks)
    assert decode_stream(entry, lambda at, length: data[at : at + length]).array.tobytes() == weights.tobytes()


def test_altered_classes_decode_or_raise_the_one_error():
    symbols = two_kinds(60, 50).reshape(-1)
    data, rng = encode_symbols(symbols, 16, Runs.of(50, 7)), np.random.default_rng(5)
    assert data[0] == 3
    for length in range(0, len(data), 7):
        with pytest.raises(FormatError):
            decode_symbols(data[:length], len(symbols), 16)
    for _ in range(400):
        altered = bytearray(data)
        for place in rng.integers(1, 40, rng.integers(1, 4)):
            altered[place] = rng.integers(0, 256)
        try:
            found = decode_symbols(altered, len(symbols), 16)
        except FormatError:
            continue
        assert len(found) == len(symbols)
        assert int(found.max()) < 16


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ((SHORTEST - 1, 1, 2), "classes of runs of 15"),
        ((50, 0, 2), "the first of 0"),
        ((50, 51, 2), "the first of 51"),
        ((120, 100, 2), "the first of 100, of 100"),
        ((50, 50, 1), "1 classes"),
        ((50, 50, 65), "65 classes"),
        ((50, 50, 2, 2, 0, 1), "1 of 2 classes are used"),
        ((50, 50, 2, 2, 1, 2, 2, 0, 1, 3), "classes within classes"),
    ],
)
def test_blocks_that_no_encoder_writes_are_refused(head, message):
    with pytest.raises(FormatError, match=message):
        decode_symbols(bytes([3, *head]), 100, 16)

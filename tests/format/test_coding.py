"""Symbols and values to bytes: round trips, a slow twin of the rANS kernel, entropy, and hostile bytes."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from laconic.errors import FormatError
from laconic.format.codes import DTYPES
from laconic.format.codes.rounding import rounded
from laconic.format.coding import (
    Cursor,
    decode_symbols,
    decode_values,
    encode_symbols,
    encode_values,
    entropy_bits,
    frequencies,
    packing,
    rans,
    rans_vectors,
    symbol_dtype,
    tables,
    values,
    varint,
)
from laconic.format.coding.symbols import PRECISIONS

ALPHABETS = (1, 2, 3, 16, 256, 257, 1000, 1024, 1025, 5000, 70000, 1 << 32)
relaxed = settings(suppress_health_check=[HealthCheck.too_slow])


def draw_symbols(alphabet, count, peak, seed):
    """Symbols that crowd near 0 (peak large) or spread evenly (peak 0)."""
    uniform = np.random.default_rng(seed).random(count)
    return np.minimum(uniform ** (1 + peak) * alphabet, alphabet - 1).astype(symbol_dtype(alphabet))


# --- a slow, obviously right rANS -----------------------------------------------------------------


def slow_encode(symbols, freqs, n, lanes):
    starts = [sum(freqs[:s]) for s in range(len(freqs))]
    states, words = [1 << 16] * lanes, [[] for _ in range(-(-lanes // 8))]
    for i in reversed(range(len(symbols))):
        x, f, b = states[i % lanes], freqs[symbols[i]], starts[symbols[i]]
        if x >= f << (32 - n):
            words[i % lanes // 8].insert(0, x % 65536)
            x //= 65536
        states[i % lanes] = (x // f << n) + x % f + b
    packed = b"".join(x.to_bytes(4, "little") for x in states)
    return b"".join(varint(len(w)) for w in words) + packed + b"".join(np.array(w, "<u2").tobytes() for w in words)


def slow_decode(data, count, freqs, n, lanes):
    cursor = Cursor(data)
    lengths = [cursor.varint() for _ in range(-(-lanes // 8))]
    states = [cursor.unsigned(4) for _ in range(lanes)]
    words = [[cursor.unsigned(2) for _ in range(length)] for length in lengths]
    slots = [(s, f, k) for s, f in enumerate(freqs) for k in range(f)]
    out = []
    for i in range(count):
        x = states[i % lanes]
        s, f, k = slots[x % (1 << n)]
        x = f * (x >> n) + k
        if x < 1 << 16:
            x = x << 16 | words[i % lanes // 8].pop(0)
        states[i % lanes] = x
        out.append(s)
    assert not any(words)
    assert not cursor.left
    assert set(states) == {1 << 16}
    return out


def check_twins(symbols, freqs, n, lanes, monkeypatch):
    """Kernel and slow twin write the same bytes; the twin, the kernel and the vectors read the same symbols."""
    data = rans.encode(symbols, freqs, n, lanes)
    assert data == slow_encode(symbols.tolist(), freqs.tolist(), n, lanes)
    assert slow_decode(data, len(symbols), freqs.tolist(), n, lanes) == symbols.tolist()
    for compiled, few in ((True, 64), (False, 64), (False, 1)):  # few lanes are decoded by another loop
        monkeypatch.setattr(rans, "COMPILED", compiled)
        monkeypatch.setattr(rans_vectors, "FEW", few)
        assert (rans.decode(Cursor(data), len(symbols), freqs, n, lanes, symbols.dtype) == symbols).all()


@pytest.mark.parametrize("lanes", [1, 8, 24, 64])
@settings(relaxed, suppress_health_check=[*HealthCheck])
@given(st.integers(2, 40), st.integers(2, 300), st.floats(0, 6), st.sampled_from(PRECISIONS))
def test_the_kernels_and_their_slow_twin_agree(lanes, alphabet, count, peak, n):
    with pytest.MonkeyPatch.context() as patch:
        symbols = draw_symbols(alphabet, count, peak, alphabet * count)
        symbols[:2] = 0, 1  # two symbols at least
        freqs = frequencies.normalise(frequencies.histogram(symbols, alphabet), n)
        check_twins(symbols, freqs, n, lanes, patch)


@pytest.mark.parametrize(("count", "lanes"), [(32767, 1), (33001, 16), (70001, 256)])
def test_the_twins_agree_over_many_symbols(count, lanes, monkeypatch):
    symbols = draw_symbols(300, count, 3, 1)
    check_twins(symbols, frequencies.normalise(frequencies.histogram(symbols, 300), 12), 12, lanes, monkeypatch)


@pytest.mark.parametrize("n", PRECISIONS)
def test_the_reciprocal_divides_exactly_at_the_extremes(n, monkeypatch):
    """The states nearest to where a word is put out, and the most unequal frequencies."""
    for f in (1, 3, (1 << n) - 1, (1 << n - 1) + 1):
        symbols = (np.random.default_rng(f).random(8000) > f / (1 << n)).astype(np.uint8)
        check_twins(symbols, np.array([f, (1 << n) - f]), n, 8, monkeypatch)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("count", "lanes"), [(3000, 1), (40000, 8), (1 << 19, 128)])
def test_lanes_that_were_altered_decode_or_raise_the_one_error(count, lanes, compiled, monkeypatch):
    """Both decoders refuse the same bytes, and never read past the words."""
    monkeypatch.setattr(rans, "COMPILED", compiled)
    symbols, rng = draw_symbols(16, count, 1, 0), np.random.default_rng(count)
    freqs = frequencies.normalise(frequencies.histogram(symbols, 16), 12)
    data = rans.encode(symbols, freqs, 12, lanes)
    for _ in range(2 if count > 3000 else 12):
        altered = bytearray(data)
        altered[rng.integers(0, len(data))] ^= rng.integers(1, 256)
        with pytest.raises(FormatError):
            rans.decode(Cursor(altered), count, freqs, 12, lanes, symbols.dtype)
        with pytest.raises(FormatError):
            rans.decode(Cursor(data), count + int(rng.integers(1, 4)), freqs, 12, lanes, symbols.dtype)


# --- frequencies and their table ------------------------------------------------------------------


def best_frequencies(counts, total):
    """The optimum by dynamic programming: smallest cost of the symbols so far with so much of the sum used."""
    best = {0: 0.0}
    for c in counts:
        new = {}
        for used, so_far in best.items():
            for f in range(1, total - used + 1) if c else [0]:
                value = so_far - (c * math.log2(f) if c else 0)
                if value < new.get(used + f, math.inf):
                    new[used + f] = value
        best = new
    return best[total]


@relaxed
@given(st.lists(st.integers(0, 400), min_size=2, max_size=5).filter(lambda c: sum(x > 0 for x in c) > 1))
def test_frequencies_are_optimal(counts):
    n = 5
    freqs = frequencies.normalise(np.array(counts), n)
    assert freqs.sum() == 1 << n
    assert ((freqs > 0) == (np.array(counts) > 0)).all()
    reached = -sum(c * math.log2(f) for c, f in zip(counts, freqs, strict=True) if c)
    assert reached <= best_frequencies(counts, 1 << n) + 1e-3


def test_the_table_of_logarithms():
    table = frequencies.log2_table()
    exact = np.log2(np.arange(1, (1 << 14) + 1))
    assert np.all(np.abs(table[1:] / (1 << frequencies.FRACTION) - exact) < 2.0**-23)
    assert np.all(np.diff(table[1:]) > 0)


@relaxed
@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 100]), min_size=2, max_size=700), st.sampled_from([10, 12, 14]))
def test_table_round_trip(counts, n):
    counts = np.array([*counts, 5, 7])
    freqs = frequencies.normalise(counts, n)
    data = tables.table_bytes(freqs)
    back, used = tables.read_table(data + b"more", len(freqs), n)
    assert used == len(data)
    assert (back == freqs).all()
    with pytest.raises(FormatError):
        tables.read_table(data[:-1], len(freqs), n)
    with pytest.raises(FormatError):
        tables.read_table(data, int(np.flatnonzero(freqs)[-1]), n)


@pytest.mark.parametrize("freqs", [[200, 57], [200, 55], [255], [100, 100, 0], [8, 16000]])
def test_a_table_of_another_sum_is_refused(freqs):
    with pytest.raises(FormatError, match="sum to 256"):
        tables.read_table(tables.table_bytes(np.array(freqs)), len(freqs), 8)


def test_the_table_bit_by_bit():
    """Worked by hand: frequencies 200, five absent, 56 at n = 8."""
    freqs = np.array([200, 0, 0, 0, 0, 0, 56])
    bits = "0001" + "0001001" + "1111" + "10000000" + "0110" + "00011"  # lowest bit first
    value = int(bits[::-1], 2)
    assert tables.table_bytes(freqs) == value.to_bytes(4, "little")


# --- symbols --------------------------------------------------------------------------------------


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("peak", [0, 2, 30])
def test_symbols_round_trip(alphabet, peak):
    for count in (0, 1, 2, 7, 8, 9, 100, 5000, 70001):
        symbols = draw_symbols(alphabet, count, peak, count)
        data = encode_symbols(symbols, alphabet)
        back = decode_symbols(memoryview(data), count, alphabet)
        assert back.dtype == symbol_dtype(alphabet)
        assert np.array_equal(back, symbols)
        constant = 5 * (count == 1 or alphabet == 1)
        assert len(data) <= 1 + packing.packed_size(count, (alphabet - 1).bit_length()) + constant
        assert data == encode_symbols(symbols, alphabet)
    assert encode_symbols(symbols[:0], alphabet) == b""


@relaxed
@given(st.lists(st.integers(0, 4), max_size=50), st.sampled_from([5, 6, 300, 100000]))
def test_short_lists_of_symbols_round_trip(symbols, alphabet):
    array = np.array(symbols, np.uint8)
    assert decode_symbols(encode_symbols(array, alphabet), len(array), alphabet).tolist() == symbols


@pytest.mark.parametrize(("alphabet", "peak"), [(2, 1), (2, 20), (3, 1), (16, 1), (256, 2), (256, 20), (1000, 2)])
def test_size_is_within_half_a_percent_of_the_entropy_and_the_table(alphabet, peak):
    symbols = draw_symbols(alphabet, 1 << 20, peak, 1)
    data = encode_symbols(symbols, alphabet)
    _, table = tables.read_table(data[1:], alphabet, PRECISIONS[data[0] >> 2 & 3])
    assert 8 * (len(data) - table) <= 1.005 * entropy_bits(symbols, alphabet)
    assert 8 * len(data) >= entropy_bits(symbols, alphabet)


def test_a_large_alphabet_keeps_the_entropy_of_its_high_part():
    symbols = draw_symbols(70000, 1 << 18, 3, 1)
    high = (symbols >> 7).astype(np.uint16)
    ideal = entropy_bits(high, 547) + 7 * len(symbols)
    assert 8 * len(encode_symbols(symbols, 70000)) <= 1.005 * ideal + 8 * 1500


def test_entropy_bits():
    assert entropy_bits(np.zeros(9, np.uint8), 3) == 0
    assert entropy_bits(np.zeros(0, np.uint8), 3) == 0
    assert entropy_bits(np.arange(256, dtype=np.uint8), 256) == pytest.approx(2048)


@pytest.mark.parametrize("width", [0, 1, 3, 8, 13, 31, 32])
def test_packing_meets_its_twin(width):
    symbols = np.random.default_rng(0).integers(0, 1 << width, 77).astype(np.uint32)
    bits = "".join(f"{s:0{width}b}"[::-1] for s in symbols.tolist()) if width else ""
    expected = int(bits[::-1] or "0", 2).to_bytes(packing.packed_size(77, width), "little")
    data = packing.pack_bits(symbols, width)
    assert data == expected
    assert np.array_equal(packing.unpack_bits(data, 77, width, np.dtype(np.uint32)), symbols)
    out = np.zeros(77, np.uint32)
    packing.unpack_vectors(np.frombuffer(data, np.uint8), width, out)
    assert np.array_equal(out, symbols)
    above = np.arange(77, dtype=np.uint8)
    if width < 32:
        whole = packing.unpack_bits(data, 77, width, np.dtype(np.uint32), above)
        assert np.array_equal(whole, (above.astype(np.uint64) << width & 0xFFFFFFFF | symbols).astype(np.uint32))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_rotating_meets_its_twin(dtype):
    turned = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, 99, dtype, endpoint=True)
    top = dtype(8 * np.dtype(dtype).itemsize - 1)
    found, twin = np.empty_like(turned), np.empty_like(turned)
    values._turn(turned, top, found)
    values.turn_vectors(turned, top, twin)
    assert np.array_equal(found, twin)
    assert np.array_equal(twin << dtype(1) | twin >> top, turned)


# --- values ---------------------------------------------------------------------------------------


@relaxed
@given(st.sampled_from(DTYPES), st.integers(0, 300), st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 255]))
def test_values_keep_every_bit(dtype, count, seed, top):
    width = np.dtype(dtype).itemsize
    raw = np.random.default_rng(seed).integers(0, min(top, 1 if dtype == "bool" else 255) + 1, count * width)
    array = raw.astype(np.uint8).view(dtype)
    data = encode_values(array)
    back = decode_values(memoryview(data), count, dtype)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    assert len(data) <= array.nbytes + (4 if dtype.startswith("complex") else 1)


@pytest.mark.parametrize("dtype", DTYPES[:6])
def test_nan_payloads_and_signed_zeros_survive(dtype):
    width = np.dtype(dtype).itemsize
    patterns = np.arange(256, dtype=f"u{width}") << np.array(8 * (width - 1), f"u{width}") | np.array(1, f"u{width}")
    array = np.concatenate([patterns, patterns ^ np.array(1, f"u{width}")]).view(dtype)
    assert decode_values(encode_values(array), 512, dtype).tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", [">f4", ">i8", "<f4"])
def test_any_byte_order_and_stride_is_taken(dtype):
    array = np.arange(12).astype(dtype)[::-2]
    back = decode_values(encode_values(array), 6, array.dtype.name)
    assert back.dtype.isnative
    assert np.array_equal(back, array)


def test_weights_shrink_without_loss():
    weights = np.random.default_rng(0).normal(scale=0.02, size=1 << 16).astype(np.float32)
    assert len(encode_values(weights)) < 0.86 * weights.nbytes
    half = weights.astype("bfloat16")
    assert len(encode_values(half)) < 0.72 * half.nbytes


# --- varints --------------------------------------------------------------------------------------


@given(st.integers(0, 2**64 - 1))
def test_varints_round_trip(number):
    cursor = Cursor(varint(number))
    assert cursor.varint() == number
    assert cursor.left == 0


@pytest.mark.parametrize("data", ["", "80", "8000", "ff" * 10, "ffffffffffffffffff02", "80" * 9 + "02"])
def test_bad_varints(data):
    with pytest.raises(FormatError, match="byte"):
        Cursor(bytes.fromhex(data), 7).varint()


# --- hostile bytes --------------------------------------------------------------------------------


def samples():
    for alphabet, count, peak in [(2, 400, 8), (16, 300, 2), (16, 40000, 1), (300, 500, 6), (5000, 60, 2), (7, 50, 0)]:
        symbols = draw_symbols(alphabet, count, peak, 3)
        yield encode_symbols(symbols, alphabet), count, alphabet


def test_every_truncation_of_symbols_is_an_error():
    for data, count, alphabet in samples():
        for length in range(0, len(data), max(len(data) // 200, 1)):
            with pytest.raises(FormatError):
                decode_symbols(data[:length], count, alphabet)
        for more in (b"\0", b"\0\0", b"\1\2\3\4"):
            with pytest.raises(FormatError):
                decode_symbols(data + more, count, alphabet)


def test_altered_symbols_decode_or_raise_the_one_error():
    rng = np.random.default_rng(5)
    for data, count, alphabet in samples():
        for _ in range(150):
            altered = bytearray(data)
            for place in rng.integers(0, min(len(data), 60), rng.integers(1, 4)):
                altered[place] = rng.integers(0, 256)
            try:
                symbols = decode_symbols(altered, count, alphabet)
            except FormatError:
                continue
            assert len(symbols) == count
            assert int(symbols.max()) < alphabet


@relaxed
@given(st.binary(max_size=60), st.integers(0, 100), st.sampled_from(ALPHABETS), st.sampled_from(DTYPES))
def test_random_bytes_decode_or_raise_the_one_error(data, count, alphabet, dtype):
    for decode in (lambda: decode_symbols(data, count, alphabet), lambda: decode_values(data, count, dtype)):
        try:
            assert len(decode()) == count
        except FormatError:
            continue


@pytest.mark.parametrize(
    ("count", "alphabet"), [(-1, 2), (1 << 31, 2), (1 << 62, 2), (1, 0), (1, (1 << 32) + 1), (1, -1)]
)
def test_impossible_counts_are_refused_before_anything_is_allocated(count, alphabet):
    with pytest.raises(FormatError, match="alphabet"):
        decode_symbols(b"\0\0", count, alphabet)


def test_a_cut_rans_stream_stops_early():
    """The words end; the kernel must notice, not read on."""
    symbols = draw_symbols(16, 50000, 0.5, 0)
    data = encode_symbols(symbols, 16)
    with pytest.raises(FormatError, match="rANS words in"):
        decode_symbols(data[: len(data) // 4 * 2], 50000, 16)


# --- rounding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float8_e4m3fn", 4), ("float8_e5m2", 3)])
def test_narrow_floats_are_rounded_through_float32(dtype, bits):
    """Just above the middle of 1 and the next number: float64 would go up, float32 sees a tie and goes to even."""
    middle = 1 + 2.0**-bits
    found = rounded(np.array([middle + 2.0**-40, middle + 2.0**-20, 1e300, -np.inf]), dtype).astype(float)
    assert found[:2].tolist() == [1, 1 + 2.0 ** (1 - bits)]
    assert not np.isfinite(found[2:]).any()

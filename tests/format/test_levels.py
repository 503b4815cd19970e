"""Levels as symbols, the trellis, and single bits: against their definitions, written naively."""

import heapq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laconic.errors import FormatError
from laconic.format.coding.bits import BitReader, BitWriter
from laconic.format.coding.levels import (
    ALPHABET,
    DIRECT,
    LARGEST,
    SIZES,
    centre_of,
    level_of,
    raw_bits,
    size_of,
    sizes_of,
)
from laconic.format.coding.ungerboeck import PARITY_CHECKS, feedback, next_state

NUS = tuple(PARITY_CHECKS)

# --- sizes and symbols -----------------------------------------------------------------------------


def naive_size(u: int) -> tuple[int, int]:
    """Return the size of ``u`` and its raw bits, by the text of the format."""
    if u < 16:
        return u, 0
    e = u.bit_length() - 1
    quarter = next(q for q in range(4) if u < 2**e + (q + 1) * 2 ** (e - 2))
    return 16 + 4 * (e - 4) + quarter, e - 2


def naive_symbol(level: int, trellis: bool) -> tuple[bool, int, int]:
    """Return the table's parity, the symbol y and the raw bits' value of a level."""
    odd = trellis and level % 2 == 1
    u = abs(level) // 2 if trellis else abs(level)
    m, bits = naive_size(u)
    return odd, 2 * m + (level < 0) if odd else 2 * m - (level > 0), u % 2**bits


def near_powers(limit: int) -> st.SearchStrategy[int]:
    """Integers below a limit, those around powers of two often."""
    near = st.builds(lambda e, d: min(max(2**e + d, 0), limit - 1), st.integers(0, 33), st.integers(-3, 3))
    return st.one_of(near, st.integers(0, limit - 1))


def test_sizes_tile_the_magnitudes_in_runs_of_a_power_of_two():
    m = np.arange(SIZES)
    lengths = np.int64(1) << raw_bits(m)
    ends = np.cumsum(lengths)
    assert ends[-1] == LARGEST
    assert np.array_equal(size_of(ends - lengths), m)
    assert np.array_equal(size_of(ends - 1), m)
    assert np.array_equal(centre_of(m), 2 * ends - lengths - 1)  # the first and the last
    assert not raw_bits(m[:DIRECT]).any()


@given(st.lists(near_powers(LARGEST), min_size=1))
def test_sizes_are_as_the_format_says(magnitudes: list[int]):
    u = np.array(magnitudes, np.int64)
    assert [*zip(size_of(u).tolist(), raw_bits(size_of(u)).tolist(), strict=True)] == [*map(naive_size, magnitudes)]


@given(near_powers(2 * LARGEST), st.sampled_from([-1, 1]), st.booleans())
def test_a_level_follows_from_its_symbol_and_raw_bits(magnitude: int, sign: int, trellis: bool):
    level = sign * min(magnitude, (2 if trellis else 1) * LARGEST - 1)
    odd, y, raw = naive_symbol(level, trellis)
    assert 0 <= y < ALPHABET - (not odd)
    m = (y + (not odd)) // 2
    assert sizes_of(np.array([level]), trellis=trellis)[0] == m
    bits = int(raw_bits(np.array([m]))[0])
    u = (int(centre_of(np.array([m]))[0]) - 2**bits + 1) // 2 + raw
    negative = y % 2 == 1 if odd else y % 2 == 0 and y > 0
    assert level == (-1 if negative else 1) * (2 * u + odd if trellis else u)
    if m < DIRECT:
        assert level_of(np.array([y]), odd=odd, trellis=trellis)[0] == level


@pytest.mark.parametrize("trellis", [False, True])
def test_no_two_levels_have_the_same_symbol_and_raw_bits(trellis: bool):
    seen = [naive_symbol(level, trellis) for level in range(-5000, 5001)]
    assert len(set(seen)) == len(seen)


# --- the trellis -----------------------------------------------------------------------------------

OCTAL = {2: ("5", "2"), 3: ("13", "04"), 4: ("23", "04"), 5: ("45", "10"), 6: ("103", "024")}
FREE_DISTANCES = {2: 9, 3: 10, 4: 11, 5: 13, 6: 14}  # Ungerboeck 1982, Table I, in squares of the spacing


def naive_next(registers: list[int], level: int, nu: int) -> list[int]:
    """Return r' of Ungerboeck's encoder: registers r_1, …, r_ν."""
    h0, h1 = (int(octal, 8) for octal in OCTAL[nu])
    r = {j + 1: bit for j, bit in enumerate(registers)} | {nu + 1: 0}
    z0, z1 = r[1], int(level % 4 >= 2)
    return [r[j + 1] ^ (h0 >> j & 1 & z0) ^ (h1 >> j & 1 & z1) for j in range(1, nu + 1)]


def in_bits(state: int, nu: int) -> list[int]:
    return [state >> j & 1 for j in range(nu)]


@pytest.mark.parametrize("nu", NUS)
def test_the_trellis_is_ungerboecks(nu: int):
    assert PARITY_CHECKS[nu] == tuple(int(octal, 8) for octal in OCTAL[nu])
    for state in range(1 << nu):
        for level in range(state % 2 - 12, 13, 2):
            assert in_bits(next_state(state, level, nu), nu) == naive_next(in_bits(state, nu), level, nu)


@pytest.mark.parametrize("nu", NUS)
def test_two_ways_leave_each_state_and_two_enter_it(nu: int):
    entered = np.zeros(1 << nu, int)
    for state in range(1 << nu):
        ways = {next_state(state, level, nu) for level in (state % 2, state % 2 + 2)}
        assert len(ways) == 2
        assert all(0 <= way < 1 << nu for way in ways)
        entered[list(ways)] += 1
    assert (entered == 2).all()


@pytest.mark.parametrize("nu", NUS)
def test_the_codes_have_the_free_distance_that_is_published(nu: int):
    """The shortest way from state 0 to state 0 that is not all zeros: ±1 apart costs 1, D0 to D2 costs 4."""
    queue, done = [(4, next_state(0, 2, nu))], set()
    while queue:
        cost, state = heapq.heappop(queue)
        if state == 0:
            assert cost == FREE_DISTANCES[nu]
            return
        if state not in done:
            done.add(state)
            for subset in (state % 2, state % 2 + 2):
                heapq.heappush(queue, (cost + {0: 0, 2: 4}.get(subset, 1), next_state(state, subset, nu)))
    pytest.fail("the zero state is not reached again")


def test_without_a_trellis_nothing_moves():
    assert feedback(0) == (0, 0)
    assert all(next_state(0, level, 0) == 0 for level in range(-5, 6))


# --- bits ------------------------------------------------------------------------------------------

PLAIN = st.integers(0, 40).flatmap(
    lambda width: st.tuples(st.just("put"), st.integers(0, 2**width - 1), st.just(width))
)
GOLOMB = st.tuples(st.just("golomb"), st.integers(-30000, 30000), st.integers(0, 5))


def write(writer: BitWriter, kind: str, value: int, width: int) -> None:
    if kind == "put":
        writer.put(value, width)
    else:
        writer.signed_golomb(value, width)


def read(reader: BitReader, kind: str, width: int) -> int:
    return reader.get(width) if kind == "put" else reader.signed_golomb(width)


@given(st.lists(st.one_of(PLAIN, GOLOMB)))
def test_bits_come_back(pieces: list[tuple[str, int, int]]):
    writer = BitWriter()
    for kind, value, width in pieces:
        write(writer, kind, value, width)
    data = writer.bytes()
    assert len(data) == -(-len(writer) // 8)
    reader = BitReader(data)
    assert [read(reader, kind, width) for kind, _, width in pieces] == [value for _, value, _ in pieces]
    reader.finish()


@given(st.binary(max_size=6), st.integers(0, 60), st.integers(0, 60))
def test_bits_past_the_end_are_refused(data: bytes, first: int, then: int):
    reader, bits = BitReader(data), "".join(f"{byte:08b}"[::-1] for byte in data)
    at = 0
    for width in (first, then):
        if at + width > len(bits):
            with pytest.raises(FormatError, match="cut short"):
                reader.get(width)
            return
        assert reader.get(width) == int(bits[at : at + width][::-1] or "0", 2)
        at += width


@pytest.mark.parametrize("data", [b"\0\0", b"\xff\xff\xff", b"\x10"], ids=["a byte too many", "ones", "not zeros"])
def test_what_is_left_is_less_than_a_byte_of_zeros(data: bytes):
    reader = BitReader(data)
    reader.get(3)
    with pytest.raises(FormatError, match="after the last table"):
        reader.finish()


def test_endless_differences_are_refused():
    with pytest.raises(FormatError, match="too large"):
        BitReader(b"\xff" * 100).signed_golomb(2)


@given(st.integers(0, 5))
def test_small_differences_are_short(order: int):
    """1 + k bits where the folded value is below 2^k, two more for each doubling."""
    for value in range(-40, 41):
        writer = BitWriter()
        writer.signed_golomb(value, order)
        folded = 2 * value - 1 if value > 0 else -2 * value
        extra = ((folded >> order) + 1).bit_length() - 1
        assert len(writer) == 1 + order + 2 * extra

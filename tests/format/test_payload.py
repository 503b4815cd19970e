"""Levels through the coder and back: all lanes, both decoders, and what a hostile file may do."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from crossing import usually
from hypothesis import given
from hypothesis import strategies as st

from laconic.errors import FormatError
from laconic.format.coding import payload
from laconic.format.coding.fitting import fitted
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.levels import SIZES, sizes_of
from laconic.format.coding.model import Model
from laconic.format.coding.payload import Coder, Segments, decode_levels, decode_weights, encode_levels, moved
from laconic.format.coding.ungerboeck import next_state

KINDS = [(0, False), (0, True), (2, False), (3, False), (4, False), (5, False), (6, False)]
OFFSETS = np.array([-20, 7, 0, 127, -128, 3], np.int8)


def on_paths(levels: np.ndarray, nu: int, lanes: int) -> np.ndarray:
    """Return levels with the parities that the trellis says, each at most one larger."""
    found, states = levels.copy(), [0] * lanes
    for i, level in enumerate(levels.tolist()):
        lane = i % lanes
        if (level ^ states[lane]) & 1:
            found[i] = level = level + (1 if level >= 0 else -1)
        states[lane] = next_state(states[lane], level, nu)
    return found


def coder_of(levels: np.ndarray, counts: np.ndarray, nu: int, pairs: bool) -> Coder:
    """Return a coder whose tables fit the levels."""
    segments, tables = Segments.of_counts(counts), []
    parts = dict.fromkeys(range(len(counts)), levels[:0])
    for c, first, end in zip(segments.classes.tolist(), segments.borders[:-1], segments.borders[1:], strict=True):
        parts[c] = levels[first:end]
    for part in parts.values():
        split = [part[part % 2 == odd] for odd in (0, 1)] if nu else [part]
        sizes = [np.bincount(sizes_of(own, trellis=nu > 0), minlength=SIZES) for own in split]
        tables.append(tuple(fitted(count, odd=bool(odd)) for odd, count in enumerate(sizes)))
    return Coder(Model(nu, pairs, OFFSETS, tuple(tables)))


def drawn(counts: np.ndarray, nu: int, spread: float, seed: int = 0, far: float = 0.0) -> np.ndarray:
    """Return random levels of classes that are each wider than the last, some of them of any size."""
    rng = np.random.default_rng(seed)
    widths = np.repeat(spread * 1.5 ** np.arange(len(counts)), counts)
    levels = np.rint(rng.laplace(size=len(widths)) * widths).astype(np.int64)
    wild = rng.random(len(levels)) < far
    top = 32.9 if nu else 31.9
    levels[wild] = (2 ** rng.uniform(0, top, int(wild.sum()))).astype(np.int64) * rng.choice([-1, 1], int(wild.sum()))
    return on_paths(levels, nu, lane_count(len(levels))) if nu else levels


def both_ways(monkeypatch: pytest.MonkeyPatch, decode: Callable, *arguments: object) -> list[np.ndarray | str]:
    """Return what the compiled decoder and the other give, or the errors that they raise."""
    found: list[np.ndarray | str] = []
    for compiled in (True, False):
        monkeypatch.setattr(payload, "COMPILED", compiled)
        try:
            found.append(decode(*arguments))
        except FormatError as error:
            found.append(str(error))
    return found


def naive_weights(levels: np.ndarray, step: float, dtype: type) -> np.ndarray:
    found = []
    for v in levels.tolist():
        o = int(OFFSETS[min(abs(v), len(OFFSETS)) - 1]) if v else 0
        found.append((v + (v > 0) * o / 256 - (v < 0) * o / 256) * step)
    return np.array(found, np.float64).astype(dtype)


def checked(monkeypatch: pytest.MonkeyPatch, levels: np.ndarray, counts: np.ndarray, coder: Coder) -> bytes:
    """Return the bytes of levels, after all that is promised of them."""
    segments = Segments.of_counts(counts)
    data = encode_levels(levels, segments, coder)
    if np.abs(levels).max(initial=0) < 2**31:
        assert encode_levels(levels.astype(np.int32), segments, coder) == data
    for found in both_ways(monkeypatch, decode_levels, data, segments, coder):
        assert np.array_equal(found, levels)
    for dtype in (np.float32, np.float64):
        same = both_ways(monkeypatch, decode_weights, data, segments, coder, 0.0173, np.dtype(dtype))
        expected = naive_weights(levels, 0.0173, dtype)
        assert same[0].dtype == dtype
        assert same[0].tobytes() == same[1].tobytes() == expected.tobytes()
    return data


# --- there and back --------------------------------------------------------------------------------


@given(
    st.sampled_from(KINDS), st.lists(st.integers(0, 40), min_size=1, max_size=6), st.floats(0.01, 300),
    st.sampled_from([0.0, 0.05]), st.integers(0, 2**20),
)  # fmt: skip
def test_few_levels_come_back(kind: tuple[int, bool], counts: list[int], spread: float, far: float, seed: int):
    nu, pairs = kind
    sizes = np.array(counts)
    levels = drawn(sizes, nu, spread, seed, far)
    with pytest.MonkeyPatch.context() as patch:
        checked(patch, levels, sizes, coder_of(levels, sizes, nu, pairs))


BIG = {
    "8 lanes": [33_001, 0, 7, 2_000],
    "16 lanes, ragged": [13, 1, 0, 30_011, 35_530, 2, 3],
    "64 lanes": [0, 130_050, 131_999, 0, 500],
    "80 lanes": [300_007, 9, 30_017],
}


@usually(
    "name, kind, far",
    [("8 lanes", (0, True), 0.002), ("16 lanes, ragged", (3, False), 0.0), ("64 lanes", (0, False), 0.002)],
    else_=product(BIG, [(0, False), (0, True), (3, False)], [0.0, 0.002]),
)
def test_many_levels_come_back(monkeypatch: pytest.MonkeyPatch, name: str, kind: tuple[int, bool], far: float):
    nu, pairs = kind
    counts = np.array(BIG[name]) * (2 if pairs else 1) + pairs  # odd numbers of levels: the last pair is half
    levels = drawn(counts, nu, 0.8, far=far)
    assert lane_count(len(levels)) > 1
    checked(monkeypatch, levels, counts, coder_of(levels, counts, nu, pairs))


@usually("units", [1, 32_767, 65_536], else_=[2, 32_768, 65_535, 262_144, 294_913])
def test_levels_come_back_at_the_borders_of_numbers_of_lanes(monkeypatch: pytest.MonkeyPatch, units: int):
    counts = np.array([units])
    levels = drawn(counts, 0, 2.0)
    data = checked(monkeypatch, levels, counts, coder_of(levels, counts, 0, False))
    lanes = max(1, 8 * (units // 32_768))
    assert lane_count(units) == lanes
    assert len(data) > 4 * lanes


def test_no_levels_are_no_bytes():
    counts = np.array([0, 0])
    coder = coder_of(np.zeros(0, np.int64), counts, 3, False)
    assert encode_levels(np.zeros(0, np.int64), Segments.of_counts(counts), coder) == b""
    assert decode_levels(b"", Segments.of_counts(counts), coder).size == 0
    with pytest.raises(FormatError, match="1 bytes for no levels"):
        decode_levels(b"\0", Segments.of_counts(counts), coder)
    with pytest.raises(FormatError, match="no table"):
        decode_levels(b"\0" * 5, Segments.of_counts(np.array([0, 1])), coder)


def test_the_largest_levels_come_back(monkeypatch: pytest.MonkeyPatch):
    for nu, top in ((0, 2**32), (3, 2**33)):
        levels = np.array([0, top - 1, 1 - top, top - 2, 0, 1, -1, top // 2, 5], np.int64)
        levels = on_paths(levels // 2, nu, 1) if nu else levels
        counts = np.array([len(levels)])
        checked(monkeypatch, levels, counts, coder_of(levels, counts, nu, False))


def test_a_class_of_odd_levels_alone_comes_back(monkeypatch: pytest.MonkeyPatch):
    for second in (1, -3, 77):
        levels = np.array([2, second])
        state = next_state(0, 2, 3)
        counts = np.array([1 + (state % 2 == 0), 1])
        levels = np.array([2, 0, second]) if state % 2 == 0 else levels
        levels = on_paths(levels, 3, 1)
        while levels[-1] % 2 == 0:
            levels = on_paths(np.insert(levels, 0, 2), 3, 1)
            counts[0] += 1
        coder = coder_of(levels, counts, 3, False)
        assert not coder.used[2]
        checked(monkeypatch, levels, counts, coder)


@pytest.mark.parametrize(("nu", "pairs"), [(0, False), (0, True), (2, False), (3, False), (6, False)])
@pytest.mark.parametrize("spread", [0.3, 1.5, 40.0])
def test_the_size_is_that_of_the_tables(nu: int, pairs: bool, spread: float):
    counts = np.array([30_000, 0, 20_000, 51])
    levels = drawn(counts, nu, spread)
    segments, coder = Segments.of_counts(counts), coder_of(levels, counts, nu, pairs)
    size, bits = len(encode_levels(levels, segments, coder)), coder.bits(levels, segments)
    lost = 0.015 if pairs else 0.005  # a pair costs a little more than two levels
    assert bits / 8 * (1 - lost) - 1 <= size <= bits / 8 * (1 + lost) + 64


def test_moved_levels_are_as_the_format_says():
    levels = np.arange(-9, 10)
    assert moved(levels, OFFSETS).tolist() == naive_weights(levels, 1.0, np.float64).tolist()
    assert moved(levels, OFFSETS[:0]).tolist() == levels.tolist()


# --- hostile bytes ---------------------------------------------------------------------------------


def hostile(data: bytes, rng: np.random.Generator) -> bytes:
    """Return data that differ: cut, longer, with a flipped bit, with other bytes, or noise altogether."""
    way, at = int(rng.integers(5)), int(rng.integers(len(data)))
    if way == 0:
        return data[:at]
    if way == 1:
        return data + rng.bytes(int(rng.integers(1, 9)))
    if way == 2:
        return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    if way == 3:
        end = min(at + int(rng.integers(1, 30)), len(data))
        return data[:at] + rng.bytes(end - at) + data[end:]
    return rng.bytes(len(data))


@pytest.mark.parametrize(("nu", "pairs"), [(0, False), (0, True), (3, False), (6, False)])
@pytest.mark.parametrize(("scale", "times"), [(1, 40), (900, 4), (6000, 1)], ids=["1 lane", "lanes", "64 lanes"])
def test_both_decoders_agree_on_hostile_bytes(
    monkeypatch: pytest.MonkeyPatch, nu: int, pairs: bool, scale: int, times: int
):
    counts = np.array([30 * scale, 0, 19 * scale + 1]) * (1 + pairs)
    levels = drawn(counts, nu, 1.0, far=0.01 if scale == 1 else 2e-4)
    segments, coder = Segments.of_counts(counts), coder_of(levels, counts, nu, pairs)
    data, rng, refused = encode_levels(levels, segments, coder), np.random.default_rng(scale), 0
    for _ in range(times):
        bad = hostile(data, rng)
        one, other = both_ways(monkeypatch, decode_weights, bad, segments, coder, 0.1, np.dtype(np.float32))
        if isinstance(one, str):
            assert one == other
            refused += 1
        else:
            assert one.shape == levels.shape
            assert one.tobytes() == other.tobytes()
    assert refused > times / 2


@given(st.binary(max_size=40), st.integers(1, 50), st.sampled_from([(0, False), (0, True), (3, False)]))
def test_any_bytes_are_levels_or_refused(data: bytes, count: int, kind: tuple[int, bool]):
    levels = drawn(np.array([2000]), kind[0], 1.0, far=0.05)
    coder, segments = coder_of(levels, np.array([2000]), *kind), Segments.of_counts(np.array([count]))
    with pytest.MonkeyPatch.context() as patch:
        one, other = both_ways(patch, decode_levels, data, segments, coder)
    assert type(one) is type(other)
    assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other

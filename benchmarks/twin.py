"""The decoder in C that laconic's own are measured against: compiled with gcc, called through ctypes."""

import ctypes
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from laconic.format.coding.frequencies import normalise

SYMBOLS, BITS = 16, 3.0
"""The source: so many symbols, Laplacian about the middle, of about so many bits of entropy each."""

SLOTS = 1 << 12


@final
@dataclass(frozen=True, eq=False)
class Stream:
    """An encoded stream, ready to be decoded.

    Args:
        words: uint16, as many as the decoder reads and one more a lane.
        states: uint32, shape (8,).
        table: uint32, shape (tables · 4096,).
        values: float32, shape (tables · 256,).
        expected: float32: what the decoder must give.
        bits: bits a symbol.
    """

    words: np.ndarray
    states: np.ndarray
    table: np.ndarray
    values: np.ndarray
    expected: np.ndarray
    bits: float


MOVES = platform.machine() in ("x86_64", "AMD64")
"""Whether the twin can be had with its conditional moves in assembly."""


def compiled(folder: Path, moves: bool) -> Any:
    """Compile the twin into ``folder`` and load it; with ``moves``, the choice at each refill is in assembly."""
    source, library = Path(__file__).with_name("coding_speed.c"), folder / f"twin{moves:d}.so"
    command = ["gcc", "-O3", "-march=native", "-shared", "-fPIC", *["-DMOVES"] * moves, str(source), "-o", str(library)]
    subprocess.run(command, check=True)
    twin = ctypes.CDLL(str(library))
    twin.encode.restype = ctypes.c_size_t
    return twin


def source(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return symbols of the source, uint8, shape (count,), and their frequencies in 1/4096, uint32, shape (256,)."""
    low, high = 0.1, 100.0
    for _ in range(60):
        scale = (low + high) / 2
        p = np.exp(-np.abs(np.arange(SYMBOLS) - SYMBOLS / 2 + 0.5) / scale)
        p /= p.sum()
        low, high = (scale, high) if -float(p @ np.log2(p)) < BITS else (low, scale)
    symbols = np.random.default_rng(seed).choice(SYMBOLS, count, p=p).astype(np.uint8)
    frequencies = np.zeros(256, np.uint32)
    frequencies[:SYMBOLS] = normalise(np.bincount(symbols, minlength=SYMBOLS).astype(np.int64), 12)
    return symbols, frequencies


def stream(twin: Any, symbols: np.ndarray, frequencies: np.ndarray, trellis: bool) -> Stream:
    """Encode ``symbols`` with one table, or with two in turns that have the same frequencies but other values."""
    tables, count = 1 + trellis, len(symbols)
    assert count % 8 == 0, "whole rows of eight lanes"
    which = np.zeros(count, np.uint8)
    if trellis:
        twin.walk(_at(symbols), ctypes.c_size_t(count), _at(which))
    f = np.tile(frequencies, tables)
    biases = np.tile(np.cumsum(frequencies, dtype=np.uint32) - frequencies, tables)
    states, words = np.empty(8, np.uint32), np.zeros(count + 8, np.uint16)
    room = ctypes.c_size_t(count)
    first = twin.encode(
        _at(symbols), _at(which), ctypes.c_size_t(count), _at(f), _at(biases), _at(states), _at(words), room
    )
    values = np.arange(256 * tables, dtype=np.float32) / 8
    slot = np.repeat(np.arange(256, dtype=np.uint32), frequencies)
    entry = slot << 24 | (np.arange(SLOTS, dtype=np.uint32) - biases[slot]) << 12 | (frequencies[slot] - 1)
    expected = values[256 * which.astype(np.int64) + symbols]
    bits = 16 * (count - first + 16) / count
    return Stream(words[first:].copy(), states, np.tile(entry.astype(np.uint32), tables), values, expected, bits)


def decoder(twin: Any, stream: Stream, trellis: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that decodes ``stream`` into an array of float32 and returns it."""
    function = twin.decode_trellis if trellis else twin.decode

    def decode(out: np.ndarray) -> np.ndarray:
        count = ctypes.c_size_t(len(out))
        function(_at(stream.words), count, _at(stream.states), _at(stream.table), _at(stream.values), _at(out))
        return out

    return decode


def _at(array: np.ndarray) -> ctypes.c_void_p:
    """Return the address of an array for C."""
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)

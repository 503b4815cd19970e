"""Static interleaved rANS: 32-bit states, 16-bit words, frequencies that sum to 2ⁿ.

The states stay in [2¹⁶, 2³²). Symbol i belongs to lane i mod L; eight lanes share one sequence of words, in the order
of their symbols (`laconic.format.coding.lanes`). The encoder works from the last symbol to the first, so that the
decoder ends with every lane at 2¹⁶, where the encoder began, and with every word used: both are checked.

Source: J. Duda, "Asymmetric numeral systems", arXiv:1311.2540 (range variant); interleaving after F. Giesen,
"Interleaved entropy coders", arXiv:1402.3392.
"""

import numpy as np

from laconic.compiled import COMPILED
from laconic.errors import FormatError
from laconic.format.coding import rans_compiled, rans_vectors
from laconic.format.coding.lanes import GROUP, LOW, SPARE, Lanes, parse_lanes
from laconic.format.coding.packing import frozen
from laconic.format.coding.varints import Cursor


def encode(symbols: np.ndarray, frequencies: np.ndarray, precision: int, lanes: int) -> bytes:
    """Return the lanes of ``symbols`` as bytes.

    Args:
        symbols: shape (count,), uint8 or uint16.
        frequencies: shape (alphabet,), int64, at least 1 for each symbol that occurs, sum 2ⁿ.
        precision: n, at most 14.
        lanes: L, 1 or a multiple of 8.
    """
    ends = np.cumsum(_most_words(len(symbols), lanes))
    words, places = np.empty(int(ends[-1]), np.uint16), ends.astype(np.uint64)
    states = np.full(lanes, LOW, np.uint64)
    table = frozen(_encoder_table(frequencies, precision))
    rans_compiled.encode(frozen(symbols), table, np.uint64(precision), states, words, places)
    pieces = [words[first:end] for first, end in zip(places.tolist(), ends.tolist(), strict=True)]
    lengths = np.cumsum([0, *map(len, pieces)])
    return Lanes(states, np.concatenate([*pieces, np.zeros(SPARE, np.uint16)]), lengths).pack()


def decode(
    cursor: Cursor, count: int, frequencies: np.ndarray, precision: int, number: int, dtype: np.dtype
) -> np.ndarray:
    """Invert `encode`: return ``count`` symbols of ``number`` lanes, which take all that is left of ``cursor``.

    Raises:
        FormatError: when they are not what the encoder would have written.
    """
    lanes = parse_lanes(cursor, number)
    read = rans_compiled.decode if COMPILED else rans_vectors.decode
    out = np.empty(count, dtype)
    places = lanes.ends[:-1].astype(np.uint64)
    states, ends = lanes.states.copy(), lanes.ends[1:].astype(np.uint64)
    read(frozen(lanes.words), frozen(ends), decoder_table(frequencies, precision), precision, states, places, out)
    if (places != ends).any() or (states != LOW).any():
        raise FormatError("rANS data does not end where it began")
    return out


def decoder_table(frequencies: np.ndarray, precision: int) -> np.ndarray:
    """Return for each slot of range(2ⁿ), uint64: frequency (from bit 32), slot − bias (from bit 16), symbol."""
    if COMPILED:
        filled = np.empty(1 << precision, np.uint64)
        rans_compiled.fill(frequencies, filled)
        return frozen(filled)
    bias = np.cumsum(frequencies) - frequencies
    symbol = np.repeat(np.arange(len(frequencies)), frequencies)
    table = frequencies[symbol] << 32 | (np.arange(1 << precision) - bias[symbol]) << 16 | symbol
    return frozen(table.astype(np.uint64))


def _encoder_table(frequencies: np.ndarray, precision: int) -> np.ndarray:
    """Return for each symbol, uint64: the state from which a word is put out; ⌊2³¹⁺ⁿ/f⌋; f; bias."""
    f = np.maximum(frequencies, 1).astype(np.uint64)
    bias = (np.cumsum(frequencies) - frequencies).astype(np.uint64)
    return np.stack([f << np.uint64(32 - precision), np.uint64(1 << (31 + precision)) // f, f, bias], axis=1)


def _most_words(count: int, lanes: int) -> np.ndarray:
    """Return for each group its number of symbols and one: a symbol gives a word at most, and one is scratch."""
    first = np.arange(0, lanes, GROUP)
    width = min(GROUP, lanes)
    most: np.ndarray = count // lanes * width + np.clip(count % lanes - first, 0, width) + 1
    return most

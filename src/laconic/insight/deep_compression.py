"""The layout of Deep Compression, a named baseline: pruned, quantized, Huffman-coded.

A survivor is a relative index of b bits, the number of zeros before it, and the index of its value in a codebook of
float32. Where 2^b zeros or more come first, each 2^b-th of them is stored too, as a filler: the largest index and the
symbol after the last of the codebook. Indices and values are two streams, each with its own Huffman table.

Layout: b (one byte); entries, that is survivors and fillers, and K, the length of the codebook (varints); the
codebook (4 K bytes, little-endian); bytes of the stream of indices (varint); that stream; the stream of values. The
shape is not stored. Streams are those of `laconic.format.coding.huffman`.

Source: Han, Mao & Dally, "Deep Compression" (ICLR 2016), sections 2, 3 and 5, figure 2. Departures: a first survivor in
place 0 has no index in the figure, which counts from place 0; here the count begins before it. The paper does not say
which of the 2ⁿ values of n bits a filler takes: here it is one more, so that K = 2ⁿ − 1 fills n bits.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import FormatError, WeightsError
from laconic.format.codes import CodebookCode, SparseCode, Symbols, Values
from laconic.format.coding import Cursor, entropy_bits, huffman, symbol_dtype, varint
from laconic.format.coding.symbols import MAX_COUNT

FULLY_CONNECTED, CONVOLUTION = 5, 8
"""Bits of a relative index in the paper's text; its tables use 5 for both kinds of layer, and 4 for AlexNet."""

MAX_INDEX_BITS = 16
"""No relative index has more bits."""

_DTYPE = "float32"


@final
@dataclass(frozen=True)
class Account:
    """The bits of a tensor, or of several, as the paper's tables count them (without tables of Huffman codes).

    Args:
        weights: number of weights.
        kept: number of survivors.
        fillers: number of filler zeros; an entry is a survivor or a filler.
        codebook: bits of the codebook, 32 an entry of it.
        indices: bits of the relative indices, fixed width.
        values: bits of the value indices, ⌈log₂ K⌉ each, with one more choice where there are fillers.
        indices_huffman: bits of the relative indices, Huffman-coded.
        values_huffman: bits of the value indices, Huffman-coded.
        file: bits of what `encode` writes: all of the above, tables and lengths too; 0 where nothing is written.
        entries_entropy: order-0 entropy of the relative indices and of the value indices, in bits: what Huffman codes
            are above; 0 where no entry is known.
        places_entropy: entropy of which weights survive, each by itself, and order-0 entropy of the survivors' value
            indices, in bits: what is left without relative indices and fillers.
    """

    weights: int
    kept: int
    fillers: int
    codebook: int
    indices: int
    values: float
    indices_huffman: int
    values_huffman: float
    file: int = 0
    entries_entropy: float = 0.0
    places_entropy: float = 0.0

    @property
    def entries(self) -> int:
        """Survivors and fillers: what "weight bits" and "index bits" of the tables are averages over."""
        return self.kept + self.fillers

    @property
    def quantized(self) -> float:
        """Bits of P+Q: pruned and quantized."""
        return self.codebook + self.indices + self.values

    @property
    def coded(self) -> float:
        """Bits of P+Q+H: pruned, quantized and Huffman-coded."""
        return self.codebook + self.indices_huffman + self.values_huffman

    @property
    def quantized_ratio(self) -> float:
        """Bits of float32 weights over P+Q; infinite for an empty tensor."""
        return 32 * self.weights / self.quantized if self.quantized else math.inf

    @property
    def coded_ratio(self) -> float:
        """Bits of float32 weights over P+Q+H; infinite for an empty tensor."""
        return 32 * self.weights / self.coded if self.coded else math.inf

    @property
    def share(self) -> float:
        """Survivors over weights."""
        return self.kept / max(self.weights, 1)

    @property
    def rates(self) -> tuple[float, float]:
        """Bits of P+Q and of P+Q+H over those of float32 weights."""
        return self.quantized / max(32 * self.weights, 1), self.coded / max(32 * self.weights, 1)

    @property
    def saved(self) -> float:
        """The share of P+Q that Huffman codes save."""
        return 1 - self.coded / self.quantized if self.quantized else 0.0

    @property
    def costs(self) -> tuple[float, float]:
        """Bits that Huffman codes cost over the entropy of their symbols, and that over the one of places and values.

        The second is what relative indices cost: less than nothing where survivors cluster, for places are counted as
        if they did not.
        """
        huffman_bits = self.indices_huffman + self.values_huffman
        return huffman_bits - self.entries_entropy, self.entries_entropy - self.places_entropy

    @property
    def bits(self) -> tuple[float, float, float, float]:
        """Bits of an entry: of its value in P+Q and in P+Q+H, and of its index in both."""
        many = max(self.entries, 1)
        return self.values / many, self.values_huffman / many, self.indices / many, self.indices_huffman / many

    def record(self) -> dict[str, float]:
        """Return a line of the tables as JSON says it; shares and rates in percent."""
        value, coded, index, index_coded = (round(bits, 4) for bits in self.bits)
        return {
            "weights": self.weights, "kept": round(100 * self.share, 4), "value": value, "value, H": coded,
            "index": index, "index, H": index_coded, "rate": round(100 * self.rates[0], 4),
            "rate, H": round(100 * self.rates[1], 4),
        }  # fmt: skip


def encode(code: SparseCode, index_bits: int = FULLY_CONNECTED) -> bytes:
    """Return ``code`` in the layout above.

    Args:
        code: float32, its values a `CodebookCode` of float32, as from ``KeepLargest(values=AdaptiveCodebook(K))``.
        index_bits: width of a relative index, 0 to 16; at 0 every zero before the last survivor is an entry.

    Raises:
        WeightsError: when ``code`` is of another kind or too large, or ``index_bits`` is out of range.

    >>> values = CodebookCode((2,), "float32", Values(np.float32([-1, 1])), Symbols(np.array([1, 0]), 2))
    >>> code = SparseCode((2, 2), "float32", Symbols(np.array([0, 1, 1, 0]), 2), values)
    >>> decode(encode(code), (2, 2)).decompress()
    array([[ 0.,  1.],
           [-1.,  0.]], dtype=float32)
    """
    codebook = _values_of(code).codebook.array
    skips, symbols = _entries(code, index_bits)
    indices = huffman.encode(skips, 1 << index_bits)
    head = bytes([index_bits]) + varint(len(skips)) + varint(len(codebook)) + codebook.astype("<f4").tobytes()
    return head + varint(len(indices)) + indices + huffman.encode(symbols, len(codebook) + 1)


def decode(data: bytes | memoryview, shape: tuple[int, ...]) -> SparseCode:
    """Invert `encode`: return a code of ``shape`` with the same mask, codebook and indices.

    Raises:
        FormatError: when ``data`` is not what `encode` would have written for a tensor of ``shape``.
    """
    size = math.prod(shape)
    cursor = Cursor(data)
    index_bits, entries, choices = cursor.unsigned(1), cursor.varint(), cursor.varint()
    if index_bits > MAX_INDEX_BITS or entries > min(size, MAX_COUNT) or choices >= huffman.MAX_ALPHABET:
        raise FormatError(f"{entries} entries, indices of {index_bits} bits, {choices} values: for {size} weights")
    codebook = np.frombuffer(cursor.take(4 * choices), "<f4").astype(np.float32)
    skips = huffman.decode(cursor.take(cursor.varint()), entries, 1 << index_bits).astype(np.int64)
    symbols = huffman.decode(cursor.rest(), entries, choices + 1)
    places, kept = np.cumsum(skips + 1) - 1, symbols < choices
    if entries and (places[-1] >= size or not kept[-1]):
        raise FormatError(f"the last entry should be a survivor in one of {size} places, not in {places[-1]}")
    if (skips[~kept] != (1 << index_bits) - 1).any():
        raise FormatError("a filler zero where no index overflows")
    mask = np.zeros(size, np.uint8)
    mask[places[kept]] = 1
    chosen = Symbols(symbols[kept], choices)
    values = CodebookCode((len(chosen),), _DTYPE, Values(codebook), chosen)
    return SparseCode(shape, _DTYPE, Symbols(mask, 2), values)


def account(code: SparseCode, index_bits: int = FULLY_CONNECTED) -> Account:
    """Return the bits of ``code``, before and after Huffman coding; arguments and errors are those of `encode`.

    Without pruning and indices it is the paper's r = n b / (n log₂ k + k b), here n = 16, k = 4, b = 32:

    >>> values = CodebookCode((16,), "float32", Values(np.float32([-1, 0, 1, 2])), Symbols(np.arange(16) % 4, 4))
    >>> account(SparseCode((4, 4), "float32", Symbols(np.ones(16), 2), values), index_bits=0).quantized_ratio
    3.2
    """
    skips, symbols = _entries(code, index_bits)
    choices = len(_values_of(code).codebook)
    fillers = len(skips) - code.values.size
    width = max(choices + (fillers > 0) - 1, 0).bit_length()
    return Account(
        weights=code.size,
        kept=code.values.size,
        fillers=fillers,
        codebook=32 * choices,
        indices=len(skips) * index_bits,
        values=len(skips) * width,
        indices_huffman=huffman.payload_bits(skips, 1 << index_bits),
        values_huffman=huffman.payload_bits(symbols, choices + 1),
        file=8 * len(encode(code, index_bits)),
        entries_entropy=entropy_bits(skips, 1 << index_bits) + entropy_bits(symbols, choices + 1),
        places_entropy=entropy_bits(code.mask.array, 2) + entropy_bits(_values_of(code).indices.array, choices),
    )


def relative(mask: np.ndarray, index_bits: int = FULLY_CONNECTED) -> tuple[np.ndarray, np.ndarray]:
    """Return the relative index of each entry, survivors and fillers, and the number of the entry of each survivor.

    Args:
        mask: 0 where a weight is pruned, shape (weights,).
        index_bits: as `encode`.

    Raises:
        WeightsError: when ``index_bits`` is out of range.

    >>> skips, survivors = relative(np.array([0, 1, 0, 0, 0, 0, 0, 1]), index_bits=2)
    >>> skips.tolist(), survivors.tolist()
    ([1, 3, 1], [0, 2])
    """
    if not 0 <= index_bits <= MAX_INDEX_BITS:
        raise WeightsError(f"index_bits is the width of a relative index, 0 to {MAX_INDEX_BITS}, not {index_bits}")
    span = 1 << index_bits
    skipped = np.diff(np.flatnonzero(mask), prepend=-1) - 1
    survivors = np.cumsum(skipped // span + 1) - 1  # each comes after its fillers
    skips = np.full(int(survivors[-1]) + 1 if len(survivors) else 0, span - 1, symbol_dtype(span))
    skips[survivors] = skipped % span
    return skips, survivors


def _values_of(code: SparseCode) -> CodebookCode:
    """Return the code of the survivors; raise `WeightsError` unless this layout can hold it."""
    values = code.values
    if not isinstance(values, CodebookCode):
        raise WeightsError(f"values should be a CodebookCode, not {type(values).__name__}; prune and quantize first")
    if {code.dtype, values.dtype, values.codebook.array.dtype.name} != {_DTYPE}:
        raise WeightsError(f"Deep Compression stores {_DTYPE}, not {code.dtype} of {values.codebook.array.dtype}")
    if code.size > MAX_COUNT or len(values.codebook) >= huffman.MAX_ALPHABET:
        raise WeightsError(f"{code.size} weights with {len(values.codebook)} values are too many for this layout")
    return values


def _entries(code: SparseCode, index_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the relative index and the value's symbol of each entry, survivors and fillers in the order of places."""
    values = _values_of(code)
    skips, survivors = relative(code.mask.array, index_bits)
    symbols = np.full(len(skips), len(values.codebook), symbol_dtype(len(values.codebook) + 1))
    symbols[survivors] = values.indices.array
    return skips, symbols

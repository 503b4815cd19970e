"""The columns of Deep Compression's tables 2 to 5: of a layer that is there, or of one of which the print says enough.

Bits are means over entries, survivors and fillers (`laconic.insight.deep_compression`). Rates are over 32 bits a
weight, with the codebook and without tables of Huffman codes, as the paper counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes import Code, CodebookCode, SparseCode, Symbols, Values
from laconic.format.coding import huffman
from laconic.insight.deep_compression import FULLY_CONNECTED, account

MOST = 256
"""Values of a tensor that counts as quantized."""


@final
@dataclass(frozen=True)
class Statistics:
    """What a table says of a layer, or of all of them.

    Args:
        weights: how many.
        kept: survivors.
        entries: survivors and fillers.
        values: bits of the value indices, fixed width.
        values_coded: the same, Huffman-coded.
        indices: bits of the relative indices, fixed width.
        indices_coded: the same, Huffman-coded.
        codebook: bits of the codebook.
    """

    weights: int
    kept: int
    entries: int
    values: float
    values_coded: float
    indices: float
    indices_coded: float
    codebook: int

    @property
    def share(self) -> float:
        """Survivors over weights."""
        return self.kept / max(self.weights, 1)

    @property
    def rate(self) -> float:
        """P+Q: bits over those of float32 weights."""
        return (self.values + self.indices + self.codebook) / max(32 * self.weights, 1)

    @property
    def rate_coded(self) -> float:
        """P+Q+H: likewise."""
        return (self.values_coded + self.indices_coded + self.codebook) / max(32 * self.weights, 1)

    @property
    def bits(self) -> tuple[float, float, float, float]:
        """Bits of an entry: value, P+Q and P+Q+H, and index, P+Q and P+Q+H."""
        every = self.values, self.values_coded, self.indices, self.indices_coded
        return tuple(one / max(self.entries, 1) for one in every)  # type: ignore[return-value]

    def record(self) -> dict[str, float]:
        """Return a line of the table as JSON says it; shares and rates in percent."""
        value, coded, index, index_coded = (round(bits, 4) for bits in self.bits)
        return {
            "weights": self.weights, "kept": round(100 * self.share, 4), "value": value, "value, H": coded,
            "index": index, "index, H": index_coded, "rate": round(100 * self.rate, 4),
            "rate, H": round(100 * self.rate_coded, 4),
        }  # fmt: skip

    @property
    def saved(self) -> float:
        """The share of P+Q that Huffman codes save."""
        return 1 - self.rate_coded / self.rate if self.rate else 0.0


def statistics(code: Code, index_bits: int = FULLY_CONNECTED) -> Statistics | None:
    """Return the statistics of a tensor that is quantized, pruned or not, however it is coded; None for any other.

    >>> values = np.float32([[0, 1, 0, 0], [0, 0, -1, 0]])
    >>> statistics(CodebookCode((2, 4), "float32", *shared(values.ravel()))).share
    0.25
    """
    sparse = pruned(code)
    if sparse is None:
        return None
    one = account(sparse, index_bits)
    return Statistics(
        one.weights, one.kept, one.entries, one.values, one.values_huffman, one.indices, one.indices_huffman,
        one.codebook,
    )  # fmt: skip


def pruned(code: Code) -> SparseCode | None:
    """Return a tensor as survivors with shared values: float32 of two axes or more, of at most `MOST` values and 0."""
    if code.dtype != "float32" or len(code.shape) < 2:
        return None
    flat = code.decompress().ravel()
    mask = flat != 0
    codebook, indices = shared(flat[mask])
    if len(codebook) > MOST:
        return None
    values = CodebookCode((len(indices),), "float32", codebook, indices)
    return SparseCode(code.shape, "float32", Symbols(mask.astype(np.uint8), 2), values)


def shared(flat: np.ndarray) -> tuple[Values, Symbols]:
    """Return the values that occur, float32, and the index of each number's among them."""
    codebook, indices = np.unique(flat, return_inverse=True)
    return Values(codebook), Symbols(indices, len(codebook))


def by_chance(weights: int, share: float, bits: float, bits_coded: float, index_bits: int, seed: int = 0) -> Statistics:
    """Return the statistics of a layer whose survivors are in random places.

    Args:
        weights: how many.
        share: of them that survive.
        bits: of a value, fixed width; the codebook has 2^bits entries.
        bits_coded: of a value, Huffman-coded.
        index_bits: of a relative index.
        seed: of the places.
    """
    span, kept = 1 << index_bits, round(share * weights)
    skipped = np.random.default_rng(seed).geometric(kept / weights, kept) - 1
    fillers, last = int((skipped // span).sum()), np.bincount(skipped % span, minlength=span)
    last[span - 1] += fillers
    lengths, entries = huffman.code_lengths(last.astype(np.int64)), kept + fillers
    return Statistics(
        weights, kept, entries, entries * bits, entries * bits_coded, entries * index_bits, float(last @ lengths),
        32 << round(bits),
    )  # fmt: skip


def total(layers: Sequence[Statistics]) -> Statistics:
    """Return the statistics of all layers together."""
    sums = [sum(getattr(one, name) for one in layers) for name in Statistics.__dataclass_fields__]
    return Statistics(*sums)

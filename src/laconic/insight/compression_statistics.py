"""The columns of Deep Compression's tables 2 to 5: of a layer that is there, or of one of which the print says enough.

Bits are means over entries, survivors and fillers (`laconic.insight.deep_compression`). Rates are over 32 bits a
weight, with the codebook and without tables of Huffman codes, as the paper counts.
"""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from laconic.format.codes import Code, CodebookCode, SparseCode, Symbols, Values
from laconic.format.coding import huffman
from laconic.insight.deep_compression import FULLY_CONNECTED, Account, account

MOST = 256
"""Values of a tensor that counts as quantized."""


def statistics(code: Code, index_bits: int = FULLY_CONNECTED) -> Account | None:
    """Return the account of a tensor that is quantized, pruned or not, however it is coded; None for any other.

    >>> values = np.float32([[0, 1, 0, 0], [0, 0, -1, 0]])
    >>> statistics(CodebookCode((2, 4), "float32", *shared(values.ravel()))).share
    0.25
    """
    sparse = pruned(code)
    return None if sparse is None else account(sparse, index_bits)


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


def by_chance(weights: int, share: float, bits: float, bits_coded: float, index_bits: int, seed: int = 0) -> Account:
    """Return the account of a layer whose survivors are in random places.

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
    indices_huffman = int(last @ lengths)
    return Account(
        weights, kept, fillers, 32 << round(bits), entries * index_bits, entries * bits, indices_huffman,
        entries * bits_coded,
    )  # fmt: skip


def total(layers: Sequence[Account]) -> Account:
    """Return the account of all layers together."""
    return Account(*(sum(getattr(one, part.name) for one in layers) for part in fields(Account)))

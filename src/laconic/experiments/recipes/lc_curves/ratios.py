"""Compression ratios as the LC papers' slides write them: ρ = bits(reference) / bits(compressed), floats of 32 bits.

P₁ multiplicative weights and P₀ biases; biases are not compressed. `laconic.format.codes.counting.published_bits`
counts codes that there are, and differs in pruning: a survivor has the coordinates of its own matrix, and a bias, which
is not pruned, has none. The slides charge every number that is kept, biases too, with one width of index, and write
`b_idx = #bits(row, column)`: here that of the largest matrix.

Source: Carreira-Perpiñán, "Model compression as constrained optimization" (slides), "Quantization vs pruning".
"""

from collections.abc import Collection
from math import prod

FLOAT = 32
"""Bits of a number that is not compressed."""


def quantization(weights: int, biases: int, values: int, codebooks: int) -> float:
    """Return `ρ(K) = 32 (P₁ + P₀) / (P₁ ⌈log₂ K⌉ + 32 (P₀ + K · codebooks))`.

    >>> round(quantization(266_200, 410, values=2, codebooks=3), 2)
    30.52

    Args:
        weights: P₁.
        biases: P₀.
        values: K.
        codebooks: that are stored.
    """
    return FLOAT * (weights + biases) / (weights * _bits(values) + FLOAT * (biases + values * codebooks))


def pruning(weights: int, biases: int, kept: float, index: int) -> float:
    """Return `ρ(P) = 32 (P₁ + P₀) / ((P P₁ + P₀) (32 + b_idx))`.

    >>> round(pruning(266_200, 410, 0.05, index_bits([(300, 784), (100, 300), (10, 100)])), 2)
    12.19

    Args:
        weights: P₁.
        biases: P₀.
        kept: P, the share of the weights that is not 0.
        index: b_idx.
    """
    return FLOAT * (weights + biases) / ((kept * weights + biases) * (FLOAT + index))


def index_bits(shapes: Collection[tuple[int, ...]]) -> int:
    """Return the bits of row and column in the largest of some matrices, of a kernel in dimension 0 × the rest."""
    rows, *rest = max(shapes, key=prod)
    return _bits(rows) + _bits(prod(rest))


def _bits(choices: int) -> int:
    """Return ⌈log₂ choices⌉."""
    return max(choices - 1, 0).bit_length()

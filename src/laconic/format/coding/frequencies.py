"""Frequencies for the entropy coder: counts, and their best approximation by integers that sum to 2ⁿ.

Everything that decides a byte of the file is integer arithmetic, so that the same symbols give the same file on
every machine; `entropy_bits` alone is a float, and only a report.
"""

from functools import cache

import numpy as np

from laconic.compiled import COMPILED, compiled
from laconic.format.coding.packing import frozen

FRACTION = 24
"""Costs are in units of 2⁻²⁴ bit."""

MAX_PRECISION = 14
"""Frequencies never sum to more than 2¹⁴."""


def histogram(symbols: np.ndarray, alphabet: int) -> np.ndarray:
    """Return how often each symbol of ``range(alphabet)`` occurs, int64; every symbol must be in range."""
    if not COMPILED:
        return np.bincount(symbols, minlength=alphabet)
    counts: np.ndarray = _histogram(frozen(symbols), alphabet)
    return counts


def entropy_bits(symbols: np.ndarray, alphabet: int) -> float:
    """Return the order-0 empirical entropy of all symbols together, in bits: no order-0 code is shorter.

    >>> entropy_bits(np.array([0, 1, 1, 0], np.uint8), 2)
    4.0
    """
    return entropy_of(histogram(symbols, alphabet))


def entropy_of(counts: np.ndarray) -> float:
    """Return the order-0 empirical entropy, in bits, of all symbols that occur so often."""
    used = counts[counts > 0].astype(np.float64)
    return float(np.sum(used * (np.log2(used.sum()) - np.log2(used)))) if len(used) > 1 else 0.0


@cache
def log2_table() -> np.ndarray:
    """Return log₂ f in units of 2⁻²⁴, rounded down, for f = 1 … 2¹⁴ (entry 0 is 0); integer arithmetic throughout.

    The digits come one by one: square the mantissa, and where it passes 2 the digit is 1.
    """
    numbers = np.arange(1, (1 << MAX_PRECISION) + 1, dtype=np.uint64)
    whole = np.zeros(len(numbers), np.uint64)
    for bit in range(1, MAX_PRECISION + 1):
        whole += numbers >> np.uint64(bit) > 0
    mantissa = (numbers << np.uint64(31)) >> whole  # in [2³¹, 2³²), exact
    log = whole
    for _ in range(FRACTION):
        mantissa = (mantissa * mantissa) >> np.uint64(31)
        digit = mantissa >> np.uint64(32)
        mantissa >>= digit
        log = (log << np.uint64(1)) | digit
    return frozen(np.concatenate([np.zeros(1, np.int64), log.astype(np.int64)]))


def normalise(counts: np.ndarray, precision: int) -> np.ndarray:
    """Return integer frequencies f, one or more where the count is, with sum 2ⁿ, that make the code shortest.

    Problem: minimise Σ cᵢ (n − log₂ fᵢ) subject to Σ fᵢ = 2ⁿ, fᵢ ≥ 1 where cᵢ > 0. It is separable and concave in
    each fᵢ, so single exchanges that no longer help mean the optimum (logarithms are known to 2⁻²⁴ bit).

    Args:
        counts: shape (alphabet,), int64, with at least two and at most 2ⁿ positive entries, and a sum below 2⁴⁰.
        precision: n.
    """
    frequencies = counts * (1 << precision) // int(counts.sum())
    np.maximum(frequencies, counts > 0, out=frequencies)
    _balance(counts, frequencies, 1 << precision, log2_table())
    return frequencies


def cost(counts: np.ndarray, frequencies: np.ndarray, precision: int) -> int:
    """Return Σ cᵢ (n − log₂ fᵢ) in units of 2⁻²⁴ bit."""
    return int(counts.sum()) * (precision << FRACTION) - int(np.dot(counts, log2_table()[frequencies]))


@compiled
def _histogram(symbols, alphabet):  # type: ignore[no-untyped-def]
    """Count in four rows, so that equal neighbours do not wait for one another."""
    rows = np.zeros((4, alphabet), np.int64)
    whole = len(symbols) // 4 * 4
    for i in range(0, whole, 4):
        rows[0, symbols[i]] += 1
        rows[1, symbols[i + 1]] += 1
        rows[2, symbols[i + 2]] += 1
        rows[3, symbols[i + 3]] += 1
    for i in range(whole, len(symbols)):
        rows[0, symbols[i]] += 1
    return rows[0] + rows[1] + rows[2] + rows[3]


@compiled
def _cheapest_loss(counts, frequencies, log2):  # type: ignore[no-untyped-def]
    """Return the symbol whose frequency is lowered at the least cost (-1 when none can be), and that cost."""
    best, least = -1, np.int64(1) << 62
    for i in range(len(counts)):
        if frequencies[i] > 1:
            loss = counts[i] * (log2[frequencies[i]] - log2[frequencies[i] - 1])
            if loss < least:
                best, least = i, loss
    return best, least


@compiled
def _dearest_gain(counts, frequencies, log2):  # type: ignore[no-untyped-def]
    """Return the symbol whose frequency is raised with the most gain, and that gain."""
    best, most = -1, np.int64(-1)
    for i in range(len(counts)):
        if counts[i] > 0 and frequencies[i] < len(log2) - 1:
            gain = counts[i] * (log2[frequencies[i] + 1] - log2[frequencies[i]])
            if gain > most:
                best, most = i, gain
    return best, most


@compiled
def _balance(counts, frequencies, total, log2):  # type: ignore[no-untyped-def]
    """Bring the sum to ``total`` by the best single steps, then exchange while that helps (in place)."""
    missing = total - frequencies.sum()
    while missing > 0:
        i, _ = _dearest_gain(counts, frequencies, log2)
        frequencies[i] += 1
        missing -= 1
    while missing < 0:
        i, _ = _cheapest_loss(counts, frequencies, log2)
        frequencies[i] -= 1
        missing += 1
    for _ in range(4 * len(counts)):
        up, gain = _dearest_gain(counts, frequencies, log2)
        down, loss = _cheapest_loss(counts, frequencies, log2)
        if down < 0 or up == down or gain <= loss:
            break
        frequencies[up] += 1
        frequencies[down] -= 1

"""Which rows, columns and positions of sparse integers are alike: scales for integers that are nearly all 0.

    min over scales   Σ_i bits(v_i | class_i) + bits(scales),   class_i = scale of its row − that of its column, …

Where most integers are 0 it is how many are not that differs from row to row: next to none in one, a tenth in another.
Scales of the weights do not tell, for what is below a step has no bits; those of the integers do. They are told in
whole octaves, for a finer one costs more than it brings.
"""

import math
from dataclasses import replace
from itertools import product

import numpy as np

from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS, Scales, folded
from laconic.quantize.lattice.source import Source, fitted_scales

BELOW = 8
"""Octaves below a step at which classes begin: there one integer in 65,000 is not 0."""

_SIZES = 8  # magnitudes that are told apart where bits are counted
_TABLE = 40.0  # bits that a class takes for its table, about
_SYMBOL = 8.0  # and a symbol that occurs, for its place in the table of symbols


def contexts(source: Source, levels: np.ndarray) -> Source:
    """Return ``source`` with the scales that make its integers shortest, or none where that is best.

    Args:
        source: a tensor, with whatever scales.
        levels: its integers in the last quantization, row-major, shape (size,).
    """
    shape = folded(source.shape)
    if not levels.any():
        return replace(source, mode=0, row_scales=np.full(1, -math.log2(source.finer)), deficits=np.zeros(0))
    small = np.minimum(np.abs(levels), _SIZES - 1).astype(np.int64)
    values = levels.astype(np.float64).reshape(shape)
    axes = [bit for bit, length in zip((ROWS, COLUMNS, POSITIONS), shape, strict=True) if length > 1]
    best = math.inf, source
    for chosen in product((False, True), repeat=len(axes)):
        mode = sum(bit for bit, wanted in zip(axes, chosen, strict=True) if wanted)
        rows, deficits = _octaves(values, mode)
        candidate = replace(source, mode=mode, row_scales=rows - math.log2(source.finer), deficits=deficits)
        best = min(best, (_bits(candidate, small), candidate), key=lambda one: one[0])
    return best[1]


def _octaves(values: np.ndarray, mode: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales of rows and the deficits of columns and positions, in whole octaves, by integers."""
    logs = fitted_scales(values, mode)
    a, b, c = (np.maximum(np.rint(one), one.max() - 2 * BELOW) for one in logs)
    deficits = [one.max() - one for bit, one in ((COLUMNS, b), (POSITIONS, c)) if mode & bit]
    rows = a if mode & ROWS else a[:1]
    return rows + b.max() + c.max(), np.concatenate([np.zeros(0), *deficits])


def _bits(source: Source, small: np.ndarray) -> float:
    """Return about what integers of these magnitudes take in the classes of ``source``, with its symbols."""
    symbols = source.symbols(-float(BELOW))
    classes = Scales(source.shape, source.mode, symbols, 128).each().astype(np.int64)
    counts = np.bincount(classes * _SIZES + small, minlength=128 * _SIZES).reshape(128, _SIZES)
    tables = np.count_nonzero(counts[:, 1:].any(axis=1)) * _TABLE
    kinds = np.bincount(symbols)
    return _entropy(counts) + tables + _entropy(kinds[None]) + _SYMBOL * np.count_nonzero(kinds)


def _entropy(counts: np.ndarray) -> float:
    """Return the bits of symbols that occur so often, each row by a code of its own."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.ones(counts.shape), where=counts > 0)
    return float(-(counts * np.log2(shares)).sum())

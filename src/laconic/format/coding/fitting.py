"""The tables that make levels shortest, and what a level costs while they are being chosen."""

import numpy as np

from laconic.errors import FormatError
from laconic.format.coding.frequencies import FRACTION, log2_table
from laconic.format.coding.levels import SIZES, centre_of, raw_bits, size_of
from laconic.format.coding.model import (
    EIGHTHS,
    MAX_COST,
    PRECISION,
    Table,
    frequencies_of,
    shaped,
    table_bits,
)

MAGNITUDES = 1024
"""Costs are told for |v| below this; beyond, they stay as they are, and the distortion decides."""

_UNSEEN, _FALL = 0.3, 1.0  # what has not been seen has a pseudo-count that halves with each size
_SHAPED_FROM = 6  # sizes from which a table of one shape can be shorter


def fitted(counts: np.ndarray, *, odd: bool) -> Table:
    """Return a table for sizes that occur ``counts`` times (shape (128,), both signs together).

        min over tables   bits(table) + Σ_m counts_m (log₂ 1/f_m + raw bits of m)

    over two candidates: the costs that the counts ask for, each told; and the parabola next to them.
    """
    end = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 0
    if (end <= 1 and not odd) or end == 0:
        return Table((0,) * end)
    smooth = np.maximum(counts[:end].astype(np.float64), _UNSEEN)
    halves = np.log2(smooth) - np.where(np.arange(end) > 0, 1.0, float(odd))  # of one sign
    candidates = [_told(halves, odd), _parabola(smooth, halves, odd) if end >= _SHAPED_FROM else None]
    tables = [table for table in candidates if table is not None]
    return min(tables, key=lambda table: table_bits(table) + coded_bits(table, counts, odd=odd))


def coded_bits(table: Table, counts: np.ndarray, *, odd: bool) -> float:
    """Return the bits of levels whose sizes occur ``counts`` times under ``table``."""
    used = np.flatnonzero(counts)
    if not len(used):
        return 0.0
    frequencies = frequencies_of(table.costs, odd=odd)[2 * used]  # of the sign with the smaller symbol or the larger
    lengths = PRECISION - log2_table()[frequencies] / (1 << FRACTION) + raw_bits(used)
    return float(np.dot(counts[used], lengths))


def smoothed_costs(counts: np.ndarray) -> np.ndarray:
    """Return what each |v| costs, sign included, in bits: float32, shape (classes, 1024).

    Args:
        counts: how often each size occurs in each class and of each parity, shape (classes, parities, 128).
    """
    parities = counts.shape[1]
    places = np.arange(SIZES)
    beyond = places - np.where(counts > 0, places, 0).max(axis=2, keepdims=True)
    mass = counts + _UNSEEN * np.exp2(-_FALL * np.clip(beyond, 0, 60))
    costs = np.log2(mass.sum(axis=2, keepdims=True)) - np.log2(mass) + raw_bits(places)
    magnitudes = np.arange(MAGNITUDES)
    bits: np.ndarray = costs[:, magnitudes % parities, size_of(magnitudes // parities)]
    bits[:, 1:] += 1
    return np.asarray(bits, np.float32)


def _told(halves: np.ndarray, odd: bool) -> Table:
    """Return the table whose costs are those of the logarithms ``halves``."""
    costs = np.clip(np.rint(EIGHTHS * (halves.max() - halves)), 0, MAX_COST).astype(np.int64)
    return _sound(Table(tuple(costs.tolist())), odd)


def _sound(table: Table, odd: bool) -> Table:
    """Return ``table``, its first cost lowered, and then all others raised, until its frequencies exist."""
    (first, *costs), shape = table.costs, table.shape
    while True:
        try:
            frequencies_of([first, *costs], odd=odd)
        except FormatError:
            if first:
                first = max(first - EIGHTHS, 0)
                continue
            costs = [min(cost + 1, MAX_COST) for cost in costs]
            shape = None  # those that are held at the largest would not follow it
            continue
        return Table((first, *costs), shape)


def _parabola(smooth: np.ndarray, halves: np.ndarray, odd: bool) -> Table | None:
    """Return the table of the parabola that fits best, weighted by the counts, or None where that is out of range."""
    sizes = np.arange(1, len(smooth))
    a = centre_of(sizes) / 2 - 1
    wanted = -EIGHTHS * (halves[1:] - raw_bits(sizes))
    root = np.sqrt(smooth[1:])
    basis = np.stack([np.ones(len(a)), a, a * a], axis=1) * root[:, None]
    for terms in (3, 2):
        solution = np.zeros(3)
        solution[:terms] = np.linalg.lstsq(basis[:, :terms], wanted * root, rcond=None)[0]
        slope, curvature = round(256 * solution[1]), round(65536 * solution[2])
        if 0 <= slope < 1 << 16 and 0 <= curvature < 1 << 16:
            break
    else:
        return None
    level = np.array([shaped(0, (MAX_COST // 2, slope, curvature), len(smooth))[1:]]) - MAX_COST // 2
    first = -EIGHTHS * halves[0] - solution[0]
    lowest = min(float(level.min()), first)
    c1, c0 = -lowest, first - lowest
    if not 0 <= round(c1) <= MAX_COST or not 0 <= round(c0) <= MAX_COST:
        return None
    shape = round(c1), slope, curvature
    return _sound(Table(shaped(round(c0), shape, len(smooth)), shape), odd)

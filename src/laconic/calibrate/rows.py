"""Rows of a layer whose errors are not worth the same: finer steps where the outputs feel them more.

    min over Ŵ   Σ_r 2^k_r e_r Σ e_rᵀ + price · bits(Ŵ),     e = W − Ŵ

Rows do not know of each other, so each is quantized as W_r 2^(k_r/2) would be if all were worth the same. Where s_r
vary this saves up to ½ log₂ of their arithmetic over their geometric mean, in bits a weight (`benchmarks/rows.py`
says how much in some networks). What a gradient says of a row is true of small errors and of the samples that were
seen: so k follows s^`TRUST`, and no row is worth less than `LEAST` of the median.

Source: the rows' share of a Fisher matrix that is a Kronecker product (Martens & Grosse, "Optimizing neural networks
with Kronecker-factored approximate curvature", ICML 2015); power and floor are laconic's.
"""

from collections.abc import Sequence

import numpy as np

from laconic.format.codes.grid import fineness

TRUST = 0.7
"""The power of what is measured that is believed: see `docs/notes/calibration.md`."""

LEAST = 0.1
"""Of the median of the rows that are felt."""

NONE = np.zeros(0, np.int64)
"""For rows that are all worth the same."""


def worths(felt: np.ndarray) -> np.ndarray:
    """Return k of each row, from 0 on, int64, shape (m,); none where all are the same.

    Args:
        felt: s, what a squared error of what each row writes is to the outputs, not negative, shape (m,).

    >>> worths(np.array([1.0, 1.0, 32.0, 0.0])).tolist(), worths(np.ones(3)).tolist()
    ([2, 2, 6, 0], [])
    """
    if not (felt > 0).any():
        return NONE
    least = LEAST * float(np.median(felt[felt > 0]))
    powers = np.rint(TRUST * np.log2(np.maximum(felt, least))).astype(np.int64)
    own = powers - powers.min()
    return own if own.any() else NONE


def stretched(weights: np.ndarray, finer: np.ndarray) -> np.ndarray:
    """Return weights in units of their rows, whose errors then are all worth the same, float64.

    Args:
        weights: shape (m, ...).
        finer: k of each row, or none.

    >>> stretched(np.ones((2, 1)), np.array([0, 2])).tolist()
    [[1.0], [2.0]]
    """
    plain = np.asarray(weights, np.float64)
    return plain / fineness(finer).reshape(-1, *[1] * (plain.ndim - 1)) if len(finer) else plain


def spread(values: Sequence[np.ndarray], finer: np.ndarray, rows: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return numbers of each row, where those of some rows are the same at once, and how many rows have each.

    Args:
        values: of the rows of each group, m / groups each, in order: shape (groups, n).
        finer: k of each row, or none: the first of ``values`` are worth 2^k as much there.
        rows: m.

    >>> [numbers.tolist() for numbers in spread([np.ones((1, 2))], np.array([0, 3, 3]), 3)[0]]
    [[1.0, 1.0, 8.0, 8.0]]
    """
    groups, n = values[0].shape
    every = finer if len(finer) else np.zeros(rows, np.int64)
    found, counts = [list[np.ndarray]() for _ in values], list[np.ndarray]()
    for g, own in enumerate(np.split(every[: rows // groups * groups], groups)):
        for k, many in zip(*np.unique(own, return_counts=True), strict=True):
            for one, into in zip(values, found, strict=True):
                into.append(one[g] * 2.0**k)
            counts.append(np.full(n, float(many)))
    nothing = [np.zeros(0)]
    return [np.concatenate(own or nothing) for own in found], np.concatenate(counts or nothing)

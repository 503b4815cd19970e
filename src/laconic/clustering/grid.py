"""Rounding to a uniform grid with the rate in the loop (entropy-coded scalar quantization).

    min over q, o   Σ_t Σ_i h_ti (x_ti − q_ti − sgn(q_ti) o_|q_ti|)² + rate · Σ_t bits(q_t)

Everything is in units of the step. bits(q) is the order-0 empirical entropy of the symbols, and 64 more for each
escape. Method: code lengths, offsets and integers in turn, each the optimum given the others: the search for q is
exhaustive (bounded by the best cost so far), an offset is a rounded weighted mean, and no code is shorter than that
of the empirical frequencies. The objective never rises; a local optimum. O(n) a round but for weights of tiny h,
which look further.

Source: Chou, Lookabaugh & Gray, "Entropy-constrained vector quantization" (IEEE Trans. ASSP 37, 1989), for scalars on
a grid. Departure: reconstruction points are the grid's but for three offsets, as in video coding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.clustering.compiled import compiled

ESCAPE_BITS = 64
"""What an escaped integer costs beside its symbol."""

UNIT, LARGEST_OFFSET = 256, 127
"""Offsets are integers of −127 to 127 in units of 1/256 step: below half a step, levels stay in their order."""

CLASSES = 3
"""Offsets there are: for |q| = 1, 2, and 3 or more."""

REACH = 511
"""No larger |q| has a symbol of its own: 1024 symbols are the most that one frequency table holds."""

ROUNDS, ENOUGH = 60, 1e-6
"""Rounds end after so many, or when the objective falls by less than this share."""


@final
@dataclass(frozen=True, eq=False)
class Gridded:
    """A quantization.

    Args:
        levels: the integers of each tensor, int64.
        reaches: for each tensor the largest |q| that has a symbol.
        offsets: int8, shape (3,).
        bits: of all tensors, without tables.
        trace: the objective after each round.
    """

    levels: tuple[np.ndarray, ...]
    reaches: tuple[int, ...]
    offsets: np.ndarray
    bits: float
    trace: tuple[float, ...]


def grid(values: Sequence[np.ndarray], weights: Sequence[np.ndarray], step: float, rate: float) -> Gridded:
    """Return a local optimum, from rounding to the nearest.

    Args:
        values: for each tensor shape (n,), float32 or float64, finite, below 2⁴⁰ steps.
        weights: h for each tensor, shape (n,), not negative, or (0,) for the unit weight.
        step: positive, in the units of the values.
        rate: what a bit costs, in units of step².

    >>> grid([np.array([0.1, 0.9, 2.3, -1.1])], [np.zeros(0)], 1.0, 0.0).levels
    (array([ 0,  1,  2, -1]),)
    """
    offsets = np.zeros(CLASSES, np.int8)
    pairs, inverse = list(zip(values, weights, strict=True)), 1 / step
    levels = [_search(w, h, inverse, offsets, np.zeros(1), 0.0, 0.0) for w, h in pairs]
    reaches = tuple(_reach(q) for q in levels)
    best, trace = None, list[float]()
    for _ in range(ROUNDS):
        if not rate:  # then nothing keeps the nearest levels within the reach of before
            reaches = tuple(_reach(q) for q in levels)
        counts = [_counts(q, m) for q, m in zip(levels, reaches, strict=True)]
        bits = sum(map(entropy, counts))
        sums = sum((_moments(w, h, inverse, q) for (w, h), q in zip(pairs, levels, strict=True)), np.zeros((4, 3)))
        offsets = fitted(sums)
        trace.append(_distortion(sums, offsets) + rate * bits)
        if best is None or trace[-1] < trace[-2]:
            best = Gridded(tuple(levels), reaches, offsets, bits, tuple(trace))
        if len(trace) > 1 and not trace[-1] < trace[-2] * (1 - ENOUGH):
            break
        lengths = [code_lengths(c) if rate else np.zeros(len(c)) for c in counts]
        levels = [
            _search(w, h, inverse, offsets, table[:-1], float(table[-1]), rate)
            for (w, h), table in zip(pairs, lengths, strict=True)
        ]
    assert best is not None, "there is a first round"
    return best


def code_lengths(counts: np.ndarray) -> np.ndarray:
    """Return the ideal code lengths in bits for ``counts``, the last of which is the escape's; infinite where 0."""
    lengths = np.full(len(counts), np.inf)
    used = counts > 0
    lengths[used] = np.log2(max(counts.sum(), 1)) - np.log2(counts[used])
    lengths[-1] += ESCAPE_BITS
    return lengths


def entropy(counts: np.ndarray) -> float:
    """Return the bits of all symbols with these counts under their ideal code, escapes' integers included."""
    used = counts > 0
    return float(np.dot(counts[used], code_lengths(counts)[used]))


def fitted(sums: np.ndarray) -> np.ndarray:
    """Return the best offsets: weighted means, to the nearest unit, which for a parabola is the best integer."""
    mass, first = sums[1:, 0], sums[1:, 1]
    means = np.divide(first, mass, out=np.zeros(CLASSES), where=mass > 0)
    offsets: np.ndarray = np.clip(np.rint(means * UNIT), -LARGEST_OFFSET, LARGEST_OFFSET).astype(np.int8)
    return offsets


def _distortion(sums: np.ndarray, offsets: np.ndarray) -> float:
    """Return the weighted squared error in units of step² under ``offsets``."""
    moved = np.concatenate([[0.0], offsets / UNIT])
    return float(np.maximum(sums[:, 2] - 2 * moved * sums[:, 1] + moved**2 * sums[:, 0], 0).sum())


def _reach(levels: np.ndarray) -> int:
    """Return the m for which symbols for |q| ≤ m, escapes for the rest and a table of 12 bits a symbol are least."""
    widest = int(min(np.abs(levels).max(initial=0), REACH))
    counts = _counts(levels, widest)
    signed, escaped = counts[:-1].astype(np.float64), int(counts[-1])
    plain = signed * np.log2(np.maximum(signed, 1)) - 12.0 * (signed > 0)
    folded, gains = signed[widest:].copy(), plain[widest:].copy()
    folded[1:] += signed[:widest][::-1]
    gains[1:] += plain[:widest][::-1]
    far = np.maximum(escaped + folded.sum() - np.cumsum(folded), 0)
    bits = ESCAPE_BITS * far - far * np.log2(np.maximum(far, 1)) - np.cumsum(gains)
    return int(np.argmin(bits))


@compiled
def _search(
    values: np.ndarray,
    weights: np.ndarray,
    inverse: float,
    offsets: np.ndarray,
    lengths: np.ndarray,
    escape: float,
    rate: float,
) -> np.ndarray:
    """Return the cheapest q for each value: over all |q| ≤ m by ``lengths`` (of q + m), and over the nearest beyond."""
    m, cheapest = len(lengths) // 2, int(np.argmin(lengths))
    least = lengths[cheapest]
    levels = np.empty(len(values), np.int64)
    for i in range(len(values)):
        x = values[i] * inverse
        below = int(np.floor(x))
        h = weights[i] if len(weights) and rate > 0 else 1.0
        best, cost = cheapest - m, np.inf
        for q in (below, below + 1):
            error = x - _multiple(q, offsets)
            bits = (lengths[q + m] if abs(q) <= m else escape) if rate > 0 else 0.0
            if h * error * error + rate * bits < cost:
                best, cost = q, h * error * error + rate * bits
        if rate > 0:
            if h == 0:  # every level is as near: what is cheapest need not be searched for
                levels[i] = cheapest - m if least <= escape else best
                continue
            for way in (-1, 1):
                q = min(below - 1, m) if way < 0 else max(below + 2, -m)
                while abs(q) <= m:
                    error = x - _multiple(q, offsets)
                    if h * error * error + rate * least >= cost:
                        break
                    if h * error * error + rate * lengths[q + m] < cost:
                        best, cost = q, h * error * error + rate * lengths[q + m]
                    q += way
        levels[i] = best
    return levels


@compiled
def _multiple(q: int, offsets: np.ndarray) -> float:
    """Return `q + sgn(q) o_|q|`."""
    if q == 0:
        return 0.0
    moved: float = offsets[min(abs(q), len(offsets)) - 1] / 256
    return q + moved if q > 0 else q - moved


@compiled
def _counts(levels: np.ndarray, m: int) -> np.ndarray:
    """Return how often each q from −m to m occurs, and last how many lie beyond."""
    counts = np.zeros(2 * m + 2, np.int64)
    for q in levels:
        counts[q + m if abs(q) <= m else 2 * m + 1] += 1
    return counts


@compiled
def _moments(values: np.ndarray, weights: np.ndarray, inverse: float, levels: np.ndarray) -> np.ndarray:
    """Return for |q| = 0, 1, 2 and more, a row each: Σ h, Σ h e, Σ h e², with e = sgn(q) x − |q|."""
    sums = np.zeros((4, 3))
    for i in range(len(values)):
        q, h = levels[i], (weights[i] if len(weights) else 1.0)
        e = values[i] * inverse - q
        if q < 0:
            e = -e
        row = min(abs(q), 3)
        sums[row, 0] += h
        sums[row, 1] += h * e
        sums[row, 2] += h * e * e
    return sums

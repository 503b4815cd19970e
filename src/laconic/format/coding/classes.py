"""Runs of neighbours that are alike: rows of a tensor, of which those with like histograms share a table.

A row of weights has a scale of its own, so its exponents have; a group of integers that somebody has quantized has a
zero point. What is known of a run before it is read is its class. `docs/format.md` has the layout, under "Classes".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.coding.frequencies import entropy_of

SHORTEST = 16
"""Symbols of a run, at least."""

MOST = 64
"""Classes, at most."""

_TRIED = (2, 4, 8, 16, 32)
_ROUNDS = 6
_UNSEEN = 0.3  # pseudo-count of a symbol that a class has not seen yet
_TABLE = 8  # bits that a symbol takes in the table of a class, about
_LARGEST = 1 << 23  # entries of all histograms: 32 MiB


@final
@dataclass(frozen=True)
class Runs:
    """How symbols are cut into runs: the first one perhaps shorter, as a block may begin within a row, and the last.

    >>> Runs(4, 2).number(7), Runs(4, 2).borders(7).tolist()
    (3, [0, 2, 6, 7])
    """

    length: int
    first: int

    @classmethod
    def of(cls, length: int, start: int) -> "Runs":
        """Return the runs from place ``start`` on, where those of a stream begin at 0; short ones are joined."""
        length *= -(-4 * SHORTEST // length) if length < SHORTEST else 1
        return cls(length, length - start % length)

    def number(self, count: int) -> int:
        """Return how many runs ``count`` symbols are, more than the first one has."""
        return 1 + -(-(count - self.first) // self.length)

    def borders(self, count: int) -> np.ndarray:
        """Return where the runs of ``count`` symbols begin, and the end; int64."""
        return np.array([0, *range(self.first, count, self.length), count], np.int64)

    def taken(self, symbols: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Return the symbols of the runs that ``which`` (bool, one each) names, one after the other."""
        return np.concatenate([piece[own].reshape(-1) for piece, own in self._pieces(symbols, which)])

    def put(self, symbols: np.ndarray, which: np.ndarray, own: np.ndarray) -> None:
        """Invert `taken`: write ``own`` into the runs that ``which`` names."""
        at = 0
        for piece, chosen in self._pieces(symbols, which):
            many = int(np.count_nonzero(chosen)) * piece.shape[1]
            piece[chosen] = own[at : at + many].reshape(-1, piece.shape[1])
            at += many

    def _pieces(self, symbols: np.ndarray, which: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the first run, all whole ones and the last as matrices with a run a row, each with its part."""
        whole = (len(symbols) - self.first) // self.length
        end = self.first + whole * self.length
        yield symbols[None, : self.first], which[:1]
        yield symbols[self.first : end].reshape(whole, self.length), which[1 : 1 + whole]
        if end < len(symbols):
            yield symbols[None, end:], which[1 + whole :]


def classes_of(symbols: np.ndarray, alphabet: int, runs: Runs) -> np.ndarray | None:
    """Return the class of each run, uint8, all of 0 to the largest used; None where one table for all is as short.

        min over K ≤ 32 and κ: runs → range(K)   Σ_c (H(symbols of class c) + 8 bits a symbol in its table) + H(κ)

    A local minimum: runs in the order of their mean symbol, and of what they cost by one table for all, are cut into K
    parts, two and then twice as many as long as that helps; then in turn each class has the distribution of its runs,
    and each run goes to the class in which it is shortest (Lloyd's algorithm with code lengths for distances).
    """
    counts = _histograms(symbols, alphabet, runs)
    if counts is None:
        return None
    lengths = counts.sum(axis=1)
    means = counts @ np.arange(counts.shape[1], dtype=np.float32) / lengths
    surprise = counts @ _costs(counts.sum(axis=0)[None])[0] / lengths
    one = np.zeros(len(counts), np.int64)
    found = [(_bits(counts, one), one)]
    for key in (means, surprise):
        ranks, least = np.argsort(np.argsort(key, kind="stable"), kind="stable"), found[0][0]
        for many in _TRIED:
            kinds = _settled(counts, ranks * many // len(ranks), many)
            bits = _bits(counts, kinds)
            if bits >= least or many > len(counts) // 2:
                break
            least = bits
            found.append((bits, kinds))
    kinds = min(found, key=lambda each: each[0])[1]
    return np.unique(kinds, return_inverse=True)[1].astype(np.uint8) if kinds.any() else None


def _histograms(symbols: np.ndarray, alphabet: int, runs: Runs) -> np.ndarray | None:
    """Return how often each symbol that occurs is in each run, float32; None where there is nothing to gain."""
    used = np.flatnonzero(np.bincount(symbols, minlength=alphabet))
    number = runs.number(len(symbols))
    if len(used) < 2 or number < 4 or number * len(used) > _LARGEST:
        return None
    place = np.zeros(alphabet, np.int64)
    place[used] = np.arange(len(used))
    run = np.repeat(np.arange(number), np.diff(runs.borders(len(symbols))))
    counts = np.bincount(run * len(used) + place[symbols], minlength=number * len(used))
    return counts.reshape(number, len(used)).astype(np.float32)


def _costs(totals: np.ndarray) -> np.ndarray:
    """Return the code lengths in bits, shape (K, symbols), of classes that have seen each symbol so often."""
    smooth = totals + np.float32(_UNSEEN)
    return np.asarray(np.log2(smooth.sum(axis=1, keepdims=True)) - np.log2(smooth), np.float32)


def _settled(counts: np.ndarray, kinds: np.ndarray, many: int) -> np.ndarray:
    """Return the classes of runs after some rounds of Lloyd's algorithm."""
    for _ in range(_ROUNDS):
        runs = np.bincount(kinds, minlength=many)
        own = (np.log2(runs.sum()) - np.log2(runs + _UNSEEN)).astype(np.float32)
        lengths = _costs(_totals(counts, kinds, many)) @ counts.T + own[:, None]
        before, kinds = kinds, np.argmin(lengths, axis=0)
        if (kinds == before).all():
            break
    return kinds


def _totals(counts: np.ndarray, kinds: np.ndarray, many: int) -> np.ndarray:
    """Return the histograms of the classes, float32."""
    member = np.zeros((many, len(counts)), np.float32)
    member[kinds, np.arange(len(counts))] = 1
    totals: np.ndarray = member @ counts
    return totals


def _bits(counts: np.ndarray, kinds: np.ndarray) -> float:
    """Return the objective."""
    totals = _totals(counts, kinds, int(kinds.max()) + 1)
    return sum(entropy_of(total) + _TABLE * np.count_nonzero(total) for total in totals) + entropy_of(
        np.bincount(kinds)
    )

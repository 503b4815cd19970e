"""k-means with a price on bits: entropy-constrained scalar quantization.

    min over c, κ   Σ_t Σ_i h_ti (w_ti − c_κ(t,i))² + price · Σ_t bits(κ_t)

where bits(κ_t) = −Σ_i log₂(share of κ(t,i) in tensor t): what an ideal order-0 coder spends on a tensor's indices. In
turn, the best assignment for centres and code lengths, then the best centres and lengths for it: the objective never
rises. A local optimum; entries that nothing takes any more are dropped.

With the unit weight clusters are intervals still: (w − c)² + price · bits is w² plus a line in w, and the lower
envelope of K lines is found in O(K). With prefix sums over sorted values a round then takes O(K log P); with weights
of their own O(P K).

Source: Chou, Lookabaugh & Gray, "Entropy-constrained vector quantization" (IEEE Trans. ASSP 37, 1989), for scalars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.compiled import compiled

ROUNDS = 200
"""Bound on the rounds that move centres."""

ENOUGH = 1e-6
"""A round that gains less than this share of the objective is the last."""

SETTLING = 10
"""Bound on the rounds that only move assignments."""


@final
@dataclass(frozen=True, eq=False)
class Member:
    """A tensor's values, which have code lengths of their own.

    Args:
        values: w, shape (n,), float32 or float64, finite.
        weights: h, shape (n,), finite, not negative; None for the unit weight.
    """

    values: np.ndarray
    weights: np.ndarray | None = None


def code_lengths(counts: np.ndarray) -> np.ndarray:
    """Return −log₂ of the share of each index; infinite for one that does not occur.

    >>> code_lengths(np.array([2, 1, 0, 1]))
    array([ 1.,  2., inf,  2.])
    """
    with np.errstate(divide="ignore"):
        lengths: np.ndarray = np.log2(max(counts.sum(), 1)) - np.log2(counts)
    return lengths


def choose(member: Member, entries: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return for each value the index of least `h (w − c)² + cost`, shape (n,), int64.

    Args:
        member: the values.
        entries: c, shape (k,), ascending, float64.
        costs: price times bits, shape (k,); infinite for an entry that may not be taken.

    >>> choose(Member(np.array([0.0, 0.6, 1.0])), np.array([0.0, 1.0]), np.array([0.0, 0.5]))
    array([0, 0, 1])
    """
    if member.weights is None:
        kept, bounds = _envelope(entries, costs)
        return kept[np.searchsorted(bounds, member.values)]
    indices = np.zeros(len(member.values), np.int64)
    _choose(member.values, member.weights, entries, costs, indices)
    return indices


def settled(member: Member, entries: np.ndarray, price: float, lengths: np.ndarray | None = None) -> np.ndarray:
    """Return indices into given entries: by the code ``lengths``, or nearest at first, then by their own in turn.

    Entries that are not finite are never taken.
    """
    barred = np.where(np.isfinite(entries), 0.0, np.inf)
    indices = choose(member, entries, barred if lengths is None else barred + price * lengths)
    for _ in range(SETTLING):
        own = code_lengths(np.bincount(indices, minlength=len(entries)))
        previous, indices = indices, choose(member, entries, barred + price * own)
        if np.array_equal(previous, indices):
            break
    return indices


def priced_clusters(members: Sequence[Member], price: float, start: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return centres of an objective no higher than that of ``start``, ascending, and their code lengths by member.

    Args:
        members: tensors that share the centres.
        price: of a bit, in the units of h w²; above 0.
        start: centres, shape (k,), ascending, at least one.

    >>> priced_clusters([Member(np.array([0.0, 0.0, 0.0, 4.0]))], 0.1, np.array([0.0, 4.0]))
    (array([0., 4.]), [array([0.4150375, 2.       ])])
    """
    middle = float(np.median(start))
    parts = [_Sorted.of(m, middle) if m.weights is None else _Weighted(m, middle) for m in members]
    centres = start - middle
    costs, least = [np.zeros(len(centres))] * len(parts), np.inf
    best, own = centres, costs
    for _ in range(ROUNDS):
        sums = [part.assigned(centres, cost) for part, cost in zip(parts, costs, strict=True)]
        lengths = [code_lengths(counts) for counts, *_ in sums]
        mass, first = sum(s[1] for s in sums), sum(s[2] for s in sums)
        centres = np.divide(first, mass, out=centres.copy(), where=np.asarray(mass) > 0)
        errors = sum(s[3] - 2 * centres * s[2] + centres**2 * s[1] for s in sums)
        bits = sum(float(s[0][s[0] > 0] @ length[s[0] > 0]) for s, length in zip(sums, lengths, strict=True))
        total = float(np.maximum(errors, 0).sum()) + price * bits
        used = np.any([counts > 0 for counts, *_ in sums], axis=0)
        centres, lengths = centres[used], [length[used] for length in lengths]
        costs = [price * length for length in lengths]
        if not total < least:
            break
        stuck = total >= least * (1 - ENOUGH)
        best, own, least = centres, lengths, total
        if stuck:
            break
    order = np.argsort(best, kind="stable")
    return best[order] + middle, [length[order] for length in own]


def priced_scale(
    members: Sequence[Member], entries: np.ndarray, price: float, start: float, *, learned: bool = True
) -> tuple[float, list[np.ndarray]]:
    """Return a scale of given entries and code lengths by member, in turn as centres are; no worse than ``start``.

    Args:
        members: tensors that share the scale.
        entries: c, shape (k,), ascending.
        price: of a bit, in the units of h w²; above 0.
        start: the first scale, not negative.
        learned: False keeps it.

    >>> priced_scale([Member(np.array([2.0, 2.0, -2.0, 0.1]))], np.array([-1.0, 0.0, 1.0]), 0.1, 1.0)
    (2.0, [array([2., 2., 1.])])
    """
    scale, lengths, best, least = start, [np.zeros(len(entries))] * len(members), start, np.inf
    kept = lengths
    for _ in range(ROUNDS):
        assignments = [choose(m, scale * entries, price * bits) for m, bits in zip(members, lengths, strict=True)]
        counts = [np.bincount(indices, minlength=len(entries)) for indices in assignments]
        lengths = [code_lengths(own) for own in counts]
        bits = sum(float(own[own > 0] @ length[own > 0]) for own, length in zip(counts, lengths, strict=True))
        parts = [
            (m.values.astype(np.float64), m.weights, entries[z]) for m, z in zip(members, assignments, strict=True)
        ]
        s1 = sum(float((w * c if h is None else h * w * c).sum()) for w, h, c in parts)
        s2 = sum(float((c * c if h is None else h * c * c).sum()) for w, h, c in parts)
        scale = max(s1 / s2, 0.0) if learned and s2 > 0 else scale
        error = sum(float(((w - scale * c) ** 2 * (1.0 if h is None else h)).sum()) for w, h, c in parts)
        total = error + price * bits
        if not total < least:
            break
        stuck = total >= least * (1 - ENOUGH)
        best, kept, least = scale, lengths, total
        if stuck:
            break
    return best, kept


_Sums = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Of each entry the number of its values, and the sums of h, h w and h w² over them."""


@final
@dataclass(frozen=True, eq=False)
class _Sorted:
    """Values of unit weight: sorted, with prefix sums."""

    values: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(cls, member: Member, middle: float) -> "_Sorted":
        """Sort the values, less ``middle``."""
        values = np.sort(member.values).astype(np.float64) - middle
        return cls(values, np.append(0.0, np.cumsum(values)), np.append(0.0, np.cumsum(np.square(values))))

    def assigned(self, entries: np.ndarray, costs: np.ndarray) -> _Sums:
        """Assign each value at its least cost."""
        kept, bounds = _envelope(entries, costs)
        cuts = np.concatenate([[0], np.searchsorted(self.values, bounds, side="right"), [len(self.values)]])
        sums = np.zeros((4, len(entries)))
        sums[:, kept] = np.diff(cuts), np.diff(cuts), np.diff(self.first[cuts]), np.diff(self.second[cuts])
        return sums[0], sums[1], sums[2], sums[3]


@final
@dataclass(frozen=True, eq=False)
class _Weighted:
    """Values with weights of their own."""

    member: Member
    middle: float

    def assigned(self, entries: np.ndarray, costs: np.ndarray) -> _Sums:
        """Assign each value at its least cost."""
        assert self.member.weights is not None, "those of unit weight are sorted"
        sums = np.zeros((4, len(entries)))
        _gather(self.member.values, self.middle, self.member.weights, entries, costs, sums)
        return sums[0], sums[1], sums[2], sums[3]


def _envelope(entries: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries that are best somewhere on the line, and the values up to which each but the last is."""
    kept, bounds = list[int](), list[float]()
    for k in np.flatnonzero(np.isfinite(costs)):
        while kept:
            line = kept[-1]
            gap = entries[k] - entries[line]
            bound = (entries[k] + entries[line]) / 2 + (costs[k] - costs[line]) / (2 * gap) if gap > 0 else np.inf
            if gap == 0 and costs[k] < costs[line]:
                bound = -np.inf
            if len(kept) > 1 and bound <= bounds[-1]:
                kept.pop()
                bounds.pop()
            elif bound == -np.inf:
                kept.pop()
            else:
                if bound < np.inf:
                    bounds.append(float(bound))
                    kept.append(int(k))
                break
        else:
            kept.append(int(k))
    return np.array(kept, np.int64), np.array(bounds)


@compiled
def _choose(values: np.ndarray, weights: np.ndarray, entries: np.ndarray, costs: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(values)):
        least = np.inf
        for k in range(len(entries)):
            apart = values[i] - entries[k]
            cost = weights[i] * apart * apart + costs[k]
            if cost < least:
                least = cost
                out[i] = k


@compiled
def _gather(
    values: np.ndarray, middle: float, weights: np.ndarray, entries: np.ndarray, costs: np.ndarray, sums: np.ndarray
) -> None:
    for i in range(len(values)):
        least, best, value = np.inf, 0, values[i] - middle
        for k in range(len(entries)):
            apart = value - entries[k]
            cost = weights[i] * apart * apart + costs[k]
            if cost < least:
                least, best = cost, k
        sums[0, best] += 1
        sums[1, best] += weights[i]
        sums[2, best] += weights[i] * value
        sums[3, best] += weights[i] * value * value

"""What can be chosen for a tensor: techniques, each at several strengths."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from laconic.arguments import require_types
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.additive import Additive
from laconic.csteps.compression import Compression
from laconic.csteps.groups import Groups
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.csteps.uniform_grid import UniformGrid
from laconic.errors import PlanError
from laconic.format.codes.tile_sparse import flattened

Shape = tuple[int, ...]

_FACTORS = tuple(UniformGrid(bits=bits, states=8, scales=True) for bits in (1.5, 2.5, 3.5))
_FILTERS = tuple(UniformGrid(bits=bits) for bits in (2.0, 3.5))
_MOST_VALUES = 1024  # of a codebook
_MOST_BITS = 16.0  # of a number on a grid


def _codebook(strength: float, inner: Compression, shape: Shape) -> Compression:
    return AdaptiveCodebook(min(max(round(strength), 1), _MOST_VALUES))


def _pruning(strength: float, inner: Compression, shape: Shape) -> Compression:
    return KeepLargest(_share(strength), values=inner)


def _low_rank(strength: float, inner: Compression, shape: Shape) -> Compression:
    return LowRank(max(1, round(_share(strength) * min(flattened(shape)))), left=inner, right=inner)


def _additive(strength: float, inner: Compression, shape: Shape) -> Compression:
    return Additive((AdaptiveCodebook(2), KeepLargest(_share(strength), values=AdaptiveCodebook(16))))


def _groups(kind: str) -> Callable[[float, Compression, Shape], Compression]:
    return lambda strength, inner, shape: KeepGroups(Groups(kind), keep=_share(strength), values=inner)


def _share(strength: float) -> float:
    """Return a share in six digits, at most 1."""
    return min(float(f"{strength:.6g}"), 1.0)


_ROWS: Mapping[str, Callable[[float, Compression, Shape], Compression]] = {
    "codebook": _codebook,
    "pruning": _pruning,
    "low rank": _low_rank,
    "additive": _additive,
    "filters": _groups("filters"),
    "channels": _groups("channels"),
}
"""Technique → (strength, what becomes of the numbers that are left, shape) → the row of a plan."""

_INNERS: Mapping[str, Sequence[Compression]] = {
    "codebook": (Lossless(),),
    "pruning": (AdaptiveCodebook(4), AdaptiveCodebook(16)),
    "low rank": _FACTORS,
    "additive": (Lossless(),),
    "filters": _FILTERS,
    "channels": _FILTERS,
}
"""What may become of the numbers that a technique leaves, where bytes count."""

GRID = "grid"
"""The technique of weights that no row names: one grid, whose steps the budget says."""

AS_IS = "as it is"
"""What a weight may stay where no bytes are asked."""

TECHNIQUES = (GRID, *_ROWS)
"""What a menu may have."""


@final
@dataclass(frozen=True)
class Offer:
    """A technique at a strength.

    Args:
        technique: of `TECHNIQUES`, not the grid.
        strength: values of a codebook; the share of weights, groups, or of the full rank, that stays.
        inner: what becomes of the numbers that are left.
    """

    technique: str
    strength: float
    inner: Compression

    def row(self, shape: Shape) -> Compression:
        """Return the row of a plan for a tensor of this shape."""
        return _ROWS[self.technique](self.strength, self.inner, shape)

    def times(self, factor: float) -> "Offer":
        """Return the same at so many times the strength."""
        return replace(self, strength=self.strength * factor)

    def finer(self, factor: float) -> "Offer":
        """Return the same with so many times the bits of each number that is left.

        >>> Offer("pruning", 0.1, AdaptiveCodebook(4)).finer(2.0).inner.entries
        16
        >>> Offer("codebook", 4, Lossless()).finer(0.5).strength
        2.0
        """
        strength, inner = self.strength, self.inner
        if self.technique == "codebook":
            strength = strength**factor
        if isinstance(inner, AdaptiveCodebook):
            inner = replace(inner, entries=min(max(round(inner.entries**factor), 1), _MOST_VALUES))
        elif isinstance(inner, UniformGrid) and inner.bits is not None:
            inner = replace(inner, bits=min(float(f"{inner.bits * factor:.6g}"), _MOST_BITS))
        return replace(self, strength=strength, inner=inner)


@final
@dataclass(frozen=True)
class Menu:
    """What is tried for each weight tensor.

    A grid at a rate, and trellis and coder with it, is what the budget itself gives a tensor; the other techniques are
    rows of a plan. Of pruning 4 or 16 values are left; factors have a trellis of 1.5, 2.5 or 3.5 bits a number, groups
    a grid of 2 or 3.5; where no bytes are asked numbers stay as they are.

    Args:
        techniques: of `laconic.choose.menu.TECHNIQUES`; without "grid" each tensor gets one of the others.
        rates: at which the grid's damage is looked at, times the bits a weight that a budget leaves.
        values: of codebooks.
        shares: of the weights that pruning keeps, of filters and of channels.
        ranks: of low rank, as shares of the full rank.
        files: plans that are written and measured as whole files, beside each single technique.

    Raises:
        PlanError: for a technique that there is none of, nothing to choose from, and numbers out of range.

    >>> Menu(techniques=("grid", "low rank"), ranks=(0.1,)).ranks
    (0.1,)
    """

    techniques: tuple[str, ...] = TECHNIQUES
    rates: tuple[float, ...] = (0.5, 0.75, 1.0, 1.5, 2.5)
    values: tuple[int, ...] = (2, 4, 16, 32)
    shares: tuple[float, ...] = (0.03, 0.1, 0.25, 0.6)
    ranks: tuple[float, ...] = (0.03, 0.06, 0.09, 0.12, 0.18, 0.25, 0.5)
    files: int = 5

    def __post_init__(self) -> None:
        require_types(Menu, (), {"files": self.files})
        strange = sorted(set(self.techniques) - set(TECHNIQUES))
        if strange or not self.techniques:
            raise PlanError(f"techniques are some of {', '.join(TECHNIQUES)}, not {', '.join(strange) or 'none'}")
        for name, numbers in (("rates", self.rates), ("values", self.values), ("shares", self.shares),
                              ("ranks", self.ranks)):  # fmt: skip
            most = 1.0 if name in ("shares", "ranks") else float("inf")
            if not numbers or not all(0 < number <= most and number < float("inf") for number in numbers):
                raise PlanError(f"{name} are one or more finite numbers above 0{', up to 1' if most == 1 else ''}, "
                                f"not {numbers}")  # fmt: skip
        if self.files < 0:
            raise PlanError(f"files are 0 or more, not {self.files}")

    def offers(self, shape: Shape, *, coded: bool) -> Iterator[Offer]:
        """Yield what there is for a tensor of a shape, but for the grid.

        Args:
            shape: of two axes or more.
            coded: whether bytes count.
        """
        for technique in self.techniques:
            if technique == GRID or (technique in ("codebook", "additive") and not coded):
                continue
            strengths: Sequence[float] = {"codebook": self.values, "low rank": self.ranks}.get(technique, self.shares)
            inners = _INNERS[technique] if coded else (Lossless(),)
            rows = set[Compression]()
            for inner in inners:
                for strength in strengths:
                    offer = Offer(technique, strength, inner)
                    if (row := offer.row(shape)) not in rows:  # small tensors have few ranks
                        rows.add(row)
                        yield offer

"""Structured pruning at a price for the norm of each group: the group lasso."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.groups import Groups, Tiling
from laconic.csteps.keep_groups import KeepGroups, tile_sparse
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import cheaper
from laconic.csteps.warm import distortion, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, TileSparseCode
from laconic.models.params import Params, require_finite, to_numpy, to_torch
from laconic.theory.metric import Metrics, diagonal_of

STEPS = 60
"""Newton steps, at most, for the norms of groups under importances; about eight are needed."""


@final
@dataclass(frozen=True)
class GroupPenalty(Compression):
    """Each group of weights has a price in proportion to its Euclidean norm; some become zero, the others shrink.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)² + price · Σ_g ‖θ_g‖₂

    Method: with q = price/2 a group is zero where `‖h w‖ ≤ q`. Under the unit metric the others are
    `w (1 − q/‖w‖)`. Under importances they are `w h ν/(h ν + q)`, ν = ‖θ_g‖ being the root of `‖w h/(h ν + q)‖ = 1`,
    the inverse of which is concave in ν: Newton's method from 0 rises to it without passing it. O(P) a step. Exact but
    for the rounding to the tensor's dtype. A weight without importance becomes zero. Projecting twice shrinks twice.

    Source: Yuan & Lin, "Model selection and estimation in regression with grouped variables" (JRSS B 68, 2006); for
    the root, Moré & Sorensen 1983 (the secular equation of a trust region). Departures: importances; groups are
    charged alike, whatever their size.

    Args:
        groups: what goes together.
        price: of a group of norm 1, in units of the distortion over those of the weights; 0 or more.
        values: how the groups that stay are compressed: after they have shrunk, and, once the LC algorithm has chosen
            (`relaxed`), as they are. Of filters and channels they are a tensor of fewer; else flat.

    Raises:
        PlanError: when ``price`` is negative or no number.

    >>> import torch
    >>> w = torch.tensor([[3.0, 4.0], [0.5, 0.0]])
    >>> GroupPenalty(Groups("neurons"), price=5.0).project({"w": w})["w"].decompress()
    array([[1.5, 2. ],
           [0. , 0. ]], dtype=float32)
    """

    groups: Groups
    price: float
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if not self.price >= 0:
            raise PlanError(f"price is what a group of norm 1 costs, 0 or more, not {self.price}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `TileSparseCode` a tensor, its values a code of ``values``.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights, and shapes without such groups.
        """
        shrunk, tilings, masks = dict(weights), dict[str, Tiling](), dict[str, np.ndarray]()
        for name, tensor in weights.items():
            require_finite(name, tensor)
            shape = tuple(tensor.shape)
            tilings[name] = Tiling(shape, *self.groups.tile(name, shape))
            h = diagonal_of(metrics or {}, name, tensor)
            heavy = None if h is None else to_numpy(h.double()).reshape(-1)
            shrunken = shrink(to_numpy(tensor.double()).reshape(-1), heavy, self.price / 2, tilings[name])
            shrunk[name] = to_torch(shrunken.reshape(shape)).to(tensor)
            masks[name] = tilings[name].sums(to_numpy(shrunk[name].double() != 0)) > 0
        warm_codes = of_kind(TileSparseCode, warm, weights)
        inner: Codes | None = warm_codes and {name: code.values for name, code in warm_codes.items()}
        given = {} if isinstance(self.values, Lossless) else metrics or {}
        new = tile_sparse(shrunk, tilings, masks, given, self.values, inner)
        if warm_codes and any(warm_codes[name].facts() != code.facts() for name, code in new.items()):
            return dict(new)

        def objective(codes: Mapping[str, TileSparseCode]) -> float:
            return distortion(codes, weights, metrics) + self.penalty(codes)

        return cheaper(new, warm_codes, objective)

    def penalty(self, codes: Codes) -> float:
        """Return the price of the norms, and what the compression of what stays says."""
        total = 0.0
        for name, code in codes.items():
            tiling = Tiling(code.shape, *self.groups.tile(name, code.shape))
            total += float(np.sqrt(tiling.sums(np.square(code.decompress().astype(np.float64)))).sum())
        kept = {name: code.values for name, code in codes.items() if isinstance(code, TileSparseCode)}
        return self.price * total + self.values.penalty(kept)

    def scaled(self, factor: float) -> Compression:
        """Scale the price, and the compression of what stays."""
        return replace(self, price=self.price * factor, values=self.values.scaled(factor))

    def relaxed(self, codes: Codes) -> Mapping[tuple[str, ...], Compression]:
        """Return what keeps the groups that are not zero."""
        masks = {name: code.mask.array != 0 for name, code in codes.items() if isinstance(code, TileSparseCode)}
        scores = {name: tuple(map(float, mask)) for name, mask in masks.items()}
        count = sum(int(mask.sum()) for mask in masks.values())
        return {tuple(codes): KeepGroups(self.groups, count=count, scores=scores, values=self.values)}


def shrink(weights: np.ndarray, importance: np.ndarray | None, half: float, tiling: Tiling) -> np.ndarray:
    """Return the minimiser of `Σ h (w − θ)² + 2 half Σ_g ‖θ_g‖`, shape (n,).

    Args:
        weights: w, float64, shape (n,).
        importance: h, float64, shape (n,), or None for 1.
        half: half of the price, 0 or more.
        tiling: the groups.
    """
    shift = math.frexp(float(np.abs(weights).max(initial=0.0)))[1]
    weights, half = np.ldexp(weights, -shift), half / 2.0**shift  # by a power of two, lest squares overflow
    if importance is None:
        norms = np.sqrt(tiling.sums(np.square(weights)))
        factor = np.maximum(1 - np.divide(half, norms, out=np.full(len(norms), np.inf), where=norms > 0), 0)
        return np.asarray(np.ldexp(weights * tiling.spread(factor), shift))
    if half == 0:
        return np.where(importance > 0, np.ldexp(weights, shift), 0.0)
    moved = importance * weights
    alive = np.sqrt(tiling.sums(np.square(moved))) > half
    norms, rising = np.zeros(tiling.count), alive.copy()
    for _ in range(STEPS if alive.any() else 0):
        below = importance * tiling.spread(norms) + half
        squares = np.square(moved / below)
        total, slope = tiling.sums(squares), tiling.sums(squares * importance / below)
        # with φ = ‖w h/(h ν + q)‖², a step of Newton's method for φ^(−1/2) = 1
        step = np.divide((np.sqrt(total) - 1) * total, slope, out=np.zeros(len(norms)), where=rising & (slope > 0))
        norms += np.maximum(step, 0.0)
        rising &= step > 1e-14 * norms  # a step down is rounding: the root is reached
        if not rising.any():
            break
    below = importance * tiling.spread(norms) + half
    return np.where(tiling.spread(alive), np.ldexp(moved * tiling.spread(norms) / below, shift), 0.0)

"""Pruning by a bound on the sum of sizes: the Euclidean projection on the ℓ1 ball."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.l1_penalty import soft_threshold
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import Support, joined, sparse_in
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, SparseCode
from laconic.models.params import Params, require_finite, to_numpy
from laconic.theory.metric import Metrics, diagonal_of


@final
@dataclass(frozen=True)
class L1Ball(Compression):
    """The sizes of the weights, over all tensors given together, sum to a radius at most.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)²   subject to   ‖θ‖₁ ≤ radius

    Method: θ is w itself within the ball, else `sgn(w) max(|w| − τ/h, 0)` with the τ at which the sum is the radius
    (`multiplier_of`), in O(P). Exact but for the rounding to the tensors' dtypes, by which the sum may be off too.
    Outside the ball a weight without importance becomes zero.

    Source: Duchi, Shalev-Shwartz, Singer & Chandra, "Efficient projections onto the ℓ1-ball for learning in high
    dimensions" (ICML 2008), section 3; for LC, Carreira-Perpiñán & Idelbayev (CVPR 2018). Departures: importances;
    Newton steps with medians in place of random pivots.

    Args:
        radius: of the ball, 0 or more, in the units of the weights.
        share: the radius as a share of ‖w‖₁ of the tensors given, 0 or more: the ball then follows the weights, and
            the last codes may lie outside it. Exactly one of the two is given.
        values: how what stays is compressed, as one flat tensor for each weight tensor: after it has shrunk, and, once
            the LC algorithm has chosen (`relaxed`), as it is.

    Raises:
        PlanError: when an argument is negative or no number, or not exactly one is given.

    >>> L1Ball(radius=3.0).project({"w": torch.tensor([0.5, -3.0, 2.0])})["w"].decompress()
    array([ 0., -2.,  1.], dtype=float32)
    """

    radius: float | None = None
    share: float | None = None
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if (self.radius is None) == (self.share is None):
            raise PlanError("give exactly one of radius (of the ball) and share (of the sum of sizes)")
        for name, value in (("radius", self.radius), ("share", self.share)):
            if value is not None and not value >= 0:
                raise PlanError(f"{name} is 0 or more, not {value}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `SparseCode` a tensor, its values a code of ``values``.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights.
        """
        sizes: dict[str, np.ndarray] = {}
        given = {name: diagonal_of(metrics or {}, name, tensor) for name, tensor in weights.items()}
        for name, tensor in weights.items():
            require_finite(name, tensor)
            wide = tensor.detach() if tensor.dtype == torch.float64 else tensor.detach().float()
            sizes[name] = to_numpy(wide.abs()).reshape(-1)
        flat = joined(sizes)
        total = float(flat.sum(dtype=np.float64))
        radius = self.radius if self.radius is not None else (self.share or 0.0) * total
        inside = {name: tensor.detach() for name, tensor in weights.items()}
        if total > radius:
            tau = multiplier_of(flat, _slopes(given, sizes), radius)
            inside = {name: soft_threshold(tensor, tau, given[name]) for name, tensor in weights.items()}
        warm_codes = of_kind(SparseCode, warm, weights)
        new = sparse_in(inside, metrics, self.values, warm_codes)
        return better(new, warm_codes, weights, metrics, lambda codes: self._allows(codes, radius))

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of what stays."""
        return replace(self, values=self.values.scaled(factor))

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of what stays says."""
        return self.values.penalty({name: code.values for name, code in codes.items() if isinstance(code, SparseCode)})

    def relaxed(self, codes: Codes) -> Mapping[tuple[str, ...], Compression]:
        """Return what keeps the weights that are not zero."""
        return {tuple(codes): KeepLargest(support=Support.of(codes), values=self.values)}

    def _allows(self, codes: Mapping[str, SparseCode], radius: float) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        return _within(codes, radius) and feasible(self.values, {name: code.values for name, code in codes.items()})


def multiplier_of(sizes: np.ndarray, slopes: np.ndarray | None, radius: float) -> float:
    """Return the τ of `Σ max(a − τ v, 0) = radius`.

    The sum is convex, piecewise linear and decreasing in τ, with a breakpoint a/v for each weight. A Newton step from
    the left never passes the root and settles the weights at or below it, which are zero; where it settles less than
    half of those left, their median breakpoint settles half, on one side or the other. O(P), whatever the weights.

    Args:
        sizes: a, not negative, shape (n,), with a sum above the radius.
        slopes: v, shape (n,), not negative; infinity where the weight is zero at any τ; None for 1.
        radius: 0 or more.

    >>> multiplier_of(np.array([0.5, 3.0, 2.0]), None, 3.0)
    1.0
    """
    left = (sizes,) if slopes is None else tuple(_finite(sizes, slopes))
    active, slope, floor = -radius, 0.0, 0.0
    while True:
        a, b = left[0], left[-1]
        total = slope + (len(a) if slopes is None else float(left[1].sum()))
        if total == 0:
            return floor
        tau = np.float64(active + float(a.sum(dtype=np.float64))) / total
        above = b > tau
        count = int(np.count_nonzero(above))
        if count == len(b) or (count == 0 and slope == 0):
            return max(float(tau), floor)
        before, left = len(b), tuple(array[above] for array in left)
        if 2 * count > before:
            a, b = left[0], left[-1]
            pivot = np.float64(np.partition(b, count // 2)[count // 2])
            high = b >= pivot
            excess = active + float(a[high].sum(dtype=np.float64))
            steep = slope + (np.count_nonzero(high) if slopes is None else float(left[1][high].sum()))
            if excess < pivot * steep:  # the root is below: these weights stay
                active, slope = excess, steep
                left = tuple(array[b < pivot] for array in left)
            else:
                floor = float(pivot)
                left = tuple(array[b > pivot] for array in left)


def _finite(sizes: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sizes, slopes and breakpoints of the weights that can differ from zero."""
    finite = np.isfinite(slopes) & (sizes > 0)
    sizes, slopes = sizes[finite].astype(np.float64), slopes[finite]
    return sizes, slopes, sizes / slopes


def _slopes(given: Mapping[str, torch.Tensor | None], sizes: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return 1/h of all weights, infinity for h = 0, or None where all of it is 1."""
    if all(h is None for h in given.values()):
        return None
    with np.errstate(divide="ignore", over="ignore"):
        parts = [
            np.ones(len(sizes[name])) if h is None else 1 / to_numpy(h.double()).reshape(-1)
            for name, h in given.items()
        ]
    return np.concatenate(parts)


def _within(codes: Mapping[str, SparseCode], radius: float) -> bool:
    """Say whether ``codes`` lie in the ball, but for what rounding to their dtypes can add."""
    norm = slack = 0.0
    for code in codes.values():
        values = np.abs(code.values.decompress().astype(np.float64))
        norm += float(values.sum())
        limits = torch.finfo(getattr(torch, code.dtype))
        slack += limits.eps * float(values.sum()) + limits.smallest_normal * limits.eps * len(values)
    return norm <= radius + slack

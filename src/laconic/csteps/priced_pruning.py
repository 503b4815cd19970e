"""Pruning at a price for each bit: the rate decides how many weights stay."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import cheaper, joined, root_losses, sparse, split
from laconic.csteps.warm import distortion, feasible, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, SparseCode
from laconic.format.coding import itemsize
from laconic.models.params import Params, dtype_name
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class PricedPruning(Compression):
    """Positions and values of the weights that stay cost bits, and bits have a price.

        min over S, θ   Σ_t Σ_i h_ti (w_ti − θ_ti)² + price · bits(S),   θ zero but on the support S
        bits(S) = k log₂(P/k) + (P − k) log₂(P/(P − k)) + Σ_{i in S} v_i,   k = |S| of P weights

    The positions are charged their entropy, −log₂ p where a weight stays and −log₂(1 − p) where not, with p = k/P: the
    price of a position falls as more stay.

    Method: for a given k the best support has the k largest gains `h w² − price · v`; all k are tried on sorted gains,
    O(P log P). Exact where the survivors are stored as they are; with ``values`` that quantize them, pruning as if
    they were exact, and then quantization. At a tie fewer stay, the earlier first. A zero stays only where that
    makes the positions cheaper by more than its value costs.

    Source: the entropy-constrained choice of Chou, Lookabaugh & Gray, "Entropy-constrained vector quantization" (IEEE
    Trans. ASSP 37, 1989), with two cells. Departure: no iteration between shares and choices; the optimum of both.

    Args:
        price: of a bit, in units of the distortion; 0 or more.
        value_bits: v, what the value of a survivor costs; the width of its tensor's dtype without.
        values: how the survivors are compressed, as one flat tensor for each weight tensor.

    Raises:
        PlanError: when ``price`` or ``value_bits`` is negative or no number.

    >>> import torch
    >>> weights = {"w": torch.tensor([0.1, -3.0, 0.0, 2.0])}
    >>> PricedPruning(price=0.1).project(weights)["w"].decompress()
    array([ 0., -3.,  0.,  2.], dtype=float32)
    """

    price: float
    value_bits: float | None = None
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if not 0 <= self.price < math.inf:
            raise PlanError(f"price is what a bit costs, 0 or more and finite, not {self.price}")
        if self.value_bits is not None and not 0 <= self.value_bits < math.inf:
            raise PlanError(f"value_bits are what a value costs, 0 or more and finite, not {self.value_bits}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `SparseCode` a tensor, its values a code of ``values``; exact where they are lossless.

        Raises:
            UnsupportedMetric: for a metric that is not unit, diagonal or quartic, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights.
        """
        metrics = metrics or {}
        gains: dict[str, np.ndarray] = {}
        for name, tensor in weights.items():
            losses = np.square(np.maximum(root_losses(name, tensor, metrics), 0), dtype=np.float64)
            gains[name] = losses - self.price * self._width(dtype_name(tensor))
        masks = split(best_support(joined(gains), self.price), gains)
        warm_codes = None if isinstance(self.values, Lossless) else of_kind(SparseCode, warm, weights)
        new = sparse(weights, masks, metrics, self.values, warm_codes)
        if warm_codes is None or not feasible(self.values, {name: code.values for name, code in warm_codes.items()}):
            return dict(new)

        def objective(codes: Mapping[str, SparseCode]) -> float:
            return distortion(codes, weights, metrics) + self.penalty(codes)

        return cheaper(new, warm_codes, objective)

    def bits(self, codes: Mapping[str, SparseCode]) -> float:
        """Return what ``codes``, taken together, are charged."""
        kept, total = sum(code.values.size for code in codes.values()), sum(code.size for code in codes.values())
        values = sum(code.values.size * self._width(code.dtype) for code in codes.values())
        return float(position_bits(np.array([float(kept)]), total)[0]) + values

    def penalty(self, codes: Codes) -> float:
        """Return the price of the bits, and what the compression of the survivors says."""
        kept = {name: code for name, code in codes.items() if isinstance(code, SparseCode)}
        inner = self.values.penalty({name: code.values for name, code in kept.items()})
        return self.price * self.bits(kept) + inner

    def scaled(self, factor: float) -> Compression:
        """Scale the price, and the compression of the survivors."""
        return replace(self, price=self.price * factor, values=self.values.scaled(factor))

    def _width(self, dtype: str) -> float:
        """Return the bits of a value."""
        return self.value_bits if self.value_bits is not None else 8.0 * itemsize(dtype)


def position_bits(kept: np.ndarray, total: int) -> np.ndarray:
    """Return the entropy, in bits, of the places of so many of ``total`` weights.

    >>> position_bits(np.array([0.0, 2.0, 4.0]), 4)
    array([0., 4., 0.])
    """
    whole = total * math.log2(total) if total else 0.0
    bits = np.full(len(kept), whole)
    for part in (kept, total - kept):
        bits -= part * np.log2(part, out=np.zeros(len(part)), where=part > 0)
    return bits


def best_support(gains: np.ndarray, price: float) -> np.ndarray:
    """Return the support S of largest `Σ_S gain − price · (bits of the places of S)`, bool of shape (n,)."""
    ascending = np.sort(gains)
    value = np.concatenate([np.zeros(1), np.cumsum(ascending[::-1], dtype=np.float64)])
    value -= price * position_bits(np.arange(len(value), dtype=np.float64), len(gains))
    count = int(np.argmax(value))
    if count == 0:
        return np.zeros(len(gains), bool)
    threshold = ascending[len(gains) - count]
    mask: np.ndarray = gains > threshold
    ties = np.flatnonzero(gains == threshold)
    mask[ties[: count - int(np.count_nonzero(mask))]] = True
    return mask

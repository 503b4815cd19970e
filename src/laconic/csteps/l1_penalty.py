"""Pruning at a price for the size of each weight: soft thresholding."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import Support, cheaper, sparse_in
from laconic.csteps.warm import distortion, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, SparseCode
from laconic.models.params import Params, require_finite
from laconic.theory.metric import Metrics, diagonal_of


@final
@dataclass(frozen=True)
class L1Penalty(Compression):
    """Each weight has a price in proportion to its size; small ones become zero and the others shrink.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)² + price · ‖θ‖₁

    Method: `θ = sgn(w) max(|w| − price/(2h), 0)`, in O(P). Exact but for the rounding to the tensor's dtype, the
    nearest value of which is the best of them. A weight without importance becomes zero. Projecting twice shrinks
    twice: a penalty has no feasible set. With ``values`` that quantize, it is pruning and then quantization.

    Source: Carreira-Perpiñán & Idelbayev, "Learning-compression algorithms for neural net pruning" (CVPR 2018): the
    threshold α/μ of the penalty α‖θ‖₁ at μ, where the price is 2α/μ. Departure: importances.

    Args:
        price: of a weight of size 1, in units of the distortion; 0 or more.
        values: how what stays is compressed, as one flat tensor for each weight tensor: after it has shrunk, and, once
            the LC algorithm has chosen (`relaxed`), as it is.

    Raises:
        PlanError: when ``price`` is negative or no number.

    >>> L1Penalty(price=2.0).project({"w": torch.tensor([0.5, -3.0, 2.0])})["w"].decompress()
    array([ 0., -2.,  1.], dtype=float32)
    """

    price: float
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if not self.price >= 0:
            raise PlanError(f"price is what a weight of size 1 costs, 0 or more, not {self.price}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `SparseCode` a tensor, its values a code of ``values``.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights.
        """
        shrunk = dict(weights)
        for name, tensor in weights.items():
            require_finite(name, tensor)
            shrunk[name] = soft_threshold(tensor, self.price / 2, diagonal_of(metrics or {}, name, tensor))
        warm_codes = None if isinstance(self.values, Lossless) else of_kind(SparseCode, warm, weights)
        new = sparse_in(shrunk, metrics, self.values, warm_codes)

        def objective(codes: Codes) -> float:
            return distortion(codes, weights, metrics) + self.penalty(codes)

        return cheaper(new, warm_codes, objective)

    def penalty(self, codes: Codes) -> float:
        """Return the price of the sizes, and what the compression of what stays says."""
        kept = {name: code.values for name, code in codes.items() if isinstance(code, SparseCode)}
        sizes = sum(float(np.abs(code.decompress().astype(np.float64)).sum()) for code in codes.values())
        return self.price * sizes + self.values.penalty(kept)

    def scaled(self, factor: float) -> Compression:
        """Scale the price, and the compression of what stays."""
        return replace(self, price=self.price * factor, values=self.values.scaled(factor))

    def relaxed(self, codes: Codes) -> Mapping[tuple[str, ...], Compression]:
        """Return what keeps the weights that are not zero."""
        return {tuple(codes): KeepLargest(support=Support.of(codes), values=self.values)}


def soft_threshold(tensor: Tensor, multiplier: float, importance: Tensor | None) -> Tensor:
    """Return `sgn(w) max(|w| − multiplier/h, 0)` in the tensor's dtype, and 0 where 1/h is infinite.

    Args:
        tensor: w, of any shape.
        multiplier: not negative; infinity makes all zero.
        importance: h, of the tensor's shape, or None for 1.
    """
    double = tensor.detach().double()
    if importance is None:
        shrunk = double.abs() - multiplier
    else:
        slope = 1 / importance.double()
        shrunk = torch.where(slope < torch.inf, double.abs() - multiplier * slope, 0.0)
    return torch.copysign(shrunk.clamp_(min=0.0), double).to(tensor.dtype)

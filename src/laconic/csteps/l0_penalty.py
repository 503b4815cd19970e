"""Pruning at a price for each weight that stays: hard thresholding."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import cheaper, root_losses, sparse
from laconic.csteps.warm import distortion, feasible, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, SparseCode
from laconic.models.params import Params
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class L0Penalty(Compression):
    """Each weight that differs from zero has a price.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)² + price · ‖θ‖₀

    Method: a weight stays where `h w²`, or `g w² + h w⁴` under a quartic metric, is more than the price; O(P). At a
    tie it goes. Exact where the survivors are stored as they are; with ``values`` that quantize them, pruning and then
    quantization, each optimal in itself.

    Source: Carreira-Perpiñán & Idelbayev, "Learning-compression algorithms for neural net pruning" (CVPR 2018): the
    threshold √(2α/μ) of the penalty α‖θ‖₀ at μ, which is price = 2α/μ here. Departure: importances.

    Args:
        price: of a weight that stays, in units of the distortion; 0 or more.
        values: how the survivors are compressed, as one flat tensor for each weight tensor.

    Raises:
        PlanError: when ``price`` is negative or no number.

    >>> import torch
    >>> L0Penalty(price=4.0).project({"w": torch.tensor([1.0, -3.0, 2.0])})["w"].decompress()
    array([ 0., -3.,  0.], dtype=float32)
    """

    price: float
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if not self.price >= 0:
            raise PlanError(f"price is what a weight that stays costs, 0 or more, not {self.price}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `SparseCode` a tensor, its values a code of ``values``; exact where they are lossless.

        Raises:
            UnsupportedMetric: for a metric that is not unit, diagonal or quartic, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights.
        """
        metrics, threshold = metrics or {}, np.sqrt(self.price)  # a NumPy scalar: compared in float64
        masks = {name: root_losses(name, tensor, metrics) > threshold for name, tensor in weights.items()}
        warm_codes = None if isinstance(self.values, Lossless) else of_kind(SparseCode, warm, weights)
        new = sparse(weights, masks, metrics, self.values, warm_codes)
        if warm_codes is None or not feasible(self.values, {name: code.values for name, code in warm_codes.items()}):
            return dict(new)

        def objective(codes: Mapping[str, SparseCode]) -> float:
            return distortion(codes, weights, metrics) + self.penalty(codes)

        return cheaper(new, warm_codes, objective)

    def penalty(self, codes: Codes) -> float:
        """Return the price of the weights that stay, and what the compression of these says."""
        kept = {name: code.values for name, code in codes.items() if isinstance(code, SparseCode)}
        return self.price * sum(code.size for code in kept.values()) + self.values.penalty(kept)

    def scaled(self, factor: float) -> Compression:
        """Scale the price, and the compression of the survivors."""
        return replace(self, price=self.price * factor, values=self.values.scaled(factor))

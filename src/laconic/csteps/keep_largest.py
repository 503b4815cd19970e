"""Pruning: the weights that matter most stay, the others become zero."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch

from laconic.codes import Code, SparseCode, Symbols
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import project
from laconic.csteps.lossless import Lossless
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError
from laconic.metric import Diagonal, Metric, Metrics, diagonal_of
from laconic.params import Params, dtype_name, require_finite, to_numpy


@final
@dataclass(frozen=True)
class KeepLargest(Compression):
    """At most κ weights differ from zero, over all tensors given together.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)²   subject to   ‖θ‖₀ ≤ κ

    Method: keep the κ weights of largest `h w²`, by partial selection in O(P). Exact where the survivors are stored
    as they are. With ``values`` that quantize them, it is pruning and then quantization, each optimal in itself: the
    composition need not be the joint optimum. Ties go to the earlier tensor and the lower index; a zero is never
    kept, so that fewer than κ survive where fewer are there.

    Source: Carreira-Perpiñán & Idelbayev, "Learning-compression algorithms for neural net pruning" (CVPR 2018),
    section 3.2. Departures: importances; κ = 0 prunes everything.

    Args:
        keep: κ as a share of all elements, 0 to 1; κ is rounded to the nearest integer.
        count: κ itself, not negative. Exactly one of the two is given.
        values: how the survivors are compressed, as one flat tensor for each weight tensor; `Joint` over all.

    Raises:
        PlanError: when ``keep`` or ``count`` is out of range, or not exactly one is given.

    >>> KeepLargest(count=2).project({"w": torch.tensor([1.0, -3.0, 0.0, 2.0])})["w"].decompress()
    array([ 0., -3.,  0.,  2.], dtype=float32)
    """

    keep: float | None = None
    count: int | None = None
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if (self.keep is None) == (self.count is None):
            raise PlanError("give exactly one of keep (a share of the weights) and count (a number of weights)")
        if self.keep is not None and not 0 <= self.keep <= 1:
            raise PlanError(f"keep is the share of weights that stay, 0 to 1, not {self.keep}")
        if self.count is not None and self.count < 0:
            raise PlanError(f"count is the number of weights that stay, at least 0, not {self.count}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `SparseCode` a tensor, its values a code of ``values``; exact where they are lossless.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights.
        """
        importances = {name: diagonal_of(metrics or {}, name, tensor) for name, tensor in weights.items()}
        scores = {name: _scores(name, tensor, importances[name]) for name, tensor in weights.items()}
        kappa = self.kappa(sum(tensor.numel() for tensor in weights.values()))
        masks = _split(largest(np.concatenate([np.zeros(0, np.float32), *scores.values()]), kappa), scores)
        # nothing beats lossless survivors: there is no need to look
        last = None if isinstance(self.values, Lossless) else of_kind(SparseCode, warm, weights)
        survivors: dict[str, torch.Tensor] = {}
        inner: dict[str, Metric] = {}
        for name, tensor in weights.items():
            mask = torch.from_numpy(masks[name]).to(tensor.device)
            survivors[name] = tensor.detach().reshape(-1)[mask]
            h = importances[name]
            if h is not None:
                inner[name] = Diagonal(h.detach().reshape(-1)[mask.to(h.device)])
        codes = project(self.values, survivors, inner, last and {name: code.values for name, code in last.items()})
        new = {
            name: SparseCode(
                tuple(tensor.shape), dtype_name(tensor), Symbols(masks[name].view(np.uint8), 2), codes[name]
            )
            for name, tensor in weights.items()
        }
        return better(new, last, weights, metrics, lambda codes: self._allows(codes, kappa))

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of the survivors."""
        return replace(self, values=self.values.scaled(factor))

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of the survivors says."""
        return self.values.penalty({name: code.values for name, code in codes.items() if isinstance(code, SparseCode)})

    def kappa(self, total: int) -> int:
        """Return how many of ``total`` weights may stay."""
        return self.count if self.count is not None else round((self.keep or 0) * total)

    def _allows(self, codes: Mapping[str, SparseCode], kappa: int) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        kept = sum(code.values.size for code in codes.values())
        return kept <= kappa and feasible(self.values, {name: code.values for name, code in codes.items()})


def largest(scores: np.ndarray, kappa: int) -> np.ndarray:
    """Return a mask of the ``kappa`` largest scores, the earliest at a tie; negative ones are never taken. O(n).

    >>> largest(np.array([1.0, 3.0, 1.0, -1.0]), 2)
    array([ True,  True, False, False])
    """
    eligible = scores >= 0
    kappa = min(kappa, int(np.count_nonzero(eligible)))
    if kappa == 0:
        return np.zeros(len(scores), bool)
    threshold = np.partition(scores, len(scores) - kappa)[len(scores) - kappa]
    mask: np.ndarray = scores > threshold
    ties = np.flatnonzero(scores == threshold)
    mask[ties[: kappa - int(np.count_nonzero(mask))]] = True
    return mask


def _scores(name: str, tensor: torch.Tensor, importance: torch.Tensor | None) -> np.ndarray:
    """Return √(h w²) of each weight, shape (n,), and −1 where the weight is zero."""
    require_finite(name, tensor)
    tensor = tensor.detach() if tensor.dtype == torch.float64 else tensor.detach().float()
    scores = tensor.abs() if importance is None else importance.double().sqrt() * tensor.double().abs()
    return to_numpy(torch.where(tensor == 0, -1.0, scores)).reshape(-1)


def _split(mask: np.ndarray, scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cut the mask over all tensors into theirs."""
    ends = np.cumsum([len(part) for part in scores.values()])
    return dict(zip(scores, np.split(mask, ends[:-1]), strict=True)) if scores else {}

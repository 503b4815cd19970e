"""Pruning: the weights that matter most stay, the others become zero."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.coupled import Coupling
from laconic.csteps.flat import flat
from laconic.csteps.joint import Joint
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import Support, joined, root_losses, sparse, split
from laconic.csteps.warm import better, distortion, feasible, of_kind
from laconic.errors import PlanError
from laconic.format.codes import Code, SparseCode
from laconic.models.params import Params
from laconic.quantize.clustering import survivors
from laconic.theory.metric import Metrics, Unit


@final
@dataclass(frozen=True)
class KeepLargest(Compression):
    """At most κ weights differ from zero, over all tensors given together.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)²   subject to   ‖θ‖₀ ≤ κ

    Method: keep the κ weights of largest `h w²`, or `g w² + h w⁴` under a quartic metric, by partial selection in
    O(P). Exact where the survivors are stored as they are; and, under the unit metric, where they share one learned
    codebook (`laconic.quantize.clustering.pruned`: an interval of the sorted weights is pruned, up to 4 million
    survivors times entries). With other ``values`` that quantize them, it is pruning and then quantization, each
    optimal in itself: the composition need not be the joint optimum. Ties go to the earlier tensor and the lower
    index; a zero is never kept, so that fewer than κ survive where fewer are there.

    With a ``support`` in place of κ the weights that stay are given, and `min Σ h (w − θ)²` is over their values alone.
    Where it is that of a ``coupling``, each C step of the LC algorithm chooses it anew (`among`).

    Source: Carreira-Perpiñán & Idelbayev, "Learning-compression algorithms for neural net pruning" (CVPR 2018),
    section 3.2. Departures: importances; κ = 0 prunes everything.

    Args:
        keep: κ as a share of all elements, 0 to 1; κ is rounded to the nearest integer.
        count: κ itself, not negative.
        support: the weights that stay, of every tensor. Exactly one of the three is given.
        coupling: beside a support, what chooses it: channels that go together over these tensors and others.
        values: how the survivors are compressed, as one flat tensor for each weight tensor; `Joint` over all.

    Raises:
        PlanError: when ``keep`` or ``count`` is out of range, or not exactly one is given.

    >>> import torch
    >>> KeepLargest(count=2).project({"w": torch.tensor([1.0, -3.0, 0.0, 2.0])})["w"].decompress()
    array([ 0., -3.,  0.,  2.], dtype=float32)
    """

    keep: float | None = None
    count: int | None = None
    values: Compression = field(default_factory=Lossless)
    support: Support | None = None
    coupling: Coupling | None = field(default=None, repr=False)  # of a large network it is long

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.keep, self.count, self.support)) != 1:
            raise PlanError("give exactly one of keep (a share of the weights), count (of weights) and support (which)")
        if self.keep is not None and not 0 <= self.keep <= 1:
            raise PlanError(f"keep is the share of weights that stay, 0 to 1, not {self.keep}")
        if self.count is not None and self.count < 0:
            raise PlanError(f"count is the number of weights that stay, at least 0, not {self.count}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `SparseCode` a tensor, its values a code of ``values``; exact where they are lossless.

        Raises:
            UnsupportedMetric: for a metric that is not unit, diagonal or quartic, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights.
        """
        metrics = metrics or {}
        scores = {name: root_losses(name, tensor, metrics) for name, tensor in weights.items()}
        kappa = self.kappa(sum(tensor.numel() for tensor in weights.values()))
        if self.support is None:
            masks = split(largest(joined(scores), kappa), scores)
        else:
            masks = {name: self.support.mask(name, len(root)) for name, root in scores.items()}
        # nothing beats lossless survivors: there is no need to look
        warm_codes = None if isinstance(self.values, Lossless) else of_kind(SparseCode, warm, weights)
        new = sparse(weights, masks, metrics, self.values, warm_codes)
        best = self._masks_of_the_optimum(weights, metrics, kappa)
        if best is not None:
            other = sparse(weights, best, metrics, self.values, None)
            new = min(new, other, key=lambda codes: distortion(codes, weights, metrics))
        return better(new, warm_codes, weights, metrics, lambda codes: self._allows(codes, kappa))

    def _masks_of_the_optimum(self, weights: Params, metrics: Metrics, kappa: int) -> dict[str, np.ndarray] | None:
        """Return which weights stay in the optimum with one learned codebook; None where it cannot be told."""
        inner = self.values.of if isinstance(self.values, Joint) else self.values
        alone = self.support is None and (len(weights) == 1 or isinstance(self.values, Joint))
        if not (isinstance(inner, AdaptiveCodebook) and inner == AdaptiveCodebook(inner.entries) and alone):
            return None
        if not all(isinstance(metrics.get(name, Unit()), Unit) for name in weights):
            return None
        arrays = {name: flat(name, tensor) for name, tensor in weights.items()}
        values = joined(arrays)
        order = np.argsort(values, kind="stable")
        kept = survivors(values[order], inner.entries, kappa)
        if kept is None:
            return None
        mask = np.zeros(len(values), bool)
        mask[order[: kept[0]]] = mask[order[len(values) - kept[1] :]] = True
        return split(mask, arrays)

    def among(self, points: Params, metrics: Metrics | None = None) -> Compression:
        """Return the compression whose support is what its coupling, if any, chooses at these points."""
        if self.coupling is None or self.support is None:
            return self
        if not all(one.names <= points.keys() for one in self.coupling.sets):
            return self
        masks = self.coupling.masks(points, metrics)
        return replace(self, support=Support.where({name: masks[name] for name in self.support.bits}))

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of the survivors."""
        return replace(self, values=self.values.scaled(factor))

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of the survivors says."""
        return self.values.penalty({name: code.values for name, code in codes.items() if isinstance(code, SparseCode)})

    def kappa(self, total: int) -> int:
        """Return how many of ``total`` weights may stay."""
        if self.support is not None:
            return self.support.count
        return self.count if self.count is not None else round((self.keep or 0) * total)

    def _allows(self, codes: Mapping[str, SparseCode], kappa: int) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        kept = sum(code.values.size for code in codes.values())
        if self.support is not None and Support.of(codes) != self.support:
            return False
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

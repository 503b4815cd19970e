"""The terms of a sum in the making: fitting one to what the others leave, and what all together are worth."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import project
from laconic.format.codes.sum import total
from laconic.models.params import Params, dtype_name, to_numpy, to_torch
from laconic.theory.metric import Metrics, Unit


@final
@dataclass(frozen=True, eq=False)
class Term:
    """The codes of one part, one a tensor, with the arrays that they stand for.

    Args:
        codes: by name.
    """

    codes: Codes
    arrays: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", {name: code.decompress() for name, code in self.codes.items()})


@final
@dataclass(frozen=True, eq=False)
class Problem:
    """`min Σ_t ‖w_t − Σ_j Δ_tj(Θ_j)‖²_metric + penalties`, of which terms are found one at a time.

    Args:
        parts: the compressions, one a term.
        weights: tensors by name, finite.
        metrics: metric by name; the unit metric where there is none.
    """

    parts: tuple[Compression, ...]
    weights: Params
    metrics: Metrics
    exact: dict[str, np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exact", {n: to_numpy(w).astype(np.float64) for n, w in self.weights.items()})

    def fit(
        self, part: int, others: Sequence[Term | None], warm: Term | None = None, metrics: Metrics | None = None
    ) -> Term:
        """Return the term of ``part`` that is fitted to the weights less ``others``.

        The difference is taken in float64 of what the file will stand for, and rounded once to the tensor's dtype.
        """
        rest: dict[str, torch.Tensor] = {}
        for name, tensor in self.weights.items():
            left = self.exact[name]
            for other in others:
                left = left if other is None else left - other.arrays[name].astype(np.float64)
            largest = torch.finfo(tensor.dtype).max
            rest[name] = to_torch(np.asarray(np.clip(left, -largest, largest))).to(tensor.device, tensor.dtype)
        given = self.metrics if metrics is None else metrics
        return Term(project(self.parts[part], rest, given, warm.codes if warm else None))

    def value(self, terms: Sequence[Term]) -> float:
        """Return the objective, of the sums as they will be decompressed."""
        error = sum(part.penalty(term.codes) for part, term in zip(self.parts, terms, strict=True))
        for name, tensor in self.weights.items():
            summed = to_torch(total([term.arrays[name] for term in terms], dtype_name(tensor)))
            error += self.metrics.get(name, Unit()).error(tensor, summed.to(tensor.device))
        return error

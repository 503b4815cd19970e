"""Tucker-2: few channels on either side of a kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.factors import require_matrix
from laconic.csteps.joint import project
from laconic.csteps.lossless import Lossless
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import Code, TuckerCode
from laconic.models.params import Params, dtype_name
from laconic.theory.metric import Metrics, Unit

SWEEPS = 50
"""Times that both factors are fitted, at most."""

ENOUGH = 1e-7
"""Share of the energy that a sweep must add for another one to follow."""

PARTS = ("left", "core", "right")


@final
@dataclass(frozen=True)
class Tucker(Compression):
    """Each kernel is a 1 × 1 convolution to a few channels, a small kernel, and a 1 × 1 convolution to all channels.

        min over L, C, R   Σ_oi… (w_oi… − Σ_ab L_oa C_ab… R_bi)²,   L of shape (out, a), R of shape (b, in)

    Method: higher-order orthogonal iteration on the two axes of channels from the truncated higher-order singular value
    decomposition: L becomes the best basis given R and then R given L, in float64, O(out · in · kh · kw · (a + b)) a
    sweep and two eigendecompositions, until a sweep adds less than 10⁻⁷ of the energy. The error never rises.
    Approximate: a local optimum, within a factor 2 of the least error by its start alone; exact for matrices and for
    kernels of these ranks. Where factors are compressed in turn, each is by itself: a composition.
    The largest entry of each column of L and each row of R is positive.

    Source: De Lathauwer, De Moor & Vandewalle, "On the best rank-1 and rank-(R1, R2, …, RN) approximation of
    higher-order tensors" (SIAM J. Matrix Analysis 21, 2000); Kim et al., "Compression of deep convolutional neural
    networks for fast and low power mobile applications" (ICLR 2016) for the two axes.

    Args:
        out: a, channels on the side of the output, not negative; more than there are is as many as there are.
        in_: b, channels on the side of the input.
        factors: compression of L, C and R, together where it is `Joint`.

    Raises:
        PlanError: for a negative number of channels.

    >>> kernel = torch.einsum("o,i,x->oix", torch.ones(3), torch.ones(2), torch.tensor([1.0, 2.0]))
    >>> Tucker(1, 1).project({"w": kernel})["w"].decompress()[0]
    array([[1., 2.],
           [1., 2.]], dtype=float32)
    """

    out: int
    in_: int
    factors: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if self.out < 0 or self.in_ < 0:
            raise PlanError(f"numbers of channels must be 0 or more, not {self.out} and {self.in_}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `TuckerCode` a tensor.

        Raises:
            UnsupportedMetric: for a metric other than the unit one.
            WeightsError: for NaN and infinite weights, and tensors of less than two axes.
        """
        parts: dict[str, Tensor] = {}
        for name, tensor in weights.items():
            require_plain("Tucker", name, tensor, metrics or {})
            factors = iterated(tensor.detach(), self.out, self.in_)
            parts |= {f"{name}.{key}": part.to(tensor.dtype) for key, part in zip(PARTS, factors, strict=True)}
        warm_codes = of_kind(TuckerCode, warm, weights)
        old = {f"{name}.{key}": getattr(code, key) for name, code in (warm_codes or {}).items() for key in PARTS}
        codes = project(self.factors, parts, None, old or None)
        new = {
            name: TuckerCode(tuple(tensor.shape), dtype_name(tensor), *(codes[f"{name}.{key}"] for key in PARTS))
            for name, tensor in weights.items()
        }
        return better(new, warm_codes, weights, metrics, self._allows)

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of the factors says."""
        held = {name: code.streams() for name, code in codes.items() if isinstance(code, TuckerCode)}
        parts = {(name, key): part for name, own in held.items() for key, part in own.items()}
        return self.factors.penalty({"/".join(k): part for k, part in parts.items() if isinstance(part, Code)})

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of the factors."""
        return replace(self, factors=self.factors.scaled(factor))

    def _allows(self, codes: Mapping[str, TuckerCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        few = all(code.core.shape[0] <= self.out and code.core.shape[1] <= self.in_ for code in codes.values())
        parts = {f"{name}.{key}": getattr(code, key) for name, code in codes.items() for key in PARTS}
        return few and feasible(self.factors, parts)


def require_plain(what: str, name: str, tensor: Tensor, metrics: Metrics) -> None:
    """Refuse tensors of less than two axes, NaN, and any metric but the unit one."""
    require_matrix(name, tensor, "out|in.kh.kw")
    metric = metrics.get(name, Unit())
    if not isinstance(metric, Unit):
        raise UnsupportedMetric(f"{name}: {what} takes the unit metric, not {type(metric).__name__}")


def iterated(tensor: Tensor, out: int, in_: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return L, C and R in float64."""
    size = float(tensor.abs().max()) if tensor.numel() else 0.0
    scale = size if size > 0 else 1.0  # lest squares overflow
    cube = tensor.double().reshape(tensor.shape[0], tensor.shape[1], -1 if tensor.numel() else 0) / scale
    right = leading(cube.transpose(0, 1), in_)
    left = leading(cube, out)
    energy = -1.0
    for _ in range(SWEEPS):
        left = leading(torch.einsum("oik,ib->obk", cube, right), out)
        right = leading(torch.einsum("oik,oa->iak", cube, left), in_)
        new = float(torch.einsum("oik,oa,ib->abk", cube, left, right).square().sum())
        if new <= energy * (1 + ENOUGH):
            break
        energy = new
    core = torch.einsum("oik,oa,ib->abk", cube, left, right) * scale
    return left, core.reshape(left.shape[1], right.shape[1], *tensor.shape[2:]), right.T


def leading(cube: Tensor, rank: int) -> Tensor:
    """Return the ``rank`` leading left singular vectors of ``cube`` as a matrix of dimension 0 × the rest."""
    rank = min(rank, len(cube))
    flat = cube.reshape(len(cube), -1 if cube.numel() else 0)
    vectors: Tensor = torch.linalg.eigh(flat @ flat.T)[1].flip(1)[:, :rank]
    if not vectors.numel():
        return vectors
    top = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    signs: Tensor = torch.where(top < 0, -1.0, 1.0).to(vectors)
    return vectors * signs

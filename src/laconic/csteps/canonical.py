"""Canonical polyadic decomposition (CP): a tensor as a sum of outer products."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import project
from laconic.csteps.lossless import Lossless
from laconic.csteps.tucker import leading, require_plain
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError
from laconic.format.codes import CanonicalCode, Code
from laconic.format.codes.canonical import most_terms
from laconic.models.params import Params, dtype_name, to_torch
from laconic.theory.metric import Metrics

SWEEPS = 100
"""Times that all factors are fitted, at most."""

ENOUGH = 1e-6
"""Share of the error that a sweep must take off for another one to follow."""

_RIDGE = 1e-10


@final
@dataclass(frozen=True)
class Canonical(Compression):
    """Each tensor is the sum of R outer products of vectors, one vector for each axis.

        min over A, B, …   Σ_ij… (w_ij… − Σ_{k ≤ R} A_ik B_jk …)²

    Method: alternating least squares in float64 from the leading singular vectors of each unfolding, and pseudo-random
    ones of a fixed seed beyond these; each factor in turn is fitted given the others, O(elements · R) each, until a
    sweep takes off less than 10⁻⁶ of the error, or 100 times. Each fit is a proximal step with a ridge of 10⁻¹⁰, so
    that the error never rises and singular systems need no care. Approximate: a local optimum of a problem that may
    have none at all (de Silva & Lim 2008). ``warm`` factors are a start too. The factors of a term have equal norms.

    Source: Carroll & Chang (Psychometrika 35, 1970); Harshman (1970); for kernels, Lebedev et al., "Speeding-up
    convolutional neural networks using fine-tuned CP-decomposition" (ICLR 2015).

    Args:
        terms: R, not negative; more than any tensor of the shape needs are as many as that.
        factors: compression of the factors, one below the other as a matrix.

    Raises:
        PlanError: for a negative number of terms.

    >>> tensor = torch.einsum("i,j,k->ijk", *(torch.tensor([1.0, 2.0]) for _ in range(3)))
    >>> bool(abs(Canonical(1).project({"w": tensor})["w"].decompress() - tensor.numpy()).max() < 1e-5)
    True
    """

    terms: int
    factors: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if self.terms < 0:
            raise PlanError(f"terms must be 0 or more, not {self.terms}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `CanonicalCode` a tensor.

        Raises:
            UnsupportedMetric: for a metric other than the unit one.
            WeightsError: for NaN and infinite weights, and tensors of less than two axes.
        """
        warm_codes = of_kind(CanonicalCode, warm, weights)
        stacked: dict[str, Tensor] = {}
        for name, tensor in weights.items():
            require_plain("CP", name, tensor, metrics or {})
            start = to_torch(warm_codes[name].factors.decompress()).double() if warm_codes else None
            stacked[name] = alternated(tensor.detach(), self.terms, start).to(tensor.dtype)
        codes = project(
            self.factors, stacked, None, warm_codes and {name: code.factors for name, code in warm_codes.items()}
        )
        new = {
            name: CanonicalCode(tuple(tensor.shape), dtype_name(tensor), codes[name])
            for name, tensor in weights.items()
        }
        return better(new, warm_codes, weights, metrics, self._allows)

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of the factors says."""
        held = {name: code.streams() for name, code in codes.items() if isinstance(code, CanonicalCode)}
        parts = {(name, key): part for name, own in held.items() for key, part in own.items()}
        return self.factors.penalty({"/".join(k): part for k, part in parts.items() if isinstance(part, Code)})

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of the factors."""
        return replace(self, factors=self.factors.scaled(factor))

    def _allows(self, codes: Mapping[str, CanonicalCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        few = all(code.factors.shape[1] <= self.terms for code in codes.values())
        return few and feasible(self.factors, {name: code.factors for name, code in codes.items()})


def alternated(tensor: Tensor, terms: int, warm: Tensor | None = None) -> Tensor:
    """Return the factors, one below the other, shape (sum of the dimensions, terms), float64.

    Args:
        tensor: of two axes or more.
        terms: R.
        warm: factors of as many terms to start from, where they are better.
    """
    terms = min(terms, most_terms(tuple(tensor.shape)))
    size = float(tensor.abs().max()) if tensor.numel() else 0.0
    if size == 0 or terms == 0:
        return torch.zeros(sum(tensor.shape), terms, dtype=torch.float64, device=tensor.device)
    whole = tensor.double() / size
    starts = [_start(whole, terms)]
    if warm is not None and warm.shape[1] == terms:
        scale = size ** (-1 / tensor.ndim)
        starts.append(list(torch.split(warm.to(tensor.device) * scale, list(tensor.shape))))
    factors = min(starts, key=lambda start: error_of(whole, start))
    error = error_of(whole, factors)
    floor = (4 * torch.finfo(tensor.dtype).eps) ** 2 * float(whole.square().sum())
    for _ in range(SWEEPS if error > floor else 0):
        before = error
        for axis in range(tensor.ndim):
            factors = refitted(whole, factors, axis)
        error = error_of(whole, factors)
        if before - error <= ENOUGH * before or error <= floor:
            break
    stacked: Tensor = torch.cat(_balanced(factors)) * size ** (1 / tensor.ndim)
    return stacked


def refitted(whole: Tensor, factors: list[Tensor], axis: int) -> list[Tensor]:
    """Return ``factors`` with that of ``axis`` the least-squares fit given the others."""
    terms = factors[0].shape[1]
    gram = torch.ones(terms, terms).to(whole)
    left = whole[..., None]
    axes = list(range(whole.ndim))
    for other in sorted((k for k in axes if k != axis), key=lambda k: -whole.shape[k]):
        gram = gram * (factors[other].T @ factors[other])
        at = axes.index(other)
        moved, shared = left.movedim(at, -2), (left.shape[-1] == 1)
        left = moved[..., 0] @ factors[other] if shared else (moved * factors[other]).sum(-2)
        axes.remove(other)
    gradient = left - factors[axis] @ gram
    ridge = _RIDGE * float(gram.diagonal().mean().clamp(min=1e-290))
    step = torch.linalg.solve(gram + ridge * torch.eye(terms).to(gram), gradient.T).T
    return [factor + step if k == axis else factor for k, factor in enumerate(factors)]


def error_of(whole: Tensor, factors: list[Tensor]) -> float:
    """Return the squared error of the sum of outer products."""
    rows = factors[1]
    for factor in factors[2:]:
        rows = (rows[:, None, :] * factor[None, :, :]).reshape(-1, rows.shape[1])
    return float((whole.reshape(len(whole), -1) - factors[0] @ rows.T).square().sum())


def _start(whole: Tensor, terms: int) -> list[Tensor]:
    """Return leading singular vectors of each unfolding, and columns of noise where there are too few."""
    generator = torch.Generator().manual_seed(0)
    factors = []
    for axis, size in enumerate(whole.shape):
        vectors = leading(whole.movedim(axis, 0), terms)
        noise = torch.randn(size, terms - vectors.shape[1], generator=generator, dtype=torch.float64) / size**0.5
        factors.append(torch.cat([vectors, noise.to(vectors)], 1))
    return factors


def _balanced(factors: list[Tensor]) -> list[Tensor]:
    """Return factors of the same products whose columns have equal norms in all axes: a short dtype then holds each."""
    norms = torch.stack([factor.norm(dim=0) for factor in factors])
    mean = norms.log().mean(0).exp()  # 0 where a column is 0: the term is nothing
    return [factor * torch.where(norm > 0, mean / norm, 0.0) for factor, norm in zip(factors, norms, strict=True)]

"""Low rank: a matrix as the product of two thin ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from laconic.codes import VIEWS, Code, LowRankCode
from laconic.codes.low_rank import matrix_shape
from laconic.csteps.compression import Codes, Compression
from laconic.csteps.joint import project
from laconic.csteps.krylov import krylov, worthwhile
from laconic.csteps.lossless import Lossless
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError, UnsupportedMetric, WeightsError
from laconic.metric import Metrics, Unit
from laconic.params import Params, dtype_name, require_finite, to_torch


@final
@dataclass(frozen=True)
class LowRank(Compression):
    """Each tensor, read as a matrix, has rank r or less.

        min over L, R   ‖W − L R‖_F²,   L of shape (m, r), R of shape (r, n)

    Method: the truncated singular value decomposition `W = U S Vᵀ`, `L = U √S`, `R = √S Vᵀ` (Eckart & Young 1936),
    in float64, O(mn·min(m, n)). Exact to the rounding of the factors to the tensor's dtype. Where L is compressed in
    turn, R is the least-squares fit to what became of L, and is then compressed itself: a composition, not the joint
    optimum, and projecting twice may move the weights again.
    The largest entry of each row of R is positive: signs do not depend on the library.

    For a rank that is small against min(m, n) a large matrix goes through `laconic.csteps.krylov` in O(mnr), whose
    bound on the excess error decides: above ``tolerance`` times the optimum the decomposition is done in full.

    Source: Idelbayev & Carreira-Perpiñán, "Low-rank compression of neural nets" (CVPR 2020), both views of kernels.
    Departure: tensors shorter than float64 go through the eigenvectors of the smaller Gram matrix in float64. It
    halves the digits to eight, as many as float32 has, and the time too.

    Args:
        rank: r, not negative; more than min(m, n) is min(m, n), and 0 makes the tensor zero.
        view: how a tensor is a matrix, one of `laconic.codes.VIEWS`.
        left: compression of L.
        right: compression of R.
        tolerance: share of the least error that a fast solution may lose; 0 for none.

    Raises:
        PlanError: for a negative rank or tolerance, or an unknown view.

    >>> LowRank(1).project({"w": torch.tensor([[1.0, 2.0], [2.0, 4.0]])})["w"].decompress()
    array([[1., 2.],
           [2., 4.]], dtype=float32)
    """

    rank: int
    view: str = VIEWS[0]
    left: Compression = field(default_factory=Lossless)
    right: Compression = field(default_factory=Lossless)
    tolerance: float = 0.003

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise PlanError(f"rank must be 0 or more, not {self.rank}")
        if self.view not in VIEWS:
            raise PlanError(f"view must be one of {', '.join(VIEWS)}, not {self.view!r}")
        if not 0 <= self.tolerance < 1:
            raise PlanError(f"tolerance is a share of the least error, 0 or more and below 1, not {self.tolerance}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `LowRankCode` a tensor.

        Raises:
            UnsupportedMetric: for a metric other than the unit one: the weighted problem has no closed solution.
            WeightsError: for NaN and infinite weights, and tensors that ``view`` does not take.
        """
        lefts: dict[str, Tensor] = {}
        rights: dict[str, Tensor] = {}
        for name, tensor in weights.items():
            self._check(name, tensor, metrics or {})
            factors = truncated(to_matrix(tensor.detach(), self.view), self.rank, self.tolerance)
            lefts[name], rights[name] = (factor.to(tensor.dtype) for factor in factors)
        last = of_kind(LowRankCode, warm, weights)
        left = project(self.left, lefts, None, last and {name: code.left for name, code in last.items()})
        if not isinstance(self.left, Lossless):
            rights = {name: _refitted(left[name], tensor, self.view) for name, tensor in weights.items()}
        right = project(self.right, rights, None, last and {name: code.right for name, code in last.items()})
        new = {
            name: LowRankCode(tuple(tensor.shape), dtype_name(tensor), self.view, left[name], right[name])
            for name, tensor in weights.items()
        }
        return better(new, last, weights, metrics, self._allows)

    def scaled(self, factor: float) -> Compression:
        """Scale the compressions of the factors."""
        return replace(self, left=self.left.scaled(factor), right=self.right.scaled(factor))

    def _check(self, name: str, tensor: Tensor, metrics: Metrics) -> None:
        """Refuse what this compression does not take."""
        require_finite(name, tensor)
        metric = metrics.get(name, Unit())
        if not isinstance(metric, Unit):
            raise UnsupportedMetric(f"{name}: low rank takes the unit metric, not {type(metric).__name__}")
        axes = 2 if self.view == VIEWS[0] else 4
        if tensor.ndim < axes or (axes == 4 and tensor.ndim > axes):
            raise WeightsError(
                f"{name}: view {self.view} takes {'two or more' if axes == 2 else 'four'} axes, not the shape "
                f"{tuple(tensor.shape)}; leave this tensor out of the low-rank row"
            )

    def _allows(self, codes: Mapping[str, LowRankCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        return (
            all(code.view == self.view and code.rank <= self.rank for code in codes.values())
            and feasible(self.left, {name: code.left for name, code in codes.items()})
            and feasible(self.right, {name: code.right for name, code in codes.items()})
        )


def to_matrix(tensor: Tensor, view: str) -> Tensor:
    """Return ``tensor`` as the matrix that ``view`` says; `laconic.codes.low_rank.from_matrix` inverts it."""
    shape = matrix_shape(tuple(tensor.shape), view)
    return (tensor if view == VIEWS[0] else tensor.permute(0, 2, 1, 3)).reshape(shape)


def _refitted(left: Code, tensor: Tensor, view: str) -> Tensor:
    """Return the R of least `‖W − L R‖_F` for the L that ``left`` stands for, of the tensor's dtype."""
    factor = to_torch(left.decompress()).to(tensor.device).double()
    right: Tensor = torch.linalg.pinv(factor) @ to_matrix(tensor.detach(), view).double()
    return right.to(tensor.dtype)


def truncated(matrix: Tensor, rank: int, tolerance: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return U √S and √S Vᵀ for the ``rank`` largest singular values, float64.

    Args:
        matrix: W, shape (m, n).
        rank: r; the factors have min(r, m, n) columns and rows.
        tolerance: share of the least error that may be lost.
    """
    rank = min(rank, *matrix.shape)
    if rank == 0:
        return matrix.new_zeros(matrix.shape[0], 0).double(), matrix.new_zeros(0, matrix.shape[1]).double()
    if matrix.shape[0] < matrix.shape[1]:
        right, left = (factor.T for factor in _tall(matrix.T, rank, tolerance))
    else:
        left, right = _tall(matrix, rank, tolerance)
    top = right.gather(1, right.abs().argmax(1, keepdim=True))
    sign = torch.where(top < 0, -1.0, 1.0).to(right)
    return left * sign.T, right * sign


def _tall(matrix: Tensor, rank: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return U √S and √S Vᵀ of a matrix with at least as many rows as columns."""
    if tolerance and worthwhile(*matrix.shape, rank):
        found = _nearly(matrix, rank, tolerance)
        if found:
            return found
    double = matrix.double()
    if matrix.dtype == torch.float64:
        u, s, vh = torch.linalg.svd(double, full_matrices=False)
        root = s[:rank].sqrt()
        return u[:, :rank] * root, root[:, None] * vh[:rank]
    squares, v = torch.linalg.eigh(double.T @ double)
    squares, v = squares[-rank:].flip(0), v[:, -rank:].flip(1)
    root = squares.clamp(min=0).sqrt().sqrt()
    inverse = torch.where(root > 0, 1 / root, 0.0)
    return double @ v * inverse, root[:, None] * v.T


def _nearly(matrix: Tensor, rank: int, tolerance: float) -> tuple[Tensor, Tensor] | None:
    """Return U √S and √S Vᵀ of an error within ``tolerance`` of the least one, or None where that is not certain."""
    wide = matrix if matrix.dtype == torch.float64 else matrix.float()
    scale = float(wide.abs().max()) or 1.0
    left, right, excess = krylov(wide / scale, rank)  # scaled, lest squares overflow
    squares = left.double().square().sum(0)
    error = float((wide / scale).double().square().sum()) - float(squares.sum())
    if not excess <= tolerance * (error - excess):
        return None
    root = squares.sqrt().sqrt()
    return left.double() * (scale**0.5 / root), root[:, None] * scale**0.5 * right.double().T

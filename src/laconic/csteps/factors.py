"""Truncated singular value decompositions, plain and under a Kronecker metric: what low rank is made of."""

import torch
from torch import Tensor

from laconic.csteps.krylov import krylov, worthwhile
from laconic.errors import UnsupportedMetric, WeightsError
from laconic.format.codes import VIEWS
from laconic.format.codes.low_rank import matrix_shape
from laconic.models.params import require_finite
from laconic.theory.metric import Diagonal, Kronecker


def to_matrix(tensor: Tensor, view: str) -> Tensor:
    """Return ``tensor`` as the matrix that ``view`` says; `laconic.format.codes.low_rank.from_matrix` inverts it."""
    shape = matrix_shape(tuple(tensor.shape), view)
    orders = {VIEWS[1]: (0, 2, 1, 3), VIEWS[2]: (0, 3, 1, 2)}
    return (tensor.permute(orders[view]) if view in orders else tensor).reshape(shape)


def require_matrix(name: str, tensor: Tensor, view: str) -> None:
    """Raise `WeightsError` unless ``tensor`` is finite and ``view`` reads it as a matrix."""
    require_finite(name, tensor)
    axes = 2 if view == VIEWS[0] else 4
    if tensor.ndim < axes or (axes == 4 and tensor.ndim > axes):
        raise WeightsError(
            f"{name}: view {view} takes {'two or more' if axes == 2 else 'four'} axes, not the shape "
            f"{tuple(tensor.shape)}; leave this tensor out of the low-rank row"
        )


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
    if tolerance and worthwhile(matrix.shape[0], matrix.shape[1], rank):
        factors = _nearly(matrix, rank, tolerance)
        if factors:
            return factors
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
    scaled = wide / scale  # lest squares overflow
    left, right, excess = krylov(scaled, rank)
    squares = left.double().square().sum(0)
    error = float(torch.linalg.vector_norm(scaled, dtype=torch.float64)) ** 2 - float(squares.sum())
    if not excess <= tolerance * (error - excess):
        return None
    root = squares.sqrt().sqrt()
    return left.double() * (scale**0.5 / root), root[:, None] * scale**0.5 * right.double().T


def whitened(matrix: Tensor, metric: Kronecker, rank: int, tolerance: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return the factors L and R that are the best under a Kronecker metric, and the singular values, all float64.

        min over L, R   tr(G D A Dᵀ) = ‖G^½ (W − L R) A^½‖_F²,   D = W − L R

    Method: with L' R' the truncated singular value decomposition of `G^½ W A^½`, `L = G^(-½) L'` and `R = R' A^(-½)`.
    Exact. Where G or A are singular the inverses are Moore and Penrose's: what lies in a direction without weight costs
    nothing, and becomes zero.

    Source: reduced-rank regression with a weight (Izenman, J. Multivariate Analysis 5, 1975); the same for networks in
    Wang et al., "SVD-LLM" (ICLR 2025).

    Args:
        matrix: W, shape (m, n).
        metric: G of shape (m, m) and A of shape (n, n).
        rank: r.
        tolerance: as in `truncated`.
    """
    (root_g, inverse_g), (root_a, inverse_a) = square_roots(metric.outputs), square_roots(metric.inputs)
    left, right = truncated(root_g @ matrix.double() @ root_a, rank, tolerance)
    return inverse_g @ left, right @ inverse_a, left.square().sum(0)


def felt(metric: Kronecker, left: Tensor, right: Tensor) -> tuple[Diagonal, Diagonal]:
    """Return what an error in a number of L costs beside R, and in one of R beside L, under a Kronecker metric.

        tr(G (δ R) A (δ R)ᵀ) = vec(δ)ᵀ (G ⊗ R A Rᵀ) vec(δ),    tr(G (L δ) A (L δ)ᵀ) = vec(δ)ᵀ (Lᵀ G L ⊗ A) vec(δ)

    They are the diagonals of these: errors in two numbers at once cost more or less. Of the factors of `whitened`
    `R A Rᵀ` and `Lᵀ G L` are diagonal themselves.

    Args:
        metric: G of shape (m, m) and A of shape (n, n).
        left: L, shape (m, r).
        right: R, shape (r, n).
    """
    g, a = (factor.to(left.device).double() for factor in (metric.outputs, metric.inputs))
    left, right = left.double(), right.double()
    of_left, of_right = ((right @ a) * right).sum(1), ((g @ left) * left).sum(0)
    costs = torch.outer(g.diagonal(), of_left), torch.outer(of_right, a.diagonal())
    lefts, rights = (Diagonal(cost.clamp(min=0.0)) for cost in costs)
    return lefts, rights


def kronecker_of(name: str, metric: Kronecker, matrix: Tensor, view: str) -> Kronecker:
    """Return ``metric`` where it is one of tensor ``name``, which ``view`` reads as ``matrix``.

    Raises:
        UnsupportedMetric: for any view but the first, which is the metric's own.
        WeightsError: for a metric of another shape.
    """
    if view != VIEWS[0]:
        raise UnsupportedMetric(f"{name}: a Kronecker metric goes with the view {VIEWS[0]}, not {view}")
    if (len(metric.outputs), len(metric.inputs)) != tuple(matrix.shape):
        raise WeightsError(
            f"{name}: Kronecker factors of {len(metric.outputs)} and {len(metric.inputs)} rows for a matrix of "
            f"{matrix.shape[0]} x {matrix.shape[1]}"
        )
    return metric


def square_roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the symmetric square root of a positive semidefinite matrix and its pseudo-inverse, float64."""
    values, vectors = torch.linalg.eigh(matrix.double())
    floor = float(values.abs().max()) * len(values) * 1e-15 if len(values) else 0.0
    roots = torch.where(values > floor, values, 0.0).sqrt()
    inverses = torch.where(roots > 0, 1 / roots, 0.0)
    return (vectors * roots) @ vectors.T, (vectors * inverses) @ vectors.T

"""Low rank where every weight matters by an amount of its own: alternating least squares."""

import torch
from torch import Tensor

from laconic.csteps.factors import truncated

Factors = tuple[Tensor, Tensor]
"""L, shape (m, r), and R, shape (r, n), float64."""

SWEEPS = 30
"""Times that both factors are fitted, at most."""

ENOUGH = 1e-5
"""Share of the error that a sweep must take off for another one to follow."""

_RIDGE = 1e-10
_AT_ONCE = 1 << 22


def weighted(matrix: Tensor, h: Tensor, rank: int, tolerance: float, warm: Factors | None = None) -> Factors:
    """Return factors L and R of a low weighted error.

        min over L, R   Σ_ij h_ij (w_ij − (L R)_ij)²

    Method: from the best of three starts (plain truncation, truncation after rows and columns are scaled by their mean
    weights, and ``warm``) the columns of R and then the rows of L are fitted by least squares, each given the other,
    until a sweep gains less than 10⁻⁵ of the error, or 30 times, or until only what the dtype rounds off is left;
    O(mnr²) a sweep. The error never rises. Approximate: the problem has no closed solution and local optima (it is
    NP-hard even at rank 1, Gillis & Glineur 2011); but for h = outer(u, v) the second start is the optimum. What has no
    weight stays as it starts.

    Source: Gabriel & Zamir, "Lower rank approximation of matrices by least squares with any choice of weights"
    (Technometrics 21, 1979). Departures: each fit is a proximal step with a ridge of 10⁻¹⁰, so that singular systems
    need no care; the start. Srebro & Jaakkola (ICML 2003) iterate singular value decompositions instead, which takes
    more steps the more the weights differ.

    Args:
        matrix: W, shape (m, n).
        h: importances of the same shape.
        rank: r.
        tolerance: as in `truncated`, of the starts.
        warm: factors of rank r or less to start from.
    """
    largest = float(h.max()) if h.numel() else 0.0
    w = matrix.double()
    h = h.double() / largest if largest > 0 else torch.ones_like(w)
    plain = truncated(matrix, rank, tolerance)
    rounding = (8 * torch.finfo(matrix.dtype).eps) ** 2 * float((h * w.square()).sum())
    if weighted_error(w, h, *plain) <= rounding:
        return plain
    starts = [plain, _nearly_separable(matrix, h, rank, tolerance), *([warm] if warm else [])]
    left, right = min(starts, key=lambda factors: weighted_error(w, h, *factors))
    best, error = (left, right), weighted_error(w, h, left, right)
    for _ in range(SWEEPS):
        right = fitted(w, h, left, right)
        left = fitted(w.T, h.T, right.T, left.T).T
        new = weighted_error(w, h, left, right)
        if not new < error:
            break
        best, gain, error = (left, right), error - new, new
        if gain <= ENOUGH * error:
            break
    return _balanced(*best)


def nested(matrix: Tensor, h: Tensor) -> tuple[Tensor, Tensor, list[float]]:
    """Return factors of full rank whose first r terms are good for every r, and the weighted error of each r.

    They are the optimum for the separable weights next to h, outer(mean of rows, mean of columns); O(mn·min(m, n)).

    Args:
        matrix: W, shape (m, n).
        h: importances of the same shape, float64.
    """
    largest = float(h.max()) if h.numel() else 0.0
    left, right = _nearly_separable(matrix, h / largest if largest > 0 else torch.ones_like(h), min(matrix.shape), 0.0)
    rest, errors = matrix.double(), [float((h * matrix.double().square()).sum())]
    for k in range(left.shape[1]):
        rest = rest - torch.outer(left[:, k], right[k])
        errors.append(float((h * rest.square()).sum()))
    return left, right, errors


def weighted_error(matrix: Tensor, h: Tensor, left: Tensor, right: Tensor) -> float:
    """Return `Σ h (W − L R)²`, all float64."""
    return float((h * (matrix - left @ right).square()).sum())


def fitted(matrix: Tensor, h: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return the R of least weighted error for a given L, each column a least-squares problem of its own.

    Args:
        matrix: W, shape (m, n), float64.
        h: importances, of any scale.
        left: L, shape (m, r).
        right: R from which to move; it stays where the error does not depend on it.
    """
    rank = left.shape[1]
    pairs = (left[:, :, None] * left[:, None, :]).reshape(len(left), rank * rank)
    gradient = ((h * (matrix - left @ right)).T @ left)[:, :, None]
    moved = right.clone()
    columns = max(1, _AT_ONCE // max(1, rank * rank))
    for first in range(0, matrix.shape[1] if rank else 0, columns):
        here = slice(first, first + columns)
        grams = (h[:, here].T @ pairs).view(-1, rank, rank)
        ridge = grams.diagonal(dim1=1, dim2=2).sum(1).clamp(min=1e-290) * (_RIDGE / rank)
        grams = grams + ridge[:, None, None] * torch.eye(rank).to(grams)
        moved[:, here] += torch.linalg.solve(grams, gradient[here])[:, :, 0].T
    return moved


def _nearly_separable(matrix: Tensor, h: Tensor, rank: int, tolerance: float) -> Factors:
    """Return the optimum for the weights outer(mean of rows, mean of columns), none of which is taken for zero."""
    rows, columns = (h.mean(axis).sqrt()[shape] for axis, shape in ((1, (..., None)), (0, (None, ...))))
    rows, columns = (root.clamp(min=float(root.max()) * 1e-6) if root.numel() else root for root in (rows, columns))
    wide = matrix.dtype if matrix.dtype == torch.float64 else torch.float32
    left, right = truncated((rows * matrix.double() * columns).to(wide), rank, tolerance)
    return left / rows, right / columns


def _balanced(left: Tensor, right: Tensor) -> Factors:
    """Return factors of the same product with columns of L and rows of R of equal norm, the largest of a row positive.

    A short dtype then holds both.
    """
    a, b = left.norm(dim=0), right.norm(dim=1)
    scale = torch.where((a > 0) & (b > 0), (b / a).sqrt(), 1.0)
    left, right = left * scale, right / scale[:, None]
    if not right.numel():
        return left, right
    sign = torch.where(right.gather(1, right.abs().argmax(1, keepdim=True)) < 0, -1.0, 1.0).to(right)
    return left * sign.T, right * sign

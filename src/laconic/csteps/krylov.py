"""The largest singular values of a large matrix by block Krylov iteration, with a bound on what that loses."""

import math

import torch
from torch import Tensor

BLOCKS = 7
"""Applications of WᵀW to the starting block."""

SPARE = 8
"""Columns of a block beyond the rank."""

DEGREE = 10
"""Of the Chebyshev polynomial that looks for what the iteration has missed."""

PROBES = 32
"""Columns of the block that it is applied to."""

FAILURE = 1e-9
"""Probability, over those columns, that the bound does not hold."""


def worthwhile(rows: int, columns: int, rank: int) -> bool:
    """Say whether the iteration costs well below a full decomposition."""
    return rank > 0 and 4 * (BLOCKS + 1) * (rank + SPARE) <= min(rows, columns)


def krylov(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Return U S and V of nearly the best rank-r approximation `U S Vᵀ`, and a bound on its excess error.

        ‖W − U S Vᵀ‖_F² − min over rank(X) ≤ r ‖W − X‖_F²  ≤  bound,   with probability 1 − 10⁻⁹

    Method: Rayleigh–Ritz on the Krylov space of WᵀW and r + 8 Gaussian columns of a fixed seed, O(mnr). The error of
    the result is ‖W‖² − tr Θ, of the optimum ‖W‖² − Σ_{i≤r} λ_i, with λ the eigenvalues of A = WᵀW and Θ = VᵀAV
    diagonal; so a bound on Σ_{i≤r} λ_i is needed, from above. Let C be A on the complement of V, R = AV − VΘ.

    1. For all τ, Σ_{i≤r} λ_i ≤ rτ + tr (A − τ)₊ (Ky Fan). For all η > 0, A ≼ diag(Θ + RᵀR/η, C + η) (Young's
       inequality on the blocks beside the diagonal), so tr (A − τ)₊ ≤ tr (Θ + RᵀR/η − τ)₊ + tr (C − (τ − η))₊.
    2. With p(λ) = T_d(2λ/β − 1) and a = max over λ > τ − η of (λ − (τ − η))/p(λ)², a p² is nowhere below the
       ramp (· − (τ − η))₊, hence tr (C − (τ − η))₊ ≤ a tr p(C)².
    3. For a Gaussian block G of t columns, independent of V, ‖p(C) G‖_F² is Σ p(λ_j(C))² χ²_t, and Chernoff's bound,
       which is the weakest for a single term, gives tr p(C)² ≤ ‖p(C) G‖_F² / (tρ) but with probability
       exp(t/2 · (1 − ρ + ln ρ)).

    τ and η minimise the bound; β is the (r + 1)-th Ritz value. Roundings are not part of the bound, which is infinite
    where they have made V oblique: where the rank of W is hardly above r, and little is to be gained.

    Args:
        matrix: W, shape (m, n), float32 or float64, with at least as many rows as columns.
        rank: r, such that `worthwhile` says so.

    Source: Musco & Musco, "Randomized block Krylov methods for stronger and faster approximate singular value
    decomposition" (NeurIPS 2015), algorithm 2. Departures: each block is made orthogonal to the last ones as it comes;
    a bound that is computed takes the place of theirs, whose constants are large.

    >>> _, right, bound = krylov(torch.randn(600, 500, generator=torch.Generator().manual_seed(0)).double(), 3)
    >>> right.shape, bound < 0.003 * 600 * 500
    (torch.Size([500, 3]), True)
    """
    generator = torch.Generator().manual_seed(0)
    basis, image = _space(matrix, rank, generator)
    squares, rotation = torch.linalg.eigh(image.double().T @ image.double())
    squares, rotation = squares.flip(0).clamp(min=0), rotation.flip(1)
    chosen = rotation[:, :rank].to(matrix.dtype)
    right, left = basis @ chosen, image @ chosen
    drift = float((right.T @ right - torch.eye(rank).to(right)).abs().max())
    if not drift <= torch.finfo(matrix.dtype).eps ** 0.75:  # the space is exhausted, and what is left are roundings
        return left, right, math.inf
    ritz = squares[:rank]
    residual = (matrix.T @ left).double() - right.double() * ritz
    missed = _missed(matrix, right, float(squares[rank]), generator)
    return left, right, _excess(ritz, residual, float(squares[rank]), missed)


def _space(matrix: Tensor, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return an orthonormal basis Q of the Krylov space, and W Q."""
    block = torch.randn(matrix.shape[1], rank + SPARE, generator=generator, dtype=matrix.dtype).to(matrix.device)
    block = torch.linalg.qr(block)[0]
    basis, images = block, [matrix @ block]
    for _ in range(BLOCKS):
        block = matrix.T @ images[-1]
        for _ in range(2):  # the second time takes away what roundings left
            block = torch.linalg.qr(block - basis @ (basis.T @ block))[0]
        basis = torch.cat([basis, block], 1)
        images.append(matrix @ block)
    return basis, torch.cat(images, 1)


def _missed(matrix: Tensor, right: Tensor, edge: float, generator: torch.Generator) -> float:
    """Return the bound on tr T_d(2C/β − 1)², for C the part of WᵀW beside V and β the ``edge``."""
    if edge <= 0:
        return math.inf

    def outside(block: Tensor) -> Tensor:
        return block - right @ (right.T @ block)

    def step(block: Tensor) -> Tensor:
        return outside(matrix.T @ (matrix @ block)) * (2 / edge) - block

    probes = torch.randn(len(right), PROBES, generator=generator, dtype=matrix.dtype).to(matrix.device)
    before = outside(probes)
    now = step(before)
    for _ in range(DEGREE - 1):
        before, now = now, 2 * step(now) - before
    return float(now.double().square().sum()) / (PROBES * _quantile())


def _quantile() -> float:
    """Return ρ below 1 of `t/2 (1 − ρ + ln ρ) = ln FAILURE`, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if PROBES / 2 * (1 - middle + math.log(middle)) < math.log(FAILURE):
            low = middle
        else:
            high = middle
    return low


def _excess(ritz: Tensor, residual: Tensor, edge: float, missed: float) -> float:
    """Return the least bound on Σ_{i≤r} λ_i − tr Θ over a grid of τ and η."""
    if not math.isfinite(missed):
        return math.inf
    slopes = {edge * above: edge * _slope(above) for above in (2.0 ** (-k / 2) for k in range(2, 16))}
    gram = residual.T @ residual
    best = math.inf
    for eta in (edge * 2.0 ** (-k / 2) for k in range(4, 20)):
        inside = torch.linalg.eigvalsh(torch.diag(ritz) + gram / eta)
        for above, slope in slopes.items():
            tau = edge + above + eta
            ramp = float((inside - tau).clamp(min=0).sum())
            best = min(best, len(ritz) * tau + ramp + slope * missed - float(ritz.sum()))
    return best


def _slope(above: float) -> float:
    """Return the maximum over x > 0 of x / T_d(2 (1 + above + x) − 1)², the edge being 1.

    The logarithm of T_d is concave beyond 1, so that there is one maximum; each term of the grid is paid the ratio of
    the grid, so that what is returned is no less than it.
    """
    best, ratio = 0.0, 1.01
    x = 1e-4
    while x < 10:
        best = max(best, ratio * x / math.cosh(DEGREE * math.acosh(1 + 2 * (above + x))) ** 2)
        x *= ratio
    return best

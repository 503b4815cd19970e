"""The best depthwise-separable layer in place of a convolution.

    argmin over d, p of  tr(R Σ Rᵀ),    R[o, (i,u)] = W[o,i,u] − Σ_r p[o,i,r] d[i,r,u]

W has outputs o, inputs i and taps u; Σ are the second moments of what W multiplies. For Σ = I the channels are alone,
and each is a truncated SVD (Eckart & Young 1936): exact. For another Σ the channels are taken in turn, all others
fixed: with Σ_ii = L Lᵀ the best M of rank r for channel i has M L = the truncated SVD of G L⁻ᵀ, G = (R + M_i) Σ_{·i}.
Each step is exact, so that the error never grows; the end is a local minimum. A step takes O · (I u) · u
multiplications beside the SVD of O × u.
"""

import torch
from torch import Tensor

SWEEPS, SETTLED = 300, 1e-6
"""Passes over the channels at most, and the share of the error below which another gains too little."""


def separable(weight: Tensor, rank: int, moments: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return depthwise kernels d, shape (inputs, rank, taps), and pointwise weights p, (outputs, inputs, rank).

    Args:
        weight: W, shape (outputs, inputs, taps), float64.
        rank: r, kernels for each channel that is read.
        moments: Σ, shape (inputs · taps, inputs · taps), positive definite; the identity unless given.

    >>> d, p = separable(torch.einsum("oi,iu->oiu", torch.ones(4, 2), torch.eye(2, 3)).double(), 1)
    >>> torch.einsum("oir,iru->oiu", p, d)[0].round(decimals=6).abs()
    tensor([[1., 0., 0.],
            [0., 1., 0.]], dtype=torch.float64)
    """
    channels = weight.transpose(0, 1)
    left, right = _truncated(channels, rank)
    if moments is not None:
        left, right = _swept(weight, left, right, moments)
    return right, left.transpose(0, 1)


def _truncated(matrices: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the best factors of rank ``rank``, (..., rows, rank) and (..., rank, columns), of equal norms."""
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    roots = values[..., :rank].sqrt()
    return left[..., :rank] * roots[..., None, :], roots[..., :, None] * right[..., :rank, :]


def _swept(weight: Tensor, left: Tensor, right: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors of each channel, taken in turn until the error has settled."""
    outputs, inputs, taps = weight.shape
    left, right, rank = left.clone(), right.clone(), left.shape[-1]
    blocks = torch.stack([moments[at : at + taps, at : at + taps] for at in range(0, inputs * taps, taps)])
    roots = torch.linalg.cholesky(blocks)
    rest = (weight - (left @ right).transpose(0, 1)).reshape(outputs, -1)
    error = _error(rest, moments)
    for _ in range(SWEEPS):
        for i in range(inputs):
            own = slice(i * taps, (i + 1) * taps)
            now = left[i] @ right[i]
            wanted = rest @ moments[:, own] + now @ blocks[i]
            scaled = torch.linalg.solve_triangular(roots[i], wanted.T, upper=False).T
            left[i], turned = _truncated(scaled, rank)
            right[i] = torch.linalg.solve_triangular(roots[i].T, turned.T, upper=True).T
            rest[:, own] += now - left[i] @ right[i]
        before, error = error, _error(rest, moments)
        if error >= (1 - SETTLED) * before:
            break
    return left, right


def _error(rest: Tensor, moments: Tensor) -> float:
    """Return tr(R Σ Rᵀ)."""
    return float(((rest @ moments) * rest).sum())

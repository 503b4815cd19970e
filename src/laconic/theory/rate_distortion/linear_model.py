"""R(D) of the weights of a linear model (weighted reverse water-filling), and the channel that achieves it.

    min over P(Ŵ|W)   I(W; Ŵ)     subject to   E (W − Ŵ)ᵀ Σ_X (W − Ŵ) ≤ D,     W ~ N(0, Σ_W)

The error is that of f = wᵀx on inputs with E xxᵀ = Σ_X. With diagonal Σ_W = diag(v) and Σ_X = diag(λ):

    R = Σ_i ½ log₂(v_i / D_i),   D_i = min(μ / λ_i, v_i),   Σ_i λ_i D_i = D

Method: W = B t with t ~ N(0, I), where the columns of Σ_W^{−½} B are the eigenvectors of Σ_W^½ Σ_X Σ_W^½ and γ its
eigenvalues. The error is then Σ_i γ_i (t_i − t̂_i)², a sum over independent Gaussians of variances γ_i: water-filling.
Nothing is lost where Σ_X or Σ_W is singular: directions with γ = 0 get no bits. Exact; O(n log n) for diagonals, else
O(n³).

Source: Gao, Liu, Wang & Oh, "Rate distortion for model compression" (2019), theorems 2 and 3, algorithm 1. Departures:
they let Σ_W be any matrix with a diagonal Σ_X, but their bound ½ log det Σ_W − Σ ½ log D_i is tight for diagonal Σ_W
alone (by Hadamard's inequality, and it can be negative); here it is exact for both whole. Algorithm 1 prints Ŵ_i = 0
under the wrong condition: it is right where D_i = v_i.
"""

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.theory.rate_distortion.gaussian import Filled, water_filling, water_filling_rate
from laconic.theory.rate_distortion.square_roots import square_root, times


@final
@dataclass(frozen=True, eq=False)
class Channel:
    """A random compressor of weights: Ŵ = A W + N z with z ~ N(0, I).

    Args:
        gain: A, shape (n, n).
        noise: N, shape (n, n).
    """

    gain: np.ndarray
    noise: np.ndarray

    def sample(self, weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return one Ŵ for each row of ``weights``, shape (..., n)."""
        weights = np.asarray(weights, np.float64)
        sampled: np.ndarray = weights @ self.gain.T + generator.standard_normal(weights.shape) @ self.noise.T
        return sampled


def weighted_filling(weights: np.ndarray, inputs: np.ndarray, distortion: float) -> Filled:
    """Return the least rate at which the error of the model is at most ``distortion``, for one vector of weights.

    Args:
        weights: Σ_W, shape (n, n), or its diagonal v, shape (n,).
        inputs: Σ_X, the second moments of the inputs, shape (n, n), or their diagonal λ, shape (n,).
        distortion: D, positive, in squared units of the output.

    Returns:
        μ as the level, R in bits, D, and D_i = E (W_i − Ŵ_i)² as the distortions. D_i is not weighted: D is Σ_i λ_i D_i
        for a diagonal Σ_X.

    Raises:
        ValueError: where shapes do not agree, moments are none, or D is not positive.

    >>> filled = weighted_filling(np.array([3.0, 2.0, 1.0]), np.array([3.0, 2.0, 1.0]), 6.0)
    >>> filled.level, filled.distortions.round(4).tolist(), round(filled.rate, 4)
    (2.5, [0.8333, 1.25, 1.0], 1.263)
    """
    strengths, basis = components(weights, inputs)
    return _of_weights(water_filling(strengths, np.ones(len(strengths)), distortion), strengths, basis)


def weighted_filling_rate(weights: np.ndarray, inputs: np.ndarray, rate: float) -> Filled:
    """Return the least error of the model at ``rate`` bits a vector: the inverse of `weighted_filling`.

    >>> round(weighted_filling_rate(np.array([3.0, 2.0, 1.0]), np.array([3.0, 2.0, 1.0]), np.log2(6)).distortion, 9)
    3.0
    """
    strengths, basis = components(weights, inputs)
    return _of_weights(water_filling_rate(strengths, np.ones(len(strengths)), rate), strengths, basis)


def achieving_channel(weights: np.ndarray, inputs: np.ndarray, distortion: float) -> Channel:
    """Return the compressor with E (W − Ŵ)ᵀ Σ_X (W − Ŵ) = D and I(W; Ŵ) = R(D); arguments as `weighted_filling`.

    Backward it is W = Ŵ + Z with Z independent of Ŵ, so that E Ŵᵀ Σ_X (W − Ŵ) = 0. In components t̂_i ~ N(0, 1 − d_i)
    with d_i = min(μ/γ_i, 1), which forward is t̂_i = (1 − d_i) t_i + √(d_i (1 − d_i)) z_i; t_i = (Bᵀ Σ_X W)_i / γ_i.

    >>> channel = achieving_channel(np.array([3.0, 1.0]), np.array([1.0, 1.0]), 2.5)
    >>> channel.gain.round(12).tolist(), (channel.noise @ channel.noise.T).round(12).tolist()
    ([[0.5, 0.0], [0.0, 0.0]], [[0.75, 0.0], [0.0, 0.0]])
    """
    strengths, basis = components(weights, inputs)
    shares = _shares(water_filling(strengths, np.ones(len(strengths)), distortion).level, strengths)
    basis = np.diag(basis) if basis.ndim == 1 else basis
    inverse = np.divide(1.0, strengths, out=np.zeros_like(strengths), where=shares < 1)
    read = times(basis.T, np.asarray(inputs, np.float64)) * inverse[:, None]
    return Channel(basis * (1 - shares) @ read, basis * np.sqrt(shares * (1 - shares)))


def components(weights: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return γ, shape (n,), and B, shape (n, n), or its diagonal (n,) in the order of the weights where both are."""
    root, seen = square_root(weights, "weights"), square_root(inputs, "inputs")
    if len(root) != len(seen):
        raise ValueError(f"moments of {len(root)} weights and {len(seen)} inputs: a linear model has as many of both")
    if root.ndim == seen.ndim == 1:
        return np.asarray(weights, np.float64) * inputs, root
    whole, other = (np.diag(m) if m.ndim == 1 else m for m in (root, seen))
    _, scales, turned = np.linalg.svd(other @ whole)
    return scales**2, whole @ turned.T


def _of_weights(filled: Filled, strengths: np.ndarray, basis: np.ndarray) -> Filled:
    """Return the same with the error of each weight in place of each component's."""
    shares = _shares(filled.level, strengths)
    return replace(filled, distortions=basis**2 * shares if basis.ndim == 1 else basis**2 @ shares)


def _shares(level: float, strengths: np.ndarray) -> np.ndarray:
    """Return d, the share of each component's variance that is lost."""
    shares: np.ndarray = np.divide(level, strengths, out=np.ones_like(strengths), where=strengths > level)
    return shares

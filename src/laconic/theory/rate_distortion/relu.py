"""What is lost when the weights of a ReLU unit on Gaussian inputs change: exact, as arc-cosine kernels give it.

    E (ReLU(wᵀx) − ReLU(ŵᵀx))² = ½ ‖w − ŵ‖² − ab (sin θ − θ cos θ) / π,     x ~ N(0, Σ)

with norms and angles of Σ: a = √wᵀΣw, b = √ŵᵀΣŵ, cos θ = wᵀΣŵ / ab. The first term is the quadratic form with
I_w = E ∇f ∇fᵀ = Σ/2; the second is ab θ³/3π and more.

Consequences for one unit. Where candidates ŵ are closed under scaling (pruned with free values, k shared values) the
least error over the scale is ½a² (1 − g²), g = (sin θ + (π − θ) cos θ) / π, which grows with θ, as does the least
quadratic form, ½a² sin² θ: both choose the same weights and clusters, up to one factor (`relu_scale`). Weights that are
kept as they are have b = a cos θ, where the error grows with θ too: pruning by λ_i w_i² is exact as it is.

Source: Cho & Saul, "Kernel methods for deep learning" (2009), degree 1; Gao, Liu, Wang & Oh, "Rate distortion for model
compression" (2019), theorem 4, corollaries 1 and 2. Departure: they leave the factor out; corollary 2 holds with it.
"""

import numpy as np

from laconic.theory.rate_distortion.square_roots import square_root, times


def relu_error(weights: np.ndarray, compressed: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each unit.

    Args:
        weights: w, shape (..., n).
        compressed: ŵ, shape (..., n).
        moments: Σ, shape (n, n), or its diagonal, shape (n,).

    >>> float(relu_error(np.array([3.0, 1, -1, 0.5]), np.full(4, 0.875), np.ones(4)).round(4))
    3.496
    """
    root = square_root(moments, "moments")
    u, v = times(weights, root), times(compressed, root)
    a, b, theta = _lengths_and_angle(u, v)
    error: np.ndarray = np.square(u - v).sum(-1) / 2 - a * b * (np.sin(theta) - theta * np.cos(theta)) / np.pi
    return error


def relu_scale(weights: np.ndarray, compressed: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the factor of ŵ that makes the error of the unit least, a (sin θ + (π − θ) cos θ) / πb; 1 for ŵ = 0.

    Where ŵ is orthogonal to its error, as k-means' is, b = a cos θ and the factor is at least 1; it has no upper bound,
    since a ŵ of almost no length is best at a/π. Arguments as `relu_error`.

    >>> w, c = np.array([3.0, 1, -1, 0.5]), np.full(4, 0.875)
    >>> s = relu_scale(w, c, np.ones(4))
    >>> (s * 0.875).round(4).tolist(), relu_error(w, s * c, np.ones(4)).round(4).tolist()
    (1.0458, 3.4377)
    """
    root = square_root(moments, "moments")
    a, b, theta = _lengths_and_angle(times(weights, root), times(compressed, root))
    best = a * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / np.pi
    scale: np.ndarray = np.divide(best, b, out=np.ones_like(best), where=b > 0)
    return scale


def relu_products(left: np.ndarray, right: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return E ReLU(uᵀx) ReLU(vᵀx) of each u with each v, ab (sin θ + (π − θ) cos θ) / 2π.

    Args:
        left: shape (..., units, n).
        right: shape (..., others, n).
        moments: Σ, shape (n, n), or its diagonal, shape (n,).

    Returns:
        Shape (..., units, others).

    >>> relu_products(np.eye(2), np.eye(2), np.ones(2)).round(4).tolist()
    [[0.5, 0.1592], [0.1592, 0.5]]
    """
    root = square_root(moments, "moments")
    a, b, theta = _lengths_and_angle(times(left, root)[..., :, None, :], times(right, root)[..., None, :, :])
    products: np.ndarray = a * b * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    return products


def _lengths_and_angle(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ‖u‖, ‖v‖ and the angle between them: to rounding at every angle (Kahan), unlike the arccosine."""
    u, v = np.broadcast_arrays(u, v)
    a, b = np.linalg.norm(u, axis=-1), np.linalg.norm(v, axis=-1)
    u, v = (x / np.where(length > 0, length, 1.0)[..., None] for x, length in ((u, a), (v, b)))
    return a, b, 2 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1))

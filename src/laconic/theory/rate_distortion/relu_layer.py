"""What is lost when the weights of one hidden ReLU layer f = C ReLU(W x) change, exactly and to second order.

    E ‖f_W(x) − f_Ŵ(x)‖²  ≈  (w − ŵ)ᵀ I_w (w − ŵ),     I_w = E ∇f ∇fᵀ,     x ~ N(0, Σ)

w is W row by row. The units are a sum for C of one row, a vector for C = I. For one unit the two have the same optimum
(`laconic.theory.rate_distortion.relu`); for more they need not: see docs/notes/theory.md.

Source: Cho & Saul (2009) for the error; Gao, Liu, Wang & Oh, "Rate distortion for model compression" (2019), for I_w.
"""

import numpy as np

from laconic.theory.rate_distortion.relu import relu_products
from laconic.theory.rate_distortion.square_roots import square_root, times


def relu_layer_error(
    weights: np.ndarray, compressed: np.ndarray, outputs: np.ndarray, moments: np.ndarray
) -> np.ndarray:
    """Return E ‖f_W(x) − f_Ŵ(x)‖², the mean squared error over inputs, summed over outputs.

    Args:
        weights: W, shape (units, n).
        compressed: Ŵ, shape (..., units, n): many candidates at once.
        outputs: C, shape (outputs, units).
        moments: Σ, shape (n, n), or its diagonal, shape (n,).

    >>> float(relu_layer_error(np.eye(2), np.eye(2)[::-1], np.ones((1, 2)), np.ones(2)))  # the same sum
    0.0
    """
    mixing = np.asarray(outputs, np.float64).T @ outputs
    products = relu_products(weights, weights, moments) + relu_products(compressed, compressed, moments)
    error: np.ndarray = (mixing * (products - 2 * relu_products(compressed, weights, moments))).sum((-2, -1))
    return error


def relu_importance(weights: np.ndarray, outputs: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return I_w, shape (units · n, units · n).

    Block (j, k) is (CᵀC)_jk E[xxᵀ; w_jᵀx > 0, w_kᵀx > 0]. For Σ = I and an angle θ of w_j and w_k the expectation is
    ((π − θ) I + sin θ S) / 2π, where S exchanges the directions of w_j and w_k and is 0 across them. Arguments as
    `relu_layer_error`; no row of W is zero in the norm of Σ.

    >>> relu_importance(np.array([[1.0, 2.0]]), np.ones((1, 1)), np.array([4.0, 6.0])).round(9).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    root = square_root(moments, "moments")
    units = times(weights, root)
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise ValueError("weights: a unit with zero weights has no gradient; leave it out")
    units = units / lengths
    apart, sum_ = units[:, None] - units, units[:, None] + units
    far, sum_norm = np.linalg.norm(apart, axis=-1), np.linalg.norm(sum_, axis=-1)
    theta = 2 * np.arctan2(far, sum_norm)
    across, along = (x / np.where(n > 0, n, 1.0)[..., None] for x, n in ((apart, far), (sum_, sum_norm)))
    swap = along[..., :, None] * along[..., None, :] - across[..., :, None] * across[..., None, :]
    count = units.shape[1]
    blocks = (np.pi - theta)[..., None, None] * np.eye(count) + np.sin(theta)[..., None, None] * swap
    mixing = np.asarray(outputs, np.float64).T @ outputs
    blocks = mixing[..., None, None] * times(np.swapaxes(times(blocks, root), -1, -2), root) / (2 * np.pi)
    size = len(units) * count
    importance: np.ndarray = blocks.transpose(0, 2, 1, 3).reshape(size, size)
    return importance

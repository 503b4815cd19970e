"""A few weights of a layer, and the dictionary that predicts the others: kernel ridge on the grid of pixels.

    W = W_α (K_α + λ I)⁻¹ k_α,    k_α[i, j] = exp(−‖α_i − j‖² / 2σ²),    K_α[i, j] = exp(−‖α_i − α_j‖² / 2σ²)

α are some of the pixels, and W_α, shape (units, n), the weights that read them; the others follow, as neighbours in an
image have like weights. Rows of k_α are smooth bumps around the pixels of α, and W lies in their span whatever λ is. So
where weights are trained, not predicted, they are numbers in an orthonormal basis of that span: a step is then as long
as one in W, and so is an error.

Source: Denil, Shakibi, Dinh, Ranzato & de Freitas, "Predicting parameters in deep learning" (NIPS 2013), section 3;
one dictionary for all units of the layer.
"""

import numpy as np
import torch
from torch import Tensor

SPREADS = (0.5, 0.75, 1.0, 1.5, 2.0)
"""σ that are tried, in mean distances between pixels of α."""

RIDGES = (1e-6, 1e-3, 1e-1, 1.0)
"""λ that are tried."""


def sampled(shape: tuple[int, int], count: int, seed: int) -> np.ndarray:
    """Return α: rows and columns of so many pixels of an image, drawn without replacement, shape (count, 2)."""
    drawn = np.random.default_rng(seed).choice(shape[0] * shape[1], count, replace=False)
    return np.stack(np.unravel_index(np.sort(drawn), shape), axis=1)


def spacing(shape: tuple[int, int], count: int) -> float:
    """Return the mean distance between ``count`` pixels of an image.

    >>> spacing((28, 28), 49)
    4.0
    """
    return float((shape[0] * shape[1] / count) ** 0.5)


def kernel(shape: tuple[int, int], alpha: np.ndarray, sigma: float) -> Tensor:
    """Return k_α, shape (n, pixels), float64.

    Args:
        shape: height and width of the image.
        alpha: as `sampled` gives them.
        sigma: in pixels, above 0.
    """
    pixels = np.stack(np.unravel_index(np.arange(shape[0] * shape[1]), shape), axis=1)
    squares = np.square(alpha[:, None] - pixels[None]).sum(2)
    return torch.from_numpy(np.exp(-squares / (2 * sigma**2)))


def predicted(weight: Tensor, shape: tuple[int, int], alpha: np.ndarray, sigma: float, ridge: float) -> Tensor:
    """Return the weight that those of its columns at α predict, of its shape and type.

    Args:
        weight: W, shape (units, pixels).
        shape: height and width of the image.
        alpha: as `sampled` gives them.
        sigma: in pixels, above 0.
        ridge: λ, above 0.
    """
    columns = np.ravel_multi_index((alpha[:, 0], alpha[:, 1]), shape)
    k = kernel(shape, alpha, sigma)
    gram = k[:, columns] + ridge * torch.eye(len(alpha), dtype=torch.float64)
    others: Tensor = weight[:, columns].double() @ torch.linalg.solve(gram, k)
    return others.to(weight.dtype)


def basis(rows: Tensor) -> Tensor:
    """Return an orthonormal basis of the span of rows, of their shape (n, pixels), float32."""
    columns: Tensor = torch.linalg.qr(rows.double().T)[0]
    return columns.T.float().contiguous()


def smooth(shape: tuple[int, int], count: int, seed: int, images: Tensor) -> tuple[Tensor, float]:
    """Return the basis that ``count`` pixels give, and its σ: the one whose span holds most of some images.

    Args:
        shape: height and width of an image.
        count: pixels of α.
        seed: of α.
        images: shape (samples, pixels); no labels are looked at.
    """
    alpha = sampled(shape, count, seed)
    tried = {share * spacing(shape, count): share for share in SPREADS}
    bases = {sigma: basis(kernel(shape, alpha, sigma)) for sigma in tried}
    best = max(bases, key=lambda sigma: float((images @ bases[sigma].T).square().sum()))
    return bases[best], best


def scattered(pixels: int, count: int, seed: int) -> Tensor:
    """Return a basis of random directions, shape (count, pixels)."""
    return basis(torch.randn(count, pixels, generator=torch.Generator().manual_seed(seed)))

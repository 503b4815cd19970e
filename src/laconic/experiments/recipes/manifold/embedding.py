"""A spiral in n dimensions and back, x → T⁺ f(T x) with f the ReLU or nothing, and what is lost on the way.

Sandler et al. 2018, section 3.2 and figure 1; T is of shape (n, 2), drawn from the standard normal distribution.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

RELU, LINEAR = "ReLU", "linear"
MEASURES = ("together", "flat", "error", "pieces")
"""What is measured; see `Way`."""

_POINTS, _TURNS = 200, 2.25
_NEAR = 0.01


@final
@dataclass(frozen=True, eq=False)
class Way:
    """The spiral through one layer and back.

    Args:
        back: T⁺ f(T x) of each point, shape (points, 2).
        together: share of the pairs of points that are put together: f leaves at most a hundredth of their distance.
        flat: share of the points around which the layer writes a line or a point: fewer than two units are active.
        error: ‖x − s·back‖ / ‖x‖ over all points, with the best number s; 0 is the spiral itself, 1 is nothing of it.
        pieces: linear pieces of the layer that the spiral passes: one more than units become active, or cease to be.
    """

    back: np.ndarray
    together: float
    flat: float
    error: float
    pieces: float


def spiral() -> np.ndarray:
    """Return points of an Archimedean spiral around 0, from the centre to radius 1, shape (points, 2)."""
    radius = np.linspace(0.1, 1.0, _POINTS)
    angle = 2 * np.pi * _TURNS * radius
    points: np.ndarray = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return points


def drawn(n: int, seed: int, draw: int) -> np.ndarray:
    """Return a matrix T, shape (n, 2)."""
    return np.random.default_rng((seed, n, draw)).standard_normal((n, 2))


def through(points: np.ndarray, matrix: np.ndarray, layer: str) -> Way:
    """Return what becomes of ``points``.

    >>> way = through(spiral(), np.eye(2), LINEAR)
    >>> way.together, way.flat, way.pieces, way.error < 1e-9
    (0.0, 0.0, 1.0, True)

    Args:
        points: shape (points, 2).
        matrix: T, shape (n, 2).
        layer: `RELU` or `LINEAR`.
    """
    linear = points @ matrix.T
    active = linear > 0 if layer == RELU else np.ones(linear.shape, bool)
    written = np.where(active, linear, 0.0)
    back = written @ np.linalg.pinv(matrix).T
    pairs = np.triu_indices(len(points), 1)
    near = _squares(written)[pairs] <= _NEAR**2 * _squares(linear)[pairs]
    scale = float((points * back).sum()) / max(float((back**2).sum()), np.finfo(float).tiny)
    return Way(
        back,
        float(near.mean()),
        float((active.sum(1) < 2).mean()),
        float(np.linalg.norm(points - scale * back) / np.linalg.norm(points)),
        1.0 + int((active[1:] != active[:-1]).sum()),
    )


def _squares(points: np.ndarray) -> np.ndarray:
    """Return the squared distances of all pairs, shape (points, points)."""
    products = points @ points.T
    norms = np.diag(products)
    result: np.ndarray = norms[:, None] + norms - 2 * products
    return result

"""One point of a rate-distortion function, with a proof of how close it is (Blahut-Arimoto).

    min over q(y)   −∫ p(x) log Σ_y q(y) e^{−(x−y)²/2θ} dx

for a density p that is symmetric about 0. At its optimum the curve's slope dR/dD is −1/2θ nats.
"""

from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True)
class Point:
    """A point on the curve or just above it.

    Args:
        distortion: D, the mean squared error.
        rate: an upper bound of R(D), bits.
        gap: R(D) is at least ``rate − gap``, bits, for the source as it was sampled.
    """

    distortion: float
    rate: float
    gap: float


def blahut_arimoto(grid: np.ndarray, masses: np.ndarray, level: float, tolerance: float, rounds: int) -> Point:
    """Return the point of slope −1/2θ, searched until its gap is below ``tolerance`` bits or ``rounds`` are over.

    Method: q ← q c with c(y) = Σ_x p(x) e^{−(x−y)²/2θ} / z(x); max log c bounds the gap at any q. Every third factor is
    c^k with k > 1, which converges an order of magnitude sooner, if not monotonically. Each y stands for ±y.

    Args:
        grid: x, and the y that may reproduce it, shape (n,), ascending, not negative; spacing well below √θ.
        masses: of p at |x| on the grid, shape (n,), sum 1.
        level: θ.
        tolerance: bits.
        rounds: at most so many.

    Source: Blahut, "Computation of channel capacity and rate-distortion functions" (1972), theorems 6 and 7.
    """
    minus, plus = ((grid[:, None] - sign * grid) ** 2 for sign in (1, -1))
    minus_mass, far = np.exp(-minus / (2 * level)) / 2, np.exp(-plus / (2 * level)) / 2
    kernel = minus_mass + far
    q = masses.copy()
    for turn in range(rounds):
        factor = (masses / (kernel @ q)) @ kernel
        gap = float(np.log2(factor.max()))
        if gap < tolerance:
            break
        q *= factor ** (1 + min(8, 1 + turn / 30) * (turn % 3 == 2))
        q /= q.sum()
    z = kernel @ q
    gap = float(np.log2(((masses / z) @ kernel).max()))
    distortion = float(masses @ (((minus_mass * minus + far * plus) @ q) / z))
    nats = -float(masses @ np.log(z)) - distortion / (2 * level)
    return Point(distortion, max(nats / np.log(2), 0.0), gap)

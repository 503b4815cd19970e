"""R(D) of Laplacian sources for squared error, which has no closed form: a curve of unit variance, computed once.

The curve is the Shannon lower bound ½ log₂(e v / π D) plus an excess that is tabulated over log D: nothing at high
rates, all of the rate at low ones. Known to 10⁻³ bit.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.theory.rate_distortion.gaussian import Filled

LEVELS = np.exp(np.linspace(np.log(0.01), np.log(2.4), 25))
"""Water levels θ at which the curve is known; below the first it is the Shannon bound to 2·10⁻⁵ bit."""

# fmt: off
DISTORTIONS = np.array([
    0.009999666, 0.012564770, 0.015787764, 0.019837293, 0.024925134, 0.031317203, 0.039347220, 0.049434064,
    0.062102281, 0.078008740, 0.097973470, 0.123011772, 0.154348337, 0.193472936, 0.242305100, 0.302326795,
    0.375668546, 0.463701602, 0.564732928, 0.675726305, 0.784237936, 0.879934988, 0.946543464, 0.982472565,
    0.996533034,
])
RATES = np.array([
    3.217572100, 3.052864720, 2.888166068, 2.723480178, 2.558813753, 2.394175192, 2.229577676, 2.065033059,
    1.900573597, 1.736235578, 1.572075891, 1.408212622, 1.244982183, 1.082706120, 0.921572899, 0.763989150,
    0.610626143, 0.464088097, 0.330134445, 0.212877010, 0.121422950, 0.057015481, 0.021228817, 0.005784302,
    0.001319650,
])
# fmt: on
"""D and R in bits at the levels, by `blahut_arimoto` to 4·10⁻⁴ bit, which takes seconds; a test computes them again."""

_REACH = 14.0  # standard deviations: what lies beyond is 10⁻⁶ of the variance
_SHANNON = 0.5 * float(np.log2(np.e / np.pi))  # bits of the lower bound at D = v


@final
@dataclass(frozen=True, eq=False)
class Curve:
    """R(D) for unit variance, at points of rising distortion; the last is (1, 0).

    Args:
        levels: θ, shape (points,): −dR/dD is 1/2θ nats.
        distortions: D, shape (points,).
        rates: R in bits, shape (points,).
    """

    levels: np.ndarray
    distortions: np.ndarray
    rates: np.ndarray

    def rate(self, distortion: float) -> float:
        """Return R(D) in bits: cubic between the points, by values and slopes, of the excess over log D."""
        if distortion >= 1:
            return 0.0
        shannon = _SHANNON - 0.5 * float(np.log2(distortion))
        if distortion <= self.distortions[0]:
            return shannon
        logs = np.log(self.distortions)
        excess = self.rates - _SHANNON + 0.5 * logs / np.log(2)
        slopes = (0.5 - self.distortions / (2 * self.levels)) / np.log(2)
        return max(shannon + hermite(float(np.log(distortion)), logs, excess, slopes), 0.0)

    def distortion(self, level: np.ndarray) -> np.ndarray:
        """Return D where the slope is that of θ: θ itself at high rates, 1 at low ones."""
        shares = self.distortions[:-1] / self.levels[:-1]
        share = np.interp(np.log(level), np.log(self.levels[:-1]), shares, left=1.0)
        errors: np.ndarray = np.minimum(np.minimum(level, 1e3) * share, 1.0)
        return errors


CURVE = Curve(np.append(LEVELS, np.inf), np.append(DISTORTIONS, 1.0), np.append(RATES, 0.0))


def sampled(level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a grid of |x| and the masses of a unit-variance Laplacian on it, by Simpson's rule.

    The spacing is a quarter of √θ, over which the integrand is smooth, and the kink at 0 lies on the end.
    """
    cells = 2 * int(np.ceil(_REACH / min(np.sqrt(level) / 4, 0.12) / 2))
    grid = np.linspace(0, _REACH, cells + 1)
    weights = np.where(np.arange(cells + 1) % 2, 4.0, 2.0)
    weights[[0, -1]] = 1
    masses = weights * np.exp(-np.sqrt(2) * grid)
    return grid, masses / masses.sum()


def hermite(x: float, at: np.ndarray, values: np.ndarray, slopes: np.ndarray) -> float:
    """Return the cubic through the values and slopes at the two points around ``x``, which is within ``at``.

    >>> hermite(0.5, np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([0.0, 2.0]))
    0.25
    """
    i = int(np.clip(np.searchsorted(at, x) - 1, 0, len(at) - 2))
    width = at[i + 1] - at[i]
    t = (x - at[i]) / width
    from_left = (1 - t) ** 2 * ((1 + 2 * t) * values[i] + t * width * slopes[i])
    from_right = t**2 * ((3 - 2 * t) * values[i + 1] - (1 - t) * width * slopes[i + 1])
    return float(from_left + from_right)


def laplacian_rate(variance: float, distortion: float) -> float:
    """Return R(D) in bits for one number of a Laplacian of this variance.

    Args:
        variance: v, not negative.
        distortion: D, mean squared error, positive.

    >>> laplacian_rate(1.0, 1.0), round(laplacian_rate(4.0, 0.4), 3)
    (0.0, 1.557)
    """
    if not distortion > 0:
        raise ValueError(f"a distortion of {distortion}: infinitely many bits")
    return CURVE.rate(distortion / variance) if variance > distortion else 0.0


def laplacian_distortion(variance: float, rate: float) -> float:
    """Return D(R) for one number at ``rate`` bits, by bisection: the inverse of `laplacian_rate`.

    >>> round(laplacian_distortion(4.0, 1.557), 3)
    0.4
    """
    if rate < 0:
        raise ValueError(f"a rate of {rate} bits")
    low, high = -2 * rate * np.log(2) - 1, 0.0  # the Shannon bound is no more than 0.11 bit below
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if CURVE.rate(float(np.exp(middle))) > rate else (low, middle)
    return float(variance * np.exp(high))


def laplacian_filling(variances: np.ndarray, counts: np.ndarray, distortion: float) -> Filled:
    """Return the least rate at which the squared error of all sources together is at most ``distortion``.

    Method: at the optimum every source is on its curve where the slope is −1/2θ; θ by bisection. Arguments as
    `laconic.theory.rate_distortion.water_filling`.

    >>> filled = laplacian_filling(np.array([1.0, 0.01]), np.array([10, 10]), 1.0)
    >>> filled.rate < 10 * laplacian_rate(1.0, 0.0901) + 10 * laplacian_rate(0.01, 0.0099)
    True
    """
    variances, counts = np.asarray(variances, np.float64), np.asarray(counts, np.float64)
    if not distortion > 0:
        raise ValueError(f"a distortion of {distortion}: infinitely many bits")
    low, high = np.log(distortion) - np.log(max(counts.sum(), 1)) - 1, np.log(max(variances.max(initial=0), 1e-300)) + 4
    for _ in range(80):
        middle = (low + high) / 2
        spent = float(np.dot(counts, _distortions(variances, np.exp(middle))))
        low, high = (middle, high) if spent < distortion else (low, middle)
    errors = _distortions(variances, np.exp(low))
    rates = [laplacian_rate(v, d) if d > 0 else 0.0 for v, d in zip(variances, errors, strict=True)]
    return Filled(float(np.exp(low)), float(np.dot(counts, rates)), float(np.dot(counts, errors)), errors)


def _distortions(variances: np.ndarray, level: float) -> np.ndarray:
    """Return the error of one number of each source at the water level."""
    with np.errstate(divide="ignore"):
        errors: np.ndarray = variances * CURVE.distortion(np.where(variances > 0, level / variances, np.inf))
    return errors

"""What a weight meets in the network as far as it is compressed: moments, and what a bias makes good of them.

A bias that follows a weight takes up whatever its errors are in the mean, for nothing: what counts is the covariance of
the inputs, not their second moment. In W x + b with x as it is in the original and x̂ in the compressed network,

    min over Ŵ, b̂  E‖W x + b − Ŵ x̂ − b̂‖²   =   min over Ŵ  E‖W (x − m) − Ŵ (x̂ − m̂)‖²,     b̂ = b + W m − Ŵ m̂
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.calibrate.calibration import Calibration
from laconic.models.params import Params
from laconic.theory.importance.moments import Moments

_ROUNDING = 1e-6
"""An input whose variance is below this share of its second moment is a constant: the rest is rounding."""


@final
@dataclass(frozen=True, eq=False)
class Statistics:
    """Of one weight, each of groups of rows; float64.

    Args:
        moments: of x̂, about their mean where a bias follows: shape (groups, n, n), positions of a sample added up.
        cross: of x and x̂, likewise; or None where these are the same.
        means: of x and of x̂, shape (groups, n) each; zeros where no bias follows.
        positions: of a sample.
    """

    moments: np.ndarray
    cross: np.ndarray | None
    means: tuple[np.ndarray, np.ndarray]
    positions: float

    @classmethod
    def of(cls, gathered: Moments, *, biased: bool) -> "Statistics":
        """Return what moments of x̂, and of x where they have others, come to."""
        moments, means = gathered.second.numpy(), [mean.numpy() for mean in gathered.means]
        cross = gathered.cross.numpy().transpose(0, 2, 1) if len(means) > 1 else None
        after, before = means[0], means[-1]
        if not biased:
            nothing = np.zeros(after.shape)
            return cls(moments, cross, (nothing, nothing), gathered.positions)
        central = moments - gathered.positions * (after[:, :, None] * after[:, None, :])  # exactly symmetric
        crossed = None if cross is None else cross - gathered.positions * (before[:, :, None] * after[:, None, :])
        steady = np.diagonal(central, axis1=1, axis2=2) <= _ROUNDING * np.diagonal(moments, axis1=1, axis2=2)
        central[steady[:, :, None] | steady[:, None, :]] = 0.0
        return cls(central, crossed, (before, after), gathered.positions)

    def shift(self, weights: np.ndarray, compressed: np.ndarray) -> np.ndarray:
        """Return W m − Ŵ m̂, float64, shape (outputs,): what the bias has to take up."""
        groups, columns = self.means[0].shape
        before, after = (one.astype(np.float64).reshape(groups, -1, columns) for one in (weights, compressed))
        return np.asarray((before @ self.means[0][..., None] - after @ self.means[1][..., None]).reshape(-1))


def statistics(
    calibration: Calibration, original: Params, compressed: Params | None, name: str,
    *, biased: bool, positions: int | None = None,
) -> Statistics:  # fmt: skip
    """Return what a weight meets in the samples that are seen.

    Args:
        calibration: the module and its samples.
        original: the network as it was.
        compressed: as far as it is compressed; None for the original alone.
        name: of the weight.
        biased: whether a bias follows it.
        positions: of a sample, at most, that stand for all.
    """
    if compressed is None:
        return Statistics.of(calibration.moments_at(original, name, positions=positions), biased=biased)
    return Statistics.of(calibration.moments_at(compressed, name, original, positions), biased=biased)

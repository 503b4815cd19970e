"""The mean and the covariance of what weights multiply, exact where the mean is large against the spread.

    m = a + E[x − a],   C = E[(x − a)(x − a)ᵀ] − (m − a)(m − a)ᵀ   for any a

In float64, with the mean of the first columns for a, no digits cancel (Chan, Golub & LeVeque 1983, "Algorithms for
computing the sample variance"). Moments themselves are `laconic.theory.importance.moments`.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from laconic.theory.importance.moments import Moments


@final
class Covariance:
    """Mean and covariance of columns x over samples and positions, as they are gathered.

    Args:
        positions: of a sample, at most, as `Moments` takes them.
        seed: of their choice.

    >>> seen = Covariance()
    >>> seen.add([1e6 + torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])], samples=2)
    >>> (seen.mean - 1e6).tolist(), seen.covariance.tolist()
    ([[2.0, 0.0]], [[[1.0, 0.0], [0.0, 0.0]]])
    """

    def __init__(self, positions: int | None = None, seed: int = 0) -> None:
        self._about: Tensor | None = None
        self._moments = Moments(positions, seed)

    def add(self, columns: Sequence[Tensor], samples: int) -> None:
        """Add what some samples read; arguments are those of `Moments.add`."""
        if self._about is None and columns:
            self._about = columns[0].mean(1, keepdim=True, dtype=torch.float64)
        about = self._about
        self._moments.add([] if about is None else [x.double() - about for x in columns], samples)

    @property
    def mean(self) -> Tensor:
        """m, float64, shape (groups, c)."""
        assert self._about is not None, "asked of what has been met"
        return self._about[:, 0] + self._moments.means[0]

    @property
    def covariance(self) -> Tensor:
        """C, float64, exactly symmetric, shape (groups, c, c).

        Raises:
            DataError: when there is none yet.
        """
        second, off = self._moments.second / self._moments.positions, self._moments.means[0]
        return second - torch.einsum("gi,gj->gij", off, off)

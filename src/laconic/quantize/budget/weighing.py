"""How much the error of each weight counts: importances, as steps of tensors and as weights within them.

    min Σ_t Σ_i h_ti (w_ti − ŵ_ti)²   subject to   bytes of the file ≤ budget

At one slope the best step of a tensor is as 1/√ of the mean of its h: where that is 4, the tensor is put on the grid
twice as large, which counts its squared errors 4 times. What h has beside its mean weighs each choice of an integer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import WeightsError
from laconic.quantize.lattice import floats

FLOOR = 0.01
"""Of the mean of its tensor, what a weight counts at least; of the network's mean, what a tensor does."""

_PARTS = 8  # of an octave: tensors share steps, and a sixteenth of an octave beside the best is as good


@final
@dataclass(frozen=True, eq=False)
class Weighing:
    """The importances of a network's tensors.

    Args:
        given: h by name, of the tensors' shapes, in any unit.
        outliers: places of weights that are kept as they are: their h says nothing.
        means: of h in each tensor that has one, without outliers.
        mean: of h in all of them; 0 where no weight counts, which is as if all did alike.
        even: names of those whose h is one number.
    """

    given: Mapping[str, np.ndarray]
    outliers: Mapping[str, tuple[int, ...]]
    means: Mapping[str, float]
    mean: float
    even: frozenset[str]

    @classmethod
    def of(
        cls,
        given: Mapping[str, np.ndarray],
        shapes: Mapping[str, tuple[int, ...]],
        outliers: Mapping[str, tuple[int, ...]],
    ) -> "Weighing":
        """Return the importances of the tensors that ``shapes`` names; other names are passed over.

        Args:
            given: h by name, not negative.
            shapes: of the tensors that are quantized.
            outliers: places in each of them, row-major.

        Raises:
            WeightsError: for h of another shape than their tensor, and for what is negative, NaN or infinite.
        """
        means, counts, even = dict[str, float](), dict[str, int](), set[str]()
        for name in (name for name in shapes if name in given):
            if given[name].shape != shapes[name]:
                raise WeightsError(f"{name}: importances have shape {given[name].shape}, its weights {shapes[name]}")
            h = floats(given[name]).reshape(-1)
            h = np.delete(h, outliers[name]) if outliers[name] else h
            least, means[name], counts[name] = float(h.min()), float(h.mean(dtype=np.float64)), h.size
            if not (least >= 0 and means[name] < math.inf):
                raise WeightsError(
                    f"{name}: importances are finite and not negative; some are not, or too large to add"
                )
            if least == h.max():
                even.add(name)
        mean = math.fsum(means[name] * counts[name] for name in means) / max(sum(counts.values()), 1)
        return cls(given, outliers, means, mean, frozenset(even))

    def counted(self, name: str) -> float:
        """Return how much an error in a tensor counts beside one in the others: 1 where nothing is known."""
        return max(self.means[name] / self.mean, FLOOR) if self.mean and name in self.means else 1.0

    def finer(self, name: str) -> float:
        """Return how many times finer the step of a tensor is than one of mean importance: in parts of an octave."""
        return math.exp2(round(math.log2(self.counted(name)) / 2 * _PARTS) / _PARTS)

    def each(self, name: str) -> np.ndarray | None:
        """Return what weights count beside the step of their tensor, float32, of its shape; None where all the same."""
        if name not in self.means or name in self.even:
            return None
        mean, h = self.means[name], floats(self.given[name]).astype(np.float64)
        h.reshape(-1)[list(self.outliers[name])] = 0
        np.maximum(h, FLOOR * mean, out=h)
        h *= self.counted(name) / self.finer(name) ** 2 / mean
        return h.astype(np.float32)

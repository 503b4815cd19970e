"""What is asked of a file, as a number that is 0 where it is met exactly and grows with the file or its error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from laconic.errors import PlanError
from laconic.quantize.budget.budget import Budget
from laconic.quantize.budget.tuning import Tuning


@final
@dataclass(frozen=True)
class Goal:
    """A budget for one network.

    Args:
        budget: what is asked.
        size: bytes that the file may have, or None where an error is asked.
        target: the squared error that it may have, otherwise.
        weights: how many are quantized.
        dense_bytes: of the file with the other tensors alone.
        tuning: what is aimed at.
        apart_bytes: what the rows of a plan take of the dense bytes, and what the tensors take that stay lossless;
            both 0 where nobody asked for either.
    """

    budget: Budget
    size: int | None
    target: float
    weights: int
    dense_bytes: int
    tuning: Tuning
    apart_bytes: tuple[int, int] = (0, 0)

    @property
    def steep(self) -> float:
        """How the excess changes with log₂ step where nothing is known."""
        return 0.8 if self.size is None else -0.8

    @property
    def aim(self) -> float:
        """The excess that is aimed at."""
        if self.size is None:
            return math.log2(self.tuning.aim_snr) / 2
        return -max(self.size * (1 - self.tuning.aim), 0.75) * self._each

    @property
    def enough(self) -> float:
        """The least excess that ends the search."""
        if self.size is None:
            return math.log2(self.tuning.enough_snr) / 2
        return -max(self.size * (1 - self.tuning.enough), 1.5) * self._each

    @property
    def first(self) -> float:
        """The least excess that ends it with the first pass over a large network."""
        return self.enough if self.size is None else -self.size * (1 - self.tuning.first) * self._each

    @property
    def slack(self) -> float:
        """How far off a rehearsal may be."""
        return self.tuning.nearly if self.size is None else max(self.size * self.tuning.nearly, 8) * self._each

    def excess(self, file_bytes: float, distortion: float) -> float:
        """Return how far above the budget a file is: in bits a weight, or octaves of the distortion's root."""
        if self.size is not None:
            return 8 * (file_bytes - self.size) / self.weights
        return math.log2(max(distortion, 1e-300) / self.target) / 2 if self.target else 0.0

    def allows(self, file_bytes: int, lost: float) -> bool:
        """Say whether a file is within the budget."""
        return file_bytes <= self.size if self.size is not None else lost <= self.target

    def failure(self, least: float | None, heaviest: Sequence[str] = ()) -> PlanError:
        """Return the error of a budget that was not met.

        Args:
            least: the smallest file that was tried, if any.
            heaviest: names of the tensors that take the most of what is stored as it is.
        """
        if self.size is None and self.target < 0:
            return PlanError(f"{self.budget} cannot be: the plan's rows alone lose more; give them a finer compression")
        if self.size is None:
            return PlanError(f"no step gives {self.budget}: the tensors' own type is too coarse for it")
        reached = "names take the rest" if least is None else f"the smallest file tried has {least:,.0f}"
        asked = f"{self.budget} are" if self.budget.size else f"{self.budget} are {self.size:,} bytes,"
        if self.budget.bits and not self.size:
            return PlanError(
                f"{asked} too few: there are no weights, floats with two or more axes that are neither a module's "
                "buffers nor masks, to count bits for; ask for a size or a ratio"
            )
        if any(self.apart_bytes):
            planned, lossless = self.apart_bytes
            remaining = max(self.size - self.dense_bytes, 0)
            others = f"the other {self.weights:,} weights" if self.weights else "nothing else"
            tried = "" if least is None else f": {reached}"
            return PlanError(
                f"{asked} too few: the plan's rows take {planned:,}, the lossless tensors with all names {lossless:,}, "
                f"and {remaining:,} remain for {others}{tried}"
            )
        most = f", most of it {', '.join(heaviest)}," if heaviest else ""
        enough = math.ceil(1.02 * least) if least else self.dense_bytes + 128 + self.weights // 8
        return PlanError(
            f"{asked} too few: biases, norms, integers and names that are stored as they are{most} "
            f"take {self.dense_bytes:,}, and {reached}; ask for {enough:,} bytes or more"
        )

    @property
    def _each(self) -> float:
        """What a byte is of the excess."""
        return 8 / max(self.weights, 1)

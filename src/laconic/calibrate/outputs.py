"""What the original says of some samples, and how far others are from that: the judge of all that is calibrated.

d(ŵ) = mean over samples of KL(f(w) ‖ f(ŵ)), or of Σ (f(w) − f(ŵ))² over the variance of f(w)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from laconic.calibrate.calibration import Calibration
from laconic.models.params import Params
from laconic.training.batches import Batch, size_of
from laconic.training.judges import Kind, distance, divergences


@final
@dataclass(frozen=True, eq=False)
class Outputs:
    """What the original says of some samples.

    Args:
        calibration: how it is run.
        batches: the samples.
        rows: what it says, a row of logits or of values each.
        kind: of these.
    """

    calibration: Calibration
    batches: tuple[Batch, ...]
    rows: Tensor
    kind: Kind

    @classmethod
    def of(cls, calibration: Calibration, params: Params, batches: Sequence[Batch] = ()) -> "Outputs":
        """Return what a network says; errors are those of `Calibration.outputs`.

        Args:
            calibration: the module and its samples.
            params: of the original, every tensor by its name in the module.
            batches: the samples; those that calibration holds out unless told, and where it holds out none, all.
        """
        own = tuple(batches) or calibration.unseen or calibration.seen
        return cls(calibration, own, _said(calibration, params, own), calibration.kind_with(params))

    @property
    def samples(self) -> int:
        """How many there are."""
        return sum(map(size_of, self.batches))

    @property
    def unit(self) -> float:
        """What a distance of 1 is in units of the water level: errors that weights add to what a sample says, summed.

        A KL counts for each row of logits of a sample. Half a squared change of values counts for each of them.
        """
        rows = len(self.rows) / self.samples
        if self.kind == "classification":
            return rows
        variance = float(self.rows.double().var(0, correction=0).mean())
        return 0.5 * rows * self.rows.shape[1] * (variance or 1.0)

    def said(self, params: Params) -> Tensor:
        """Return what a network with these weights says, as `rows`."""
        return _said(self.calibration, params, self.batches)

    def distance(self, params: Params) -> float:
        """Return how far what it says is: KL in nats a row of logits, or the squared change over the variance.

        NaN where it is not finite.
        """
        return distance(self.rows, self.said(params), self.kind)

    def distances(self, params: Params) -> Float[Tensor, " rows"]:
        """Return the same for each row, float64; their mean is `distance`."""
        return divergences(self.rows.double(), self.said(params).double(), self.kind).cpu()


def _said(calibration: Calibration, params: Params, batches: Sequence[Batch]) -> Tensor:
    """Return the outputs for batches, a row of logits or values each."""
    return torch.cat([calibration.outputs(params, batch) for batch in batches])

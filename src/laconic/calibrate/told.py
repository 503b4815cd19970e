"""What there is to say of a calibrated file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from laconic.calibrate.fidelity import Fidelity
from laconic.calibrate.meter import Meter
from laconic.calibrate.quality import Quality
from laconic.training.judges import Kind

ENOUGH = 1.1
"""Of the distance with all samples, what fewer may have to have been enough."""


@final
@dataclass(frozen=True)
class Stability:
    """How much of a file is chance of the samples, by files of as many bytes from parts of them.

    Args:
        between: distance of the outputs of the files of either half, on samples that none has seen.
        distances: from the original's outputs there, for each number of samples: a quarter, a half (the mean of both
            halves) and all.
    """

    between: float
    distances: tuple[tuple[int, float], ...]

    @property
    def enough(self) -> int:
        """The least of these numbers whose distance is within `ENOUGH` of that of all."""
        return next(samples for samples, one in self.distances if one <= ENOUGH * self.distances[-1][1])

    def __str__(self) -> str:
        """Return it in words."""
        each = ", ".join(f"{one:.4g} of {samples:,}" for samples, one in self.distances)
        last = self.distances[-1][0]
        said = "more may bring the outputs nearer" if self.enough == last else f"{self.enough:,} samples were enough"
        return f"files of either half of the samples are {self.between:.4g} apart; from the original {each}: {said}"


@final
@dataclass(frozen=True)
class Told:
    """What calibration has looked at and come to.

    Args:
        samples: that layers were calibrated on.
        unseen: further samples, that the result was judged by.
        layers: names of the weights that were calibrated, in the order in which they are used.
        alone: those that were rounded by what they are themselves, and why.
        folded: norm → layer, of batch normalizations that were folded.
        unfolded: norm → why it was left alone.
        distance: of the outputs from the original's on the unseen samples: KL(original ‖ compressed) of their softmax
            for classification, in nats a row of logits; else their squared difference over the variance.
        kind: which of the two it is.
        passes: that were made over the network.
        notes: sentences on what was decided.
        quality: the figure that was asked for, where one was.
        meter: how far the file is from the limit, where that was measured.
        tuned: the distance before vectors were tuned, and after, where that was for the better.
        anew: how many weights have integers that were rounded anew, the distance before, and after, where some have;
            the vectors were tuned once more then.
        record: what its metadata have of it.
        tokens: that layers were calibrated on, where samples are of tokens.
        fidelity: what the network says of tokens or sentences that are held out, where samples are of tokens.
        stability: how much of it is chance of the samples, where that was asked.
    """

    samples: int
    unseen: int
    layers: tuple[str, ...]
    alone: Mapping[str, str]
    folded: Mapping[str, str]
    unfolded: Mapping[str, str]
    distance: float
    kind: Kind
    passes: int
    notes: tuple[str, ...] = ()
    quality: Quality | None = None
    meter: Meter | None = None
    tuned: tuple[float, float] | None = None
    anew: tuple[int, float, float] | None = None
    record: Mapping[str, str] = field(default_factory=dict)
    tokens: int | None = None
    fidelity: Fidelity | None = None
    stability: Stability | None = None

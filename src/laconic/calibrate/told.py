"""What there is to say of a calibrated file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from laconic.calibrate.meter import Meter
from laconic.calibrate.quality import Quality
from laconic.training.judges import Kind


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

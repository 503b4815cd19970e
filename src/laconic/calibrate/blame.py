"""Which layers of a compressed network have moved its outputs: each by itself, on samples that calibration holds out.

    d_l = distance(f(w), f(w with layer l as in the file)),     d = distance(f(w), f(ŵ))

The d_l do not add up to d: errors of layers meet, and add up or cancel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from laconic import interrupts
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.network import Tick, silent
from laconic.models.params import Params
from laconic.training.batches import size_of
from laconic.training.judges import Kind, distance


@final
@dataclass(frozen=True, eq=False)
class Blame:
    """A network beside its original.

    Args:
        calibration: the module and its samples, of which those held out judge.
        before: the original, every tensor by its name.
        after: the compressed network, likewise.
        outputs: of the original.
        kind: of these.
    """

    calibration: Calibration
    before: Params
    after: Params
    outputs: Tensor
    kind: Kind

    @classmethod
    def of(cls, calibration: Calibration, before: Params, after: Params) -> "Blame":
        """Return a network beside its original.

        Args:
            calibration: the module and its samples.
            before: every tensor by its name in the module.
            after: likewise.

        Raises:
            DataError, WeightsError: as `Calibration.outputs`.
        """
        outputs = _outputs(calibration, before)
        return cls(calibration, before, after, outputs, calibration.kind_with(before))

    @property
    def samples(self) -> int:
        """How many judge."""
        return sum(map(size_of, self.calibration.unseen or self.calibration.seen))

    def distance(self, params: Params) -> float:
        """Return how far the outputs of these weights are: KL in nats a row of logits, or the squared change of values.

        NaN where they are not finite.
        """
        return distance(self.outputs, _outputs(self.calibration, params), self.kind)

    def alone(self, layers: Mapping[str, Sequence[str]], tick: Tick = silent) -> dict[str, float]:
        """Return d_l of each layer that has changed, the worst first.

        Args:
            layers: names of tensors by their layer.
            tick: told of the progress.
        """
        found = dict[str, float]()
        for done, (layer, names) in enumerate(layers.items()):
            interrupts.check()
            tick("layers", done, len(layers))
            own = self.changed(names)
            if own:
                found[layer] = self.distance({**self.before, **{name: self.after[name] for name in own}})
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def changed(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those tensors that are not as they were."""
        return tuple(name for name in names if not torch.equal(self.before[name], self.after[name]))


def _outputs(calibration: Calibration, params: Params) -> Tensor:
    """Return the outputs for the samples that judge."""
    return torch.cat([calibration.outputs(params, batch) for batch in calibration.unseen or calibration.seen])

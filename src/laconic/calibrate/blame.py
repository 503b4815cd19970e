"""Which layers of a compressed network have moved its outputs: each by itself, on samples that calibration holds out.

    d_l = distance(f(w), f(w with layer l as in the file)),     d = distance(f(w), f(ŵ))

The d_l do not add up to d: errors of layers meet, and add up or cancel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch

from laconic import interrupts
from laconic.calibrate.calibration import Calibration
from laconic.calibrate.network import Tick, silent
from laconic.calibrate.outputs import Outputs
from laconic.models.params import Params


@final
@dataclass(frozen=True, eq=False)
class Blame:
    """A network beside its original.

    Args:
        before: the original, every tensor by its name.
        after: the compressed network, likewise.
        outputs: what the original says of the samples that judge.
    """

    before: Params
    after: Params
    outputs: Outputs

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
        return cls(before, after, Outputs.of(calibration, before))

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
                found[layer] = self.outputs.distance({**self.before, **{name: self.after[name] for name in own}})
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def changed(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those tensors that are not as they were."""
        return tuple(name for name in names if not torch.equal(self.before[name], self.after[name]))

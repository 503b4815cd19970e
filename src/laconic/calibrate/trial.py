"""The file of a pass over a network: codes of all tensors, how long it is, and how far its outputs are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.calibrate.network import Network
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.sequence import Calibrated
from laconic.calibrate.sequential import modelled
from laconic.calibrate.vectors import rounded_vectors
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.codes.grid import Grid
from laconic.format.lossless import lossless, together
from laconic.models.params import Params, decompress, to_numpy

SLACK = 0.008
"""How far below a size a file is near enough, as a share of it."""


@final
@dataclass(frozen=True, eq=False)
class Trial:
    """A pass and the file that it gives.

    Args:
        codes: of all tensors, in the order of the network.
        file_bytes: of the file.
        distance: of the outputs from the original's, on samples that the pass has not seen.
        calibrated: the pass.
        how: it quantized.
        untuned: the distance before vectors were tuned, where they were (`laconic.calibrate.tuning`), the first time.
        anew: how many weights have integers that were rounded anew, where some have (`laconic.calibrate.rounding`),
            and the distance before.
    """

    codes: Mapping[str, Code]
    file_bytes: int
    distance: float
    calibrated: Calibrated
    how: Recursion
    untuned: float | None = None
    anew: tuple[int, float] | None = None

    def is_near(self, size: int, share: float = SLACK) -> bool:
        """Whether the file is within a size, and less than a share of it below."""
        return size * (1 - share) <= self.file_bytes <= size


@final
@dataclass(frozen=True, eq=False)
class Files:
    """What makes a file of each pass over a network.

    Args:
        network: ready.
        names: every name of the file, with that of its tensor in the network.
        metadata: of the file.
        judged: how far outputs are with these tensors, on samples that are held out.
    """

    network: Network
    names: Mapping[str, str]
    metadata: Mapping[str, str]
    judged: Callable[[Params], float]

    def trial(self, calibrated: Calibrated, how: Recursion) -> Trial:
        """Return the file of a pass that quantized in this way."""
        codes = coded(self.network, calibrated, how)
        ordered = {name: codes[first] for name, first in self.names.items()}
        others = decompress({name: code for name, code in codes.items() if name not in calibrated.rounded})
        decoded = {name: tensor.to(self.network.params[name].device) for name, tensor in others.items()}
        params = {name: decoded.get(name, calibrated.params[name]) for name in codes}
        file_bytes = container.bits(ordered, self.metadata) // 8
        return Trial(ordered, file_bytes, self.judged(params), calibrated, how)


def coded(network: Network, calibrated: Calibrated, how: Recursion) -> dict[str, Code]:
    """Return the codes of all tensors: weights with shared tables, biases on grids, and the rest without loss."""
    top = int(np.flatnonzero(calibrated.counts.any(axis=(1, 2))).max(initial=0)) + 1
    model = modelled(calibrated.counts[:top], how.nu)
    symbols = [one.symbols for one in calibrated.rounded.values()]
    shared = Grid.of(1.0, model, np.concatenate([np.zeros(0, np.int64), *symbols]))
    starts = np.cumsum([0, *map(len, symbols)]).tolist()
    weights = {
        name: one.code(shared, start) for (name, one), start in zip(calibrated.rounded.items(), starts, strict=False)
    }
    level = calibrated.level if network.subjects else _level(network)
    levels = {name: level / felt for name, felt in network.biases.items()} if level > 0 else {}
    levels |= {name: min(level * ratio, most) for name, (ratio, most) in network.vectors.items() if level > 0}
    vectors = {name: to_numpy(calibrated.params[name]) for name in levels}
    biases = rounded_vectors(vectors, levels)
    own: dict[str, Code] = {**weights, **biases, **{name: one.code for name, one in network.given.items()}}
    rest = {name: lossless(to_numpy(tensor)) for name, tensor in calibrated.params.items() if name not in own}
    own |= together(rest)
    return {name: own[name] for name in network.params}


def _level(network: Network) -> float:
    """Return the error of a number in the mean where all weights have their codes already: vectors are as fine."""
    numbers = sum(one.code.size for one in network.given.values())
    return sum(one.error for one in network.given.values()) / max(numbers, 1)

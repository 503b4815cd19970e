"""The constants of the search, each with what it does; `docs/notes/budgets.md` has what a change of each does."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Tuning:
    """How the step is searched for. `python benchmarks/budgets.py --set NAME=VALUE` measures another value.

    Args:
        passes: over the weights that the search takes at most.
        aim: of a size: what is aimed at.
        enough: of a size: what ends the search.
        first: of a size: what ends it with the first pass over a large network.
        aim_snr: of a distortion: what is aimed at.
        enough_snr: of a distortion: what ends the search.
        learning: passes that take the code lengths of the one before; later ones keep them, and bytes follow the step.
        rehearsed: weights on which steps are tried first.
        large: weights from which a network's code lengths are those of its sample, and the first pass may be the last.
        share: of a large network, one weight of so many is in the sample that its code lengths are from.
        least: weights that this has at least.
        most: weights that it has at most.
        trials: of the weights that are rehearsed.
        nearly: of a size, or octaves of an error: where the sample need not be asked again.
        flat: the slope where none is seen.
        next: octaves between two steps from which shares do as well.
        shares: of two trials that are tried.
        loss: what a size that is met between two trials may cost, in dB.
        classes: octaves of the step after which the classes of scale are made anew.
        settled: octaves that the last trial moved.
        apart: octaves between the two that tell the slope.
        refined: trials on this sample, each at the step that the slope tells.
    """

    passes: int = 8
    aim: float = 0.998
    enough: float = 0.995
    first: float = 0.997
    aim_snr: float = 0.9985
    enough_snr: float = 0.997
    learning: int = 3
    rehearsed: int = 1 << 17
    large: int = 1 << 22
    share: int = 16
    least: int = 1 << 19
    most: int = 1 << 21
    trials: int = 24
    nearly: float = 0.02
    flat: float = 1e-3
    next: float = 1e-3
    shares: int = 16
    loss: float = 0.1
    classes: float = 0.75
    settled: float = 0.004
    apart: float = 0.1
    refined: int = 2


TUNED = Tuning()
"""What is used."""

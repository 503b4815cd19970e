"""The constants of the search, each with what it does and what another value would do."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class Tuning:
    """How the step is searched for; after the semicolon, what another value does (`docs/notes/budgets.md`).

    `python benchmarks/budgets.py --set NAME=VALUE` measures it: means of 19 compressions, 2.26 passes each as it is.

    Args:
        passes: over the weights that the search takes at most; with 3, 17 of the 19 budgets are met.
        aim: of a size, what is aimed at; 0.999 is worth 0.010 dB and takes 2.47 passes.
        enough: of a size, what ends the search; 0.99 takes 2.16 passes and costs 0.004 dB.
        first: of a size, what ends it with the first pass over a large network; 0.999 takes 2.32 passes for nothing.
        aim_snr: of a distortion, what is aimed at; 0.999 makes files 0.004 % smaller.
        enough_snr: of a distortion, what ends the search; 0.99 changes nothing in these 19.
        learning: the last pass that takes the code lengths of the one before, later ones keep them, and bytes follow
            the step; with 1 the SNR is 0.025 dB higher, files 0.04 % larger.
        rehearsed: weights on which steps are tried first; 32,768 cost 0.001 dB.
        large: weights from which a network's code lengths are those of its sample, and the first pass may be the last;
            without, 2.47 passes and a fifth more time for the same SNR.
        share: of a large network, one weight of so many is in that sample; 2 is worth less than 0.001 dB.
        least: weights that the sample has at least; 131,072 cost 0.007 dB at 4.4 million weights, and take 2.32 passes.
        most: weights that the sample has at most: 2 % of 100 million, whose trials are 0.05 kernel runs a weight.
        trials: of the weights that are rehearsed; 4 cost 0.003 dB and take 2.58 passes.
        nearly: of a size, or octaves of an error, where the sample need not be asked again; 0.002 takes 2.47 passes.
        flat: the slope where none is seen; 0.1 changes nothing in these 19.
        next: octaves between two steps from which shares do as well; 0.01 changes nothing in these 19.
        shares: of two trials that are tried; 4 change nothing in these 19.
        loss: what a size that is met between two trials may cost, in dB; 0 changes nothing in these 19.
        classes: octaves of the step after which the classes of scale are made anew; 2 is 0.016 dB better.
        settled: octaves that the last trial moved; 0.04 costs 0.021 dB and takes 2.95 passes.
        apart: octaves between the two that tell the slope; 0.4 is 0.007 dB better, with 2.16 passes.
        refined: trials on the sample of a large network; 1 costs less than 0.001 dB.
        lowest: dB that each tensor has of its own, where the network has some more; −inf leaves one step for all.
        below: dB that a tensor may have less of its own than the network has.
        fading: the same where the network has hardly more than the lowest.
        raises: times at most that the steps of some tensors are made finer on the sample; with 0 a network whose layers
            are rescaled has 1.6 times the KL at 2 bits, 3 do as well.
        refits: times at most that all is done again where a tensor is below its floor after all; 0 changes the KL of
            one network of seven, by 2 % at 2 bits.
        power: of a tensor's deviation that its step begins with; 0 is equal steps, 1 equal relative ones.
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
    lowest: float = 6.0
    below: float = 8.0
    fading: float = 3.0
    raises: int = 6
    refits: int = 2
    power: float = 0.0


TUNED = Tuning()
"""What is used."""

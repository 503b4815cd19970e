"""A step for each tensor: the network's own, but a finer one where a tensor would be left with next to nothing.

One step is best for a sum of squares, and blind to what a network is: where one tensor is large for no reason but that
the next one is small, the step that is right for it wipes the other out. So no tensor has less signal over its own
error than a floor, in dB: `Tuning.lowest`, and not more than `Tuning.below` less than the network; but
how much less is for importances to say where there are any. Signals are plain, whatever errors count.

Method: tensors below the floor are put on the grid so many times larger, which makes their step as much finer; then
the search for the step begins again. A finer step takes bytes from the others, whose figure falls; so it is repeated.
"""

import math
from collections.abc import Mapping

from laconic.quantize.budget.signal import Signal, decibels
from laconic.quantize.budget.state import Search, Trial
from laconic.quantize.budget.tuning import Tuning

_EXACT = 90.0  # dB, with which a tensor is as good as it was
_OCTAVE = 20 * math.log10(2)  # dB
_PARTS = 32  # of an octave: tensors with steps of one size share it
_MARGIN = 0.2  # dB above the floor that a finer step aims at: the sample tells no better
_GAIN = 10 ** (1 / 20)  # of a trellis, at most about 1 dB


def floor(snr: float, tuning: Tuning) -> float:
    """Return the dB that each tensor should have of its own in a network of ``snr`` dB; at low rates less than it."""
    return min(max(snr - tuning.below, min(tuning.lowest, snr - tuning.fading)), _EXACT)


def left(search: Search, trial: Trial) -> dict[str, Signal]:
    """Return what a trial leaves of each tensor that is quantized, nearly where it is one on some of the weights."""
    return {
        source.name: Signal(search.network.energies[source.name], lost)
        for group in trial.groups
        for source, lost in zip(group.sources, group.lost, strict=True)
    }


def powered(search: Search) -> Search:
    """Return the search with steps that are as a power of the tensors' deviations: with power 0, the same."""
    if not search.tuning.power:
        return search
    network = search.network
    logs = {name: math.log2(network.energies[name] / network.sizes[name]) / 2 for name in search.finer}
    return search.with_finer(
        {
            name: search.finer[name] * 2.0 ** (round((max(logs.values()) - log) * search.tuning.power * 8) / 8)
            for name, log in logs.items()
        }
    )


def raised(search: Search, signals: Mapping[str, Signal], x: float) -> Search:
    """Return the search with finer steps for the tensors that are below the floor; the same where none is.

    Args:
        search: with the steps that there were.
        signals: what these left of each tensor.
        x: log₂ of the step that they are parts of.
    """
    quantized = {name: signals[name] for name in search.finer if name in signals}
    whole = sum(signal.energy for signal in quantized.values()), sum(signal.lost for signal in quantized.values())
    wanted = floor(decibels(*whole), search.tuning)
    low = {name: signal for name, signal in quantized.items() if signal.snr < wanted}
    cell = 2.0**x * (2 if search.quantizers[0].nu else 1)
    sizes, before = search.network.sizes, search.finer
    finer = {
        name: before[name] * _times(signal, sizes[name], wanted + _MARGIN, cell / before[name])
        for name, signal in low.items()
    }
    return search.with_finer(finer) if finer else search


def _times(signal: Signal, size: int, wanted: float, cell: float) -> float:
    """Return how many times finer a step should be, in whole parts of an octave.

    Args:
        signal: what is left of the tensor.
        size: how many weights it has.
        wanted: dB, more than it has.
        cell: of the tensor now; where it is fine, the error is its square over 12, or less.
    """
    allowed = math.sqrt(12 * signal.energy / size) * 10 ** (-wanted / 20) * _GAIN
    octaves = max((wanted - signal.snr) / _OCTAVE, math.log2(cell / allowed))
    return math.exp2(math.ceil(octaves * _PARTS) / _PARTS)

"""Signal over error of each tensor, which the figure of a whole network hides: to a sum, small tensors are nothing."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import final

import numpy as np

from laconic.format.codes import Code
from laconic.format.coding import FLOATS
from laconic.quantize.budget.outliers import outliers, without
from laconic.quantize.budget.survey import parts, squares
from laconic.quantize.lattice import floats

WEAK = 3.0
"""dB of its own below which a tensor is named: half of its energy is lost."""


@final
@dataclass(frozen=True)
class Signal:
    """What is left of one tensor.

    Args:
        energy: Σ w², of what is finite and no outlier.
        lost: Σ (w − ŵ)²; infinite where a ŵ is not finite.
        weights: how many elements it has, or 0 where it has fewer than two axes.
    """

    energy: float
    lost: float
    weights: int = 0

    @classmethod
    def of(cls, new: np.ndarray, old: np.ndarray, *, moved: bool = False) -> "Signal":
        """Return what ``new`` keeps of ``old``.

        Args:
            new: of floats.
            old: the same shape and dtype.
            moved: whether training has moved the tensor: then nothing is lost, unless all is 0 or some is not finite.
        """
        energy = lost = largest = 0.0
        flat, whole, alive, sound = new.reshape(-1), old.reshape(-1), False, True
        for part in parts(flat.size):
            with np.errstate(invalid="ignore"):  # what is not finite goes through casts, and is multiplied by 0
                after, before = floats(flat[part]), floats(whole[part])
                finite, alive = squares(before), alive or bool(after.any())
                if not math.isfinite(finite):
                    sound = False
                    if flat[part].tobytes() == whole[part].tobytes():  # a mask, that stays
                        after = before = np.where(np.isfinite(before), before, 0)
                        finite = squares(before)
                energy, largest = energy + finite, max(largest, float(before.max()), -float(before.min()))
                lost += _missed(after * 0, before * 0) if moved else _missed(after, before)
        places = outliers(old, energy, largest) if sound else ()
        energy = squares(floats(without(old, places))) if places else energy
        lost = energy if moved and not alive else lost
        return cls(energy, math.inf if math.isnan(lost) else lost, new.size if new.ndim > 1 else 0)

    def packed(self) -> bytes:
        """Return it as bytes; numbers stay what they are, bit by bit."""
        return json.dumps(astuple(self)).encode()

    @classmethod
    def read(cls, data: bytes) -> "Signal":
        """Invert `packed`."""
        return cls(*json.loads(data))

    @property
    def snr(self) -> float:
        """In dB: 0 where all has become 0, −∞ where something is not finite, ∞ where nothing is lost."""
        return decibels(self.energy, self.lost)


def _missed(new: np.ndarray, old: np.ndarray) -> float:
    """Return Σ (w − ŵ)² of some weights; NaN or infinite where some are not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = new.astype(np.float64)
        error -= old
        return float(np.square(error, out=error).sum())


def signals(tensors: Mapping[str, np.ndarray], codes: Mapping[str, Code], *, moved: bool = False) -> dict[str, Signal]:
    """Return what the codes keep of each tensor of floats; names that ``tensors`` lacks are passed over.

    Args:
        tensors: as they were, by name; read one at a time.
        codes: by name.
        moved: whether training has moved them, see `Signal.of`.
    """
    named = (name for name, code in codes.items() if name in tensors and code.dtype in FLOATS)
    return {name: Signal.of(codes[name].decompress(), tensors[name], moved=moved) for name in named}


def decibels(energy: float, lost: float) -> float:
    """Return 10 log₁₀ of Σ w² over Σ (w − ŵ)²: ∞ where nothing is lost, −∞ where all is."""
    if not lost:
        return math.inf
    return 10 * math.log10(energy / lost) if 0 < energy and lost < math.inf else -math.inf


def weak(of: Mapping[str, Signal], least: float = WEAK) -> tuple[tuple[str, float], ...]:
    """Return names and dB of the tensors that have less than ``least`` dB of their own, the worst first."""
    named = [(name, signal.snr) for name, signal in of.items() if signal.snr < least]
    return tuple(sorted(named, key=lambda pair: pair[1]))


def total(of: Iterable[Signal]) -> float:
    """Return the dB of all weights together: of the tensors with two or more axes."""
    weights = [signal for signal in of if signal.weights]
    return decibels(sum(signal.energy for signal in weights), sum(signal.lost for signal in weights))


def told(of: Mapping[str, Signal]) -> Iterator[str]:
    """Give lines for a person: the least figure, and the tensors that are weak."""
    name, least = min(
        ((name, signal.snr) for name, signal in of.items()), key=lambda pair: pair[1], default=("", math.inf)
    )
    if math.isfinite(least):
        yield f"least of a tensor: {least:.2f} dB, {name}"
    bad = weak(of)
    if bad:
        shown = "; ".join(f"{name} ({_said(snr)})" for name, snr in bad[:_SHOWN])
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        yield f"weak, with less than {WEAK:g} dB of their own: {shown}{more}"


_SHOWN = 10


def _said(snr: float) -> str:
    """Return what has become of a tensor, in a few words."""
    if snr == -math.inf:
        return "not finite"
    return "all zero" if snr == 0 else f"{snr:.2f} dB"

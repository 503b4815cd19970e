"""What grids without any of our coding come to at a size: yardsticks beside a file.

Round to nearest: each weight at one of 2ᵇ − 1 levels, evenly spaced between ± the largest weight of its tensor, 0 among
them, b bits each.
Plain grid: such levels with the order-0 entropy of each tensor's integers, no dead zone and no trellis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.coding import entropy_bits

WIDTHS = (2, 3, 4, 5, 6, 8)
"""Bits a weight of what is rounded to nearest."""


@final
@dataclass(frozen=True)
class Yardstick:
    """A way to round all weights.

    Args:
        name: "round to nearest" or "plain grid".
        width: b.
        bits: a weight, with what other tensors take of the file.
        snr: dB.
    """

    name: str
    width: int
    bits: float
    snr: float


def yardsticks(
    tensors: Mapping[str, np.ndarray], elements: int, others: float, widths: Sequence[int] = WIDTHS
) -> tuple[Yardstick, ...]:
    """Return what rounding all tensors comes to.

    Args:
        tensors: matrices and kernels by name.
        elements: bits are divided by so many.
        others: bits a weight that tensors other than these take.
        widths: b of each.

    >>> w = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    >>> nearest, plain = yardsticks({"w": w}, w.size, 0.0, [4])
    >>> nearest.bits, plain.bits < nearest.bits, nearest.snr == plain.snr
    (4.0, True, True)
    """
    found = []
    energy = sum(float(np.square(w, dtype=np.float64).sum()) for w in tensors.values())
    for width in widths:
        error = fixed = entropy = 0.0
        for w in tensors.values():
            rounded, integers = rounded_to(w, width)
            error += float(np.square(w - rounded, dtype=np.float64).sum())
            fixed, entropy = fixed + width * w.size, entropy + entropy_bits(integers, 1 << width)
        if not error > 0:
            continue
        snr = float(10 * np.log10(energy / error))
        found.append(Yardstick("round to nearest", width, fixed / elements + others, snr))
        found.append(Yardstick("plain grid", width, entropy / elements + others, snr))
    return tuple(found)


def rounded_to(weights: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return weights at the nearest of 2ᵇ − 1 levels, 0 among them, and which level each is at, flat."""
    most = (1 << (width - 1)) - 1
    largest = float(np.abs(weights).max(initial=0.0))
    step = largest / most if largest > 0 else 1.0
    integers = np.clip(np.rint(weights / step), -most, most)
    return (integers * step).astype(weights.dtype), (integers.reshape(-1) + most).astype(np.uint8)

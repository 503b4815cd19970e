"""What a budget has to know of a tensor before anything is done: is it a weight, and is it quantized?"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, final

import numpy as np

from laconic.errors import WeightsError
from laconic.format.coding import FLOATS
from laconic.format.coding.dtypes import largest as end_of
from laconic.quantize.budget.outliers import outliers, without
from laconic.quantize.lattice import floats

Role = Literal["free", "settled", "buffer"]
"""A budget chooses what becomes of a free tensor; a settled one is only counted, a buffer not even that."""

_EXTREME = 2.0**500  # a tensor with larger weights, or none larger than the inverse, is stored lossless
_FEW = 4  # weights that take no more bytes as they are than a grid takes beside its levels
_ENDING = 0.25  # of the largest number of a type; no weight is rounded to four times itself
_PART = 1 << 20  # numbers


@final
@dataclass(frozen=True)
class Survey:
    """What is known of a tensor.

    Args:
        shape: of the tensor.
        weights: how many of its elements are weights: all, or none.
        is_quantized: whether it is put on the grid; what is not is lossless, or has a code.
        energy: Σ w² of the weights; 0 where the squares leave the floats.
        largest: magnitude, of those that are no outliers.
        is_ending: whether the largest is so near to the end of the tensor's type that rounding may go beyond it.
        outliers: places of the weights that are kept as they are, row-major.
        rest: Σ w² of the others.
    """

    shape: tuple[int, ...]
    weights: int = 0
    is_quantized: bool = False
    energy: float = 0.0
    largest: float = 0.0
    is_ending: bool = False
    outliers: tuple[int, ...] = ()
    rest: float = 0.0

    def packed(self) -> bytes:
        """Return it as bytes; numbers stay what they are, bit by bit."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, data: bytes) -> "Survey":
        """Invert `packed`."""
        words = json.loads(data)
        return cls(**words | {"shape": tuple(words["shape"]), "outliers": tuple(words["outliers"])})

    def gathering(self, transformed: bool) -> float:
        """Return how many times larger than the weights what is quantized can be: a transform gathers what is alike."""
        return math.sqrt(math.prod(self.shape[2:])) if transformed else 1.0


def survey(name: str, array: np.ndarray, role: Role = "free") -> Survey:
    """Return what is known of a tensor.

    Weights are floating-point numbers along two or more axes; those of a buffer are none, nor are those of a mask,
    which holds 0 and −inf alone. Free ones are quantized, but for tensors of one value and of four weights or fewer,
    and for float64 whose squares leave the floats.

    Args:
        name: of the tensor.
        array: the tensor.
        role: what it is to the budget.

    Raises:
        WeightsError: for NaN and infinite weights of a free tensor.
    """
    if role == "buffer" or array.ndim < 2 or array.dtype.name not in FLOATS or not array.size:
        return Survey(array.shape)
    flat, bad, holes, low, high, energy = array.reshape(-1), 0, 0, math.inf, -math.inf, 0.0
    for part in parts(array.size):
        values = floats(flat[part])
        finite = np.isfinite(values)
        if not finite.all():
            bad += values.size - int(np.count_nonzero(finite))
            holes += int(np.count_nonzero(np.isneginf(values)))
            values = values[finite]
        low, high = min(low, float(values.min(initial=low))), max(high, float(values.max(initial=high)))
        energy += squares(values)
    largest = max(high, -low)
    if bad:
        if bad == holes and largest <= 0:
            return Survey(array.shape)  # a mask
        if role == "free":
            raise WeightsError(
                f"{name}: {bad} of {array.size} weights are NaN or infinite; repair them, or keep the tensor as it is: "
                f"--lossless {name!r}, in Python lossless=[{name!r}]"
            )
        return Survey(array.shape, array.size)
    if array.dtype == np.float64 and not 1 / _EXTREME < largest < _EXTREME:
        return Survey(array.shape, array.size)
    varied = low < high and array.size > _FEW
    ending = largest > end_of(array.dtype.name) * _ENDING
    rest, places = energy, outliers(array, energy, largest)
    if places:
        others = np.abs(floats(without(array, places)))
        rest, largest = squares(others), float(others.max())
    return Survey(array.shape, array.size, role == "free" and varied, energy, largest, ending, places, rest)


def parts(size: int) -> Iterator[slice]:
    """Give parts of an array that are worked on at a time."""
    return (slice(start, start + _PART) for start in range(0, size, _PART))


def squares(values: np.ndarray) -> float:
    """Return the sum of squares; those of what is too large are infinite."""
    with np.errstate(over="ignore"):
        return float(np.square(values, dtype=np.float64).sum())

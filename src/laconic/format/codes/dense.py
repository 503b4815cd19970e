"""The lossless code: every bit pattern survives; small tensors lie in one stream with others (`codes.sharing`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.streams import Values


@final
@dataclass(frozen=True, eq=False)
class DenseCode(Code):
    """Δ(Θ) = Θ: the numbers themselves.

    Args:
        shape: shape of the tensor.
        values: its elements in row-major order; or those of several tensors, one after the other.
        start: where its own begin.

    >>> DenseCode.of(np.array([[1.0, np.nan]], np.float16)).decompress()
    array([[ 1., nan]], dtype=float16)
    """

    shape: tuple[int, ...]
    dtype: str
    values: Values
    start: int = 0

    @classmethod
    def of(cls, array: np.ndarray) -> "DenseCode":
        """Return the code of ``array``."""
        return cls(array.shape, array.dtype.name, Values(np.array(array).reshape(-1)))

    def decompress(self) -> np.ndarray:
        """Return its part of the stored array (a copy)."""
        return self.values.array[self.start : self.start + self.size].copy().reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return the values."""
        return {"values": self.values}

    def runs(self) -> Mapping[str, tuple[int, ...]]:
        """Return the length of a row, of a tensor of two axes or more that shares with none."""
        alone = len(self.shape) > 1 and 0 < self.size == len(self.values)
        return {"values": (self.size // self.shape[0],)} if alone else {}

    def facts(self) -> tuple[int, ...]:
        """Return where in the values its own begin."""
        return (self.start,)

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "DenseCode":
        """Invert `streams`."""
        values = part(streams, "values", Values)
        require(len(facts) == 1, f"a dense code with facts {facts}")
        code = cls(shape, dtype, values, facts[0])
        require(code.start + code.size <= len(values), f"{code.size} elements from {code.start} of {len(values)}")
        require(values.array.dtype.name == dtype, f"values are {values.array.dtype}, the tensor is {dtype}")
        return code

    def check(self) -> None:
        """Find nothing: `from_streams` has seen all."""

    def labels(self) -> None:
        """Return None: nothing discrete is chosen."""
        return None

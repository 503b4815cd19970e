"""The lossless code: every bit pattern survives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.codes.code import Code, Part, part, require
from laconic.codes.streams import Values


@final
@dataclass(frozen=True, eq=False)
class DenseCode(Code):
    """Δ(Θ) = Θ: the numbers themselves.

    Args:
        shape: shape of the tensor.
        values: its elements in row-major order.

    >>> DenseCode.of(np.array([[1.0, np.nan]], np.float16)).decompress()
    array([[ 1., nan]], dtype=float16)
    """

    shape: tuple[int, ...]
    dtype: str
    values: Values

    @classmethod
    def of(cls, array: np.ndarray) -> "DenseCode":
        """Return the code of ``array``."""
        return cls(array.shape, array.dtype.name, Values(np.array(array).reshape(-1)))

    def decompress(self) -> np.ndarray:
        """Return the stored array (a copy)."""
        return self.values.array.copy().reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return the values."""
        return {"values": self.values}

    def facts(self) -> tuple[int, ...]:
        """Return nothing: shape and dtype say it all."""
        return ()

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "DenseCode":
        """Invert `streams`."""
        values = part(streams, "values", Values)
        code = cls(shape, dtype, values)
        require(len(values) == code.size, f"{len(values)} values for {code.size} elements")
        require(values.array.dtype == dtype, f"values are {values.array.dtype}, the tensor is {dtype}")
        return code

    def labels(self) -> None:
        """Return None: nothing discrete is chosen."""
        return None

"""What codes are made of: exact numbers, and integers below a known bound that an entropy coder takes.

Both are frozen and compared by identity, so that what two codes share (one codebook over several tensors) is one
object, which the container stores once.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import FormatError, WeightsError
from laconic.format.coding import dtype_of, symbol_dtype

DTYPES = (
    "float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2",
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64",
    "complex64", "complex128", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
)  # fmt: skip
"""The element types that a code can carry, in the order of their numbers in the file (`docs/format.md`)."""


def checked_dtype(dtype: str) -> np.dtype:
    """Return the NumPy dtype called ``dtype``.

    Raises:
        WeightsError: for a type that no code can carry.
    """
    if dtype not in DTYPES:
        raise WeightsError(f"dtype {dtype!r} cannot be stored; supported are {', '.join(DTYPES)}")
    return dtype_of(dtype)


@final
@dataclass(frozen=True, eq=False)
class Values:
    """Numbers stored exactly, bit pattern by bit pattern.

    Args:
        array: shape (n,), any dtype of `DTYPES`.
        blocks: length and CRC-32 of each block that they are in the file, where somebody has looked. Then the numbers
            themselves may be on another machine: what is here counts for as much, and cannot be written.
    """

    array: np.ndarray
    blocks: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        assert self.array.ndim == 1, "Values are flat"
        checked_dtype(self.array.dtype.name)
        self.array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.array)


@final
@dataclass(frozen=True, eq=False)
class Symbols:
    """Integers in ``range(alphabet)``, to be entropy-coded.

    Args:
        array: shape (n,), uint8, uint16 or uint32, whichever is the smallest that holds the alphabet.
        alphabet: number of possible symbols; at least 1, or 0 when there are none.

    Raises:
        FormatError: when a symbol lies outside the alphabet.
    """

    array: np.ndarray
    alphabet: int

    def __post_init__(self) -> None:
        assert self.array.ndim == 1, "Symbols are flat"
        if self.array.size and not 0 <= int(self.array.min()) <= int(self.array.max()) < self.alphabet:
            raise FormatError(f"symbols {self.array.min()} to {self.array.max()} of an alphabet of {self.alphabet}")
        object.__setattr__(self, "array", np.ascontiguousarray(self.array, symbol_dtype(self.alphabet)))
        self.array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.array)

"""Weights that share values, a hash of the position saying which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.hashing import groups_of
from laconic.format.codes.rounding import rounded
from laconic.format.coding import FLOATS, dtype_of

_AT_ONCE = 1 << 16
"""Positions that are hashed at once."""


@final
@dataclass(frozen=True, eq=False)
class HashedCode(Code):
    """Δ(Θ)_i = v_{g(i)}, rounded once to the tensor's dtype: g(i) is `hashing.groups_of` the key, and costs nothing.

    Args:
        shape: shape of the tensor.
        dtype: its element type, a float.
        key: of the hash, below 2³²; it takes the place of the indices of a codebook.
        values: code of the shared values, shape (groups,); several tensors may hold the same one.

    >>> from laconic.format.codes import DenseCode
    >>> HashedCode((2, 3), "float32", 0, DenseCode.of(np.float32([1, 2]))).decompress()
    array([[1., 1., 2.],
           [1., 2., 2.]], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    key: int
    values: Code

    @property
    def groups(self) -> np.ndarray:
        """The group of each weight in row-major order, int64, shape (size,)."""
        return groups_of(self.key, self.values.size, 0, self.size)

    def decompress(self) -> np.ndarray:
        """Look every position up, some at a time."""
        weights = np.empty(self.size, dtype_of(self.dtype))
        if not self.size:
            return weights.reshape(self.shape)
        values = rounded(self.values.decompress(), self.dtype)
        for first in range(0, self.size, _AT_ONCE):
            here = weights[first : first + _AT_ONCE]
            np.take(values, groups_of(self.key, len(values), first, len(here)), out=here, mode="clip")
        return weights.reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return the code of the values."""
        return {"values": self.values}

    def facts(self) -> tuple[int, ...]:
        """Return the key."""
        return (self.key,)

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "HashedCode":
        """Invert `streams`."""
        values = part(streams, "values", Code)
        require(len(facts) == 1 and facts[0] < 1 << 32, f"facts {facts} of a hashed code, where one is below 2^32")
        require({dtype, values.dtype} <= set(FLOATS), f"shared values of {values.dtype} for a tensor of {dtype}")
        require(len(values.shape) == 1, f"shared values of shape {values.shape}")
        code = cls(shape, dtype, facts[0], values)
        fits = 1 <= values.size <= 1 << 32 or not code.size
        require(fits, f"{values.size} shared values for {code.size} elements")
        return code

    def check(self) -> None:
        """Check the values."""
        self.values.check()

    def labels(self) -> np.ndarray | None:
        """Return the label of each weight's value, or None where values have none: groups are no choice."""
        labels = self.values.labels()
        return None if labels is None else labels[self.groups if self.size else np.zeros(0, np.int64)]

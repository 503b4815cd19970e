"""Pruned weights: where the survivors are, and a code of their values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.streams import Symbols
from laconic.format.coding import dtype_of


@final
@dataclass(frozen=True, eq=False)
class SparseCode(Code):
    """Δ(Θ) is zero but where the mask is 1; there it takes the next of the values.

    Args:
        shape: shape of the tensor.
        dtype: its element type.
        mask: 0 (pruned) or 1 (kept) for each weight in row-major order.
        values: code of the survivors, of shape (kept,): dense, or quantized in turn.

    >>> from laconic.format.codes import DenseCode
    >>> values = DenseCode.of(np.float32([2, 3]))
    >>> SparseCode((2, 2), "float32", Symbols(np.array([0, 1, 1, 0]), 2), values).decompress()
    array([[0., 2.],
           [3., 0.]], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    mask: Symbols
    values: Code

    def decompress(self) -> np.ndarray:
        """Scatter the values over the mask."""
        weights = np.zeros(self.size, dtype_of(self.dtype))
        weights[self.mask.array.view(bool)] = self.values.decompress()
        return weights.reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return the mask and the values' code."""
        return {"mask": self.mask, "values": self.values}

    def facts(self) -> tuple[int, ...]:
        """Return nothing: the number of survivors is the shape of the values."""
        return ()

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "SparseCode":
        """Invert `streams`."""
        mask, values = part(streams, "mask", Symbols), part(streams, "values", Code)
        code = cls(shape, dtype, mask, values)
        kept = int(np.count_nonzero(mask.array))
        require(mask.alphabet == 2 and len(mask) == code.size, f"{len(mask)} mask entries for {code.size} elements")
        require(values.shape == (kept,), f"the mask keeps {kept} weights, the values have shape {values.shape}")
        require(values.dtype == dtype, f"values are {values.dtype}, the tensor is {dtype}")
        return code

    def check(self) -> None:
        """Check the values."""
        self.values.check()

    def labels(self) -> np.ndarray:
        """Return 0 for a pruned weight; else 1, or the label of its value."""
        labels = self.mask.array.astype(np.int64)
        inner = self.values.labels()
        if inner is not None:
            labels[labels == 1] = inner
        return labels

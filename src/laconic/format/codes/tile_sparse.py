"""Weights pruned by tiles of a matrix: filters, channels, heads, blocks, or a few of every m."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.streams import Symbols
from laconic.format.coding import dtype_of

WIDEST = 16
"""Weights of a tile, at most, whose pattern is one symbol."""


def flattened(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (rows, columns) of a tensor of ``shape`` as a matrix of dimension 0 × the rest; 1 × 1 for no axis.

    >>> flattened((6, 3, 5, 5)), flattened((7,)), flattened(())
    ((6, 75), (7, 1), (1, 1))
    """
    return (shape[0], math.prod(shape[1:])) if shape else (1, 1)


@final
@dataclass(frozen=True, eq=False)
class TileSparseCode(Code):
    """Δ(Θ) is zero but in some tiles of the matrix of dimension 0 × the rest, or in some places of each tile.

    Args:
        shape: shape of the tensor.
        dtype: its element type.
        rows: of a tile, at least 1 and at most those of the matrix; the last tiles are what is left.
        columns: of a tile, likewise.
        mask: one symbol for each tile in row-major order. Of alphabet 2: 1, all of the tile is kept. Of alphabet
            2^(rows · columns), at most 2¹⁶: bit k says that its weight k, in row-major order, is.
        values: code of the survivors, in row-major order of the tensor, of any shape with so many elements.

    >>> from laconic.format.codes import DenseCode
    >>> values = DenseCode.of(np.float32([[2, 3]]))
    >>> TileSparseCode((2, 2), "float32", 1, 2, Symbols(np.array([0, 1]), 2), values).decompress()
    array([[0., 0.],
           [2., 3.]], dtype=float32)
    >>> TileSparseCode((2, 2), "float32", 1, 2, Symbols(np.array([2, 1]), 4), values).decompress()
    array([[0., 2.],
           [3., 0.]], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: str
    rows: int
    columns: int
    mask: Symbols
    values: Code

    def kept(self) -> np.ndarray:
        """Return which weights are kept, bool of shape (size,)."""
        rows, columns = flattened(self.shape)
        tiles = self.mask.array.reshape(-(-rows // self.rows), -(-columns // self.columns))
        if self.mask.alphabet == 2:
            return spread(tiles.astype(bool), self.rows, self.columns, (rows, columns)).reshape(-1)
        whole = np.zeros((len(tiles) * self.rows, tiles.shape[1] * self.columns), bool)
        for k in range(self.rows * self.columns):
            row, column = divmod(k, self.columns)
            whole[row :: self.rows, column :: self.columns] = tiles >> k & 1
        return whole[:rows, :columns].reshape(-1)

    def decompress(self) -> np.ndarray:
        """Scatter the values over what is kept."""
        weights = np.zeros(self.size, dtype_of(self.dtype))
        weights[self.kept()] = self.values.decompress().reshape(-1)
        return weights.reshape(self.shape)

    def streams(self) -> Mapping[str, Part]:
        """Return the mask and the values' code."""
        return {"mask": self.mask, "values": self.values}

    def facts(self) -> tuple[int, ...]:
        """Return rows and columns of a tile, and 1 where symbols are patterns."""
        return self.rows, self.columns, int(self.mask.alphabet > 2)

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "TileSparseCode":
        """Invert `streams`."""
        mask, values = part(streams, "mask", Symbols), part(streams, "values", Code)
        rows, columns = flattened(shape)
        fits = len(facts) == 3 and 1 <= facts[0] <= max(rows, 1) and 1 <= facts[1] <= max(columns, 1)
        require(fits, f"tiles of {facts} of a {rows} x {columns} matrix")
        area = facts[0] * facts[1]
        patterns = facts[2] == 1 and 1 < area <= WIDEST and mask.alphabet == 1 << area
        whole = facts[2] == 0 and mask.alphabet == 2
        require(
            patterns or whole, f"a mask of alphabet {mask.alphabet} and mode {facts[2]} for tiles of {area} weights"
        )
        tiles = -(-rows // facts[0]) * -(-columns // facts[1])
        require(len(mask) == tiles, f"{len(mask)} mask entries for {tiles} tiles")
        code = cls(shape, dtype, facts[0], facts[1], mask, values)
        kept = int(np.count_nonzero(code.kept()))
        if patterns:
            inside = int(np.bitwise_count(mask.array).sum(dtype=np.int64))
            require(inside == kept, f"the mask keeps {inside - kept} weights outside the tensor")
        require(math.prod(values.shape) == kept, f"the mask keeps {kept} weights, the values have shape {values.shape}")
        require(values.dtype == dtype, f"values are {values.dtype}, the tensor is {dtype}")
        return code

    def check(self) -> None:
        """Check the values."""
        self.values.check()

    def labels(self) -> np.ndarray:
        """Return 0 for a pruned weight; else 1, or the label of its value."""
        labels = self.kept().astype(np.int64)
        inner = self.values.labels()
        if inner is not None:
            labels[labels == 1] = inner
        return labels


def spread(tiles: np.ndarray, rows: int, columns: int, shape: tuple[int, int]) -> np.ndarray:
    """Return the matrix of ``shape`` in which each entry is that of its tile of ``rows`` × ``columns``.

    >>> spread(np.array([[1, 2]]), 2, 3, (2, 4))
    array([[1, 1, 1, 2],
           [1, 1, 1, 2]])
    """
    wide = np.repeat(tiles, columns, axis=1)[:, : shape[1]]
    return np.repeat(wide, rows, axis=0)[: shape[0]]

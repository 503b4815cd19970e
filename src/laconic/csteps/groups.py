"""Which weights go together: filters, channels, heads, blocks or whole tensors, all of them tiles of a matrix."""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import PlanError, WeightsError
from laconic.format.codes.tile_sparse import flattened, spread

KINDS = ("filters", "neurons", "channels", "heads", "blocks", "tensors")
"""What a group of weights can be; neurons are the filters of a matrix."""


@final
@dataclass(frozen=True)
class Groups:
    """A partition of a tensor, read as the matrix of dimension 0 × the rest, into tiles of one size.

    Args:
        kind: ``filters`` or ``neurons``, a row each (dimension 0); ``channels``, what reads one input (dimension 1);
            ``heads``, so many runs of rows; ``blocks``, rectangles, those at the ends cut off; ``tensors``, whole ones:
            of the last weights of residual blocks so many stay as the network is to be deep.
        size: of heads, their number; of blocks, rows and columns; of others, nothing.

    Raises:
        PlanError: for another kind, and a size that does not go with it.

    >>> Groups("channels").tile("w", (8, 3, 5, 5)), Groups("heads", (4,)).tile("w", (8, 6))
    ((8, 25), (2, 6))
    """

    kind: str
    size: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise PlanError(f"groups are one of {', '.join(KINDS)}, not {self.kind!r}")
        needed = {"heads": 1, "blocks": 2}.get(self.kind, 0)
        if len(self.size) != needed or min(self.size, default=1) < 1:
            raise PlanError(f"the size of {self.kind} is {needed} numbers of 1 or more, not {self.size}")

    def tile(self, name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return rows and columns of a group of a tensor.

        Raises:
            WeightsError: for a shape that has no such groups; it names the tensor.
        """
        axes = {"channels": 2, "blocks": 0, "tensors": 0}.get(self.kind, 1)
        if len(shape) < axes:
            raise WeightsError(f"{name}: {self.kind} are of tensors with {axes} axes or more, not of shape {shape}")
        rows, columns = flattened(shape)
        if self.kind == "heads" and rows % self.size[0]:
            raise WeightsError(f"{name}: {rows} rows do not make {self.size[0]} heads of one size")
        tilings = {
            "channels": (rows, math.prod(shape[2:])),
            "heads": (rows // (self.size or (1,))[0], columns),
            "blocks": self.size,
            "tensors": (rows, columns),
        }.get(self.kind, (1, columns))
        return min(max(tilings[0], 1), max(rows, 1)), min(max(tilings[1], 1), max(columns, 1))


@final
@dataclass(frozen=True, eq=False)
class Tiling:
    """The groups of one tensor.

    Args:
        shape: of the tensor.
        rows: of a group.
        columns: of a group.
    """

    shape: tuple[int, ...]
    rows: int
    columns: int

    @property
    def count(self) -> int:
        """Number of groups."""
        rows, columns = flattened(self.shape)
        return -(-rows // self.rows) * -(-columns // self.columns)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of ``values``, one for each weight, over each group, float64, shape (count,)."""
        matrix = values.reshape(flattened(self.shape)).astype(np.float64, copy=False)
        if not matrix.size:
            return np.zeros(self.count)
        rows, columns = (np.arange(0, n, step) for n, step in zip(matrix.shape, (self.rows, self.columns), strict=True))
        sums: np.ndarray = np.add.reduceat(np.add.reduceat(matrix, columns, axis=1), rows, axis=0)
        return sums.reshape(-1)

    def spread(self, groups: np.ndarray) -> np.ndarray:
        """Return for each weight the entry of its group, shape (size,)."""
        rows, columns = flattened(self.shape)
        tiles = groups.reshape(-(-rows // self.rows), -(-columns // self.columns))
        return spread(tiles, self.rows, self.columns, (rows, columns)).reshape(-1)

    def survivors(self, mask: np.ndarray) -> tuple[int, ...]:
        """Return the shape of what stays: whole filters or channels are a tensor of fewer, all else is flat.

        Args:
            mask: of the groups that stay, shape (count,).
        """
        rows, columns = flattened(self.shape)
        kept = int(np.count_nonzero(mask))
        if len(self.shape) > 1 and self.columns == columns and rows % self.rows == 0:
            return (kept * self.rows, *self.shape[1:])
        if len(self.shape) > 1 and self.rows == rows and self.columns == math.prod(self.shape[2:]):
            return (self.shape[0], kept, *self.shape[2:])
        return (int(np.count_nonzero(self.spread(mask))),)

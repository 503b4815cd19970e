"""A few weights so much larger than all others of their tensor that its scale is theirs: they are kept as they are.

On the grid of the others they would take the tables of their row with them, and their squares would stand for the
tensor's signal, whatever became of the rest. So the tensor is a sum: the others on the grid, these as they are.
"""

import numpy as np

from laconic.format.codes import Code, DenseCode, SparseCode, SumCode, Symbols
from laconic.quantize.lattice import floats

_MOST = 16  # outliers of a tensor
_FAR = 64.0  # times the root mean square of the others: no weight of a normal or Laplacian tensor is there


def outliers(array: np.ndarray, energy: float, largest: float) -> tuple[int, ...]:
    """Return the places of the outliers, row-major: together more than half of the energy, and each far from the rest.

    Args:
        array: the tensor, floats, finite.
        energy: Σ w².
        largest: magnitude.
    """
    if array.size <= 2 * _MOST or 2 * _MOST * largest**2 <= energy:
        return ()
    flat = np.abs(floats(array.reshape(-1)))
    top = np.argpartition(flat, -_MOST)[-_MOST:]
    top = top[np.argsort(-flat[top], kind="stable")]
    heights, flat[top] = np.square(flat[top], dtype=np.float64), 0
    rest = np.square(flat, dtype=np.float64).sum() + np.append(np.cumsum(heights[::-1])[-2::-1], 0.0)
    far = heights > _FAR**2 * rest / (array.size - np.arange(1, _MOST + 1))
    many = np.flatnonzero(far & (rest > 0) & (np.cumsum(heights) > rest))
    return tuple(sorted(top[: many[-1] + 1].tolist())) if len(many) else ()


def without(array: np.ndarray, places: tuple[int, ...]) -> np.ndarray:
    """Return the tensor with 0 in some places, row-major; the same where there are none."""
    if not places:
        return array
    others = array.copy()
    others.reshape(-1)[list(places)] = 0
    return others


def summed(code: Code, array: np.ndarray, places: tuple[int, ...]) -> Code:
    """Return the code of the others plus that of the weights in some places of the tensor, which are exact there."""
    if not places:
        return code
    mask = np.zeros(array.size, np.uint8)
    mask[list(places)] = 1
    values = DenseCode.of(array.reshape(-1)[list(places)])
    return SumCode(code.shape, code.dtype, (code, SparseCode(code.shape, code.dtype, Symbols(mask, 2), values)))

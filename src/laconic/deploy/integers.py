"""Weights as integers times scales, as a graph multiplies them: those of the file, or others that are made for it.

w_rc = q_rc · a_rg,   g = c // length    the product rounded once to float32, in the file and in the graph alike
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.csteps.fixed_codebook import FixedCodebook, integers
from laconic.format.codes import Code, GroupedCode
from laconic.models.params import to_torch

_LARGEST = 127  # of an integer of 8 bits that has its negative


@final
@dataclass(frozen=True, eq=False)
class Integers:
    """A weight as the matrix of its rows.

    Args:
        values: q, int8, shape (rows, columns).
        scales: a, float32, shape (rows, groups): groups of ``length`` columns, which divides the columns.
    """

    values: np.ndarray
    scales: np.ndarray

    @property
    def length(self) -> int:
        """Columns that share a scale."""
        return int(self.values.shape[1] // max(self.scales.shape[1], 1))

    @property
    def bits(self) -> int:
        """That each integer takes, of 4 and 8."""
        small = not self.values.size or (self.values.min() >= -8 and self.values.max() <= 7)
        return 4 if small else 8

    def weights(self) -> np.ndarray:
        """Return w, float32, shape (rows, columns)."""
        weights: np.ndarray = self.values * np.repeat(self.scales, self.length, axis=1)
        return weights


def integers_of(code: Code) -> Integers | None:
    """Return the integers that a file holds, where it holds some that a graph multiplies, or None.

    They are those of a given codebook of float32 weights whose entries are multiples of one number, up to 127 times:
    with one scale, one for each row, or one for each block of a row.

    >>> import torch
    >>> weights = {"w": torch.tensor([[-8.0, 7.0], [2.0, 14.0]])}
    >>> integers_of(FixedCodebook(integers(16), block=2).project(weights)["w"]).scales.tolist()
    [[1.0], [2.0]]
    """
    if not isinstance(code, GroupedCode) or code.own or code.dtype != "float32" or len(code.shape) < 2 or not code.size:
        return None
    entries = code.codebook.array.astype(np.float64)
    unit = float(np.abs(entries[entries != 0]).min(initial=np.inf))
    unit = unit if np.isfinite(unit) else 1.0
    levels = np.rint(entries / unit)
    if not np.array_equal(levels * unit, entries) or levels.min() < -_LARGEST - 1 or levels.max() > _LARGEST:
        return None
    rows, columns = code.shape[0], code.size // code.shape[0]
    length = code.length or code.size
    if columns % length and length % columns:
        return None
    wide = (code.scales.array.astype(np.float64) if len(code.scales) else np.ones(code.groups)) * unit
    scales = wide.astype(np.float32)
    if not np.array_equal(scales.astype(np.float64), wide):
        return None
    starts = np.arange(0, code.size, min(length, columns)) // length
    values = levels.astype(np.int8)[code.indices.array].reshape(rows, columns)
    return Integers(values, scales[starts].reshape(rows, -1))


def requantized(weight: np.ndarray, bits: int, block: int) -> Integers:
    """Return integers for a weight that has others, or none, in the file.

    Of 8 bits: the nearest, with a scale for each row by its largest weight. Of 4 bits: the nearest, with the scale for
    each block that is best for its squared error (`laconic.csteps.fixed_codebook`).

    Args:
        weight: float32, shape (rows, columns), finite.
        bits: 4 or 8.
        block: columns that share a scale, of 4 bits; a row that it does not divide has one.
    """
    if bits == 8:
        scales = np.abs(weight).max(axis=1, keepdims=True).astype(np.float32) / np.float32(_LARGEST)
        safe = np.where(scales > 0, scales, np.float32(1))
        return Integers(np.rint(weight / safe).astype(np.int8), scales)
    code = FixedCodebook(integers(16), block=block).project({"w": to_torch(weight)})["w"]
    made = integers_of(code)
    assert made is not None, "blocks of integers are what a graph has"
    return made

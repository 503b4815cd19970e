"""How many bits a layer takes at a water level, told from its scales alone, before anything is quantized.

    bits(θ) = Σ_k many_k h(σ_k / step(θ))

with h the entropy of a Gaussian on the grid of the coder and many_k the weights of scale σ_k. Real weights are no
Gaussians, and a price on bits lowers them: what a first pass takes is put beside this.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import final

import numpy as np

from laconic.calibrate.recursion import Form, Recursion
from laconic.calibrate.sequential import BELOW, CELLS, weakness
from laconic.format.codes.scales import Scales
from laconic.format.coding.levels import SIZES, raw_bits, sizes_of
from laconic.format.coding.model import MAX_CLASSES
from laconic.quantize.lattice.source import PER_OCTAVE, prepare

_OCTAVES = 30.0  # below the largest scale of a layer at which its histogram begins
_MANY = 1 << 16  # integers that an expectation looks at
_WIDTHS = 6.0  # standard deviations of them


WIDE = 256
"""Rows from which on each column has a step of its own: fewer do not pay for what it takes."""


EMBEDS = 1.0
"""What is added to the second moments of a matrix that is an embedding as well, in units of their mean: chosen
among 0.1, 1 and 10 on stories260K (`docs/notes/language.md`)."""


def suited(how: Recursion, rows: int, *, met: bool, form: Form = "plain", embeds: bool = False) -> Recursion:
    """Return how a weight of so many rows is quantized: what is not met has no errors to make good.

    Experts have one step for all that they read. Errors of a matrix that is an embedding as well may not hide where
    little is read of it as a matrix: its rows are read as they are, too, which is a moment alike in all directions.
    """
    water = how.water and rows >= WIDE and form != "packed"
    return replace(how, feedback=how.feedback and met, water=water, damping=damped(how.damping, embeds=embeds))


def damped(damping: float, *, embeds: bool) -> float:
    """Return what is added to the second moments of a weight, in units of their mean."""
    return max(damping, EMBEDS) if embeds else damping


@cache
def expected_counts(nu: int, weights: int = 1 << 14) -> np.ndarray:
    """Return how often Gaussian weights of each class have each size, of each parity, shape (128, parities, 128).

    Args:
        nu: 2^ν states of the trellis; 0 for none.
        weights: of each class.
    """
    parities, cell = (2, 2.0) if nu else (1, 1.0)
    counts = np.zeros((MAX_CLASSES, parities, SIZES))
    for k in range(MAX_CLASSES):
        sigma = min(cell * 2.0 ** (k / PER_OCTAVE - BELOW), _MANY / _WIDTHS / 2)
        v = np.arange(-math.ceil(_WIDTHS * sigma) - 2, math.ceil(_WIDTHS * sigma) + 3)
        for parity in range(parities):
            own = v[v & 1 == parity] if nu else v
            mass = np.exp(-0.5 * np.square(own / math.hypot(sigma, cell / 4)))
            sizes = sizes_of(own, trellis=nu > 0)
            counts[k, parity] = np.bincount(sizes, mass * weights / parities / mass.sum(), minlength=SIZES)
    return counts


@cache
def _entropies(nu: int) -> np.ndarray:
    """Return the bits of a weight of each class, shape (128,)."""
    counts = expected_counts(nu)
    share = counts / counts.sum(axis=2, keepdims=True)
    sizes = np.arange(SIZES)
    signed = np.ones((counts.shape[1], SIZES))
    signed[0, 0] = 0.0
    bits = -share * np.log2(np.where(share > 0, share, 1.0)) + share * (raw_bits(sizes) + signed)
    known, classes = bits.sum(axis=2).mean(axis=1), np.arange(MAX_CLASSES)
    last = math.floor(PER_OCTAVE * (math.log2(_MANY / _WIDTHS / 2) + BELOW - (nu > 0)))  # the others are cut off
    return np.asarray(known[np.minimum(classes, last)] + np.maximum(classes - last, 0) / PER_OCTAVE)


@final
@dataclass(frozen=True, eq=False)
class Rate:
    """The bits of a layer as a function of its water level.

    Args:
        many: weights of each scale, shape (128,).
        zero: log₂ of the scale of the first, in units of the square root of the water level.
        nu: 2^ν states of the trellis.
    """

    many: np.ndarray
    zero: float
    nu: int

    @classmethod
    def of(cls, weights: np.ndarray, moments: np.ndarray, how: Recursion) -> "Rate":
        """Return the rate of a layer; arguments are those of `laconic.calibrate.sequential.quantize`."""
        scaled = np.asarray(weights, np.float64) * weakness(weights, moments, how).reshape(weights.shape[1:])
        source = prepare("weights", scaled, 0.0, cosine=False)
        zero = float(source.row_scales.max(initial=-_OCTAVES)) - _OCTAVES
        scales = Scales(scaled.shape, source.mode, source.symbols(zero), MAX_CLASSES, turned=True)
        return cls(scales.counts(), zero, how.nu)

    @classmethod
    def nothing(cls) -> "Rate":
        """Return the rate of no weights."""
        return cls(np.zeros(MAX_CLASSES, np.int64), 0.0, 0)

    def bits(self, level: float) -> float:
        """Return the bits at a water level, about."""
        cell = CELLS[self.nu > 0] * math.sqrt(12 * level)  # a step, for an error in it costs 1
        units = 2.0 if self.nu else 1.0
        octaves = self.zero - math.log2(cell * units) + np.arange(MAX_CLASSES) / PER_OCTAVE + BELOW
        own = np.interp(octaves * PER_OCTAVE, np.arange(MAX_CLASSES), _entropies(self.nu))
        own *= np.exp2(2 * np.minimum(octaves, 0))  # below, bits fall as variances do
        return float(self.many @ own)

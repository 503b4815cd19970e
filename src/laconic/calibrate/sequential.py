"""One matrix of weights quantized for the inputs that it meets: successive interference cancellation, entropy-coded.

    min over Ŵ   tr((W − Ŵ) Σ (W − Ŵ)ᵀ) + 2 ln 2 · θ · bits(Ŵ),     Ŵ = integers times a step for each column

Method: columns are rounded one after the other, and the error of each is made good by those that come later, as far as
they can (`laconic.calibrate.factor`, `laconic.calibrate.recursion`). With ridge ρ the recursion runs on
H = Σ + ρ θ/σ² I and T = W Σ H⁻¹: for Gaussian weights of variance σ² the bits of ŵ are ŵ²/(2 σ² ln 2) and a constant,
which completes the square; ρ = 0 is zero forcing, T = W. At the water level θ each column has the step √(12 θ)/u_j,
whose error costs θ whatever the column is; one step for the layer is GPTQ's. A local optimum, O(m n² + n³).

The code is turned: a step for each column, and integers in the order in which the recursion chooses them.

Source: "WaterSIC" (arXiv:2603.04956) for steps and recursion, "CERWU" (arXiv:2505.18758) for a ridge from the rate; the
ridge at the water level, trellis and classes are laconic's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from laconic.calibrate.factor import Factor
from laconic.calibrate.recursion import Columns
from laconic.errors import DataError, PlanError, WeightsError
from laconic.format.codes.grid import Grid, GridCode
from laconic.format.codes.scales import COLUMNS
from laconic.format.codes.streams import Values
from laconic.format.coding import FLOATS
from laconic.format.coding.fitting import fitted
from laconic.format.coding.model import Model
from laconic.format.coding.ungerboeck import STATES

SLOPE = 2 * math.log(2)
"""−dD/dR at the water level, in units of it: what a bit is worth."""

DEAD = 1e-12
"""Inputs whose second moment is below this share of the mean are never met: their weights are zeros."""

DROPPED = 1.4
"""Columns whose variance times u² is below so many water levels get no bits, if they come first."""

_LARGEST = 1 << 24  # integers that are told from the errors that float32 numbers are

_CELLS = {True: 0.55, False: 1.0}  # of √(12 θ)/u, with a trellis, whose cells are two steps wide, and without
_MANTISSAS = np.array([1, 1.1875, 1.40625, 1.6875])  # quarters of an octave, of 5 bits: a byte or less each in a file


@final
@dataclass(frozen=True)
class Recursion:
    """How a layer is quantized.

    Args:
        states: of the trellis: 4, 8, 16, 32, 64; or 1 for none.
        order: of the columns: "weakest" or "strongest" first, or a permutation.
        ridge: ρ, the share of the ridge that Gaussian weights ask for: 1 is MMSE, 0 zero forcing.
        water: whether each column has a step of its own, at the water level; else the layer has one.
        price: of a bit, as a share of the slope.
        window: steps of a lane that stay open.
        passes: over the layer; each learns code lengths for the next.
    """

    states: int = 8
    order: str | tuple[int, ...] = "weakest"
    ridge: float = 1.0
    water: bool = True
    price: float = 0.2
    window: int = 128
    passes: int = 2

    def __post_init__(self) -> None:
        if self.states not in STATES:
            raise PlanError(f"states are one of {', '.join(map(str, STATES))}, not {self.states}")
        if not (self.ridge >= 0 and self.price >= 0):
            raise PlanError(f"ridge and price are not negative; {self.ridge} and {self.price} were given")
        if self.window < 1 or self.passes < 1:
            raise PlanError(f"window and passes are at least 1; {self.window} and {self.passes} were given")


@final
@dataclass(frozen=True, eq=False)
class Sequential:
    """A layer quantized.

    Args:
        code: of W, shape (m, n).
        error: tr((W − Ŵ) Σ (W − Ŵ)ᵀ) of what the code stands for.
        order: in which the columns were coded, shape (n,).
    """

    code: GridCode
    error: float
    order: np.ndarray


def quantize(weights: np.ndarray, moments: np.ndarray, level: float, how: Recursion | None = None) -> Sequential:
    """Return ``weights`` quantized at a water level.

    Args:
        weights: W, shape (m, n), a float type.
        moments: Σ, shape (n, n), symmetric, not negative.
        level: θ, about the error of one weight, in the units of Σ W².
        how: the recursion.

    Raises:
        WeightsError: for weights that are no matrix or not finite.
        DataError: for moments that are not symmetric, negative, not finite, or of another shape.
        PlanError: for a level that is not positive, or an order that is none.
    """
    how = how or Recursion()
    check(weights, moments, level)
    plain = np.asarray(weights, np.float64)
    diagonal = np.diag(moments)
    alive = np.flatnonzero(diagonal > DEAD * float(diagonal.mean())) if diagonal.any() else np.zeros(0, np.int64)
    variance = float(np.square(plain[:, alive]).mean()) if alive.size and len(plain) else 0.0
    if not variance:  # nothing is read, or it is 0
        alive = alive[:0]
    ridge = how.ridge * level / variance if variance else 0.0
    sigma = moments[np.ix_(alive, alive)].astype(np.float64)
    nu = STATES[how.states]
    cell = _CELLS[nu > 0] * math.sqrt(12 * level)
    factor = Factor.of(sigma + ridge * np.eye(len(alive)), _among(how.order, alive, plain.shape[1]), cell)
    target = plain[:, alive][:, factor.order]
    if ridge:
        target = _shrunk(target, factor, ridge)
    columns = _columns(target, factor, cell, level, variance, how.water)
    dead = np.setdiff1d(np.arange(plain.shape[1]), alive)
    columns, order = _with_dead(columns, dead), np.concatenate([dead, alive[factor.order]]).astype(np.int64)
    if not np.abs(columns.targets / columns.steps).max(initial=0) < _LARGEST:
        raise PlanError(f"a water level of {level:g} asks for integers beyond {_LARGEST}; give a larger one")
    levels = columns.quantized(nu, how.price * SLOPE, how.window, how.passes)
    code = _coded(weights, levels, columns, order, nu, how.water)
    return Sequential(code, error(weights, code, moments), order)


def error(weights: np.ndarray, code: GridCode, moments: np.ndarray) -> float:
    """Return tr((W − Ŵ) Σ (W − Ŵ)ᵀ) of a code of W."""
    missed = np.asarray(weights, np.float64) - np.asarray(code.decompress(), np.float64)
    return float(np.vdot(missed @ moments, missed))


def check(weights: np.ndarray, moments: np.ndarray, level: float) -> None:
    """Raise the errors of `quantize` for what cannot be quantized."""
    if weights.dtype.name not in FLOATS:
        raise WeightsError(f"weights of {weights.dtype.name}; give one of {', '.join(FLOATS)}")
    if weights.ndim != 2:
        raise WeightsError(f"weights of shape {weights.shape}; give a matrix (outputs, inputs)")
    if not np.isfinite(weights).all():
        raise WeightsError("weights that are not finite")
    if moments.shape != (weights.shape[1],) * 2:
        raise DataError(f"second moments of shape {moments.shape} for {weights.shape[1]} inputs")
    if not np.isfinite(moments).all() or not np.allclose(moments, moments.T, rtol=1e-6, atol=0):
        raise DataError("second moments that are not finite, or not symmetric")
    if (np.diag(moments) < 0).any():
        raise DataError("negative second moments")
    if not (level > 0 and math.isfinite(level)):
        raise PlanError(f"a water level is positive; {level} was given")


def _among(order: str | tuple[int, ...], alive: np.ndarray, columns: int) -> str | np.ndarray:
    """Return an order of all columns as one of those that are read."""
    if isinstance(order, str):
        return order
    if sorted(order) != list(range(columns)):
        raise PlanError(f"an order of {columns} columns is a permutation of 0 to {columns - 1}")
    places = np.asarray(order, np.int64)
    return np.searchsorted(alive, places[np.isin(places, alive)])


def _shrunk(weights: np.ndarray, factor: Factor, ridge: float) -> np.ndarray:
    """Return `W Σ H⁻¹ = W − ridge · W H⁻¹`, H as it is factored."""
    upper = factor.feed * factor.scales
    solved = np.linalg.solve(upper.T, np.linalg.solve(upper, weights.T))
    return np.asarray(weights - ridge * solved.T)


def _columns(target: np.ndarray, factor: Factor, cell: float, level: float, variance: float, water: bool) -> Columns:
    """Return the columns with their steps, those first ones dropped that no bits are worth."""
    scales = factor.scales
    steps = gridded(cell / scales) if water else np.full(len(scales), cell / max(_root_mean_square(scales), 1e-300))
    dropped = int((np.cumsum(variance * scales**2 > DROPPED * level) == 0).sum())
    classes = factor.classes + 1
    classes[:dropped] = 0
    if dropped < len(classes):
        classes[dropped:] -= classes[dropped] - 1
    heights = (scales * steps) ** 2 / level
    return Columns(np.ascontiguousarray(target), factor.feed, steps, heights, classes, dropped)


def _root_mean_square(scales: np.ndarray) -> float:
    """Return the u at which one step for all columns costs what it would in each."""
    return math.sqrt(float(np.square(scales).mean())) if len(scales) else 1.0


def gridded(steps: np.ndarray) -> np.ndarray:
    """Return steps in quarters of an octave, whose bits a file takes less than a byte for.

    >>> gridded(np.array([1.02, 0.45, 5.0])).tolist()
    [1.0, 0.421875, 4.75]
    """
    quarters = np.rint(len(_MANTISSAS) * np.log2(steps)).astype(np.int64)
    return np.asarray(np.ldexp(_MANTISSAS[quarters % len(_MANTISSAS)], quarters // len(_MANTISSAS)))


def _with_dead(columns: Columns, dead: np.ndarray) -> Columns:
    """Return the columns with those of dead inputs before them."""
    many, rows, n = len(dead), len(columns.targets), len(columns.feed)
    feed = np.eye(many + n)
    feed[many:, many:] = columns.feed
    step = columns.steps[0] if n else 1.0
    return Columns(
        np.concatenate([np.zeros((rows, many)), columns.targets], axis=1), feed,
        np.concatenate([np.full(many, step), columns.steps]), np.concatenate([np.zeros(many), columns.heights]),
        np.concatenate([np.zeros(many, np.int64), columns.classes]), many + columns.zeros,
    )  # fmt: skip


def _coded(
    weights: np.ndarray, levels: np.ndarray, columns: Columns, order: Sequence[int] | np.ndarray, nu: int, water: bool
) -> GridCode:
    """Return the code of ``levels`` (columns as they are coded)."""
    counts = columns.counts(levels, nu)
    tables = tuple(tuple(fitted(row, odd=bool(parity)) for parity, row in enumerate(own)) for own in counts)
    model = Model(nu, False, np.zeros(0, np.int8), tables)
    off, steps, top = np.zeros(len(order), np.int64), np.ones(len(order)), int(columns.classes.max(initial=0))
    off[order], steps[order] = top - columns.classes, columns.steps
    symbols = np.concatenate([[top], off])  # a class is the rows' symbol less the column's
    shared = Grid.of(float(steps[0]) if len(steps) else 1.0, model, symbols)
    shared = replace(shared, step=Values(steps)) if water and len(steps) else shared
    sorted_levels = np.ascontiguousarray(levels.T).reshape(-1)
    return GridCode.of_sorted(
        weights.shape, weights.dtype.name, sorted_levels, shared, transform="turned", mode=COLUMNS
    )  # fmt: skip

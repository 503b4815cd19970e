"""One matrix of weights quantized for the inputs that it meets: successive interference cancellation, entropy-coded.

    min over Ŵ   tr(F E Σ Eᵀ) + 2 ln 2 · θ · bits(Ŵ),     E = W − Ŵ,     Ŵ = integers times steps of columns and rows

Method: columns are rounded one after the other, and the error of each is made good by those that come later, as far as
they can (`laconic.calibrate.factor`, `laconic.calibrate.layer`). With ridge ρ the recursion runs on
H = Σ + ρ θ/σ² I and T = W Σ H⁻¹: for Gaussian weights of variance σ² the bits of ŵ are ŵ²/(2 σ² ln 2) and a constant,
which completes the square; ρ = 0 is zero forcing, T = W. At the water level θ each column has the step √(12 θ)/u_j,
whose error costs θ whatever the column is; one step for the layer is GPTQ's. Rows do the same under F, what errors of
rows cost together (`laconic.calibrate.rows`): both recursions at once, for F ⊗ Σ has the product of their factors. A
local optimum, O(m n (m + n) + m³ + n³).

What comes of it is a turned `GridCode`, whose integers are coded column after column, as the recursion goes.

Source: "WaterSIC" (arXiv:2603.04956) for steps and recursion, "CERWU" (arXiv:2505.18758) for a ridge from the rate; the
ridge at the water level, trellis and classes are laconic's.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.calibrate.factor import compacted, factored, scattered, upper
from laconic.calibrate.layer import Layer, Order, is_apart
from laconic.calibrate.recursion import Form, Recursion
from laconic.calibrate.rounded import Rounded, narrow
from laconic.calibrate.rows import ALL_ALIKE, APART, Rows
from laconic.errors import DataError, PlanError, WeightsError
from laconic.format.codes.grid import Grid, GridCode
from laconic.format.codes.scales import COLUMNS, ROWS, Scales
from laconic.format.coding import FLOATS
from laconic.format.coding.fitting import fitted, smoothed_costs
from laconic.format.coding.lanes import lane_count
from laconic.format.coding.model import MAX_CLASSES, Model
from laconic.format.coding.ungerboeck import STATES
from laconic.quantize.lattice.source import prepare

SLOPE = 2 * math.log(2)
"""−dD/dR at the water level, in units of it: what a bit is worth."""

DEAD = 1e-2
"""Of the water level: an input is dead if its weights lose less than this, each in the mean, when they are zeros."""

NEVER = 1e-12
"""Of the largest second moment: what is below is rounding, of inputs that are never met."""

_BLOCK = 1024  # columns of large moments that are put in order at a time
_LARGEST = 1 << 24  # integers that are told from the errors that float32 numbers are
CELLS = {True: 0.55, False: 1.0}  # of √(12 θ)/u, with a trellis, whose cells are two steps wide, and without
_MANTISSAS = np.array([1, 1.1875, 1.40625, 1.6875])  # quarters of an octave, of 5 bits: a byte or less each in a file
BELOW = 2.0  # octaves below the cell at which the classes of scale begin
_NEVER = 1e4  # what an error costs in a weight that is never read, in units of the level: all of them are zeros
_LEARNING = 8  # states of passes that learn code lengths, at most


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """A layer at a water level.

    Args:
        layer: its columns in the order in which they are coded.
        shape: of the tensor of its weights.
        dtype: their type.
        scales: of its rows, columns and positions.
        steps: of each column of the tensor, or one of all.
        finer: k of each row, whose steps are 2^(−k/2) times these, shape (m,); empty where none is.
        form: of the weight.
    """

    layer: Layer
    shape: tuple[int, ...]
    dtype: str
    scales: Scales
    steps: np.ndarray
    finer: np.ndarray
    form: Form = "plain"

    def rounded(self, levels: np.ndarray) -> Rounded:
        """Return what is left when integers are chosen: shape (m, n), columns in the order of the layer."""
        coded = narrow(self.layer.coded(levels))
        return Rounded(self.shape, self.dtype, self.scales, self.steps, self.finer, coded, self.form)


@final
@dataclass(frozen=True, eq=False)
class Sequential:
    """A layer quantized.

    Args:
        code: of W.
        error: tr((W − Ŵ) Σ (W − Ŵ)ᵀ) of what the code stands for.
        order: in which the columns were coded, shape (n,).
    """

    code: GridCode
    error: float
    order: np.ndarray


def quantize(
    weights: np.ndarray, moments: np.ndarray, level: float, how: Recursion | None = None, *,
    rows: Rows = ALL_ALIKE,
) -> Sequential:  # fmt: skip
    """Return ``weights`` quantized at a water level.

    Args:
        weights: W, shape (m, n, ...), a float type.
        moments: Σ, shape (n ..., n ...), symmetric, not negative; of groups of rows: shape (groups, n ..., n ...).
        level: θ, about the error of one weight, in the units of Σ W².
        how: the recursion.
        rows: what their errors cost beside each other.

    Raises:
        WeightsError: for weights that are no matrix or not finite.
        DataError: for moments that are not symmetric, negative, not finite, or of another shape.
        PlanError: for a level that is not positive.
    """
    how = how or Recursion()
    ready = prepared(weights, moments, level, how, rows=rows)
    classes, layer, learning = _classes([ready]), ready.layer, min(how.states, _LEARNING)
    levels = layer.plain()
    for left in reversed(range(how.passes)):
        costs = smoothed_costs(layer.counts(levels, how.nu, classes))
        levels = layer.quantized(costs, STATES[learning] if left else how.nu, how.price * SLOPE, how.window)
    model = modelled(layer.counts(levels, how.nu, classes), how.nu)
    rounded = ready.rounded(levels)
    code = rounded.code(Grid.of(1.0, model, rounded.symbols))
    return Sequential(code, error(weights, code, moments), layer.order.columns)


def modelled(counts: np.ndarray, nu: int) -> Model:
    """Return the tables that are shortest for integers that occur so often, shape (classes, parities, 128)."""
    tables = tuple(tuple(fitted(row, odd=bool(parity)) for parity, row in enumerate(own)) for own in counts)
    return Model(nu, False, np.zeros(0, np.int8), tables)


def prepared(
    weights: np.ndarray, moments: np.ndarray, level: float, how: Recursion, *, cross: np.ndarray | None = None,
    rows: Rows = ALL_ALIKE, spoiled: bool = False, like: Rounded | None = None, form: Form = "plain",
    experts: int = 1,
) -> Prepared:  # fmt: skip
    """Return a layer ready to be quantized at a water level.

    Args:
        weights: as for `quantize`.
        moments: as for `quantize`: of what the layer reads in the network as far as it is compressed.
        level: θ.
        how: the recursion.
        cross: E[x x̂ᵀ] of what it reads in the original and in the compressed network, where these are not the same.
        rows: what their errors cost beside each other. Where rows are in groups, or not each in one lane, they do not
            make good each other's.
        spoiled: whether moments and cross may be written over: then, of n columns, one matrix n × n is held beside
            them at a time, else two or three.
        like: the layer as it was quantized before: its steps and scales stay.
        form: of the weight, which is given as its matrix.
        experts: whose rows these are, in their order, where it is packed; all columns then have one step.

    Raises:
        WeightsError, DataError, PlanError: as `quantize`.
    """
    check(weights, moments, level)
    many, columns = len(weights), math.prod(weights.shape[1:])
    shape = (experts, many // experts, columns) if form == "packed" else weights.shape
    grouped = np.asarray(_grouped(moments), np.float64)
    crossed = [None] * len(grouped) if cross is None else np.asarray(cross.reshape(grouped.shape), np.float64)
    groups = (np.arange(many) * len(grouped) // max(many, 1)).astype(np.int32)
    plain = rows.stretched(weights).reshape(many, columns)
    parts = [_Part.of(plain[groups == g], grouped[g], crossed[g], level, how, spoiled) for g in range(len(grouped))]
    targets = np.concatenate([part.targets for part in parts])
    cell = CELLS[how.nu > 0] * math.sqrt(12 * level)
    water = how.water and len(parts) == 1 and form != "packed" if like is None else len(like.steps) > 1
    if like is not None:
        steps = np.broadcast_to(like.steps, columns).astype(np.float64)
    else:
        steps = gridded(cell / parts[0].scales) if water else np.full(columns, cell / _root_mean_square(parts))
    if not np.abs(targets / steps).max(initial=0) < _LARGEST:
        raise PlanError(
            f"integers beyond {_LARGEST} would be needed: give fewer bits than these weights can use, or a larger level"
        )
    if like is not None:
        scales = like.scales
    else:
        scales = _scaled((targets / steps).reshape(shape), parts[0], how, together=len(rows.between) > 0)
    order = Order.packed(scales) if form == "packed" else Order.of(scales)
    feed = np.zeros((len(parts) if how.feedback else 0, columns, columns))
    scales_of = [part.factored(order.columns, feed[g : g + 1]) for g, part in enumerate(parts)]
    heights = np.stack([np.square(u * steps[order.columns]) / level for u in scales_of])
    heights[heights == 0] = _NEVER  # an odd state has no 0: paths come to what is never read in an even one
    own = steps if water else steps[:1]
    across, lifts = APART, np.ones(many)
    if len(rows.between):
        lifts = np.diag(rows.between)[order.rows].astype(np.float64)
        if how.feedback and order.apart and len(parts) == 1:
            root = upper(np.asarray(rows.between, np.float64)[np.ix_(order.rows, order.rows)])
            across, lifts = root / np.diag(root), np.square(np.diag(root))
    placed = np.ascontiguousarray(targets[np.ix_(order.rows, order.columns)])
    layer = Layer(placed, feed, steps[order.columns], heights, groups[order.rows], across, lifts, order)
    return Prepared(layer, shape, weights.dtype.name, scales, own, rows.finer, form)


@final
@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one group.

    Args:
        targets: T, shape (rows, n); 0 where nothing is ever read.
        moments: H of the columns that are read, shape (alive, alive).
        alive: which these are, shape (n,).
        scales: u of each column in the order "weakest", shape (n,); of dead columns that of the mean.
        marks: classes of u, shape (n,).
    """

    targets: np.ndarray
    moments: np.ndarray
    alive: np.ndarray
    scales: np.ndarray
    marks: np.ndarray

    @classmethod
    def of(
        cls, plain: np.ndarray, moments: np.ndarray, cross: np.ndarray | None, level: float, how: Recursion,
        spoiled: bool = False,
    ) -> "_Part":  # fmt: skip
        """Return the targets of some rows, and how much an error in each column costs."""
        diagonal = np.diag(moments)
        alive = diagonal > NEVER * float(diagonal.max(initial=0))
        if len(plain):
            alive &= diagonal * np.square(plain).mean(axis=0) > DEAD * level
        variance = float(np.square(plain[:, alive]).mean()) if plain[:, alive].size else 0.0
        if not variance:  # nothing is read, or it is 0
            alive = np.zeros(len(diagonal), np.bool_)
        targets, scales, marks = np.zeros(plain.shape), np.ones(len(diagonal)), np.zeros(len(diagonal), np.int64)
        if not alive.any():
            return cls(targets, np.zeros((0, 0)), alive, scales, marks)
        kept, spoiled = np.flatnonzero(alive), spoiled and cross is not None
        damping = how.damping * float(diagonal[alive].mean())
        ridge = how.ridge * level / variance
        damped = _raised(_living(moments, kept, spoiled), damping + ridge)
        damped, factor = factored(damped, strongest=how.order == "strongest")
        wanted = plain[:, alive]
        if ridge or cross is not None:
            met_by = moments if cross is None else cross
            wanted = wanted @ _raised(_living(met_by, kept, spoiled), damping)
            wanted = np.linalg.solve(damped, wanted.T).T
        targets[:, alive] = wanted
        scales[alive], scales[~alive] = factor.scales, factor.scales.mean()
        marks[alive] = factor.classes + 1
        return cls(targets, damped, alive, scales, marks)

    def factored(self, columns: np.ndarray, feed: np.ndarray) -> np.ndarray:
        """Return u of the columns in an order, and fill in G; without feedback, what an error in each costs by itself.

        Args:
            columns: in their order, shape (n,).
            feed: zeros for G, shape (1, n, n); or (0, n, n) without feedback.
        """
        places, inner, u = np.flatnonzero(self.alive[columns]), np.cumsum(self.alive) - 1, np.zeros(len(columns))
        own = inner[columns[places]]
        if not len(feed):
            u[places] = np.sqrt(np.diag(self.moments)[own])
            return u
        root = feed[0].reshape(-1)[: len(own) ** 2].reshape(len(own), len(own))
        for start in range(0, len(own), _BLOCK):
            root[start : start + _BLOCK] = self.moments[np.ix_(own[start : start + _BLOCK], own)]
        upper(root)
        u[places] = np.diag(root)
        root /= u[places]
        scattered(feed[0], places)
        return u


def weakness(weights: np.ndarray, moments: np.ndarray, how: Recursion) -> np.ndarray:
    """Return the u that steps follow, of each column or the same for all, shape (n,); 0 where nothing is read."""
    columns = math.prod(weights.shape[1:])
    plain = np.asarray(weights, np.float64).reshape(len(weights), columns)
    grouped = _grouped(moments)
    rows = np.split(plain, len(grouped)) if len(plain) else [plain] * len(grouped)
    parts = [_Part.of(own, sigma, None, 0.0, how) for own, sigma in zip(rows, grouped, strict=True)]
    u = parts[0].scales if how.water and len(parts) == 1 else np.full(columns, _root_mean_square(parts))
    return np.where(np.any([part.alive for part in parts], axis=0), u, 0.0)


def _root_mean_square(parts: list[_Part]) -> float:
    """Return the u at which one step for all columns costs what it would in each."""
    squares = [np.square(part.scales[part.alive]) for part in parts]
    every = np.concatenate(squares) if squares else np.zeros(0)
    return math.sqrt(float(every.mean())) if every.size and every.any() else 1.0


def _scaled(steps: np.ndarray, part: _Part, how: Recursion, *, together: bool) -> Scales:
    """Return the scales of ``steps``, what is put on the grid: by them weights are ordered, and have their tables.

    Rows, columns and positions have symbols where these save more than they cost; or columns alone have the classes of
    u. What is 0 for good comes first. Of rows that make good each other's errors as many have a symbol as let each be
    in one lane.
    """
    if how.order != "scale":
        if steps.ndim != 2:
            raise PlanError(f"order {how.order!r} is for matrices, not for weights of shape {steps.shape}")
        top = int(part.marks.max(initial=0))
        return Scales(steps.shape, COLUMNS, np.concatenate([[top], top - part.marks]), MAX_CLASSES, turned=True)
    cell = 2 if how.nu else 1
    source, lanes = prepare("weights", steps, cell / 4, cosine=False), lane_count(steps.size)
    symbols = source.symbols(math.log2(cell) - BELOW)
    if together and source.mode & ROWS and is_apart(len(steps), lanes):
        symbols[: len(steps)] = _evened(symbols[: len(steps)], lanes)
    return Scales(steps.shape, source.mode, symbols, MAX_CLASSES, turned=True)


def _evened(symbols: np.ndarray, many: int) -> np.ndarray:
    """Return symbols of which each occurs in so many rows, or a multiple: the mean of those that are next in size.

    >>> _evened(np.array([3, 9, 4, 8]), 2).tolist()
    [4, 8, 4, 8]
    """
    order, evened = np.argsort(symbols, kind="stable"), np.empty(len(symbols), np.int64)
    evened[order] = np.repeat(np.rint(symbols[order].reshape(-1, many).mean(axis=1)).astype(np.int64), many)
    return evened


def _classes(layers: list[Prepared]) -> int:
    """Return how many classes the weights of some layers have."""
    return max((int(one.layer.order.classes.max(initial=0)) for one in layers), default=0) + 1


def error(weights: np.ndarray, code: GridCode, moments: np.ndarray) -> float:
    """Return tr((W − Ŵ) Σ (W − Ŵ)ᵀ) of a code of W, added up over groups."""
    missed = np.asarray(weights, np.float64) - np.asarray(code.decompress(), np.float64)
    grouped = _grouped(moments)
    rows = missed.reshape(len(grouped), len(missed) // len(grouped), math.prod(missed.shape[1:]))
    return float(np.vdot(rows @ grouped, rows))


def check(weights: np.ndarray, moments: np.ndarray, level: float) -> None:
    """Raise the errors of `quantize` for what cannot be quantized."""
    if weights.dtype.name not in FLOATS:
        raise WeightsError(f"weights of {weights.dtype.name}; give one of {', '.join(FLOATS)}")
    if weights.ndim < 2:
        raise WeightsError(f"weights of shape {weights.shape}; give a matrix (outputs, inputs)")
    if not np.isfinite(weights).all():
        raise WeightsError("weights that are not finite")
    columns = math.prod(weights.shape[1:])
    grouped = _grouped(moments)
    if grouped.shape[1:] != (columns, columns) or (len(weights) and len(weights) % max(len(grouped), 1)):
        raise DataError(f"second moments of shape {moments.shape} for {columns} inputs and {len(weights)} outputs")
    if not np.isfinite(moments).all() or not _is_symmetric(grouped):
        raise DataError("second moments that are not finite, or not symmetric")
    if (np.diagonal(grouped, axis1=1, axis2=2) < 0).any():
        raise DataError("negative second moments")
    if not (level > 0 and math.isfinite(level)):
        raise PlanError(f"a water level is positive; {level} was given")


def _is_symmetric(moments: np.ndarray) -> bool:
    """Whether moments of groups are symmetric but for rounding; mostly they are exactly, which is told soon."""
    turned = moments.transpose(0, 2, 1)
    return np.array_equal(moments, turned) or np.allclose(moments, turned, rtol=1e-6, atol=0)


def _living(moments: np.ndarray, kept: np.ndarray, spoiled: bool) -> np.ndarray:
    """Return the moments of columns that are read: a copy, or in the place of all."""
    return compacted(moments, kept) if spoiled else moments[np.ix_(kept, kept)]


def _raised(moments: np.ndarray, by: float) -> np.ndarray:
    """Return moments, a copy or to be spoiled, with a number added along the diagonal."""
    moments[np.diag_indices(len(moments))] += by
    return moments


def _grouped(moments: np.ndarray) -> np.ndarray:
    """Return second moments with an axis of groups."""
    return moments[None] if moments.ndim == 2 else moments


def gridded(steps: np.ndarray) -> np.ndarray:
    """Return steps in quarters of an octave, whose bits a file takes less than a byte for.

    >>> gridded(np.array([1.02, 0.45, 5.0])).tolist()
    [1.0, 0.421875, 4.75]
    """
    quarters = np.rint(len(_MANTISSAS) * np.log2(steps)).astype(np.int64)
    return np.asarray(np.ldexp(_MANTISSAS[quarters % len(_MANTISSAS)], quarters // len(_MANTISSAS)))

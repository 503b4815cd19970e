"""Codes of a part of a tensor: the same values, of which some indices along some axes are left.

A code is cut where its own parts can be: indices of a codebook, masks, rows and columns of factors, integers on a grid.
Where they cannot, such as runs that share a scale, what is left is told by the values that occur in it. Either way
`cut(code, axes).decompress()` is the part of `code.decompress()`, bit by bit.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import singledispatch

import numpy as np

from laconic.deploy.edits import Kept
from laconic.format.codes import (
    CanonicalCode,
    Code,
    CodebookCode,
    DenseCode,
    GridCode,
    LowRankCode,
    SparseCode,
    SumCode,
    Symbols,
    TileSparseCode,
    TuckerCode,
    Values,
)
from laconic.format.codes.grid import FINER, Grid
from laconic.format.codes.low_rank import VIEWS, matrix_shape
from laconic.format.codes.scales import COLUMNS, POSITIONS, ROWS
from laconic.format.coding.fitting import fitted
from laconic.format.coding.levels import tallied
from laconic.format.coding.model import Model
from laconic.format.container import bits
from laconic.format.lossless import lossless

Axes = Mapping[int, Kept]
"""Axis → indices that stay, in their new order."""

_ENTRIES = 1 << 12
"""Values that differ, up to which a codebook of them is tried."""


def cut_all(codes: Mapping[str, Code], axes: Mapping[str, Axes]) -> dict[str, Code]:
    """Return the codes of what stays of each tensor; what several shared they share still.

    Args:
        codes: by name.
        axes: name → axis → indices; other tensors stay as they are.

    >>> from laconic.format.codes import DenseCode
    >>> codes = {"w": DenseCode.of(np.float32([[1, 2], [3, 4]]))}
    >>> cut_all(codes, {"w": {0: (1,), 1: (1, 0)}})["w"].decompress()
    array([[4., 3.]], dtype=float32)
    """
    firsts: dict[Hashable, str] = {}
    alike = {name: firsts.setdefault((id(code), *axes.get(name, {}).items()), name) for name, code in codes.items()}
    once = {name: codes[name] for name in firsts.values()}
    smaller = {name: cut(code, axes[name]) if name in axes else code for name, code in once.items()}
    smaller |= _grids(once, axes)
    return {name: smaller[first] for name, first in alike.items()}


def cut(code: Code, axes: Axes) -> Code:
    """Return the code of what stays of one tensor: the smallest of those that are known for it."""
    array = part_of(code.decompress(), axes)
    own = _cut(code, axes)
    return min([*([own] if own is not None else []), *told(array)], key=_bits)


def told(array: np.ndarray) -> Iterator[Code]:
    """Give codes of numbers by themselves, bit by bit: as they are, and by a codebook of those that occur."""
    yield lossless(array)
    if array.size and array.dtype.kind == "f" and not np.isnan(array).any():
        words = np.ascontiguousarray(array).reshape(-1).view(f"u{array.itemsize}")  # −0 is no 0
        entries, indices = np.unique(words, return_inverse=True)
        if len(entries) <= min(_ENTRIES, array.size // 2):
            book = Values(entries.view(array.dtype).copy())
            yield CodebookCode(array.shape, array.dtype.name, book, Symbols(indices.reshape(-1), len(entries)))


def part_of(array: np.ndarray, axes: Axes) -> np.ndarray:
    """Return what stays of an array."""
    for axis, kept in axes.items():
        array = np.take(array, np.asarray(kept, np.int64), axis)
    return np.ascontiguousarray(array)


def _shape(code: Code, axes: Axes) -> tuple[int, ...]:
    """Return the shape of what stays."""
    return tuple(len(axes[axis]) if axis in axes else size for axis, size in enumerate(code.shape))


def _places(code: Code, axes: Axes) -> np.ndarray:
    """Return the row-major places of what stays, shape (n,)."""
    return part_of(np.arange(code.size).reshape(code.shape), axes).reshape(-1)


@singledispatch
def _cut(code: Code, axes: Axes) -> Code | None:
    """Return the code of what stays, of the same kind, or None where there is none."""
    return None


@_cut.register
def _codebook(code: CodebookCode, axes: Axes) -> Code:
    return replace(code, shape=_shape(code, axes), indices=_taken(code.indices, _places(code, axes)))


def _taken(symbols: Symbols, places: np.ndarray) -> Symbols:
    """Return the symbols at places."""
    return Symbols(symbols.array[places], symbols.alphabet)


@_cut.register
def _sparse(code: SparseCode, axes: Axes) -> Code:
    return _scattered(code, code.mask.array.astype(bool), axes)


@_cut.register
def _tiles(code: TileSparseCode, axes: Axes) -> Code:
    return _scattered(code, code.kept(), axes)


def _scattered(code: SparseCode | TileSparseCode, kept: np.ndarray, axes: Axes) -> Code:
    """Return what stays of survivors: where all of them are left and nothing else, their own code."""
    places, shape = _places(code, axes), _shape(code, axes)
    numbers, mask = np.cumsum(kept) - 1, kept[places]
    order = numbers[places[mask]]
    flat = reshaped(code.values, (code.values.size,))
    same = len(order) == flat.size and bool((np.diff(order) == 1).all())
    if same and mask.all():
        return code.values if code.values.shape == shape else reshaped(flat, shape)
    values = flat if same else cut(flat, {0: tuple(order.tolist())})
    return SparseCode(shape, code.dtype, Symbols(mask.astype(np.uint8), 2), values)


def reshaped(code: Code, shape: tuple[int, ...]) -> Code:
    """Return a code of the same numbers in another shape."""
    if code.shape == shape:
        return code
    if isinstance(code, DenseCode | CodebookCode | SparseCode):
        return replace(code, shape=shape)
    if isinstance(code, GridCode) and code.mode == 0 and code.transform == "none" and len(code.step) == 1:
        return replace(code, shape=shape)
    return min(told(code.decompress().reshape(shape)), key=_bits)


def _bits(code: Code) -> int:
    """Return the bits of a file of one code."""
    return bits({"": code})


@_cut.register
def _low_rank(code: LowRankCode, axes: Axes) -> Code | None:
    rows, columns = matrix_shape(code.shape, code.view)
    places = part_of(np.arange(code.size).reshape(code.shape), axes)
    if set(axes) - {0, 1}:
        return None
    down = _matrix_axes(code.shape, code.view, axes.get(0), 0, rows)
    across = _matrix_axes(code.shape, code.view, axes.get(1), 1, columns)
    if code.rank > min(len(down), len(across)):
        return None
    shape = tuple(places.shape)
    left = cut(code.left, {0: down}) if 0 in axes else code.left
    right = cut(code.right, {1: across}) if 1 in axes else code.right
    return replace(code, shape=shape, left=left, right=right)


def _matrix_axes(shape: Sequence[int], view: str, kept: Kept | None, axis: int, size: int) -> Kept:
    """Return which rows, or columns, of the matrix stay: those of an output, or of an input, are beside each other."""
    if kept is None:
        return tuple(range(size))
    each = size // shape[axis] if VIEWS.index(view) or axis else 1
    return tuple(first * each + place for first in kept for place in range(each))


@_cut.register
def _tucker(code: TuckerCode, axes: Axes) -> Code | None:
    shape = _shape(code, axes)
    if set(axes) - {0, 1} or code.core.shape[0] > shape[0] or code.core.shape[1] > shape[1]:
        return None
    left = cut(code.left, {0: axes[0]}) if 0 in axes else code.left
    right = cut(code.right, {1: axes[1]}) if 1 in axes else code.right
    return replace(code, shape=shape, left=left, right=right)


@_cut.register
def _canonical(code: CanonicalCode, axes: Axes) -> Code:
    starts = np.cumsum([0, *code.shape])
    rows = [axes.get(axis, tuple(range(size))) for axis, size in enumerate(code.shape)]
    kept = tuple(int(starts[axis]) + index for axis, indices in enumerate(rows) for index in indices)
    return replace(code, shape=_shape(code, axes), factors=cut(code.factors, {0: kept}))


@_cut.register
def _sum(code: SumCode, axes: Axes) -> Code:
    return replace(code, shape=_shape(code, axes), terms=tuple(cut(term, axes) for term in code.terms))


def _grids(codes: Mapping[str, Code], axes: Mapping[str, Axes]) -> dict[str, Code]:
    """Return codes on grids of which something is cut, with those that share their tables: told anew by new tables.

    The integers stay. A trellis ties each to those before it, so that what is left is coded without one.
    """
    sharing: dict[int, list[str]] = {}
    for name, code in codes.items():
        if isinstance(code, GridCode):
            sharing.setdefault(id(code.model), []).append(name)
    found: dict[str, Code] = {}
    for names in sharing.values():
        if any(name in axes for name in names):
            found |= _recoded({n: c for n in names if isinstance(c := codes[n], GridCode)}, axes)
    return found


def _recoded(codes: Mapping[str, GridCode], axes: Mapping[str, Axes]) -> dict[str, Code]:
    """Return grid codes that share one model, cut; each is told by its values where that is shorter."""
    symbols, starts, levels, frames = list[np.ndarray](), list[int](), list[np.ndarray](), list[GridCode]()
    for name, code in codes.items():
        own = axes.get(name, {})
        starts.append(sum(map(len, symbols)))
        symbols.append(_symbols(code, own))
        levels.append(part_of(code.levels.reshape(code.shape), own).reshape(-1))
        frames.append(replace(code, shape=_shape(code, own), step=_steps(code, own)))
    before = next(iter(codes.values())).coder.model
    joined = np.concatenate(symbols)
    empty = Model(0, False, before.offsets, tuple((fitted(np.zeros(128, np.int64), odd=False),) for _ in before.tables))
    plain = Grid.of(0.0, empty, joined)
    counts = np.zeros((len(before.tables), 1, 128), np.int64)
    for frame, start, some in zip(frames, starts, levels, strict=True):
        laid = replace(frame, model=plain.model, scales=plain.scales, start=start)
        counts += tallied(some, laid.own_scales.each(), len(counts), trellis=False)
    model = replace(empty, tables=tuple((fitted(sizes[0], odd=False),) for sizes in counts))
    shared = Grid.of(0.0, model, joined)
    made: dict[str, Code] = {}
    for (name, _), frame, start, some in zip(codes.items(), frames, starts, levels, strict=True):
        made[name] = GridCode.of(
            frame.shape, frame.dtype, some, replace(shared, step=frame.step),
            transform=frame.transform, mode=frame.mode, start=start,
        )  # fmt: skip
    return made


def _symbols(code: GridCode, axes: Axes) -> np.ndarray:
    """Return the scale symbols of what stays: of rows, columns, positions, and of how much finer rows are."""
    lead = code.own_scales.symbols
    finer = code.scales.array[code.start + len(lead) :][: code.shape[0]] if code.mode & FINER else lead[:0]
    parts, shape = list[np.ndarray](), code.shape if len(code.shape) > 1 else (1, 1, *code.shape)
    sizes = (shape[0] if code.mode & ROWS else 1, shape[1] * bool(code.mode & COLUMNS))
    ends = np.cumsum([0, *sizes])
    for axis, has in enumerate((code.mode & ROWS, code.mode & COLUMNS)):
        some = lead[ends[axis] : ends[axis + 1]]
        parts.append(some[list(axes[axis])] if has and axis in axes and len(code.shape) > 1 else some)
    positions = lead[ends[-1] :]
    if code.mode & POSITIONS and set(axes) - ({0, 1} if len(code.shape) > 1 else set()):
        places = np.arange(len(positions)).reshape(shape[2:])
        first = len(shape) - len(code.shape)
        inner = {axis + first - 2: kept for axis, kept in axes.items() if axis + first > 1}
        positions = positions[part_of(places, inner).reshape(-1)]
    return np.concatenate([*parts, positions, finer[list(axes[0])] if 0 in axes and len(finer) else finer])


def _steps(code: GridCode, axes: Axes) -> Values:
    """Return the steps of what stays."""
    if len(code.step) == 1:
        return code.step
    steps = code.step.array.reshape(code.step_shape)
    own = {axis: kept for axis, kept in axes.items() if steps.shape[axis] > 1}
    return Values(part_of(steps, own).reshape(-1)) if own else code.step

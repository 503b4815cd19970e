"""Other points of a feasible set, made from a code by hand: they owe nothing to the solver that is under test."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from laconic import (
    AdaptiveCodebook,
    Compression,
    FixedAssignments,
    FixedCodebook,
    GroupPenalty,
    Joint,
    KeepGroups,
    KeepLargest,
    KeepNOfM,
    L0Penalty,
    L1Ball,
    L1Penalty,
    LearnedRank,
    LowRank,
    NuclearNorm,
    PricedPruning,
)
from laconic.csteps.groups import Groups
from laconic.csteps.joint import together
from laconic.format.codes import Code, DenseCode, SparseCode, Symbols, Values
from laconic.models.params import to_numpy

Codes = dict[str, Code]
Arrays = dict[str, np.ndarray]
TRIES = 4


def neighbours(compression: Compression, weights: Mapping[str, torch.Tensor], codes: Codes) -> Iterator[Codes]:
    """Yield feasible points near ``codes``, the same ones every time; none where no way is known to make them."""
    inner = compression.of if isinstance(compression, Joint) else compression
    rng = np.random.default_rng(0)
    for move in MOVES.get(type(inner), ()):
        for names in together(compression, weights):
            flat = {name: to_numpy(weights[name]).reshape(-1) for name in names}
            for _ in range(TRIES if names else 0):
                yield {**codes, **move(inner, flat, {name: codes[name] for name in names}, rng)}


# --- what the numbers and indices within the codes are moved to ------------------------------------------------------


def replaced(code: Code, change: Callable[[str, object], object]) -> Code:
    """The code with its streams changed, those of the codes within too."""
    parts = {n: replaced(p, change) if isinstance(p, Code) else change(n, p) for n, p in code.streams().items()}
    return type(code).from_streams(code.shape, code.dtype, code.facts(), parts)


def with_numbers_moved(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """One number of each stream is another: an entry, a scale, an element of a factor."""
    given = "codebook" if isinstance(inner, FixedCodebook) else None
    moved: dict[int, Values] = {}  # a stream that is shared stays shared

    def change(name: str, part: object) -> object:
        if not isinstance(part, Values) or name == given or not len(part):
            return part
        if id(part) not in moved:
            array = part.array.astype(np.float64)
            at = rng.integers(len(array))
            array[at] += rng.choice([-0.2, -0.01, 0.01, 0.2]) * (abs(array[at]) + abs(array).mean())
            moved[id(part)] = Values(array.astype(part.array.dtype))
        return moved[id(part)]

    return {name: replaced(code, change) for name, code in codes.items()}


def with_indices_drawn(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """A few weights take any entry of the codebook."""

    def change(name: str, part: object) -> object:
        if not isinstance(part, Symbols) or not len(part):
            return part
        array = part.array.copy()
        at = rng.integers(len(array), size=rng.integers(1, 4))
        array[at] = rng.integers(part.alphabet, size=len(at))
        return Symbols(array, part.alphabet)

    return {name: replaced(code, change) for name, code in codes.items()}


# --- which weights are kept ------------------------------------------------------------------------------------------


def arrays_of(codes: Codes) -> Arrays:
    return {name: code.decompress().reshape(-1) for name, code in codes.items()}


def coded(arrays: Arrays, codes: Codes) -> Codes:
    return {name: DenseCode.of(array.reshape(codes[name].shape)) for name, array in arrays.items()}


def one_of(places: np.ndarray, rng: np.random.Generator) -> list[int]:
    """A random one of the places where an array is true, or none."""
    found = np.flatnonzero(places)
    return [int(rng.choice(found))] if len(found) else []


def swapped(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """A weight that is kept is pruned, and another one, of any of the tensors, is kept for it."""
    arrays = arrays_of(codes)
    loser, winner = (str(rng.choice(list(arrays))) for _ in range(2))
    out, into = one_of(arrays[loser] != 0, rng), one_of(arrays[winner] == 0, rng)
    if out and into:
        arrays[loser][out] = 0
        arrays[winner][into] = flat[winner][into]
    return coded(arrays, codes)


def flipped(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """A weight that is pruned is kept, or one that is kept is pruned."""
    arrays = arrays_of(codes)
    name = str(rng.choice(list(arrays)))
    for at in one_of(np.ones(len(flat[name]), bool), rng):
        arrays[name][at] = 0 if arrays[name][at] else flat[name][at]
    if not isinstance(inner, PricedPruning):
        return coded(arrays, codes)
    masks = {name: Symbols((array != 0).view(np.uint8), 2) for name, array in arrays.items()}
    return {
        name: SparseCode(code.shape, code.dtype, masks[name], DenseCode.of(arrays[name][masks[name].array == 1]))
        for name, code in codes.items()
    }


def tiles(groups: Groups, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The number of the group of each weight."""
    matrix = np.arange(int(np.prod(shape))).reshape(shape[0] if shape else 1, -1)
    rows, columns = groups.tile(name, shape)
    row, column = np.divmod(matrix.reshape(-1), max(1, matrix.shape[1]))
    return row // rows * -(-matrix.shape[1] // columns) + column // columns


def with_groups_swapped(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """A group that is kept is pruned, and another one of the same tensor is kept for it."""
    arrays = arrays_of(codes)
    name = str(rng.choice([n for n in arrays if arrays[n].size] or list(arrays)))
    if arrays[name].size:
        group = tiles(inner.groups, name, codes[name].shape)
        kept = np.isin(np.arange(group.max() + 1), group[arrays[name] != 0])
        out, into = one_of(kept, rng), one_of(~kept, rng)
        if out and into:
            arrays[name][group == out[0]] = 0
            arrays[name][group == into[0]] = flat[name][group == into[0]]
    return coded(arrays, codes)


def with_a_group_moved(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """A group of weights is zero, or a little more or less than it was, or as it was before compression."""
    arrays = arrays_of(codes)
    for name in arrays:
        if arrays[name].size:
            group = tiles(inner.groups, name, codes[name].shape)
            one = group == rng.integers(group.max() + 1)
            arrays[name][one] = (
                rng.choice([0, 0.9, 1.1]) * arrays[name][one] if arrays[name][one].any() else flat[name][one]
            )
    return coded(arrays, codes)


def with_places_swapped(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """In one run of m weights of a row one that is kept is pruned, and another one is kept for it."""
    arrays = arrays_of(codes)
    name = str(rng.choice(list(arrays)))
    if arrays[name].size:
        rows = codes[name].shape[0] if codes[name].shape else 1
        width = arrays[name].size // rows
        row, first = rng.integers(rows) * width, rng.integers(-(-width // inner.m)) * inner.m
        run = slice(row + first, row + min(first + inner.m, width))
        out, into = one_of(arrays[name][run] != 0, rng), one_of(arrays[name][run] == 0, rng)
        if out and into:
            arrays[name][run][out] = 0
            arrays[name][run][into] = flat[name][run][into]
    return coded(arrays, codes)


# --- how large they are ----------------------------------------------------------------------------------------------


def with_sizes_moved(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """One weight is anything between nothing and what it was before compression."""
    arrays = arrays_of(codes)
    for name, array in arrays.items():
        for at in one_of(np.ones(len(array), bool), rng):
            array[at] = rng.choice([0, 0.5, 0.9, 1]) * flat[name][at]
    return coded(arrays, codes)


def within_the_ball(inner: Compression, flat: Arrays, codes: Codes, rng: np.random.Generator) -> Codes:
    """One weight is as it was before compression, and all are scaled to the sum that they had."""
    before = sum(float(np.abs(array.astype(np.float64)).sum()) for array in arrays_of(codes).values())
    moved = {name: array.astype(np.float64) for name, array in arrays_of(codes).items()}
    name = str(rng.choice(list(moved)))
    at = one_of(np.ones(len(flat[name]), bool), rng)
    moved[name][at] = flat[name][at].astype(np.float64)
    after = sum(float(np.abs(array).sum()) for array in moved.values())
    factor = min(1.0, before / after) if after else 1.0
    return coded({n: (factor * array).astype(flat[n].dtype) for n, array in moved.items()}, codes)


MOVES = {
    AdaptiveCodebook: (with_numbers_moved, with_indices_drawn),
    FixedCodebook: (with_numbers_moved, with_indices_drawn),
    FixedAssignments: (with_numbers_moved,),
    KeepLargest: (swapped,),
    L0Penalty: (flipped,),
    PricedPruning: (flipped,),
    KeepGroups: (with_groups_swapped,),
    KeepNOfM: (with_places_swapped,),
    GroupPenalty: (with_a_group_moved,),
    L1Penalty: (with_sizes_moved,),
    L1Ball: (within_the_ball,),
    LowRank: (with_numbers_moved,),
    LearnedRank: (with_numbers_moved,),
    NuclearNorm: (with_numbers_moved,),
}

"""A budget for a network whose tensors have several names: each is quantized, coded and counted once."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from laconic.format import container
from laconic.format.codes import Code, DenseCode
from laconic.format.codes.sharing import SMALL
from laconic.format.coding import varint
from laconic.format.container.table import pack_name
from laconic.format.lossless import lossless
from laconic.quantize.budget.apart import NOTHING, Apart
from laconic.quantize.budget.budget import Budget, Fitted, Tools
from laconic.quantize.budget.search import Watch, fit
from laconic.quantize.budget.survey import survey

_ROOM = "\0"  # the key of metadata that keep room for the further names meanwhile; no text begins with it


def fit_named(
    tensors: Mapping[str, np.ndarray],
    names: Mapping[str, str],
    budget: Budget,
    tools: Tools,
    metadata: Mapping[str, str],
    watch: Watch | None = None,
    *,
    reference_bytes: int | None = None,
    threads: int | None = None,
    apart: Apart = NOTHING,
    importances: Mapping[str, np.ndarray] | None = None,
) -> Fitted:
    """Return what `fit` does, under all names: further ones take their records in the table, which are counted.

    Args:
        tensors: each once, under one of its names.
        names: every name, in the order of the file, with the one of its tensor in ``tensors``.
        budget: what is asked.
        tools: what the codec may use.
        metadata: text that the file will have.
        watch: told of every pass.
        reference_bytes: of the uncompressed file, for a ratio.
        threads: tensors that are worked on at a time.
        apart: what the budget counts and does not choose.
        importances: h by name, as `fit`.

    Raises:
        PlanError: as `fit`.
        WeightsError: as `fit`.
    """
    further = {name: first for name, first in names.items() if name != first}
    kept = {**metadata, _ROOM: "-" * max(_room(tensors, names, apart) - 3, 0)} if further else metadata
    fitted = fit(
        tensors, budget, tools, kept, watch,
        reference_bytes=reference_bytes, threads=threads, apart=apart, importances=importances,
    )  # fmt: skip
    if list(names) == list(fitted.codes):
        return fitted
    codes = {name: fitted.codes[first] for name, first in names.items()}
    return replace(fitted, codes=codes, file_bytes=container.bits(codes, metadata) // 8)


def _room(tensors: Mapping[str, np.ndarray], names: Mapping[str, str], apart: Apart) -> int:
    """Return the bytes that the further names and their records take in the table: at most, and hardly less."""
    shapes = {name: tensors[name].shape for name in tensors}
    further = [first for name, first in names.items() if name != first]
    start, stream = len(varint(sum(map(_places, shapes.values())))), len(varint(4 * len(shapes) + 4))
    records = {}
    for first in dict.fromkeys(further):
        code = apart.codes.get(first) or lossless(tensors[first])
        plain = isinstance(code, DenseCode)  # dense, then, or a grid
        split = plain and survey(first, tensors[first], apart.role(first)).outliers
        records[first] = _record(shapes[first], start, stream) if plain else _nested(code, stream)
        records[first] += _split(shapes[first], stream) if split else 0
    return _names(names) - _names(tensors) + sum(records[first] for first in further)


def _nested(code: Code, stream: int) -> int:
    """Return the bytes of the record of any code whose streams have numbers of so many bytes."""
    parts, shape = code.streams().values(), code.shape
    numbers = [len(shape), *shape, len(code.facts()), *code.facts()]
    inner = (1 + _nested(part, stream) if isinstance(part, Code) else stream for part in parts)
    return 2 + sum(len(varint(number)) for number in numbers) + sum(inner)


def _places(shape: tuple[int, ...]) -> int:
    """Return how much of a shared stream a tensor has at most: its elements where it is small, or symbols of scale."""
    size = math.prod(shape)
    return max(size if size <= SMALL else 0, sum(shape[:2]) + math.prod(shape[2:]))


def _names(names: Mapping[str, object]) -> int:
    """Return the bytes of names, one after the other."""
    ordered = [name.encode() for name in names]
    return sum(len(pack_name(name, before)) for before, name in zip([b"", *ordered], ordered, strict=False))


def _split(shape: tuple[int, ...], stream: int) -> int:
    """Return what a record takes that is one of a sum, of a grid and of outliers, beside that of the grid."""
    return 18 + 2 * (1 + sum(len(varint(size)) for size in shape)) + 3 * stream


def _record(shape: tuple[int, ...], start: int, stream: int) -> int:
    """Return the bytes of a record, of a grid where there are axes enough, with those of a place and of a number."""
    head = 3 + sum(len(varint(size)) for size in shape) + 1 + start
    return head + (2 + 4 * stream if len(shape) >= 2 else stream)

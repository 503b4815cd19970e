"""Tensors as flat arrays in groups: what the quantizations share."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch

from laconic.errors import PlanError
from laconic.models.params import Params, require_finite, to_numpy
from laconic.quantize.clustering.priced import Member
from laconic.theory.metric import Metrics, diagonal_of


def flat(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Return the weights as float32 or float64, shape (n,).

    Raises:
        WeightsError: for what is not floating-point and finite.
    """
    require_finite(name, tensor)
    array = to_numpy(tensor).reshape(-1)
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def importances(weights: Params, metrics: Metrics) -> np.ndarray | None:
    """Return h of all tensors, one after the other, or None when all of it is 1.

    Raises:
        UnsupportedMetric: for a metric that is neither unit nor diagonal.
    """
    given = {name: diagonal_of(metrics, name, tensor) for name, tensor in weights.items()}
    if all(h is None for h in given.values()):
        return None
    parts = [torch.ones_like(weights[name]) if h is None else h for name, h in given.items()]
    dtype = torch.float64 if any(h.dtype == torch.float64 for h in parts) else torch.float32
    return np.concatenate([to_numpy(h.to(dtype)).reshape(-1) for h in parts])


def members_of(arrays: Mapping[str, np.ndarray], weights: Params, metrics: Metrics) -> dict[str, Member]:
    """Return the values and importances of each tensor; importances that are all zero say nothing."""
    heavy = {name: importances({name: weights[name]}, metrics) for name in weights}
    silent = not any(h is None or h.any() for h in heavy.values())
    return {name: Member(array, None if silent else heavy[name]) for name, array in arrays.items()}


def widest(dtypes: Iterable[str]) -> str:
    """Return the dtype that holds what each of ``dtypes`` does: the only one, or float32 or float64.

    >>> widest(["float16", "bfloat16"])
    'float32'
    """
    kinds = set(dtypes)
    return next(iter(kinds)) if len(kinds) == 1 else "float64" if "float64" in kinds else "float32"


def require_groups(rows: bool, group: int, block: int = 0) -> None:
    """Raise `PlanError` for what no tensor can be cut into."""
    for name, length in (("group", group), ("block", block)):
        if length < 0:
            raise PlanError(f"{name} is a number of consecutive weights, 1 or more, or 0 for no groups, not {length}")
    if rows + (group > 0) + (block > 0) > 1:
        raise PlanError(f"give one of rows, group and block, not rows = {rows}, group = {group}, block = {block}")


def group_length(shape: tuple[int, ...], rows: bool, group: int, block: int = 0) -> int:
    """Return how many consecutive weights are a group, fewer than there are, or 0 where all are one.

    A block that does not divide the rows of a tensor is a row.

    >>> group_length((4, 3, 2), True, 0), group_length((4, 3), False, 5), group_length((4,), True, 0)
    (6, 5, 0)
    >>> group_length((4, 6), False, 0, 3), group_length((4, 6), False, 0, 4)
    (3, 6)
    """
    size = math.prod(shape)
    row = size // shape[0] if len(shape) > 1 and shape[0] else 0
    if block:
        length = block if row and row % block == 0 else row
    else:
        length = row if rows else group
    return length if length < size else 0

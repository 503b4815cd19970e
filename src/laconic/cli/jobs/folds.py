"""A file with batch normalization folded into layers, beside its checkpoint: the checkpoint is folded alike.

Folding gives the weights of a layer other scales and changes no output: against a checkpoint as it is, what it does
would look like errors of compression.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from laconic.errors import DataError, listed
from laconic.format import container
from laconic.models.folding import foldable, folded
from laconic.models.params import Params, beside, to_numpy
from laconic.training.task import Task, mode

_VARIANCE = "running_var"


def folded_norms(params: Params, file: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the normalizations whose variances are one constant in ``file``, and others in ``params``.

    Those with a scale that is not 1 are none of them: their statistics are in scale and shift, and no layer has changed
    (`laconic.models.absorption`).
    """
    norms = set[str]()
    for name in params:
        norm, _, kind = name.rpartition(".")
        if kind == _VARIANCE and name in file:
            variances = np.asarray(file[name])
            scale = np.asarray(file.get(name.removesuffix(_VARIANCE) + "weight", 1.0))
            constant = variances.size and (variances == variances[0]).all() and (scale == 1).all()
            if constant and (variances != to_numpy(params[name])).any():
                norms.add(norm)
    return frozenset(norms)


def folded_in(params: Params, files: Iterable[Path], limit: int | None) -> frozenset[str]:
    """Return what `folded_norms` does, for files that are alike in this.

    Raises:
        DataError: for files that are not.
    """
    found = dict[frozenset[str], Path]()
    for path in files:
        with container.open(path, limit) as file:
            found.setdefault(folded_norms(params, file), path)
    if len(found) > 1:
        names = " and ".join(map(str, found.values()))
        raise DataError(f"{names} differ in which batch normalizations are folded into layers: measure them apart")
    return next(iter(found), frozenset())


def require_subject(norms: Iterable[str]) -> None:
    """Raise `DataError` for folded normalizations where no network says which layers they are folded into."""
    if norms:
        raise DataError(
            f"in the file batch normalization is folded into layers ({listed(sorted(norms))}), whose weights have "
            "other scales for it: give --net and --data, or --task, that the checkpoint is folded alike"
        )


def folded_alike(task: Task, params: Params, norms: Iterable[str]) -> Params:
    """Return the weights with these normalizations folded, told from one training batch.

    Args:
        task: its module says which layers come before them.
        params: by the names of the module.
        norms: names of normalizations; of those that cannot be folded none is.
    """
    if not norms:
        return params
    batch = next(iter(task.batches("train", 0)))
    with mode(task.module, training=False):
        found = foldable(task.module, beside(task.module, params), lambda given: task.outputs(given, batch))
    return folded(task.module, params, {norm: layer for norm, layer in found.pairs.items() if norm in norms})

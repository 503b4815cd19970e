"""The samples that an importance is a mean over: a split read in pieces, and the weights that it is asked of."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError, PlanError
from laconic.models.params import Params, is_float
from laconic.models.params import once as params_once
from laconic.training.batches import Batch, rows_of, size_of
from laconic.training.task import Task

Watch = Callable[[int, int], None]
"""(samples done, samples in all) → nothing; called after each piece."""


def leaves_of(task: Task, params: Params) -> dict[str, Tensor]:
    """Return the floating-point parameters in ``params``, detached, without the buffers.

    A parameter that the module has in several places is one leaf, under the first name that ``params`` has for it, and
    its importance is that of moving it in all of its places at once.
    """
    own = dict(task.module.named_parameters(remove_duplicate=False))
    return {name: t.detach() for name, t in params.items() if name in own and is_float(t)}


def once(task: Task, params: Params) -> Params:
    """Return ``params`` without the further names of a tensor that is given for several tied parameters."""
    return {name: params[name] for name in params_once(task.module, params).values()}


def wide(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def first_rows(task: Task, count: int) -> Batch:
    """Return the first ``count`` training samples, or as many as the first batch has.

    Raises:
        DataError: when there are none.
    """
    for batch in task.batches("train", 0):
        interrupts.check()
        if size_of(batch):
            first: Batch = rows_of(batch, 0, count)
            return first
    raise DataError("the split 'train' has no samples to take the importance from")


def read(task: Task, rows: int, samples: int | None = None, watch: Watch | None = None) -> Iterator[Batch]:
    """Yield the training samples of seed 0 in pieces of at most ``rows``.

    Args:
        task: its split "train" is read; the order of seed 0 is random, so that the first samples are a fair draw.
        rows: samples in a piece.
        samples: stop after so many; all unless told.
        watch: told of the progress; to know the end, it has the split counted first.

    Raises:
        PlanError: when ``samples`` is not positive.
        DataError: when there are no samples.
    """
    if samples is not None and samples < 1:
        raise PlanError(f"samples must be at least 1, not {samples}; leave it out for the whole split")
    total, done = 0, 0
    if watch is not None:
        total = sum(size_of(batch) for batch in task.batches("train", 0))
        total = total if samples is None else min(total, samples)
    for batch in task.batches("train", 0):
        interrupts.check()
        size = size_of(batch) if samples is None else min(size_of(batch), samples - done)
        for start in range(0, size, rows):
            stop = min(start + rows, size)
            yield rows_of(batch, start, stop)
            done += stop - start
            if watch is not None:
                watch(done, total)
        if samples is not None and done >= samples:
            break
    if not done:
        raise DataError("the split 'train' has no samples to take the importance from")


def outputs_of(task: Task, params: Params, batch: Batch) -> Tensor:
    """Return the outputs, which must have a row for each sample.

    Raises:
        DataError: when they have not: no gradient belongs to one sample then.
    """
    outputs = task.outputs(params, batch)
    if not isinstance(outputs, Tensor):
        raise DataError(
            f"an importance needs outputs that are one tensor, not a {type(outputs).__name__}; "
            "give the task a forward that returns one"
        )
    if outputs.ndim == 0 or len(outputs) != size_of(batch):
        raise DataError(
            f"an importance needs a row of outputs for each of the {size_of(batch)} samples, "
            f"but the module's outputs have shape {tuple(outputs.shape)}"
        )
    return outputs

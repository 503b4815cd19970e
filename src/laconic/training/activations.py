"""What neurons do on data: the share of zeros in their outputs, a score for structured pruning."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.channels.atoms import Slot
from laconic.models.channels.trace import traced
from laconic.models.params import Params, first_names
from laconic.training.batches import Batch, size_of
from laconic.training.task import Task, mode

LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def share_of_zeros(
    task: Task,
    params: Params,
    split: str,
    layers: Sequence[str] | None = None,
    activation: Callable[[Tensor], Tensor] = torch.relu,
) -> dict[str, Tensor]:
    """Return the average percentage of zeros (APoZ), as a share, of every neuron or filter of some layers.

    It is the number of outputs that the activation makes exactly 0, over the samples of a split and over all places
    of a map, divided by their number. Neurons that are often silent matter little: with ``score = 1 - share`` by the
    name of the layer's weight, `laconic.csteps.KeepGroups` keeps those that speak.

    Args:
        task: with the module, run in evaluation mode, and the batches.
        params: its weights.
        split: of the data; "train" takes the batches of seed 0.
        layers: names of modules; all linear and convolutional ones without. Where normalisation stands between a
            layer and its activation, name the normalisation.
        activation: what follows the layers.

    Returns:
        By name of the module, float64 of shape (neurons,).

    Raises:
        DataError: when the split has no batches, or a layer is none of the module's or does not run.

    Source: Hu, Peng, Tai & Tang, "Network trimming" (arXiv 1607.03250, 2016), equation 1.
    """
    modules = dict(task.module.named_modules())
    names = [name for name, module in modules.items() if isinstance(module, LAYERS)] if layers is None else layers
    zeros = dict.fromkeys(names, torch.zeros((), dtype=torch.float64))
    counts = dict.fromkeys(names, 0)
    if strange := [name for name in names if name not in modules]:
        raise DataError(f"the network has no layer {', '.join(strange)}; it has {', '.join(filter(None, modules))}")

    def count(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        axis = 1 if output.ndim > 1 and not isinstance(module, nn.Linear) else output.ndim - 1
        silent = (activation(output.detach()) == 0).movedim(axis, 0).flatten(1)
        zeros[name] = zeros[name] + silent.double().sum(1)
        counts[name] += silent.shape[1]

    hooks = [modules[name].register_forward_hook(partial(count, name)) for name in names]
    try:
        with torch.no_grad(), mode(task.module, training=False):
            for batch in task.batches(split, 0):
                interrupts.check()
                task.outputs(params, batch)
    finally:
        for hook in hooks:
            hook.remove()
    if idle := [name for name in names if not counts[name]]:
        raise DataError(f"{', '.join(idle)}: no outputs; the layer does not run, or split {split!r} has no samples")
    return {name: zeros[name] / counts[name] for name in names}


SAMPLES = 2560
"""Training samples on which activity is counted: more do not change which units are the least active."""


def activity(
    task: Task, params: Params, axes: Iterable[tuple[str, int]], split: str = "train", samples: int = SAMPLES
) -> dict[tuple[str, int], Tensor]:
    """Return how often units are not zero, counted where they are read.

        a_c = #{(sample, place) : x_c ≠ 0} / #{(sample, place)}      x_c what a layer reads of channel c

    So activation, normalization and pooling behind a layer are in it, whatever they are: 1 − APoZ of a layer before a
    ReLU. A filter that several layers read, or several columns of one, has the mean over these; what no linear or
    convolutional layer reads, such as outputs, is counted where it is written.

    Args:
        task: with the module, run in evaluation mode, and the batches.
        params: its weights.
        axes: names of weights, with 0 for what they write, filters or neurons, and 1 for what they read.
        split: of the data; "train" takes the batches of seed 0.
        samples: that are looked at, whole batches.

    Returns:
        By (name, axis), float64 of shape (units,).

    Raises:
        DataError: when the split has no samples, or a weight is of no linear or convolutional layer that runs.

    Source: Hu, Peng, Tai & Tang, "Network trimming" (arXiv 1607.03250, 2016), equation 1.
    """
    first, wanted = first_names(task.module), list(dict.fromkeys(axes))
    layers = {
        first[f"{path}.weight".lstrip(".")]: module
        for path, module in task.module.named_modules()
        if isinstance(module, LAYERS)
    }
    counted, (inputs, named) = _counted(task, params, layers, split, samples)
    found = {(name, 1): counted[first[name], 1] for name, axis in wanted if axis == 1 and (first[name], 1) in counted}
    written = [name for name, axis in wanted if axis == 0 and (first[name], 0) in counted]
    sets = traced(task.module, inputs, named).sets.values() if written else ()
    of = {slot: slots for slots in sets for slot in slots if slot.axis == 0}
    for name in written:
        own = counted[first[name], 0]
        units = [of.get(Slot(first[name], 0, at), ()) for at in range(len(own))]
        reads = [[counted[s.name, 1][s.at] for s in slots if s.axis == 1 and (s.name, 1) in counted] for slots in units]
        found[name, 0] = torch.stack([torch.stack(r).mean() if r else o for r, o in zip(reads, own, strict=True)])
    if strange := sorted({name for name, axis in wanted if (name, axis) not in found}):
        raise DataError(
            f"{', '.join(strange)}: no weight of a linear or convolutional layer that runs on the {split} split, so "
            "that nobody can say how often its units are not 0; rank them by l1 or l2"
        )
    return found


def _counted(
    task: Task, params: Params, layers: Mapping[str, nn.Module], split: str, samples: int
) -> tuple[dict[tuple[str, int], Tensor], tuple[Any, Any]]:
    """Return by weight how often what its layer writes (0) and reads (1) is not 0, and what the module is called with.

    A convolution in groups has as many columns as a group, and is left out as a reader.
    """
    active: dict[tuple[str, int], Tensor] = {}
    counts: dict[tuple[str, int], int] = {}
    seen: list[tuple[Any, Any]] = []

    def add(key: tuple[str, int], module: nn.Module, tensor: Tensor) -> None:
        channels = tensor.detach().movedim(-1 if isinstance(module, nn.Linear) else 1, 0).flatten(1)
        active[key] = active.get(key, torch.zeros(len(channels), dtype=torch.float64)) + (channels != 0).sum(1).cpu()
        counts[key] = counts.get(key, 0) + channels.shape[1]

    def count(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        add((name, 0), module, output)
        if getattr(module, "groups", 1) == 1:
            add((name, 1), module, inputs[0])

    def see(module: nn.Module, inputs: Any, named: Any) -> None:
        seen[:] = [(inputs, named)]

    handles = [layer.register_forward_hook(partial(count, name)) for name, layer in layers.items()]
    try:
        with torch.no_grad(), mode(task.module, training=False):
            looked = 0
            for batch in task.batches(split, 0):
                interrupts.check()
                task.outputs(params, batch)
                looked += size_of(batch)
                few = batch
                if looked >= samples:
                    break
            if not looked:
                raise DataError(f"split {split!r} has no samples: activity has nothing to be counted on")
            shares = {key: total / counts[key] for key, total in active.items()}
            handles.append(task.module.register_forward_pre_hook(see, with_kwargs=True))
            task.outputs(params, _some(few))
    finally:
        for handle in handles:
            handle.remove()
    return shares, seen[0]


def _some(batch: Batch) -> Batch:
    """Return two samples of a batch, where it is one of tensors."""
    whole = isinstance(batch, tuple | list) and all(isinstance(part, Tensor) and part.ndim for part in batch)
    return type(batch)(part[:2] for part in batch) if whole else batch

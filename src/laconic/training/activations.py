"""What neurons do on data: the share of zeros in their outputs, a score for structured pruning."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.params import Params
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

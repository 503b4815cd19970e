"""What neurons do on data: the share of zeros in their outputs, a score for structured pruning."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.params import Params
from laconic.task import Task, mode


def share_of_zeros(
    task: Task, params: Params, split: str, kinds: tuple[type[nn.Module], ...] = (nn.ReLU,)
) -> dict[str, Tensor]:
    """Return the average percentage of zeros (APoZ), as a share, of every neuron or channel behind an activation.

    It is the number of outputs of a neuron that are exactly 0, over the samples of a split and over all positions of
    a map, divided by their number. Neurons that are often silent matter little: ``1 - share`` is what
    `laconic.csteps.KeepGroups` takes as scores.

    Args:
        task: with the module, run in evaluation mode, and the batches.
        params: its weights.
        split: of the data; "train" takes the batches of seed 0.
        kinds: the modules whose outputs are counted.

    Returns:
        By name of the module, float64 of shape (channels,), dimension 1 of its outputs.

    Raises:
        DataError: when the split has no batches, or no module of these kinds runs.

    Source: Hu, Peng, Tai & Tang, "Network trimming" (arXiv 1607.03250, 2016), equation 1.
    """
    zeros: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def count(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        channels = output.detach().reshape(len(output), output.shape[1] if output.ndim > 1 else 1, -1)
        zeros[name] = zeros.get(name, 0) + (channels == 0).double().sum((0, 2))
        counts[name] = counts.get(name, 0) + channels.shape[0] * channels.shape[2]

    named = [(name, module) for name, module in task.module.named_modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(partial(count, name)) for name, module in named]
    try:
        with torch.no_grad(), mode(task.module, training=False):
            for batch in task.batches(split, 0):
                task.outputs(params, batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not counts:
        wanted = ", ".join(kind.__name__ for kind in kinds)
        raise DataError(f"split {split!r} has no samples, or the network runs no module of the kinds {wanted}")
    return {name: total / counts[name] for name, total in zeros.items()}

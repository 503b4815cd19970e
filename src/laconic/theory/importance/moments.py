"""Second moments of what layers read, Σ_X: the one place where they are computed."""

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laconic.models.params import Params
from laconic.theory.importance.layers import Call, patches, run
from laconic.theory.importance.reading import Watch, leaves_of, once, read, wide
from laconic.training.batches import size_of
from laconic.training.task import Task, mode

_ROWS = 64
"""Samples of one piece."""


def input_moments(
    task: Task, params: Params, *, samples: int | None = None, watch: Watch | None = None
) -> dict[str, Tensor]:
    """Return `A = E_x[Σ_p x_p x_pᵀ]` of every linear layer and every 2-d convolution, by the name of its weight.

    x_p is what the layer multiplies its weight with at position p of one sample: a row of its input, or a patch in
    the order of the weight's axes (channel, row, column). Positions are summed, not averaged, as the errors of what
    the layer writes add up. No constant 1 for the bias. A layer that is called twice, or two that share one weight,
    have the positions of both. Grouped convolutions are left out: each group reads inputs of its own.

    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> input_moments(task, params_of(module))["weight"]
    tensor([[5., 1.],
            [1., 2.]])

    Args:
        task: module, in evaluation mode meanwhile, and training samples.
        params: weights of the network.
        samples: how many training samples; all unless told.
        watch: told of the progress.

    Raises:
        PlanError: when ``samples`` is not positive.
        DataError: when there are no samples.
    """
    params = once(task, params)
    gathered = Gathered()
    with mode(task.module, training=False), torch.no_grad():
        for batch in read(task, _ROWS, samples, watch):
            _, calls = run(task, params, batch)
            gathered.samples += size_of(batch)
            for call, name in plain(calls, leaves_of(task, params)):
                gathered.add(name, call)
    return {name: gathered.moment(name) for name in gathered.sums}


def plain(calls: list[Call], leaves: Params) -> Iterator[tuple[Call, str]]:
    """Yield the calls of linear layers and of convolutions in one group, with the names of their weights."""
    for call in calls:
        grouped = isinstance(call.layer, nn.Conv2d) and call.layer.groups > 1
        if call.weight in leaves and not grouped and not isinstance(call.layer, _BatchNorm):
            assert call.weight is not None
            yield call, call.weight


@final
class Gathered:
    """Sums of x xᵀ over samples and positions, as they are gathered."""

    def __init__(self) -> None:
        self.samples = 0
        self.sums: dict[str, Tensor] = {}
        self.rows: dict[str, int] = {}

    def add(self, name: str, call: Call) -> None:
        """Add what one call read."""
        columns = _columns(call)
        product = columns @ columns.T
        self.sums[name] = self.sums[name] + product if name in self.sums else product
        self.rows[name] = self.rows.get(name, 0) + columns.shape[1]

    def moment(self, name: str) -> Tensor:
        """Return the mean over the samples, exactly symmetric."""
        mean = self.sums[name] / self.samples
        return (mean + mean.T) / 2

    def positions(self, name: str) -> float:
        """Return at how many positions one sample meets the weight."""
        return self.rows[name] / self.samples


def _columns(call: Call) -> Tensor:
    """Return every x_p of every sample, shape (columns of the weight, samples · positions)."""
    if isinstance(call.layer, nn.Conv2d):
        return patches(call).squeeze(1).transpose(0, 1).flatten(1)
    return wide(call.read).reshape(-1, call.read.shape[-1]).T

"""Batch normalization before training within a budget: folded into the layer before it, and constant from then on.

What a normalization has beside its bias (scale, mean, variance) is stored as it is, 12 bytes a channel: 8 kB of
ResNet-20, which the weights do not get. Folded (`laconic.models.folding`) all of it is constant and takes next to
nothing; training moves the layer's weight and the normalization's bias, and these are integers on the grid.

The statistics stay what they were: with those of each batch in their place the layer's scale would be lost again.
"""

from collections.abc import Collection
from dataclasses import replace

from torch.nn.modules.batchnorm import _BatchNorm

from laconic.errors import DataError
from laconic.models.folding import Folding, foldable, folded
from laconic.models.params import Params, beside, typed_as
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.training.loop import seeded
from laconic.training.task import Task

_SETTLED = "has a row of the plan or an importance of its own, or its layer has"
_NO_BIAS = "has no bias, nor has its layer: what it subtracts would not be trained"


def with_constant_norms(
    network: Untied, task: Task, plan: Plan, weighed: Collection[str] = ()
) -> tuple[Untied, Task, Folding]:
    """Return the network with its batch normalizations folded, the task that trains it so, and which these are.

    Args:
        network: each tensor once; it stays as it is.
        task: whose module it is; one batch of its training split says what can be folded.
        plan: a normalization that has a row, or whose layer has, is left alone.
        weighed: names of tensors with a metric, which is one of the weights as they are: likewise.

    Returns:
        the network, in the types of the module; the task with its `Task.folded`; and, beside the pairs, each other
        normalization and why it is trained as it is. Where nothing is folded network and task are what was given.

    Raises:
        PlanError: when the plan does not fit.
        WeightsError: when a tensor is missing, not finite or of another shape than the module has it.
    """
    norms = {name: part for name, part in task.module.named_modules() if isinstance(part, _BatchNorm)}
    if not norms:
        return network, task, Folding({}, {})
    params, batch = typed_as(task.module, network.params), next(iter(task.batches("train", 0)))

    def outputs(given: Params) -> object:
        with seeded(0):  # some networks draw in evaluation mode, too
            return task.outputs(beside(task.module, given), batch)

    try:
        found = foldable(task.module, params, outputs)
    except DataError as error:  # it may be trained nevertheless
        return network, task, Folding({}, dict.fromkeys(norms, str(error)))
    left = {**found.left, **_left_alone(found, task, _owners(network, plan, weighed))}
    pairs = {norm: layer for norm, layer in found.pairs.items() if norm not in left}
    if not pairs:
        return network, task, Folding({}, left)
    one = replace(network, params=folded(task.module, params, pairs))
    return one, replace(task, folded=pairs), replace(found, pairs=pairs, left=left)


def _owners(network: Untied, plan: Plan, weighed: Collection[str]) -> set[str]:
    """Return the names of the parts that have a tensor on a row of the plan, or with a metric."""
    rows = plan.resolve(network.params, network.names)[: len(plan.tensors)]
    settled = {name for row in rows for name in row.names}
    settled |= {network.names.get(name, name) for name in weighed}
    return {name.rpartition(".")[0] for name, first in network.names.items() if first in settled}


def _left_alone(found: Folding, task: Task, owners: Collection[str]) -> dict[str, str]:
    """Return the normalizations that could be folded and are not, and why."""
    left = dict[str, str]()
    for norm, layer in found.pairs.items():
        if norm in owners or layer in owners:
            left[norm] = _SETTLED
        elif all(task.module.get_submodule(name).bias is None for name in (norm, layer)):
            left[norm] = _NO_BIAS
    return left

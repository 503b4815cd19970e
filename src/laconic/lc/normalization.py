"""Batch normalization before training within a budget: its statistics become constants, and stay so.

Running statistics are stored as they are, 8 bytes a channel, which the weights do not get. Absorbed in the
normalization's own scale and shift (`laconic.models.absorption`) they are constant and take next to nothing; scale and
shift are trained, and integers on the grid. Statistics of each batch in their place would undo it, so that the
normalization is in evaluation mode in training, too.

Folded into the layer before (`laconic.models.folding`, as calibration does) scales would take nothing, either, but the
layer's weights would have them: a squared error of weights would go by them, and not by what the weights do.
"""

from collections.abc import Collection
from dataclasses import replace

from torch.nn.modules.batchnorm import _BatchNorm

from laconic.models.absorption import Absorbed, absorbed
from laconic.models.params import typed_as
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.training.task import Task

_SETTLED = "has a row of the plan or an importance of its own"


def with_constant_statistics(
    network: Untied, task: Task, plan: Plan, weighed: Collection[str] = ()
) -> tuple[Untied, Task, Absorbed]:
    """Return the network with constant statistics, the task that trains it so, and which normalizations these are.

    Args:
        network: each tensor once; it stays as it is.
        task: whose module it is.
        plan: a normalization that has a row is left alone.
        weighed: names of tensors with a metric, which is one of the weights as they are: likewise.

    Returns:
        the network, in the types of the module; the task with its `Task.still`; and, beside the normalizations, each
        other one and why it is trained as it is. Where none is absorbed network and task are what was given.

    Raises:
        PlanError: when the plan does not fit.
        WeightsError: when a tensor is missing, not finite or of another shape than the module has it.
    """
    norms = [name for name, part in task.module.named_modules() if isinstance(part, _BatchNorm)]
    if not norms:
        return network, task, Absorbed((), {})
    rows = plan.resolve(network.params, network.names)[: len(plan.tensors)]
    settled = {name for row in rows for name in row.names} | {network.names.get(name, name) for name in weighed}
    owners = {name.rpartition(".")[0] for name, first in network.names.items() if first in settled}
    but = {name: _SETTLED for name in norms if name in owners}
    params, norms_absorbed = absorbed(task.module, typed_as(task.module, network.params), but)
    if not norms_absorbed.norms:
        return network, task, norms_absorbed
    return replace(network, params=params), replace(task, still=norms_absorbed.norms), norms_absorbed

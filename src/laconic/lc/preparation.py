"""What training within a budget begins with: constant statistics, and a plan with the row of the budget."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import final

from laconic.lc.budgeted import buffers_told, notes_of, shared_out
from laconic.lc.learning import Training
from laconic.lc.normalization import with_constant_statistics
from laconic.models.absorption import Absorbed
from laconic.models.params import buffers_of
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.training.task import Task


@final
@dataclass(frozen=True, eq=False)
class Prepared:
    """All that training within a budget takes.

    Args:
        network: each tensor once.
        plan: with the row of the budget.
        task: what is trained and judged.
        how: it is trained: as long as the budget asks for.
        notes: text of the file.
        norms: whose statistics are constant; None where that was not wanted.
    """

    network: Untied
    plan: Plan
    task: Task
    how: Training
    notes: Mapping[str, str]
    norms: Absorbed | None


def prepared(
    network: Untied, plan: Plan, task: Task, budget: Budget, how: Training, notes: Mapping[str, str],
    *, fold: bool = True, weighed: Collection[str] = (),
) -> Prepared:  # fmt: skip
    """Return what training within a budget begins with.

    Args:
        network: as it was given; it stays as it is.
        plan: rows beside the budget.
        task: what is trained and judged.
        budget: what is asked of the file.
        how: as it was asked for.
        notes: text of the file beside the task's.
        fold: whether batch normalization may have constant statistics.
        weighed: names of tensors with a metric.

    Raises:
        PlanError: when the plan does not fit, or leaves no room for the rest, or a method meets no such budget.
        WeightsError: for tensors that cannot be compressed.
    """
    buffers, norms = buffers_of(task.module), None
    whole = {**notes_of(task, notes), **buffers_told(network, buffers)}
    if fold:
        network, task, norms = with_constant_statistics(network, task, plan, weighed)
    how = how.within(task, budget)
    plan = shared_out(network, budget, plan, task, whole, buffers=buffers, made=how.parametrisation)
    return Prepared(network, plan, task, how, whole, norms)

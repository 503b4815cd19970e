"""One file within a size, so that an interrupt costs one step at most."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from laconic.csteps.parametrisations import Plain
from laconic.experiments.recipes.records.subject import Effort
from laconic.experiments.recipes.resumed import resumed
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.preparation import prepared
from laconic.lc.state import LCState
from laconic.models.checkpoints import checkpoint_size
from laconic.models.ties import untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.result import Result
from laconic.training.task import Task


def resumed_within(
    size: int, params: Mapping[str, Tensor], task: Task, effort: Effort, seed: int, checkpoint: Path,
    watch: Callable[[LCState], None],
) -> Result:  # fmt: skip
    """Return what `laconic.compress(params, size=size, task=task, effort="train", ...)` does, from where it stands.

    Args:
        size: of the file, in bytes.
        params: the reference network.
        task: what it is trained and judged by.
        effort: the settings, which must be the same when a run goes on.
        seed: of batches.
        checkpoint: the state is kept here after each step; it is for the caller to remove.
        watch: told of every state.

    Raises:
        PlanError: for a size that cannot be met.
        DataError: when the state that is there is one of other settings.
    """
    whole, budget = untied(params, task.module), Budget(size=size)
    notes = {REFERENCE_BYTES: str(checkpoint_size(whole.params))}
    ready = prepared(whole, Plan({}), task, budget, effort.learning, notes)
    job = {"size": str(size), "seed": str(seed), "settings": json.dumps(effort.record())}
    how = replace(ready.how, parametrisation=Plain())  # which the row of the plan tells
    of = ready.network.params, ready.plan, ready.task, how, seed, checkpoint, job, watch
    return replace(resumed(*of, metadata=ready.notes), asked=budget, norms=ready.norms)

"""Training within a row of a table, so that an interrupt costs one step at most."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from laconic.api import compress
from laconic.experiments.recipes.recipe import Context
from laconic.lc.checkpoint import load_state, save_state
from laconic.lc.learning import Training
from laconic.lc.schedule import Progress
from laconic.lc.state import LCState
from laconic.lc.steps import start
from laconic.models.params import typed_as
from laconic.plans.plan import Plan
from laconic.result import Result
from laconic.training.loop import trainable
from laconic.training.task import Task


def telling(context: Context, label: str, how: Training) -> Callable[[LCState], None]:
    """Return what says of each state of a run how far it is: its step, epochs of fine-tuning, the validation error.

    Args:
        context: of the run.
        label: names it.
        how: it is trained.
    """

    def watch(state: LCState) -> None:
        at, tuned = state.progress, state.tuning.epoch if state.tuning else 0
        said = [f"step {at.step}", *([f"epoch {tuned}"] if tuned else [])]
        said += [f"{error:.2f} %" for key, error in (at.validation or {}).items() if key == "error"]
        context.say((at.step + tuned) / (how.steps + how.finetune.epochs + 1), f"{label}: {', '.join(said)}")

    return watch


def resumed(
    params: Mapping[str, Tensor], plan: Plan, task: Task, how: Training, seed: int, checkpoint: Path,
    job: Mapping[str, str], watch: Callable[[LCState], None], *, metadata: Mapping[str, str] | None = None,
) -> Result:  # fmt: skip
    """Return what `laconic.compress(params, plan, task, "train", ...)` does, from where it stands, history and all.

    Args:
        params: the network, each tensor once.
        plan: what each tensor gets.
        task: what it is trained and judged by.
        how: it is trained.
        seed: of batches.
        checkpoint: the state is kept here after each step; it is for the caller to remove.
        job: what must be the same when a run goes on.
        watch: told of every state.
        metadata: of the file.

    Raises:
        PlanError: for a plan that does not fit.
        DataError: when the state that is there is one of another job.
    """
    params = typed_as(task.module, params)
    state, past, new = None, list[Progress](), list[Progress]()
    if checkpoint.exists():
        first = start(params, plan, moving=trainable(task.module, params), mu=how.first_mu(task))
        state, (*past, _) = load_state(checkpoint, first, job)

    def keeping(reached: LCState) -> None:
        if reached.tuning is None or not new:
            new.append(reached.progress)
        save_state(checkpoint, reached, job, [*past, *new])
        watch(reached)

    result = compress(
        params, plan, task, "train", training=how, metadata=metadata, seed=seed, resume=state, watch=keeping
    )
    return replace(result, history=(*past, *new))

"""What a call of `laconic.compress` asks for: one budget at most, one effort, and nothing that nobody would heed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from laconic.choose.limits import Limit
from laconic.choose.menu import Menu
from laconic.csteps.compression import Compression
from laconic.csteps.joint import Joint
from laconic.csteps.lossless import Lossless
from laconic.csteps.parametrisations import Plain
from laconic.csteps.within_bytes import WithinBytes
from laconic.errors import DataError, PlanError, WeightsError
from laconic.lc.learning import Training
from laconic.lc.state import LCState, budget_of
from laconic.models.params import Params
from laconic.models.ties import Untied
from laconic.plans.activity import measured
from laconic.plans.plan import Plan
from laconic.quantize.budget import QUALITIES, Budget
from laconic.theory.importance import Importance
from laconic.training.task import Task

Effort = Literal["direct", "calibrate", "train"]


def resumed(resume: LCState | str | Path | None, effort: Effort) -> tuple[LCState | None, Path | None]:
    """Return the state, or the folder, to go on from, if either.

    Raises:
        PlanError: for one of another effort.
    """
    if isinstance(resume, str | Path):
        if effort != "calibrate":
            raise PlanError(
                f"resume is a folder for effort 'calibrate', not {effort!r}, which takes a state: see watch"
            )
        return None, Path(resume)
    if resume is not None and effort == "calibrate":
        raise PlanError("resume is a folder for effort 'calibrate', no state: what has been decided is kept there")
    return resume, None


def require_kinds(network: object, task: object) -> None:
    """Check that a network is one, and a task.

    Raises:
        WeightsError: for what is no network.
        DataError: for what is no task.
    """
    if not isinstance(network, nn.Module | Mapping):
        raise WeightsError(f"a network is a module, or its tensors by name, not a {type(network).__name__}")
    if not isinstance(task, Task | None):
        raise DataError(f"task is a laconic.Task, not a {type(task).__name__}")


def require_quality(quality: str, budget: Budget | None, effort: Effort) -> None:
    """Check that a quality is one, and heeded.

    Raises:
        PlanError: for one that is not.
    """
    if quality not in QUALITIES or (quality != "default" and (not budget or effort == "train")):
        what = "goes with a budget that is met without training"
        raise PlanError(f"quality is one of {', '.join(QUALITIES)}, and {what}; not {quality!r}")


def require_training(training: Training | None, budget: Budget | None, *, direct: bool) -> None:
    """Check that what training says is of some use.

    Args:
        training: if any was given.
        budget: if there is one.
        direct: whether nothing is trained, and nobody has said so.

    Raises:
        PlanError: where nothing is trained, and where there is a parametrisation and no budget.
    """
    if training is None:
        return
    if direct:
        raise PlanError(
            "training goes with effort 'train', which a plan or a compression and a task with training data mean by "
            "themselves where there is no budget: beside one give effort='train'"
        )
    if budget is None and training.parametrisation != Plain():
        raise PlanError(
            f"{training.parametrisation!r} is of what a budget takes: name a size, or say it in a row of the plan, "
            "such as { within_bytes = 5000, shared = 8.0 }"
        )


def require_taught(plan: Plan, effort: str) -> None:
    """Check that a distillation has training that it is a part of.

    Raises:
        PlanError: when it has none.
    """
    if plan.distillation is not None and effort != "train":
        raise PlanError(f"the plan's distillation is of effort 'train': with effort {effort!r} nothing is trained")


def taught(plan: Plan, effort: Effort, task: Task | None, original: Params) -> Task | None:
    """Return the task with what a plan's distillation adds; errors are those of `require_taught` and `Plan.taught`."""
    require_taught(plan, effort)
    return plan.taught(task, original) if task else None


def weighed(plan: Plan, importance: Importance | str | None, task: Task | None, network: Untied) -> Plan:
    """Return the plan with the importance that was named, if any, and the activity that its rows rank by."""
    if importance is not None:
        plan = replace(plan, importance=Importance(importance) if isinstance(importance, str) else importance)
    return plan if task is None else measured(plan, task, network.params)


def require_heeded(effort: Effort, budget: Budget | None, *, fold: bool, others: bool) -> None:
    """Check that no argument of calibration goes with another effort; ``fold`` goes with training within a budget, too.

    Args:
        effort: not "calibrate".
        budget: if there is one.
        fold: as it was given.
        others: whether ``samples``, ``meter`` and ``tune`` are what they are where nobody names them.

    Raises:
        PlanError: when one does.
    """
    if not others or not (fold or (budget and effort == "train")):
        raise PlanError(
            f"samples and fold go with effort 'calibrate', not {effort!r}, and so does meter, or tune; fold goes with "
            "effort 'train' and a budget, too"
        )


def require_choosable(choose: object, limits: object, resume: object, recalibrate: int) -> None:
    """Check that a menu is one, that limits go with it, and nothing else that a choice would not heed.

    Raises:
        PlanError: for what is no menu, no limits, limits without a menu, a folder to resume from, and recalibration.
    """
    if choose is not None and (recalibrate or isinstance(resume, str | Path)):
        raise PlanError("a choice keeps no state and recalibrates nothing: leave resume and recalibrate out")
    if not isinstance(choose, Menu | None):
        raise PlanError(f"choose is a laconic.Menu, such as Menu(), not {choose!r}")
    if not isinstance(limits, Sequence) or not all(isinstance(limit, Limit) for limit in limits):
        raise PlanError(
            f"limits are a list of laconic.Limit, such as [Limit(costs.Parameters(), 1000)], not {limits!r}"
        )
    if limits and choose is None:
        raise PlanError("limits are met by a choice: give a menu, choose=laconic.Menu()")


def require_exchange(exchange: object, effort: Effort, budget: Budget | None, choose: object) -> None:
    """Check that there is one where the network is trained alone, on one path.

    Raises:
        PlanError: for another effort, a choice, and a budget of outputs.
    """
    if exchange is not None and (effort != "train" or choose is not None or (budget and budget.is_of_outputs)):
        raise PlanError("exchange is of gradients: it goes with effort 'train', and with neither choose, drop nor kl")


def require_calibratable(plan: Plan | Compression, given: Mapping[str, Any], *, rows: bool = False) -> None:
    """Check that nothing is asked that calibration would not heed; ``rows`` are heeded where there is a choice.

    Raises:
        PlanError: for rows of a plan that leave nothing lossless, and for arguments of other efforts.
    """
    if named := [name for name, value in given.items() if value is not None]:
        raise PlanError(f"{', '.join(named)}: effort 'calibrate' finds out by itself what matters, in one go")
    if isinstance(plan, Plan) and (
        plan.importance or set(map(type, [*(() if rows else plan.tensors.values()), plan.rest])) != {Lossless}
    ):
        raise PlanError("calibration chooses for all weights itself; leave out the plan's rows and its importance")


def one_budget(plan: object, budget: Budget | None, named: Mapping[str, Any], effort: Effort | None) -> Budget | None:
    """Return the budget that one of the arguments names, or that of a call that names nothing.

    Raises:
        PlanError: for two budgets, or what is none.
    """
    given = {name: value for name, value in named.items() if value is not None}
    for one in (budget, plan if isinstance(plan, Budget) else None):
        if one is not None and not isinstance(one, Budget):
            raise PlanError(f"budget is a laconic.Budget, such as Budget(bits=3), not {one!r}")
        if one and given:
            raise PlanError(f"two budgets, {one} and {', '.join(given)}: a budget is named once")
    if given:
        return Budget(**given)
    if plan is None and budget is None and effort != "train":
        return Budget(bits=4, asked=False)
    return budget


def effort_of(
    effort: Effort | None, task: Task | None, budget: Budget | None, recalibrate: int, has_calibration: bool
) -> Effort:
    """Return the effort that is asked for, or else what the arguments allow.

    Raises:
        PlanError: when it is none, or lacks what it needs.
    """
    if effort not in (None, "direct", "calibrate", "train"):
        raise PlanError(f"effort is 'direct', 'calibrate' or 'train', not {effort!r}")
    effort = "calibrate" if effort is None and has_calibration else effort
    if has_calibration and effort == "direct":
        raise PlanError("calibration goes with effort 'calibrate' or 'train', not 'direct'")
    can_train = has_calibration or (task is not None and task.train is not None)
    if effort is None:
        effort = "train" if can_train and not budget and not recalibrate else "direct"
    if budget and effort == "direct":
        budget.require_of_weights()
    if effort == "calibrate":
        if not budget:
            raise PlanError("effort 'calibrate' meets a budget: name one, such as bits=2, size=100_000 or ratio=20")
        if recalibrate:
            raise PlanError(
                "recalibrate goes with effort 'direct': calibration takes care of running statistics itself"
            )
        if not (has_calibration or can_train):
            raise PlanError("effort 'calibrate' needs inputs: calibration=..., a DataLoader, batches or a tensor")
        return effort
    if recalibrate and (effort == "train" or not can_train):
        raise PlanError(
            "recalibrate needs a task with training data, and effort 'direct': training moves running statistics itself"
        )
    if effort == "train" and not can_train:
        raise PlanError(
            "effort 'train' needs a task: the loss and the data to train on, Task(module, train=..., loss=...); or "
            "calibration=..., inputs alone, on which it is trained to say what the original says"
        )
    return effort


def parted(
    plan: Plan | Compression | Budget | None, budget: Budget | None, lossless: Sequence[str]
) -> tuple[Plan | Compression, Budget | None]:
    """Return what some tensors get, and the budget of all, if there is one.

    Raises:
        PlanError: for what does not go together.
    """
    if isinstance(lossless, str):
        raise PlanError(f"lossless is a list of patterns: [{lossless!r}]")
    if plan is None and not budget:
        raise PlanError(
            "nothing to make: give a plan, a compression such as AdaptiveCodebook(4), or a size, as size=10_000"
        )
    if isinstance(plan, Budget):
        if budget:
            raise PlanError(f"two budgets, {plan} and {budget}: a budget is named once")
        plan, budget = None, plan
    if not isinstance(plan, Plan | Compression | None):
        raise PlanError(f"plan is a Plan, a compression such as AdaptiveCodebook(4), or a Budget, not {plan!r}")
    if plan is None:
        return Plan({}).keeping(lossless), budget
    if lossless and not budget:
        raise PlanError(f"lossless goes with a budget; in a plan, give {', '.join(lossless)} a row: Lossless()")
    if budget and not isinstance(plan, Plan):
        raise PlanError(
            "a compression alone takes every weight, and leaves a budget none; say in a Plan which it takes"
        )
    return (plan.keeping(lossless) if isinstance(plan, Plan) else plan), budget


def require_same_budget(plan: Plan, budget: Budget | None, resume: LCState | None) -> None:
    """Check that a state to go on from is of the budget that is asked now.

    Raises:
        PlanError: when it is of another.
    """
    if resume is None:
        return
    sizes = [row.of.size for row in plan.tensors.values() if isinstance(row, Joint) and isinstance(row.of, WithinBytes)]
    asked = [str(budget)] if budget and budget.is_of_outputs else [f"{size:,} bytes" for size in sizes] or ["no budget"]
    within, reached = budget_of(resume), resume.best and resume.best.quality
    had = f"{within.size:,} bytes" if within else "no budget"
    if reached:
        had = str(Budget(drop=reached.bound) if reached.measure == "drop" else Budget(kl=reached.bound))
    if had not in asked:
        raise PlanError(f"the state to resume from is of {had}: ask for that, or begin anew without it")


def require_same_statistics(whole: Untied, task: Task, resume: LCState | None) -> None:
    """Check that what is constant in training is the same in a state to go on from.

    Raises:
        PlanError: when it is not.
    """
    kinds = ("running_mean", "running_var")
    names = [".".join(filter(None, (norm, kind))) for norm in task.still for kind in kinds]
    firsts = {whole.names[name] for name in names if name in whole.names}
    if resume and any(not torch.equal(resume.weights[name].cpu(), whole.params[name].cpu()) for name in firsts):
        raise PlanError(
            "the state to resume from is of a run whose statistics of batch normalization were trained: go on with "
            "fold=False, or begin anew without it"
        )

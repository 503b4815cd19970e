"""The plan, and the training, that options stand for."""

from collections.abc import Container, Mapping
from copy import deepcopy
from dataclasses import replace

from laconic.cli import options
from laconic.cli.console import Output
from laconic.cli.jobs.shrink import Example, example_of
from laconic.cli.jobs.tasks import fitting
from laconic.cli.options import Matters, Subject
from laconic.cli.options import Training as Typed
from laconic.cli.rows import Rows
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.groups import Groups
from laconic.csteps.joint import Joint
from laconic.csteps.keep_groups import KeepGroups
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.low_rank import LowRank
from laconic.errors import PlanError
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models.params import Params, apply_to
from laconic.plans.activity import asks_for_data, measured
from laconic.plans.coupling import coupled
from laconic.plans.plan import Plan, weights_only
from laconic.plans.toml import load_plan
from laconic.request import require_taught
from laconic.theory.importance import Importance
from laconic.training.optimization import Optimization
from laconic.training.task import Task


def planned(rows: Rows, matters: Matters, effort: options.Effort, params: Params | None) -> Plan | None:
    """Return the plan with its importance; None where there is none.

    Args:
        rows: as typed.
        matters: likewise.
        effort: likewise.
        params: the weights that options of techniques stand for; None where only a file says rows.

    Raises:
        PlanError: for options that do not go together.
    """
    of_file = load_plan(rows.plan) if rows.plan else None
    plan = weighed(of_file if params is None else plan_of(params, rows), matters)
    require_taught(plan or Plan({}), effort.value)
    return plan


def plan_of(params: Params, rows: Rows, buffers: Container[str] = ()) -> Plan:
    """Return the plan that the options stand for; ``buffers`` of a module are no weights.

    Raises:
        PlanError: for options that do not go together, and where none is given.
    """
    if rows.plan is not None:
        if rows != Rows(plan=rows.plan):
            raise PlanError(
                "--plan says it all: leave out --codebook, --keep, --rank, --filters, --score and --per-tensor"
            )
        return load_plan(rows.plan)
    codebook, keep, rank = rows.codebook, rows.keep, rows.rank
    if rows.per_tensor and keep is None:
        raise PlanError("--per-tensor goes with --keep; a codebook and a rank are each tensor's own already")
    if keep is not None and rank is not None:
        raise PlanError("--keep and --rank do not combine on one tensor; say which tensor gets which in a --plan")
    if rows.score is not None and rows.filters is None:
        raise PlanError(
            '--score goes with --filters; in a --plan a row has its own, as { filters = 0.5, score = "l1" }'
        )
    if rows.filters is not None and (keep, rank) != (None, None):
        raise PlanError("--filters does not combine with --keep or --rank; say which tensor gets which in a --plan")
    values: Compression = AdaptiveCodebook(codebook) if codebook is not None else Lossless()
    if rows.filters is not None:
        score = rows.score.value if rows.score else "l2"
        kept = KeepGroups(Groups("filters"), keep=rows.filters, score=score, values=values)
        return weights_only(kept, params, buffers)
    if keep is not None:
        pruned = KeepLargest(keep, values=values)
        return weights_only(pruned if rows.per_tensor else Joint(pruned), params, buffers)
    if rank is not None:
        return weights_only(LowRank(rank, left=values, right=values), params, buffers)
    if codebook is None:
        raise PlanError(
            "say what becomes of the weights: --codebook K, --keep SHARE, --filters SHARE, --rank R, or --plan FILE"
        )
    return weights_only(values, params, buffers)


def coupled_of(
    say: Output, plan: Plan | None, params: Params, task: Task | None, subject: Subject, metadata: Mapping[str, str],
    seed: int,
) -> tuple[Plan, Params]:  # fmt: skip
    """Return the plan with what goes along on its rows, see `laconic.coupled`, and the weights by the network's names.

    Args:
        say: told what is decided about the network.
        plan: of --plan.
        params: the weights, by which channels are chosen.
        task: the network, if there is a task; else the options and the metadata of the weights name one.
        subject: these options.
        metadata: of the weights.
        seed: of random inputs, where no data are named.

    Raises:
        PlanError: when there is no plan, or none that prunes what can be coupled.
        DataError: when nothing says which network, or the weights are of another.
    """
    if plan is None or not plan.tensors:
        raise PlanError("--coupled goes with a --plan that has a row such as { filters = 0.5 } and, if any, a budget")
    network = Example.of(task) if task else example_of(say, subject, metadata, seed)
    params, module = fitting(params, network), deepcopy(network.module)
    apply_to(module, params)
    return coupled(plan, module, network.inputs), params


def counted_of(say: Output, plan: Plan, task: Task | None, params: Params) -> Plan:
    """Return the plan with how often units are not 0, where its rows rank by that, see `laconic.measured`.

    Raises:
        PlanError: without a task.
    """
    if not asks_for_data(plan.tensors.values()):
        return plan
    if task is None:
        raise PlanError("a score of activity is counted on training data: name them, by --data or --task")
    with say.progress("activity", None):
        return measured(plan, task, params)


def weighed(plan: Plan | None, matters: Matters) -> Plan | None:
    """Return the plan with the importance that the options name; it has its own where they name none.

    Where there is no plan, a budget alone, it is one of no rows.
    """
    if matters.importance in (None, options.Importance.none):
        if matters != Matters(matters.importance):
            raise PlanError("--temperature, --importance-samples and --kind go with an --importance")
        return replace(plan, importance=None) if plan and matters.importance else plan
    kind = matters.kind and matters.kind.value
    importance = Importance(matters.importance.value, matters.temperature, matters.importance_samples, kind)
    return replace(plan or Plan({}), importance=importance)


def learning_of(of: Typed) -> Training:
    """Return the training that the options stand for."""
    return Training(
        of.method.value, of.steps, Optimization(of.epochs, of.lr, weight_decay=of.weight_decay), of.lr_decay, mu=of.mu,
        growth=of.growth, tolerance=of.tolerance, augmented=not of.quadratic_penalty,
        finetune=replace(FINE_TUNING, epochs=of.finetune), alike=of.alike,
    )  # fmt: skip

"""What `laconic compress` does: a checkpoint to a `.lac` file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

import torch

from laconic import interrupts
from laconic.choose.chosen import Chosen, sentences
from laconic.cli import options
from laconic.cli.console import Output
from laconic.cli.groups import values
from laconic.cli.jobs.beside import require_log, require_points
from laconic.cli.jobs.calibrating import absorptions, calibrated, require_calibratable
from laconic.cli.jobs.choosing import chosen, require_choosable
from laconic.cli.jobs.cost import once_run, runnable
from laconic.cli.jobs.direct import by_samples, directly, metrics_of, within_budget
from laconic.cli.jobs.figures import report
from laconic.cli.jobs.folders import Beside, Written
from laconic.cli.jobs.metadata import noted
from laconic.cli.jobs.planning import counted_of, coupled_of, learning_of, plan_of, planned, weighed
from laconic.cli.jobs.ranks import exchange_for_lc, moved_by, require_alone, require_for_ranks, within_by_ranks
from laconic.cli.jobs.recoding import changed, recoded, settled
from laconic.cli.jobs.rounds import told_of
from laconic.cli.jobs.running import Run, cleared, going_on, resumable
from laconic.cli.jobs.targets import Target, require_used
from laconic.cli.jobs.tasks import BATCH, doubts, fitting, known_again, needing_a_task, opened, task_for
from laconic.cli.jobs.teaching import taught
from laconic.cli.jobs.text import text_task
from laconic.cli.jobs.workers import PLAIN, connected, heard
from laconic.cli.menus import Choosing
from laconic.cli.rows import Rows
from laconic.cli.schedule import Machines
from laconic.cli.stored import Stored
from laconic.cli.teaching import Teaching
from laconic.errors import PlanError
from laconic.format.files import sha256
from laconic.lc.budgeted import buffers_told, notes_of
from laconic.lc.damage import left
from laconic.lc.preparation import prepared
from laconic.machines.wires import Wires
from laconic.models.checkpoints import Checkpoint
from laconic.models.directories import sha256_of
from laconic.models.params import buffers_of, typed_as
from laconic.models.ties import Untied, untied
from laconic.plans.activity import asks_for_data
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.result import Result
from laconic.training.task import Task


@final
@dataclass(frozen=True)
class Job:
    """What is compressed, how, and where it goes.

    Args:
        idle: the options of LC training that stand on the command line, as they are typed.
        table: whether every tensor is shown.
        key: where the network is in the checkpoint.
        recalibrate: training samples that running statistics follow; 0 for none.
        target: profile of the machine that it is compressed for.
        choosing: whether each tensor's compression is chosen, and within what.
        coupled: whether filters that a row prunes take along what goes with them.
        teaching: what it learns from beside its targets.
        machines: which ranks there are, and how gradients get from one to the other.
        stored: what becomes of what is quantized already.
        beside: what goes beside the file, where it is in a folder.
    """

    weights: Path
    output: Path
    effort: options.Effort
    budget: options.Budget
    rows: Rows
    which: options.Which
    matters: options.Matters
    calibrating: options.Calibrating
    data: options.Data
    training: options.Training
    run: options.LongRun
    idle: tuple[str, ...] = ()
    table: bool = False
    key: str | None = None
    recalibrate: int = 0
    target: Path | None = None
    choosing: Choosing = field(default_factory=Choosing)
    coupled: bool = False
    teaching: Teaching = field(default_factory=Teaching)
    machines: Machines = field(default_factory=Machines)
    stored: Stored = field(default_factory=Stored)
    beside: Beside | None = None

    @property
    def file(self) -> Written:
        """What is written."""
        return Written(self.output, self.run.force, self.run.resume, self.beside)

    @property
    def in_rounds(self) -> bool:
        """Whether it is pruned in rounds, until what a budget says, if there is one."""
        return self.effort is options.Effort.train and self.training.method is options.Method.rounds

    @property
    def checkpoint(self) -> Path:
        """The file of the state that a run goes on from; of a calibration the folder of its journal."""
        return self.output.with_name(self.output.name + ".checkpoint")

    def labels(self, task: Task, chosen: Mapping[str, object]) -> dict[str, str]:
        """Return what must be the same when it is resumed: options that were chosen, and what every run depends on."""
        options = {
            **chosen,
            "--batch": self.data.batch or BATCH,
            "--seed": self.run.seed,
            "--threads": torch.get_num_threads(),
        }
        return {
            **{option: str(value) for option, value in options.items()},
            "the checkpoint's SHA-256": sha256_of(self.weights),
            **({"the profile's SHA-256": sha256(self.target)} if self.target else {}),
            **known_again(task, self.data.task),
        }


def compress(job: Job, say: Output) -> None:
    """Compress, write and print."""
    with connected(job.machines) as wires:
        require_for_ranks(
            job.machines, wires, job.effort,
            {"--choose": job.choosing.choose, "--target": job.target, "--coupled": job.coupled,
             "--max-drop": job.budget.max_drop, "--max-kl": job.budget.max_kl, "--filters": job.rows.filters,
             "--recode": job.stored.recode},
            {**values(job.rows), **values(job.matters), "--recalibrate": job.recalibrate, "--net": job.data.net,
             "--data": job.data.data, "--task": job.data.task},
        )  # fmt: skip
        _compress(job, heard(say, wires), wires)


def _compress(job: Job, say: Output, wires: Wires | None) -> None:
    """Compress, write and print, as one of several ranks if there are wires."""
    run, data = job.run, job.data
    _require_fitting(job)
    job.file.require(say, job.checkpoint)
    torch.set_num_threads(run.threads or torch.get_num_threads())
    if (read := _read(job, say, wires)) is None:
        return
    params, metadata = read.params, read.metadata
    notes, budget = noted(say, job.weights, params, metadata), job.file.counted(_budget(job))
    if whole_plan := budget is None or job.in_rounds:  # else the budget has what no row of a file names
        params = dict(params)
    plan = planned(job.rows, job.matters, job.effort, params if whole_plan else None)
    weighing, task, target = plan is not None and plan.importance is not None, None, None
    counting = plan is not None and asks_for_data(plan.tensors.values())
    if job.calibrating.calibration is not None:
        task, params, known = text_task(say, job.weights, params, data, job.calibrating, run.seed)
        job, params = replace(job, calibrating=known), fitting(params, task)
    elif job.effort is not options.Effort.direct or data.named or weighing or counting or job.recalibrate:
        calibrating = job.effort is options.Effort.calibrate
        whose = {"an importance": weighing, "--effort calibrate": calibrating, "a score of activity": counting,
                 "--recalibrate": job.recalibrate}  # fmt: skip
        with needing_a_task(next((f"{who} needs" for who, needs in whose.items() if needs), "")):
            task = task_for(say, data, metadata, batch=data.batch or BATCH, seed=run.seed, augmented=not calibrating)
        params = fitting(params, task)
        say.note(*doubts(params, task, metadata))
        if plan and (job.in_rounds or not budget):
            plan = weighed(plan_of(params, job.rows, buffers_of(task.module)), job.matters)
    plan = plan and counted_of(say, plan, task, params)
    if job.coupled or job.rows.filters is not None:
        pruning = plan if job.rows.plan or job.rows.filters is not None else None
        plan, params = coupled_of(say, pruning, params, task, data, metadata, run.seed)
    plan = plan and plan.on(task and task.module)
    require_used(job.target, plan)
    budget = None if budget and not budget.asked and job.choosing.limited else budget
    if job.target is not None:
        network = once_run(task) if task else runnable(say, data, metadata, run.seed)
        target = Target.of(job.target, network, params, plan, budget=budget is not None)
        plan, notes = target.plan(plan), {**notes, **target.reserved}
    whole = untied(params, task.module if task else None)
    if job.choosing.choose:
        choice = _chosen(job, say, budget, plan or Plan({}), whole, task, notes, target)
        if job.effort is not options.Effort.train:
            _reported(job, say, Result.of_choice(choice, {**(task.metadata if task else {}), **notes}), task, target)
            return
        plan = choice.plan(plan)
    if task is not None and job.effort is options.Effort.train:
        _by_training(job, say, budget, plan or Plan({}), whole, task, notes, target, wires)
        return
    if task is not None and budget and job.effort is options.Effort.calibrate:
        _by_calibration(job, say, budget, whole, task, notes, target)
        return
    if wires and budget:
        of = budget, job.which.lossless or (), job.budget.quality, notes, run.threads, job.file
        within_by_ranks(say, whole, *of, wires, table=job.table)
        return
    result = _directly(job, say, budget, plan, whole, task, notes)
    if task is not None and job.recalibrate:
        result = by_samples(say, result, whole, task, job.recalibrate, data.batch or BATCH, run.seed)
    del params, whole  # what was read of the checkpoint leaves the memory
    _reported(job, say, result, task, target)


def _read(job: Job, say: Output, wires: Wires | None) -> Checkpoint | None:
    """Return the checkpoint that is compressed; None where it has been recoded, for nothing of it may change."""
    groups = (job.budget, job.rows, job.which, job.choosing, job.matters, job.calibrating, job.teaching, job.machines)
    others = {"--effort": job.effort is not options.Effort.direct, "--recalibrate": job.recalibrate,
              "--target": job.target, "--coupled": job.coupled, **dict.fromkeys(job.idle, True)}  # fmt: skip
    read, stays = settled(say, opened(say, job.weights, job.key, as_stored=True), job.stored, changed(groups, others))
    if stays:
        require_alone(wires)
        notes = noted(say, job.weights, read.params, read.metadata)
        recoded(say, read, notes, job.file, table=job.table)
    return None if stays else read


def _reported(job: Job, say: Output, result: Result, task: Task | None, target: Target | None) -> None:
    """Write and print what has come of the weights, with the layouts that are best for a target."""
    result = target.told(result, say) if target else result
    with resumable(job.output):
        report(say, result, job.file, task, table=job.table)


def _chosen(
    job: Job, say: Output, budget: Budget | None, plan: Plan, network: Untied, task: Task | None,
    notes: Mapping[str, str], target: Target | None,
) -> Chosen:  # fmt: skip
    """Return what each tensor gets; say it where training follows."""
    choosing, train = job.choosing, job.effort is options.Effort.train
    metrics = metrics_of(say, plan, task, network.params) if job.effort is options.Effort.direct else None
    whole = {**(task.metadata if task else {}), **notes}
    whole |= buffers_told(network, buffers_of(task.module) if task else ())
    rows = replace(plan.keeping(job.which.lossless or []), importance=None)
    found = chosen(
        say, choosing, network, rows, budget, task, job.effort, "default" if train else job.budget.quality.value,
        job.calibrating, whole, metrics, job.run.seed, job.run.threads, target,
    )  # fmt: skip
    if train:
        say.note(*sentences(found.record()))
    return found


def _require_fitting(job: Job) -> None:
    """Check that no option is of another effort.

    Raises:
        PlanError: for one that is.
    """
    train, calibrate = (job.effort is effort for effort in (options.Effort.train, options.Effort.calibrate))
    require_choosable(job.choosing, job.run.force)
    if job.choosing.choose and job.run.resume and not train:
        raise PlanError("--resume: a choice keeps no state; begin it anew, without this")
    if job.recalibrate and (train or job.choosing.choose):
        raise PlanError(
            "--recalibrate goes with --effort direct, and no --choose: training moves running statistics by itself"
        )
    idle = [option for option in job.idle if not train and not (calibrate and option == "--resume")]
    if idle == ["--resume"]:
        raise PlanError("--resume: only --effort train and --effort calibrate take this; without, no state is kept")
    if idle:
        raise PlanError(f"{', '.join(idle)}: only --effort train takes this")
    if calibrate:
        rows = replace(job.rows, plan=None) if job.choosing.choose else job.rows
        require_calibratable(rows, job.matters, job.budget.snr, job.recalibrate)
        return
    named = [option for option, value in values(job.calibrating).items() if value]
    asked = job.budget
    limits = (asked.size, asked.bits, asked.ratio, asked.max_drop, asked.max_kl)
    if train and any(limit is not None for limit in limits):
        named = [option for option in named if option != "--no-fold"]
    if named:
        raise PlanError(f"{', '.join(named)}: only --effort calibrate takes this")


def _directly(
    job: Job, say: Output, budget: Budget | None, plan: Plan | None, network: Untied, task: Task | None,
    notes: Mapping[str, str],
) -> Result:  # fmt: skip
    """Return the result of compression from the weights alone."""
    notes = {**(task.metadata if task else {}), **notes}
    metrics = plan and metrics_of(say, plan, task, network.params)
    if budget:
        rows = (plan or Plan({})).keeping(job.which.lossless or [])
        return within_budget(say, network, budget, rows, metrics, job.budget.quality, notes, task, job.run.threads)
    assert plan is not None, "what is no budget is a plan"
    plan, network = plan.settled(network, metrics, alike=True)
    codes = directly(say, plan, network, metrics)
    return Result(codes, notes, signals=left(network, codes, task and task.module))


def _by_calibration(
    job: Job, say: Output, budget: Budget, network: Untied, task: Task, notes: Mapping[str, str], target: Target | None
) -> None:  # fmt: skip
    """Compress by what layers read, from the start or from a journal on."""
    run, asked = job.run, job.which.lossless or []
    say.note(*(["training batches are read as --task gives them, augmented where they are"] if job.data.task else []))
    if not going_on(say, job.checkpoint, resume=run.resume, force=run.force):
        cleared(job.checkpoint)
    labels = job.labels(task, {**values(job.budget), **values(job.calibrating), "--lossless": asked})
    of = job.calibrating, {**task.metadata, **notes}, run.seed, job.checkpoint, labels
    with resumable(job.output, job.checkpoint):
        result, seconds = calibrated(say, network, task, budget, asked, job.budget.quality, *of)
        result = target.told(result, say) if target else result
        measured = None if job.calibrating.calibration else task  # a text has been judged by already
        report(say, result, job.file, measured, table=job.table, seconds=seconds)
        interrupts.finish()
    cleared(job.checkpoint)  # not before all is said: who is interrupted has not seen the figures


def _by_training(
    job: Job, say: Output, budget: Budget | None, plan: Plan, network: Untied, task: Task, notes: Mapping[str, str],
    target: Target | None, wires: Wires | None = None,
) -> None:  # fmt: skip
    """Compress by training, from the start or from a checkpoint on."""
    of, run = job.training, job.run
    how = learning_of(of)
    norms = None
    task, teachers = taught(say, job.teaching, task, job.data, network.params, plan.distillation)
    if budget and not job.in_rounds:
        kept = plan.keeping(job.which.lossless or [])
        ready = prepared(network, kept, task, budget, how, notes, fold=not job.calibrating.no_fold)
        network, plan, task, how = ready.network, ready.plan, ready.task, ready.how
        notes, norms = ready.notes, ready.norms
        say.note(*(absorptions(norms) if norms else ()))
    else:
        plan, notes = plan.keeping(job.which.lossless or []), notes_of(task, notes)
    network = replace(network, params=typed_as(task.module, network.params))
    require_log(of.log, (job.weights, job.output, job.checkpoint), force=run.force)
    sized = budget is not None or job.in_rounds
    require_points(of.keep_points, sized=sized, replacing=run.resume or run.force)
    resume = going_on(say, job.checkpoint, resume=run.resume, force=run.force)
    if not resume and job.checkpoint.is_dir():  # of a calibration; a file is replaced by the first state
        cleared(job.checkpoint)
    chosen = {
        **values(job.rows),
        **values(replace(of, log=None)),
        "--plan": "" if job.rows.plan is None else repr(plan),
    }
    chosen |= {**values(job.budget), "--lossless": job.which.lossless, "--no-fold": norms is None} if budget else {}
    chosen |= {**({"--importance": repr(plan.importance)} if plan.importance else {}), **teachers}
    exchange = exchange_for_lc(job.machines, task, wires, run.seed)
    chosen |= {"--gradients": job.machines.gradients or PLAIN}
    running = Run(
        say, job.checkpoint, job.labels(task, chosen), resume, job.output, run.force, of.log, of.keep_points,
        told_of(task, network) if job.in_rounds else None, exchange,
    )  # fmt: skip
    with resumable(job.output, job.checkpoint):
        metrics = metrics_of(say, plan, task, network.params)
        plan, network = plan.settled(network, alike=False)
        result = running.compress(network, plan, task, budget, how, notes, run.seed, metrics)
        if exchange and not running.leads:
            return
        result = replace(result, norms=norms)
        result = target.told(result, say) if target else result
        report(say, result, job.file, task, table=job.table)
        say.note(*([moved_by(exchange)] if exchange else []))
        interrupts.finish()
    cleared(job.checkpoint)  # not before all is said: who is interrupted has not seen the figures


def _budget(job: Job) -> Budget | None:
    """Return the budget that the options name, the default one where they name nothing, or None for a plan alone."""
    limits = replace(job.budget, quality=options.Quality.default)
    named = [option for option, value in values(limits).items() if value not in (None, options.Quality.default)]
    techniques = values(replace(job.rows, plan=None))
    planned = [option for option, value in techniques.items() if value is not None and value is not False]
    training = job.effort is options.Effort.train
    if job.in_rounds and named:  # the rows say what is pruned, and the budget how long
        planned = []
    if len(named) > 1:
        raise PlanError(f"{', '.join(named)}: a budget is named once")
    if training and not named and not planned and not job.rows.plan:
        raise PlanError("--effort train needs to know what to make: a size, as --size 10KB, or --codebook, --keep, ...")
    if named and not planned:
        if job.effort is options.Effort.direct and {"--max-kl", "--max-drop"} & {*named}:
            raise PlanError(
                f"{named[0]} needs --effort calibrate or train, which run the network; weights alone do not tell"
            )
        if training and ("--snr" in named or job.budget != limits):
            option = "--snr" if "--snr" in named else "--quality"
            raise PlanError(f"{option} does not go with --effort train, which moves the weights: name a size, or bits")
        return Budget(
            bits=limits.bits,
            size=limits.size,
            ratio=limits.ratio,
            snr=limits.snr,
            kl=limits.max_kl,
            drop=limits.max_drop,
        )
    if planned or job.rows.plan or training:
        idle = [*named, *(["--quality"] if job.budget != limits else [])]
        if idle and planned:
            raise PlanError(f"{idle[0]} does not go with {', '.join(planned)}: a budget says it all")
        if idle or job.which.lossless:
            alone = idle[0] if idle else "--lossless"
            raise PlanError(f"{alone} goes with a budget: name one, as --bits 4; or give what stays a row in a --plan")
        return None
    return Budget(bits=4, asked=False)

"""The one front door: network, plan, task and effort go in; a `Result` that is a file comes out."""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, overload

from torch import Tensor, nn

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.calibrate.compressed import calibrated
from laconic.calibrate.network import silent
from laconic.choose.chosen import Chosen
from laconic.choose.deciding import Asked
from laconic.choose.limits import Limit
from laconic.choose.menu import Menu
from laconic.csteps.compression import Compression
from laconic.deploy.edits import edits_of
from laconic.deploy.narrowing import narrow
from laconic.errors import PlanError, WeightsError
from laconic.format import container
from laconic.format.compact import compact
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.baselines import direct
from laconic.lc.bounds import Bound
from laconic.lc.budgeted import buffers_told, notes_of, within
from laconic.lc.damage import left
from laconic.lc.finetune import FineTuning
from laconic.lc.learning import Training
from laconic.lc.points import finished
from laconic.lc.preparation import prepared
from laconic.lc.rivals.until import Until
from laconic.lc.schedule import Progress
from laconic.lc.state import LCState
from laconic.lc.steps import start
from laconic.lc.unlabelled import unlabelled
from laconic.machines.exchange import Exchange
from laconic.models.checkpoints import checkpoint_size
from laconic.models.params import (
    Params,
    all_of,
    all_params_of,
    apply_to,
    buffers_of,
    require_storable,
    typed_as,
    unwrapped,
)
from laconic.models.ties import Untied, untied
from laconic.plans.plan import Plan, weights_only
from laconic.quantize.budget import QUALITIES, Budget
from laconic.request import (
    Effort,
    effort_of,
    one_budget,
    parted,
    require_calibratable,
    require_choosable,
    require_exchange,
    require_heeded,
    require_kinds,
    require_quality,
    require_same_budget,
    require_same_statistics,
    require_training,
    resumed,
    taught,
    weighed,
)
from laconic.result import Result, recalibrated
from laconic.theory.importance import Importance
from laconic.theory.metric import Metrics
from laconic.training.loop import trainable
from laconic.training.task import Task

Watch = Callable[[LCState], None]
Network = TypeVar("Network", bound=nn.Module)


def compress(
    network: nn.Module | Params,
    plan: Plan | Compression | Budget | None = None,
    task: Task | None = None,
    effort: Effort | None = None,
    *,
    bits: float | None = None,
    size: int | None = None,
    ratio: float | None = None,
    snr: float | None = None,
    kl: float | None = None,
    drop: float | None = None,
    budget: Budget | None = None,
    lossless: Sequence[str] = (),
    quality: str = "default",
    importance: Importance | str | None = None,
    training: Training | None = None,
    metrics: Metrics | None = None,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
    resume: LCState | str | Path | None = None,
    watch: Watch | None = None,
    threads: int | None = None,
    recalibrate: int = 0,
    calibration: Any = None,
    samples: int | None = None,
    fold: bool = True,
    meter: bool = True,
    tune: bool = True,
    choose: Menu | None = None,
    limits: Sequence[Limit] = (),
    exchange: Exchange | None = None,
) -> Result:
    """Compress a network; the one given stays as it is.

        min_{w,Θ} L(w)   subject to   w = Δ(Θ)

    With nothing named but the network, its file has 4 bits a weight. Two calls at a time over one module, in threads,
    disturb each other: evaluation and training set the module's mode, and torch's global generators, and give them
    back.

    Args:
        network: a module, or its parameters and buffers by name. What `DataParallel` and `torch.compile` put around a
            module, and before its names, is taken off. A tensor with several names, tied by a module (that
            of the task, where there is one), by its memory or by equal bytes, is stored once under all of them;
            training takes as one variable what the task's module ties.
        plan: what each tensor gets; a `Compression` alone is applied to every tensor with two or more axes. A
            `Budget` puts all of these on one grid, at the step that meets it; see it for what a weight is. Classes of
            modules in a plan are those of the network, or else of the task's module.
        task: loss and training data; ``effort="train"`` needs both, or ``calibration``.
        effort: "direct" projects the weights once (seconds); "calibrate" meets a budget by what layers read in some
            inputs, without labels (minutes); "train" runs the LC algorithm, of which with a budget (a size, bits or a
            ratio) every C step is a file within it, and calibration's file is the point to beat on the validation
            split; for a drop or a KL there is a path for each of several sizes. Without it, what the arguments allow:
            "calibrate" where there is a ``calibration``, "train" for a plan or a compression and a task with training
            data, and "direct" else.
        bits: a budget by its own name: ``bits=3`` is ``budget=Budget(bits=3)``.
        size: in bytes, likewise.
        ratio: of the uncompressed file to this one, likewise.
        snr: in dB, likewise.
        kl: KL(original ‖ compressed) in nats a row of logits, likewise: the smallest file that was found within it; for
            ``effort="calibrate"`` on calibration samples that are held out, for "train" on the task's validation split.
        drop: points by which the task's error on its validation split may grow, likewise, one standard error included.
            By training it takes the file of calibration first, and then some eight paths of a third of the steps.
        budget: beside a `Plan`: its rows take their bytes first, and all other weights share what remains. What is no
            weight gets ``rest``.
        lossless: with a budget: patterns of tensors that stay as they are, such as ``["*.mask", "head.*"]``.
        quality: with a budget, how hard to try: "fast", "default" or "max" (`laconic.quantize.budget.QUALITIES`).
        importance: how much the error of each weight counts, measured on the task's training data: a name such as
            "gradient", or an `Importance`; in place of the plan's own, if it has one. Within a budget tensors that
            matter more have finer steps; an SNR stays that of the weights. Not every network gains by it (residual
            networks do not, `docs/notes/importance.md`).
        training: for ``effort="train"``: how long and how.
        metrics: importances by name, in place of what ``importance``, or the plan's, would have estimated.
        metadata: text to store in the file beside the task's.
        seed: of batches and dropout: the same seed gives the same file.
        resume: a state that ``watch`` was given in an earlier run with the same arguments; for ``effort="calibrate"`` a
            folder of its own: what has been decided is kept there, weight after weight, until the end, and a call with
            the same arguments goes on from there. Either ends with the bytes of a run that nothing has interrupted.
        watch: is given every LC state, and one after each epoch of fine-tuning; progress bars and checkpoints live
            there.
        threads: with a budget, tensors that are worked on at a time: the cores there are unless given. The file is the
            same for any number.
        recalibrate: for ``effort="direct"``: training samples by which running statistics of batch normalization
            follow what compression has done to their inputs (`laconic.lc.recalibrate`); as many further ones say
            whether the outputs come closer to the original's. ``result.recalibration`` tells; 0 for none.
        calibration: for ``effort="calibrate"``: inputs, as a `DataLoader`, a list of batches, whatever gives batches,
            or one tensor; the task's training data unless given (`laconic.calibrate.calibration.Calibration.of`). For
            ``effort="train"``, in place of a task's data and loss: the network is trained to say what it says now
            (`laconic.lc.unlabelled.unlabelled`).
        samples: of these, how many are looked at, a fifth of them to judge by: 1280 unless told.
        fold: whether calibration may fold batch normalization into the layers before it, and training within a budget
            may put its statistics into its own scale and shift; neither changes an output. What is left of it takes
            next to nothing of the file (``result.calibration``, ``result.norms``).
        meter: whether calibration measures how far the file is from R(D) under what its layers read, and why, and the
            golden rules there: ``result.meter()``, and a record of at most 1 % of the file, which `inspect` shows. Not
            with ``quality="fast"``.
        tune: whether calibration tunes biases and norms to the compressed weights at the end; the file has what comes
            of it where outputs for samples that are held out are nearer. Not with ``quality="fast"``.
        choose: what may become of each weight that no row of the plan names: the budget is shared out over grids,
            codebooks, pruning, low rank and structures, by the error of the weights for ``effort="direct"``, else by
            the KL on samples that are held out; whole files decide. ``result.choice`` says what was chosen and why.
            With ``effort="train"`` LC follows under the plan that was chosen. No ``meter``, and nothing to resume.
        limits: with ``choose``: other budgets, beside bytes or in their place, two in all: parameters, multiply-adds,
            time, energy (`laconic.Limit`).
        exchange: for ``effort="train"`` on several ranks, all of which make the same call: how gradients get about
            (`laconic.machines.exchange.Exchange`). All return the same.

    Raises:
        PlanError: when the plan does not fit, or ``effort="train"``, an importance or ``recalibrate`` has no
            task, or when there are no running statistics to recalibrate; for two budgets, and for one that cannot be
            met: it says what can.
        DataError: when the task has fewer than two times ``recalibrate`` training samples, or the folder to resume from
            is that of a run with other arguments.
        UnsupportedMetric: when a compression, or a budget, cannot honour the metric of its tensor.
        WeightsError: for weights that cannot be compressed, and when training diverges.

    >>> import torch, laconic
    >>> result = laconic.compress(torch.nn.Linear(8, 4), laconic.AdaptiveCodebook(2))
    >>> len(result.params["weight"].unique())
    2
    >>> laconic.compress(torch.nn.Linear(64, 64), bits=3).file_bytes <= 64 * 64 * 3 / 8
    True
    """
    require_kinds(network, task)
    network = unwrapped(network) if isinstance(network, nn.Module) else network
    named = {"bits": bits, "size": size, "ratio": ratio, "snr": snr, "kl": kl, "drop": drop}
    require_choosable(choose, limits, resume, recalibrate)
    plan, budget = parted(plan, one_budget(plan, budget, named, effort), lossless)
    asked, effort = effort, effort_of(effort, task, budget, recalibrate, calibration is not None)
    if effort == "calibrate":
        others = {"importance": importance, "metrics": metrics, "training": training, "watch": watch}
        require_calibratable(plan, others, rows=choose is not None)
    else:
        require_heeded(effort, budget, fold=fold, others=samples is None and meter and tune)
    state, folder = resumed(resume, effort)
    require_quality(quality, budget, effort)
    require_training(training, budget, direct=asked is None and effort == "direct")
    require_exchange(exchange, effort, budget, choose)
    given = _storable(network)
    module = network if isinstance(network, nn.Module) else task and task.module
    if calibration is not None and effort == "train":
        task = _of_inputs(task or module, calibration, given, seed)
    whole = untied(given, task.module if task else None)
    notes = notes_of(task, {REFERENCE_BYTES: str(checkpoint_size(whole.params)), **(metadata or {})})
    buffers = buffers_of(module) if module else set[str]()
    plan = plan.on(module) if isinstance(plan, Plan) else weights_only(plan, whole.params, buffers)
    plan = weighed(plan, importance, task, whole)
    task = taught(plan, effort, task, whole.params)
    norms = choice = None
    if choose is not None:
        sized = budget if budget and (budget.asked or not limits) else None
        notes |= buffers_told(whole, buffers)
        rows = plan if effort == "direct" else replace(plan, importance=None)
        call = Asked(whole, rows, sized, limits, choose, notes, buffers, "default" if effort == "train" else quality)
        choice = _choice(call, effort, task or module, calibration, samples, seed, metrics, fold, tune, threads)
        if effort != "train":
            return Result.of_choice(choice, notes)
        plan = choice.plan(plan)
    if budget and effort == "train" and task is not None and (training is None or training.method != "rounds"):
        ready = prepared(whole, plan, task, budget, training or Training(), notes, fold=fold, weighed=metrics or ())
        whole, plan, task, training = ready.network, ready.plan, ready.task, ready.how
        notes, norms = dict(ready.notes), ready.norms
    metrics = plan.metrics(task, whole.params) if metrics is None and state is None else metrics
    metrics = metrics and {whole.names.get(name, name): metric for name, metric in metrics.items()}
    notes |= buffers_told(whole, buffers) if budget else {}
    if budget and effort == "calibrate":
        return _calibrated(
            whole, plan, task or module, calibration, budget, notes, buffers, folder,
            samples=samples, seed=seed, quality=quality, fold=fold, meter=meter, tune=tune,
        )  # fmt: skip
    if budget and effort == "direct":
        result = _within(whole, budget, plan, quality, notes, buffers, metrics, module, threads)
        return recalibrated(result, whole, task, recalibrate, seed)
    plan, whole = plan.settled(whole, metrics, alike=effort == "direct")
    if effort == "train" and task is not None:
        of = training or Training(), notes, seed, state, watch, exchange
        return replace(trained(whole, plan, task, budget, metrics, *of), norms=norms, choice=choice)
    with plan.advising():
        codes = {name: code for group in direct(whole.params, plan, metrics) for name, code in group.items()}
    codes = compact({name: codes[name] for name in whole.params})
    result = Result(whole.named(codes), notes, signals=left(whole, codes, module))
    return recalibrated(result, whole, task, recalibrate, seed)


def _storable(network: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a network by name, each of which a file can hold."""
    given = all_params_of(network) if isinstance(network, nn.Module) else dict(network)
    for name, tensor in given.items():
        require_storable(name, tensor)
    return given


def _within(
    whole: Untied, budget: Budget, plan: Plan, quality: str, notes: Mapping[str, str], buffers: Collection[str],
    metrics: Metrics | None, module: nn.Module | None, threads: int | None,
) -> Result:  # fmt: skip
    """Return the network within its budget by its weights alone; arguments and errors are those of `compress`."""
    fitted = within(
        whole, budget, plan, QUALITIES[quality], notes, buffers=buffers,
        metrics=metrics, reference_bytes=int(notes[REFERENCE_BYTES]), threads=threads,
    )  # fmt: skip
    return Result(fitted.codes, notes, fitted=fitted, signals=left(whole, fitted.codes, module, fitted.signals))


def _calibrated(
    whole: Untied, plan: Plan, of: Task | nn.Module | None, calibration: Any, budget: Budget, notes: Mapping[str, str],
    buffers: Collection[str], folder: Path | None, *, samples: int | None, seed: int, quality: str, fold: bool,
    meter: bool, tune: bool,
) -> Result:  # fmt: skip
    """Return the network within its budget by what its layers read; arguments and errors are those of `compress`."""
    if of is None:
        raise PlanError("effort 'calibrate' runs the network: give the module, not its weights alone, or a task")
    source = Calibration.of(of, calibration, SAMPLES if samples is None else samples, seed)
    fitted, told = calibrated(
        whole, source, budget, quality, notes, lossless=plan.kept(whole), buffers=buffers, fold=fold,
        reference_bytes=int(notes[REFERENCE_BYTES]), meter=meter, tune=tune, resume=folder,
    )  # fmt: skip
    return Result(fitted.codes, {**notes, **told.record}, fitted=fitted, signals=fitted.signals, calibration=told)


def _choice(
    call: Asked, effort: Effort, of: Task | nn.Module | None, calibration: Any, samples: int | None, seed: int,
    metrics: Metrics | None, fold: bool, tune: bool, threads: int | None,
) -> Chosen:  # fmt: skip
    """Return what is chosen for each tensor."""
    if effort == "direct":
        task = of if isinstance(of, Task) else None
        metrics = call.plan.metrics(task, call.network.params) if metrics is None else metrics
        first = {call.network.names.get(name, name): metric for name, metric in (metrics or {}).items()}
        return call.by_weights(first, silent, threads)
    if of is None:
        raise PlanError(f"effort {effort!r} runs the network: give the module, not its weights alone, or a task")
    inputs = None if isinstance(of, Task) and effort == "train" else calibration
    source = Calibration.of(of, inputs, SAMPLES if samples is None else samples, seed)
    return call.by_inputs(source, silent, fold=fold, tune=tune)


def _of_inputs(of: Task | nn.Module | None, inputs: Any, params: Params, seed: int) -> Task:
    """Return the task to say what the network says now."""
    if of is None:
        raise PlanError("effort 'train' runs the network: give the module, not its weights alone, or a task")
    owner = of.module if isinstance(of, Task) else of
    return unlabelled(of, inputs, typed_as(owner, untied(params, owner).params), seed)


def trained(
    whole: Untied, plan: Plan, task: Task, budget: Budget | None, metrics: Metrics | None, how: Training,
    notes: Mapping[str, str], seed: int, resume: LCState | None, watch: Watch | None, exchange: Exchange | None = None,
) -> Result:  # fmt: skip
    """Return the result of training.

    Arguments and errors are those of `compress`; the plan is settled, has the row of the budget, if there is one
    (`laconic.lc.budgeted.shared_out`), and ``how`` is as long as that asks for.
    """
    whole = replace(whole, params=typed_as(task.module, whole.params))
    until = Until.of(task, whole, notes, budget, whole.params) if how.method == "rounds" else None
    if until is None:
        require_same_budget(plan, budget, resume)
    require_same_statistics(whole, task, resume)
    with plan.advising():
        moving = trainable(task.module, whole.params)
        mu = how.first_mu(task)
        first = (
            replace(resume, exchange=exchange) if resume else start(whole.params, plan, metrics, moving, mu, exchange)
        )
    history = list[Progress]()
    for state in how.path(first, task, seed, whole.params, budget, until):
        if state.tuning is None or not history:
            history.append(state.progress)
        if watch is not None:
            watch(state)
    assert state.tuning is not None, "the path ends with fine-tuning"
    tuned, judge = FineTuning.of(task, state.chosen).tuned(state.tuning), None
    if budget and budget.is_of_outputs:
        judge = Bound.of(task, whole.params, budget)
    codes, reached = finished(state, tuned, task, judge, until and until.fits)
    quality = reached and replace(reached, files=state.progress.step + 1)
    kept = left(whole, codes, task.module, moved=True)
    fixed = tuple(state.fixed)
    return Result(whole.named(codes), notes, tuple(history), fixed=fixed, signals=kept, asked=budget, quality=quality)


@overload
def load(source: str | Path, module: None = None, *, limit: int | None = None) -> dict[str, Tensor]: ...
@overload
def load(source: str | Path, module: Network, *, limit: int | None = None) -> Network: ...
def load(source: str | Path, module: Any = None, *, limit: int | None = None) -> Any:
    """Return the weights in a `.lac` file as torch tensors by name, or the module that they are put into.

    Args:
        source: the file, or a folder that `laconic compress` has made of a model.
        module: is filled with the weights, and returned; one in `DataParallel` or `torch.compile` is filled within.
            Where the file is of a network that was shrunk, a fresh one of the same class becomes as small.
        limit: bytes that all tensors together may take decoded, see `laconic.open`.

    Raises:
        FormatError: when the file is not a sound `.lac` file, or holds more than the limit allows.
        WeightsError: when names or shapes are not those of the module, which is left as it was.
    """
    if not isinstance(module, nn.Module | None):
        raise WeightsError(f"module is a torch.nn.Module to fill, not {module!r}; a limit goes by its name: limit=...")
    with container.open(source, limit) as file:
        weights, metadata = all_of(file), dict(file.metadata)
    if module is None:
        return weights
    if edits := edits_of(metadata):
        apply_to(unwrapped(narrow(copy.deepcopy(module), edits)), weights)  # what fails leaves the module as it was
    apply_to(unwrapped(narrow(module, edits)), weights)
    return module

"""`laconic compress`: a checkpoint to a `.lac` file."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from laconic import interrupts
from laconic.cli import options
from laconic.cli.console import Output, in_bytes
from laconic.cli.metadata import carried
from laconic.cli.planning import plan_of
from laconic.cli.running import Run, going_on, is_written, resumable
from laconic.cli.tasks import doubts, evaluations, fitting, task_of
from laconic.errors import DataError, PlanError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.format.files import sha256
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.baselines import direct
from laconic.lc.budgeted import buffers_told, within
from laconic.lc.damage import left
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models.checkpoints import open_checkpoint
from laconic.models.params import Params, buffers_of
from laconic.models.ties import Untied, untied
from laconic.plans.plan import Plan, load_plan
from laconic.quantize.budget import PASSES, QUALITIES, Budget
from laconic.quantize.budget.signal import told, total
from laconic.result import Result
from laconic.theory.importance import Importance
from laconic.theory.metric import Metrics
from laconic.training.optimization import Optimization
from laconic.training.task import Task


class Effort(StrEnum):
    """How much work compression may be."""

    direct = "direct"
    train = "train"


class Quality(StrEnum):
    """How hard to try to meet a budget well."""

    fast = "fast"
    default = "default"
    max = "max"


class Method(StrEnum):
    """What training does."""

    lc = "lc"
    idc = "idc"
    retrain = "retrain"


def command(
    context: typer.Context,
    weights: Annotated[Path, typer.Argument(help="The checkpoint: .safetensors, .pt or .pth.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .lac file to write.")],
    bits: Annotated[
        float | None,
        typer.Option(
            help="Budget: bits per weight, of the whole file. 4 unless you say. Buffers and masks are no weights."
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            parser=options.size, metavar="SIZE", help="Budget: bytes of the file, as 100KB or 1.5MiB; never more."
        ),
    ] = None,
    ratio: Annotated[float | None, typer.Option(help="Budget: how many times smaller than the checkpoint.")] = None,
    snr: Annotated[
        float | None, typer.Option(help="Budget: signal over error of the weights in dB, matrices and kernels.")
    ] = None,
    quality: Annotated[
        Quality, typer.Option(help="With a budget: fast (no trellis), default (8 states), max (64 states).")
    ] = Quality.default,
    codebook: options.Codebook = None,
    keep: options.Keep = None,
    rank: options.Rank = None,
    per_tensor: options.PerTensor = False,
    plan: options.Plan = None,
    lossless: options.Lossless = None,
    importance: options.Weigh = None,
    temperature: options.Temperature = None,
    importance_samples: options.Samples = None,
    kind: options.Outputs = None,
    effort: Annotated[Effort, typer.Option(help="direct: weights only, seconds. train: the LC algorithm.")] = (
        Effort.direct
    ),
    method: Annotated[
        Method, typer.Option(help="With --effort train: lc, or the baselines idc (iterated direct) and retrain.")
    ] = Method.lc,
    net: options.Net = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    task: options.TaskFactory = None,
    steps: Annotated[int, typer.Option(min=0, help="LC steps at most; the gap stops it before.")] = 120,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs of one L step.")] = 1,
    lr: Annotated[float, typer.Option(help="Learning rate of the first L step.")] = 0.1,
    lr_decay: Annotated[float, typer.Option(help="Its factor from step to step.")] = 0.98,
    weight_decay: Annotated[float, typer.Option(min=0, help="α of (α/2)‖w‖² in the L steps.")] = 0.0,
    mu: Annotated[
        float | None, typer.Option(help="First penalty parameter μ; set from the loader unless given.")
    ] = None,
    growth: Annotated[float, typer.Option(min=1, help="Factor of μ from step to step while choices move.")] = 1.03,
    tolerance: Annotated[float, typer.Option(min=0, help="Stop when ‖w − Δ(Θ)‖/‖w‖ is below.")] = 0.01,
    quadratic_penalty: Annotated[bool, typer.Option("--quadratic-penalty", help="Without multipliers.")] = False,
    finetune: Annotated[int, typer.Option(min=0, help="Epochs of fine-tuning what stays free at the end.")] = 20,
    batch: options.Batch = 128,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compress a checkpoint to a .lac file, from the weights alone or by training (the LC algorithm).

    Biases and the parameters of normalisation layers are stored lossless unless a plan says otherwise.

    With a budget (--bits, --size, --ratio or --snr) every weight goes on one grid with the step that meets it, entropy-
    coded: the smallest file for its error; a tensor that it would wipe out has a finer one. --codebook, --keep, --rank
    and --plan say instead what becomes of weights. Tensors that are left with next to nothing are named.

    A plan and a budget go together: the plan's rows take their bytes first, and all other weights share what remains.
    What --lossless names stays as it is, and so do masks (0 and -inf alone) and tensors of a single value.

    With --importance the errors of these count as much as the weights matter to the network: it needs the network and
    its data, of which the checkpoint may tell the names. It goes before what a plan says; none is for none.

    Examples:
      laconic compress net.safetensors -o net.lac --bits 3

      laconic compress net.safetensors -o net.lac --size 100KB --quality max

      laconic compress net.pt -o net.lac --bits 3 --lossless 'head.*'

      laconic compress net.pt -o net.lac --bits 3 --plan a.toml

      laconic compress net.safetensors -o net.lac --codebook 4

      laconic compress net.safetensors -o net.lac --keep 0.05 --codebook 16

      laconic compress net.safetensors -o net.lac --keep 0.1 --importance gradient

      laconic compress net.pt -o net.lac --rank 8 --net lenet300 --data digits

      laconic compress a.safetensors -o a.lac --codebook 2 --effort train

      laconic compress a.pt -o a.lac --plan a.toml --effort train --task mine:make
    """
    say = Output(as_json, quiet)
    checkpoint = output.with_name(output.name + ".checkpoint")
    options.require_output(output, ".lac", force=force or (resume and checkpoint.exists()))
    torch.set_num_threads(threads or torch.get_num_threads())
    opened = open_checkpoint(weights)
    params, metadata = opened.params, opened.metadata
    notes, left_out = carried(metadata, weights)
    say.note(*opened.notes, *left_out)
    notes[REFERENCE_BYTES] = str(weights.stat().st_size)
    budget = _budget(context, bits, size, ratio, snr, effort)
    job_task, resolved = None, load_plan(plan) if budget and plan else None
    if not budget:
        params = dict(params)
        resolved = plan_of(params, codebook, keep, rank, per_tensor, plan)
    resolved = _weighed(resolved, importance, temperature, importance_samples, kind)
    weighing = resolved is not None and resolved.importance is not None
    if effort is Effort.train or net or data or task or weighing:
        with _needing_a_task(weighing):
            job_task = task_of(net, data, data_dir, task, metadata, batch=batch, seed=seed)
        params = fitting(params, job_task)
        say.note(*doubts(params, job_task, metadata))
    whole = untied(params, job_task.module if job_task else None)
    if job_task is None or effort is Effort.direct:
        _require_defaults(context)
        metadata = {**(job_task.metadata if job_task else {}), **notes}
        metrics = resolved and _metrics(say, resolved, job_task, whole.params)
        if budget:
            rows = (resolved or Plan({})).keeping(lossless or [])
            result = _within(say, whole, budget, rows, metrics, quality, metadata, job_task, threads)
        else:
            assert resolved is not None, "what is no budget is a plan"
            resolved, once = resolved.settled(whole, metrics, alike=True)
            codes = _direct(say, resolved, once, metrics)
            result = Result(codes, metadata, signals=left(once, codes, job_task and job_task.module))
        del params, whole  # what was read of the checkpoint leaves the memory
        with resumable(output):
            _report(say, result, output, job_task, force)
        return
    assert resolved is not None, "a budget is for direct compression"
    how = Training(
        method.value, steps, Optimization(epochs, lr, weight_decay=weight_decay), lr_decay, mu=mu, growth=growth,
        tolerance=tolerance, augmented=not quadratic_penalty, finetune=replace(FINE_TUNING, epochs=finetune),
    )  # fmt: skip
    job = {
        "the checkpoint's SHA-256": sha256(weights),
        "--plan": "" if plan is None else repr(resolved),
        **({"--importance": repr(resolved.importance)} if weighing else {}),
        "the task": task or str(dict(job_task.metadata)),
        **{options.name_of(option): str(context.params[option]) for option in (*_CHOICES, *_OF_TRAINING)},
        "--threads": str(torch.get_num_threads()),
    }
    run = Run(say, checkpoint, job, going_on(say, checkpoint, resume=resume, force=force), output, force)
    with resumable(output, checkpoint):
        metrics = _metrics(say, resolved, job_task, whole.params)
        resolved, whole = resolved.settled(whole, alike=False)
        result = run.compress(whole.params, resolved, job_task, how, notes, seed, metrics)
        _report(say, result, output, job_task, force, resume)
        interrupts.finish()
    checkpoint.unlink(missing_ok=True)  # not before all is said: who is interrupted until then has not seen the figures


_OF_PLANS = ("codebook", "keep", "rank", "per_tensor")
_CHOICES = ("codebook", "keep", "rank", "per_tensor", "batch", "seed")
_OF_TRAINING = (
    "method", "steps", "epochs", "lr", "lr_decay", "weight_decay", "mu", "growth", "tolerance", "quadratic_penalty",
    "finetune",
)  # fmt: skip


def _require_defaults(context: typer.Context) -> None:
    """Raise `PlanError` for options of training without training: none is ignored."""
    sources = {option: context.get_parameter_source(option) for option in (*_OF_TRAINING, "resume")}
    idle = [options.name_of(option) for option, source in sources.items() if source and source.name == "COMMANDLINE"]
    if idle:
        raise PlanError(f"{', '.join(idle)}: only --effort train takes this")


def _weighed(
    plan: Plan | None,
    importance: options.Importance | None,
    temperature: float | None,
    samples: int | None,
    kind: options.Kind | None,
) -> Plan | None:
    """Return the plan with the importance that the options name; it has its own where they name none."""
    if importance in (None, options.Importance.none) and (temperature, samples, kind) != (None, None, None):
        raise PlanError("--temperature, --importance-samples and --kind go with an --importance")
    if importance is None:
        return plan
    if importance is options.Importance.none:
        return plan and replace(plan, importance=None)
    if plan is None:
        raise PlanError(
            "--importance does not go with a budget, which weighs the errors of all weights alike for now; "
            "say --codebook, --keep or --plan"
        )
    return replace(plan, importance=Importance(importance.value, temperature, samples, kind and kind.value))


@contextmanager
def _needing_a_task(weighing: bool) -> Iterator[None]:
    """Let the error of a task that is not there say what an importance needs it for."""
    try:
        yield
    except DataError as error:
        if not weighing:
            raise
        raise DataError(f"an importance needs a task, to measure what matters on its data; {error}") from error


def _metrics(say: Output, plan: Plan, task: Task | None, params: Params) -> Metrics | None:
    """Return the metrics of the plan's importance, with a progress bar over the samples meanwhile."""
    if plan.importance is None:
        return None
    with say.progress(f"importance: {plan.importance.name}", 1.0) as tick:
        return plan.metrics(task, params, lambda done, total: tick(done / max(1, total)))


def _direct(say: Output, plan: Plan, network: Untied, metrics: Metrics | None) -> dict[str, Code]:
    """Return the codes of direct compression, with a progress bar over the elements meanwhile."""
    codes, params = dict[str, Code](), network.params
    with say.progress("direct compression", max(1, sum(tensor.numel() for tensor in params.values()))) as tick:
        with plan.advising():
            for group in direct(params, plan, metrics):
                codes.update(group)
                tick(sum(code.size for code in codes.values()))
    return network.named(compact({name: codes[name] for name in params}))


def _budget(
    context: typer.Context, bits: float | None, size: int | None, ratio: float | None, snr: float | None,
    effort: Effort,
) -> Budget | None:  # fmt: skip
    """Return the budget that the options name, the default one where they name nothing, or None for a plan alone."""
    given = {"bits": bits, "size": size, "ratio": ratio, "snr": snr}
    named = [options.name_of(option) for option, value in given.items() if value is not None]
    planned = [
        options.name_of(o) for o in _OF_PLANS if context.params[o] is not None and context.params[o] is not False
    ]
    if len(named) > 1:
        raise PlanError(f"{', '.join(named)}: a budget is named once")
    if named and not planned and effort is Effort.direct:
        return Budget(bits=bits, size=size, ratio=ratio, snr=snr)
    if planned or context.params["plan"] or effort is Effort.train:
        idle = [*named, *(["--quality"] if context.params["quality"] is not Quality.default else [])]
        if idle and (planned or effort is Effort.train):
            beside = ", ".join(planned) or "--effort train"
            raise PlanError(f"{idle[0]} does not go with {beside}: a budget says it all")
        if idle or context.params["lossless"]:
            alone = idle[0] if idle else "--lossless"
            raise PlanError(f"{alone} goes with a budget: name one, as --bits 4; or give what stays a row in a --plan")
        return None
    return Budget(bits=4, asked=False)


def _within(
    say: Output, network: Untied, budget: Budget, plan: Plan, metrics: Metrics | None, quality: Quality,
    notes: Mapping[str, str], task: Task | None, threads: int | None,
) -> Result:  # fmt: skip
    """Return the result within a budget, with a progress bar over the passes meanwhile."""
    buffers, reference = buffers_of(task.module) if task else (), int(notes[REFERENCE_BYTES])
    notes = {**notes, **buffers_told(network, buffers)}
    with say.progress("choosing the step", PASSES) as tick:
        fitted = within(
            network, budget, plan, QUALITIES[quality.value], notes,
            lambda number, size: tick(number, f"pass {number}: {in_bytes(size)}"),
            buffers=buffers, metrics=metrics, reference_bytes=reference, threads=threads,
        )  # fmt: skip
    kept = left(network, fitted.codes, task and task.module, fitted.signals)
    return Result(fitted.codes, notes, fitted=fitted, signals=kept)


def _report(
    say: Output, result: Result, output: Path, task: Task | None, force: bool, resume: bool = False
) -> None:  # fmt: skip
    """Write, evaluate and print."""
    if not is_written(output, lambda: container.dumps(result.codes, result.metadata), resume=resume, force=force):
        result.save(output, force=force)  # before anything else can fail
    measured = evaluations(task, result.params, say) if task else {}
    account = result.ledger()
    steps = result.history[-1].step if result.history else 0
    record: dict[str, Any] = {
              "output": str(output), "bytes": account.file_bytes, "reference_bytes": account.reference_bytes,
              "ratio": account.ratio, "published_ratio": account.published_ratio, "steps": steps,
              "history": [progress.__dict__ for progress in result.history],
              "compressed_once": list(result.fixed), "snr": total(result.signals.values()),
              "least_snr": min((signal.snr for signal in result.signals.values()), default=math.inf),
              "weak": [{"name": name, "snr": snr} for name, snr in result.weak], **measured}  # fmt: skip
    ratio = f"{account.ratio:.2f}× smaller" if account.ratio else ""
    fitted = result.fitted
    if fitted:
        record |= {"asked": str(fitted.budget), "bits_per_weight": fitted.bits_per_weight, "snr": fitted.snr,
                   "step": fitted.step, "passes": fitted.passes, "kept_lossless": list(fitted.lossless)}  # fmt: skip
        ratio += f"; asked {fitted.budget}, {fitted.bits_per_weight or 0:.3f} bits per weight at {fitted.snr:.2f} dB"
        if not fitted.budget.asked and (fitted.bits_per_weight or 0) > 1.05 * (fitted.budget.bits or 0):
            ratio += "; nobody asked: these bits are beside what stays as it is"
    lines = [*told(result.signals)] + [
        f"{split}: " + ", ".join(f"{k} {v:.4g}" for k, v in measures.items()) for split, measures in measured.items()
    ]
    say.result(record, f"wrote {output}: {in_bytes(account.file_bytes)}, {ratio}", *lines)

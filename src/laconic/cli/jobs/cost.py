"""What `laconic inspect --cost` prints: what a network costs to run, layer by layer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from laconic.cli import options
from laconic.cli.console import Output, table
from laconic.cli.jobs.tasks import fitting, opened, task_for
from laconic.csteps.profile import Setting
from laconic.csteps.profile_file import load_profile
from laconic.deploy.costing import LayerCost, NetworkCost, cost_of
from laconic.deploy.edits import edits_of
from laconic.deploy.narrowing import narrow
from laconic.errors import DataError
from laconic.format import container
from laconic.format.codes import Code, DenseCode
from laconic.format.signatures import is_lac
from laconic.models import nets
from laconic.models.counting import Count, counted
from laconic.models.params import all_of, once, params_of, to_numpy
from laconic.training.batches import rows_of
from laconic.training.task import Task

_BUILT_IN = "digits"
"""Images that are smaller than those that networks were published with."""


@final
@dataclass(frozen=True)
class Job:
    """What is counted.

    Args:
        source: a `.lac` file or a checkpoint; None for a network as it is made.
        subject: which network it is.
        key: where the network is in the checkpoint.
        limit: bytes of tensors, of a `.lac` file.
        profile: of the machine that time is predicted for.
        batch: inputs that are run together there.
        run: threads and seed.
    """

    source: Path | None
    subject: options.Subject
    key: str | None
    limit: int | None
    profile: Path | None
    batch: int
    run: options.Run


class Runnable(NamedTuple):
    """A network that can be run once.

    Args:
        module: it.
        run: runs it on one input.
    """

    module: nn.Module
    run: Callable[[], Any]


class Weights(NamedTuple):
    """What a file holds: tensors by name, and the codes that stand for them."""

    params: Mapping[str, Tensor]
    codes: Mapping[str, Code]


def show(job: Job, say: Output) -> None:
    """Count and print."""
    torch.set_num_threads(job.run.threads or torch.get_num_threads())
    profile = load_profile(job.profile) if job.profile else None  # a bad one is told before the work
    weights, metadata = _read(job, say)
    network = runnable(say, job.subject, metadata, job.run.seed)
    count = counted(network.module, network.run, 1)
    cost = cost_of(count, by_first_names(network, weights, count), profile, job.batch)
    say.note(*(f"not counted: {what} in {', '.join(where)}" for what, where in cost.unknown.items()))
    record = {"source": job.source and str(job.source), **cost.records()}
    say.result(record, *shown(cost, job.source.name if job.source else str(metadata.get("net", ""))))


def runnable(say: Output, subject: options.Subject, metadata: Mapping[str, str], seed: int = 0) -> Runnable:
    """Return the network of the options, or that the weights say they are of, with a run on one input.

    A reference network without --data runs on zeros of the shape that it was published with; all else on the first
    sample of its data.

    Raises:
        DataError: when nothing says which network it is.
    """
    net, data = subject.net or metadata.get("net"), subject.data or metadata.get("data")
    if net and not subject.data and data != _BUILT_IN and not subject.task:
        module = narrow(nets.build(net, classes=100 if data == "cifar100" else None, seed=seed), edits_of(metadata))
        given = torch.zeros(1, *nets.NETS[net].shape)
        return Runnable(module, lambda: module(given))
    return once_run(task_for(say, subject, metadata, seed=seed, augmented=False))


def once_run(task: Task) -> Runnable:
    """Return the network of a task with a run on the first sample of its data."""
    split = next(split for split in ("validation", "train", "test") if getattr(task, split) is not None)
    batch = rows_of(next(task.batches(split, 0)), 0, 1)
    own = {**params_of(task.module), **{name: buffer.clone() for name, buffer in task.module.named_buffers()}}
    return Runnable(task.module, lambda: task.outputs(own, batch))


def _read(job: Job, say: Output) -> tuple[Weights | None, Mapping[str, str]]:
    """Return the weights of a file, None where there is none, and its metadata."""
    if job.source is None:
        if not job.subject.named:
            raise DataError("name a file, or a network: --net NAME, or --task package.module:factory")
        return None, {"net": job.subject.net} if job.subject.net else {}
    if is_lac(job.source):
        with container.open(job.source, job.limit) as file:
            return Weights(all_of(file), {name: file.code(name) for name in file}), dict(file.metadata)
    checkpoint = opened(say, job.source, job.key)
    params = dict(checkpoint.params)
    return Weights(params, {name: DenseCode.of(to_numpy(t)) for name, t in params.items()}), checkpoint.metadata


def by_first_names(network: Runnable, weights: Weights | None, count: Count) -> dict[str, Code]:
    """Return the code of each parameter; of a network without a file its weights as they are.

    Raises:
        DataError: when the file is of another network.
    """
    if weights is None:
        return {name: DenseCode.of(to_numpy(tensor)) for name, tensor in params_of(network.module).items()}
    named = fitting(weights.params, network)
    given = {id(tensor): name for name, tensor in weights.params.items()}
    firsts = once(network.module, named)
    return {first: weights.codes[given[id(named[name])]] for first, name in firsts.items() if first in count.shapes}


def shown(cost: NetworkCost, title: str) -> list[Any]:
    """Return the tables and the lines under them."""
    columns = {"layer": "left", "parameters": "right", "mult-adds": "right", "as coded": "right",
               "written, B": "right", "energy, µJ": "right"}  # fmt: skip
    fields = "parameters", "multiply_adds", "coded", "written"
    rows = [
        (_named(layer), *(f"{getattr(layer, what):,.0f}" for what in fields), f"{layer.picojoules / 1e6:,.3f}")
        for layer in cost.layers
    ]
    totals = *(f"{cost.total(what):,.0f}" for what in fields), f"{cost.total('picojoules') / 1e6:,.3f}"
    counts = table(title, columns, [*rows, ("(total)", *totals)])
    alive = f"for one input; at most {cost.peak:,} bytes of activations alive at a time"
    if cost.session is None:
        return [counts, alive]
    timed = [(_named(layer), f"{1e6 * (layer.seconds or 0):,.1f}", _layouts(layer)) for layer in cost.layers]
    timed.append(("(total)", f"{1e6 * cost.total('seconds'):,.1f}", ""))
    title = f"predicted for {cost.machine}, for one input of {cost.batch} at a time"
    return [counts, alive, table(title, {"layer": "left", "time, µs": "right", "best layout": "left"}, timed)]


def _named(layer: LayerCost) -> str:
    """Return the name of a layer, or of all that is in none."""
    return layer.layer or "(network)"


def _layouts(layer: LayerCost) -> str:
    """Return how the weights of a layer are run."""
    said = [said_of(setting) for settings in layer.settings.values() for setting in settings]
    return "; ".join(said) or "-"


def said_of(setting: Setting) -> str:
    """Return a setting in words: "rows", "tiles of 32, 2 threads".

    >>> said_of(Setting("tiles", 32, 2))
    'tiles of 32, 2 threads'
    """
    layout = f"{setting.layout} of {setting.tile}" if setting.tile else setting.layout
    return layout if setting.threads == 1 else f"{layout}, {setting.threads} threads"

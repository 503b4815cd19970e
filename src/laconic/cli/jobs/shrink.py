"""What `laconic shrink` does: read a network, cut out what is empty, write what is left."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from laconic.cli.console import Output, in_bytes, table
from laconic.cli.jobs.tasks import opened, task_for
from laconic.cli.options import Run, Subject, require_output
from laconic.errors import NETWORK_ERRORS, DataError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.format.files import require_apart
from laconic.format.lossless import lossless
from laconic.format.signatures import is_lac
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.models import nets
from laconic.models.checkpoints import checkpoint_size
from laconic.models.directories import bytes_of
from laconic.models.params import beside, first_names, to_numpy
from laconic.models.state_dicts import named_as
from laconic.models.ties import untied
from laconic.result import Result
from laconic.training.batches import Batch, size_of
from laconic.training.binary_activations import require_real
from laconic.training.task import Task, mode

_SAMPLES = 8
"""Samples of a batch that are tried, at most."""


def shrink(
    say: Output, source: Path, output: Path, subject: Subject, run: Run, *, multiple: int, keep_inputs: bool,
    limit: int | None, key: str | None, force: bool,
) -> None:  # fmt: skip
    """Read, shrink, write and print."""
    require_output(output, ".lac", force=force)
    require_apart(output, source)
    torch.set_num_threads(run.threads or torch.get_num_threads())
    if is_lac(source):
        if key is not None:
            raise DataError(f"{source} is a .lac file, which holds one network: leave out --key {key}")
        with container.open(source, limit) as file:
            file.require_room("tensors")
            codes, metadata = file.codes(), dict(file.metadata)
        result = Result(codes, metadata)
        example = example_of(say, subject, metadata, run.seed)
    else:
        checkpoint = opened(say, source, key)
        example = example_of(say, subject, checkpoint.metadata, run.seed)
        result = _lossless(example.module, dict(checkpoint.params), checkpoint.metadata)
    with say.progress("shrinking", None):
        module, inputs = example.module, example.inputs
        smaller = result.shrink(module, inputs, multiple=multiple, keep_inputs=keep_inputs, seed=run.seed)
    smaller.save(output, force=force)
    _tell(say, source, output, smaller, example.samples)


def _lossless(module: nn.Module, params: Any, metadata: Mapping[str, str]) -> Result:
    """Return a checkpoint as it is, each tensor once."""
    whole = untied(named_as(params, first_names(module)), module)
    codes: dict[str, Code] = {name: lossless(to_numpy(tensor)) for name, tensor in whole.params.items()}
    reference = {REFERENCE_BYTES: str(checkpoint_size(whole.params))}
    return Result(whole.named(compact(codes)), {**metadata, **reference})


class Example(NamedTuple):
    """A network, what it is run on, and how many samples these are."""

    module: nn.Module
    inputs: Any
    samples: int

    @classmethod
    def of(cls, task: Task) -> "Example":
        """Return a task's network with some samples of its validation split, or a batch where it takes no fewer.

        Raises:
            DataError: when it does not run on a batch of its own.
        """
        batch = next(iter(islice(task.batches("validation", 0), 1)))
        few = type(batch)(part[:_SAMPLES] for part in batch) if isinstance(batch, tuple | list) else batch
        try:
            return cls(task.module, _arguments(task, few), size_of(few))
        except NETWORK_ERRORS:
            pass
        try:
            return cls(task.module, _arguments(task, batch), size_of(batch))
        except NETWORK_ERRORS as error:
            raise DataError(f"the network does not run on a batch of its task: {error}") from error


def example_of(say: Output, subject: Subject, metadata: Mapping[str, str], seed: int) -> Example:
    """Return the network and what it runs on: data where some is named, else random inputs.

    Raises:
        DataError: when nothing says which network.
        PlanError: for one of binary activations, in which a channel of zeros is not nothing.
    """
    require_real(metadata, "shrink")
    if subject.task or subject.data or metadata.get("data") == "digits":
        return Example.of(task_for(say, subject, metadata, seed=seed, augmented=False))
    name = subject.net or metadata.get("net")
    if name is None:
        raise DataError("the weights do not say what they are: give --net (or --task for a network of your own)")
    if name not in nets.NETS:
        nets.build(name)  # says which there are
    shape = nets.NETS[name].shape
    generator = torch.Generator().manual_seed(seed)
    return Example(nets.build(name, seed=seed), torch.randn(_SAMPLES, *shape, generator=generator), _SAMPLES)


def _arguments(task: Task, few: Batch) -> Any:
    """Return what the task gives its network for some samples."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def see(module: nn.Module, inputs: Any, named: Any) -> None:
        seen.append((inputs, named))

    handle = task.module.register_forward_pre_hook(see, with_kwargs=True)
    try:
        with mode(task.module, training=False), torch.no_grad():
            task.outputs(beside(task.module, dict(task.module.named_parameters())), few)
    finally:
        handle.remove()
    inputs, named = seen[0]
    if named and inputs:
        raise DataError("the task gives its network arguments both by place and by name: shrink it in Python")
    return dict(named) if named else inputs


def _tell(say: Output, source: Path, output: Path, smaller: Result, samples: int) -> None:
    """Print what has become of the network, of its multiply-adds those of one of the samples that it was run on."""
    shrunk = smaller.shrunk
    assert shrunk is not None, "it was shrunk"
    before, after = (round(many / samples) for many in shrunk.multiply_adds)
    sizes = bytes_of(source), output.stat().st_size
    record = {
        "output": str(output), "bytes": sizes[1], "bytes_before": sizes[0], "multiply_adds": after,
        "multiply_adds_before": before, "difference": shrunk.difference,
        "left": [row._asdict() for row in shrunk.left],
    }  # fmt: skip
    line = (
        f"wrote {output}: {in_bytes(sizes[0])} → {in_bytes(sizes[1])}, {before:,} → {after:,} multiply-adds for "
        f"one input ({before / max(after, 1):.2f} × fewer), outputs within {shrunk.difference:.0e}"
    )
    rows = [(row.name, str(row.axis), str(row.empty), row.why) for row in shrunk.left]
    columns = {"tensor": "left", "axis": "right", "empty": "right", "stays, for it": "left"}
    say.report(record, line, *([table("what is empty and stays", columns, rows)] if rows else []))

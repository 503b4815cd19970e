"""What `laconic rewrite` does: read a network, put compact layers in the place of others, write a checkpoint."""

from collections.abc import Mapping
from pathlib import Path

import torch

from laconic.cli.console import Output, in_bytes, table
from laconic.cli.jobs.shrink import Example, example_of
from laconic.cli.jobs.tasks import fitting, task_for, weights_of
from laconic.cli.options import Run, Subject, require_output
from laconic.cli.rewrite import Between, Layers
from laconic.deploy.edits import edits_of
from laconic.deploy.narrowing import narrow
from laconic.deploy.rewriting import Rewritten
from laconic.deploy.rewriting import rewrite as rewritten_of
from laconic.errors import DataError
from laconic.format.files import require_apart
from laconic.models.checkpoints import save_checkpoint
from laconic.models.params import apply_to, params_of
from laconic.models.ties import untied
from laconic.training.binary_activations import require_real
from laconic.training.task import Task


def rewrite(
    say: Output, source: Path, output: Path, layers: Layers, subject: Subject, run: Run, *, samples: int,
    limit: int | None, key: str | None, force: bool,
) -> None:  # fmt: skip
    """Read, rewrite, write and print."""
    require_output(output, ".safetensors", force=force)
    require_apart(output, source)
    torch.set_num_threads(run.threads or torch.get_num_threads())
    checkpoint = weights_of(say, source, key, limit)
    if edits_of(checkpoint.metadata).smaller:
        raise DataError(f"{source} is of a network that was shrunk: rewrite it first, then prune and shrink")
    network = _network(say, subject, checkpoint.metadata, run.seed)
    apply_to(network.module, fitting(checkpoint.params, network))
    with_data = isinstance(network, Task)
    between = "" if layers.between is Between.nothing else layers.between.value
    with say.progress("rewriting", None):
        made = rewritten_of(
            *((network, None) if isinstance(network, Task) else (network.module, network.inputs)),
            separable=layers.separable, pointwise=layers.pointwise, pooled=layers.pooled,
            rank=layers.rank, between=between, by_weights=not with_data, samples=samples, seed=run.seed,
        )  # fmt: skip
    say.note(*made.notes, *([] if with_data else ["no --data: by the weights alone, all inputs alike"]))
    weights = params_of(made.module)
    told = network.metadata if isinstance(network, Task) else {}
    notes = {**untied(weights, made.module).ties, **checkpoint.metadata, **told, **made.metadata}
    save_checkpoint(output, weights, notes, force=force)
    _tell(say, source, output, made)


def _network(say: Output, subject: Subject, metadata: Mapping[str, str], seed: int) -> Task | Example:
    """Return a task with data, or a network with random inputs where none are named.

    Raises:
        PlanError: for one of binary activations.
    """
    require_real(metadata, "rewrite")
    if subject.task or subject.data or metadata.get("data") == "digits":
        return task_for(say, subject, metadata, seed=seed, augmented=False)
    example = example_of(say, subject, metadata, seed)
    return example._replace(module=narrow(example.module, edits_of(metadata)))


def _tell(say: Output, source: Path, output: Path, made: Rewritten) -> None:
    """Print what has become of the layers and of the multiply-adds of one input."""
    before, after = made.multiply_adds
    sizes = source.stat().st_size, output.stat().st_size
    record = {
        "output": str(output), "bytes": sizes[1], "bytes_before": sizes[0], "multiply_adds": after,
        "multiply_adds_before": before, "error": made.error, "layers": [row._asdict() for row in made.layers],
        "left": [row._asdict() for row in made.left],
    }  # fmt: skip
    line = (
        f"wrote {output}: {in_bytes(sizes[0])} → {in_bytes(sizes[1])}, {before:,} → {after:,} multiply-adds for "
        f"one input ({before / max(after, 1):.2f} × fewer); outputs are {100 * made.error:.3g} % off in energy"
    )
    columns = {"layer": "left", "became": "left", "weights": "right", "then": "right", "error, %": "right"}
    rows = [(row.name, row.kind, f"{row.weights[0]:,}", f"{row.weights[1]:,}", f"{100 * row.error:.3g}")
            for row in made.layers]  # fmt: skip
    stays = table("what stays", {"layer": "left", "for it": "left"}, [(row.name, row.why) for row in made.left])
    say.report(record, line, table("what was rewritten", columns, rows), *([stays] if made.left else []))

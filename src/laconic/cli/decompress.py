"""`laconic decompress`: a `.lac` file back to a checkpoint, without torch."""

from pathlib import Path
from typing import Annotated

import safetensors.numpy
import typer

from laconic import container
from laconic.cli import options
from laconic.cli.console import Output, in_bytes
from laconic.files import replace_file, same_every_time
from laconic.ledger import REFERENCE_BYTES


def command(
    source: Annotated[Path, typer.Argument(help="The .lac file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The checkpoint to write (.safetensors).")],
    limit: options.Limit = None,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn a .lac file back into a checkpoint: exactly the weights that were evaluated.

    Example:
      laconic decompress net.lac -o net.safetensors
    """
    options.require_output(output, ".safetensors", force=force)
    say = Output(as_json, quiet)
    with container.open(source, limit) as file, say.progress("decompressing", max(1, len(file))) as tick:
        tensors = {}
        for name in file:
            tensors[name] = file[name]
            tick(len(tensors))
        metadata = {key: value for key, value in file.metadata.items() if key != REFERENCE_BYTES}
    with replace_file(output, force=force) as target:
        target.write(same_every_time(safetensors.numpy.save(tensors, metadata or None)))
    size = output.stat().st_size
    record = {"output": str(output), "bytes": size, "tensors": len(tensors)}
    say.result(record, f"wrote {output}: {len(tensors)} tensors, {in_bytes(size)}")

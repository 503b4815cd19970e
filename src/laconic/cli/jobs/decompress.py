"""What `laconic decompress` does: a file back to a checkpoint, without torch and one tensor at a time."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from laconic.cli.console import Output, in_bytes
from laconic.cli.options import require_output
from laconic.format import container, tensors_file
from laconic.format.container import LacFile
from laconic.format.files import replace_file
from laconic.insight.ledger import INTERNAL


def decompress(say: Output, source: Path, output: Path, *, threads: int, limit: int | None, force: bool) -> None:
    """Read, write and print."""
    require_output(output, ".safetensors", force=force)
    with container.open(source, limit) as file, replace_file(output, force=force) as target:
        file.require_room("nothing")
        outline = {row.name: (row.dtype, row.shape) for row in file.charges()[:-1]}
        metadata = {key: value for key, value in file.metadata.items() if key not in INTERNAL}
        written = tensors_file.write(target, outline, metadata, lambda names: decoded(file, names, threads))
        with say.progress("decompressing", max(1, len(file))) as tick:
            for number, _ in enumerate(written, 1):
                tick(number)
    size = output.stat().st_size
    record = {"output": str(output), "bytes": size, "tensors": len(outline)}
    say.report(record, f"wrote {output}: {len(outline)} tensors, {in_bytes(size)}")


def decoded(file: LacFile, names: list[str], threads: int) -> Iterator[np.ndarray]:
    """Give the tensors called ``names`` in their order, with at most ``threads`` + 1 of them in memory."""
    if threads == 1:
        yield from (file[name] for name in names)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(file.__getitem__, name) for name in names[:threads])
        for name in names[threads:]:
            array = waiting.popleft().result()
            waiting.append(pool.submit(file.__getitem__, name))
            yield array
            del array
        while waiting:
            yield waiting.popleft().result()

"""What `laconic decompress` does: a file back to a checkpoint, without torch and one tensor at a time."""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from laconic.cli.console import Output, in_bytes
from laconic.cli.options import require_output
from laconic.errors import DataError
from laconic.format import container, tensors_file
from laconic.format.container import LacFile
from laconic.format.files import replace_file, replace_folder, require_replaceable
from laconic.format.tensors_file import Outline
from laconic.insight.ledger import INTERNAL
from laconic.models.companions import INDEX, lost, unpack
from laconic.models.directories import bytes_of


def decompress(
    say: Output, source: Path, output: Path, *, threads: int, limit: int | None, shard: int | None, force: bool
) -> None:
    """Read, write and print."""
    as_file = output.suffix.lower() == ".safetensors"
    if as_file and shard is not None:
        raise DataError(f"--shard writes a folder of files, but {output} is one file: name a folder, or leave it out")
    as_folder = not as_file and (source.is_dir() or shard is not None)
    if as_folder:
        require_replaceable(output, lost, force=force)
    else:
        require_output(output, ".safetensors", force=force)
    with container.open(source, limit) as file, say.progress("decompressing", max(1, len(file))) as tick:
        file.require_room("nothing")
        outline = {row.name: (row.dtype, row.shape) for row in file.charges()[:-1]}
        metadata = {key: value for key, value in file.metadata.items() if key not in INTERNAL}
        with _files(source, output, outline, metadata, shard, as_folder=as_folder, force=force) as files:
            done = 0
            for path, part in files.items():
                with replace_file(path, force=force) as target:
                    for _ in tensors_file.write(target, part, metadata, lambda names: decoded(file, names, threads)):
                        tick(done := done + 1)
    size = bytes_of(output)
    record = {"output": str(output), "bytes": size, "tensors": len(outline), "files": [path.name for path in files]}
    shards = f" in {len(files)} files" if len(files) > 1 else ""
    say.report(record, f"wrote {output}: {len(outline)} tensors, {in_bytes(size)}{shards}")


@contextmanager
def _files(
    source: Path, output: Path, outline: Outline, metadata: dict[str, str], shard: int | None, *, as_folder: bool,
    force: bool,
) -> Iterator[Mapping[Path, Outline]]:  # fmt: skip
    """Give what goes into each file; a folder is in its place when the block ends."""
    if not as_folder:
        yield {output: outline}
        return
    metadata.setdefault("format", "pt")  # without, transformers 4 refuses a file
    with replace_folder(output, lost, force=force) as folder:
        parts = shards(outline, shard)
        yield {folder / name: part for name, part in parts.items()}
        if len(parts) > 1:
            (folder / INDEX).write_text(index_of(parts), encoding="utf-8")
        if source.is_dir():
            unpack(source, folder)


def shards(outline: Outline, limit: int | None) -> dict[str, Outline]:
    """Return which tensors go into which file, in the order of one file; none is above the limit but of one tensor.

    Args:
        outline: dtype and shape of each tensor.
        limit: bytes of the tensors of a file; None for one file.

    >>> sorted(shards({"a": ("int8", (3,)), "b": ("int8", (3,)), "c": ("int8", (2,))}, 5))
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    """
    parts, room = list[dict[str, tuple[str, tuple[int, ...]]]](), 0
    for name in tensors_file.order(outline):
        size = tensors_file.bytes_of(outline[name])
        if not parts or (limit is not None and size > room):
            parts, room = [*parts, {}], limit or 0
        parts[-1][name], room = outline[name], room - size
    if len(parts) < 2:
        return {"model.safetensors": outline}
    return {f"model-{number:05d}-of-{len(parts):05d}.safetensors": part for number, part in enumerate(parts, 1)}


def index_of(parts: Mapping[str, Outline]) -> str:
    """Return the text of the index of shards."""
    total = sum(tensors_file.bytes_of(entry) for part in parts.values() for entry in part.values())
    places = {name: file for file, part in parts.items() for name in part}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}, indent=2) + "\n"


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

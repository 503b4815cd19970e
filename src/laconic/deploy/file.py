"""A graph on disk, all or nothing: one file, or, for large ones, a file with its constants beside it."""

import hashlib
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

import onnx

from laconic.errors import ExportError
from laconic.format.files import replace_file, require_absent

LARGE = 1_500_000_000
"""Bytes from which on constants lie beside the graph: a file of the format holds no more than 2 GB."""


@final
@dataclass(frozen=True)
class Written:
    """What has been written.

    Args:
        path: of the graph.
        constants: the file beside it, if there is one: both belong together.
        bytes: of both.
    """

    path: Path
    constants: Path | None
    bytes: int


def write(
    graph: onnx.ModelProto, path: Path, check: Callable[[onnx.ModelProto | Path], None], *, external: bool, force: bool
) -> Written:
    """Write a graph that passes a check; where it does not, ``path`` is as it was.

    Constants beside the graph are in a file named after their content, ``net-1f2e3d4c.data`` for ``net.onnx``, so that
    an old graph keeps its own until the new one takes its name.

    Args:
        graph: to write.
        path: of the file.
        check: given the graph, or the file where constants lie beside it; raises what is to be raised.
        external: constants lie beside the graph, whatever their size.
        force: replace an existing file.

    Raises:
        OutputExists: when ``path`` exists and ``force`` is not set.
        OSError: when it cannot be written; it names the file.
    """
    require_absent(path, force=force)
    if not external and graph.ByteSize() < LARGE:
        check(graph)
        with replace_file(path, force=force) as file:
            file.write(graph.SerializeToString())
        return Written(path, None, path.stat().st_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        data = Path(folder) / "constants"
        onnx.save_model(graph, Path(folder) / path.name, save_as_external_data=True, location=data.name)
        check(Path(folder) / path.name)
        with data.open("rb") as file:
            name = f"{path.stem}-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}.data"
        outline = onnx.load_model(Path(folder) / path.name, load_external_data=False)
        for constant in outline.graph.initializer:
            for entry in constant.external_data:
                if entry.key == "location":
                    entry.value = name
        old, constants = _constants_of(path), path.with_name(name)
        data.replace(constants)
        with replace_file(path, force=force) as target:
            target.write(outline.SerializeToString())
        constants.chmod(path.stat().st_mode)
        for one in old - {constants}:
            one.unlink(missing_ok=True)
    return Written(path, constants, path.stat().st_size + constants.stat().st_size)


def _constants_of(path: Path) -> set[Path]:
    """Return the files of constants that an earlier export has put beside the graph at ``path``."""
    names = set[str]()
    with suppress(Exception):  # what is there may be anything
        for constant in onnx.load_model(path, load_external_data=False).graph.initializer:
            names |= {entry.value for entry in constant.external_data if entry.key == "location"}
    own = re.compile(re.escape(path.stem) + r"-[0-9a-f]{8}\.data")
    return {path.with_name(name) for name in names if own.fullmatch(name)}


def require_suffix(path: Path) -> None:
    """Raise `ExportError` unless the name is one by which others know the format."""
    if path.suffix != ".onnx":
        raise ExportError(f"{path}: what is written is a graph of ONNX; name it {path.with_suffix('.onnx').name}")

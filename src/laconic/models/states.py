"""The state of a run on disk: a safetensors file with a checksum, all or nothing, which belongs to one job."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from laconic.errors import DataError
from laconic.models.checkpoints import load_checkpoint, save_checkpoint
from laconic.models.params import Params, to_numpy


def write_state(path: Path, kind: str, tensors: Params, metadata: Mapping[str, str]) -> None:
    """Write a state, replacing what is there.

    Args:
        path: the file.
        kind: what `read_state` has to ask for.
        tensors: by name.
        metadata: text beside them.
    """
    marked = {**metadata, "laconic": kind}
    save_checkpoint(path, tensors, {**marked, "checksum": _checksum(tensors, marked)}, force=True)


def read_state(path: Path, kind: str, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the text of a state.

    Args:
        path: what `write_state` wrote.
        kind: that it must be of.
        what: this is, in words.

    Raises:
        DataError: when the file is missing, of another kind, or damaged.
    """
    tensors, metadata = load_checkpoint(path)
    if metadata.get("laconic") != kind:
        raise DataError(f"{path} is no {what}")
    if metadata.pop("checksum", "") != _checksum(tensors, metadata):
        raise DataError(f"{path} is damaged: its checksum does not fit. Remove it, and start the run again")
    return tensors, metadata


def job_text(job: Mapping[str, str]) -> str:
    """Return a job as text that `require_same` reads."""
    return json.dumps(dict(job), sort_keys=True)


def require_same(path: Path, text: str, job: Mapping[str, str], kept: str = "file") -> None:
    """Check that a state is of this job.

    Args:
        path: where the state is.
        text: its job, as `job_text` has written it.
        job: of the present run.
        kept: what ``path`` is.

    Raises:
        DataError: when it is of another; the message says what differs.
    """
    saved = json.loads(text)
    differs = sorted(key for key in saved.keys() | job.keys() if saved.get(key) != job.get(key))
    if differs:
        changes = "; ".join(f"{key} was {saved.get(key)}, is {job.get(key)}" for key in differs)
        raise DataError(f"{path} belongs to another run: {changes}. Repeat that run's options, or remove the {kept}")


def _checksum(tensors: Params, metadata: Mapping[str, str]) -> str:
    """Return the CRC-32 of everything in the file: safetensors has none of its own."""
    crc = zlib.crc32(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        array = to_numpy(tensors[name])
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.tobytes(), crc)
    return f"{crc:08x}"

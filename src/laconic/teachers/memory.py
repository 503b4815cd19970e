"""What a teacher has said of the training samples, kept on disk: no later pass, of this run or another, runs it.

A sample is known by a digest of its own tensors, inputs and targets, for each pass has another order. What is kept is
what the teacher said of it in a pass of seed 0, all or nothing in one file, so that a run is a function of its seed and
of whether it remembers, and not of which runs came before. In the last bits outputs depend on the batch around them:
with and without a memory the files of a run may differ.

The file goes by the teacher's digest and the samples of the first batch; its teacher is asked once more for that batch,
for of code the digest has the names alone. Batches with a sample that is not known, as where training data are
augmented, are put to the teacher itself.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.params import to_numpy
from laconic.models.states import read_state, write_state
from laconic.training.batches import Batch, size_of, tensors_in
from laconic.training.task import Task

Says = Callable[[Batch], Tensor]
"""A teacher: batch → outputs, a row each sample."""

_LOG = logging.getLogger(__name__)

_KIND = "outputs of a teacher 1"
_BYTES = 24
"""Of the digest of a sample."""

_NEAR = 1e-3
"""Of the largest output: nearer than that an output is the same, computed in another batch, or by other threads."""


@final
@dataclass(frozen=True, eq=False)
class Memory:
    """Outputs by sample.

    Args:
        rows: the row of each sample's outputs, by the digest of the sample.
        outputs: shape (samples, ...).
    """

    rows: Mapping[bytes, int]
    outputs: Tensor

    def of(self, batch: Batch) -> Tensor | None:
        """Return the outputs for a batch on its device, None where one of its samples is not known."""
        places = [self.rows.get(one, -1) for one in digests(batch)]
        if -1 in places:
            return None
        return self.outputs[torch.tensor(places)].to(next(tensors_in(batch)).device)

    def share(self, batch: Batch) -> float:
        """Return which share of the samples of a batch is known."""
        asked = digests(batch)
        return sum(one in self.rows for one in asked) / max(1, len(asked))


def digests(batch: Batch) -> list[bytes]:
    """Return 24 bytes for each sample: 8 of SHA-256 of what the batch has in common, 16 of that of its own rows.

    Raises:
        DataError: when there is no tensor that tells how many samples there are.
    """
    size, rows, common = size_of(batch), list[np.ndarray](), sha256()
    for tensor in tensors_in(batch):
        array = to_numpy(tensor)
        own = array.ndim > 0 and len(array) == size
        common.update(f"{array.dtype} {array.shape[own:]}".encode())
        if own:
            rows.append(array.reshape(size, math.prod(array.shape[1:])).view(np.uint8))
        else:
            common.update(array.tobytes())
    shared = common.digest()[:8]
    return [shared + sha256(row).digest()[:16] for row in np.concatenate(rows, axis=1)]


def remembered(says: Says, digest: str, task: Task, folder: Path) -> Memory:
    """Return what a teacher says of the task's training samples, from ``folder`` or, where it has nothing, from it.

    A file that is damaged, or in which the teacher says something else, is made anew, with a warning in the log.

    Args:
        says: the teacher.
        digest: of it.
        task: whose training samples these are, as a pass of seed 0 gives them.
        folder: made where it is missing.

    Raises:
        DataError: when the teacher says nothing sensible, or outputs of samples cannot be put together.
    """
    first = next(task.batches("train", 0), None)
    if first is None:
        raise DataError("train has no batches of which a teacher could say something")
    name = sha256(digest.encode() + b"".join(digests(first))).hexdigest()[:32]
    path = folder / f"{name}.safetensors"
    if folder.exists() and not folder.is_dir():
        raise DataError(f"what a teacher says is kept in a folder, and {folder} is a file: name another")
    memory = _read(path, says, first) if path.exists() else None
    if memory is None:
        memory = _filled(says, task)
        folder.mkdir(parents=True, exist_ok=True)
        keys = torch.frombuffer(bytearray(b"".join(memory.rows)), dtype=torch.uint8).reshape(-1, _BYTES)
        write_state(path, _KIND, {"samples": keys, "outputs": memory.outputs}, {"teacher": digest})
    return memory


def _filled(says: Says, task: Task) -> Memory:
    """Return what the teacher says of every training sample; of equal ones what it said of the first."""
    rows, parts = dict[bytes, int](), list[Tensor]()
    for batch in task.batches("train", 0):
        interrupts.check()
        asked, said = digests(batch), says(batch)
        if not said.ndim or len(said) != len(asked):
            raise DataError(f"outputs {tuple(said.shape)} for {len(asked)} samples: to remember, a row each is needed")
        new = list[int]()
        for place, one in enumerate(asked):
            if one not in rows:
                rows[one] = len(rows)
                new.append(place)
        parts.append(said[new].cpu())
    try:
        return Memory(rows, torch.cat(parts))
    except RuntimeError as error:
        raise DataError(f"outputs of one shape are needed to remember them: {error}; leave the cache out") from error


def _read(path: Path, says: Says, first: Batch) -> Memory | None:
    """Return the memory in a file, or None where it is none of this teacher's."""
    try:
        tensors, _ = read_state(path, _KIND, "memory of a teacher")
        keys, outputs = to_numpy(tensors["samples"]).tobytes(), tensors["outputs"]
        memory = Memory({keys[at : at + _BYTES]: at // _BYTES for at in range(0, len(keys), _BYTES)}, outputs)
    except (DataError, KeyError) as error:
        _LOG.warning("what the teacher has said is made anew: %s", error)
        return None
    kept, now = memory.of(first), says(first)
    if kept is None or kept.shape != now.shape or float((kept - now).abs().max()) > _NEAR * float(now.abs().max()):
        _LOG.warning("what the teacher has said is made anew: it says something else now than in %s", path)
        return None
    return memory

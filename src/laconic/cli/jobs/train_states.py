"""What `laconic train` goes on from: a stage of it, its state after an epoch, and what workers keep between steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from laconic.errors import DataError
from laconic.machines.workers import MEMORY
from laconic.models.checkpoints import load_checkpoint, save_checkpoint
from laconic.models.params import Params
from laconic.training.trainer import TrainState, packed, unpacked

_MARK = "train state 0"


@final
@dataclass(frozen=True, eq=False)
class Kept:
    """Where a run stands.

    Args:
        state: of the stage, after an epoch.
        stage: its number; hints come before the rest.
        steps: of several workers that are done.
        memories: what each of these keeps between them.
    """

    state: TrainState
    stage: int = 0
    steps: int = 0
    memories: Params | None = None


def save(path: Path, kept: Kept, job: Mapping[str, str]) -> None:
    """Write where a run stands, replacing the last.

    Args:
        path: of the checkpoint.
        kept: what it has.
        job: what must be the same for `load`.
    """
    tensors, marks = packed(kept.state)
    marks |= {"laconic": _MARK, "stage": str(kept.stage), "steps": str(kept.steps)}
    labels = {f"job {key}": value for key, value in job.items()}
    save_checkpoint(path, {**tensors, **(kept.memories or {})}, {**labels, **marks}, force=True)


def load(path: Path, job: Mapping[str, str]) -> Kept:
    """Read where a run of the same job stands.

    Raises:
        DataError: for another file, and another job: says in what.
    """
    tensors, metadata = load_checkpoint(path)
    if metadata.get("laconic") != _MARK:
        raise DataError(f"{path} is no checkpoint of training")
    saved = {key.removeprefix("job "): value for key, value in metadata.items() if key.startswith("job ")}
    differs = [f"{key} was {saved.get(key)}, is {job.get(key)}" for key in {**job, **saved}
               if saved.get(key) != job.get(key)]  # fmt: skip
    if differs:
        raise DataError(f"{path} belongs to another run: {'; '.join(differs)}. Repeat its options, or remove the file")
    memories = {key: tensor for key, tensor in tensors.items() if key.startswith(MEMORY)}
    others = {key: tensor for key, tensor in tensors.items() if key not in memories}
    return Kept(unpacked(others, metadata), int(metadata["stage"]), int(metadata["steps"]), memories)

"""A task of inputs alone: its loss is how far the outputs are from those of the network as it was."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.errors import DataError
from laconic.models.params import Params
from laconic.teachers.distillation import alike
from laconic.training.batches import Batch, Batches, held_out
from laconic.training.task import Task, mode

_ROWS = 64
"""Samples of a batch, where the inputs are one tensor."""


def unlabelled(of: nn.Module | Task, source: Any, reference: Params, seed: int = 0) -> Task:
    """Return the task to say what ``reference`` says: KL(reference ‖ network), or the squared error of values.

    A tenth of the inputs is held out for validation, where that can be done; the loss there is the same.

    Args:
        of: a module, or a task whose way to call its module and whose kind are taken.
        source: inputs as `laconic.calibrate.calibration.Calibration.of` takes them, to be passed over again and again.
            Targets beside them are left out; whether outputs are logits they may tell, as there.
        reference: parameters and buffers of the module.
        seed: of what is held out.

    Raises:
        DataError: for inputs that there are none of, that are NaN, or that can be passed over but once, and in
            training for outputs that are no tensor.

    >>> task = unlabelled(nn.Linear(2, 3), torch.ones(40, 2), dict(nn.Linear(2, 3).state_dict()))
    >>> task.kind, task.count("train"), task.evaluate(task.module.state_dict(), "validation")["loss"] > 0
    ('regression', 1, True)
    """
    module = of.module if isinstance(of, Task) else of
    if isinstance(source, Tensor) and not source.numel():
        raise DataError(f"there are no samples to train on: the inputs are of shape {tuple(source.shape)}")
    given = DataLoader(source, batch_size=_ROWS, shuffle=True) if isinstance(source, Tensor) else source  # type: ignore
    Batches.of(given, "calibration")  # says what is wrong with it, before a part is taken
    kind = Calibration.of(of, given, SAMPLES, seed).kind_with(reference)
    train, validation, note = held_out(given, seed)
    forward, metadata = (of.forward, of.metadata) if isinstance(of, Task) else (None, dict[str, str]())
    splits: dict[str, Any] = {
        split: None if part is None else _inputs(Batches.of(part, "calibration"), alone=forward is None)
        for split, part in {"train": train, "validation": validation}.items()
    }
    how: dict[str, Any] = {"forward": forward, "metadata": metadata, "kind": kind, "seed": seed, "notes": (note,)}
    task = Task(module, **splits, loss=_nothing, **how)
    _require_tensor(task, reference)
    return alike(task, reference, 1.0)


def _inputs(batches: Batches, *, alone: bool) -> Batches:
    """Return batches without their targets, where the module is called with the inputs ``alone``."""
    if not alone:
        return batches
    return Batches(lambda seed: (_without_targets(batch) for batch in batches.epoch(seed)), batches.known)


def _without_targets(batch: Batch) -> Batch:
    """Return a batch of inputs."""
    return (batch[0],) if isinstance(batch, tuple | list) else batch


def _nothing(outputs: Any, batch: Batch) -> Tensor:
    """Return a loss that asks for nothing."""
    return torch.zeros(())


def _require_tensor(task: Task, reference: Params) -> None:
    """Check that outputs are one tensor.

    Raises:
        DataError: when they are not.
    """
    with torch.no_grad(), mode(task.module, training=False):
        outputs = task.outputs(reference, next(task.batches("train", 0)))
    if not isinstance(outputs, Tensor):
        raise DataError(
            f"training without targets compares one tensor of outputs, not a {type(outputs).__name__}: give a Task "
            "whose forward returns it"
        )

"""The samples of a calibration: drawn, checked and split; and what a network makes of them as rows of numbers."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError
from laconic.training.batches import TARGETS, Batch, copied, counted, rows_of, size_of, tensors_in
from laconic.training.judges import Kind, described
from laconic.training.task import Task

_ROWS = 64
"""Samples of one batch, at most: what a convolution reads is copied once for each place of its kernel."""

_HELD_OUT = 5
"""One sample of so many is held out."""


def drawn(task: Task, samples: int, seed: int) -> tuple[list[Batch], tuple[int, ...] | None]:
    """Return the first samples of a task's training split in batches of at most 64, and what integer targets tell.

    That is the shape of one sample's targets, where they are integers.

    Raises:
        DataError: when there are none, or inputs are NaN.
    """
    drawn, left = list[Batch](), samples
    classes: tuple[int, ...] | None = None
    for number, batch in enumerate(task.batches("train", seed)):
        interrupts.check()
        classes = classes if number else _classes(batch)
        if isinstance(batch, tuple | list) and task.forward is None:
            batch = (batch[0],)
        if any(bool(tensor.isnan().any()) for tensor in tensors_in(batch)):
            raise DataError(f"batch {number} of the calibration data, {described(batch)}, has inputs that are NaN")
        size = min(size_of(batch), left)
        parts = (rows_of(batch, start, min(start + _ROWS, size)) for start in range(0, size, _ROWS))
        drawn += [copied(part) for part in parts]  # a forward may change what it is given in place
        left -= size
        if not left:
            break
    if not drawn:
        raise DataError("there are no samples to calibrate on")
    return drawn, classes


def _classes(batch: Batch) -> tuple[int, ...] | None:
    """Return the shape of a sample's targets where a batch has some, apart from its inputs, that are integers."""
    if isinstance(batch, tuple | list):
        targets = batch[1] if len(batch) > 1 else None
    else:
        names = [name for name in TARGETS if isinstance(batch, Mapping) and name in batch]
        targets = batch[names[0]] if names else None
    if not isinstance(targets, Tensor) or not targets.ndim or targets.is_floating_point() or targets.is_complex():
        return None
    return tuple(targets.shape[1:])


def kind_of(given: Any, classes: tuple[int, ...] | None) -> Kind | None:
    """Return what outputs are by the shape of a sample's targets: logits where these number classes, or not known.

    Args:
        given: by the module, for a batch.
        classes: of `drawn`.
    """
    outputs = next(tensors_in(given), None)
    if classes is None or outputs is None or outputs.ndim < 2 or outputs.shape[1] < 2:
        return None
    return "classification" if tuple(outputs.shape[2:]) == classes else None


def split(batches: list[Batch], samples: int) -> tuple[tuple[Batch, ...], tuple[Batch, ...], tuple[str, ...]]:
    """Return batches to calibrate on, batches to judge by, and notes on them.

    Of each batch the last rows are held out, as many as it takes for a fifth of all samples up to there, of all of them
    at least one.

    Args:
        batches: with samples in them.
        samples: as many were asked for.
    """
    seen, unseen, notes = list[Batch](), list[Batch](), list[str]()
    total = sum(map(size_of, batches))
    done = held = 0
    for batch in batches:
        size = size_of(batch)
        done += size
        kept = size - min(size, max(done // _HELD_OUT, int(done == total)) - held)
        seen += [rows_of(batch, 0, kept)] if kept else []
        unseen += [rows_of(batch, kept, size)] if kept < size else []
        held += size - kept
    if total < samples:
        notes.append(f"calibration: of {samples:,} samples there are only {total:,}")
    if not seen:
        seen, notes = unseen, [*notes, "calibration: of one sample none is held out: it is seen, and judged by"]
    return tuple(seen), tuple(unseen), tuple(notes)


def output_rows(given: Any, kind: Kind | None, kept: Tensor | None = None) -> tuple[Tensor, Kind]:
    """Return outputs as rows, and what they are: see `Calibration.outputs`.

    Args:
        given: by the module, for a batch: a tensor, or several by name or in order.
        kind: of the outputs, where it is known.
        kept: which positions of the batch count (`laconic.training.batches.counted`); outputs that have an axis of
            positions then have a row for each of these, and none for the others.

    Raises:
        DataError: when there is no tensor, or none that can be of the kind.
    """
    named = isinstance(_logits(given), Tensor) and kind != "regression"
    outputs = named_outputs(given)
    if outputs is None or not outputs.is_floating_point() or outputs.ndim < 1 + (named or kind == "classification"):
        wanted = "logits (samples, classes, ...)" if named or kind == "classification" else "values (samples, ...)"
        raise DataError(
            f"a calibration compares outputs that are {wanted}, not {described(given)}: give a Task whose forward "
            "returns them"
        )
    if (
        kept is not None
        and outputs.ndim > 2
        and outputs.shape[:2] == kept.shape
        and (named or kind != "classification")
    ):
        return outputs[kept.to(outputs.device)].flatten(1), "classification" if named else "regression"
    if named:
        return outputs.flatten(0, -2), "classification"
    if kind == "classification" and outputs.shape[1] > 1:  # one number is no softmax
        return outputs.movedim(1, -1).flatten(0, -2), kind
    return outputs.reshape(len(outputs), -1), "regression"


def named_outputs(given: Any) -> Tensor | None:
    """Return what a module calls ``logits``, or else the first tensor that it gives; None where there is none."""
    logits = _logits(given)
    if isinstance(logits, Tensor):
        return logits
    if is_dataclass(given) and not isinstance(given, Mapping):
        given = [getattr(given, one.name) for one in fields(given)]
    return next(tensors_in(given), None)


def _logits(given: Any) -> Any:
    """Return what is called so."""
    return given.get("logits") if isinstance(given, Mapping) else getattr(given, "logits", None)


def by_sample(rows: Tensor, batch: Batch) -> Tensor:
    """Return the sums over the rows of each sample of a batch, shape (samples,).

    Args:
        rows: a number for each row of `output_rows`.
        batch: that these are of.
    """
    kept, size = counted(batch), size_of(batch)
    if kept is None or len(rows) != int(kept.sum()) or len(rows) == size:
        return rows.reshape(size, -1).sum(1)
    return rows.new_zeros(size).index_add(0, kept.nonzero()[:, 0].to(rows.device), rows)

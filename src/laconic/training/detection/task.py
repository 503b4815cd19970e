"""The task of finding objects: a detector, images, and of each its objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.data import Dataset
from laconic.models.nets.ssd import Detector
from laconic.models.params import Params, beside, first_names, once
from laconic.models.state_dicts import named_as
from laconic.training.batches import SPLITS, Batch, Batches, Source, targets_of
from laconic.training.detection.boxes import require_targets
from laconic.training.detection.multibox import multibox
from laconic.training.detection.precision import AREAS, LIMITS, Precision, Truth, precision
from laconic.training.detection.suppression import Found, found
from laconic.training.task import Task, mode


@final
@dataclass(frozen=True, eq=False)
class Judging:
    """What outputs of a detector are judged by.

    Args:
        default: the default boxes.
        shape: of an image.
        classes: without the background.
    """

    default: Float[Tensor, "boxes 4"]
    shape: tuple[int, ...]
    classes: int

    def loss(self, outputs: Float[Tensor, "images boxes numbers"], batch: Batch) -> Float[Tensor, ""]:
        """Return the MultiBox loss.

        Raises:
            DataError: for outputs of another detector, and for targets that are none.
        """
        return multibox(outputs, self._targets(outputs, batch), self.default)

    def error(self, outputs: Float[Tensor, "images boxes numbers"], batch: Batch) -> Float[Tensor, ""]:
        """Return 100 · (1 − mAP@.5) of the images in the batch, 0 where none has an object."""
        mean = self.precision(outputs, batch, (0.5,), ("all",)).mean()
        return torch.tensor(0.0 if mean != mean else 100 * (1 - mean), dtype=torch.float64)

    def precision(
        self,
        outputs: Float[Tensor, "images boxes numbers"],
        batch: Batch,
        limits: Sequence[float] = LIMITS,
        areas: Sequence[str] = tuple(AREAS),
    ) -> Precision:
        """Return what the rule of COCO says of the images in the batch; further arguments as `precision`."""
        targets = self._targets(outputs, batch)
        detected = found(outputs, self.default, self.shape[1:])
        return precision(detected, [truth_of(one) for one in targets], self.classes, limits, areas)

    def _targets(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the targets of a batch, checked."""
        wanted, targets = (len(self.default), 5 + self.classes), targets_of(batch)
        if outputs.ndim != 3 or tuple(outputs.shape[1:]) != wanted:
            raise DataError(
                f"a detector of {self.classes} classes writes (images, {wanted[0]}, {wanted[1]}): for each default box "
                f"four offsets, the background and the classes; not {tuple(outputs.shape)}"
            )
        require_targets(targets, self.shape, self.classes, len(outputs))
        checked: Tensor = targets
        return checked


def truth_of(targets: Float[Tensor, "objects 5"]) -> Truth:
    """Return the objects of one image; rows of class 0 are none."""
    rows = targets[targets[:, 0] > 0].double().cpu().numpy()
    return Truth(rows[:, 1:], rows[:, 0].astype(np.int64))


def detection(
    detector: Detector,
    data: Dataset | Mapping[str, Source] | Source,
    metadata: Mapping[str, str] | None = None,
    *,
    batch: int = 32,
    evaluation_batch: int | None = None,
) -> Task:
    """Return the task of a detector: the MultiBox loss, and "error", 100 · (1 − mAP@.5) of a batch.

    A mean over batches is no mAP of all images, so a data set's other splits are one batch each unless told: their
    error is that of the split. Where samples are judged one by one (a drop with its standard error) it is the mean of
    1 − mAP@.5 of each image.

    Args:
        detector: whose outputs are offsets and logits.
        data: a data set whose targets are (images, most, 5) as `laconic.training.detection.boxes` has them; or loaders
            and lists of batches by split, or those of "train" alone.
        metadata: of network and data.
        batch: images of a data set per training batch.
        evaluation_batch: per batch of its other splits.

    Raises:
        DataError: for targets that are none, by split and sample; for classes and images of another detector; as
            `Task`.
    """
    judging = Judging(detector.default_boxes, detector.shape, detector.classes)
    if isinstance(data, Dataset):
        _require_suiting(data, detector)
        splits: dict[str, Source] = {
            split: Batches(
                partial(data.batches, split, size=size),
                -(-len(inputs) // size),
            )
            for split, (inputs, _) in data.splits.items()
            for size in [batch if split == "train" else evaluation_batch or max(1, len(inputs))]
        }
    else:
        splits = dict(data) if isinstance(data, Mapping) else {"train": data}
        if strange := sorted(str(split) for split in splits if split not in SPLITS):
            raise DataError(f"{', '.join(strange)}: splits are {', '.join(SPLITS)}, each a loader or a list of batches")
    return Task(
        detector, loss=judging.loss, **splits, measures={"error": judging.error}, metadata=dict(metadata or {}),
        kind="regression",
    )  # fmt: skip


def evaluated(
    task: Task,
    params: Params,
    split: str = "test",
    limits: Sequence[float] = LIMITS,
    areas: Sequence[str] = tuple(AREAS),
) -> tuple[Precision, list[Found]]:
    """Return how good a detector with ``params`` is on all of a split, in whatever batches, and what it finds.

    Args:
        task: of a detector.
        params: every parameter by its name.
        split: "train", "validation" or "test".
        limits: as `precision`.
        areas: as `precision`.

    Raises:
        DataError: when the task is not a detector's, or lacks the split, and for targets that are none.
        WeightsError: as `Task.outputs`.
    """
    detector = task.module
    if not isinstance(detector, Detector):
        raise DataError(f"the precision of boxes is of a Detector, not of a {type(detector).__name__}")
    params = named_as(params, first_names(detector))
    params = beside(detector, {name: params[name] for name in once(detector, params).values()})
    detected, truth = list[Found](), list[Truth]()
    with torch.no_grad(), mode(detector, training=False):
        for batch in task.batches(split, 0):
            interrupts.check()
            targets = targets_of(batch)
            require_targets(targets, detector.shape, detector.classes)
            detected += found(task.outputs(params, batch), detector.default_boxes, detector.shape[1:])
            truth += map(truth_of, targets)
    return precision(detected, truth, detector.classes, limits, areas), detected


def _require_suiting(data: Dataset, detector: Detector) -> None:
    """Raise `DataError` unless a data set has the detector's classes, images of its size, and targets in all splits."""
    if data.classes != detector.classes or data.shape != detector.shape:
        raise DataError(
            f"{data.name} has {data.classes} classes and images {data.shape}, the detector {detector.classes} and "
            f"{detector.shape}: make one with Detector({data.shape}, {data.classes})"
        )
    for split, (inputs, targets) in data.splits.items():
        require_targets(targets, detector.shape, detector.classes, len(inputs), f"{data.name}, {split},")

"""Which boxes of a detector stay: non-maximum suppression, class by class.

    while boxes are left:  the one of the highest score stays, and those that overlap it by more than the limit go

Liu et al. 2016, "SSD", section 3.1: boxes of a score of at least 0.01, an overlap of 0.45, the 200 best of an image
over all classes. O(boxes²) a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from laconic.training.detection.boxes import decoded, overlaps


@final
@dataclass(frozen=True, eq=False)
class Found:
    """What a detector finds in an image, the highest scores first.

    Args:
        boxes: corners in pixels, float64, shape (found, 4).
        labels: classes, from 1 on, shape (found,).
        scores: 0 to 1, shape (found,).
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


@final
@dataclass(frozen=True)
class Keeping:
    """Which boxes stay.

    Args:
        score: least score of a box.
        overlap: IoU with a better box of the same class, above which a box goes.
        each: boxes of a class that are looked at, the best.
        most: that stay in an image.
    """

    score: float = 0.01
    overlap: float = 0.45
    each: int = 400
    most: int = 200


def kept(boxes: Float[Tensor, "boxes 4"], scores: Float[Tensor, " boxes"], limit: float) -> Bool[Tensor, " boxes"]:
    """Return which boxes of one class stay; of equal scores the first goes first.

    >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]])
    >>> kept(boxes, torch.tensor([0.8, 0.9, 0.1]), 0.45).tolist()
    [False, True, True]
    """
    order = scores.argsort(descending=True, stable=True)
    above = (overlaps(boxes[order], boxes[order]) > limit).cpu().numpy()
    stays = np.ones(len(order), bool)
    for place in range(len(order)):
        if stays[place]:
            stays[place + 1 :] &= ~above[place, place + 1 :]
    result = torch.zeros(len(order), dtype=torch.bool, device=boxes.device)
    result[order] = torch.from_numpy(stays).to(boxes.device)
    return result


@torch.no_grad()
def found(
    outputs: Float[Tensor, "images boxes numbers"],
    default: Float[Tensor, "boxes 4"],
    image: Sequence[int],
    keeping: Keeping | None = None,
) -> list[Found]:
    """Return what a detector finds in each image.

    Args:
        outputs: offsets, then logits of the background and of each class.
        default: the default boxes.
        image: its height and width: boxes end there.
        keeping: which boxes stay.
    """
    how = keeping or Keeping()
    outputs = outputs.detach().to("cpu", torch.float32)
    height, width = image
    boxes = decoded(outputs[..., :4], default.cpu())
    boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
    scores = outputs[..., 4:].softmax(-1)
    return [_of_image(*one, how) for one in zip(boxes, scores, strict=True)]


def _of_image(boxes: Tensor, scores: Tensor, how: Keeping) -> Found:
    """Return what is found in one image."""
    parts = list[tuple[Tensor, Tensor, Tensor]]()
    for label in range(1, scores.shape[1]):
        rows = (scores[:, label] >= how.score).nonzero()[:, 0]
        rows = rows[scores[rows, label].argsort(descending=True, stable=True)[: how.each]]
        rows = rows[kept(boxes[rows], scores[rows, label], how.overlap)]
        parts.append((boxes[rows], torch.full((len(rows),), label), scores[rows, label]))
    every = [torch.cat(each) for each in zip(*parts, strict=True)]
    best = every[2].argsort(descending=True, stable=True)[: how.most]
    where, labels, values = (each[best].numpy() for each in every)
    return Found(where.astype(np.float64), labels, values.astype(np.float64))

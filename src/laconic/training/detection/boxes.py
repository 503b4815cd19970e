"""Boxes, and the offsets that a detector writes in their place; targets of a batch, and what is wrong with them.

A box is (x1, y1, x2, y2) in pixels, x to the right and y down, of area (x2 − x1) · (y2 − y1). A default box d is
(centre x, centre y, width, height). Offsets of a box b from it, with the variances of SSD (Liu et al. 2016, and the
authors' `prior_box_layer`), are

    ((b_x − d_x) / d_w / 0.1, (b_y − d_y) / d_h / 0.1, ln(b_w / d_w) / 0.2, ln(b_h / d_h) / 0.2)

Targets are (images, most, 5): the class, from 1 on, and its box; rows of class 0 fill up images with fewer objects.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from laconic.errors import DataError

VARIANCES = (0.1, 0.1, 0.2, 0.2)
"""What offsets are divided by, so that losses of all four are of one size."""

_LARGEST = math.log(1000 / 16)
"""Of the logarithm of a box's side over its default box's: beyond are no boxes, but infinities."""


def corners(default: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Return boxes of centres and sides by their corners.

    >>> corners(torch.tensor([5.0, 5.0, 4.0, 2.0])).tolist()
    [3.0, 4.0, 7.0, 6.0]
    """
    half = default[..., 2:] / 2
    return torch.cat([default[..., :2] - half, default[..., :2] + half], -1)


def encoded(boxes: Float[Tensor, "... 4"], default: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Return the offsets of boxes, by corners, from default boxes, by centres and sides."""
    centres, sides = (boxes[..., 2:] + boxes[..., :2]) / 2, boxes[..., 2:] - boxes[..., :2]
    moved, scaled = (centres - default[..., :2]) / default[..., 2:], (sides / default[..., 2:]).log()
    return torch.cat([moved, scaled], -1) / boxes.new_tensor(VARIANCES)


def decoded(offsets: Float[Tensor, "... 4"], default: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """Return the boxes, by corners, that have these offsets from default boxes; the inverse of `encoded`.

    Sides are at most 62.5 times those of the default box.
    """
    steps = offsets * offsets.new_tensor(VARIANCES)
    centres = default[..., :2] + steps[..., :2] * default[..., 2:]
    sides = default[..., 2:] * steps[..., 2:].clamp(max=_LARGEST).exp()
    return corners(torch.cat([centres, sides], -1))


def areas(boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "..."]:
    """Return the areas of boxes in pixels²; none where corners lie the wrong way round."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def intersections(one: Float[Tensor, "... a 4"], other: Float[Tensor, "... b 4"]) -> Float[Tensor, "... a b"]:
    """Return the areas that each two boxes have in common, in pixels²."""
    first = torch.maximum(one[..., :, None, :2], other[..., None, :, :2])
    last = torch.minimum(one[..., :, None, 2:], other[..., None, :, 2:])
    return areas(torch.cat([first, last], -1))


def overlaps(one: Float[Tensor, "... a 4"], other: Float[Tensor, "... b 4"]) -> Float[Tensor, "... a b"]:
    """Return the intersection over the union of each two boxes, 0 to 1 (Jaccard); 0 where both have no area.

    >>> overlaps(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2], [0, 0, 2, 2]])).tolist()
    [[0.3333..., 1.0]]
    """
    common = intersections(one, other)
    union = areas(one)[..., :, None] + areas(other)[..., None, :] - common
    return torch.where(union > 0, common / union, 0.0)


def require_targets(
    targets: Tensor, shape: tuple[int, ...], classes: int, images: int | None = None, where: str = "the batch"
) -> None:
    """Check that targets are such of a detector; the first that are not are named by their sample.

    Args:
        targets: to check.
        shape: (channels, height, width) of an image.
        classes: without the background.
        images: that they belong to; any number unless told.
        where: names them in errors.

    Raises:
        DataError: for another shape, numbers that are NaN or infinite, a class that there is not, and a box that has no
            area or is not within its image.
    """
    if not isinstance(targets, Tensor):
        raise DataError(f"targets of {where} are a tensor (images, most, 5), not a {type(targets).__name__}")
    if targets.ndim != 3 or targets.shape[-1] != 5 or (images is not None and len(targets) != images):
        count = "images" if images is None else images
        raise DataError(
            f"targets of {where} are ({count}, most, 5), of each object its class and x1, y1, x2, y2 in pixels, with "
            f"rows of class 0 to fill up, not {tuple(targets.shape)}"
        )
    height, width = shape[1:]
    label, boxes = targets[..., 0], targets[..., 1:]
    there = label != 0
    sides = boxes.new_tensor([width, height, width, height])
    for wrong, what in (
        (~targets.isfinite().all(-1), "a target that is NaN or infinite"),
        ((label != label.round()) | (label < 0) | (label > classes), f"a class that is not one of 1 to {classes}"),
        (there & (boxes[..., 2:] <= boxes[..., :2]).any(-1), "a box without an area: x1 < x2 and y1 < y2"),
        (there & ((boxes < 0) | (boxes > sides)).any(-1), f"a box that is not within its image of {height}x{width}"),
    ):
        if bool(wrong.any()):
            sample, row = wrong.nonzero()[0].tolist()
            numbers = ", ".join(f"{number:g}" for number in targets[sample, row].tolist())
            raise DataError(f"sample {sample} of {where} has {what}; its object {row} is ({numbers})")

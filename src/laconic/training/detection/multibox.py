"""The loss of a detector (MultiBox).

    L = 1/N · (Σ over matched boxes of smooth L1(offsets − those of the object) + Σ over them, and over hard negatives,
        of the cross-entropy)

N is the number of matched boxes in the batch. Hard negatives of an image are, of its boxes that are not matched, three
times as many as are, those of largest cross-entropy. Liu et al. 2016, "SSD", section 2.2, equations 1 to 3, with α = 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from laconic.training.detection.boxes import corners, encoded, overlaps
from laconic.training.detection.matching import matched

NEGATIVES = 3
"""For each matched box."""


def multibox(
    outputs: Float[Tensor, "images boxes numbers"],
    targets: Float[Tensor, "images objects 5"],
    default: Float[Tensor, "boxes 4"],
    negatives: int = NEGATIVES,
) -> Float[Tensor, ""]:
    """Return the loss of a batch; 0 where there are no objects.

    Args:
        outputs: offsets, then logits of the background and of each class.
        targets: classes, from 1 on, and boxes, as `laconic.training.detection.boxes` has them.
        default: the default boxes.
        negatives: for each matched box.
    """
    outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
    labels, boxes = targets[..., 0].long(), targets[..., 1:].to(outputs)
    default = default.to(outputs)
    found = matched(overlaps(boxes, corners(default)), labels > 0)
    positive, images = found >= 0, torch.arange(len(found), device=found.device)[:, None]
    wanted = torch.where(positive, labels[images, found], 0) if labels.shape[1] else torch.zeros_like(found)
    costs = F.cross_entropy(outputs[..., 4:].movedim(2, 1), wanted, reduction="none")
    order = torch.where(positive, -1.0, costs.detach()).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(1)
    hard = ~positive & (rank < negatives * positive.sum(1, keepdim=True))
    image, box = positive.nonzero(as_tuple=True)
    offsets = encoded(boxes[image, found[image, box]], default[box])
    apart = F.smooth_l1_loss(outputs[image, box, :4], offsets, reduction="sum")
    return (apart + costs[positive | hard].sum()) / positive.sum().clamp(min=1)

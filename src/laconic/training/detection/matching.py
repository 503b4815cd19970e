"""Which default box is to find which object.

First each object takes a default box of its own, greedily by the overlap:

    while objects are left:  (g, d) ← argmax over objects and default boxes that are left of IoU(g, d)

then each default box that is left takes the object that it overlaps most, where that is by 0.5 or more. Liu et al.
2016, "SSD", section 2.2, and the authors' `MatchBBox`: the first step is a bipartite matching, greedy, not one of
largest total overlap. O(objects · objects · boxes).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

ENOUGH = 0.5
"""Overlap (IoU) from which on a default box that is left takes an object."""


def matched(
    overlap: Float[Tensor, "images objects boxes"], there: Tensor, enough: float = ENOUGH
) -> Int[Tensor, "images boxes"]:
    """Return for each default box the number of the object that it is to find, −1 for none.

    >>> overlap = torch.tensor([[[0.9, 0.8, 0.1], [0.6, 0.7, 0.3]]])
    >>> matched(overlap, torch.ones(1, 2, dtype=torch.bool)).tolist()
    [[0, 1, -1]]

    Args:
        overlap: IoU of each object with each default box.
        there: which objects there are, and which rows fill up; shape (images, objects).
        enough: from which on boxes that are left take an object.
    """
    images, objects, boxes = overlap.shape
    if not objects or not boxes:
        return overlap.new_full((images, boxes), -1, dtype=torch.long)
    overlap = torch.where(there[..., None], overlap, -1.0)
    best, found = overlap.max(1)
    found = torch.where(best >= enough, found, -1)
    left, rows = overlap.clone(), torch.arange(images, device=overlap.device)
    for _ in range(min(objects, boxes)):
        most, place = left.flatten(1).max(1)
        one, box = place // boxes, place % boxes
        real = most >= 0  # an object that overlaps nothing takes a box all the same
        found[rows[real], box[real]] = one[real]
        left[rows, one], left[rows, :, box] = -1.0, -1.0
    return found

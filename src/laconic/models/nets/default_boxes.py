"""The default boxes of SSD: what a detector moves and scales, some at each position of each of its maps.

Liu et al. 2016, "SSD: single shot multibox detector", section 2.2. Of m maps map k has the scale

    s_k = s_min + (s_max − s_min) · k / (m − 1),   k = 0, …, m − 1,   s_m = 1

in sides of the image, and at each position boxes of s_k · √a by s_k / √a for the ratios a, and a square of √(s_k ·
s_{k+1}). The first map, which has most positions, has but three in the MobileNets' detectors: a square of half of s_0,
and s_0 at ratios 2 and 1/2 (`tensorflow/models`, object_detection, `reduce_boxes_in_lowest_layer`).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from laconic.errors import DataError

FIRST, OTHER = 3, 6
"""Boxes at each position of the first map, and of all others."""

_RATIOS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)


def scales_of(maps: int, least: float = 0.2, most: float = 0.95) -> list[float]:
    """Return s_0, …, s_m for m maps, the last being 1, in sides of the image.

    >>> [round(scale, 3) for scale in scales_of(4)]
    [0.2, 0.45, 0.7, 0.95, 1.0]
    """
    return [least + (most - least) * k / max(1, maps - 1) for k in range(maps)] + [1.0]


def sides_of(maps: int, least: float = 0.2, most: float = 0.95) -> list[list[tuple[float, float]]]:
    """Return of each map the widths and heights of its default boxes, in sides of the image.

    Raises:
        DataError: unless 0 < least ≤ most ≤ 1.
    """
    if not 0 < least <= most <= 1:
        raise DataError(f"scales of default boxes are shares of the image, 0 < least <= most <= 1, not {least}, {most}")
    scales = scales_of(maps, least, most)
    first = [(scales[0] / 2, 1.0), (scales[0], 2.0), (scales[0], 1 / 2)]
    rows = [first] + [
        [*((scale, ratio) for ratio in _RATIOS), (math.sqrt(scale * after), 1.0)]
        for scale, after in pairwise(scales[1:])
    ]
    return [[(scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for scale, ratio in row] for row in rows]


def default_boxes(
    image: tuple[int, int], maps: Sequence[tuple[int, int]], least: float = 0.2, most: float = 0.95
) -> Float[Tensor, "boxes 4"]:
    """Return the default boxes as centre x, centre y, width, height in pixels.

    They come in the order in which the head writes: map by map, row by row, position by position.

    >>> default_boxes((64, 64), [(2, 2)])[:, :2].unique(dim=0).tolist()
    [[16.0, 16.0], [16.0, 48.0], [48.0, 16.0], [48.0, 48.0]]

    Args:
        image: its height and width.
        maps: heights and widths of the maps.
        least: s_min.
        most: s_max.
    """
    height, width = image
    unit, made = torch.tensor([width, height], dtype=torch.float64, device="cpu"), []
    for (rows, columns), sides in zip(maps, sides_of(len(maps), least, most), strict=True):
        y, x = (
            (torch.arange(count, dtype=torch.float64, device="cpu") + 0.5) / count for count in (rows, columns)
        )  # of the centres
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[:, :, None] * unit
        shapes = torch.tensor(sides, dtype=torch.float64, device="cpu") * unit
        boxes = (centres.expand(-1, -1, len(sides), -1), shapes.expand(rows, columns, -1, -1))
        made.append(torch.cat(boxes, -1).reshape(-1, 4))
    return torch.cat(made).float()

"""Discs, squares and triangles on textures, made from a seed: images with objects, for detectors, without a download.

Nothing is published of this set. A texture is noise of several resolutions with a grating over it, and so is the
filling of an object, whose mean colour differs from what is below it. Of two boxes the smaller one is in the other by
a quarter of its area at most.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.errors import DataError
from laconic.models.data.dataset import Dataset
from laconic.models.data.preprocessing import PREPROCESSING

CLASSES = ("disc", "square", "triangle")
"""Names of the classes 1, 2 and 3."""

MOST = 4
"""Objects in an image; at least one."""

SIDES = (0.2, 0.5)
"""Least and largest side of an object's box, as a share of the image's."""

_COVERED, _CONTRAST, _TRIES = 0.25, 70.0, 30


def shapes(counts: Mapping[str, int], side: int = 96, seed: int = 0) -> Dataset:
    """Return images with objects, and targets (images, 4, 5): the class and x1, y1, x2, y2 in pixels, or zeros.

    >>> data = shapes({"train": 3, "test": 2}, side=32)
    >>> data.shape, data.classes, data.split("train")[1].shape
    ((3, 32, 32), 3, torch.Size([3, 4, 5]))

    Args:
        counts: images by split. Each is made from the seed, its split and its number alone: more of them leave the
            first as they are.
        side: of an image in pixels, 16 at least.
        seed: of everything.

    Raises:
        DataError: for a smaller side.
    """
    if side < 16:
        raise DataError(f"images have a side of 16 pixels at least, not {side}: objects would be of 2 pixels")
    kind, splits = "pixels/127.5 - 1", dict[str, tuple[Tensor, Tensor]]()
    for place, (split, count) in enumerate(sorted(counts.items())):
        drawn = list[tuple[np.ndarray, np.ndarray]]()
        for number in range(count):
            interrupts.check()
            code = (
                ("train", "validation", "test").index(split) if split in ("train", "validation", "test") else place + 3
            )
            drawn.append(scene(side, np.random.default_rng((seed, code, number))))
        pixels = torch.from_numpy(np.stack([image for image, _ in drawn]))
        targets = torch.from_numpy(np.stack([objects for _, objects in drawn]))
        splits[split] = PREPROCESSING[kind](pixels)(pixels), targets
    return Dataset("shapes", splits, len(CLASSES), kind)


def scene(side: int, source: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return one image, uint8 of shape (3, side, side), and its targets, float32 of shape (4, 5)."""
    image, targets, boxes = texture(side, source), np.zeros((MOST, 5), np.float32), list[np.ndarray]()
    for row in range(source.integers(1, MOST + 1)):
        box = _placed(side, boxes, source)
        if box is None:
            break
        boxes.append(box)
        label = int(source.integers(len(CLASSES)))
        covered = mask(label, box, side)
        below = image[:, covered].mean(1)
        filling = texture(side, source)
        image[:, covered] = (filling - filling.mean((1, 2))[:, None, None])[:, covered] + _apart(below, source)[:, None]
        rows, columns = (np.flatnonzero(covered.any(axis)) for axis in (1, 0))
        targets[row] = label + 1, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return np.clip(image + source.normal(0, 4, image.shape), 0, 255).astype(np.uint8), targets


def texture(side: int, source: np.random.Generator) -> np.ndarray:
    """Return colours 0 to 255, float64 of shape (3, side, side): noise of several resolutions, and a grating."""
    image = np.full((3, side, side), source.uniform(60, 195, 3)[:, None, None])
    for cells in (2, 5, 12):
        coarse = source.normal(0, 36 / math.sqrt(cells), (3, cells + 1, cells + 1))
        line = np.clip(1 - np.abs(np.linspace(0, cells, side)[:, None] - np.arange(cells + 1)), 0, None)
        image += line @ coarse @ line.T  # linear between the points
    angle, waves = source.uniform(0, np.pi), source.uniform(2, 14)
    y, x = np.mgrid[:side, :side] / side
    grating = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)) + source.uniform(0, 2 * np.pi))
    return np.asarray(image + source.uniform(0, 14, 3)[:, None, None] * grating)


def mask(label: int, box: Sequence[float] | np.ndarray, side: int) -> np.ndarray:
    """Return which pixels an object covers, bool of shape (side, side): those whose centres are in it.

    Args:
        label: place of its class in `CLASSES`.
        box: x1, y1, x2, y2 in pixels.
        side: of the image.
    """
    x1, y1, x2, y2 = box
    y, x = np.mgrid[:side, :side] + 0.5
    u, v = (x - x1) / (x2 - x1), (y - y1) / (y2 - y1)  # 0 to 1 across the box
    within = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    if CLASSES[label] == "disc":
        return np.asarray(np.hypot(u - 0.5, v - 0.5) <= 0.5)
    return np.asarray(within & (np.abs(u - 0.5) <= v / 2)) if CLASSES[label] == "triangle" else np.asarray(within)


def _placed(side: int, boxes: Sequence[np.ndarray], source: np.random.Generator) -> np.ndarray | None:
    """Return a box, on whole pixels, that overlaps none of the others by much; None where no room is found."""
    for _ in range(_TRIES):
        width = side * source.uniform(*SIDES)
        height = width * source.uniform(0.75, 1 / 0.75)
        sides = np.minimum(np.round([width, height]), side)
        corner = np.floor(source.uniform(0, 1, 2) * (side - sides + 1))
        box = np.concatenate([corner, corner + sides])
        if all(_covered(box, other) <= _COVERED for other in boxes):
            return box
    return None


def _covered(one: np.ndarray, other: np.ndarray) -> float:
    """Return which share of the smaller of two boxes is in the other."""
    common = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
    return float(common / min((one[2:] - one[:2]).prod(), (other[2:] - other[:2]).prod()))


def _apart(colour: np.ndarray, source: np.random.Generator) -> np.ndarray:
    """Return a colour at least so far from another that an object can be told from what is below it."""
    while True:
        drawn = source.uniform(30, 225, 3)
        if np.linalg.norm(drawn - colour) >= _CONTRAST:
            return drawn

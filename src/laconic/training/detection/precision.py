"""Mean average precision by the rule of COCO.

Of each class, range of areas and limit t of the overlap: an image's boxes, the best first, each take that object of
those left which they overlap most, by t at least; objects that do not count (crowds, areas out of range) only where no
other is to be had, and then the box does not count either, as little as one that takes nothing and is itself out of
range. Over all images, by falling scores:

    AP = 1/101 · Σ over r = 0, 0.01, …, 1 of max { precision at recall ≥ r }

and the means over t = 0.5, 0.55, …, 0.95 and over the classes that have objects. Lin et al. 2014, "Microsoft COCO",
and the evaluation's code, `pycocotools.cocoeval`, whose numbers these are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np

from laconic.errors import DataError
from laconic.training.detection.suppression import Found

LIMITS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""Overlaps (IoU) from which on a box has found an object."""

RECALLS = np.linspace(0.0, 1.0, 101)

AREAS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
)
"""Ranges of areas in pixels², both ends in them."""

MOST = (1, 10, 100)
"""Boxes of an image and a class that count, the best."""


@final
@dataclass(frozen=True, eq=False)
class Truth:
    """The objects of an image.

    Args:
        boxes: corners in pixels, shape (objects, 4).
        labels: classes, from 1 on, shape (objects,).
        areas: in pixels², where they are not those of the boxes, as those of outlines.
        crowds: which are crowds: any number of boxes may take one, and neither counts; none unless told.
    """

    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray | None = None
    crowds: np.ndarray | None = None


@final
@dataclass(frozen=True, eq=False)
class Precision:
    """How good a detector is; NaN where there are no objects.

    Args:
        precision: at each limit, recall, class, range of areas and number of boxes, those of `RECALLS` and `MOST`, in
            this order.
        recall: likewise, without recalls.
        limits: of the overlap.
        areas: names of ranges.
    """

    precision: np.ndarray
    recall: np.ndarray
    limits: tuple[float, ...]
    areas: tuple[str, ...]

    def mean(self, limit: float | None = None, area: str = "all", most: int = MOST[-1]) -> float:
        """Return the mean average precision, over all limits or at one: mAP, mAP@.5 with ``limit=0.5``.

        Raises:
            DataError: for a limit, a range or a number of boxes that was not looked at.
        """
        return _mean(self.precision[self._places(limit)][..., self._area(area), _number(most)])

    def mean_recall(self, limit: float | None = None, area: str = "all", most: int = MOST[-1]) -> float:
        """Return the mean of the recall that is reached; arguments as `mean`."""
        return _mean(self.recall[self._places(limit)][..., self._area(area), _number(most)])

    def of_class(self, label: int, limit: float) -> float:
        """Return the average precision of one class, 1 being the first, at one limit."""
        return _mean(self.precision[self._places(limit)][:, :, label - 1, self._area("all"), -1])

    def _places(self, limit: float | None) -> slice:
        """Return the places of a limit, or of all."""
        near = [place for place, one in enumerate(self.limits) if limit is not None and abs(one - limit) < 1e-6]
        if limit is not None and not near:
            raise DataError(f"limits of the overlap are {', '.join(f'{one:g}' for one in self.limits)}, not {limit}")
        return slice(near[0], near[0] + 1) if near else slice(None)

    def _area(self, name: str) -> int:
        """Return the place of a range."""
        if name not in self.areas:
            raise DataError(f"ranges of areas are {', '.join(self.areas)}, not {name!r}")
        return self.areas.index(name)


def _number(most: int) -> int:
    """Return the place of a number of boxes."""
    if most not in MOST:
        raise DataError(f"of each image and class {', '.join(map(str, MOST))} boxes count, not {most}")
    return MOST.index(most)


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is there."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")


def precision(
    detected: Sequence[Found],
    truth: Sequence[Truth],
    classes: int,
    limits: Sequence[float] = LIMITS,
    areas: Sequence[str] = tuple(AREAS),
) -> Precision:
    """Return how good a detector is on some images.

    Args:
        detected: of each image.
        truth: of each image, in the same order.
        classes: their number; labels are 1 to it.
        limits: of the overlap, those of COCO unless told.
        areas: ranges of `AREAS`, all unless told.

    Raises:
        DataError: for numbers of images that differ, and for labels that are no classes.
    """
    if len(detected) != len(truth):
        raise DataError(f"detections of {len(detected)} images, but objects of {len(truth)}")
    for place, (found, true) in enumerate(zip(detected, truth, strict=True)):
        every = np.concatenate([found.labels, true.labels])
        if every.size and not (1 <= every.min() and every.max() <= classes):
            raise DataError(f"image {place} has labels {every.min()} to {every.max()}, not 1 to {classes}")
    limits = tuple(float(limit) for limit in limits)
    values = np.full((len(limits), len(RECALLS), classes, len(areas), len(MOST)), np.nan)
    recalls = np.full((len(limits), classes, len(areas), len(MOST)), np.nan)
    for label in range(1, classes + 1):
        images = [_Image.of(found, true, label) for found, true in zip(detected, truth, strict=True)]
        for place, name in enumerate(areas):
            taken = [image.taken(AREAS[name], limits) for image in images]
            for number, most in enumerate(MOST):
                curve = _curve(images, taken, most)
                if curve is not None:
                    values[:, :, label - 1, place, number], recalls[:, label - 1, place, number] = curve
    return Precision(values, recalls, limits, tuple(areas))


@final
@dataclass(frozen=True, eq=False)
class _Image:
    """Boxes and objects of one class in one image: areas of both, scores, overlaps (boxes, objects), crowds."""

    areas: np.ndarray
    scores: np.ndarray
    objects: np.ndarray
    crowds: np.ndarray
    overlaps: np.ndarray

    @classmethod
    def of(cls, found: Found, truth: Truth, label: int) -> "_Image":
        """Return those of one class, the best boxes first."""
        own, theirs = np.flatnonzero(found.labels == label), truth.labels == label
        own = own[np.argsort(-found.scores[own], kind="stable")[: MOST[-1]]]
        boxes, objects = found.boxes[own].astype(np.float64), truth.boxes[theirs].astype(np.float64).reshape(-1, 4)
        crowds = np.zeros(len(objects), bool) if truth.crowds is None else truth.crowds[theirs].astype(bool)
        areas, wide = _areas(boxes), _areas(objects)
        first = np.maximum(boxes[:, None, :2], objects[None, :, :2])
        last = np.minimum(boxes[:, None, 2:], objects[None, :, 2:])
        common = np.clip(last - first, 0, None).prod(-1)
        union = np.where(crowds, areas[:, None], areas[:, None] + wide - common)
        share = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
        known = wide if truth.areas is None else truth.areas[theirs].astype(np.float64)
        return cls(areas, found.scores[own], known, crowds, share)

    def taken(self, span: tuple[float, float], limits: Sequence[float]) -> tuple[np.ndarray, np.ndarray, int]:
        """Return which boxes have found an object at each limit, which do not count, and how many objects do."""
        outside = self.crowds | (self.objects < span[0]) | (self.objects > span[1])
        hits = np.zeros((len(limits), len(self.areas)), bool)
        void = np.tile((self.areas < span[0]) | (self.areas > span[1]), (len(limits), 1))
        for row, limit in enumerate(limits):
            left, bound = np.ones(len(self.objects), bool), min(limit, 1 - 1e-10)
            for box in np.flatnonzero(self.overlaps.max(1, initial=0.0) >= bound):
                one = _best(self.overlaps[box], left | self.crowds, outside, bound)
                if one >= 0:
                    left[one], hits[row, box], void[row, box] = False, True, outside[one]
        return hits, void, int((~outside).sum())


def _areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas of boxes in pixels²."""
    result: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return result


def _best(share: np.ndarray, free: np.ndarray, outside: np.ndarray, limit: float) -> int:
    """Return the object that a box overlaps most, by ``limit`` at least, one that counts before any that does not.

    Of equal overlaps the last object is taken, as the evaluation's code does; −1 where there is none.
    """
    for wanted in (False, True):
        those = np.flatnonzero(free & (outside == wanted) & (share >= limit))
        if those.size:
            return int(those[those.size - 1 - share[those][::-1].argmax()])
    return -1


def _curve(
    images: Sequence[_Image], taken: Sequence[tuple[np.ndarray, np.ndarray, int]], most: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return precisions (limits, recalls) and the last recall (limits,); None where no object counts."""
    objects = sum(count for *_, count in taken)
    if not objects:
        return None
    order = np.argsort(-np.concatenate([image.scores[:most] for image in images]), kind="stable")
    hits = np.concatenate([found[:, :most] for found, _, _ in taken], 1)[:, order]
    void = np.concatenate([not_counted[:, :most] for _, not_counted, _ in taken], 1)[:, order]
    right, wrong = np.cumsum(hits & ~void, 1), np.cumsum(~hits & ~void, 1)
    recall, share = right / objects, right / np.maximum(right + wrong, 1)
    envelope = np.maximum.accumulate(share[:, ::-1], 1)[:, ::-1]
    padded = np.pad(envelope, ((0, 0), (0, 1)))  # beyond the last recall precision is 0
    places = np.stack([np.searchsorted(row, RECALLS, side="left") for row in recall])
    return np.take_along_axis(padded, places, 1), right.max(1, initial=0) / objects

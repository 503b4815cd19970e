"""Do the survivors of a pruned image lie in regions of one sign? Join counts beside those of shuffled images.

Two pixels that are not 0 and at most a reach apart, in rows and in columns, are a join; of like sign or not. Where
regions have one sign, more joins are of like sign than chance makes. What chance makes is drawn: the signs of an
image's survivors are shuffled among their places, or the survivors among the pixels of a field, each image by itself.

Source: Moran, "The interpretation of statistical maps" (J. Royal Statistical Society B, 1948); Cliff & Ord, "Spatial
Processes" (1981), chapter 1: join counts under non-free sampling.
"""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np


@final
@dataclass(frozen=True)
class Beside:
    """A figure of images beside those of shuffled ones.

    Args:
        found: of the images as they are.
        mean: of the shuffled ones.
        deviation: standard deviation of these.
        p: share of shuffles whose figure is as large, the images themselves counted as one: a one-sided test.
    """

    found: float
    mean: float
    deviation: float
    p: float

    @classmethod
    def of(cls, found: float, drawn: np.ndarray) -> "Beside":
        """Return a figure beside those of shuffles, shape (draws,), one at least."""
        p = (1 + int((drawn >= found).sum())) / (1 + len(drawn))
        varies = bool((drawn != drawn[0]).any())  # else a mean that is rounded would make a deviation
        return cls(found, float(drawn.mean() if varies else drawn[0]), float(drawn.std()) if varies else 0.0, p)

    @property
    def z(self) -> float:
        """Standard deviations above the mean; 0 where shuffles do not vary."""
        return (self.found - self.mean) / self.deviation if self.deviation else 0.0

    def record(self) -> dict[str, float]:
        """Return it as JSON says it."""
        figures = {"found": self.found, "shuffled": self.mean, "deviation": self.deviation, "z": self.z, "p": self.p}
        return {key: round(value, 6) for key, value in figures.items()}


@final
@dataclass(frozen=True)
class Regions:
    """What joins at most a reach apart say.

    Args:
        reach: in pixels.
        joins: how many there are.
        signs: share of joins of like sign beside signs shuffled among the survivors' places.
        anywhere: beside survivors shuffled over the whole image.
        used: beside survivors shuffled over the pixels that any image uses.
        near_anywhere: joins for each survivor beside survivors shuffled over the whole image.
        near_used: beside survivors shuffled over the pixels that any image uses.
        alone: share of the images with joins whose own joins of like sign are among the most numerous twentieth of
            their own shuffles of signs.
        compact: joins over those of squares of as many pixels: 1 where survivors fill squares.
    """

    reach: int
    joins: int
    signs: Beside
    anywhere: Beside
    used: Beside
    near_anywhere: Beside
    near_used: Beside
    alone: float
    compact: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        own = {key: value.record() for key, value in vars(self).items() if isinstance(value, Beside)}
        return {
            "reach": self.reach, "joins": self.joins, **own, "alone": round(self.alone, 6),
            "compact": round(self.compact, 6),
        }  # fmt: skip


def joins(signs: np.ndarray, reach: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the joins of like sign, and all, of each image. O(pixels · reach).

    >>> like, every = joins(np.array([[[1, 1, 0], [0, -1, -1]]]))
    >>> like.tolist(), every.tolist()  # three of five are of unlike sign
    ([2], [5])

    Args:
        signs: −1, 0 or 1, shape (images, height, width).
        reach: pixels between two of a join at most, in rows and in columns: 1 for the eight neighbours.

    Returns:
        Two arrays of shape (images,).
    """
    wide = signs.astype(np.int32)
    kept = np.abs(wide)
    survivors = kept.sum((1, 2), dtype=np.int64)  # each is in its own window once, and each join in two
    surplus = ((wide * _windows(wide, reach)).sum((1, 2), dtype=np.int64) - survivors) // 2
    every = ((kept * _windows(kept, reach)).sum((1, 2), dtype=np.int64) - survivors) // 2
    return (every + surplus) // 2, every


def _windows(images: np.ndarray, reach: int) -> np.ndarray:
    """Return the sum over what is at most ``reach`` from each pixel, in rows and in columns."""
    rows = images.copy()
    for shift in range(1, reach + 1):
        rows[:, shift:] += images[:, :-shift]
        rows[:, :-shift] += images[:, shift:]
    sums = rows.copy()
    for shift in range(1, reach + 1):
        sums[:, :, shift:] += rows[:, :, :-shift]
        sums[:, :, :-shift] += rows[:, :, shift:]
    return sums


def signs_shuffled(signs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return each image with the signs of its survivors in another order, at the same places.

    Args:
        signs: shape (images, height, width).
        generator: of the order.
    """
    flat = signs.reshape(len(signs), math.prod(signs.shape[1:]))
    image, place = np.nonzero(flat)
    values = flat[image, place]
    shuffled = flat.copy()
    shuffled[image, place] = values[np.lexsort((generator.random(len(image)), image))]
    return shuffled.reshape(signs.shape)


def places_shuffled(signs: np.ndarray, field: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return each image with its survivors at other places of a field, as many of each sign.

    Args:
        signs: shape (images, height, width), 0 outside the field.
        field: the pixels there are, bool, shape (height, width).
        generator: of the places.
    """
    shuffled = np.zeros_like(signs)
    shuffled[:, field] = generator.permuted(signs[:, field], axis=1)
    return shuffled


def squares(counts: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image for each count in which so many pixels fill a square, row by row, as nearly as the height allows.

    >>> squares(np.array([5]), 4, 4)[0].tolist()
    [[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    """
    images = np.zeros((len(counts), height, width), np.int8)
    for image, count in zip(images, counts.tolist(), strict=True):
        side = max(math.isqrt(max(count - 1, 0)) + 1, -(-count // height))
        rows, left = divmod(count, side)
        image[:rows, :side] = 1
        image[rows : rows + 1, :left] = 1
    return images


def regions(images: np.ndarray, reaches: tuple[int, ...], draws: int, seed: int) -> list[Regions]:
    """Return what joins of images say, for each reach, all images together: counts are summed before shares are taken.

    A share of no joins is 0. An image without survivors counts for nothing.

    Args:
        images: weights, 0 where they are pruned, shape (images, height, width), finite.
        reaches: see `joins`.
        draws: shuffles of each kind, 1 or more.
        seed: of the shuffles.

    Raises:
        ValueError: for images of another number of axes, and for no draws.
    """
    if draws < 1:
        raise ValueError(f"draws is the number of shuffles of each kind, 1 or more, not {draws}")
    if images.ndim != 3:
        raise ValueError(f"images are an array of shape (images, height, width), not {images.shape}")
    signs = np.sign(images).astype(np.int8)
    signs = signs[signs.any((1, 2))]
    generator, field = np.random.default_rng(seed), signs.any(0)
    drawn = {
        "signs": [_counts(signs_shuffled(signs, generator), reaches) for _ in range(draws)],
        "anywhere": [_counts(places_shuffled(signs, np.ones_like(field), generator), reaches) for _ in range(draws)],
        "used": [_counts(places_shuffled(signs, field, generator), reaches) for _ in range(draws)],
    }
    counts = {kind: np.stack(many) for kind, many in drawn.items()}  # (draws, reaches, 2, images)
    survivors = np.count_nonzero(signs, (1, 2))
    found, filled = _counts(signs, reaches), _counts(squares(survivors, *signs.shape[1:]), reaches)
    return [
        _regions(reach, found[at], {kind: of[:, at] for kind, of in counts.items()}, filled[at, 1], survivors)
        for at, reach in enumerate(reaches)
    ]


def _counts(signs: np.ndarray, reaches: tuple[int, ...]) -> np.ndarray:
    """Return joins of like sign and all for each reach, shape (reaches, 2, images)."""
    return np.array([joins(signs, reach) for reach in reaches])


def _regions(
    reach: int, found: np.ndarray, drawn: dict[str, np.ndarray], filled: np.ndarray, survivors: np.ndarray
) -> Regions:
    """Return what the joins of one reach say.

    Args:
        reach: in pixels.
        found: joins of like sign and all, shape (2, images).
        drawn: the same of shuffles, by kind, shape (draws, 2, images).
        filled: all joins of squares, shape (images,).
        survivors: of each image, shape (images,).
    """
    sums = {kind: of.sum(2) for kind, of in drawn.items()}
    like, every = found.sum(1).tolist()
    kept = max(1, int(survivors.sum()))
    shares = {kind: Beside.of(like / max(1, every), of[:, 0] / np.maximum(1, of[:, 1])) for kind, of in sums.items()}
    near = {kind: Beside.of(every / kept, sums[kind][:, 1] / kept) for kind in ("anywhere", "used")}
    joined = found[1] > 0
    rarer = (1 + (drawn["signs"][:, 0, joined] >= found[0, joined]).sum(0)) / (1 + len(drawn["signs"]))
    return Regions(
        reach, every, **shares, near_anywhere=near["anywhere"], near_used=near["used"],
        alone=float((rarer <= 0.05).mean()) if joined.any() else 0.0, compact=every / max(1, int(filled.sum())),
    )  # fmt: skip

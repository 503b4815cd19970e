"""The 1,797 handwritten digits of 8x8 pixels (values 0 to 16) that scikit-learn carries: data without a download."""

import functools
import random

import numpy as np
import torch

from laconic.models.data.images import Images

_TEST = 397
_SEED = 0


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return a random order in which every contiguous slice holds the classes in proportion.

    The images of a class, shuffled, are spread evenly over the whole order. Only `random.Random.random` is drawn
    from, whose stream Python guarantees: the order never changes.

    Args:
        labels: class of each image, shape (images,).
        seed: of the shuffling.
    """
    source = random.Random(seed)
    shuffled = np.argsort([source.random() for _ in labels], kind="stable")
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(place, kind="stable")


def read_digits() -> Images:
    """Return the digits, with a fixed stratified test set of 397 images; scikit-learn is imported for them alone."""
    pixels, labels = (torch.from_numpy(array.copy()) for array in _digits())
    train, test = slice(0, len(labels) - _TEST), slice(len(labels) - _TEST, None)
    return Images("digits", (pixels[train], labels[train]), (pixels[test], labels[test]), brightest=16)


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and labels in our order; scikit-learn reads them from text, which takes a tenth of a second."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = stratified_order(bunch.target, _SEED)
    return bunch.images[order].astype(np.uint8)[:, None], bunch.target[order].astype(np.int64)

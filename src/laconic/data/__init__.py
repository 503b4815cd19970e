"""Readers of real data sets; data folders come from the caller."""

from laconic.data.augmentation import AUGMENTATIONS, Augment
from laconic.data.cifar import read_cifar10, read_cifar100
from laconic.data.dataset import Dataset
from laconic.data.digits import read_digits
from laconic.data.folder import KNOWN
from laconic.data.idx import read_idx
from laconic.data.images import Images
from laconic.data.load import load, prepare, read
from laconic.data.preprocessing import PREPROCESSING

__all__ = [
    "AUGMENTATIONS",
    "KNOWN",
    "PREPROCESSING",
    "Augment",
    "Dataset",
    "Images",
    "load",
    "prepare",
    "read",
    "read_cifar10",
    "read_cifar100",
    "read_digits",
    "read_idx",
]

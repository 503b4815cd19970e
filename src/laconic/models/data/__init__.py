"""Readers of real data sets; data folders come from the caller."""

from laconic.models.data.augmentation import AUGMENTATIONS, Augment
from laconic.models.data.cifar import read_cifar10, read_cifar100
from laconic.models.data.dataset import Dataset
from laconic.models.data.digits import read_digits
from laconic.models.data.folder import KNOWN
from laconic.models.data.idx import read_idx
from laconic.models.data.images import Images
from laconic.models.data.load import load, prepare, read
from laconic.models.data.preprocessing import PREPROCESSING

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

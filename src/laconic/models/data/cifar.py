"""CIFAR-10 and CIFAR-100 in the official binary layout (A. Krizhevsky 2009): label bytes, then planes R, G, B."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from laconic.errors import DataError
from laconic.models.data.folder import locate, read_bytes
from laconic.models.data.images import Images

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_FILES = (*((f"data_batch_{number}.bin",) for number in range(1, 6)), ("test_batch.bin",))
_FILES_100 = (("train.bin",), ("test.bin",))


def read_batch(path: Path, records: int, marks: int = 1, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (records, 3, 32, 32) and labels (records,) of one batch file, both uint8.

    Args:
        path: of the file.
        records: how many images it must hold.
        marks: label bytes before the pixels of an image; the last one is the label.
        classes: labels are below.

    Raises:
        DataError: when the file does not hold exactly ``records`` records, or a label is too large.
    """
    data, size = np.frombuffer(read_bytes(path), np.uint8), marks + _PIXELS
    if len(data) != records * size:
        raise DataError(f"{path} holds {len(data)} bytes, not {records} records of {size}; fetch it again")
    table = data.reshape(records, size)
    labels = table[:, marks - 1]
    if records and labels.max() >= classes:
        raise DataError(
            f"{path}: record {int(labels.argmax())} has label {labels.max()}; CIFAR-{classes} has 0 to {classes - 1}"
        )
    return table[:, marks:].reshape(records, *_SHAPE), labels


def read_cifar10(data_dir: Path | None, *, records: int = 10_000) -> Images:
    """Read CIFAR-10 from ``data_dir/cifar10`` or ``data_dir``, or `cifar-10-batches-bin` in either.

    Args:
        data_dir: the caller's data folder.
        records: how many images each of the six files must hold.

    Raises:
        DataError: when a file is missing or unsound.
    """
    paths = locate("cifar10", data_dir, _FILES, nested="cifar-10-batches-bin")
    with ThreadPoolExecutor() as pool:
        batches = list(pool.map(lambda path: read_batch(path, records), paths))
    return Images("cifar10", _joined(batches[:5]), _joined(batches[5:]))


def read_cifar100(data_dir: Path | None, *, records: tuple[int, int] = (50_000, 10_000)) -> Images:
    """Read CIFAR-100, with its 100 fine labels, from ``data_dir/cifar100``, ``data_dir`` or `cifar-100-binary` there.

    A record is a coarse label, which is not read, a fine one, and the pixels.

    Args:
        data_dir: the caller's data folder.
        records: how many images `train.bin` and `test.bin` must hold.

    Raises:
        DataError: when a file is missing or unsound.
    """
    paths = locate("cifar100", data_dir, _FILES_100, nested="cifar-100-binary")
    train, test = (read_batch(path, count, 2, 100) for path, count in zip(paths, records, strict=True))
    return Images("cifar100", _joined([train]), _joined([test]))


def _joined(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """Return the pixels and labels of several batches as one pair."""
    pixels, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))

"""CIFAR-10 in the official binary layout (A. Krizhevsky 2009): per record a label byte, then planes R, G, B."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from laconic.data.folder import locate, read_bytes
from laconic.data.images import Images
from laconic.errors import DataError

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_FILES = (*((f"data_batch_{number}.bin",) for number in range(1, 6)), ("test_batch.bin",))


def read_batch(path: Path, records: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (records, 3, 32, 32) and labels (records,) of one batch file, both uint8.

    Raises:
        DataError: when the file does not hold exactly ``records`` records, or a label is above 9.
    """
    data = np.frombuffer(read_bytes(path), np.uint8)
    if len(data) != records * _RECORD:
        raise DataError(f"{path} holds {len(data)} bytes, not {records} records of {_RECORD}; fetch it again")
    table = data.reshape(records, _RECORD)
    labels = table[:, 0]
    if records and labels.max() > 9:
        raise DataError(f"{path}: record {int(labels.argmax())} has label {labels.max()}; CIFAR-10 has 0 to 9")
    return table[:, 1:].reshape(records, *_SHAPE), labels


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


def _joined(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """Return the pixels and labels of several batches as one pair."""
    pixels, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))

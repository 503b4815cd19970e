"""The IDX files of MNIST and its kin: Fashion-MNIST, KMNIST, sets of one's own.

A file is, in this order::

    0x00 0x00  type (0x08: uint8)  number of axes  |  axes as big-endian uint32  |  the elements, last axis fastest
"""

import math
import struct
from pathlib import Path

import numpy as np
import torch

from laconic.errors import DataError
from laconic.models.data.folder import locate, read_bytes
from laconic.models.data.images import Images

_FILES = tuple(
    tuple(f"{part}-{kind}{mark}idx{axes}-ubyte" for mark in "-.")
    for part in ("train", "t10k")
    for kind, axes in (("images", 3), ("labels", 1))
)


def read_array(path: Path, axes: int) -> np.ndarray:
    """Return the uint8 array of one IDX file, plain, `.gz` or `.xz`.

    Args:
        path: the file.
        axes: how many axes it should have: 3 for images, 1 for labels.

    Raises:
        DataError: when the magic number, the number of axes or the length is not what it should be.
    """
    data = read_bytes(path)
    head = 4 + 4 * axes
    if data[:4] != bytes((0, 0, 8, axes)):
        raise DataError(
            f"{path} is no IDX file of uint8 with {axes} axes: it starts with {data[:4].hex() or 'nothing'}, "
            f"not 000008{axes:02x}"
        )
    if len(data) < head:
        raise DataError(f"{path} is truncated: {len(data)} bytes, but the header alone takes {head}")
    shape = struct.unpack(f">{axes}I", data[4:head])
    expected = head + math.prod(shape)
    if len(data) != expected:
        raise DataError(f"{path} holds {len(data)} bytes, but its header {shape} asks for {expected}; fetch it again")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def read_idx(name: str, data_dir: Path | None) -> Images:
    """Read the four IDX files of data set ``name`` from ``data_dir/name`` or ``data_dir``.

    Raises:
        DataError: when a file is missing or unsound, or the files do not belong together.
    """
    paths = locate(name, data_dir, _FILES)
    parts = []
    for images_path, labels_path in (paths[:2], paths[2:]):
        images, labels = read_array(images_path, 3), read_array(labels_path, 1)
        if len(images) != len(labels) or not len(labels):
            raise DataError(f"{images_path} holds {len(images)} images, but {labels_path} {len(labels)} labels")
        pixels = torch.from_numpy(images.copy()).unsqueeze(1)
        parts.append((pixels, torch.from_numpy(labels.astype(np.int64))))
    return Images(name, parts[0], parts[1])

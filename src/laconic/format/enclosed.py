"""A `.lac` file as the one tensor of a safetensors file, which tools of models carry along without knowing it.

The header of safetensors, blanks up to `BEFORE` bytes, then the `.lac` file byte by byte: where that is known, nothing
is copied to read it. A loader that knows safetensors and not laconic finds one tensor of bytes, and none of the weights
that it looks for.
"""

import json
import mmap
from pathlib import Path
from typing import final

from laconic.errors import FormatError
from laconic.format import tensors_file

TENSOR = "lac"
"""The name of the tensor."""

FILE = "model.lac.safetensors"
"""What the file is called in a folder of a model."""

BEFORE = 128
"""Bytes before the `.lac` file: its length can be written when it is known."""

_LONGEST = 1 << 10
"""Bytes of a header that may be of such a file, whoever has written it."""


@final
class Part:
    """The bytes of a map from one place on; slices are copied out of it."""

    def __init__(self, data: mmap.mmap, start: int) -> None:
        self._data, self._start = data, start

    def __len__(self) -> int:
        return len(self._data) - self._start

    def __getitem__(self, at: slice) -> bytes:
        start, stop, step = at.indices(len(self))
        return self._data[self._start + start : self._start + stop : step]

    def close(self) -> None:
        """Let go of the map."""
        self._data.close()


def before(length: int) -> bytes:
    """Return the `BEFORE` bytes that come before a `.lac` file of so many bytes."""
    text = tensors_file.header({TENSOR: ("uint8", (length,))}, {"format": "pt"})[8:].ljust(BEFORE - 8)
    assert len(text) == BEFORE - 8, "a file of 10¹⁷ bytes has no room for its length"
    return len(text).to_bytes(8, "little") + text


def found(path: Path) -> tuple[Path, int]:
    """Return the file that a `.lac` file is in, and the byte at which it begins there.

    Args:
        path: a `.lac` file, for which that is byte 0; a safetensors file around one; or a folder with such a file.

    Raises:
        FormatError: when the header of safetensors says another length than the file has.
    """
    inner = path / FILE
    path = inner if path.is_dir() and inner.is_file() else path
    return path, _start(path) if path.is_file() else 0


def _start(path: Path) -> int:
    """Return where a `.lac` file begins in a safetensors file of which it is the only tensor, and 0 in any other."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size <= _LONGEST:
            return 0
        text = file.read(size)
        whole = file.seek(0, 2)
    try:
        header = json.loads(text)
        entry = {key: value for key, value in header.items() if key != "__metadata__"}[TENSOR]
        others = header.keys() - {TENSOR, "__metadata__"}
        kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0
    if others or kind != "U8":
        return 0
    if shape != [end] or start != 0 or 8 + size + end != whole:
        raise FormatError(f"{path}: its tensor {TENSOR!r} has {end} bytes from {start} on, of the {whole - 8 - size}")
    return 8 + size

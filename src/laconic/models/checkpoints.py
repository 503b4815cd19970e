"""Checkpoints: networks as people save them, read without ever unpickling and written all or nothing."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from laconic.errors import DataError
from laconic.format import tensors_file
from laconic.format.files import replace_file, same_every_time
from laconic.models.params import Params, dtype_name

_MAPPED = 1 << 26
"""Bytes of different tensors that are read before a file is opened anew."""


@final
class OneByOne(Mapping[str, Tensor]):
    """The tensors of a safetensors file, each read when it is asked for and then forgotten.

    A tied tensor that `safetensors.torch.save_model` has left out is there too: it put its name into the metadata, with
    the name of the one that it kept.
    """

    def __init__(self, path: Path) -> None:
        file: Any = safetensors.safe_open(path, framework="pt")
        self._path, self._file, self._names = path, file, {name: name for name in file.keys()}
        self._mapped: dict[str, int] = {}  # bytes that were read of the file since it was opened
        left_out = {k: v for k, v in self.metadata.items() if k not in self._names and v in self._names}
        self._names |= left_out

    @property
    def metadata(self) -> dict[str, str]:
        """The text beside the tensors."""
        return self._file.metadata() or {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        own = self._names[name]
        if own not in self._mapped and sum(self._mapped.values()) > _MAPPED:  # they stay in memory until it is closed
            self._file, self._mapped = safetensors.safe_open(self._path, framework="pt"), {}
        tensor: Tensor = self._file.get_tensor(own)
        self._mapped[own] = tensor.nbytes
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a `.safetensors`, `.pt` or `.pth` file. Nothing is ever unpickled.

    Raises:
        DataError: when the file is missing, unreadable, or is not a flat mapping from names to tensors.
    """
    params, metadata = open_checkpoint(path)
    return dict(params), metadata


def open_checkpoint(path: Path) -> tuple[Params, dict[str, str]]:
    """Return what `load_checkpoint` does, but read a tensor of a `.safetensors` file only when it is asked for."""
    if not path.is_file():
        raise DataError(f"no file {path}")
    try:
        if path.suffix in (".pt", ".pth"):
            return _flat(path, _unpickled(path)), {}
        params = OneByOne(path)
        return params, params.metadata
    except DataError:
        raise
    except Exception as error:  # the two readers raise a dozen unrelated types
        raise DataError(f"{path} cannot be read as {path.suffix or 'safetensors'}: {error}") from error


def _unpickled(path: Path) -> object:
    """Return what torch's reader of tensors, which runs no code, finds in a checkpoint."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch's own messages are long, and advise to trust the file and run it
        raise DataError(
            f"{path} holds more than tensors, or is no checkpoint; nothing in it was run. Save model.state_dict() alone"
        ) from error


def _flat(path: Path, loaded: object) -> dict[str, Tensor]:
    """Return the mapping of tensors in a torch checkpoint, which may stand under ``state_dict`` or ``model``."""
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise DataError(f"{path} holds no mapping from names to tensors; save model.state_dict()")
    return {str(name): tensor.detach() for name, tensor in loaded.items()}


def save_checkpoint(path: Path, params: Params, metadata: Mapping[str, str], *, force: bool = False) -> None:
    """Write ``params`` as safetensors, all or nothing.

    Raises:
        OutputExists: when ``path`` exists and ``force`` is not set.
    """
    with replace_file(path, force=force) as file:
        file.write(checkpoint_bytes(params, metadata))


def checkpoint_size(params: Params) -> int:
    """Return the bytes of the safetensors file of ``params`` without metadata, which is not made for it."""
    outline = {name: (dtype_name(tensor), tuple(tensor.shape)) for name, tensor in params.items()}
    return len(tensors_file.header(outline, {})) + sum(tensor.nbytes for tensor in params.values())


def checkpoint_bytes(params: Params, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the safetensors file of ``params``; tensors that share memory are each written."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in params.items()}
    return same_every_time(safetensors.torch.save(tensors, dict(metadata) if metadata else None))

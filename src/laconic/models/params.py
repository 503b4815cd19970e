"""Weights by name: where tensors of torch meet arrays of NumPy, and checkpoints meet both."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import ml_dtypes  # noqa: F401  registers bfloat16 and the 8-bit floats with NumPy
import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from laconic.errors import DataError, WeightsError
from laconic.format.codes import DTYPES, Code
from laconic.format.files import replace_file, same_every_time

Params = Mapping[str, Tensor]
"""Parameters and buffers by their name in the `state_dict`."""

_VIEWED = {"bfloat16": torch.int16, "float8_e4m3fn": torch.uint8, "float8_e5m2": torch.uint8}
"""Types that NumPy knows only through ml_dtypes: they cross over as integers of the same width."""


def params_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of ``module``, detached, tied ones once."""
    persistent = module.state_dict(keep_vars=True)
    named = {**dict(module.named_parameters()), **{k: v for k, v in module.named_buffers() if k in persistent}}
    return {name: tensor.detach() for name, tensor in named.items()}


def apply_to(module: nn.Module, params: Params) -> None:
    """Copy ``params`` into ``module`` in place.

    Raises:
        WeightsError: when names or shapes differ; the module is left as it was.
    """
    own = params_of(module)
    missing, strange = sorted(own.keys() - params.keys()), sorted(params.keys() - own.keys())
    if missing or strange:
        raise WeightsError(f"the module lacks {strange or 'nothing'} and has beyond the weights {missing or 'nothing'}")
    for name, tensor in own.items():
        if tensor.shape != params[name].shape:
            raise WeightsError(f"{name}: the module's shape is {tuple(tensor.shape)}, not {tuple(params[name].shape)}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(params[name])


def dtype_name(tensor: Tensor) -> str:
    """Return NumPy's name of the dtype of ``tensor``, as codes carry it."""
    return str(tensor.dtype).removeprefix("torch.")


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return the elements of ``tensor`` as a NumPy array, bit by bit.

    Raises:
        WeightsError: for a type that no code can carry.
    """
    name = dtype_name(tensor)
    if name not in DTYPES:
        raise WeightsError(f"dtype {name} cannot be stored; supported are {', '.join(DTYPES)}")
    tensor = tensor.detach().cpu().contiguous()
    array: np.ndarray = tensor.view(_VIEWED.get(name, tensor.dtype)).numpy()
    return array.view(name) if name in _VIEWED else array


def to_torch(array: np.ndarray) -> Tensor:
    """Return ``array`` as a torch tensor of its own memory, bit by bit."""
    name = array.dtype.name
    array = np.array(array, order="C")
    if name not in _VIEWED:
        return torch.from_numpy(array)
    carrier = np.int16 if _VIEWED[name] == torch.int16 else np.uint8
    dtype: torch.dtype = getattr(torch, name)
    return torch.from_numpy(array.view(carrier)).view(dtype)


def decompress(codes: Mapping[str, Code]) -> dict[str, Tensor]:
    """Return Δ(Θ) for every code."""
    return {name: to_torch(code.decompress()) for name, code in codes.items()}


def require_finite(name: str, tensor: Tensor) -> None:
    """Raise `WeightsError` when ``tensor`` is no float tensor or holds a NaN or an infinity."""
    if not tensor.is_floating_point():
        raise WeightsError(f"{name}: a lossy compression takes floating-point weights, not {dtype_name(tensor)}")
    bad = int(torch.count_nonzero(~torch.isfinite(tensor if tensor.dtype == torch.float64 else tensor.float())))
    if bad:
        raise WeightsError(
            f"{name}: {bad} of {tensor.numel()} weights are NaN or infinite; repair them, "
            "or leave this tensor lossless in the plan"
        )


@final
class OneByOne(Mapping[str, Tensor]):
    """The tensors of a safetensors file, each read when it is asked for and then forgotten."""

    def __init__(self, path: Path) -> None:
        file: Any = safetensors.safe_open(path, framework="pt")
        self._file, self._names = file, dict.fromkeys(file.keys())

    @property
    def metadata(self) -> dict[str, str]:
        """The text beside the tensors."""
        return self._file.metadata() or {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@final
class Arrays(Mapping[str, np.ndarray]):
    """Tensors as NumPy arrays, each converted when it is asked for."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def __getitem__(self, name: str) -> np.ndarray:
        return to_numpy(self._params[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)


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


def checkpoint_bytes(params: Params, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the safetensors file of ``params``; tensors that share memory are each written."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in params.items()}
    return same_every_time(safetensors.torch.save(tensors, dict(metadata) if metadata else None))

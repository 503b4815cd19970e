"""Checkpoints: networks as people save them, read without ever unpickling and written all or nothing."""

import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from laconic.errors import DataError, listed
from laconic.format import tensors_file
from laconic.format.files import replace_file, same_every_time
from laconic.format.signatures import is_lac, kind_of_file
from laconic.models.companions import plain_config
from laconic.models.directories import CONFIG, Directory, config_of, located
from laconic.models.gguf_files import read_gguf
from laconic.models.params import Params, dtype_name, require_storable
from laconic.models.quantized import QUANTIZATION, without_configuration
from laconic.models.quantizers import completed
from laconic.models.shards import Shards
from laconic.models.state_dicts import Renamed, tensors_of, unprefixed

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
        text: dict[str, str] = file.metadata() or {}
        left_out = {k: v for k, v in text.items() if k not in self._names and v in self._names}
        self._names |= left_out
        self.metadata = {k: v for k, v in text.items() if k not in left_out}
        """The text beside the tensors, without those names."""

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        own = self._names[name]
        if own not in self._mapped and sum(self._mapped.values()) > _MAPPED:  # they stay in memory until it is closed
            self._file, self._mapped = safetensors.safe_open(self._path, framework="pt"), {}
        tensor: Tensor = self._file.get_tensor(own)
        require_storable(name, tensor)
        self._mapped[own] = tensor.nbytes
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def outline(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return the format's name of the dtype, and the shape, of each tensor; none is read."""
        parts = {name: self._file.get_slice(own) for name, own in self._names.items()}
        return {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}


@final
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network as it was read.

    Args:
        params: by name; those of a safetensors file are read when they are asked for.
        metadata: the text beside them.
        notes: what was chosen, left out or renamed, a sentence each.
        config: what the `config.json` of a folder says; of a file what is said of quantization beside it.
    """

    params: Params
    metadata: dict[str, str]
    notes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, str]:
        """What settles the layouts of quantized tensors: the metadata, and the configuration where these do not."""
        return ({CONFIG: json.dumps(self.config)} if self.config else {}) | self.metadata

    def standing(self, params: Params) -> "Checkpoint":
        """Return it with the weights that its quantized tensors stand for, and no word of how these were.

        Args:
            params: these weights, and what is not quantized.
        """
        config = {key: value for key, value in self.config.items() if key != QUANTIZATION}
        return replace(self, params=params, metadata=without_configuration(self.metadata), config=config)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file of ours, by the very names that it has, and its metadata; errors as below."""
    checkpoint = _read(path, None)
    return dict(checkpoint.params), checkpoint.metadata


def open_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read a file of safetensors, of `torch.save` or of GGUF, whatever its name is. Tensors alone are unpickled.

    Of a folder of a model, or the index of its shards, all files are one checkpoint, read a tensor at a time.

    Prefixes of wrappers that all names have (`module.`, `_orig_mod.`) are taken off.

    Args:
        path: the file, the folder, or the index.
        key: in a file of `torch.save`, of the mapping to take, with dots where it lies deeper; there need be none where
            only one may be a network.

    Raises:
        DataError: when the file is missing, unreadable, of another kind, or holds no tensors by name, or several
            mappings of them and no key says which.
        WeightsError: for a tensor that no file can hold.
    """
    directory = None if is_lac(path) else located(path)
    checkpoint = _gathered(directory, key) if directory else _beside(path, _read(path, key))
    names = unprefixed(checkpoint.params)
    taken = {own.removesuffix(name) for name, own in names.items()} - {""}
    if not taken:
        return checkpoint
    notes = (*checkpoint.notes, f"{path.name}: took {taken.pop()} off all names")
    return replace(checkpoint, params=Renamed(checkpoint.params, names), notes=notes)


def _beside(path: Path, read: Checkpoint) -> Checkpoint:
    """Return what a file holds with what its folder says of quantization; GGUF says it all."""
    if kind_of_file(path) == "gguf":
        return read
    config, notes = quantization_told(path.parent)
    return replace(read, config=config, notes=(*read.notes, *notes))


def quantization_told(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what `config.json` and files of quantizers say of quantization, and notes on those that are not such."""
    try:
        told, notes = plain_config(config_of(folder)), tuple[str, ...]()
    except DataError as error:  # it may be anybody's
        told, notes = {}, (f"not heeded: {error}",)
    whole, more = _quantization(folder, told)
    return whole, (*notes, *more)


def _quantization(folder: Path, config: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the part of a configuration on quantization, with what files of quantizers add, and notes."""
    own = config.get(QUANTIZATION)
    whole, notes = completed(folder, own if isinstance(own, dict) else {})
    return ({QUANTIZATION: whole} if whole else {}), notes


def _gathered(directory: Directory, key: str | None) -> Checkpoint:
    """Return what the files of a folder hold, with their own names."""
    outline, found, metadata, notes = dict[str, Any](), dict[Path, list[str]](), dict[str, str](), [*directory.notes]
    kinds: dict[str, str] = {}
    for path in directory.files:
        shard = _read(path, key, mapped=True)
        found[path], metadata = list(shard.params), {**shard.metadata, **metadata}
        own = _outline(shard.params)
        outline |= own
        kinds[path.name] = ", ".join(sorted({kind for kind, shape in own.values() if len(shape) > 1}))
        notes += [note for note in shard.notes if note not in notes]
    if len(set(kinds.values()) - {""}) > 1:
        told = "; ".join(f"{name} {kind}" for name, kind in kinds.items() if kind)
        notes.append(f"{directory.folder.name}: files differ in the types of weights, and each keeps its own: {told}")
    places, more = directory.places(found)
    params = Shards(places, lambda path: _read(path, key, mapped=True).params)
    notes += [*more, *directory.doubts(outline)]
    tied = directory.tied(places)
    if tied and not (outline[tied[0]] == outline[tied[1]] and torch.equal(params[tied[0]], params[tied[1]])):
        notes.append(f"config.json ties {tied[1]} to {tied[0]}, but they differ: both are kept as they are")
    said, doubts = _quantization(directory.folder, directory.config)
    return Checkpoint(params, metadata, (*notes, *doubts), {**directory.config, **said})


def _outline(params: Params) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return a dtype's name, and the shape, of each tensor."""
    if isinstance(params, OneByOne):
        return params.outline()
    return {name: (dtype_name(tensor), tuple(tensor.shape)) for name, tensor in params.items()}


def _read(path: Path, key: str | None, *, mapped: bool = False) -> Checkpoint:
    """Return what a file holds, with its own names; tensors of `torch.save` stay on disk where they are ``mapped``."""
    kind = kind_of_file(path)
    if kind == "lac":
        raise DataError(f"{path} is a .lac file, which is compressed; laconic decompress makes a checkpoint of it")
    if kind == "gguf" and key is None:
        blocks, text, notes = read_gguf(path)
        return Checkpoint(blocks, text, tuple(notes))
    if kind not in ("safetensors", "gguf"):
        params, notes = tensors_of(path, _unpickled(path, kind, mapped=mapped), key)
        for name, tensor in params.items():
            require_storable(name, tensor)
        return Checkpoint(params, {}, tuple(notes))
    if key is not None:
        raise DataError(f"{path} is of {kind}, which holds no mapping but one: leave out --key {key}")
    try:
        tensors = OneByOne(path)
    except OSError:
        raise
    except Exception as error:  # the reader raises a dozen unrelated types
        raise DataError(f"{path} cannot be read as safetensors: {error}; it may be damaged or cut short") from error
    return Checkpoint(tensors, tensors.metadata)


def _unpickled(path: Path, kind: str, *, mapped: bool) -> object:
    """Return what torch's reader of tensors, which runs no code, finds in a file."""
    if kind == "zip":
        _require_torch(path)
    try:
        with path.open("rb") as file, warnings.catch_warnings(action="ignore"):  # that a layout is new is no news here
            if mapped and kind == "zip":
                return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch's own messages are long, and advise to trust the file and run it
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"holds more than tensors: {refused[1]}" if refused else "is damaged, cut short, or holds more than tensors"
        )
        raise DataError(
            f"{path} {what}; nothing in it was run. Save model.state_dict() alone where it was made"
        ) from error


def _require_torch(path: Path) -> None:
    """Raise `DataError` for an archive that `torch.save` has not written."""
    try:
        names = zipfile.ZipFile(path).namelist()
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is damaged or cut short: {error}") from error
    if any(name.endswith("constants.pkl") for name in names):
        raise DataError(f"{path} is a TorchScript program; save the state_dict() of what torch.jit.load makes of it")
    if not any(name.endswith("data.pkl") for name in names):
        raise DataError(f"{path} is a zip archive, but none of torch.save; in it are {listed(names) or 'no files'}")


def save_checkpoint(path: Path, params: Params, metadata: Mapping[str, str], *, force: bool = False) -> None:
    """Write ``params`` as safetensors, all or nothing.

    Raises:
        OutputExists: when ``path`` exists and ``force`` is not set.
    """
    with replace_file(path, force=force) as file:
        file.write(checkpoint_bytes(params, metadata))


def checkpoint_size(params: Params) -> int:
    """Return the bytes of the safetensors file of ``params`` without metadata, which is not made for it.

    complex128, which such a file cannot hold, counts as what it is a pair of.
    """
    outline: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, tensor in params.items():
        kind, shape = dtype_name(tensor), tuple(tensor.shape)
        outline[name] = ("float64", (*shape, 2)) if kind == "complex128" else (kind, shape)
    return len(tensors_file.header(outline, {})) + sum(tensor.nbytes for tensor in params.values())


def checkpoint_bytes(params: Params, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the safetensors file of ``params``; tensors that share memory are each written."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in params.items()}
    return same_every_time(safetensors.torch.save(tensors, dict(metadata) if metadata else None))

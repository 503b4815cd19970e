"""GGUF files as tensors by name: floats as they are, blocks of Q4_0 and Q8_0 as integers and their scales.

A block of 32 weights is a float16 scale and 32 integers, of 8 bits (Q8_0) or of 4, stored with 8 added, the first 16
in the low halves of bytes (Q4_0). `x.weight` becomes `x.weight_q`, int8, and `x.weight_scale`, one for each block: all
that a block says, so that nothing is lost, and what `laconic.models.quantized` recognises. The `gguf` package reads the
file. Source: the GGUF specification of ggml, and `gguf.quants`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import Tensor

from laconic.errors import DataError, MissingPackage, listed
from laconic.models.params import to_torch

_BLOCK = 32
_FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_INTEGERS = {"I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64"}
_BLOCKS = ("Q4_0", "Q8_0")


@final
class GgufTensors(Mapping[str, Tensor]):
    """The tensors of a GGUF file, each made when it is asked for."""

    def __init__(self, entries: Mapping[str, tuple[Any, str]]) -> None:
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Tensor:
        tensor, part = self._entries[name]
        kind = tensor.tensor_type.name
        if kind not in _BLOCKS:
            dtype = {**_FLOATS, **_INTEGERS}[kind]
            shape = tuple(reversed(tensor.shape.tolist()))
            return to_torch(np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1).view(dtype).reshape(shape))
        blocks = np.ascontiguousarray(tensor.data).reshape(-1, 2 + _BLOCK // (1 if kind == "Q8_0" else 2))
        shape = tuple(reversed(tensor.shape.tolist()))
        if part == "scale":
            return to_torch(blocks[:, :2].copy().view(np.float16).reshape(*shape[:-1], shape[-1] // _BLOCK))
        halves = blocks[:, 2:]
        if kind == "Q4_0":
            halves = (np.concatenate([halves & 15, halves >> 4], axis=1) ^ 8) << 4  # less 8, in the high half
            return to_torch((halves.view(np.int8) >> 4).reshape(shape))
        return to_torch(halves.copy().view(np.int8).reshape(shape))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def read_gguf(path: Path) -> tuple[GgufTensors, dict[str, str], list[str]]:
    """Return the tensors of a GGUF file, the numbers and words of its metadata as text, and notes.

    Raises:
        DataError: for a file that the package cannot read, a tensor of another type, and two that would have one name.
        MissingPackage: where the `gguf` package is not installed.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingPackage("GGUF files need the gguf package: pip install 'laconic[gguf]'") from None
    try:
        reader = GGUFReader(path)
        metadata, left_out = _metadata(reader)
    except OSError:
        raise
    except Exception as error:  # the reader raises whatever NumPy does
        raise DataError(f"{path} cannot be read as GGUF: {error}; it may be damaged or cut short") from error
    strange = [tensor for tensor in reader.tensors if tensor.tensor_type.name not in (*_FLOATS, *_INTEGERS, *_BLOCKS)]
    if strange:
        known = ", ".join([*_BLOCKS, *_FLOATS])
        raise DataError(
            f"{path}: {listed(f'{t.name} is {t.tensor_type.name}' for t in strange)}: read here are {known}; convert "
            "the file to one of these where it was made, or take the checkpoint that it was made of"
        )
    named = [entry for tensor in reader.tensors for entry in _entries(tensor)]
    entries = {name: (tensor, part) for name, tensor, part in named}
    if len(entries) < len(named):
        raise DataError(f"{path}: two tensors would have one name: {listed(_twice(name for name, _, _ in named))}")
    kinds = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    notes = [f"{path.name}: {', '.join(f'{many} tensors of {kind}' for kind, many in sorted(kinds.items()))}"]
    if left_out:
        notes.append(f"{path.name}: metadata that are lists or long are left out: {listed(left_out)}")
    return GgufTensors(entries), metadata, notes


def _entries(tensor: Any) -> list[tuple[str, Any, str]]:
    """Return the names that a tensor has here, each with the part of it that it is."""
    if tensor.tensor_type.name not in _BLOCKS:
        return [(tensor.name, tensor, "")]
    stem = tensor.name if tensor.name.rpartition(".")[2] == "weight" else f"{tensor.name}.weight"
    return [(f"{stem}_q", tensor, "integers"), (f"{stem}_scale", tensor, "scale")]


def _metadata(reader: Any) -> tuple[dict[str, str], list[str]]:
    """Return the fields of one value each as text, and the names of the others."""
    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    single = {name: field.contents() for name, field in fields.items() if len(field.types) == 1}
    return {name: str(value) for name, value in single.items()}, [name for name in fields if name not in single]


def _twice(names: Iterator[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, many in Counter(names).items() if many > 1]

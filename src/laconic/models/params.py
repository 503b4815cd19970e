"""Weights by name: where tensors of torch meet arrays of NumPy."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import ml_dtypes  # noqa: F401  registers bfloat16 and the 8-bit floats with NumPy
import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from laconic.errors import WeightsError
from laconic.format.codes import DTYPES, Code
from laconic.format.coding.dtypes import FLOATS, FOREIGN
from laconic.format.ties import same

Params = Mapping[str, Tensor]
"""Parameters and buffers by their name in the `state_dict`."""

_VIEWED = {name: torch.int16 if name == "bfloat16" else torch.uint8 for name in FOREIGN}
"""Types that NumPy knows only through ml_dtypes: they cross over as integers of the same width."""


def params_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of ``module``, detached, tied ones once."""
    persistent = module.state_dict(keep_vars=True)
    named = {**dict(module.named_parameters()), **{k: v for k, v in module.named_buffers() if k in persistent}}
    return {name: tensor.detach() for name, tensor in named.items()}


def all_params_of(module: nn.Module) -> dict[str, Tensor]:
    """Return what `params_of` does, but tied tensors under each of their names, as in the `state_dict`."""
    persistent = module.state_dict(keep_vars=True)
    buffers = {k: v for k, v in module.named_buffers(remove_duplicate=False) if k in persistent}
    named = {**dict(module.named_parameters(remove_duplicate=False)), **buffers}
    return {name: tensor.detach() for name, tensor in named.items()}


def buffers_of(module: nn.Module) -> set[str]:
    """Return every name of the buffers of ``module`` that are no parameters under another name."""
    parameters = {id(tensor) for tensor in module.parameters()}
    return {name for name, tensor in module.named_buffers(remove_duplicate=False) if id(tensor) not in parameters}


def first_names(module: nn.Module) -> dict[str, str]:
    """Return every name of a parameter or buffer, with the first name of the same tensor."""
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    firsts: dict[int, str] = {}
    return {name: firsts.setdefault(id(tensor), name) for name, tensor in own.items()}


def once(module: nn.Module, params: Params) -> dict[str, str]:
    """Return the first names of the tensors of ``module``, each with the first one that ``params`` have for it.

    Names that the module does not have stand for themselves.

    Raises:
        WeightsError: when names of one tensor come with different values.
    """
    firsts, kept = first_names(module), dict[str, str]()
    for name in params:
        other = kept.setdefault(firsts.get(name, name), name)
        if other == name or params[other] is params[name]:
            continue
        if not same(to_numpy(params[other]), to_numpy(params[name])):
            raise WeightsError(f"{other} and {name} are one tensor of the module, but come with different values")
    return kept


def apply_to(module: nn.Module, params: Params) -> None:
    """Copy ``params`` into ``module`` in place; tied tensors go by any of their names, or by several.

    Raises:
        WeightsError: when names or shapes differ, or names of one tensor come with different values; the module is
            left as it was.
    """
    own, kept = params_of(module), once(module, params)
    missing = sorted(own.keys() - kept.keys())
    strange = sorted(kept[first] for first in kept.keys() - own.keys())
    if missing or strange:
        raise WeightsError(f"the module lacks {strange or 'nothing'} and has beyond the weights {missing or 'nothing'}")
    for first, tensor in own.items():
        name = kept[first]
        if tensor.shape != params[name].shape:
            raise WeightsError(f"{name}: the module's shape is {tuple(tensor.shape)}, not {tuple(params[name].shape)}")
    with torch.no_grad():
        for first, tensor in own.items():
            tensor.copy_(params[kept[first]])


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the network within `DataParallel`, `DistributedDataParallel` and `torch.compile`.

    Its names are those of the file: without the ``module.`` and ``_orig_mod.`` that these put before them.
    """
    while True:
        parallel = isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inner = module.module if parallel else getattr(module, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def beside(module: nn.Module, params: Params) -> dict[str, Tensor]:
    """Return ``params``, each on the device of the module's own tensor of that name; gradients find the way back."""
    own = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    return {name: tensor.to(own[name].device) if name in own else tensor for name, tensor in params.items()}


def typed_as(module: nn.Module, params: Params) -> dict[str, Tensor]:
    """Return ``params`` by the same names, floats in the types that the module has for them."""
    own = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    return {name: _typed(tensor, own.get(name)) for name, tensor in params.items()}


def call(module: nn.Module, params: Params, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
    """Return what ``module`` gives with ``params`` in place of its own tensors, by first names, in its own types."""
    return caller(module, params)(arguments, named)


def caller(module: nn.Module, params: Params) -> Callable[[tuple[Any, ...], Mapping[str, Any]], Any]:
    """Return `call` as a function of what the module is called with.

    Each tensor is put where the module has it, into a part that is at several places once: torch 2.13 would put it
    there twice, and leave it there.
    """
    firsts = first_names(module)
    owners = ((path, {**part._parameters, **part._buffers}) for path, part in module.named_modules())
    places = {".".join(filter(None, (path, name))): tensor for path, own in owners for name, tensor in own.items()}
    given = {place: (params[firsts[place]], tensor) for place, tensor in places.items() if firsts.get(place) in params}
    tensors = {place: _typed(new, own) for place, (new, own) in given.items()}
    return lambda arguments, named: functional_call(module, tensors, arguments, dict(named), tie_weights=False)


def _typed(tensor: Tensor, like: Tensor | None) -> Tensor:
    """Return a tensor of floats in the type of another one."""
    if like is None or like.dtype == tensor.dtype or not (is_float(tensor) and is_float(like)):
        return tensor
    return tensor.to(like.dtype)


def dtype_name(tensor: Tensor) -> str:
    """Return NumPy's name of the dtype of ``tensor``, as codes carry it."""
    return str(tensor.dtype).removeprefix("torch.")


def is_float(tensor: Tensor) -> bool:
    """Say whether ``tensor`` is of a type that weights may have, which lossy compressions take."""
    return dtype_name(tensor) in FLOATS


def require_storable(name: str, tensor: object) -> None:
    """Raise `WeightsError`, which says the way out, for what has no elements of its own that a file can hold.

    What is sparse or quantized is not turned into numbers for its owner: another tensor would come back.
    """
    if not isinstance(tensor, Tensor):
        way = f"give what lies under {name!r}" if isinstance(tensor, Mapping) else "leave it out"
        raise WeightsError(f"{name} is no tensor but of type {type(tensor).__name__}; {way}")
    kind, why = dtype_name(tensor), ""
    if tensor.is_meta:
        why = "has no data, it is on the meta device; load its weights first"
    elif tensor.is_quantized:
        why = f"is quantized, {kind} with a scale beside it; keep its int_repr() and its scale, or its dequantize()"
    elif tensor.is_nested:
        why = "is a nested tensor; keep the tensors of its unbind(), each under a name of its own"
    elif tensor.layout is not torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        why = f"is sparse ({layout}), of which a checkpoint holds no more than the numbers; keep its to_dense()"
    elif kind not in DTYPES:
        why = f"is of type {kind}, which cannot be stored; keep its view(torch.uint8)"
    if why:
        raise WeightsError(f"{name} {why}")


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Return the elements of ``tensor`` as a NumPy array, bit by bit.

    Raises:
        WeightsError: for a type that no code can carry.
    """
    name = dtype_name(tensor)
    if name not in DTYPES:
        raise WeightsError(f"dtype {name} cannot be stored; supported are {', '.join(DTYPES)}")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    array: np.ndarray = tensor.view(_VIEWED.get(name, tensor.dtype)).numpy()
    return array.view(name) if name in _VIEWED else array


def to_torch(array: np.ndarray, *, fresh: bool = False) -> Tensor:
    """Return ``array`` as a torch tensor of its own memory, bit by bit: that of the array, where it is ``fresh``."""
    name = array.dtype.name
    array = np.require(array, requirements=["C", "W"]) if fresh else np.array(array, order="C")
    if name not in _VIEWED:
        return torch.from_numpy(array)
    carrier = np.int16 if _VIEWED[name] == torch.int16 else np.uint8
    dtype: torch.dtype = getattr(torch, name)
    return torch.from_numpy(array.view(carrier)).view(dtype)


def all_of(file: Any) -> dict[str, Tensor]:  # a LacFile, of which a checker of types would read the first tensor
    """Return all tensors of a `laconic.format.container.LacFile` by name.

    Raises:
        FormatError: when a block of the file is damaged, or it holds more than its limit allows.
    """
    file.require_room("tensors")
    return {name: to_torch(file[name], fresh=True) for name in file}


def decompress(codes: Mapping[str, Code]) -> dict[str, Tensor]:
    """Return Δ(Θ) for every code."""
    return {name: to_torch(code.decompress()) for name, code in codes.items()}


def require_finite(name: str, tensor: Tensor) -> None:
    """Raise `WeightsError` when ``tensor`` is no float tensor or holds a NaN or an infinity."""
    if not is_float(tensor):
        raise WeightsError(f"{name}: a lossy compression takes floating-point weights, not {dtype_name(tensor)}")
    bad = int(torch.count_nonzero(~torch.isfinite(tensor if tensor.dtype == torch.float64 else tensor.float())))
    if bad:
        raise WeightsError(
            f"{name}: {bad} of {tensor.numel()} weights are NaN or infinite; repair them, "
            "or leave this tensor lossless in the plan"
        )


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

"""What a function is, in text that is the same in another process: for what is known again by a digest."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from laconic.errors import DataError
from laconic.models.params import Params, params_of, to_numpy

_PLAIN = (type(None), bool, int, float, complex, str, bytes, PurePath, torch.dtype, torch.device, np.generic)
_DEEP = 12
"""Parts within parts, beyond which it is taken that one has itself for a part."""


def lasting(thing: Any, depth: int = 0) -> str:
    """Return a text for a function, what it has for arguments, or an object that is called, without addresses.

    Functions and classes are what their names say, a lambda by its code, too; a partial is its function and arguments;
    an object its class and attributes; tensors and networks go by their numbers.

    Raises:
        DataError: for a part that nothing lasting is known of.

    >>> lasting(partial(len, [1, 2.5], key=None))
    "partial(len, [[1, 2.5]], {'key': None})"
    """
    if isinstance(thing, _PLAIN):
        return repr(thing)
    if isinstance(thing, Tensor | np.ndarray):
        array = to_numpy(thing) if isinstance(thing, Tensor) else np.ascontiguousarray(thing)
        if array.dtype != object:
            return f"{array.dtype} {array.shape} {sha256(array.tobytes()).hexdigest()}"
    if isinstance(thing, nn.Module):
        return f"{parts_of(thing)} {weights_digest(params_of(thing))}"
    if isinstance(name := getattr(thing, "__qualname__", None), str):
        return f"{name} {_code(thing)}" if name.endswith("<lambda>") else name
    if depth < _DEEP and (parts := _parts(thing, depth + 1)) is not None:
        return parts
    raise DataError(
        f"of a {type(thing).__name__} nothing is known that another run would find again: give a function by its name, "
        "or a functools.partial of one with plain arguments"
    )


def parts_of(module: nn.Module) -> str:
    """Return what a module prints of its parts, without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(module))


def weights_digest(weights: Params) -> str:
    """Return the SHA-256 of weights by name."""
    whole = sha256()
    for name, tensor in sorted(weights.items()):
        array = to_numpy(tensor)
        whole.update(f"{name} {array.dtype} {array.shape}".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


def _parts(thing: Any, depth: int) -> str | None:
    """Return the text of something that has parts; None where it has none that can be looked at."""
    if isinstance(thing, partial):
        return f"partial({lasting(thing.func, depth)}, {_listed(thing.args, depth)}, {_named(thing.keywords, depth)})"
    if isinstance(thing, Mapping):
        return _named(thing, depth)
    if isinstance(thing, set | frozenset):
        return "{" + ", ".join(sorted(lasting(one, depth) for one in thing)) + "}"
    if isinstance(thing, Sequence):
        return _listed(thing, depth)
    return f"{type(thing).__qualname__} {_named(vars(thing), depth)}" if hasattr(thing, "__dict__") else None


def _code(function: Any) -> str:
    """Return a digest of what a function without a name does, and of the plain values around it."""
    code = function.__code__
    around = [cell.cell_contents for cell in function.__closure__ or ()]
    plain = [repr(one) for one in (*code.co_consts, *around, *(function.__defaults__ or ())) if isinstance(one, _PLAIN)]
    return sha256(repr((code.co_code, code.co_names, code.co_varnames, plain)).encode()).hexdigest()[:16]


def _listed(things: Sequence[Any], depth: int) -> str:
    return "[" + ", ".join(lasting(one, depth) for one in things) + "]"


def _named(things: Mapping[Any, Any], depth: int) -> str:
    return "{" + ", ".join(f"{lasting(key, depth)}: {lasting(one, depth)}" for key, one in things.items()) + "}"

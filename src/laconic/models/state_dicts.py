"""What `torch.save` was given, and the tensors by name in it: at the top, or in one of the mappings inside."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, final

from torch import Tensor

from laconic.errors import DataError, listed
from laconic.models.params import Params

PREFIXES = ("module.", "_orig_mod.")
"""What wrappers put before every name: parallel training, and compilation."""

_OTHERS = ("optim", "sched", "scaler", "rng", "callback", "_extra_state")
"""Parts of keys whose mappings hold tensors, but no network."""

TOP = "."
"""The key of the mapping that everything is in."""


def tensors_of(path: Path, loaded: object, key: str | None) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors by name in what a file of `torch.save` holds, and notes on how they were found.

    Args:
        path: the file, for messages.
        loaded: what was read of it.
        key: of the mapping to take, with dots where it lies deeper, `TOP` for the whole; the only one unless given.

    Raises:
        DataError: when there is no mapping of tensors, or there are several and no key, or names are no names.
    """
    if not isinstance(loaded, Mapping):
        what = "one tensor without a name" if isinstance(loaded, Tensor) else f"a {type(loaded).__name__}"
        raise DataError(f"{path} holds {what}, not tensors by name; save model.state_dict()")
    mappings = {TOP: loaded, **_inside(loaded)}
    if key is None:
        key = _only(path, mappings)
    elif not isinstance(_at(loaded, key), Mapping):
        raise DataError(f"{path} holds no mapping {key!r}; those with tensors are {listed(_inside(loaded)) or 'none'}")
    beside = [str(other) for other in loaded if key != TOP and str(other) != key.split(TOP)[0]]
    taken = f"{path.name}: the network is what lies under {key!r}{', not ' * bool(beside)}{listed(beside)}"
    notes = [] if key == TOP else [taken]
    tensors, others = _named(path, loaded if key == TOP else _at(loaded, key))
    if not tensors:
        raise DataError(
            f"{path} holds no tensors by name{'' if key == TOP else f' under {key!r}'}; save model.state_dict()"
        )
    if others:
        notes.append(f"{path.name}: left out, as they are no tensors: {listed(others)}")
    return tensors, notes


def unprefixed(names: Iterable[str]) -> dict[str, str]:
    """Return the names without the prefixes that all of them have, each with the name as it is.

    >>> unprefixed(["module.fc.weight", "module.fc.bias"])
    {'fc.weight': 'module.fc.weight', 'fc.bias': 'module.fc.bias'}
    """
    named = {name: name for name in names}
    for prefix in _layers(named):
        named = {name.removeprefix(prefix): own for name, own in named.items()}
    return named


def named_as(params: Params, names: Iterable[str]) -> Params:
    """Return ``params`` by the names that a network has for them, where these differ by prefixes of wrappers alone."""
    own = list(names)
    if set(params) <= set(own):
        return params
    bare = {_bare(name): name for name in own}
    given = {bare.get(_bare(name), name): name for name in params}
    return Renamed(params, given) if len(given) == len(params) and len(bare) == len(own) else params


@final
class Renamed(Mapping[str, Tensor]):
    """A mapping of tensors under other names, each asked for when it is asked for here.

    Args:
        params: by name.
        names: the new names, each with the one in ``params``.
    """

    def __init__(self, params: Params, names: Mapping[str, str]) -> None:
        self._params, self._names = params, dict(names)

    def __getitem__(self, name: str) -> Tensor:
        return self._params[self._names[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _layers(names: Mapping[str, str]) -> Iterator[str]:
    """Give the prefixes that all names have, the outermost first."""
    left = list(names)
    while left:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) and name != p for name in left)), None)
        if prefix is None:
            return
        yield prefix
        left = [name.removeprefix(prefix) for name in left]


def _bare(name: str) -> str:
    """Return a name without the prefixes that it has."""
    return next(iter(unprefixed([name])))


def _inside(loaded: Mapping[Any, Any], above: str = "") -> dict[str, Mapping[Any, Any]]:
    """Return the mappings that may be a network and lie least deep in ``loaded``, by their keys."""
    below = {
        f"{above}{key}": value
        for key, value in loaded.items()
        if isinstance(key, str) and isinstance(value, Mapping) and not any(part in key.lower() for part in _OTHERS)
    }
    networks = {key: value for key, value in below.items() if _has_tensors(value)}
    return networks or {k: v for key, value in below.items() for k, v in _inside(value, f"{key}.").items()}


def _has_tensors(mapping: Mapping[Any, Any], axes: int = 0) -> bool:
    """Say whether a mapping itself has tensors by name, of so many axes or more."""
    return any(
        isinstance(key, str) and isinstance(value, Tensor) and value.ndim >= axes for key, value in mapping.items()
    )


def _only(path: Path, mappings: Mapping[str, Mapping[Any, Any]]) -> str:
    """Return the key of the one mapping that may be the network; numbers beside mappings of tensors are none."""
    networks = [key for key in mappings if key != TOP]
    if _has_tensors(mappings[TOP], axes=1) or not networks:
        networks.insert(0, TOP)
    if len(networks) > 1:
        raise DataError(f"{path} holds several mappings of tensors: say which by --key: {listed(networks)}")
    return networks[0]


def _at(loaded: Mapping[Any, Any], key: str) -> Any:
    """Return what lies under a key, whose parts may have dots themselves; None where there is nothing."""
    if key == TOP:
        return loaded
    if key in loaded:
        return loaded[key]
    for at in (at for at, char in enumerate(key) if char == "."):
        deeper = loaded.get(key[:at])
        if isinstance(deeper, Mapping) and (value := _at(deeper, key[at + 1 :])) is not None:
            return value
    return None


def _named(path: Path, mapping: Mapping[Any, Any]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a mapping by name, and the names of what is none.

    Raises:
        DataError: for keys that are the same name.
    """
    tensors = {key: value.detach() for key, value in mapping.items() if isinstance(value, Tensor)}
    twice = [name for name, count in Counter(map(str, tensors)).items() if count > 1]
    if twice:
        keys = [repr(key) for key in tensors if str(key) in twice]
        raise DataError(f"{path}: {listed(keys)} would have one name; name each tensor by a string of its own")
    return {str(key): tensor for key, tensor in tensors.items()}, [str(k) for k in mapping if k not in tensors]

"""Patterns that name tensors: globs over their names, and ``class:Conv2d``, the weights of all modules of a class."""

import fnmatch
import re
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from laconic.errors import PlanError
from laconic.models.params import is_float

PREFIX = "class:"


def class_pattern(kind: type[nn.Module]) -> str:
    """Return the pattern of a class: torch's own go by their name alone.

    >>> class_pattern(nn.Conv2d)
    'class:Conv2d'
    """
    return PREFIX + (kind.__name__ if getattr(nn, kind.__name__, None) is kind else _whole(kind))


def weights_by_class(pattern: str, module: nn.Module) -> list[str]:
    """Return the names of the weights of all modules of a class, or of one that is derived from it.

    Weights are the parameters of a module itself, and not of its parts, of floating-point numbers and with two or more
    axes: ``weight``, those of recurrent and attention layers, and what a `weight_norm` or a mask makes a weight of, but
    for the lengths that the first has beside directions.

    Args:
        pattern: ``class:`` and the name of a class: one of `torch.nn`, or else of any with that name, or one with the
            Python module that it is defined in before it.
        module: the network.

    Raises:
        PlanError: when there are none; it lists the classes of which there are some.
    """
    wanted, names, others = pattern.removeprefix(PREFIX), list[str](), set[str]()
    known = getattr(nn, wanted, None)
    for place, part in module.named_modules():
        weights = _weights(part)
        if not weights:
            continue
        if isinstance(known, type):
            fits = isinstance(part, known)
        else:
            fits = any(wanted in (kind.__name__, _whole(kind)) for kind in type(part).__mro__)
        if fits:
            names.extend(f"{place}.{name}" if place else name for name in weights)
        others.add(class_pattern(_plain(type(part))))
    if not names:
        raise PlanError(
            f"pattern {pattern!r} matches no weight; the classes with weights are {', '.join(sorted(others)) or 'none'}"
        )
    return names


def _weights(part: nn.Module) -> list[str]:
    """Return the names, within a module, of the weights that are its own."""
    own = dict(part.named_parameters(recurse=False))
    if is_parametrized(part):
        originals = part.parametrizations.named_parameters()  # type: ignore[union-attr]
        own |= {f"parametrizations.{name}": tensor for name, tensor in originals}
    matrices = {name: tensor for name, tensor in own.items() if tensor.ndim >= 2 and is_float(tensor)}
    return [name for name in matrices if not name.endswith(("weight_g", "weight.original0")) or not _normed(name, own)]


def _normed(name: str, own: Mapping[str, Tensor]) -> bool:
    """Say whether a parameter has the lengths of a weight whose directions are another one."""
    return name.replace("weight_g", "weight_v").replace("original0", "original1") in own.keys() - {name}


def _plain(kind: type) -> type:
    """Return the class of a module without the one that torch derives for its parametrizations."""
    return kind.__mro__[1] if kind.__name__.startswith("Parametrized") else kind


def names_classes(pattern: str) -> bool:
    """Say whether a pattern names classes of modules."""
    return any(glob.startswith(PREFIX) for glob in globs_of(pattern))


def by_name(pattern: str, module: nn.Module) -> str:
    """Return a pattern with the names of the weights in place of the classes of modules.

    Raises:
        PlanError: as `weights_by_class`.
    """
    globs = list[str]()
    for glob in globs_of(pattern):
        named = map(fnmatch_escape, weights_by_class(glob, module)) if glob.startswith(PREFIX) else [glob]
        globs.extend(named)
    return ", ".join(globs)


def pattern_of(key: object) -> str:
    """Return the pattern that the key of a row stands for."""
    if isinstance(key, type) and issubclass(key, nn.Module):
        return class_pattern(key)
    if not isinstance(key, str):
        raise PlanError(f"a row has a pattern such as 'fc*.weight', or a class such as torch.nn.Conv2d, not {key!r}")
    return key


def matching(pattern: str, names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tensors that one of the comma-separated globs in ``pattern`` names, by any of their names."""
    globs = globs_of(pattern)
    matching = {first for name, first in names.items() if any(fnmatch.fnmatchcase(name, glob) for glob in globs)}
    return tuple(name for name, first in names.items() if name == first and name in matching)


def all_names(name: str, names: Mapping[str, str]) -> str:
    """Return the name of a tensor, and its other names."""
    further = [other for other, first in names.items() if first == name != other]
    return f"{name} (also {', '.join(further)})" if further else name


def globs_of(pattern: str) -> list[str]:
    """Return the globs in ``pattern``: commas part them, but for those in ``[...]``, and a last comma does no harm."""
    globs = [glob.strip() for glob in re.findall(r"(?:\[!?\]?[^\]]*\]|[^,])+", pattern)]
    return [glob for glob in globs if glob] or [pattern]


def fnmatch_escape(name: str) -> str:
    """Return the pattern that matches ``name`` alone."""
    return "".join(f"[{char}]" if char in "*?[," or char.isspace() else char for char in name)


def _whole(kind: type) -> str:
    """Return the name of a class with that of the Python module that it is defined in."""
    return f"{kind.__module__}.{kind.__qualname__}"

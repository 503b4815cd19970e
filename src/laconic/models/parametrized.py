"""Weights that a module makes of its parameters, as `weight_norm` does of a direction and a length.

What is stored are the parameters; what the network computes with is made of them, and an error in the one can be worse
in the other: a direction that has become 0 has no length.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrize import is_parametrized

from laconic.models.params import Params, to_numpy


def is_made(module: nn.Module) -> bool:
    """Say whether ``module`` makes a weight of others."""
    return any(_names(part) for part in module.modules())


def made_of(module: nn.Module, params: Params) -> dict[str, np.ndarray]:
    """Return the weights that ``module`` would make of ``params``, by the name that each has in it.

    Args:
        module: with parametrizations (`torch.nn.utils.parametrize`), or with hooks that do the same (`weight_norm`,
            `spectral_norm` of `torch.nn.utils`); it stays as it is.
        params: its parameters and buffers by name. Names that are missing stay as the module has them.
    """
    weights = {}
    for prefix, part in module.named_modules():
        names = _names(part)
        if not names:
            continue
        within = f"{prefix}." if prefix else ""
        own = {f"part.{name}": params[within + name] for name in part.state_dict() if within + name in params}
        for name, hook in names.items():
            with torch.no_grad(), evaluating(part):
                weights[within + name] = to_numpy(functional_call(_Maker(part, name, hook), own, ()))
    return weights


def _names(part: nn.Module) -> Mapping[str, Any]:
    """Return the weights that one part makes, with the hook that makes each, or None for a parametrization."""
    new = dict.fromkeys(part.parametrizations) if is_parametrized(part) else {}  # type: ignore[arg-type]
    hooks = part._forward_pre_hooks.values()
    return new | {hook.name: hook for hook in hooks if hasattr(hook, "compute_weight") and hasattr(hook, "name")}


@final
class _Maker(nn.Module):
    """Gives a weight that its ``part`` makes; with parameters in place of the part's own by `functional_call`."""

    def __init__(self, part: nn.Module, name: str, hook: Any) -> None:
        super().__init__()
        self.part, self._name, self._hook = part, name, hook

    def forward(self) -> Tensor:
        """Return the weight; `spectral_norm` is told not to iterate for it."""
        if self._hook is None:
            made: Tensor = getattr(self.part, self._name)
        elif "do_power_iteration" in inspect.signature(self._hook.compute_weight).parameters:
            made = self._hook.compute_weight(self.part, do_power_iteration=False)
        else:
            made = self._hook.compute_weight(self.part)
        return made


@contextmanager
def evaluating(part: nn.Module) -> Iterator[None]:
    """Have a part and what is in it evaluate for the block: parametrizations that learn as they train stay."""
    flags = {inner: inner.training for inner in part.modules()}
    part.eval()
    try:
        yield
    finally:
        for inner, flag in flags.items():
            inner.training = flag

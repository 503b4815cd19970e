"""Which dense layers read maps that were flattened, and of how many positions: seen as the network runs.

Maps are what a convolution wrote for a batch, as long as axis 1 stays that of its channels: through norms, pooling and
what is done number by number. Tokens of one position each, or maps with their channels last, are none.
"""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

_SHAPING = {"flatten", "reshape", "view"}
_ELEMENTWISE = set(
    "relu relu6 hardtanh leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid sigmoid logsigmoid tanh "
    "softplus softsign threshold clamp clip abs square sqrt pow exp neg dropout dropout1d dropout2d dropout3d "
    "alpha_dropout feature_dropout clone contiguous detach to float double half add radd iadd sub isub mul rmul imul "
    "div truediv itruediv batch_norm group_norm instance_norm layer_norm local_response_norm".split()
)
"""What leaves each number where it is: what is known of a tensor holds on. Names without the underscores around."""

_POOLING = {"pad", "interpolate"} | {
    f"{how}_pool{axes}d" for how in ("max", "avg", "lp", "adaptive_max", "adaptive_avg") for axes in (1, 2, 3)
}
"""What works on each map for itself."""

_CONVOLUTIONS = {f"{name}{axes}d": axes for name in ("conv", "conv_transpose") for axes in (1, 2, 3)}


@final
class _Watching(TorchFunctionMode):
    """Sees which tensors are maps, and which are flattened maps."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = WeakTensorKeyDictionary()
        """Of a map, for each tensor of flattened maps; 0 for maps as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note what it has flattened."""
        given = [*args, *(kwargs or {}).values()]
        given = [*given[0], *given[1:]] if given and isinstance(given[0], list | tuple) else given
        sources = [one for one in given if isinstance(one, Tensor)]
        before = [(one.shape, self.positions.get(one)) for one in sources]  # type: ignore[no-untyped-call]
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and sources:
            known = _known(getattr(func, "__name__", "").strip("_"), made.shape, before)
            if known is not None:
                self.positions[made] = known
            elif made in self.positions:  # changed in place, by what may have moved its axes
                del self.positions[made]
        return made


def _known(name: str, made: torch.Size, sources: list[tuple[torch.Size, int | None]]) -> int | None:
    """Return what `_Watching.positions` has for what an operation made of tensors of some shapes, or nothing."""
    if name in _CONVOLUTIONS:
        return 0 if len(made) == _CONVOLUTIONS[name] + 2 else None  # without an axis of samples axis 1 is another
    if name in {"cat", "concat", "concatenate"}:
        return 0 if all(known == 0 for _, known in sources) else None
    if name in _ELEMENTWISE:
        alike = {known for shape, known in sources if shape == made and known is not None}
        return alike.pop() if len(alike) == 1 else None
    shape, known = sources[0]
    if known == 0 and name in _SHAPING and made == (shape[0], shape[1:].numel()):
        return shape[2:].numel()
    kept = len(made) > 2 and made[:2] == shape[:2] and name in _SHAPING | _POOLING
    return 0 if kept and known == 0 else None


def flattened(module: nn.Module, run: Callable[[], Any]) -> Mapping[str, int]:
    """Return the positions of a map for each dense layer that reads flattened maps alone, by its name.

    Args:
        module: the network.
        run: runs it on a batch.
    """
    found, watching = dict[str, set[int]](), _Watching()

    def listen(path: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def note(layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            read = args[0] if args else named["input"]
            found.setdefault(path, set()).add(watching.positions.get(read, 0))  # type: ignore[no-untyped-call]

        return note

    layers = {path: part for path, part in module.named_modules() if isinstance(part, nn.Linear)}
    handles = [part.register_forward_pre_hook(listen(path), with_kwargs=True) for path, part in layers.items()]
    try:
        with watching, torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return {path: seen.pop() for path, seen in found.items() if len(seen) == 1 and 0 not in seen}

"""Which dense layers read maps that were flattened, and of how many positions: seen as the network runs."""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

_FLATTENING = (torch.flatten, torch.reshape, Tensor.flatten, Tensor.reshape, Tensor.view)
_ALIKE = (torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu, F.relu6, F.hardtanh, F.dropout, Tensor.clone)
"""What leaves each number where it is: what is seen of a flattened map holds on."""


@final
class _Watching(TorchFunctionMode):
    """Sees which tensors are flattened maps."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = WeakTensorKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note what it has flattened."""
        made, source = func(*args, **(kwargs or {})), args[0] if args else None
        if not (isinstance(made, Tensor) and isinstance(source, Tensor)):
            return made
        if func in _FLATTENING and source.ndim > 2 and made.shape == (len(source), source[:1].numel()):
            self.positions[made] = source.shape[2:].numel()
        elif func in _ALIKE and made.shape == source.shape and source in self.positions:
            self.positions[made] = self.positions[source]
        return made


def flattened(module: nn.Module, run: Callable[[], Any]) -> Mapping[str, int]:
    """Return the positions of a map for each dense layer that reads flattened maps alone, by its name.

    Args:
        module: the network.
        run: runs it on a batch.
    """
    found, watching = dict[str, set[int]](), _Watching()

    def listen(path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda layer, given: found.setdefault(path, set()).add(watching.positions.get(given[0], 0))  # type: ignore[no-untyped-call]

    layers = {path: part for path, part in module.named_modules() if isinstance(part, nn.Linear)}
    handles = [part.register_forward_pre_hook(listen(path)) for path, part in layers.items()]
    try:
        with watching, torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return {path: seen.pop() for path, seen in found.items() if len(seen) == 1 and 0 not in seen}

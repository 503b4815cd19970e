"""Who reads what a layer writes: seen in one run, for a network is any program.

Hooks tell which parts run, and on what; a dispatch mode sees every operation, within a part and outside of all.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, final

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from laconic.errors import listed

Layer = nn.Linear | _ConvNd
"""The layers whose outputs are followed; the rows of their weights are the channels of what they write."""


def paired(module: nn.Module, run: Callable[[], Any]) -> tuple[Any, dict[str, str], dict[str, str]]:
    """Return what ``run`` returns, pairs of a normalization and a layer, and the other normalizations.

    In a pair the normalization reads the output of the layer along the rows of its weight, nothing else reads it, and
    each of the two runs once.

    Args:
        module: its linear layers, convolutions and batch normalizations are watched; it is left without a hook.
        run: runs it, perhaps with other weights.

    Returns:
        outputs; name of a normalization → name of the layer; name of each other normalization → why it has none.
    """
    watch = _Watch()
    with ExitStack() as stack:
        for name, part in module.named_modules():
            for handle in watch.hung(name, part):
                stack.callback(handle.remove)
        with watch:
            outputs = run()
    returned = {id(tensor) for tensor in tensors_in(outputs)}
    norms = {name: part for name, part in module.named_modules() if isinstance(part, _BatchNorm)}
    left = {name: watch.why_alone(name, norm, returned) for name, norm in norms.items()}
    pairs = {name: watch.layer(name) for name, why in left.items() if not why}
    return outputs, pairs, {name: why for name, why in left.items() if why}


def tensors_in(thing: Any) -> Iterator[Tensor]:
    """Give the tensors in nested mappings, sequences and dataclasses, in order."""
    if isinstance(thing, Tensor):
        yield thing
        return
    inner: Iterable[Any] = ()
    if isinstance(thing, Mapping):
        inner = thing.values()
    elif isinstance(thing, list | tuple | Set):
        inner = thing
    elif is_dataclass(thing) and not isinstance(thing, type):
        inner = [getattr(thing, field.name, None) for field in fields(thing)]
    for part in inner:
        yield from tensors_in(part)


class _Written(NamedTuple):
    """What a layer has written, and the rank of its weight."""

    layer: str
    output: Tensor
    rank: int


@final
class _Watch(TorchDispatchMode):
    """Sees what each normalization reads, and all that reads what a layer writes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls = Counter[str]()
        self._written = dict[int, _Written]()  # by id, which no other tensor has while this one is kept
        self._read = dict[str, _Written | None]()
        self._readers = defaultdict[int, set[str]](set)
        self._within = list[str]()

    def hung(self, name: str, part: nn.Module) -> list[RemovableHandle]:
        """Hang hooks on a part if it is a layer or a normalization, and return their handles."""

        def wrote(part: Layer, inputs: Any, output: Any) -> None:
            self._calls[name] += 1
            if isinstance(output, Tensor):
                self._written[id(output)] = _Written(name, output, rank=part.weight.ndim)

        def enter(part: nn.Module, args: Any, named: Any) -> None:
            self._calls[name] += 1
            self._read[name] = self._written.get(id(next(tensors_in((args, named)), None)))
            self._within.append(name)

        def leave(part: nn.Module, inputs: Any, output: Any) -> None:
            self._within.pop()

        if isinstance(part, _BatchNorm):
            return [part.register_forward_pre_hook(enter, with_kwargs=True), part.register_forward_hook(leave)]
        return [part.register_forward_hook(wrote)] if isinstance(part, Layer) else []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note who reads, then do what was asked for."""
        for tensor in tensors_in((args, kwargs or {})):
            if id(tensor) in self._written:
                self._readers[id(tensor)].add(self._within[-1] if self._within else str(func.overloadpacket))
        return func(*args, **(kwargs or {}))

    def layer(self, norm: str) -> str:
        """Return the layer that writes what a normalization reads."""
        written = self._read[norm]
        assert written is not None, "asked for where there is one"
        return written.layer

    def why_alone(self, name: str, norm: _BatchNorm, returned: Set[int]) -> str:
        """Return the reason why a normalization is in no pair, or ""; ``returned`` are the ids of all outputs."""
        if norm.training:
            return "does not go into evaluation mode"
        if self._calls[name] != 1:
            return f"runs {self._calls[name]} times, not once"
        written = self._read[name]
        if written is None:
            return "reads no output of a linear layer or convolution as it is"
        layer = written.layer
        if self._calls[layer] != 1:
            return f"reads {layer}, which runs {self._calls[layer]} times, not once"
        others = sorted(self._readers[id(written.output)] - {name})
        others += ["whoever takes the outputs"] if id(written.output) in returned else []
        if others:
            return f"reads {layer}, as does something else: {listed(others)}"
        if written.output.ndim != written.rank:
            return f"reads {layer} along an axis that is not that of the rows of its weight"
        return ""

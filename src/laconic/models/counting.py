"""What one run of a network takes: every operation with its multiply-adds, bytes, layer and weight.

A dispatch mode sees the operations as torch runs them, so that attention, recurrence and functions without a module are
counted as well. The formulas are those of `torch.utils.flop_counter`, halved: a multiply-add is a multiplication with
its addition. What adds, compares or rearranges elements has none, as the field counts; what is of neither kind is named
(`Count.unknown`), and never counts as 0 in silence.
"""

import math
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from laconic.errors import DataError, listed
from laconic.models.operations import multiply_adds, operands
from laconic.models.params import first_names, is_float
from laconic.models.uses import Use
from laconic.models.wiring import tensors_in


@final
@dataclass(frozen=True)
class Call:
    """One operation of a run, on all samples of the batch.

    Args:
        operation: torch's name, as "aten.addmm".
        layer: path of the innermost part of the module that was running; "" for the network itself.
        weight: first name of the parameter that it multiplies with; "" for none.
        multiply_adds: None where nobody knows how many the operation has.
        once: whether all that it reads are parameters, so that it costs the same for any number of samples.
        groups: of a convolution, 1 of all else.
        weight_bytes: of parameters and buffers that are read.
        read: bytes of activations that are read.
        written: bytes of what it makes anew; 0 for a view.
    """

    operation: str
    layer: str
    weight: str
    multiply_adds: int | None
    once: bool
    groups: int
    weight_bytes: int
    read: int
    written: int


@final
@dataclass(frozen=True)
class Count:
    """What a run took.

    Args:
        samples: in the batch.
        shapes: of each parameter, by first name, in the order of the module.
        layers: of each parameter, the part of the module that has it.
        calls: in their order.
        peak: most bytes of activations, inputs included, that were alive at a time as torch ran; what an operation
            needs within is not seen.
    """

    samples: int
    shapes: Mapping[str, tuple[int, ...]]
    layers: Mapping[str, str]
    calls: tuple[Call, ...]
    peak: int

    @property
    def multiply_adds(self) -> float:
        """Those for one input; of operations that are known."""
        return sum(self.for_one(call) for call in self.calls)

    def for_one(self, call: Call) -> float:
        """Return the multiply-adds of a call for one input: all of what is done once for the batch."""
        return (call.multiply_adds or 0) / (1 if call.once else self.samples)

    @property
    def unknown(self) -> dict[str, tuple[str, ...]]:
        """Operations whose multiply-adds nobody knows, with the layers that they are in."""
        found = defaultdict[str, dict[str, None]](dict)
        for call in self.calls:
            if call.multiply_adds is None:
                found[call.operation][call.layer or "(network)"] = None
        return {operation: tuple(layers) for operation, layers in found.items()}

    def uses(self) -> dict[str, Use]:
        """Return how each parameter is used; one that no product multiplies with has no positions.

        Raises:
            DataError: when an operation that nobody knows reads a weight of two or more axes.
        """
        strange = sorted({f"{c.weight} by {c.operation}" for c in self.calls if c.weight and c.multiply_adds is None})
        if strange:
            raise DataError(
                f"nobody knows how often a weight is applied that is read by an operation without a formula: "
                f"{listed(strange)}; write the layer with products, convolutions or attention that torch has"
            )
        return {name: self._use(name, math.prod(shape)) for name, shape in self.shapes.items()}

    def _use(self, name: str, elements: int) -> Use:
        """Return how one parameter is used."""
        own = [call for call in self.calls if call.weight == name and call.multiply_adds]
        positions = math.ceil(sum(map(self.for_one, own)) / elements) if own else 0
        return Use(positions, len(own), max((call.groups for call in own), default=1))


def positions(module: nn.Module, run: Callable[[], Any], samples: int | None = None) -> dict[str, int]:
    """Return how often the matrix of each parameter is applied to one input; see `Use`. 0 for one that is not.

    Args:
        module: in any mode; it runs in evaluation mode and is left as it was.
        run: runs it once on a batch.
        samples: in the batch; unless told, the length of the first tensor that the module is called with.

    Raises:
        DataError: as `counted` and `Count.uses`.

    >>> layer = nn.Conv2d(3, 8, 3, padding=1)
    >>> positions(layer, lambda: layer(torch.zeros(2, 3, 10, 10)))
    {'weight': 100, 'bias': 0}
    """
    return {name: use.positions for name, use in counted(module, run, samples).uses().items()}


def counted(module: nn.Module, run: Callable[[], Any], samples: int | None = None) -> Count:
    """Return the count of one run; arguments as `positions`.

    Raises:
        DataError: when nothing tells the number of samples.
    """
    firsts = first_names(module)
    named = {firsts[name]: tensor for name, tensor in module.named_parameters()}
    layers = {name: name.rpartition(".")[0] for name in named}
    watch = _Watch(module)
    with ExitStack() as stack:
        stack.enter_context(_plain(module))
        for path, part in module.named_modules():
            for handle in watch.hung(path, part):
                stack.callback(handle.remove)
        with watch:
            run()
    size = watch.samples if samples is None else samples
    if size < 1:
        raise DataError("the run has not called the module with a tensor: say how many samples it has")
    shapes = {name: tuple(tensor.shape) for name, tensor in named.items()}
    return Count(size, shapes, layers, tuple(watch.calls), watch.peak)


@contextmanager
def _plain(module: nn.Module) -> Iterator[None]:
    """Hold ``module`` in evaluation mode, without gradients, and torch without kernels that hide what they do."""
    modes = {part: part.training for part in module.modules()}
    fused, mkldnn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    try:
        module.eval()
        torch.backends.mha.set_fastpath_enabled(False)
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # its recurrent layers are one operation
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):  # as are these
            yield
    finally:
        torch.backends.mkldnn.enabled = mkldnn
        torch.backends.mha.set_fastpath_enabled(fused)
        for part, before in modes.items():
            part.training = before


class _Source(NamedTuple):
    """A parameter or buffer, or what is made of such alone: where in its storage, and which it is."""

    start: int
    stop: int
    name: str
    is_parameter: bool
    elements: int


@final
class _Watch(TorchDispatchMode):
    """Sees every operation, and which part of the module it is in."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = list[Call]()
        self.samples = self.peak = self._alive = 0
        self._module, self._within = module, list[str]()
        self._sources = defaultdict[int, list[_Source]](list)
        self._sizes = dict[int, int]()  # of the storages of activations that are alive
        self._kept = list[Tensor]()  # so that no other storage has the number of one of these
        self._know()

    def hung(self, path: str, part: nn.Module) -> list[Any]:
        """Hang hooks on a part, which say when it runs, and return their handles."""

        def enter(part: nn.Module, args: Any, named: Any) -> None:
            self._within.append(path)
            if part is self._module:
                self._know()  # `functional_call` gives it other tensors for the time of the call
                given = list(tensors_in((args, named)))
                self.samples += next((len(tensor) for tensor in given if tensor.ndim), 0)
                for tensor in given:
                    self._hold(tensor, _bytes(tensor))  # it may be a part of something larger that is not the network's

        def leave(part: nn.Module, args: Any, output: Any) -> None:
            self._within.pop()

        first = part.register_forward_pre_hook(enter, with_kwargs=True, prepend=True)
        return [first, part.register_forward_hook(leave, always_call=True)]

    def _know(self) -> None:
        """Note the parameters and buffers that the module has now."""
        firsts = first_names(self._module)
        own = [(name, tensor, True) for name, tensor in self._module.named_parameters()]
        for name, tensor, is_parameter in [*own, *((n, t, False) for n, t in self._module.named_buffers())]:
            start = int(tensor.storage_offset())
            source = _Source(start, start + int(tensor.numel()), firsts[name], is_parameter, tensor.numel())
            if source not in self._sources[_key(tensor)]:
                self._sources[_key(tensor)].append(source)
                self._kept.append(tensor)

    def _source(self, tensor: Tensor) -> _Source | None:
        """Return what a tensor is a part of, or is made of, if that is no activation."""
        offset = tensor.storage_offset()
        found = self._sources.get(_key(tensor), ())
        return next((source for source in found if source.start <= offset < max(source.stop, source.start + 1)), None)

    def _hold(self, tensor: Tensor, size: int) -> None:
        """Count so many bytes of an activation as alive until its storage is freed, unless they are counted."""
        key = _key(tensor)
        if key not in self._sizes and not self._source(tensor):
            self._sizes[key] = size
            self._alive += size
            self.peak = max(self.peak, self._alive)
            weakref.finalize(tensor.untyped_storage(), self._let_go, key)

    def _let_go(self, key: int) -> None:
        """Take away what is freed."""
        self._alive -= self._sizes.pop(key, 0)
        self._sources.pop(key, None)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what was asked for, and note what it takes."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        given, made = list(tensors_in((args, kwargs))), list(tensors_in(output))
        sources = [self._source(tensor) for tensor in given]
        fixed = bool(given) and all(sources)
        before = {_key(tensor) for tensor in given}
        fresh = [tensor for tensor in made if _key(tensor) not in before]
        for tensor in fresh:
            self._hold(tensor, tensor.untyped_storage().nbytes())
            if fixed:
                self._derive(tensor, [source for source in sources if source])
        if fresh or func._schema.is_mutable:
            self._note(func, args, kwargs, output, list(zip(given, sources, strict=True)), fixed)
        return output

    def _derive(self, tensor: Tensor, sources: Sequence[_Source]) -> None:
        """Note a tensor that is made of parameters alone, under the largest of them."""
        most = max(sources, key=lambda source: (source.is_parameter, source.elements))
        whole = tensor.untyped_storage().nbytes() // max(1, tensor.element_size())
        self._sources[_key(tensor)] = [most._replace(start=0, stop=whole)]

    def _note(
        self, func: Any, args: Any, kwargs: Any, output: Any, given: list[tuple[Tensor, _Source | None]], fixed: bool
    ) -> None:  # fmt: skip
        """Append a call."""
        packet = func.overloadpacket
        macs = multiply_adds(func, args, kwargs, output)
        sides = [tensor for tensor, _ in given] if macs is None else operands(func, args)
        weights = [self._source(tensor) for tensor in sides if is_float(tensor) and tensor.ndim > 1]
        named = [source for source in weights if source and source.is_parameter] if macs != 0 else []
        grouped = str(packet).startswith("aten.convolution")
        self.calls.append(
            Call(
                str(packet),
                self._within[-1] if self._within else "",
                named[0].name if named else "",
                macs,
                fixed,
                int(args[8]) if grouped and len(args) > 8 else 1,
                sum(_bytes(tensor) for tensor, source in given if source),
                sum(_bytes(tensor) for tensor, source in given if not source),
                sum(map(_bytes, tensors_in(output))),
            )
        )


def _key(tensor: Tensor) -> int:
    """Return the number of a tensor's storage, which no other one has while it is alive."""
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensor: Tensor) -> int:
    """Return the bytes of the elements of a tensor."""
    return tensor.numel() * tensor.element_size()

"""Where a network uses its weights: hooks that see every call of a layer, and what they have seen."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any, final

import torch
from torch import Tensor, nn

from laconic.calibrate.forms import columns
from laconic.calibrate.recursion import Form
from laconic.errors import DataError
from laconic.models.params import first_names, is_float
from laconic.theory.importance.columns import frequencies
from laconic.training.batches import tensors_in
from laconic.training.task import mode

Inputs = tuple[Any, ...]
"""What a layer is called with, in the order of its ``forward``."""

Uses = Mapping[nn.Module, tuple[str, Mapping[str, str]]]
"""Layer → its name, and the names of weights by those that they have within it."""


class Reached(BaseException):
    """The last call that was asked for has been seen: nobody's ``except Exception`` stops it on the way out."""


@final
@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer.

    Args:
        layer: which; its parameters may have been others during the call.
        leaf: name of the weight within the layer.
        inputs: what the layer was called with.
        own: the layer's parameters during the call, by their names within it.
        kept: which positions of the samples count, shape (samples, length); None for all.
        form: of the weight.
    """

    layer: nn.Module
    leaf: str
    inputs: Inputs
    own: Mapping[str, Tensor]
    kept: Tensor | None = None
    form: Form = "plain"

    def columns(self) -> Tensor:
        """Return what the weight multiplied, shape (groups, samples · positions, columns); see `columns_of`."""
        with torch.no_grad():
            return columns(self.layer, self.leaf, self.form, self.inputs, self.own, self.kept)

    def frequencies(self) -> Tensor:
        """Return how often each row of an embedding was read, shape (rows,)."""
        assert isinstance(self.layer, nn.Embedding), "asked of a diagonal place"
        return frequencies(self.layer, indices_that_count(self.inputs, self.kept))


def indices_that_count(inputs: Inputs, kept: Tensor | None) -> Inputs:
    """Return what an embedding is called with, without the indices at positions that do not count."""
    if kept is None or inputs[0].shape != kept.shape:
        return inputs
    return (inputs[0][kept.to(inputs[0].device)], *inputs[1:])


@final
@dataclass(frozen=True, eq=False)
class Meeting:
    """The calls by which one batch meets one weight.

    Args:
        samples: in the batch.
        calls: in their order; none where the batch does not lead to the weight.
    """

    samples: int
    calls: tuple[Call, ...]

    def columns(self) -> list[Tensor]:
        """Return what the weight multiplied in each call, as `Moments.add` takes it."""
        return [call.columns() for call in self.calls]


@final
@dataclass(frozen=True)
class Place:
    """Where a weight is used.

    Args:
        name: of the weight: the first that the module has for it.
        layer: name of the layer that uses it first.
        leaf: name of the weight within this layer.
        calls: how often layers are called that use it, for each batch that is seen.
        diagonal: whether it is an embedding, read row by row: Σ, of Wᵀ, is diagonal.
        form: how it is a matrix.
        embeds: whether it is an embedding as well as this matrix, one tensor in two layers.
    """

    name: str
    layer: str
    leaf: str
    calls: tuple[int, ...]
    diagonal: bool
    form: Form = "plain"
    embeds: bool = False


@final
@dataclass(frozen=True)
class Survey:
    """The weights of a network, floating-point parameters of two or more axes, each once.

    Args:
        places: those that can be calibrated, in the order in which they are first used as what they are calibrated as.
        alone: those that cannot, and why: they are compressed by weights alone.
        unreached: those whose layers have never been called: they are not used, or by other means than a call.
        notes: sentences on what is left out of account.
    """

    places: tuple[Place, ...]
    alone: Mapping[str, str]
    unreached: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def place(self, name: str) -> Place:
        """Return where a weight is used.

        Raises:
            DataError: when it cannot be calibrated; it says why.
        """
        for place in self.places:
            if place.name == name:
                return place
        why = "its layer has never been called" if name in self.unreached else "the network has no weight of this name"
        raise DataError(f"{name} cannot be calibrated: {self.alone.get(name, why)}")


def uses_of(module: nn.Module) -> Uses:
    """Return the layers that have weights, floating-point parameters of two or more axes, by first names.

    MultiheadAttention has those of its inner layer, too, which it does not call.
    """
    firsts = first_names(module)
    uses = dict[nn.Module, tuple[str, Mapping[str, str]]]()
    for path, layer in module.named_modules():
        within = isinstance(layer, nn.MultiheadAttention)
        own = layer.named_parameters(recurse=within, remove_duplicate=False)
        weights = [leaf for leaf, tensor in own if is_float(tensor) and tensor.ndim > 1]
        if weights:
            uses[layer] = path, {leaf: firsts[".".join(filter(None, (path, leaf)))] for leaf in weights}
    return uses


@contextmanager
def watching(
    module: nn.Module,
    before: Mapping[nn.Module, Callable[[Inputs], None]] | None = None,
    after: Mapping[nn.Module, Callable[[Inputs, Any], Any]] | None = None,
) -> Iterator[None]:
    """Hold ``module`` in evaluation mode, with every layer called as a layer; afterwards it is as it was.

    Args:
        module: the network.
        before: for a layer what is called with its inputs before it runs.
        after: for a layer what is called with its inputs and its output, and returns the output to go on with.
    """
    handles = []
    fused = torch.backends.mha.get_fastpath_enabled()  # attention in one kernel, past its layers
    with mode(module, training=False):
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            for layer, hook in (before or {}).items():
                handles.append(layer.register_forward_pre_hook(partial(_before, hook), with_kwargs=True))
            for layer, listen in (after or {}).items():
                handles.append(layer.register_forward_hook(partial(_after, listen), with_kwargs=True))
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            for handle in handles:
                handle.remove()


@contextmanager
def tracing(
    module: nn.Module, after: Mapping[nn.Module, Callable[[Inputs, Any], Any]] | None = None
) -> Iterator[None]:  # fmt: skip
    """Hold ``module`` as `watching` does, with gradients, which cuDNN's recurrent layers lack in evaluation mode."""
    recurrent = any(isinstance(layer, nn.RNNBase) for layer in module.modules())
    with (
        torch.enable_grad(),
        torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent),
        watching(module, after=after),
    ):
        yield


def _before(hook: Callable[[Inputs], None], layer: nn.Module, given: Inputs, named: dict[str, Any]) -> None:
    hook(_bound(layer, given, named))


def _after(
    hook: Callable[[Inputs, Any], Any], layer: nn.Module, given: Inputs, named: dict[str, Any], output: Any
) -> Any:
    return hook(_bound(layer, given, named), output)


def _bound(layer: nn.Module, given: Inputs, named: Mapping[str, Any]) -> Inputs:
    """Return all arguments of a call in the order of the layer's ``forward``."""
    return tuple(signature(layer.forward).bind(*given, **named).arguments.values()) if named else given


def require_finite(layer: str, inputs: Inputs, batch: int) -> None:
    """Raise `DataError` when a layer reads a number that is NaN or infinite."""
    if not all(bool(tensor.isfinite().all()) for tensor in tensors_in(inputs)):
        raise DataError(
            f"the layer {layer or 'of the network'!r} reads numbers that are NaN or infinite in batch {batch} of the "
            "calibration: a weight before it is not finite, or the network overflows"
        )

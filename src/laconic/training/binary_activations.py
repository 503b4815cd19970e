"""Activations of one bit: what each layer reads, but the first, are signs.

    a_b = sign(a),  sign(0) = +1,        ∂L/∂a = ∂L/∂a_b where |a| ≤ 1, else 0: the gradient of Htanh(a)

The task is the same otherwise: its module, whose own functions run, and its weights stay as they are.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from laconic.errors import PlanError
from laconic.models.params import params_of
from laconic.training.activations import LAYERS
from laconic.training.batches import Batch, arguments_of
from laconic.training.stochastic import straight_through
from laconic.training.task import Task, mode

KEY, BINARY = "activations", "binary"
"""Of the metadata of a network whose activations are signs."""

_REPLACED = {
    F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu,
    F.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_, F.hardtanh, F.selu, F.celu, F.rrelu, F.prelu, F.mish,
    F.hardswish, F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, F.hardsigmoid, F.softplus,
    F.threshold,
}  # fmt: skip
"""Activations that signs take the place of: a sign after a ReLU would always be +1."""


def binary_activations(task: Task) -> Task:
    """Return ``task`` with signs for what its layers read, and no other activation (binarized neural networks).

    Linear and convolutional layers read signs, all but the one that runs first, which reads the inputs as they are;
    rectifiers, sigmoids and tanh are left out, since signs are in their place, one after the last layer, too. Sums of
    a residual network stay real between layers, and what is pooled is pooled before its sign is taken. A padding of
    zeros stays zeros. Weights are as ever: `laconic.few_bits` has those of one bit. The metadata say ``activations:
    binary``, by which `laconic evaluate` knows the network again.

    Source: Hubara, Courbariaux, Soudry, El-Yaniv & Bengio, "Binarized neural networks" (NIPS 2016), equations 1 and 4,
    algorithm 1; signs at the inputs of layers, and shortcuts around them, as Rastegari et al., "XNOR-Net" (ECCV 2016)
    and Liu et al., "Bi-Real net" (ECCV 2018).

    Args:
        task: whose network has two layers at least.

    Raises:
        PlanError: when no layer but the first reads anything.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    >>> task = binary_activations(Task(net, [(torch.ones(4, 2), torch.ones(4, 1))], nn.MSELoss()))
    >>> out = task.outputs({**params_of(net), "2.weight": torch.tensor([[3.0, 5.0]])}, next(task.batches("train", 0)))
    >>> set(out.abs().flatten().tolist()) <= {2.0, 8.0}
    True
    """
    if task.metadata.get(KEY) == BINARY:
        return task
    binary = replace(task, forward=_signed(task.forward), metadata={**task.metadata, KEY: BINARY})
    split = next(name for name in ("train", "validation", "test") if getattr(task, name) is not None)
    buffers = {name: buffer.clone() for name, buffer in task.module.named_buffers()}
    with torch.no_grad(), mode(task.module, training=False):
        binary.outputs({**params_of(task.module), **buffers}, next(binary.batches(split, 0)))
    return binary


def as_told(task: Task, metadata: Mapping[str, str]) -> Task:
    """Return the task with binary activations where the metadata of its weights say so."""
    return binary_activations(task) if metadata.get(KEY) == BINARY else task


def require_real(metadata: Mapping[str, str], what: str) -> None:
    """Raise `PlanError` for a network of binary activations, where ``what`` runs a module by itself."""
    if metadata.get(KEY) == BINARY:
        raise PlanError(f"{what} runs the module with its own activations; those of this network are signs (binary)")


def _signed(forward: Callable[[Any, Batch], Any] | None) -> Callable[[Any, Batch], Any]:
    """Return the forward pass of a task with signs."""

    def run(module: nn.Module, batch: Batch) -> Any:
        with _reading_signs(module), _WithoutActivations():
            if forward is not None:
                return forward(module, batch)
            arguments, named = arguments_of(module, batch)
            return module(*arguments, **named)

    return run


@contextmanager
def _reading_signs(module: nn.Module) -> Iterator[None]:
    """Let the layers of a module read signs, all but the one that runs first; who watches a layer sees them, too."""
    ran = list[nn.Module]()

    def read(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        ran.append(layer)
        return inputs if len(ran) == 1 else (_sign(inputs[0]), *inputs[1:])

    layers = [part for part in module.modules() if isinstance(part, LAYERS)]
    hooks = [layer.register_forward_pre_hook(read, prepend=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if len(ran) < 2:
        raise PlanError(
            f"signs are what linear and convolutional layers read, but the first: the network runs {len(ran)} of "
            "these, so no activation would be binary"
        )


@final
class _WithoutActivations(TorchFunctionMode):
    """A forward pass in which rectifiers, sigmoids and tanh return what they are given."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _REPLACED:
            return args[0] if args else kwargs["input"]
        return func(*args, **(kwargs or {}))


def _sign(activations: Tensor) -> Tensor:
    """Return ±1 with the gradient of the hard tanh."""
    one = activations.new_ones(())
    return straight_through(activations, torch.where(activations < 0, -one, one), -1.0, 1.0)

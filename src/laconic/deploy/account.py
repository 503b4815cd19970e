"""What a network costs to run, and how far two of them are apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from laconic.models.counting import counted
from laconic.models.parametrized import evaluating
from laconic.models.wiring import tensors_in

Example = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments of a network."""


def multiply_adds(module: nn.Module, example: Example) -> int:
    """Return the multiply-adds of one run on an example (`laconic.models.counting`)."""
    return int(counted(module, lambda: module(*example[0], **example[1]), samples=1).multiply_adds)


def noises(example: Example, count: int, seed: int) -> Iterator[Example]:
    """Give random inputs like those of an example: normal ones, or integers between its least and its largest."""
    generator = torch.Generator().manual_seed(seed)

    def like(thing: Any) -> Any:
        if isinstance(thing, Tensor) and thing.is_floating_point():
            return torch.randn(thing.shape, generator=generator).to(thing)
        if isinstance(thing, Tensor) and thing.dtype in (torch.int32, torch.int64) and thing.numel():
            low, high = int(thing.min()), int(thing.max())
            return torch.randint(low, high + 1, thing.shape, generator=generator).to(thing)
        if isinstance(thing, Mapping):
            return {key: like(value) for key, value in thing.items()}
        if isinstance(thing, list | tuple):
            return type(thing)(map(like, thing))
        return thing

    for _ in range(count):
        yield tuple(map(like, example[0])), {key: like(value) for key, value in example[1].items()}


@torch.no_grad()
def outputs_of(module: nn.Module, examples: Sequence[Example]) -> list[list[Tensor]]:
    """Return the output tensors of floats of each example."""
    with evaluating(module):
        runs = [module(*inputs, **named) for inputs, named in examples]
    return [[tensor.clone() for tensor in tensors_in(run) if tensor.is_floating_point()] for run in runs]


def apart(before: Sequence[Sequence[Tensor]], after: Sequence[Sequence[Tensor]]) -> float:
    """Return max |a − b| / max |a| of the worst output tensor; ∞ where they have other shapes or hold NaN."""
    worst = 0.0
    for one, other in zip(before, after, strict=True):
        if [tensor.shape for tensor in one] != [tensor.shape for tensor in other]:
            return float("inf")
        for a, b in zip(one, other, strict=True):
            if not a.numel() or torch.equal(a, b):
                continue
            lost, largest = float((a.double() - b.double()).abs().max()), float(a.double().abs().max())
            worst = max(worst, lost / largest if lost == lost and largest else float("inf"))
    return worst

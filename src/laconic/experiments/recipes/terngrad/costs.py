"""What a step of training costs by each way for gradients to travel: seconds of this machine, and bytes."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from laconic.machines.catalogue import scheme_of
from laconic.machines.scheme import PLAIN
from laconic.machines.timing import Measured
from laconic.models.params import params_of
from laconic.training.loop import trainable
from laconic.training.passes import in_batches
from laconic.training.task import Task, mode

ADD_UP = ("float32", "bfloat16", "float16")
"""Messages that can be added up on their way; PowerSGD's factors can be, too."""

_WARM_UP = 0.05
"""Learning rate of the steps of plain SGD before the gradient that is coded."""


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the seconds of CPU that ``work`` takes, after a first time."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def gradient_of(task: Task, steps: int, seed: int = 0) -> tuple[dict[str, Tensor], float]:
    """Return the gradient after some steps of plain SGD, and the seconds that one takes."""
    weights = {name: tensor.detach().clone() for name, tensor in params_of(task.module).items()}
    leaves = {name: weights[name].requires_grad_() for name in trainable(task.module, weights)}
    batches = in_batches(task, steps + 1).batches("train", seed)

    def backward(batch: object) -> dict[str, Tensor]:
        loss = task.loss(task.outputs(weights, batch), batch)
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    with mode(task.module, training=True):
        for _ in range(steps):
            gradient = backward(next(batches))
            with torch.no_grad():
                for name, weight in leaves.items():
                    weight -= _WARM_UP * gradient[name]
        batch = next(batches)
        return backward(batch), seconds(lambda: backward(batch), steps)


def measured(gradient: dict[str, Tensor], way: str, compute: float, times: int) -> Measured:
    """Return what a step of a way is made of.

    Args:
        gradient: that is coded.
        way: its name; "powersgd:RANK" as well.
        compute: seconds for the gradient.
        times: how often each part is timed.
    """
    kind, _, rank = way.partition(":")
    return (
        _power(gradient, int(rank or 1), compute, times)
        if kind == "powersgd"
        else _coded(gradient, way, compute, times)
    )


def _coded(gradient: dict[str, Tensor], way: str, compute: float, times: int) -> Measured:
    """Return the same for a codec."""
    scheme, shapes = scheme_of(way), {key: tuple(g.shape) for key, g in gradient.items()}
    alone, generator = scheme.left_alone(shapes), torch.Generator()
    codecs = {key: PLAIN if key in alone else scheme.codec for key in gradient}

    def encode() -> dict[str, bytes]:
        return {key: codecs[key].encode(g, generator) for key, g in gradient.items()}

    messages = encode()

    def decode() -> list[Tensor]:
        return [codecs[key].decode(data, shapes[key]) for key, data in messages.items()]

    size = sum(map(len, messages.values()))
    return Measured(compute, seconds(encode, times), seconds(decode, times), size, adds_up=way in ADD_UP)


def _power(gradient: dict[str, Tensor], rank: int, compute: float, times: int) -> Measured:
    """Return the same for PowerSGD: two products and the orthogonalization, and the product of the factors."""
    matrices = [g.reshape(len(g), -1) for g in gradient.values() if g.ndim >= 2]
    rights = [torch.randn(m.shape[1], rank) for m in matrices]

    def encode() -> list[tuple[Tensor, Tensor]]:
        lefts = [torch.linalg.qr(m @ q)[0] for m, q in zip(matrices, rights, strict=True)]
        return [(p, m.T @ p) for m, p in zip(matrices, lefts, strict=True)]

    pairs = encode()
    size = 4 * sum(p.numel() + q.numel() for p, q in pairs) + 4 * sum(
        g.numel() for g in gradient.values() if g.ndim < 2
    )
    decode = seconds(lambda: [p @ q.T for p, q in pairs], times)
    return Measured(compute, seconds(encode, times), decode, size, adds_up=True)


def recorded(one: Measured) -> dict[str, Any]:
    """Return it as JSON says it."""
    return asdict(one)

"""Gradients as few bytes: what every codec does."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor


class GradientCodec(ABC):
    """A gradient as bytes, of one tensor at a time; implementations are frozen dataclasses without state.

    Workers may agree on one number of a tensor first, its scale, of which all take the largest: messages of all are
    then on one grid, and none has to carry its own.
    """

    @abstractmethod
    def share(self, gradient: Tensor) -> float | None:
        """Return the number to agree on, a float32, 0 or more; None where the codec needs none."""

    @abstractmethod
    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the gradient as bytes.

        Args:
            gradient: any shape, floating point, finite.
            generator: of random rounding, on the CPU.
            shared: the largest `share` of all workers; None where each message has its own.

        Raises:
            WeightsError: for a gradient that the codec cannot hold.
        """

    @abstractmethod
    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return what the bytes stand for, in float32 on the CPU, the same on every machine.

        Args:
            data: what `encode` returned.
            shape: of the gradient.
            shared: as `encode` was given it.

        Raises:
            FormatError: for bytes that no encoder has written.
        """


def flat(gradient: Tensor) -> np.ndarray:
    """Return a gradient as a vector of float32 on the CPU."""
    array: np.ndarray = gradient.detach().reshape(-1).to("cpu", torch.float32).numpy()
    return array


def uniform(count: int, generator: torch.Generator) -> np.ndarray:
    """Return ``count`` draws from the multiples of 2⁻²⁴ in [0, 1), float32."""
    array: np.ndarray = torch.rand(count, generator=generator).numpy()
    return array


def shaped(values: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """Return a vector of float32 as a tensor of its own."""
    return torch.from_numpy(np.array(values, np.float32)).view(shape)

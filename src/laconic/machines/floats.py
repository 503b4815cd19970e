"""Gradients as floats: of four bytes, or rounded to two."""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final

import torch
from torch import Tensor

from laconic.errors import FormatError, PlanError, WeightsError
from laconic.machines.codec import GradientCodec

Kind = Literal["float32", "bfloat16", "float16"]

DTYPES = MappingProxyType({"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16})
"""Name → type."""


@final
@dataclass(frozen=True)
class Floats(GradientCodec):
    """Every number by itself, rounded to the nearest.

    Args:
        kind: the type.

    Raises:
        PlanError: for another type.
    """

    kind: Kind = "float32"

    def __post_init__(self) -> None:
        if self.kind not in DTYPES:
            raise PlanError(f"floats are {', '.join(DTYPES)}, not {self.kind!r}")

    def share(self, gradient: Tensor) -> None:
        """Return nothing: floats have their own scale."""
        return None

    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the numbers, lowest byte first.

        Raises:
            WeightsError: for a number that the type has no room for.
        """
        rounded = gradient.detach().reshape(-1).to("cpu", torch.float32).to(DTYPES[self.kind])
        if not bool(rounded.isfinite().all()):
            largest = torch.finfo(rounded.dtype).max
            raise WeightsError(f"{self.kind} holds numbers up to {largest:.5g}: use bfloat16 or float32")
        return rounded.view(torch.uint8).numpy().tobytes()

    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return the numbers."""
        dtype, count = DTYPES[self.kind], math.prod(shape)
        if len(data) != count * dtype.itemsize:
            raise FormatError(f"{count} numbers of {self.kind} take {count * dtype.itemsize} bytes, not {len(data)}")
        if not count:
            return torch.zeros(shape)
        values = torch.frombuffer(bytearray(data), dtype=dtype).float()
        if not bool(values.isfinite().all()):
            raise FormatError("a message has a number that is not finite")
        return values.view(shape)

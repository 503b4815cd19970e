"""One bit a number: signs, times the mean size.

    ĝ = mean |g| · sign(g),    min over s of ‖g − s sign(g)‖²

Biased: it goes with a memory of what was not sent. The sign of 0 is +.

Source: Karimireddy, Rebjock, Stich & Jaggi, "Error feedback fixes SignSGD and other gradient compression schemes"
(ICML 2019), algorithm 1; Seide, Fu, Droppo, Li & Yu, "1-bit stochastic gradient descent" (Interspeech 2014).
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.errors import FormatError
from laconic.format.coding.packing import pack_bits, unpack_bits
from laconic.format.coding.varints import Cursor
from laconic.machines.codec import GradientCodec, flat, shaped
from laconic.machines.wire import float_bytes, read_floats


@final
@dataclass(frozen=True)
class Signs(GradientCodec):
    """Signs with one scale a tensor.

    >>> codec = Signs()
    >>> codec.decode(codec.encode(torch.tensor([1.0, -3.0]), torch.Generator()), (2,))
    tensor([ 2., -2.])
    """

    def share(self, gradient: Tensor) -> None:
        """Return nothing: each worker has its scale."""
        return None

    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the mean size and the signs."""
        g = flat(gradient)
        scale = np.float32(np.abs(g).mean(dtype=np.float64)) if len(g) else np.float32(0)
        return float_bytes(scale) + pack_bits((g >= 0).astype(np.uint8), 1)

    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return plus and minus the scale."""
        cursor = Cursor(data)
        scale = read_floats(cursor, 1)[0]
        if scale < 0:
            raise FormatError(f"a scale is 0 or more, not {scale}")
        signs = unpack_bits(cursor.rest(), math.prod(shape), 1, np.dtype(np.uint8))
        return shaped(np.array([-scale, scale], np.float32)[signs], shape)

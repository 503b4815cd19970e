"""Gradients on a few levels a bucket: QSGD.

    Q(v_i) = ‖v‖ · sign(v_i) · ξ_i / s,    ξ_i = l + 1 with probability s |v_i| / ‖v‖ − l, else l = ⌊s |v_i| / ‖v‖⌋

for each bucket v of a gradient, so that E Q(v) = v and E ‖Q(v) − v‖² ≤ min(n/s², √n/s) ‖v‖², n being the bucket's
length.

Source: Alistarh, Grubic, Li, Tomioka & Vojnovic, "QSGD: communication-efficient SGD via gradient quantization and
encoding" (NIPS 2017), section 3 and lemma 3.1; buckets of 512 as in their experiments. They write the levels as Elias
codes, here they go through laconic's entropy coder.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.errors import FormatError, PlanError
from laconic.format.coding.varints import Cursor
from laconic.machines.codec import GradientCodec, flat, shaped, uniform
from laconic.machines.wire import finish, float_bytes, read_floats, read_symbols, symbols_bytes

MOST = 511
"""Levels on a side: with more the entropy coder would split its symbols."""


@final
@dataclass(frozen=True)
class Levels(GradientCodec):
    """QSGD.

    Args:
        levels: s, levels beside 0 on either side; 7 make four bits.
        bucket: numbers that have a norm of their own, n.

    Raises:
        PlanError: for no levels, or more than `MOST`, or an empty bucket.
    """

    levels: int = 7
    bucket: int = 512

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= MOST:
            raise PlanError(f"levels on a side are 1 to {MOST}, not {self.levels}")
        if self.bucket < 1:
            raise PlanError(f"a bucket holds one number or more, not {self.bucket}")

    def share(self, gradient: Tensor) -> None:
        """Return nothing: each bucket has its norm."""
        return None

    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the norms of the buckets, and the levels."""
        g = flat(gradient)
        starts = np.arange(0, len(g), self.bucket)
        squares = np.add.reduceat(np.square(g, dtype=np.float64), starts) if len(g) else np.zeros(0)
        norms = np.sqrt(squares).astype(np.float32)
        each = np.repeat(norms, self.bucket)[: len(g)].astype(np.float64)
        share = np.divide(np.abs(g), each, out=np.zeros(len(g)), where=each > 0)
        sizes = self.levels * np.minimum(share, 1.0)  # a norm may have been rounded down
        lower = np.floor(sizes)
        levels = np.copysign(lower + (uniform(len(g), generator) < sizes - lower), g).astype(np.int64)
        return float_bytes(norms) + symbols_bytes(levels + self.levels, 2 * self.levels + 1)

    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return the levels times the norms."""
        count, cursor = math.prod(shape), Cursor(data)
        norms = read_floats(cursor, -(-count // self.bucket))
        if (norms < 0).any():
            raise FormatError("a norm is 0 or more")
        levels = read_symbols(cursor, count, 2 * self.levels + 1).astype(np.float64) - self.levels
        finish(cursor)
        return shaped(levels / self.levels * np.repeat(norms, self.bucket)[:count].astype(np.float64), shape)

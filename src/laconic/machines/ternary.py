"""Gradients of three values: TernGrad.

    g̃ = s · sign(g) ∘ b,    P(b_k = 1) = |g_k| / s,    s = max_k |g_k|

so that E g̃ = g and E ‖g̃‖² = s ‖g‖₁. With clipping, numbers beyond c σ go there first, σ being the standard deviation
of the tensor, and s = c σ: the scale no longer goes by one number, at the price of a bias that is small, for few are
clipped. Workers that share the largest s have messages whose sum is an integer times s.

Source: Wen, Xu, Yan, Wu, Wang, Chen & Li, "TernGrad: ternary gradients to reduce communication in distributed deep
learning" (NIPS 2017), section 3; c = 2.5. That s is c σ, not the largest clipped number, is as in their code.
Draws are multiples of 2⁻²⁴, so that the expectation is off by at most s 2⁻²⁴.
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
from laconic.machines.wire import Form, float_bytes, read_floats, read_ternary, require_form, ternary_bytes

CLIP = 2.5
"""Theirs: standard deviations."""


@final
@dataclass(frozen=True)
class Ternary(GradientCodec):
    """TernGrad.

    Args:
        clip: c, in standard deviations; None for no clipping.
        form: how the digits are written.

    Raises:
        PlanError: for a bound that is none, or an unknown form.

    >>> codec = Ternary(clip=None, form="2 bits")
    >>> message = codec.encode(torch.tensor([0.0, 2.0, -2.0, 2.0]), torch.Generator())
    >>> codec.decode(message, (4,)), len(message)
    (tensor([ 0.,  2., -2.,  2.]), 5)
    """

    clip: float | None = CLIP
    form: Form = "entropy"

    def __post_init__(self) -> None:
        require_form(self.form)
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise PlanError(f"clip is a number of standard deviations above 0, or None, not {self.clip}")

    def share(self, gradient: Tensor) -> float:
        """Return s."""
        g = flat(gradient)
        if not len(g):
            return 0.0
        return float(np.abs(g).max() if self.clip is None else np.float32(self.clip * np.std(g, dtype=np.float64)))

    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the scale, unless it is shared, and the digits."""
        g, own = flat(gradient), self.share(gradient)
        scale = np.float32(own if shared is None else shared)
        sizes = np.minimum(np.abs(g), np.float32(own))
        kept = uniform(len(g), generator) * scale < sizes
        digits = np.where(kept, np.where(g < 0, 2, 1), 0).astype(np.uint8)
        return (float_bytes(scale) if shared is None else b"") + ternary_bytes(digits, self.form)

    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return 0, s and −s."""
        cursor = Cursor(data)
        scale = read_floats(cursor, 1)[0] if shared is None else np.float32(shared)
        if scale < 0:
            raise FormatError(f"a scale is 0 or more, not {scale}")
        digits = read_ternary(cursor.rest(), math.prod(shape), self.form)
        return shaped(np.array([0, scale, -scale], np.float32)[digits], shape)

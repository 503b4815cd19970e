"""A kernel whose channels are few: a small core, and a matrix on either side (Tucker-2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.format.codes.code import Code, Part, part, require
from laconic.format.codes.products import multiply
from laconic.format.coding import FLOATS, dtype_of

_AT_ONCE, _WIDE = 1 << 18, 128
"""Elements of the core's product with the right factor that are in memory, and inputs they are of at least."""


@final
@dataclass(frozen=True, eq=False)
class TuckerCode(Code):
    """Δ(Θ)[o, i, …] = Σ_a L[o, a] (Σ_b C[a, b, …] R[b, i]).

    As layers: a 1 × 1 convolution to b channels, a small kernel, a 1 × 1 convolution to all. Both sums are in float64,
    from left to right, and the result is rounded once: the same bits on every machine.

    Args:
        shape: shape of the tensor, of two axes or more.
        dtype: its element type.
        left: code of L, shape (out, a).
        core: code of C, shape (a, b, …).
        right: code of R, shape (b, in).
    """

    shape: tuple[int, ...]
    dtype: str
    left: Code
    core: Code
    right: Code

    def decompress(self) -> np.ndarray:
        """Multiply core and right factor, and the left factor and that, some inputs and positions at a time."""
        tensor = np.zeros(self.shape, dtype_of(self.dtype))
        if not tensor.size:
            return tensor
        left, core, right = (part.decompress() for part in (self.left, self.core, self.right))
        few, inputs, positions = max(1, len(core)), self.shape[1], math.prod(self.shape[2:])
        cube, whole = core.reshape(*core.shape[:2], positions), tensor.reshape(*self.shape[:2], positions)
        wide = min(inputs, max(_WIDE, _AT_ONCE // (few * positions)))
        deep = min(positions, max(1, _AT_ONCE // (few * wide)))
        rows = max(1, _AT_ONCE // (wide * deep))
        for p in range(0, positions, deep):
            for i in range(0, inputs, wide):
                middle = _middle(cube[:, :, p : p + deep], right[:, i : i + wide])
                for o in range(0, len(left), rows):
                    some = whole[o : o + rows, i : i + wide, p : p + deep]
                    part = np.empty((len(some), middle.shape[1]), some.dtype)
                    multiply(left[o : o + rows], middle, part)
                    some[:] = part.reshape(some.shape)
        return tensor

    def streams(self) -> Mapping[str, Part]:
        """Return the codes of the three factors."""
        return {"left": self.left, "core": self.core, "right": self.right}

    def facts(self) -> tuple[int, ...]:
        """Return nothing: the shapes of the factors say all."""
        return ()

    @classmethod
    def from_streams(
        cls, shape: tuple[int, ...], dtype: str, facts: tuple[int, ...], streams: Mapping[str, Part]
    ) -> "TuckerCode":
        """Invert `streams`."""
        left, core, right = (part(streams, name, Code) for name in ("left", "core", "right"))
        require(dtype in FLOATS, f"a product of factors for a tensor of {dtype}")
        require(len(shape) >= 2 and len(left.shape) == len(right.shape) == 2, "factors are matrices, beside a kernel")
        require(core.shape == (left.shape[1], right.shape[0], *shape[2:]), f"a core {core.shape} between the factors")
        require((left.shape[0], right.shape[1]) == shape[:2], f"factors {left.shape} and {right.shape} for {shape}")
        few = core.shape[0] <= max(shape[0], 1) and core.shape[1] <= max(shape[1], 1)
        require(few, f"a core {core.shape} that is larger than the tensor {shape}")
        return cls(shape, dtype, left, core, right)

    def check(self) -> None:
        """Check all factors."""
        for factor in (self.left, self.core, self.right):
            factor.check()

    def labels(self) -> None:
        """Return None: nothing discrete is chosen for a single weight."""
        return None


def _middle(core: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return Σ_b C[a, b, p] R[b, i] in float64, shape (a, inputs · positions): all inputs of ``right``."""
    few, inputs, positions = core.shape[0], right.shape[1], core.shape[2]
    thick = np.empty((few * positions, inputs))
    multiply(core.transpose(0, 2, 1).reshape(few * positions, core.shape[1]), right, thick)
    return thick.reshape(few, positions, inputs).transpose(0, 2, 1).reshape(few, inputs * positions)

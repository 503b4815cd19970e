"""The largest numbers of a gradient alone: top-k.

    min over ĝ with at most k numbers other than 0   ‖g − ĝ‖²

Exact, O(n). Biased: it goes with a memory of what was not sent (`laconic.machines.memory`). Places are written as gaps
through the entropy coder, values as they are.

Source: Aji & Heafield, "Sparse communication for distributed gradient descent" (EMNLP 2017); Lin, Han, Mao, Wang &
Dally, "Deep Gradient Compression" (ICLR 2018), who send one number in a thousand. They estimate the threshold on a
sample of the gradient; here it is exact.
"""

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.errors import PlanError
from laconic.format.coding.varints import Cursor
from laconic.machines.codec import GradientCodec, flat, shaped
from laconic.machines.wire import finish, read_sparse, sparse_bytes

SHARE = 0.001
"""Theirs."""

_STAGE = 0.25
"""What is left of the share from one stage of the warm-up to the next: 25, 6.25, 1.5625, 0.4, 0.1 %."""


@final
@dataclass(frozen=True)
class Largest(GradientCodec):
    """Top-k.

    Args:
        share_sent: of the numbers of a tensor, those that are sent, at least one of them.

    Raises:
        PlanError: for a share that is none.

    >>> codec = Largest(0.5)
    >>> codec.decode(codec.encode(torch.tensor([1.0, -3.0, 2.0, 0.5]), torch.Generator()), (4,))
    tensor([ 0., -3.,  2.,  0.])
    """

    share_sent: float = SHARE

    def __post_init__(self) -> None:
        if not 0 < self.share_sent <= 1:
            raise PlanError(f"the share that is sent is above 0 and at most 1, not {self.share_sent}")

    def share(self, gradient: Tensor) -> None:
        """Return nothing: values are sent as they are."""
        return None

    def encode(self, gradient: Tensor, generator: torch.Generator, shared: float | None = None) -> bytes:
        """Return the places and values of the largest."""
        g = flat(gradient)
        k = min(len(g), max(1, round(self.share_sent * len(g))))
        places = np.sort(np.argpartition(np.abs(g), len(g) - k)[len(g) - k :]) if k else np.zeros(0, np.int64)
        return sparse_bytes(places, g[places])

    def decode(self, data: bytes | memoryview, shape: tuple[int, ...], shared: float | None = None) -> Tensor:
        """Return the values at their places, elsewhere 0."""
        cursor = Cursor(data)
        values = read_sparse(cursor, math.prod(shape))
        finish(cursor)
        return shaped(values, shape)


def warmed_up(share: float, stage: int) -> float:
    """Return the share that is sent in a stage of the warm-up, counted from 0: larger at first.

    >>> [warmed_up(0.001, stage) for stage in range(6)]
    [0.25, 0.0625, 0.015625, 0.00390625, 0.001, 0.001]
    """
    return max(share, _STAGE ** (1 + min(stage, 64)))

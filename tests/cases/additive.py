"""Nothing changed, and sums."""

import torch

from laconic.csteps import Lossless

from .case import TENSORS, Case, alone

ADDITIVE: tuple[Case, ...] = (
    *alone("lossless", Lossless(), TENSORS | {"nan": torch.tensor([float("nan"), 1.0])}, weighted=True),
)

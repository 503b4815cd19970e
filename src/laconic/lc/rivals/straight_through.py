"""Training through rounding: each weight is rounded in the forward pass, and gradients go straight through.

    q(w) = a c_κ(w),  κ(w) = argmin_k |w − a c_k|;      w ← w − η ∂L/∂q,    a ← a − η' Σ_i (∂L/∂q_i) c_κ(i)

The entries c are those of the row; a is the scale of the tensor, where the row's is learned: what moves is the mean
distance between two of a c, with a gradient over √(n (K − 1)/2), as n weights are behind it. With the entries −1 and 1
it is binarization; with 2^k evenly spaced ones a k-bit uniform quantizer. Weights out of the range of the entries get
their gradients, too.

Source: Courbariaux, Bengio & David, "BinaryConnect" (NIPS 2015); Esser et al., "Learned step size quantization" (ICLR
2020), of which a is the step. Departures: any entries; a has the derivative at fixed assignments.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.fixed_codebook import FixedCodebook
from laconic.errors import PlanError, listed
from laconic.format.codes import Code, GroupedCode
from laconic.lc.l_step import LearningStep
from laconic.lc.rivals.through import following, trained
from laconic.lc.state import LCState
from laconic.models.params import Params, to_torch
from laconic.training.stochastic import nearest_entry, straight_through

_WIDTH = "width of "

_LEAST = 1e-30
"""What a width counts as at least: it is divided by."""


def straight(state: LCState, l_step: LearningStep, steps: int) -> Iterator[LCState]:
    """Yield ``state``, and the state after each step; arguments as `laconic.lc.rivals.rounds.rounds`.

    Raises:
        PlanError: for a row that is no fixed codebook with one scale, or none, for each tensor.
    """
    yield state
    _require_fixed(state)
    for _ in range(state.progress.step, steps):
        roundings = {name: _Rounding.of(state.codes[name]) for row in state.rows for name in row.names}
        widths = {_WIDTH + name: one.width for name, one in roundings.items() if one.learned}
        numbers, loss = trained(state, l_step, partial(_entering, roundings), widths)
        latent = {name: numbers[name] for name in state.weights}
        with torch.no_grad():
            rounded = _entering(roundings, numbers)
        state = following(state, state.rows, {name: rounded[name] for name in latent}, latent, loss)
        yield state


@final
@dataclass(frozen=True, eq=False)
class _Rounding:
    """What the weights of a tensor are rounded to.

    Args:
        entries: ascending, their mean distance 1, float32.
        width: what they are times, 0-d.
        learned: whether that is trained.
    """

    entries: Tensor
    width: Tensor
    learned: bool

    @classmethod
    def of(cls, code: Code) -> "_Rounding":
        """Return that of a code."""
        assert isinstance(code, GroupedCode), "a fixed codebook makes it"
        entries = to_torch(code.codebook.array.astype(np.float32).copy())
        between = float(entries[-1] - entries[0]) / (len(entries) - 1) if len(entries) > 1 else 1.0
        scale = float(code.scales.array[0]) if len(code.scales) else 1.0
        return cls(entries / between, torch.tensor(scale * between), bool(len(code.scales)))

    def __call__(self, weights: Tensor, width: Tensor) -> Tensor:
        """Return the rounded weights, of which gradients reach ``weights`` and ``width``."""
        slower = 1 / math.sqrt(max(1, weights.numel()) * max(1.0, (len(self.entries) - 1) / 2))
        moving = width.detach() + slower * (width - width.detach())
        nearest = nearest_entry(weights / width.detach().clamp_min(_LEAST), self.entries.tolist())
        return straight_through(weights, (nearest * width).detach()) + nearest * (moving - moving.detach())


def _entering(roundings: Mapping[str, _Rounding], numbers: Params) -> Params:
    """Return the weights of the network from the numbers."""
    widths = {name: numbers.get(_WIDTH + name, one.width) for name, one in roundings.items()}
    return {**numbers, **{name: one(numbers[name], widths[name]) for name, one in roundings.items()}}


def _require_fixed(state: LCState) -> None:
    """Check that each tensor has the entries of a row, and one scale at most.

    Raises:
        PlanError: for another row.
    """
    for row in state.rows:
        inner = row.compression
        if not isinstance(inner, FixedCodebook) or inner.rows or inner.group or inner.block:
            raise PlanError(
                f"{listed(row.names)}: method 'ste' rounds the weights of each tensor to given values, such as "
                "{ binary = true } or { fixed_codebook = [-3, -1, 1, 3] } with one scale, not by "
                f"{type(inner).__name__}"
            )

"""Codes whose blocks are drawn, encoded some blocks at a time while what is not encoded yet goes on learning.

    w = Δ(k, u):  block b is σ z_{k_b} once it is encoded, and u_b, free, before that

    stage s:  u ← argmin L(Δ(k, u)), some epochs;   k_b ← argmin_k ‖u_b − σ z_k‖²  for the next blocks b

At a fraction of a bit a weight the nearest of all vectors is far from a block: one block after the other is a small
fault that the others make good. What is left to encode falls by the same factor in each stage, for the fewer are left
the less they can make good. In the LC algorithm with `RandomVectors` all blocks choose at once, and its choices freeze.

Source: Havasi, Peharz & Hernández-Lobato, "Minimal random code learning" (ICLR 2019), Algorithm 2. Departures: weights
are numbers and not distributions, and the vector is the nearest, not one drawn by importance weights; some blocks
are encoded at a time. As there, the scale is that of the weights: the least error would ask for a smaller one, but a
layer would then say less to the next than it did.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.csteps.random_vectors import Blocks
from laconic.errors import PlanError
from laconic.format.codes import Code, DrawnCode, HashedCode, Symbols, Values
from laconic.format.codes.hashing import NORMAL_DEVIATION, normals, order_of
from laconic.lc.finetune import updated
from laconic.models.params import Params, beside, to_numpy, to_torch
from laconic.training.optimization import Optimization
from laconic.training.task import Task
from laconic.training.trainer import start_training, train_leaves

_LEFT = 0.004
"""Share of the blocks that the last stage encodes, about."""


@final
@dataclass(frozen=True)
class Stage:
    """What is known after a stage.

    Args:
        epoch: epochs done.
        share: of the blocks, that are encoded.
        loss: mean training loss of the epoch, before the blocks of this stage were encoded.
    """

    epoch: int
    share: float
    loss: float


@final
class BlockByBlock:
    """Codes in the making: those with drawn blocks are encoded, the others stay as they are.

    Args:
        task: what to minimise.
        params: the network before.
        codes: of all its tensors, by direct compression: `DrawnCode`, or `HashedCode` of one, where `RandomVectors`
            was asked for. They say blocks and seeds, and which tensors share a scale.

    Raises:
        PlanError: when no code has drawn blocks.
    """

    def __init__(self, task: Task, params: Params, codes: Mapping[str, Code]) -> None:
        self._task, self._codes = task, dict(codes)
        drawn = {name: code for name, code in codes.items() if _drawn(code) is not None}
        if not drawn:
            raise PlanError(f"no drawn blocks among {', '.join(codes)}; give weights a row such as random_vectors = 20")
        self._tensors = {name: _Encoded(code, params[name]) for name, code in drawn.items()}
        for scale in {id(tensor.scale): tensor.scale for tensor in self._tensors.values()}.values():
            own = [tensor for tensor in self._tensors.values() if tensor.scale is scale]
            energy = sum(float(tensor.free.detach().double().square().sum()) for tensor in own)
            deviation = math.sqrt(energy / max(sum(tensor.free.numel() for tensor in own), 1))
            wide = Values(np.array([deviation / NORMAL_DEVIATION], scale.array.dtype))
            for tensor in own:
                tensor.scale = wide
        fixed = {name: to_torch(code.decompress()) for name, code in codes.items() if name not in drawn}
        self._fixed = beside(task.module, fixed)

    def stages(self, how: Optimization, seed: int) -> Iterator[Stage]:
        """Encode blocks after each epoch, all of them after the last; to be called once.

        Args:
            how: of the training of what is not encoded, over all stages.
            seed: of batches.

        Raises:
            PlanError: for no epochs.
            WeightsError: when training diverges.
        """
        if how.epochs < 1:
            raise PlanError(f"blocks are encoded after an epoch of training each, 1 or more, not {how.epochs}")
        leaves = {name: tensor.free for name, tensor in self._tensors.items()}
        first = start_training({name: leaf.detach().clone() for name, leaf in leaves.items()})
        factor = _LEFT ** (1 / max(how.epochs - 1, 1))
        for state in train_leaves(self._task, first, leaves, leaves, self.weights, how, seed):
            share = 1.0 if state.epoch == how.epochs else 1 - factor**state.epoch
            for tensor in self._tensors.values():
                tensor.encode(share)
            yield Stage(state.epoch, share, state.loss)

    def weights(self) -> Params:
        """Return the network as it is: encoded blocks as they will be read, the others free."""
        current = {name: tensor.weights() for name, tensor in self._tensors.items()}
        return {**self._fixed, **beside(self._task.module, current)}

    def codes(self) -> dict[str, Code]:
        """Return the codes, once all blocks are encoded, with running statistics as training has left them."""
        fixed = {name: updated(self._codes[name], to_numpy(tensor)) for name, tensor in self._fixed.items()}
        encoded = {name: tensor.code() for name, tensor in self._tensors.items()}
        return {name: encoded[name] if name in encoded else fixed[name] for name in self._codes}


@final
class _Encoded:
    """One tensor on the way to its code.

    Args:
        code: direct compression of it.
        tensor: its weights.
    """

    def __init__(self, code: Code, tensor: Tensor) -> None:
        inner = _drawn(code)
        assert inner is not None, "a code with drawn blocks"
        self._code, self._inner, self._shape, self.scale = code, inner, tensor.shape, inner.scale
        self._groups = torch.from_numpy(code.groups) if isinstance(code, HashedCode) else None
        flat = tensor.detach().cpu().float().reshape(-1)
        if self._groups is not None:
            counts = torch.bincount(self._groups, minlength=inner.size).clamp(min=1)
            flat = torch.zeros(inner.size).index_add(0, self._groups, flat) / counts
        self.free = flat.clone().requires_grad_()
        self._order = order_of(inner.seed, inner.size)
        self._known, self._held = torch.zeros(inner.size), torch.zeros(inner.size, dtype=torch.bool)
        self._indices = np.zeros(len(inner.indices), np.int64)
        self._done = 0

    def weights(self) -> Tensor:
        """Return the tensor, differentiable in what is free."""
        values = torch.where(self._held, self._known, self.free)
        return (values if self._groups is None else values.index_select(0, self._groups)).view(self._shape)

    def encode(self, share: float) -> None:
        """Encode blocks in their order until so large a share of them is."""
        inner, length = self._inner, self._inner.length
        stop = min(len(self._indices), math.ceil(share * len(self._indices)))
        if stop <= self._done:
            return
        places = self._order[self._done * length : stop * length]
        blocks = np.zeros((2, (stop - self._done) * length))
        blocks[:, : len(places)] = to_numpy(self.free.detach())[places], np.ones(len(places))
        weights, ones = blocks.reshape(2, -1, length)
        unit, bits = float(self.scale.array[0]), (inner.indices.alphabet - 1).bit_length()
        indices = Blocks(inner.seed, length, weights, ones, alike=True).nearest(unit * Blocks.UNIT, bits)
        counters = indices.astype(np.uint64)[:, None] * np.uint64(length) + np.arange(length, dtype=np.uint64)
        drawn = normals(inner.seed, counters.reshape(-1))[: len(places)] * unit
        self._known[torch.from_numpy(places)] = torch.from_numpy(drawn).float()
        self._held[torch.from_numpy(places)] = True
        self._indices[self._done : stop] = indices
        self._done = stop

    def code(self) -> Code:
        """Return the code."""
        assert self._done == len(self._indices), "all blocks are encoded"
        inner = replace(self._inner, scale=self.scale, indices=Symbols(self._indices, self._inner.indices.alphabet))
        return replace(self._code, values=inner) if isinstance(self._code, HashedCode) else inner


def _drawn(code: Code) -> DrawnCode | None:
    """Return what is drawn of a tensor, itself or the values that it shares."""
    inner = code.values if isinstance(code, HashedCode) else code
    return inner if isinstance(inner, DrawnCode) else None

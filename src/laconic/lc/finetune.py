"""Training what stays free when the choices are made: biases, norms, entries, scales, survivors, factors, steps.

    min_θ L(Δ(θ))   over the real numbers in Θ, with every assignment and mask entry fixed

With fixed assignments the gradient of a codebook entry is the sum over its weights (Deep Compression, section 3;
weight sharing in the LC papers). From direct compression this is the baseline *mask and retrain*, or *centroid
fine-tuning*; at the end of the LC algorithm it takes the last of the loss out of the gap.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic.errors import PlanError
from laconic.format.codes import Code, DenseCode
from laconic.format.codes.sharing import unshared
from laconic.machines.exchange import Exchange
from laconic.machines.scheme import Scheme
from laconic.machines.workers import Workers
from laconic.models.forms import FreeParameters, free_parameters
from laconic.models.params import Params, beside, to_numpy, to_torch
from laconic.training.loop import trainable
from laconic.training.optimization import Optimization, adam, cosine
from laconic.training.task import Task
from laconic.training.trainer import TrainState, start_training, train_leaves

FINE_TUNING = Optimization(epochs=20, lr=1e-3, anneal=cosine, optimizer=adam)
"""Adam, because a codebook entry gathers the gradients of thousands of weights and a bias those of one."""


@final
@dataclass(frozen=True, eq=False)
class FineTuning:
    """Codes in fine-tuning: made of them, and of nothing else, so that it can be made again to go on.

    Args:
        task: what to minimise.
        codes: one per parameter and buffer of the task's module.
        freed: the codes that training moves.
        fixed: the tensors of the others, of which a forward pass may change some: running statistics.
    """

    task: Task
    codes: Mapping[str, Code]
    freed: FreeParameters
    fixed: Params

    @classmethod
    def of(cls, task: Task, codes: Mapping[str, Code]) -> "FineTuning":
        """Return codes before their first epoch."""
        apart = unshared(codes)
        moving = set(trainable(task.module, apart))
        freed = free_parameters({name: code for name, code in apart.items() if name in moving})
        fixed = {name: to_torch(code.decompress()) for name, code in apart.items() if name not in moving}
        return cls(task, codes, freed, beside(task.module, fixed))

    def states(
        self, state: TrainState | None, how: Optimization, seed: int, exchange: Exchange | None = None
    ) -> Iterator[TrainState]:
        """Yield ``state``, the first one unless it is given, and the state after each epoch.

        With an exchange ranks share out the batches. The numbers that are trained are few: they travel as float32.

        Raises:
            PlanError: for a weight decay: it has no meaning for what is trained here.
            WeightsError: when training diverges.
            WorkersError: when a rank is gone, has failed, or has other weights.
        """
        if how.weight_decay:
            raise PlanError(f"fine-tuning trains codebooks and factors, which take no weight decay: {how.weight_decay}")
        if state is None:
            state = start_training({name: tensor.detach().clone() for name, tensor in self._changing.items()})
        self._restore(state)
        yield state
        if not self.freed.leaves:
            yield replace(state, epoch=how.epochs)
            return
        ranks, fixed = None, {f"fixed {name}" for name in self.fixed}
        if exchange is not None:
            shapes = {name: tuple(leaf.shape) for name, leaf in self._leaves.items()}
            ranks = Workers(Exchange(Scheme(), exchange.wires, shapes, seed), state.epoch * self.task.count("train"))
            ranks.require_same(state.weights, repr((seed, state.epoch)))
        reached = train_leaves(self.task, state, self._leaves, self._changing, self._weights, how, seed, None, ranks)
        for state in reached:
            yield replace(state, weights=ranks.settled(state.weights, fixed)) if ranks else state

    def tuned(self, state: TrainState) -> dict[str, Code]:
        """Return the codes with the numbers of ``state``; to be called once, at the end."""
        if state.epoch == 0 or not self.freed.leaves:
            return dict(self.codes)
        self._restore(state)
        tuned = self.freed.codes()
        return {
            name: tuned[name] if name in tuned else updated(code, to_numpy(self.fixed[name]))
            for name, code in self.codes.items()
        }

    @property
    def _leaves(self) -> dict[str, Tensor]:
        return {f"leaf {name}": leaf for name, leaf in self.freed.leaves.items()}

    @property
    def _changing(self) -> dict[str, Tensor]:
        """What an epoch changes, by names of which no two are the same."""
        return {**self._leaves, **{f"fixed {name}": tensor for name, tensor in self.fixed.items()}}

    def _weights(self) -> Params:
        return {**self.fixed, **beside(self.task.module, self.freed.weights())}

    @torch.no_grad()
    def _restore(self, state: TrainState) -> None:
        """Give everything the values that it has in ``state``."""
        for name, tensor in self._changing.items():
            tensor.copy_(state.weights[name])


def finetune(task: Task, codes: Mapping[str, Code], how: Optimization = FINE_TUNING, seed: int = 0) -> dict[str, Code]:
    """Return codes with the same choices whose free numbers are trained.

    Args:
        task: what to minimise.
        codes: one per parameter and buffer of the task's module.
        how: epochs, learning rate, optimizer.
        seed: of the order of the batches.

    Raises:
        PlanError: for a weight decay: it has no meaning for what is trained here.
        WeightsError: when training diverges.
    """
    tuning = FineTuning.of(task, codes)
    *_, last = tuning.states(None, how, seed)
    return tuning.tuned(last)


def updated(code: Code, array: np.ndarray) -> Code:
    """Return ``code``, or what holds ``array`` where a forward pass has moved it: running statistics of BatchNorm."""
    return code if code.decompress().tobytes() == array.tobytes() else DenseCode.of(array)

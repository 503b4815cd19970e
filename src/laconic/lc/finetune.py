"""Training what stays free when the choices are made: biases, norms, entries, scales, survivors, factors, steps.

    min_θ L(Δ(θ))   over the real numbers in Θ, with every assignment and mask entry fixed

With fixed assignments the gradient of a codebook entry is the sum over its weights (Deep Compression, section 3;
weight sharing in the LC papers). From direct compression this is the baseline *mask and retrain*, or *centroid
fine-tuning*; at the end of the LC algorithm it takes the last of the loss out of the gap.
"""

from collections.abc import Mapping

import numpy as np

from laconic.errors import PlanError
from laconic.format.codes import Code, DenseCode
from laconic.format.codes.sharing import unshared
from laconic.models.forms import free_parameters
from laconic.models.params import Params, to_numpy, to_torch
from laconic.training.loop import derive_seed, set_lr, train_epoch, trainable
from laconic.training.optimization import Optimization, adam, cosine
from laconic.training.task import Task, mode

FINE_TUNING = Optimization(epochs=20, lr=1e-3, anneal=cosine, optimizer=adam)
"""Adam, because a codebook entry gathers the gradients of thousands of weights and a bias those of one."""


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
    if how.weight_decay:
        raise PlanError(f"fine-tuning trains codebooks and factors, which take no weight decay: {how.weight_decay}")
    if how.epochs == 0:
        return dict(codes)
    codes = unshared(codes)
    moving = set(trainable(task.module, codes))
    freed = free_parameters({name: code for name, code in codes.items() if name in moving})
    fixed = {name: to_torch(code.decompress()) for name, code in codes.items() if name not in moving}
    named = dict(freed.leaves)
    if not named:
        return dict(codes)
    optimizer = how.optimizer(list(named.values()), how.lr)

    def weights() -> Params:
        return {**fixed, **freed.weights()}

    with mode(task.module, training=True):
        for epoch in range(how.epochs):
            set_lr(optimizer, how.lr * how.anneal(epoch / how.epochs))
            train_epoch(task, named, weights, optimizer, derive_seed(seed, epoch))
    tuned = freed.codes()
    return {
        name: tuned[name] if name in tuned else _updated(code, to_numpy(fixed[name])) for name, code in codes.items()
    }


def _updated(code: Code, array: np.ndarray) -> Code:
    """Return ``code``, or what holds ``array`` where a forward pass has moved it: running statistics of BatchNorm."""
    return code if code.decompress().tobytes() == array.tobytes() else DenseCode.of(array)

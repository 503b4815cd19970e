"""Training weights that have one bit, or three values, in every forward pass."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from torch import Tensor

from laconic.errors import PlanError
from laconic.models.params import Params, beside, to_numpy
from laconic.training.binary import BinaryConnect
from laconic.training.latent import Latent
from laconic.training.optimization import Optimization, cosine
from laconic.training.task import Task
from laconic.training.ternary import TrainedTernary
from laconic.training.trainer import start_training, train

WAYS: Mapping[str, Latent] = MappingProxyType(
    {
        "binary": BinaryConnect(),
        "binary-scaled": BinaryConnect("mean"),
        "stochastic": BinaryConnect(stochastic=True),
        "ternary": TrainedTernary(),
    }
)
"""Name → what is trained in place of the weights."""

_MOST = 3
"""Values that a weight of few bits has."""

_HOW = Optimization(40, 0.03, cosine)


def few_bits(
    task: Task, params: Params, weights: str | Latent = "binary", how: Optimization = _HOW, seed: int = 0
) -> dict[str, Tensor]:
    """Return a network trained with weights of few values in every forward pass.

    min over v   L(w(v)),   w(v) ∈ {−H, H}, or {−n, 0, p}, for each weight

    Tensors of two axes or more have two values each, or three; a `laconic.AdaptiveCodebook` of as many then holds them
    exactly, at a bit a weight. Biases and norms stay real. Drawn weights ("stochastic") come back real, as their source
    judges them.

    Args:
        task: what to train on; with `laconic.binary_activations`, what layers read is binary, too.
        params: weights to begin with.
        weights: "binary", "binary-scaled", "stochastic", "ternary", or a `BinaryConnect` or `TrainedTernary` of one's
            own, which say what these mean.
        how: epochs, learning rate, optimizer.
        seed: of batches, and of what is drawn.

    Raises:
        PlanError: for another name, no epochs, and when no tensor that moves has two axes or more.
        WeightsError: when training diverges.
    """
    if isinstance(weights, str) and weights not in WAYS:
        raise PlanError(f"weights are {', '.join(WAYS)}, or what is trained in their place, not {weights!r}")
    if not how.epochs:
        raise PlanError("weights of few values come of training: give it one epoch or more")
    latent = WAYS[weights] if isinstance(weights, str) else weights
    state = start_training(beside(task.module, params))
    for reached in train(task, state, how, seed, latent):
        state = reached
    return latent.judged(state.weights)


def values_of(weights: Params) -> dict[str, list[float]]:
    """Return the values of each tensor of two axes or more that has three at most, ascending.

    >>> values_of({"w": Tensor([[0.5, -0.5]]), "v": Tensor([[1, 2, 3, 4]]), "b": Tensor([1])})
    {'w': [-0.5, 0.5]}
    """
    values = {name: np.unique(to_numpy(tensor)) for name, tensor in weights.items() if tensor.ndim >= 2}
    return {name: list(map(float, own)) for name, own in values.items() if 0 < len(own) <= _MOST}

"""Which inputs and neurons a pruned chain of layers still has."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def surviving(weights: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return which inputs, neurons and outputs lie on a path of weights that are not 0, from an input to an output.

    An input survives with a weight to a neuron that survives; a neuron with a weight from one side and one to the
    other, of units that survive. A neuron that nothing reaches is a constant, which the next bias can hold, and no
    neuron here. O(weights).

    >>> [kept.tolist() for kept in surviving([np.array([[1, 0], [0, 2]]), np.array([[3, 0]])])]
    [[True, False], [True, False], [True]]

    Args:
        weights: of each layer, as `torch.nn.Linear` has them: shape (outputs, inputs), finite.

    Returns:
        A mask for the inputs, and one for the outputs of each layer.

    Raises:
        ValueError: when a layer reads more or fewer numbers than the one before it writes.
    """
    joined = [weight != 0 for weight in weights]
    for number, (before, after) in enumerate(pairwise(joined)):
        if before.shape[0] != after.shape[1]:
            raise ValueError(
                f"layer {number} writes {before.shape[0]} numbers and layer {number + 1} reads {after.shape[1]}: "
                "give the layers of a chain in their order"
            )
    reached = [np.ones(joined[0].shape[1], bool)]
    for layer in joined:
        reached.append((layer & reached[-1]).any(1))
    kept = [reached[-1]]
    for layer, before in zip(reversed(joined), reversed(reached[:-1]), strict=True):
        kept.insert(0, (layer & kept[0][:, None]).any(0) & before)
    return tuple(kept)


def widths(weights: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Return how many inputs, neurons of each layer and outputs survive, such as (400, 64, 99, 10).

    Args:
        weights: as `surviving`.
    """
    return tuple(int(kept.sum()) for kept in surviving(weights))

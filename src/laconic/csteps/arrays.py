"""Weights and importances as arrays, as quantizers without torch take them."""

import numpy as np
import torch

from laconic.models.params import Params, require_finite, to_numpy
from laconic.theory.metric import Metrics, diagonal_of


def array_of(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Return the weights as float32 or float64."""
    require_finite(name, tensor)
    array = to_numpy(tensor)
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def importances_of(weights: Params, metrics: Metrics) -> dict[str, np.ndarray]:
    """Return h for each tensor as float64, or an empty array for the unit weight, which is also that of all zeros."""
    given = {name: diagonal_of(metrics, name, tensor) for name, tensor in weights.items()}
    arrays = {name: np.zeros(0) if h is None else to_numpy(h.double()) for name, h in given.items()}
    plain = any(given[name] is None and tensor.numel() for name, tensor in weights.items())
    return arrays if plain or any(h.any() for h in arrays.values()) else {name: np.zeros(0) for name in arrays}

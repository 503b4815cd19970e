"""How small a file can be at a given squared error: rate-distortion functions of independent sources, in bits.

A Gaussian of the same variance needs more bits than any other source, so its R(D) is an upper bound of what the best
conceivable coder of independent weights needs; a Laplacian is closer to what weights look like. Correlated weights can
go below both. What a coder of integers needs is `laconic.format.coding.entropy_bits`.

>>> gaussian_rate(1.0, 1 / 16)
2.0
>>> round(laplacian_rate(1.0, 1 / 16), 3)
1.896

Where the error is that of outputs, weights that are read by larger inputs get more bits:

>>> import numpy as np
>>> weighted_filling(np.ones(2), np.array([16.0, 1.0]), 2.0).rate
2.0
"""

from laconic.theory.rate_distortion.blahut import Point, blahut_arimoto
from laconic.theory.rate_distortion.entropy import entropy
from laconic.theory.rate_distortion.gaussian import (
    Filled,
    gaussian_distortion,
    gaussian_rate,
    water_filling,
    water_filling_rate,
)
from laconic.theory.rate_distortion.laplacian import laplacian_distortion, laplacian_filling, laplacian_rate
from laconic.theory.rate_distortion.linear_model import (
    Channel,
    achieving_channel,
    weighted_filling,
    weighted_filling_rate,
)
from laconic.theory.rate_distortion.relu import relu_error, relu_products, relu_scale
from laconic.theory.rate_distortion.relu_layer import relu_importance, relu_layer_error
from laconic.theory.rate_distortion.water_level import Shares, Sources, layer, network_distortion, network_rate

__all__ = [
    "Channel",
    "Filled",
    "Point",
    "Shares",
    "Sources",
    "achieving_channel",
    "blahut_arimoto",
    "entropy",
    "gaussian_distortion",
    "gaussian_rate",
    "laplacian_distortion",
    "laplacian_filling",
    "laplacian_rate",
    "layer",
    "network_distortion",
    "network_rate",
    "relu_error",
    "relu_importance",
    "relu_layer_error",
    "relu_products",
    "relu_scale",
    "water_filling",
    "water_filling_rate",
    "weighted_filling",
    "weighted_filling_rate",
]

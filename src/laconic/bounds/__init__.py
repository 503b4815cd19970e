"""How small a file can be at a given squared error: rate-distortion functions of independent sources, in bits.

A Gaussian of the same variance needs more bits than any other source, so its R(D) is an upper bound of what the best
conceivable coder of independent weights needs; a Laplacian is closer to what weights look like. Correlated weights can
go below both. What a coder of integers needs is `laconic.coding.entropy_bits`.

>>> gaussian_rate(1.0, 1 / 16)
2.0
>>> round(laplacian_rate(1.0, 1 / 16), 3)
1.896
"""

from laconic.bounds.blahut import Point, blahut_arimoto
from laconic.bounds.gaussian import Filled, gaussian_distortion, gaussian_rate, water_filling, water_filling_rate
from laconic.bounds.laplacian import laplacian_distortion, laplacian_filling, laplacian_rate

__all__ = [
    "Filled",
    "Point",
    "blahut_arimoto",
    "gaussian_distortion",
    "gaussian_rate",
    "laplacian_distortion",
    "laplacian_filling",
    "laplacian_rate",
    "water_filling",
    "water_filling_rate",
]

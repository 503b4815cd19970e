"""Biases on a grid: each with the step at which an error costs a quarter of the water level.

    min over integers v   Σ_i (b_i − v_i s)²,     s = √(12 · θ_b / 4) to a power of 2,     θ_b = θ / (s_l · positions)

A bias is one more input of its layer, a 1 at each position; it is finer than the weights, for there are so few.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from laconic.format.codes import GridCode
from laconic.quantize.lattice import Quantizer, prepare

SHARE = 1 / 4
"""Of the water level: what an error in a bias may cost."""


def rounded_vectors(vectors: Mapping[str, np.ndarray], levels: Mapping[str, float]) -> dict[str, GridCode]:
    """Return codes of vectors with tables of their own, integers without a price.

    Args:
        vectors: by name, floats.
        levels: what a squared error may come to, by name, in the units of the vector squared: steps are √12 times its
            root, to a power of 2, so that few steps are stored.
    """
    largest = {name: float(np.abs(vectors[name]).max(initial=0)) for name in levels}
    steps = {name: min(math.sqrt(12 * SHARE * levels[name]), 4 * most) for name, most in largest.items() if most}
    if not steps:
        return {}
    base = max(steps.values())
    sources = []
    for name, step in steps.items():
        finer = 2.0 ** math.ceil(math.log2(base / step))
        sources.append(replace(prepare(name, vectors[name], base / finer / 4, cosine=False, scales=0), finer=finer))
    return Quantizer(sources, rate=0.0, moving=False, stretching=False).first(base).codes()

"""Biases on a grid: each with the step at which an error costs a quarter of the water level.

    min over integers v   Σ_i (b_i − v_i s)²,     s = √(12 · θ_b / 4) to a power of 2,     θ_b = θ / (s_l · positions)

A bias is one more input of its layer, a 1 at each position; it is finer than the weights, for there are so few. What
follows no weight, as the scales of a normalization, is tried: all are rounded at once to a 32nd of what each is in the
root mean square, and the distance d of the outputs then says what a squared error of each costs.

    θ_i = θ · n r_i² / (12 · 32² · d),     n numbers in all, r_i their root mean square, d in units of the outputs
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from laconic.format.codes import GridCode
from laconic.quantize.lattice import Quantizer, prepare

SHARE = 1 / 4
"""Of the water level: what an error in a bias may cost."""

TRIAL = 1 / 32
"""Of its root mean square, the step of a vector when it is tried."""

TRIALS = 4
"""Each with the grid elsewhere: errors are felt in few directions, so that one alone may say next to nothing."""

_COARSEST = 1 / 4  # of its root mean square, the step of a vector that was not felt when it was tried
_MOST = 1 << 20  # steps: where one number of a vector is larger, all of it stays as it is


def tried(vectors: Mapping[str, np.ndarray], trial: int) -> dict[str, np.ndarray]:
    """Return vectors on the grid of a trial, each number of which is moved by as much as the number of the trial says.

    >>> tried({"v": np.array([3.0, -4.0, 0.3])}, 0)["v"].round(2).tolist()
    [3.04, -4.04, 0.27]
    """
    rng, found = np.random.default_rng(trial), dict[str, np.ndarray]()
    for name, vector in vectors.items():
        step, moved = TRIAL * _size(vector), rng.random(vector.shape)
        found[name] = (np.rint(vector / step - moved) + moved) * step
    return found


def tolerances(vectors: Mapping[str, np.ndarray], distance: float) -> dict[str, tuple[float, float]]:
    """Return θ_i/θ of each vector, and the most that θ_i may be.

    Args:
        vectors: by name, none of them all zeros.
        distance: d, of the outputs with what `tried` gives, in the mean.
    """
    count = sum(vector.size for vector in vectors.values())
    most = {name: (_COARSEST * _size(vector)) ** 2 / (12 * SHARE) for name, vector in vectors.items()}
    felt = 12 * distance / TRIAL**2
    return {
        name: (count * _size(vector) ** 2 / felt if felt > 0 else math.inf, most[name])
        for name, vector in vectors.items()
    }


def rounded_vectors(vectors: Mapping[str, np.ndarray], levels: Mapping[str, float]) -> dict[str, GridCode]:
    """Return codes of vectors with tables of their own, integers without a price; none of those that no grid suits.

    Args:
        vectors: by name, floats.
        levels: what a squared error may come to, by name, in the units of the vector squared: steps are √12 times its
            root, to a power of 2, so that few steps are stored.
    """
    largest = {name: float(np.abs(vectors[name].astype(np.float64)).max(initial=0)) for name in levels}
    steps = {name: min(math.sqrt(12 * SHARE * levels[name]), 4 * most) for name, most in largest.items() if most}
    steps = {name: step for name, step in steps.items() if step * _MOST > largest[name]}  # NaN is no such step
    if not steps:
        return {}
    base = max(steps.values())
    sources = []
    for name, step in steps.items():
        finer = 2.0 ** math.ceil(math.log2(base / step))
        sources.append(replace(prepare(name, vectors[name], base / finer / 4, cosine=False, scales=0), finer=finer))
    return Quantizer(sources, rate=0.0, moving=False, stretching=False).first(base).codes()


def _size(vector: np.ndarray) -> float:
    """Return the root mean square."""
    return math.sqrt(float(np.square(vector, dtype=np.float64).mean()))

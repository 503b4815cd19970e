"""R(D) of a whole network: the errors of all layers add up, so one water level shares the bits among them.

    min over P(Ŵ|W)   I(W; Ŵ)     subject to   Σ_l Σ_rows E (w − ŵ)ᵀ Σ_l (w − ŵ) ≤ D

A layer is rows of weights w ~ N(0, v I), each read by the inputs of second moments Σ_l. With unit moments D is the
squared error of the weights. Each layer is charged for the error of its own outputs at its own inputs: what later
layers make of it, and errors of several layers that cancel, are left out.

Source: reverse water-filling as in `laconic.theory.rate_distortion.water_filling`; for one layer Gao et al. (2019),
    theorem 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.theory.rate_distortion.gaussian import Filled, water_filling, water_filling_rate


@final
@dataclass(frozen=True, eq=False)
class Sources:
    """The independent numbers of a layer: a histogram of their variances, each times the weight of its error.

    Args:
        variances: shape (sources,), not negative.
        counts: how many numbers have it, shape (sources,), not negative.
    """

    variances: np.ndarray
    counts: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Shares:
    """The best division of a budget over the layers of a network.

    Args:
        level: the water level of all layers.
        rate: R, bits of all layers together.
        distortion: D, error of all layers together.
        rates: bits of each layer; they sum to R.
        distortions: error of each layer; they sum to D.
    """

    level: float
    rate: float
    distortion: float
    rates: Mapping[str, float]
    distortions: Mapping[str, float]


def layer(moments: np.ndarray, variance: float, rows: int) -> Sources:
    """Return the sources of a linear layer with rows of independent weights.

    Args:
        moments: eigenvalues of the inputs' second moments, or their diagonal where inputs are not correlated, shape
            (inputs,).
        variance: of each weight about 0.
        rows: outputs that the layer computes from these inputs.

    >>> layer(np.array([4.0, 1.0]), 0.5, 10).variances.tolist()
    [2.0, 0.5]
    """
    moments = np.asarray(moments, np.float64)
    return Sources(moments * variance, np.full(moments.shape, float(rows)))


def network_rate(layers: Mapping[str, Sources], distortion: float) -> Shares:
    """Return the least bits at which the errors of all layers sum to at most ``distortion``, which is positive.

    >>> plain = {"a": layer(np.ones(3), 4.0, 10), "b": layer(np.ones(2), 1.0, 30)}
    >>> network_rate(plain, 22.5).rates
    {'a': 60.0, 'b': 60.0}
    """
    return _shared(layers, water_filling(*_joined(layers), distortion))


def network_distortion(layers: Mapping[str, Sources], rate: float) -> Shares:
    """Return the least error of all layers together at ``rate`` bits: the inverse of `network_rate`.

    >>> histogram = {"a": Sources(np.array([4.0, 1.0]), np.array([30, 60]))}
    >>> network_distortion(histogram, 120.0).distortion
    22.5
    """
    return _shared(layers, water_filling_rate(*_joined(layers), rate))


def _joined(layers: Mapping[str, Sources]) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances and the counts of all layers, one after the other."""
    variances, counts = ([getattr(sources, name) for sources in layers.values()] for name in ("variances", "counts"))
    return np.concatenate([np.zeros(0), *variances]), np.concatenate([np.zeros(0), *counts])


def _shared(layers: Mapping[str, Sources], filled: Filled) -> Shares:
    """Return what each layer has of it."""
    rates, distortions = {}, {}
    for name, sources in layers.items():
        v, n = np.asarray(sources.variances, np.float64), np.asarray(sources.counts, np.float64)
        wet = v > filled.level
        rates[name] = 0.5 * float(np.dot(n[wet], np.log2(v[wet] / filled.level))) if wet.any() else 0.0
        distortions[name] = float(np.dot(n, np.minimum(v, filled.level)))
    return Shares(filled.level, filled.rate, filled.distortion, rates, distortions)

"""The rate-distortion curve of a network: files of several sizes beside the least bits that theory knows of.

    R(D) = min Σ_l Σ_k n_lk ½ log₂⁺(λ_lk / θ)   subject to   Σ_l Σ_k n_lk min(λ_lk, θ) ≤ D

with λ_lk = s_l v_l σ_lk: what the outputs make of an error in layer l, the mean square of its weights, an eigenvalue of
the second moments of its inputs. Weights are Gaussians there, which take more bits than any other source; layers are
charged by themselves, to second order; scales, tables, biases and moments are not paid for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.calibrate.compressed import Ready
from laconic.calibrate.network import Tick, silent
from laconic.quantize.budget import Budget, Fitted
from laconic.theory.rate_distortion import Sources, network_rate

CURVE = 48
"""Places of a curve."""


@final
@dataclass(frozen=True, eq=False)
class Point:
    """A file of the curve.

    Args:
        asked: bits a weight.
        bits: 8 · its bytes / weights.
        distance: of its outputs from the original's on samples that are held out, as `Told.distance`.
        bound: bits a weight at which R(D) has this distance; None where the distance is 0.
        fitted: the file.
    """

    asked: float
    bits: float
    distance: float
    bound: float | None
    fitted: Fitted


def point(ready: Ready, bits: float, quality: str, metadata: Mapping[str, str], tick: Tick = silent) -> Point:
    """Return the point of a file of so many bits a weight.

    Args:
        ready: the network, with spectra.
        bits: of the whole file, at most.
        quality: of `TRIES`.
        metadata: text that the file will have.
        tick: told of the progress.

    Raises:
        PlanError: for bits that are not met.
    """
    fitted, told = ready.fitted(Budget(bits=bits), quality, metadata, tick=tick)
    at = bound(ready, told.distance) if told.distance > 0 else None
    return Point(bits, 8 * fitted.file_bytes / max(1, ready.weights), told.distance, at, fitted)


def bound(ready: Ready, distance: float) -> float:
    """Return R(D) at a distance of outputs, in bits a weight.

    What is believed of gradients says more than there is of small errors; it is taken for what was measured.

    Args:
        ready: the network, with spectra.
        distance: above 0, as `Told.distance`.
    """
    measured = {one.name: one.rows.measured for one in ready.network.subjects}
    sources = {name: Sources(measured[name] * one.variances, one.counts) for name, one in spectra(ready).items()}
    return network_rate(sources, distance * ready.outputs.unit).rate / max(1, ready.weights)


def spectra(ready: Ready) -> dict[str, Sources]:
    """Return the spectrum of each weight by its name; `Ready.of` takes them where it is asked to."""
    found = {one.name: one.spectrum for one in ready.network.subjects if one.spectrum is not None}
    assert len(found) == len(ready.network.subjects), "Ready.of(..., spectra=True)"
    return found


def curve(ready: Ready, points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return (bits a weight, distance) of R(D) from the farthest point to the nearest, and somewhat beyond."""
    distances = [one.distance for one in points if one.distance > 0]
    if not distances:
        return []
    places = np.geomspace(2 * max(distances), min(distances) / 2, CURVE)
    return [(bound(ready, float(distance)), float(distance)) for distance in places]


def hull(places: Sequence[tuple[float, float]]) -> set[int]:
    """Return which places (bytes, distance) lie on the lower convex hull, as far as distances fall.

    What is above it a mixture of two others beats. O(n log n) (Andrew's monotone chain).

    >>> sorted(hull([(1, 9.0), (2, 8.0), (3, 1.0), (4, 0.5), (5, 0.6)]))
    [0, 2, 3]
    """
    kept = list[int]()
    for new in sorted(range(len(places)), key=lambda at: (*places[at], at)):
        x, y = places[new]
        if kept and y >= places[kept[-1]][1]:
            continue
        while len(kept) > 1:
            (x0, y0), (x1, y1) = places[kept[-2]], places[kept[-1]]
            if (y1 - y0) * (x - x0) < (y - y0) * (x1 - x0):
                break
            kept.pop()
        kept.append(new)
    return set(kept)

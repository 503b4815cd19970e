"""How far files are from the least size at their error: R(D) of a network's weights, and files as points beside it.

    R(D) = min over P(Ŵ|W)   I(W; Ŵ)     subject to   E d(W, Ŵ) ≤ D

d is the squared error of the weights, or that of what the layers write. Whatever file has the error D of a source has
R(D) bits or more on average; how well weights are told by a source is another question, and each curve is one answer:

    Gaussian           each tensor is a Gaussian with its own mean square
    scaled Gaussian    so is each class of weights, by the scales of rows, columns and positions that `lattice.prepare`
                       finds, kernels by their cosines; the scales are paid for
    Laplacian          each tensor is a Laplacian with its own mean square

A Gaussian takes more bits than any other source of its mean square. The first curve is therefore no floor for files: a
coder that knows more of the weights than their mean square is below it. What no curve pays for are the mean squares.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.errors import DataError, WeightsError
from laconic.format.coding import FLOATS, entropy_bits
from laconic.format.container import LacFile
from laconic.format.lossless import is_mask
from laconic.format.ties import alike
from laconic.quantize.lattice import Quantizer, prepare
from laconic.theory.rate_distortion import Sources, laplacian_filling, layer, network_distortion, network_rate

Rate = Callable[[float], float]
"""R(D): squared error of all weights together → bits of all weights together."""

Watch = Callable[[int, int], None]
"""(done, in all) → nothing."""

GAUSSIAN, SCALED, LAPLACIAN = "Gaussian", "scaled Gaussian", "Laplacian"

RATES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Bits a weight at whose water level scales are looked for: where bits are few, finer scales do not pay."""

_FINER = 4.0  # a standard deviation so many times below the cell of a water level costs next to nothing


@final
@dataclass(frozen=True)
class Point:
    """A file beside the curves.

    Args:
        file: what it is called.
        bits: 8 · bytes of the file / elements of the tensors of floats with two or more axes.
        distortion: D, in the units of the curves.
        snr: 10 log₁₀ (error of a network of zeros / D), dB; infinite for D = 0.
        rates: R(D) of each curve at its own D, bits a weight; infinite for D = 0.
        others: of ``bits``, what tensors take that do not count in D: biases, norms, statistics.
    """

    file: str
    bits: float
    distortion: float
    snr: float
    rates: Mapping[str, float]
    others: float

    @property
    def gaps(self) -> dict[str, float]:
        """Bits a weight of the file less R(D), by curve."""
        return {name: self.bits - rate for name, rate in self.rates.items()}


@final
@dataclass(frozen=True, eq=False)
class Bound:
    """The curves of a network.

    Args:
        tensors: matrices and kernels by name: all that is counted in D.
        elements: of tensors of floats with two or more axes but masks, of equal ones once: bits are divided by them.
        moments: of what each layer reads, shape (columns, columns), where D is that of outputs; else none.
        curves: R(D) by the name of the source.
    """

    tensors: Mapping[str, np.ndarray]
    elements: int
    moments: Mapping[str, np.ndarray]
    curves: Mapping[str, Rate]

    @property
    def energy(self) -> float:
        """The D of a network of zeros."""
        return sum(self._error(name, tensor) for name, tensor in self.tensors.items())

    def rates(self, distortion: float) -> dict[str, float]:
        """Return R(D) of each curve, bits a weight."""
        infinite = dict.fromkeys(self.curves, float("inf"))
        if not distortion > 0:
            return infinite
        return {name: rate(distortion) / self.elements for name, rate in self.curves.items()}

    def point(self, file: LacFile, label: str) -> Point:
        """Return the point of a file; errors as `distortion`."""
        distortion, (*rows, header) = self.distortion(file, label), file.charges()
        counted = {file.ties.get(name, name) for name in self.tensors}
        others = sum(row.bytes for row in rows if row.name not in counted)
        size = sum(row.bytes for row in (*rows, header))
        snr = 10 * float(np.log10(self.energy / distortion)) if distortion > 0 else float("inf")
        bits, beside = (8 * count / self.elements for count in (size, others))
        return Point(label, bits, distortion, snr, self.rates(distortion), beside)

    def distortion(self, file: LacFile, label: str) -> float:
        """Return the D of what a file decompresses to.

        Raises:
            DataError: when it lacks a tensor, or has another shape for it.
            FormatError: when a block of the file is damaged, or it holds more than its limit allows.
        """
        file.require_room("nothing")
        total = 0.0
        for name, tensor in self.tensors.items():
            restored = file[name] if name in file else None
            if restored is None or restored.shape != tensor.shape:
                shape = "nothing" if restored is None else f"a tensor of shape {restored.shape}"
                raise DataError(
                    f"{label} has {shape} for {name}, whose shape is {tensor.shape}: it is of other weights"
                )
            total += self._error(name, restored.astype(np.float64) - tensor)
        return total

    def _error(self, name: str, apart: np.ndarray) -> float:
        """Return what a tensor adds to D: Σ d², or tr(d A dᵀ)."""
        if name not in self.moments:
            return float(np.square(apart, dtype=np.float64).sum())
        rows = apart.reshape(len(apart), -1).astype(np.float64)
        return float(((rows @ self.moments[name]) * rows).sum())


def of_weights(tensors: Mapping[str, np.ndarray], watch: Watch | None = None) -> Bound:
    """Return the curves for the squared error of weights.

    Args:
        tensors: all of the network, by name; floats with two or more axes count, but for masks of 0 and −inf, and those
            that are equal bit by bit as one.
        watch: told how many of the searches for scales are done.

    Raises:
        WeightsError: for NaN and infinite weights, and where there are none to bound.

    >>> w = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    >>> bound = of_weights({"w": w})
    >>> {name: round(rate, 1) for name, rate in bound.rates(bound.energy / 16).items()}
    {'Gaussian': 2.0, 'scaled Gaussian': 2.0, 'Laplacian': 1.9}
    """
    ties = alike(tensors)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in ties}
    weights = _weights(tensors)
    plain = {name: Sources(np.array([_mean_square(w)]), np.array([float(w.size)])) for name, w in weights.items()}
    variances, counts = (np.concatenate([getattr(s, key) for s in plain.values()]) for key in ("variances", "counts"))
    curves: dict[str, Rate] = {
        GAUSSIAN: lambda distortion: network_rate(plain, distortion).rate,
        SCALED: _scaled(weights, plain, watch),
        LAPLACIAN: lambda distortion: laplacian_filling(variances, counts, distortion).rate,
    }
    return Bound(weights, _elements(tensors), {}, curves)


def of_outputs(tensors: Mapping[str, np.ndarray], moments: Mapping[str, np.ndarray]) -> Bound:
    """Return the curve for the error of what the layers write, E ‖(W − Ŵ) x‖² summed over the layers.

    Each layer is charged for its own outputs on the inputs of the network as it was. Weights are Gaussians with the
    mean square of their tensor, independent; inputs are taken with all their correlations, which coder and decoder
    know: nothing pays for the moments.

    Args:
        tensors: all of the network, by name, tied ones under one.
        moments: A = E[Σ_p x_p x_pᵀ] by the name of the weight, shape (columns, columns); weights that have none, and
            biases, are neither in D nor in R.

    Raises:
        WeightsError: as `of_weights`.

    >>> bound = of_outputs({"w": np.ones((3, 2), np.float32)}, {"w": np.diag([4.0, 1.0])})
    >>> bound.energy, 6 * bound.rates(6 * 1.0)[GAUSSIAN]  # three rows, to whose larger input go all the bits
    (15.0, 3.0)
    """
    weights = _weights({name: tensors[name] for name in moments})
    layers = {
        name: layer(np.maximum(np.linalg.eigvalsh(moments[name]), 0.0), _mean_square(w), len(w))
        for name, w in weights.items()
    }
    curves: dict[str, Rate] = {GAUSSIAN: lambda distortion: network_rate(layers, distortion).rate}
    return Bound(weights, _elements(tensors), {name: moments[name] for name in weights}, curves)


def _scaled(weights: Mapping[str, np.ndarray], plain: Mapping[str, Sources], watch: Watch | None) -> Rate:
    """Return R(D) with scales that are the best for D of those looked for at `RATES`, or none."""
    total = sum(w.size for w in weights.values())
    models: list[tuple[Mapping[str, Sources], float]] = [(plain, 0.0)]
    for number, rate in enumerate(RATES):
        level = network_distortion(plain, rate * total).level
        if level > 0:
            models.append(_classes(weights, float(np.sqrt(12 * level))))
        if watch is not None:
            watch(number + 1, len(RATES))
    return lambda distortion: min(network_rate(sources, distortion).rate + paid for sources, paid in models)


def _classes(weights: Mapping[str, np.ndarray], cell: float) -> tuple[Mapping[str, Sources], float]:
    """Return the classes of scale of a network around a cell as sources, and the bits that say who is in which.

    Weights of a class count as one source wherever they are; the bits are the order-0 entropy of all scale symbols.
    """
    sources = [prepare(name, w, cell / _FINER) for name, w in weights.items()]
    scales = Quantizer(sources).scales(cell)
    energies, counts = np.zeros(256), np.zeros(256)
    for source, own in zip(sources, scales, strict=True):
        classes = own.each()
        counts += np.bincount(classes, minlength=256)
        energies += np.bincount(classes, np.square(source.load(), dtype=np.float64), 256)
    used = counts > 0
    symbols = np.concatenate([own.symbols for own in scales]).astype(np.uint8)
    return {"": Sources(energies[used] / counts[used], counts[used])}, entropy_bits(symbols, 256)


def _weights(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the tensors whose error counts, each one that is finite."""
    floating = {name: w for name, w in tensors.items() if w.ndim >= 2 and w.dtype.name in FLOATS and w.size}
    weights = {name: w for name, w in floating.items() if np.isfinite(w).all() or not is_mask(w)}
    for name, tensor in weights.items():
        if not np.isfinite(tensor).all():
            raise WeightsError(f"{name}: weights are NaN or infinite; repair them")
    if not weights or not any(tensor.any() for tensor in weights.values()):
        raise WeightsError("no floating-point tensor with two or more axes and a weight other than 0: nothing to bound")
    return {
        name: tensor if tensor.dtype in (np.float32, np.float64) else tensor.astype(np.float32)
        for name, tensor in weights.items()
    }


def _elements(tensors: Mapping[str, np.ndarray]) -> int:
    """Return the elements of all tensors of floats with two or more axes, but for masks."""
    floats = (tensor for tensor in tensors.values() if tensor.ndim >= 2 and tensor.dtype.name in FLOATS)
    return sum(tensor.size for tensor in floats if not is_mask(tensor))


def _mean_square(tensor: np.ndarray) -> float:
    """Return the mean square of a tensor's weights."""
    return float(np.square(tensor, dtype=np.float64).mean())

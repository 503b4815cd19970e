"""Figures 6 and 8: error against rate for each method by itself and combined, and for each start of k-means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.api import compress
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.low_rank import LowRank
from laconic.experiments.recipes.deep_compression.pipeline import Stage, Subject, plan, pruned_bits, retrained
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.statement import percent
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.codes.counting import Charged, published
from laconic.insight.compression_statistics import statistics
from laconic.models.params import decompress

TIMES = (0.25, 0.4, 0.6, 1.0, 1.6, 2.5, 4.0)
"""Of the shares in print, those that are kept."""

VALUES, RATES, SHARED = (2, 4, 8, 16, 32), (0.02, 0.05, 0.1, 0.2, 0.4), 15
"""Of quantization, K; of SVD, the rate; of what pruning leaves, K."""

_FACTORED = 1 / 64
"""Of all weights, those of a layer that SVD factors; smaller ones stay as they are, and count with 32 bits."""

STARTS, POWERS = ("linear", "density", "random"), (2, 3, 4, 5)
"""Of k-means, and the bits of a value, with one more for the filler."""


@final
@dataclass(frozen=True, eq=False)
class Point:
    """A network on a curve.

    Args:
        curve: "pruning", "quantization", "pruning + quantization" or "SVD"; or a start of k-means.
        value: what the curve is swept by.
        rate: bits over those of float32 weights, as the paper counts without Huffman codes.
        errors: 1 where a test image is named wrongly, shape (samples,).
        direct: the same before training; none where it is not asked for.
    """

    curve: str
    value: float
    rate: float
    errors: np.ndarray
    direct: np.ndarray

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        figures = {"curve": self.curve, "value": self.value, "rate": round(self.rate, 6), "error": percent(self.errors)}
        return figures | ({"direct": percent(self.direct)} if len(self.direct) else {})


def methods(subject: Subject) -> list[Point]:
    """Return figure 6: pruning, quantization, both, and SVD, all trained alike afterwards."""
    jobs: list[tuple[str, float]] = [("pruning", one) for one in TIMES]
    jobs += [("pruning + quantization", one) for one in TIMES]
    jobs += [("quantization", one) for one in VALUES] + [("SVD", one) for one in RATES]
    points = list[Point]()
    for number, (curve, value) in enumerate(jobs):
        subject.context.say(number / len(jobs), f"{subject.printed.title}: {curve}, {value:g}")
        points.append(_method(subject, curve, value))
    return points


def starts(subject: Subject, pruned: Stage) -> list[Point]:
    """Return figure 8: the survivors shared from each start of k-means, before and after training."""
    params, points = decompress(pruned.codes), list[Point]()
    jobs = [(start, power) for power in POWERS for start in STARTS]
    for number, (start, power) in enumerate(jobs):
        subject.context.say(number / len(jobs), f"{subject.printed.title}: k-means from {start}, {power} bits")
        codebook = AdaptiveCodebook(2**power - 1, start=start, seed=subject.context.seed)
        rows = {name: _survivors(params[name], codebook) for name in subject.weights}
        points.append(_point(subject, start, power, params, rows, direct=True)[0])
    return points


def _method(subject: Subject, curve: str, value: float) -> Point:
    """Return a point of figure 6."""
    rows = dict[str, Compression]()
    if curve == "pruning + quantization":
        _, codes = _point(subject, "pruning", value, subject.params, _kept(subject, value))
        params = decompress(codes)
        rows = {name: _survivors(params[name], AdaptiveCodebook(SHARED, start="linear")) for name in subject.weights}
        return _point(subject, curve, value, params, rows)[0]
    makes: Mapping[str, Callable[[str], Compression]] = {
        "quantization": lambda name: AdaptiveCodebook(round(value), start="linear"),
        "SVD": lambda name: LowRank(_rank(subject.params[name], value)),
    }
    names = _large(subject) if curve == "SVD" else subject.weights
    rows = _kept(subject, value) if curve == "pruning" else {name: makes[curve](name) for name in names}
    return _point(subject, curve, value, subject.params, rows)[0]


def _kept(subject: Subject, times: float) -> dict[str, Compression]:
    """Return the rows of pruning to so many times the shares in print."""
    layers = zip(subject.weights, subject.printed.layers, strict=True)
    return {name: KeepLargest(keep=min(1.0, times * layer.kept / 100)) for name, layer in layers}


def _survivors(weight: Tensor, values: AdaptiveCodebook) -> KeepLargest:
    """Return the row that shares values among what pruning has left of a weight."""
    return KeepLargest(count=int(weight.count_nonzero()), values=values)


def _large(subject: Subject) -> list[str]:
    """Return the weights that are worth factors; of a rank of 1 or 2 the layer that writes the classes knows few."""
    sizes = {name: subject.params[name].numel() for name in subject.weights}
    return [name for name, size in sizes.items() if size >= _FACTORED * sum(sizes.values())]


def _rank(weight: Tensor, rate: float) -> int:
    """Return the rank whose factors have about a share of a weight's numbers."""
    rows, columns = len(weight), weight.numel() // len(weight)
    return max(1, round(rate * rows * columns / (rows + columns)))


def _point(
    subject: Subject, curve: str, value: float, params: Mapping[str, Tensor], rows: Mapping[str, Compression],
    *, direct: bool = False,
) -> tuple[Point, Mapping[str, Code]]:  # fmt: skip
    """Return the point of some rows, and its codes, computed once in the life of the folder."""

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        training = retrained(subject.effort.sweep)
        result = compress(params, plan(rows), subject.task, "train", training=training, seed=subject.context.seed)
        file = container.dumps(result.codes, result.metadata)
        tensors = {
            "file": torch.from_numpy(np.frombuffer(file, np.uint8).copy()),
            "errors": sample_by_sample(subject.task, result.params, "test")["errors"],
        }
        if direct:
            plain = compress(params, plan(rows), subject.task, "direct")
            tensors["direct"] = sample_by_sample(subject.task, plain.params, "test")["errors"]
        return {}, tensors

    _, tensors = subject.context.cache.point(f"{subject.printed.title}/{curve}/{value}", compute)
    codes = container.loads(tensors["file"].numpy().tobytes()).codes
    before = tensors["direct"].double().numpy() if direct else np.zeros(0)
    point = Point(curve, value, _rate(subject, curve, codes), tensors["errors"].double().numpy(), before)
    return point, codes


def _rate(subject: Subject, curve: str, codes: Mapping[str, Code]) -> float:
    """Return the bits of the weights over those of float32, as the paper counts P, Q and P+Q; of SVD two factors."""
    weights, bits = [codes[name] for name in subject.weights], 0.0
    for code in weights:
        if curve == "pruning":
            bits += pruned_bits(code)
        elif curve in ("quantization", "SVD"):
            bits += published(code, Charged())
        else:
            one = statistics(code)
            assert one is not None, "survivors have shared values"
            bits += one.quantized
    return bits / (32 * sum(code.size for code in weights))

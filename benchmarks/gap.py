"""How far a layer's file is from R(D), where errors are measured at what the layer reads.

    python benchmarks/gap.py [--spectra A B] [--rates 1 2 3 4] [--states 1 8] [-o FILE.json]

A layer of 1024 × 1024 Gaussian weights and the second moments Σ = D^½ Q Λ Qᵀ D^½ of its inputs: Λ of i^−1 (A) or i^−2
(B), Q from the QR of a Gaussian matrix, D = exp(0.5 z). The gap is 8 · file bytes / weights, everything counted, less
R(D) of a Gaussian source at the error tr((W − Ŵ) Σ (W − Ŵ)ᵀ) of what the file decodes to. A row is the better of the
orders at each rate. Beside it: laconic's direct compression, which looks at no input, GPTQ's recursion with one step
and the same entropy coder, and what high-rate theory says. Of 64 states a rate takes a minute or two.
"""

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import record
from record import say

from laconic.calibrate.levels import at_rate, bits
from laconic.calibrate.recursion import Recursion
from laconic.format import container
from laconic.quantize.budget.budget import Budget
from laconic.quantize.budget.search import fit
from laconic.theory.rate_distortion.gaussian import water_filling, water_filling_rate

SIDE, SEED, CUBE = 1024, 0, 0.5 * math.log2(2 * math.pi * math.e / 12)
EXPONENTS = {"A": 1, "B": 2}
TARGETS = {
    ("A", 8): (0.20, 0.165, 0.125, 0.11), ("B", 8): (0.22, 0.18, 0.14, 0.11),
    ("A", 64): (0.18, 0.14, 0.10, 0.09), ("B", 64): (0.20, 0.16, 0.115, 0.09),
}  # fmt: skip
"""Gaps at 1, 2, 3 and 4 bits that are to be met, by spectrum and states."""


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """Weights, float32, and the second moments of what they read."""

    weights: np.ndarray
    moments: np.ndarray
    spectrum: np.ndarray

    @classmethod
    def of(cls, name: str, side: int = SIDE, seed: int = SEED) -> "Layer":
        """Return the layer of that spectrum."""
        rng = np.random.default_rng(seed)
        values = np.arange(1, side + 1, dtype=np.float64) ** -EXPONENTS[name]
        basis = np.linalg.qr(rng.standard_normal((side, side)))[0]
        roots = np.exp(0.25 * rng.standard_normal(side))
        moments = roots[:, None] * (basis * values @ basis.T) * roots
        moments = (moments + moments.T) / 2
        weights = rng.standard_normal((side, side)).astype(np.float32)
        return cls(weights, moments, np.linalg.eigvalsh(moments))

    @property
    def variances(self) -> np.ndarray:
        """Those of the independent sources that a row is."""
        return self.spectrum * float(np.square(self.weights, dtype=np.float64).mean())

    def gap(self, rate: float, error: float) -> float:
        """Return how many bits a weight a rate is above R(D)."""
        n = len(self.spectrum)
        return rate - water_filling(self.variances, np.ones(n), n * error / self.weights.size).rate / n

    def error(self, decoded: np.ndarray) -> float:
        """Return tr((W − Ŵ) Σ (W − Ŵ)ᵀ)."""
        missed = self.weights.astype(np.float64) - decoded
        return float(np.vdot(missed @ self.moments, missed))


def theory(layer: Layer) -> Iterator[tuple[str, float]]:
    """Give the gaps of entropy-coded scalar quantizers at high rates, ½ log₂(2πe/12 · AM/GM), by name."""
    diagonal = np.diag(layer.moments)
    logs = float(np.log2(layer.spectrum).mean())
    yield "rounding to nearest, one step", CUBE + 0.5 * (math.log2(float(diagonal.mean())) - logs)
    yield "diagonal rule", CUBE + 0.5 * (float(np.log2(diagonal).mean()) - logs)
    orders = {
        "natural order": np.arange(len(diagonal)),
        "strongest first": np.argsort(-diagonal),
        "weakest first": np.argsort(diagonal),
    }
    for name, order in orders.items():
        turned = layer.moments[np.ix_(order, order)][::-1, ::-1]
        scales = np.diag(np.linalg.cholesky(turned)) ** 2
        gap = CUBE + 0.5 * (math.log2(float(scales.mean())) - logs)
        yield f"GPTQ, one step, {name}", gap
    yield "water-level steps, any order", CUBE


def ideal(layer: Layer, rate: float) -> float:
    """Return the gap of the recursion with a ridge and ideal shaping: R = Σ ½ log₂(1 + v/θ), D = Σ θ v/(θ + v)."""
    v, n = layer.variances, len(layer.spectrum)
    low, high = math.log(float(v.min())) - 60, math.log(float(v.max())) + 60
    for _ in range(200):
        level = math.exp((low + high) / 2)
        above = 0.5 * float(np.log2(1 + v / level).mean()) > rate
        low, high = ((low + high) / 2, high) if above else (low, (low + high) / 2)
    distortion = float((level * v / (level + v)).sum())
    return rate - water_filling(v, np.ones(n), distortion).rate / n


def direct(layer: Layer, rate: float) -> tuple[float, float]:
    """Return rate and error of laconic's file from the weights alone."""
    codes = fit({"weight": layer.weights}, Budget(bits=rate)).codes
    return container.bits(codes) / layer.weights.size, layer.error(codes["weight"].decompress())


def measured(layer: Layer, rate: float, how: Recursion) -> dict[str, Any]:
    """Return a file's rate, its gap, and what it took."""
    start = time.process_time()
    found = at_rate(layer.weights, layer.moments, rate, how)
    got = bits(found) / layer.weights.size
    seconds = time.process_time() - start
    code = found.code
    return {
        "rate": got, "gap": layer.gap(got, found.error), "order": how.order, "seconds": round(seconds, 1),
        "payload": 8 * len(code.payload) / layer.weights.size, "tables": code.index_bits / layer.weights.size,
    }  # fmt: skip


def best(layer: Layer, rate: float, orders: list[str], **how: Any) -> dict[str, Any]:
    """Return the file of the smallest gap among the orders."""
    return min((measured(layer, rate, Recursion(order=order, **how)) for order in orders), key=lambda row: row["gap"])


def rows(name: str, layer: Layer, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Give each row of the table: its name and its cells, one a rate."""
    rates = arguments.rates
    if arguments.baselines:
        cells = []
        for rate in rates:
            got, error = direct(layer, rate)
            cells.append({"rate": got, "gap": layer.gap(got, error)})
        yield {"name": "direct, weights alone, 8 states", "cells": cells}
        plain = {"states": 1, "ridge": 0.0, "water": False, "price": 0.0}
        yield {"name": "GPTQ + entropy coding", "cells": [best(layer, r, arguments.orders, **plain) for r in rates]}
    for states in arguments.states:
        say(f"{name}: {states} states")
        cells = [best(layer, rate, arguments.orders, states=states) for rate in rates]
        goals = dict(zip((1.0, 2.0, 3.0, 4.0), TARGETS.get((name, states), ()), strict=False))
        yield {"name": f"ours, {states} states", "cells": cells, "targets": [goals.get(r) for r in rates]}


def printed(row: dict[str, Any]) -> None:
    """Print a row: gaps, and whether each meets its target."""
    cells = []
    for cell, target in zip(row["cells"], row.get("targets") or [None] * len(row["cells"]), strict=True):
        goal = "" if target is None else f" ({'≤' if cell['gap'] <= target else '>'} {target:g})"
        order = {"weakest": " w", "strongest": " s"}.get(cell.get("order", ""), "")
        cells.append(f"{cell['gap']:.3f} at {cell['rate']:.3f}{order}{goal}")
    print(f"| {row['name']} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", nargs="+", choices=EXPONENTS, default=list(EXPONENTS))
    parser.add_argument("--rates", nargs="+", type=float, default=[1.0, 2.0, 3.0, 4.0])
    parser.add_argument("--states", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--orders", nargs="+", default=["weakest", "strongest"])
    parser.add_argument("--no-baselines", dest="baselines", action="store_false")
    parser.add_argument("-o", dest="out", type=Path, help="JSON")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"environment": record.environment(SEED), "side": SIDE, "layers": {}}
    for name in arguments.spectra:
        layer = Layer.of(name)
        condition = float(layer.spectrum[-1] / layer.spectrum[0])
        least = [
            water_filling_rate(layer.variances, np.ones(SIDE), SIDE * r).distortion / SIDE for r in arguments.rates
        ]
        print(
            f"\n{name}: i^−{EXPONENTS[name]}, condition {condition:.3g}; D(R) " + ", ".join(f"{d:.3g}" for d in least)
        )
        known = dict(theory(layer))
        for label, gap in known.items():
            print(f"  theory, high rate: {label}: {gap:.3f}")
        print("\n| gap to R(D), bits a weight | " + " | ".join(f"{r:g}" for r in arguments.rates) + " |")
        print("|---" * (len(arguments.rates) + 1) + "|")
        limits = [ideal(layer, rate) for rate in arguments.rates]
        print("| theory: recursion with a ridge, ideal shaping | " + " | ".join(f"{g:.3f}" for g in limits) + " |")
        kept = []
        for row in rows(name, layer, arguments):
            printed(row)
            kept.append(row)
        result["layers"][name] = {"condition": condition, "theory": known, "ideal": limits, "rows": kept}
    record.save(arguments.out, result)


if __name__ == "__main__":
    main()

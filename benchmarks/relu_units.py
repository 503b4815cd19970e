"""Where the least quadratic form is not the least error: one hidden ReLU layer, by exhaustive search.

    python benchmarks/relu_units.py [--nets 50] [--seed 0] [-o FILE.json]

Layers f = C ReLU(W x) with Gaussian W and inputs of independent variances. The rule chooses, of all sets of weights to
keep and of all ways to share two values, the one with the least (w − ŵ)ᵀ I_w (w − ŵ); its exact error is compared with
the least exact error. ReLU layers are homogeneous, f_sŴ = s f_Ŵ, so that two shared values are one angle and a scale
with a best choice in closed form; the angle is searched on a grid, then a finer one.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any, final

import numpy as np
import record
from record import say

from laconic.theory.rate_distortion import relu_importance, relu_layer_error, relu_products

SHAPES = ((1, 8), (2, 4), (4, 4), (8, 2))
"""Units, and inputs of each: few enough weights to try everything."""

ANGLES, FINER, POLISHED = 90, 181, 20
"""Angles of the two values; angles of the second search; assignments that it is made for."""

SAME = 1e-6
"""Relative difference below which two errors are one."""


@final
@dataclass(frozen=True, eq=False)
class Layer:
    """One hidden layer: W, shape (units, n); C, shape (outputs, units); variances of the inputs, shape (n,)."""

    weights: np.ndarray
    outputs: np.ndarray
    moments: np.ndarray


@final
@dataclass(frozen=True)
class Outcome:
    """What the rule's choice loses against the best.

    Args:
        missed: another set is better; or another way to share, each with its best values.
        best: the least error, as a share of E ‖f‖².
        excess: of the error, as a share of the least.
        scaled: the same after the best factor for the layer; None where weights stay as they are.
    """

    missed: bool
    best: float
    excess: float
    scaled: float | None = None


def layers(kind: str, units: int, inputs: int, count: int, seed: int) -> list[Layer]:
    """Return random layers: "vector" of units, their "sum", or a "signed sum" with Gaussian weights."""
    rng = np.random.default_rng([seed, units, inputs, len(kind)])
    outputs = {"vector": lambda: np.eye(units), "sum": lambda: np.ones((1, units))}
    mixing = outputs.get(kind, lambda: rng.standard_normal((1, units)))
    return [Layer(rng.standard_normal((units, inputs)), mixing(), rng.exponential(size=inputs)) for _ in range(count)]


def error(layer: Layer, candidates: np.ndarray) -> np.ndarray:
    """Return the exact error of each candidate, shape (candidates, units · n)."""
    shaped = candidates.reshape(-1, *layer.weights.shape)
    return np.concatenate([relu_layer_error(layer.weights, part, layer.outputs, layer.moments) for part in cut(shaped)])


def cut(candidates: np.ndarray, size: int = 4096) -> list[np.ndarray]:
    return [candidates[i : i + size] for i in range(0, len(candidates), size)]


def energy(layer: Layer) -> float:
    """Return E ‖f‖²."""
    mixing = layer.outputs.T @ layer.outputs
    return float((mixing * relu_products(layer.weights, layer.weights, layer.moments)).sum())


def best_scaled(layer: Layer, candidates: np.ndarray) -> np.ndarray:
    """Return the error of each candidate once it is multiplied by its best factor, which is not negative."""
    mixing, shaped = layer.outputs.T @ layer.outputs, candidates.reshape(-1, *layer.weights.shape)
    found = []
    for part in cut(shaped):
        cross = (mixing * relu_products(part, layer.weights, layer.moments)).sum((1, 2))
        own = (mixing * relu_products(part, part, layer.moments)).sum((1, 2))
        found.append(gain(cross, own))
    return energy(layer) - np.concatenate(found)


def gain(cross: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return what the best factor saves, max over s ≥ 0 of 2 s cross − s² own."""
    return np.divide(np.maximum(cross, 0) ** 2, own, out=np.zeros_like(own), where=own > 1e-12 * own.max(initial=0))


def pruning(layer: Layer, kept: int) -> Outcome:
    """Try every set of ``kept`` weights; those that stay, stay as they are."""
    w = layer.weights.ravel()
    sets = np.array(list(combinations(range(len(w)), kept)))
    candidates = np.zeros((len(sets), len(w)))
    np.put_along_axis(candidates, sets, w[sets], axis=1)
    off = w - candidates
    importance = relu_importance(layer.weights, layer.outputs, layer.moments)
    chosen = int(np.einsum("ij,ij->i", off @ importance, off).argmin())
    exact = error(layer, candidates)
    excess = float(exact[chosen] / exact.min() - 1)
    return Outcome(excess > SAME, float(exact.min()) / energy(layer), excess)


def sharing(layer: Layer) -> Outcome:
    """Try every way to share two values among the weights, each with the values that are best for it."""
    units, inputs = layer.weights.shape
    patterns = np.array(list(product((0, 1), repeat=inputs)))
    ways = patterns[np.array(list(product(range(len(patterns)), repeat=units)))].reshape(-1, units * inputs)
    way, values = least_form(layer, ways)
    chosen = values[way][None]
    tables = np.array([scaled_table(layer, angle_values(angle)[patterns]) for angle in angles()])
    promising = ways[np.argsort(tables.min(axis=0))[:POLISHED]]
    exact, scaled = float(error(layer, chosen)[0]), float(best_scaled(layer, chosen)[0])
    own = min(scaled, polished(layer, way))
    best = min(own, *(polished(layer, other) for other in promising))
    return Outcome(own / best - 1 > SAME, best / energy(layer), exact / best - 1, scaled / best - 1)


def least_form(layer: Layer, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the way with the least quadratic form, shape (weights,), and its two values, shape (2,)."""
    importance = relu_importance(layer.weights, layer.outputs, layer.moments)
    members = np.stack([1.0 - ways, ways], axis=1)
    seen = members @ importance
    forms = seen @ members.swapaxes(1, 2)
    sums = seen @ layer.weights.ravel()
    values = (np.linalg.pinv(forms, hermitian=True) @ sums[..., None])[..., 0]
    chosen = int((values * sums).sum(1).argmax())
    return ways[chosen], values[chosen]


def angles() -> np.ndarray:
    """Return angles of two values of which the first is not the smaller: the others are the same with names changed."""
    return np.linspace(-0.75 * np.pi, 0.25 * np.pi, ANGLES)


def angle_values(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def scaled_table(layer: Layer, rows: np.ndarray) -> np.ndarray:
    """Return the least error over the scale for every choice of a row of ``rows`` for each unit, first unit slowest."""
    mixing, units = layer.outputs.T @ layer.outputs, len(layer.weights)
    pairs = relu_products(rows, rows, layer.moments)
    with_units = relu_products(rows, layer.weights, layer.moments) @ mixing
    cross, own = np.zeros(()), np.zeros(())
    for unit in range(units):
        cross = cross[..., None] + with_units[:, unit]
        own = own[..., None] + mixing[unit, unit] * np.diag(pairs)
        for other in range(unit):
            axes = (1,) * other + (len(rows),) + (1,) * (unit - other - 1) + (len(rows),)
            own = own + 2 * mixing[other, unit] * pairs.reshape(axes)
    return (energy(layer) - gain(cross, own)).ravel()


def polished(layer: Layer, way: np.ndarray) -> float:
    """Return the least error of a way to share over its values, in either order: by finer and finer grids."""
    around, width = np.linspace(-np.pi, np.pi, 2 * ANGLES), np.pi / ANGLES
    for _ in range(3):
        errors = best_scaled(layer, np.stack([angle_values(angle)[way] for angle in around]))
        middle = float(around[errors.argmin()])
        around, width = np.linspace(middle - 2 * width, middle + 2 * width, FINER), width / 40
    return float(errors.min())


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return how many were missed, the mean errors as shares of E ‖f‖², and the worst excess."""
    excess = [outcome.excess for outcome in outcomes]
    scaled = [outcome.scaled for outcome in outcomes if outcome.scaled is not None]
    return {
        "nets": len(outcomes),
        "missed": sum(outcome.missed for outcome in outcomes),
        "best": float(np.mean([outcome.best for outcome in outcomes])),
        "rule": float(np.mean([outcome.best * (1 + outcome.excess) for outcome in outcomes])),
        "worst": max(excess),
        "worst scaled": max(scaled, default=None),
    }


def measure(nets: int, seed: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the summaries by layer and operation."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, (units, inputs) in product(("vector", "sum", "signed sum"), SHAPES):
        if units == 1 and kind != "vector":
            continue  # one unit is one unit
        name = f"{kind} of {units} x {inputs}" if units > 1 else f"one unit of {inputs}"
        say(name)
        some, count = layers(kind, units, inputs, nets, seed), units * inputs
        kept = {f"keep {part}/4": count * part // 4 for part in (1, 2, 3)}
        found[name] = {head: summary([pruning(layer, n) for layer in some]) for head, n in kept.items()}
        found[name]["two values"] = summary([sharing(layer) for layer in some])
    return found


def print_table(figures: Mapping[str, Mapping[str, Mapping[str, Any]]], nets: int) -> None:
    print(f"Of {nets} layers: missed; mean error of the best / of the rule, % of E ‖f‖²; worst excess of the rule\n")
    heads = [*next(iter(figures.values())), "after one factor"]
    print("| layer | " + " | ".join(heads) + " |\n|---" + "|---:" * len(heads) + "|")
    for name, rows in figures.items():
        cells = [
            f"{row['missed']}; {100 * row['best']:.2f} / {100 * row['rule']:.2f}; {percent(row['worst'])}"
            for row in rows.values()
        ]
        print(f"| {name} | " + " | ".join([*cells, percent(rows["two values"]["worst scaled"])]) + " |")


def percent(excess: float) -> str:
    return f"+{100 * excess:.2f} %" if excess < 0.1 else f"+{100 * excess:.0f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=int, default=50, help="random layers of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    figures = measure(options.nets, options.seed)
    print_table(figures, options.nets)
    record.save(options.output, {"experiment": "relu_units", **record.environment(options.seed), "figures": figures})


if __name__ == "__main__":
    main()

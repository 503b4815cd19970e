"""How far the diagonal and the Kronecker form of the importance matrix are from the whole matrix, where it fits.

    python benchmarks/importance_forms.py [--seed 0] [--epochs 40] [-o FILE.json]

A network of 64-12-10 units on the digits that scikit-learn ships (888 weights, biases left alone). Weights are pruned
to a share. Each form of the unsupervised importance matrix chooses the set S that is pruned: min over S of
w_Sᵀ M_SS w_S, M the unit matrix, the diagonal, the blocks G ⊗ A of the layers, the blocks of the whole matrix by
layer, or the whole matrix. Method: the smallest own terms first, and then exchanges of one weight for another as long
as one lowers the objective (for a diagonal M the first set is the optimum). Every set is then judged by the whole
matrix, and by the KL divergence in nats on the validation split, which is what the matrix is a model of.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from record import say
from torch import Tensor, nn

from laconic.models import data
from laconic.models.params import Params, params_of
from laconic.theory.importance import full_matrix, kronecker, of_model, true_distortion, unsupervised
from laconic.theory.metric import Kronecker
from laconic.training.optimization import Optimization
from laconic.training.task import Task, classification
from laconic.training.trainer import start_training, train

KEPT = (0.8, 0.6, 0.4, 0.2)
EXCHANGES = 5000


def network(seed: int, epochs: int) -> tuple[Task, dict[str, Tensor]]:
    """Return the task and its trained weights."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    task = classification(module, data.load("digits", None, "pixels/16", validation=300))
    *_, last = train(task, start_training(params_of(module)), Optimization(epochs, 0.1, weight_decay=1e-4), seed)
    return task, dict(last.weights)


def forms(task: Task, params: Params, names: list[str]) -> dict[str, np.ndarray]:
    """Return the matrices over the weights ``names``, float64."""
    whole = full_matrix(task, params, of_model("classification"))
    places = np.concatenate([np.full(s.numel(), n in names) for n, s in whole.shapes.items()])
    full = whole.matrix.double().numpy()[np.ix_(places, places)]
    layer = np.concatenate([np.full(params[name].numel(), k) for k, name in enumerate(names)])
    factors = kronecker(task, params)
    blocks = np.zeros_like(full)
    for k, name in enumerate(names):
        metric = factors[name]
        assert isinstance(metric, Kronecker), "layers are linear"
        at = np.ix_(layer == k, layer == k)
        blocks[at] = np.kron(metric.outputs.double().numpy(), metric.inputs.double().numpy())
    metrics = unsupervised(task, params)
    h = np.concatenate([metrics[name].importance.double().flatten().numpy() for name in names])
    return {
        "unit": np.eye(len(full)),
        "diagonal": np.diag(h),
        "Kronecker": blocks,
        "layers of the whole": np.where(layer[:, None] == layer, full, 0.0),
        "whole": full,
    }


def pruned(matrix: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """Return the set of ``count`` weights to prune, bool."""
    own = matrix * np.outer(weights, weights)
    inside = np.zeros(len(weights), bool)
    inside[np.argsort(own.diagonal(), kind="stable")[:count]] = True
    for _ in range(EXCHANGES):
        pull = own @ inside
        out, into = np.flatnonzero(inside), np.flatnonzero(~inside)
        loss = own.diagonal()[out] - 2 * pull[out]
        gain = own.diagonal()[into] + 2 * pull[into]
        change = loss[:, None] + gain - 2 * own[np.ix_(out, into)]
        i, j = np.unravel_index(int(change.argmin()), change.shape)
        if change[i, j] >= -1e-12 * own.diagonal().sum():
            break
        inside[out[i]], inside[into[j]] = False, True
    return inside


def without(params: Params, names: list[str], inside: np.ndarray) -> dict[str, Tensor]:
    """Return the weights with those of the set at 0."""
    cuts = np.cumsum([params[name].numel() for name in names])[:-1]
    found = dict(params)
    for name, own in zip(names, np.split(inside, cuts), strict=True):
        found[name] = torch.where(torch.from_numpy(own).view(params[name].shape), 0.0, params[name])
    return found


def measure(seed: int, epochs: int) -> list[dict[str, Any]]:
    """Return a row for each share and form."""
    task, params = network(seed, epochs)
    names = [name for name, tensor in params.items() if tensor.ndim == 2]
    weights = np.concatenate([params[name].double().flatten().numpy() for name in names])
    made, rows = forms(task, params, names), []
    for kept in KEPT:
        for form, matrix in made.items():
            inside = pruned(matrix, weights, round((1 - kept) * len(weights)))
            gone = np.where(inside, weights, 0.0)
            compressed = without(params, names, inside)
            rows.append({
                "kept": kept,
                "form": form,
                "predicted": float(gone @ made["whole"] @ gone) / 2,
                "kl": true_distortion(task, params, compressed, "validation"),
                "error": task.evaluate(compressed, "validation")["error"],
            })  # fmt: skip
            say(f"  keep {kept}, {form}: {rows[-1]['kl']:.4f}")
    return rows


def show(rows: list[Mapping[str, Any]]) -> None:
    """Print a table: by form, at each share, the objective over that of the whole matrix, the divergence, the error."""
    print("| chosen by | " + " | ".join(f"keep {kept:.0%}: objective, KL, error %" for kept in KEPT) + " |")
    print("|---" * (len(KEPT) + 1) + "|")
    for form in dict.fromkeys(row["form"] for row in rows):
        cells = []
        for kept in KEPT:
            own = next(r for r in rows if (r["form"], r["kept"]) == (form, kept))
            best = next(r for r in rows if (r["form"], r["kept"]) == ("whole", kept))
            cells.append(f"{own['predicted'] / best['predicted']:.2f}×, {own['kl']:.3f}, {own['error']:.1f}")
        print(f"| {form} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the network and its training")
    parser.add_argument("--epochs", type=int, default=40, help="of training")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    rows = measure(options.seed, options.epochs)
    show(rows)
    record.save(options.output, {"experiment": "importance forms", **record.environment(options.seed), "rows": rows})


if __name__ == "__main__":
    main()

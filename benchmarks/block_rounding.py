"""What rounding block by block could bring: a convolution rounded under the exact Hessian of its residual block.

    python benchmarks/block_rounding.py --data FOLDER [--blocks layer1.0 layer1.1 layer1.2] [--images 12] [-o FILE.json]

FOLDER has `models/` and `cifar10/`. The first convolution of a block of ResNet-20 is put on integers; the error is the
mean squared change of what the block writes, to second order, E ‖J δ‖², J the derivative by all its weights. It is
counted on images that the rounding has seen and on others. That Hessian E JᵀJ has one row for each of 2,304 weights
here, and 10 GB for the 36,864 of the last blocks: it is what a method that looks at whole blocks can use at most.
One step for all weights, 1.5 of their deviations; bits are the entropy of the integers. Ways to round:

    nearest        each weight for itself
    layer          successive cancellation under the second moments of what the layer reads, what calibration does
    kronecker      the same under the Kronecker product that is nearest to the exact Hessian
    rows           the same under the exact Hessian of each row by itself
    exact          successive cancellation under the exact Hessian
    descent        "layer", then every integer that is better elsewhere is moved, until none is: adaptive rounding
    groups         "layer" within groups of columns; after each, all that is left is solved anew under the exact Hessian
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from calibrate import Original
from torch import Tensor
from torch.nn import functional as F

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.rounded import entropy
from laconic.models.params import all_params_of, buffers_of
from laconic.models.ties import untied

DAMPING, STEP, COLUMNS, SWEEPS = 1e-2, 1.5, 9, 5


@torch.no_grad()
def hessians(original: Original, block: str, images: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the weights (rows, columns), the exact Hessians of two sets of images, and the layer's second moments."""
    pictures, _ = original.images.split("train")
    own = pictures[torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))[: 2 * images]]
    calibration = Calibration.of(original.module, own)
    whole = untied(all_params_of(original.module))
    params = Ready.of(whole, calibration, buffers=buffers_of(original.module)).network.params
    part, seen = original.module.get_submodule(block), dict[str, Tensor]()
    hooks = [
        part.conv1.register_forward_pre_hook(lambda _, given: seen.update(read=given[0])),
        part.conv1.register_forward_hook(lambda _, given, out: seen.update(shape=out)),
        part.conv2.register_forward_pre_hook(lambda _, given: seen.update(middle=given[0])),
        part.register_forward_hook(lambda _, given, out: seen.update(written=out)),
    ]
    calibration.task.outputs(params, own)
    for hook in hooks:
        hook.remove()
    weights, second = params[f"{block}.conv1.weight"], params[f"{block}.conv2.weight"]
    columns = F.unfold(seen["read"], 3, padding=1, stride=part.conv1.stride)
    rows, each, side = len(weights), weights[0].numel(), seen["middle"].shape[-1]

    def exact(numbers: range) -> Tensor:
        total = torch.zeros(rows * each, rows * each)
        for image in numbers:
            on, out = (seen["middle"][image] > 0).float().reshape(rows, -1), (seen["written"][image] > 0).float()
            maps = (columns[image] * on[:, None]).reshape(rows, each, 1, side, side)
            slopes = [F.conv2d(maps[row], second[:, row : row + 1], padding=1) * out for row in range(rows)]
            flat = torch.cat(slopes).flatten(1)
            total += flat @ flat.T
        return total.double() / len(numbers)

    moments = torch.einsum("ijp,ikp->jk", columns, columns).double() / len(own)
    return weights.flatten(1).double(), exact(range(images)), exact(range(images, 2 * images)), moments


def nearest_kronecker(hessian: Tensor, rows: int) -> Tensor:
    """Return the Kronecker product that is nearest to a Hessian, by alternating least squares."""
    whole = hessian.reshape(rows, -1, rows, len(hessian) // rows)
    left = torch.eye(rows, dtype=torch.float64)
    for _ in range(10):
        right = torch.einsum("ikjl,ij->kl", whole, left) / left.square().sum()
        left = torch.einsum("ikjl,kl->ij", whole, right) / right.square().sum()
    return torch.kron(left, right)


def damped(hessian: Tensor) -> Tensor:
    """Return a Hessian with a share of its mean along the diagonal."""
    return hessian + DAMPING * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64)


def cancelled(targets: Tensor, hessian: Tensor, step: float) -> Tensor:
    """Return targets rounded one after the other, the error of each made good by the later ones."""
    root = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True)
    now, rounded = targets.clone(), torch.zeros_like(targets)
    for at in range(len(targets)):
        rounded[at] = torch.round(now[at] / step) * step
        now[at + 1 :] -= (now[at] - rounded[at]) / root[at, at] * root[at, at + 1 :]
    return rounded


def descended(weights: Tensor, rounded: Tensor, hessian: Tensor, step: float) -> Tensor:
    """Return integers of which none is better elsewhere while the others stay, or those after some sweeps."""
    now, slope = rounded.clone(), hessian @ (rounded - weights)
    for _ in range(SWEEPS):
        before = now.clone()
        for at in range(len(now)):
            better = torch.round((now[at] - slope[at] / hessian[at, at]) / step) * step
            slope += hessian[at] * (better - now[at])
            now[at] = better
        if torch.equal(before, now):
            break
    return now


def in_groups(weights: Tensor, guess: Tensor, hessian: Tensor, rows: int, step: float) -> Tensor:
    """Return weights rounded group of columns by group of columns under a guess, the rest solved anew after each."""
    places = torch.arange(len(weights)).reshape(rows, -1)
    now, rounded, left = weights.clone(), torch.zeros_like(weights), torch.ones(len(weights), dtype=torch.bool)
    for group in places.split(COLUMNS, dim=1):
        own = group.reshape(-1)
        left[own] = False
        rest, done = torch.nonzero(left)[:, 0], torch.nonzero(~left)[:, 0]
        free = guess[own][:, own]
        if len(rest):  # what the rest can make good does not count
            free = free - guess[own][:, rest] @ torch.linalg.solve(guess[rest][:, rest], guess[rest][:, own])
        rounded[own] = cancelled(now[own], free, step)
        errors = hessian[rest][:, done] @ (rounded[done] - weights[done])
        now[rest] = weights[rest] - torch.linalg.solve(hessian[rest][:, rest], errors)
    return rounded


def compared(original: Original, block: str, images: int, seed: int) -> list[dict[str, Any]]:
    """Return a row for each way to round the first convolution of a block."""
    matrix, seen, unseen, moments = hessians(original, block, images, seed)
    (rows, _), weights, step = matrix.shape, matrix.reshape(-1), STEP * float(matrix.std())
    felt = torch.diag(seen.diagonal().reshape(rows, -1).mean(1) / moments.diagonal().mean())
    apart = seen * torch.kron(torch.eye(rows), torch.ones(matrix.shape[1], matrix.shape[1])).double()
    layer, exact = damped(torch.kron(felt, moments)), damped(seen)
    plain = cancelled(weights, layer, step)
    ways = {
        "nearest": torch.round(weights / step) * step,
        "layer": plain,
        "kronecker": cancelled(weights, damped(nearest_kronecker(seen, rows)), step),
        "rows": cancelled(weights, damped(apart), step),
        "exact": cancelled(weights, exact, step),
        "descent": descended(weights, plain, exact, step),
        "groups": in_groups(weights, layer, exact, rows, step),
    }

    def error(rounded: Tensor, hessian: Tensor) -> float:
        return float((rounded - weights) @ hessian @ (rounded - weights))

    return [
        {
            "block": block, "way": way, "error": error(rounded, seen), "error of others": error(rounded, unseen),
            "bits": entropy(np.unique((rounded / step).round().numpy(), return_counts=True)[1]) / len(weights),
        }
        for way, rounded in ways.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--blocks", nargs="+", default=["layer1.0", "layer1.1", "layer1.2"])
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    original, rows = Original.of("resnet20", options.data), list[dict[str, Any]]()
    print(f"{'block':10} {'way':10} {'bits':>6} {'error':>9} {'of others':>10}")
    for block in options.blocks:
        for row in compared(original, block, options.images, options.seed):
            rows.append(row)
            print(f"{block:10} {row['way']:10} {row['bits']:6.3f} {row['error']:9.3f} {row['error of others']:10.3f}")
    record.save(options.output, {**record.environment(options.seed), "images": options.images, "rows": rows})


if __name__ == "__main__":
    main()

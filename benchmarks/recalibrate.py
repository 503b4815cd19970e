"""What samples can do for networks within a budget: recalibration of batch normalization, and importances.

    python benchmarks/recalibrate.py --data FOLDER [--bits 2,3,4] [--samples 250,1000] [--batch 128] [-o FILE.json]
    python benchmarks/recalibrate.py --data FOLDER --importance gradient,unsupervised [--samples 1000] ...

FOLDER has `models/` and `cifar10/`: the published ResNets of the tests. Printed is, for each network and budget, the
KL(original ‖ compressed) of the outputs in thousandths of a nat on 1,000 images of the validation split, and the error
in percent on 2,000 images of the test split. Rows: the file as it is; what recalibration makes of it (statistics follow
the inputs, layer by layer); the same with all layers at once, each from the inputs that it has in the file; and
re-estimation (statistics of the compressed network in training mode, means over the batches). Then what
`laconic.compress(..., recalibrate=N)` says of itself, and the bytes of the statistics' change.

With `--importance` the rows are the file as it is, and files of the same budget in which errors are weighed, by
importances from the last of `--samples`: by all that they say; by their means in each tensor, so that the steps of
tensors differ and nothing else; and by the roots of these means.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import record
import torch
from record import say
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

import laconic
from laconic.lc.recalibrate import Following, Moments, listening, pieces, ratio, statistics_of
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import Params
from laconic.theory.importance import Importance
from laconic.theory.metric import Diagonal, Metrics
from laconic.training.judges import distance
from laconic.training.task import Task, classification, mode

NETWORKS = ("resnet20", "resnet32")
TRAIN, VALIDATION, TEST = 10_000, 1_000, 2_000


def task_of(name: str, folder: Path, batch: int) -> Task:
    """Return the network with some images of each split."""
    whole = data.load("cifar10", folder, nets.preprocessing_of(name, "cifar10"))
    counts = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    splits = {split: tuple(part[:count] for part in whole.split(split)) for split, count in counts.items()}
    return classification(nets.build(name).eval(), replace(whole, splits=splits), batch=batch)


def own_copy(params: Params) -> dict[str, Tensor]:
    """Return weights that can be moved in place."""
    return {name: tensor.clone() for name, tensor in params.items()}


def seen(task: Task, samples: int) -> Iterator[Any]:
    """Yield the samples that recalibration takes its statistics of."""
    return (piece for piece, unseen in pieces(task, samples, 0) if not unseen)


def in_turn(task: Task, params: Params, compressed: Params, samples: int) -> Params:
    """Return the weights with statistics that follow the inputs, layer by layer."""
    moved = own_copy(compressed)
    following = Following(task, params, moved, statistics_of(task.module, params, compressed))
    for piece in seen(task, samples):
        following(piece)
    return moved


def at_once(task: Task, params: Params, compressed: Params, samples: int) -> Params:
    """Return the weights with the statistics that all layers would have from the file as it is."""
    layers, moved = statistics_of(task.module, params, compressed), own_copy(compressed)
    moments = {layer: (Moments(), Moments()) for layer in layers}
    for network, given in enumerate((params, compressed)):
        with listening(
            task.module, layers, lambda name, inputs, own=network: moments[name][own].add(Moments.sums(inputs))
        ):
            for piece in seen(task, samples):
                task.outputs(given, piece)
    for layer, (mean, variance) in layers.items():
        original, other = moments[layer]
        moved[mean] += other.mean - original.mean
        moved[variance] *= ratio(other.variance, original.variance)
    return moved


def re_estimated(task: Task, params: Params, compressed: Params, samples: int) -> Params:
    """Return the weights with the statistics of the compressed network in training mode, means over the batches."""
    moved = own_copy(compressed)
    norms = [layer for layer in task.module.modules() if isinstance(layer, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    with mode(task.module, training=True):
        for number, piece in enumerate(seen(task, samples), 1):
            for norm in norms:
                norm.momentum = 1 / number
            task.outputs(moved, piece)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return moved


WAYS = {"in turn": in_turn, "at once": at_once, "re-estimated": re_estimated}


def outputs(task: Task, params: Params, split: str) -> Tensor:
    """Return the logits of a split."""
    with mode(task.module, training=False):
        return torch.cat([task.outputs(params, batch) for batch in task.batches(split, 0)])


@torch.no_grad()
def judged(task: Task, original: Tensor, other: Params) -> dict[str, float]:
    """Return the KL from the original's outputs on validation images, in nats, and the error on test images, in %."""
    kl = distance(original, outputs(task, other, "validation"), task.kind)
    return {"kl": kl, "error": task.evaluate(other, "test")["error"]}


def measured(task: Task, params: Params, bits: float, samples: list[int]) -> dict[str, Any]:
    """Return all figures of a network within a budget."""
    result = laconic.compress(params, laconic.Budget(bits=bits), task, threads=1)
    with torch.no_grad():
        original = outputs(task, params, "validation")
    rows = {"original": judged(task, original, params), "as compressed": judged(task, original, result.params)}
    for count in samples:
        for name, way in WAYS.items():
            with torch.no_grad():
                rows[f"{name}, {count}"] = judged(task, original, way(task, params, result.params, count))
            say(f"  {bits} bits, {name}, {count}: {rows[f'{name}, {count}']}")
    own = laconic.compress(params, laconic.Budget(bits=bits), task, threads=1, recalibrate=max(samples))
    return {"rows": rows, "told": vars(own.recalibration), "bytes": [result.file_bytes, own.file_bytes]}


def by_tensors(metrics: Metrics, power: float) -> Metrics:
    """Return metrics that weigh all of a tensor alike, by a power of its mean importance."""
    found = {}
    for name, metric in metrics.items():
        assert isinstance(metric, Diagonal), "what is measured here is diagonal"
        found[name] = Diagonal(torch.full_like(metric.importance, float(metric.importance.double().mean()) ** power))
    return found


def weighed(task: Task, params: Params, bits: float, importances: Mapping[str, Metrics]) -> dict[str, Any]:
    """Return all figures of a network within a budget under each of some importances."""
    with torch.no_grad():
        original = outputs(task, params, "validation")
    ways: dict[str, Metrics | None] = {"none": None}
    for name, metrics in importances.items():
        ways |= {name: metrics, f"{name}, means of tensors": by_tensors(metrics, 1.0)}
        ways[f"{name}, roots of these"] = by_tensors(metrics, 0.5)
    rows, sizes = {"original": judged(task, original, params)}, []
    for way, metrics_of in ways.items():
        result = laconic.compress(params, laconic.Budget(bits=bits), task, threads=1, metrics=metrics_of)
        rows[way] = judged(task, original, result.params)
        sizes.append(result.file_bytes)
        say(f"  {bits} bits, {way}: {rows[way]}")
    return {"rows": rows, "told": "importances", "bytes": sizes}


def show(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table for each network: ways by budgets."""
    for name, by_bits in figures.items():
        print(f"\n| {name} | " + " | ".join(f"{bits} bits: KL, error %" for bits in by_bits) + " |")
        print("|---" + "|---:" * len(by_bits) + "|")
        for row in next(iter(by_bits.values()))["rows"]:
            cells = [figure["rows"][row] for figure in by_bits.values()]
            print(f"| {row} | " + " | ".join(f"{1e3 * c['kl']:.3g}, {c['error']:.2f}" for c in cells) + " |")
        for bits, figure in by_bits.items():
            print(f"\n{name}, {bits} bits: {figure['told']}, bytes {figure['bytes']}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of networks and data")
    parser.add_argument("--bits", default="2,3,4", help="bits a weight, separated by commas")
    parser.add_argument("--samples", default="250,1000", help="images for the statistics, separated by commas")
    parser.add_argument("--importance", default="", help="importances that are compared instead, separated by commas")
    parser.add_argument("--batch", type=int, default=128, help="images that are read together")
    parser.add_argument("-o", "--output", type=Path, help="a file for the figures")
    args = parser.parse_args()
    samples, figures = [int(count) for count in args.samples.split(",")], {}
    for name in NETWORKS:
        say(name)
        task = task_of(name, args.data, args.batch)
        params, _ = load_checkpoint(args.data / "models" / f"{name}_cifar10.safetensors")
        asked = [Importance(one, samples=samples[-1]) for one in args.importance.split(",") if one]
        metrics = {one.name: one.metrics(task, params) for one in asked}
        figures[name] = {
            bits: weighed(task, params, float(bits), metrics) if asked else measured(task, params, float(bits), samples)
            for bits in args.bits.split(",")
        }
    show(figures)
    record.save(
        args.output,
        {
            "experiment": "importances" if args.importance else "recalibration",
            **record.environment(0),
            "figures": figures,
        },
    )


if __name__ == "__main__":
    main()

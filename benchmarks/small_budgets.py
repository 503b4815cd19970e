"""How closely sizes of small networks are met: random ones of 3,000 to 20,000 weights, and some that know the digits.

    python benchmarks/small_budgets.py [--networks 20] [--seed 0] [-o FILE.json]

A network has drawn widths: layers one after the other, plain or normalized, convolutions with and without batch
normalization, grouped ones, an embedding before a layer or an LSTM. Those that read 64 pixels are trained on the
embedded digits first. Each is asked for in 0.5, 0.7, 0.9, 1.1, 1.3 and 2 bits a weight, by its weights alone (direct)
and by what its layers read (calibrate). Printed is how many sizes are met within 1 % from below, by the effort and by
whether a weight is left that is not 0; every one that is not met; and the mean time.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from record import say
from torch import Tensor, nn

import laconic
from laconic.errors import PlanError
from laconic.models.data import load
from laconic.quantize.budget import NEAR

BITS = (0.5, 0.7, 0.9, 1.1, 1.3, 2.0)
LEAST, MOST = 3_000, 20_000
SAMPLES, EPOCHS, RATE = 320, 8, 5e-3
"""Of a network: inputs that it shows; passes over the digits, and the step of Adam."""


class Words(nn.Module):
    """An embedding, what is between, and a layer."""

    def __init__(self, words: int, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, hidden, batch_first=True) if hidden else None
        self.last = nn.Linear(hidden or width, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        read = self.table(tokens)
        return self.last(read.mean(1) if self.lstm is None else self.lstm(read)[0])


def layers(rng: np.random.Generator, inputs: int, outputs: int) -> nn.Module:
    """Return layers one after the other, half of them normalized."""
    widths, normed = [inputs, *rng.integers(24, 120, int(rng.integers(1, 4))).tolist()], rng.random() < 0.5
    parts = list[nn.Module]()
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), *([nn.LayerNorm(after)] if normed else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], outputs))


def kernels(rng: np.random.Generator, outputs: int) -> nn.Module:
    """Return convolutions of images of 8 x 8, half of them with batch normalization, the last one maybe in groups."""
    widths, normed = [1, *(8 * rng.integers(1, 7, int(rng.integers(1, 4)))).tolist()], bool(rng.random() < 0.5)
    parts, groups = list[nn.Module]([nn.Unflatten(1, (1, 8, 8))]), int(rng.choice([1, 1, 4]))
    for before, after in pairwise(widths):
        own = groups if before > 1 and after == widths[-1] else 1
        parts += [nn.Conv2d(before, after, 3, padding=1, bias=not normed, groups=own)]
        parts += [*([nn.BatchNorm2d(after)] if normed else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * widths[-1], outputs))


def network(seed: int, number: int) -> tuple[str, nn.Module, Tensor]:
    """Return what a network is, the network and its samples."""
    rng = np.random.default_rng([seed, number])
    torch.manual_seed(int(rng.integers(1 << 31)))
    while True:
        kind = ("layers", "layers that know digits", "kernels that know digits", "words", "words in order")[number % 5]
        inputs, words = int(rng.integers(16, 64)), int(rng.integers(30, 400))
        if kind == "layers":
            net, shown = layers(rng, inputs, int(rng.integers(1, 20))), torch.randn(SAMPLES, inputs)
        elif "digits" in kind:
            net = layers(rng, 64, 10) if kind.startswith("layers") else kernels(rng, 10)
            shown = load("digits", None, "pixels/16").split("train")[0][:SAMPLES].flatten(1)
        else:
            hidden = int(rng.integers(16, 48)) if kind == "words in order" else 0
            net = Words(words, int(rng.integers(8, 40)), hidden, int(rng.integers(5, 40)))
            shown = torch.randint(0, words, (SAMPLES // 4, 9))
        if LEAST <= sum(weight.numel() for weight in net.parameters() if weight.ndim > 1) <= MOST:
            return kind, learned(net) if "digits" in kind else net.eval(), shown


def learned(net: nn.Module) -> nn.Module:
    """Return the network trained on the digits."""
    inputs, targets = load("digits", None, "pixels/16").split("train")
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    for places in EPOCHS * torch.arange(len(inputs)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs[places].flatten(1)), targets[places]).backward()
        optimizer.step()
    return net.eval()


def row(effort: str, net: nn.Module, shown: Tensor, bits: float) -> dict[str, Any]:
    """Return the figures of a file, or why there is none."""
    began = time.process_time()
    try:
        of = {"calibration": shown} if effort == "calibrate" else {}
        result = laconic.compress(net, bits=bits, effort=effort, **of)
    except PlanError as error:
        return {"refused": str(error), "seconds": time.process_time() - began}
    weights = [result.params[name] for name, tensor in net.named_parameters() if tensor.ndim > 1]
    size = int(bits * result.fitted.weights / 8)
    return {
        "size": size, "bytes": result.file_bytes, "met": (1 - NEAR) * size <= result.file_bytes <= size,
        "zeros": not any(bool(weight.any()) for weight in weights), "passes": result.fitted.passes,
        "distance": result.calibration.distance if result.calibration else None,
        "seconds": time.process_time() - began,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    rows = list[dict[str, Any]]()
    for number in range(options.networks):
        kind, net, shown = network(options.seed, number)
        for effort in ("direct", "calibrate"):
            rows += [
                {"network": number, "kind": kind, "effort": effort, "bits": bits, **row(effort, net, shown, bits)}
                for bits in BITS
            ]
        say(f"{number + 1} of {options.networks}: {kind}")
    print("| effort | refused | met | not met | all weights 0: met | not met | s a file |\n|---|" + "---:|" * 6)
    for effort in ("direct", "calibrate"):
        own = [one for one in rows if one["effort"] == effort]
        made = [(one["zeros"], one["met"]) for one in own if "met" in one]
        counts = [made.count((zeros, met)) for zeros in (False, True) for met in (True, False)]
        seconds = sum(one["seconds"] for one in own) / max(len(own), 1)
        print(f"| {effort} | {len(own) - len(made)} | {' | '.join(map(str, counts))} | {seconds:.2f} |")
    print("\n| network | effort | size | bytes |\n|---|---|---:|---:|")
    for one in rows:
        if not one.get("met", True):
            print(f"| {one['network']}, {one['kind']} | {one['effort']} | {one['size']} | {one['bytes']} |")
    figures = {"experiment": "small budgets", **record.environment(options.seed), "rows": rows}
    record.save(options.output, figures)


if __name__ == "__main__":
    main()

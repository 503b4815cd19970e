"""What calibration makes of published networks: bytes of whole files, error on the test images, divergence of outputs.

    python benchmarks/calibrate.py --data FOLDER [--networks resnet20 resnet32] [--bits 1.5 1.85 2.1 2.4 3]
        [--methods NAME ...] [--nncodec PYTHON] [--draws 3] [--first-draw 0] [--samples N] [--quality default]
        [--no-tune] [--resume FOLDER] [-o FILE.json]
    python benchmarks/calibrate.py --data FOLDER --max-drop 0.2 0.5 1 [...]

FOLDER has `models/` and `cifar10/`. Each draw is of other training images, without labels and as they are; all rows of
a draw have the same. Errors, in percent, are of all 10,000 test images, as is the divergence KL(original ‖ compressed),
in nats an image; bits are 8 · bytes of the file / weights, everything counted. With --resume a run that was killed goes
on, and its seconds are less than it took. Methods:

    direct     the weights alone (`laconic.compress(net, bits=b)`)
    kmeans     the weights alone, k values for each of them, entropy-coded: `rival_codecs.codebooks`
    nncodec    the weights alone, in a file of NNCodec's (ISO/IEC 15938-17): `nncodec_files`; asks for --nncodec, the
               interpreter of an environment with it
    rounding   nearest integers, one step a layer at one water level, no look at correlation or scale of inputs
    diagonal   nearest integers with the inputs' second moments for weights, rate in the choice
    gptq       successive interference cancellation, one step a layer, entropy-coded ("HPTQ")
    watersic   the same with a step for each column, at the water level ("WaterSIC")
    cerwu      the same as gptq on a ridge that the rate asks for, and with the rate in the choice
    alike      the same as ours, rows of a weight with the same steps, which do not make good each other's errors
    ours       `laconic.compress(net, bits=b, effort="calibrate")`

The first three look at no sample: they are there once, not for each draw. All but "direct" have batch normalization
folded, NNCodec by itself; from "rounding" to "cerwu" they have biases, file and coder of "ours", and neither trellis
nor finer steps of rows. `--unfolded` leaves batch normalization alone.

With --max-drop the smallest file is asked for whose error grows by no more than so many points, one standard error
included, on 5,000 training images that no pass has seen (the networks were trained on them); beside it is what the test
images, which nothing looks at before, then say.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, final

import record
import torch
from record import say
from rival_codecs import codebooks, nncodec, steps_of_columns
from torch import Tensor, nn
from torch.nn import functional as F

import laconic
from laconic.calibrate.calibration import SAMPLES, Calibration
from laconic.calibrate.compressed import ANEW, TRIES, Ready
from laconic.calibrate.journal import Journal
from laconic.calibrate.quality import dropped
from laconic.calibrate.recursion import Recursion
from laconic.errors import PlanError
from laconic.format import container
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.data import Dataset
from laconic.models.params import Params, all_params_of, buffers_of, decompress
from laconic.models.ties import untied
from laconic.quantize.budget import Budget
from laconic.training.judges import distance
from laconic.training.task import Task

_SCALAR = Recursion(states=1, ridge=0.0, price=0.0, water=False, damping=1e-2)
METHODS: dict[str, Sequence[Recursion]] = {
    "rounding": [replace(_SCALAR, feedback=False)] * 2,
    "diagonal": [replace(_SCALAR, feedback=False, price=0.3)] * 2,
    "gptq": [_SCALAR] * 2,
    "watersic": [replace(_SCALAR, water=True)] * 2,
    "cerwu": [replace(_SCALAR, ridge=1.0, price=0.3)] * 2,
}
"""How each baseline quantizes in its passes."""

UNSAMPLED = ("direct", "kmeans", "nncodec")
EVERY = (*UNSAMPLED, *METHODS, "alike", "ours")


@final
@dataclass(frozen=True, eq=False)
class Original:
    """A published network with its images.

    Args:
        name: of the network.
        module: with its weights.
        images: train, validation and test.
        outputs: logits of the test images.
    """

    name: str
    module: nn.Module
    images: Dataset
    outputs: Tensor

    @classmethod
    def of(cls, name: str, folder: Path) -> "Original":
        """Read a network and its images."""
        module, images = network(name, folder), data.load("cifar10", folder, nets.preprocessing_of(name, "cifar10"))
        return cls(name, module, images, outputs(module, images.split("test")[0]))

    def judged(self, params: Params) -> dict[str, float]:
        """Return errors and divergence of other weights on the test images, and the standard error of the drop."""
        inputs, targets = self.images.split("test")
        other = deepcopy(self.module)
        other.load_state_dict(dict(params))
        given = outputs(other, inputs)
        before, after = (100 * one.argmax(1).ne(targets).double() for one in (self.outputs, given))
        return {
            "float_error": float(before.mean()), "error": float(after.mean()),
            "test_standard_error": dropped(before, after, 1.0).standard_error,
            "kl": distance(self.outputs, given, "classification"),
        }  # fmt: skip

    def ready(self, draw: int, arguments: argparse.Namespace, *, rows: bool = True) -> tuple[Ready, float]:
        """Return the network ready to be calibrated on a draw of training images, and the seconds it took."""
        start, split = time.perf_counter(), 250
        held = [part.split(split) for part in self.images.split("validation")]
        task = Task(self.module, None, F.cross_entropy, validation=list(zip(*held, strict=True)))
        batches = drawn(*self.images.split("train"), arguments.samples, draw)
        calibration = Calibration.of(task, batches, arguments.samples)
        whole, buffers = untied(all_params_of(self.module)), buffers_of(self.module)
        ready = Ready.of(whole, calibration, buffers=buffers, fold=not arguments.unfolded, rows=rows)
        if arguments.resume:
            kind = {"fold": str(not arguments.unfolded), "rows": str(rows)}
            own = arguments.resume / "-".join([self.name, str(draw), *kind.values()])
            ready = ready.resuming(Journal.of(own, kind, whole.params, calibration.batches))
        return ready, time.perf_counter() - start


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


def file(module: nn.Module, ready: Ready, method: str, size: int, arguments: argparse.Namespace) -> tuple[Params, int]:
    """Return the weights of a method's file within a size, and its bytes."""
    if method == "direct":
        result = laconic.compress(module, size=size)
        return result.params, result.file_bytes
    if method == "kmeans":
        codes = codebooks(ready, size)
        return decompress(codes), container.bits(codes) // 8
    if method == "nncodec":
        return nncodec(arguments.nncodec, all_params_of(module), ready.folding.pairs, size)
    tune = method not in METHODS and arguments.quality != "fast" and not arguments.no_tune
    with steps_of_columns() if method == "watersic" else nullcontext():
        anew = method not in METHODS and arguments.quality in ANEW
        trial, _ = ready.within(size, METHODS.get(method) or TRIES[arguments.quality], {}, tune=tune, anew=anew)
    return decompress(trial.codes), trial.file_bytes


def measured(name: str, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each draw, budget and method of a network."""
    original = Original.of(name, arguments.data)
    for draw in range(arguments.first_draw, arguments.draws):
        methods = [method for method in arguments.methods if not (draw and method in UNSAMPLED)]
        if not methods:
            return
        prepared_for = {
            rows: original.ready(draw, arguments, rows=rows) for rows in {method == "ours" for method in methods}
        }
        for bits in arguments.bits:
            for method in methods:
                ready, prepared = prepared_for[method == "ours"]
                start = time.perf_counter()
                params, size = file(original.module, ready, method, int(bits * ready.weights / 8), arguments)
                seconds = time.perf_counter() - start
                yield {
                    "network": name, "draw": draw, "asked": bits, "method": method, "bytes": size,
                    "bits": 8 * size / ready.weights, **original.judged(params), "seconds": seconds,
                    "prepared": prepared,
                }  # fmt: skip


def bounded(name: str, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a row for each draw and bound of a network's drop; a bound that is not met has none."""
    original = Original.of(name, arguments.data)
    for draw in range(arguments.first_draw, arguments.draws):
        ready, prepared = original.ready(draw, arguments)
        for bound in arguments.max_drop:
            start = time.perf_counter()
            try:
                fitted, told = ready.fitted(Budget(drop=bound), arguments.quality, {}, tune=not arguments.no_tune)
            except PlanError as failure:
                say(f"{name} draw {draw}, a drop of {bound:g}: {failure}")
                continue
            seconds, quality = time.perf_counter() - start, told.quality
            assert quality is not None, "a drop was asked for"
            yield {
                "network": name, "draw": draw, "bound": bound, "bytes": fitted.file_bytes,
                "bits": 8 * fitted.file_bytes / ready.weights, "drop": quality.value,
                "standard_error": quality.standard_error, "validation": quality.samples, "files": quality.files,
                **original.judged(decompress(fitted.codes)), "seconds": seconds, "prepared": prepared,
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


def bounds_table(rows: list[dict[str, Any]]) -> str:
    """Return a line for each file of a drop."""
    lines = ["| network | draw | drop asked, points | bits | on validation | on test | error, % |",
             "|---|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for row in rows:
        test = f"{row['error'] - row['float_error']:.2f} ± {row['test_standard_error']:.2f}"
        figures = f"{row['bits']:.3f} | {row['drop']:.2f} ± {row['standard_error']:.2f} | {test} | {row['error']:.2f}"
        lines.append(f"| {row['network']} | {row['draw']} | {row['bound']:g} | {figures} |")
    return "\n".join(lines)


def asked() -> argparse.Namespace:
    """Return what is asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet32"])
    parser.add_argument("--bits", nargs="+", type=float, default=[1.5, 1.85, 2.1, 2.4, 3.0])
    parser.add_argument("--max-drop", nargs="+", type=float, metavar="POINTS", help="in place of bits and methods")
    parser.add_argument("--methods", nargs="+", choices=EVERY, help="all, but nncodec only with --nncodec")
    parser.add_argument("--nncodec", type=Path, metavar="PYTHON", help="an interpreter that has NNCodec")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first-draw", type=int, default=0, help="go on from this one; those before it are on record")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--quality", choices=list(TRIES), default="default")
    parser.add_argument("--unfolded", action="store_true", help="leave batch normalization as it is")
    parser.add_argument("--no-tune", action="store_true", help="leave vectors as the passes leave them")
    parser.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="keep there what passes decide, and go on from it"
    )
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    arguments.methods = arguments.methods or [one for one in EVERY if one != "nncodec" or arguments.nncodec]
    if "nncodec" in arguments.methods and not arguments.nncodec:
        parser.error("nncodec asks for --nncodec PYTHON, the interpreter of an environment with NNCodec")
    return arguments


def main() -> None:
    """Measure and print."""
    arguments, rows = asked(), list[dict[str, Any]]()
    make = bounded if arguments.max_drop else measured
    head = "{network} draw {draw}: " + (
        "a drop of {bound:g}, {drop:.2f} ± {standard_error:.2f} on validation" if arguments.max_drop
        else "{asked:g} bits, {method}"
    )  # fmt: skip
    for name in arguments.networks:
        for row in make(name, arguments):
            rows.append(row)
            say((head + ": {bits:.3f} bits, error {error:.2f} %, KL {kl:.4f}, {seconds:.0f} s").format(**row))
            record.save(arguments.output, {"environment": record.environment(0), "rows": rows})
    print(bounds_table(rows) if arguments.max_drop else tables(rows))


if __name__ == "__main__":
    main()

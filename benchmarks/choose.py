"""A choice among compressions beside each single technique, in as many bytes: KL and error.

    python benchmarks/choose.py --data-dir DIR [--networks lenet300 resnet20] [--sizes 10000 20000] -o FILE.json

The folder holds MNIST and CIFAR-10 and, under ``models/``, pretrained networks. 1,280 training images calibrate, of
which a fifth judge: by these one file is chosen. What is printed is of images that no choice has seen, the validation
split, and of the test split. The same choice in fewer bytes says how many it needs at the KL of the best single
technique: between two sizes the logarithm of the KL is linear; where the smaller file has no larger KL, the images do
not tell. A point that is in the file already is not made again.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import record
import torch
from record import say
from torch import Tensor

import laconic
from laconic.choose.chosen import Chosen
from laconic.models import data, nets
from laconic.models.checkpoints import load_checkpoint
from laconic.models.params import Params, decompress
from laconic.training.task import Task, classification

SUBJECTS = {
    "lenet300": ("lenet300-tanh", "lenet300_mnist", "mnist", (10_000, 20_000, 40_000)),
    "resnet20": ("resnet20", "resnet20_cifar10", "cifar10", (40_000,)),
}
"""Name → the network, its file, its data, and the sizes in bytes."""

SAMPLES, FEWER, ROWS = 1_280, 0.92, 500
"""Samples that calibrate; of the size, that of the smaller file; samples at a time."""


def logits(task: Task, params: Params, inputs: Tensor) -> Tensor:
    """Return the logarithms of what the network says."""
    zeros = torch.zeros(ROWS, dtype=torch.int64)
    parts = [task.outputs(params, (part, zeros[: len(part)])).detach() for part in inputs.split(ROWS)]
    return torch.cat(parts).double().log_softmax(1)


def judged(task: Task, original: Params, params: Params, splits: dict[str, tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return the KL on validation images, and the error on test images in percent."""
    (inputs, _), (test, targets) = splits["validation"], splits["test"]
    before, after = logits(task, original, inputs), logits(task, params, inputs)
    kl = (before.exp() * (before - after)).sum(1)
    wrong = (logits(task, params, test).argmax(1) != targets).double().mean()
    return {"kl": float(kl.mean()), "kl_standard_error": float(kl.std() / len(kl) ** 0.5),
            "test_error": 100 * float(wrong)}  # fmt: skip


def needed(size: int, kl: float, fewer: int, fewer_kl: float, wanted: float) -> float | None:
    """Return the bytes at which a choice has a KL, by what it has in two sizes; None where fewer bytes are no worse.

    >>> round(needed(100, 0.01, 90, 0.1, 0.1)), needed(100, 0.1, 90, 0.01, 0.1)
    (90, None)
    """
    if fewer_kl <= kl:
        return None
    slope = (size - fewer) / (math.log(kl) - math.log(fewer_kl))
    return size + slope * (math.log(wanted) - math.log(kl))


def point(name: str, size: int, root: Path, seed: int) -> dict[str, Any]:
    """Return all figures of a network in so many bytes."""
    net, file, source, _ = SUBJECTS[name]
    ready = data.load(source, root, nets.preprocessing_of(net, source))
    module = nets.build(net, ready.shape, ready.classes, seed)
    task = classification(module, ready, nets.identity(net, source, ready.preprocessing))
    params = load_checkpoint(root / "models" / f"{file}.safetensors")[0]
    inputs = ready.splits["train"][0]
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))[:SAMPLES]
    module.load_state_dict(dict(params))
    module.eval()  # statistics of batch normalization are those of training, also where outputs are judged

    def choice(bytes_asked: int) -> tuple[Chosen, float]:
        began = time.process_time()
        result = laconic.compress(
            module, size=bytes_asked, choose=laconic.Menu(), task=task, effort="calibrate", calibration=inputs[order],
            seed=seed,
        )  # fmt: skip
        assert result.choice is not None, "that is what was asked"
        return result.choice, time.process_time() - began

    found, seconds = choice(size)
    files = []
    for one in sorted(found.files, key=lambda each: each.file.distance):
        say(f"{name} {size:,}: {one.label} {one.file.distance:.4g}")
        files.append({**one.record(), **judged(task, params, decompress(one.file.codes), ready.splits)})
    singles = [one for one in files if one["plan"].endswith(" alone")]
    single = min(singles, key=lambda one: float(one["damage"]))
    less, _ = choice(round(FEWER * size))
    fewer = {**less.best.record(), **judged(task, params, decompress(less.best.file.codes), ready.splits)}
    return {
        "network": name, "size": size, "original": judged(task, params, params, ready.splits)["test_error"],
        "best_single": single, "fewer": fewer, "cpu_seconds": seconds, "files": files, "told": found.record(),
    }  # fmt: skip


def with_share(one: dict[str, Any]) -> dict[str, Any]:
    """Return a point with its choice, the bytes that needs at the KL of the best single technique, and their share."""
    fewer, single, told = one["fewer"], one["best_single"], one["told"]
    best = next(file for file in one["files"] if (file["plan"], file["again"]) == (told["chosen"], told["again"]))
    enough = needed(best["bytes"], best["kl"], fewer["bytes"], fewer["kl"], single["kl"])
    return {**one, "choice": best, "bytes_at_its_kl": enough, "share_of_its_bytes": enough and enough / single["bytes"]}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--sizes", nargs="+", type=int, help="bytes; those of each network unless given")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(given.output.read_text("utf-8"))["points"] if given.output and given.output.exists() else []
    points = {(one["network"], one["size"]): one for one in known}
    for name in given.networks:
        for size in given.sizes or SUBJECTS[name][3]:
            if (name, size) not in points:
                points[name, size] = point(name, size, given.data_dir, given.seed)
            one = points[name, size] = with_share(points[name, size])
            share = one["share_of_its_bytes"]
            told = f"which needs {share:.1%} of its bytes" if share else "and in fewer bytes no more"
            print(f"{name} {size:,} B: single {one['best_single']['plan']} KL {one['best_single']['kl']:.4g}, "
                  f"choice {one['choice']['kl']:.4g}, {told}")  # fmt: skip
            whole = {"samples": SAMPLES, **record.environment(given.seed), "points": list(points.values())}
            record.save(given.output, whole)


if __name__ == "__main__":
    main()

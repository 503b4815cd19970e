"""What a teacher costs: an epoch with one against a plain epoch and the teacher's own forward pass, in one run.

    python benchmarks/distillation.py [--net lenet300] [--teacher lenet300] [--data mnist --data-dir DIR] [--epochs 5]

Four loops over the same batches, interleaved so that a noisy machine disturbs all alike, timed in CPU seconds: training
without a teacher; the teacher alone, in evaluation mode; training with it; and with what it says kept on disk.
Promised: training with a teacher takes at most 1.1 times the first two together.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import torch
from lstep import timed

from laconic import Distillation, distilled
from laconic.models import data, nets
from laconic.models.params import params_of
from laconic.training.loop import derive_seed, minimise
from laconic.training.optimization import Optimization
from laconic.training.task import classification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", default="lenet300")
    parser.add_argument("--teacher", default="lenet300")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LACONIC_DATA"))
    parser.add_argument("--images", type=int, default=20_000, help="of an epoch: several passes over fewer")
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of each loop")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = data.load(options.data, options.data_dir, nets.preprocessing_of(options.net, options.data))
    inputs, targets = images.splits["train"]
    images.splits["train"] = inputs[: options.images], targets[: options.images]  # type: ignore[index]
    passes = max(1, options.images // len(inputs))
    task = classification(nets.build(options.net, images.shape, images.classes, 0), images)
    teacher = nets.build(options.teacher, images.shape, images.classes, 1)
    params, how = params_of(task.module), Optimization(passes, lr=0.01)

    def forward() -> None:
        teacher.eval()
        with torch.no_grad():
            for epoch in range(passes):
                for batch, _ in task.batches("train", derive_seed(0, epoch)):
                    teacher(batch)

    with tempfile.TemporaryDirectory() as folder:
        taught = distilled(task, teacher, Distillation())
        cached = distilled(task, teacher, Distillation(), cache=folder)
        loops = {
            "plain": lambda: minimise(task, params, how, 0),
            "teacher alone": forward,
            "with a teacher": lambda: minimise(taught, params, how, 0),
            "with its cache": lambda: minimise(cached, params, how, 0),
        }
        times = timed(loops, options.epochs, passes)
    print(
        f"{options.net} taught by {options.teacher} on {options.data}, batches of 128, one thread, CPU seconds, median"
    )
    bases = {"with a teacher": ("plain", "teacher alone"), "with its cache": ("plain",)}
    for name, found in times.items():
        line = f"{name:16s} {statistics.median(found):8.4f} s"
        if base := bases.get(name):
            sums = [sum(each) for each in zip(*(times[one] for one in base), strict=True)]
            line += f"   {statistics.median(t / s for t, s in zip(found, sums, strict=True)):.3f} x {' + '.join(base)}"
        print(line)


if __name__ == "__main__":
    main()

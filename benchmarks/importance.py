"""What an importance costs, in ordinary forward and backward passes over the same samples.

    python benchmarks/importance.py [--net resnet20] [--samples 256] [-o record.json]

Random weights and random images: what is computed does not depend on either. One thread, CPU seconds, the passes
interleaved with the estimates so that a noisy machine disturbs all alike; the median of several rounds. What is meant
to hold: gradients and one drawn label at most 5, a sum over C classes at most 1.5 C. A moment of inputs multiplies each
patch with itself, which for narrow convolutions is more work than the layer's own.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import record
import torch
from torch.nn import functional as F

from laconic.models import nets
from laconic.models.data import Dataset
from laconic.models.params import params_of
from laconic.theory import importance
from laconic.training.task import classification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", default="resnet20")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shape = (3, 32, 32) if options.net.startswith("resnet") else (1, 28, 28)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(options.samples, *shape, generator=generator)
    labels = torch.randint(0, options.classes, (options.samples,), generator=generator)
    module = nets.build(options.net, shape, options.classes, 0)
    task = classification(module, Dataset("noise", {"train": (images, labels)}, classes=options.classes))
    params = params_of(module)

    def passes() -> None:
        for inputs, targets in task.batches("train", 0):
            module.zero_grad()
            F.cross_entropy(module(inputs), targets).backward()

    works: dict[str, tuple[Callable[[], object], float | None]] = {
        "forward and backward": (passes, None),
        "unsupervised, one label drawn": (lambda: importance.unsupervised(task, params, generator, draws=1), 5.0),
        "unsupervised, exact": (lambda: importance.unsupervised(task, params), 1.5 * options.classes),
        "gradient": (lambda: importance.gradient(task, params), 5.0),
        "hessian, by Gauss-Newton": (lambda: importance.hessian(task, params), 1.5 * options.classes),
        "kronecker, one label drawn": (lambda: importance.kronecker(task, params, generator, draws=1), None),
        "moments of inputs": (lambda: importance.input_moments(task, params), None),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(options.rounds + 1):
        record.say(f"round {round_} of {options.rounds}")
        for name, (work, _) in works.items():
            start = time.process_time()
            work()
            if round_:  # the first round warms up
                times[name].append(time.process_time() - start)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    multiples = {name: found / seconds["forward and backward"] for name, found in seconds.items()}
    print(f"{options.net}, {options.classes} classes, {options.samples} samples, one thread, CPU seconds, median")
    for name, (_, limit) in works.items():
        wanted = "" if limit is None else f"   (at most {limit:g})"
        print(f"{name:32s} {seconds[name]:8.3f} s {multiples[name]:7.2f} x{wanted}")
    chosen = {"net": options.net, "classes": options.classes, "samples": options.samples, "rounds": options.rounds}
    limits = {name: limit for name, (_, limit) in works.items()}
    found = {"seconds": seconds, "multiples": multiples, "limits": limits}
    record.save(options.output, {**record.environment(0), **chosen, **found})


if __name__ == "__main__":
    main()

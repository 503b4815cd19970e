"""What the penalty costs: an epoch of the L step against a plain epoch, in one run.

    python benchmarks/lstep.py [--data mnist --data-dir DIR] [--epochs 5]

Three loops over the same batches, interleaved so that a noisy machine disturbs all alike, timed in CPU seconds:
a hand-written PyTorch loop (`model(x)`, backward, SGD), laconic's training loop without a penalty, and its L step.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from laconic import AdaptiveCodebook
from laconic.lc.state import QuadraticPenalty
from laconic.lc.steps import start
from laconic.models import data, nets
from laconic.models.params import params_of
from laconic.plans.plan import weights_only
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization
from laconic.training.task import classification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", default="lenet300")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LACONIC_DATA"))
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of each loop")
    parser.add_argument("--repeat", type=int, default=0, help="passes over the data that count as one epoch")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = data.load(options.data, options.data_dir, nets.preprocessing_of(options.net, options.data))
    module = nets.build(options.net, images.shape, images.classes, 0)
    task = classification(module, images)
    passes = options.repeat or max(1, 20_000 // len(images.splits["train"][0]))
    params = params_of(module)
    how = Optimization(passes, lr=0.01)
    state = start(params, weights_only(AdaptiveCodebook(2), params))
    penalty = QuadraticPenalty(state, 1e-3)

    def plain() -> None:
        model = nets.build(options.net, images.shape, images.classes, 0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        for epoch in range(passes):
            for inputs, targets in task.batches("train", epoch):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(inputs), targets).backward()
                optimizer.step()

    loops: dict[str, Callable[[], object]] = {
        "plain PyTorch loop": plain,
        "laconic, no penalty": lambda: minimise(task, params, how, 0),
        "laconic, L step": lambda: minimise(task, params, how, 0, penalty, 1 / 1e-3),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for round_ in range(options.epochs + 1):
        for name, loop in loops.items():
            began = time.process_time()
            loop()
            if round_:  # the first round warms up
                times[name].append((time.process_time() - began) / passes)
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"{options.net} on {options.data}, batches of 128, one thread, CPU seconds per epoch, median")
    for name, seconds in medians.items():
        ratios = [t / p for t, p in zip(times[name], times["laconic, no penalty"], strict=True)]
        print(f"{name:22s} {seconds:8.4f} s   {statistics.median(ratios):.3f} x the loop without penalty")


if __name__ == "__main__":
    main()

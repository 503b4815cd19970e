"""What the penalty costs: an epoch of the L step against a plain epoch, in one run.

    python benchmarks/lstep.py [--data mnist --data-dir DIR] [--epochs 5]
    python benchmarks/lstep.py --zeros 0.98

Three loops over the same batches, interleaved so that a noisy machine disturbs all alike, timed in CPU seconds:
a hand-written PyTorch loop (`model(x)`, backward, SGD), laconic's training loop without a penalty, and its L step.

With --zeros the L step is taken with Adam, from dense weights and from weights of which such a share is 0 and feels
hardly anything but the penalty; each as torch computes, and with denormal numbers (below 1.2e-38) flushed to 0. Moments
and weights that decay to these can make a step slow on a CPU.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from laconic import AdaptiveCodebook, Joint, KeepLargest
from laconic.lc.state import QuadraticPenalty
from laconic.lc.steps import start
from laconic.models import data, nets
from laconic.models.params import Params, params_of
from laconic.plans.plan import weights_only
from laconic.training.loop import minimise
from laconic.training.optimization import Optimization, adam
from laconic.training.task import Task, classification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", default="lenet300")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LACONIC_DATA"))
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of each loop")
    parser.add_argument("--repeat", type=int, default=0, help="passes over the data that count as one epoch")
    parser.add_argument("--zeros", type=float, help="share of weights at 0: Adam from these against dense weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = data.load(options.data, options.data_dir, nets.preprocessing_of(options.net, options.data))
    module = nets.build(options.net, images.shape, images.classes, 0)
    task = classification(module, images)
    passes = options.repeat or max(1, 20_000 // len(images.splits["train"][0]))
    params = params_of(module)
    if options.zeros is not None:
        report(timed(sparse(task, params, passes, options.zeros), options.epochs, passes), "Adam, dense", options)
        return
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
    report(timed(loops, options.epochs, passes), "laconic, no penalty", options)


def sparse(task: Task, params: Params, passes: int, zeros: float) -> dict[str, Callable[[], object]]:
    """Return L steps with Adam from dense and from sparse weights, as torch computes and with denormals flushed.

    Of the sparse weights nearly all units are dead: the loss does not reach them, and the penalty pulls them to 0.
    """
    trained, _ = minimise(task, params, Optimization(passes, lr=0.05), 0)
    pruned = start(trained, weights_only(Joint(KeepLargest(1 - zeros)), trained))
    penalty, how = QuadraticPenalty(pruned, 1.0), Optimization(passes, lr=1e-3, optimizer=adam)

    def step(weights: Params, *, flush: bool) -> Callable[[], object]:
        def run() -> None:
            torch.set_flush_denormal(flush)
            try:
                minimise(task, weights, how, 0, penalty, 1.0)
            finally:
                torch.set_flush_denormal(False)

        return run

    return {
        f"Adam, {name}{', flushed' if flush else ''}": step(weights, flush=flush)
        for name, weights in (("dense", trained), (f"{zeros:.0%} zeros", pruned.params))
        for flush in (False, True)
    }


def timed(loops: dict[str, Callable[[], object]], rounds: int, passes: int) -> dict[str, list[float]]:
    """Return CPU seconds of a pass over the data, by loop, one for each round."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for round_ in range(rounds + 1):
        for name, loop in loops.items():
            began = time.process_time()
            loop()
            if round_:  # the first round warms up
                times[name].append((time.process_time() - began) / passes)
    return times


def report(times: dict[str, list[float]], base: str, options: argparse.Namespace) -> None:
    """Print the median of each loop, and of its ratio to ``base``."""
    print(f"{options.net} on {options.data}, batches of 128, one thread, CPU seconds per epoch, median")
    for name, found in times.items():
        ratios = [t / p for t, p in zip(found, times[base], strict=True)]
        print(f"{name:24s} {statistics.median(found):8.4f} s   {statistics.median(ratios):.3f} x {base}")


if __name__ == "__main__":
    main()

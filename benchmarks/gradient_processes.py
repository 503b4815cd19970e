"""Steps a second of two processes that share a batch by gloo, beside one: LeNet-5 on MNIST, each way for gradients.

    python benchmarks/gradient_processes.py --data-dir DIR [--steps 40] [--batch 64] [--seed 0]

The processes are on this machine, each on one thread: no network is between them, so that what is seen is what coding
and handing over cost. Seconds are of the clock, after a first step, and go by whatever else runs: two cores must be
free. Weights are compared at the end: they are equal, bit by bit.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from record import say

from laconic.cli.jobs.tasks import task_of
from laconic.machines.catalogue import scheme_of
from laconic.machines.exchange import Exchange, warm_up
from laconic.machines.processes import joined
from laconic.machines.wires import InOneProcess, Wires
from laconic.machines.workers import Workers
from laconic.models.params import params_of
from laconic.training.batches import Batches
from laconic.training.optimization import Optimization, nesterov, plain
from laconic.training.task import Task
from laconic.training.trainer import start_training, train

WAYS = ("float32", "bfloat16", "terngrad", "qsgd:7", "dgc:0.001")


def steps_a_second(task: Task, way: str, wires: Wires, given: argparse.Namespace) -> float:
    """Return how many steps a second this worker and the others take; the first is not counted."""
    shapes = {name: tuple(leaf.shape) for name, leaf in task.module.named_parameters()}
    several = Workers(Exchange(scheme_of(way), wires, shapes, given.seed))
    rule = plain if several.exchange.scheme.memory.has_momentum else nesterov
    batches, began = task.split("train"), list[float]()

    def some(seed: int) -> Iterator[Any]:
        for number, batch in enumerate(batches.epoch(seed)):
            if number == 1:
                began.append(time.perf_counter())
            if number > given.steps:
                return
            yield batch

    few = replace(task, train=Batches(some, given.steps + 1))
    for state in train(few, start_training(params_of(task.module)), Optimization(1, 0.02, optimizer=rule), given.seed,
                       gradients=several):  # fmt: skip
        took = time.perf_counter() - began[0]
        several.require_same(state.weights)
    return given.steps / took


def worker(rank: int, folder: str, given: argparse.Namespace) -> None:
    """Measure every way; worker 0 says what comes of it."""
    torch.set_num_threads(1)
    task = task_of("lenet5", "mnist", given.data_dir, None, {}, batch=given.batch, seed=given.seed)
    for way in WAYS:
        warm_up(scheme_of(way), server=False)
    with joined(lambda: dist.init_process_group("gloo", f"file://{folder}/meeting", world_size=2, rank=rank)) as wires:
        for way in WAYS:
            both = steps_a_second(task, way, wires, given)
            if rank == 0:
                alone = steps_a_second(task, way, InOneProcess(1), given)
                say(f"| {way} | {alone:.1f} | {both:.1f} |")
            wires.gather([b"done"])  # the other waits while one is alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    say(f"LeNet-5, {given.steps} steps of {given.batch} samples, steps a second")
    say("| gradients | one worker, which codes | two processes |")
    say("|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(worker, (folder, given), nprocs=2)


if __name__ == "__main__":
    main()

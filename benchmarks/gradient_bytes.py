"""Bytes a step of each way for gradients to travel, and what coding them takes: LeNet-5 on MNIST.

    python benchmarks/gradient_bytes.py --data-dir DIR [--workers 4] [--steps 40] [--batch 64] [--seed 0]

Workers are played in one process, with the messages of processes. Each way trains the same network from its first
weights, `laconic train`'s SGD, so many steps of the same batches; bytes are means over steps and workers: pushed by
each to all others, and, through a server, pulled. Milliseconds are CPU time of a step of all workers in that one
process, gradients and coding, on one thread. DGC sends what it does after its warm-up.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from record import say

from laconic.cli.jobs.tasks import task_of
from laconic.machines.catalogue import scheme_of
from laconic.machines.exchange import Exchange
from laconic.machines.wires import InOneProcess
from laconic.machines.workers import Workers
from laconic.models.params import params_of
from laconic.training.batches import Batches
from laconic.training.optimization import Optimization, nesterov, plain
from laconic.training.task import Task
from laconic.training.trainer import start_training, train

WAYS = (
    "float32", "bfloat16", "terngrad:2 bits", "terngrad:base 3", "terngrad", "qsgd:7", "qsgd:1", "clustered:16",
    "clustered:4", "signs", "topk:0.01", "topk:0.001", "dgc:0.001",
)  # fmt: skip


def measured(task: Task, way: str, workers: int, seed: int, *, server: bool) -> tuple[float, float, float]:
    """Return bytes that a worker pushes and pulls a step, and seconds a step."""
    shapes = {name: tuple(leaf.shape) for name, leaf in task.module.named_parameters()}
    several = Workers(Exchange(scheme_of(way), InOneProcess(workers), shapes, seed, server))
    rule = plain if several.exchange.scheme.memory.has_momentum else nesterov
    how = Optimization(1, 0.02, optimizer=rule)
    began = time.process_time()
    for _ in train(task, start_training(params_of(task.module)), how, seed, gradients=several):
        pass
    return *several.bytes_a_step, (time.process_time() - began) / several.step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    whole = task_of("lenet5", "mnist", given.data_dir, None, {}, batch=given.batch, seed=given.seed)
    batches = whole.split("train")
    task = replace(whole, train=Batches(lambda seed: islice(batches.epoch(seed), given.steps), given.steps))
    numbers = sum(leaf.numel() for leaf in task.module.parameters())
    say(f"LeNet-5, {numbers:,} weights, {given.workers} workers, {given.steps} steps of {given.batch} samples")
    say("| gradients | pushed | times less | bits a weight | pulled from a server | ms a step |")
    say("|---|---:|---:|---:|---:|---:|")
    few = replace(task, train=Batches(lambda seed: islice(batches.epoch(seed), 2), 2))
    for way in WAYS:
        measured(few, way, given.workers, given.seed, server=False)  # machine code is loaded
        pushed, _, seconds = measured(task, way, given.workers, given.seed, server=False)
        _, pulled, _ = measured(task, way, given.workers, given.seed, server=True)
        say(
            f"| {way} | {pushed:,.0f} | {4 * numbers / pushed:.1f} | {8 * pushed / numbers:.2f} | {pulled:,.0f} "
            f"| {1000 * seconds:.0f} |"
        )


if __name__ == "__main__":
    main()

"""How long a step of up to 512 workers would take on links of 1, 10 and 100 Gbit/s: a model with measured numbers.

    python benchmarks/gradient_time.py --data-dir DIR [--net lenet5] [--batch 64] [--steps 20] [--seed 0]

The model and what it assumes is `laconic.machines.timing`: nothing overlaps, and each worker has the whole batch, so
that more workers see more samples a second. Measured are, on one thread of this machine, seconds of CPU for a gradient
and for coding and decoding it after some steps of training, and the bytes of a message. PowerSGD's are those of its two
products and the orthogonalization at rank 2, its bytes those of the two factors. Printed are milliseconds a step; what
can be added up on its way is marked +.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
from pathlib import Path

import torch
from record import say

from laconic.cli.jobs.tasks import task_of
from laconic.experiments.recipes.terngrad.costs import gradient_of, measured
from laconic.experiments.recipes.terngrad.runs import WAYS
from laconic.machines.timing import Network, step_seconds

WORKERS = (1, 2, 8, 32, 128, 512)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--net", default="lenet5")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = "mnist" if given.net.startswith("lenet") else "cifar10"
    task = task_of(given.net, data, given.data_dir, None, {}, batch=given.batch, seed=given.seed)
    gradient, compute = gradient_of(task, given.steps, given.seed)
    ways = {way: measured(gradient, way, compute, given.steps) for way in WAYS}
    say(f"{given.net}, {given.batch} samples a worker, {1000 * compute:.1f} ms for a gradient")
    say("| Gbit/s | gradients | bytes | encode, decode (ms) | " + " | ".join(f"N = {n}" for n in WORKERS) + " |")
    say("|---:|---|---:|---:|" + "---:|" * len(WORKERS))
    for gigabits in (1, 10, 100):
        for name, one in ways.items():
            times = (1000 * step_seconds(one, Network(gigabits * 1e9 / 8), n) for n in WORKERS)
            say(
                f"| {gigabits} | {name}{' +' if one.adds_up else ''} | {one.message:,.0f} "
                f"| {1000 * one.encode:.1f}, {1000 * one.decode:.1f} | " + " | ".join(f"{t:.1f}" for t in times) + " |"
            )


if __name__ == "__main__":
    main()

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
import time
from collections.abc import Callable
from pathlib import Path

import torch
from record import say
from torch import Tensor

from laconic.cli.jobs.tasks import task_of
from laconic.machines.catalogue import scheme_of
from laconic.machines.scheme import PLAIN
from laconic.machines.timing import Measured, Network, step_seconds
from laconic.models.params import params_of
from laconic.training.task import Task, mode

ADD_UP = ("float32", "bfloat16")
GATHERED = ("terngrad", "qsgd:7", "dgc:0.001")
WORKERS = (1, 2, 8, 32, 128, 512)
RANK = 2


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the seconds of CPU that ``work`` takes, after a first time."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def gradient_of(task: Task, steps: int) -> tuple[dict[str, Tensor], float]:
    """Return the gradient after some steps of plain SGD, and the seconds that one takes."""
    weights = {name: tensor.clone().requires_grad_() for name, tensor in params_of(task.module).items()}
    batches = task.batches("train", 0)

    def backward(batch: object) -> dict[str, Tensor]:
        loss = task.loss(task.outputs(weights, batch), batch)
        return dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))

    with mode(task.module, training=True):
        for _ in range(steps):
            gradient = backward(next(batches))
            with torch.no_grad():
                for name, weight in weights.items():
                    weight -= 0.05 * gradient[name]
        batch = next(batches)
        return backward(batch), seconds(lambda: backward(batch), steps)


def coded(gradient: dict[str, Tensor], name: str, compute: float, times: int) -> Measured:
    """Return what a step with a codec is made of."""
    scheme, shapes = scheme_of(name), {key: tuple(g.shape) for key, g in gradient.items()}
    alone, generator = scheme.left_alone(shapes), torch.Generator()
    codecs = {key: PLAIN if key in alone else scheme.codec for key in gradient}

    def encode() -> dict[str, bytes]:
        return {key: codecs[key].encode(g, generator) for key, g in gradient.items()}

    messages = encode()

    def decode() -> list[Tensor]:
        return [codecs[key].decode(data, shapes[key]) for key, data in messages.items()]

    size = sum(map(len, messages.values()))
    return Measured(compute, seconds(encode, times), seconds(decode, times), size, adds_up=name in ADD_UP)


def powersgd(gradient: dict[str, Tensor], compute: float, times: int) -> Measured:
    """Return the same for PowerSGD."""
    matrices = [g.reshape(len(g), -1) for g in gradient.values() if g.ndim >= 2]
    factors = [torch.randn(m.shape[1], RANK) for m in matrices]

    def encode() -> list[tuple[Tensor, Tensor]]:
        lefts = [torch.linalg.qr(m @ q)[0] for m, q in zip(matrices, factors, strict=True)]
        return [(p, m.T @ p) for m, p in zip(matrices, lefts, strict=True)]

    pairs = encode()
    size = sum(4 * (p.numel() + q.numel()) for p, q in pairs)
    size += sum(4 * g.numel() for g in gradient.values() if g.ndim < 2)
    return Measured(
        compute, seconds(encode, times), seconds(lambda: [p @ q.T for p, q in pairs], times), size, adds_up=True
    )


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
    gradient, compute = gradient_of(task, given.steps)
    ways = {name: coded(gradient, name, compute, given.steps) for name in (*ADD_UP, *GATHERED)}
    ways[f"powersgd:{RANK}"] = powersgd(gradient, compute, given.steps)
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

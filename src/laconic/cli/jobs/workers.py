"""Several workers on the command line: processes that torchrun has started, or all of them in this one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from laconic.cli.console import Output, in_bytes
from laconic.cli.schedule import Machines
from laconic.errors import DataError
from laconic.machines.catalogue import scheme_of
from laconic.machines.exchange import Exchange, warm_up
from laconic.machines.largest import Largest
from laconic.machines.processes import joined
from laconic.machines.wires import InOneProcess, Wires
from laconic.machines.workers import Workers
from laconic.models.params import Params

PLAIN = "float32"
"""How gradients travel unless somebody says."""


@contextmanager
def connected(options: Machines) -> Iterator[Wires | None]:
    """Give what connects the workers that train; None where there is one, and nothing to exchange.

    Raises:
        DataError: for options that go with several workers alone, and for both kinds at once.
        PlanError: for a name of gradients that is none.
        WorkersError: when the others do not come.
    """
    started = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR"))  # by torchrun, and its kin
    if started and options.simulate_workers:
        raise DataError("--simulate-workers plays all workers in one process: leave it out under torchrun")
    if started:
        warm_up(scheme_of(options.gradients or PLAIN), server=options.server)  # before the clock of the group starts
        limit = timedelta(seconds=options.timeout)
        with joined(lambda: dist.init_process_group("gloo", timeout=limit)) as wires:
            yield wires
    elif options.simulate_workers:
        yield InOneProcess(options.simulate_workers)
    elif options.gradients or options.server:
        raise DataError(
            f"{'--gradients' if options.gradients else '--server'} is for several workers: start them with "
            "torchrun --nproc-per-node 2 -m laconic ..., or play them here with --simulate-workers 2 (1: alone)"
        )
    else:
        yield None


def heard(say: Output, wires: Wires | None) -> Output:
    """Return how this process talks: not at all, unless worker 0 is in it."""
    return say if wires is None or 0 in wires.own else replace(say, quiet=True, json=False)


def exchange_of(
    options: Machines, wires: Wires, shapes: Mapping[str, tuple[int, ...]], seed: int, epoch: int
) -> Exchange:
    """Return how these workers exchange gradients; DGC warms up over the first epochs.

    Args:
        options: as typed.
        wires: between the workers.
        shapes: of all leaves.
        seed: of rounding.
        epoch: batches in one.

    Raises:
        PlanError: for a name that is none.
    """
    scheme = scheme_of(options.gradients or PLAIN)
    if scheme.memory.has_momentum and isinstance(scheme.codec, Largest):
        scheme = replace(scheme, warm_up=epoch)
    return Exchange(scheme, wires, shapes, seed, options.server)


def labels_of(options: Machines, wires: Wires | None) -> dict[str, str]:
    """Return what must be the same when a run goes on: not who the workers are, nor how messages get about."""
    count = wires.count if wires else 1
    return {"workers": str(count), "--gradients": options.gradients or (PLAIN if wires else "")}


def traffic(workers: Workers, options: Machines, leaves: Params) -> tuple[dict[str, Any], str]:
    """Return what went over the wires as a record and as a sentence."""
    exchange = workers.exchange
    pushed, pulled = workers.bytes_a_step
    plain = sum(4 * leaf.numel() for leaf in leaves.values())
    record = {
        "workers": exchange.wires.count, "gradients": options.gradients or PLAIN, "server": exchange.server,
        "steps": workers.step, "pushed_a_step": round(pushed, 1), "pulled_a_step": round(pulled, 1),
        "float32_a_step": plain,
    }  # fmt: skip
    if not pushed:
        return record, f"{record['workers']} workers have made no step"
    text = (
        f"{record['workers']} workers, gradients as {record['gradients']}: each pushed {in_bytes(pushed)} a step and "
        f"pulled {in_bytes(pulled)}; float32 is {in_bytes(plain)}, {plain / pushed:.1f} times what was pushed"
    )
    return record, text

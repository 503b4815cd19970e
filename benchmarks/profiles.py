"""What a profile is worth: predicted beside measured time of networks, and the layouts that two machines want.

    python benchmarks/profiles.py --profile here.toml [--device examples/device_256kb.toml] [-o FILE.json]

`laconic profile -o here.toml` measures the machine; without --profile it is measured first, on one thread. Networks
have random weights, and run in torch as they are, on one thread, timed by the clock of its own work: the median and the
least of as many runs as two seconds hold. What is predicted of them is the time with every weight in rows. No layer of
theirs is among those that are measured for a profile.
"""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import record
import torch

from laconic.cli.jobs.cost import said_of
from laconic.csteps.costs import Time
from laconic.csteps.profile import Profile, Setting
from laconic.csteps.profile_file import load_profile
from laconic.deploy.costing import cost_of, settings_of
from laconic.deploy.profiling import measure
from laconic.deploy.runtimes import Torch
from laconic.format.codes import DenseCode
from laconic.models.counting import counted
from laconic.models.nets import NETS, build
from laconic.models.params import to_numpy

PREDICTED = ("lenet300", "lenet5", "resnet20")
LAID_OUT = ("lenet300", "lenet5", "resnet20", "vgg16")
BATCHES = (1, 32)


def predicted(profile: Profile, seconds: float) -> list[dict[str, Any]]:
    """Return for each network and batch the predicted and the measured seconds of a run."""
    torch.set_num_threads(1)
    found = []
    for name in PREDICTED:
        module = build(name).eval()
        example = torch.zeros(1, *NETS[name].shape)
        count, codes = counted(module, lambda m=module, x=example: m(x)), dense(module)
        for batch in BATCHES:
            inputs = torch.rand(batch, *NETS[name].shape, generator=torch.Generator().manual_seed(0))

            def run(module: torch.nn.Module = module, inputs: torch.Tensor = inputs) -> torch.Tensor:
                with torch.inference_mode():
                    return module(inputs)

            told, took = batch * cost_of(count, codes, profile, batch, Setting()).total("seconds"), timed(run, seconds)
            middle, least = statistics.median(took), min(took)
            found.append({"net": name, "batch": batch, "predicted": told, "median": middle, "least": least})
    return found


def timed(run: Callable[[], object], seconds: float) -> list[float]:
    """Return the seconds of runs on one thread, by the clock of its own work, after three that warm up."""
    for _ in range(3):
        run()
    times, end = list[float](), time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return times


def layouts(profiles: list[Profile], batch: int) -> list[dict[str, Any]]:
    """Return for each weight of each network its best setting on each machine, where these are not the same."""
    found = []
    for name in LAID_OUT:
        module = build(name).eval()
        example = torch.zeros(1, *NETS[name].shape)
        uses, codes = counted(module, lambda m=module, x=example: m(x)).uses(), dense(module)
        best = [settings_of(codes, Time.of_profile(profile, uses, batch)) for profile in profiles]
        for weight in best[0]:
            said = [said_of(settings[weight][0]._replace(threads=1)) for settings in best]
            if len(set(said)) > 1:
                found.append({"net": name, "weight": weight, "batch": batch, "layouts": said})
    return found


def dense(module: torch.nn.Module) -> dict[str, DenseCode]:
    """Return the weights of a network as they are."""
    return {name: DenseCode.of(to_numpy(tensor.detach())) for name, tensor in module.named_parameters()}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", type=Path, help="of this machine; it is measured unless given")
    parser.add_argument("--device", type=Path, default=Path(__file__).parents[1] / "examples" / "device_256kb.toml")
    parser.add_argument("--seconds", type=float, default=2.0, help="of runs of each network and batch")
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    args = parser.parse_args()
    profile = load_profile(args.profile) if args.profile else measure(Torch(), (1,))
    device = load_profile(args.device)
    times = predicted(profile, args.seconds)
    print("| network | batch | predicted, µs | measured, µs: median | least | predicted / median | / least |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in times:
        told, middle, least = (row[key] for key in ("predicted", "median", "least"))
        figures = (
            f"{1e6 * told:,.0f} | {1e6 * middle:,.0f} | {1e6 * least:,.0f} | {told / middle:.2f} | {told / least:.2f}"
        )
        print(f"| {row['net']} | {row['batch']} | {figures} |")
    laid = [row for batch in BATCHES for row in layouts([profile, device], batch)]
    print(f"\n| weight | batch | {profile.name} | {device.name} |\n|---|---:|---|---|")
    for row in laid:
        print(f"| {row['net']} {row['weight']} | {row['batch']} | {' | '.join(row['layouts'])} |")
    machines = [
        {"name": p.name, "runtime": p.runtime, "version": p.version, "caches": p.caches} for p in (profile, device)
    ]
    record.save(args.output, {"machines": machines, "times": times, "layouts": laid, **record.environment(seed=0)})


if __name__ == "__main__":
    main()

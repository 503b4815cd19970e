"""CPU time of SSDLite on MobileNetV1 and V2 for one image of 320x320, through torch and through exported graphs.

    python benchmarks/detector_time.py [--turns 15] [-o recipes/detector-time.json]

Table 6 of MobileNetV2 has 270 and 200 ms on a telephone. Weights are random: times do not depend on them. All are
called by turns on one thread; times are those of the process on its core, not of the clock on the wall; medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import record
import torch
from torch import nn

from laconic.deploy.calls import Call
from laconic.deploy.graph import graph_of
from laconic.deploy.session import Session
from laconic.models.nets.ssd import Detector, initialize_detector

PUBLISHED = {"mobilenet-v1": 270, "mobilenet-v2": 200}
"""Milliseconds in table 6, on the large core of a Google Pixel 1 by TensorFlow Lite."""

WARM = 3


def in_torch(module: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """Return a call of a module without gradients."""

    def call() -> object:
        with torch.inference_mode():
            return module(images)

    return call


def exported(module: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """Return a call of the graph that `laconic.export` writes for a network."""
    session = Session.of(graph_of(module, Call((images,), {})), 1)
    feeds = session.feeds(Call((images,), {}))
    return lambda: session.run(feeds)


def cpu_times(runs: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Return the milliseconds of CPU time of each call, all called by turns."""
    took: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(WARM + turns):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if turn >= WARM:
                took[name].append(1e3 * (time.process_time() - start))
        record.say(f"turn {turn + 1} of {WARM + turns}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    noise = torch.Generator().manual_seed(options.seed)
    images, runs = torch.randn(1, 3, 320, 320, generator=noise), dict[str, Callable[[], object]]()
    for base in PUBLISHED:
        module = Detector((3, 320, 320), 80, base=base).eval()
        initialize_detector(module, noise)
        runs[f"{base}, torch"] = in_torch(module, images)
        runs[f"{base}, onnxruntime"] = exported(module, images)
    took = cpu_times(runs, options.turns)
    rows = list[dict[str, Any]]()
    print("| runtime | V1, ms | V2, ms | V1 / V2 | in print |")
    print("|---|--:|--:|--:|--:|")
    for runtime in ("torch", "onnxruntime"):
        one, other = (took[f"{base}, {runtime}"] for base in PUBLISHED)
        ratio = statistics.median(a / b for a, b in zip(one, other, strict=True))
        ms = [statistics.median(own) for own in (one, other)]
        rows.append({"runtime": runtime, "V1 ms": round(ms[0], 2), "V2 ms": round(ms[1], 2), "ratio": round(ratio, 3)})
        print(f"| {runtime} | {ms[0]:.1f} | {ms[1]:.1f} | {ratio:.2f} | {270 / 200:.2f} |")
    about = {"experiment": "detector-time", "published ms": PUBLISHED, "turns": options.turns}
    record.save(options.output, {**about, **record.environment(options.seed, 1), "rows": rows})


if __name__ == "__main__":
    main()

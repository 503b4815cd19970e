"""How closely sizes are met: random small networks and random sizes, each of which is a budget.

    python benchmarks/budgets.py [--networks 1000] [-o FILE.json]

A network has one to five tensors, matrices and kernels of 3 x 3, normal, Laplacian or heavy-tailed, some with scales of
octaves in their rows, some pruned, some float16. Sizes are four a network, 0.03 to 7 bits a weight, but none below 120
bytes, and none that is refused because zeros and names alone take more. Printed is how many sizes are met within 1 %,
in files of 300 bytes and more and in smaller ones, and every one that is not.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import record
from record import say

from laconic.errors import PlanError
from laconic.quantize.budget import NEAR, QUALITIES, Budget, fit

LEAST, SMALL = 120, 300
"""Bytes of the smallest file that is asked for, and from which one is no longer small."""

EXACT = 150.0
"""dB above which nothing is left that more bytes could tell: float32 has 24 bits."""

BITS = (0.03, 7.0)


def network(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a random network."""
    found = {}
    for place in range(int(rng.integers(1, 6))):
        kernels = rng.random() < 1 / 3
        shape = (*np.exp(rng.uniform(1, 4 if kernels else 5.5, 2)).astype(int).tolist(), *((3, 3) if kernels else ()))
        weights = (rng.normal, rng.laplace)[int(rng.integers(2))](size=shape)
        if rng.random() < 0.3:
            weights *= np.exp2(rng.uniform(-4, 4, (shape[0], *[1] * (len(shape) - 1))))
        if rng.random() < 0.2:
            weights *= rng.random(shape) < rng.uniform(0.02, 0.5)
        if rng.random() < 0.2:
            weights = rng.standard_t(3, size=shape)
        found[f"t{place}"] = (weights * np.exp2(rng.uniform(-6, 6))).astype(rng.choice(["f4", "f4", "f2"]))
    return found


def measure(networks: int, seed: int) -> dict[str, Any]:
    """Return how many sizes are met, and those that are not."""
    small, large = ({"sizes": 0, "met": 0, "over": 0} for _ in range(2))
    short: list[dict[str, Any]] = []
    for number in range(networks):
        rng = np.random.default_rng([seed, number])
        net, quality = network(rng), str(rng.choice(list(QUALITIES)))
        elements = sum(array.size for array in net.values())
        for bits in np.exp(rng.uniform(*np.log(BITS), 4)).tolist():
            size = int(bits * elements / 8)
            if size < LEAST:
                continue
            try:
                found = fit(net, Budget(size=size), QUALITIES[quality])
            except PlanError:
                continue
            account, met = small if size < SMALL else large, size * (1 - NEAR) <= found.file_bytes
            account["sizes"] += 1
            account["met"] += met
            account["over"] += found.file_bytes > size
            if not met:
                short.append(
                    {"size": size, "bytes": found.file_bytes, "bits": bits, "quality": quality, "snr": found.snr}
                )
        if number % 100 == 99:
            say(f"{number + 1} of {networks} networks")
    return {"small": small, "large": large, "exact": sum(one["snr"] > EXACT for one in short), "short": short}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    figures = measure(options.networks, options.seed)
    print("| files | sizes | met within 1 % | over |\n|---|---:|---:|---:|")
    for name, account in ((f"{LEAST} to {SMALL - 1} bytes", "small"), (f"from {SMALL} bytes on", "large")):
        print(f"| {name} | {figures[account]['sizes']} | {figures[account]['met']} | {figures[account]['over']} |")
    print(f"\nNot met, {figures['exact']} of them above {EXACT:.0f} dB, where nothing is left to tell:\n")
    print("| size | bytes | bits a weight | quality | SNR, dB |\n|---:|---:|---:|---|---:|")
    for one in sorted(figures["short"], key=lambda one: one["size"]):
        print(f"| {one['size']} | {one['bytes']} | {one['bits']:.3f} | {one['quality']} | {one['snr']:.2f} |")
    record.save(options.output, {"experiment": "budgets", **record.environment(options.seed), "figures": figures})


if __name__ == "__main__":
    main()

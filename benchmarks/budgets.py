"""How closely sizes are met: random small networks and random sizes, each of which is a budget.

    python benchmarks/budgets.py [--networks 1000] [-o FILE.json]
    python benchmarks/budgets.py --networks 20 --set aim=0.999 --set learning=2 [-o FILE.json]

A network has one to five tensors, matrices and kernels of 3 x 3, normal, Laplacian or heavy-tailed, some with scales of
octaves in their rows, some pruned, some float16. Sizes are four a network, 0.03 to 7 bits a weight, but none below 120
bytes, and none that is refused because zeros and names alone take more. Printed is how many sizes are met within 1 %,
in files of 300 bytes and more and in smaller ones, and every one that is not.

With ``--set`` the same networks, and some of 400,000 and of 5 million weights, are compressed once as they are and once
with each constant of the search (`laconic.quantize.budget.Tuning`) changed alone. Printed is what that does: how many
sizes are met, how the files' bytes and their SNR change, the SNR less 6.02 dB for each bit a weight as well, passes,
integers chosen for each weight, samples included, and CPU time.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import record
from record import say

from laconic.errors import PlanError
from laconic.quantize.budget import NEAR, QUALITIES, TUNED, Budget, Tools, Tuning, fit
from laconic.quantize.lattice import assigned

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


DECIBELS = 20 * math.log10(2)
"""What a bit a weight is worth."""

Network = dict[str, np.ndarray]
Case = tuple[Network, Budget, Tools]


@final
@dataclass
class Account:
    """What compressions came to: one entry each."""

    met: list[bool]
    bytes: list[int]
    snr: list[float]
    bits: list[float]
    passes: list[int]
    runs: list[float]
    seconds: float = 0.0

    def beside(self, other: "Account") -> dict[str, float]:
        """Return the means, those of sizes and errors as changes of what ``other`` has where neither is refused."""
        both = (np.array(self.bytes) > 0) & (np.array(other.bytes) > 0)
        sizes = np.array(self.bytes)[both] / np.array(other.bytes)[both] - 1
        snr = np.array(self.snr)[both] - np.array(other.snr)[both]
        level = snr - DECIBELS * (np.array(self.bits)[both] - np.array(other.bits)[both])
        finite = np.isfinite(level)
        return {
            "met": sum(self.met), "bytes, %": 100 * float(sizes.mean()), "dB": float(snr[finite].mean()),
            "dB at equal bits": float(level[finite].mean()), "passes": float(np.mean(self.passes)),
            "runs": float(np.mean(self.runs)), "CPU, s": self.seconds,
        }  # fmt: skip


def large(seed: int, count: int, laplace: bool) -> Network:
    """Return a network of four matrices with rows of unlike spreads."""
    rng, found = np.random.default_rng([seed, count, laplace]), {}
    for place, share in enumerate((0.4, 0.3, 0.2, 0.1)):
        shape = (int(count * share / 1000), 1000)
        weights = rng.laplace(size=shape) if laplace else rng.standard_normal(shape)
        found[f"t{place}"] = (weights * 2.0 ** (rng.uniform(-1, 1, (shape[0], 1)) - place)).astype(np.float32)
    return found


def cases(networks: int, seed: int) -> list[Case]:
    """Return random small networks with their sizes, and larger ones."""
    found: list[Case] = []
    for number in range(networks):
        rng = np.random.default_rng([seed, number])
        net, quality = network(rng), str(rng.choice(list(QUALITIES)))
        elements = sum(array.size for array in net.values())
        sizes = [int(bits * elements / 8) for bits in np.exp(rng.uniform(*np.log(BITS), 4)).tolist()]
        found += [(net, Budget(size=size), QUALITIES[quality]) for size in sizes if size >= SMALL]
    for laplace in (False, True):
        middle, more = large(seed, 400_000, laplace), large(seed, 5_000_000, laplace)
        found += [(middle, budget, QUALITIES["default"]) for budget in (Budget(bits=1), Budget(snr=15))]
        found.append((more, Budget(snr=18) if laplace else Budget(bits=2), QUALITIES["default"]))
    return found


@contextmanager
def counting() -> Iterator[list[int]]:
    """Give a list that tells with how many weights the kernels are called meanwhile."""
    kernels, many = {name: getattr(assigned, name) for name in ("paths", "abreast", "nearest")}, [0]

    def counted(kernel: Any) -> Any:
        def call(values: np.ndarray, *rest: Any) -> np.ndarray:
            many[0] += len(values)
            return np.asarray(kernel(values, *rest))

        return call

    for name, kernel in kernels.items():
        setattr(assigned, name, counted(kernel))
    try:
        yield many
    finally:
        for name, kernel in kernels.items():
            setattr(assigned, name, kernel)


def compressed(todo: Sequence[Case], tuning: Tuning) -> Account:
    """Return what compressions come to; one that is refused has no bytes."""
    account = Account([], [], [], [], [], [])
    start = time.process_time()
    for net, budget, tools in todo:
        elements = sum(array.size for array in net.values())
        with counting() as many:
            try:
                found = fit(net, budget, tools, threads=1, tuning=tuning)
            except PlanError:
                found = None
        allowed = budget.bytes(elements, None)
        account.met.append(found is not None and (allowed is None or found.file_bytes >= allowed * (1 - NEAR)))
        account.bytes.append(found.file_bytes if found else 0)
        account.snr.append(found.snr if found else math.inf)
        account.bits.append(8 * found.file_bytes / elements if found else 0.0)
        account.passes.append(found.passes if found else 0)
        account.runs.append(many[0] / elements)
    account.seconds = time.process_time() - start
    return account


def changes(networks: int, seed: int, settings: Sequence[str]) -> dict[str, Any]:
    """Return what each setting, NAME=VALUE, changes."""
    kinds = {name: type(value) for name, value in asdict(TUNED).items()}
    todo, found = cases(networks, seed), {}
    compressed([*todo[:4], *todo[-2:]], TUNED)  # kernels are compiled
    usual = compressed(todo, TUNED)
    found["as it is"] = usual.beside(usual)
    for setting in settings:
        name, value = setting.split("=")
        if name not in kinds:
            raise SystemExit(f"{name} is no constant of the search; these are: {', '.join(kinds)}")
        tuning = replace(TUNED, **{name: kinds[name](float(value))})
        row = found[f"{name} {getattr(TUNED, name):g} → {value}"] = compressed(todo, tuning).beside(usual)
        say(f"{setting}: " + ", ".join(f"{value:.3f} {head}" for head, value in row.items()))
    return {"compressions": len(todo), "changes": found}


def print_changes(figures: dict[str, Any]) -> None:
    """Print the table."""
    heads = list(figures["changes"]["as it is"])
    print(f"{figures['compressions']} compressions\n")
    print(f"| constant | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    for name, row in figures["changes"].items():
        cells = [f"{row[head]:.0f}" if head == "met" else f"{row[head]:.3f}" for head in heads]
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help="measure another value of a constant")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    if options.set:
        changed = changes(options.networks, options.seed, options.set)
        print_changes(changed)
        record.save(options.output, {"experiment": "tuning", **record.environment(options.seed), "figures": changed})
        return
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

"""Compression from beginning to end: bfloat16 weights in memory to codes within 3 bits each, in a fresh process.

    python benchmarks/end_to_end.py [--weights 100000000] [--threads 1 2] [--repeats 3] [--against COMMIT]
        [-o FILE.json]

The network is one embedding of a fifth of the weights and sixteen matrices of unlike spreads. Counted is the time of
`laconic.compress` alone: no weights are made, nothing is compiled and nothing is written meanwhile. Numbers of threads
take turns, and of each its fastest run counts, for what else a machine does only makes runs longer. A run of a kernel
is one integer chosen for one weight. With ``--against`` the package of another commit is measured in the same way,
once, with its own number of threads, before the one that is here.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import inspect
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from record import say

ROOT = Path(__file__).resolve().parents[1]

RATE, COLUMNS, MATRICES = 3.0, 1000, 16
"""Bits a weight; columns of each tensor; matrices beside the embedding, which together are four times as large."""

ASSIGNED = ("laconic.quantize.lattice.assigned", "laconic.lattice.assigned")
"""Where the kernels are called: today, and before districts were districts."""


def network(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return about ``count`` Gaussian weights, bfloat16, rows of unlike spreads."""
    rng, shares = np.random.default_rng(seed), [0.2, *[0.8 / MATRICES] * MATRICES]
    found = {}
    for place, share in enumerate(shares):
        rows = max(int(count * share / COLUMNS), 8)
        spread = np.exp2(rng.uniform(-1, 1, (rows, 1)) - place / 8).astype(np.float32)
        weights = rng.standard_normal((rows, COLUMNS), np.float32) * spread
        found[f"{place}.weight"] = torch.from_numpy(weights).to(torch.bfloat16)
    return found


def counted(module: Any, name: str, runs: dict[str, int]) -> None:
    """Count the weights that a kernel is called with."""
    kernel: Callable[..., Any] = getattr(module, name)

    def call(values: np.ndarray, *rest: Any) -> Any:
        runs[name] = runs.get(name, 0) + len(values)
        return kernel(values, *rest)

    setattr(module, name, call)


def alone(count: int, threads: int) -> dict[str, Any]:
    """Return what one compression took, in this process, by whichever package is on the path."""
    import laconic

    how = {"threads": threads} if "threads" in inspect.signature(laconic.compress).parameters else {}
    budget = laconic.Budget(bits=RATE)
    laconic.compress(network(400_000), budget, **how)  # kernels are compiled, tables made
    weights = network(count)
    elements = sum(tensor.numel() for tensor in weights.values())
    modules = [sys.modules[name] for name in ASSIGNED if name in sys.modules] or [import_module(ASSIGNED[0])]
    runs: dict[str, int] = {}
    for name in ("paths", "abreast", "nearest"):
        if hasattr(modules[0], name):
            counted(modules[0], name, runs)
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = laconic.compress(weights, budget, **how).fitted
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert fitted is not None, "a budget was named"
    return {
        "weights": elements, "threads": threads if how else 1, "cpu": cpu, "wall": wall,
        "runs": sum(runs.values()) / elements, "passes": fitted.passes, "bits": 8 * fitted.file_bytes / elements,
        "snr": fitted.snr,
    }  # fmt: skip


def measured(source: Path, count: int, threads: int) -> dict[str, Any]:
    """Return what `alone` does in a fresh process, with the package that lies in ``source``."""
    command = [sys.executable, __file__, "--alone", "--weights", str(count), "--threads", str(threads)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{source}: {done.stderr}")
    return dict(json.loads(done.stdout))


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """Give a folder with the files of a commit, and remove it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--detach", place, commit], cwd=ROOT, check=True, capture_output=True)
        try:
            yield place
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", place], cwd=ROOT, check=True, capture_output=True)


def measure(count: int, threads: Sequence[int], against: str | None, repeats: int = 3) -> dict[str, Any]:
    """Return what compression takes with each number of threads, and by another commit."""
    figures: dict[str, Any] = {"here": {}}
    if against:
        with worktree(against) as place:
            say(f"end to end: {count:,} weights by {against}")
            figures["against"] = {"commit": against, **measured(place / "src", count, 1)}
    rows: dict[str, list[dict[str, Any]]] = {str(number): [] for number in threads}
    for turn in range(repeats):
        for number in threads:
            say(f"end to end: {count:,} weights, threads: {number}, run {turn + 1} of {repeats}")
            rows[str(number)].append(measured(ROOT / "src", count, number))
    for name, runs in rows.items():
        figures["here"][name] = {**min(runs, key=lambda run: run["wall"]), "walls": [run["wall"] for run in runs]}
    return figures


def print_figures(figures: dict[str, Any]) -> None:
    """Print the table, and the ratios."""
    print("\n| end to end | threads | CPU, s | wall, s | kernel runs a weight | passes | bits | dB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    old = figures.get("against")
    for name, row in ([(old["commit"], old)] if old else []) + [("here", row) for row in figures["here"].values()]:
        print(
            f"| {name} | {row['threads']} | {row['cpu']:.1f} | {row['wall']:.1f} | {row['runs']:.2f} "
            f"| {row['passes']} | {row['bits']:.4f} | {row['snr']:.3f} |"
        )
    first, *more = figures["here"].values()
    if old:
        print(f"\n{old['cpu'] / first['cpu']:.2f} times less CPU time than {old['commit']}.")
    for row in more:
        print(f"{row['threads']} threads: {first['wall'] / row['wall']:.2f} times faster than {first['threads']}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=100_000_000)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3, help="runs with each number of threads")
    parser.add_argument("--against", metavar="COMMIT", help="measure another commit as well, in a worktree")
    parser.add_argument("--alone", action="store_true", help="measure in this process, and print JSON")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(alone(options.weights, options.threads[0])))
        return
    figures = measure(options.weights, options.threads, options.against, options.repeats)
    print_figures(figures)
    record.save(options.output, {"experiment": "end to end", **record.environment(0), "figures": figures})


if __name__ == "__main__":
    main()

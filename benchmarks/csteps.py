"""C steps against the alternatives: CPU seconds of one thread, and distortion ‖w − ŵ‖² / ‖w‖², side by side.

    python benchmarks/csteps.py [--quick]

Quantization of normal float32 weights: the codebook alone (`laconic.clustering.cluster`, cold), and the whole C step
with its assignment (`AdaptiveCodebook`), against scikit-learn's KMeans (n_init=1) and kmeans1d (exact). Pruning to 5 %:
`KeepLargest` against numpy.argpartition. Times are medians of three, or of one where a call takes over 5 s. Peak memory
is that of a fresh process.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import kmeans1d
import numpy as np
import torch
from sklearn.cluster import KMeans

from laconic.clustering import cluster, nearest
from laconic.csteps import AdaptiveCodebook, KeepLargest
from laconic.csteps.warm import distortion

SKIPPED = {("kmeans1d", 10**7, 16), ("kmeans1d", 10**7, 256), ("sklearn", 10**7, 256)}
"""Known to take over 100 s; kmeans1d would also take 40 GB."""

MEMORY = """
import numpy as np
from laconic.clustering import cluster
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1000
rng = np.random.default_rng(0)
values = rng.standard_normal({size}, np.float32)
weights = rng.standard_exponential({size}, np.float32) if {weighted} else None
cluster(values[:10_000], None if weights is None else weights[:10_000], {k})
before = peak()
cluster(values, weights, {k})
print(f"{size:.0e} {k:4d}  {kind}: peak {{peak():.0f}} MB, {{before:.0f}} MB of it before the call")
"""
"""The peak of a fresh process (Linux; ru_maxrss would carry the parent's over)."""


def timed(function: Callable[[], object]) -> tuple[object, float]:
    """Return the result and the median CPU time of three calls, or the time of the first if that is over 5 s."""
    times: list[float] = []
    while not times or (len(times) < 3 and times[0] < 5):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return result, statistics.median(times)


def relative(values: np.ndarray, centres: np.ndarray) -> float:
    """Return ‖w − ŵ‖² / ‖w‖² for the nearest of ``centres``."""
    centres = np.unique(np.asarray(centres, np.float64))
    double = values.astype(np.float64)
    return float(((double - centres[nearest(values, centres)]) ** 2).sum() / (double**2).sum())


def quantization(values: np.ndarray, k: int) -> None:
    """Print one row: every method at one size."""
    size = f"{len(values):.0e} {k:4d}"
    centres, ours = timed(lambda: cluster(values, None, k))
    tensor = {"w": torch.from_numpy(values)}
    codes, step = timed(lambda: AdaptiveCodebook(k).project(tensor))
    _, warm = timed(lambda: AdaptiveCodebook(k).project(tensor, None, codes))
    base = relative(values, centres)
    print(f"{size}  laconic   {ours:8.3f} s            d {base:.5e}          C step {step:.3f} s, warm {warm:.3f} s")
    methods = {
        "sklearn": lambda: KMeans(k, n_init=1, random_state=0).fit(values[:, None]).cluster_centers_.ravel(),
        "kmeans1d": lambda: kmeans1d.cluster(values, k).centroids,
    }
    for name, method in methods.items():
        if (name, len(values), k) in SKIPPED:
            print(f"{size}  {name:9s} skipped: known to take over 100 s")
            continue
        theirs, seconds = timed(method)
        d = relative(values, theirs)
        print(
            f"{size}  {name:9s} {seconds:8.3f} s  {seconds / ours:7.1f}x  d {d:.5e}  ours/its {base / d:.6f}",
            flush=True,
        )


def pruning(values: np.ndarray) -> None:
    """Print one row: 5 % kept."""
    count = len(values) // 20
    tensor = {"w": torch.from_numpy(values)}

    def select() -> np.ndarray:
        kept = np.argpartition(np.abs(values), len(values) - count)[-count:]
        pruned = np.zeros_like(values)
        pruned[kept] = values[kept]
        return pruned

    codes, ours = timed(lambda: KeepLargest(count=count).project(tensor))
    pruned, theirs = timed(select)
    norm = float((values.astype(float) ** 2).sum())
    d, base = distortion(codes, tensor) / norm, float(((values.astype(float) - pruned) ** 2).sum()) / norm
    print(f"{len(values):.0e}   5%  laconic {ours:8.3f} s  d {d:.6f}   argpartition {theirs:8.3f} s  d {base:.6f}"
          f"   {theirs / ours:.2f}x", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1e5 weights only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (100_000,) if arguments.quick else (100_000, 1_000_000, 10_000_000)
    small = np.random.default_rng(1).standard_normal(6000, np.float32)
    AdaptiveCodebook(256).project({"w": torch.from_numpy(small)})  # compile
    print("P      K  method      CPU time    ratio  distortion")
    for size in sizes:
        values = np.random.default_rng(0).standard_normal(size, np.float32)
        for k in (2, 4, 16, 256):
            quantization(values, k)
        pruning(values)
    for weighted, kind in enumerate(("unit weights", "importances")):
        code = MEMORY.format(size=sizes[-1], k=256, weighted=weighted, kind=kind)
        subprocess.run([sys.executable, "-c", code], check=True)


if __name__ == "__main__":
    main()

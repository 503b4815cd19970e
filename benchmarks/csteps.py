"""C steps against the alternatives: CPU seconds of one thread, and distortion ‖w − ŵ‖² / ‖w‖², side by side.

    python benchmarks/csteps.py [--quick] [-o FILE.json]

Every C step is called as users call it, `project`, without codes to start from. Beside it: the authors' LC toolkit as
published (commit bf12c3c, CPU time of one thread on another machine, so that ratios are worth ±30 %, "~" where it was
extrapolated), and a plain implementation, timed in this run on the same weights, than which it may never be worse.
Weights are normal float64 numbers, as the toolkit had them; low rank takes float32 matrices, normal and with singular
values 1/i, against `scipy.linalg.svd`. Codebooks are compared with kmeans1d (exact) and scikit-learn's KMeans
(n_init=1) on float32. Times are medians of three, or of one where a call takes over 5 s. Peak memory is that of a
fresh process.
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
from dataclasses import dataclass
from pathlib import Path
from typing import final

import csteps_plain as plain
import kmeans1d
import numpy as np
import scipy.linalg
import torch
from record import environment, save, say
from sklearn.cluster import KMeans

from laconic import (
    AdaptiveCodebook,
    Additive,
    Compression,
    FixedCodebook,
    KeepLargest,
    L0Penalty,
    L1Ball,
    L1Penalty,
    LowRank,
)
from laconic.csteps.fixed_codebook import BINARY, TERNARY
from laconic.csteps.warm import distortion
from laconic.quantize.clustering import nearest


@final
@dataclass(frozen=True)
class Step:
    """A C step and what it is held to.

    Args:
        compression: what is called.
        plain: the same in plain NumPy.
        toolkit: published seconds for 1e5, 1e6 and 1e7 weights; negative where extrapolated.
        error: published distortion for the largest size.
        asked: how many times faster than the toolkit it has to be, and for how many weights.
    """

    compression: Compression
    plain: Callable[[np.ndarray], np.ndarray]
    toolkit: tuple[float, ...]
    error: float
    asked: tuple[float, int] | None = None


STEPS = {
    "scaled ternary": Step(FixedCodebook(TERNARY), plain.scaled_ternary, (0.028, 0.30, 4.11), 0.19038, (5, 10**7)),
    "ℓ1 ball, half the norm": Step(
        L1Ball(share=0.5),
        lambda w: plain.l1_ball(w, float(np.abs(w).sum()) / 2),
        (0.026, 0.25, 3.71),
        0.18175,
        (5, 10**7),
    ),
    "2 values + 1 % exact": Step(
        Additive((AdaptiveCodebook(2), KeepLargest(0.01))),
        lambda w: plain.corrected(w, len(w) // 100),
        (0.42, 5.25),
        0.318128,
        (8, 10**6),
    ),
    "ℓ0 constraint, 5 %": Step(
        KeepLargest(0.05), lambda w: plain.keep_largest(w, len(w) // 20), (0.012, 0.15, 2.62), 0.72058
    ),
    "ℓ0 penalty, α/μ = 0.5": Step(L0Penalty(1.0), lambda w: plain.hard_threshold(w, 1), (0.001, 0.013, 0.165), 0.19919),
    "ℓ1 penalty, α/μ = 0.5": Step(
        L1Penalty(1.0), lambda w: plain.soft_threshold(w, 0.5), (0.004, 0.039, 0.381), 0.18526
    ),
    "scaled binary": Step(FixedCodebook(BINARY), plain.scaled_binary, (0.0005, 0.006, 0.070), 0.36355),
}

CODEBOOKS = {
    2: ((0.21, 3.4, 28.0), (0.013, 0.13, 1.1), 0.363551),
    4: ((0.54, 9.4, -90), (0.032, 0.32, 2.9), 0.117655),
    16: ((5.4, 48.6, -480), (0.16, 1.8), 9.50569e-3),
    256: ((43, -420, -4320), (), 4.110e-5),
}
"""Values → the toolkit's first calls and later calls for 1e5, 1e6 and 1e7 weights, and the least published error."""

MATRICES = (
    ((784, 300), 10, (0.017, 0.020), (0.91894, 0.055944), None),
    ((1000, 1000), 50, (0.20, 0.19), (0.82743, 0.011437), None),
    ((3162, 3162), 64, (8.4, 8.1), (0.92523, 0.009235), 10),
)
"""Shape, rank, the toolkit's seconds and distortions (normal, then 1/i), and how many times faster is asked."""

SKIPPED = {("kmeans1d", 10**7, 16), ("kmeans1d", 10**7, 256), ("sklearn", 10**7, 256)}
"""Known to take over 100 s; kmeans1d would also take 40 GB."""

PLAIN = ("plain_distortion", "kmeans1d_distortion", "sklearn_distortion", "svd_distortion")
"""Distortions of what a row is compared with on the same weights, the best first."""

MEMORY = """
import numpy as np
from laconic.quantize.clustering import cluster
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1000
rng = np.random.default_rng(0)
values = rng.standard_normal({size}, np.float32)
weights = rng.standard_exponential({size}, np.float32) if {weighted} else None
cluster(values[:10_000], None if weights is None else weights[:10_000], {k})
before = peak()
cluster(values, weights, {k})
print(f"{{peak():.0f}} {{before:.0f}}")
"""
"""The peak of a fresh process (Linux; ru_maxrss would carry the parent's over)."""

Row = dict[str, object]


def timed(function: Callable[[], object]) -> tuple[object, float]:
    """Return the result and the median CPU time of three calls, or the time of the first if that is over 5 s."""
    times: list[float] = []
    while not times or (len(times) < 3 and times[0] < 5):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return result, statistics.median(times)


def relative(w: np.ndarray, approximation: np.ndarray) -> float:
    """Return ‖w − ŵ‖² / ‖w‖²."""
    double = w.astype(np.float64)
    return float(np.square(double - approximation).sum() / np.square(double).sum())


def projected(compression: Compression, w: np.ndarray) -> tuple[object, float, float]:
    """Return the codes of a C step, its CPU time and its distortion."""
    tensor = {"w": torch.from_numpy(w)}
    codes, seconds = timed(lambda: compression.project(tensor))
    return codes, seconds, distortion(codes, tensor) / float(np.square(w.astype(np.float64)).sum())


def row(name: str, size: str, seconds: float, error: float, toolkit: float | None, **more: object) -> Row:
    """Return one row of the table, and say it."""
    found: Row = {"c_step": name, "size": size, "seconds": seconds, "distortion": error}
    if toolkit is not None:
        found |= {"toolkit_seconds": abs(toolkit), "extrapolated": toolkit < 0, "ratio": abs(toolkit) / seconds}
    found |= {key: value for key, value in more.items() if value is not None}
    say(
        "  ".join(
            f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}" for key, value in found.items()
        )
    )
    return found


def steps(size: int, index: int) -> list[Row]:
    """Return the rows of `STEPS` for so many weights."""
    w = np.random.default_rng(0).standard_normal(size)
    rows = []
    for name, step in STEPS.items():
        if index < len(step.toolkit):
            _, seconds, error = projected(step.compression, w)
            approximation, theirs = timed(lambda step=step: step.plain(w))
            asked = step.asked[0] if step.asked and step.asked[1] == size else None
            beside = {"plain_seconds": theirs, "plain_distortion": relative(w, approximation), "asked": asked}
            published = step.error if index == len(step.toolkit) - 1 else None
            rows.append(
                row(name, f"{size:.0e}", seconds, error, step.toolkit[index], toolkit_distortion=published, **beside)
            )
    return rows


def codebooks(size: int, index: int) -> list[Row]:
    """Return the rows of learned codebooks for so many weights."""
    rng = np.random.default_rng(0)
    w, noise = rng.standard_normal(size, np.float32), rng.standard_normal(size, np.float32)
    moved = {"w": torch.from_numpy(w + 0.01 * noise)}
    rows = []
    for k, (cold, warm, error) in CODEBOOKS.items():
        codes, seconds, ours = projected(AdaptiveCodebook(k), w)
        _, again = timed(lambda k=k, codes=codes: AdaptiveCodebook(k).project(moved, None, codes))
        beside = {"warm_seconds": again, "toolkit_warm_seconds": warm[index] if index < len(warm) else None}
        for name, method in {
            "sklearn": lambda k=k: KMeans(k, n_init=1, random_state=0).fit(w[:, None]).cluster_centers_.ravel(),
            "kmeans1d": lambda k=k: kmeans1d.cluster(w, k).centroids,
        }.items():
            if (name, size, k) not in SKIPPED:
                centres, theirs = timed(method)
                centres = np.unique(np.asarray(centres, np.float64))
                beside |= {f"{name}_seconds": theirs, f"{name}_distortion": relative(w, centres[nearest(w, centres)])}
        published = error if index == 2 else None
        rows.append(
            row(f"{k} values", f"{size:.0e}", seconds, ours, cold[index], toolkit_distortion=published, **beside)
        )
    return rows


def matrices(quick: bool) -> list[Row]:
    """Return the rows of low rank; the excess is over the least error there is."""
    rows = []
    for (m, n), rank, toolkit, errors, asked in MATRICES[: 1 if quick else None]:
        rng = np.random.default_rng(0)
        normal = rng.standard_normal((m, n), np.float32)
        left, right = (np.linalg.qr(rng.standard_normal((side, min(m, n)), np.float32))[0] for side in (m, n))
        for number, (kind, w) in enumerate({"normal": normal, "1/i": (left / np.arange(1, n + 1)) @ right.T}.items()):
            w = w.astype(np.float32)
            _, seconds, error = projected(LowRank(rank), w)
            (_, values, _), theirs = timed(lambda w=w: scipy.linalg.svd(w, full_matrices=False))
            squares = np.square(values.astype(np.float64))
            least = float(squares[rank:].sum() / squares.sum())
            beside = {"svd_seconds": theirs, "svd_distortion": least, "svd_ratio": theirs / seconds, "asked": asked}
            name, size = f"rank {rank}, {kind}", f"{m} × {n}"
            rows.append(row(name, size, seconds, error, toolkit[number], toolkit_distortion=errors[number], **beside))
    return rows


def memory(size: int) -> list[Row]:
    """Return the peak memory of 256 values, in MB."""
    rows: list[Row] = []
    for weighted, kind in enumerate(("unit weights", "importances")):
        code = MEMORY.format(size=size, k=256, weighted=weighted)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        peak, before = (int(number) for number in done.stdout.split())
        say(f"{size:.0e} into 256 values, {kind}: peak {peak} MB, {before} MB of it before the call")
        rows.append({"size": f"{size:.0e}", "values": 256, "kind": kind, "peak_mb": peak, "before_mb": before})
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as a page shows them."""
    heads = ("C step", "weights", "laconic, s", "LC toolkit, s", "ratio", "asked")
    lines = [f"| {' | '.join(heads)} | distortion | plain, same weights | LC toolkit |", "|---|" + "---:|" * 8]
    for r in rows:
        about = "~" if r["extrapolated"] else ""
        plainly = next((r[key] for key in PLAIN if key in r), None)
        figures = (r["distortion"], plainly, r.get("toolkit_distortion"))
        cells = [r["c_step"], r["size"], f"{r['seconds']:.3g}", f"{about}{r['toolkit_seconds']:g}"]
        cells += [f"{about}{r['ratio']:.3g}", str(r.get("asked", ""))]
        cells += [f"{figure:.6g}" if figure else "" for figure in figures]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1e5 weights and the smallest matrix only")
    parser.add_argument("-o", "--output", type=Path, help="the record as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (10**5,) if arguments.quick else (10**5, 10**6, 10**7)
    for dtype in (np.float32, np.float64):  # compile
        small = {"w": torch.from_numpy(np.random.default_rng(1).standard_normal(6000).astype(dtype))}
        for compression in (AdaptiveCodebook(256), *(step.compression for step in STEPS.values())):
            compression.project(small)
    rows = [found for index, size in enumerate(sizes) for found in steps(size, index)]
    rows += matrices(arguments.quick)
    rows += [found for index, size in enumerate(sizes) for found in codebooks(size, index)]
    peaks = memory(sizes[-1])
    save(arguments.output, {"environment": environment(0), "rows": rows, "memory": peaks, "steps": _named()})
    print(table(rows))


def _named() -> dict[str, str]:
    """Return what is called, by the name of its row."""
    return {name: repr(step.compression) for name, step in STEPS.items()}


if __name__ == "__main__":
    main()

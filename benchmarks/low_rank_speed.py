"""Speed of decoding a low-rank code: CPU time of one core, the plain sum in NumPy beside the two ways of laconic.

    python benchmarks/low_rank_speed.py [--side 4096] [--rank 256] [-o FILE.json]

The plain sum adds outer products of a million elements, one term of the rank index after the other: it is what laconic
did before it had tiles. All three give the same bits. The decoder without Numba has the tiles alone.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import record

from laconic.format.codes import VIEWS, DenseCode, LowRankCode, products

AT_ONCE = 1 << 20
"""Elements of the plain sum that are multiplied at once."""


def plain(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the product as laconic made it at first, float32."""
    left, right = left.astype(np.float64), right.astype(np.float64)
    matrix, rows = np.empty((len(left), right.shape[1]), np.float32), max(1, AT_ONCE // right.shape[1])
    for first in range(0, len(matrix), rows):
        total = np.zeros((len(left[first : first + rows]), right.shape[1]))
        term = np.empty_like(total)
        for k in range(left.shape[1]):
            np.multiply.outer(left[first : first + rows, k], right[k], out=term)
            total += term
        matrix[first : first + rows] = total
    return matrix


def measure(side: int, rank: int, seed: int) -> dict[str, Any]:
    """Return seconds of CPU time and G multiply-adds a second of each way."""
    rng = np.random.default_rng(seed)
    left, right = (rng.standard_normal(shape, np.float32) for shape in [(side, rank), (rank, side)])
    code = LowRankCode((side, side), "float32", VIEWS[0], DenseCode.of(left), DenseCode.of(right))

    def vectors() -> np.ndarray:
        with mock.patch.object(products, "COMPILED", False):
            return code.decompress()

    ways: dict[str, Callable[[], np.ndarray]] = {"machine code": code.decompress, "NumPy, tiles": vectors}
    ways["NumPy, plain"] = lambda: plain(left, right)
    LowRankCode((8, 8), "float32", VIEWS[0], DenseCode.of(left[:8]), DenseCode.of(right[:, :8])).decompress()  # compile
    figures, bits = {}, set()
    for name, way in ways.items():
        start = time.process_time()
        bits.add(way().tobytes())
        seconds = time.process_time() - start
        figures[name] = {"seconds": seconds, "G multiply-adds/s": side * side * rank / seconds / 1e9}
    assert len(bits) == 1, "all ways give the same bits"
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="rows and columns")
    parser.add_argument("--rank", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    figures = measure(options.side, options.rank, options.seed)
    print(f"| {options.side} x {options.side}, rank {options.rank} | s | G multiply-adds/s | times faster |")
    print("|---|---:|---:|---:|")
    slow = figures["NumPy, plain"]["seconds"]
    for name, found in figures.items():
        print(f"| {name} | {found['seconds']:.2f} | {found['G multiply-adds/s']:.2f} | {slow / found['seconds']:.1f} |")
    about = {"experiment": "low-rank speed", "side": options.side, "rank": options.rank}
    record.save(options.output, {**about, **record.environment(options.seed), "figures": figures})


if __name__ == "__main__":
    main()

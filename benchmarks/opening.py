"""How soon something of a compressed model is there: one tensor, and the first outputs of the whole model.

    python benchmarks/opening.py SMALL [--kind AutoModel] [--runs 3] [-o FILE.json]

SMALL is a folder of `laconic compress MODEL -o SMALL`. One tensor: the file is opened and its largest matrix but the
embeddings is read, the least time of some runs. The model: `laconic.hf.from_pretrained` with and without `lazy`, and
its outputs for 16 tokens, each in a process of its own with one thread, the least of the runs; memory is the peak
beyond that after the imports.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import record

import laconic


def one_tensor(folder: Path, runs: int) -> dict[str, Any]:
    """Return the milliseconds of opening the file, and of reading one matrix of it."""
    with laconic.open(folder) as file:
        tensors, (name, shape) = len(file), _matrix(file)
        file[name]  # machine code is there after that
    opening, reading = list[float](), list[float]()
    for _ in range(runs):
        begun = time.perf_counter()
        with laconic.open(folder) as file:
            opened = time.perf_counter()
            file[name]
            reading.append(1e3 * (time.perf_counter() - opened))
        opening.append(1e3 * (opened - begun))
    return {"tensors": tensors, "name": name, "shape": shape, "open_ms": min(opening), "read_ms": min(reading)}


def model(folder: Path, kind: str, *, lazy: bool) -> dict[str, float]:
    """Return the seconds until the model is there, and until its first outputs are, and the memory that it takes."""
    import torch
    import transformers

    import laconic.hf

    with laconic.open(folder) as file:
        file[_matrix(file)[0]]  # machine code is there after that
    before = _peak()
    begun = time.perf_counter()
    loaded = laconic.hf.from_pretrained(folder, getattr(transformers, kind), lazy=lazy)
    there = time.perf_counter()
    with torch.no_grad():
        loaded(torch.arange(16).reshape(1, 16))
    return {"load_s": there - begun, "first_outputs_s": time.perf_counter() - begun, "peak_mb": _peak() - before}


def _matrix(file: Any) -> tuple[str, tuple[int, ...]]:
    """Return name and shape of the largest matrix of a file but the embeddings."""
    rows = [row for row in file.charges()[:-1] if len(row.shape) > 1 and "embed" not in row.name]
    return max(((row.name, row.shape) for row in rows), key=lambda row: math.prod(row[1]))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", default="AutoModel")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--alone", choices=["lazy", "whole"], help=argparse.SUPPRESS)
    of = parser.parse_args()
    if of.alone:
        print(json.dumps(model(of.folder, of.kind, lazy=of.alone == "lazy")))
        return
    found: dict[str, Any] = {"one": one_tensor(of.folder, of.runs)}
    for way in ("whole", "lazy"):
        words = [sys.executable, __file__, str(of.folder), "--kind", of.kind, "--alone", way]
        runs = [
            json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout) for _ in range(of.runs)
        ]
        found[way] = {key: min(run[key] for run in runs) for key in runs[0]}
    record.save(of.output, {**record.environment(0), **found})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

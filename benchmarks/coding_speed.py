"""Speed of laconic's decoders beside the same algorithms in C: CPU time of one core, medians of five.

    python benchmarks/coding_speed.py [--count 10000000] [--end-to-end-weights 100000000] [--against COMMIT]
        [-o FILE.json]

The twin (`coding_speed.c`, compiled here with gcc -O3 -march=native) decodes 16 Laplacian symbols of about 3 bits.
laconic decodes Gaussian weights compressed to 3 bits. Everything decodes into a new array of float32, whose pages the
system has to provide; the twin is measured with an old one as well. Ratios are what counts: clocks differ. Wall times
say little where another process holds the second core. Compression from beginning to end is one run for each number of
threads, and with ``--against`` one by the package of another commit: see `benchmarks/end_to_end.py`.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import end_to_end
import numpy as np
import record
import twin as c
from record import say

import laconic
from laconic.format import container
from laconic.quantize.budget import QUALITIES, Budget, Tools, fit
from laconic.quantize.lattice import Quantizer, prepare

ASSEMBLY = ", moves in assembly"
"""Suffix of the twin whose conditional moves are not left to gcc."""

REPEATS, RATE = 5, 3.0
"""Calls of which the median counts; bits a weight."""

PUBLISHED = {"decode": 0.017, "encode": (0.001, 0.0033)}
"""NNCodec 2.1.3 in our study, G weights/s of one core (66-72 MB/s and 4-13 MB/s of float32): not measured here."""

SETTINGS: Mapping[str, tuple[Tools, str]] = {
    "fast, no pairs": (replace(QUALITIES["fast"], pairs=False), "C rANS"),
    "fast, pairs": (replace(QUALITIES["fast"], pairs=True), "C rANS"),
    "default": (QUALITIES["default"], "C trellis"),
}
"""Name → tools, and the twin that does the same work."""

WITHOUT_NUMBA = """
import json, statistics, sys, time
sys.modules["numba"] = None
import laconic
times = []
with laconic.open(sys.argv[1]) as file:
    for _ in range(3):
        code = file.code("w")
        start = time.process_time()
        code.decompress()
        times.append(time.process_time() - start)
print(json.dumps(statistics.median(times)))
"""


def seconds(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median CPU time of ``repeats`` calls after one that warms up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def twins(seed: int, count: int) -> dict[str, Any]:
    """Return G weights/s of both decoders in C, into a new array and into an old one."""
    found: dict[str, Any] = {}
    if shutil.which("gcc") is None:
        say("no gcc: no twin in C, and no ratios to it")
        return found
    symbols, frequencies = c.source(seed, count)
    with tempfile.TemporaryDirectory() as folder:
        for moves in (False, True)[: 1 + c.MOVES]:
            library = c.compiled(Path(folder), moves)
            for name, trellis in (("C rANS", False), ("C trellis", True)):
                found[name + ASSEMBLY * moves] = twin(library, symbols, frequencies, trellis)
    return found


def twin(library: Any, symbols: np.ndarray, frequencies: np.ndarray, trellis: bool) -> dict[str, float]:
    """Return G weights/s of one decoder in C."""
    stream, count = c.stream(library, symbols, frequencies, trellis), len(symbols)
    decode, old = c.decoder(library, stream, trellis), np.empty(count, np.float32)
    assert np.array_equal(decode(old), stream.expected), "the twin decodes what it encoded"
    new, warm = seconds(lambda: decode(np.empty(count, np.float32))), seconds(lambda: decode(old))
    return {"new": count / new / 1e9, "old": count / warm / 1e9, "bits": stream.bits}


def gaussian(seed: int, count: int, tensors: int = 1) -> dict[str, np.ndarray]:
    """Return Gaussian weights as matrices of 1000 columns."""
    rng, shape = np.random.default_rng(seed), (count // tensors // 1000, 1000)
    names = ["w"] if tensors == 1 else [f"w{i}" for i in range(tensors)]
    return {name: rng.standard_normal(shape, np.float32) for name in names}


def setting(tools: Tools, weights: Mapping[str, np.ndarray], path: Path) -> dict[str, Any]:
    """Return encoding and decoding speed of one setting in G weights/s; its file stays at ``path``."""
    count = weights["w"].size
    fit({"w": weights["w"][:20]}, Budget(bits=RATE), tools)  # compile
    start = time.process_time()
    fitted = fit(weights, Budget(bits=RATE), tools)
    encoding = time.process_time() - start
    container.write(path, fitted.codes, force=True)
    with laconic.open(path) as file:
        whole = seconds(lambda: file["w"])
        codes = iter([file.code("w") for _ in range(1 + REPEATS)])  # one a call: nothing is kept from the last
        alone = seconds(lambda: next(codes).decompress())
    nu = {1: 0, 8: 3}[tools.states]
    fixed = seconds(
        lambda: Quantizer([prepare("w", weights["w"], 0.1)], nu, pairs=tools.pairs).first(fitted.step).codes()
    )
    return {
        "encode, a step": count / fixed / 1e9,
        "decompress": count / alone / 1e9,
        "file": count / whole / 1e9,
        "passes": fitted.passes,
        "encode, a pass": count * fitted.passes / encoding / 1e9,
        "encode": count / encoding / 1e9,
        "bits": 8 * path.stat().st_size / count,
    }


def without_numba(path: Path, count: int) -> float | None:
    """Return G weights/s of the pure NumPy decoder in a fresh process, or None where it cannot be had."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_NUMBA, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"no figure without numba: {done.stderr.strip().splitlines()[-1]}")
        return None
    return count / float(json.loads(done.stdout)) / 1e9


def size_budget(seed: int, count: int) -> dict[str, Any]:
    """Return passes and CPU seconds of the default tools for a budget in bytes."""
    weights = gaussian(seed, count)
    start = time.process_time()
    fitted = fit(weights, Budget(size=int(count * RATE / 8)), QUALITIES["default"])
    return {"passes": fitted.passes, "seconds": time.process_time() - start, "weights": count}


def threads(seed: int, count: int) -> dict[str, float]:
    """Return total CPU and wall seconds of decoding eight tensors, each four times, with one thread and with two."""
    codes = 4 * list(fit(gaussian(seed, count, 8), Budget(bits=RATE), QUALITIES["default"]).codes.values())
    found = {}
    for number in (1, 2):
        with ThreadPoolExecutor(number) as pool:

            def decode(pool: ThreadPoolExecutor = pool) -> None:
                for _ in pool.map(lambda code: code.decompress(), codes):
                    pass

            found[f"cpu {number}"] = seconds(decode)
            walls = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                decode()
                walls.append(time.perf_counter() - start)
            found[f"wall {number}"] = min(walls)
    return {**found, "cpu ratio": found["cpu 2"] / found["cpu 1"]}


def starts(seed: int) -> dict[str, float]:
    """Return wall seconds of `laconic decompress` on a file of 1 MB: the first start, which compiles, and the next."""
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder) / "w.lac", Path(folder) / "w.safetensors"
        container.write(path, fit(gaussian(seed, 2_666_000), Budget(bits=RATE), QUALITIES["default"]).codes)
        size = path.stat().st_size
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        command = [sys.executable, "-m", "laconic", "decompress", str(path), "-o", str(output), "--force", "--quiet"]
        walls = []
        for _ in range(1 + REPEATS):
            start = time.perf_counter()
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            walls.append(time.perf_counter() - start)
    return {"bytes": size, "first": walls[0], "next": min(walls[1:])}


def measure(seed: int, count: int) -> dict[str, Any]:
    """Return all figures."""
    say("the twin in C")
    figures: dict[str, Any] = {"twin": twins(seed, count), "settings": {}, "published": PUBLISHED}
    weights = gaussian(seed, count)
    with tempfile.TemporaryDirectory() as folder:
        for name, (tools, in_c) in SETTINGS.items():
            say(name)
            path = Path(folder) / "w.lac"
            found = setting(tools, weights, path)
            found["numpy"] = without_numba(path, weights["w"].size)
            found["ratios"] = {
                other: found["decompress"] / speed["new"] for other, speed in figures["twin"].items() if in_c in other
            }
            figures["settings"][name] = found
    say("a budget in bytes")
    figures["size budget"] = size_budget(seed, count // 10)
    say("threads")
    figures["threads"] = threads(seed, count)
    say("starts")
    figures["starts"] = starts(seed)
    return figures


def print_figures(figures: Mapping[str, Any]) -> None:
    """Print the tables."""
    print("\n| C twin | G weights/s, new array | into an old one | bits a symbol |\n|---|---:|---:|---:|")
    for name, found in figures["twin"].items():
        print(f"| {name} | {found['new']:.3f} | {found['old']:.3f} | {found['bits']:.3f} |")
    heads = (
        "decode, G weights/s",
        "of C",
        "of C + asm",
        "from file",
        "pure NumPy",
        "encode at a step",
        "a pass of the search",
        "passes",
        "bits",
    )
    print(f"\n| laconic | {' | '.join(heads)} |\n|---{'|---:' * len(heads)}|")
    for name, found in figures["settings"].items():
        numpy = "" if found["numpy"] is None else f"{found['numpy']:.3f}"
        ratios = [f"{ratio:.2f}" for ratio in found["ratios"].values()]
        plain, assembly = [*ratios, "", ""][:2]
        print(
            f"| {name} | {found['decompress']:.3f} | {plain} | {assembly} | {found['file']:.3f} | {numpy} "
            f"| {found['encode, a step']:.4f} | {found['encode, a pass']:.4f} "
            f"| {found['passes']} | {found['bits']:.3f} |"
        )
    slow, fast = PUBLISHED["encode"]
    print(f"| NNCodec (published) | {PUBLISHED['decode']} | | | | | {slow}-{fast} (whole) | | | |")
    budget, threaded, started = figures["size budget"], figures["threads"], figures["starts"]
    print(f"\nA size budget: {budget['passes']} passes, {budget['seconds']:.1f} s for {budget['weights']:,} weights.")
    print(
        f"Two threads: {threaded['cpu ratio']:.2f} x the CPU time of one; "
        f"wall {threaded['wall 1']:.3f} s -> {threaded['wall 2']:.3f} s."
    )
    print(
        f"laconic decompress of {started['bytes']:,} bytes: first start {started['first']:.2f} s, "
        f"the next {started['next']:.2f} s (wall)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000_000, help="weights, a multiple of 8000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--end-to-end-weights", type=int, default=100_000_000, help="weights compressed as a whole")
    parser.add_argument("--against", metavar="COMMIT", help="compress these by another commit as well")
    parser.add_argument("--twin-only", action="store_true", help="measure the twin in C and nothing else")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    if options.twin_only:
        print(json.dumps(twins(options.seed, options.count), indent=1))
        return
    figures = measure(options.seed, options.count)
    figures["end to end"] = end_to_end.measure(options.end_to_end_weights, (1, 2), options.against)
    print_figures(figures)
    end_to_end.print_figures(figures["end to end"])
    record.save(options.output, {"experiment": "coding speed", **record.environment(options.seed), "figures": figures})


if __name__ == "__main__":
    main()

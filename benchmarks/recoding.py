"""Checkpoints of which nothing may change: laconic's files beside zstd -19, xz -9 and ZipNN, to the same bytes.

    python benchmarks/recoding.py [--minilm FILE.safetensors] [--stories FILE.safetensors] [--layers N] [-o FILE.json]

Floats: every network cast to bfloat16 and float16. Layouts: MiniLM's linear layers rounded to nearest and packed as
others pack them (`benchmarks/quantized_layouts.py`), its embeddings and vectors in float16. What is compared are whole
files: the safetensors file, and laconic's, which gives every tensor back bit by bit (checked). Rows of coders whose
package is missing are left out and said. Decoding is of one core, all tensors of a file, in seconds of the processor,
the best of five.

    python benchmarks/recoding.py --minilm FILE.safetensors --decoding [-o FILE.json]

says of the bfloat16 cast alone what decoding a weight takes, nanoseconds, by its stages.
"""
# ruff: noqa: E402  thread counts are read when the libraries are imported

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import record
import torch
from lossless import MISSING, coders
from quantized_layouts import LAYOUTS, packed
from record import say
from safetensors.torch import load_file
from torch import Tensor

from laconic.format.coding import symbols
from laconic.format.coding.classes import Runs
from laconic.format.container import LacFile, dumps, records
from laconic.models.checkpoints import checkpoint_bytes
from laconic.models.params import to_torch
from laconic.recoding import recode

DFLOAT11 = 0.7
"""Share of 16 bits that DFloat11 publishes (Zhang et al., arXiv:2504.11651)."""


def zipnn_size(data: bytes, dtype: torch.dtype) -> int | None:
    """Return ZipNN's bytes of the tensors' bytes, or None where it is not installed."""
    try:
        from zipnn import ZipNN
    except ImportError:
        return None
    kind = {torch.bfloat16: "bfloat16", torch.float16: "float16"}[dtype]
    return len(ZipNN(bytearray_dtype=kind, input_format="byte").compress(data))


def row(params: dict[str, Tensor], rate: bool) -> dict[str, Any]:
    """Return the bytes of one checkpoint by every coder."""
    raw = checkpoint_bytes(params)
    data = dumps(recode(params).codes)
    file = LacFile(data, "recoded")
    same = all(torch.equal(_bits(params[name]), _bits(_tensor(file, name))) for name in params)
    assert same, "a tensor is not what it was"
    sizes = {name: coder(raw) for name, coder in coders().items() if name in ("zstd -19", "xz -9")}
    found = {"safetensors": len(raw), "laconic": len(data), **sizes}
    return {**found, **({"G weights/s": _rate(data)} if rate else {})}


def _read(path: Path, layers: int | None) -> dict[str, Tensor]:
    """Return a network, or of one with encoder layers the first ones."""
    params = load_file(path)
    wanted = tuple(f"encoder.layer.{n}." for n in range(layers or 0))
    return {name: tensor for name, tensor in params.items() if name.startswith(wanted)} or params


def _tensor(file: LacFile, name: str) -> Tensor:
    """Return a tensor of a file."""
    return to_torch(file[name])


def _bits(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _rate(data: bytes) -> float:
    """Return 10⁹ weights that are decoded in a second."""
    best = float("inf")
    for _ in range(5):
        file, weights = LacFile(data, "timed"), 0
        start = time.process_time()
        for name in file:
            weights += file[name].size
        best = min(best, time.process_time() - start)
    return round(weights / best / 1e9, 3)


def stages(data: bytes) -> dict[str, float]:
    """Return the nanoseconds of a weight by stage of decoding, of the best of five runs; one stage lies in no other."""
    places = {
        "rANS": (symbols, "decode"), "packed bits": (symbols, "unpack_bits"), "runs of classes put": (Runs, "put"),
        "tables": (symbols, "read_table"), "checksums": (records.zlib, "crc32"),
    }  # fmt: skip
    took: dict[str, float] = {}

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            start = time.process_time()
            found = function(*given)
            took[name] = took.get(name, 0.0) + time.process_time() - start
            return found

        return run

    best: dict[str, float] = {}
    with ExitStack() as patched:
        for name, (room, what) in places.items():
            patched.enter_context(mock.patch.object(room, what, clocked(name, getattr(room, what))))
        for _ in range(5):
            took.clear()
            file, start = LacFile(data, "timed"), time.process_time()
            weights = sum(file[name].size for name in file)
            whole = time.process_time() - start
            found = {**took, "all else": whole - sum(took.values()), "in all": whole}
            best = found if not best or whole < best["in all"] else best
    return {name: round(1e9 * seconds / weights, 2) for name, seconds in best.items()}


def floats(name: str, params: dict[str, Tensor]) -> list[dict[str, Any]]:
    """Return the rows of a network's casts."""
    rows = []
    for dtype in (torch.bfloat16, torch.float16):
        say(f"{name}: {dtype}")
        cast = {k: t.to(dtype) for k, t in params.items() if t.is_floating_point()}
        found = row(cast, rate=True)
        other = zipnn_size(b"".join(_bits(t).numpy().tobytes() for t in cast.values()), dtype)
        limit = int(DFLOAT11 * sum(2 * t.numel() for t in cast.values()))
        rows.append({"network": f"{name}, {str(dtype)[6:]}", **found, "ZipNN": other, "0.7 of 16 bits": limit})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--stories", type=Path)
    parser.add_argument("--layers", type=int, help="of MiniLM the first N encoder layers alone, without embeddings")
    parser.add_argument("--decoding", action="store_true", help="nanoseconds by stage of decoding, and no more")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    if options.decoding:
        cast = {name: tensor.bfloat16() for name, tensor in load_file(options.minilm).items()}
        data = dumps(recode(cast).codes)
        found = {"ns a weight": stages(data), "G weights/s": _rate(data)}
        record.save(options.output, {**record.environment(0), **found})
        print(found)
        return
    if MISSING:
        say(MISSING)
    tables: dict[str, list[dict[str, Any]]] = {"floats": [], "layouts": []}
    for name, path in (("MiniLM", options.minilm), ("stories260K", options.stories)):
        if path is not None:
            tables["floats"] += floats(name, _read(path, options.layers))
    for layout in LAYOUTS if options.minilm else []:
        say(f"MiniLM: {layout}")
        tables["layouts"].append(
            {"layout": layout, **row(packed(_read(options.minilm, options.layers), layout), rate=False)}
        )
    what = {"layers": options.layers} if options.layers else {}
    record.save(options.output, {**record.environment(0), **what, **tables})
    for rows in filter(None, tables.values()):
        print("\n" + " | ".join(rows[0]))
        for found in rows:
            print(" | ".join(f"{value:,}" if isinstance(value, int) else str(value) for value in found.values()))


if __name__ == "__main__":
    main()

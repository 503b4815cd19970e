"""How a large folder of a model is compressed from its weights alone: memory, weights a second, threads, ranks, a kill.

    python benchmarks/scale.py [--weights 200_000_000] [--bits 3] [--threads 1 2] [--ranks 2] [--no-kill] [-o FILE.json]
    python benchmarks/scale.py --calibrate 4096 --quality fast --threads 1 [-o FILE.json]

The folder is that of a Llama with random bfloat16 weights (Gaussian, seed 0) in shards of 100 MB, written one tensor at
a time; `--folder` keeps it. Each row is `laconic compress FOLDER -o SMALL` in a process of its own, with ranks by
torchrun, one thread each; its peak memory is that of the largest process, beside that of a folder of 4,096 weights.
All files must have the same bytes. One run is killed (SIGKILL) at half of the first one's time: nothing may be where
the output goes. Compression from the weights alone keeps no journal: what follows is the whole run again.

With --calibrate it is `--effort calibrate` on so many random tokens, in samples of 128, which keeps a journal: with
--resume it goes on with the weight that the killed run was at. Ranks do not calibrate.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import record
from record import say

from laconic.cli.jobs.decompress import index_of, shards
from laconic.format import tensors_file
from laconic.format.enclosed import FILE

SHARD = 100_000_000
"""Bytes of a shard, at most."""

LENGTH = 128
"""Tokens of a sample."""


def outline(weights: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return names and shapes of a Llama of about so many weights, a tenth of them embeddings.

    A layer has four matrices of d × d and three of d × 3d; there are as many layers as come near to the number, with a
    width that grows as its cube root.
    """
    width = max(16, 256 * round(2 * weights ** (1 / 3) / 256))
    layers = max(1, round(0.9 * weights / (13 * width**2)))
    rows = max(8, round((weights - layers * 13 * width**2) / width))
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, width)}
    for layer in range(layers):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{name}_proj.weight": (width, width) for name in "qkvo"}
        shapes |= {f"{at}.mlp.{name}_proj.weight": (3 * width, width) for name in ("gate", "up")}
        shapes |= {f"{at}.mlp.down_proj.weight": (width, 3 * width)}
        shapes |= {f"{at}.{name}_layernorm.weight": (width,) for name in ("input", "post_attention")}
    return {name: ("bfloat16", shape) for name, shape in {**shapes, "model.norm.weight": (width,)}.items()}


def write(folder: Path, weights: int, seed: int) -> int:
    """Write the folder, and return its weights: elements of tensors of two axes."""
    folder.mkdir(parents=True)
    shapes = outline(weights)
    rows, width = shapes["model.embed_tokens.weight"][1]
    layers = sum(name.endswith("q_proj.weight") for name in shapes)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "vocab_size": rows,
        "hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": layers,
        "num_attention_heads": width // 16, "tie_word_embeddings": True,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    random = np.random.default_rng(seed)

    def arrays(names: Sequence[str]) -> Iterator[np.ndarray]:
        for name in names:
            shape = shapes[name][1]
            gaussian = random.standard_normal(shape, np.float32) / np.float32(math.sqrt(width))
            yield (gaussian if len(shape) > 1 else np.ones(shape, np.float32)).astype(ml_dtypes.bfloat16)

    parts = shards(shapes, SHARD)
    for file, part in parts.items():
        with (folder / file).open("wb") as target:
            for _ in tensors_file.write(target, part, {"format": "pt"}, arrays):
                pass
    if len(parts) > 1:
        (folder / "model.safetensors.index.json").write_text(index_of(parts))
    return sum(math.prod(shape) for _, shape in shapes.values() if len(shape) > 1)


def tokens(folder: Path, count: int, seed: int) -> Path:
    """Write random token ids beside a folder, each row a sample, and return where."""
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    path = folder.with_name(f"{folder.name}-tokens.npy")
    np.save(path, np.random.default_rng(seed).integers(0, rows, (max(2, count // LENGTH), LENGTH)))
    return path


def command(
    folder: Path, output: Path, of: argparse.Namespace, *, bits: float | None = None, threads: int = 1, ranks: int = 1
) -> list[str]:
    """Return the arguments of a process that compresses."""
    start = ["-m", "torch.distributed.run", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    how = ["--bits", str(bits or of.bits), "--threads", str(threads), "--quiet"]
    if of.calibrate:
        given = str(tokens(folder, of.calibrate, of.seed))
        how += ["--effort", "calibrate", "--quality", of.quality, "--calibration", given]
    return [sys.executable, *start, "-m", "laconic", "compress", str(folder), "-o", str(output), *how]


def timed(arguments: Sequence[str]) -> dict[str, float]:
    """Run a process to its end, and return its seconds, those of its processors, and the peak of the largest, in MB."""
    begun = time.perf_counter()
    process = os.posix_spawn(sys.executable, arguments, {**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, used = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": used.ru_utime + used.ru_stime, "peak_mb": peak}


def killed(arguments: Sequence[str], after: float, output: Path) -> dict[str, Any]:
    """Kill a process, and return what is there then: the output, and how many temporary folders or files."""
    process = os.posix_spawn(sys.executable, arguments, {**os.environ, "OMP_NUM_THREADS": "1"})
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    left = [path for path in output.parent.iterdir() if path.name.startswith(f".{output.name}")]
    for path in left:
        shutil.rmtree(path)
    return {"after_seconds": after, "output_is_there": output.exists(), "temporary": len(left)}


def digest(output: Path) -> str:
    """Return the SHA-256 of the file of weights, and remove its folder."""
    with (output / FILE).open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    shutil.rmtree(output)
    return found


def measured(folder: Path, work: Path, weights: int, of: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of a folder."""
    tiny, output = work / "tiny", work / "small"
    write(tiny, 4096, of.seed)
    timed(command(tiny, work / "first", of, bits=16))  # machine code is compiled and kept
    base = timed(command(tiny, work / "tiny-small", of, bits=16))["peak_mb"]
    ways = [{"threads": threads} for threads in of.threads] + [{"ranks": ranks} for ranks in of.ranks if ranks > 1]
    rows, digests = list[dict[str, Any]](), list[str]()
    for way in ways:
        row = timed(command(folder, output, of, **way))
        size = (output / FILE).stat().st_size
        rows.append({**way, **row, "weights_a_second": weights / row["seconds"], "bytes": size})
        digests.append(digest(output))
        say(f"{way}: {row['seconds']:.1f} s, {weights / row['seconds'] / 1e6:.2f} M weights/s, {row['peak_mb']:.0f} MB")
    found = {
        "calibrate": of.calibrate,
        "weights": weights,
        "tensors": len(outline(of.weights)),
        "peak_of_a_tiny_folder_mb": base,
        "rows": rows,
    }
    if of.kill:
        arguments = command(folder, output, of, threads=of.threads[0])
        found["killed"] = killed(arguments, rows[0]["seconds"] / 2, output)
        journal = output.with_name(f"{output.name}.checkpoint").exists()
        again = timed([*arguments, "--resume"] if journal else arguments)
        found["killed"] |= {"journal": journal, "seconds_then": again["seconds"]}
        digests.append(digest(output))
    return {**found, "same_bytes": len(set(digests)) == 1}


def table(found: dict[str, Any]) -> str:
    """Return the figures as a table."""
    lines = [
        "| | seconds | CPU seconds | M weights a second | peak of a process, MB | file, bytes |",
        "|---|" + "---:|" * 5,
    ]
    for row in found["rows"]:
        name = f"{row['ranks']} ranks" if "ranks" in row else f"{row['threads']} thread(s)"
        lines.append(
            f"| {name} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} | {row['weights_a_second'] / 1e6:.2f} "
            f"| {row['peak_mb']:.0f} | {row['bytes']:,} |"
        )
    same = "the same bytes in all" if found["same_bytes"] else "BYTES DIFFER"
    lines.append(f"\n{found['weights']:,} weights in {found['tensors']} tensors; {same}")
    if told := found.get("killed"):
        there = "is there" if told["output_is_there"] else "is not there"
        lines.append(
            f"killed after {told['after_seconds']:.1f} s: the output {there}, {told['temporary']} temporary left; the "
            f"run after it{' by the journal' if told['journal'] else ''} took {told['seconds_then']:.1f} s"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=int, default=200_000_000)
    parser.add_argument("--bits", type=float, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ranks", type=int, nargs="*", default=[2])
    parser.add_argument("--calibrate", type=int, metavar="TOKENS", help="calibrate, on random tokens")
    parser.add_argument("--quality", default="default", help="of a calibration")
    parser.add_argument("--no-kill", dest="kill", action="store_false")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the model is kept, or lies already")
    parser.add_argument("-o", "--output", type=Path)
    of = parser.parse_args()
    if of.calibrate:
        of.ranks = []
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        folder = of.folder or work / "model"
        weights = sum(math.prod(shape) for _, shape in outline(of.weights).values() if len(shape) > 1)
        if not folder.exists():
            say(f"writing {weights:,} weights")
            write(folder, of.weights, of.seed)
        found = measured(folder, work, weights, of)
    record.save(of.output, {**record.environment(of.seed, max(of.threads)), **found})
    print(table(found))


if __name__ == "__main__":
    main()

"""How far files of every kind are from R(D) at their own error.

    python benchmarks/bound.py --checkpoint FILE.safetensors [--rates 1 2 4] [-o FILE.json]

Every file is written by `laconic compress` and measured by `laconic bound`; its size is that of the file, everything
counted. Where a compression has a number that sets its size, the one whose file comes nearest to the rate is searched
for; k-means has 2, 4 and 16 values whatever comes of it. Nothing is drawn at random.
"""

import argparse
import contextlib
import io
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import record
from record import say

from laconic.cli import run
from laconic.models.checkpoints import load_checkpoint

TRIALS, NEAR = 14, 0.01
"""Files that are written for one row at most, and bits a weight at which one is near enough to its rate."""


def printed(*words: object) -> dict[str, Any]:
    """Return what a command prints as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = run([*map(str, words), "--json", "--quiet"])
    if code:
        raise SystemExit(code)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


class Files:
    """Writes files of one checkpoint into a folder."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self.checkpoint, self.folder = checkpoint, folder
        tensors = load_checkpoint(checkpoint)[0]
        self.names = [n for n, t in tensors.items() if t.ndim >= 2 and t.is_floating_point()]
        self.elements = sum(t.numel() for t in tensors.values() if t.ndim >= 2)
        self.spread = math.sqrt(sum(float(tensors[n].double().square().sum()) for n in self.names) / self.elements)

    def write(self, name: str, *words: object) -> tuple[Path, float]:
        """Return a file and its bits a weight."""
        path = self.folder / f"{name}.lac"
        printed("compress", self.checkpoint, "-o", path, *words, "--force")
        return path, 8 * path.stat().st_size / self.elements

    def plan(self, row: str) -> tuple[str, Path]:
        """Return the option of a plan that gives all matrices and kernels the same row."""
        path = self.folder / "plan.toml"
        patterns = ", ".join(self.names)
        path.write_text(f'[tensors]\n"{patterns}" = {{ {row} }}\n[rest]\nlossless = true\n', encoding="utf-8")
        return "--plan", path

    def nearest(
        self, name: str, rate: float, words: Callable[[float], tuple[object, ...]], low: float, high: float,
        *, whole: bool = False,
    ) -> Path:  # fmt: skip
        """Return the file nearest to a rate, by bisection over a number with which files grow."""
        tried: dict[float, float] = {}
        for _ in range(TRIALS):
            value = round((low + high) / 2) if whole else (low + high) / 2
            if value in tried:
                break
            tried[value] = self.write(name, *words(value))[1]
            if abs(tried[value] - rate) < NEAR:
                break
            low, high = (value, high) if tried[value] < rate else (low, value)
        best = min(tried, key=lambda v: abs(tried[v] - rate))
        return self.write(name, *words(best))[0]


def rows(files: Files, rates: list[float]) -> Iterator[Path]:
    """Give the file of every row in turn."""
    for entries in (2, 4, 16):
        yield files.write(f"k-means, {entries} values a tensor", "--codebook", entries)[0]
    for entries in (2, 4, 16):
        yield files.write(f"k-means, {entries} values for all", *files.plan(f"codebook = {entries}, joint = true"))[0]
    for rate in rates:
        for quality in ("fast", "default", "max"):
            yield files.write(f"budget of {rate:g}, {quality}", "--bits", rate, "--quality", quality)[0]
        yield files.nearest(
            f"plain grid near {rate:g}", rate,
            lambda finer: files.plan(f"grid = {files.spread / 2**finer}"), -8.0, 8.0,
        )  # fmt: skip
        yield files.nearest(
            f"pruned, 16 values, near {rate:g}", rate, lambda keep: ("--keep", keep, "--codebook", 16), 0.0, 1.0
        )
        yield files.nearest(f"low rank near {rate:g}", rate, lambda r: ("--rank", r), 0, 64, whole=True)
        yield files.nearest(
            f"low rank, 16 values, near {rate:g}", rate, lambda r: ("--rank", r, "--codebook", 16), 0, 64, whole=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="a network as safetensors")
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 2.0, 4.0], help="bits a weight")
    parser.add_argument("-o", "--output", type=Path, help="write all figures as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = Files(options.checkpoint, Path(folder))
        written = []
        for path in rows(files, options.rates):
            say(path.stem)
            written.append(path)
        found = printed("bound", options.checkpoint, *written)
    points = [{**point, "file": Path(point["file"]).stem} for point in found["files"]]
    curves = list(points[0]["gap"])
    print("| file | bits a weight | of others | SNR, dB | " + " | ".join(f"above {name}" for name in curves) + " |")
    print("|---|" + "---:|" * (3 + len(curves)))
    for point in points:
        gaps = " | ".join(f"{point['gap'][name]:+.3f}" for name in curves)
        start = " | ".join(f"{point[key]:.3f}" for key in ("bits_per_weight", "others", "snr"))
        print(f"| {point['file']} | {start} | {gaps} |")
    figures = {"weights": found["weights"], "curves": found["curves"], "files": points}
    record.save(options.output, {"experiment": "bound", **record.environment(0), "figures": figures})


if __name__ == "__main__":
    main()

"""What every benchmark writes beside its figures: the commit, the command, the seed, the machine and the versions."""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from laconic import __version__
from laconic.page.record import record_page

PACKAGES = ("numpy", "numba", "torch", "safetensors", "zstandard")


def environment(seed: int, threads: int = 1) -> dict[str, Any]:
    """Return what the figures of this run depend on; no name and no path of the machine."""
    return {
        "command": command(sys.argv),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "seed": seed,
        "machine": f"{processor()}, {os.cpu_count()} cores, {threads} thread(s), {platform.system()}",
        "versions": {"python": platform.python_version(), **_versions()},
    }


def command(words: Sequence[str]) -> str:
    """Return how a benchmark was called, with the last part alone of paths that are of this machine.

    >>> command(["/home/me/benchmarks/gap.py", "--data-dir", "/home/me/data", "-o", "recipes/gap.json"])
    'python benchmarks/gap.py --data-dir data -o recipes/gap.json'
    """
    shown = [Path(word).name if Path(word).is_absolute() else word for word in words[1:]]
    return shlex.join(["python", f"benchmarks/{Path(words[0]).name}", *shown])


def processor() -> str:
    """Return the processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def save(path: Path | None, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, and as a page beside it, where a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        page = record_page(path.stem, record, f"{path.name}, laconic {__version__}")
        path.with_suffix(".html").write_text(page, encoding="utf-8")


def say(message: str) -> None:
    """Report progress on standard error, so that standard output is the table alone."""
    print(message, file=sys.stderr, flush=True)


def _git(*words: str) -> str:
    """Return what git says about the checkout that this file is in, or nothing where there is none."""
    if shutil.which("git") is None:
        return ""
    here = Path(__file__).resolve().parent
    done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found

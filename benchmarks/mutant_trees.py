"""Private copies of the tree and of Numba's cache, and pytest in them under limits (`mutants.py`)."""

import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

IGNORED = shutil.ignore_patterns(
    *(".git", ".venv", "venv", "build", "dist", "*.egg-info", "__pycache__", ".hypothesis", ".*_cache", "laconic-demo")
)
OPTIONS = ("-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0")
MEMORY = 12 << 30
"""Bytes of address space of a process: a mutant must not take the machine down."""

WALL = 8.0
"""A process is stopped after so many times the seconds that it may compute, and a minute: it waits for something."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


RUNNING: set[int] = set()

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel(function: Callable[[Item], Result], items: Sequence[Item], jobs: int) -> Iterator[tuple[Item, Result]]:
    """Give each item with its result as it is there; an interrupt ends the processes that run."""
    pool = ThreadPoolExecutor(jobs)
    futures = {pool.submit(function, item): item for item in items}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for group in list(RUNNING):
            _kill(group)


@dataclass(frozen=True)
class Outcome:
    """How a process of pytest ended; CPU seconds are those of the process and all that it has waited for."""

    code: int
    cpu: float
    failed: tuple[str, ...]
    late: bool
    tail: str

    @property
    def passed(self) -> bool:
        return self.code in (0, 5)  # 5: no test


@dataclass(frozen=True)
class Place:
    """A copy of the tree and the cache of Numba that goes with it."""

    tree: Path
    cache: Path

    def pytest(
        self, units: Sequence[str], *more: str, seconds: float, env: Mapping[str, str] | None = None, path: str = ""
    ) -> Outcome:
        """Run units in a process of their own, of at most so many CPU seconds, and return how it ended."""
        limits = f'ulimit -t {max(1, round(seconds))}; ulimit -v {MEMORY >> 10}; exec "$@"'
        command = ["sh", "-c", limits, "sh", sys.executable, "-m", "pytest", *OPTIONS, *more, *units]
        paths = [*([path] if path else []), str(self.tree / "src")]
        own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(self.cache)}
        environment = {**os.environ, **dict.fromkeys(THREADS, "1"), **own, **(env or {})}
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(
                command, cwd=self.tree, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
            code, usage, late = _wait(process, WALL * seconds + 60)
            out.seek(0)
            text = out.read().decode(errors="replace")
        cpu = usage.ru_utime + usage.ru_stime
        stopped = code in (-signal.SIGXCPU, -signal.SIGKILL) and cpu > 0.9 * seconds
        return Outcome(code, cpu, tuple(FAILED.findall(text)), late or stopped, text[-600:])


def place(source: Path, folder: Path, name: str) -> Place:
    """Return a fresh copy of a tree, compiled, and the cache of that name, which stays if it is there.

    What Python compiles is checked by the source itself: a change within one second and of no length is seen.
    """
    tree, cache = folder / name, folder / f"{name}.cache"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(source, tree, ignore=IGNORED, symlinks=True)
    mode = ["--invalidation-mode", "checked-hash", "-q"]
    subprocess.run([sys.executable, "-m", "compileall", *mode, str(tree / "src")], check=True)
    cache.mkdir(exist_ok=True)
    return Place(tree, cache)


def warm(start: Place, own: Place) -> None:
    """Make a place's cache what the start's is, by links: Numba writes files under new names and moves them.

    Numba's folders are named after a digest of the path of the sources.
    """
    packages = [path.parent for path in (start.tree / "src").rglob("*.py")]
    names = {_folder(path): _folder(own.tree / path.relative_to(start.tree)) for path in packages}
    shutil.rmtree(own.cache, ignore_errors=True)
    own.cache.mkdir()
    for entry in start.cache.iterdir():
        target = own.cache / names.get(entry.name, entry.name)
        if entry.is_dir():
            shutil.copytree(entry, target, copy_function=os.link)
        else:
            os.link(entry, target)


def _folder(package: Path) -> str:
    return f"{package.name}_{hashlib.sha1(str(package).encode()).hexdigest()}"


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> tuple[int, resource.struct_rusage, bool]:
    """Wait for the end of a process, or make one: exit status, what it has used, whether it was too late."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(process.pid)

    timer = threading.Timer(seconds, stop)
    timer.start()
    RUNNING.add(process.pid)
    try:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        timer.cancel()
        RUNNING.discard(process.pid)
        _kill(process.pid)  # and what it has left behind
    return process.returncode, usage, late.is_set()


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass

"""Commands in processes of their own that start at once: forked from a server that has everything loaded."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
from threads import AT_FIRST

COMMAND = "import sys; from laconic.cli import run; sys.exit(run(sys.argv[1:]))"
"""The code of ``python -m laconic``."""

PATIENCE = 120
"""Seconds after which a process has come to a standstill."""


def server() -> ForkServerContext:
    """Start the server, once in a process of the tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["everything"])
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        for name, value in AT_FIRST.items():  # the last bits of sums are those of as many threads
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        forkserver.ensure_running()
    return context


@dataclass(frozen=True)
class Forked:
    """A process that runs code, and the folder of what it says."""

    process: ForkServerProcess
    folder: Path

    @classmethod
    def start(cls, code: str, arguments: Sequence[object], folder: Path) -> "Forked":
        """Run Python code as ``python -c code arguments``."""
        folder.mkdir(exist_ok=True)
        process = server().Process(target=_main, args=(code, [str(a) for a in arguments], str(folder), os.getcwd()))
        process.start()
        return cls(process, folder)

    def wait(self) -> tuple[int, str, str]:
        """Return exit code, output and errors."""
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            pytest.fail(f"no end after {PATIENCE} s: {self.said}")
        return self.process.exitcode, *self.said

    def stop(self, number: int) -> tuple[int, str, str]:
        """Send a signal, and wait."""
        os.kill(self.process.pid, number)
        return self.wait()

    @property
    def said(self) -> tuple[str, str]:
        return (self.folder / "out").read_text(), (self.folder / "err").read_text()


def run(code: str, *arguments: object, folder: Path) -> tuple[int, str, str]:
    """Run Python code to its end, and return exit code, output and errors."""
    return Forked.start(code, arguments, folder).wait()


def _main(code: str, arguments: list[str], folder: str, here: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.chdir(here)
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})

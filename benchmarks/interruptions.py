"""Interrupt real runs of `laconic compress` in chains, resume them, and compare the bytes at the end of each chain.

    python benchmarks/interruptions.py -o interruptions.json

A third each of SIGINT, SIGTERM and SIGKILL, a sixth with an empty Numba cache, half of them aimed at training and the
others anywhere after the first line of the entry point, imports included. Where the script is stopped it goes on.
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from record import environment, save, say

from laconic import task as tasks
from laconic.models import data, nets
from laconic.training.batches import SPLITS, Batch, Batches
from laconic.training.task import Task

CHAIN = 10
METHODS = ("lc", "retrain", "idc")
KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
OPTIONS = [
    "--codebook", "4", "--effort", "train", "--task", "interruptions:task", "--steps", "40", "--finetune", "40",
    "--lr", "0.05", "--tolerance", "0", "--threads", "1",
]  # fmt: skip
PATIENCE = 60.0
"""Seconds after a signal at which a process hangs."""

LATE = 2.0
"""Seconds in which a process that is not interrupted must have been at its end already."""

LOG = "INTERRUPTIONS_LOG"


def task() -> Task:
    """LeNet-300-100 on the digits, which logs every training batch and the end of every epoch."""
    images = data.load("digits", None, nets.preprocessing_of("lenet300", "digits"))
    module = nets.build("lenet300", images.shape, images.classes, 0)
    plain = tasks.classification(module, images, nets.identity("lenet300", "digits", "pixels/16"), batch=32)

    def loss(outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        if torch.is_grad_enabled():
            log("training")
        return plain.loss(outputs, batch)

    def logged(split: str) -> Batches:
        own = plain.split(split)

        def epoch(seed: int) -> Iterator[Batch]:
            yield from own.epoch(seed)
            log(f"end of {split}")

        return Batches(epoch, own.known)

    splits: dict[str, Any] = {split: logged(split) for split in SPLITS}
    return replace(plain, loss=loss, **splits)


def log(line: str) -> None:
    """Append a line to the log of the process, if it has one."""
    if LOG in os.environ:
        with open(os.environ[LOG], "a", encoding="utf-8") as file:
            file.write(line + "\n")


@dataclass(frozen=True)
class Interruption:
    """What became of one process."""

    chain: int
    method: str
    kind: str
    cold: bool
    where: str
    code: int
    seconds: float
    fault: str


@dataclass(frozen=True)
class Bench:
    """The folder with the network, what whole runs give, and the chain that is under way."""

    folder: Path
    seed: int

    def command(self, output: Path, method: str, *more: str) -> list[str]:
        net = str(self.folder / "net.safetensors")
        return [
            sys.executable,
            "-m",
            "laconic",
            "compress",
            net,
            "-o",
            str(output),
            "--method",
            method,
            *OPTIONS,
            *more,
        ]

    def environment(self, log_path: Path, cache: str | None = None) -> dict[str, str]:
        paths = [str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")]
        kept = {"NUMBA_CACHE_DIR": cache} if cache else {}
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), LOG: str(log_path), **kept}

    def prepare(self) -> None:
        """Train the network, and run each method without an interruption."""
        self.folder.mkdir(parents=True, exist_ok=True)
        quiet = self.environment(self.folder / "whole.log")
        if not (self.folder / "net.safetensors").exists():
            words = ["train", "--net", "lenet300", "--data", "digits", "--epochs", "5", "--lr", "0.05", "-o"]
            net = str(self.folder / "net.safetensors")
            subprocess.run([sys.executable, "-m", "laconic", *words, net, "--quiet"], check=True, env=quiet)
        for method in METHODS:
            if not (whole := self.folder / f"{method}.lac").exists():
                say(f"a whole run of {method}")
                subprocess.run(self.command(whole, method, "--force", "--quiet"), check=True, env=quiet)

    def interrupt(self, number: int) -> Interruption:
        """Start the next process of a chain, and interrupt it."""
        rng = random.Random(f"{self.seed} {number}")
        kind, cold = KINDS[number % 3], number % 18 in (0, 7, 14)
        chain, method = number // CHAIN, METHODS[number // CHAIN % len(METHODS)]
        output = self.folder / "chain" / f"{chain}.lac"
        resume = number % CHAIN > 0 and self.is_going_on(output)
        log_path = self.folder / "log"
        log_path.write_text("")
        with tempfile.TemporaryDirectory() as cache:
            process = subprocess.Popen(
                self.command(output, method, *(["--resume"] if resume else []), "--json"),
                env=self.environment(log_path, cache if cold else None),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            wait(process, lambda: listens(process.pid))
            if rng.random() < 0.55:
                wait(process, lambda: "training" in log_path.read_text())
                time.sleep(rng.expovariate(1 / 0.7))
            else:
                time.sleep(rng.uniform(0, 12 if cold else 4))  # what is compiled takes the longer
            *_, where = ["before the first batch", *log_path.read_text().splitlines()]
            sent = time.monotonic()
            process.send_signal(kind)
            fault = ""
            try:
                out, err = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                fault = "hang"
            seconds = time.monotonic() - sent
        fault = fault or judged(kind, process.returncode, out, err)
        if process.returncode == 0 and seconds > LATE:
            fault = fault or f"not obeyed for {seconds:.1f} s"
        if process.returncode == 0 or not self.is_going_on(output):
            where = "too late" if process.returncode == 0 or output.exists() else where
            if output.exists():
                fault = fault or self.compared(output, method)
                output.unlink()
        return Interruption(chain, method, kind.name, cold, where, process.returncode, seconds, fault)

    def is_going_on(self, output: Path) -> bool:
        """Tell whether there is something to resume."""
        return output.with_name(output.name + ".checkpoint").exists()

    def end(self, number: int) -> str:
        """Let the chain that ends with an interruption come to its end; return what is wrong with its file."""
        chain, method = number // CHAIN, METHODS[number // CHAIN % len(METHODS)]
        output = self.folder / "chain" / f"{chain}.lac"
        more = ["--resume"] if self.is_going_on(output) else []
        env = self.environment(self.folder / "log")
        done = subprocess.run(self.command(output, method, *more, "--quiet"), env=env, capture_output=True, text=True)
        if done.returncode or done.stderr:
            return f"the last resume: {done.returncode} {done.stderr}"
        return self.compared(output, method)

    def compared(self, output: Path, method: str) -> str:
        same = output.read_bytes() == (self.folder / f"{method}.lac").read_bytes()
        return "" if same else "other bytes"


def wait(process: subprocess.Popen[str], reached: object) -> None:
    """Wait until something is so, or the process has ended."""
    assert callable(reached)
    while process.poll() is None and not reached():
        time.sleep(0.005)


def listens(pid: int) -> bool:
    """Tell whether a process has handlers of SIGINT and SIGTERM: whether the first line of the entry point is over."""
    try:
        caught = Path(f"/proc/{pid}/status").read_text().split("SigCgt:")[1].split()[0]
    except (OSError, IndexError):
        return False
    return all(int(caught, 16) >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM))


def judged(kind: signal.Signals, code: int, out: str, err: str) -> str:
    """Return what is wrong with the end of a process."""
    lines = [line for line in err.splitlines() if not line.startswith(("resuming after ", "there is no "))]
    if "Traceback" in err or "Error" in err:
        return f"traceback: {err}"
    if kind is signal.SIGKILL or code == 0:
        return "" if code in (-signal.SIGKILL, 0) and not lines else f"{code}: {err}"
    said = len(lines) == 1 and lines[0].startswith("interrupted")
    whole = not out or "is complete" in err
    return "" if code == 128 + kind and said and whole else f"{code}: {out[:200]} {err}"


def table(seen: list[Interruption], ends: list[str]) -> str:
    """Return the figures as a page."""
    rows = ["| | number | in training | empty cache | too late | faults | median s | longest s |", "|-|-|-|-|-|-|-|-|"]
    for kind in (*(kind.name for kind in KINDS), "all"):
        own = [one for one in seen if kind in (one.kind, "all")]
        if own:
            times = [one.seconds for one in own if one.where != "too late"] or [0.0]
            counts = (
                len(own), sum(one.where == "training" for one in own), sum(one.cold for one in own),
                sum(one.where == "too late" for one in own), sum(bool(one.fault) for one in own),
            )  # fmt: skip
            cells = " | ".join(map(str, counts))
            rows.append(f"| {kind} | {cells} | {statistics.median(times):.2f} | {max(times):.2f} |")
    rows.append(f"\n{len(ends)} chains have ended, {sum(not fault for fault in ends)} of them with the same bytes.")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interruptions", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=Path("build/interruptions"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell has put into the background
    bench, journal = Bench(options.folder, options.seed), options.folder / "journal.jsonl"
    bench.prepare()
    lines = journal.read_text().splitlines() if journal.exists() else []
    records = [json.loads(line) for line in lines]
    if len(records) % CHAIN == 0 or not lines:
        shutil.rmtree(options.folder / "chain", ignore_errors=True)
    (options.folder / "chain").mkdir(exist_ok=True)
    for number in range(len(records), options.interruptions):
        one = bench.interrupt(number)
        last = bench.end(number) if number % CHAIN == CHAIN - 1 else None
        records.append({**asdict(one), "end": last})
        with journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(records[-1]) + "\n")
        say(f"{number + 1}: {one}" + ("" if last is None else f"; the chain's end: {last or 'the same bytes'}"))
    seen = [Interruption(**{k: v for k, v in one.items() if k != "end"}) for one in records]
    ends = [one["end"] for one in records if one["end"] is not None]
    print(table(seen, ends))
    save(options.output, {**environment(options.seed), "interruptions": records})


if __name__ == "__main__":
    main()

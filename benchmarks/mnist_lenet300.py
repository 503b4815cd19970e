"""LeNet-300-100 on MNIST: the published experiments of the LC papers, as files, beside their baselines.

    python benchmarks/mnist_lenet300.py --data-dir DIR --seeds 0 1 2 --work DIR2 -o recipes/mnist-lenet300.json

Each run is a `laconic` command in a process of its own, on one thread, with its progress on standard error; what is
finished in the work folder is not done again. Schedules were chosen on the validation split (the last 5,000 training
images) with seed 0; the test images are read once per file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

TRAIN = "--net lenet300 --data mnist --epochs 40 --lr 0.1"
LC = "--effort train --weight-decay 1e-4 --finetune 20"
SETTINGS = {
    "K=2": "--codebook 2",
    "5 %": "--keep 0.05",
    "5 %, K=16": "--keep 0.05 --codebook 16",
}
METHODS = {
    "direct": "--effort train --method retrain --finetune 0",
    "retrain": "--effort train --method retrain --finetune 60",
    "LC": LC,
}
PUBLISHED = {
    "source": "the LC toolkit (UCMerced-ML/LC-model-compression), tanh network, reference 2.13 %",
    "K=2": {"error": 2.56, "epochs": 820, "ratio": 30.5},
    "5 %": {"error": 2.18, "epochs": 820, "ratio": 16.0},
}


def laconic(command: str, output: Path, data_dir: str) -> dict[str, Any]:
    """Run one command unless its record is there, and return the record."""
    record = output.with_suffix(".json")
    if not record.exists():
        start = time.monotonic()
        words = [*command.split(), "-o", str(output), "--data-dir", data_dir, "--threads", "1", "--force", "--json"]
        done = subprocess.run([sys.executable, "-m", "laconic", *words], stdout=subprocess.PIPE, check=True, text=True)
        found = json.loads(done.stdout)
        record.write_text(json.dumps({**found, "command": f"laconic {command}", "seconds": time.monotonic() - start}))
    result: dict[str, Any] = json.loads(record.read_text())
    return result


def measure(seed: int, work: Path, data_dir: str) -> dict[str, Any]:
    """Return what all settings and methods come to for one seed."""
    reference = work / f"reference-{seed}.safetensors"
    found = {"reference": summary(laconic(f"train {TRAIN} --seed {seed}", reference, data_dir), 40)}
    decayed = f"train {TRAIN} --weight-decay 1e-4 --seed {seed}"  # the L steps' decay: for comparison, not compressed
    other = work / f"reference-decay-{seed}.safetensors"
    found["reference with weight decay"] = summary(laconic(decayed, other, data_dir), 40)
    for setting, options in SETTINGS.items():
        for method, effort in METHODS.items():
            name = f"{setting}-{method}-{seed}".replace(" ", "").replace("%", "").replace(",", "-")
            command = f"compress {reference} {options} --net lenet300 --data mnist {effort} --seed {seed}"
            record = laconic(command, work / f"{name}.lac", data_dir)
            epochs = record["steps"] + int(effort.split("--finetune ")[1].split()[0])
            found[f"{setting}, {method}"] = summary(record, epochs)
    return found


def summary(record: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return the figures of one run that are kept."""
    kept = {key: record[key] for key in ("bytes", "ratio", "published_ratio") if key in record}
    return {
        **kept,
        "test_error": record["test"]["error"],
        "validation_error": record["validation"]["error"],
        "epochs": epochs,
        "seconds": round(record["seconds"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", default=os.environ.get("LACONIC_DATA"), required="LACONIC_DATA" not in os.environ)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("build/mnist-lenet300"))
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    runs = {seed: measure(seed, options.work, options.data_dir) for seed in options.seeds}
    rows = {
        name: {key: fmean(run[name][key] for run in runs.values()) for key in run_keys}
        for name, run_keys in ((name, list(entry)) for name, entry in next(iter(runs.values())).items())
    }
    print("| | file, bytes | ratio | ρ as published | test error % | epochs |\n|---|---:|---:|---:|---:|---:|")
    for name, row in rows.items():
        ratio, rho = (f"{row[key]:.1f}" if key in row else "1" for key in ("ratio", "published_ratio"))
        print(f"| {name} | {row['bytes']:,.0f} | {ratio} | {rho} | {row['test_error']:.2f} | {row['epochs']:.0f} |")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
        record = {
            "experiment": "LeNet-300-100 on MNIST, test images",
            "commands": {"train": TRAIN, "settings": SETTINGS, "methods": METHODS},
            "published": PUBLISHED,
            "ours": rows,
            "runs": runs,
            "commit": commit,
            "machine": f"{platform.processor() or platform.machine()}, one thread, {platform.system()}",
        }
        options.output.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

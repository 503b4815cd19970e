"""Run a recipe and write its record with what it depends on: the commit, the machine, the versions.

    python benchmarks/reproduce.py gao2019-mnist --data-dir DIR --folder build/gao -o recipes/gao2019-mnist.json

The folder keeps what is finished: the same command goes on after an interrupt.
"""

import argparse
from pathlib import Path

import record
import torch

from laconic.experiments.recipes import RECIPES, recipe, reproduce


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    environment = record.environment(options.seed)
    outcome = reproduce(
        recipe(options.name),
        options.folder,
        lambda done, text: record.say(f"{done:6.1%} {text}"),
        data_dir=options.data_dir,
        seed=options.seed,
        fast=options.fast,
        train=options.train,
    )
    print(outcome.page)
    record.save(options.output, {**environment, **outcome.record})


if __name__ == "__main__":
    main()

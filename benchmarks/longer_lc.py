"""Whether the LC algorithm of the table of techniques has steps enough: some techniques with more, at one size.

    python benchmarks/longer_lc.py --data-dir DIR --folder FOLDER [--size 10000] [--steps 25 50]
        [--techniques keep l1_price l1_share group_price blocks] [-o FILE.json]

As `laconic reproduce techniques` (docs/notes/techniques.md) has them, with μ growing in all steps together as far as in
25; each technique's parameter is searched anew for each number of steps. FOLDER keeps what is finished.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import record
import torch
from record import say

from laconic.experiments.recipes.cache import Cache
from laconic.experiments.recipes.equal_sizes.rows import measure
from laconic.experiments.recipes.equal_sizes.settings import SETTINGS
from laconic.experiments.recipes.equal_sizes.subject import prepare
from laconic.experiments.recipes.recipe import Context


def rows_of(steps: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows of all techniques with so many steps, direct compression beside LC."""
    cache = Cache(arguments.folder / str(steps), {"steps": str(steps), "size": str(arguments.size)})
    subject = prepare(
        Context(cache, arguments.data_dir, say=lambda done, text: say(f"{steps} steps {done:6.1%} {text}"))
    )
    how = subject.effort.learning
    learning = replace(how, steps=steps, growth=how.growth ** (how.steps / steps))
    subject = replace(subject, effort=replace(subject.effort, targets=(arguments.size,), learning=learning))
    settings = [setting for setting in SETTINGS if setting.label in arguments.techniques]
    return [{"steps allowed": steps, **row.record()} for row in measure(subject, settings, lambda _: True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 50])
    chosen = ["keep", "l1_price", "l1_share", "group_price", "blocks"]
    labels = [setting.label for setting in SETTINGS]
    parser.add_argument("--techniques", nargs="+", choices=labels, default=chosen, metavar="LABEL")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for steps in arguments.steps for row in rows_of(steps, arguments)]
    record.save(arguments.output, {**record.environment(0), "rows": rows})
    print("| technique | " + " | ".join(f"{steps} steps" for steps in arguments.steps) + " |")
    print("|---|" + "---:|" * len(arguments.steps))
    for label in arguments.techniques:
        own = [row for row in rows if row["setting"] == label and row["method"] == "LC"]
        print(
            f"| {label} | "
            + " | ".join(f"{row.get('error', float('nan')):.2f}, {row.get('bytes', 0):,} B" for row in own)
            + " |"
        )


if __name__ == "__main__":
    main()

"""What `laconic reproduce` does: published experiments, run again."""

from pathlib import Path

import torch

from laconic.cli.console import Output, interruptible, table
from laconic.cli.options import Run
from laconic.experiments.recipes import RECIPES, recipe, reproduce


def show(say: Output) -> None:
    """List the experiments."""
    rows = [(known.name, known.summary, known.needs, known.time) for known in RECIPES.values()]
    columns = dict.fromkeys(("recipe", "what it reproduces", "needs", "takes"), "left")
    keys = ("name", "summary", "needs", "time", "source")
    record = {"recipes": [{key: getattr(known, key) for key in keys} for known in RECIPES.values()]}
    say.result(record, table("laconic reproduce RECIPE", columns, rows))


def again(
    say: Output, name: str, output: Path | None, run: Run, *, data_dir: Path | None, fast: bool, train: bool,
    force: bool,
) -> None:  # fmt: skip
    """Run one again, and print its page."""
    chosen = recipe(name)
    torch.set_num_threads(run.threads or torch.get_num_threads())
    folder = output or Path(f"reproduce-{name}")
    say.note(f"{name} takes {chosen.time}")
    with interruptible(lambda: f"What is finished lies in {folder}: the same command goes on from there"):
        with say.progress(name, 1.0) as tick:
            outcome = reproduce(
                chosen, folder, tick, data_dir=data_dir, seed=run.seed, fast=fast, train=train, force=force
            )
    say.report(dict(outcome.record), outcome.page, f"report: {folder / 'report.md'}")

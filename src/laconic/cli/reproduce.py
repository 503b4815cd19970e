"""`laconic reproduce`: published experiments, run again."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from laconic.cli import options
from laconic.cli.console import Output, interruptible, table
from laconic.experiments.recipes import RECIPES, recipe, reproduce


def command(
    name: Annotated[str | None, typer.Argument(help="The recipe; without it, all are listed.")] = None,
    data_dir: options.DataDir = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder to write to. Default: reproduce-NAME.")
    ] = None,
    seed: options.Seed = 0,
    fast: Annotated[bool, typer.Option("--fast", help="Fewer points, fewer samples.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Train the paper's networks even without a GPU.")] = False,
    threads: options.Threads = None,
    force: Annotated[bool, typer.Option("--force", help="Start over, whatever the folder holds.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a published experiment again, or list the experiments there are.

    Interrupted runs go on with the same command: what is finished lies in the folder. Writes result.json, report.md
    and figures.

    Examples:
      laconic reproduce

      laconic reproduce gao2019-mnist --data-dir DIR

      laconic reproduce gao2019-cifar10 --data-dir DIR -o cifar --fast
    """
    say = Output(as_json, quiet)
    if name is None:
        rows = [(known.name, known.summary, known.needs, known.time) for known in RECIPES.values()]
        columns = dict.fromkeys(("recipe", "what it reproduces", "needs", "takes"), "left")
        keys = ("name", "summary", "needs", "time", "source")
        record = {"recipes": [{key: getattr(known, key) for key in keys} for known in RECIPES.values()]}
        say.result(record, table("laconic reproduce RECIPE", columns, rows))
        return
    chosen = recipe(name)
    torch.set_num_threads(threads or torch.get_num_threads())
    folder = output or Path(f"reproduce-{name}")
    with interruptible(lambda: f"What is finished lies in {folder}: the same command goes on from there"):
        with say.progress(name, 1.0) as tick:
            outcome = reproduce(chosen, folder, tick, data_dir=data_dir, seed=seed, fast=fast, train=train, force=force)
    say.result(dict(outcome.record), outcome.page, f"report: {folder / 'report.md'}")

"""`laconic demo`: the whole story in a few minutes."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from laconic.cli import options
from laconic.cli.console import Output, interruptible, table
from laconic.errors import OutputExists
from laconic.experiments.demo import demonstrate
from laconic.experiments.report import HEADINGS, demo_figure, demo_page, demo_rows


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write to.")] = Path("laconic-demo"),
    seeds: Annotated[int, typer.Option(min=1, help="How many networks are trained and compressed.")] = 3,
    seed: options.Seed = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of torch; results are the same for the same number.")
    ] = 1,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a small network on real images, compress it at three ratios, read the files back and evaluate them.

    Needs no data and no network connection. Writes a reference, six .lac files, report.md and a figure.

    Example:
      laconic demo
    """
    say = Output(as_json, quiet)
    if output.exists() and not output.is_dir():
        raise OutputExists(f"{output} is a file; name a folder")
    if (output / "report.md").exists() and not force:
        raise OutputExists(f"{output} holds a demonstration; name another folder, or --force to replace it")
    torch.set_num_threads(threads)
    output.mkdir(parents=True, exist_ok=True)
    with interruptible(lambda: f"What is finished lies in {output}; start again with --force"):
        with say.progress("demonstration", 1.0) as tick:
            outcomes = demonstrate(output, range(seed, seed + seeds), tick)
    demo_figure(outcomes, output / "figure.png")
    (output / "report.md").write_text(demo_page(outcomes, "figure.png"), encoding="utf-8")
    records = [{key: value for key, value in vars(outcome).items() if key != "history"} for outcome in outcomes]
    sides = {heading: "left" if number == 0 else "right" for number, heading in enumerate(HEADINGS)}
    shown = table("means over the seeds; every file was read back", sides, demo_rows(outcomes))
    say.result({"folder": str(output), "outcomes": records}, shown, f"report and figure: {output / 'report.md'}")

"""What `laconic demo` does: the whole story in a few minutes."""

from pathlib import Path

import torch

from laconic import __version__
from laconic.cli.console import Output, interruptible, table
from laconic.errors import OutputExists
from laconic.experiments.demo import demonstrate
from laconic.experiments.report import HEADINGS, demo_figure, demo_page, demo_rows
from laconic.page.prose import prose_page


def demo(say: Output, output: Path, *, seeds: int, seed: int, threads: int, force: bool) -> None:
    """Run the demonstration, write its page and print its table."""
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
    text, figures = demo_page(outcomes, "figure.png"), {"figure.png": (output / "figure.png").read_bytes()}
    (output / "report.md").write_text(text, encoding="utf-8")
    (output / "report.html").write_text(prose_page(text, figures, f"laconic {__version__}"), encoding="utf-8")
    records = [{key: value for key, value in vars(outcome).items() if key != "history"} for outcome in outcomes]
    sides = {heading: "left" if number == 0 else "right" for number, heading in enumerate(HEADINGS)}
    shown = table("means over the seeds; every file was read back", sides, demo_rows(outcomes))
    say.report(
        {"folder": str(output), "outcomes": records},
        shown,
        f"report: {output / 'report.md'}, as a page: {output / 'report.html'}",
    )

"""What people look at: the demonstration's table, figure and page."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from laconic.demo import PLANS, Outcome
from laconic.schedule import Progress

HEADINGS = ("compression", "file, bytes", "ratio", "direct: error %", "LC: error %", "reference: error %")


def demo_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Return the table of the demonstration, one row per plan, means over the seeds."""
    reference = fmean(outcome.error for outcome in outcomes if outcome.method == "reference")
    rows = []
    for plan in PLANS:
        direct, lc = (chosen(outcomes, plan, method) for method in ("direct", "LC"))
        size, ratio = fmean(o.bytes for o in lc), fmean(o.ratio for o in lc)
        errors = (fmean(o.error for o in direct), fmean(o.error for o in lc), reference)
        rows.append((plan, f"{size:,.0f}", f"{ratio:.1f}", *(f"{error:.2f}" for error in errors)))
    return rows


def chosen(outcomes: Sequence[Outcome], plan: str, method: str) -> list[Outcome]:
    """Return the outcomes of one plan and method, one per seed."""
    return [outcome for outcome in outcomes if (outcome.plan, outcome.method) == (plan, method)]


def demo_page(outcomes: Sequence[Outcome], figure: str) -> str:
    """Return the demonstration's page in Markdown.

    Args:
        outcomes: of all seeds.
        figure: file name of the figure, beside the page.
    """
    seeds = sorted({outcome.seed for outcome in outcomes})
    lines = [
        "# laconic: demonstration",
        "",
        "LeNet-300-100 on the 1,797 images of handwritten digits that scikit-learn ships, trained on 1,200 of them.",
        f"Errors are on 397 held-out images, means over the seeds {', '.join(map(str, seeds))}; every file was",
        "written, read back and evaluated. Ratios are bytes of `reference.safetensors` over bytes of the `.lac` file.",
        "*Direct* projects the trained weights once; *LC* (learning-compression) alternates training and projection.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|" + "---:|" * (len(HEADINGS) - 1),
        *("| " + " | ".join(row) + " |" for row in demo_rows(outcomes)),
        "",
        f"![error against file size, and the path of LC]({figure})",
        "",
        "Look into a file with `laconic inspect`, turn it back into a checkpoint with `laconic decompress`.",
    ]
    return "\n".join(lines) + "\n"


def demo_figure(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw error against file size, and loss and gap of LC against μ, as PNG."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _sizes(left, outcomes)
    first = min(outcome.seed for outcome in outcomes)
    history = next(o.history for o in outcomes if o.seed == first and o.method == "LC" and o.plan == list(PLANS)[-1])
    _path(right, history, list(PLANS)[-1])
    figure.savefig(path, dpi=120)


def _sizes(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """Draw error against file size: each seed as a dot, the means as a line."""
    for method, colour in (("direct", "tab:orange"), ("LC", "tab:blue")):
        dots = [outcome for outcome in outcomes if outcome.method == method]
        axes.plot([o.bytes for o in dots], [o.error for o in dots], ".", color=colour, alpha=0.5)
        groups = [chosen(outcomes, plan, method) for plan in PLANS]
        means = [(fmean(o.bytes for o in group), fmean(o.error for o in group)) for group in groups]
        axes.plot(*zip(*means, strict=True), "o-", color=colour, label=f"{method}: mean of the seeds")
    reference = [outcome for outcome in outcomes if outcome.method == "reference"]
    size = f"{reference[0].bytes:,} bytes"
    axes.axhline(fmean(o.error for o in reference), color="grey", ls="--", label=f"reference ({size})")
    axes.set(xscale="log", yscale="log", xlabel="file, bytes", ylabel="error on held-out images, %")
    axes.set_title("Error against file size")
    _plain(axes.xaxis, [4000, 6000, 8000, 10_000, 14_000])
    _plain(axes.yaxis, [2, 3, 5, 10, 20, 40])
    axes.legend()


def _plain(axis: Axis, ticks: Sequence[float]) -> None:
    """Label a logarithmic axis with plain numbers at ``ticks`` alone."""
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def _path(axes: Axes, history: Sequence[Progress], plan: str) -> None:
    """Draw loss and gap of one run of LC against μ."""
    steps = [progress for progress in history if progress.mu > 0]
    mu = [progress.mu for progress in steps]
    axes.plot(mu, [progress.gap for progress in steps], color="tab:blue", label="gap ‖w − Δ(Θ)‖ / ‖w‖")
    axes.plot(mu, [progress.loss for progress in steps], color="tab:red", label="training loss of w")
    axes.set(xscale="log", yscale="log", xlabel="penalty parameter μ", title=f"The path of LC: {plan}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.legend()

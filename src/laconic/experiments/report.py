"""What people look at: tables, figures and pages of the demonstration and of the bound."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from laconic.experiments.demo import PLANS, Outcome
from laconic.insight.bound import Bound, Point
from laconic.lc.schedule import Progress

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
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, fontsize="small", frameon=False
    )  # off the lines


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


DECIBELS = tuple(range(3, 49, 3))
"""Where the curves of a bound are told."""


def curve_rows(bound: Bound) -> list[tuple[str, ...]]:
    """Return the table of the curves: SNR, mean distortion a weight, and bits a weight of each curve."""
    rows = []
    for decibels in DECIBELS:
        distortion = bound.energy / 10 ** (decibels / 10)
        rates = bound.rates(distortion).values()
        rows.append((f"{decibels}", f"{distortion / bound.elements:.3g}", *(f"{rate:.3f}" for rate in rates)))
    return rows


def point_rows(points: Sequence[Point]) -> list[tuple[str, ...]]:
    """Return the table of the files: SNR, bits a weight, those of other tensors, and bits above each curve."""
    rows = []
    for point in points:
        gaps = (f"{gap:+.3f}" if math.isfinite(gap) else "-" for gap in point.gaps.values())
        rows.append((point.file, f"{point.snr:.2f}", f"{point.bits:.3f}", f"{point.others:.3f}", *gaps))
    return rows


def curve_headings(bound: Bound) -> tuple[str, ...]:
    """Return the headings of `curve_rows`."""
    return ("SNR, dB", "error a weight", *bound.curves)


def point_headings(bound: Bound) -> tuple[str, ...]:
    """Return the headings of `point_rows`."""
    return ("file", "SNR, dB", "bits a weight", "of others", *(f"above {name}" for name in bound.curves))


def bound_page(bound: Bound, points: Sequence[Point], about: str, figure: str) -> str:
    """Return the bound's page in Markdown.

    Args:
        bound: the curves.
        points: the files.
        about: what the curves are, in a few sentences.
        figure: file name of the figure, beside the page.
    """
    tables = [(curve_headings(bound), curve_rows(bound))]
    if points:
        tables.append((point_headings(bound), point_rows(points)))
    lines = ["# laconic: the bound", "", about, ""]
    for headings, rows in tables:
        lines += ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join([*lines, f"![error against bits a weight]({figure})"]) + "\n"


def bound_figure(bound: Bound, points: Sequence[Point], path: Path) -> None:
    """Draw the curves and the files beside them, SNR against bits a weight, as PNG."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    decibels = [number / 2 for number in range(2 * DECIBELS[-1] + 1)]
    rates = [bound.rates(bound.energy / 10 ** (snr / 10)) for snr in decibels]
    for name in bound.curves:
        axes.plot([at[name] for at in rates], decibels, label=f"R(D), {name}")
    finite = [point for point in points if math.isfinite(point.snr)]
    for point in finite:
        axes.plot(point.bits, point.snr, "k.")
        label = Path(point.file).stem.replace("$", r"\$")
        axes.annotate(label, (point.bits, point.snr), (4, -3), textcoords="offset points", fontsize=7)
    if finite:
        axes.set(
            xlim=(0, 1.3 * max(point.bits for point in finite)), ylim=(0, 1.3 * max(point.snr for point in finite))
        )
    axes.set(xlabel="bits a weight", ylabel="SNR, dB", title="Files beside the bound")
    axes.legend()
    figure.savefig(path, dpi=120)

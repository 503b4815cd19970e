"""The page: what the slides say beside what came of it here."""

from collections.abc import Sequence
from typing import Any

from laconic.experiments.recipes.pruning_finds.looks import DRAWS, Look
from laconic.experiments.recipes.pruning_finds.subject import KEPT, Effort, Network, Run
from laconic.experiments.recipes.statement import Judged, percent

_HOW = """\
LeNet-300-100 with tanh, pruned as one vector of weights; biases stay. ℓ0: so many of all weights survive. ℓ1: the sum
of their sizes is at most a share of the reference's; the slides print no radius, so several are tried, and the one of
fewest weights is judged whose validation error is within a standard error of the reference's. After LC, what survives
is trained; magnitude pruning keeps the largest weights of the reference and trains them as many epochs as LC and that
together. An input or a neuron survives when it lies on a path of surviving weights from an input to an output. Test
images are read once a row."""

_JOINS = """\
A join is a pair of surviving pixels at most so many apart, in rows and in columns. Beside the share of joins of like
sign stand those of shuffles, and in brackets how many standard deviations it is above them: the signs of a neuron's
survivors in another order; the survivors anywhere in the image; and anywhere among the pixels that any neuron uses.
Alone: neurons whose own joins of like sign are in the upper twentieth of their own shuffles of signs (5 % by chance).
Joins a survivor has in the mean stand beside those of survivors anywhere among the pixels in use, and over those of
squares of as many pixels."""


def page(
    data: str, effort: Effort, before: Network, runs: Sequence[Run], chosen: str, looks: Sequence[Look],
    verdicts: Sequence[Judged], figures: Sequence[str],
) -> str:  # fmt: skip
    """Return the page.

    Args:
        data: name of the data set.
        effort: how long networks were trained.
        before: the reference.
        runs: all of them.
        chosen: name of the ℓ1 run that is judged.
        looks: networks whose images are looked at.
        verdicts: on the claims.
        figures: names of the files.
    """
    lines = [
        "# What pruning finds", "", *_HOW.split("\n"), "",
        f"Data: {data}. LC: {effort.steps} steps of {effort.epochs} epochs, μ from {effort.mu:g} by {effort.growth:g}; "
        f"{effort.retrained} epochs of retraining, {effort.whole} after magnitude pruning. P = {100 * KEPT:g} %. "
        "Verdicts rest on this one network and one seed.", "",
        "| statement of the slides | here | figures |", "|---|---|---|",
        *(f"| {one.text} | **{one.answer}** | {one.figures} |" for one in verdicts), "",
        "## Surviving inputs and neurons", "",
        "| network | | weights, % | layer by layer | inputs and neurons | test error, % | validation error, % |",
        "|---|---|---:|---|---|---:|---:|",
        "| in print | LC, ℓ1 | – | – | 400-64-99-10, of 784-300-100-10 | similar | – |",
        *(_row(one, one.run == chosen) for one in (before, *(one for run in runs for one in run.networks))), "",
        f"ℓ1 runs are named by their radius over the reference's ℓ1 norm; {chosen} is judged.", "",
    ]  # fmt: skip
    lines += ["## Images of first-layer weights", ""]
    lines += [line for name in figures for line in (f"![{name.removesuffix('.png')}]({name})", "")]
    lines += [*_JOINS.split("\n"), f"{DRAWS} shuffles of each kind.", ""]
    for at, reach in enumerate(one["reach"] for one in looks[0].joins):
        lines += [*_table(reach, [(look, look.joins[at]) for look in looks]), ""]
    return "\n".join(lines)


def _row(network: Network, judged: bool) -> str:
    """Return the line of a network."""
    name = f"**{network.run}**" if judged else network.run
    widths = "-".join(map(str, network.widths))
    survivors = ", ".join(map(str, network.survivors))
    return (
        f"| {name} | {network.label} | {100 * network.kept:.2f} | {survivors} | {widths} | "
        f"{percent(network.errors):.2f} | {percent(network.validation):.2f} |"
    )


def _table(reach: int, rows: Sequence[tuple[Look, Any]]) -> list[str]:
    """Return the table of the joins of one reach."""
    lines = [
        f"At most {reach} apart:" if reach > 1 else "Neighbours (at most 1 apart):", "",
        "| network | | joins | like sign, % | signs shuffled | anywhere | in use | alone, % | joins a survivor "
        "| in use | of squares, % |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for look, own in rows:
        shuffled = [f"{100 * own[kind]['shuffled']:.1f} ({own[kind]['z']:+.1f})" for kind in _SHUFFLES]
        near = own["near_used"]
        lines.append(
            f"| {look.network.run} | {look.network.label} | {own['joins']:,} | {100 * own['signs']['found']:.1f} | "
            f"{' | '.join(shuffled)} | {100 * own['alone']:.0f} | {near['found']:.2f} | {near['shuffled']:.2f} "
            f"({near['z']:+.1f}) | {100 * own['compact']:.0f} |"
        )
    return lines


_SHUFFLES = ("signs", "anywhere", "used")

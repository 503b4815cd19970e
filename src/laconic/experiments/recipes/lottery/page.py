"""What is shown: a row for each method and density, three figures, and the verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from laconic.experiments.recipes.lottery.runs import CONTROLS, DENSE, LC, SCRATCH_B, SCRATCH_E, TICKET, TUNED, Row
from laconic.experiments.recipes.lottery.settings import Effort
from laconic.experiments.recipes.statement import Judged, table

METHODS = (TICKET, *CONTROLS, LC, DENSE, TUNED, SCRATCH_E, SCRATCH_B)


def means(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a row for each method and level, over seeds and draws; errors in percent."""
    found = []
    for method in METHODS:
        for level in sorted({row.level for row in rows if row.method == method}):
            own = [row for row in rows if (row.method, row.level) == (method, level)]
            errors = {key: [100 * float(getattr(row, key).mean()) for row in own] for key in ("early", "last")}
            steps = [row.step for row in own if row.step is not None]
            found.append({
                "method": method, "level": level, "density": float(np.mean([row.density for row in own])),
                "bytes": round(float(np.mean([row.size for row in own]))), "step": _mean(steps), "steps": steps,
                **{key: _mean(values) for key, values in errors.items()},
                **{f"{key} of all": [round(value, 2) for value in values] for key, values in errors.items()},
            })  # fmt: skip
    return found


def page(rows: Sequence[Row], verdicts: Sequence[Judged], effort: Effort, data: str, figures: Sequence[str]) -> str:
    """Return the page."""
    way = "one-shot" if effort.at_once else "level by level"
    lines = [
        f"# Lottery tickets of {effort.title}", "",
        f"{effort.title} on {data}: {effort.steps:,} steps of Adam at {effort.how.lr:g}, batches of {effort.batch}, "
        f"drawn anew for every {effort.every} of them, after which the validation loss is looked at; "
        f"{effort.seeds} seed{'s' * (effort.seeds > 1)}. Pruned {way}. Errors are those of the test images, "
        "at the least validation loss and after the last step, means over the seeds, and in brackets the least and "
        f"the largest. Files hold what stays as float32, bit by bit, and where it is. {_said(effort)}".rstrip(), "",
        "| method | level | weights left, % | file, bytes | least validation loss at step | error there, % | "
        "error at the end, % |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in means(rows):
        step = "–" if row["step"] is None else f"{row['step']:,.0f}{_range(row['steps'], ',.0f')}"
        early, last = (f"{row[key]:.2f}{_range(row[f'{key} of all'], '.2f')}" for key in ("early", "last"))
        level = "–" if row["method"] in (TUNED, SCRATCH_E, SCRATCH_B) else str(row["level"])
        lines.append(
            f"| {row['method']} | {level} | {100 * row['density']:.2f} | {row['bytes']:,} | {step} | "
            f"{early if row['step'] is not None else '–'} | {last} |"
        )
    lines += ["", *(f"![{name.removesuffix('.png')}]({name})" for name in figures), "", *table(verdicts), ""]
    return "\n".join([*lines, "Gaps of curves are in points of error, by level, the first one first.", ""])


def figures(rows: Sequence[Row], title: str) -> Mapping[str, Figure]:
    """Return errors and steps by density, and errors by bytes, with bands from the least to the largest."""
    found, drawn = means(rows), dict[str, Figure]()
    wide = (TICKET, *CONTROLS)
    panels = (
        ("early", "test error at the least validation loss, %", "early of all", "density", wide),
        ("step", "steps to the least validation loss", "steps", "density", wide),
        ("last", "test error after the last step, %", "last of all", "bytes", METHODS),
    )
    for key, label, spread, along, methods in panels:
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        for method in methods:
            own = [row for row in found if row["method"] == method and row[key] is not None]
            if own:
                _curve(axes, method, own, key, spread, along)
        axes.set(xscale="log", ylabel=label, title=title)
        axes.set_xlabel("weights left, %" if along == "density" else "file, bytes")
        _ticks(axes)
        if along == "density":
            axes.invert_xaxis()
        axes.grid(visible=True, lw=0.3)
        axes.legend(fontsize="small")
        drawn[f"lottery-{'bytes' if along == 'bytes' else 'steps' if key == 'step' else 'error'}.png"] = figure
    return drawn


def _curve(axes: Axes, method: str, own: Sequence[Mapping[str, Any]], key: str, spread: str, along: str) -> None:
    """Draw one method."""
    own = sorted(own, key=lambda row: row[along])
    places = [row[along] * (100 if along == "density" else 1) for row in own]
    (line,) = axes.plot(places, [row[key] for row in own], "o-", ms=3, label=method)
    low, high = ([end(row[spread]) for row in own] for end in (min, max))
    axes.fill_between(places, low, high, color=line.get_color(), alpha=0.15, lw=0)


def _ticks(axes: Axes) -> None:
    """Number a logarithmic axis by 1, 2 and 5 times powers of ten, written out."""
    low, high = sorted(axes.get_xlim())
    places = [digit * 10.0**power for power in range(-2, 9) for digit in (1, 2, 5)]
    within = [place for place in places if low <= place <= high]
    axes.set_xticks(within, [f"{place:,g}" if place < 1000 else f"{place:,.0f}" for place in within])
    axes.minorticks_off()


def _said(effort: Effort) -> str:
    """Return what LC and narrow networks are, where there are any."""
    if effort.learning is None:
        return ""
    lc = effort.learning
    steps = (lc.steps * lc.l_step.epochs + lc.finetune.epochs) * effort.every
    return (
        f"LC goes on from the dense network for at most {steps:,} steps, where a ticket of level n took n + 1 "
        "trainings, and chooses over all weights together. What is dense has as many bytes as the ticket of its level, "
        "its widths in the ratio of the wide network's. Units are pruned by the sum of |w|, and fine-tuned for a "
        "quarter of the steps at a tenth of the rate."
    )


def _mean(values: Sequence[float]) -> float | None:
    """Return a mean to four decimals, of nothing None."""
    return round(float(np.mean(values)), 4) if values else None


def _range(values: Sequence[float], form: str) -> str:
    """Return the least and the largest of several values, in brackets."""
    return f" ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else ""

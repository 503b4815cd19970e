"""What is shown: both curves, the best students, and whether the policy beats random search."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from laconic.experiments.recipes.bootstrap import interval, over_seeds
from laconic.experiments.recipes.n2n.searching import Found, Teacher
from laconic.experiments.recipes.n2n.subject import Budget, Subject
from laconic.experiments.recipes.statement import Judged, lies_below, table
from laconic.experiments.recipes.verdict import DRAWS, LEVEL
from laconic.teachers.students.search import METHODS, Method

_LATE = 10
"""Students at the end of a stage, whose mean reward says what a policy has learned."""

_COLOURS = {"policy": "tab:blue", "random": "tab:orange"}


def rewards(of: Teacher, found: Found) -> np.ndarray:
    """Return the reward of a best student on each test image, whose mean is C (2 − C) · A / A_teacher there."""
    total = of.rows.parameters
    assert total is not None, "a teacher is a network"
    smaller = 1 - found.parameters / total
    values: np.ndarray = smaller * (2 - smaller) * (1 - found.errors) / (1 - of.errors.mean())
    return values


def judged(of: Teacher, every: Sequence[Found], seed: int) -> list[Judged]:
    """Return whether the policy beats random search, by a bootstrap over seeds and test images at once.

    With one seed that is over test images alone, and knows of no chance in the search.
    """
    seeds = sorted({one.seed for one in every})
    by = {(one.method, one.seed): rewards(of, one) for one in every}
    gaps = np.stack([by["policy", one] - by["random", one] for one in seeds], axis=1)
    (low,), (high,) = interval(over_seeds(gaps, DRAWS, np.random.default_rng(seed)), LEVEL)
    over = (
        f"{len(seeds)} seeds and test images" if len(seeds) > 1 else "test images; one seed tells no chance of search"
    )
    words = f"{gaps.mean():+.4f} reward, {low:+.4f} to {high:+.4f} with 95 % over {over}"
    text = "the best student of the policy has a higher reward than that of random search"
    return [Judged(text, "N2N against random search", lies_below(-high, -low), words)]


def late(every: Sequence[Found], method: Method, budget: Budget) -> list[float | None]:
    """Return the mean reward of the last students of each stage, over all seeds; None where there is no stage."""
    ends = (budget.search.removal, budget.search.students)
    counts = (budget.search.removal, budget.search.shrinkage)
    means = list[float | None]()
    for end, count in zip(ends, counts, strict=True):
        first = end - min(_LATE, count)
        own = [tried["reward"] for one in every if one.method == method for tried in one.tried[first:end]]
        means.append(round(float(np.mean(own)), 4) if own else None)
    return means


def figure(every: Sequence[Found], title: str, budget: Budget) -> Figure:
    """Return best reward against students tried: each seed as a thin line, the mean as a thick one."""
    drawn = Figure(figsize=(7, 4.2), layout="constrained")
    axes, students = drawn.subplots(), np.arange(1, budget.search.students + 1)
    for method in METHODS:
        curves = np.array([one.curve for one in every if one.method == method])
        for curve in curves if len(curves) > 1 else ():
            axes.step(students, curve, where="post", color=_COLOURS[method], lw=0.8, alpha=0.4)
        axes.step(students, curves.mean(0), where="post", color=_COLOURS[method], lw=2, label=f"{method}: best so far")
        own = np.array([[max(tried["reward"], 0) for tried in one.tried] for one in every if one.method == method])
        axes.plot(students, own.mean(0), ".", color=_COLOURS[method], ms=4, label=f"{method}: each (−1 as 0)")
    axes.axvline(budget.search.removal + 0.5, color="grey", ls=":", lw=1)
    axes.set(xlabel="students tried: layers removed, then shrunk", ylabel="reward", title=title)
    axes.grid(visible=True, lw=0.3)
    axes.legend(fontsize="small")
    return drawn


def part(
    subject: Subject, of: Teacher, budget: Budget, every: Sequence[Found], verdicts: Sequence[Judged], said: str,
    image: str,
) -> list[str]:  # fmt: skip
    """Return the lines on a teacher."""
    settings = ", ".join(f"{key} {value}" for key, value in budget.record().items())
    lines = [
        f"## {subject.title}, {of.ready.name}", "",
        f"Teacher: {of.rows.parameters:,} parameters, {100 * (1 - of.accuracy):.2f} % error on the validation images "
        f"that rewards are taken on, {100 * of.errors.mean():.2f} % on test images. {said}", "",
        f"Budget: {settings}.", "", f"![best reward against students tried]({image})", "", *table(verdicts), "",
        "| search | seed | best reward | students that differ | of best: parameters | test error, % | rows |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for one in every:
        differ = len({tried["architecture"] for tried in one.tried})
        lines.append(
            f"| {one.method} | {one.seed} | {one.curve[-1]:.4f} | {differ} | {one.parameters:,} | "
            f"{100 * one.errors.mean():.2f} | {one.best} |"
        )
    lines += ["", "| search | mean reward of the last students: removal | shrinkage |", "|---|---:|---:|"]
    for method in METHODS:
        cells = ["–" if mean is None else f"{mean:.4f}" for mean in late(every, method, budget)]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return [*lines, ""]

"""Figures 5, 6 and 8, drawn of the networks here."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from laconic.experiments.recipes.deep_compression.pipeline import Stage, Subject
from laconic.experiments.recipes.deep_compression.sweep import Point
from laconic.format.codes import CodebookCode
from laconic.insight import deep_compression
from laconic.insight.compression_statistics import pruned


def distributions(subject: Subject, stage: Stage) -> Figure:
    """Return figure 5: how often each value and each relative index occurs in the largest layer."""
    name = max(subject.weights, key=lambda name: stage.codes[name].size)
    code = pruned(stage.codes[name])
    assert code is not None, "its values are shared"
    assert isinstance(code.values, CodebookCode), "in the order of size"
    values = np.bincount(code.values.indices.array)
    indices = np.bincount(deep_compression.relative(code.mask.array)[0], minlength=32)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.bar(np.arange(len(values)), values, width=1.0, color="tab:blue")
    left.set(xlabel="value, in the order of size", ylabel="count", title=f"{subject.printed.title}, {name}: values")
    right.bar(np.arange(len(indices)), indices, width=1.0, color="tab:orange")
    right.set(xlabel="relative index", title="relative indices; the last is of fillers, too")
    return figure


def curves(subject: Subject, methods: Sequence[Point], kmeans: Sequence[Point], reference: float) -> Figure:
    """Return figures 6 and 8: error against rate, and against the bits of a value.

    Args:
        subject: the network.
        methods: of figure 6.
        kmeans: of figure 8.
        reference: error of the trained network, in percent.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, mark in zip(dict.fromkeys(point.curve for point in methods), "os^D", strict=False):
        own = sorted((100 * p.rate, 100 * p.errors.mean()) for p in methods if p.curve == name)
        left.plot([rate for rate, _ in own], [error for _, error in own], mark + "-", label=name)
    left.set(xscale="log", xlabel="bits over those of float32, %", title=f"{subject.printed.title}: by method")
    for number, name in enumerate(dict.fromkeys(point.curve for point in kmeans)):
        own_points = [point for point in kmeans if point.curve == name]
        bits = [point.value for point in own_points]
        colour = f"C{number}"
        right.plot(bits, [100 * p.errors.mean() for p in own_points], "o-", color=colour, label=f"{name}, trained")
        right.plot(bits, [100 * p.direct.mean() for p in own_points], "o:", color=colour, label=f"{name}, not trained")
    right.set(xlabel="bits of a value", title="by the start of k-means, pruned before")
    for axes in (left, right):
        axes.axhline(max(reference, 1e-2), color="grey", ls="--", lw=1, label="reference")
        axes.set(yscale="log", ylabel="test error, %")
        for axis in (axes.yaxis, *([axes.xaxis] if axes is left else [])):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, which="both", lw=0.3)
        axes.legend(fontsize="small")
    return figure

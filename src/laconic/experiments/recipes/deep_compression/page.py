"""The page: what is in print beside what came of it here."""

from collections.abc import Sequence

from laconic.experiments.recipes.deep_compression.pipeline import Stage, Subject, costs, layers_of, sizes
from laconic.experiments.recipes.deep_compression.printed import Network
from laconic.experiments.recipes.deep_compression.sweep import Point
from laconic.experiments.recipes.statement import Judged, percent, table
from laconic.insight.compression_statistics import total
from laconic.insight.deep_compression import Account

_HOW = """\
The pipeline of Han, Mao & Dally: the smallest weights of each layer are pruned, as many as in print; what is left is
trained; k-means from a linear start shares its values, one fewer than in print, for the filler is one; these are
trained; a survivor is a relative index of 5 bits and a value, both Huffman-coded. Test images are read once a row. "No
loss" holds where the interval in which the error grows with 95 % begins at 0 or below."""

_COUNTED = """\
AlexNet and VGG-16 are counted, not trained: shapes, shares and bits of a value in print, survivors in random places, in
the layout above. Brackets: the same with half a percent more or fewer survivors, within which the print rounds. Where
the print has less, its survivors lie closer together than by chance: then fewer fillers and shorter Huffman codes."""


def title() -> list[str]:
    """Return the head of the page."""
    return ["# Deep Compression, from pruning to Huffman", "", *_HOW.split("\n"), ""]


def network(
    subject: Subject, data: str, stages: Sequence[Stage], judged: Sequence[Judged], points: Sequence[Point],
    figures: tuple[str, str],
) -> list[str]:  # fmt: skip
    """Return the part on a network that is trained here.

    Args:
        subject: the network.
        data: name of the data set.
        stages: of figure 1.
        judged: the verdicts.
        points: of figures 6 and 8.
        figures: names of the files of figure 5, and of figures 6 and 8.
    """
    printed, effort = subject.printed, subject.effort
    return [
        f"## {printed.title}, {data}", "",
        f"Rounds of pruning: {effort.rounds}. Epochs: {effort.pruned} after pruning, {effort.shared} of the values; of "
        f"each point of the curves {effort.sweep} on {effort.images:,} images, after one round.", "",
        *_stages(subject, stages), "", _costs(stages[-1]), "", *table(judged), "",
        f"Table {printed.table}, print / here:", "", *_table(printed, layers_of(stages[-1])), "",
        f"![values and indices]({figures[0]})", "", f"![methods and starts]({figures[1]})", "",
        "| curve | value | rate, % | test error, % | not trained, % |", "|---|---:|---:|---:|---:|",
        *(f"| {p.curve} | {p.value:g} | {100 * p.rate:.2f} | {percent(p.errors):.2f} | "
          f"{f'{percent(p.direct):.2f}' if len(p.direct) else '–'} |" for p in points), "",
    ]  # fmt: skip


def counted(networks: Sequence[tuple[Network, Sequence[tuple[Account, Account, Account]]]]) -> list[str]:
    """Return the part on networks that are counted: of each layer the account, and with fewer and more survivors."""
    lines = ["## Counted from print", "", *_COUNTED.split("\n"), ""]
    for printed, layers in networks:
        lines += [f"{printed.title}, table {printed.table}, print / here:", ""]
        lines += [*_table(printed, [one for one, _, _ in layers], layers), ""]
    return lines


def _stages(subject: Subject, stages: Sequence[Stage]) -> list[str]:
    """Return the rows of figure 1: bytes and how many times smaller, in the paper's layout and in ours."""
    lines = [
        "| stage | layout | bytes | × | test error, % | validation error, % | our file, bytes | × |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    whole = sizes(stages[0])["float32"]
    for stage in stages:
        own = sizes(stage)
        for layout, size in own.items():
            if layout == "laconic":
                continue
            lines.append(
                f"| {stage.name} | {_LAYOUTS[layout]} | {size:,} | {whole / size:.1f} | {percent(stage.errors):.2f} | "
                f"{stage.validation:.2f} | {own['laconic']:,} | {whole / own['laconic']:.1f} |"
            )
    before, after = subject.printed.errors
    lines.append(f"| in print | P+Q+H | | {subject.printed.times} | {after:.2f}, before {before:.2f} | | | |")
    return lines


def _costs(stage: Stage) -> str:
    """Return what the parts of the layout cost over what the same network takes in our file, in bytes."""
    own, (huffman, relative) = sizes(stage), costs(stage)
    return (
        f"Of the {own['file']:,} bytes of the last stage Huffman codes cost {huffman:,.0f} over the entropy of their "
        f"symbols, their tables and lengths {own['file'] - own['P+Q+H']:,}, and relative indices with fillers "
        f"{relative:,.0f} over the entropy of places and values. Our file has {own['laconic']:,}, everything in it."
    )


_LAYOUTS = {"float32": "float32", "P": "P", "P+Q": "P+Q", "P+Q+H": "P+Q+H", "file": "P+Q+H, tables too"}


def _table(
    printed: Network, layers: Sequence[Account], bounds: Sequence[tuple[Account, Account, Account]] = ()
) -> list[str]:
    """Return a table of the paper with what there is here beside it, and in brackets what rounding allows."""
    lines = [
        "| layer | weights | kept, % | value | value, H | index | index, H | rate P+Q, % | rate P+Q+H, % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ranges = [[f" ({100 * a:.2f}–{100 * b:.2f})" for a, b in _between(*one)] for one in bounds] or [["", ""]] * len(
        layers
    )
    for layer, own, (wide, wide_coded) in zip(printed.layers, layers, ranges, strict=True):
        pairs = zip((layer.bits, layer.coded, layer.index, layer.index_coded), own.bits, strict=True)
        cells = [
            layer.name, f"{own.weights:,}", f"{layer.kept:g} / {100 * own.share:.1f}",
            *(f"{said:g} / {bits:.2f}" for said, bits in pairs), f"{layer.rate:g} / {100 * own.rates[0]:.2f}{wide}",
            f"{layer.rate_coded:g} / {100 * own.rates[1]:.2f}{wide_coded}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    whole = total(layers)
    rates = f"{printed.rates[0]:g} / {100 * whole.rates[0]:.2f} | {printed.rates[1]:g} / {100 * whole.rates[1]:.2f}"
    lines.append(f"| total | {whole.weights:,} | – / {100 * whole.share:.1f} | | | | | {rates} |")
    return lines


def _between(one: Account, fewer: Account, more: Account) -> list[tuple[float, float]]:
    """Return the rates with fewer and with more survivors, P+Q and P+Q+H."""
    return list(zip(fewer.rates, more.rates, strict=True))

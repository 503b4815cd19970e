"""The table beside the published one, bytes against error, and what is borne out."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from laconic.experiments.recipes.distillation.running import ALONE, DISTILLED, WAYS, WITHOUT, Row
from laconic.experiments.recipes.distillation.subject import PUBLISHED, STUDENTS, TEACHER, Scale
from laconic.experiments.recipes.statement import Judged, growth, lies_below, percent, table

_HOW = """\
Students of Polino et al. 2018, trained alone and distilled, each for as many epochs as the others. In the authors' code
a student alone has dropout and a distilled one has none, so that two things differ; here it is trained alone without
dropout, too. MB are parameters as floats of 32 bits, the table's column; bytes are of our files, from the weights
alone, with everything in them. Test images are read once for a network, and once for a file."""

_MARKS = {ALONE: "^", WITHOUT: "s", DISTILLED: "o"}
_COLOURS = ("tab:blue", "tab:orange", "tab:green")


def judged(rows: Sequence[Row], seed: int) -> list[Judged]:
    """Return for each student whether it has fewer errors distilled than alone, by a bootstrap over test images."""
    found = list[Judged]()
    for net, name in STUDENTS.items():
        own = {row.way: row.errors for row in rows if row.net == net and row.way in WAYS}
        if not own:
            continue
        alone, distilled = PUBLISHED[net]
        assert distilled is not None, "each student is in the table twice"
        for way in (ALONE, WITHOUT):
            low, high, words = growth(own[way], own[DISTILLED], seed)
            place = f"table 9: {100 - alone:.1f} % and {100 - distilled:.1f} %" if way == ALONE else "not in print"
            text = f"{name}, {net}: fewer test errors distilled than {way}, after as many epochs"
            found.append(Judged(text, place, lies_below(low, high), words))
    return found


def page(name: str, scale: Scale, rows: Sequence[Row], verdicts: Sequence[Judged], image: str) -> str:
    """Return the page."""
    settings = ", ".join(f"{key} {value}" for key, value in scale.record().items())
    teacher = rows[0]
    stands = " Digits of scikit-learn stand in for CIFAR-10, of which published errors are." * (scale.name == "digits")
    shelf = "" if teacher.net == TEACHER else f" The teacher is {teacher.net}, not the table's."
    lines = [
        f"# {name}", "", *_HOW.split("\n"), "", f"Every network: {settings}.{shelf}{stands}", "",
        f"![bytes against error]({image})", "", *table(verdicts), "",
        "| network | how | parameters | MB | published error, % | test error, % | files: bits a weight, bytes, error |",
        "|---|---|---:|---:|---:|---:|---|",
    ]  # fmt: skip
    for row in rows:
        files = "; ".join(f"{one['bits']:g}: {one['bytes']:,} B, {one['test error']:.2f} %" for one in row.files)
        lines.append(
            f"| {row.net} | {row.way} | {row.parameters:,} | {row.megabytes:.2f} | {_published(row)} | "
            f"{percent(row.errors):.2f} | {files or '–'} |"
        )
    return "\n".join(lines) + "\n"


def _published(row: Row) -> str:
    """Return the error of the table."""
    alone, distilled = PUBLISHED.get(row.net, (None, None))
    accuracy = {"teacher": alone, ALONE: alone, DISTILLED: distilled}.get(row.way)
    return "–" if accuracy is None else f"{100 - accuracy:.1f}"


def figure(rows: Sequence[Row], title: str) -> Figure:
    """Return error against the bytes of each student's files, and of its parameters as floats."""
    drawn = Figure(figsize=(7, 4.4), layout="constrained")
    axes = drawn.subplots()
    names = list(dict.fromkeys(row.net for row in rows[1:]))
    for row in rows[1:]:
        sizes = [one["bytes"] for one in row.files] + [4 * row.parameters]
        errors = [one["test error"] for one in row.files] + [percent(row.errors)]
        points = sorted(zip(sizes, errors, strict=True))
        colour = _COLOURS[names.index(row.net) % len(_COLOURS)]
        axes.plot(*zip(*points, strict=True), _MARKS[row.way] + "-", color=colour, lw=0.8, label=f"{row.net} {row.way}")
    axes.axhline(percent(rows[0].errors), color="grey", ls="--", lw=1, label=f"teacher, {rows[0].net}")
    axes.set(xscale="log", xlabel="bytes: of files, and of floats", ylabel="test error, %", title=title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="both", lw=0.3)
    axes.legend(fontsize="x-small")
    return drawn

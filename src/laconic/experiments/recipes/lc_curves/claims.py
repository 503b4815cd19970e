"""What the slides say of their curves, and what the networks here say to it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from laconic.experiments.recipes.lc_curves.measurements import Network, Row
from laconic.experiments.recipes.statement import Judged, growth, lower
from laconic.experiments.recipes.verdict import Answer, Curve

NEARLY = 0.5
"""Points of error that "nearly no degradation" allows."""

SLOWER = 2.0
"""Times the training of the reference that "not much slower" allows, in images and in seconds."""

Rows = Sequence[Row]


def judged(network: Network, rows: Rows, losses: Mapping[str, str]) -> list[Judged]:
    """Return the verdicts on a network.

    Args:
        network: whose rows they are.
        rows: of `measured`.
        losses: by label of a setting what its error by LC is said to be: "none", "nearly none" or "some".
    """
    seed = network.context.seed
    return [*_losses(rows, losses, seed), *_rivals(rows, seed), *_storage(rows, seed), *_fixed(rows, seed),
            *_slower(network, rows)]  # fmt: skip


def of(rows: Rows, family: str, method: str) -> list[Row]:
    """Return the rows of a family by a method that have a network, in the order of the table."""
    named = (row for row in rows if row.setting and (row.setting.family, row.method) == (family, method))
    return [row for row in named if len(row.errors)]


def _losses(rows: Rows, losses: Mapping[str, str], seed: int) -> Iterator[Judged]:
    """Yield whether errors by LC grow as they are said to."""
    reference = rows[0].errors
    for row in rows:
        if row.method == "LC" and row.setting and row.setting.label in losses and len(row.errors):
            said = losses[row.setting.label]
            low, high, words = growth(reference, row.errors, seed)
            yield Judged(f"{row.setting.label}: {said} lost", "LC, experiments", _lost(said, low, high), words)


def _lost(said: str, low: float, high: float) -> Answer:
    """Return whether a growth of the error between two ends is what is said."""
    if said == "none":
        return "holds" if low <= 0 else "does not hold"
    if said == "some":
        return "holds" if low > 0 else "undecided"
    return "holds" if high <= NEARLY else "does not hold" if low > NEARLY else "undecided"


def _rivals(rows: Rows, seed: int) -> Iterator[Judged]:
    """Yield whether LC has lower errors than other methods at equal settings."""
    for family, other in (("adaptive", "direct"), ("adaptive", "iDC"), ("pruning", "magnitude")):
        ours, theirs = of(rows, family, "LC"), of(rows, family, other)
        if ours and theirs:
            text = f"more compression for the same loss: LC against {_NAMES[other]}"
            yield lower(text, "experiments", _curve(ours, number), _curve(theirs, number), seed)
    theirs = of(rows, "binary", "BinaryConnect")
    ours = [row for row in of(rows, "fixed", "LC") if row.setting and row.setting.scaled and number(row) == 2]
    if ours and theirs:
        text = "more compression for the same loss: LC, ±1 times a, against BinaryConnect"
        yield lower(text, "related work, experiments", _curve(ours, number), _curve(theirs, number), seed)


_NAMES = {"direct": "direct", "iDC": "iterated direct compression", "magnitude": "magnitude pruning and retraining"}


def number(row: Row) -> float:
    """Return the number of a setting: K, or P."""
    assert row.setting is not None, "a reference is on no curve"
    return row.setting.number


def _storage(rows: Rows, seed: int) -> Iterator[Judged]:
    """Yield whether quantization beats pruning: as the source counts bits, and, as another statement, in our files."""
    quantized, pruned = of(rows, "adaptive", "LC"), of(rows, "pruning", "LC")
    if quantized and pruned:
        text = "quantization beats pruning in storage: ρ(K) against ρ(P), 32-bit survivors in coordinate lists"
        yield lower(text, "quantization vs pruning", _curve(quantized, _share), _curve(pruned, _share), seed)
        text = "quantization has lower errors than pruning in as many bytes of our files"
        yield lower(text, "not said in print", _curve(quantized, _size), _curve(pruned, _size), seed)


def _share(row: Row) -> float:
    return 1 / float(row.figures["rho"])


def _size(row: Row) -> float:
    return float(row.figures["bytes"])


def _fixed(rows: Rows, seed: int) -> Iterator[Judged]:
    """Yield whether adaptive codebooks have lower errors than fixed ones of as many values, plain and scaled."""
    adaptive = {number(row): row for row in of(rows, "adaptive", "LC")}
    every = [row for row in of(rows, "fixed", "LC") if number(row) in adaptive]
    for scaled, said in ((False, "as they are"), (True, "times a scale of each tensor")):
        own = [row for row in every if row.setting and row.setting.scaled == scaled]
        if own:
            labels = "; ".join(row.setting.label for row in own if row.setting)
            text = f"adaptive codebooks beat fixed ones of as many values, {said} ({labels})"
            like = _curve([adaptive[number(row)] for row in own], number)
            yield lower(text, "fixed codebooks", like, _curve(own, number), seed)


def _slower(network: Network, rows: Rows) -> Iterator[Judged]:
    """Yield whether LC takes about as long as training the reference."""
    images, seconds = network.reference
    trained = [row for row in rows if row.method == "LC" and len(row.errors)]
    if not trained:
        return
    more = [row.figures["images"] / images for row in trained]
    words, slowest = f"training images × {min(more):.2f} to {max(more):.2f}", max(more)
    if seconds:
        longer = [row.figures["seconds"] / seconds for row in trained]
        words += f", seconds × {min(longer):.2f} to {max(longer):.2f}"
        slowest = max(slowest, *longer)
    answer: Answer = "holds" if slowest <= SLOWER else "does not hold"
    yield Judged("LC is not much slower than training the reference", "the algorithm", answer, words)


def _curve(rows: Rows, place: Callable[[Row], float]) -> Curve:
    """Return the curve of errors by place."""
    return Curve(np.array([place(row) for row in rows], np.float64), np.stack([row.errors for row in rows]))

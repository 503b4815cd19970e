"""What the sources say of techniques against each other, and what the files here say to it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from laconic.experiments.recipes.equal_sizes.kmeans_starts import Start
from laconic.experiments.recipes.equal_sizes.measurements import Measurement, Method
from laconic.experiments.recipes.equal_sizes.settings import CHOSEN, SETTINGS
from laconic.experiments.recipes.equal_sizes.strength import labels
from laconic.experiments.recipes.verdict import Answer, Curve, Verdict, judge

_ADAPTIVE = ("codebook", "kmeans", "priced_codebook")
_FIXED = ("binary", "ternary", "powers_of_two", "fixed_codebook")
METHODS: tuple[Method, ...] = ("direct", "LC")


@final
@dataclass(frozen=True)
class Contest:
    """That one of some settings has a lower error than all of some others, in a file of the same size.

    Args:
        text: as the publication says it.
        source: who says it.
        better: labels; at each size the best of them on the validation split stands for all.
        worse: labels, likewise.
    """

    text: str
    source: str
    better: tuple[str, ...]
    worse: tuple[str, ...]


_LC = "Carreira-Perpiñán and co-authors 2017 to 2021, the LC papers"
_IMPORTANCE = "Gao, Liu, Wang & Oh 2019"
CHOICE = Contest("a choice for each tensor against the best single technique", "ours",
                 (CHOSEN.label,), tuple(setting.label for setting in SETTINGS))  # fmt: skip
CONTESTS = (
    Contest("in as many bytes of a file: any quantization against any pruning, whose survivors have 16 values", _LC,
            labels(SETTINGS, "quantization"), labels(SETTINGS, "pruning")),
    Contest("in as many bytes of a file: k-means against the largest weights, which have 16 values", _LC,
            ("codebook",), ("keep",)),
    Contest("in as many bytes of a file: adaptive codebooks, one with a price of bits too, against fixed ones", _LC,
            _ADAPTIVE, _FIXED),
    Contest("additive beats its parts: two values + sparse against two values", _LC,
            ("two values + sparse",), ("codebook",)),
    Contest("additive beats its parts: two values + sparse against pruning", _LC, ("two values + sparse",), ("keep",)),
    Contest("additive beats its parts: low rank + sparse against low rank", _LC, ("low rank + sparse",), ("rank",)),
    Contest("additive beats its parts: low rank + sparse against pruning", _LC, ("low rank + sparse",), ("keep",)),
    Contest("pruning by importance beats pruning by size", _IMPORTANCE, ("keep by importance",), ("keep",)),
    Contest("a constraint beats a price and truncation: rank against rank after both trainings", _LC,
            ("rank",), ("rank after nuclear norm", "rank after orthogonality")),
    CHOICE,
)  # fmt: skip
KERNELS = (
    Contest("CP beats earlier decompositions of kernels: against two components",
            "Lebedev, Ganin, Rakhuba, Oseledets & Lempitsky 2015", ("cp",), ("two_components",)),
)  # fmt: skip
"""What is said of kernels."""
KEPT = ("LC", "importance")
"""What is said to keep less of the last layer than magnitude does."""


@final
@dataclass(frozen=True, eq=False)
class Judged:
    """A statement and what became of it.

    Args:
        text: the statement.
        source: who makes it.
        method: of the files that were compared.
        verdict: the answer; its shares are sizes in bytes, or numbers of values.
        pairs: at each place, what stood for the better and the worse.
    """

    text: str
    source: str
    method: str
    verdict: Verdict
    pairs: tuple[tuple[str, str], ...] = ()

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        record = asdict(self.verdict)
        return {
            "text": self.text, "source": self.source, "method": self.method, "answer": record.pop("answer"),
            "places": record.pop("shares"), "pairs": [list(pair) for pair in self.pairs], **record,
        }  # fmt: skip


def contests(rows: Sequence[Measurement], seed: int, about: Sequence[Contest] = CONTESTS) -> list[Judged]:
    """Return the verdict on every contest, direct and by LC."""
    return [_contest(contest, method, rows, seed) for contest in about for method in METHODS]


def measurable(about: Sequence[Contest], known: Collection[str]) -> tuple[Contest, ...]:
    """Return the contests of which each side has a setting among the labels that are ``known``."""
    return tuple(one for one in about if all(any(label in known for label in side) for side in (one.better, one.worse)))


def starts(kmeans: Sequence[Start], seed: int) -> list[Judged]:
    """Return the verdicts on linear starts against each other one."""
    judged = list[Judged]()
    for other in dict.fromkeys(start.start for start in kmeans if start.start != "linear"):
        for method in ("direct", "tuned"):
            curves = [
                _curve({s.values: s.errors for s in kmeans if (s.start, s.method) == (name, method)})
                for name in ("linear", other)
            ]
            text = f"linear initialisation of k-means is best: against {other}"
            judged.append(Judged(text, "Han, Mao & Dally 2016", method, judge(curves[0], curves[1], "mostly", seed)))
    return judged


def last_layer(rows: Sequence[Measurement]) -> list[Judged]:
    """Return whether magnitude keeps a larger share of the last layer than LC and importance do, at every size."""
    shares = {
        (row.setting.label, row.method, row.target): list(row.figures["kept"].values())[-1]
        for row in rows
        if row.reached and row.setting.label in ("keep", "keep by importance")
    }
    others: Mapping[str, tuple[str, Method]] = {"LC": ("keep", "LC"), "importance": ("keep by importance", "direct")}
    judged = list[Judged]()
    for name in KEPT:
        pairs = {
            target: (shares["keep", "direct", target], shares[*others[name], target])
            for label, method, target in shares
            if (label, method) == ("keep", "direct") and (*others[name], target) in shares
        }
        text = f"magnitude keeps too much of the last layer: a larger share than {name}"
        judged.append(Judged(text, "Carreira-Perpiñán & Idelbayev 2018", "shares", _counted(pairs)))
    return judged


def _counted(pairs: Mapping[int, tuple[float, float]]) -> Verdict:
    """Return the verdict on shares that leave nothing to chance: gaps are those of the other less magnitude's."""
    if not pairs:
        return Verdict("not measured")
    gaps = tuple(round(other - magnitude, 6) for magnitude, other in pairs.values())
    below, above = sum(gap < 0 for gap in gaps), sum(gap > 0 for gap in gaps)
    answer: Answer = "holds" if below > above else "does not hold" if above > below else "undecided"
    return Verdict(answer, tuple(map(float, pairs)), gaps, gaps, gaps, below, above)


def _contest(contest: Contest, method: Method, rows: Sequence[Measurement], seed: int) -> Judged:
    """Return the verdict on one contest, over the sizes that both sides reach."""
    sides = [_best(names, method, rows) for names in (contest.better, contest.worse)]
    targets = [target for target in sides[0] if target in sides[1]]
    curves = [_curve({target: side[target].errors for target in targets}) for side in sides]
    pairs = tuple((sides[0][target].setting.label, sides[1][target].setting.label) for target in targets)
    verdict = judge(curves[0], curves[1], "mostly", seed) if targets else Verdict("not measured")
    return Judged(contest.text, contest.source, method, verdict, pairs)


def _best(names: Sequence[str], method: Method, rows: Sequence[Measurement]) -> dict[int, Measurement]:
    """Return by size the row of least validation error, the first at a tie."""
    best = dict[int, Measurement]()
    for row in rows:
        if row.reached and row.method == method and row.setting.label in names:
            rival = best.get(row.target)
            if rival is None or row.figures["validation"] < rival.figures["validation"]:
                best[row.target] = row
    return dict(sorted(best.items()))


def _curve(errors: Mapping[int, np.ndarray]) -> Curve:
    """Return the curve of errors by place."""
    costs = np.stack(list(errors.values())) if errors else np.zeros((0, 0))
    return Curve(np.array(list(errors), dtype=np.float64), costs)

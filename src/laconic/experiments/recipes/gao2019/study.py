"""Every curve of one network, and what becomes of the paper's claims on it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from laconic.experiments.recipes.gao2019.experiment import Subject
from laconic.experiments.recipes.gao2019.points import TECHNIQUES, Point, measured, uncompressed
from laconic.experiments.recipes.gao2019.validation import Choice, choose, pairs
from laconic.experiments.recipes.verdict import Claim, Curve, Verdict, judge

CLAIMS = (
    Claim("proposed below baseline in cross entropy at every ratio", "proposed", "baseline", "loss", "every"),
    Claim("proposed at least baseline in accuracy, mostly", "proposed", "baseline", "error", "mostly"),
    Claim("gradient better than baseline", "gradient", "baseline", "loss", "mostly"),
    Claim("hessian better than baseline", "hessian", "baseline", "loss", "mostly"),
    Claim("gradient+hessian best: than baseline", "gradient+hessian", "baseline", "loss", "mostly"),
    Claim("gradient+hessian best: than gradient", "gradient+hessian", "gradient", "loss", "mostly"),
    Claim("gradient+hessian best: than hessian", "gradient+hessian", "hessian", "loss", "mostly"),
)
"""What the paper says of its figures, as far as measurements can tell."""

Names = tuple[str, str]
"""Names of technique and method."""


@final
@dataclass(frozen=True, eq=False)
class Study:
    """What was measured on one network.

    Args:
        subject: the network.
        reference: uncompressed.
        curves: points by technique and method, in the order of their strength.
        choices: what was chosen on the validation split.
        skipped: by technique and method, why there is no curve.
        verdicts: by technique and claim.
    """

    subject: Subject
    reference: Point
    curves: Mapping[Names, tuple[Point, ...]]
    choices: Mapping[Names, Choice]
    skipped: Mapping[Names, str]
    verdicts: Mapping[tuple[str, Claim], Verdict]

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        settings = {key: value for key, value in vars(self.subject.settings).items() if key != "panels"}
        return {
            "network": self.subject.label,
            "of the paper": self.subject.published,
            "note": self.subject.note,
            **(self.subject.scale.record() if self.subject.scale else {}),
            "settings": settings,
            "uncompressed": dict(self.reference.figures),
            "choices": [choice.record() for choice in self.choices.values()],
            "curves": [
                {"technique": technique, "method": method, "points": [dict(point.figures) for point in points]}
                for (technique, method), points in self.curves.items()
            ],
            "skipped": [{"technique": t, "method": m, "reason": text} for (t, m), text in self.skipped.items()],
            "verdicts": [
                {"technique": technique, **asdict(claim), **asdict(verdict)}
                for (technique, claim), verdict in self.verdicts.items()
            ],
        }


def study(subject: Subject) -> Study:
    """Measure every curve and judge every claim."""
    choices = choose(subject.part(0.0, 0.45))
    rest = subject.part(0.45, 1.0)
    reference = uncompressed(rest, "test")
    drawn = [(t, m) for t, m, refused in pairs(subject) if refused is None]
    total = sum(len(subject.settings.values[t.name]) for t, _ in drawn)
    curves: dict[Names, tuple[Point, ...]] = {}
    done = 0
    for technique, method in drawn:
        names, points = (technique.name, method.name), list[Point]()
        choice = choices.get(names)
        for value in subject.settings.values[technique.name]:
            rest.context.say(done / total, f"{subject.label}: {technique.name}, {method.name}, {value:g}")
            setting = None if choice is None else choice.chosen[value]
            points.append(measured(rest, technique, method, setting, value, "test"))
            done += 1
        curves[names] = tuple(points)
    skipped = {(t.name, m.name): refused for t, m, refused in pairs(subject) if refused is not None}
    return Study(subject, reference, curves, choices, skipped, verdicts(curves, subject.context.seed))


def verdicts(curves: Mapping[Names, tuple[Point, ...]], seed: int) -> dict[tuple[str, Claim], Verdict]:
    """Return what the curves say to each claim, for each technique."""
    judged: dict[tuple[str, Claim], Verdict] = {}
    for technique in TECHNIQUES:
        for claim in CLAIMS:
            better, worse = curves.get((technique, claim.better)), curves.get((technique, claim.worse))
            if better is None or worse is None:
                judged[technique, claim] = Verdict("not measured")
            else:
                pair = curve_of(better, claim.measure), curve_of(worse, claim.measure)
                judged[technique, claim] = judge(*pair, claim.quantifier, seed)
    return judged


def curve_of(points: tuple[Point, ...], measure: str) -> Curve:
    """Return the costs of the points, sample by sample."""
    shares = np.array([point.figures["share"] for point in points])
    return Curve(shares, np.stack([point.losses if measure == "loss" else point.errors for point in points]))

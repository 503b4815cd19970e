"""What is chosen on the validation split: the temperature of the unsupervised importance, and the Hessian's μ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from laconic.recipes.gao2019.experiment import Subject
from laconic.recipes.gao2019.methods import METHODS, Method, refusal
from laconic.recipes.gao2019.points import TECHNIQUES, Technique, measured


@final
@dataclass(frozen=True)
class Choice:
    """How a setting of a method was chosen for a technique.

    Args:
        technique: its name.
        method: its name.
        option: "temperature" or "added".
        accuracies: by setting, validation accuracies at the anchors.
        anchors: strengths of the compression at which settings were compared.
        chosen: the setting of largest mean accuracy, the first at a tie.
    """

    technique: str
    method: str
    option: str
    accuracies: Mapping[float, tuple[float, ...]]
    anchors: tuple[float, ...]
    chosen: float

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        rows = [{"setting": key, "accuracies": list(row)} for key, row in self.accuracies.items()]
        return {
            "technique": self.technique, "method": self.method, "option": self.option, "anchors": list(self.anchors),
            "validation": rows, "chosen": self.chosen,
        }  # fmt: skip


def pairs(subject: Subject) -> Iterator[tuple[Technique, Method, str | None]]:
    """Yield every curve that the settings ask for, and why it cannot be drawn where it cannot."""
    names = dict.fromkeys(name for methods in subject.settings.panels.values() for name in methods)
    for technique in TECHNIQUES.values():
        for name in names:
            method = METHODS[name]
            yield technique, method, refusal(technique.compression(subject.settings.values[technique.name][0]), method)


def choose(subject: Subject) -> dict[tuple[str, str], Choice]:
    """Return the choices by names of technique and method, for the methods that have one to make."""
    wanted = [(t, m) for t, m, refused in pairs(subject) if m.option and refused is None]
    total = sum(len(m.choices(subject.settings)) for _, m in wanted)
    made: dict[tuple[str, str], Choice] = {}
    done = 0
    for technique, method in wanted:
        anchors, accuracies = subject.settings.anchors[technique.name], dict[float, tuple[float, ...]]()
        for setting in method.choices(subject.settings):
            subject.context.say(done / total, f"{subject.label}: {technique.name}, {method.option} {setting:g}")
            points = [measured(subject, technique, method, setting, value, "validation") for value in anchors]
            accuracies[setting] = tuple(point.figures["accuracy"] for point in points)
            done += 1
        chosen = max(accuracies, key=lambda setting: sum(accuracies[setting]))
        names = technique.name, method.name
        made[names] = Choice(*names, method.option, accuracies, anchors, chosen)
    return made

"""What is chosen on the validation split: the temperature of the unsupervised importance, and the Hessian's μ."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from laconic.experiments.recipes.gao2019.experiment import Subject
from laconic.experiments.recipes.gao2019.methods import METHODS, Method, refusal
from laconic.experiments.recipes.gao2019.points import TECHNIQUES, Technique, measured


@final
@dataclass(frozen=True)
class Choice:
    """How a setting of a method was chosen for a technique.

    Args:
        technique: its name.
        method: its name.
        option: "temperature" or "added".
        places: strengths of the compression at which settings were compared.
        accuracies: by setting, validation accuracies there.
        chosen: by strength, the setting of largest accuracy, the first at a tie.
    """

    technique: str
    method: str
    option: str
    places: tuple[float, ...]
    accuracies: Mapping[float, tuple[float, ...]]
    chosen: Mapping[float, float]

    def record(self) -> dict[str, Any]:
        """Return it as JSON says it."""
        rows = [{"setting": key, "accuracies": list(row)} for key, row in self.accuracies.items()]
        chosen = [{"value": value, "setting": setting} for value, setting in self.chosen.items()]
        return {
            "technique": self.technique, "method": self.method, "option": self.option, "places": list(self.places),
            "validation": rows, "chosen": chosen,
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
    settings = subject.settings
    wanted = [(t, m, _places(subject, t)) for t, m, refused in pairs(subject) if m.option and refused is None]
    total = sum(len(places) * len(m.choices(settings)) for _, m, places in wanted)
    choices: dict[tuple[str, str], Choice] = {}
    done = 0
    for technique, method, places in wanted:
        accuracies: dict[float, tuple[float, ...]] = {}
        for setting in method.choices(settings):
            subject.context.say(done / total, f"{subject.label}: {technique.name}, {method.option} {setting:g}")
            points = [measured(subject, technique, method, setting, value, "validation") for value in places]
            accuracies[setting] = tuple(point.figures["accuracy"] for point in points)
            done += len(places)
        values = settings.values[technique.name]
        chosen = {value: best(accuracies, [places.index(value)] if settings.each else range(len(places)))
                  for value in values}  # fmt: skip
        names = technique.name, method.name
        choices[names] = Choice(*names, method.option, places, accuracies, chosen)
    return choices


def best(accuracies: Mapping[float, tuple[float, ...]], places: Iterable[int]) -> float:
    """Return the setting of largest mean accuracy over some places, the first at a tie.

    >>> best({1.0: (0.5, 0.9), 2.0: (0.7, 0.6), 3.0: (0.7, 0.7)}, [0]), best({1.0: (0.5, 0.9), 2.0: (0.7, 0.6)}, [0, 1])
    (2.0, 1.0)
    """
    places = list(places)
    return max(accuracies, key=lambda setting: sum(accuracies[setting][place] for place in places))


def _places(subject: Subject, technique: Technique) -> tuple[float, ...]:
    """Return where settings are compared: at the anchors, and at all points where each has its own choice."""
    settings = subject.settings
    values = settings.values[technique.name] if settings.each else ()
    return tuple(sorted({*settings.anchors[technique.name], *values}))

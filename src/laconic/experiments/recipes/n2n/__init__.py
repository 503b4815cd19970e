"""Architecture of students by reinforcement (N2N), beside random search with as many students in the same space."""

from functools import partial
from typing import Any

from matplotlib.figure import Figure

from laconic.errors import DataError
from laconic.experiments.recipes.gao2019.experiment import holds
from laconic.experiments.recipes.n2n.page import figure, judged, late, part
from laconic.experiments.recipes.n2n.searching import Found, Teacher, found, speed, teacher_of
from laconic.experiments.recipes.n2n.subject import LENET5, RESNET20, Budget, Subject
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe
from laconic.teachers.students.search import METHODS

_SOURCE = (
    "Ashok, Rhinehart, Beainy & Kitani, N2N learning: Network to Network Compression via Policy Gradient Reinforcement "
    "Learning, ICLR 2018"
)

_HOW = """\
Students are made by removing layers, then, of the best of these, by shrinking layers. Each is taught from fresh weights
for a short while, by cross-entropy and the distance of its logits from the teacher's, and gets the reward
C (2 − C) A / A_teacher, C being the share of the parameters that it saves, A its accuracy on validation images; −1
where it is no smaller network. The policy learns by REINFORCE; random search draws any action as likely as the others,
and takes as many students. A student counts as tried each time it is drawn, and is trained once. Of the best of each
search the test images are read once."""


def _run(subject: Subject, context: Context) -> Outcome:
    """Search, seed by seed, and judge."""
    real = _there(subject, context)
    budget = subject.fast if context.fast or not real else subject.budget
    of = teacher_of(subject, budget, real, context.part(0.0, 0.05))
    pace = _pace(subject, of, budget, context)
    seeds, every = range(context.seed, context.seed + budget.seeds), list[Found]()
    for place, (seed, method) in enumerate((seed, method) for seed in seeds for method in METHODS):
        count = 2 * len(seeds)
        share = context.part(0.05 + 0.95 * place / count, 0.05 + 0.95 * (place + 1) / count)
        every.append(found(of, method, budget, seed, f"{subject.net}, seed {seed}, {method}", share))
    verdicts, image = judged(of, every, context.seed), f"n2n-{subject.net}.png"
    said = "Digits of scikit-learn stand in for MNIST." if not real else ""
    lines = ["# Students by reinforcement (N2N)", "", *_HOW.split("\n"), ""]
    lines += [*part(subject, of, budget, every, verdicts, said, image), pace, ""]
    record: dict[str, Any] = {
        "recipe": _name(subject), "source": _SOURCE, "network": f"{subject.net} {of.ready.name}",
        "teacher": {"parameters": of.rows.parameters, "accuracy": of.accuracy, "test error": of.errors.mean() * 100},
        "settings": budget.record(), "searches": [one.record() for one in every],
        "late": {method: late(every, method, budget) for method in METHODS},
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    drawn: dict[str, Figure] = {image: figure(every, f"{subject.title}, {of.ready.name}", budget)}
    return Outcome(record, "\n".join(lines), drawn)


def _there(subject: Subject, context: Context) -> bool:
    """Say whether the data are there.

    Raises:
        DataError: when they are not, and nothing stands in for them.
    """
    if subject.data == "mnist":
        return holds(context.data_dir, "mnist", "train-images*")
    if context.data_dir is None:
        raise DataError(
            f"{_name(subject)} needs CIFAR-10 and {subject.weights}: name the folder that holds cifar10/ by "
            "--data-dir DIR"
        )
    return True


def _pace(subject: Subject, of: Teacher, budget: Budget, context: Context) -> str:
    """Say what is going to be run, and at most how long it takes; kept from the first run of the folder."""

    def measure() -> tuple[dict[str, float], dict[str, Any]]:
        return {"seconds": round(speed(of, budget), 1)}, {}

    pace = context.cache.point(f"{subject.net}/speed", measure)[0]["seconds"]
    words = (
        f"Budget: {2 * budget.seeds * budget.search.students} students of {budget.taught:,} images in all, "
        f"{budget.taught / pace / 60:.1f} minutes at most: {pace:,.0f} images a second where nothing is removed."
    )
    context.say(0.05, words)
    return words


def _name(subject: Subject) -> str:
    """Return the name of the recipe."""
    return "n2n" if subject is LENET5 else f"n2n-{subject.net}"


RECIPES = tuple(
    Recipe(
        _name(subject),
        f"students of {subject.title} by reinforcement, beside random search: layers removed, then shrunk",
        _SOURCE,
        needs,
        time,
        partial(_run, subject),
    )
    for subject, needs, time in (
        (
            LENET5,
            "mnist in --data-dir; runs on built-in digits without",
            "at most 40 minutes of one core, a minute with --fast",
        ),
        (
            RESNET20,
            f"cifar10 in --data-dir, and {RESNET20.weights} there",
            "an hour of one core, 2 minutes with --fast",
        ),
    )
)

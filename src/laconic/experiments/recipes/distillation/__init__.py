"""Students on CIFAR-10, alone and distilled from a larger network: table 9 of Polino et al. 2018."""

from functools import partial

import torch

from laconic.errors import DataError
from laconic.experiments.recipes.distillation.page import figure, judged, page
from laconic.experiments.recipes.distillation.running import WAYS, Table, images, student_row, teacher_row
from laconic.experiments.recipes.distillation.subject import DIGITS, FULL, SHELF, SMALL, Scale
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe

_SOURCE = "Polino, Pascanu & Alistarh, Model compression via distillation and quantization, ICLR 2018, table 9"
_FIGURE = "distillation-cifar10.png"


def _run(name: str, shelf: bool, context: Context) -> Outcome:
    """Train the teacher, then each student three ways, and judge."""
    scale = _scale(name, shelf, context)
    table = Table(scale, images(context, scale), context)
    row, teacher = teacher_row(table, shelf, context.part(0.0, 0.3))
    rows, students = [row], scale.students[:1] if context.fast else scale.students
    places = [(net, way) for net in students for way in WAYS]
    for place, (net, way) in enumerate(places):
        part = context.part(0.3 + 0.7 * place / len(places), 0.3 + 0.7 * (place + 1) / len(places))
        rows.append(student_row(table, net, way, teacher, part))
    verdicts = judged(rows, context.seed)
    record = {
        "recipe": name, "source": _SOURCE, "data": table.ready.name, "settings": scale.record(),
        "teacher": row.net, "rows": [row.record() for row in rows],
        "verdicts": [one.record() for one in verdicts],
    }  # fmt: skip
    title = f"{table.ready.name}, scale {scale.name}, teacher {row.net}"
    return Outcome(record, page(name, scale, rows, verdicts, _FIGURE), {_FIGURE: figure(rows, title)})


def _scale(name: str, shelf: bool, context: Context) -> Scale:
    """Return what is run.

    Raises:
        DataError: when the data are missing, and nothing may stand in for them.
    """
    if context.data_dir is None:
        if context.fast and not shelf:
            return DIGITS
        needs = f"CIFAR-10{f' and {SHELF[1]}' if shelf else ''}"
        raise DataError(
            f"{name} needs {needs}: name the folder that holds cifar10/ by --data-dir DIR"
            + ("" if shelf else "; with --fast alone, digits stand in for them")
        )
    return FULL if context.train or torch.cuda.is_available() else SMALL


RECIPES = (
    Recipe(
        "distillation-cifar10",
        "students alone and distilled on CIFAR-10, bytes against error; the table's teacher, trained here",
        _SOURCE,
        "cifar10 in --data-dir; --fast runs on built-in digits without",
        "four hours of one core (--fast: student 3, an hour and a quarter); 200 epochs of all with a GPU, or --train",
        partial(_run, "distillation-cifar10", False),
    ),
    Recipe(
        "distillation-cifar10-resnet32",
        "the same with a published ResNet-32 for a teacher",
        _SOURCE,
        f"cifar10 in --data-dir, and {SHELF[1]} there",
        "two hours and a half of one core (--fast: student 3, 20 minutes); 200 epochs of all with a GPU, or --train",
        partial(_run, "distillation-cifar10-resnet32", True),
    ),
)

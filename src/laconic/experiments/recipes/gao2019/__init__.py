"""Gao, Liu, Wang & Oh, "Rate distortion for model compression: from theory to practice" (ICML 2019), section 5.

Pruning and quantization without retraining, under the metrics of the paper's Tables 1 and 2. Departures: the diagonal
of the Hessian is Gauss-Newton's (exact for networks of ReLU), where the paper propagates curvature; its μ is searched
on a grid, not by bisection. The paper picks temperatures for the best accuracy, and says neither on which images nor
whether at each ratio: here it is on validation images, at each ratio on MNIST, and once for pruning and once for
quantization on CIFAR.
"""

from collections.abc import Callable, Iterator

from matplotlib.figure import Figure

from laconic.experiments.recipes.gao2019 import networks
from laconic.experiments.recipes.gao2019.experiment import Subject
from laconic.experiments.recipes.gao2019.figures import panels, sensitivity
from laconic.experiments.recipes.gao2019.page import page
from laconic.experiments.recipes.gao2019.study import study
from laconic.experiments.recipes.recipe import Context, Outcome, Recipe

_SOURCE = "Gao, Liu, Wang & Oh, Rate distortion for model compression: from theory to practice, ICML 2019, section 5"


def _recipe(name: str, summary: str, needs: str, time: str, subjects: Callable[[Context], Iterator[Subject]]) -> Recipe:
    """Return a recipe that studies every network that ``subjects`` yields."""

    def run(context: Context) -> Outcome:
        studies, files, figures = [], dict[str, list[str]](), dict[str, Figure]()
        for subject in subjects(context):
            study_of_subject = study(subject)
            studies.append(study_of_subject)
            stem = "-".join(subject.label.split())
            drawn = {
                f"{stem}-{kind}.png": panels(study_of_subject, methods)
                for kind, methods in subject.settings.panels.items()
            }
            drawn[f"{stem}-sensitivity.png"] = sensitivity(study_of_subject)
            files[subject.label] = list(drawn)
            figures |= drawn
        record = {
            "recipe": name,
            "source": _SOURCE,
            "networks": [study_of_subject.record() for study_of_subject in studies],
        }
        return Outcome(record, page(name, studies, files), figures)

    return Recipe(name, summary, _SOURCE, needs, time, run)


RECIPES = (
    _recipe(
        "gao2019-mnist",
        "pruning and quantization by importance: a multilayer perceptron on MNIST",
        "mnist in --data-dir; runs on built-in digits without",
        "4 minutes on one core",
        networks.mnist,
    ),
    _recipe(
        "gao2019-cifar10",
        "the same on CIFAR-10: a published ResNet-20; --train: conv5-fc3; with a GPU: the paper's two",
        "cifar10 in --data-dir; models/resnet20_cifar10.safetensors there unless networks are trained",
        "20 minutes on one core, with --train too (--fast: 3 without it); hours with a GPU",
        networks.cifar10,
    ),
    _recipe(
        "gao2019-cifar10-conv7",
        "the same on CIFAR-10: conv7-fc1 alone, the network of the checkpoints that the paper loads",
        "cifar10 in --data-dir, and a GPU or --train",
        "hours with a GPU, or on one core",
        networks.cifar10_conv7,
    ),
    _recipe(
        "gao2019-cifar100",
        "the same on CIFAR-100: the paper's net, baseline against proposed and gradient",
        "cifar100 in --data-dir, and a GPU or --train",
        "hours with a GPU, or on one core",
        networks.cifar100,
    ),
)
